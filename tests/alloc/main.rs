//! Property: after warm-up a request allocates nothing (docs/guarantees.md#g6). Requests are HTTP
//! bytes and go through whole shards, from the parser to the answer; only what a shard itself
//! allocates is counted, not what this driver does.
//!
//! One allocation for each request is lost in a benchmark's noise and found here.

// A failed `unwrap` in a test is the test's failure.
#![allow(clippy::unwrap_used)]

mod counting;
mod node;
mod redis;
mod requests;

use counting::Counted;
use node::Node;
use redis::Redis;
use requests::{ALWAYS, ONCE, click, get, keyed_get, post_decide, signed_get};

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

/// Users of a test: more than one, so that nothing rests on the last one asked for.
const USERS: usize = 50;
/// Requests that are counted.
const REQUESTS: usize = 10_000;
/// Requests before that: each user's shows fill the 16 remembered ones, each buffer its size.
const WARM_UP: usize = 8_000;

fn users(shards: u16, home: u16) -> Vec<String> {
    requests::users(shards, home, USERS)
}

/// Asks for users in turn: first to warm up, then counted. Every answer has `status`.
fn count(node: &mut Node, requests: &[Vec<u8>], status: &str) -> Counted {
    for index in 0..WARM_UP {
        node.ask(&requests[index % requests.len()]);
    }
    node.counted = Counted::default();
    let expected = format!("HTTP/1.1 {status} ");
    for index in 0..REQUESTS {
        let request = &requests[index % requests.len()];
        let answer = node.ask(request);
        let head = String::from_utf8_lossy(answer);
        assert!(head.starts_with(&expected), "{status} expected, not {head}");
    }
    node.counted
}

fn assert_none(what: &str, counted: Counted) {
    println!("{what}: {counted:?} in {REQUESTS} requests");
    assert_eq!(counted, Counted::default(), "{what}");
}

#[test]
fn a_decision_that_shows_nothing() {
    let users = users(1, 0);
    let mut node = Node::new(1, ONCE);
    let gets: Vec<_> = users.iter().map(|user| get(user)).collect();
    assert_none("nothing, GET", count(&mut node, &gets, "204"));
    let gets: Vec<_> = users.iter().map(|user| keyed_get(user)).collect();
    assert_none("nothing, with a key", count(&mut Node::with_keys(ONCE), &gets, "204"));
    let gets: Vec<_> = users.iter().map(|user| signed_get(user)).collect();
    let mut signed = Node::with_identity(ONCE, "qa");
    assert_none("nothing, with a signature", count(&mut signed, &gets, "204"));
    let nobody = String::from_utf8(keyed_get("")).unwrap().replace("user=&", "").into_bytes();
    let minted = String::from_utf8_lossy(signed.ask(&nobody)).into_owned();
    let (_, minted) = minted.split_once("\"anon\":\"").expect("an id is minted");
    let gets = vec![keyed_get(&minted[..53])];
    assert_none("nothing, of a minted user", count(&mut signed, &gets, "204"));
    let posts: Vec<_> = users.iter().map(|user| post_decide(user)).collect();
    assert_none("nothing, POST", count(&mut node, &posts, "204"));
}

#[test]
fn a_decision_that_shows_a_popup() {
    let users = users(1, 0);
    let mut node = Node::new(1, ALWAYS);
    let gets: Vec<_> = users.iter().map(|user| get(user)).collect();
    assert_none("show, GET", count(&mut node, &gets, "200"));
    let posts: Vec<_> = users.iter().map(|user| post_decide(user)).collect();
    assert_none("show, POST", count(&mut node, &posts, "200"));
}

#[test]
fn a_decision_for_a_preview_user() {
    let user = &users(1, 0)[0];
    let gets = vec![signed_get(user)];
    let counted = count(&mut Node::with_identity(ONCE, user), &gets, "200");
    assert_none("show, for a preview user", counted);
}

#[test]
fn a_decision_on_another_shard() {
    // The connection is on shard 0, the users are at home on shard 1.
    let users = users(2, 1);
    let gets: Vec<_> = users.iter().map(|user| get(user)).collect();
    let mut node = Node::new(2, ONCE);
    assert_none("nothing, hopped", count(&mut node, &gets, "204"));
    let mut node = Node::new(2, ALWAYS);
    assert_none("show, hopped", count(&mut node, &gets, "200"));
    assert!(node.hops >= REQUESTS, "they did hop");
}

#[test]
fn a_show_that_redis_takes() {
    let gets: Vec<_> = users(1, 0).iter().map(|user| get(user)).collect();
    let mut node = Node::with_redis(1, ALWAYS);
    let shows = count(&mut node, &gets, "200");
    let Redis { scripts, bytes_in, bytes_out, .. } = &node.redis[0];
    println!("{scripts} scripts, {bytes_in} bytes to Redis and {bytes_out} back");
    assert!(*scripts >= (WARM_UP + REQUESTS) as u64, "each is a commit");
    assert_none("show, Redis", shows);
    let gets: Vec<_> = users(2, 1).iter().map(|user| get(user)).collect();
    let mut node = Node::with_redis(2, ALWAYS);
    assert_none("show, Redis, hopped", count(&mut node, &gets, "200"));
    let mut node = Node::with_redis(2, ONCE);
    assert_none("nothing, Redis, hopped", count(&mut node, &gets, "204"));
}

#[test]
fn an_event_that_redis_takes() {
    let mut node = Node::with_redis(2, ALWAYS);
    show_and_click("show and event, Redis, hopped", &mut node);
}

#[test]
fn an_accepted_event() {
    let mut node = Node::new(2, ALWAYS);
    show_and_click("show and event, hopped", &mut node);
}

/// A show and a click on it, again and again, of users of the other shard.
fn show_and_click(what: &str, node: &mut Node) {
    let users = users(2, 1);
    for round in 0..WARM_UP + REQUESTS {
        if round == WARM_UP {
            node.counted = Counted::default();
        }
        let token = node::token(node.ask(&get(&users[round % USERS])));
        let answer = String::from_utf8_lossy(node.ask(&click(&token, ""))).into_owned();
        assert!(answer.contains("\"accepted\":1"), "{answer}");
    }
    assert_none(what, node.counted);
}

#[test]
fn a_repeated_event() {
    let mut node = Node::new(2, ALWAYS);
    let events = clicks(&mut node, "");
    let counted = count(&mut node, &events, "202");
    assert_none("event, repeated and hopped", counted);
}

/// A click on a show of each user of the other shard, with more members.
fn clicks(node: &mut Node, more: &str) -> Vec<Vec<u8>> {
    let mut clicks = Vec::new();
    for user in users(2, 1) {
        node.ask(&get(&user));
        let token = node::token(node.ask(&get(&user)));
        clicks.push(click(&token, more));
    }
    clicks
}

#[test]
fn fields_that_nobody_knows() {
    let mut node = Node::new(2, ALWAYS);
    let clicks = clicks(&mut node, ",\"placment\":1.50,\"a b\":2");
    assert_none("event, with unknown members", count(&mut node, &clicks, "202"));
    let answer = String::from_utf8_lossy(node.ask(&clicks[0])).into_owned();
    assert!(answer.ends_with(r#""rejected":[],"ignored":["placment"]}"#), "{answer}");
    let asked = |user: &String| String::from_utf8(get(user)).unwrap();
    let unknown = |user| asked(user).replace("home", "home&placment=x&utm=1&%75tm=2").into_bytes();
    let gets: Vec<_> = users(2, 1).iter().map(unknown).collect();
    assert_none("show, with unknown fields, hopped", count(&mut node, &gets, "200"));
    let answer = String::from_utf8_lossy(node.ask(&gets[0])).into_owned();
    assert!(answer.contains("\r\nNudge-Ignored: placment, utm\r\n"), "{answer}");
}

#[test]
fn pipelined_requests() {
    let users = users(1, 0);
    let mut node = Node::new(1, ONCE);
    let sixteen: Vec<u8> = users.iter().take(16).flat_map(|user| get(user)).collect();
    assert_none("16 pipelined", count(&mut node, &[sixteen], "204"));
}

#[test]
fn the_counting_itself_counts() {
    let mut counted = Counted::default();
    let boxed = counting::count(&mut counted, || vec![1u8; 100]);
    assert_eq!((counted.allocations, counted.bytes), (1, 100));
    let mut grown = boxed;
    counting::count(&mut counted, || grown.reserve(1_000));
    assert_eq!(counted.allocations, 2, "growing counts");
    let outside: Vec<u64> = (0..10).collect();
    assert_eq!((counted.allocations, outside.len()), (2, 10));
}

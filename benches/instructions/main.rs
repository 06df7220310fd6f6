//! The instructions that a request takes in user space, scenario by scenario, for callgrind:
//! requests go through whole shards as in tests/alloc, whose driver this is. `tools/instructions`
//! runs it and says what came out.
//!
//! Plain valgrind and no crate: gungraun (once iai-callgrind) wants its own runner installed in the
//! same version, reads its limits from attributes beside each benchmark, and runs one process per
//! scenario. Two options of callgrind do here what it does: collect within one function, and write
//! down what was collected where another returns.
//!
//! The warm-up is as in tests/alloc: each user's shows fill those remembered, each buffer its size.
//! Nothing here is random and the clock is the driver's, so the same build gives the same figures.

// A failed `unwrap` here is a failed scenario.
#![allow(clippy::unwrap_used)]

mod counting;
#[path = "../../tests/alloc/node.rs"]
mod node;
#[path = "../../tests/alloc/redis.rs"]
mod redis;
#[path = "../../tests/alloc/requests.rs"]
mod requests;

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Instant;

use node::Node;
use nudged_api::token::{Keys, Secret, Token};
use nudged_base::time::WallMs;
use requests::{ALWAYS, ONCE, click, get, keyed_get, post_decide, signed_get};

/// Users of a scenario, asked for in turn.
const USERS: usize = 8;
/// Requests before those that are counted: more than 16 shows for each user.
const WARM_UP: usize = 20 * USERS;
/// Requests that are counted.
const REQUESTS: usize = 40 * USERS;
/// Tokens of which the native time is taken.
const TOKENS: u32 = 200_000;

/// What is run, by its name in `limits`.
const SCENARIOS: [(&str, fn()); 14] = [
    ("nothing-get", || ask(&mut Node::new(1, ONCE), &all(1, get), "204")),
    ("nothing-key", || ask(&mut Node::with_keys(ONCE), &all(1, keyed_get), "204")),
    ("nothing-signed", || {
        ask(&mut Node::with_identity(ONCE, "qa"), &all(1, signed_get), "204");
    }),
    ("nothing-post", || ask(&mut Node::new(1, ONCE), &all(1, post_decide), "204")),
    ("nothing-new-get", || ask(&mut Node::new(1, ONCE), &new(get), "204")),
    ("nothing-new-post", || ask(&mut Node::new(1, ONCE), &new(post_decide), "204")),
    ("show-get", || ask(&mut Node::new(1, ALWAYS), &all(1, get), "200")),
    ("show-post", || ask(&mut Node::new(1, ALWAYS), &all(1, post_decide), "200")),
    ("event", events),
    ("hop-nothing", || ask(&mut Node::new(2, ONCE), &all(2, get), "204")),
    ("hop-show", || ask(&mut Node::new(2, ALWAYS), &all(2, get), "200")),
    ("redis-nothing", || ask(&mut Node::with_redis(1, ONCE), &all(1, get), "204")),
    ("redis-show", || ask(&mut Node::with_redis(1, ALWAYS), &all(1, get), "200")),
    ("popups-5000", || ask(&mut Node::new(1, &many_popups(5_000)), &all(1, get), "204")),
];

/// A request for each user; of two shards it is the other one's users that are asked for.
fn all(shards: u16, request: fn(&str) -> Vec<u8>) -> Vec<Vec<u8>> {
    let users = requests::users(shards, shards - 1, USERS);
    users.iter().map(|user| request(user)).collect()
}

/// A request for each round, none of which says what another one did: neither in its fields nor
/// beside its user.
fn new(request: fn(&str) -> Vec<u8>) -> Vec<Vec<u8>> {
    let users = requests::users(1, 0, USERS);
    let rounds = (0..WARM_UP + REQUESTS).zip(users.iter().cycle());
    let requests = rounds.map(|(round, user)| {
        let request = String::from_utf8(request(user)).unwrap();
        // As long as the other one, so that the length of a body stays.
        let request = request.replace("5.3.1", &format!("6.{}", 100 + round));
        request.replacen("shop.example", &format!("shop-{round:03}.example"), 1).into_bytes()
    });
    requests.collect()
}

/// Asks for users in turn, all of which are answered with `status` once a node is warm.
fn ask(node: &mut Node, requests: &[Vec<u8>], status: &str) {
    let expected = format!("HTTP/1.1 {status} ");
    for round in 0..WARM_UP + REQUESTS {
        node.counted.is_collecting = round >= WARM_UP;
        let answer = node.ask(&requests[round % requests.len()]);
        assert!(round < WARM_UP || answer.starts_with(expected.as_bytes()), "{status} expected");
    }
}

/// A click on a show that has just been.
fn events() {
    let mut node = Node::new(1, ALWAYS);
    let gets = all(1, get);
    for round in 0..WARM_UP + REQUESTS {
        node.counted.is_collecting = false;
        let token = node::token(node.ask(&gets[round % gets.len()]));
        node.counted.is_collecting = round >= WARM_UP;
        let answer = node.ask(&click(&token, ""));
        assert!(answer.starts_with(b"HTTP/1.1 202 "), "an event is accepted");
    }
}

/// Popups of one placement, three of which are for the users who ask, and were shown to them.
fn many_popups(count: usize) -> String {
    let mut popups = String::new();
    for number in 0..count {
        let platform = match number % (count / 3) {
            0 if number < count / 3 * 3 => "ios".to_owned(),
            _ => format!("platform-{number}"),
        };
        write!(
            popups,
            "[[popup]]\nid = \"popup-{number}\"\n\
             target = {{ attr = \"platform\", op = \"eq\", value = \"{platform}\" }}\n"
        )
        .unwrap();
    }
    popups
}

/// What a token takes natively, in nanoseconds: made and verified.
fn token_ns() -> (f64, f64) {
    let keys =
        Keys::new(&[Secret { id: 1, created_at: WallMs(0), bytes: [7; 32], moved_at: None }]);
    let token = Token {
        user: "user-1",
        popup: "banner",
        version: 1,
        variant: "a",
        number: 17,
        at: WallMs(1_800_000_000_000),
        local: None,
    };
    let mut text = String::new();
    let each_ns = |begun: Instant| begun.elapsed().as_secs_f64() * 1e9 / f64::from(TOKENS);
    let begun = Instant::now();
    for _ in 0..TOKENS {
        text.clear();
        keys.mint(black_box(&token), &mut text);
    }
    let made_ns = each_ns(begun);
    let mut bump = bumpalo::Bump::new();
    let begun = Instant::now();
    for _ in 0..TOKENS {
        bump.reset();
        assert!(keys.open(black_box(&text), &bump, token.at).is_some());
    }
    (made_ns, each_ns(begun))
}

fn main() {
    let asked = std::env::args().nth(1);
    if asked.as_deref() == Some("--token") {
        let (made_ns, verified_ns) = token_ns();
        println!("{made_ns:.0} {verified_ns:.0}");
        return;
    }
    for (name, run) in SCENARIOS {
        if asked.as_deref().is_none_or(|asked| asked == name) {
            run();
            println!("{name} {REQUESTS}");
            counting::end_of_scenario(name);
        }
    }
}

//! Property: the blocking client answers or fails in time, and its next call finds the server
//! again.

use std::time::{Duration, Instant};

use nudged::redis::link::LinkSettings;
use nudged::redis::refusal::Refusal;
use nudged::runtime::redis_client::{Answer, AskError, BlockingRedis, Push};

use super::support::redis::Redis;

const WAIT: Duration = Duration::from_secs(5);

fn client(url: &str, timeout: Duration) -> BlockingRedis {
    let (address, settings) = LinkSettings::of_url(url).unwrap();
    BlockingRedis::new(address, settings, timeout)
}

#[test]
fn it_answers_in_order_and_connects_again() {
    let mut redis = Redis::start();
    let mut client = client(&redis.url(), WAIT);
    let set: &[&[u8]] = &[b"SET", b"k", b"v"];
    let wrong: &[&[u8]] = &[b"LPUSH", b"k", b"v"];
    let get: &[&[u8]] = &[b"GET", b"k"];
    let answers = client.pipeline(&[set, wrong, get]).unwrap();
    assert!(matches!(&answers[1], Answer::Error(text) if text.starts_with("WRONGTYPE")));
    assert_eq!(answers[2], Answer::Text(b"v".to_vec()));
    assert!(matches!(client.ask(wrong), Err(AskError::Refused { .. })));
    assert_eq!(client.connects(), 1, "a refusal costs no connection");
    redis.kill();
    assert!(matches!(client.ask(get), Err(AskError::Connection(_))));
    assert!(matches!(client.ask(get), Err(AskError::Connection(_))));
    redis.restart();
    let answer = loop {
        match client.ask(get) {
            Err(AskError::Refused { kind: Refusal::Loading, .. }) => {}
            result => break result.unwrap(),
        }
    };
    assert_eq!(answer, Answer::Text(b"v".to_vec()));
    assert_eq!(client.connects(), 2);
}

#[test]
fn a_frozen_server_costs_its_timeout_only() {
    let redis = Redis::start();
    let mut client = client(&redis.url(), Duration::from_millis(100));
    client.ask(&[b"PING"]).unwrap();
    redis.freeze();
    let begun = Instant::now();
    assert!(matches!(client.ask(&[b"PING"]), Err(AskError::Timeout)));
    assert!(begun.elapsed() < Duration::from_secs(2));
    redis.thaw();
    assert_eq!(client.ask(&[b"PING"]).unwrap(), Answer::Text(b"PONG".to_vec()));
}

#[test]
fn a_subscription_is_made_again_in_both_protocols() {
    for arguments in [&["--save", ""][..], &["--save", "", "--rename-command", "HELLO", ""]] {
        let mut redis = Redis::start_with(arguments);
        let mut client = client(&redis.url(), WAIT);
        client.subscribe(&["a", "b"]).unwrap();
        for _ in 0..2 {
            assert_eq!(client.poll_push(WAIT).unwrap(), Some(Push::Subscribed));
            redis.ask(&[b"PUBLISH", b"b", b"hello"]);
            let (channel, payload) = (b"b".to_vec(), b"hello".to_vec());
            assert_eq!(client.poll_push(WAIT).unwrap(), Some(Push::Message { channel, payload }));
            assert_eq!(client.poll_push(Duration::from_millis(20)).unwrap(), None);
            redis.kill();
            assert!(client.poll_push(WAIT).is_err());
            redis.restart();
        }
    }
}

//! Property: the blocking client answers or fails in time, leaves a server alone for a while after
//! a failure, and then finds it again.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use nudged_redis::link::LinkSettings;
use nudged_redis::refusal::RedisRefusal;
use nudged_redis::request::{OwnedReply, Push, RedisError};
use nudged_runtime::redis_client::BlockingRedis;

use super::support::redis::Redis;

const WAIT: Duration = Duration::from_secs(5);

fn client(url: &str, timeout: Duration) -> BlockingRedis {
    let (address, settings) = LinkSettings::of_url(url).unwrap();
    BlockingRedis::new(address, settings, timeout)
}

/// Asks once the server may be asked again.
fn ask_after_rest(client: &mut BlockingRedis, words: &[&[u8]]) -> Result<OwnedReply, RedisError> {
    while let Some(left) = client.rest_left() {
        std::thread::park_timeout(left);
    }
    client.ask(words)
}

#[test]
fn it_answers_in_order_and_connects_again() {
    let mut redis = Redis::start();
    let mut client = client(&redis.url(), WAIT);
    let set: &[&[u8]] = &[b"SET", b"k", b"v"];
    let wrong: &[&[u8]] = &[b"LPUSH", b"k", b"v"];
    let get: &[&[u8]] = &[b"GET", b"k"];
    let answers = client.pipeline(&[set, wrong, get]).unwrap();
    assert!(matches!(&answers[1], OwnedReply::Error(text) if text.starts_with("WRONGTYPE")));
    assert_eq!(answers[2], OwnedReply::Text(b"v".to_vec()));
    assert!(matches!(client.ask(wrong), Err(RedisError::Refused { .. })));
    assert_eq!(client.connects(), 1, "a refusal costs no connection");
    redis.kill();
    assert!(matches!(client.ask(get), Err(RedisError::Connection(_))));
    assert!(matches!(client.ask(get), Err(RedisError::Resting { .. })));
    assert!(matches!(ask_after_rest(&mut client, get), Err(RedisError::Connection(_))));
    redis.restart();
    let answer = loop {
        match ask_after_rest(&mut client, get) {
            Err(RedisError::Refused { kind: RedisRefusal::Loading, .. }) => {}
            result => break result.unwrap(),
        }
    };
    assert_eq!(answer, OwnedReply::Text(b"v".to_vec()));
    assert_eq!(client.connects(), 2);
}

#[test]
fn a_frozen_server_costs_its_timeout_only() {
    let redis = Redis::start();
    let mut client = client(&redis.url(), Duration::from_millis(100));
    client.ask(&[b"PING"]).unwrap();
    redis.freeze();
    let begun = Instant::now();
    assert!(matches!(client.ask(&[b"PING"]), Err(RedisError::Timeout)));
    assert!(begun.elapsed() < Duration::from_secs(2));
    redis.thaw();
    assert_eq!(
        ask_after_rest(&mut client, &[b"PING"]).unwrap(),
        OwnedReply::Text(b"PONG".to_vec())
    );
}

/// Sends a signal to a thread again and again until it has ended.
#[allow(unsafe_code)]
fn pester(thread: &std::thread::JoinHandle<()>) {
    use std::os::unix::thread::JoinHandleExt;
    while !thread.is_finished() {
        // SAFETY: the thread is not joined yet, so its id is its own.
        unsafe { libc::pthread_kill(thread.as_pthread_t(), libc::SIGURG) };
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
fn signals_end_no_wait_for_an_answer() {
    let handled = std::sync::Arc::default();
    signal_hook::flag::register(libc::SIGURG, std::sync::Arc::clone(&handled)).unwrap();
    let redis = Redis::start();
    let unix = format!("redis+unix://{}", redis.socket().display());
    for url in [redis.url(), unix] {
        redis.freeze();
        let asking = std::thread::spawn(move || {
            let mut client = client(&url, WAIT);
            assert_eq!(client.ask(&[b"PING"]).unwrap(), OwnedReply::Text(b"PONG".to_vec()));
            assert_eq!(client.connects(), 1);
        });
        let thawing = std::thread::scope(|scope| {
            let thawing = scope.spawn(|| {
                std::thread::park_timeout(Duration::from_millis(100));
                redis.thaw();
            });
            pester(&asking);
            thawing.join()
        });
        thawing.unwrap();
        asking.join().unwrap();
    }
    assert!(handled.load(std::sync::atomic::Ordering::Relaxed), "signals have come");
}

#[test]
fn a_server_that_is_away_is_not_asked_hot() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Takes connections and closes them at once.
    let closing = std::thread::spawn(move || listener.incoming().take(5).count());
    let mut client = client(&format!("redis://{address}"), WAIT);
    let begun = Instant::now();
    let mut failures = 0;
    while !closing.is_finished() {
        match client.ask(&[b"PING"]) {
            Err(RedisError::Resting { why }) => {
                assert!(why.contains("can't be reached"), "{why}");
                let left = client.rest_left().unwrap_or_default();
                assert!(left <= Duration::from_millis(500), "{left:?}");
                std::thread::park_timeout(left);
            }
            Err(RedisError::Connection(_)) => failures += 1,
            other => panic!("{other:?}"),
        }
    }
    // Half of 100 + 200 + 400 + 500 ms lie between five of them.
    let took = begun.elapsed();
    assert!(failures >= 4 && took >= Duration::from_millis(600), "{failures} in {took:?}");
}

#[test]
fn a_server_that_denies_is_left_alone_for_a_second() {
    let redis = Redis::start();
    redis.line(&["CONFIG", "SET", "requirepass", "right"]);
    let mut denied = client(&redis.url(), WAIT);
    for _ in 0..3 {
        let refused = ask_after_rest(&mut denied, &[b"PING"]);
        assert!(matches!(refused, Err(RedisError::Refused { kind: RedisRefusal::Denied, .. })));
        let left = denied.rest_left().unwrap();
        assert!(left > Duration::from_millis(900) && left < Duration::from_millis(1_300));
        let before = denied.connects();
        for _ in 0..100 {
            let Err(RedisError::Resting { why }) = denied.ask(&[b"PING"]) else {
                panic!("it asks")
            };
            assert!(why.contains("NOAUTH"), "{why}");
        }
        assert_eq!(denied.connects(), before);
    }
    let mut right = client(&redis.url().replace("redis://", "redis://:right@"), WAIT);
    assert_eq!(right.ask(&[b"PING"]).unwrap(), OwnedReply::Text(b"PONG".to_vec()));
}

#[test]
fn a_subscription_that_stands_is_not_made_again() {
    let redis = Redis::start();
    let mut client = client(&redis.url(), WAIT);
    for round in 0..5 {
        client.subscribe(&["a"]).unwrap();
        let told = client.poll_push(Duration::from_millis(10)).unwrap();
        assert_eq!(told, (round == 0).then_some(Push::Subscribed), "{round}");
    }
    assert_eq!(client.connects(), 1);
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
            while let Some(left) = client.rest_left() {
                std::thread::park_timeout(left);
            }
        }
    }
}

//! Property: the model of Redis that the simulator of several nodes runs on answers what the real
//! one answers, whatever it is asked, and holds the same afterwards.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nudged_background::keeper::scripts as keeper;
use nudged_redis::link::LinkSettings;
use nudged_redis::request::OwnedReply;
use nudged_redis::scripts::Script;
use nudged_runtime::redis_client::BlockingRedis;
use proptest::prelude::*;

use super::support::redis::Redis;

#[allow(dead_code)] // The simulator uses the rest.
#[path = "../support/redis_model/mod.rs"]
mod model;

const KEYS: [&[u8]; 3] = [b"nudged:{p1}:u:u", b"nudged:{p1}:m", b"nudged:{p1}:q"];
/// Times are far from the present on either side, so that the two clocks need not agree.
const FAR_MS: i64 = 600_000;

/// One question: what is run, on which keys, with which words.
#[derive(Clone, Debug)]
struct Question {
    body: &'static str,
    keys: Vec<&'static [u8]>,
    words: Vec<Vec<u8>>,
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

fn revision() -> impl Strategy<Value = Vec<u8>> {
    (1..4_u32, 0..4_u64)
        .prop_map(|(epoch, counter)| [&epoch.to_be_bytes()[..], &counter.to_be_bytes()].concat())
}

fn epoch() -> impl Strategy<Value = Vec<u8>> {
    (1..4_u32).prop_map(|epoch| epoch.to_string().into_bytes())
}

fn phase() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![Just(b"".to_vec()), Just(b"b".to_vec()), Just(b"f".to_vec())]
}

fn time() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![9 => Just(1), 1 => Just(-1)]
        .prop_map(|side: i64| (now_ms() + side * FAR_MS).to_string().into_bytes())
}

fn commit() -> impl Strategy<Value = Question> {
    let base = prop_oneof![Just(Vec::new()), revision()];
    let request = (0..6_u64).prop_map(|id| id.to_be_bytes().to_vec());
    let head = (base, request, time(), revision(), any::<bool>(), any::<bool>());
    (head, proptest::collection::vec("[a-z]{1,9}", 1..3)).prop_map(|(head, records)| {
        let (base, request, until, revision, is_told, has_list) = head;
        let now = (now_ms() - FAR_MS).to_string().into_bytes();
        let channel: &[u8] = if is_told { b"nudged:changed:1" } else { b"" };
        let mut words = vec![base, request, now, until, revision, b"state".to_vec()];
        words.extend([b"0".to_vec(), channel.to_vec(), b"u".to_vec()]);
        if has_list {
            words.push(b"5".to_vec());
            words.extend(records.into_iter().map(String::into_bytes));
        } else {
            words.push(records.len().to_string().into_bytes());
        }
        let keys = KEYS[..if has_list { 3 } else { 2 }].to_vec();
        Question { body: Script::Commit.body(), keys, words }
    })
}

fn question() -> impl Strategy<Value = Question> {
    let meta = || vec![KEYS[1]];
    let of = |body: &'static str, keys: Vec<&'static [u8]>| {
        move |words: Vec<Vec<u8>>| Question { body, keys: keys.clone(), words }
    };
    let lock: Vec<&'static [u8]> = vec![keeper::LOCK.as_bytes()];
    let flag = || prop_oneof![Just(b"0".to_vec()), Just(b"1".to_vec())];
    let who = || "[ab]".prop_map(String::into_bytes);
    let term = prop_oneof![Just(b"0".to_vec()), Just(b"600000".to_vec())];
    let zero = || Just(b"0".to_vec());
    let state = || Just(b"filled".to_vec());
    let mark = || prop_oneof![3 => Just(Vec::new()), 1 => Just(b"t".to_vec())];
    let old_epoch = || prop_oneof![Just(Vec::new()), epoch()];
    prop_oneof![
        6 => commit(),
        1 => Just(Vec::new()).prop_map(of(Script::Read.body(), KEYS[..2].to_vec())),
        1 => Just(Vec::new()).prop_map(of(Script::Meta.body(), meta())),
        2 => (revision(), state(), zero())
            .prop_map(|(a, b, c)| vec![a, b, c])
            .prop_map(of(Script::Fill.body(), KEYS[..2].to_vec())),
        1 => epoch().prop_map(|epoch| vec![epoch]).prop_map(of(keeper::FENCE, meta())),
        3 => (epoch(), old_epoch(), mark())
            .prop_map(|(a, b, c)| vec![a, b, b"7:3".to_vec(), c])
            .prop_map(of(keeper::BEGIN, meta())),
        1 => (epoch(), Just(b"1".to_vec()))
            .prop_map(|(a, b)| vec![a, b])
            .prop_map(of(keeper::DOUBT, meta())),
        3 => (epoch(), phase(), phase())
            .prop_map(|(a, b, c)| vec![a, b, c])
            .prop_map(of(keeper::ADVANCE, meta())),
        1 => (who(), term).prop_map(|(a, b)| vec![a, b]).prop_map(of(keeper::LEAD, lock)),
        2 => (revision(), state(), zero(), flag())
            .prop_map(|(a, b, c, d)| vec![a, b, c, d])
            .prop_map(of(keeper::REFILL, KEYS[..1].to_vec())),
        1 => (revision(), Just(b"3".to_vec()))
            .prop_map(|(a, b)| vec![a, b])
            .prop_map(of(nudged_background::lists::TRIM, KEYS[2..].to_vec())),
    ]
}

/// An answer without the time that it begins with, if it does.
fn timeless(answer: OwnedReply) -> OwnedReply {
    match answer {
        OwnedReply::List(mut list) => {
            if let Some(OwnedReply::Int(time)) = list.first_mut() {
                *time = 0;
            }
            OwnedReply::List(list)
        }
        other => other,
    }
}

struct Pair {
    real: BlockingRedis,
    model: model::Redis,
}

impl Pair {
    fn ask(&mut self, words: &[&[u8]]) -> (OwnedReply, OwnedReply) {
        let owned: Vec<Vec<u8>> = words.iter().map(|word| word.to_vec()).collect();
        (self.real.ask(words).unwrap(), self.model.execute(now_ms(), &owned))
    }

    fn run(&mut self, question: &Question) -> (OwnedReply, OwnedReply) {
        let words: Vec<&[u8]> = question.words.iter().map(Vec::as_slice).collect();
        let real = self.real.script(question.body, &question.keys, &words).unwrap();
        let count = question.keys.len().to_string();
        let mut command: Vec<&[u8]> = vec![b"EVAL", question.body.as_bytes(), count.as_bytes()];
        command.extend(&question.keys);
        command.extend(words);
        let owned: Vec<Vec<u8>> = command.iter().map(|word| word.to_vec()).collect();
        (timeless(real), timeless(self.model.execute(now_ms(), &owned)))
    }
}

#[test]
fn the_model_answers_what_redis_answers() {
    let server = Redis::start_with(&["--save", ""]);
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let questions = proptest::collection::vec(question(), 1..60);
    let result = runner.run(&questions, |questions| {
        let (address, settings) = LinkSettings::of_url(&server.url()).unwrap();
        let real = BlockingRedis::new(address, settings, Duration::from_secs(5));
        let mut pair = Pair { real, model: model::Redis::new() };
        pair.real.ask(&[b"FLUSHALL"]).unwrap();
        for question in &questions {
            let (real, model) = pair.run(question);
            prop_assert_eq!(real, model, "to {:?}", question);
        }
        for words in [
            [b"GET".as_slice(), KEYS[0]].as_slice(),
            &[b"HMGET", KEYS[1], b"e", b"c", b"s", b"h", b"v", b"x"],
            &[b"LRANGE", KEYS[2], b"0", b"99"],
            &[b"GET", keeper::LOCK.as_bytes()],
        ] {
            let (real, model) = pair.ask(words);
            prop_assert_eq!(real, model, "{:?}", words);
        }
        Ok(())
    });
    result.unwrap();
}

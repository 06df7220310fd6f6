//! Property: a script changes all or nothing, and says what it did.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nudged_redis::link::LinkSettings;
use nudged_redis::request::{OwnedReply, Push, RedisError};
use nudged_redis::scripts::Script;
use nudged_runtime::redis_client::BlockingRedis;

use super::support::redis::Redis;

const KEYS: [&[u8]; 3] = [b"nudged:{p1}:u:u", b"nudged:{p1}:m", b"nudged:{p1}:q"];
const R1: &[u8] = b"\0\0\0\x01\0\0\0\0\0\0\0\x01";
const R2: &[u8] = b"\0\0\0\x01\0\0\0\0\0\0\0\x02";
const R3: &[u8] = b"\0\0\0\x01\0\0\0\0\0\0\0\xff";

struct Bench {
    client: BlockingRedis,
    _redis: Redis,
}

fn client(redis: &Redis) -> BlockingRedis {
    let (address, settings) = LinkSettings::of_url(&redis.url()).unwrap();
    BlockingRedis::new(address, settings, Duration::from_secs(5))
}

/// A server with a partition of epoch 1.
fn bench() -> Bench {
    let redis = Redis::start_with(&["--save", ""]);
    let mut client = client(&redis);
    client.ask(&[b"HSET", KEYS[1], b"e", b"1"]).unwrap();
    Bench { client, _redis: redis }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// A commit of one record for the journal, valid for a minute.
struct Commit<'a> {
    base: &'a [u8],
    request: &'a [u8; 8],
    now: i64,
    valid_until: i64,
    revision: &'a [u8],
    ttl: &'a [u8],
    channel: &'a [u8],
    list: Option<(&'a [u8], &'a [&'a [u8]])>,
}

impl Default for Commit<'_> {
    fn default() -> Self {
        Commit {
            base: b"",
            request: b"request1",
            now: now_ms(),
            valid_until: now_ms() + 60_000,
            revision: R1,
            ttl: b"0",
            channel: b"",
            list: None,
        }
    }
}

impl Bench {
    fn commit(&mut self, commit: &Commit<'_>) -> Result<(String, OwnedReply), RedisError> {
        let (now, until) = (commit.now.to_string(), commit.valid_until.to_string());
        let mut arguments: Vec<&[u8]> = vec![commit.base, commit.request, now.as_bytes()];
        arguments.extend([until.as_bytes(), commit.revision, b"state", commit.ttl]);
        arguments.extend([commit.channel, b"u"]);
        let keys = match commit.list {
            Some((list_max, records)) => {
                arguments.push(list_max);
                arguments.extend_from_slice(records);
                &KEYS[..]
            }
            None => {
                arguments.push(b"1");
                &KEYS[..2]
            }
        };
        let answer = self.client.script(Script::Commit.body(), keys, &arguments)?;
        let OwnedReply::List(mut words) = answer else { panic!("{answer:?}") };
        assert_eq!(words.len(), 6);
        let OwnedReply::Int(at) = words[0] else { panic!("{words:?}") };
        assert!((at - now_ms()).abs() < 5_000, "TIME in ms");
        let value = words.pop().unwrap();
        let Some(OwnedReply::Text(verdict)) = words.pop() else { panic!("{words:?}") };
        Ok((String::from_utf8(verdict).unwrap(), value))
    }

    fn verdict(&mut self, commit: &Commit<'_>) -> String {
        self.commit(commit).unwrap().0
    }

    fn ask(&mut self, words: &[&[u8]]) -> OwnedReply {
        self.client.ask(words).unwrap()
    }

    fn value(&mut self) -> OwnedReply {
        self.ask(&[b"GET", KEYS[0]])
    }

    fn counter(&mut self) -> OwnedReply {
        self.ask(&[b"HGET", KEYS[1], b"c"])
    }

    fn fill(&mut self, revision: &[u8], ttl: &[u8]) -> OwnedReply {
        let arguments: [&[u8]; 3] = [revision, b"filled", ttl];
        let answer = self.client.script(Script::Fill.body(), &KEYS[..2], &arguments).unwrap();
        let OwnedReply::List(mut words) = answer else { panic!("{answer:?}") };
        assert_eq!(words.len(), 5);
        words.pop().unwrap()
    }
}

fn text(bytes: &[u8]) -> OwnedReply {
    OwnedReply::Text(bytes.to_vec())
}

fn value(revision: &[u8], ids: &[&[u8; 8]]) -> OwnedReply {
    let count = u8::try_from(ids.len()).unwrap();
    let ids: Vec<u8> = ids.iter().flat_map(|id| id.iter().copied()).collect();
    text(&[revision, &[count], &ids, b"state"].concat())
}

#[test]
fn a_commit_replaces_what_it_was_made_from_and_nothing_else() {
    let mut bench = bench();
    assert_eq!(bench.verdict(&Commit::default()), "done");
    assert_eq!(bench.value(), value(R1, &[b"request1"]));
    let second = Commit { base: R1, request: b"request2", revision: R2, ..Commit::default() };
    assert_eq!(bench.verdict(&second), "done");
    assert_eq!(bench.value(), value(R2, &[b"request2", b"request1"]));
    assert_eq!(bench.counter(), text(b"2"));
    for base in [b"".as_slice(), R1] {
        let late = Commit { base, request: b"request3", revision: R3, ..Commit::default() };
        let (verdict, held) = bench.commit(&late).unwrap();
        assert_eq!((verdict.as_str(), held), ("moved", value(R2, &[b"request2", b"request1"])));
    }
    bench.ask(&[b"DEL", KEYS[0]]);
    let gone = Commit { base: R2, request: b"request3", revision: R3, ..Commit::default() };
    assert_eq!(bench.commit(&gone).unwrap(), ("moved".to_owned(), OwnedReply::Nil));
    assert_eq!((bench.value(), bench.counter()), (OwnedReply::Nil, text(b"2")));
}

#[test]
fn a_repetition_is_done_and_changes_nothing_for_four_commits() {
    let mut bench = bench();
    let ids: Vec<[u8; 8]> = (0..6_u64).map(|id| id.to_be_bytes()).collect();
    let revisions: Vec<Vec<u8>> =
        (1..=6_u64).map(|count| [&[0, 0, 0, 1], &count.to_be_bytes()[..]].concat()).collect();
    for (place, id) in ids.iter().enumerate() {
        let base = if place == 0 { &[][..] } else { &revisions[place - 1] };
        let commit = Commit { base, request: id, revision: &revisions[place], ..Commit::default() };
        assert_eq!(bench.verdict(&commit), "done");
    }
    let held = value(&revisions[5], &[&ids[5], &ids[4], &ids[3], &ids[2]]);
    assert_eq!(bench.value(), held);
    for (place, expected) in [(5, "done"), (2, "done"), (1, "moved"), (0, "moved")] {
        // Late, on a partition that was lost since: what is done stays done.
        let base = &revisions[place];
        let (now, until) = (now_ms(), now_ms() + 60_000);
        let valid_until = if expected == "done" { now - 60_000 } else { until };
        let request = &ids[place];
        let revision = &revisions[place];
        let again = Commit { base, request, revision, valid_until, ..Commit::default() };
        let (verdict, standing) = bench.commit(&again).unwrap();
        assert_eq!(verdict, expected, "{place}");
        assert_eq!(standing, if place == 5 { OwnedReply::Nil } else { held.clone() });
    }
    assert_eq!((bench.value(), bench.counter()), (held, text(b"6")));
}

#[test]
fn late_commits_and_times_ahead_change_nothing() {
    let mut bench = bench();
    let now = now_ms();
    for (now, valid_until, expected) in [
        (now, now - 1, "late"),
        (now + 10_000, now + 60_000, "late"),
        (now - 10_000, now + 60_000, "done"),
    ] {
        assert_eq!(bench.verdict(&Commit { now, valid_until, ..Commit::default() }), expected);
        let is_written = bench.value() != OwnedReply::Nil;
        assert_eq!(is_written, expected == "done");
    }
}

#[test]
fn a_partition_without_epoch_or_behind_a_barrier_is_lost() {
    let mut bench = bench();
    bench.ask(&[b"HSET", KEYS[1], b"s", b"b"]);
    assert_eq!(bench.verdict(&Commit::default()), "lost");
    bench.ask(&[b"HDEL", KEYS[1], b"e", b"s"]);
    assert_eq!(bench.verdict(&Commit::default()), "lost");
    bench.ask(&[b"DEL", KEYS[1]]);
    assert_eq!(bench.verdict(&Commit::default()), "lost");
    assert_eq!((bench.value(), bench.counter()), (OwnedReply::Nil, OwnedReply::Nil));
    bench.ask(&[b"HSET", KEYS[1], b"e", b"2", b"s", b"f"]);
    assert_eq!(bench.verdict(&Commit::default()), "moved", "made in an epoch before");
    let revision = b"\0\0\0\x02\0\0\0\0\0\0\0\x01".as_slice();
    assert_eq!(bench.verdict(&Commit { revision, ..Commit::default() }), "done", "being filled");
    let reads = [(Script::Read, &KEYS[..2], 5), (Script::Meta, &KEYS[1..2], 4)];
    for (script, keys, length) in reads {
        let answer = bench.client.script(script.body(), keys, &[]).unwrap();
        let OwnedReply::List(words) = answer else { panic!("{answer:?}") };
        assert_eq!(words.len(), length);
        assert_eq!(words[1..4], [OwnedReply::Int(2), OwnedReply::Int(1), text(b"f")]);
    }
}

#[test]
fn a_key_of_another_type_is_refused_before_anything_is_written() {
    let records: [&[u8]; 1] = [b"record"];
    for (place, foreign) in KEYS.into_iter().enumerate() {
        let mut bench = bench();
        bench.ask(&[b"DEL", foreign]);
        bench.ask(&[b"SADD", foreign, b"member"]);
        let commit = Commit { list: Some((b"10", &records)), ..Commit::default() };
        let error = bench.commit(&commit).unwrap_err();
        assert!(
            matches!(&error, RedisError::Refused { text, .. } if text.starts_with("WRONGTYPE"))
        );
        for (other, key) in KEYS.iter().enumerate() {
            let held = bench.ask(&[b"TYPE", key]);
            let expected: &[u8] = match other {
                _ if other == place => b"set",
                1 => b"hash",
                _ => b"none",
            };
            assert_eq!(held, text(expected), "{place} {other}");
        }
        if place != 1 {
            assert_eq!(bench.counter(), OwnedReply::Nil);
        }
    }
    let mut bench = bench();
    bench.ask(&[b"HSET", KEYS[1], b"c", b"9999999999999999999999"]);
    assert!(bench.commit(&Commit::default()).is_err());
    assert_eq!(bench.value(), OwnedReply::Nil, "a counter that can't rise");
}

#[test]
fn records_join_the_list_with_their_numbers_until_it_is_full() {
    let mut bench = bench();
    bench.ask(&[b"HSET", KEYS[1], b"c", b"300"]);
    let records: [&[u8]; 2] = [b"one", b"two"];
    let commit = Commit { list: Some((b"2", &records)), ..Commit::default() };
    assert_eq!(bench.verdict(&commit), "done");
    let entry = |number: u64, record: &[u8]| {
        text(&[&[0, 0, 0, 1], &number.to_be_bytes()[..], record].concat())
    };
    let list = OwnedReply::List(vec![entry(301, b"one"), entry(302, b"two")]);
    assert_eq!(bench.ask(&[b"LRANGE", KEYS[2], b"0", b"-1"]), list);
    assert_eq!(bench.counter(), text(b"302"));
    assert_eq!(bench.verdict(&commit), "done", "a repetition finds the list full and is done");
    let more = Commit { base: R1, request: b"request2", revision: R2, ..commit };
    assert_eq!(bench.verdict(&more), "full");
    assert_eq!(bench.ask(&[b"LRANGE", KEYS[2], b"0", b"-1"]), list);
    assert_eq!((bench.counter(), bench.value()), (text(b"302"), value(R1, &[b"request1"])));
    bench.ask(&[b"LPOP", KEYS[2]]);
    bench.ask(&[b"LPOP", KEYS[2]]);
    assert_eq!(bench.verdict(&more), "done");
    assert_eq!(bench.counter(), text(b"304"));
}

#[test]
fn changes_are_published_where_asked() {
    let mut bench = bench();
    let mut listener = client(&bench._redis);
    listener.subscribe(&["nudged:changed:1"]).unwrap();
    assert_eq!(listener.poll_push(Duration::from_secs(5)).unwrap(), Some(Push::Subscribed));
    assert_eq!(bench.verdict(&Commit::default()), "done");
    let (base, request, revision) = (R1, b"request2", R2);
    let channel = b"nudged:changed:1".as_slice();
    let commit = Commit { base, request, revision, channel, ..Commit::default() };
    assert_eq!(bench.verdict(&commit), "done");
    assert_eq!(bench.verdict(&commit), "done", "a repetition says nothing");
    let payload = [R2, b"u"].concat();
    let message = Push::Message { channel: channel.to_vec(), payload };
    assert_eq!(listener.poll_push(Duration::from_secs(5)).unwrap(), Some(message));
    assert_eq!(listener.poll_push(Duration::from_millis(50)).unwrap(), None);
}

#[test]
fn a_fill_never_lowers_and_a_time_to_live_is_kept_or_cleared() {
    let mut bench = bench();
    let filled = |revision: &[u8]| text(&[revision, b"\0filled"].concat());
    assert_eq!(bench.fill(R2, b"0"), filled(R2));
    assert_eq!(bench.fill(R1, b"0"), filled(R2));
    assert_eq!(bench.ask(&[b"PTTL", KEYS[0]]), OwnedReply::Int(-1));
    assert_eq!(bench.fill(R3, b"60000"), filled(R3));
    assert_eq!(bench.value(), filled(R3));
    let is_expiring = |bench: &mut Bench| match bench.ask(&[b"PTTL", KEYS[0]]) {
        OwnedReply::Int(left) => left > 0,
        other => panic!("{other:?}"),
    };
    assert!(is_expiring(&mut bench));
    bench.ask(&[b"HSET", KEYS[1], b"e", b"2"]);
    let revision = b"\0\0\0\x02\0\0\0\0\0\0\0\x01".as_slice();
    let commit = Commit { base: R3, revision, ..Commit::default() };
    assert_eq!(bench.verdict(&commit), "done");
    assert!(!is_expiring(&mut bench), "a state without a time to live stays");
    let (base, request, ttl) = (revision, b"request2", b"60000".as_slice());
    let revision = b"\0\0\0\x02\0\0\0\0\0\0\0\x02".as_slice();
    let erase = Commit { base, request, revision, ttl, ..Commit::default() };
    assert_eq!(bench.verdict(&erase), "done");
    assert!(is_expiring(&mut bench), "a tombstone goes");
    assert_eq!(bench.fill(R3, b"0"), value(revision, &[b"request2", b"request1"]));
}

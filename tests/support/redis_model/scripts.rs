//! What each script of the nodes does to the model of Redis, told a second time: the texts are in
//! `src/redis/scripts` and `src/background/keeper/scripts`. One step each, as there.

use std::sync::LazyLock;

use nudged_background::keeper::scripts as keeper;
use nudged_redis::request::OwnedReply;
use nudged_redis::scripts::{Script as Shards, hash_of};

use super::Redis;

/// One of the scripts.
#[derive(Clone, Copy, Debug)]
pub enum Script {
    Read,
    Commit,
    Fill,
    Meta,
    Heartbeat,
    Fence,
    Begin,
    Doubt,
    Advance,
    Lead,
    Refill,
    Trim,
    Rights,
    Nothing,
}

static HASHES: LazyLock<Vec<([u8; 40], Script)>> = LazyLock::new(|| {
    [
        (Shards::Read.body(), Script::Read),
        (Shards::Commit.body(), Script::Commit),
        (Shards::Fill.body(), Script::Fill),
        (Shards::Meta.body(), Script::Meta),
        (keeper::HEARTBEAT, Script::Heartbeat),
        (keeper::FENCE, Script::Fence),
        (keeper::BEGIN, Script::Begin),
        (keeper::DOUBT, Script::Doubt),
        (keeper::ADVANCE, Script::Advance),
        (keeper::LEAD, Script::Lead),
        (keeper::REFILL, Script::Refill),
        (nudged_background::lists::TRIM, Script::Trim),
        (keeper::RIGHTS, Script::Rights),
        (keeper::NOTHING, Script::Nothing),
    ]
    .map(|(body, script)| (hash_of(body), script))
    .to_vec()
});

fn parse<T: std::str::FromStr>(word: &[u8]) -> Option<T> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

fn number(word: &[u8]) -> i64 {
    parse(word).expect("a number")
}

fn is_forever(ttl: &[u8], now: i64) -> Option<i64> {
    (ttl != b"0").then(|| now + number(ttl))
}

fn texts(words: Vec<Vec<u8>>) -> OwnedReply {
    OwnedReply::List(words.into_iter().map(OwnedReply::Text).collect())
}

/// A partition's meta as the scripts read it.
struct Meta {
    epoch: i64,
    counter: i64,
    phase: Vec<u8>,
    is_doubted: bool,
}

impl Meta {
    fn of(redis: &Redis, key: &[u8]) -> Meta {
        let field = |name: &[u8]| redis.field(key, name);
        Meta {
            epoch: field(b"e").and_then(parse).unwrap_or(-1),
            counter: field(b"c").and_then(parse).unwrap_or(0),
            phase: field(b"s").unwrap_or_default().to_vec(),
            is_doubted: field(b"v").is_some(),
        }
    }

    fn answer(&self, now: i64) -> Vec<OwnedReply> {
        let mark: &[u8] = if self.is_doubted { b"v" } else { b"" };
        let phase = OwnedReply::Text([&self.phase, mark].concat());
        vec![
            OwnedReply::Int(now),
            OwnedReply::Int(self.epoch),
            OwnedReply::Int(self.counter),
            phase,
        ]
    }
}

impl Script {
    /// The script of a hash.
    pub fn of(hash: &[u8; 40]) -> Option<Script> {
        HASHES.iter().find(|(known, _)| known == hash).map(|(_, script)| *script)
    }

    /// Runs it.
    pub fn run(self, redis: &mut Redis, now: i64, keys: &[&[u8]], words: &[&[u8]]) -> OwnedReply {
        match self {
            Script::Read => {
                let mut answer = Meta::of(redis, keys[1]).answer(now);
                answer.push(
                    redis.get(keys[0]).map_or(OwnedReply::Nil, |v| OwnedReply::Text(v.to_vec())),
                );
                OwnedReply::List(answer)
            }
            Script::Meta => OwnedReply::List(Meta::of(redis, keys[0]).answer(now)),
            Script::Fill => fill(redis, now, keys, words),
            Script::Commit => commit(redis, now, keys, words),
            Script::Heartbeat => heartbeat(redis, now, keys[0], words[0]),
            Script::Fence => fence(redis, keys[0], words[0]),
            Script::Begin => begin(redis, keys[0], words),
            Script::Doubt => doubt(redis, keys[0], words),
            Script::Advance => advance(redis, keys[0], words),
            Script::Lead => lead(redis, now, keys[0], words),
            Script::Refill => refill(redis, now, keys[0], words),
            Script::Trim => trim(redis, keys[0], words),
            // Nothing is refused here.
            Script::Rights | Script::Nothing => OwnedReply::List(Vec::new()),
        }
    }
}

fn commit(redis: &mut Redis, now: i64, keys: &[&[u8]], words: &[&[u8]]) -> OwnedReply {
    let mut meta = Meta::of(redis, keys[1]);
    let value = redis.get(keys[0]).map(<[u8]>::to_vec);
    let list = keys.get(2).copied();
    let waiting = list.and_then(|list| redis.list(list)).map_or(0, |list| list.len());
    let answer = |meta: &Meta, verdict: &str, standing: Option<Vec<u8>>| {
        let mut answer = meta.answer(now);
        answer.push(OwnedReply::Text(verdict.as_bytes().to_vec()));
        answer.push(standing.map_or(OwnedReply::Nil, OwnedReply::Text));
        OwnedReply::List(answer)
    };
    let head = |value: &[u8]| value[..value.len().min(12)].to_vec();
    let mut ids = Vec::new();
    if let Some(value) = &value {
        let count = usize::from(value.get(12).copied().unwrap_or(0)).min(4);
        ids = value[value.len().min(13)..value.len().min(13 + 8 * count)].to_vec();
        if ids.chunks(8).any(|id| id == words[1]) {
            let is_last = head(value) == words[4];
            return answer(&meta, "done", (!is_last).then(|| value.clone()));
        }
    }
    if meta.epoch < 0 || meta.phase == b"b" {
        return answer(&meta, "lost", None);
    }
    if now > number(words[3]) || number(words[2]) > now + 100 {
        return answer(&meta, "late", None);
    }
    let epoch = u32::from_be_bytes(words[4][..4].try_into().expect("a revision"));
    if i64::from(epoch) != meta.epoch || value.as_deref().map(head).unwrap_or_default() != words[0]
    {
        return answer(&meta, "moved", value);
    }
    let records = match list {
        Some(_) => words.len() - 10,
        None => parse(words[9]).expect("a count"),
    };
    if list.is_some() && waiting + records > parse::<usize>(words[9]).expect("a bound") {
        return answer(&meta, "full", None);
    }
    if !words[7].is_empty() {
        redis.published.push((words[7].to_vec(), [words[4], words[8]].concat()));
    }
    if let Some(list) = list {
        for (record, place) in words[10..].iter().zip(1_u64..) {
            let number = meta.counter.cast_unsigned() + place;
            let entry = [&epoch.to_be_bytes()[..], &number.to_be_bytes(), record].concat();
            redis.push(list, entry);
        }
    }
    meta.counter += i64::try_from(records).expect("few records");
    redis.set_field(keys[1], b"c", meta.counter.to_string().as_bytes());
    let ids = [words[1], &ids[..ids.len().min(24)]].concat();
    let count = u8::try_from(ids.len() / 8).expect("four at most");
    let new = [words[4], &[count], &ids, words[5]].concat();
    redis.commits.push((keys[0].to_vec(), new.clone(), !words[7].is_empty()));
    redis.set(keys[0], new, is_forever(words[6], now));
    answer(&meta, "done", None)
}

fn fill(redis: &mut Redis, now: i64, keys: &[&[u8]], words: &[&[u8]]) -> OwnedReply {
    let meta = Meta::of(redis, keys[1]);
    let standing = redis.get(keys[0]).map(<[u8]>::to_vec);
    let may_write =
        standing.as_ref().is_none_or(|standing| standing.len() >= 13 && &standing[..12] < words[0]);
    let value = if may_write {
        let new = [words[0], &[0], words[1]].concat();
        redis.set(keys[0], new.clone(), is_forever(words[2], now));
        new
    } else {
        standing.expect("a missing one is written")
    };
    let mut answer = meta.answer(now);
    answer.push(OwnedReply::Text(value));
    OwnedReply::List(answer)
}

fn heartbeat(redis: &mut Redis, now: i64, key: &[u8], node: &[u8]) -> OwnedReply {
    redis.set_field(key, node, now.to_string().as_bytes());
    let nodes = redis.fields(key);
    for (node, at) in &nodes {
        if now - parse(at).unwrap_or(0) > 86_400_000 {
            redis.delete_field(key, node);
        }
    }
    let nodes = nodes.into_iter().flat_map(|(node, at)| [node, at]).collect();
    OwnedReply::List(vec![OwnedReply::Int(now), texts(nodes)])
}

fn fence(redis: &mut Redis, key: &[u8], epoch: &[u8]) -> OwnedReply {
    if redis.field(key, b"e") != Some(epoch) {
        return OwnedReply::Int(0);
    }
    redis.set_field(key, b"s", b"b");
    redis.set_field(key, b"h", b"1");
    OwnedReply::Int(1)
}

fn begin(redis: &mut Redis, key: &[u8], words: &[&[u8]]) -> OwnedReply {
    if redis.field(key, b"e").unwrap_or_default() != words[1] {
        return OwnedReply::Int(0);
    }
    redis.delete(key);
    let (zero, barrier) = (b"0".as_slice(), b"b".as_slice());
    for (name, value) in [(b"e", words[0]), (b"c", zero), (b"s", barrier), (b"x", words[2])] {
        redis.set_field(key, name, value);
    }
    if !words[3].is_empty() {
        redis.set_field(key, b"v", words[3]);
    }
    OwnedReply::Int(1)
}

fn doubt(redis: &mut Redis, key: &[u8], words: &[&[u8]]) -> OwnedReply {
    if redis.field(key, b"e") != Some(words[0]) {
        return OwnedReply::Int(0);
    }
    redis.set_field(key, b"v", words[1]);
    OwnedReply::Int(1)
}

fn advance(redis: &mut Redis, key: &[u8], words: &[&[u8]]) -> OwnedReply {
    let is_there = redis.field(key, b"e") == Some(words[0])
        && redis.field(key, b"s") == Some(words[1])
        && redis.field(key, b"h").is_none();
    if !is_there {
        return OwnedReply::Int(0);
    }
    match words[2] {
        b"" => redis.delete_field(key, b"s"),
        next => {
            redis.set_field(key, b"s", next);
        }
    }
    OwnedReply::Int(1)
}

fn lead(redis: &mut Redis, now: i64, key: &[u8], words: &[&[u8]]) -> OwnedReply {
    if redis.get(key).is_some_and(|holder| holder != words[0]) {
        return OwnedReply::Int(0);
    }
    if words[1] == b"0" {
        redis.delete(key);
        return OwnedReply::Int(0);
    }
    redis.set(key, words[0].to_vec(), Some(now + number(words[1])));
    OwnedReply::Int(1)
}

fn refill(redis: &mut Redis, now: i64, key: &[u8], words: &[&[u8]]) -> OwnedReply {
    if words[2] == b"0" {
        redis.prolong(key, now + 1_576_800_000_000);
    }
    let may_write = match redis.get(key) {
        Some(standing) => standing.len() >= 13 && &standing[..12] < words[0],
        None => words[3] != b"1",
    };
    if may_write {
        let new = [words[0], &[0], words[1]].concat();
        redis.set(key, new, is_forever(words[2], now));
    }
    OwnedReply::Int(i64::from(may_write))
}

fn trim(redis: &mut Redis, key: &[u8], words: &[&[u8]]) -> OwnedReply {
    let most: usize = parse(words[1]).expect("a count");
    let entries = redis.list(key).into_iter().flatten().take(most);
    let head = |entry: &&Vec<u8>| entry.len() < 12 || &entry[..12] <= words[0];
    let count = entries.take_while(head).count();
    redis.trim(key, count);
    OwnedReply::Int(i64::try_from(count).expect("few entries"))
}

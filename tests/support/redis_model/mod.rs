//! A model of the one Redis that nodes share: keys of four types, and the commands that nodes send,
//! for the simulator. What the scripts mean is in `scripts`. Knows nothing of connections and of
//! time: both are the caller's. A test in `tests/stores` holds it against the real one.

mod scripts;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use nudged_redis::request::OwnedReply;
use nudged_redis::scripts::hash_of;

use scripts::Script;

/// Words of a command.
pub type Words = Vec<Vec<u8>>;

/// What a key holds.
#[derive(Clone, Debug)]
pub enum Held {
    /// A text.
    Text(Vec<u8>),
    /// Fields.
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
    /// A list.
    List(VecDeque<Vec<u8>>),
    /// A set.
    Set(BTreeSet<Vec<u8>>),
}

/// Everything that a restart may keep.
#[derive(Clone, Default)]
pub struct Data {
    /// Keys and what they hold.
    pub keys: BTreeMap<Vec<u8>, Held>,
    expires: BTreeMap<Vec<u8>, i64>,
}

/// The server.
#[derive(Default)]
pub struct Redis {
    /// What it holds.
    pub data: Data,
    /// Which life of the server this is.
    pub run: u64,
    /// Whether it may evict keys.
    pub is_evicting: bool,
    /// How many it has evicted in this life.
    pub evicted: u64,
    scripts: BTreeSet<[u8; 40]>,
    /// What was published and not taken: channel and message.
    pub published: Vec<(Vec<u8>, Vec<u8>)>,
    /// Commits that were made and not taken: key, value, whether it was told.
    pub commits: Vec<(Vec<u8>, Vec<u8>, bool)>,
}

fn integer(count: usize) -> OwnedReply {
    OwnedReply::Int(i64::try_from(count).expect("counts fit"))
}

fn number<T: std::str::FromStr>(word: &[u8]) -> Option<T> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

fn text(text: &str) -> OwnedReply {
    OwnedReply::Text(text.as_bytes().to_vec())
}

fn wrong_type() -> OwnedReply {
    OwnedReply::Error(
        "WRONGTYPE Operation against a key holding the wrong kind of value".to_owned(),
    )
}

impl Redis {
    /// An empty server.
    pub fn new() -> Redis {
        Redis { run: 1, ..Redis::default() }
    }

    /// The process ends and another begins, on this.
    pub fn restart(&mut self, data: Data) {
        self.data = data;
        self.run += 1;
        self.evicted = 0;
        self.scripts.clear();
        self.published.clear();
    }

    /// Executes a command at a time by the server's clock.
    pub fn execute(&mut self, now: i64, words: &[Vec<u8>]) -> OwnedReply {
        let due = |(_, at): &(&Vec<u8>, &i64)| **at <= now;
        while let Some(key) = self.data.expires.iter().find(due).map(|(key, _)| key.clone()) {
            self.data.expires.remove(&key);
            self.data.keys.remove(&key);
        }
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        match words.as_slice() {
            [b"PING"] => text("PONG"),
            [b"HELLO", ..] => OwnedReply::List(vec![text("proto"), OwnedReply::Int(3)]),
            [b"INFO", sections @ ..] => self.info(sections),
            [b"CONFIG", b"GET", ..] => OwnedReply::List(
                ["appendfsync", "everysec", "appendonly", "yes"].into_iter().map(text).collect(),
            ),
            [b"SCRIPT", b"LOAD", body] => {
                let hash = hash_of(std::str::from_utf8(body).expect("scripts are text"));
                self.scripts.insert(hash);
                OwnedReply::Text(hash.to_vec())
            }
            [b"EVALSHA", hash, rest @ ..] => {
                let known = self.scripts.iter().find(|known| known.as_slice() == *hash).copied();
                match known {
                    Some(hash) => self.evaluate(now, &hash, rest),
                    None => OwnedReply::Error("NOSCRIPT No matching script.".to_owned()),
                }
            }
            [b"EVAL", body, rest @ ..] => {
                let hash = hash_of(std::str::from_utf8(body).expect("scripts are text"));
                self.scripts.insert(hash);
                self.evaluate(now, &hash, rest)
            }
            words => self.plain(now, words),
        }
    }

    fn evaluate(&mut self, now: i64, hash: &[u8; 40], rest: &[&[u8]]) -> OwnedReply {
        let script = Script::of(hash).expect("a script of ours");
        let count: usize = number(rest[0]).expect("a count of keys");
        let (keys, arguments) = rest[1..].split_at(count);
        script.run(self, now, keys, arguments)
    }

    fn info(&self, sections: &[&[u8]]) -> OwnedReply {
        let policy = if self.is_evicting { "allkeys-lru" } else { "noeviction" };
        let section = |section: &&[u8]| match *section {
            b"server" => format!("redis_version:7.0.15\r\nrun_id:run{}\r\n", self.run),
            b"memory" => format!("maxmemory_policy:{policy}\r\n"),
            b"stats" => format!("evicted_keys:{}\r\n", self.evicted),
            _ => String::new(),
        };
        text(&sections.iter().map(section).collect::<String>())
    }

    /// A key goes for want of memory.
    pub fn evict(&mut self, key: &[u8]) {
        self.evicted += u64::from(self.delete(key));
    }

    fn plain(&mut self, now: i64, words: &[&[u8]]) -> OwnedReply {
        match words {
            [b"GET", key] => {
                self.get(key).map_or(OwnedReply::Nil, |held| OwnedReply::Text(held.to_vec()))
            }
            [b"SET", key, value] => {
                self.set(key, value.to_vec(), None);
                text("OK")
            }
            [b"SET", key, value, b"PX", ms] => {
                let ms: i64 = number(ms).expect("a time");
                self.set(key, value.to_vec(), Some(now + ms));
                text("OK")
            }
            [b"DEL", key] => integer(usize::from(self.delete(key))),
            [b"HMGET", key, fields @ ..] => {
                let held = self.hash(key);
                let field = |name: &&[u8]| held.and_then(|held| held.get(*name));
                let answer = |value: Option<&Vec<u8>>| match value {
                    Some(value) => OwnedReply::Text(value.clone()),
                    None => OwnedReply::Nil,
                };
                OwnedReply::List(fields.iter().map(field).map(answer).collect())
            }
            [b"HSET", key, pairs @ ..] => {
                let count = pairs.chunks(2).filter(|pair| self.set_field(key, pair[0], pair[1]));
                integer(count.count())
            }
            [b"SADD", key, members @ ..] => self.add(key, members),
            [b"SMEMBERS", key] => match self.data.keys.get(*key) {
                None => OwnedReply::List(Vec::new()),
                Some(Held::Set(set)) => {
                    OwnedReply::List(set.iter().cloned().map(OwnedReply::Text).collect())
                }
                Some(_) => wrong_type(),
            },
            [b"EXPIRE", key, seconds] => {
                let seconds: i64 = number(seconds).expect("a time");
                self.data.expires.insert(key.to_vec(), now + 1_000 * seconds);
                OwnedReply::Int(1)
            }
            [b"LLEN", key] => integer(self.list(key).map_or(0, VecDeque::len)),
            [b"LRANGE", key, b"0", last] => {
                let count = number::<usize>(last).expect("a place") + 1;
                let list = self.list(key).into_iter().flatten().take(count);
                OwnedReply::List(list.cloned().map(OwnedReply::Text).collect())
            }
            [b"SCAN", cursor, b"MATCH", _, b"COUNT", count] => self.scan(cursor, count),
            other => unreachable!("nodes do not send {other:?}"),
        }
    }

    /// Keys of users in the order of their hashes, which is the cursor: keys that come and go do
    /// not move the others.
    fn scan(&self, cursor: &[u8], count: &[u8]) -> OwnedReply {
        let from: u32 = number(cursor).expect("a cursor");
        let count: usize = number(count).expect("a count");
        let is_user = |key: &&Vec<u8>| {
            key.starts_with(b"nudged:{p") && key.windows(4).any(|part| part == b"}:u:")
        };
        let hashed = |key: &Vec<u8>| (crc32c::crc32c(key).max(1), key.clone());
        let mut keys: Vec<_> = self.data.keys.keys().filter(is_user).map(hashed).collect();
        keys.sort_unstable();
        keys.retain(|(hash, _)| *hash >= from);
        let next = keys.get(count).map_or(0, |(hash, _)| *hash);
        let keys = keys.into_iter().take_while(|(hash, _)| next == 0 || *hash < next);
        let keys = keys.map(|(_, key)| OwnedReply::Text(key)).collect();
        OwnedReply::List(vec![text(&next.to_string()), OwnedReply::List(keys)])
    }

    fn add(&mut self, key: &[u8], members: &[&[u8]]) -> OwnedReply {
        let empty = || Held::Set(BTreeSet::new());
        let Held::Set(set) = self.data.keys.entry(key.to_vec()).or_insert_with(empty) else {
            return wrong_type();
        };
        integer(members.iter().filter(|member| set.insert(member.to_vec())).count())
    }

    /// The text of a key.
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        match self.data.keys.get(key)? {
            Held::Text(text) => Some(text),
            other => panic!("{other:?} is no text"),
        }
    }

    /// Puts a text, for ever or until a time.
    pub fn set(&mut self, key: &[u8], value: Vec<u8>, until: Option<i64>) {
        self.data.keys.insert(key.to_vec(), Held::Text(value));
        match until {
            Some(until) => self.data.expires.insert(key.to_vec(), until),
            None => self.data.expires.remove(key),
        };
    }

    /// Puts a bounded life's end off.
    pub fn prolong(&mut self, key: &[u8], until: i64) {
        if let Some(end) = self.data.expires.get_mut(key) {
            *end = until;
        }
    }

    /// Removes a key; whether it was there.
    pub fn delete(&mut self, key: &[u8]) -> bool {
        self.data.expires.remove(key);
        self.data.keys.remove(key).is_some()
    }

    fn hash(&self, key: &[u8]) -> Option<&BTreeMap<Vec<u8>, Vec<u8>>> {
        match self.data.keys.get(key)? {
            Held::Hash(fields) => Some(fields),
            other => panic!("{other:?} has no fields"),
        }
    }

    /// A field of a hash.
    pub fn field(&self, key: &[u8], name: &[u8]) -> Option<&[u8]> {
        self.hash(key)?.get(name).map(Vec::as_slice)
    }

    /// All fields of a hash.
    pub fn fields(&self, key: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.hash(key).cloned().into_iter().flatten().collect()
    }

    /// Sets a field; whether it is new.
    pub fn set_field(&mut self, key: &[u8], name: &[u8], value: &[u8]) -> bool {
        let empty = || Held::Hash(BTreeMap::new());
        let Held::Hash(fields) = self.data.keys.entry(key.to_vec()).or_insert_with(empty) else {
            panic!("it has no fields");
        };
        fields.insert(name.to_vec(), value.to_vec()).is_none()
    }

    /// Removes a field.
    pub fn delete_field(&mut self, key: &[u8], name: &[u8]) {
        if let Some(Held::Hash(fields)) = self.data.keys.get_mut(key) {
            fields.remove(name);
        }
    }

    /// A list; `None` for an empty one.
    pub fn list(&self, key: &[u8]) -> Option<&VecDeque<Vec<u8>>> {
        match self.data.keys.get(key)? {
            Held::List(list) => Some(list),
            other => panic!("{other:?} is no list"),
        }
    }

    /// Appends to a list.
    pub fn push(&mut self, key: &[u8], entry: Vec<u8>) {
        let empty = || Held::List(VecDeque::new());
        let Held::List(list) = self.data.keys.entry(key.to_vec()).or_insert_with(empty) else {
            panic!("it is no list");
        };
        list.push_back(entry);
    }

    /// Drops the first entries of a list.
    pub fn trim(&mut self, key: &[u8], count: usize) {
        let Some(Held::List(list)) = self.data.keys.get_mut(key) else { return };
        list.drain(..count);
        if list.is_empty() {
            self.data.keys.remove(key);
        }
    }
}

/// Appends an answer as the newer protocol has it.
pub fn write_answer(answer: &OwnedReply, out: &mut Vec<u8>) {
    match answer {
        OwnedReply::Nil => out.extend_from_slice(b"_\r\n"),
        OwnedReply::Int(number) => out.extend_from_slice(format!(":{number}\r\n").as_bytes()),
        OwnedReply::Text(text) => write_text(text, out),
        OwnedReply::List(list) => {
            out.extend_from_slice(format!("*{}\r\n", list.len()).as_bytes());
            list.iter().for_each(|answer| write_answer(answer, out));
        }
        OwnedReply::Error(text) => out.extend_from_slice(format!("-{text}\r\n").as_bytes()),
    }
}

/// Appends a message to a subscriber.
pub fn write_push(words: &[&[u8]], out: &mut Vec<u8>) {
    out.extend_from_slice(format!(">{}\r\n", words.len()).as_bytes());
    words.iter().for_each(|word| write_text(word, out));
}

fn write_text(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("${}\r\n", text.len()).as_bytes());
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}

/// Takes the first whole command off `input`.
pub fn take_command(input: &mut Vec<u8>) -> Option<Words> {
    let mut at = 0;
    let count = take_count(input, &mut at, b'*')?;
    let mut words = Vec::with_capacity(count);
    for _ in 0..count {
        let bytes = take_count(input, &mut at, b'$')?;
        words.push(input.get(at..at + bytes)?.to_vec());
        at += bytes + 2;
    }
    if at > input.len() {
        return None;
    }
    input.drain(..at);
    Some(words)
}

fn take_count(input: &[u8], at: &mut usize, sign: u8) -> Option<usize> {
    let rest = &input[(*at).min(input.len())..];
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    assert_eq!(rest[0], sign, "commands are lists of texts");
    let count = number(&rest[1..end - 1]).expect("a count");
    *at += end + 1;
    Some(count)
}

//! Redis: a hash of entries, and one of operators' tokens, by which other nodes learn of them
//! within a second, and from which they learn again after each new run of Redis, as long as one
//! node remembers. Asked for one field at each look; read whole where that has changed.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Destination;
use super::nodes::SharedViews;
use crate::publisher::Publisher;
use nudged_base::limits::{
    CATALOG_REDIS_TIMEOUT_MS, OVERRIDES_ENDED_MAX, OVERRIDES_MAX, OVERRIDES_PUT_MAX,
    OVERRIDES_REDIS_POLL_MS,
};
use nudged_base::telemetry::log::Message;
use nudged_config::Config;
use nudged_domain::catalog::overrides::{Override, OverridePlace, decode, encode};
use nudged_domain::operators::{self, OperatorToken};
use nudged_redis::link::LinkSettings;
use nudged_redis::request::{OwnedReply, RedisError};
use nudged_runtime::redis_client::BlockingRedis;

const KEY: &[u8] = b"nudged:overrides";
const TOKENS_KEY: &[u8] = b"nudged:tokens";
/// The field that differs after each change.
const MARK: &[u8] = b"#";
const SCRIPT: &str = include_str!("overrides.lua");

/// The entries as Redis has them.
pub(super) struct SharedOverrides {
    redis: BlockingRedis,
    /// The mark of what was read last; none at first, and where Redis has nothing.
    seen: Option<Vec<u8>>,
    /// The same of the tokens.
    seen_tokens: Option<Vec<u8>>,
    /// What nodes say that they decide by.
    views: SharedViews,
}

impl SharedOverrides {
    /// What `[redis] url` names; `None` without it. Does not connect.
    pub(super) fn of(config: &Config) -> Option<SharedOverrides> {
        let url = config.redis.url.as_ref()?;
        let (address, settings) = LinkSettings::of_url(url.expose()).ok()?;
        let settings = LinkSettings { name: "nudged-overrides".to_owned(), ..settings };
        let timeout = Duration::from_millis(CATALOG_REDIS_TIMEOUT_MS);
        let redis = BlockingRedis::new(address, settings, timeout);
        let views = SharedViews::default();
        Some(SharedOverrides { redis, seen: None, seen_tokens: None, views })
    }

    /// Every entry. A field that is no entry is passed over.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub(super) fn load(&mut self) -> Result<Vec<Override>, RedisError> {
        self.load_hash(KEY, decode)
    }

    /// Every token of an operator. A field that is none is passed over.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub(super) fn load_tokens(&mut self) -> Result<Vec<OperatorToken>, RedisError> {
        self.load_hash(TOKENS_KEY, operators::decode)
    }

    fn load_hash<T>(
        &mut self,
        key: &[u8],
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, RedisError> {
        let answer = self.redis.ask(&[b"HGETALL", key])?;
        let OwnedReply::List(words) = answer else { return Ok(Vec::new()) };
        let texts = words.chunks_exact(2).filter_map(|pair| match pair {
            [OwnedReply::Text(field), OwnedReply::Text(text)] if field != MARK => {
                read(str::from_utf8(text).ok()?)
            }
            _ => None,
        });
        Ok(texts.collect())
    }

    /// What differs after each change of a hash.
    fn mark_of(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, RedisError> {
        Ok(match self.redis.ask(&[b"HGET", key, MARK])? {
            OwnedReply::Text(mark) => Some(mark),
            _ => None,
        })
    }

    /// Keeps Redis and this node alike, until it is stopped.
    pub(super) fn run(mut self, destination: Destination) {
        while !destination.is_stopped() {
            // First what locks somebody out.
            let round = self.round_of_tokens(&destination);
            match round.and_then(|()| self.round(&destination)) {
                Ok(()) => {
                    destination.succeeded();
                    self.tell_views(&destination.publisher);
                }
                Err(error) => {
                    // A server that rests was told of when it failed.
                    (self.seen, self.seen_tokens) = (None, None);
                    destination.publisher.redis_failed(&error);
                    destination.failed(Message::OverridesWait, &error.to_string());
                    destination.rest(Duration::from_millis(OVERRIDES_REDIS_POLL_MS));
                }
            }
            destination.wait(Duration::from_millis(OVERRIDES_REDIS_POLL_MS));
        }
    }

    /// Says what this node decides by, and hears it of others: nothing rests on it.
    fn tell_views(&mut self, publisher: &Publisher) {
        if let Err(error) = self.views.round(&mut self.redis, publisher) {
            self.views = SharedViews::default();
            publisher.redis_failed(&error);
        }
    }

    /// Takes in what is new in Redis, and puts there what it lacks.
    fn round(&mut self, destination: &Destination) -> Result<(), RedisError> {
        let mark = self.mark_of(KEY)?;
        if mark.is_none() || mark != self.seen {
            let entries = self.load()?;
            self.forget_missing(destination, &entries);
            destination.take(&entries);
            self.trim(destination, &entries)?;
            self.seen = mark;
        }
        loop {
            let due = destination.due(OVERRIDES_PUT_MAX);
            if due.is_empty() {
                return Ok(());
            }
            self.put(&due)?;
            destination.mark(&due);
        }
    }

    /// The same of tokens.
    fn round_of_tokens(&mut self, destination: &Destination) -> Result<(), RedisError> {
        let mark = self.mark_of(TOKENS_KEY)?;
        if mark.is_none() || mark != self.seen_tokens {
            let tokens = self.load_tokens()?;
            // What Redis has lost is put again.
            destination.publisher.with_tokens(|all| all.unmark_others(destination.place, &tokens));
            destination.publisher.take_tokens(&tokens, destination.place);
            self.seen_tokens = mark;
        }
        let due = destination.due_tokens();
        if due.is_empty() {
            return Ok(());
        }
        let rows = due
            .iter()
            .map(|token| (token.id.to_string(), operators::encode(token), token.end.is_some()));
        self.put_hash(TOKENS_KEY, rows)?;
        destination.publisher.mark_tokens(&due, destination.place);
        Ok(())
    }

    /// What Redis has lost is put again: it may be another run.
    fn forget_missing(&self, destination: &Destination, entries: &[Override]) {
        let there: BTreeSet<_> = entries.iter().map(|entry| entry.id).collect();
        destination.publisher.with_overrides(|overrides| {
            let held = overrides.all().filter(|held| held.is_in(OverridePlace::Redis));
            let gone = held.map(|held| held.entry.id).filter(|id| !there.contains(id));
            for id in gone.collect::<Vec<_>>() {
                overrides.unmark(id, OverridePlace::Redis);
            }
        });
    }

    fn put(&mut self, entries: &[Override]) -> Result<(), RedisError> {
        let rows =
            entries.iter().map(|entry| (entry.id.to_string(), encode(entry), entry.end.is_some()));
        self.put_hash(KEY, rows)
    }

    fn put_hash(
        &mut self,
        key: &[u8],
        rows: impl Iterator<Item = (String, String, bool)>,
    ) -> Result<(), RedisError> {
        let mut mark = [0; 8];
        // Without the system's random numbers others learn of it by the next change.
        let _ = getrandom::fill(&mut mark);
        let mut words: Vec<Vec<u8>> =
            vec![format!("{:016x}", u64::from_le_bytes(mark)).into_bytes()];
        for (id, text, is_ended) in rows {
            words.extend([id.into_bytes(), text.into_bytes()]);
            words.push(if is_ended { b"1".to_vec() } else { b"0".to_vec() });
        }
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        self.redis.script(SCRIPT, &[key], &words).map(drop)
    }

    /// Drops ended entries that this node has forgotten, since SQL remembers them, where Redis has
    /// more of them than it should.
    fn trim(&mut self, destination: &Destination, entries: &[Override]) -> Result<(), RedisError> {
        if entries.len() <= OVERRIDES_MAX.min(4 * OVERRIDES_ENDED_MAX) {
            return Ok(());
        }
        let known: BTreeSet<_> = destination
            .publisher
            .with_overrides(|overrides| overrides.all().map(|held| held.entry.id).collect());
        let forgotten = entries.iter().filter(|entry| entry.end.is_some());
        let forgotten = forgotten.filter(|entry| !known.contains(&entry.id));
        let ids: Vec<String> = forgotten.map(|entry| entry.id.to_string()).collect();
        for ids in ids.chunks(OVERRIDES_PUT_MAX) {
            let mut words: Vec<&[u8]> = vec![b"HDEL", KEY];
            words.extend(ids.iter().map(String::as_bytes));
            self.redis.ask(&words)?;
        }
        Ok(())
    }
}

//! Redis: a hash of entries, and one of operators' tokens, by which other nodes learn of them
//! within a second, and from which they learn again after each new run of Redis, as long as one
//! node remembers. Asked for one field at each look; read whole where that has changed.

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::time::Duration;

use super::Destination;
use super::entry::CarriedEntry;
use super::nodes::SharedViews;
use crate::publisher::Publisher;
use nudged_base::limits::{
    CATALOG_REDIS_TIMEOUT_MS, OVERRIDES_ENDED_MAX, OVERRIDES_MAX, OVERRIDES_PUT_MAX,
    OVERRIDES_REDIS_POLL_MS,
};
use nudged_base::telemetry::log::Message;
use nudged_config::Config;
use nudged_domain::catalog::overrides::Override;
use nudged_domain::operators::OperatorToken;
use nudged_redis::link::LinkSettings;
use nudged_redis::request::{OwnedReply, RedisError};
use nudged_runtime::redis_client::BlockingRedis;

/// The field that differs after each change.
const MARK: &[u8] = b"#";
const SCRIPT: &str = include_str!("overrides.lua");

/// The entries as Redis has them.
pub(super) struct SharedOverrides {
    redis: BlockingRedis,
    overrides: SharedHash<Override>,
    tokens: SharedHash<OperatorToken>,
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
        let (overrides, tokens) = (SharedHash::default(), SharedHash::default());
        Some(SharedOverrides { redis, overrides, tokens, views })
    }

    /// Every entry of a kind. A field that is none is passed over.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub(super) fn load<E: CarriedEntry>(&mut self) -> Result<Vec<E>, RedisError> {
        load(&mut self.redis)
    }

    /// Keeps Redis and this node alike, until it is stopped.
    pub(super) fn run(mut self, destination: Destination) {
        while !destination.is_stopped() {
            match self.round(&destination) {
                Ok(()) => {
                    destination.succeeded();
                    self.tell_views(&destination.publisher);
                }
                Err(error) => {
                    // A server that rests was told of when it failed.
                    (self.overrides.seen, self.tokens.seen) = (None, None);
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
        // First what locks somebody out.
        self.tokens.round(&mut self.redis, destination)?;
        if let Some(entries) = self.overrides.round(&mut self.redis, destination)? {
            self.trim(destination, &entries)?;
        }
        Ok(())
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
            let mut words: Vec<&[u8]> = vec![b"HDEL", Override::KEY];
            words.extend(ids.iter().map(String::as_bytes));
            self.redis.ask(&words)?;
        }
        Ok(())
    }
}

/// One hash, as this node has seen it.
struct SharedHash<E> {
    /// The mark of what was read last; none at first, and where Redis has nothing.
    seen: Option<Vec<u8>>,
    entries: PhantomData<E>,
}

impl<E> Default for SharedHash<E> {
    fn default() -> SharedHash<E> {
        SharedHash { seen: None, entries: PhantomData }
    }
}

impl<E: CarriedEntry> SharedHash<E> {
    /// Takes in what is new, and puts what is lacking; gives what was read, if it was.
    fn round(
        &mut self,
        redis: &mut BlockingRedis,
        destination: &Destination,
    ) -> Result<Option<Vec<E>>, RedisError> {
        let mark = match redis.ask(&[b"HGET", E::KEY, MARK])? {
            OwnedReply::Text(mark) => Some(mark),
            _ => None,
        };
        let mut read = None;
        if mark.is_none() || mark != self.seen {
            let entries = load(redis)?;
            // What Redis has lost is put again: it may be another run.
            E::take_whole(destination, &entries);
            read = Some(entries);
            self.seen = mark;
        }
        loop {
            let due = E::due(destination, OVERRIDES_PUT_MAX);
            if due.is_empty() {
                return Ok(read);
            }
            put(redis, &due)?;
            E::mark(destination, &due);
        }
    }
}

fn load<E: CarriedEntry>(redis: &mut BlockingRedis) -> Result<Vec<E>, RedisError> {
    let answer = redis.ask(&[b"HGETALL", E::KEY])?;
    let OwnedReply::List(words) = answer else { return Ok(Vec::new()) };
    let entries = words.chunks_exact(2).filter_map(|pair| match pair {
        [OwnedReply::Text(field), OwnedReply::Text(text)] if field != MARK => {
            E::decode(str::from_utf8(text).ok()?)
        }
        _ => None,
    });
    Ok(entries.collect())
}

fn put<E: CarriedEntry>(redis: &mut BlockingRedis, entries: &[E]) -> Result<(), RedisError> {
    let mut mark = [0; 8];
    // Without the system's random numbers others learn of it by the next change.
    let _ = getrandom::fill(&mut mark);
    let mut words = vec![format!("{:016x}", u64::from_le_bytes(mark))];
    for entry in entries {
        let is_ended = if entry.is_ended() { "1" } else { "0" };
        words.extend([entry.id_text(), entry.encode(), is_ended.to_owned()]);
    }
    let words: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
    redis.script(SCRIPT, &[E::KEY], &words).map(drop)
}

//! The signing keys that all nodes of one database share, so that every node takes every node's
//! tokens. The table `signing_keys` is their home; Redis has a copy for a start without SQL, and
//! the data directory one for a start without either.
//!
//! A node that finds no shared keys offers its own newest one, so that tokens which it signed while
//! it was alone stay good. Of several that do so at once one wins, and all take its key. A node of
//! its own keeps its keys in its database too.

use std::path::Path;

use super::signing_keys::{self, KeysError, is_same, of_text, to_text};
use nudged_api::token::Secret;
use nudged_base::telemetry::log::{Log, Message};
use nudged_base::time::WallMs;
use nudged_redis::request::{OwnedReply, RedisError};
use nudged_runtime::redis_client::BlockingRedis;
use nudged_runtime::threads::log_writer;
use nudged_store::{Store, StoreError, StoredKey};

/// The copy in Redis: the lines of the file.
const REDIS_KEY: &[u8] = b"nudged:keys";

/// Reads the keys that all nodes share, and keeps them in the data directory; the directory's own
/// where the store is of one node. Makes the first one where there is none anywhere. `sql` is the
/// store, and whether it answers: else it is not asked.
///
/// # Errors
/// Where the data directory can't be used. SQL and Redis may both be away: the node goes on with
/// the keys of its directory.
pub fn load(
    directory: &Path,
    sql: (&mut Store, bool),
    redis: Option<&mut BlockingRedis>,
    now: WallMs,
    log: &Log,
) -> Result<Vec<Secret>, KeysError> {
    let (store, is_there) = sql;
    if store.shared().is_none() {
        return of_one_node(directory, store, now);
    }
    let own = signing_keys::read(directory)?.unwrap_or_default();
    let offered = match newest(&own) {
        Some(secret) => secret.clone(),
        None => signing_keys::fresh(now)
            .map_err(|source| KeysError::File { path: directory.to_owned(), source })?,
    };
    let shared = ask(is_there.then_some(store), redis, &offered, log);
    let keys = match &shared {
        Some(shared) => settle(&own, shared, now),
        None if newest(&own).is_none() => own.iter().cloned().chain([offered]).collect(),
        None => own.clone(),
    };
    if to_text(&keys) != to_text(&own) {
        signing_keys::write(directory, &keys)?;
    }
    Ok(keys)
}

/// The keys of a node that shares none: those of its file and of its database, which both have all
/// of them afterwards.
fn of_one_node(directory: &Path, store: &mut Store, now: WallMs) -> Result<Vec<Secret>, KeysError> {
    let stored = store.own_signing_keys()?;
    let before = stored.clone();
    let keys = signing_keys::load(directory, now, stored.into_iter().map(secret_of).collect())?;
    let after: Vec<StoredKey> = keys.iter().map(stored_of).collect();
    if after != before {
        store.replace_own_signing_keys(&after)?;
    }
    Ok(keys)
}

/// A key as it is stored.
pub fn stored_of(secret: &Secret) -> StoredKey {
    let Secret { id, created_at, bytes: secret, moved_at } = secret.clone();
    StoredKey { id, created_at, secret, moved_at }
}

/// A key as it signs and verifies.
pub fn secret_of(key: StoredKey) -> Secret {
    let StoredKey { id, created_at, secret: bytes, moved_at } = key;
    Secret { id, created_at, bytes, moved_at }
}

/// Asks SQL, and Redis where SQL can't be asked. What SQL says is copied to Redis.
fn ask(
    store: Option<&mut Store>,
    redis: Option<&mut BlockingRedis>,
    offered: &Secret,
    log: &Log,
) -> Option<Vec<Secret>> {
    let log_error = |error: &str| log_writer::tell(log, Message::KeysNotShared, error);
    match store.map(|store| of_sql(store, offered)) {
        Some(Ok(shared)) => {
            let copied = redis.map(|redis| copy_to_redis(redis, &shared));
            if let Some(Err(error)) = copied {
                log_error(&error.to_string());
            }
            return Some(shared);
        }
        Some(Err(error)) => log_error(&error.to_string()),
        None => {}
    }
    let found = of_redis(redis?, offered);
    found.map_err(|error| log_error(&error.to_string())).ok().flatten()
}

fn of_sql(store: &mut Store, offered: &Secret) -> Result<Vec<Secret>, StoreError> {
    let Some(shared) = store.shared() else { return Ok(Vec::new()) };
    let keys = shared.signing_keys(&stored_of(offered))?;
    Ok(keys.into_iter().map(secret_of).collect())
}

/// Puts the shared keys into Redis, for a start without SQL.
///
/// # Errors
/// Where Redis does not take them.
pub fn copy_to_redis(redis: &mut BlockingRedis, shared: &[Secret]) -> Result<(), RedisError> {
    redis.ask(&[b"SET", REDIS_KEY, to_text(shared).as_bytes()]).map(drop)
}

/// The copy in Redis; the offered key is put there where there is none. `None` where what lies
/// there are no keys.
fn of_redis(
    redis: &mut BlockingRedis,
    offered: &Secret,
) -> Result<Option<Vec<Secret>>, RedisError> {
    let text = to_text(std::slice::from_ref(offered));
    redis.ask(&[b"SET", REDIS_KEY, text.as_bytes(), b"NX"])?;
    let OwnedReply::Text(text) = redis.ask(&[b"GET", REDIS_KEY])? else { return Ok(None) };
    let keys = std::str::from_utf8(&text).ok().and_then(|text| of_text(text).ok());
    Ok(keys.filter(|keys| keys.iter().any(|key| key.moved_at.is_none())))
}

/// What a node uses of its own keys and the shared ones, oldest first. Shared ones win; an own one
/// that nobody shares stays to verify what it signed, for 8 days from now on, but never signs.
pub fn settle(own: &[Secret], shared: &[Secret], now: WallMs) -> Vec<Secret> {
    let is_known = |secret: &&Secret| shared.iter().any(|known| is_same(known, secret));
    let rest = own.iter().filter(|secret| !is_known(secret)).cloned();
    let rest = rest.map(|own| Secret { moved_at: own.moved_at.or(Some(now)), ..own });
    let mut settled: Vec<Secret> = shared.iter().cloned().chain(rest).collect();
    settled.sort_by_key(|secret| (secret.created_at, secret.id));
    settled
}

/// The key that a node offers as the first shared one: its newest that signs.
pub fn newest(own: &[Secret]) -> Option<&Secret> {
    let signing = own.iter().filter(|secret| secret.moved_at.is_none());
    signing.max_by_key(|secret| (secret.created_at, secret.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nudged_base::time::WallMs;

    fn key(id: u32, at: i64, byte: u8) -> Secret {
        Secret { id, created_at: WallMs(at), bytes: [byte; 32], moved_at: None }
    }

    fn settled(own: &[Secret], shared: &[Secret]) -> Vec<(u32, u8)> {
        settle(own, shared, NOW).iter().map(|secret| (secret.id, secret.bytes[0])).collect()
    }

    const NOW: WallMs = WallMs(1_000);

    type Case<'a> = (&'a [Secret], &'a [Secret], &'a [(u32, u8)]);

    #[test]
    fn shared_keys_win_and_own_ones_only_verify() {
        let (old, young) = (key(1, 10, b'a'), key(2, 20, b'b'));
        let one = std::slice::from_ref(&old);
        let table: [Case<'_>; 7] = [
            (&[], &[key(7, 5, b's')], &[(7, b's')]),
            // The own newest key was taken as the first shared one.
            (&[old.clone(), young.clone()], &[key(2, 20, b'b')], &[(1, b'a'), (2, b'b')]),
            // Another node's key won.
            (one, &[key(7, 15, b's')], &[(1, b'a'), (7, b's')]),
            // Made alone while the others had theirs: it would sign what they can't verify.
            (one, &[key(7, 5, b's')], &[(7, b's'), (1, b'a')]),
            // Two made in one directory each have one id: both verify.
            (one, &[key(1, 15, b's')], &[(1, b'a'), (1, b's')]),
            // The one that was moved is the same key.
            (one, &[Secret { moved_at: Some(NOW), ..old.clone() }], &[(1, b'a')]),
            (&[young, old.clone()], &[], &[(1, b'a'), (2, b'b')]),
        ];
        for (own, shared, expected) in table {
            assert_eq!(settled(own, shared), expected);
            let settled = settle(own, shared, NOW);
            // What nobody shares never signs.
            let alone = settled.iter().filter(|key| !shared.iter().any(|one| is_same(one, key)));
            let mut alone = alone.into_iter();
            assert!(alone.all(|key| key.moved_at == Some(NOW)));
        }
    }

    #[test]
    fn the_newest_own_key_is_offered() {
        assert!(newest(&[]).is_none());
        let keys = [key(5, 10, b'a'), key(2, 30, b'b'), key(9, 20, b'c')];
        assert_eq!(newest(&keys).map(|secret| secret.id), Some(2));
    }
}

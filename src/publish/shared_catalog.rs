//! The copy of the catalog that nodes share in Redis: its version tells that there is something
//! new, its text is what a node starts with when SQL is away. SQL has the truth; what is here may
//! be lost and is put again. Two connections: one asks, one listens.
//!
//! Limits: [`CATALOG_REDIS_TIMEOUT_MS`] for each answer; a text of up to half of
//! `REDIS_BULK_BYTES_MAX` bytes, beyond which the version stands alone.

use std::time::Duration;

use nudged_base::limits::{CATALOG_REDIS_TIMEOUT_MS, REDIS_BULK_BYTES_MAX};
use nudged_config::Config;
use nudged_redis::link::LinkSettings;
use nudged_redis::request::{OwnedReply, RedisError};
use nudged_runtime::redis_client::BlockingRedis;
use nudged_store::StoredCatalog;

use super::catalog_copy;

/// The key, and the channel of its changes.
const KEY: &str = "nudged:catalog";
const SCRIPT: &str = include_str!("catalog.lua");

/// The catalog as Redis has it.
pub struct SharedCatalog {
    asking: BlockingRedis,
    listening: BlockingRedis,
}

impl SharedCatalog {
    /// What `[redis] url` names; `None` without it, or where it is none. Does not connect.
    pub fn of(config: &Config) -> Option<SharedCatalog> {
        let url = config.redis.url.as_ref()?;
        let (address, settings) = LinkSettings::of_url(url.expose()).ok()?;
        let settings = LinkSettings { name: "nudged-catalog".to_owned(), ..settings };
        let timeout = Duration::from_millis(CATALOG_REDIS_TIMEOUT_MS);
        let client = || BlockingRedis::new(address.clone(), settings.clone(), timeout);
        Some(SharedCatalog { asking: client(), listening: client() })
    }

    /// The version; `None` where Redis has no catalog.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub fn version(&mut self) -> Result<Option<u64>, RedisError> {
        let answer = self.asking.ask(&[b"HGET", KEY.as_bytes(), b"version"])?;
        let OwnedReply::Text(text) = answer else { return Ok(None) };
        Ok(str::from_utf8(&text).ok().and_then(|text| text.parse().ok()))
    }

    /// The catalog, where its text is there.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub fn load(&mut self) -> Result<Option<StoredCatalog>, RedisError> {
        let answer = self.asking.ask(&[b"HGET", KEY.as_bytes(), b"text"])?;
        let OwnedReply::Text(text) = answer else { return Ok(None) };
        Ok(str::from_utf8(&text).ok().and_then(catalog_copy::decode))
    }

    /// Puts a catalog where Redis has none or a lower version, and tells who listens. `wrong` is a
    /// higher version that SQL does not have any more.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub fn put(&mut self, version: u64, text: &str, wrong: Option<u64>) -> Result<(), RedisError> {
        let text = if text.len() > REDIS_BULK_BYTES_MAX / 2 { "" } else { text };
        let version = version.to_string();
        let wrong = wrong.map(|wrong| wrong.to_string()).unwrap_or_default();
        let arguments = [version.as_bytes(), text.as_bytes(), wrong.as_bytes()];
        self.asking.script(SCRIPT, &[KEY.as_bytes()], &arguments).map(drop)
    }

    /// Waits for a change, or for `limit`; returns early for one that may have been missed, too.
    ///
    /// # Errors
    /// Where Redis does not answer; then at once.
    pub fn wait(&mut self, limit: Duration) -> Result<(), RedisError> {
        self.listening.subscribe(&[KEY])?;
        self.listening.poll_push(limit).map(drop)
    }
}

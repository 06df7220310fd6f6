//! The copy of the catalog that nodes share in Redis: its version tells that there is something
//! new, its text is what a node starts with when SQL is away. SQL has the truth; what is here may
//! be lost and is put again. Two connections: one asks, one listens.
//!
//! Limits: [`CATALOG_REDIS_TIMEOUT_MS`] for each answer; a text of up to half of
//! `REDIS_BULK_BYTES_MAX` bytes, beyond which the version stands alone.

use std::time::{Duration, Instant};

use crate::base::limits::{CATALOG_REDIS_TIMEOUT_MS, REDIS_BULK_BYTES_MAX};
use crate::config::Config;
use crate::redis::link::LinkSettings;
use crate::redis::refusal::Refusal;
use crate::runtime::redis_client::{Answer, AskError, BlockingRedis};
use crate::store::StoredCatalog;

use super::catalog_copy;

/// The key, and the channel of its changes.
const KEY: &str = "nudged:catalog";
const SCRIPT: &str = include_str!("catalog.lua");

/// The catalog as Redis has it.
pub struct SharedCatalog {
    asking: BlockingRedis,
    listening: BlockingRedis,
    /// The listening connection has its channel, and takes it along to each new connection.
    is_listening: bool,
    /// Redis refuses this node by its configuration: it is left alone until then.
    rests_until: Option<Instant>,
}

/// A Redis that refuses this node by its configuration is asked again after this.
const SETUP_REST: Duration = Duration::from_secs(1);

impl SharedCatalog {
    /// What `[redis] url` names; `None` without it, or where it is none. Does not connect.
    pub fn of(config: &Config) -> Option<SharedCatalog> {
        let url = config.redis.url.as_ref()?;
        let (address, settings) = LinkSettings::of_url(url.expose()).ok()?;
        let settings = LinkSettings { name: "nudged-catalog".to_owned(), ..settings };
        let timeout = Duration::from_millis(CATALOG_REDIS_TIMEOUT_MS);
        let client = || BlockingRedis::new(address.clone(), settings.clone(), timeout);
        let (asking, listening) = (client(), client());
        Some(SharedCatalog { asking, listening, is_listening: false, rests_until: None })
    }

    /// Whether Redis is to be left alone for now.
    pub fn is_resting(&self) -> bool {
        self.rests_until.is_some_and(|until| Instant::now() < until)
    }

    /// The version; `None` where Redis has no catalog.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub fn version(&mut self) -> Result<Option<u64>, AskError> {
        let asked = self.asking.ask(&[b"HGET", KEY.as_bytes(), b"version"]);
        if matches!(&asked, Err(AskError::Refused { kind: Refusal::Denied, .. })) {
            self.rests_until = Some(Instant::now() + SETUP_REST);
        }
        let Answer::Text(text) = asked? else { return Ok(None) };
        Ok(str::from_utf8(&text).ok().and_then(|text| text.parse().ok()))
    }

    /// The catalog, where its text is there.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub fn load(&mut self) -> Result<Option<StoredCatalog>, AskError> {
        let answer = self.asking.ask(&[b"HGET", KEY.as_bytes(), b"text"])?;
        let Answer::Text(text) = answer else { return Ok(None) };
        Ok(str::from_utf8(&text).ok().and_then(catalog_copy::decode))
    }

    /// Puts a catalog where Redis has none or a lower version, and tells who listens. `wrong` is a
    /// higher version that SQL does not have any more.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub fn put(&mut self, version: u64, text: &str, wrong: Option<u64>) -> Result<(), AskError> {
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
    pub fn wait(&mut self, limit: Duration) -> Result<(), AskError> {
        // To subscribe is to connect anew, and what may have been missed until then is told at
        // once: done for each wait it would never wait.
        if !std::mem::replace(&mut self.is_listening, true) {
            self.listening.subscribe(&[KEY])?;
        }
        self.listening.poll_push(limit).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc::{Sender, channel};

    use super::*;
    use crate::config::Secret;

    /// Greets, confirms a subscription, and tells no news until the peer has gone.
    fn answer(mut stream: TcpStream, connected: &Sender<()>) {
        connected.send(()).unwrap();
        let mut bytes = [0; 1_024];
        while let Ok(length @ 1..) = stream.read(&mut bytes) {
            let is_hello = bytes[..length].windows(5).any(|word| word == b"HELLO");
            let reply: &[u8] = match is_hello {
                true => b"%1\r\n+proto\r\n:3\r\n",
                false => b">3\r\n+subscribe\r\n+nudged:catalog\r\n:1\r\n",
            };
            stream.write_all(reply).unwrap();
        }
    }

    // A wait that subscribes each time returns each time, at once, and connects each time.
    #[test]
    fn it_waits_on_one_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut config = Config::default();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        config.redis.url = Some(Secret::new(url));
        let (sender, connected) = channel();
        let server = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            answer(stream, &sender);
            listener.set_nonblocking(true).unwrap();
            assert!(listener.accept().is_err(), "nobody else has come");
        });
        let mut shared = SharedCatalog::of(&config).unwrap();
        // The first wait tells that something may have been missed before it.
        shared.wait(Duration::from_secs(600)).unwrap();
        let limit = Duration::from_millis(5);
        for _ in 0..3 {
            let begun = Instant::now();
            shared.wait(limit).unwrap();
            assert!(begun.elapsed() >= limit, "without news it takes its time");
        }
        assert_eq!(connected.try_iter().count(), 1);
        drop(shared);
        server.join().unwrap();
    }
}

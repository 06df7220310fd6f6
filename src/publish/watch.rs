//! Notices what other processes do to the catalog, and tells them what this node did: a thread that
//! looks at versions. Live on every node within a second, also where a message was lost.
//!
//! ```text
//! message in Redis, or CATALOG_POLL_MS -> version in Redis is ours? -> nothing
//!                                            | no, or Redis is away, or SQL was not asked for long
//!                                            v
//!          version in SQL is ours? -> no: take it over -> put it into Redis and the directory
//!                | SQL is away: a higher version in Redis is taken
//! ```
//!
//! Where there are users who only look, it brings drafts to the shards too, which raise no version.
//!
//! SQL has the truth, whichever version is the higher one. Must not know what a change is.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::catalog_copy;
use super::publisher::{PublishError, Publisher};
use super::shared_catalog::SharedCatalog;
use nudged_base::limits::{CATALOG_POLL_MS, CATALOG_SQL_POLL_MS, DRAFTS_POLL_MS};
use nudged_base::telemetry::log::{Log, Message};
use nudged_config::Config;
use nudged_redis::request::RedisError;
use nudged_runtime::threads::log_writer::tell;
use nudged_runtime::threads::vital::Needed;
use nudged_store::{StoreError, StoreReader};

/// The running thread; ends when it is stopped or dropped.
#[derive(Debug)]
pub struct Watch {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts it; `reader` is a connection of its own.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub(crate) fn start(
        publisher: Arc<Publisher>,
        reader: StoreReader,
        log: Log,
    ) -> io::Result<Watch> {
        let (stop, stopped) = bounded(0);
        let mut watcher = Watcher::new(publisher, reader, log);
        let run = move || {
            let needed = Needed::here("catalog-watch");
            while watcher.turn(&stopped) {}
            // A turn says no where the handle is gone.
            needed.leave(true);
        };
        let thread = std::thread::Builder::new().name("catalog-watch".to_owned()).spawn(run)?;
        Ok(Watch { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Its end is the message.
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub(crate) struct Watcher {
    publisher: Arc<Publisher>,
    reader: StoreReader,
    log: Log,
    config: Arc<Config>,
    shared: Option<SharedCatalog>,
    /// When SQL was asked last.
    sql_asked: Option<Instant>,
    /// The version that the data directory has.
    copied: Option<u64>,
    /// Drafts of those who only look.
    previews: PreviewWatch,
}

/// What those are shown who only look, and what it was made of.
#[derive(Default)]
struct PreviewWatch {
    asked: Option<Instant>,
    /// How many drafts there were, and the sum of their times.
    stamp: (u64, u64),
    /// The version of the catalog that they are in; 0 where no draft is shown.
    version: u64,
}

impl Watcher {
    pub(crate) fn new(publisher: Arc<Publisher>, reader: StoreReader, log: Log) -> Watcher {
        let config = publisher.config();
        Watcher {
            shared: SharedCatalog::of(&config),
            config,
            publisher,
            reader,
            log,
            sql_asked: None,
            copied: None,
            previews: PreviewWatch::default(),
        }
    }

    /// Waits and looks; false once it is to end.
    fn turn(&mut self, stopped: &Receiver<()>) -> bool {
        self.look();
        self.look_at_drafts();
        let period = Duration::from_millis(CATALOG_POLL_MS);
        let waited = self.shared.as_mut().map(|shared| shared.wait(period));
        self.note_refusal(waited.as_ref());
        let has_waited = matches!(waited, Some(Ok(())));
        let left = if has_waited { Duration::ZERO } else { period };
        stopped.recv_timeout(left) == Err(RecvTimeoutError::Timeout)
    }

    fn look(&mut self) {
        let in_redis = self.shared.as_mut().map(SharedCatalog::version);
        self.note_refusal(in_redis.as_ref());
        let is_same = matches!(&in_redis, Some(Ok(Some(version))) if *version == self.ours());
        let is_due = self
            .sql_asked
            .is_none_or(|at| at.elapsed() >= Duration::from_millis(CATALOG_SQL_POLL_MS));
        if is_same && !is_due && !self.publisher.is_file_pending() {
            return;
        }
        let in_redis = in_redis.and_then(Result::ok);
        match self.look_at_sql() {
            Ok(true) => self.put(in_redis),
            // What SQL has is not taken over yet: Redis is not to get what was there before.
            Ok(false) => {}
            Err(error) => {
                tell(&self.log, Message::CatalogStale, &error.to_string());
                self.take_from_redis(in_redis.flatten());
            }
        }
        self.copy();
    }

    /// Has those who only look see drafts, where there are such users.
    fn look_at_drafts(&mut self) {
        let previews = &mut self.previews;
        if self.publisher.config().preview.users.is_empty() {
            if std::mem::take(&mut previews.version) > 0 {
                self.publisher.show_drafts(&[]);
            }
            return;
        }
        let period = Duration::from_millis(DRAFTS_POLL_MS);
        if previews.asked.is_some_and(|at| at.elapsed() < period) {
            return;
        }
        previews.asked = Some(Instant::now());
        // While SQL is away they are shown what there was.
        let Ok(stamp) = self.reader.draft_stamp() else { return };
        let (version, has_drafts) = (self.publisher.snapshot().version, stamp.0 > 0);
        let is_so = match has_drafts {
            true => (stamp, version) == (previews.stamp, previews.version),
            false => previews.version == 0,
        };
        if is_so {
            return;
        }
        let Ok(drafts) = self.reader.drafts() else { return };
        self.publisher.show_drafts(&drafts);
        previews.stamp = stamp;
        previews.version = if has_drafts { version } else { 0 };
    }

    fn note_refusal<T>(&self, asked: Option<&Result<T, RedisError>>) {
        if let Some(Err(error)) = asked {
            self.publisher.redis_failed(error);
        }
    }

    fn ours(&self) -> u64 {
        self.publisher.current().stored_version
    }

    /// Takes over what SQL has; whether that is current now.
    pub(crate) fn look_at_sql(&mut self) -> Result<bool, StoreError> {
        self.sql_asked = Some(Instant::now());
        let version = self.reader.catalog_version()?;
        let is_file_pending = self.publisher.is_file_pending();
        let refreshed = match is_file_pending || version != self.ours() {
            true => self.publisher.refresh(),
            false => Ok(()),
        };
        match refreshed {
            Ok(()) => tell(&self.log, Message::CatalogFresh, ""),
            // The change that is under way takes over what others have stored.
            Err(PublishError::Late(_)) => {}
            Err(error) if is_file_pending => {
                tell(&self.log, Message::FileWaits, &error.to_string());
            }
            Err(error) => tell(&self.log, Message::CatalogBehind, &error.to_string()),
        }
        Ok(self.ours() >= version)
    }

    /// Puts what SQL has into Redis, where that has another version or none.
    fn put(&mut self, in_redis: Option<Option<u64>>) {
        let current = self.publisher.current();
        let (Some(shared), Some(found)) = (&mut self.shared, in_redis) else { return };
        if found == Some(current.stored_version) {
            return;
        }
        let wrong = found.filter(|found| *found > current.stored_version);
        if let Err(error) = shared.put(current.stored_version, &current.copy(), wrong) {
            self.publisher.redis_failed(&error);
            tell(&self.log, Message::CatalogStale, &error.to_string());
        }
    }

    fn take_from_redis(&mut self, in_redis: Option<u64>) {
        let is_newer = in_redis.is_some_and(|version| version > self.ours());
        let Some(shared) = self.shared.as_mut().filter(|_| is_newer) else { return };
        let Ok(Some(catalog)) = shared.load() else { return };
        match self.publisher.take_copy(catalog) {
            Ok(()) | Err(PublishError::Late(_)) => {}
            Err(error) => tell(&self.log, Message::CatalogBehind, &error.to_string()),
        }
    }

    /// Keeps a copy in the data directory, for a start without the server.
    fn copy(&mut self) {
        let current = self.publisher.current();
        if self.config.mysql.url.is_none() || self.copied == Some(current.stored_version) {
            return;
        }
        match catalog_copy::write(&self.config.data, &current.copy()) {
            Ok(()) => self.copied = Some(current.stored_version),
            Err(error) => tell(&self.log, Message::CatalogStale, &error.to_string()),
        }
    }
}

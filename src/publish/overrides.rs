//! Brings pauses, archives and operators' tokens on: from this node's memory, where they hold
//! already, to its file, to Redis and to SQL, and what others know to this node. A thread for each
//! place, since each may hang for as long as it likes without holding up the other two, or whoever
//! pauses.
//!
//! ```text
//!                      ┌─ file  ─ overrides, tokens: two copies each ─ the next start
//! publisher's entries ─┼─ redis ─ nudged:overrides, nudged:tokens ─── other nodes, in a second
//!      (rings)         └─ sql   ─ override_entries, operator_tokens ─ for good
//! ```
//!
//! Limits: [`OVERRIDES_FILE_BYTES`] a copy, [`OVERRIDES_REDIS_POLL_MS`], [`OVERRIDES_RETRY_MS`],
//! [`OVERRIDES_PUT_MAX`] entries at once.

mod entry;
mod file;
mod nodes;
mod shared;
mod sql;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use super::publisher::Publisher;
use nudged_base::limits::ADMIN_STOP_MS;
#[cfg(doc)]
use nudged_base::limits::{
    OVERRIDES_FILE_BYTES, OVERRIDES_PUT_MAX, OVERRIDES_REDIS_POLL_MS, OVERRIDES_RETRY_MS,
};
use nudged_base::telemetry::log::{Log, LogValue, Message};
use nudged_config::Config;
use nudged_domain::catalog::overrides::{Override, OverridePlace};
use nudged_domain::operators::OperatorToken;
use nudged_runtime::clocks;
use nudged_runtime::threads::log_writer::tell;
use nudged_runtime::threads::sql_writer::WriterFigures;
use nudged_runtime::threads::vital::Needed;
use nudged_store::StoreError;

/// What a thread does.
type ThreadBody = Box<dyn FnOnce() + Send>;

/// The running threads.
#[derive(Debug)]
pub struct Couriers {
    publisher: Arc<Publisher>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// Why what runs beside a publisher does not.
#[derive(Debug, thiserror::Error)]
pub enum NotStarted {
    /// The system gives no thread.
    #[error("can't start a thread: {0}")]
    Thread(#[from] io::Error),
    /// The store can't be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Couriers {
    /// Starts them.
    ///
    /// # Errors
    /// [`NotStarted`]; nothing is left running.
    pub fn start(
        publisher: &Arc<Publisher>,
        writer: &Arc<WriterFigures>,
        log: &Log,
    ) -> Result<Couriers, NotStarted> {
        let config = publisher.config();
        let stop: Arc<AtomicBool> = Arc::default();
        let mut couriers = Couriers { publisher: Arc::clone(publisher), stop, threads: Vec::new() };
        let destination = |place| Destination {
            publisher: Arc::clone(publisher),
            stop: Arc::clone(&couriers.stop),
            place,
            log: log.clone(),
        };
        let sql = sql::Courier::new(&config, Arc::clone(writer))?;
        let mut runs: Vec<(&'static str, ThreadBody)> = Vec::new();
        let (data, to_file) = (config.data.clone(), destination(OverridePlace::Node));
        runs.push(("overrides-file", Box::new(move || file::run(to_file, &data))));
        let to_sql = destination(OverridePlace::Sql);
        runs.push(("overrides-sql", Box::new(move || sql.run(to_sql))));
        if let Some(shared) = shared::SharedOverrides::of(&config) {
            let to_redis = destination(OverridePlace::Redis);
            runs.push(("overrides-redis", Box::new(move || shared.run(to_redis))));
        }
        for (name, run) in runs {
            let stop = Arc::clone(&couriers.stop);
            let run = move || {
                let needed = Needed::here(name);
                run();
                needed.leave(stop.load(Ordering::Acquire));
            };
            couriers.threads.push(Builder::new().name(name.to_owned()).spawn(run)?);
        }
        Ok(couriers)
    }
}

impl Drop for Couriers {
    /// Ends them. One that waits for a server that hangs is left behind.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        let until = Instant::now() + Duration::from_millis(ADMIN_STOP_MS);
        for thread in self.threads.drain(..) {
            while !thread.is_finished() && Instant::now() < until {
                self.publisher.ring();
                std::thread::sleep(Duration::from_millis(1));
            }
            if thread.is_finished() {
                // A thread that panicked has aborted the process.
                let _ = thread.join();
            }
        }
    }
}

/// What each of them has of the node.
struct Destination {
    publisher: Arc<Publisher>,
    stop: Arc<AtomicBool>,
    place: OverridePlace,
    log: Log,
}

impl Destination {
    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Entries that the place does not have, `count` at most.
    fn due(&self, count: usize) -> Vec<Override> {
        self.publisher.with_overrides(|overrides| {
            let due = overrides.not_in(self.place).take(count);
            due.map(|held| held.entry.clone()).collect()
        })
    }

    /// Tokens that the place does not have.
    fn due_tokens(&self) -> Vec<OperatorToken> {
        self.publisher.with_tokens(|tokens| tokens.not_in(self.place).cloned().collect())
    }

    /// The place has these entries.
    fn mark(&self, entries: &[Override]) {
        self.publisher.with_overrides(|overrides| {
            entries.iter().for_each(|entry| overrides.mark(entry, self.place));
        });
    }

    /// Waits until there is something to bring, or `limit` has passed.
    fn wait(&self, limit: Duration) {
        let (place, stop) = (self.place, &self.stop);
        self.publisher.await_overrides(limit, |overrides| {
            stop.load(Ordering::Acquire)
                || overrides.not_in(place).next().is_some()
                || self.publisher.with_tokens(|tokens| tokens.not_in(place).next().is_some())
        });
    }

    /// Rests after a failure.
    fn rest(&self, time: Duration) {
        let stop = &self.stop;
        self.publisher.await_overrides(time, |_| stop.load(Ordering::Acquire));
    }

    /// Reports a failure. Where nothing waits, who else asks the same server has more to say of it.
    fn failed(&self, message: Message, error: &str) {
        let waits = || !self.due(1).is_empty() || !self.due_tokens().is_empty();
        let is_felt = message == Message::OverridesFile || waits();
        if is_felt {
            let fields =
                [("place", LogValue::Text(self.place.word())), ("error", LogValue::Text(error))];
            self.log.write(clocks::now(), message, &fields);
        }
    }

    /// Reports that it works.
    fn succeeded(&self) {
        let fields = [("place", LogValue::Text(self.place.word()))];
        self.log.write(clocks::now(), Message::OverridesStored, &fields);
    }

    /// Takes in what the place knows; what is news is told.
    fn take(&self, entries: &[Override]) {
        match self.publisher.take_overrides(entries, self.place) {
            Ok(news) => news.iter().for_each(|entry| self.log_news(entry)),
            Err(error) => tell(&self.log, Message::CatalogUnconfirmed, &error.to_string()),
        }
    }

    fn log_news(&self, entry: &Override) {
        let (does, who) = match &entry.end {
            Some(end) => ("resume", &end.who),
            None => (entry.kind.word(), &entry.who),
        };
        let fields = [
            ("popup", LogValue::Text(&entry.popup)),
            ("change", LogValue::Text(does)),
            ("who", LogValue::Text(who)),
            ("from", LogValue::Text(self.place.word())),
        ];
        self.log.write(clocks::now(), Message::PopupChanged, &fields);
    }
}

/// The pauses and archives of a stopped node's directory that its SQL may not have.
///
/// # Errors
/// What the system says of a file that is there.
pub fn in_directory(data: &Path) -> io::Result<Vec<Override>> {
    file::read(data)
}

/// The operators' tokens of a stopped node's directory that its SQL may not have.
///
/// # Errors
/// What the system says of a file that is there.
pub fn tokens_in_directory(data: &Path) -> io::Result<Vec<OperatorToken>> {
    file::read_tokens(data)
}

/// What a node knows when it starts.
#[derive(Debug, Default)]
pub(super) struct KnownAtStart {
    /// Pauses and archives, and where each is known.
    pub(super) entries: Vec<(Override, OverridePlace)>,
    /// Operators' tokens, and where each is known.
    pub(super) tokens: Vec<(OperatorToken, OverridePlace)>,
    /// What kept a file from telling.
    pub(super) problems: Vec<String>,
}

/// What this node's files and Redis know when a node starts.
pub(super) fn known_at_start(config: &Config) -> KnownAtStart {
    let mut known = KnownAtStart::default();
    let node = OverridePlace::Node;
    match file::read(&config.data) {
        Ok(entries) => known.entries.extend(entries.into_iter().map(|entry| (entry, node))),
        Err(error) => known.problems.push(put_aside(&config.data, file::FILE_NAME, &error)),
    }
    match file::read_tokens(&config.data) {
        Ok(tokens) => known.tokens.extend(tokens.into_iter().map(|token| (token, node))),
        Err(error) => known.problems.push(put_aside(&config.data, file::TOKENS_NAME, &error)),
    }
    if let Some(mut shared) = shared::SharedOverrides::of(config) {
        let redis = OverridePlace::Redis;
        // Where Redis does not answer, its thread asks again.
        let entries: Vec<Override> = shared.load().unwrap_or_default();
        known.entries.extend(entries.into_iter().map(|entry| (entry, redis)));
        let tokens: Vec<OperatorToken> = shared.load().unwrap_or_default();
        known.tokens.extend(tokens.into_iter().map(|token| (token, redis)));
    }
    known
}

/// A file that can't be read is written anew; what somebody may still read out of it is kept.
fn put_aside(data: &Path, name: &str, error: &io::Error) -> String {
    let aside = format!("{name}.damaged");
    let is_kept = error.kind() == io::ErrorKind::InvalidData
        && std::fs::copy(data.join(name), data.join(&aside)).is_ok();
    let kept = if is_kept { format!("; copied to {aside}") } else { String::new() };
    let what = if name == file::TOKENS_NAME { "operators' tokens" } else { "pauses and archives" };
    format!("{what}: the file {name}: {error}{kept}")
}

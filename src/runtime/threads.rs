//! Threads that step no shard: each machine of `background` has one, which steps it, carries out
//! the one effect that comes of it, and gives back what came of that. What a thread waits for and
//! what it can do stand in its own file; here stands where it runs, what ends it, and what errors
//! of its database mean to it. Must not know what a machine is for.
//!
//! ```text
//! machine.step(view, input) -> effect -> the thread: Redis, SQL, a rest -> input -> step ...
//! ```
//!
//! `sql_writer`, `sql_reader`, `keeper` and `list_drain` have machines, `sql_fitness` is what SQL
//! refuses them · `forgetting` asks shards for the writer · `resolver` looks names up ·
//! `log_writer` writes the log, `log_tail` is what it wrote last · `vital` ends the process where
//! one of them is gone, `watchdog` tells a service manager that none is.

mod forgetting;
pub mod keeper;
pub mod list_drain;
pub mod log_tail;
pub mod log_writer;
pub mod resolver;
pub mod sql_fitness;
pub mod sql_reader;
pub mod sql_writer;
pub mod vital;
pub mod watchdog;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};
use std::thread::{Builder, JoinHandle};

use crate::threads::log_writer::tell;
use crate::threads::vital::Needed;
use crate::topology;
use nudged_background::sql_failure::{SqlFailure, SqlMeaning};
use nudged_base::ids::StreamId;
use nudged_base::telemetry::log::{Log, Message};
use nudged_store::{FailureKind, StoreError};

/// How much lower the priority is of a thread that no answer waits for: beside one that does it has
/// a quarter of their core.
const GIVE_WAY_NICE: i32 = 5;

/// The calling thread gives way to others of its core, as do those that it starts. Of equal
/// priority, what becomes ready waits until the one that runs has had its slice: 5 ms were measured
/// at each of the five steps from a request to its synced answer.
fn give_way(log: &Log) {
    static IS_SAID: Once = Once::new();
    // Where it is refused, as by a filter of system calls, it is in the way, and not wrong.
    if let Err(error) = rustix::process::nice(GIVE_WAY_NICE) {
        let error = std::io::Error::from(error).to_string();
        IS_SAID.call_once(|| tell(log, Message::PriorityRefused, &error));
    }
}

/// Starts a thread that the node can't do without, on a core of its own where one is named; it may
/// end once `stop` is set.
///
/// # Errors
/// Where the system gives no thread.
pub(super) fn start(
    name: String,
    cpu: Option<usize>,
    stop: &Arc<AtomicBool>,
    run: impl FnOnce() + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    let stop = Arc::clone(stop);
    Builder::new().name(name.clone()).spawn(move || {
        // Unpinned is slower and not wrong.
        let _is_pinned = cpu.is_none_or(topology::pin);
        let needed = Needed::here(&name);
        run();
        needed.leave(stop.load(Ordering::Acquire));
    })
}

/// What an error of a store means.
pub(super) fn failure_of(error: &StoreError) -> SqlFailure {
    let kind = error.kind();
    let meaning = match (error, kind) {
        (StoreError::Behind { position, .. }, _) => SqlMeaning::Behind(*position),
        (StoreError::Fenced { stream, .. }, _) => SqlMeaning::Fenced(StreamId(*stream)),
        (StoreError::Halted { .. }, _) => SqlMeaning::Halted,
        (_, FailureKind::Denied) => SqlMeaning::Denied,
        (_, FailureKind::DiskFull | FailureKind::Crowded | FailureKind::Schema) => {
            SqlMeaning::Lasting
        }
        _ => SqlMeaning::Passing,
    };
    SqlFailure { meaning, cause: kind.name(), text: error.to_string() }
}

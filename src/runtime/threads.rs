//! The threads of the dedicated core, each for one machine of `background`: where it runs, what
//! ends it, and what errors of its database mean to it. Each thread steps its machine, carries
//! out the one effect that comes of it, and gives back what came of that; what it waits for and
//! what it can do stand in its own file. Must not know what a machine is for.
//!
//! ```text
//! machine.step(view, input) -> effect -> the thread: Redis, SQL, a rest -> input -> step ...
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};

use super::vital::Needed;
use super::{clocks, topology};
use nudged_background::sql_failure::{SqlFailure, SqlMeaning};
use nudged_base::clock::Now;
use nudged_base::ids::StreamId;
use nudged_store::{FailureKind, StoreError};

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

/// Both clocks of the machine that this runs on.
pub(super) fn now() -> Now {
    Now { mono: clocks::mono(), wall: clocks::wall() }
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

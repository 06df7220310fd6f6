//! The thread that folds the log of the node's own database into its file, beside the one that
//! writes. That takes 50 ms of a core. Within a commit they would hold up whoever shares the core,
//! a system's slice of some 4 ms after the other; here they give way, but for a small share, so
//! that the log ends even where a core is never idle.
//!
//! ```text
//! asleep -> enough was applied -> is the log long? fold -> asleep
//! ```
//!
//! Limits: `SQL_WAL_PAGES` begin it, at `SQL_WAL_PAGES_MAX` the one that writes does it itself.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::JoinHandle;

use crate::clocks;
use crate::threads;
use crate::wake::Waker;
use nudged_base::limits::{SQL_FOLD_RECORDS, SQL_WAL_PAGES};
use nudged_base::telemetry::log::{Log, Message};
use nudged_store::StoreFold;

/// How far it steps back: beside a thread that never sleeps it has 1 part in 29 of a core, where
/// others have half.
const NICE: i32 = 15;

/// The thread, for the one that writes.
#[derive(Debug)]
pub struct FoldThread {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
    /// Records applied since it was woken.
    records: u64,
}

#[derive(Debug)]
struct Shared {
    is_due: AtomicBool,
    stop: Arc<AtomicBool>,
    waker: Waker,
    /// Held while it folds.
    at_work: Mutex<()>,
}

impl FoldThread {
    /// Starts it, on the core of the one that writes.
    ///
    /// # Errors
    /// Where the system gives no thread, or no descriptor.
    pub fn start(mut fold: StoreFold, cpu: Option<usize>, log: Log) -> io::Result<FoldThread> {
        let stop: Arc<AtomicBool> = Arc::default();
        let shared = Arc::new(Shared {
            is_due: AtomicBool::new(false),
            stop: Arc::clone(&stop),
            waker: Waker::new()?,
            at_work: Mutex::default(),
        });
        let own = Arc::clone(&shared);
        let thread = threads::start("sql-fold".to_owned(), cpu, &stop, move || {
            // Where it is refused, folding is as urgent as all else.
            let _ = rustix::process::setpriority_process(None, NICE);
            own.run(&mut fold, &log);
        })?;
        Ok(FoldThread { shared, thread, records: 0 })
    }

    /// So many records more were applied.
    pub fn note_applied(&mut self, records: u64) {
        self.records += records;
        if self.records >= SQL_FOLD_RECORDS {
            self.records = 0;
            self.shared.is_due.store(true, Ordering::Release);
            self.shared.waker.wake();
        }
    }

    /// Keeps it from folding for as long as the guard is held; `None` where it is at it and is not
    /// to be waited for.
    pub(super) fn hold(&self, waits: bool) -> Option<MutexGuard<'_, ()>> {
        let at_work = &self.shared.at_work;
        if waits {
            return Some(at_work.lock().unwrap_or_else(PoisonError::into_inner));
        }
        match at_work.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Ends it, after what it is at.
    pub fn end(self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.waker.wake();
        // One that panicked has ended the process.
        let _ = self.thread.join();
    }
}

impl Shared {
    fn run(&self, fold: &mut StoreFold, log: &Log) {
        let is_stopping = || self.stop.load(Ordering::Acquire);
        loop {
            if self.is_due.swap(false, Ordering::AcqRel) {
                let _at_work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
                if let Err(error) = fold.fold_from(SQL_WAL_PAGES) {
                    log.write_error(clocks::now(), Message::SqlFailed, &error.to_string());
                }
            }
            if is_stopping() {
                return;
            }
            self.waker.sleep_unless(|| self.is_due.load(Ordering::Acquire) || is_stopping());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nudged_base::telemetry::log::Level;
    use nudged_store::Store;

    fn start(directory: &std::path::Path) -> FoldThread {
        let fold = StoreFold::open(directory).unwrap();
        FoldThread::start(fold, None, Log::new(Level::Error, false, &[])).unwrap()
    }

    #[test]
    fn it_looks_when_enough_was_applied_and_ends_when_it_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let _store = Store::open(directory.path()).unwrap();
        let mut thread = start(directory.path());
        thread.note_applied(SQL_FOLD_RECORDS - 1);
        assert!(!thread.shared.is_due.load(Ordering::Acquire));
        let shared = Arc::clone(&thread.shared);
        let held = thread.hold(true).map(drop);
        assert!(held.is_some() && thread.hold(false).is_some());
        thread.note_applied(1);
        while shared.is_due.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        thread.end();
    }

    #[test]
    fn who_holds_it_keeps_it_from_folding() {
        let directory = tempfile::tempdir().unwrap();
        let _store = Store::open(directory.path()).unwrap();
        let thread = start(directory.path());
        let guard = thread.hold(true).unwrap();
        assert!(thread.hold(false).is_none());
        drop(guard);
        thread.end();
    }
}

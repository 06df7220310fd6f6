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

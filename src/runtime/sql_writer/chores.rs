//! What the writer does beside applying: old tombstones go, a file of the node's own is folded
//! together now and then, and where no keeper does, SQL is told that this node is alive.

use std::time::Duration;

use super::{Message, WriterThread, clocks, log_thread};
use nudged_base::limits::{KEEPER_SQL_BEAT_MS, SQL_FOLD_PERIOD_MS, SQL_FOLD_RETRY_MS};
use nudged_journal::disk::DiskRead;

/// Tombstones are looked at this often, in milliseconds.
const PURGE_PERIOD_MS: u64 = 3_600_000;

/// When each is due, in milliseconds of the monotonic clock.
#[derive(Debug, Default)]
pub(super) struct Chores {
    purge_due_ms: u64,
    beat_due_ms: u64,
    fold_due_ms: u64,
}

impl<D: DiskRead> WriterThread<D> {
    /// Does what is due; gives how long the thread may sleep, `None` for as long as nothing comes.
    pub(super) fn do_chores(&mut self) -> Option<Duration> {
        let now_ms = clocks::mono().0 / 1_000_000;
        if now_ms >= self.chores.purge_due_ms {
            self.chores.purge_due_ms = now_ms + PURGE_PERIOD_MS;
            if let Err(error) = self.setup.store.purge_tombstones(clocks::wall()) {
                self.failed(&error);
            }
        }
        let fold_wait_ms = self.fold(now_ms);
        let beat_wait_ms = self.beat(now_ms);
        let wait_ms = fold_wait_ms.into_iter().chain(beat_wait_ms).min();
        wait_ms.map(|wait_ms| Duration::from_millis(wait_ms.max(1)))
    }

    /// Folds what was written into the database's file: soon after an erase, until nothing of it
    /// is left beside the file, else now and then. Gives how long until the next try.
    fn fold(&mut self, now_ms: u64) -> Option<u64> {
        let store = &mut self.setup.store;
        if !store.is_to_fold() {
            self.chores.fold_due_ms = now_ms + SQL_FOLD_PERIOD_MS;
            return None;
        }
        if store.must_fold() || now_ms >= self.chores.fold_due_ms {
            // A reader may be in the way: it is tried again.
            let is_folded = store.fold();
            if let Err(error) = &is_folded {
                log_thread::tell(&self.setup.log, Message::SqlFailed, &error.to_string());
            }
            if is_folded.unwrap_or(false) {
                return None;
            }
            self.chores.fold_due_ms = now_ms + SQL_FOLD_RETRY_MS;
        }
        let is_urgent = self.setup.store.must_fold();
        let left_ms = self.chores.fold_due_ms.saturating_sub(now_ms);
        Some(if is_urgent { left_ms.min(SQL_FOLD_RETRY_MS) } else { left_ms })
    }

    /// Without Redis no keeper says that this node is alive, and whoever would bring users to its
    /// database has to know. So an outage is seen where no record comes.
    pub(super) fn beat(&mut self, now_ms: u64) -> Option<u64> {
        let (stream, set) = (self.setup.stream?, self.setup.set);
        if self.setup.board.is_some() {
            return None;
        }
        let shared = self.setup.store.shared()?;
        if now_ms >= self.chores.beat_due_ms {
            self.chores.beat_due_ms = now_ms + KEEPER_SQL_BEAT_MS;
            let beaten = shared.heartbeat(stream, &format!("{:032x}", set.0));
            match beaten {
                // What is denied is over when the rights are there, and is told then.
                Ok(()) if self.setup.figures.fitness.is_denied() => {}
                Ok(()) => self.note_success(),
                Err(error) => {
                    self.failed(&error);
                }
            }
        }
        Some(self.chores.beat_due_ms.saturating_sub(now_ms))
    }

    /// Says that this node has stopped with everything applied, where it has said that it is alive.
    /// Where that fails, it counts as one that was killed, which is safe.
    pub(super) fn say_stopped(&mut self) {
        let (Some(stream), None) = (self.setup.stream, &self.setup.board) else { return };
        if let Some(shared) = self.setup.store.shared() {
            let _ = shared.say_stopped(stream);
        }
    }
}

//! The write path as a state machine: lane batches in, disk commands and acknowledgements out.
//! Knows no clock, no file and no thread: time is told, commands are carried out by the caller.
//!
//! ```text
//! records:  offer -> queue -> (the write before is complete) batch -> Write -> written
//!                    -> Sync -> synced;  Ack at `written` or at `synced`, as configured
//! segment:  Prepare -> reserve -> opening written -> batches -> closed -> Remove
//! failure:  Write or Sync fails -> the segment is left as it is; what is not synced is written
//!           to the reserve, that is opened and synced; a second failure before: poisoned
//! ```
//!
//! Promises: sequence numbers without gaps; acknowledgements in order, never before the level is
//! reached; everything before a segment is synced before its opening is written; a file whose sync
//! failed is never written or synced again.
//!
//! Limits: one write and one sync under way; [`UNSYNCED_BYTES_MAX`] kept for a rewrite (half a
//! segment where that is less); [`JOURNAL_QUEUE_BYTES_MAX`] queued beside one batch of the lanes.

mod closing;
mod settings;
mod writing;

use std::collections::VecDeque;

pub use self::settings::{AckLevel, AppenderConfig, AppenderMetrics, AppenderStart, Poison};

use self::closing::{LaneQueue, UnsyncedBatches};
use super::batch::BatchHeader;
use super::disk::{DiskCommand, DiskCompletion, DiskError};
use super::lane::{Ack, LaneBatch};
use super::segment::{
    FIRST_BATCH_OFFSET, OPENING_OFFSET, Opening, SegmentHeader, SegmentId, SetId,
};
use super::usage::{ClosedSegment, SegmentUsage};
use nudged_base::ids::Sequence;
use nudged_base::limits::{
    DISK_RETRY_MS, JOURNAL_QUEUE_BYTES_MAX, SEGMENT_BYTES, SEGMENT_BYTES_MIN, SEGMENT_END_BYTES,
    SYNC_PACE_MS, UNSYNCED_BYTES_MAX,
};
use nudged_base::time::{MonoNs, WallMs};

/// The segment that is written to.
#[derive(Clone, Copy, Debug)]
struct Active {
    segment: SegmentId,
    offset: u64,
    is_opened: bool,
}

/// The segment that is written to next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reserve {
    None,
    Preparing(SegmentId),
    Ready(SegmentId),
}

/// The write that is under way or has to be taken up again.
#[derive(Debug)]
struct Write {
    segment: SegmentId,
    offset: u64,
    bytes: Vec<u8>,
    done: usize,
    is_opening: bool,
    is_submitted: bool,
}

/// The sync that is under way, and what it covers.
#[derive(Clone, Copy, Debug)]
struct SyncUnderWay {
    segment: SegmentId,
    upto: Sequence,
}

/// The write path of one journal directory. See the module for its promises.
#[derive(Debug)]
pub struct Appender {
    config: AppenderConfig,
    set: SetId,
    tag: u32,
    usage: SegmentUsage,
    queue: LaneQueue,
    unsynced: UnsyncedBatches,
    next: Sequence,
    /// Until the first opening of this process: where the files ended.
    follows: Option<Sequence>,
    chain: u32,
    newest: WallMs,
    written: Sequence,
    synced: Sequence,
    active: Option<Active>,
    reserve: Reserve,
    next_segment: SegmentId,
    to_sync: Option<SegmentId>,
    write: Option<Write>,
    sync: Option<SyncUnderWay>,
    removing: Option<ClosedSegment>,
    acks: VecDeque<Ack>,
    now: MonoNs,
    wall: WallMs,
    write_retry_at: Option<MonoNs>,
    prepare_retry_at: Option<MonoNs>,
    prepare_error: Option<DiskError>,
    remove_retry_at: Option<MonoNs>,
    sync_due_at: MonoNs,
    is_rewriting: bool,
    is_stopping: bool,
    has_had_room: bool,
    failures: u64,
    poison: Option<Poison>,
    promised_bytes: u64,
}

impl Appender {
    /// An appender that goes on where recovery ended. Nothing is done before the first
    /// [`Appender::next_command`].
    ///
    /// # Panics
    /// Where the configuration leaves its ranges.
    pub fn new(config: AppenderConfig, start: AppenderStart) -> Appender {
        let range = SEGMENT_BYTES_MIN..=SEGMENT_BYTES;
        assert!(range.contains(&config.segment_bytes), "segments have their limits");
        assert!(config.budget_bytes >= 4 * config.segment_bytes, "a budget is 4 segments or more");
        assert!(start.follows <= start.next && start.next.0 > 0, "numbers only go up, from 1");
        let written = Sequence(start.next.0 - 1);
        Appender {
            config,
            set: start.set,
            tag: start.set.tag(),
            usage: start.usage,
            queue: LaneQueue::default(),
            unsynced: UnsyncedBatches::default(),
            next: start.next,
            follows: start.active.is_none().then_some(start.follows),
            chain: start.chain,
            newest: start.newest,
            written,
            // Nobody says that what was found is durable; `to_sync` makes it so.
            synced: if start.to_sync.is_some() { Sequence(0) } else { written },
            active: start.active.map(|(segment, offset)| Active {
                segment,
                offset,
                is_opened: true,
            }),
            reserve: start.reserve.map_or(Reserve::None, Reserve::Ready),
            next_segment: start.next_segment,
            to_sync: start.to_sync,
            write: None,
            sync: None,
            removing: None,
            acks: VecDeque::new(),
            now: MonoNs(0),
            wall: start.newest,
            write_retry_at: None,
            prepare_retry_at: None,
            prepare_error: None,
            remove_retry_at: None,
            sync_due_at: MonoNs(0),
            is_rewriting: false,
            is_stopping: false,
            has_had_room: start.active.is_some() || start.reserve.is_some(),
            failures: 0,
            poison: None,
            promised_bytes: 0,
        }
    }

    /// Tells the time. Commands and retries go by the last time told.
    pub fn tick(&mut self, now: MonoNs, wall: WallMs) {
        self.now = self.now.max(now);
        self.wall = wall;
    }

    /// Whether another lane batch may be offered now; otherwise it waits in its lane.
    pub fn has_room(&self) -> bool {
        self.poison.is_none()
            && self.queue.bytes() < JOURNAL_QUEUE_BYTES_MAX
            && self.unsynced.bytes() < self.unsynced_bytes_max()
    }

    /// Takes the records of one shard. They are numbered in the order in which they are offered.
    pub fn offer(&mut self, batch: LaneBatch) {
        assert!(batch.count > 0, "a lane batch holds a record");
        self.queue.push(batch);
    }

    /// Notes how far SQL has applied the journal.
    pub fn applied(&mut self, applied: Sequence) {
        self.usage.note_applied(applied);
    }

    /// How far SQL has applied the journal, as it was last noted.
    pub fn applied_sequence(&self) -> Sequence {
        self.usage.applied()
    }

    /// Keeps room for so many bytes of records that are offered whether or not others are taken.
    pub fn promise(&mut self, bytes: u64) {
        self.promised_bytes = bytes;
    }

    /// Bytes for which room is kept.
    pub fn promised_bytes(&self) -> u64 {
        self.promised_bytes
    }

    /// From now on, only what was offered is finished: see [`Appender::is_finished`].
    pub fn stop(&mut self) {
        self.is_stopping = true;
    }

    /// Whether it was told to stop.
    pub fn is_stopping(&self) -> bool {
        self.is_stopping
    }

    /// When it acknowledges records.
    pub fn ack(&self) -> AckLevel {
        self.config.ack
    }

    /// Whether nothing is under way and everything that was offered is synced; also once poisoned
    /// and quiet.
    pub fn is_finished(&self) -> bool {
        let is_quiet = self.sync.is_none()
            && self.write.as_ref().is_none_or(|write| !write.is_submitted)
            && self.removing.is_none()
            && !matches!(self.reserve, Reserve::Preparing(_));
        let is_done = self.queue.is_empty() && self.unsynced.is_empty() && self.to_sync.is_none();
        is_quiet && (is_done || self.poison.is_some())
    }

    /// Whether decisions may rest on records: not poisoned, not stopping, the disk not full, both
    /// budgets kept, what was promised included. Without a next segment, as long as the one in use
    /// has room for what may come before everybody knows better.
    pub fn is_accepting(&self) -> bool {
        self.poison.is_none()
            && !self.is_stopping
            && self.has_had_room
            && !self.is_disk_full()
            && !self.is_at_budget()
    }

    /// Whether the disk takes nothing more.
    fn is_disk_full(&self) -> bool {
        self.write_retry_at.is_some() || (self.prepare_retry_at.is_some() && !self.has_place())
    }

    /// Whether SQL has to come nearer before more is taken.
    fn is_at_budget(&self) -> bool {
        let unapplied = self.usage.unapplied_bytes().saturating_add(self.promised_bytes);
        let is_last = self.reserve == Reserve::None && self.is_crowded();
        unapplied >= self.config.unapplied_bytes_max || (is_last && !self.has_place())
    }

    /// Whether what is under way, and what may come while the shards do not know better, finds its
    /// place in segments that are there.
    fn has_place(&self) -> bool {
        if matches!(self.reserve, Reserve::Ready(_)) {
            return true;
        }
        let of = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        let kept = SEGMENT_END_BYTES.min(self.config.segment_bytes / 8);
        let due = of(self.queue.bytes() + self.unsynced.bytes_to_place());
        self.room_bytes() > due.saturating_add(self.promised_bytes).saturating_add(kept)
    }

    /// Bytes left in the segment in use.
    fn room_bytes(&self) -> u64 {
        self.active.map_or(0, |active| self.config.segment_bytes.saturating_sub(active.offset))
    }

    /// Why the event path is closed for good, if it is.
    pub fn poison(&self) -> Option<Poison> {
        self.poison
    }

    /// Why the next segment can't be made, where that is not for want of space.
    pub fn prepare_failure(&self) -> Option<DiskError> {
        self.prepare_error.filter(|error| *error != DiskError::NoSpace)
    }

    /// The figures of this moment.
    pub fn metrics(&self) -> AppenderMetrics {
        AppenderMetrics {
            written: self.written,
            synced: self.synced,
            is_accepting: self.is_accepting(),
            is_full: self.is_disk_full(),
            is_low: self.prepare_retry_at.is_some(),
            is_at_budget: self.is_at_budget(),
            room_bytes: self.room_bytes(),
            unapplied_bytes: self.usage.unapplied_bytes(),
            total_bytes: self.files() * self.config.segment_bytes,
            segments: usize::try_from(self.files()).expect("a budget's files are few"),
            failures: self.failures,
        }
    }

    /// The next acknowledgement that is due.
    pub fn next_ack(&mut self) -> Option<Ack> {
        self.acks.pop_front()
    }

    /// When [`Appender::next_command`] may have something to do although nothing happened; `None`
    /// for never.
    pub fn wake_at(&self) -> Option<MonoNs> {
        let sync_due_at =
            (self.unsynced.placed() > 0 && self.sync.is_none()).then_some(self.sync_due_at);
        // What is due already waits for something else than time.
        [self.write_retry_at, self.prepare_retry_at, self.remove_retry_at, sync_due_at]
            .into_iter()
            .flatten()
            .filter(|at| *at > self.now)
            .min()
    }

    /// The next command to carry out. To be called until it gives `None`, after each offer,
    /// completion and tick. Writes come first: the sync behind them covers all that are complete.
    pub fn next_command(&mut self) -> Option<DiskCommand> {
        if self.poison.is_some() {
            return None;
        }
        self.next_write()
            .or_else(|| self.next_sync())
            .or_else(|| self.next_prepare())
            .or_else(|| self.next_remove())
    }

    /// Takes the outcome of a command.
    pub fn complete(&mut self, completion: DiskCompletion) {
        match completion {
            DiskCompletion::Written(segment, outcome) => self.complete_write(segment, outcome),
            DiskCompletion::Synced(segment, outcome) => self.complete_sync(segment, outcome),
            DiskCompletion::Prepared(segment, outcome) => self.complete_prepare(segment, outcome),
            DiskCompletion::Removed(segment, outcome) => self.complete_remove(segment, outcome),
        }
    }

    // --- segments --------------------------------------------------------------------------------

    fn files(&self) -> u64 {
        let closed = u64::try_from(self.usage.closed_count()).expect("counts fit in 64 bits");
        let reserve = u64::from(self.reserve != Reserve::None);
        closed + u64::from(self.active.is_some()) + reserve + u64::from(self.removing.is_some())
    }

    /// Whether one more segment would break the budget.
    fn is_crowded(&self) -> bool {
        (self.files() + 1) * self.config.segment_bytes > self.config.budget_bytes
    }

    fn next_prepare(&mut self) -> Option<DiskCommand> {
        let is_wanted = !self.is_stopping || (self.active.is_none() && !self.is_drained());
        let is_due = self.prepare_retry_at.is_none_or(|at| at <= self.now);
        if self.reserve != Reserve::None || !is_wanted || !is_due || self.is_crowded() {
            return None;
        }
        let segment = self.next_segment;
        self.reserve = Reserve::Preparing(segment);
        let header = SegmentHeader { set: self.set, segment };
        Some(DiskCommand::Prepare { segment, header, bytes: self.config.segment_bytes })
    }

    fn complete_prepare(&mut self, segment: SegmentId, outcome: Result<(), DiskError>) {
        assert_eq!(self.reserve, Reserve::Preparing(segment), "one is prepared at a time");
        self.prepare_error = outcome.err();
        if outcome.is_ok() {
            self.reserve = Reserve::Ready(segment);
            self.next_segment = segment.next();
            self.prepare_retry_at = None;
            self.has_had_room = true;
        } else {
            self.reserve = Reserve::None;
            self.prepare_retry_at = Some(self.now.plus_ms(DISK_RETRY_MS));
        }
    }

    fn next_remove(&mut self) -> Option<DiskCommand> {
        let is_due = self.remove_retry_at.is_none_or(|at| at <= self.now);
        if self.removing.is_some() || self.is_stopping || !is_due {
            return None;
        }
        let crowded = self.reserve == Reserve::None && self.is_crowded();
        let removed = self.usage.take_removable(self.wall, self.config.retention, crowded)?;
        let is_busy = self.to_sync.is_some()
            || self.sync.is_some_and(|sync| sync.segment == removed.segment)
            || self.write.as_ref().is_some_and(|write| write.segment == removed.segment);
        if is_busy {
            self.usage.put_back(removed);
            return None;
        }
        self.removing = Some(removed);
        Some(DiskCommand::Remove { segment: removed.segment })
    }

    fn complete_remove(&mut self, segment: SegmentId, outcome: Result<(), DiskError>) {
        let removed = self.removing.take().expect("one is removed at a time");
        assert_eq!(removed.segment, segment, "one is removed at a time");
        self.remove_retry_at = None;
        if outcome.is_err() {
            self.usage.put_back(removed);
            self.remove_retry_at = Some(self.now.plus_ms(DISK_RETRY_MS));
        }
    }

    /// Closes the active segment: nothing is written to it any more.
    fn close_active(&mut self, end: Sequence) {
        if let Some(active) = self.active.take() {
            let segment = active.segment;
            self.usage.note_closed(ClosedSegment { segment, end, newest: self.newest });
        }
    }

    /// Whether nothing is left to write or to sync.
    fn is_drained(&self) -> bool {
        self.queue.is_empty() && self.unsynced.is_empty()
    }

    fn is_synced(&self) -> bool {
        self.synced >= self.written && self.to_sync.is_none()
    }

    /// Whether the active segment holds nothing but what is applied and older than the retention:
    /// it is then left, so that it can be removed.
    fn is_active_stale(&self) -> bool {
        let has_batches = self
            .active
            .is_some_and(|active| active.is_opened && active.offset > FIRST_BATCH_OFFSET);
        has_batches
            && !self.is_stopping
            && self.is_drained()
            && self.is_synced()
            && self.usage.applied() >= self.written
            && self.wall.since(self.newest) > self.config.retention
    }
}

#[cfg(test)]
mod tests;

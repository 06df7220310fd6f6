//! The lanes between shards, journal and SQL: bounded queues of records and acknowledgements, and
//! watermarks. Knows nothing of files.
//!
//! A shard has at most [`LANE_BATCHES_MAX`] lane batches that are not acknowledged, so neither of
//! its two queues can run over. Replies (acknowledgements) have a queue of their own.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crossbeam::atomic::AtomicCell;
use crossbeam::queue::ArrayQueue;
use crossbeam::utils::CachePadded;

use crate::wake::Waker;
use nudged_base::ids::{Sequence, ShardId};
use nudged_base::limits::LANE_BATCHES_MAX;
use nudged_journal::appender::{AppenderMetrics, Poison};
use nudged_journal::lane::{Ack, LaneBatch};

/// The two queues of one shard.
#[derive(Debug)]
struct ShardLane {
    to_journal: ArrayQueue<LaneBatch>,
    acks: ArrayQueue<Ack>,
    outstanding: AtomicUsize,
    pushed: AtomicU64,
    acknowledged: AtomicU64,
    promised_bytes: AtomicU64,
}

/// All lanes of a node. Shared by the shards, the journal's core and the SQL thread.
#[derive(Debug)]
pub struct JournalLanes {
    lanes: Vec<CachePadded<ShardLane>>,
    core: Waker,
    /// Read by every shard each turn, so it stands apart from the other numbers.
    is_accepting: CachePadded<AtomicBool>,
    written: CachePadded<AtomicU64>,
    /// Stored each turn of the journal, beside what shards read each turn.
    metrics: CachePadded<AtomicCell<AppenderMetrics>>,
    applied: CachePadded<AtomicU64>,
    is_stopping: AtomicBool,
    poison: OnceLock<Poison>,
    /// Why the node's own disk takes nothing, for people, and how often that has changed.
    lack: Mutex<Option<Arc<str>>>,
    lack_changes: AtomicU64,
}

impl JournalLanes {
    /// Lanes for so many shards. Allocates their queues.
    ///
    /// # Errors
    /// Where no descriptor can be had to wake the journal's core by.
    pub fn new(shards: u16) -> rustix::io::Result<JournalLanes> {
        let lane = || {
            CachePadded::new(ShardLane {
                to_journal: ArrayQueue::new(LANE_BATCHES_MAX),
                acks: ArrayQueue::new(LANE_BATCHES_MAX),
                outstanding: AtomicUsize::new(0),
                pushed: AtomicU64::new(0),
                acknowledged: AtomicU64::new(0),
                promised_bytes: AtomicU64::new(0),
            })
        };
        Ok(JournalLanes {
            lanes: (0..shards).map(|_| lane()).collect(),
            core: Waker::new()?,
            is_accepting: CachePadded::default(),
            written: CachePadded::default(),
            metrics: CachePadded::default(),
            applied: CachePadded::new(AtomicU64::new(0)),
            is_stopping: AtomicBool::new(false),
            poison: OnceLock::new(),
            lack: Mutex::new(None),
            lack_changes: AtomicU64::new(0),
        })
    }

    // --- the shard's side ------------------------------------------------------------------------

    /// How many more lane batches a shard may push before one is acknowledged. To be asked before
    /// a decision is made whose record has to be pushed.
    pub fn room(&self, shard: ShardId) -> usize {
        LANE_BATCHES_MAX - self.lanes[shard.index()].outstanding.load(Ordering::Relaxed)
    }

    /// Whether decisions may rest on records now: budgets, disk, health.
    pub fn is_accepting(&self) -> bool {
        self.is_accepting.load(Ordering::Relaxed)
    }

    /// Hands a turn's records over and wakes the journal's core. Only the shard itself may.
    ///
    /// # Errors
    /// The batch itself, where [`JournalLanes::room`] is 0.
    pub fn push(&self, batch: LaneBatch) -> Result<(), LaneBatch> {
        let lane = &self.lanes[batch.shard.index()];
        if lane.outstanding.load(Ordering::Relaxed) >= LANE_BATCHES_MAX {
            return Err(batch);
        }
        lane.outstanding.fetch_add(1, Ordering::Relaxed);
        lane.pushed.fetch_add(1, Ordering::Release);
        lane.to_journal.push(batch).expect("no more are outstanding than the queue holds");
        self.core.wake();
        Ok(())
    }

    /// Has room kept for so many bytes of records that a shard may push whether or not the journal
    /// takes others. Only the shard itself may.
    pub(crate) fn set_promised(&self, shard: ShardId, bytes: u64) {
        self.lanes[shard.index()].promised_bytes.store(bytes, Ordering::Release);
        self.core.wake();
    }

    /// The next acknowledgement for a shard. Only the shard itself may take it.
    pub(crate) fn pop_ack(&self, shard: ShardId) -> Option<Ack> {
        let lane = &self.lanes[shard.index()];
        let ack = lane.acks.pop()?;
        lane.outstanding.fetch_sub(1, Ordering::Relaxed);
        Some(ack)
    }

    /// Whether an acknowledgement waits for a shard.
    pub(crate) fn has_ack(&self, shard: ShardId) -> bool {
        !self.lanes[shard.index()].acks.is_empty()
    }

    // --- everyone's side -------------------------------------------------------------------------

    /// Batches that each shard has pushed, and those of them that the journal has acknowledged.
    /// What is acknowledged counts in [`JournalLanes::written`]. Allocates.
    pub fn batches(&self) -> (Vec<u64>, Vec<u64>) {
        let of = |number: fn(&ShardLane) -> &AtomicU64| {
            self.lanes.iter().map(|lane| number(lane).load(Ordering::Acquire)).collect()
        };
        // In this order: nothing is then acknowledged that was not pushed.
        let acknowledged = of(|lane| &lane.acknowledged);
        (of(|lane| &lane.pushed), acknowledged)
    }

    /// Everything up to here is in the files.
    pub fn written(&self) -> Sequence {
        Sequence(self.written.load(Ordering::Acquire))
    }

    /// Everything up to here is in SQL.
    pub fn applied(&self) -> Sequence {
        Sequence(self.applied.load(Ordering::Acquire))
    }

    /// Says that everything up to here is in SQL. Only the SQL thread may.
    pub fn set_applied(&self, applied: Sequence) {
        self.applied.store(applied.0, Ordering::Release);
        self.core.wake();
    }

    /// Why the event path is closed for good, if it is: exit code 4 at the end of the process.
    pub fn poison(&self) -> Option<Poison> {
        self.poison.get().copied()
    }

    /// Why the node's own disk takes nothing: which directory lacks how many bytes, or how it has
    /// failed. `None` while it takes records.
    pub fn lack(&self) -> Option<Arc<str>> {
        self.lack.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts the changes of [`JournalLanes::lack`].
    pub(crate) fn lack_changes(&self) -> u64 {
        self.lack_changes.load(Ordering::Acquire)
    }

    /// What the journal told of itself last.
    pub fn metrics(&self) -> AppenderMetrics {
        self.metrics.load()
    }

    // --- the journal's side ----------------------------------------------------------------------

    pub(super) fn core(&self) -> &Waker {
        &self.core
    }

    pub(super) fn shards(&self) -> usize {
        self.lanes.len()
    }

    pub(super) fn pop(&self, shard: usize) -> Option<LaneBatch> {
        self.lanes[shard].to_journal.pop()
    }

    /// Bytes for which all shards together have room kept.
    pub(crate) fn promised_bytes(&self) -> u64 {
        let of = |lane: &CachePadded<ShardLane>| lane.promised_bytes.load(Ordering::Acquire);
        self.lanes.iter().map(of).fold(0, u64::saturating_add)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lanes.iter().all(|lane| lane.to_journal.is_empty())
    }

    pub(super) fn acknowledge(&self, ack: Ack) {
        let lane = &self.lanes[ack.shard.index()];
        lane.acknowledged.fetch_add(1, Ordering::Release);
        lane.acks.push(ack).expect("no more are outstanding than the queue holds");
    }

    /// Publishes what the journal tells of itself; returns whether there is more to read than
    /// before.
    pub(super) fn publish(&self, metrics: AppenderMetrics) -> bool {
        self.metrics.store(metrics);
        self.is_accepting.store(metrics.is_accepting, Ordering::Relaxed);
        self.written.swap(metrics.written.0, Ordering::AcqRel) < metrics.written.0
    }

    pub(super) fn set_lack(&self, lack: Option<&str>) {
        *self.lack.lock().unwrap_or_else(PoisonError::into_inner) = lack.map(Arc::from);
        self.lack_changes.fetch_add(1, Ordering::Release);
    }

    pub(super) fn set_poison(&self, poison: Poison) {
        // The first reason counts.
        let _ = self.poison.set(poison);
    }

    pub(super) fn stop(&self) {
        self.is_stopping.store(true, Ordering::SeqCst);
        self.core.wake();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nudged_base::ids::LaneSequence;

    fn batch(first: u64) -> LaneBatch {
        LaneBatch { shard: ShardId(1), first: LaneSequence(first), count: 1, bytes: vec![0; 8] }
    }

    #[test]
    fn a_lane_is_bounded_by_what_is_not_acknowledged() {
        let lanes = JournalLanes::new(2).unwrap();
        for first in 1..=u64::try_from(LANE_BATCHES_MAX).unwrap() {
            lanes.push(batch(first)).unwrap();
        }
        assert_eq!((lanes.room(ShardId(1)), lanes.room(ShardId(0))), (0, LANE_BATCHES_MAX));
        assert_eq!(lanes.push(batch(9)), Err(batch(9)));
        let taken = lanes.pop(1).unwrap();
        assert_eq!(lanes.push(batch(9)), Err(batch(9)), "it is taken, but not acknowledged");
        let upto = taken.last();
        let (shard, buffer) = (taken.shard, taken.bytes);
        lanes.acknowledge(Ack { shard, upto, upto_sequence: Sequence(1), buffer });
        assert_eq!(lanes.push(batch(9)), Err(batch(9)), "the shard has not seen it");
        assert!(lanes.pop_ack(ShardId(0)).is_none());
        assert_eq!(lanes.pop_ack(ShardId(1)).unwrap().upto, LaneSequence(1));
        let pushed = u64::try_from(LANE_BATCHES_MAX).unwrap();
        assert_eq!(lanes.batches(), (vec![0, pushed], vec![0, 1]));
        assert_eq!(lanes.push(batch(9)), Ok(()));
    }

    #[test]
    fn what_shards_were_promised_adds_up() {
        let lanes = JournalLanes::new(3).unwrap();
        for (shard, bytes) in [(0, 5), (2, 7), (0, 6)] {
            lanes.set_promised(ShardId(shard), bytes);
        }
        assert_eq!(lanes.promised_bytes(), 13);
    }
}

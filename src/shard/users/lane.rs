//! A shard's lane to the journal: the records of a turn go out as one batch, outcomes that rest on
//! them wait for the acknowledgement, and what SQL has applied may be evicted.
//!
//! Bounded by `LANE_BYTES_MAX` and `LANE_BATCHES_MAX`: a change that finds no room is refused
//! before it is made, so an append never fails.

use std::collections::VecDeque;

use crate::origin::Origin;
use nudged_api::outcome::EncodedOutcome;
use nudged_base::ids::{LaneSequence, Sequence, ShardId};
use nudged_base::limits::{
    ACK_DEADLINE_MS, LANE_BATCHES_MAX, LANE_BYTES_MAX, PARKED_MAX, RECORD_BYTES_MAX,
    WAITING_BYTES_MAX,
};
use nudged_base::time::MonoNs;
use nudged_journal::lane::{Ack, LaneBatch};
use nudged_journal::record::{self, Record};

/// Buffers for a turn's records that are kept for use again.
const SPARE_MAX: usize = 64;
/// A buffer that grew beyond this is freed instead, in bytes.
const SPARE_BYTES_MAX: usize = 64 * 1_024;
/// Acknowledged batches that are told apart until SQL has applied them; more are merged in pairs,
/// which only delays evictions.
const APPLY_MARKS_MAX: usize = 8_192;

/// An outcome that waits for the journal.
#[derive(Debug)]
pub(crate) struct WaitingOutcome {
    /// The last record it rests on.
    pub upto: LaneSequence,
    /// When it began to wait; it is given up `ACK_DEADLINE_MS` later.
    pub since: MonoNs,
    /// Who waits.
    pub origin: Origin,
    /// What goes there once the record is acknowledged; where the journal is too slow, what is left
    /// of it without ([`Outcome::unless_kept`]).
    ///
    /// [`Outcome::unless_kept`]: nudged_api::outcome::Outcome::unless_kept
    pub outcome: EncodedOutcome,
}

/// A place in the turn's records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LaneMark {
    bytes: usize,
    count: u32,
    last: LaneSequence,
}

impl LaneMark {
    /// The last record before the mark.
    pub(crate) fn last(&self) -> LaneSequence {
        self.last
    }
}

/// The lane of one shard.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    shard: ShardId,
    last: LaneSequence,
    acked: LaneSequence,
    acked_sequence: Sequence,
    applied: LaneSequence,
    accepting: bool,
    turn_bytes: Vec<u8>,
    turn_count: u32,
    reserved_bytes: usize,
    spare: Vec<Vec<u8>>,
    sizes: VecDeque<usize>,
    bytes_in_flight: usize,
    waiting: VecDeque<WaitingOutcome>,
    waiting_bytes: usize,
    marks: VecDeque<(LaneSequence, Sequence)>,
    applied_sequence: Sequence,
}

impl Lane {
    /// An empty lane of `shard`.
    pub(crate) fn new(shard: ShardId) -> Lane {
        Lane { shard, accepting: true, ..Lane::default() }
    }

    /// Whether `records` more records are sure to be taken.
    pub(crate) fn has_room(&self, records: usize) -> bool {
        self.has_room_for(records * RECORD_BYTES_MAX)
    }

    fn has_room_for(&self, wanted_bytes: usize) -> bool {
        self.accepting
            && self.has_own_room(wanted_bytes)
            && self.waiting.len() < PARKED_MAX
            && self.waiting_bytes < WAITING_BYTES_MAX
    }

    /// The lane's own bounds alone.
    fn has_own_room(&self, wanted_bytes: usize) -> bool {
        self.sizes.len() < LANE_BATCHES_MAX
            && self.bytes_under_way() + wanted_bytes <= LANE_BYTES_MAX
    }

    /// Bytes of records that the journal has not acknowledged, and of those that may follow.
    pub(crate) fn bytes_under_way(&self) -> usize {
        self.bytes_in_flight + self.turn_bytes.len() + self.reserved_bytes
    }

    /// Whether the lane has room for `records` more records that were promised: the journal keeps
    /// room for them ([`promised_bytes`]) and is not asked, since they are what it waits for when
    /// nothing else moves. No answer waits for them.
    ///
    /// [`promised_bytes`]: crate::users::unmerged::UnmergedTable::promised_bytes
    pub(crate) fn has_room_promised(&self, records: usize) -> bool {
        self.has_own_room(records * RECORD_BYTES_MAX)
    }

    /// Keeps room for records that are encoded and not yet certain, this many bytes of them.
    /// Whether there is so much; for none there always is.
    pub(crate) fn reserve(&mut self, bytes: usize) -> bool {
        let has_room = bytes == 0 || self.has_room_for(bytes);
        if has_room {
            self.reserved_bytes += bytes;
        }
        has_room
    }

    /// The same for records that were promised; see [`Lane::has_room_promised`].
    pub(crate) fn reserve_promised(&mut self, bytes: usize) -> bool {
        let has_room = self.has_own_room(bytes);
        if has_room {
            self.reserved_bytes += bytes;
        }
        has_room
    }

    /// Gives reserved room back.
    pub(crate) fn release(&mut self, bytes: usize) {
        assert!(bytes <= self.reserved_bytes, "what is released was reserved");
        self.reserved_bytes -= bytes;
    }

    /// Adds records that are framed already; the last of them. Room must have been reserved, or
    /// asked for.
    pub(crate) fn append_framed(&mut self, framed: &[u8]) -> LaneSequence {
        for frame in record::frames(framed) {
            debug_assert!(frame.is_ok(), "we framed it");
            self.turn_count += 1;
            self.last = LaneSequence(self.last.0 + 1);
        }
        self.turn_bytes.extend_from_slice(framed);
        self.last
    }

    /// Adds a record; `has_room` must have been asked.
    pub(crate) fn append(&mut self, record: &Record<'_>) -> LaneSequence {
        let before = self.turn_bytes.len();
        record::append(record, &mut self.turn_bytes);
        assert!(self.turn_bytes.len() - before <= RECORD_BYTES_MAX, "fields are bounded");
        self.turn_count += 1;
        self.last = LaneSequence(self.last.0 + 1);
        self.last
    }

    /// Where the lane stands, for [`Lane::roll_back`].
    pub(crate) fn mark(&self) -> LaneMark {
        LaneMark { bytes: self.turn_bytes.len(), count: self.turn_count, last: self.last }
    }

    /// Takes back what was appended since `mark`, in the same turn.
    pub(crate) fn roll_back(&mut self, mark: LaneMark) {
        assert!(mark.count <= self.turn_count && mark.bytes <= self.turn_bytes.len());
        self.turn_bytes.truncate(mark.bytes);
        self.turn_count = mark.count;
        self.last = mark.last;
    }

    /// The last record appended.
    pub(crate) fn last(&self) -> LaneSequence {
        self.last
    }

    /// Ends the turn: its records as one batch.
    pub(crate) fn flush(&mut self) -> Option<LaneBatch> {
        if self.turn_count == 0 {
            return None;
        }
        let bytes = std::mem::replace(&mut self.turn_bytes, self.spare.pop().unwrap_or_default());
        self.sizes.push_back(bytes.len());
        self.bytes_in_flight += bytes.len();
        let count = std::mem::take(&mut self.turn_count);
        let first = LaneSequence(self.last.0 + 1 - u64::from(count));
        Some(LaneBatch { shard: self.shard, first, count, bytes })
    }

    /// Whether a record is acknowledged.
    pub(crate) fn is_acked(&self, upto: LaneSequence) -> bool {
        upto <= self.acked
    }

    /// The last record that is acknowledged.
    pub(crate) fn acked(&self) -> LaneSequence {
        self.acked
    }

    /// The same by its number in the journal; before the first acknowledgement the number that the
    /// journal went on behind.
    pub(crate) fn acked_sequence(&self) -> Sequence {
        self.acked_sequence
    }

    /// The journal goes on behind this record.
    pub(crate) fn begin_behind(&mut self, sequence: Sequence) {
        self.acked_sequence = sequence;
    }

    /// The last record that SQL is known to have applied: entries up to it may be evicted.
    pub(crate) fn applied(&self) -> LaneSequence {
        self.applied
    }

    /// The last record of the journal that SQL is known to have applied, whichever shard it is of.
    pub(crate) fn applied_sequence(&self) -> Sequence {
        self.applied_sequence
    }

    /// Holds an outcome back until its record is acknowledged.
    pub(crate) fn wait(&mut self, waiting: WaitingOutcome) {
        debug_assert!(waiting.upto > self.acked);
        // Outcomes wait for the lane's tail or, as duplicates do, for an earlier record of it; held
        // to the order of the lane they need no search.
        let tail = self.waiting.back().map_or(waiting.upto, |last| last.upto.max(waiting.upto));
        self.waiting_bytes += waiting.outcome.bytes();
        self.waiting.push_back(WaitingOutcome { upto: tail, ..waiting });
    }

    /// Takes an acknowledgement: what waited for it is handed to `release`.
    pub(crate) fn acknowledge(&mut self, ack: Ack, mut release: impl FnMut(WaitingOutcome)) {
        debug_assert_eq!(ack.shard, self.shard);
        let size = self.sizes.pop_front().expect("one acknowledgement for each batch");
        self.bytes_in_flight -= size;
        (self.acked, self.acked_sequence) = (ack.upto, ack.upto_sequence);
        if ack.buffer.capacity() <= SPARE_BYTES_MAX && self.spare.len() < SPARE_MAX {
            let mut buffer = ack.buffer;
            buffer.clear();
            self.spare.push(buffer);
        }
        self.remember(ack.upto, ack.upto_sequence);
        while self.waiting.front().is_some_and(|first| first.upto <= self.acked) {
            release(self.take_first());
        }
    }

    /// Hands out what has waited too long, to be answered without the record.
    pub(crate) fn expire(&mut self, now: MonoNs, mut give_up: impl FnMut(WaitingOutcome)) {
        while self.next_deadline().is_some_and(|deadline| deadline <= now) {
            give_up(self.take_first());
        }
    }

    /// Puts others in the place of outcomes that wait, where `replace` gives one.
    pub(crate) fn replace_outcomes(
        &mut self,
        mut replace: impl FnMut(&EncodedOutcome) -> Option<EncodedOutcome>,
    ) {
        for waiting in &mut self.waiting {
            if let Some(outcome) = replace(&waiting.outcome) {
                self.waiting_bytes -= waiting.outcome.bytes();
                self.waiting_bytes += outcome.bytes();
                waiting.outcome = outcome;
            }
        }
    }

    fn take_first(&mut self) -> WaitingOutcome {
        let first = self.waiting.pop_front().expect("the caller has seen it");
        self.waiting_bytes -= first.outcome.bytes();
        first
    }

    /// When the first waiting outcome is given up.
    pub(crate) fn next_deadline(&self) -> Option<MonoNs> {
        self.waiting.front().map(|first| first.since.plus_ms(ACK_DEADLINE_MS))
    }

    /// Takes the journal's watermarks.
    pub(crate) fn watermarks(&mut self, accepting: bool, applied: Sequence) {
        self.accepting = accepting;
        self.applied_sequence = self.applied_sequence.max(applied);
        self.settle_marks();
    }

    /// Whether nothing is under way.
    pub(crate) fn is_quiet(&self) -> bool {
        self.turn_count == 0 && self.sizes.is_empty() && self.waiting.is_empty()
    }

    /// Outcomes that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn remember(&mut self, lane: LaneSequence, sequence: Sequence) {
        if self.marks.len() >= APPLY_MARKS_MAX {
            let mut keep = false;
            self.marks.retain(|_| {
                keep = !keep;
                !keep
            });
        }
        self.marks.push_back((lane, sequence));
        self.settle_marks();
    }

    fn settle_marks(&mut self) {
        while let Some((lane, sequence)) = self.marks.front().copied() {
            if sequence > self.applied_sequence {
                break;
            }
            self.applied = lane;
            self.marks.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;

//! The two ends of a batch in memory: lane batches that wait to be made batches of, and batches
//! that wait to be synced. Both are bounded by the appender.

use std::collections::VecDeque;

use super::super::batch::{self, BatchHeader, encoded_bytes};
use super::super::lane::{Ack, LaneBatch};
use super::super::record::frames;
use nudged_base::ids::Sequence;
use nudged_base::limits::BATCH_BYTES_MAX;
use nudged_base::time::WallMs;

/// Lane batches in the order of their offers, and those whose last record has a number but is not
/// acknowledged.
#[derive(Debug, Default)]
pub(super) struct LaneQueue {
    waiting: VecDeque<LaneBatch>,
    /// Bytes and records of the first waiting lane batch that are in batches already.
    front_bytes: usize,
    front_count: u32,
    bytes: usize,
    numbered: VecDeque<(Sequence, LaneBatch)>,
}

impl LaneQueue {
    /// Bytes of records that are not in a batch yet.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether every record is in a batch.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether every lane batch was acknowledged.
    #[cfg(test)]
    pub(super) fn is_acknowledged(&self) -> bool {
        self.waiting.is_empty() && self.numbered.is_empty()
    }

    pub(super) fn push(&mut self, batch: LaneBatch) {
        self.bytes += batch.bytes.len();
        self.waiting.push_back(batch);
    }

    /// How many bytes of records the next batch would have.
    pub(super) fn next_batch_bytes(&self) -> usize {
        // Where the next record does not fit, the batch is smaller; that is soon enough to know.
        self.bytes.min(BATCH_BYTES_MAX)
    }

    /// Moves records into `records` until a batch is full or none is left. Gives their count and
    /// the newest of `newest` and their times.
    ///
    /// # Panics
    /// Where a lane batch is not what its shard said: its bytes come from this process.
    pub(super) fn take(
        &mut self,
        first: Sequence,
        newest: WallMs,
        records: &mut Vec<u8>,
    ) -> (u32, WallMs) {
        let (mut count, mut newest) = (0, newest);
        while let Some(front) = self.waiting.front() {
            let mut walked = frames(&front.bytes[self.front_bytes..]);
            let (mut taken_bytes, mut taken_count, mut is_full) = (0, 0, false);
            for frame in &mut walked {
                let frame = frame.expect("a shard frames its records");
                if records.len() + taken_bytes + frame.framed_bytes() > BATCH_BYTES_MAX {
                    is_full = true;
                    break;
                }
                taken_bytes += frame.framed_bytes();
                taken_count += 1;
                newest = newest.max(frame.at());
            }
            let from = self.front_bytes;
            records.extend_from_slice(&front.bytes[from..from + taken_bytes]);
            count += taken_count;
            self.front_bytes += taken_bytes;
            self.front_count += taken_count;
            self.bytes -= taken_bytes;
            if is_full {
                break;
            }
            self.finish_front(Sequence(first.0 + u64::from(count) - 1));
        }
        (count, newest)
    }

    fn finish_front(&mut self, last: Sequence) {
        let done = self.waiting.pop_front().expect("a lane batch was just taken from");
        assert_eq!(done.count, self.front_count, "a shard counts its records");
        (self.front_bytes, self.front_count) = (0, 0);
        self.numbered.push_back((last, done));
    }

    /// Gives up the lane batches whose records are all at or below `upto`.
    pub(super) fn acknowledge(&mut self, upto: Sequence, acks: &mut VecDeque<Ack>) {
        while self.numbered.front().is_some_and(|(last, _)| *last <= upto) {
            let (last, batch) = self.numbered.pop_front().expect("it was just looked at");
            let (shard, lane_last) = (batch.shard, batch.last());
            let mut buffer = batch.bytes;
            buffer.clear();
            acks.push_back(Ack { shard, upto: lane_last, upto_sequence: last, buffer });
        }
    }
}

/// A batch, encoded, whose sync has not completed.
#[derive(Debug)]
pub(super) struct UnsyncedBatch {
    pub(super) header: BatchHeader,
    pub(super) bytes: Vec<u8>,
}

impl UnsyncedBatch {
    /// The sequence of the batch's last record.
    pub(super) fn last(&self) -> Sequence {
        Sequence(self.header.end().0 - 1)
    }
}

/// Batches whose sync has not completed, oldest first; the first `placed` of them are written to
/// the segment in use.
#[derive(Debug, Default)]
pub(super) struct UnsyncedBatches {
    held: VecDeque<UnsyncedBatch>,
    placed: usize,
    bytes: usize,
    spare: Vec<Vec<u8>>,
}

/// Buffers kept for use again: the write under way and the ones that its sync will free.
const SPARE_MAX: usize = 4;

impl UnsyncedBatches {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    pub(super) fn placed(&self) -> usize {
        self.placed
    }

    pub(super) fn front(&self) -> Option<&UnsyncedBatch> {
        self.held.front()
    }

    /// The next batch to write.
    pub(super) fn next_to_place(&self) -> Option<&UnsyncedBatch> {
        self.held.get(self.placed)
    }

    /// Bytes of the batches that are still to be written.
    pub(super) fn bytes_to_place(&self) -> usize {
        self.held.iter().skip(self.placed).map(|held| held.bytes.len()).sum()
    }

    /// The last batch that is in the segment in use.
    pub(super) fn last_placed(&self) -> Option<&UnsyncedBatch> {
        self.held.get(self.placed.checked_sub(1)?)
    }

    /// Encodes a batch and holds it; returns its CRC.
    pub(super) fn push(&mut self, tag: u32, header: BatchHeader, records: &[u8]) -> u32 {
        let mut bytes = self.spare.pop().unwrap_or_default();
        bytes.reserve(encoded_bytes(records.len()));
        let crc = batch::append(tag, &header, records, &mut bytes);
        self.bytes += bytes.len();
        self.held.push_back(UnsyncedBatch { header, bytes });
        crc
    }

    /// The next batch to write is written.
    pub(super) fn place(&mut self) -> &UnsyncedBatch {
        let held = self.held.get(self.placed).expect("only what is held is written");
        self.placed += 1;
        held
    }

    /// None of them is where it should be: all are to be written again.
    pub(super) fn displace(&mut self) {
        self.placed = 0;
    }

    /// Lets go of the batches up to `synced`.
    pub(super) fn release(&mut self, synced: Sequence) {
        while self.held.front().is_some_and(|held| held.last() <= synced) {
            let mut bytes = self.held.pop_front().expect("it was just looked at").bytes;
            self.bytes -= bytes.len();
            // Displaced ones may yet be synced where they were.
            self.placed = self.placed.saturating_sub(1);
            if self.spare.len() < SPARE_MAX {
                bytes.clear();
                self.spare.push(bytes);
            }
        }
    }
}

//! What of the journal SQL has applied, what its files take, and which of them may go.
//!
//! Unapplied bytes are counted in strides, so that the count is up to [`STRIDE_BYTES`] too high
//! and its memory is bounded: 64 KiB of strides for 256 MiB of records. Files count whole, since
//! they are allocated whole.

use std::collections::VecDeque;

use super::segment::SegmentId;
use nudged_base::ids::Sequence;
use nudged_base::time::{DurationMs, WallMs};

/// Bytes of records in one stride.
pub(crate) const STRIDE_BYTES: u64 = 64 * 1_024;

/// A segment that no more is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClosedSegment {
    /// The segment.
    pub segment: SegmentId,
    /// One more than its last sequence.
    pub end: Sequence,
    /// The newest time of its records, or of what was before them.
    pub newest: WallMs,
}

/// A stretch of records and its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stride {
    last: Sequence,
    bytes: u64,
}

/// What of a journal directory is applied, and what its segments take.
#[derive(Clone, Debug, Default)]
pub struct SegmentUsage {
    closed: VecDeque<ClosedSegment>,
    strides: VecDeque<Stride>,
    unapplied_bytes: u64,
    applied: Sequence,
}

impl SegmentUsage {
    /// The usage of an empty journal, or of one where everything up to `applied` is in SQL.
    pub fn new(applied: Sequence) -> SegmentUsage {
        SegmentUsage { applied, ..SegmentUsage::default() }
    }

    /// Everything up to here is in SQL.
    pub fn applied(&self) -> Sequence {
        self.applied
    }

    /// Bytes of batches that SQL has not applied, up to [`STRIDE_BYTES`] too many.
    pub fn unapplied_bytes(&self) -> u64 {
        self.unapplied_bytes
    }

    /// How many segments are closed.
    pub(crate) fn closed_count(&self) -> usize {
        self.closed.len()
    }

    /// Notes a batch that ends with `last`; batches come in order.
    pub(crate) fn note_batch(&mut self, last: Sequence, bytes: u64) {
        if last <= self.applied {
            return;
        }
        self.unapplied_bytes += bytes;
        match self.strides.back_mut() {
            Some(stride) if stride.bytes + bytes <= STRIDE_BYTES => {
                debug_assert!(stride.last <= last, "batches come in order");
                stride.last = last;
                stride.bytes += bytes;
            }
            _ => self.strides.push_back(Stride { last, bytes }),
        }
    }

    /// Notes how far SQL has come; going back is ignored.
    pub fn note_applied(&mut self, applied: Sequence) {
        self.applied = self.applied.max(applied);
        while let Some(stride) = self.strides.front().filter(|stride| stride.last <= self.applied) {
            self.unapplied_bytes -= stride.bytes;
            self.strides.pop_front();
        }
    }

    /// Notes a closed segment; they come in the order of their ordinals.
    pub(crate) fn note_closed(&mut self, closed: ClosedSegment) {
        let in_order = self.closed.back().is_none_or(|last| last.segment < closed.segment);
        assert!(in_order, "segments close in the order of their ordinals");
        self.closed.push_back(closed);
    }

    /// Takes the oldest segment out of the account if it may go: applied, and older than the
    /// retention by `wall`, or in the way (`crowded`).
    pub(crate) fn take_removable(
        &mut self,
        wall: WallMs,
        retention: DurationMs,
        crowded: bool,
    ) -> Option<ClosedSegment> {
        let oldest = self.closed.front()?;
        let applied = oldest.end.0 <= self.applied.0 + 1;
        let old = wall.since(oldest.newest) > retention;
        if applied && (old || crowded) { self.closed.pop_front() } else { None }
    }

    /// Puts back what [`SegmentUsage::take_removable`] gave, because it could not be removed.
    pub(crate) fn put_back(&mut self, closed: ClosedSegment) {
        self.closed.push_front(closed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(segment: u64, end: u64, newest: i64) -> ClosedSegment {
        let (segment, end) = (SegmentId(segment), Sequence(end));
        ClosedSegment { segment, end, newest: WallMs(newest) }
    }

    #[test]
    fn unapplied_bytes_are_exact_to_a_stride_and_return_to_zero() {
        let mut usage = SegmentUsage::new(Sequence(10));
        usage.note_batch(Sequence(10), 999);
        assert_eq!(usage.unapplied_bytes(), 0, "SQL has it already");
        for last in 11..=4_010 {
            usage.note_batch(Sequence(last), 1_000);
        }
        assert_eq!(usage.unapplied_bytes(), 4_000_000);
        assert!(usage.strides.len() <= 1 + 4_000_000 / 64_000, "memory is bounded by strides");
        for applied in (10..=4_010).step_by(7) {
            usage.note_applied(Sequence(applied));
            let exact = (4_010 - applied) * 1_000;
            let counted = usage.unapplied_bytes();
            assert!(counted >= exact && counted <= exact + STRIDE_BYTES, "at {applied}");
        }
        usage.note_applied(Sequence(5_000));
        usage.note_applied(Sequence(1));
        assert_eq!((usage.unapplied_bytes(), usage.applied()), (0, Sequence(5_000)));
    }

    #[test]
    fn only_applied_segments_go_and_only_when_old_or_in_the_way() {
        let day = DurationMs(100);
        let mut usage = SegmentUsage::new(Sequence(0));
        usage.note_closed(closed(1, 11, 50));
        usage.note_closed(closed(2, 21, 60));
        assert_eq!(usage.take_removable(WallMs(1_000), day, true), None, "not applied");
        usage.note_applied(Sequence(9));
        assert_eq!(usage.take_removable(WallMs(1_000), day, true), None, "its last is not");
        usage.note_applied(Sequence(10));
        assert_eq!(usage.take_removable(WallMs(150), day, false), None, "retained");
        let old = usage.take_removable(WallMs(151), day, false);
        assert_eq!(old, Some(closed(1, 11, 50)));
        usage.put_back(closed(1, 11, 50));
        assert_eq!(usage.take_removable(WallMs(60), day, true), Some(closed(1, 11, 50)));
        assert_eq!(usage.closed_count(), 1);
    }
}

//! The walk over the segments that may hold unapplied records: batch by batch, each proved by its
//! chain, and what is done where one is not.

use super::super::appender::AppenderStart;
use super::super::batch::{self, FoundBatch};
use super::super::disk::{DiskError, DiskRead};
use super::super::record::frames;
use super::super::segment::{FIRST_BATCH_OFFSET, Opening, SegmentId, SetId};
use super::super::usage::{ClosedSegment, SegmentUsage};
use super::index::IndexBuilder;
use super::{Damage, DamageKind, Prefix, RecoverError, Recovered, RecoveryReport};
use nudged_base::ids::Sequence;
use nudged_base::limits::SEGMENT_BYTES;
use nudged_base::time::WallMs;

/// Reads a whole segment. A file longer than any segment is read up to a segment's limit.
pub(super) fn read_image(
    disk: &impl DiskRead,
    segment: SegmentId,
    image: &mut Vec<u8>,
) -> Result<(), DiskError> {
    let bytes = disk.bytes(segment)?.min(SEGMENT_BYTES);
    image.resize(usize::try_from(bytes).expect("a segment is 64 MiB"), 0);
    let count = disk.read_at(segment, 0, image)?;
    image.truncate(count);
    Ok(())
}

/// Position of the last byte that is not zero. Most of a segment is zeros: they are compared by
/// pages.
pub(super) fn last_set_byte(bytes: &[u8]) -> Option<usize> {
    const ZEROS: [u8; 4_096] = [0; 4_096];
    let mut end = bytes.len();
    while end >= ZEROS.len() && bytes[end - ZEROS.len()..end] == ZEROS {
        end -= ZEROS.len();
    }
    bytes[..end].iter().rposition(|byte| *byte != 0)
}

/// Whether a segment without an opening was in use all the same: a batch says that the first one
/// was synced, which comes only behind an opening.
pub(super) fn was_synced(tag: u32, image: &[u8]) -> bool {
    let mut batches = Batches { tag, image, offset: first_batch_offset() };
    let Some((_, first)) = batches.next() else { return false };
    batches.any(|(_, found)| found.header.durable >= first.header.first)
}

fn first_batch_offset() -> usize {
    usize::try_from(FIRST_BATCH_OFFSET).expect("a few KiB")
}

/// Whole batches from an offset on, whatever is between them.
pub(super) struct Batches<'a> {
    pub(super) tag: u32,
    pub(super) image: &'a [u8],
    pub(super) offset: usize,
}

impl Iterator for Batches<'_> {
    type Item = (usize, FoundBatch);

    fn next(&mut self) -> Option<(usize, FoundBatch)> {
        let (offset, found) = batch::scan(self.tag, self.image, self.offset)?;
        self.offset = offset + found.encoded_bytes;
        Some((offset, found))
    }
}

/// Where the walk stands: the next record, and the CRC before it unless damage hides it.
#[derive(Clone, Copy, Debug)]
struct WalkPosition {
    next: Sequence,
    chain: Option<u32>,
}

/// A walk under way.
pub(super) struct Walk {
    tag: u32,
    applied: Sequence,
    place: Option<WalkPosition>,
    newest: WallMs,
    usage: SegmentUsage,
    index: IndexBuilder,
    report: RecoveryReport,
    last_closed: Option<ClosedSegment>,
    clean_end: Option<u64>,
}

/// What a walk found.
pub(super) struct Walked {
    walk: Walk,
    pub(super) report: RecoveryReport,
}

impl Walk {
    pub(super) fn new(
        set: SetId,
        applied: Sequence,
        base: Option<SegmentId>,
        report: RecoveryReport,
    ) -> Walk {
        Walk {
            tag: set.tag(),
            applied,
            place: None,
            newest: WallMs(0),
            usage: SegmentUsage::new(applied),
            index: IndexBuilder::new(base.unwrap_or(SegmentId(1))),
            report,
            last_closed: None,
            clean_end: None,
        }
    }

    /// Notes a segment that SQL has applied, without reading it; `behind` is the opening that ends
    /// it.
    pub(super) fn pass_over(&mut self, segment: SegmentId, behind: Option<&Opening>) {
        let (end, newest) = behind
            .map_or((Sequence(1), WallMs(0)), |opening| (opening.follows, opening.header.newest));
        self.usage.note_closed(ClosedSegment { segment, end, newest });
    }

    /// Walks a segment up to `end`, where the one behind it goes on; `None` for the last.
    ///
    /// # Errors
    /// [`RecoverError::Record`] for a whole batch of what is no record.
    pub(super) fn segment(
        &mut self,
        prefix: &Prefix,
        end: Option<Sequence>,
        image: &[u8],
    ) -> Result<(), RecoverError> {
        if let Some(closed) = self.last_closed.take() {
            self.usage.note_closed(closed);
        }
        self.clean_end = None;
        let mut place = self.enter(prefix, image);
        let mut offset = first_batch_offset();
        while end.is_none_or(|end| place.next < end) {
            let bytes = image.get(offset..).unwrap_or_default();
            match batch::decode(self.tag, bytes) {
                Some((found, records)) if follows(&found, place) => {
                    self.take(prefix.segment, offset, &found, records)?;
                    place = WalkPosition { next: found.header.end(), chain: Some(found.crc) };
                    offset += found.encoded_bytes;
                }
                // Written again where the sync of an earlier segment failed.
                Some((found, _)) if prefix.opening.is_none() && is_before(&found, place) => {
                    offset += found.encoded_bytes;
                }
                _ => match self.resume(prefix.segment, end, place, (image, offset)) {
                    Some((resumed, at)) => (place, offset) = (resumed, at),
                    None => {
                        place = self.leave(prefix.segment, end, place, (image, offset));
                        break;
                    }
                },
            }
        }
        self.place = Some(place);
        let closed =
            ClosedSegment { segment: prefix.segment, end: place.next, newest: self.newest };
        self.last_closed = Some(closed);
        Ok(())
    }

    /// Compares what a segment's opening says with where the walk stands.
    fn enter(&mut self, prefix: &Prefix, image: &[u8]) -> WalkPosition {
        let Some(opening) = prefix.opening else {
            return self.place.unwrap_or_else(|| {
                // The first segment, its opening lost: its first batch has to do.
                let first = Batches { tag: self.tag, image, offset: first_batch_offset() }.next();
                let next = first.map_or(Sequence(self.applied.0 + 1), |(_, b)| b.header.first);
                self.miss(prefix.segment, Sequence(self.applied.0 + 1), next);
                WalkPosition { next, chain: first.map(|(_, found)| found.header.chain) }
            });
        };
        self.newest = self.newest.max(opening.header.newest);
        let header = opening.header;
        match self.place {
            None => self.miss(prefix.segment, Sequence(self.applied.0 + 1), opening.follows),
            Some(place) if place.next < opening.follows => {
                self.miss(prefix.segment, place.next, opening.follows);
            }
            Some(place) => {
                let agrees = place.next == opening.follows
                    && place.chain.is_none_or(|chain| chain == header.chain);
                if !agrees {
                    // The segment before is not the one that was there: its last batch is another.
                    let last = Sequence(place.next.0.max(2) - 1);
                    self.lose(prefix.segment, DamageKind::MissingSegment, last, Some(last));
                }
            }
        }
        WalkPosition { next: header.first, chain: Some(header.chain) }
    }

    /// Where to go on behind a batch that does not follow; `None` where the rest of the segment
    /// is void. Counts what is lost.
    fn resume(
        &mut self,
        segment: SegmentId,
        end: Option<Sequence>,
        place: WalkPosition,
        (image, offset): (&[u8], usize),
    ) -> Option<(WalkPosition, usize)> {
        let later = Batches { tag: self.tag, image, offset }
            .filter(|(_, found)| found.header.first > place.next && found.header.count > 0);
        let (mut resumed, mut durable) = (None, Sequence(0));
        for (at, found) in later {
            if end.is_some_and(|end| found.header.end() > end) {
                break;
            }
            resumed.get_or_insert((at, found.header));
            durable = durable.max(found.header.durable);
            if end.is_some() || durable >= place.next {
                break; // That is enough to know.
            }
        }
        match (resumed, end) {
            (Some((at, header)), end) if end.is_some() || durable >= place.next => {
                let last = Sequence(header.first.0 - 1);
                self.lose(segment, DamageKind::Batches, place.next, Some(last));
                Some((WalkPosition { next: header.first, chain: Some(header.chain) }, at))
            }
            _ => None,
        }
    }

    /// Nothing follows in a segment: the last one ends here, clean or with something that is void;
    /// of another one the rest is lost, unless it ends clean. Then the next opening tells what is
    /// missing.
    fn leave(
        &mut self,
        segment: SegmentId,
        end: Option<Sequence>,
        place: WalkPosition,
        (image, offset): (&[u8], usize),
    ) -> WalkPosition {
        let rest = image.get(offset..).unwrap_or_default();
        match (last_set_byte(rest), end) {
            (None, None) => self.clean_end = u64::try_from(offset).ok(),
            (Some(last), None) => {
                self.report.bytes_cut = u64::try_from(last + 1).expect("a segment is 64 MiB");
            }
            (None, Some(_)) => {}
            (Some(_), Some(end)) => {
                let last = Sequence(end.0 - 1);
                self.lose(segment, DamageKind::Batches, place.next, Some(last));
                return WalkPosition { next: end, chain: None };
            }
        }
        place
    }

    fn take(
        &mut self,
        segment: SegmentId,
        offset: usize,
        found: &FoundBatch,
        records: &[u8],
    ) -> Result<(), RecoverError> {
        let header = found.header;
        self.newest = self.newest.max(header.newest);
        let last = Sequence(header.end().0 - 1);
        if last <= self.applied {
            return Ok(());
        }
        let bytes = u64::try_from(found.encoded_bytes).expect("a batch is below 128 KiB");
        self.usage.note_batch(last, bytes);
        let mut sequence = header.first;
        let mut at = offset + batch::HEADER_BYTES;
        for frame in frames(records) {
            let unreadable = |error| RecoverError::Record(segment, sequence, error);
            let frame = frame.map_err(unreadable)?;
            if sequence > self.applied {
                let record = frame.record().map_err(unreadable)?;
                self.index.add(record.user(), segment, at);
                self.report.unapplied += 1;
            }
            at += frame.framed_bytes();
            sequence = Sequence(sequence.0 + 1);
        }
        if sequence == header.end() {
            Ok(())
        } else {
            let error = super::RecordError::Frame;
            Err(RecoverError::Record(segment, sequence, error))
        }
    }

    /// Records from `first` to before `next` are not where they should be.
    fn miss(&mut self, segment: SegmentId, first: Sequence, next: Sequence) {
        if first < next {
            let last = Sequence(next.0 - 1);
            self.lose(segment, DamageKind::MissingSegment, first, Some(last));
        }
    }

    /// A segment was there: another one was prepared behind it.
    pub(super) fn miss_segment(&mut self, segment: SegmentId) {
        let first = self.place.map_or(Sequence(self.applied.0 + 1), |place| place.next);
        self.lose(segment, DamageKind::MissingSegment, first, None);
    }

    fn lose(
        &mut self,
        segment: SegmentId,
        kind: DamageKind,
        first: Sequence,
        last: Option<Sequence>,
    ) {
        if last.is_some_and(|last| last <= self.applied) {
            self.report.damage_applied += 1;
        } else {
            let first = first.max(Sequence(self.applied.0 + 1));
            self.report.lost.push(Damage { segment, kind, first, last });
        }
    }

    pub(super) fn finish(mut self) -> Walked {
        let report = std::mem::take(&mut self.report);
        Walked { walk: self, report }
    }
}

/// Whether a batch is the one after `place`.
fn follows(found: &FoundBatch, place: WalkPosition) -> bool {
    let header = found.header;
    header.count > 0
        && header.first == place.next
        && place.chain.is_none_or(|chain| chain == header.chain)
}

fn is_before(found: &FoundBatch, place: WalkPosition) -> bool {
    found.header.count > 0 && found.header.end() <= place.next
}

impl Walked {
    /// Puts together what a start goes on with.
    pub(super) fn go_on(
        mut self,
        set: SetId,
        reserve: Option<SegmentId>,
        next_segment: SegmentId,
    ) -> Result<Recovered, RecoverError> {
        let mut walk = self.walk;
        let after_applied = Sequence(walk.applied.0 + 1);
        let place = walk.place.unwrap_or(WalkPosition { next: after_applied, chain: None });
        let next = place.next.max(after_applied);
        self.report.sql_ahead = next.0 - place.next.0;
        let to_sync = walk.last_closed.map(|last| last.segment);
        let is_whole = next == place.next && place.chain.is_some();
        let active = to_sync.zip(walk.clean_end).filter(|_| is_whole);
        if let Some(last) = walk.last_closed.take().filter(|_| active.is_none()) {
            walk.usage.note_closed(last);
        }
        let start = AppenderStart {
            set,
            next,
            follows: place.next,
            chain: place.chain.unwrap_or(set.tag()),
            newest: walk.newest,
            active,
            reserve,
            next_segment,
            to_sync,
            usage: walk.usage,
        };
        let unapplied = walk.index.build(place.next);
        Ok(Recovered { start, unapplied, report: self.report })
    }
}

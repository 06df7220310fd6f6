//! Follows the journal while it is written: batch by batch, from any sequence on, up to what is
//! written. For SQL's side, which reads the files and not the appender's memory.
//!
//! At the end of a segment it goes on in the next one that is opened. Where that one begins before
//! the tail's place (its records were written twice, since a sync had failed), it passes over what
//! it has given already.
//!
//! Limits: one buffer of [`READ_BYTES`]; a batch is given whole.

use super::batch::{self, ENCODED_BYTES_MAX};
use super::disk::{DiskError, DiskRead};
use super::record::{Record, RecordError, RecordFrames, frames};
use super::segment::{FIRST_BATCH_OFFSET, Opening, PREFIX_BYTES, SegmentId, SetId};
use nudged_base::ids::Sequence;

/// Bytes that are read at once: a few of the largest batches.
pub const READ_BYTES: usize = 256 * 1_024;

/// Why a tail can't go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TailError {
    /// A file can't be read.
    #[error("the journal can't be read: {0}")]
    Disk(#[from] DiskError),
    /// A record is said to be written but is not there. It may still come where the disk has just
    /// failed; if it stays away, the journal is damaged.
    #[error("record {1} is missing from {0}")]
    Missing(SegmentId, Sequence),
    /// The sequence is older than the oldest segment.
    #[error("record {0} is no longer in the journal")]
    Removed(Sequence),
}

/// The records of one batch, from the tail's place on.
#[derive(Clone, Debug)]
pub struct TailBatch<'a> {
    next: Sequence,
    frames: RecordFrames<'a>,
}

impl TailBatch<'_> {
    /// The sequence of the next record.
    pub fn next_sequence(&self) -> Sequence {
        self.next
    }
}

impl<'a> Iterator for TailBatch<'a> {
    type Item = (Sequence, Result<Record<'a>, RecordError>);

    fn next(&mut self) -> Option<Self::Item> {
        let record = self.frames.next()?.and_then(|frame| frame.record());
        let sequence = self.next;
        self.next = Sequence(sequence.0 + 1);
        Some((sequence, record))
    }
}

/// A place in the journal that moves on.
#[derive(Debug)]
pub struct Tail {
    tag: u32,
    next: Sequence,
    skipped: Vec<(Sequence, Sequence)>,
    segment: SegmentId,
    offset: u64,
    chain: Option<u32>,
    /// The sequence that follows the batch whose CRC is `chain`.
    reached: Sequence,
    /// Where the next opened segment goes on: what this one holds from there on is void.
    end: Option<Sequence>,
    buffer: Vec<u8>,
    /// The part of `buffer` that is read and not given, and so at `offset`.
    from: usize,
    to: usize,
}

impl Tail {
    /// A tail whose next record is `next`. Where numbers from there on were given up, it begins
    /// behind them. `skipped` are the stretches, first and last, that a person told recovery to go
    /// on without. Allocates its buffer.
    ///
    /// # Errors
    /// [`TailError::Removed`] where the oldest segment begins later.
    pub fn seek(
        disk: &impl DiskRead,
        set: SetId,
        next: Sequence,
        skipped: Vec<(Sequence, Sequence)>,
    ) -> Result<Tail, TailError> {
        let segments = disk.segments()?;
        let mut tail = Tail {
            tag: set.tag(),
            next,
            skipped,
            segment: segments.first().copied().unwrap_or(SegmentId(1)),
            offset: FIRST_BATCH_OFFSET,
            chain: None,
            reached: Sequence(0),
            end: None,
            buffer: vec![0; READ_BYTES],
            from: 0,
            to: 0,
        };
        tail.pass_skipped();
        let mut is_removed = false;
        for segment in segments.into_iter().rev() {
            tail.segment = segment;
            let opening = tail.opening(disk, segment)?;
            // One that was never opened, or has lost its opening: it may be the place.
            is_removed = opening.is_some_and(|opening| opening.follows > tail.next);
            match opening {
                Some(opening) if is_removed => tail.end = Some(opening.follows),
                Some(opening) => {
                    tail.enter(segment, &opening);
                    break;
                }
                None => {}
            }
        }
        if is_removed { Err(TailError::Removed(tail.next)) } else { Ok(tail) }
    }

    fn enter(&mut self, segment: SegmentId, opening: &Opening) {
        self.next = self.next_if_in_gap(opening);
        (self.segment, self.offset) = (segment, FIRST_BATCH_OFFSET);
        (self.chain, self.from, self.to) = (Some(opening.header.chain), 0, 0);
        self.reached = opening.header.first;
    }

    /// The place, or behind the numbers that were given up before a segment.
    fn next_if_in_gap(&self, opening: &Opening) -> Sequence {
        let is_in_gap = self.next >= opening.follows && self.next < opening.header.first;
        if is_in_gap { opening.header.first } else { self.next }
    }

    /// The sequence of the next record that this tail will give.
    pub fn next_sequence(&self) -> Sequence {
        self.next
    }

    /// The records of the next batch; `None` where nothing at or below `written` is left. Does not
    /// allocate.
    ///
    /// # Errors
    /// [`TailError`]; the place is kept, so that the same call may be tried again.
    pub fn next(
        &mut self,
        disk: &impl DiskRead,
        written: Sequence,
    ) -> Result<Option<TailBatch<'_>>, TailError> {
        while self.next <= written {
            self.pass_skipped();
            let is_void = self.end.is_some_and(|end| end <= self.next);
            let found = if is_void { None } else { self.find(disk)? };
            let Some((length, header)) = found else {
                if self.enter_next(disk)? || self.pass_damage(disk)? {
                    continue;
                }
                return Err(TailError::Missing(self.segment, self.next));
            };
            let from = self.from;
            self.from += length;
            self.reached = header.end();
            self.offset += u64::try_from(length).expect("a batch is below 128 KiB");
            if header.end() <= self.next {
                continue;
            }
            let bytes = &self.buffer[from..from + length];
            let (_, records) = batch::decode(self.tag, bytes).expect("it was just decoded");
            let mut batch = TailBatch { next: header.first, frames: frames(records) };
            while batch.next < self.next && batch.next().is_some() {}
            self.next = header.end();
            return Ok(Some(batch));
        }
        Ok(None)
    }

    /// Finds the batch at the tail's place, in the buffer or, read anew, in the file.
    fn find(
        &mut self,
        disk: &impl DiskRead,
    ) -> Result<Option<(usize, batch::BatchHeader)>, TailError> {
        for is_fresh in [false, true] {
            if is_fresh {
                self.from = 0;
                self.to = read_if_there(disk, self.segment, self.offset, &mut self.buffer)?;
            }
            let found = batch::decode(self.tag, &self.buffer[self.from..self.to]);
            let found = found.map(|(found, _)| found).filter(|found| {
                let follows = self.chain.is_none_or(|chain| chain == found.header.chain);
                found.header.count > 0 && found.header.first <= self.next && follows
            });
            if let Some(found) = found {
                self.chain = Some(found.crc);
                return Ok(Some((found.encoded_bytes, found.header)));
            }
        }
        Ok(None)
    }

    /// Goes to the next segment if it is opened and goes on at or before the tail's place, or has
    /// lost its opening and goes on exactly there.
    fn enter_next(&mut self, disk: &impl DiskRead) -> Result<bool, TailError> {
        let segments = disk.segments()?;
        let here = self.segment;
        let mut later = segments.into_iter().filter(|segment| *segment > here);
        let mut is_entered = false;
        for segment in later.by_ref() {
            let Some(opening) = self.opening(disk, segment)? else {
                let place = (self.segment, self.offset);
                (self.segment, self.offset) = (segment, FIRST_BATCH_OFFSET);
                let chain = self.chain;
                if self.find(disk)?.is_some() {
                    self.chain = chain;
                    is_entered = true;
                    break;
                }
                (self.segment, self.offset) = place;
                (self.from, self.to) = (0, 0);
                continue;
            };
            if opening.follows <= self.next {
                self.enter(segment, &opening);
                is_entered = true;
            }
            break;
        }
        if is_entered {
            self.end = None;
            for segment in later {
                if let Some(opening) = self.opening(disk, segment)? {
                    self.end = Some(opening.follows);
                    break;
                }
            }
        }
        Ok(is_entered)
    }

    fn opening(
        &self,
        disk: &impl DiskRead,
        segment: SegmentId,
    ) -> Result<Option<Opening>, TailError> {
        let mut prefix = [0; PREFIX_BYTES];
        let count = match disk.read_at(segment, 0, &mut prefix) {
            Ok(count) => count,
            // Removed since it was listed: applied.
            Err(DiskError::Missing) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(Opening::decode(self.tag, &prefix[..count]).map(|(opening, _)| opening))
    }

    /// Moves the place behind a stretch that a person gave up.
    fn pass_skipped(&mut self) {
        let next = self.next;
        let inside = self.skipped.iter().find(|(first, last)| (*first..=*last).contains(&next));
        if let Some((_, last)) = inside {
            self.next = Sequence(last.0 + 1);
        }
    }

    /// Looks for the tail's place behind damage: records before it are SQL's already, or given up.
    fn pass_damage(&mut self, disk: &impl DiskRead) -> Result<bool, TailError> {
        let mut at = self.offset;
        (self.from, self.to) = (0, 0);
        loop {
            let count = read_if_there(disk, self.segment, at, &mut self.buffer)?;
            let bytes = &self.buffer[..count];
            if let Some((offset, found)) = batch::scan(self.tag, bytes, 0) {
                // One that comes right after the last, and still does not follow, is of another
                // past.
                let is_stranger = found.header.first <= self.reached;
                if found.header.first > self.next || is_stranger {
                    return Ok(false);
                }
                let skipped = u64::try_from(offset).expect("within the buffer");
                (self.from, self.to) = (offset, count);
                self.offset = at + skipped;
                self.chain = Some(found.header.chain);
                return Ok(true);
            }
            if count <= ENCODED_BYTES_MAX {
                return Ok(false);
            }
            // The last batch may begin in this buffer and end behind it.
            at += u64::try_from(count - ENCODED_BYTES_MAX).expect("within the buffer");
            at -= at % 8;
        }
    }
}

/// Reads from a segment that may be gone: a tail that has given all of it may find it applied and
/// removed, and goes on in the next one.
fn read_if_there(
    disk: &impl DiskRead,
    segment: SegmentId,
    offset: u64,
    buffer: &mut [u8],
) -> Result<usize, DiskError> {
    match disk.read_at(segment, offset, buffer) {
        Err(DiskError::Missing) => Ok(0),
        other => other,
    }
}

//! What a start does with the files it finds. Reads only: nothing is cut or mended in place; where
//! a segment does not end clean, the next one is opened behind its last valid batch.
//!
//! | found | done |
//! |---|---|
//! | no segments | a fresh set, from the sequence that SQL has |
//! | zeros behind the last batch | go on there |
//! | something else there, never durable | cut: void from the last valid batch on, bytes counted |
//! | the same, durable by a later batch's mark | damage |
//! | a batch that does not follow, behind it valid ones, in an earlier segment | damage |
//! | a segment's opening says more than the segment before holds | damage |
//! | an ordinal missing | damage, unless SQL has all of it |
//! | headers: one copy | use it, count it · none, of another set, of another version: stop |
//! | SQL ahead of the files | numbers in between are given up, a new segment is opened |
//!
//! Damage is never passed over silently: recovery fails and lists the sequences; with
//! [`RecoverOptions::skip_damaged`] exactly the damaged batches are left out, and listed. Damage
//! that SQL has applied already costs nothing and is only counted.
//!
//! Segments before the first unapplied record are not read beyond their first 8 KiB. `inspect` is
//! for people, and stops at nothing.

mod index;
pub mod inspect;
mod walk;

pub use index::UnappliedIndex;

use self::walk::Walk;
use super::appender::AppenderStart;
use super::disk::{DiskError, DiskRead};
use super::record::RecordError;
use super::segment::{
    HEADERS_BYTES, HeaderError, Opening, PREFIX_BYTES, SegmentHeader, SegmentId, SetId,
};
use nudged_base::ids::Sequence;

/// What recovery has to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoverOptions {
    /// Everything up to here is in SQL.
    pub applied: Sequence,
    /// The identity of the set, should the directory be empty: random.
    pub fresh_set: SetId,
    /// Go on without damaged batches; a person said so.
    pub skip_damaged: bool,
}

/// What was wrong where records are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamageKind {
    /// Batches that are not whole.
    Batches,
    /// Records that a later segment says were before it are not there.
    MissingSegment,
}

/// Records that are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment that they should be in, or where they are missed.
    pub segment: SegmentId,
    /// What was wrong.
    pub kind: DamageKind,
    /// The first lost sequence.
    pub first: Sequence,
    /// The last lost sequence; `None` where nobody knows.
    pub last: Option<Sequence>,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match self.kind {
            DamageKind::Batches => "damaged",
            DamageKind::MissingSegment => "missing",
        };
        write!(formatter, "records {} to ", self.first.0)?;
        match self.last {
            Some(last) => write!(formatter, "{}", last.0)?,
            None => write!(formatter, "an unknown end")?,
        }
        write!(formatter, " {what} at {}", self.segment)
    }
}

/// Why a journal can't be used. Each is exit code 4 (storage).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecoverError {
    /// A file could not be read.
    #[error("the journal can't be read: {0}")]
    Disk(#[from] DiskError),
    /// Neither header of a segment is whole.
    #[error("both headers of {0} are damaged")]
    Header(SegmentId),
    /// A segment of another format.
    #[error("{0} has format version {1}, which this version of nudged can't read")]
    Version(SegmentId, u32),
    /// A segment of another set, or under another's name.
    #[error("{0} belongs to another journal, or to another position in this one")]
    Foreign(SegmentId),
    /// Records are lost, and nobody said to go on without them.
    #[error("the journal is damaged: {}", listed(.0))]
    Damaged(Vec<Damage>),
    /// A whole batch holds what is no record.
    #[error("record {1} in {0} can't be read: {2}")]
    Record(SegmentId, Sequence, RecordError),
}

fn listed(damages: &[Damage]) -> String {
    damages.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// What recovery saw, for the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Whether the directory was empty.
    pub is_fresh: bool,
    /// Bytes behind the last valid batch that are void: never durable, never promised to be.
    pub bytes_cut: u64,
    /// Segments of which only one header was whole.
    pub headers_mended: u32,
    /// Stretches of damage that SQL has already.
    pub damage_applied: u32,
    /// Lost records that were left out, because a person said so.
    pub lost: Vec<Damage>,
    /// Records that were given up between the end of the files and SQL's position.
    pub sql_ahead: u64,
    /// Records that SQL has not applied.
    pub unapplied: u64,
}

/// What a start goes on with.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// For the appender.
    pub start: AppenderStart,
    /// Records that SQL has not applied, by user.
    pub unapplied: UnappliedIndex,
    /// For the log.
    pub report: RecoveryReport,
}

/// A segment's first bytes, understood.
#[derive(Clone, Copy, Debug)]
struct Prefix {
    segment: SegmentId,
    opening: Option<Opening>,
    /// Of one that was never opened: whether it holds nothing but its headers.
    is_clean: bool,
}

/// Reads a journal directory. Allocates one segment's bytes, and 16 bytes for each unapplied
/// record.
///
/// # Errors
/// [`RecoverError`]: the journal must not be used, and nothing was changed.
pub fn recover(disk: &impl DiskRead, options: RecoverOptions) -> Result<Recovered, RecoverError> {
    let mut report = RecoveryReport::default();
    let (set, mut prefixes) = read_prefixes(disk, &mut report)?;
    let set = set.unwrap_or(options.fresh_set);
    report.is_fresh = prefixes.is_empty();
    let mut image = Vec::new();
    let in_use = count_in_use(disk, set, &mut prefixes, &mut image)?;
    let (used, unused) = prefixes.split_at(in_use);
    let begin = first_to_walk(used, options.applied);
    let mut walk = Walk::new(set, options.applied, prefixes.first().map(|p| p.segment), report);
    for (at, prefix) in used.iter().enumerate() {
        let behind = used[at + 1..].iter().find_map(|next| next.opening);
        if at < begin {
            walk.pass_over(prefix.segment, behind.as_ref());
            continue;
        }
        walk::read_image(disk, prefix.segment, &mut image)?;
        walk.segment(prefix, behind.map(|opening| opening.follows), &image)?;
    }
    if let Some(missing) = missing_before_unused(used, unused) {
        walk.miss_segment(missing);
    }
    let walked = walk.finish();
    if !walked.report.lost.is_empty() && !options.skip_damaged {
        return Err(RecoverError::Damaged(walked.report.lost));
    }
    let reserve = unused.first().filter(|prefix| prefix.is_clean).map(|prefix| prefix.segment);
    let next_segment = match (reserve, unused.first(), used.last()) {
        (Some(reserve), _, _) => reserve.next(),
        // What was never opened and is not clean is replaced.
        (None, Some(unused), _) => unused.segment,
        (None, None, Some(last)) => last.segment.next(),
        (None, None, None) => SegmentId(1),
    };
    walked.go_on(set, reserve, next_segment)
}

/// The set that a directory belongs to; `None` where it has no segments. SQL knows by it how far
/// this journal is applied, which recovery has to be told.
///
/// # Errors
/// Where a header can't be read, or belongs to another set or version.
pub fn set_of(disk: &impl DiskRead) -> Result<Option<SetId>, RecoverError> {
    read_prefixes(disk, &mut RecoveryReport::default()).map(|(set, _)| set)
}

/// The last record before the oldest segment; 0 where none is missing. SQL has everything up to
/// there, or that segment would have been kept: the least to assume while SQL can't be asked.
///
/// # Errors
/// As [`set_of`].
pub fn retired(disk: &impl DiskRead) -> Result<Sequence, RecoverError> {
    let (_, prefixes) = read_prefixes(disk, &mut RecoveryReport::default())?;
    let oldest = prefixes.first().and_then(|prefix| prefix.opening);
    Ok(oldest.map_or(Sequence(0), |opening| Sequence(opening.header.first.0.saturating_sub(1))))
}

/// Reads both headers and the opening of each segment, and finds the set that they belong to.
fn read_prefixes(
    disk: &impl DiskRead,
    report: &mut RecoveryReport,
) -> Result<(Option<SetId>, Vec<Prefix>), RecoverError> {
    let mut set: Option<SetId> = None;
    let mut prefixes = Vec::new();
    let mut bytes = [0; PREFIX_BYTES];
    for segment in disk.segments()? {
        let count = disk.read_at(segment, 0, &mut bytes)?;
        let prefix = &bytes[..count];
        let (header, is_mended) = SegmentHeader::decode(prefix).map_err(|error| match error {
            HeaderError::Damaged => RecoverError::Header(segment),
            HeaderError::Version(version) => RecoverError::Version(segment, version),
        })?;
        if header.segment != segment || *set.get_or_insert(header.set) != header.set {
            return Err(RecoverError::Foreign(segment));
        }
        report.headers_mended += u32::from(is_mended);
        let opening = Opening::decode(header.set.tag(), prefix).map(|(opening, _)| opening);
        prefixes.push(Prefix { segment, opening, is_clean: false });
    }
    Ok((set, prefixes))
}

/// How many of the segments were ever opened: all up to the last that has an opening, or lost it.
fn count_in_use(
    disk: &impl DiskRead,
    set: SetId,
    prefixes: &mut [Prefix],
    image: &mut Vec<u8>,
) -> Result<usize, RecoverError> {
    let opened = prefixes.iter().rposition(|prefix| prefix.opening.is_some());
    let mut count = opened.map_or(0, |last| last + 1);
    for (at, prefix) in prefixes.iter_mut().enumerate().skip(count) {
        walk::read_image(disk, prefix.segment, image)?;
        let behind_headers = image.get(HEADERS_BYTES..).unwrap_or_default();
        prefix.is_clean = walk::last_set_byte(behind_headers).is_none();
        if !prefix.is_clean && walk::was_synced(set.tag(), image) {
            count = at + 1;
        }
    }
    Ok(count)
}

/// The last segment that begins at or before the first unapplied record: the walk starts there.
fn first_to_walk(used: &[Prefix], applied: Sequence) -> usize {
    let begins_before = |prefix: &Prefix| {
        prefix.opening.is_some_and(|opening| opening.header.first.0 <= applied.0 + 1)
    };
    used.iter().rposition(begins_before).unwrap_or(0)
}

/// The ordinal that is missing between the last used segment and one that was prepared behind it.
fn missing_before_unused(used: &[Prefix], unused: &[Prefix]) -> Option<SegmentId> {
    let next = used.last()?.segment.next();
    unused.first().filter(|prefix| prefix.segment != next).map(|_| next)
}

#[cfg(test)]
mod tests;

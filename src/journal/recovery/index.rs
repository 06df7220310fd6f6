//! Where each user's unapplied records are: made once at a start, never changed, shared by all who
//! read users back. Sorted rather than hashed: no users' ids can make it slow.
//!
//! Limits: 16 bytes for each record; the 256 MiB that may be unapplied hold about 1.5 million.

use super::super::disk::{DiskError, DiskRead};
use super::super::record::frames;
use super::super::segment::SegmentId;
use nudged_base::ids::{Sequence, UserKey};
use nudged_base::limits::RECORD_BYTES_MAX;

/// Sorted by user and then by place, which is the order of the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct IndexEntry {
    user: UserKey,
    /// Segments behind the first one of the directory.
    segment: u32,
    offset: u32,
}

/// Records that SQL had not applied at the start, by user.
#[derive(Clone, Debug, Default)]
pub struct UnappliedIndex {
    entries: Vec<IndexEntry>,
    base: u64,
    end: Sequence,
}

impl UnappliedIndex {
    /// Records in the index.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none: every user's state is in SQL.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Once SQL has applied everything before this sequence, the index is of no more use.
    pub fn end(&self) -> Sequence {
        self.end
    }

    /// Whether there may be records of a user. Reads nothing.
    pub fn contains(&self, user: UserKey) -> bool {
        !self.range(user).is_empty()
    }

    /// Appends the user's records, framed and in their order, to `out`, to be walked over with
    /// [`frames`], and returns their count. To be called before SQL is asked for the same user:
    /// records that SQL applies meanwhile are then seen twice and not missed. A segment that is
    /// gone was applied. Allocates where `out` must grow.
    ///
    /// # Errors
    /// Where a file can't be read, or holds something else by now.
    pub fn read(
        &self,
        user: &str,
        disk: &impl DiskRead,
        out: &mut Vec<u8>,
    ) -> Result<u32, DiskError> {
        let mut count = 0;
        let mut bytes = [0; RECORD_BYTES_MAX + 2];
        for entry in self.range(UserKey::of(user.as_bytes())) {
            let segment = SegmentId(self.base + u64::from(entry.segment));
            let read = match disk.read_at(segment, u64::from(entry.offset), &mut bytes) {
                Ok(read) => read,
                Err(DiskError::Missing) => continue,
                Err(error) => return Err(error),
            };
            let changed = DiskError::Failed(0);
            let frame = frames(&bytes[..read]).next().ok_or(changed)?.map_err(|_| changed)?;
            // Two users may share a key.
            if frame.record().map_err(|_| changed)?.user() == user {
                out.extend_from_slice(&bytes[..frame.framed_bytes()]);
                count += 1;
            }
        }
        Ok(count)
    }

    fn range(&self, user: UserKey) -> &[IndexEntry] {
        let from = self.entries.partition_point(|entry| entry.user < user);
        let count = self.entries[from..].partition_point(|entry| entry.user == user);
        &self.entries[from..from + count]
    }
}

/// An index that is being made.
#[derive(Debug)]
pub(super) struct IndexBuilder {
    entries: Vec<IndexEntry>,
    base: SegmentId,
}

impl IndexBuilder {
    pub(super) fn new(base: SegmentId) -> IndexBuilder {
        IndexBuilder { entries: Vec::new(), base }
    }

    pub(super) fn add(&mut self, user: &str, segment: SegmentId, offset: usize) {
        let segment = u32::try_from(segment.0 - self.base.0).expect("a directory's files are few");
        let offset = u32::try_from(offset).expect("offsets in a segment have 32 bits");
        self.entries.push(IndexEntry { user: UserKey::of(user.as_bytes()), segment, offset });
    }

    pub(super) fn build(mut self, end: Sequence) -> UnappliedIndex {
        self.entries.sort_unstable();
        self.entries.shrink_to_fit();
        UnappliedIndex { entries: self.entries, base: self.base.0, end }
    }
}

//! What the journal needs of files, and nothing else of them: the commands that its write path
//! gives, their completions, and the reads of recovery and of the tail. Implemented by `runtime`
//! over real files and by the tests over a modelled disk that tears, loses and refuses.

use super::segment::{SegmentHeader, SegmentId};

/// One thing to be done to the files. At most one command of each kind is under way; those of
/// different kinds may run side by side and complete in any order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskCommand {
    /// Make a segment file under another name (in place of a leftover one), allocate and zero
    /// `bytes`, write `header` at both places, sync the file, rename it into place (in place of a
    /// leftover one), sync the directory. Complete only when all of this is.
    Prepare {
        /// The segment to make.
        segment: SegmentId,
        /// What its headers say.
        header: SegmentHeader,
        /// Its length.
        bytes: u64,
    },
    /// Write `bytes` at `offset`.
    Write {
        /// Where to.
        segment: SegmentId,
        /// Where in it.
        offset: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// `fdatasync`.
    Sync {
        /// The segment to sync.
        segment: SegmentId,
    },
    /// Remove the file; that it is gone already is no error.
    Remove {
        /// The segment to remove.
        segment: SegmentId,
    },
}

/// How a [`DiskCommand`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskCompletion {
    /// A segment was prepared, or nothing of it counts.
    Prepared(SegmentId, Result<(), DiskError>),
    /// So many bytes of the write are in the file, from its begin.
    Written(SegmentId, Result<usize, DiskError>),
    /// What was written before the sync began is durable.
    Synced(SegmentId, Result<(), DiskError>),
    /// A segment was removed.
    Removed(SegmentId, Result<(), DiskError>),
}

/// Why a command failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// No space or quota left.
    #[error("no space left on the journal's disk")]
    NoSpace,
    /// Nothing happened: try the same again (EINTR, EAGAIN).
    #[error("the operation was interrupted")]
    Interrupted,
    /// There is no such file.
    #[error("a journal file is missing")]
    Missing,
    /// Anything else, by its errno.
    #[error("the journal's disk failed (os error {0})")]
    Failed(i32),
}

/// Reads of a journal directory.
pub trait DiskRead {
    /// The segments that are there, in the order of their ordinals.
    ///
    /// # Errors
    /// Where the directory can't be read.
    fn segments(&self) -> Result<Vec<SegmentId>, DiskError>;

    /// Bytes of a segment's file.
    ///
    /// # Errors
    /// Where the file is gone or can't be looked at.
    fn bytes(&self, segment: SegmentId) -> Result<u64, DiskError>;

    /// Reads into `buffer` from `offset` on; returns how many bytes there were, fewer than asked
    /// for only at the end of the file.
    ///
    /// # Errors
    /// Where the file is gone or can't be read.
    fn read_at(
        &self,
        segment: SegmentId,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize, DiskError>;
}

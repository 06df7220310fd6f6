//! What an appender is told at its start, and what it tells of itself.

use super::super::disk::DiskError;
use super::super::segment::{SegmentId, SetId};
use super::super::usage::SegmentUsage;
use nudged_base::ids::Sequence;
use nudged_base::limits::{
    JOURNAL_BYTES_DEFAULT, JOURNAL_RETENTION_DEFAULT_MS, SEGMENT_BYTES, UNAPPLIED_BYTES_MAX,
};
use nudged_base::time::{DurationMs, WallMs};

/// When a record is acknowledged (docs/semantics.md#acknowledgement).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AckLevel {
    /// When its write is complete: it survives the end of the process.
    #[default]
    Written,
    /// When a sync that covers it is complete: it survives loss of power.
    Synced,
}

/// Settings of an appender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppenderConfig {
    /// When records are acknowledged.
    pub ack: AckLevel,
    /// Bytes of a new segment, `SEGMENT_BYTES_MIN` to [`SEGMENT_BYTES`].
    pub segment_bytes: u64,
    /// Bytes that the segment files may take together, 4 segments or more.
    pub budget_bytes: u64,
    /// Bytes of records that SQL has not applied; at it, nothing is accepted.
    pub unapplied_bytes_max: u64,
    /// How long applied segments are kept.
    pub retention: DurationMs,
}

impl Default for AppenderConfig {
    fn default() -> AppenderConfig {
        AppenderConfig {
            ack: AckLevel::Written,
            segment_bytes: SEGMENT_BYTES,
            budget_bytes: JOURNAL_BYTES_DEFAULT,
            unapplied_bytes_max: UNAPPLIED_BYTES_MAX,
            retention: DurationMs(JOURNAL_RETENTION_DEFAULT_MS),
        }
    }
}

/// Where an appender goes on: what recovery found.
#[derive(Clone, Debug)]
pub struct AppenderStart {
    /// The set that the directory belongs to.
    pub set: SetId,
    /// The sequence of the next record, from 1.
    pub next: Sequence,
    /// One more than the last sequence in the files; below `next` where SQL was ahead of them.
    pub follows: Sequence,
    /// CRC of the last batch.
    pub chain: u32,
    /// The newest time of any record.
    pub newest: WallMs,
    /// The segment to go on in and the offset of its end; `None` to open another one.
    pub active: Option<(SegmentId, u64)>,
    /// A prepared segment that was never opened.
    pub reserve: Option<SegmentId>,
    /// The ordinal of the next segment that is to be prepared.
    pub next_segment: SegmentId,
    /// The last opened segment: it is synced before anything is opened behind it.
    pub to_sync: Option<SegmentId>,
    /// Closed segments and unapplied records.
    pub usage: SegmentUsage,
}

/// Why the event path is closed for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Poison {
    /// A write or a sync failed, and again while its records were written elsewhere.
    #[error("writing the journal failed, and so did moving its records to another segment: {0}")]
    FailedTwice(DiskError),
    /// The sync of what an earlier process had written failed; nobody holds those records.
    #[error("records that an earlier process wrote to the journal could not be synced: {0}")]
    EarlierRecords(DiskError),
}

/// What an appender tells of itself, for metrics and readiness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AppenderMetrics {
    /// Everything up to here is in the files: readable.
    pub written: Sequence,
    /// Everything up to here is synced.
    pub synced: Sequence,
    /// Whether records may be offered that a decision rests on.
    pub is_accepting: bool,
    /// Whether the disk is full and nothing more is taken; tried again every second.
    pub is_full: bool,
    /// Whether the disk has no room for the next segment; the one in use is still used to its end.
    pub is_low: bool,
    /// Whether SQL has to come nearer before more is taken.
    pub is_at_budget: bool,
    /// Bytes left in the segment in use.
    pub room_bytes: u64,
    /// Bytes of records that SQL has not applied.
    pub unapplied_bytes: u64,
    /// Bytes of all segment files.
    pub total_bytes: u64,
    /// Segment files.
    pub segments: usize,
    /// Writes and syncs that failed for good since the start.
    pub failures: u64,
}

//! What passes between a shard and the journal: records one way, acknowledgements the other.
//! Knows nothing of batches, segments or files.

use nudged_base::ids::{LaneSequence, Sequence, ShardId};

/// The records that one shard hands over in one turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneBatch {
    /// The shard they come from.
    pub shard: ShardId,
    /// The first record's position in the shard's lane. The next batch of the same shard begins
    /// at `first + count`.
    pub first: LaneSequence,
    /// How many records `bytes` holds, at least 1.
    pub count: u32,
    /// The records, framed by [`super::record::append`]. Comes back in the [`Ack`].
    pub bytes: Vec<u8>,
}

impl LaneBatch {
    /// The last record's position in the shard's lane.
    pub fn last(&self) -> LaneSequence {
        LaneSequence(self.first.0 + u64::from(self.count) - 1)
    }
}

/// Says that the records of one [`LaneBatch`], and with them all earlier ones of that shard, are
/// as durable as the ack level says. Those of a shard come in the order of its lane batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The shard whose records they were.
    pub shard: ShardId,
    /// The last acknowledged record's position in the shard's lane.
    pub upto: LaneSequence,
    /// The same record's position in the journal; the records of one lane batch have consecutive
    /// ones.
    pub upto_sequence: Sequence,
    /// The buffer of the lane batch, empty, for use again.
    pub buffer: Vec<u8>,
}

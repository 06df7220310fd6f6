//! Where the outcome of a piece of work goes.

use crate::base::ids::ShardId;
use crate::base::slab::Handle;

/// The one who waits for an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A connection of this shard: the outcome is a whole HTTP answer.
    Connection {
        /// The connection's number.
        connection: u32,
        /// Tells it from an earlier connection of the same number.
        generation: u32,
        /// Which of its requests.
        slot: u32,
    },
    /// Another shard: the outcome goes back with the hop's ticket.
    Shard {
        /// The coordinator.
        shard: ShardId,
        /// Its ticket.
        ticket: u64,
    },
    /// An events request of this shard, of which this is one part: the outcome is verdicts.
    Gather(Handle),
    /// A part of an events request, of whose users this is one: the outcome is verdicts.
    Share(Handle),
    /// An operator.
    Control {
        /// The command's ticket.
        ticket: u64,
    },
}

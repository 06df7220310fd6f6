//! Where the outcome of a command goes.

use nudged_api::cors::Grant;
use nudged_base::ids::ShardId;
use nudged_base::slab::Handle;
use nudged_base::telemetry::RequestRoute;
use nudged_base::time::MonoNs;

/// A connection's number, its generation, and one of its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestSlot {
    /// The connection's number.
    pub connection: u32,
    /// Tells it from an earlier connection of the same number.
    pub generation: u32,
    /// Which of its requests.
    pub slot: u32,
}

/// The one who waits for an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A connection of this shard.
    Connection {
        /// Where its answer has its turn; how it leaves is known there.
        slot: RequestSlot,
        /// What the request's origin was granted.
        grant: Grant,
        /// What it asked for.
        route: RequestRoute,
        /// When it was taken up.
        since: MonoNs,
    },
    /// Another shard: the outcome goes back with the hop's ticket.
    Shard {
        /// The coordinator.
        shard: ShardId,
        /// Its ticket.
        ticket: u64,
    },
    /// Events of which these are a part: those of one shard, or of one user.
    Fanout(Handle),
    /// An operator.
    Control {
        /// The command's ticket.
        ticket: u64,
    },
}

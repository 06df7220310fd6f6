//! A change of a user's state on its way through Redis, with all that is to be done once it is made
//! or is not.

use super::waiting::Waiter;
use nudged_api::outcome::EncodedOutcome;
use nudged_base::ids::Revision;
use nudged_base::time::{MonoNs, WallMs};
use nudged_redis::command::RequestId;

/// A change that was evaluated and waits for Redis.
#[derive(Debug)]
pub(crate) struct ProposedChange {
    /// The request that asked for it, to be run again; `None` once it is answered degraded, or
    /// where nobody asked.
    pub waiter: Option<Waiter>,
    /// What that one is answered, once Redis has taken the change.
    pub outcome: Option<EncodedOutcome>,
    /// The records, framed; of them those of events come first.
    pub records: Vec<u8>,
    /// How many bytes of them are of events.
    pub event_bytes: usize,
    /// How many changes they record.
    pub count: u32,
    /// What Redis must still hold.
    pub base: Option<Revision>,
    /// The state's revision after the change.
    pub revision: Revision,
    /// Makes a repetition harmless.
    pub request: RequestId,
    /// By the shard's clock.
    pub now: WallMs,
    /// Executed later than this, it changes nothing; by the clock of Redis.
    pub valid_until: WallMs,
    /// The state after the change.
    pub state: Vec<u8>,
    /// The state without the show, where there is one: what a withdrawal restores.
    pub former: Option<Vec<u8>>,
    /// Whether it takes back a show that nobody saw.
    pub withdraws: bool,
    /// It is sent until Redis says what became of it, but not after this; `None` where it is sent
    /// once.
    pub pursued_until: Option<MonoNs>,
    /// Whether it is announced to other nodes.
    pub publish: bool,
    /// The value expires after this long, in milliseconds; 0 for never.
    pub ttl_ms: u64,
    /// Bytes that are reserved in the lane.
    pub reserved: usize,
    /// How many entries that waited are part of it.
    pub merged: usize,
}

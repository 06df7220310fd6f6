//! What a shard asks of Redis and what it is answered, as plain values.
//!
//! Keys carry their partition's tag, `nudged:{p17}:...`, so that everything of a partition lies in
//! one slot of a cluster: the user's value `u:<user>`, the partition's meta `m`, its list `q`.

use crate::refusal::RedisRefusal;
use nudged_base::ids::{Partition, Revision};
use nudged_base::time::WallMs;

/// Identity of a commit: a repetition of it changes nothing. Unique among the latest commits of a
/// user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(pub u64);

/// A command to one primary.
#[derive(Clone, Copy, Debug)]
pub enum RedisCommand<'a> {
    /// The value of a user, with the meta of the partition.
    Read {
        /// The user's partition.
        partition: Partition,
        /// The user's id.
        user: &'a str,
    },
    /// Replaces a user's state if it is still the one that the new one was made from.
    Commit(Commit<'a>),
    /// Puts a state where there is none or one of a lower revision.
    Fill {
        /// The user's partition.
        partition: Partition,
        /// The user's id.
        user: &'a str,
        /// The state's revision.
        revision: Revision,
        /// The encoded state.
        state: &'a [u8],
        /// The value expires after this many milliseconds; 0 for never.
        ttl_ms: u64,
    },
    /// The meta of a partition alone.
    Meta {
        /// The partition.
        partition: Partition,
    },
    /// Whether Redis answers.
    Ping,
}

/// A compare-and-set of one user's state.
#[derive(Clone, Copy, Debug)]
pub struct Commit<'a> {
    /// The user's partition.
    pub partition: Partition,
    /// The user's id.
    pub user: &'a str,
    /// The revision that Redis must still hold; `None` where it must hold nothing.
    pub base: Option<Revision>,
    /// Makes a repetition harmless.
    pub request: RequestId,
    /// The time on which the new state rests, by the shard's clock.
    pub now: WallMs,
    /// Executed later than this, the commit changes nothing.
    pub valid_until: WallMs,
    /// The revision of the new state.
    pub revision: Revision,
    /// The new state, encoded.
    pub state: &'a [u8],
    /// The value expires after this many milliseconds; 0 for never.
    pub ttl_ms: u64,
    /// Whether other nodes are told: for events and erases.
    pub publish: bool,
    /// What the change is recorded by.
    pub records: Records<'a>,
}

/// The records of a commit.
#[derive(Clone, Copy, Debug)]
pub enum Records<'a> {
    /// They go to the node's journal; only their number counts here.
    Journal {
        /// How many, at least 1.
        count: u32,
    },
    /// They go to the list of the partition with the commit.
    List {
        /// The records, framed, one after another (`journal::record::frames`).
        framed: &'a [u8],
        /// The list refuses where more than this would wait in it.
        list_max: u32,
    },
}

/// What every reply tells of the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// TIME of Redis.
    pub at: WallMs,
    /// The epoch; `None` where the partition has none: writes are lost, or never began.
    pub epoch: Option<u32>,
    /// Records committed in this epoch.
    pub counter: u64,
    /// What may be done with the partition.
    pub phase: PartitionPhase,
    /// Users may have vanished from it: one who is missing proves nothing.
    pub is_doubted: bool,
}

/// What may be done with a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionPhase {
    /// A user that is missing is new.
    Open,
    /// A rebuild waits for the journals: nobody decides by this partition.
    Barrier,
    /// Being filled from SQL: only values of this epoch are believed.
    Filling,
}

/// A user's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserValue {
    /// Its revision.
    pub revision: Revision,
    /// The encoded state.
    pub state: Vec<u8>,
}

/// What came of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitVerdict {
    /// It is done, now or by an earlier sending.
    Done,
    /// The user's state is another one, which comes with the reply.
    Moved,
    /// It was executed too late, or its time is too far ahead; nothing changed.
    Late,
    /// The partition has lost writes, or waits for journals; nothing changed.
    Lost,
    /// The list is full; nothing changed.
    Full,
}

/// The reply to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To `Read` and `Fill`: the value that stands now.
    Value {
        /// Of the partition.
        meta: Meta,
        /// The user's value.
        value: Option<UserValue>,
    },
    /// To `Commit`.
    Commit {
        /// Of the partition, after the commit.
        meta: Meta,
        /// What came of it.
        verdict: CommitVerdict,
        /// The value that stands, for `Moved`.
        value: Option<UserValue>,
    },
    /// To `Meta`.
    Meta(Meta),
    /// To `Ping`.
    Pong,
}

impl Reply {
    /// What it tells of its partition.
    pub fn meta(&self) -> Option<&Meta> {
        match self {
            Reply::Value { meta, .. } | Reply::Commit { meta, .. } | Reply::Meta(meta) => {
                Some(meta)
            }
            Reply::Pong => None,
        }
    }
}

/// Why there is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandFailure {
    /// The connection was lost with the command on its way: it may have been executed.
    Unknown,
    /// Redis refused it before it ran, or before its script wrote: nothing changed that anybody
    /// rests on.
    Refused(RedisRefusal),
    /// The user's key holds something else: WRONGTYPE, or a value that is none of ours.
    Quarantined,
}

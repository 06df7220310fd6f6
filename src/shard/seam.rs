//! the same with a seeded world. Nothing else reaches a shard.

use std::net::IpAddr;
use std::sync::Arc;

use crate::control::{Control, ControlReply};
use nudged_api::command::EncodedCommand;
use nudged_api::outcome::EncodedOutcome;
use nudged_base::clock::Now;
use nudged_base::ids::{Partition, Sequence, ShardId};
use nudged_base::time::MonoNs;
use nudged_journal::lane::{Ack, LaneBatch};
pub use nudged_redis::learned::Learned;
use nudged_redis::link::Incompatible;

/// One thing that happened, for a shard to act upon.
#[derive(Debug)]
pub enum Input<'a> {
    /// A connection was accepted; the driver chose its number, which is free until `Effect::Close`
    /// was given and carried out.
    Accepted {
        /// The connection's number.
        connection: u32,
        /// Index of the listener it came in by.
        listener: u16,
    },
    /// Whose a connection is, where that is known: by the header of a balancer, or of who connects.
    Source {
        /// The connection's number.
        connection: u32,
        /// The client's address.
        source: IpAddr,
    },
    /// A connection of `Effect::Connect` stands; it is `Broken` where it could not be had.
    Connected {
        /// The connection's number.
        connection: u32,
    },
    /// Bytes arrived. They are lent for this step only.
    Bytes {
        /// The connection's number.
        connection: u32,
        /// What arrived, at least one byte.
        bytes: &'a [u8],
    },
    /// Bytes arrived for which an overloaded shard has no time: whole requests among them are
    /// refused with 503, but for those that ask how the node is.
    Shed {
        /// The connection's number.
        connection: u32,
        /// What arrived, at least one byte.
        bytes: &'a [u8],
    },
    /// HTTP arrived in clear where TLS is spoken. From now on the connection is a plain one.
    PlainHttp {
        /// The connection's number.
        connection: u32,
        /// What arrived, at least one byte.
        bytes: &'a [u8],
    },
    /// The peer will send no more; it may still read.
    PeerClosed {
        /// The connection's number.
        connection: u32,
    },
    /// The connection is broken in both directions.
    Broken {
        /// The connection's number.
        connection: u32,
    },
    /// A send has ended; its buffer comes back.
    Sent {
        /// The connection's number.
        connection: u32,
        /// The buffer of `Effect::Send`.
        buffer: Vec<u8>,
        /// How many of its bytes were taken by the kernel; `None` where the send failed.
        sent: Option<usize>,
    },
    /// What `Effect::AskUntaken` asked.
    Untaken {
        /// The connection's number.
        connection: u32,
        /// Bytes that the kernel has and the peer has not acknowledged.
        bytes: u32,
    },
    /// Another shard asks this one to execute a command.
    Hop(Hop),
    /// The same, which has waited for longer than a shard that has too much to do may have it wait:
    /// it is refused.
    ShedHop(Hop),
    /// Another shard has executed a command of this one.
    HopReply(HopReply),
    /// The other shard's lane is full: the hop comes back unexecuted.
    HopRefused(Hop),
    /// The journal has acknowledged a batch of this shard.
    Acked(Ack),
    /// The state of a user was read, or could not be.
    UserRead(UserRead),
    /// The journal's watermarks, given when they have changed.
    Journal {
        /// Whether new records are taken; false while it is full or broken.
        accepting: bool,
        /// Records up to here are in SQL.
        applied: Sequence,
    },
    /// Why the node's own disk takes nothing, for people, or that it does; given when it has
    /// changed.
    Disk(Option<Arc<str>>),
    /// What the keeper of Redis lets the shards do, given when it has changed.
    RedisStatus(RedisStatusView),
    /// An operator's command, by the admin listener or the node.
    Control(Control),
    /// After `Effect::StopAccepting`: the accept queues are empty and the listeners closed.
    ListenersClosed,
    /// Time has passed: deadlines and housekeeping.
    Tick,
}

/// One thing that a shard wants done.
#[derive(Debug)]
pub enum Effect {
    /// Send these bytes; one send a connection is under way at a time.
    Send {
        /// The connection's number.
        connection: u32,
        /// The bytes; the buffer comes back with `Input::Sent`.
        buffer: Vec<u8>,
    },
    /// Connect a link to its server. A link's number is beyond those of accepted connections; it
    /// is free until this effect, and again after `Effect::Close` was carried out.
    Connect {
        /// The link's number.
        connection: u32,
    },
    /// Receive no more for now: the connection's pipeline is full.
    StopReading {
        /// The connection's number.
        connection: u32,
    },
    /// Receive again.
    ResumeReading {
        /// The connection's number.
        connection: u32,
    },
    /// Ask how many bytes the kernel has of a connection that its peer has not acknowledged. Where
    /// the kernel is older than 6.7 no answer comes.
    AskUntaken {
        /// The connection's number.
        connection: u32,
    },
    /// Shut our direction down; the peer's bytes are still received.
    ShutDown {
        /// The connection's number.
        connection: u32,
    },
    /// Close the connection, after the send that is under way unless `reset`.
    Close {
        /// The connection's number.
        connection: u32,
        /// Throw away what is unsent and reset the peer.
        reset: bool,
    },
    /// Ask another shard to execute a command.
    Hop {
        /// The shard that owns the users.
        to: ShardId,
        /// The command.
        hop: Hop,
    },
    /// Answer another shard.
    HopReply {
        /// The shard that asked.
        to: ShardId,
        /// The answer.
        reply: HopReply,
    },
    /// Hand records to the journal.
    Append(LaneBatch),
    /// Read a user's state from SQL.
    ReadUser(ReadRequest),
    /// Tell the keeper of Redis.
    Report(ShardReport),
    /// Answer an operator's command.
    ControlReply(ControlReply),
    /// Take the connections that wait in the accept queues, then close the listeners.
    StopAccepting,
    /// The node has let go of this shard: its thread may end.
    Finished,
}

/// A command on its way to the shard that owns its users.
#[derive(Debug)]
pub struct Hop {
    /// The shard that coordinates the request.
    pub from: ShardId,
    /// The coordinator's handle, given back with the reply.
    pub ticket: u64,
    /// When it was sent.
    pub since: MonoNs,
    /// The command.
    pub command: EncodedCommand,
}

/// The outcome of a hop on its way back.
#[derive(Debug)]
pub struct HopReply {
    /// The coordinator's handle.
    pub ticket: u64,
    /// The outcome; of events the verdicts of those that hopped.
    pub outcome: EncodedOutcome,
}

/// A user's state is wanted from SQL.
#[derive(Debug)]
pub struct ReadRequest {
    /// The shard that asks.
    pub shard: ShardId,
    /// Its handle, given back with the state.
    pub ticket: u64,
    /// The user's id.
    pub user: Box<str>,
}

/// What SQL knew of a user.
#[derive(Debug)]
pub struct UserRead {
    /// The handle of the request.
    pub ticket: u64,
    /// The encoded state (`state::user::encode`), an empty user's where SQL has none; an error
    /// where it could not be read.
    pub state: Result<Vec<u8>, ReadFailed>,
}

/// SQL could not be read; the reason was logged where it arose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadFailed;

/// What the keeper of Redis lets every shard do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RedisStatusView {
    /// The run of Redis that may be trusted, since every live node has compared what it knows with
    /// it; 0 for none.
    pub cleared_run: u64,
    /// The node has started.
    pub takes_traffic: bool,
    /// What the keeper has learned of Redis.
    pub learned: Learned,
}

/// What a shard has found out about Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardReport {
    /// The shard has a connection to this run: until the status clears it, nothing is trusted.
    Run {
        /// The run.
        run: u64,
        /// Whether its `maxmemory-policy` can evict keys.
        evicts: bool,
        /// Whether it syncs each write before it answers; `None` where it does not say.
        syncs_always: Option<bool>,
    },
    /// Redis can't be used as it is set up.
    Incompatible(Incompatible),
    /// Redis has refused something for want of a right.
    Denied,
    /// A partition has lost writes, or never had an epoch. Said once until it is seen in order.
    Lost(Partition),
    /// Every partition of the shard was compared with what it knows; what is lost was said before.
    Compared {
        /// The run.
        run: u64,
    },
    /// How far the shard's records are acknowledged, and the first that Redis has not merged yet:
    /// SQL must not pass over it.
    Journal {
        /// The last acknowledged record, by its number in the journal.
        acked: Sequence,
        /// The first unmerged record; `None` for none.
        unmerged: Option<Sequence>,
    },
    /// For what waits to be merged the journal has to keep room, since it may be that nothing else
    /// makes room in it.
    Promised {
        /// Bytes of records that may come whether or not the journal takes others.
        bytes: u64,
    },
}

/// Effects of a turn, in order.
#[derive(Debug, Default)]
pub struct Outbox {
    /// The effects; the driver drains them after each turn.
    pub effects: Vec<Effect>,
}

impl Outbox {
    /// Adds an effect.
    pub fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }
}

/// What a driver drives. The server's is `shard::core::Core`; the benchmark's floor brings a
/// constant answer.
pub trait Step {
    /// Acts upon one input. Synchronous and total: no input makes it fail.
    fn step(&mut self, now: Now, input: Input<'_>, outbox: &mut Outbox);

    /// Ends a turn: what was gathered during it (answers, records, hops) goes to the outbox.
    fn finish_turn(&mut self, now: Now, outbox: &mut Outbox);

    /// When `Input::Tick` is wanted at the latest.
    fn next_deadline(&self) -> Option<MonoNs>;
}

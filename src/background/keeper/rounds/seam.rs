//! What passes between the keeper's rounds and whoever carries out what they want: how it is around
//! them, whole things that are to be done, and what came of them.

use std::sync::Arc;

use crate::keeper::barrier::NodeProgress;
use crate::sql_failure::SqlFailure;
use nudged_base::clock::Now;
use nudged_base::ids::{NodeId, Partition};
use nudged_domain::state::user::UserState;
use nudged_redis::learned::Learned;
use nudged_redis::link::Incompatible;
use nudged_redis::refusal::RedisRefusal;
use nudged_redis::request::{OwnedReply, RedisError, RedisRequest};

/// How it is around the machine when it steps.
#[derive(Clone, Debug)]
pub struct View {
    /// Both clocks.
    pub now: Now,
    /// It ends after this round.
    pub is_stopping: bool,
    /// The run that every shard has compared; to be read before `own_lost`.
    pub own_compared: Option<u64>,
    /// Partitions that shards say have lost writes.
    pub own_lost: Vec<Partition>,
    /// The run that shards may work with; `None` where they never could with any.
    pub own_cleared: Option<u64>,
    /// What this node has reached.
    pub progress: NodeProgress,
    /// Refusals of shards for want of a right.
    pub denials: u64,
    /// Why Redis can't be used as it is set up, where a shard has found so.
    pub unfit: Option<Incompatible>,
    /// Refusals that anybody of this node met, by kind.
    pub refused: [u64; RedisRefusal::COUNT],
    /// How often the keeper has connected to Redis.
    pub connects: u64,
}

/// What the machine wants done, one thing at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A question to Redis; [`Input::Answered`].
    Ask(RedisRequest),
    /// Subscribe to these channels on a connection of its own; [`Input::Heard`].
    Hear(&'static [&'static str]),
    /// Say in SQL that the node of this name is alive, and who else is; [`Input::Nodes`].
    Heartbeat(String),
    /// The next epoch, not below this; [`Input::Epoch`].
    NextEpoch(u32),
    /// So many users of SQL behind this one, in order; [`Input::Users`].
    Users(String, usize),
    /// The states of these users in SQL; [`Input::States`].
    States(Vec<String>),
    /// Go on after so many milliseconds, whatever comes.
    Pause(u64),
    /// The next round begins after so many milliseconds, or when shards have lost something.
    Sleep(u64),
    /// The next round begins when Redis need not be left alone any more, whatever news there is.
    Rest,
    /// Say in SQL that this node has stopped. Where that fails, it counts as one that was killed.
    SayStopped,
    /// Nothing more.
    End,
}

/// What came of an effect.
#[derive(Debug)]
pub enum Input {
    /// It is time, or nothing is to be known of it.
    Go,
    /// Redis has answered, or not.
    Answered(Result<Vec<OwnedReply>, RedisError>),
    /// Whether the subscription was let.
    Heard(Result<(), RedisError>),
    /// Nodes that are alive.
    Nodes(Result<Vec<NodeId>, SqlFailure>),
    /// The epoch; `None` where there is no SQL that nodes share.
    Epoch(Result<Option<u32>, SqlFailure>),
    /// The users; fewer than were asked for are the last.
    Users(Result<Vec<String>, SqlFailure>),
    /// By the place of each user its state, where its rows can be read.
    States(Result<Vec<Option<UserState>>, SqlFailure>),
}

/// What all of the node is told, at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// What is known of Redis.
    Learn(Learned),
    /// What shards have reported of these partitions is known by now.
    ClearLosses(Vec<Partition>),
    /// Shards may work with this run.
    Clear(u64),
    /// Shards have to turn.
    WakeShards,
    /// The connection to Redis is given up, and Redis left alone, for this reason.
    GiveUp(String),
    /// Why Redis can't be used as it should be, if so, and whether it refuses what the node needs.
    Fitness(Option<Arc<str>>, bool),
}

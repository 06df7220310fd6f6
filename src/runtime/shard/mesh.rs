//! The lanes between cores: bounded queues in and out of each shard, and a waker for each thread
//! that reads one. Replies, acknowledgements and reads have lanes of their own, sized so that they
//! can never be full: whoever asks bounds how much it has outstanding.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam::queue::ArrayQueue;

use crate::journal::lanes::JournalLanes;
use crate::redis_status::RedisStatus;
use crate::retention_ages::RetentionAges;
use crate::wake::Waker;
use nudged_base::ids::ShardId;
use nudged_base::limits::{HOPS_OUTSTANDING_MAX, READS_OUTSTANDING_MAX};
use nudged_shard::control::{ControlReply, ControlRequest};
use nudged_shard::seam::{Hop, HopReply, ReadRequest, UserRead};
use nudged_tls::SharedIdentity;

/// Hops that may wait for one shard; more are refused to those who send them.
const HOP_LANE: usize = 8_192;
/// Operators' commands that may wait for one shard.
const CONTROL_LANE: usize = 256;

/// What flows towards one shard.
#[derive(Debug)]
pub struct ShardLanes {
    /// Requests of other shards.
    pub hops: ArrayQueue<Hop>,
    /// Answers to this shard's hops.
    pub replies: ArrayQueue<HopReply>,
    /// States of users that this shard asked for.
    pub reads: ArrayQueue<UserRead>,
    /// Operators' commands.
    pub controls: ArrayQueue<ControlEnvelope>,
    /// Wakes the shard.
    pub waker: Arc<Waker>,
}

/// A command with its way back, which the shard itself does not see.
#[derive(Debug)]
pub struct ControlEnvelope {
    /// The command.
    pub command: ControlRequest,
    /// Where the answer goes; it has room for it.
    pub reply: crossbeam::channel::Sender<ControlReply>,
}

/// All lanes of a node.
#[derive(Debug)]
pub struct Mesh {
    /// By shard.
    pub shards: Vec<ShardLanes>,
    /// To and from the journal, with what it and SQL have reached.
    pub journal: Arc<JournalLanes>,
    /// Users to read from SQL, of all shards.
    pub reads: ArrayQueue<ReadRequest>,
    /// Wakes the reader of SQL.
    pub reader: Waker,
    /// What shards and the keeper of Redis tell each other.
    pub redis_status: Arc<RedisStatus>,
    /// The certificate of listeners that speak TLS.
    pub identity: Arc<SharedIdentity>,
    /// How long SQL keeps what.
    pub retention: Arc<RetentionAges>,
    keeps_queues: AtomicBool,
    holds_newcomers: AtomicBool,
}

impl Mesh {
    /// Makes the lanes of `shards` shards.
    ///
    /// # Errors
    /// Where no descriptor can be had.
    pub fn new(shards: u16) -> rustix::io::Result<Mesh> {
        let lanes: Vec<_> =
            (0..shards).map(|_| ShardLanes::new()).collect::<rustix::io::Result<_>>()?;
        let wakers = lanes.iter().map(|lanes| Arc::clone(&lanes.waker)).collect();
        Ok(Mesh {
            shards: lanes,
            journal: Arc::new(JournalLanes::new(shards)?),
            reads: ArrayQueue::new(READS_OUTSTANDING_MAX * usize::from(shards)),
            reader: Waker::new()?,
            redis_status: Arc::new(RedisStatus::new(wakers)?),
            identity: Arc::default(),
            retention: Arc::default(),
            keeps_queues: AtomicBool::new(false),
            holds_newcomers: AtomicBool::new(false),
        })
    }

    /// The listeners belong to others too (a service manager, the process that takes over): what
    /// waits to be accepted when this one stops is theirs.
    pub fn keep_queues(&self) {
        self.keeps_queues.store(true, Ordering::Release);
    }

    pub(crate) fn are_queues_kept(&self) -> bool {
        self.keeps_queues.load(Ordering::Acquire)
    }

    /// Shards that are started from now on accept nobody until [`Mesh::admit_newcomers`]: who comes
    /// waits in the queues of their listeners.
    pub fn hold_newcomers(&self) {
        self.holds_newcomers.store(true, Ordering::Release);
    }

    /// Has the shards accept.
    pub fn admit_newcomers(&self) {
        self.holds_newcomers.store(false, Ordering::Release);
        for lanes in &self.shards {
            lanes.waker.wake();
        }
    }

    pub(crate) fn are_newcomers_held(&self) -> bool {
        self.holds_newcomers.load(Ordering::Acquire)
    }

    /// The lanes of a shard.
    pub fn of(&self, shard: ShardId) -> &ShardLanes {
        &self.shards[shard.index()]
    }
}

impl ShardLanes {
    fn new() -> rustix::io::Result<ShardLanes> {
        Ok(ShardLanes {
            hops: ArrayQueue::new(HOP_LANE),
            replies: ArrayQueue::new(HOPS_OUTSTANDING_MAX),
            reads: ArrayQueue::new(READS_OUTSTANDING_MAX),
            controls: ArrayQueue::new(CONTROL_LANE),
            waker: Arc::new(Waker::new()?),
        })
    }

    /// Whether nothing waits for the shard but, perhaps, acknowledgements.
    pub fn is_empty(&self) -> bool {
        self.hops.is_empty()
            && self.replies.is_empty()
            && self.reads.is_empty()
            && self.controls.is_empty()
    }
}

//! What every part of a run of several nodes shares: the agenda that time runs along, every clock,
//! the streams of choices, and the trace.

use std::collections::BTreeMap;

use nudged_base::time::{MonoNs, WallMs};

use super::config::Config;
use crate::random::Stream;
use crate::scene::Trace;
pub use crate::scene::{MS, SECOND, US};

/// Something that will happen.
#[derive(Clone, Copy, Debug)]
pub enum What {
    /// A node starts.
    Boot(usize),
    /// A client asks.
    Act(usize),
    /// A client waits no longer for the answer to its question of this number.
    GiveUp(usize, u64),
    /// Something befalls somebody.
    Fault,
    /// Redis is there again.
    RedisStarts,
    /// SQL answers again.
    SqlAnswers,
    /// Redis is written to its file.
    RedisSaves,
    /// Redis evicts some users.
    RedisEvicts,
    /// Redis evicts no more.
    EvictionEnds,
    /// A link's connection is made, or not.
    Connects(u64),
    /// Bytes reach Redis on a pipe.
    ReachRedis(u64),
    /// Bytes reach a node on a pipe.
    ReachNode(u64),
    /// Bytes reach a shard from a client.
    Deliver(usize, usize),
    /// A shard's turn.
    Turn(usize, usize),
    /// A send of a shard's line has ended.
    SendEnds(usize, usize, u32),
    /// The journal's turn.
    Journal(usize),
    /// A disk command has ended.
    DiskEnds(usize, u64),
    /// SQL applies.
    Writer(usize),
    /// The reader looks at the journal.
    ReadJournal(usize),
    /// The reader asks SQL.
    ReadSql(usize),
    /// The keeper goes on.
    Keeper(usize),
    /// The lists are drained.
    Lists(usize),
}

impl What {
    /// The node that it is of, where it ends with its process.
    pub fn node(self) -> Option<usize> {
        match self {
            What::Deliver(node, _)
            | What::Turn(node, _)
            | What::SendEnds(node, ..)
            | What::Journal(node)
            | What::DiskEnds(node, _)
            | What::Writer(node)
            | What::ReadJournal(node)
            | What::ReadSql(node)
            | What::Keeper(node)
            | What::Lists(node) => Some(node),
            _ => None,
        }
    }
}

/// Streams of choices by concern.
pub struct Streams {
    /// What clients ask.
    pub workload: Stream,
    /// How bytes travel.
    pub network: Stream,
    /// What disks do.
    pub disk: Stream,
    /// When and in which order parts run.
    pub schedule: Stream,
    /// What SQL does.
    pub sql: Stream,
    /// What befalls whom.
    pub faults: Stream,
    /// What keepers meet.
    pub keeper: Stream,
}

/// A node as it seems from outside.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outside {
    /// Its process, counted from 1.
    pub life: u32,
    /// It stands still until then.
    pub frozen_until: u64,
    /// Nothing passes between it and Redis until then.
    pub silent_until: u64,
    /// It can't connect to Redis until then.
    pub refused_until: u64,
    /// Times that its connections to Redis broke.
    pub cuts: u64,
    /// It was last troubled then.
    pub troubled_at: u64,
    wall_ahead_ms: i64,
}

/// What is shared.
pub struct Scene {
    /// The configuration of this seed.
    pub config: Config,
    /// Choices.
    pub streams: Streams,
    /// What happened.
    pub trace: Trace,
    /// Nanoseconds of true time.
    pub now: u64,
    /// Faults have stopped.
    pub is_calm: bool,
    /// Nodes from outside.
    pub nodes: Vec<Outside>,
    /// The clock of Redis is ahead of the truth by this.
    redis_ahead_ms: i64,
    agenda: BTreeMap<(u64, u64), (u32, What)>,
    order: u64,
}

/// The wall clock at the time 0.
const BEGIN_MS: i64 = 1_800_000_000_000;

impl Scene {
    /// The beginning of a run.
    pub fn new(config: Config, is_printed: bool) -> Scene {
        let stream = |concern| Stream::new(config.seed, concern);
        let streams = Streams {
            workload: stream("workload of nodes"),
            network: stream("network of nodes"),
            disk: stream("disks"),
            schedule: stream("schedule of nodes"),
            sql: stream("one sql"),
            faults: stream("faults"),
            keeper: stream("keepers"),
        };
        Scene {
            streams,
            trace: Trace { hash: config.seed, is_printed },
            now: 1_000 * SECOND,
            is_calm: false,
            nodes: vec![Outside::default(); config.nodes],
            redis_ahead_ms: 0,
            agenda: BTreeMap::new(),
            order: 0,
            config,
        }
    }

    /// Lets something happen after a while. Gives the time at which it will.
    pub fn after(&mut self, wait_ns: u64, what: What) -> u64 {
        let at = self.now + wait_ns;
        self.order += 1;
        let life = what.node().map_or(0, |node| self.nodes[node].life);
        self.agenda.insert((at, self.order), (life, what));
        at
    }

    /// Lets something happen at a time that is not past.
    pub fn at(&mut self, at: u64, what: What) {
        self.after(at.saturating_sub(self.now), what);
    }

    /// Moves on to the next thing that happens; `None` where that is later than `until`. What
    /// belonged to a process that is gone is passed over, and what is of one that stands still
    /// waits for it.
    pub fn next(&mut self, until: u64) -> Option<What> {
        loop {
            let ((at, _), _) = self.agenda.first_key_value()?;
            if *at > until {
                self.now = until;
                return None;
            }
            let ((at, order), (life, what)) = self.agenda.pop_first()?;
            self.now = at;
            let Some(node) = what.node() else { return Some(what) };
            let outside = &self.nodes[node];
            if life != outside.life {
                continue;
            }
            if outside.frozen_until > at {
                self.agenda.insert((outside.frozen_until, order), (life, what));
                continue;
            }
            return Some(what);
        }
    }

    /// The monotonic clock of a node.
    pub fn mono(&self, node: usize) -> MonoNs {
        let node = u64::try_from(node).expect("few nodes");
        MonoNs(self.now + node * 77 * SECOND)
    }

    /// A monotonic time of a node as a time of the run.
    pub fn true_time(&self, node: usize, at: MonoNs) -> u64 {
        let node = u64::try_from(node).expect("few nodes");
        at.0.saturating_sub(node * 77 * SECOND)
    }

    /// Milliseconds by a right clock.
    pub fn true_ms(&self) -> i64 {
        BEGIN_MS + i64::try_from(self.now / MS).expect("a run is short")
    }

    /// The wall clock of a node.
    pub fn wall(&self, node: usize) -> WallMs {
        WallMs(self.true_ms() + self.nodes[node].wall_ahead_ms)
    }

    /// Sets the wall clock of a node.
    pub fn step_wall(&mut self, node: usize, by_ms: i64) {
        self.nodes[node].wall_ahead_ms += by_ms;
    }

    /// TIME of Redis.
    pub fn redis_ms(&self) -> i64 {
        self.true_ms() + self.redis_ahead_ms
    }

    /// Sets the clock of Redis.
    pub fn step_redis(&mut self, by_ms: i64) {
        self.redis_ahead_ms += by_ms;
    }

    /// Takes something that happened.
    pub fn note(&mut self, what: &str, numbers: &[u64], bytes: &[u8]) {
        self.trace.note(self.now, what, numbers, bytes);
    }
}

/// A count or a place as a number of the trace.
pub fn number(index: usize) -> u64 {
    u64::try_from(index).expect("few")
}

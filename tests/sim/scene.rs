//! What every part of a run shares: the agenda that time runs along, every clock, the streams of
//! choices, and the trace.

use std::collections::BTreeMap;

use nudged_base::clock::Now;
use nudged_base::time::{MonoNs, WallMs};

use super::config::Config;
use super::random::Stream;

/// Nanoseconds of a microsecond.
pub const US: u64 = 1_000;
/// Nanoseconds of a millisecond.
pub const MS: u64 = 1_000_000;
/// Nanoseconds of a second.
pub const SECOND: u64 = 1_000_000_000;

/// The wall clock at the time 0, in milliseconds.
const BEGIN_MS: i64 = 1_800_000_000_000;
/// The monotonic clocks of two nodes are so far apart.
const NODES_APART_NS: u64 = 77 * SECOND;

/// Something that will happen: to a node, to one of its shards, on a pipe, to a client.
#[derive(Clone, Copy, Debug)]
pub enum Task {
    Boot(usize),
    ClockStep,
    Act(usize),
    /// A client waits no longer for the answer to its question of this number.
    GiveUp(usize, u64),
    Fault,
    /// Somebody may be forgotten.
    Forget,
    RedisStarts,
    SqlAnswers,
    RedisSaves,
    RedisEvicts,
    EvictionEnds,
    /// A link's connection is made, or not.
    Connects(u64),
    ReachRedis(u64),
    ReachNode(u64),
    Deliver(usize, usize),
    Turn(usize, usize),
    SendEnds(usize, usize, u32),
    Journal(usize),
    DiskEnds(usize, u64),
    Writer(usize),
    ReadJournal(usize),
    ReadSql(usize),
    Keeper(usize),
    Lists(usize),
}

impl Task {
    /// The node of a task that ends with the node's process.
    pub fn node(self) -> Option<usize> {
        match self {
            Task::Deliver(node, _)
            | Task::Turn(node, _)
            | Task::SendEnds(node, ..)
            | Task::Journal(node)
            | Task::DiskEnds(node, _)
            | Task::Writer(node)
            | Task::ReadJournal(node)
            | Task::ReadSql(node)
            | Task::Keeper(node)
            | Task::Lists(node) => Some(node),
            _ => None,
        }
    }
}

/// Streams of choices by concern.
pub struct Streams {
    pub workload: Stream,
    pub network: Stream,
    pub disk: Stream,
    /// When and in which order a node's parts run.
    pub schedule: Stream,
    pub sql: Stream,
    pub clock: Stream,
    /// When and how processes end.
    pub crash: Stream,
    /// Which fault hits whom.
    pub faults: Stream,
    /// How the questions of keepers travel.
    pub keeper: Stream,
}

/// The hash of everything that happened, and its print where it is wanted.
pub struct Trace {
    pub hash: u64,
    pub is_printed: bool,
}

impl Trace {
    /// Takes something that happened: its name, numbers that identify it, and its bytes.
    fn note(&mut self, at: u64, what: &str, numbers: &[u64], bytes: &[u8]) {
        let mut hash = self.hash;
        let mut mix = |value: u64| {
            hash = (hash ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
        };
        mix(at);
        mix(u64::from(crc32c::crc32c(what.as_bytes())));
        numbers.iter().for_each(|number| mix(*number));
        mix(u64::from(crc32c::crc32c(bytes)));
        self.hash = hash;
        if self.is_printed {
            let text = String::from_utf8_lossy(&bytes[..bytes.len().min(600)]);
            println!("{:>14} {what} {numbers:?} {text:?}", at / US);
        }
    }
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
    /// The end of its latest fault.
    pub troubled_until: u64,
    wall_ahead_ms: i64,
}

/// What is shared.
pub struct Scene {
    pub config: Config,
    pub streams: Streams,
    pub trace: Trace,
    /// Nanoseconds of true time.
    pub now: u64,
    /// Faults have stopped.
    pub is_calm: bool,
    pub nodes: Vec<Outside>,
    /// The clock of Redis is ahead of the truth by this.
    redis_ahead_ms: i64,
    agenda: BTreeMap<(u64, u64), (u32, Task)>,
    order: u64,
}

impl Scene {
    pub fn new(config: Config, is_printed: bool) -> Scene {
        let stream = |concern| Stream::new(config.seed, concern);
        let streams = Streams {
            workload: stream("workload"),
            network: stream("network"),
            disk: stream("disk"),
            schedule: stream("schedule"),
            sql: stream("sql"),
            clock: stream("clock"),
            crash: stream("crash"),
            faults: stream("faults"),
            keeper: stream("keeper"),
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
    pub fn after(&mut self, wait_ns: u64, task: Task) -> u64 {
        let at = self.now + wait_ns;
        self.order += 1;
        let life = task.node().map_or(0, |node| self.nodes[node].life);
        self.agenda.insert((at, self.order), (life, task));
        at
    }

    /// Lets something happen at a time that is not past.
    pub fn at(&mut self, at: u64, task: Task) {
        self.after(at.saturating_sub(self.now), task);
    }

    /// Moves on to the next thing that happens; `None` where that is later than `until`. What
    /// belonged to a process that is gone is passed over, and what is of one that stands still
    /// waits for it.
    pub fn next(&mut self, until: u64) -> Option<Task> {
        loop {
            let ((at, _), _) = self.agenda.first_key_value()?;
            if *at > until {
                self.now = until;
                return None;
            }
            let ((at, order), (life, task)) = self.agenda.pop_first()?;
            self.now = at;
            let Some(node) = task.node() else { return Some(task) };
            let outside = &self.nodes[node];
            if life != outside.life {
                continue;
            }
            if outside.frozen_until > at {
                self.agenda.insert((outside.frozen_until, order), (life, task));
                continue;
            }
            return Some(task);
        }
    }

    pub fn mono(&self, node: usize) -> MonoNs {
        MonoNs(self.now + number(node) * NODES_APART_NS)
    }

    /// A monotonic time of a node as a time of the run.
    pub fn true_time(&self, node: usize, at: MonoNs) -> u64 {
        at.0.saturating_sub(number(node) * NODES_APART_NS)
    }

    /// Milliseconds by a right clock.
    fn true_ms(&self) -> i64 {
        BEGIN_MS + i64::try_from(self.now / MS).expect("a run is short")
    }

    /// The wall clock of a node, as wrong as it may be.
    pub fn wall(&self, node: usize) -> WallMs {
        WallMs(self.true_ms() + self.nodes[node].wall_ahead_ms)
    }

    pub fn clocks(&self, node: usize) -> Now {
        Now { mono: self.mono(node), wall: self.wall(node) }
    }

    pub fn step_wall(&mut self, node: usize, by_ms: i64) {
        let ahead_ms = &mut self.nodes[node].wall_ahead_ms;
        // The calendar of any popup and client stays within its range.
        let range = 1_000_000_000_000 - BEGIN_MS..=4_000_000_000_000 - BEGIN_MS;
        *ahead_ms = ahead_ms.saturating_add(by_ms).clamp(*range.start(), *range.end());
    }

    pub fn redis_ms(&self) -> i64 {
        self.true_ms() + self.redis_ahead_ms
    }

    pub fn step_redis(&mut self, by_ms: i64) {
        self.redis_ahead_ms += by_ms;
    }

    pub fn records_max(&self) -> usize {
        if self.is_calm { 1_000 } else { self.config.sql_records }
    }

    /// Takes something that happened.
    pub fn note(&mut self, what: &str, numbers: &[u64], bytes: &[u8]) {
        self.trace.note(self.now, what, numbers, bytes);
    }

    /// Whether a fault of this frequency happens now: faults stop in the end.
    pub fn is_fault(&mut self, concern: impl Fn(&mut Streams) -> &mut Stream, one_in: u64) -> bool {
        !self.is_calm && concern(&mut self.streams).one_in(one_in)
    }
}

/// A count or a place as a number of the trace.
pub fn number(index: usize) -> u64 {
    u64::try_from(index).expect("few")
}

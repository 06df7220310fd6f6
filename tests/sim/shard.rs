//! One shard of a node: the real core, run in turns as the ring driver has it. A turn takes some of
//! what has arrived, in the order of each lane and in any order between lanes.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use nudged_api::access::Access;
use nudged_api::cors::Cors;
use nudged_api::visitors::VisitorRules;
use nudged_base::clock::{NodeClock, Now};
use nudged_base::ids::{Partition, Sequence, ShardId};
use nudged_base::limits::{
    CATALOGS_HELD_MAX, PARTITIONS, READ_DEADLINE_MS, SLICE_SHARD_BYTES_MIN, TICK_MS,
    UNSENT_BYTES_DEFAULT,
};
use nudged_base::telemetry::counters::ShardCounters;
use nudged_domain::catalog::snapshot::Snapshot;
use nudged_http::connection::Timeouts;
use nudged_redis::link::LinkSettings;
use nudged_shard::control::{Control, ControlRequest};
use nudged_shard::core::{Core, CoreSetup};
use nudged_shard::seam::{Effect, Input, Outbox, RedisStatusView, Step};
use nudged_shard::users::redis::{ArbiterSetup, RecordQueue};
use nudged_shard::users::unmerged::RecoveredUnmerged;
use nudged_shard::view::Rules;

use super::node::{Marks, Parts};
use super::random::Stream;
use super::scene::{MS, Scene, Task, US, number};
use super::sql::no_log;
use super::trace::{note_arrival, note_effect};

/// The number of a shard's connection to Redis.
pub const LINK: u32 = 1_000;
/// How often a shard looks at the wall clock, in milliseconds.
const CLOCK_PERIOD_MS: u64 = 250;
/// The ticket of commands that swap the catalog.
const SWAP_TICKET: u64 = u64::MAX;

/// From clients.
pub const CLIENTS: usize = 0;
/// From Redis.
pub const FROM_REDIS: usize = 1;
/// From the journal.
pub const ACKS: usize = 2;
/// From SQL.
pub const READS: usize = 3;
/// From operators, and hops that were refused.
pub const RETURNED: usize = 4;
/// From other shards, a lane each; then their replies.
pub const LANES: usize = 5;

/// An input on its way to a shard; bytes are lent to it when it takes them.
#[derive(Debug)]
pub enum Arrival {
    Bytes(u32, Vec<u8>),
    Input(Input<'static>),
}

impl From<Input<'static>> for Arrival {
    fn from(input: Input<'static>) -> Arrival {
        Arrival::Input(input)
    }
}

impl Arrival {
    /// The connection of which it tells something that whoever has given it up does not hear.
    fn peer(&self) -> Option<u32> {
        match *self {
            Arrival::Bytes(connection, _)
            | Arrival::Input(Input::PeerClosed { connection } | Input::Broken { connection }) => {
                Some(connection)
            }
            Arrival::Input(_) => None,
        }
    }
}

/// A connection of a client as the driver has it.
#[derive(Default)]
pub struct Line {
    /// Whose it is.
    pub client: Option<usize>,
    pub is_open: bool,
    /// The shard has given it up.
    pub is_closing: bool,
    /// Nothing is to be received for now.
    pub is_paused: bool,
    pub sending: Option<Vec<u8>>,
}

/// A shard and what has arrived for it.
pub struct Shard {
    core: Core,
    node: usize,
    index: usize,
    clock: NodeClock,
    clock_due: u64,
    tick_due: u64,
    turn_at: Option<u64>,
    seen: (Sequence, bool),
    status_seen: RedisStatusView,
    /// What has arrived, by lane.
    pub queues: Vec<VecDeque<Arrival>>,
    outbox: Outbox,
    /// Its connections with clients.
    pub lines: Vec<Line>,
    /// What it is swapped with, the present one first, where catalogs are swapped.
    catalogs: Vec<Arc<Snapshot>>,
    /// The catalogs that were current, until nobody holds them.
    former: Vec<Weak<Snapshot>>,
    pub turns: u64,
    /// Batches that it has handed to the journal.
    pub pushed: u64,
    /// It has ended its loop.
    pub is_finished: bool,
}

/// What a shard is made of.
pub struct ShardSetup {
    pub node: usize,
    /// Its place there.
    pub shard: ShardId,
    pub shards: u16,
    pub clock: NodeClock,
    /// The end of the journal, and what earlier processes accepted and did not merge.
    pub left: (Sequence, RecoveredUnmerged),
}

fn arbiter(scene: &Scene, setup: &ShardSetup) -> ArbiterSetup {
    let ShardSetup { node, shard, shards, left: (end, left), .. } = setup;
    let defaults = nudged_config::RedisSettings::default();
    let own = |partition: &Partition| partition.home(*shards) == *shard;
    let link = LinkSettings {
        name: format!("node{node}-{}", shard.0),
        subscriptions: (0..PARTITIONS).map(Partition).filter(own).collect(),
        ..LinkSettings::default()
    };
    let life = u64::from(scene.nodes[*node].life);
    let process =
        (life << 24) ^ (number(*node) << 16) ^ u64::from(shard.0) ^ scene.config.seed << 40;
    ArbiterSetup {
        link: Arc::new(link),
        connection: LINK,
        deadline_ms: defaults.deadline.0,
        slice_ttl_ms: defaults.slice_ttl.0,
        negative_ttl_ms: defaults.negative_ttl.0,
        ttl_ms: defaults.ttl.0,
        queue: match scene.config.has_lists {
            true => RecordQueue::List { list_max: defaults.list_max },
            false => RecordQueue::Journal,
        },
        needs_sync: false,
        request_seed: process.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        journal_end: *end,
        unmerged: left.clone(),
    }
}

impl Shard {
    /// A shard of a process that begins.
    pub fn new(scene: &Scene, setup: &ShardSetup, parts: &Parts) -> Shard {
        let rules = Rules {
            access: vec![Access::default()],
            cors: Cors::default(),
            visitors: VisitorRules::default(),
        };
        let life = u64::from(scene.nodes[setup.node].life);
        let core = Core::new(CoreSetup {
            shard: setup.shard,
            shards: setup.shards,
            snapshot: Arc::clone(&parts.snapshots[0]),
            rules: Arc::new(rules),
            keys: Arc::clone(&parts.keys),
            counters: Arc::new(ShardCounters::default()),
            slice_bytes: SLICE_SHARD_BYTES_MIN,
            connections_max: 64,
            connections_max_of_node: 64,
            unsent_bytes_max: UNSENT_BYTES_DEFAULT,
            user_rate: None,
            read_deadline_ms: READ_DEADLINE_MS,
            arbiter: scene.config.has_redis.then(|| arbiter(scene, setup)),
            seed: scene.config.seed ^ (life << 32) ^ u64::from(setup.shard.0),
            timeouts: Timeouts::DEFAULT,
            log: no_log(),
        });
        let lanes = LANES + 2 * usize::from(setup.shards);
        Shard {
            core,
            node: setup.node,
            index: setup.shard.index(),
            clock: setup.clock,
            clock_due: scene.now,
            tick_due: scene.now,
            turn_at: None,
            seen: (Sequence(0), false),
            status_seen: RedisStatusView::default(),
            queues: (0..lanes).map(|_| VecDeque::new()).collect(),
            outbox: Outbox::default(),
            lines: Vec::new(),
            catalogs: match scene.config.swaps_catalog {
                true => parts.snapshots.to_vec(),
                false => Vec::new(),
            },
            former: Vec::new(),
            turns: 0,
            pushed: 0,
            is_finished: false,
        }
    }

    /// Something has come for it.
    pub fn wake(&mut self, scene: &mut Scene) {
        let pause_ms = scene.config.pause_ms;
        let draw = &mut scene.streams.schedule;
        let mut wait = draw.between(1, 60) * US;
        if !scene.is_calm && draw.one_in(200) {
            wait += draw.below(pause_ms + 1) * MS;
        }
        self.turn_by(scene.now + wait, scene);
    }

    fn turn_by(&mut self, at: u64, scene: &mut Scene) {
        if self.turn_at.is_none_or(|planned| planned > at) {
            self.turn_at = Some(scene.after(at - scene.now, Task::Turn(self.node, self.index)));
        }
    }

    /// When it has to turn at the latest.
    fn deadline(&self, scene: &Scene) -> u64 {
        let deadline = self.core.next_deadline();
        let deadline = deadline.map_or(u64::MAX, |at| scene.true_time(self.node, at));
        self.tick_due.min(deadline)
    }

    /// One turn; gives what it wants done. `None` where it was woken before this.
    pub fn turn(
        &mut self,
        marks: Marks,
        status: RedisStatusView,
        scene: &mut Scene,
    ) -> Option<Vec<Effect>> {
        if self.turn_at.is_none_or(|at| at > scene.now) {
            return None;
        }
        self.turn_at = None;
        self.run(marks, status, scene);
        self.turns += 1;
        let mut effects = std::mem::take(&mut self.outbox.effects);
        effects.retain(
            |effect| !matches!(effect, Effect::ControlReply(reply) if reply.ticket == SWAP_TICKET),
        );
        effects.iter().for_each(|effect| note_effect((self.node, self.index), effect, scene));
        Some(effects)
    }

    /// The next turn is planned; `replies` wait at other shards.
    pub fn rest(&mut self, replies: usize, scene: &mut Scene) {
        self.former.retain(|snapshot| snapshot.strong_count() > 0);
        // What answers hold that wait here or are on their way to other shards, and the last two,
        // which are this world's.
        let held_max = CATALOGS_HELD_MAX + replies + 2;
        assert!(self.former.len() <= held_max, "more catalogs are held than may be");
        if self.queues.iter().any(|queue| !queue.is_empty()) {
            self.wake(scene);
        } else {
            let at = self.deadline(scene).max(scene.now + 1);
            self.turn_by(at, scene);
        }
    }

    fn run(&mut self, marks: Marks, status: RedisStatusView, scene: &mut Scene) {
        let mono = scene.mono(self.node);
        if scene.now >= self.clock_due {
            self.clock_due = scene.now + CLOCK_PERIOD_MS * MS;
            self.clock.observe(mono, scene.wall(self.node));
        }
        let now = Now { mono, wall: self.clock.at(mono) };
        if self.seen != (marks.applied, marks.is_refusing) {
            self.seen = (marks.applied, marks.is_refusing);
            let input = Input::Journal { accepting: !marks.is_refusing, applied: marks.applied };
            self.step(now, input);
        }
        if self.status_seen != status {
            self.status_seen = status;
            self.step(now, Input::RedisStatus(status));
        }
        for _ in 0..scene.streams.schedule.skewed(64) {
            let Some(arrival) = self.take(&mut scene.streams.schedule) else { break };
            note_arrival((self.node, self.index), &arrival, scene);
            self.act_upon(now, arrival);
        }
        if scene.now >= self.deadline(scene) {
            self.tick_due = scene.now + TICK_MS * MS;
            self.step(now, Input::Tick);
        }
        self.core.finish_turn(now, &mut self.outbox);
    }

    /// The next arrival of any lane.
    fn take(&mut self, draw: &mut Stream) -> Option<Arrival> {
        let count = self.queues.iter().filter(|queue| !queue.is_empty()).count();
        let place = draw.index(count.max(1));
        let queue = self.queues.iter_mut().filter(|queue| !queue.is_empty()).nth(place)?;
        queue.pop_front()
    }

    /// A step, before which another catalog becomes current where they are swapped.
    fn step(&mut self, now: Now, input: Input<'_>) {
        if !self.catalogs.is_empty() {
            let version = self.catalogs[0].version + 1;
            let next = Arc::new(self.catalogs[1].with_statuses(version, &Default::default()));
            self.former.push(Arc::downgrade(&next));
            self.catalogs.swap(0, 1);
            self.catalogs[0] = Arc::clone(&next);
            let request = ControlRequest::SwapCatalog(next);
            let control = Control { ticket: SWAP_TICKET, request };
            self.core.step(now, Input::Control(control), &mut self.outbox);
        }
        self.core.step(now, input, &mut self.outbox);
    }

    fn act_upon(&mut self, now: Now, arrival: Arrival) {
        if let Some(peer) = arrival.peer().filter(|peer| *peer != LINK) {
            let line = self.line(peer);
            if !line.is_open || line.is_closing {
                return;
            }
        }
        match arrival {
            Arrival::Bytes(connection, bytes) => {
                self.step(now, Input::Bytes { connection, bytes: &bytes });
            }
            Arrival::Input(input) => self.step(now, input),
        }
    }

    /// A number for a new connection.
    pub fn free_line(&mut self) -> u32 {
        let free = self.lines.iter().position(|line| !line.is_open);
        let number = free.unwrap_or_else(|| {
            self.lines.push(Line::default());
            self.lines.len() - 1
        });
        u32::try_from(number).expect("few connections")
    }

    pub fn line(&mut self, number: u32) -> &mut Line {
        &mut self.lines[usize::try_from(number).expect("few connections")]
    }

    /// A line's number is free: what still came for it is of nobody, but for buffers.
    pub fn forget_line(&mut self, number: u32) {
        *self.line(number) = Line::default();
        self.queues[CLIENTS].retain(|arrival| arrival.peer() != Some(number));
    }

    /// The link is given up: nothing of it is told any more.
    pub fn forget_link(&mut self) {
        self.queues[FROM_REDIS].clear();
    }
}

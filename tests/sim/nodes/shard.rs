//! One shard of a node among several: the real core, run in turns as the ring driver has it. A turn
//! takes some of what has arrived, in the order of each lane and in any order between lanes.

use std::collections::VecDeque;
use std::sync::Arc;

use nudged_api::access::Access;
use nudged_api::cors::Cors;
use nudged_base::clock::{NodeClock, Now};
use nudged_base::ids::{Partition, Sequence, ShardId};
use nudged_base::limits::{PARTITIONS, READ_DEADLINE_MS, SLICE_SHARD_BYTES_MIN, TICK_MS};
use nudged_base::telemetry::counters::ShardCounters;
use nudged_base::telemetry::log::{Level, Log};
use nudged_redis::link::LinkSettings;
use nudged_shard::core::{Core, CoreSetup};
use nudged_shard::seam::{Effect, Input, Outbox, RedisStatusView, Step};
use nudged_shard::users::redis::{ArbiterSetup, RecordQueue};
use nudged_shard::users::unmerged::RecoveredUnmerged;
use nudged_shard::view::Rules;

use super::node::{Arrival, Marks, Parts};
use super::scene::{MS, Scene, US, What, number};

/// The number of a shard's connection to Redis.
pub const LINK: u32 = 1_000;
/// How often a shard looks at the wall clock, in milliseconds.
const CLOCK_PERIOD_MS: u64 = 250;

/// From clients.
pub const CLIENTS: usize = 0;
/// From Redis.
pub const FROM_REDIS: usize = 1;
/// From the journal.
pub const ACKS: usize = 2;
/// From SQL.
pub const READS: usize = 3;
/// From other shards, a lane each; then their replies.
pub const LANES: usize = 4;

/// A connection of a client as the driver has it.
#[derive(Default)]
pub struct Line {
    /// Whose it is.
    pub client: Option<usize>,
    /// The number is in use.
    pub is_open: bool,
    /// The shard has given it up.
    pub is_closing: bool,
    /// The send that is under way.
    pub sending: Option<Vec<u8>>,
}

/// A shard and what has arrived for it.
pub struct Shard {
    core: Core,
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
    /// Turns that have ended.
    pub turns: u64,
    /// Batches that it has handed to the journal.
    pub pushed: u64,
}

/// What a shard of this place in its node is made of.
pub struct Place {
    /// The node.
    pub node: usize,
    /// The shard.
    pub shard: ShardId,
    /// Shards of the node.
    pub shards: u16,
}

fn arbiter(
    scene: &Scene,
    place: &Place,
    (end, left): (Sequence, RecoveredUnmerged),
) -> ArbiterSetup {
    let Place { node, shard, shards } = *place;
    let defaults = nudged_config::RedisSettings::default();
    let own = |partition: &Partition| partition.home(shards) == shard;
    let link = LinkSettings {
        name: format!("node{node}-{}", shard.0),
        subscriptions: (0..PARTITIONS).map(Partition).filter(own).collect(),
        ..LinkSettings::default()
    };
    let life = u64::from(scene.nodes[node].life);
    let process =
        (life << 24) ^ (number(node) << 16) ^ u64::from(shard.0) ^ scene.config.seed << 40;
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
        journal_end: end,
        unmerged: left,
    }
}

impl Shard {
    /// A shard of a process that begins. `left` is what earlier ones accepted and did not merge,
    /// with the end of their journal.
    pub fn new(
        scene: &Scene,
        place: &Place,
        clock: NodeClock,
        parts: &Parts,
        left: (Sequence, RecoveredUnmerged),
    ) -> Shard {
        let rules = Rules { access: vec![Access::default()], cors: Cors::default() };
        let life = u64::from(scene.nodes[place.node].life);
        let core = Core::new(CoreSetup {
            shard: place.shard,
            shards: place.shards,
            snapshot: Arc::clone(&parts.snapshot),
            rules: Arc::new(rules),
            keys: Arc::clone(&parts.keys),
            counters: Arc::new(ShardCounters::default()),
            slice_bytes: SLICE_SHARD_BYTES_MIN,
            connections_max: 64,
            connections_max_of_node: 64,
            unsent_bytes_max: nudged_base::limits::UNSENT_BYTES_DEFAULT,
            read_deadline_ms: READ_DEADLINE_MS,
            arbiter: Some(arbiter(scene, place, left)),
            seed: scene.config.seed ^ (life << 32) ^ u64::from(place.shard.0),
            timeouts: nudged_http::connection::Timeouts::DEFAULT,
            log: Log::new(Level::Error, true, &[]),
        });
        let lanes = LANES + 2 * usize::from(place.shards);
        Shard {
            core,
            clock,
            clock_due: scene.now,
            tick_due: scene.now,
            turn_at: None,
            seen: (Sequence(0), false),
            status_seen: RedisStatusView::default(),
            queues: (0..lanes).map(|_| VecDeque::new()).collect(),
            outbox: Outbox::default(),
            lines: Vec::new(),
            turns: 0,
            pushed: 0,
        }
    }

    /// Something has come for it.
    pub fn wake(&mut self, node: usize, index: usize, scene: &mut Scene) {
        let pause_ms = scene.config.pause_ms;
        let draw = &mut scene.streams.schedule;
        let mut wait = draw.between(1, 60) * US;
        if !scene.is_calm && draw.one_in(200) {
            wait += draw.below(pause_ms + 1) * MS;
        }
        if self.turn_at.is_none_or(|at| at > scene.now + wait) {
            self.turn_at = Some(scene.after(wait, What::Turn(node, index)));
        }
    }

    fn sleep(&mut self, node: usize, index: usize, scene: &mut Scene) {
        let deadline = self.core.next_deadline();
        let deadline = deadline.map_or(u64::MAX, |at| scene.true_time(node, at));
        let wait = self.tick_due.min(deadline).saturating_sub(scene.now);
        self.turn_at = Some(scene.after(wait.max(1), What::Turn(node, index)));
    }

    /// One turn, where one is due; gives what it wants done.
    pub fn turn(
        &mut self,
        (node, index): (usize, usize),
        (marks, redis_status): (Marks, RedisStatusView),
        scene: &mut Scene,
    ) -> Vec<Effect> {
        if self.turn_at.is_none_or(|at| at > scene.now) {
            return Vec::new(); // Woken before this.
        }
        self.turn_at = None;
        self.run((node, index), (marks, redis_status), scene);
        self.turns += 1;
        if self.queues.iter().any(|queue| !queue.is_empty()) {
            self.wake(node, index, scene);
        } else {
            self.sleep(node, index, scene);
        }
        std::mem::take(&mut self.outbox.effects)
    }

    fn run(
        &mut self,
        (node, index): (usize, usize),
        (marks, redis_status): (Marks, RedisStatusView),
        scene: &mut Scene,
    ) {
        let mono = scene.mono(node);
        if scene.now >= self.clock_due {
            self.clock_due = scene.now + CLOCK_PERIOD_MS * MS;
            self.clock.observe(mono, scene.wall(node));
        }
        let now = Now { mono, wall: self.clock.at(mono) };
        if self.seen != (marks.applied, marks.is_refusing) {
            self.seen = (marks.applied, marks.is_refusing);
            let input = Input::Journal { accepting: !marks.is_refusing, applied: marks.applied };
            self.core.step(now, input, &mut self.outbox);
        }
        if self.status_seen != redis_status {
            self.status_seen = redis_status;
            self.core.step(now, Input::RedisStatus(redis_status), &mut self.outbox);
        }
        for _ in 0..scene.streams.schedule.skewed(64) {
            let count = self.queues.iter().filter(|queue| !queue.is_empty()).count();
            let place = scene.streams.schedule.index(count.max(1));
            let queue = self.queues.iter_mut().filter(|queue| !queue.is_empty()).nth(place);
            let Some(arrival) = queue.and_then(VecDeque::pop_front) else { break };
            scene.note("arrival", &[number(node), number(index)], arrival.name().as_bytes());
            self.take(now, arrival);
        }
        let deadline = self.core.next_deadline();
        let deadline = deadline.map_or(u64::MAX, |at| scene.true_time(node, at));
        if scene.now >= self.tick_due.min(deadline) {
            self.tick_due = scene.now + TICK_MS * MS;
            self.core.step(now, Input::Tick, &mut self.outbox);
        }
        self.core.finish_turn(now, &mut self.outbox);
    }

    fn take(&mut self, now: Now, arrival: Arrival) {
        let Shard { core, outbox, lines, .. } = self;
        let is_wanted = |number: u32| {
            let line = &lines[usize::try_from(number).expect("few connections")];
            line.is_open && !line.is_closing
        };
        let input = match arrival {
            Arrival::Accepted(connection) => Input::Accepted { connection, listener: 0 },
            Arrival::Bytes(connection, bytes) => {
                if is_wanted(connection) {
                    core.step(now, Input::Bytes { connection, bytes: &bytes }, outbox);
                }
                return;
            }
            Arrival::Ended(connection) | Arrival::Broken(connection) if !is_wanted(connection) => {
                return;
            }
            Arrival::Ended(connection) => Input::PeerClosed { connection },
            Arrival::Broken(connection) => Input::Broken { connection },
            Arrival::Sent(connection, buffer, sent) => Input::Sent { connection, buffer, sent },
            Arrival::LinkConnected => Input::Connected { connection: LINK },
            Arrival::LinkBytes(bytes) => {
                return core.step(now, Input::Bytes { connection: LINK, bytes: &bytes }, outbox);
            }
            Arrival::LinkBroken => Input::Broken { connection: LINK },
            Arrival::Hop(hop) => Input::Hop(hop),
            Arrival::HopReply(reply) => Input::HopReply(reply),
            Arrival::Acked(ack) => Input::Acked(ack),
            Arrival::UserRead(read) => Input::UserRead(read),
        };
        core.step(now, input, outbox);
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

    /// A line of the shard.
    pub fn line(&mut self, number: u32) -> &mut Line {
        &mut self.lines[usize::try_from(number).expect("few connections")]
    }

    /// A line's number is free: what still came for it is of nobody.
    pub fn forget_line(&mut self, number: u32) {
        *self.line(number) = Line::default();
        self.queues[CLIENTS].retain(|arrival| match arrival {
            Arrival::Bytes(line, _) | Arrival::Ended(line) | Arrival::Broken(line) => {
                *line != number
            }
            _ => true,
        });
    }

    /// The link is given up: nothing of it is told any more.
    pub fn forget_link(&mut self) {
        self.queues[FROM_REDIS].clear();
    }
}

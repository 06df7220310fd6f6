//! One life of a node: the real shards over modelled lanes. Each shard runs in turns, as the ring
//! driver has it: a turn takes some of what has arrived, in the order of each lane and in any order
//! between lanes. The journal's and SQL's side are in `journal` and `sql`.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Weak};

use nudged_api::access::Access;
use nudged_api::cors::Cors;
use nudged_api::token::Keys;
use nudged_base::clock::{NodeClock, Now};
use nudged_base::ids::{Sequence, ShardId};
use nudged_base::limits::{CATALOGS_HELD_MAX, READ_DEADLINE_MS, SLICE_SHARD_BYTES_MIN, TICK_MS};
use nudged_base::telemetry::counters::ShardCounters;
use nudged_base::time::WallMs;
use nudged_domain::catalog::snapshot::Snapshot;
use nudged_journal::lane::Ack;
use nudged_journal::recovery::{RecoverOptions, recover};
use nudged_journal::segment::SetId;
use nudged_shard::control::{Control, ControlReply, ControlRequest};
use nudged_shard::core::{Core, CoreSetup};
use nudged_shard::seam::{Effect, Hop, HopReply, Input, Outbox, ReadRequest, Step, UserRead};
use nudged_shard::view::Rules;
use nudged_store::{Store, StoreReader};

use super::disk::Disk;
use super::journal::Journal;
use super::notes::{note_arrival, note_effect};
use super::random::Stream;
use super::scene::{MS, Scene, US, What, both};
use super::sql::{ReaderSide, Writer};

/// The journal's set in every run.
pub const SET: SetId = SetId(0x1234_5678_9abc_def0_0fed_cba9_8765_4321);
/// How often a shard looks at the wall clock, in milliseconds.
const CLOCK_PERIOD_MS: u64 = 250;

/// The ticket of commands that swap the catalog.
const SWAP_TICKET: u64 = u64::MAX;

const NETWORK: usize = 0;
const ACKS: usize = 1;
const READS: usize = 2;
const RETURNED: usize = 3;
const LANES: usize = 4;

/// An input on its way to a shard.
#[derive(Debug)]
pub enum Arrival {
    Accepted(u32),
    Bytes(u32, Vec<u8>),
    Ended(u32),
    Broken(u32),
    Sent(u32, Vec<u8>, Option<usize>),
    Hop(Hop),
    HopReply(HopReply),
    HopRefused(Hop),
    Acked(Ack),
    UserRead(UserRead),
    Control(Control),
    ListenersClosed,
}

/// A connection as the driver has it.
#[derive(Default)]
pub struct Line {
    /// Whose it is.
    pub client: Option<usize>,
    /// The number is in use.
    pub is_open: bool,
    /// The shard has given it up.
    pub is_closing: bool,
    /// Nothing is to be received for now.
    pub is_paused: bool,
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
    queues: Vec<VecDeque<Arrival>>,
    outbox: Outbox,
    /// Its connections.
    pub lines: Vec<Line>,
    /// What it is swapped with, the present one first, where catalogs are swapped.
    catalogs: Vec<Arc<Snapshot>>,
    /// The catalogs that were current, until nobody holds them.
    former: Vec<Weak<Snapshot>>,
}

/// How far journal and SQL have come, as the shards see it.
#[derive(Clone, Copy, Default)]
pub struct Marks {
    /// Everything up to here is in the files.
    pub written: Sequence,
    /// Everything up to here is in SQL.
    pub applied: Sequence,
    /// The journal takes no records.
    pub is_refusing: bool,
}

/// One life of a node.
pub struct Node {
    /// The shards.
    pub shards: Vec<Shard>,
    /// The journal's side.
    pub journal: Journal,
    /// The side of SQL that writes.
    pub writer: Writer,
    /// The side of SQL that reads.
    pub reader: ReaderSide,
    /// Watermarks.
    pub marks: Marks,
    /// Answers to operators' commands, with their shards.
    pub replies: Vec<(usize, ControlReply)>,
}

/// What a node is started with beside its disks.
pub struct Parts {
    /// The catalogs: the first one, and another one to swap it with.
    pub snapshots: [Arc<Snapshot>; 2],
    /// Signing keys.
    pub keys: Arc<Keys>,
}

impl Node {
    /// Starts a node on what is on the disks.
    pub fn boot(scene: &mut Scene, disk: &Disk, directory: &Path, parts: &Parts) -> Node {
        scene.life += 1;
        let life = usize::try_from(scene.life).expect("few lives");
        let shards = scene.config.shards[life % scene.config.shards.len()];
        let mut store = Store::open(directory).expect("SQL opens");
        let stream = store.stream_id(SET.0.to_be_bytes()).expect("the stream is ours");
        let applied = store.position(stream).expect("the stream is known");
        let options = RecoverOptions { applied, fresh_set: SET, skip_damaged: false };
        let mut recovered = match recover(disk, options) {
            Ok(recovered) => recovered,
            Err(error) => panic!("the journal is not to be used after a crash: {error}"),
        };
        let newest = store.newest(stream).expect("SQL tells its newest time");
        recovered.start.newest = recovered.start.newest.max(newest.unwrap_or(WallMs(i64::MIN)));
        let report = &recovered.report;
        let figures = [
            applied.0,
            recovered.start.next.0,
            report.bytes_cut,
            report.sql_ahead,
            report.unapplied,
        ];
        scene.note("boot", &figures, &[]);
        let clock = NodeClock::start(scene.mono(), scene.wall(), recovered.start.newest);
        let written = Sequence(recovered.start.next.0 - 1);
        let marks = Marks { written, applied, is_refusing: false };
        let writer = Writer::new(store, stream, disk, applied);
        let reader = StoreReader::open(directory).expect("SQL opens");
        let reader = ReaderSide::new(reader, recovered.unapplied);
        let journal = Journal::new(scene.config.appender(), recovered.start, shards, clock);
        let shards = (0..shards)
            .map(|index| Shard::new(scene, (ShardId(index), shards), clock, parts))
            .collect();
        let mut node = Node { shards, journal, writer, reader, marks, replies: Vec::new() };
        for index in 0..node.shards.len() {
            node.shards[index].turn_at = Some(scene.after(0, What::Turn(index)));
        }
        node.journal.wake(scene);
        node.writer.wake(scene);
        node
    }

    /// Something arrives for a shard by the network.
    pub fn arrive(&mut self, index: usize, arrival: Arrival, scene: &mut Scene) {
        self.push(index, NETWORK, arrival, scene);
    }

    /// A state that was read arrives.
    pub fn arrive_read(&mut self, index: usize, read: UserRead, scene: &mut Scene) {
        self.push(index, READS, Arrival::UserRead(read), scene);
    }

    /// An acknowledgement arrives.
    pub fn arrive_ack(&mut self, ack: Ack, scene: &mut Scene) {
        self.push(ack.shard.index(), ACKS, Arrival::Acked(ack), scene);
    }

    /// An operator's command arrives.
    pub fn command(&mut self, index: usize, control: Control, scene: &mut Scene) {
        self.push(index, RETURNED, Arrival::Control(control), scene);
    }

    fn push(&mut self, index: usize, queue: usize, arrival: Arrival, scene: &mut Scene) {
        self.shards[index].queues[queue].push_back(arrival);
        self.shards[index].wake(index, scene);
    }

    /// A shard's turn; gives what its network has to do.
    pub fn turn(&mut self, index: usize, scene: &mut Scene) -> Vec<Effect> {
        let shard = &mut self.shards[index];
        if shard.turn_at != Some(scene.now) {
            return Vec::new(); // Woken before this.
        }
        shard.turn_at = None;
        shard.run(self.marks, index, scene);
        let mut effects = std::mem::take(&mut shard.outbox.effects);
        let is_swap = |effect: &Effect| matches!(effect, Effect::ControlReply(reply) if reply.ticket == SWAP_TICKET);
        effects.retain(|effect| !is_swap(effect));
        let mut of_network = Vec::new();
        for effect in effects {
            note_effect(index, &effect, scene);
            match effect {
                Effect::Hop { .. }
                | Effect::HopReply { .. }
                | Effect::Append(_)
                | Effect::ReadUser(_)
                | Effect::ControlReply(_)
                | Effect::StopAccepting => self.carry_out(index, effect, scene),
                other => of_network.push(other),
            }
        }
        let back = LANES + self.shards.len() + index;
        let answered: usize = self.shards.iter().map(|shard| shard.queues[back].len()).sum();
        let shard = &mut self.shards[index];
        // What answers hold that wait here or are on their way to other shards, and the last two,
        // which are this world's.
        let held_max = CATALOGS_HELD_MAX + answered + 2;
        assert!(shard.catalogs_held() <= held_max, "more catalogs are held than may be");
        if shard.queues.iter().any(|queue| !queue.is_empty()) {
            shard.wake(index, scene);
        } else {
            shard.sleep(index, scene);
        }
        of_network
    }

    fn carry_out(&mut self, index: usize, effect: Effect, scene: &mut Scene) {
        let shards = self.shards.len();
        match effect {
            Effect::Hop { to, hop } => {
                let one_in = scene.config.one_in_hop_refused;
                if scene.is_fault(|streams| &mut streams.schedule, one_in) {
                    self.push(index, RETURNED, Arrival::HopRefused(hop), scene);
                } else {
                    self.push(to.index(), LANES + index, Arrival::Hop(hop), scene);
                }
            }
            Effect::HopReply { to, reply } => {
                self.push(to.index(), LANES + shards + index, Arrival::HopReply(reply), scene);
            }
            Effect::Append(batch) => {
                self.journal.lanes[index].push_back(batch);
                self.journal.wake(scene);
            }
            Effect::ReadUser(request) => self.read_user(request, scene),
            Effect::ControlReply(reply) => self.replies.push((index, reply)),
            Effect::StopAccepting => {
                self.push(index, NETWORK, Arrival::ListenersClosed, scene);
            }
            other => unreachable!("{other:?} is of the network"),
        }
    }

    fn read_user(&mut self, request: ReadRequest, scene: &mut Scene) {
        self.reader.reading.requests.push_back(request);
        self.reader.wake(scene);
    }

    /// A number for a new connection of a shard.
    pub fn free_line(&mut self, index: usize) -> u32 {
        let lines = &mut self.shards[index].lines;
        let free = lines.iter().position(|line| !line.is_open);
        let number = free.unwrap_or_else(|| {
            lines.push(Line::default());
            lines.len() - 1
        });
        u32::try_from(number).expect("few connections")
    }

    /// A line of a shard.
    pub fn line(&mut self, index: usize, number: u32) -> &mut Line {
        &mut self.shards[index].lines[usize::try_from(number).expect("few connections")]
    }

    /// A line's number is free: what still came for it is of nobody, but for buffers.
    pub fn forget_line(&mut self, index: usize, number: u32) {
        self.shards[index].queues[NETWORK].retain(|arrival| match arrival {
            Arrival::Bytes(line, _) | Arrival::Ended(line) | Arrival::Broken(line) => {
                *line != number
            }
            _ => true,
        });
    }

    /// Whether no shard has anything in its lanes.
    pub fn are_lanes_empty(&self) -> bool {
        let shards = self.shards.iter().flat_map(|shard| &shard.queues);
        shards.into_iter().all(VecDeque::is_empty)
            && self.journal.lanes.iter().all(VecDeque::is_empty)
    }
}

impl Shard {
    fn new(
        scene: &Scene,
        (shard, shards): (ShardId, u16),
        clock: NodeClock,
        parts: &Parts,
    ) -> Shard {
        let life = u64::from(scene.life);
        let rules = Rules { access: vec![Access::default()], cors: Cors::default() };
        let core = Core::new(CoreSetup {
            shard,
            shards,
            snapshot: Arc::clone(&parts.snapshots[0]),
            rules: Arc::new(rules),
            keys: Arc::clone(&parts.keys),
            counters: Arc::new(ShardCounters::default()),
            slice_bytes: SLICE_SHARD_BYTES_MIN,
            connections_max: 64,
            connections_max_of_node: 64,
            unsent_bytes_max: nudged_base::limits::UNSENT_BYTES_DEFAULT,
            read_deadline_ms: READ_DEADLINE_MS,
            arbiter: None,
            seed: scene.config.seed ^ (life << 32) ^ u64::from(shard.0),
            timeouts: nudged_http::connection::Timeouts::DEFAULT,
            log: nudged_base::telemetry::log::Log::new(
                nudged_base::telemetry::log::Level::Error,
                true,
                &[],
            ),
        });
        let queues = (0..LANES + 2 * usize::from(shards)).map(|_| VecDeque::new()).collect();
        Shard {
            core,
            clock,
            clock_due: scene.now,
            tick_due: scene.now,
            turn_at: None,
            seen: (Sequence(0), false),
            queues,
            outbox: Outbox::default(),
            lines: Vec::new(),
            catalogs: match scene.config.swaps_catalog {
                true => parts.snapshots.to_vec(),
                false => Vec::new(),
            },
            former: Vec::new(),
        }
    }

    /// A step, before which another catalog becomes current where they are swapped.
    fn step(&mut self, now: Now, input: Input<'_>) {
        if !self.catalogs.is_empty() {
            let version = self.catalogs[0].version + 1;
            let next = Arc::new(self.catalogs[1].with_statuses(version, &Default::default()));
            self.former.push(Arc::downgrade(&next));
            self.catalogs.swap(0, 1);
            self.catalogs[0] = Arc::clone(&next);
            let command = ControlRequest::SwapCatalog(next);
            let control = Control { ticket: SWAP_TICKET, request: command };
            self.core.step(now, Input::Control(control), &mut self.outbox);
        }
        self.core.step(now, input, &mut self.outbox);
    }

    /// Catalogs that answers hold, or the shard itself.
    fn catalogs_held(&mut self) -> usize {
        self.former.retain(|snapshot| snapshot.strong_count() > 0);
        self.former.len()
    }

    fn wake(&mut self, index: usize, scene: &mut Scene) {
        let pause_ms = scene.config.pause_ms;
        let draw = &mut scene.streams.schedule;
        let mut wait = draw.between(1, 60) * US;
        if !scene.is_calm && draw.one_in(200) {
            wait += draw.below(pause_ms + 1) * MS;
        }
        if self.turn_at.is_none_or(|at| at > scene.now + wait) {
            self.turn_at = Some(scene.after(wait, What::Turn(index)));
        }
    }

    fn sleep(&mut self, index: usize, scene: &mut Scene) {
        let deadline = self.core.next_deadline().map_or(u64::MAX, |at| at.0);
        let wait = self.tick_due.min(deadline).saturating_sub(scene.now);
        self.turn_at = Some(scene.after(wait.max(1), What::Turn(index)));
    }

    /// One turn, as the driver runs it.
    fn run(&mut self, marks: Marks, index: usize, scene: &mut Scene) {
        let mono = scene.mono();
        if scene.now >= self.clock_due {
            self.clock_due = mono.plus_ms(CLOCK_PERIOD_MS).0;
            self.clock.observe(mono, scene.wall());
        }
        let now = both(mono, self.clock.at(mono));
        if self.seen != (marks.applied, marks.is_refusing) {
            self.seen = (marks.applied, marks.is_refusing);
            let input = Input::Journal { accepting: !marks.is_refusing, applied: marks.applied };
            self.step(now, input);
        }
        for _ in 0..scene.streams.schedule.skewed(64) {
            let Some(arrival) = self.take(&mut scene.streams.schedule) else { break };
            note_arrival(index, &arrival, scene);
            let Some(input) = self.input_of(&arrival) else { continue };
            match input {
                Some(input) => self.step(now, input),
                None => self.step(now, owned(arrival)),
            }
        }
        let deadline = self.core.next_deadline().map_or(u64::MAX, |at| at.0);
        if scene.now >= self.tick_due.min(deadline) {
            self.tick_due = mono.plus_ms(TICK_MS).0;
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

    /// The input of something that came by the network: `None` where its line wants nothing any
    /// more, a `None` within for what has to be handed over whole.
    fn input_of<'a>(&mut self, arrival: &'a Arrival) -> Option<Option<Input<'a>>> {
        let wants = |number: u32| {
            let line = &self.lines[usize::try_from(number).expect("few connections")];
            line.is_open && !line.is_closing
        };
        match arrival {
            Arrival::Bytes(connection, bytes) => {
                wants(*connection).then_some(Some(Input::Bytes { connection: *connection, bytes }))
            }
            Arrival::Ended(connection) => {
                wants(*connection).then_some(Some(Input::PeerClosed { connection: *connection }))
            }
            Arrival::Broken(connection) => {
                wants(*connection).then_some(Some(Input::Broken { connection: *connection }))
            }
            _ => Some(None),
        }
    }
}

fn owned(arrival: Arrival) -> Input<'static> {
    match arrival {
        Arrival::Accepted(connection) => Input::Accepted { connection, listener: 0 },
        Arrival::Sent(connection, buffer, sent) => Input::Sent { connection, buffer, sent },
        Arrival::Hop(hop) => Input::Hop(hop),
        Arrival::HopReply(reply) => Input::HopReply(reply),
        Arrival::HopRefused(hop) => Input::HopRefused(hop),
        Arrival::Acked(ack) => Input::Acked(ack),
        Arrival::UserRead(read) => Input::UserRead(read),
        Arrival::Control(control) => Input::Control(control),
        Arrival::ListenersClosed => Input::ListenersClosed,
        other => unreachable!("{other:?} is lent"),
    }
}

//! A shard as one state machine: `step` takes an input, `finish_turn` ends a turn. Owns the
//! connections and the home; everything that is shared between turns lies here. `redis` what an
//! arbiter adds to a turn · `operate` operators' requests.

mod operate;
mod redis;

use std::sync::Arc;

use bumpalo::Bump;

use super::control::ControlReply;
use super::edge::connections::{Connections, ShardTurn};
use super::edge::serve::{Coordinator, Hops, Outstanding, RequestServer};
use super::fanout::verdicts_of;
use super::origin::{Origin, RequestSlot};
use super::seam::{Effect, Hop, HopReply, Input, Outbox, Step, UserRead};
use super::users::evaluate::RequestContext;
use super::users::in_flight::{Attempt, InFlight, InFlightTable, StateAccess, Waiter};
use super::users::lane::Lane;
use super::users::memory::{Done, Scratch, Users};
use super::users::redis::{Arbiter, ArbiterSetup, RedisUsers};
use super::users::{Arbitration, Turn};
use super::view::{Rules, View};
use nudged_api::command::EncodedCommand;
use nudged_api::cors::Grant;
use nudged_api::outcome::{EncodedOutcome, Outcome};
use nudged_api::render::Rendering;
use nudged_api::reply::ResponseContext;
use nudged_api::token::Keys;
use nudged_base::clock::Now;
use nudged_base::ids::ShardId;
use nudged_base::limits::{BUFFERS_POOLED_MAX, COMMIT_TRIES_MAX};
use nudged_base::slab::Handle;
use nudged_base::telemetry::counters::ShardCounters;
use nudged_base::telemetry::log::{Log, LogValue, Message};
use nudged_base::time::{MonoNs, WallMs};
use nudged_domain::catalog::snapshot::Snapshot;
use nudged_domain::decide::timetable::Timetable;
use nudged_domain::state::slice::Slice;
use nudged_http::connection::Timeouts;
use nudged_http::head::Request;
use nudged_http::pool::BufferPool;
use nudged_http::reply::ImfDate;

/// What a shard is made of.
pub struct CoreSetup {
    /// This shard.
    pub shard: ShardId,
    /// Shards of the node.
    pub shards: u16,
    /// The first catalog.
    pub snapshot: Arc<Snapshot>,
    /// Access by listener, and origins.
    pub rules: Arc<Rules>,
    /// Sign and verify tokens.
    pub keys: Arc<Keys>,
    /// How long peers may take.
    pub timeouts: Timeouts,
    /// Where this shard counts.
    pub counters: Arc<ShardCounters>,
    /// Where it says what happens to it, and all about listed users.
    pub log: Log,
    /// Bytes of this shard's slice.
    pub slice_bytes: u64,
    /// Connections of this shard; more are told 503 and closed.
    pub connections_max: u32,
    /// Connections of all shards together.
    pub connections_max_of_node: u32,
    /// Memory of answers that this shard's clients have not taken, in bytes; at it those that owe
    /// the most are reset.
    pub unsent_bytes_max: u64,
    /// How long a request waits for its user's state, in milliseconds.
    pub read_deadline_ms: u64,
    /// Redis, where it decides whose change is first; `None` where the shard itself does.
    pub arbiter: Option<ArbiterSetup>,
    /// From the operating system's random source, once: keys tables and minted ids.
    pub seed: u64,
}

/// One shard.
pub struct Core {
    view: View,
    users: Users,
    arbitration: Arbitration,
    connections: Connections,
    hops: Hops,
    connections_max_of_node: u32,
    scratch: Scratch,
    bump: Bump,
    finish_ticket: Option<u64>,
    listeners_closed: bool,
    delivering: Vec<Done>,
}

impl Core {
    /// A shard without users or connections, ready.
    pub fn new(setup: CoreSetup) -> Core {
        let view = View {
            shard: setup.shard,
            shards: setup.shards,
            times: Timetable::of(&setup.snapshot),
            snapshot: setup.snapshot,
            rules: setup.rules,
            keys: setup.keys,
            timeouts: setup.timeouts,
            ready: true,
            disk_lack: None,
            closing: false,
            date: ImfDate::of(WallMs(0)),
        };
        let mut lane = Lane::new(setup.shard);
        let is_by_redis = setup.arbiter.is_some();
        let arbitration = match setup.arbiter {
            Some(arbiter) => {
                // What earlier processes accepted and did not merge lies before.
                lane.begin_behind(arbiter.journal_end);
                let (counters, place) = (Arc::clone(&setup.counters), (setup.shard, setup.shards));
                Arbitration::Redis(Box::new(Arbiter::new(arbiter, counters, place, setup.seed)))
            }
            None => Arbitration::Own(Box::new(InFlightTable::new(setup.seed))),
        };
        let users = Users {
            slice: Slice::new(setup.slice_bytes, setup.seed),
            lane,
            is_by_redis,
            done: Vec::new(),
            effects: Vec::new(),
            buffers: BufferPool::new(BUFFERS_POOLED_MAX),
            minted: (0, setup.seed),
            read_deadline_ms: setup.read_deadline_ms,
            counters: Arc::clone(&setup.counters),
            log: setup.log,
        };
        Core {
            view,
            users,
            arbitration,
            hops: Hops::default(),
            connections: Connections::new(
                setup.connections_max,
                setup.unsent_bytes_max,
                setup.counters,
            ),
            connections_max_of_node: setup.connections_max_of_node,
            scratch: Scratch::default(),
            bump: Bump::new(),
            finish_ticket: None,
            listeners_closed: false,
            delivering: Vec::new(),
        }
    }

    /// Serves what a connection asks: with the bytes that came, or what had to wait before.
    fn serve(&mut self, now: Now, connection: u32, bytes: Option<&[u8]>, outbox: &mut Outbox) {
        let Core { view, users, arbitration, scratch, connections, hops, bump, .. } = self;
        let coordinator = Coordinator { hops, turn: Turn { users, arbitration, scratch } };
        let mut server = RequestServer { view, now, bump, coordinator };
        let mut turn = ShardTurn { view, now, outbox };
        let serve =
            |request: &Request<'_>, arrived, out: &mut Vec<u8>| server.serve(request, arrived, out);
        match bytes {
            Some(bytes) => connections.receive(&mut turn, connection, bytes, serve),
            None => connections.resume(&mut turn, connection, serve),
        }
    }

    /// Executes a command of a hop, or one that waited.
    fn execute(&mut self, now: Now, waiter: Waiter, access: StateAccess) {
        // Where the state was only wanted early there is nothing to do.
        let Some(command) = waiter.command else { return };
        self.bump.reset();
        let Core { view, users, arbitration, scratch, bump, .. } = self;
        let Waiter { origin, until, tries, .. } = waiter;
        let attempt = Attempt { tries, access };
        let context = RequestContext { view, now, bump, origin, until, attempt };
        let decoded = command.decode(bump);
        let mut turn = Turn { users, arbitration, scratch };
        if let Some(outcome) = turn.execute(&context, &decoded) {
            let outcome = EncodedOutcome::new(&outcome, &view.snapshot, users.buffer());
            users.finish(origin, outcome);
        }
        users.keep(command.into_buffer());
    }

    /// Executes a command that has just come.
    fn begin(&mut self, now: Now, origin: Origin, command: EncodedCommand) {
        let until = self.arbitration.deadline(&self.users, now.mono);
        let waiter = Waiter { origin, command: Some(command), until, tries: 0 };
        self.execute(now, waiter, StateAccess::Cached);
    }

    fn on_hop(&mut self, now: Now, hop: Hop) {
        self.users.counters.hops_received.add(1);
        let origin = Origin::Shard { shard: hop.from, ticket: hop.ticket };
        self.begin(now, origin, hop.command);
    }

    fn on_hop_reply(&mut self, reply: HopReply) {
        match self.hops.take(reply.ticket) {
            Some(Outstanding::Decision(origin)) => self.users.finish(origin, reply.outcome),
            Some(Outstanding::Part(handle)) => self.part_done(handle, reply.outcome),
            None => self.users.keep(reply.outcome.into_buffer()),
        }
    }

    fn part_done(&mut self, handle: Handle, outcome: EncodedOutcome) {
        self.bump.reset();
        let decoded = outcome.decode(&self.bump);
        self.hops.part_done(&mut self.users, handle, verdicts_of(&decoded));
        self.users.keep(outcome.into_buffer());
    }

    /// A hop came back unexecuted: the request is refused for load.
    fn on_hop_refused(&mut self, now: Now, hop: Hop) {
        self.users.counters.hops_refused.add(1);
        self.users.log(now, Message::LaneFull, &[]);
        match self.hops.take(hop.ticket) {
            Some(Outstanding::Decision(origin)) => {
                let overloaded = Outcome::Overloaded;
                let outcome = EncodedOutcome::of_no_popup(&overloaded, self.users.buffer());
                self.users.finish(origin, outcome);
            }
            Some(Outstanding::Part(handle)) => self.hops.part_done(&mut self.users, handle, &[]),
            None => {}
        }
        self.users.keep(hop.command.into_buffer());
    }

    fn on_user_read(&mut self, now: Now, read: UserRead) {
        let Core { users, arbitration, scratch, .. } = self;
        let in_flight = match arbitration {
            Arbitration::Own(in_flight) => in_flight,
            Arbitration::Redis(arbiter) => {
                let mut redis = RedisUsers { users, arbiter, scratch };
                if let Some(resumed) = redis.on_read_of_sql(now, read) {
                    self.run_again(now, resumed);
                }
                return;
            }
        };
        let ended = in_flight.end(Handle::from_bits(read.ticket));
        let Some((InFlight { user, .. }, mut waiters)) = ended else { return };
        let access = match &read.state {
            Ok(state) if users.admit(&user, state) => StateAccess::Cached,
            Ok(_) => StateAccess::Missing,
            Err(_) => {
                users.counters.reads_failed.add(1);
                StateAccess::Missing
            }
        };
        while let Some(waiter) = waiters.pop_front() {
            self.resume(now, waiter, access);
        }
        if let Arbitration::Own(in_flight) = &mut self.arbitration {
            in_flight.rest(user, waiters);
        }
    }

    /// Goes on with work whose user's state is there, or is not to be had.
    fn resume(&mut self, now: Now, waiter: Waiter, access: StateAccess) {
        let may_run = waiter.tries <= COMMIT_TRIES_MAX;
        self.execute(now, waiter, if may_run { access } else { StateAccess::Missing });
    }

    fn on_tick(&mut self, now: Now, outbox: &mut Outbox) {
        let mut late = Vec::new();
        if let Arbitration::Own(in_flight) = &mut self.arbitration {
            in_flight.expire(now.mono, &mut late);
        }
        for waiter in late {
            self.users.counters.reads_late.add(1);
            self.users.log(now, Message::ReadSlow, &[]);
            self.resume(now, waiter, StateAccess::Missing);
        }
        self.bump.reset();
        let Core { users: Users { lane, done, counters, .. }, bump, .. } = self;
        lane.expire(now.mono, |waiting| {
            counters.acks_late.add(1);
            done.push(Done { origin: waiting.origin, outcome: waiting.outcome.unless_kept(bump) });
        });
        self.expire_redis(now);
        self.users.buffers.shrink();
        self.users.count_slice();
        self.count_link();
        self.connections.expire(&mut ShardTurn { view: &self.view, now, outbox });
    }

    /// Delivers outcomes until none is left: one may complete another.
    fn deliver(&mut self, now: Now, outbox: &mut Outbox) {
        while !self.users.done.is_empty() {
            let mut delivering = std::mem::take(&mut self.delivering);
            std::mem::swap(&mut delivering, &mut self.users.done);
            for done in delivering.drain(..) {
                self.deliver_one(now, done, outbox);
            }
            self.delivering = delivering;
        }
        outbox.effects.append(&mut self.users.effects);
    }

    fn deliver_one(&mut self, now: Now, Done { origin, outcome }: Done, outbox: &mut Outbox) {
        match origin {
            Origin::Connection { slot, grant } => {
                self.answer(now, (slot, grant), outcome, outbox);
            }
            Origin::Shard { shard, ticket } => {
                let reply = HopReply { ticket, outcome };
                outbox.push(Effect::HopReply { to: shard, reply });
            }
            Origin::ShardFanout(handle) => self.part_done(handle, outcome),
            Origin::UserFanout(handle) => {
                self.bump.reset();
                let decoded = outcome.decode(&self.bump);
                if let Arbitration::Redis(arbiter) = &mut self.arbitration
                    && let Some(whole) = arbiter.fanouts.part_done(handle, verdicts_of(&decoded))
                {
                    self.users.finish(whole.origin, whole.outcome);
                }
                self.users.keep(outcome.into_buffer());
            }
            Origin::Control { ticket } => {
                self.bump.reset();
                let reply = ControlReply { ticket, outcome: (&outcome.decode(&self.bump)).into() };
                outbox.push(Effect::ControlReply(reply));
                self.users.keep(outcome.into_buffer());
            }
        }
    }

    /// Writes the answer of a request, in its turn, by the catalog that it was decided by.
    fn answer(
        &mut self,
        now: Now,
        (slot, grant): (RequestSlot, Grant),
        outcome: EncodedOutcome,
        outbox: &mut Outbox,
    ) {
        self.bump.reset();
        let Core { view, connections, bump, .. } = self;
        let is_there =
            connections.answer(&mut ShardTurn { view, now, outbox }, slot, |out, frame| {
                let rendering = Rendering {
                    response: ResponseContext { frame: *frame, cors: &view.rules.cors, grant },
                    snapshot: outcome.snapshot(),
                    disk_lack: view.disk_lack.as_deref(),
                    bump,
                };
                rendering.write(&outcome.decode(bump), out);
            });
        self.users.keep(outcome.into_buffer());
        if is_there {
            self.serve(now, slot.connection, None, outbox);
        }
    }

    /// Tells how much waits, once a turn.
    fn count_what_waits(&self) {
        let (counters, lane) = (&self.users.counters, &self.users.lane);
        counters.parked.set((self.arbitration.waiting() + self.hops.fanouts()) as u64);
        counters.journal_waiting.set(lane.waiting() as u64);
        if let Arbitration::Redis(arbiter) = &self.arbitration {
            counters.unmerged.set(arbiter.unmerged.len() as u64);
        }
    }

    /// Says what connections have met, once a turn.
    fn report_connections(&mut self, now: Now) {
        if self.connections.take_tls_seen() {
            self.users.log(now, Message::TlsSeen, &[]);
        }
        if self.connections.take_cut() {
            self.users.log(now, Message::UnsentFull, &[]);
        }
        let freed = self.connections.freed_bytes() + self.users.buffers.freed_bytes();
        self.users.counters.buffers_freed.set(freed);
    }
}

impl Step for Core {
    fn step(&mut self, now: Now, mut input: Input<'_>, outbox: &mut Outbox) {
        self.view.date.refresh(now.wall);
        if self.on_link(now, &mut input) {
            self.follow_redis(now);
            return self.deliver(now, outbox);
        }
        match input {
            Input::Accepted { connection, listener } => {
                let mut turn = ShardTurn { view: &self.view, now, outbox };
                if !self.connections.accept(&mut turn, connection, listener) {
                    let share = LogValue::Number(u64::from(self.connections.open_max()));
                    let whole = LogValue::Number(u64::from(self.connections_max_of_node));
                    let fields = [("on_this_shard", share), ("connections_max", whole)];
                    self.users.log(now, Message::ConnectionsFull, &fields);
                }
            }
            Input::Bytes { connection, bytes } => self.serve(now, connection, Some(bytes), outbox),
            Input::PeerClosed { connection } => {
                let mut turn = ShardTurn { view: &self.view, now, outbox };
                self.connections.peer_closed(&mut turn, connection);
            }
            Input::Broken { connection } => self.connections.broken(connection, outbox),
            Input::Sent { connection, buffer, sent } => {
                let mut turn = ShardTurn { view: &self.view, now, outbox };
                if self.connections.sent(&mut turn, connection, buffer, sent) {
                    self.serve(now, connection, None, outbox);
                }
            }
            Input::Untaken { connection, bytes } => {
                self.connections.untaken(now.mono, connection, bytes);
            }
            Input::Hop(hop) => self.on_hop(now, hop),
            Input::HopReply(reply) => self.on_hop_reply(reply),
            Input::HopRefused(hop) => self.on_hop_refused(now, hop),
            Input::Acked(ack) => {
                let Users { lane, done, counters, .. } = &mut self.users;
                lane.acknowledge(ack, |waiting| {
                    counters.journal_wait.record(now.mono.0.saturating_sub(waiting.since.0));
                    done.push(Done { origin: waiting.origin, outcome: waiting.outcome });
                });
            }
            Input::UserRead(read) => self.on_user_read(now, read),
            Input::Journal { accepting, applied } => self.users.lane.watermarks(accepting, applied),
            Input::Disk(lack) => self.view.disk_lack = lack,
            Input::Control(control) => self.on_control(now, control, outbox),
            Input::ListenersClosed => {
                self.listeners_closed = true;
                // Those that came last end like the others.
                self.connections.drain(&mut ShardTurn { view: &self.view, now, outbox });
            }
            // Without an arbiter there is no link.
            Input::Connected { .. } => {}
            Input::RedisStatus(redis_status) => self.on_redis_status(redis_status),
            Input::Tick => self.on_tick(now, outbox),
        }
        self.deliver(now, outbox);
    }

    fn finish_turn(&mut self, now: Now, outbox: &mut Outbox) {
        self.finish_turn_of_redis(now, outbox);
        if let Some(batch) = self.users.lane.flush() {
            self.users.counters.journal_records.add(u64::from(batch.count));
            self.users.counters.journal_bytes.add(batch.bytes.len() as u64);
            outbox.push(Effect::Append(batch));
        }
        self.count_what_waits();
        self.connections.flush(&self.view, now.mono, outbox);
        self.report_connections(now);
        let wall = self.arbitration.wall(now);
        self.view.times.refresh(&self.view.snapshot, wall);
        self.finish_if_quiet(now, outbox);
    }

    fn next_deadline(&self) -> Option<MonoNs> {
        let deadlines = [self.arbitration.next_deadline(), self.users.lane.next_deadline()];
        deadlines.into_iter().flatten().min()
    }
}

//! A shard as one state machine: `step` takes an input, `finish_turn` ends a turn. Owns the
//! connections and the home; everything that is shared between turns lies here. `redis` what an
//! arbiter adds to a turn · `deliver` where outcomes go · `operate` operators' requests.

mod deliver;
mod operate;
mod redis;

use std::sync::Arc;

use bumpalo::Bump;

use super::edge::connections::{Connections, ShardTurn};
use super::edge::serve::{Coordinator, Hops, Outstanding, RequestServer};
use super::fanout::Fanouts;
use super::origin::Origin;
use super::seam::{Effect, Hop, HopReply, Input, Outbox, Step, UserRead};
use super::users::evaluate::RequestContext;
use super::users::in_flight::InFlightTable;
use super::users::lane::Lane;
use super::users::memory::{Done, Scratch, Users};
use super::users::rates::UserRates;
use super::users::redis::{Arbiter, ArbiterSetup, RedisUsers};
use super::users::waiting::{StateAccess, Waiter};
use super::users::{Arbitration, Turn};
use super::view::{Rules, View};
use nudged_api::command::EncodedCommand;
use nudged_api::outcome::{EncodedOutcome, Outcome, Verdicts};
use nudged_api::token::Keys;
use nudged_base::clock::Now;
use nudged_base::ids::ShardId;
use nudged_base::limits::{BUFFERS_POOLED_MAX, COMMIT_TRIES_MAX};
use nudged_base::rate::RateLimit;
use nudged_base::telemetry::counters::ShardCounters;
use nudged_base::telemetry::log::{Log, LogValue, Message};
use nudged_base::time::MonoNs;
use nudged_domain::catalog::snapshot::Snapshot;
use nudged_domain::state::slice::Slice;
use nudged_http::connection::Timeouts;
use nudged_http::head::Request;
use nudged_http::pool::BufferPool;

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
    /// How often a user may ask for more than the slice answers; `None` for no limit.
    pub user_rate: Option<RateLimit>,
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
    /// What comes now is to be refused for load.
    is_shedding: bool,
    delivering: Vec<Done>,
}

impl Core {
    /// A shard without users or connections, ready.
    pub fn new(setup: CoreSetup) -> Core {
        let (place, timeouts) = ((setup.shard, setup.shards), setup.timeouts);
        let view = View {
            timeouts,
            ..View::new(place, setup.snapshot, setup.rules, setup.keys, setup.seed)
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
            None => Arbitration::Own,
        };
        let users = Users {
            slice: Slice::new(setup.slice_bytes, setup.seed),
            lane,
            in_flight: InFlightTable::new(setup.seed),
            fanouts: Fanouts::default(),
            is_by_redis,
            done: Vec::new(),
            effects: Vec::new(),
            rates: UserRates::new(setup.user_rate, setup.seed),
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
            is_shedding: false,
            delivering: Vec::new(),
        }
    }

    /// Serves what a connection asks: with the bytes that came, or what had to wait before.
    fn serve(&mut self, now: Now, connection: u32, bytes: Option<&[u8]>, outbox: &mut Outbox) {
        let is_shedding = self.is_shedding;
        let Core { view, users, arbitration, scratch, connections, hops, bump, .. } = self;
        let coordinator = Coordinator { hops, turn: Turn { users, arbitration, scratch } };
        let mut server = RequestServer { view, now, bump, coordinator, is_shedding };
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
        let Waiter { origin, until, tries, counted, .. } = waiter;
        let words = None;
        let context =
            RequestContext { view, now, bump, origin, until, tries, counted, access, words };
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
        let waiter = Waiter { origin, command: Some(command), until, tries: 0, counted: 0 };
        self.execute(now, waiter, StateAccess::Cached);
    }

    fn on_hop(&mut self, now: Now, hop: Hop) {
        self.users.counters.hops_received.add(1);
        let origin = Origin::Shard { shard: hop.from, ticket: hop.ticket };
        self.begin(now, origin, hop.command);
    }

    /// There is no time for another shard's command: it is told so.
    fn refuse_hop(&mut self, hop: Hop) {
        self.users.counters.hops_received.add(1);
        let origin = Origin::Shard { shard: hop.from, ticket: hop.ticket };
        let outcome = EncodedOutcome::of_no_popup(&Outcome::Overloaded, self.users.buffer());
        self.users.finish(origin, outcome);
        self.users.keep(hop.command.into_buffer());
    }

    fn on_hop_reply(&mut self, reply: HopReply) {
        match self.hops.take(reply.ticket) {
            Some(Outstanding::Decision(origin)) => self.users.finish(origin, reply.outcome),
            Some(Outstanding::Part(handle)) => self.part_done(handle, reply.outcome),
            None => self.users.keep(reply.outcome.into_buffer()),
        }
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
            Some(Outstanding::Part(handle)) => self.users.part_done(handle, &Verdicts::default()),
            None => {}
        }
        self.users.keep(hop.command.into_buffer());
    }

    fn on_user_read(&mut self, now: Now, read: UserRead) {
        let Core { users, arbitration, scratch, .. } = self;
        let resumed = match arbitration {
            Arbitration::Own => users.on_read(&read),
            Arbitration::Redis(arbiter) => {
                RedisUsers { users, arbiter, scratch }.on_read_of_sql(now, read)
            }
        };
        if let Some(resumed) = resumed {
            self.run_again(now, resumed);
        }
    }

    /// Goes on with work whose user's state is there, or is not to be had.
    fn resume(&mut self, now: Now, waiter: Waiter, access: StateAccess) {
        let may_run = waiter.tries <= COMMIT_TRIES_MAX;
        self.execute(now, waiter, if may_run { access } else { StateAccess::Missing });
    }

    fn on_tick(&mut self, now: Now, outbox: &mut Outbox) {
        self.bump.reset();
        let Core { users: Users { lane, done, counters, .. }, bump, .. } = self;
        lane.expire(now.mono, |waiting| {
            counters.acks_late.add(1);
            done.push(Done { origin: waiting.origin, outcome: waiting.outcome.unless_kept(bump) });
        });
        if let Some(redis) = self.by_redis() {
            redis.arbiter.tick(now.mono);
        }
        self.give_up_late(now);
        self.give_up_pursued(now);
        self.users.buffers.shrink();
        self.users.rates.forget_quiet(now.mono);
        self.users.count_slice();
        self.count_link();
        self.connections.expire(&mut ShardTurn { view: &self.view, now, outbox });
    }

    /// Requests that have waited too long for their users' states are answered degraded.
    fn give_up_late(&mut self, now: Now) {
        let mut late = Vec::new();
        self.users.in_flight.expire(now.mono, &mut late);
        for waiter in late {
            match self.users.is_by_redis {
                true => self.users.counters.redis_failures.of("deadline").add(1),
                false => {
                    self.users.counters.reads_late.add(1);
                    self.users.log(now, Message::ReadSlow, &[]);
                }
            }
            self.resume(now, waiter, StateAccess::Missing);
        }
    }

    /// Tells how much waits, once a turn.
    fn count_what_waits(&self) {
        let Users { counters, lane, in_flight, fanouts, .. } = &self.users;
        counters.parked.set((in_flight.waiting() + fanouts.len()) as u64);
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
        // Before what comes: in the turn in which popups open, none is asked one by one.
        self.view.times.refresh(&self.view.snapshot, self.arbitration.wall(now));
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
            Input::Source { connection, source } => self.connections.set_source(connection, source),
            Input::Bytes { connection, bytes } => self.serve(now, connection, Some(bytes), outbox),
            Input::Shed { connection, bytes } => {
                self.is_shedding = true;
                self.serve(now, connection, Some(bytes), outbox);
                self.is_shedding = false;
            }
            Input::PlainHttp { connection, bytes } => {
                let mut turn = ShardTurn { view: &self.view, now, outbox };
                self.connections.refuse_plain_http(&mut turn, connection, bytes);
            }
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
            Input::ShedHop(hop) => self.refuse_hop(hop),
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
        self.finish_if_quiet(now, outbox);
    }

    fn next_deadline(&self) -> Option<MonoNs> {
        let of_redis = match &self.arbitration {
            Arbitration::Own => None,
            Arbitration::Redis(arbiter) => arbiter.next_deadline(),
        };
        let Users { in_flight, lane, .. } = &self.users;
        let deadlines = [in_flight.next_deadline(), lane.next_deadline(), of_redis];
        deadlines.into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests;

//! A shard as one state machine: `step` takes an input, `finish_turn` ends a turn. Owns the
//! connections and the home; everything that is shared between turns lies here. `redis` what an
//! arbiter adds to a turn.

mod redis;

use std::sync::Arc;

use bumpalo::Bump;

use super::arbiter::{Arbiter, ArbiterSetup};
use super::connections::Connections;
use super::control::{Command, Control, ControlReply, Drain, Outcome};
use super::decision::{Ask, Progress, Round};
use super::home::{Done, Home, Outstanding, Scratch};
use super::lane::{Lane, Waiting};
use super::origin::Origin;
use super::packed;
use super::reads::{Reads, Waiter, Work};
use super::seam::{Effect, Hop, HopReply, Input, Outbox, Step, UserRead};
use super::serve::{Server, serve_parked};
use super::unmerged::Unmerged;
use super::view::{Rules, View};
use super::{gather, operate};
use crate::api::refusal::{Code, write_refusal};
use crate::api::token::Keys;
use crate::base::clock::Now;
use crate::base::ids::{Sequence, ShardId};
use crate::base::limits::{BUFFERS_POOLED_MAX, HOPS_OUTSTANDING_MAX};
use crate::base::slab::{Handle, Slab};
use crate::base::time::{MonoNs, WallMs};
use crate::catalog::snapshot::Snapshot;
use crate::http::connection::Timeouts;
use crate::http::pool::BufferPool;
use crate::http::reply::ImfDate;
use crate::state::slice::Slice;
use crate::telemetry::counters::ShardCounters;
use crate::telemetry::log::{Log, Message, Value};

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
    home: Home,
    connections: Connections,
    connections_max_of_node: u32,
    bump: Bump,
    finish_ticket: Option<u64>,
    listeners_closed: bool,
    delivering: Vec<Done>,
}

impl Core {
    /// A shard without users or connections, ready.
    pub fn new(mut setup: CoreSetup) -> Core {
        let view = View {
            shard: setup.shard,
            shards: setup.shards,
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
        let unmerged = take_up(&mut lane, setup.arbiter.as_mut());
        let home = Home {
            slice: Slice::new(setup.slice_bytes, setup.seed),
            lane,
            unmerged,
            reads: Reads::new(setup.read_deadline_ms, setup.seed),
            arbiter: setup.arbiter.map(|arbiter| {
                Box::new(Arbiter::new(arbiter, setup.shard, setup.shards, setup.seed))
            }),
            gathers: gather::gathers(),
            outstanding: Slab::new(HOPS_OUTSTANDING_MAX),
            done: Vec::new(),
            scratch: Scratch::default(),
            buffers: BufferPool::new(BUFFERS_POOLED_MAX),
            minted: (0, setup.seed),
            counters: Arc::clone(&setup.counters),
            log: setup.log,
        };
        Core {
            view,
            home,
            connections: Connections::new(
                setup.connections_max,
                setup.unsent_bytes_max,
                setup.counters,
            ),
            connections_max_of_node: setup.connections_max_of_node,
            bump: Bump::new(),
            finish_ticket: None,
            listeners_closed: false,
            delivering: Vec::new(),
        }
    }

    fn on_bytes(&mut self, now: Now, connection: u32, bytes: &[u8], outbox: &mut Outbox) {
        let Core { view, home, connections, bump, .. } = self;
        let mut server = Server { view, home, bump, now };
        connections.receive(view, now, connection, bytes, outbox, |packed, origin, out, outbox| {
            server.serve(packed, origin, out, outbox)
        });
    }

    fn on_sent(
        &mut self,
        now: Now,
        connection: u32,
        done: (Vec<u8>, Option<usize>),
        outbox: &mut Outbox,
    ) {
        let Core { view, home, connections, bump, .. } = self;
        let mut server = Server { view, home, bump, now };
        connections.sent(view, now, connection, done, outbox, |packed, origin, out, outbox| {
            server.serve(packed, origin, out, outbox)
        });
    }

    /// Executes a packed request of a hop, or one that was parked.
    fn execute(
        &mut self,
        now: Now,
        whose: (Origin, MonoNs),
        buffer: Vec<u8>,
        (has_state, round): (bool, Round),
        outbox: &mut Outbox,
    ) {
        self.bump.reset();
        let Core { view, home, bump, .. } = self;
        let packed = packed::unpack(&buffer);
        let (origin, until) = whose;
        let ask = Ask { view, now, bump, packed: &packed, origin, until, round };
        let mut out = home.buffer();
        let progress = serve_parked(&ask, home, has_state, &mut out, outbox);
        if progress == Progress::Answered {
            home.done.push(Done { origin, outcome: out });
        } else {
            home.keep(out);
        }
        home.keep(buffer);
    }

    fn on_hop(&mut self, now: Now, hop: Hop, outbox: &mut Outbox) {
        self.home.counters.hops_received.add(1);
        let origin = Origin::Shard { shard: hop.from, ticket: hop.ticket };
        let until = self.home.deadline(now.mono);
        self.execute(now, (origin, until), hop.buffer, (true, Round::default()), outbox);
    }

    fn on_hop_reply(&mut self, reply: HopReply) {
        let outstanding = self.home.outstanding.remove(Handle::from_bits(reply.ticket));
        match outstanding {
            Some(Outstanding::Decision(origin)) => {
                self.home.done.push(Done { origin, outcome: reply.buffer });
            }
            Some(Outstanding::Part(handle)) => {
                self.bump.reset();
                self.home.part_done(&self.view, handle, &reply.buffer, &self.bump);
                self.home.keep(reply.buffer);
            }
            None => self.home.keep(reply.buffer),
        }
    }

    /// A hop came back unexecuted: the request is refused for load.
    fn on_hop_refused(&mut self, now: Now, hop: Hop) {
        self.home.counters.hops_refused.add(1);
        self.home.tell(now, Message::LaneFull);
        let outstanding = self.home.outstanding.remove(Handle::from_bits(hop.ticket));
        self.bump.reset();
        match outstanding {
            Some(Outstanding::Decision(origin)) => {
                let packed = packed::unpack(&hop.buffer);
                let mut outcome = self.home.buffer();
                let heading = self.view.heading(&packed.request);
                write_refusal(&mut outcome, &heading, Code::Overloaded.into());
                self.home.done.push(Done { origin, outcome });
            }
            Some(Outstanding::Part(handle)) => {
                self.home.part_done(&self.view, handle, &[], &self.bump);
            }
            None => {}
        }
        self.home.keep(hop.buffer);
    }

    fn on_user_read(&mut self, now: Now, read: UserRead, outbox: &mut Outbox) {
        if self.home.arbiter.is_some() {
            if let Some(resumed) = self.home.on_read_of_sql(now, read) {
                self.run_again(now, resumed, outbox);
            }
            return;
        }
        let Some((user, waiters)) = self.home.reads.finish(read.ticket) else { return };
        let has_state = match &read.state {
            Ok(state) => self.home.admit(&user, state),
            Err(_) => {
                self.home.counters.reads_failed.add(1);
                false
            }
        };
        for waiter in waiters {
            self.resume(now, waiter, has_state, outbox);
        }
    }

    /// Goes on with work whose user's state is there, or is not to be had.
    fn resume(&mut self, now: Now, waiter: Waiter, has_state: bool, outbox: &mut Outbox) {
        self.resume_in(now, waiter, (has_state, Round::default()), outbox);
    }

    fn resume_in(
        &mut self,
        now: Now,
        waiter: Waiter,
        (has_state, round): (bool, Round),
        outbox: &mut Outbox,
    ) {
        let has_state = has_state && !redis::is_given_up(&waiter.work);
        match waiter.work {
            Work::Request { buffer, until, tries } => {
                let round = Round { tries, ..round };
                self.execute(now, (waiter.origin, until), buffer, (has_state, round), outbox);
            }
            Work::Control { command, .. } => {
                let Origin::Control { ticket } = waiter.origin else {
                    unreachable!("operators' commands have tickets")
                };
                self.on_command(now, (ticket, has_state, round), command, outbox);
            }
            Work::Nothing => {}
        }
    }

    fn on_control(&mut self, now: Now, control: Control, outbox: &mut Outbox) {
        let ticket = control.ticket;
        let done = |outcome| Effect::ControlReply(ControlReply { ticket, outcome });
        match control.command {
            Command::SwapCatalog(snapshot) => {
                let former = std::mem::replace(&mut self.view.snapshot, snapshot);
                outbox.push(done(Outcome::Swapped(former)));
            }
            Command::SwapRules(rules) => {
                self.view.rules = rules;
                outbox.push(done(Outcome::Done));
            }
            Command::Drain(Drain::Exit) => {
                outbox.push(done(Outcome::Done));
                outbox.push(Effect::Finished);
            }
            Command::Drain(step) => self.on_drain(now, ticket, step, outbox),
            command => {
                self.on_command(now, (ticket, true, Round::default()), command, outbox);
            }
        }
    }

    fn on_drain(&mut self, now: Now, ticket: u64, step: Drain, outbox: &mut Outbox) {
        self.view.ready = false;
        self.view.closing = true;
        if step == Drain::LameDuck {
            self.connections.lame_duck();
            let outcome = Outcome::Done;
            outbox.push(Effect::ControlReply(ControlReply { ticket, outcome }));
            return;
        }
        self.finish_ticket = Some(ticket);
        outbox.push(Effect::StopAccepting);
        self.connections.drain(&self.view, now);
    }

    /// A command about one user: waits for the state where it is not in memory. With an arbiter
    /// the state has to be fresh.
    fn on_command(
        &mut self,
        now: Now,
        (ticket, may_park, round): (u64, bool, Round),
        command: Command,
        outbox: &mut Outbox,
    ) {
        let user = match &command {
            Command::ReadUser { user } | Command::EraseUser { user } => user.clone(),
            other => unreachable!("{other:?} is about no user"),
        };
        let origin = Origin::Control { ticket };
        let until = self.home.deadline(now.mono);
        let has_arbiter = self.home.arbiter.is_some();
        let is_there = !has_arbiter || may_park && round.is_fresh;
        let outcome = if is_there && self.home.slice.contains(&user) {
            operate::on_user(&mut self.home, now, ticket, command, &user)
        } else if may_park {
            let waiter = Waiter { origin, work: Work::Control { command, until } };
            let parked = match has_arbiter {
                true => self.home.wait_for_redis(now, &user, waiter),
                false => self.home.park(&self.view, now, &user, waiter, outbox),
            };
            parked.err().map(|_| Outcome::Unavailable)
        } else {
            Some(Outcome::Unavailable)
        };
        if let Some(outcome) = outcome {
            outbox.push(Effect::ControlReply(ControlReply { ticket, outcome }));
        }
    }

    fn on_tick(&mut self, now: Now, outbox: &mut Outbox) {
        let mut late = Vec::new();
        self.home.reads.expire(now.mono, |waiter| late.push(waiter));
        for waiter in late {
            self.home.counters.reads_late.add(1);
            self.home.tell(now, Message::ReadSlow);
            self.resume(now, waiter, false, outbox);
        }
        let Home { lane, done, counters, .. } = &mut self.home;
        lane.expire(now.mono, |waiting| {
            counters.acks_late.add(1);
            done.push(Done { origin: waiting.origin, outcome: waiting.fallback });
        });
        self.expire_redis(now, outbox);
        self.home.buffers.shrink();
        self.home.count_slice();
        self.count_link();
        self.connections.expire(&self.view, now, outbox);
    }

    /// Delivers outcomes until none is left: one may complete another.
    fn deliver(&mut self, now: Now, outbox: &mut Outbox) {
        while !self.home.done.is_empty() {
            let mut delivering = std::mem::take(&mut self.delivering);
            std::mem::swap(&mut delivering, &mut self.home.done);
            for done in delivering.drain(..) {
                self.deliver_one(now, done, outbox);
            }
            self.delivering = delivering;
        }
    }

    fn deliver_one(&mut self, now: Now, done: Done, outbox: &mut Outbox) {
        match done.origin {
            Origin::Connection { connection, generation, slot } => {
                let Core { view, home, connections, bump, .. } = self;
                let mut server = Server { view, home, bump, now };
                connections.answer(
                    view,
                    now,
                    (connection, generation, slot),
                    &done.outcome,
                    outbox,
                    |packed, origin, out, outbox| server.serve(packed, origin, out, outbox),
                );
                self.home.keep(done.outcome);
            }
            Origin::Shard { shard, ticket } => {
                let reply = HopReply { ticket, buffer: done.outcome };
                outbox.push(Effect::HopReply { to: shard, reply });
            }
            Origin::Gather(handle) => {
                self.bump.reset();
                self.home.part_done(&self.view, handle, &done.outcome, &self.bump);
                self.home.keep(done.outcome);
            }
            Origin::Share(handle) => {
                self.home.share_done(handle, &done.outcome);
                self.home.keep(done.outcome);
            }
            Origin::Control { ticket } => {
                let outcome = operate::outcome_of(&done.outcome);
                outbox.push(Effect::ControlReply(ControlReply { ticket, outcome }));
                self.home.keep(done.outcome);
            }
        }
    }

    /// Says what connections have met, once a turn.
    fn tell_of_connections(&mut self, now: Now) {
        if self.connections.take_tls_seen() {
            self.home.tell(now, Message::TlsSeen);
        }
        if self.connections.take_cut() {
            self.home.tell(now, Message::UnsentFull);
        }
        let freed = self.connections.freed_bytes() + self.home.buffers.freed_bytes();
        self.home.counters.buffers_freed.set(freed);
    }

    /// Answers the operator who asked to finish once nothing is open and nothing under way.
    fn finish_if_quiet(&mut self, now: Now, outbox: &mut Outbox) {
        let Some(ticket) = self.finish_ticket else { return };
        let is_quiet = self.listeners_closed
            && self.connections.is_empty()
            && self.home.lane.is_quiet()
            && self.home.outstanding.is_empty()
            && self.home.gathers.is_empty()
            && self.home.arbiter.as_deref().is_none_or(|arbiter| arbiter.may_end(now.mono));
        if is_quiet {
            self.finish_ticket = None;
            let outcome = Outcome::Done;
            outbox.push(Effect::ControlReply(ControlReply { ticket, outcome }));
        }
    }
}

/// Takes up what earlier processes accepted and did not merge.
fn take_up(lane: &mut Lane, arbiter: Option<&mut ArbiterSetup>) -> Unmerged {
    let mut unmerged = Unmerged::default();
    let Some(arbiter) = arbiter else { return unmerged };
    lane.begin_behind(arbiter.journal_end);
    for (sequence, user, entry) in arbiter.unmerged.drain(..) {
        unmerged.push(&user, entry, Sequence(sequence.0 - 1));
    }
    unmerged
}

impl Step for Core {
    fn step(&mut self, now: Now, mut input: Input<'_>, outbox: &mut Outbox) {
        self.view.date.refresh(now.wall);
        if self.on_link(now, &mut input) {
            self.follow_redis(now, outbox);
            return self.deliver(now, outbox);
        }
        match input {
            Input::Accepted { connection, listener } => {
                if !self.connections.accept(&self.view, now, connection, listener, outbox) {
                    let share = Value::Number(u64::from(self.connections.open_max()));
                    let whole = Value::Number(u64::from(self.connections_max_of_node));
                    let fields = [("on_this_shard", share), ("connections_max", whole)];
                    self.home.tell_with(now, Message::ConnectionsFull, &fields);
                }
            }
            Input::Bytes { connection, bytes } => self.on_bytes(now, connection, bytes, outbox),
            Input::PeerClosed { connection } => {
                self.connections.peer_closed(&self.view, now, connection, outbox);
            }
            Input::Broken { connection } => self.connections.broken(connection, outbox),
            Input::Sent { connection, buffer, sent } => {
                self.on_sent(now, connection, (buffer, sent), outbox);
            }
            Input::Untaken { connection, bytes } => {
                self.connections.untaken(now.mono, connection, bytes);
            }
            Input::Hop(hop) => self.on_hop(now, hop, outbox),
            Input::HopReply(reply) => self.on_hop_reply(reply),
            Input::HopRefused(hop) => self.on_hop_refused(now, hop),
            Input::Acked(ack) => {
                let Home { lane, done, buffers, counters, .. } = &mut self.home;
                lane.acknowledge(ack, |Waiting { origin, outcome, fallback, since, .. }| {
                    counters.journal_wait.record(now.mono.0.saturating_sub(since.0));
                    done.push(Done { origin, outcome });
                    buffers.give(fallback);
                });
            }
            Input::UserRead(read) => self.on_user_read(now, read, outbox),
            Input::Journal { accepting, applied } => self.home.lane.watermarks(accepting, applied),
            Input::Disk(lack) => self.view.disk_lack = lack,
            Input::Control(control) => self.on_control(now, control, outbox),
            Input::ListenersClosed => {
                self.listeners_closed = true;
                // Those that came last end like the others.
                self.connections.drain(&self.view, now);
            }
            // Without an arbiter there is no link.
            Input::Connected { .. } => {}
            Input::Board(board) => self.on_board(board),
            Input::Tick => self.on_tick(now, outbox),
        }
        self.deliver(now, outbox);
    }

    fn finish_turn(&mut self, now: Now, outbox: &mut Outbox) {
        if self.home.arbiter.is_some() {
            self.follow_redis(now, outbox);
            self.deliver(now, outbox);
            // Before the turn's records: SQL must not see one before what it may pass.
            self.home.merge_unasked(now, outbox);
            self.flush_link(outbox);
        }
        if let Some(batch) = self.home.lane.flush() {
            self.home.counters.journal_records.add(u64::from(batch.count));
            self.home.counters.journal_bytes.add(batch.bytes.len() as u64);
            outbox.push(Effect::Append(batch));
        }
        self.home.count_what_waits();
        self.connections.flush(&self.view, now.mono, outbox);
        self.tell_of_connections(now);
        self.finish_if_quiet(now, outbox);
    }

    fn next_deadline(&self) -> Option<MonoNs> {
        let redis = self.home.arbiter.as_deref().and_then(Arbiter::next_deadline);
        let merging = self.home.merging_deadline();
        let reads = self.home.reads.next_deadline();
        let deadlines = [reads, self.home.lane.next_deadline(), redis, merging];
        deadlines.into_iter().flatten().min()
    }
}

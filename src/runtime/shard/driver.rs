//! A shard's loop on its ring: completions become inputs, effects become submissions. One place to
//! sleep, one turn for everything that is ready.
//!
//! A turn: submit and, where nothing waits, sleep · copy the completions out · give them to the
//! shard · give it what its lanes hold, each lane up to a budget · end the turn and carry the
//! effects out · return the receive buffers.

#![allow(unsafe_code)]

mod accepting;
mod connections;
mod headers;
mod links;
mod shedding;
mod sources;
mod tls;

use shedding::Probe;

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use io_uring::opcode;
use io_uring::types::Fd;

use crate::clocks;
use crate::shard::endpoint::Endpoint;
use crate::shard::entrance::Entrance;
use crate::shard::mesh::Mesh;
use crate::shard::overload::Overload;
use crate::shard::peers::PeerAddresses;
use crate::shard::ports::Ports;
use crate::shard::ring::{Completion, Ring};
use crate::shard::secured::Secure;
use crate::shard::slot::{
    ConnectionSlot, LinkSocket, ListenerSlot, Operation, SINGLES_MAX, pack, unpack,
};
use crate::threads::log_writer;
use nudged_base::clock::{NodeClock, Now};
use nudged_base::ids::ShardId;
use nudged_base::limits::{CLOCK_APART_MS, TICK_MS};
use nudged_base::telemetry::counters::ShardCounters;
use nudged_base::telemetry::log::{Log, LogValue, Message};
use nudged_base::time::MonoNs;
use nudged_shard::seam::{Effect, Input, Outbox, Step};

/// The wall clock is looked at this often, in milliseconds.
const CLOCK_PERIOD_MS: u64 = 250;
/// A step of the wall clock that is told, in milliseconds.
const CLOCK_STEP_MS: u64 = 1_000;
/// Items taken from one lane in one turn.
const LANE_BUDGET: usize = 512;

/// What a driver is made of.
pub struct Setup {
    /// The shard that is driven.
    pub shard: ShardId,
    /// Its listeners, bound and listening, each with the number of its address.
    pub listeners: Vec<(u16, OwnedFd)>,
    /// Entries of the table of direct descriptors for accepted connections: all of them and a
    /// reserve. Links come behind: link i has the number `descriptors + i`.
    pub descriptors: u32,
    /// Where the shard's links lead.
    pub links: Vec<Arc<Endpoint>>,
    /// Spin this long before sleeping.
    pub busy_poll: Duration,
    /// The kernel polls network cards this long before the shard sleeps; zero for not at all.
    pub napi_busy_poll: Duration,
    /// The node's time.
    pub clock: NodeClock,
    /// All lanes.
    pub mesh: Arc<Mesh>,
    /// Where this shard counts.
    pub counters: Arc<ShardCounters>,
    /// Where failed accepts are told of, and by the first shard the node's clock.
    pub log: Option<Log>,
    /// What its listeners ask of connections.
    pub entrance: Entrance,
    /// How long requests may wait before it sees them; `None` for any time.
    pub queue_delay: Option<Duration>,
}

/// The loop of one shard.
pub struct Driver<S> {
    ring: Ring,
    step: S,
    slots: Vec<ConnectionSlot>,
    /// By their numbers less `first_link`.
    links: Vec<LinkSocket>,
    first_link: u32,
    /// Places of the table that accepted connections have.
    accepted_open: u32,
    listeners: Vec<ListenerSlot>,
    entrance: Entrance,
    /// Connections whose header is waited for, with their generation, in the order of their
    /// deadlines. Those that have it go at the next tick.
    headers_due: Vec<(MonoNs, u32, u32)>,
    secure: Secure,
    probe: Probe,
    overload: Overload,
    long_turn_ns: u64,
    /// Completions that were taken last.
    reaped: usize,
    /// Connections that count as one of their source.
    sources: HashMap<u32, IpAddr>,
    outbox: Outbox,
    /// Effects that are being carried out; empty in between, kept for its memory.
    carried: Vec<Effect>,
    completions: Vec<Completion>,
    starved: Vec<u32>,
    ports: Ports,
    clock: NodeClock,
    busy_poll: Duration,
    now: Now,
    clock_due: MonoNs,
    clock_ahead_ms: i64,
    log: Option<Log>,
    tells_clock: bool,
    tick_due: MonoNs,
    wake_buffer: Box<[u8; 8]>,
    wake_armed: bool,
    finished: bool,
    counters: Arc<ShardCounters>,
}

impl<S: Step> Driver<S> {
    /// Makes the ring on the calling thread, which must be the one that runs it.
    ///
    /// # Errors
    /// Where the kernel refuses the ring; see `probe`.
    pub fn new(setup: Setup, step: S) -> io::Result<Driver<S>> {
        let reserved = u32::try_from(setup.links.len()).expect("few links");
        let mut ring = Ring::new(setup.descriptors, reserved)?;
        if !setup.napi_busy_poll.is_zero()
            && let Err(error) = ring.poll_devices(setup.napi_busy_poll)
            && let Some(log) = setup.log.as_ref().filter(|_| setup.shard == ShardId(0))
        {
            // All shards have one kernel.
            log_writer::tell_unsupported(log, "napi_busy_poll_us", &error.to_string());
        }
        let mut slots = Vec::new();
        slots.resize_with((setup.descriptors + reserved) as usize, ConnectionSlot::default);
        let listeners = setup.listeners.into_iter().map(|(number, socket)| {
            let is_asked = setup.entrance.asks_for_peers(usize::from(number));
            let peers = is_asked.then(|| PeerAddresses::new(SINGLES_MAX));
            ListenerSlot::new(number, socket, peers)
        });
        let listeners = listeners.collect();
        let now = Now { mono: clocks::mono(), wall: setup.clock.at(clocks::mono()) };
        let target_ns = setup.queue_delay.map(|delay| u64::try_from(delay.as_nanos()));
        let overload = Overload::new(target_ns.and_then(Result::ok));
        Ok(Driver {
            ring,
            step,
            slots,
            links: setup.links.into_iter().map(LinkSocket::new).collect(),
            first_link: setup.descriptors,
            accepted_open: 0,
            listeners,
            entrance: setup.entrance,
            headers_due: Vec::new(),
            secure: Secure::new(Arc::clone(&setup.mesh.identity)),
            probe: Probe::new()?,
            long_turn_ns: overload.long_turn_ns(),
            overload,
            reaped: 0,
            sources: HashMap::new(),
            outbox: Outbox::default(),
            carried: Vec::new(),
            completions: Vec::with_capacity(8_192),
            starved: Vec::new(),
            ports: Ports::new(setup.shard, setup.mesh),
            clock: setup.clock,
            busy_poll: setup.busy_poll,
            now,
            clock_due: now.mono,
            clock_ahead_ms: clocks::wall().0.saturating_sub(now.wall.0),
            log: setup.log,
            tells_clock: setup.shard == ShardId(0),
            tick_due: now.mono,
            wake_buffer: Box::new([0; 8]),
            wake_armed: false,
            finished: false,
            counters: setup.counters,
        })
    }

    /// Runs until the shard says that it is finished.
    ///
    /// # Errors
    /// Where the ring itself fails; the process can't go on then.
    pub fn run(&mut self) -> io::Result<()> {
        self.arm_wake()?;
        while !self.finished {
            self.arm_listeners()?;
            self.sleep_or_poll()?;
            self.read_clocks();
            self.take_watermarks();
            self.take_handshakes()?;
            self.take_completions()?;
            self.shed()?;
            self.end_listeners();
            self.take_lanes();
            self.take_time()?;
            self.step.finish_turn(self.now, &mut self.outbox);
            self.carry_out()?;
            self.give_buffers_back()?;
            self.count_turn()?;
        }
        Ok(())
    }

    /// Submits; sleeps only where nothing is ready and nothing waits in a lane.
    fn sleep_or_poll(&mut self) -> io::Result<()> {
        let is_behind = !self.secure.waiting.is_empty() || self.overload.waiting() > 0;
        if is_behind || !self.ports.is_idle() {
            return self.ring.enter_now();
        }
        if !self.busy_poll.is_zero() && self.poll_for_work()? {
            return Ok(());
        }
        let wait_ns = self.due().0.saturating_sub(clocks::mono().0);
        self.ports.lanes().waker.announce_sleep();
        let result = if self.ports.is_idle() && wait_ns > 0 {
            self.counters.sleeps.add(1);
            self.ring.enter_and_wait(Duration::from_nanos(wait_ns))
        } else {
            self.ring.enter_now()
        };
        self.ports.lanes().waker.announce_awake();
        result
    }

    /// When the shard wants to be called at the latest.
    fn due(&self) -> MonoNs {
        self.tick_due.min(self.step.next_deadline().unwrap_or(self.tick_due))
    }

    /// Spins for a while; whether something came.
    fn poll_for_work(&mut self) -> io::Result<bool> {
        let spin_ns = u64::try_from(self.busy_poll.as_nanos()).unwrap_or(0);
        let until = (clocks::mono().0 + spin_ns).min(self.due().0);
        // The first entry submits what the turn has made, and the last one finds work: both are
        // work, what lies between them is not.
        let (mut begun, mut last) = (None, MonoNs(0));
        let is_found = loop {
            self.ring.enter_now()?;
            self.ring.reap(&mut self.completions);
            if !self.completions.is_empty() || !self.ports.is_idle() {
                break true;
            }
            last = clocks::mono();
            begun.get_or_insert(last);
            if last.0 >= until {
                break false;
            }
            std::hint::spin_loop();
        };
        let spun_ns = begun.map_or(0, |begun| last.0.saturating_sub(begun.0));
        self.counters.spun_ns.add(spun_ns);
        Ok(is_found)
    }

    fn read_clocks(&mut self) {
        let mono = clocks::mono();
        if mono >= self.clock_due {
            self.clock_due = mono.plus_ms(CLOCK_PERIOD_MS);
            let ahead_ms = self.clock.observe(mono, clocks::wall());
            self.counters.clock_apart_ms.set(ahead_ms.unsigned_abs());
            self.tell_clock(ahead_ms);
        }
        self.now = Now { mono, wall: self.clock.at(mono) };
    }

    /// One shard of the node says that the wall clock was set, or is far from the node's time.
    fn tell_clock(&mut self, ahead_ms: i64) {
        let stepped_ms = ahead_ms.abs_diff(std::mem::replace(&mut self.clock_ahead_ms, ahead_ms));
        let ahead = [("wall_ahead_ms", LogValue::Text(&ahead_ms.to_string()))];
        let Some(log) = self.log.as_ref().filter(|_| self.tells_clock) else { return };
        if stepped_ms > CLOCK_STEP_MS {
            log.write(clocks::now(), Message::ClockStepped, &ahead);
        }
        let is_apart = ahead_ms.unsigned_abs() > CLOCK_APART_MS;
        let (message, fields) = match is_apart {
            true => (Message::ClockApart, &ahead[..]),
            false => (Message::ClockTogether, &[][..]),
        };
        log.write(clocks::now(), message, fields);
    }

    fn take_completions(&mut self) -> io::Result<()> {
        self.ring.reap(&mut self.completions);
        self.reaped = self.completions.len();
        let mut completions = std::mem::take(&mut self.completions);
        for completion in completions.drain(..) {
            let Some((operation, generation, slot)) = unpack(completion.user_data) else {
                continue;
            };
            match operation {
                Operation::Accept => self.on_accept(completion, generation, slot),
                Operation::Receive => self.on_receive(completion, generation, slot)?,
                Operation::Send => self.on_send(completion, slot)?,
                Operation::Wake => {
                    self.wake_armed = false;
                    self.arm_wake()?;
                }
                Operation::Shutdown => {
                    self.slots[slot as usize].shutting = false;
                    self.close_if_idle(slot)?;
                }
                Operation::Connect => self.on_connect(completion, slot)?,
                Operation::Untaken => self.on_untaken(completion, generation, slot),
                Operation::Probe => self.on_probe(),
                Operation::Quiet => {}
            }
        }
        self.completions = completions;
        Ok(())
    }

    fn take_watermarks(&mut self) {
        let Driver { ports, step, outbox, now, .. } = self;
        ports.tell_watermarks(|input| step.step(*now, input, outbox));
    }

    fn take_time(&mut self) -> io::Result<()> {
        let deadline = self.step.next_deadline().unwrap_or(MonoNs(u64::MAX));
        if self.now.mono >= self.tick_due || self.now.mono >= deadline {
            self.tick_due = self.now.mono.plus_ms(TICK_MS);
            self.expire_headers();
            self.expire_handshakes()?;
            if self.overload.is_shedding() {
                self.tell_shedding();
            }
            self.step.step(self.now, Input::Tick, &mut self.outbox);
        }
        Ok(())
    }

    fn carry_out(&mut self) -> io::Result<()> {
        let mut effects = std::mem::take(&mut self.carried);
        // Carrying one out may cause others: accepts at the end, for one.
        while !self.outbox.effects.is_empty() {
            std::mem::swap(&mut effects, &mut self.outbox.effects);
            for effect in effects.drain(..) {
                self.carry_out_one(effect)?;
            }
        }
        self.carried = effects;
        self.ports.wake_all(&self.counters);
        Ok(())
    }

    fn carry_out_one(&mut self, effect: Effect) -> io::Result<()> {
        match effect {
            Effect::Send { connection, buffer } => self.send(connection, buffer)?,
            Effect::Connect { connection } => self.connect(connection)?,
            Effect::Close { connection, .. } if self.is_link(connection) => {
                self.close_link(connection)?;
            }
            Effect::Close { connection, reset } => self.close(connection, reset)?,
            Effect::AskUntaken { connection } => self.ask_untaken(connection)?,
            Effect::ShutDown { connection } => self.shut_down(connection)?,
            Effect::StopReading { connection } => {
                self.slots[connection as usize].paused = true;
                self.stop_receiving(connection)?;
            }
            Effect::ResumeReading { connection } => {
                self.slots[connection as usize].paused = false;
                self.starved.push(connection);
            }
            Effect::StopAccepting => self.stop_accepting()?,
            Effect::Finished => self.finished = true,
            // What a full lane refuses is put back by the ports and taken in the next turn.
            other => self.ports.deliver(other),
        }
        Ok(())
    }

    /// Arms receives that were not: new connections, ended multishots, and those that found no
    /// buffer, now that this turn's buffers are back.
    fn give_buffers_back(&mut self) -> io::Result<()> {
        self.ring.publish_buffers();
        let mut starved = std::mem::take(&mut self.starved);
        for slot in starved.drain(..) {
            self.receive(slot)?;
        }
        self.starved = starved;
        Ok(())
    }

    fn arm_wake(&mut self) -> io::Result<()> {
        if self.wake_armed {
            return Ok(());
        }
        self.wake_armed = true;
        let eventfd = Fd(self.ports.lanes().waker.eventfd().as_raw_fd());
        let entry = opcode::Read::new(eventfd, self.wake_buffer.as_mut_ptr(), 8)
            .build()
            .user_data(pack(Operation::Wake, 0, 0));
        // SAFETY: the buffer is boxed and lives as long as the driver, which outlives the ring's
        // last entry; the eventfd lives in the mesh that the ports hold.
        unsafe { self.ring.push(&entry) }
    }

    fn count_turn(&mut self) -> io::Result<()> {
        let counters = &self.counters;
        let turn_ns = clocks::mono().0.saturating_sub(self.now.mono.0);
        counters.turn_length.record(turn_ns);
        counters.request_durations.end_turn(turn_ns);
        counters.turns.add(1);
        counters.ring_enters.set(self.ring.enters);
        counters.ring_submissions.set(self.ring.submitted);
        counters.ring_completions.set(self.ring.completed);
        counters.ring_overflows.set(u64::from(self.ring.overflow()));
        self.look_at_delay(turn_ns)
    }
}

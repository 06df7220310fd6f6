//! A shard's loop on its ring: completions become inputs, effects become submissions. One place to
//! sleep, one turn for everything that is ready.
//!
//! A turn: submit and, where nothing waits, sleep · copy the completions out · give them to the
//! shard · give it what its lanes hold, each lane up to a budget · end the turn and carry the
//! effects out · return the receive buffers.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use io_uring::types::{CancelBuilder, Fd, Fixed};
use io_uring::{cqueue, opcode};

use super::line::{Line, Operation, pack, unpack};
use super::mesh::Mesh;
use super::ports::Ports;
use super::ring::{BUFFER_GROUP, Completion, Ring};
use crate::base::clock::{NodeClock, Now};
use crate::base::ids::ShardId;
use crate::base::limits::TICK_MS;
use crate::base::time::MonoNs;
use crate::runtime::{clocks, log_thread};
use crate::shard::seam::{Effect, Input, Outbox, Step};
use crate::telemetry::counters::ShardCounters;
use crate::telemetry::log::{Log, Message, Value};

/// The wall clock is looked at this often, in milliseconds.
const CLOCK_PERIOD_MS: u64 = 250;
/// A step of the wall clock that is told, in milliseconds.
const CLOCK_STEP_MS: u64 = 1_000;
/// A distance of wall clock and node's time that is an alarm, in milliseconds.
const CLOCK_APART_MS: u64 = 60_000;
/// While they are that far apart it is said this often, in milliseconds.
const CLOCK_ALARM_PERIOD_MS: u64 = 60_000;
/// Items taken from one lane in one turn.
const LANE_BUDGET: usize = 512;
/// After a failed accept the listener rests this long, in milliseconds: what was short (memory,
/// descriptors) is not there again at once.
const ACCEPT_REST_MS: u64 = 20;
/// A connection that is closed with this is reset: linger of zero seconds.
static LINGER_ZERO: libc::linger = libc::linger { l_onoff: 1, l_linger: 0 };

/// What a driver is made of.
pub struct Setup {
    /// The shard that is driven.
    pub shard: ShardId,
    /// Its listeners, bound and listening.
    pub listeners: Vec<OwnedFd>,
    /// Entries of the table of direct descriptors: all connections and a reserve.
    pub descriptors: u32,
    /// Spin this long before sleeping.
    pub busy_poll: Duration,
    /// The node's time.
    pub clock: NodeClock,
    /// All lanes.
    pub mesh: Arc<Mesh>,
    /// Where this shard counts.
    pub counters: Arc<ShardCounters>,
    /// Where the node's clock is told of; one shard of a node has it.
    pub log: Option<Log>,
}

/// The loop of one shard.
pub struct Driver<S> {
    ring: Ring,
    step: S,
    lines: Vec<Line>,
    listeners: Vec<Listener>,
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
    clock_alarm_due: MonoNs,
    log: Option<Log>,
    tick_due: MonoNs,
    wake_buffer: Box<[u8; 8]>,
    wake_armed: bool,
    finished: bool,
    counters: Arc<ShardCounters>,
}

#[derive(Debug)]
struct Listener {
    socket: Option<OwnedFd>,
    armed: bool,
    rest_until: Option<MonoNs>,
    stopping: bool,
}

impl<S: Step> Driver<S> {
    /// Makes the ring on the calling thread, which must be the one that runs it.
    ///
    /// # Errors
    /// Where the kernel refuses the ring; see `probe`.
    pub fn new(setup: Setup, step: S) -> io::Result<Driver<S>> {
        let ring = Ring::new(setup.descriptors)?;
        let mut lines = Vec::new();
        lines.resize_with(setup.descriptors as usize, Line::default);
        let listeners = setup
            .listeners
            .into_iter()
            .map(|socket| Listener {
                socket: Some(socket),
                armed: false,
                rest_until: None,
                stopping: false,
            })
            .collect();
        let now = Now { mono: clocks::mono(), wall: setup.clock.at(clocks::mono()) };
        Ok(Driver {
            ring,
            step,
            lines,
            listeners,
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
            // The start has told of the distance it found.
            clock_alarm_due: now.mono.plus_ms(CLOCK_ALARM_PERIOD_MS),
            log: setup.log,
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
            self.take_completions()?;
            self.end_listeners();
            self.take_lanes();
            self.take_time();
            self.step.finish_turn(self.now, &mut self.outbox);
            self.carry_out()?;
            self.give_buffers_back()?;
            self.count_turn();
        }
        Ok(())
    }

    /// Submits; sleeps only where nothing is ready and nothing waits in a lane.
    fn sleep_or_poll(&mut self) -> io::Result<()> {
        if !self.ports.is_idle() {
            return self.ring.enter_now();
        }
        if !self.busy_poll.is_zero() && self.poll_for_work()? {
            return Ok(());
        }
        let wait_ns = self.due().0.saturating_sub(clocks::mono().0);
        self.ports.lanes().sleeper.announce_sleep();
        let result = if self.ports.is_idle() && wait_ns > 0 {
            self.counters.sleeps.add(1);
            self.ring.enter_and_wait(Duration::from_nanos(wait_ns))
        } else {
            self.ring.enter_now()
        };
        self.ports.lanes().sleeper.announce_awake();
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
        loop {
            self.ring.enter_now()?;
            self.ring.reap(&mut self.completions);
            if !self.completions.is_empty() || !self.ports.is_idle() {
                return Ok(true);
            }
            if clocks::mono().0 >= until {
                return Ok(false);
            }
            std::hint::spin_loop();
        }
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
        let ahead = [("wall_ahead_ms", Value::Text(&ahead_ms.to_string()))];
        let Some(log) = &self.log else { return };
        if stepped_ms > CLOCK_STEP_MS {
            log.write(log_thread::stamp_now(), Message::ClockStepped, &ahead);
        }
        let is_due = self.now.mono >= self.clock_alarm_due;
        if ahead_ms.unsigned_abs() > CLOCK_APART_MS && is_due {
            self.clock_alarm_due = self.now.mono.plus_ms(CLOCK_ALARM_PERIOD_MS);
            log.write(log_thread::stamp_now(), Message::ClockApart, &ahead);
        }
    }

    fn take_completions(&mut self) -> io::Result<()> {
        self.ring.reap(&mut self.completions);
        let mut completions = std::mem::take(&mut self.completions);
        for completion in completions.drain(..) {
            let Some((operation, generation, slot)) = unpack(completion.user_data) else {
                continue;
            };
            match operation {
                Operation::Accept => self.on_accept(completion, slot),
                Operation::Receive => self.on_receive(completion, generation, slot)?,
                Operation::Send => self.on_send(completion, slot)?,
                Operation::Wake => {
                    self.wake_armed = false;
                    self.arm_wake()?;
                }
                Operation::Shutdown => {
                    self.lines[slot as usize].shutting = false;
                    self.close_if_idle(slot)?;
                }
                Operation::Quiet => {}
            }
        }
        self.completions = completions;
        Ok(())
    }

    fn on_accept(&mut self, completion: Completion, index: u32) {
        let listener = &mut self.listeners[index as usize];
        if !cqueue::more(completion.flags) {
            listener.armed = false;
        }
        let is_stopping = listener.stopping;
        match u32::try_from(completion.result) {
            Ok(slot) => self.accepted(slot, index),
            Err(_) if !is_stopping => {
                self.counters.accept_errors.add(1);
                listener.rest_until = Some(self.now.mono.plus_ms(ACCEPT_REST_MS));
            }
            Err(_) => {}
        }
    }

    fn accepted(&mut self, slot: u32, index: u32) {
        let line = &mut self.lines[slot as usize];
        let generation = line.generation.wrapping_add(1) & 0xff_ffff;
        *line = Line { generation, open: true, ..Line::default() };
        let listener = u16::try_from(index).expect("few listeners");
        self.step.step(self.now, Input::Accepted { connection: slot, listener }, &mut self.outbox);
        self.starved.push(slot);
    }

    fn on_receive(&mut self, completion: Completion, generation: u32, slot: u32) -> io::Result<()> {
        let line = &mut self.lines[slot as usize];
        debug_assert_eq!(line.generation, generation, "a slot is reused after its completions");
        if !cqueue::more(completion.flags) {
            line.receiving = false;
        }
        let wanted = line.open && !line.closing;
        let buffer = cqueue::buffer_select(completion.flags);
        if let Some(buffer) = buffer {
            let length = usize::try_from(completion.result).unwrap_or(0);
            if wanted && length > 0 {
                let bytes = self.ring.received(buffer, length);
                let input = Input::Bytes { connection: slot, bytes };
                self.step.step(self.now, input, &mut self.outbox);
            }
            self.ring.recycle(buffer);
        }
        if completion.result > 0 {
            debug_assert!(buffer.is_some(), "bytes come in buffers");
        } else if completion.result == 0 {
            line.ended = true;
            if wanted {
                let input = Input::PeerClosed { connection: slot };
                self.step.step(self.now, input, &mut self.outbox);
            }
        } else if completion.result == -libc::ENOBUFS {
            self.counters.ring_buffers_empty.add(1);
        } else if completion.result != -libc::ECANCELED {
            line.ended = true;
            if wanted {
                let input = Input::Broken { connection: slot };
                self.step.step(self.now, input, &mut self.outbox);
            }
        }
        let line = &self.lines[slot as usize];
        if !line.receiving && !line.ended && !line.closing {
            self.starved.push(slot);
        }
        self.close_if_idle(slot)
    }

    fn on_send(&mut self, completion: Completion, slot: u32) -> io::Result<()> {
        let line = &mut self.lines[slot as usize];
        let Some(buffer) = line.sending.take() else { return Ok(()) };
        let sent = usize::try_from(completion.result).ok();
        let input = Input::Sent { connection: slot, buffer, sent };
        self.step.step(self.now, input, &mut self.outbox);
        self.close_if_idle(slot)
    }

    fn take_watermarks(&mut self) {
        let Driver { ports, step, outbox, now, .. } = self;
        ports.tell_watermarks(|input| step.step(*now, input, outbox));
    }

    fn take_lanes(&mut self) {
        let Driver { ports, step, outbox, now, .. } = self;
        ports.drain(LANE_BUDGET, |input| step.step(*now, input, outbox));
    }

    fn take_time(&mut self) {
        let deadline = self.step.next_deadline().unwrap_or(MonoNs(u64::MAX));
        if self.now.mono >= self.tick_due || self.now.mono >= deadline {
            self.tick_due = self.now.mono.plus_ms(TICK_MS);
            self.step.step(self.now, Input::Tick, &mut self.outbox);
        }
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
            Effect::Close { connection, reset } => self.close(connection, reset)?,
            Effect::ShutDown { connection } => self.shut_down(connection)?,
            Effect::StopReading { connection } => {
                self.lines[connection as usize].paused = true;
                self.stop_receiving(connection)?;
            }
            Effect::ResumeReading { connection } => {
                self.lines[connection as usize].paused = false;
                self.starved.push(connection);
            }
            Effect::StopAccepting => self.stop_accepting()?,
            Effect::Finished => self.finished = true,
            // What a full lane refuses is put back by the ports and taken in the next turn.
            other => self.ports.deliver(other),
        }
        Ok(())
    }

    fn send(&mut self, slot: u32, buffer: Vec<u8>) -> io::Result<()> {
        let line = &mut self.lines[slot as usize];
        assert!(line.sending.is_none(), "one send a connection at a time");
        let length = u32::try_from(buffer.len()).expect("answers are bounded");
        let entry = opcode::Send::new(Fixed(slot), buffer.as_ptr(), length)
            .flags(libc::MSG_NOSIGNAL)
            .build()
            .user_data(pack(Operation::Send, line.generation, slot));
        line.sending = Some(buffer);
        // SAFETY: the buffer rests in `line.sending`, unmoved on the heap, until its completion.
        unsafe { self.ring.push(&entry) }
    }

    fn receive(&mut self, slot: u32) -> io::Result<()> {
        let line = &mut self.lines[slot as usize];
        let unwanted = line.ended || line.closing || line.paused;
        if !line.open || line.receiving || unwanted {
            return Ok(());
        }
        line.receiving = true;
        let entry = opcode::RecvMulti::new(Fixed(slot), BUFFER_GROUP).build().user_data(pack(
            Operation::Receive,
            line.generation,
            slot,
        ));
        // SAFETY: the entry names provided buffers, which live as long as the ring.
        unsafe { self.ring.push(&entry) }
    }

    fn stop_receiving(&mut self, slot: u32) -> io::Result<()> {
        let line = &self.lines[slot as usize];
        let cancel_send = line.reset && line.sending.is_some();
        if !line.receiving && !cancel_send {
            return Ok(());
        }
        let builder = if cancel_send {
            CancelBuilder::fd(Fixed(slot)).all()
        } else {
            CancelBuilder::user_data(pack(Operation::Receive, line.generation, slot))
        };
        let entry = opcode::AsyncCancel2::new(builder).build().user_data(pack(
            Operation::Quiet,
            line.generation,
            slot,
        ));
        // SAFETY: a cancellation names no memory.
        unsafe { self.ring.push(&entry) }
    }

    fn close(&mut self, slot: u32, reset: bool) -> io::Result<()> {
        let line = &mut self.lines[slot as usize];
        line.closing = true;
        line.reset |= reset;
        self.stop_receiving(slot)?;
        self.close_if_idle(slot)
    }

    fn shut_down(&mut self, slot: u32) -> io::Result<()> {
        let line = &mut self.lines[slot as usize];
        line.shutting = true;
        let user_data = pack(Operation::Shutdown, line.generation, slot);
        let entry = opcode::Shutdown::new(Fixed(slot), libc::SHUT_WR).build().user_data(user_data);
        // SAFETY: a shutdown names no memory.
        unsafe { self.ring.push(&entry) }
    }

    /// Closes a line that the shard has given up once the kernel has nothing under way for it.
    fn close_if_idle(&mut self, slot: u32) -> io::Result<()> {
        let line = &mut self.lines[slot as usize];
        let is_busy = line.receiving || line.shutting || line.sending.is_some();
        if !line.closing || !line.open || is_busy {
            return Ok(());
        }
        line.open = false;
        let (generation, reset) = (line.generation, line.reset);
        if reset {
            let value = (&raw const LINGER_ZERO).cast::<libc::c_void>();
            let length = u32::try_from(size_of::<libc::linger>()).expect("8 bytes");
            let (level, name) = (libc::SOL_SOCKET as u32, libc::SO_LINGER as u32);
            let entry = opcode::SetSockOpt::new(Fixed(slot), level, name, value, length)
                .build()
                .user_data(pack(Operation::Quiet, generation, slot));
            // SAFETY: the value is static. Kernels before 6.7 refuse the entry: the close that
            // follows is then an orderly one.
            unsafe { self.ring.push(&entry)? };
        }
        let entry = opcode::Close::new(Fixed(slot)).build().user_data(pack(
            Operation::Quiet,
            generation,
            slot,
        ));
        // SAFETY: a close names no memory.
        unsafe { self.ring.push(&entry) }
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
        let eventfd = Fd(self.ports.lanes().sleeper.eventfd().as_raw_fd());
        let entry = opcode::Read::new(eventfd, self.wake_buffer.as_mut_ptr(), 8)
            .build()
            .user_data(pack(Operation::Wake, 0, 0));
        // SAFETY: the buffer is boxed and lives as long as the driver, which outlives the ring's
        // last entry; the eventfd lives in the mesh that the ports hold.
        unsafe { self.ring.push(&entry) }
    }

    fn arm_listeners(&mut self) -> io::Result<()> {
        for index in 0..self.listeners.len() {
            let listener = &mut self.listeners[index];
            let resting = listener.rest_until.is_some_and(|until| self.now.mono < until);
            let Some(socket) = &listener.socket else { continue };
            if listener.armed || resting || listener.stopping {
                continue;
            }
            listener.armed = true;
            listener.rest_until = None;
            let slot = u32::try_from(index).expect("few listeners");
            let entry = opcode::AcceptMulti::new(Fd(socket.as_raw_fd()))
                .allocate_file_index(true)
                .build()
                .user_data(pack(Operation::Accept, 0, slot));
            // SAFETY: the entry names no memory; the listener stays open while it is armed.
            unsafe { self.ring.push(&entry)? };
        }
        Ok(())
    }

    /// Ends the accepts; when one has ended, its queue is emptied and its listener closed.
    fn stop_accepting(&mut self) -> io::Result<()> {
        for index in 0..self.listeners.len() {
            let slot = u32::try_from(index).expect("few listeners");
            let listener = &mut self.listeners[index];
            listener.stopping = true;
            if !listener.armed {
                continue;
            }
            let target = pack(Operation::Accept, 0, slot);
            let entry = opcode::AsyncCancel2::new(CancelBuilder::user_data(target))
                .build()
                .user_data(pack(Operation::Quiet, 0, slot));
            // SAFETY: a cancellation names no memory.
            unsafe { self.ring.push(&entry)? };
        }
        Ok(())
    }

    /// Once told to stop and with no accept under way on any listener, takes what still waits in
    /// the accept queues and closes the listeners: a connection that reached a queue before is
    /// served. All accepts have to be over first, so that no completion is still to name a free
    /// place.
    fn end_listeners(&mut self) {
        let is_stopping = self.listeners.iter().any(|listener| listener.stopping);
        if !is_stopping || self.listeners.iter().any(|listener| listener.armed) {
            return;
        }
        let sockets: Vec<_> =
            self.listeners.iter_mut().map(|listener| listener.socket.take()).collect();
        let mut is_any = false;
        for (index, socket) in (0_u32..).zip(sockets) {
            let Some(socket) = socket else { continue };
            is_any = true;
            self.empty_queue(index, &socket);
        }
        if is_any {
            self.step.step(self.now, Input::ListenersClosed, &mut self.outbox);
        }
    }

    /// Ring accepts would wait for more, so these are plain ones, moved into free places of the
    /// table.
    fn empty_queue(&mut self, index: u32, socket: &OwnedFd) {
        let flags = rustix::fs::fcntl_getfl(socket).unwrap_or(rustix::fs::OFlags::empty());
        // A listener that can't be made non-blocking is not asked: it would hold the shard up.
        if rustix::fs::fcntl_setfl(socket, flags | rustix::fs::OFlags::NONBLOCK).is_err() {
            return;
        }
        // Closes that were queued free their places now.
        if self.ring.enter_now().is_err() {
            return;
        }
        let mut places = (0..self.lines.len()).rev();
        loop {
            let accepted = match rustix::net::accept(socket) {
                Ok(accepted) => accepted,
                Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNABORTED) => continue,
                Err(_) => return,
            };
            // Without a free place the connection is closed, as one beyond the bound is.
            let Some(place) = places.find(|place| !self.lines[*place].open) else { return };
            let slot = u32::try_from(place).expect("slots have 32 bits");
            if self.ring.install(slot, &accepted).is_ok() {
                self.accepted(slot, index);
            }
        }
    }

    fn count_turn(&mut self) {
        let counters = &self.counters;
        counters.turn_length.record(clocks::mono().0.saturating_sub(self.now.mono.0));
        counters.turns.add(1);
        counters.ring_enters.set(self.ring.enters);
        counters.ring_submissions.set(self.ring.submitted);
        counters.ring_overflows.set(u64::from(self.ring.overflow()));
    }
}

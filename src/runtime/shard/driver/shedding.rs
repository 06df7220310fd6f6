//! What a shard does with more requests than it can serve at once: how long they wait is measured
//! by a sample through the same queue, and while they wait too long they are held before the shard
//! sees them.
//!
//! The kernel keeps what is ready for a ring in one queue, in the order in which it became ready,
//! and gives some twenty at each look. An eventfd that is written to stands in that queue as a
//! request that arrives at this moment does, and comes out of it when that one would.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use io_uring::opcode;
use io_uring::types::Fd;
use rustix::event::{EventfdFlags, eventfd};

use super::{Driver, LANE_BUDGET};
use crate::clocks;
use crate::shard::overload::{Hold, Overload, ShedCause};
use crate::shard::slot::{Operation, pack};
use nudged_base::clock::Now;
use nudged_base::limits::{QUEUE_PROBE_COMPLETIONS, SHED_LOOKS_A_TURN};
use nudged_base::telemetry::counters::ShardCounters;
use nudged_base::telemetry::log::Message;
use nudged_shard::seam::{Input, Outbox, Step};

#[cfg(test)]
mod tests;

/// The sample that goes through the queue.
pub(super) struct Probe {
    eventfd: OwnedFd,
    buffer: Box<[u8; 8]>,
    /// The ring reads it, since the last turn.
    is_armed: bool,
}

impl Probe {
    /// Blocking, since a ring's read of one that is not completes at once.
    pub(super) fn new() -> io::Result<Probe> {
        let eventfd = eventfd(0, EventfdFlags::CLOEXEC)?;
        Ok(Probe { eventfd, buffer: Box::new([0; 8]), is_armed: false })
    }
}

/// Gives the shard bytes of a connection, unless they have to wait; some are refused.
pub(super) fn give<S: Step>(
    (step, outbox, counters): (&mut S, &mut Outbox, &ShardCounters),
    overload: &mut Overload,
    now: Now,
    (connection, bytes): (u32, &[u8]),
) {
    match overload.hold(connection, bytes, now.mono) {
        Hold::Passed => step.step(now, Input::Bytes { connection, bytes }, outbox),
        Hold::Kept => {}
        Hold::Full(bytes) => {
            step.step(now, Input::Bytes { connection, bytes: &bytes }, outbox);
        }
        Hold::Refused => {
            counters.shed.of(ShedCause::Early.name()).add(1);
            step.step(now, Input::Shed { connection, bytes }, outbox);
        }
    }
}

impl<S: Step> Driver<S> {
    /// Ends a turn that took so long: after a busy one a sample may be due.
    pub(super) fn look_at_delay(&mut self, turn_ns: u64) -> io::Result<()> {
        let is_busy = self.reaped >= QUEUE_PROBE_COMPLETIONS || turn_ns >= self.long_turn_ns;
        if !is_busy {
            return Ok(());
        }
        if !self.probe.is_armed {
            // The next busy turn writes to it: what is read before it waits measures nothing.
            return self.arm_probe();
        }
        if self.overload.begins_probe(self.now.mono) {
            rustix::io::write(&self.probe.eventfd, &1_u64.to_ne_bytes())?;
        }
        Ok(())
    }

    fn arm_probe(&mut self) -> io::Result<()> {
        self.probe.is_armed = true;
        let eventfd = Fd(self.probe.eventfd.as_raw_fd());
        let entry = opcode::Read::new(eventfd, self.probe.buffer.as_mut_ptr(), 8)
            .build()
            .user_data(pack(Operation::Probe, 0, 0));
        // SAFETY: the buffer is boxed and lives as long as the driver, which outlives the ring's
        // last entry, as the eventfd does.
        unsafe { self.ring.push(&entry) }
    }

    /// The sample has come through.
    pub(super) fn on_probe(&mut self) {
        self.probe.is_armed = false;
        if let Some(delay_ns) = self.overload.probed(self.now.mono) {
            self.counters.queue_delay.record(delay_ns);
        }
    }

    /// While the shard has more to do than it can at once: looks for all that is ready, so that the
    /// newest is known, and serves what waits. What was refused as it came leaves first.
    pub(super) fn shed(&mut self) -> io::Result<()> {
        if !self.overload.is_holding() {
            return Ok(());
        }
        for _ in 0..SHED_LOOKS_A_TURN {
            let before = self.overload.seen();
            self.give_buffers_back()?;
            self.ring.enter_now()?;
            self.take_completions()?;
            if self.overload.seen() == before {
                break;
            }
        }
        if self.overload.has_refused() {
            self.step.finish_turn(self.now, &mut self.outbox);
            self.carry_out()?;
            self.ring.enter_now()?;
        }
        let mut now = clocks::mono();
        self.overload.begin_serving(now);
        while let Some((connection, bytes, waited_ns)) = self.overload.next_served(now) {
            self.counters.queue_delay.record(waited_ns);
            let input = Input::Bytes { connection, bytes: &bytes };
            self.step.step(self.now, input, &mut self.outbox);
            self.overload.give_back(bytes);
            now = clocks::mono();
        }
        while let Some((connection, bytes)) = self.overload.next_late() {
            self.refuse_held(connection, bytes, ShedCause::Late);
        }
        self.overload.end_serving(now);
        self.counters.shed_held.set(self.overload.waiting() as u64);
        Ok(())
    }

    /// Gives the shard what its lanes hold. What other shards ask waits in one of them, and is
    /// refused where it has waited for too long all the time.
    pub(super) fn take_lanes(&mut self) {
        let Driver { ports, step, outbox, overload, counters, now, .. } = self;
        let mut taken = 0;
        ports.drain(LANE_BUDGET, |input| match input {
            Input::Hop(hop) => {
                if taken == 0 {
                    overload.look_at_hops(now.mono, hop.since);
                }
                taken += 1;
                if overload.refuses_hop(now.mono, hop.since, taken - 1) {
                    counters.shed.of(ShedCause::Hop.name()).add(1);
                    return step.step(*now, Input::ShedHop(hop), outbox);
                }
                step.step(*now, Input::Hop(hop), outbox);
            }
            input => step.step(*now, input, outbox),
        });
        if taken == 0 {
            overload.no_hops();
        }
        counters.shedding.set(overload.is_shedding().into());
    }

    fn refuse_held(&mut self, connection: u32, bytes: Vec<u8>, cause: ShedCause) {
        self.counters.shed.of(cause.name()).add(1);
        let input = Input::Shed { connection, bytes: &bytes };
        self.step.step(self.now, input, &mut self.outbox);
        self.overload.give_back(bytes);
    }

    /// The peer has ended its direction: what waits of it is refused first, since it may only have
    /// nothing more to ask.
    pub(super) fn give_up_held(&mut self, connection: u32) {
        if let Some(bytes) = self.overload.remove(connection) {
            self.refuse_held(connection, bytes, ShedCause::Gone);
        }
    }

    /// Those that wait are refused: their connections would be taken for idle ones, which are about
    /// to be closed.
    pub(super) fn give_up_all_held(&mut self) {
        while let Some((connection, bytes)) = self.overload.remove_any() {
            self.refuse_held(connection, bytes, ShedCause::Late);
        }
    }

    /// Says that the shard is overloaded; to be said again while it is.
    pub(super) fn tell_shedding(&self) {
        if let Some(log) = &self.log {
            log.write(clocks::now(), Message::Shedding, &[]);
        }
    }
}

//! A driver's links: connections that the shard itself opens, to its servers. A link has a number
//! of its own, beyond those of accepted connections, and the same number each time it connects.
//!
//! ```text
//!           Connect              the kernel agrees
//!  idle ─────────────► connecting ────────────────► standing
//!   ▲  ◄───────────────  │  ▲ next address             │ Close
//!   │   no address left  │  └──┐                       ▼
//!   └────────────────────┴─────┴──────────────────  leaving
//!        nothing is under way any more (then Connect again, where it was asked for)
//! ```
//!
//! A link's slot of the descriptor table is never free: between connections a placeholder lies in
//! it, put there in the same step that takes the socket out. The kernel's own choice of slots for
//! accepted connections therefore can't fall on it. A range for that choice would not do: kernels
//! begin their search at the slot that was freed last, inside the range or not.
//!
//! A socket is put into the slot only when the kernel has nothing under way there, so a completion
//! always belongs to the connection that the shard knows. Limits: `LINK_ADDRESSES_MAX` addresses a
//! connect.

#![allow(unsafe_code)]

use std::io;
use std::time::Duration;

use io_uring::opcode;
use io_uring::types::{CancelBuilder, Fixed};
use rustix::net::{Shutdown, shutdown, sockopt};

use super::Driver;
use super::connections::is_interrupted;
use crate::shard::ring::Completion;
use crate::shard::slot::{ConnectionSlot, LinkSocket, Operation, pack};
use nudged_shard::seam::{Input, Step};

impl<S: Step> Driver<S> {
    /// Whether a number is a link's.
    pub(super) fn is_link(&self, slot: u32) -> bool {
        slot >= self.first_link
    }

    fn link(&mut self, slot: u32) -> &mut LinkSocket {
        &mut self.links[(slot - self.first_link) as usize]
    }

    /// Begins to connect; where the former connection is still leaving, once it has left.
    pub(super) fn connect(&mut self, slot: u32) -> io::Result<()> {
        assert!(self.is_link(slot), "accepted connections are not connected");
        if self.slots[slot as usize].open {
            self.link(slot).is_wanted = true;
            return self.leave(slot);
        }
        self.begin(slot)
    }

    fn begin(&mut self, slot: u32) -> io::Result<()> {
        let connection = &mut self.slots[slot as usize];
        let generation = connection.generation.wrapping_add(1) & 0xff_ffff;
        *connection = ConnectionSlot { generation, open: true, ..ConnectionSlot::default() };
        let link = self.link(slot);
        link.is_wanted = false;
        link.tried = 0;
        self.attempt(slot)
    }

    /// Tries one address. What can't even be begun completes as a failure too, through the ring
    /// like any other, so that a shard that answers each failure with a connect can't keep a turn
    /// from ending.
    fn attempt(&mut self, slot: u32) -> io::Result<()> {
        let connection = &mut self.slots[slot as usize];
        connection.connecting = true;
        let user_data = pack(Operation::Connect, connection.generation, slot);
        let entry = match self.prepare(slot) {
            Some((address, length)) => {
                opcode::Connect::new(Fixed(slot), address, length).build().user_data(user_data)
            }
            None => opcode::Nop::new().build().user_data(user_data),
        };
        // SAFETY: the address is boxed in the link, which keeps it until the next attempt, and that
        // comes after this one's completion.
        unsafe { self.ring.push(&entry) }
    }

    /// Puts a fresh socket for the next address into the slot.
    fn prepare(&mut self, slot: u32) -> Option<(*const libc::sockaddr, libc::socklen_t)> {
        let link = self.link(slot);
        let addresses = link.endpoint.addresses();
        let next = link.turn.wrapping_add(link.tried) % addresses.len().max(1);
        let address = addresses.get(next)?;
        let (socket, address) = link.endpoint.open(address).ok()?;
        let address = Box::new(address);
        let kernels = (address.as_ptr().cast(), address.addr_len());
        self.ring.install(slot, &socket).ok()?;
        let link = self.link(slot);
        link.address = Some(address);
        link.socket = Some(socket);
        Some(kernels)
    }

    pub(super) fn on_connect(&mut self, completion: Completion, slot: u32) -> io::Result<()> {
        let connection = &mut self.slots[slot as usize];
        connection.connecting = false;
        if connection.closing {
            return self.close_if_idle(slot);
        }
        if completion.result >= 0 && self.link(slot).socket.is_some() {
            let link = self.link(slot);
            link.turn = link.turn.wrapping_add(std::mem::take(&mut link.tried));
            self.step.step(self.now, Input::Connected { connection: slot }, &mut self.outbox);
            self.starved.push(slot);
            return Ok(());
        }
        self.vacate(slot);
        if is_interrupted(completion.result) {
            return self.attempt(slot);
        }
        let link = self.link(slot);
        link.tried += 1;
        if link.tried < link.endpoint.addresses().len() {
            return self.attempt(slot);
        }
        link.endpoint.tell_failed();
        self.slots[slot as usize].open = false;
        self.step.step(self.now, Input::Broken { connection: slot }, &mut self.outbox);
        Ok(())
    }

    /// Ends a link at once: what is unsent is thrown away, a frozen peer is not waited for.
    pub(super) fn close_link(&mut self, slot: u32) -> io::Result<()> {
        self.link(slot).is_wanted = false;
        self.leave(slot)
    }

    fn leave(&mut self, slot: u32) -> io::Result<()> {
        let connection = &mut self.slots[slot as usize];
        if !connection.open || connection.closing {
            return Ok(());
        }
        connection.closing = true;
        let (generation, is_busy) = (connection.generation, connection.is_busy());
        if connection.connecting {
            // That address did not answer in time: the next connect begins behind it.
            let link = self.link(slot);
            link.turn = link.turn.wrapping_add(link.tried + 1);
            link.endpoint.tell_failed();
        }
        if let Some(socket) = &self.link(slot).socket {
            // Both may fail on a socket that is not connected, which is as good.
            let _ = sockopt::set_socket_linger(socket, Some(Duration::ZERO));
            let _ = shutdown(socket, Shutdown::Both);
        }
        if is_busy {
            let entry = opcode::AsyncCancel2::new(CancelBuilder::fd(Fixed(slot)).all())
                .build()
                .user_data(pack(Operation::Quiet, generation, slot));
            // SAFETY: a cancellation names no memory.
            unsafe { self.ring.push(&entry)? };
        }
        self.close_if_idle(slot)
    }

    /// Nothing is under way any more: the socket leaves its slot, and the next connection begins
    /// where one is wanted.
    pub(super) fn release_link(&mut self, slot: u32) -> io::Result<()> {
        self.vacate(slot);
        self.slots[slot as usize].open = false;
        if self.link(slot).is_wanted { self.begin(slot) } else { Ok(()) }
    }

    fn vacate(&mut self, slot: u32) {
        // Where the kernel has no memory for it the dead socket stays in the slot until the next
        // one takes its place.
        let _ = self.ring.vacate(slot);
        self.link(slot).socket = None;
    }
}

#[cfg(test)]
mod tests;

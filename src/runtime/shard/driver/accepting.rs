//! A driver's listeners: accepts armed again when they end, rested when they fail, and at the end
//! the queues emptied before the sockets are closed.
//!
//! A multishot accept takes all that waits, and the kernel closes what finds no place in the table
//! without a word. So it is used only while a whole queue would find room; with fewer free places
//! accepts are single ones, no more of them than there are places. What is beyond the connections'
//! bound then waits in the queue until it can be told so.
//!
//! Where the peers' addresses matter accepts are single ones too, each with a place of its own for
//! the address.
//!
//! Where newcomers are held (`Mesh::hold_newcomers`) none is armed until they are admitted.

#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;

use io_uring::types::{CancelBuilder, DestinationSlot, Fd};
use io_uring::{cqueue, opcode};

use super::Driver;
use super::connections::is_interrupted;
use crate::shard::listener::BACKLOG;
use crate::shard::peers::PeerAddresses;
use crate::shard::ring::Completion;
use crate::shard::slot::{ConnectionSlot, Operation, Passage, SINGLES_MAX, pack};
use crate::threads::log_writer;
use nudged_base::telemetry::log::Message;
use nudged_shard::seam::{Input, Step};

/// After a failed accept the listener rests this long, in milliseconds: what was short (memory,
/// descriptors) is not there again at once.
const ACCEPT_REST_MS: u64 = 20;

/// With fewer free places than this accepts are single: as many as may wait in a queue.
const PLACES_FOR_MULTISHOT: u32 = BACKLOG.unsigned_abs();

impl<S: Step> Driver<S> {
    pub(super) fn on_accept(&mut self, completion: Completion, place: u32, index: u32) {
        let listener = &mut self.listeners[index as usize];
        let peer = listener.peers.as_mut().and_then(|peers| peers.give_back(place));
        let is_told = listener.stopping || listener.is_ending;
        if !cqueue::more(completion.flags) {
            listener.armed -= 1;
            listener.is_ending = false;
        }
        match u32::try_from(completion.result) {
            Ok(slot) => self.accepted(slot, index, peer),
            // It is armed again at once: nothing is short.
            Err(_) if is_interrupted(completion.result) => {}
            Err(_) if is_told && completion.result == -libc::ECANCELED => {}
            Err(_) => {
                listener.rest_until = Some(self.now.mono.plus_ms(ACCEPT_REST_MS));
                self.tell_accept_failed(io::Error::from_raw_os_error(-completion.result));
            }
        }
    }

    fn tell_accept_failed(&self, error: io::Error) {
        self.counters.accept_errors.add(1);
        let Some(log) = &self.log else { return };
        log_writer::tell(log, Message::AcceptFailed, &error.to_string());
    }

    /// `peer` is known on listeners where it matters.
    pub(super) fn accepted(&mut self, slot: u32, index: u32, peer: Option<IpAddr>) {
        assert!(slot < self.first_link, "something always lies in the places of links");
        let connection = &mut self.slots[slot as usize];
        let generation = connection.generation.wrapping_add(1) & 0xff_ffff;
        *connection = ConnectionSlot { generation, open: true, ..ConnectionSlot::default() };
        self.accepted_open += 1;
        let listener = self.listeners[index as usize].number;
        let place = usize::from(listener);
        if self.entrance.is_proxied(place) && !self.await_header(slot, u32::from(listener), peer) {
            return;
        }
        if !self.entrance.is_proxied(place)
            && let Some(peer) = peer
            && !self.enter_source(slot, peer)
        {
            return self.close_source(slot);
        }
        if self.entrance.is_tls(place) && matches!(self.slots[slot as usize].passage, Passage::Open)
        {
            self.await_tls(slot);
        }
        self.step.step(self.now, Input::Accepted { connection: slot, listener }, &mut self.outbox);
        if !self.entrance.is_proxied(place)
            && let Some(peer) = peer
        {
            self.tell_source(slot, peer);
        }
        self.starved.push(slot);
    }

    pub(super) fn arm_listeners(&mut self) -> io::Result<()> {
        if self.ports.are_newcomers_held() {
            return Ok(());
        }
        let free = self.first_link - self.accepted_open;
        let is_roomy = free >= PLACES_FOR_MULTISHOT;
        let singles = self.listeners.iter().filter(|listener| !listener.is_multishot);
        let mut places = free.saturating_sub(singles.map(|listener| listener.armed).sum());
        for index in 0..self.listeners.len() {
            let listener = &mut self.listeners[index];
            let resting = listener.rest_until.is_some_and(|until| self.now.mono < until);
            if listener.socket.is_none() || resting || listener.stopping {
                continue;
            }
            listener.rest_until = None;
            if listener.armed > 0 && listener.is_multishot {
                if !is_roomy && !listener.is_ending {
                    listener.is_ending = true;
                    self.cancel_accepts(index)?;
                }
                continue;
            }
            if is_roomy && listener.peers.is_none() {
                // Single ones that wait are used up first: each has its place.
                if listener.armed == 0 {
                    self.arm(index, true)?;
                }
                continue;
            }
            let more = SINGLES_MAX - listener.armed;
            // Each listener has its share of what is left.
            let others = u32::try_from(self.listeners.len() - index).expect("few listeners");
            let wanted = places.div_ceil(others).min(more);
            for _ in 0..wanted {
                self.arm(index, false)?;
            }
            places -= wanted;
        }
        Ok(())
    }

    fn arm(&mut self, index: usize, is_multishot: bool) -> io::Result<()> {
        let listener = &mut self.listeners[index];
        let Some(socket) = &listener.socket else { return Ok(()) };
        listener.armed += 1;
        listener.is_multishot = is_multishot;
        let socket = Fd(socket.as_raw_fd());
        let nowhere = (0, ptr::null_mut(), ptr::null_mut());
        let (place, address, length) = listener.peers.as_mut().map_or(nowhere, PeerAddresses::take);
        let entry = match is_multishot {
            true => opcode::AcceptMulti::new(socket).allocate_file_index(true).build(),
            false => opcode::Accept::new(socket, address, length)
                .file_index(Some(DestinationSlot::auto_target()))
                .build(),
        };
        let slot = u32::try_from(index).expect("few listeners");
        let entry = entry.user_data(pack(Operation::Accept, place, slot));
        // SAFETY: the listener stays open while it is armed. The entry names no memory but the
        // place for an address, which is taken until its completion and never moves; the ring goes
        // before it does.
        unsafe { self.ring.push(&entry) }
    }

    fn cancel_accepts(&mut self, index: usize) -> io::Result<()> {
        let slot = u32::try_from(index).expect("few listeners");
        let Some(socket) = &self.listeners[index].socket else { return Ok(()) };
        // All that is under way for a listener is accepts.
        let entry = opcode::AsyncCancel2::new(CancelBuilder::fd(Fd(socket.as_raw_fd())).all())
            .build()
            .user_data(pack(Operation::Quiet, 0, slot));
        // SAFETY: a cancellation names no memory.
        unsafe { self.ring.push(&entry) }
    }

    /// Ends the accepts; when one has ended, its queue is emptied and its listener closed.
    pub(super) fn stop_accepting(&mut self) -> io::Result<()> {
        for index in 0..self.listeners.len() {
            let listener = &mut self.listeners[index];
            listener.stopping = true;
            if listener.armed > 0 {
                self.cancel_accepts(index)?;
            }
        }
        Ok(())
    }

    /// Once told to stop and with no accept under way on any listener, takes what still waits in
    /// the accept queues and closes the listeners: a connection that reached a queue before is
    /// served, unless the queue stays with another process. All accepts have to be over first, so
    /// that no completion is still to name a free place.
    pub(super) fn end_listeners(&mut self) {
        let is_stopping = self.listeners.iter().any(|listener| listener.stopping);
        if !is_stopping || self.listeners.iter().any(|listener| listener.armed > 0) {
            return;
        }
        let sockets: Vec<_> =
            self.listeners.iter_mut().map(|listener| listener.socket.take()).collect();
        let mut is_any = false;
        for (index, socket) in (0_u32..).zip(sockets) {
            let Some(socket) = socket else { continue };
            is_any = true;
            if !self.ports.are_queues_kept() {
                self.empty_queue(index, &socket);
            }
        }
        if is_any {
            self.give_up_all_held();
            self.step.step(self.now, Input::ListenersClosed, &mut self.outbox);
        }
    }

    /// Ring accepts would wait for more, so these are plain ones, moved into free places of the
    /// table.
    pub(super) fn empty_queue(&mut self, index: u32, socket: &OwnedFd) {
        let flags = rustix::fs::fcntl_getfl(socket).unwrap_or(rustix::fs::OFlags::empty());
        // A listener that can't be made non-blocking is not asked: it would hold the shard up.
        if rustix::fs::fcntl_setfl(socket, flags | rustix::fs::OFlags::NONBLOCK).is_err() {
            return;
        }
        // Closes that were queued free their places now.
        if self.ring.enter_now().is_err() {
            return;
        }
        let mut places = (0..self.first_link as usize).rev();
        loop {
            let (accepted, peer) = match rustix::net::acceptfrom(socket) {
                Ok(accepted) => accepted,
                Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNABORTED) => continue,
                Err(_) => return,
            };
            // Without a free place the connection is closed, as one beyond the bound is.
            let Some(place) = places.find(|place| !self.slots[*place].open) else { return };
            let slot = u32::try_from(place).expect("slots have 32 bits");
            if self.ring.install(slot, &accepted).is_ok() {
                let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
                self.accepted(slot, index, peer.map(|peer| peer.ip().to_canonical()));
            }
        }
    }
}

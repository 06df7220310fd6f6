//! A driver's listeners: accepts armed again when they end, rested when they fail, and at the end
//! the queues emptied before the sockets are closed.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use io_uring::types::{CancelBuilder, Fd};
use io_uring::{cqueue, opcode};

use super::super::line::{Line, Operation, pack};
use super::super::ring::Completion;
use super::Driver;
use super::lines::is_interrupted;
use crate::base::time::MonoNs;
use crate::shard::seam::{Input, Step};

/// After a failed accept the listener rests this long, in milliseconds: what was short (memory,
/// descriptors) is not there again at once.
const ACCEPT_REST_MS: u64 = 20;

#[derive(Debug)]
pub(super) struct Listener {
    pub(super) socket: Option<OwnedFd>,
    pub(super) armed: bool,
    pub(super) rest_until: Option<MonoNs>,
    pub(super) stopping: bool,
}

impl<S: Step> Driver<S> {
    pub(super) fn on_accept(&mut self, completion: Completion, index: u32) {
        let listener = &mut self.listeners[index as usize];
        if !cqueue::more(completion.flags) {
            listener.armed = false;
        }
        let is_stopping = listener.stopping;
        match u32::try_from(completion.result) {
            Ok(slot) => self.accepted(slot, index),
            // It is armed again at once: nothing is short.
            Err(_) if is_interrupted(completion.result) => {}
            Err(_) if !is_stopping => {
                self.counters.accept_errors.add(1);
                listener.rest_until = Some(self.now.mono.plus_ms(ACCEPT_REST_MS));
            }
            Err(_) => {}
        }
    }

    pub(super) fn accepted(&mut self, slot: u32, index: u32) {
        assert!(slot < self.first_link, "something always lies in the places of links");
        let line = &mut self.lines[slot as usize];
        let generation = line.generation.wrapping_add(1) & 0xff_ffff;
        *line = Line { generation, open: true, ..Line::default() };
        let listener = u16::try_from(index).expect("few listeners");
        self.step.step(self.now, Input::Accepted { connection: slot, listener }, &mut self.outbox);
        self.starved.push(slot);
    }

    pub(super) fn arm_listeners(&mut self) -> io::Result<()> {
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
    pub(super) fn stop_accepting(&mut self) -> io::Result<()> {
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
    pub(super) fn end_listeners(&mut self) {
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
}

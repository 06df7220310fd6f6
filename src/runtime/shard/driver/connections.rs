//! A driver's connections: receives, sends and closes as submissions, their completions as inputs.
//! A slot is closed only when nothing is under way for it.

use std::io;

use io_uring::types::{CancelBuilder, Fixed};
use io_uring::{cqueue, opcode};

use super::Driver;
use super::shedding::give;
use crate::shard::ring::{BUFFER_GROUP, Completion};
use crate::shard::slot::{Operation, Passage, pack};
use nudged_base::limits::SEND_BYTES_MAX;
use nudged_shard::seam::{Input, Step};

/// A connection that is closed with this is reset: linger of zero seconds.
static LINGER_ZERO: libc::linger = libc::linger { l_onoff: 1, l_linger: 0 };

/// Whether a signal has ended an operation before it did anything: it is begun anew.
pub(super) fn is_interrupted(result: i32) -> bool {
    result == -libc::EINTR
}

impl<S: Step> Driver<S> {
    pub(super) fn on_receive(
        &mut self,
        completion: Completion,
        generation: u32,
        slot: u32,
    ) -> io::Result<()> {
        let connection = &mut self.slots[slot as usize];
        debug_assert_eq!(
            connection.generation, generation,
            "a slot is reused after its completions"
        );
        if !cqueue::more(completion.flags) {
            connection.receiving = false;
        }
        let wanted = connection.open && !connection.closing;
        let buffer = cqueue::buffer_select(completion.flags);
        if let Some(buffer) = buffer {
            let length = usize::try_from(completion.result).unwrap_or(0);
            if wanted && length > 0 {
                if matches!(connection.passage, Passage::Open) {
                    let is_link = self.is_link(slot);
                    let Driver { ring, step, outbox, overload, counters, now, .. } = self;
                    let bytes = ring.received(buffer, length);
                    match is_link {
                        // Nobody's request: what the node's own servers say ends waits.
                        true => step.step(*now, Input::Bytes { connection: slot, bytes }, outbox),
                        false => give((step, outbox, counters), overload, *now, (slot, bytes)),
                    }
                } else {
                    self.receive_through(slot, (buffer, length))?;
                }
            }
            self.ring.recycle(buffer);
        }
        if completion.result > 0 {
            debug_assert!(buffer.is_some(), "bytes come in buffers");
        } else if completion.result == 0 {
            self.slots[slot as usize].ended = true;
            if wanted {
                self.count_cut_header(slot);
                self.count_cut_handshake(slot);
                self.give_up_held(slot);
                let input = Input::PeerClosed { connection: slot };
                self.step.step(self.now, input, &mut self.outbox);
            }
        } else if completion.result == -libc::ENOBUFS {
            self.counters.ring_buffers_empty.add(1);
        } else if completion.result != -libc::ECANCELED && !is_interrupted(completion.result) {
            self.slots[slot as usize].ended = true;
            if wanted {
                let input = Input::Broken { connection: slot };
                self.step.step(self.now, input, &mut self.outbox);
            }
        }
        let connection = &self.slots[slot as usize];
        if !connection.receiving && !connection.ended && !connection.closing {
            self.starved.push(slot);
        }
        self.close_if_idle(slot)
    }

    pub(super) fn on_send(&mut self, completion: Completion, slot: u32) -> io::Result<()> {
        let connection = &mut self.slots[slot as usize];
        let Some(buffer) = connection.sending.take() else { return Ok(()) };
        if matches!(connection.passage, Passage::Tls(_)) {
            return self.on_records_sent(slot, (buffer, completion.result));
        }
        if is_interrupted(completion.result) && connection.open && !connection.closing {
            return self.send(slot, buffer);
        }
        let sent = usize::try_from(completion.result).ok();
        let input = Input::Sent { connection: slot, buffer, sent };
        self.step.step(self.now, input, &mut self.outbox);
        self.close_if_idle(slot)
    }

    pub(super) fn send(&mut self, slot: u32, buffer: Vec<u8>) -> io::Result<()> {
        let connection = &mut self.slots[slot as usize];
        let is_standing = connection.open && !connection.closing && !connection.connecting;
        if slot >= self.first_link && !is_standing {
            // A link's shard may send in the turn in which the link breaks.
            let input = Input::Sent { connection: slot, buffer, sent: None };
            self.step.step(self.now, input, &mut self.outbox);
            return Ok(());
        }
        match &connection.passage {
            Passage::Tls(_) => self.send_tls(slot, buffer),
            // Nobody there reads what is not encrypted.
            Passage::Header { is_tls: true, .. } => {
                let input = Input::Sent { connection: slot, buffer, sent: None };
                self.step.step(self.now, input, &mut self.outbox);
                Ok(())
            }
            _ => self.submit_send(slot, buffer, libc::MSG_NOSIGNAL),
        }
    }

    /// Has the kernel send bytes, with these flags.
    pub(super) fn submit_send(&mut self, slot: u32, buffer: Vec<u8>, flags: i32) -> io::Result<()> {
        let connection = &mut self.slots[slot as usize];
        assert!(connection.sending.is_none(), "one send a connection at a time");
        let most = if slot < self.first_link { SEND_BYTES_MAX } else { buffer.len() };
        let length = u32::try_from(buffer.len().min(most)).expect("commands are bounded");
        let entry = opcode::Send::new(Fixed(slot), buffer.as_ptr(), length)
            .flags(flags)
            .build()
            .user_data(pack(Operation::Send, connection.generation, slot));
        connection.sending = Some(buffer);
        // SAFETY: the buffer rests in its slot, unmoved on the heap, until its completion.
        unsafe { self.ring.push(&entry) }
    }

    pub(super) fn ask_untaken(&mut self, slot: u32) -> io::Result<()> {
        /// SOCKET_URING_OP_SIOCOUTQ: a direct descriptor has no number to ask by otherwise.
        const OUTQ: u32 = 1;
        let connection = &self.slots[slot as usize];
        if !connection.open || connection.closing {
            return Ok(());
        }
        let user_data = pack(Operation::Untaken, connection.generation, slot);
        let entry = opcode::UringCmd16::new(Fixed(slot), OUTQ).build().user_data(user_data);
        // SAFETY: the question names no memory; its answer is the completion's result.
        unsafe { self.ring.push(&entry) }
    }

    /// The answer may come when the slot has another connection, which has not asked.
    pub(super) fn on_untaken(&mut self, completion: Completion, generation: u32, slot: u32) {
        let connection = &self.slots[slot as usize];
        let is_wanted =
            connection.open && !connection.closing && connection.generation == generation;
        let Ok(bytes) = u32::try_from(completion.result) else { return };
        if is_wanted {
            let input = Input::Untaken { connection: slot, bytes };
            self.step.step(self.now, input, &mut self.outbox);
        }
    }

    pub(super) fn receive(&mut self, slot: u32) -> io::Result<()> {
        let connection = &mut self.slots[slot as usize];
        let unwanted = connection.ended || connection.closing || connection.paused;
        if !connection.open || connection.receiving || unwanted {
            return Ok(());
        }
        connection.receiving = true;
        let entry = opcode::RecvMulti::new(Fixed(slot), BUFFER_GROUP).build().user_data(pack(
            Operation::Receive,
            connection.generation,
            slot,
        ));
        // SAFETY: the entry names provided buffers, which live as long as the ring.
        unsafe { self.ring.push(&entry) }
    }

    pub(super) fn stop_receiving(&mut self, slot: u32) -> io::Result<()> {
        let connection = &self.slots[slot as usize];
        let cancel_send = connection.reset && connection.sending.is_some();
        if !connection.receiving && !cancel_send {
            return Ok(());
        }
        let builder = if cancel_send {
            CancelBuilder::fd(Fixed(slot)).all()
        } else {
            CancelBuilder::user_data(pack(Operation::Receive, connection.generation, slot))
        };
        let entry = opcode::AsyncCancel2::new(builder).build().user_data(pack(
            Operation::Quiet,
            connection.generation,
            slot,
        ));
        // SAFETY: a cancellation names no memory.
        unsafe { self.ring.push(&entry) }
    }

    /// Takes what came before the bytes are the shard's as they are.
    fn receive_through(&mut self, slot: u32, (buffer, length): (u16, usize)) -> io::Result<()> {
        match &self.slots[slot as usize].passage {
            Passage::Tls(_) => self.receive_tls(slot, (buffer, length, 0)),
            _ => self.receive_header(slot, (buffer, length)),
        }
    }

    pub(super) fn close(&mut self, slot: u32, reset: bool) -> io::Result<()> {
        if matches!(self.slots[slot as usize].passage, Passage::Tls(_)) {
            self.leave_tls(slot, reset)?;
        }
        // Nobody takes an answer any more.
        drop(self.overload.remove(slot));
        let connection = &mut self.slots[slot as usize];
        connection.closing = true;
        connection.reset |= reset;
        self.stop_receiving(slot)?;
        self.close_if_idle(slot)
    }

    pub(super) fn shut_down(&mut self, slot: u32) -> io::Result<()> {
        match self.slots[slot as usize].passage {
            Passage::Tls(_) => self.shut_down_tls(slot),
            _ => self.shut_down_socket(slot),
        }
    }

    pub(super) fn shut_down_socket(&mut self, slot: u32) -> io::Result<()> {
        let connection = &mut self.slots[slot as usize];
        connection.shutting = true;
        let user_data = pack(Operation::Shutdown, connection.generation, slot);
        let entry = opcode::Shutdown::new(Fixed(slot), libc::SHUT_WR).build().user_data(user_data);
        // SAFETY: a shutdown names no memory.
        unsafe { self.ring.push(&entry) }
    }

    /// Closes a line that the shard has given up once the kernel has nothing under way for it.
    pub(super) fn close_if_idle(&mut self, slot: u32) -> io::Result<()> {
        let connection = &mut self.slots[slot as usize];
        if !connection.closing || !connection.open || connection.is_busy() {
            return Ok(());
        }
        if slot >= self.first_link {
            return self.release_link(slot);
        }
        connection.open = false;
        connection.passage = Passage::Open;
        self.accepted_open -= 1;
        self.leave_source(slot);
        let connection = &self.slots[slot as usize];
        let (generation, reset) = (connection.generation, connection.reset);
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
}

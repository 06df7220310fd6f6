//! Connections of TLS, between the ring and the shard: what comes is decrypted before the shard is
//! given it, what the shard sends is encrypted before the ring is. The shard sees a connection like
//! any other.
//!
//! ```text
//!   first byte ──► a handshake under way ──► established ──► its end is said ──► closed
//!       │ plain HTTP       │      ▲ waits for its turn
//!       ▼                  ▼      ▼
//!    the shard's       failed, counted; its alert is sent, the shard finds it broken
//! ```
//!
//! A handshake costs as much as a hundred requests, so that each turn has time for
//! [`TLS_HANDSHAKES_A_TURN`] steps of them; what comes beyond waits, [`TLS_HANDSHAKES_WAITING_MAX`]
//! at most. Of [`TLS_HANDSHAKES_MAX`] under way the oldest makes room: those that trickle go first.

use std::io;
use std::mem;

use super::Driver;
use super::shedding::give;
use crate::shard::secured::Secured;
use crate::shard::slot::Passage;
use nudged_base::limits::{
    TLS_HANDSHAKE_TIMEOUT_MS, TLS_HANDSHAKES_A_TURN, TLS_HANDSHAKES_MAX,
    TLS_HANDSHAKES_WAITING_MAX, TLS_SEND_BYTES_MAX,
};
use nudged_shard::seam::{Input, Step};
use nudged_tls::TlsConnection;

/// The first byte of what a client of TLS says first.
const HANDSHAKE: u8 = 0x16;

/// Received bytes: their buffer, how many there are, and how many of them are done with.
pub(super) type Received = (u16, usize, usize);

impl<S: Step> Driver<S> {
    /// Has what comes next be TLS.
    pub(super) fn await_tls(&mut self, slot: u32) {
        let connection = &mut self.slots[slot as usize];
        connection.passage = Passage::Tls(Box::default());
        let due = self.now.mono.plus_ms(TLS_HANDSHAKE_TIMEOUT_MS);
        self.secure.due.push_back((due, slot, connection.generation));
    }

    fn secured(&mut self, slot: u32) -> Option<&mut Secured> {
        match &mut self.slots[slot as usize].passage {
            Passage::Tls(secured) => Some(secured),
            _ => None,
        }
    }

    /// Takes received bytes of a connection of TLS.
    pub(super) fn receive_tls(&mut self, slot: u32, received: Received) -> io::Result<()> {
        let (buffer, length, done) = received;
        let Some(&first) = self.ring.received(buffer, length).get(done) else { return Ok(()) };
        let Some(secured) = self.secured(slot) else { return Ok(()) };
        if secured.is_failed {
            return Ok(());
        }
        if secured.tls.is_none() {
            match first {
                HANDSHAKE => self.begin_handshake(slot)?,
                // What begins a request.
                b'A'..=b'Z' | b'\r' => {
                    self.refuse_plain_http(slot, received);
                    return Ok(());
                }
                _ => return self.fail_tls(slot, "not_tls"),
            }
        }
        let budget = self.secure.budget;
        let Some(Secured { tls: Some(tls), is_waiting, .. }) = self.secured(slot) else {
            return Ok(());
        };
        if tls.is_established() {
            return self.decrypt(slot, Some(received));
        }
        if budget == 0 || *is_waiting {
            return self.postpone(slot, received);
        }
        self.secure.budget -= 1;
        self.decrypt(slot, Some(received))
    }

    fn begin_handshake(&mut self, slot: u32) -> io::Result<()> {
        if self.secure.under_way >= TLS_HANDSHAKES_MAX {
            self.displace_oldest()?;
        }
        let made = self.secure.identity().map(|identity| TlsConnection::new(&identity));
        let Some(Ok(tls)) = made else { return self.fail_tls(slot, "other") };
        let out = self.secure.pool.take();
        let Some(secured) = self.secured(slot) else { return Ok(()) };
        (secured.tls, secured.out, secured.is_counted) = (Some(tls), out, true);
        self.secure.under_way += 1;
        Ok(())
    }

    /// Ends the handshake that has been under way for the longest time.
    fn displace_oldest(&mut self) -> io::Result<()> {
        let is_under_way = |(_, slot, generation): &&(_, u32, u32)| {
            let connection = &self.slots[*slot as usize];
            let is_counted =
                matches!(&connection.passage, Passage::Tls(secured) if secured.is_counted);
            connection.generation == *generation && is_counted
        };
        let oldest = self.secure.due.iter().find(is_under_way).copied();
        oldest.map_or(Ok(()), |(_, slot, _)| self.fail_tls(slot, "displaced"))
    }

    /// Keeps what came of a handshake for a later turn.
    fn postpone(&mut self, slot: u32, (buffer, length, done): Received) -> io::Result<()> {
        let Driver { ring, slots, secure, .. } = self;
        let connection = &mut slots[slot as usize];
        let Passage::Tls(secured) = &mut connection.passage else { return Ok(()) };
        let Some(tls) = &mut secured.tls else { return Ok(()) };
        let held = tls.hold(&ring.received(buffer, length)[done..]);
        if let Err(failure) = held {
            return self.fail_tls(slot, failure.code());
        }
        if mem::replace(&mut secured.is_waiting, true) {
            return Ok(());
        }
        if secure.waiting.len() >= TLS_HANDSHAKES_WAITING_MAX {
            return self.fail_tls(slot, "overload");
        }
        secure.waiting.push_back((slot, connection.generation));
        Ok(())
    }

    /// Begins a turn: handshakes that had to wait come first.
    pub(super) fn take_handshakes(&mut self) -> io::Result<()> {
        self.secure.budget = TLS_HANDSHAKES_A_TURN;
        while self.secure.budget > 0 {
            let Some((slot, generation)) = self.secure.waiting.pop_front() else { break };
            let connection = &mut self.slots[slot as usize];
            let is_same = connection.generation == generation;
            if !is_same || !connection.open || connection.closing {
                continue;
            }
            if let Some(secured) = self.secured(slot) {
                secured.is_waiting = false;
                self.secure.budget -= 1;
                self.decrypt(slot, None)?;
            }
        }
        Ok(())
    }

    /// Works on what came, with what was kept before; the shard is given what it holds.
    fn decrypt(&mut self, slot: u32, received: Option<Received>) -> io::Result<()> {
        let Driver { ring, slots, step, outbox, overload, now, secure, counters, .. } = self;
        let Passage::Tls(secured) = &mut slots[slot as usize].passage else { return Ok(()) };
        let Secured { tls: Some(tls), out, is_counted, is_end_told, .. } = &mut **secured else {
            return Ok(());
        };
        let bytes = match received {
            Some((buffer, length, done)) => &ring.received(buffer, length)[done..],
            None => &[],
        };
        let was_established = tls.is_established();
        let taken = tls.receive(bytes, &mut secure.scratch, out, &mut |bytes| {
            give((step, outbox, counters), overload, *now, (slot, bytes));
        });
        if let Err(failure) = taken {
            return self.fail_tls(slot, failure.code());
        }
        if tls.is_established() && !was_established {
            counters.tls_handshakes.of(tls.kind()).add(1);
        }
        if tls.is_established() && mem::take(is_counted) {
            secure.under_way -= 1;
        }
        if tls.has_peer_ended() && !mem::replace(is_end_told, true) {
            self.give_up_held(slot);
            let input = Input::PeerClosed { connection: slot };
            self.step.step(self.now, input, &mut self.outbox);
        }
        self.send_records(slot)
    }

    /// The shard sends something; its buffer comes back once all its records are with the kernel.
    pub(super) fn send_tls(&mut self, slot: u32, buffer: Vec<u8>) -> io::Result<()> {
        let Some(secured) = self.secured(slot) else { return Ok(()) };
        if secured.is_failed {
            let input = Input::Sent { connection: slot, buffer, sent: None };
            self.step.step(self.now, input, &mut self.outbox);
            return Ok(());
        }
        assert!(secured.plain.is_none(), "one send a connection at a time");
        secured.plain = Some(buffer);
        self.send_records(slot)
    }

    /// Gives the kernel what is to be sent, where nothing is under way: what the protocol has to
    /// say, and as much of the shard's send as one record holds.
    fn send_records(&mut self, slot: u32) -> io::Result<()> {
        let Driver { slots, secure, .. } = self;
        let connection = &mut slots[slot as usize];
        let is_over = !connection.open || connection.closing;
        if is_over || connection.sending.is_some() {
            return Ok(());
        }
        let Passage::Tls(secured) = &mut connection.passage else { return Ok(()) };
        let Secured { tls, out, plain, covered, .. } = &mut **secured;
        if let (Some(tls), Some(buffer), 0) = (tls, plain, *covered)
            && tls.is_established()
        {
            if out.capacity() == 0 {
                *out = secure.pool.take();
            }
            let count = buffer.len().min(TLS_SEND_BYTES_MAX);
            if let Err(failure) = tls.send(&buffer[..count], out) {
                return self.fail_tls(slot, failure.code());
            }
            *covered = count;
        }
        if !out.is_empty() {
            let records = mem::take(out);
            return self.submit_send(slot, records, libc::MSG_NOSIGNAL);
        }
        if mem::take(&mut secured.is_ending) {
            return self.shut_down_socket(slot);
        }
        Ok(())
    }

    /// A send of records has ended.
    pub(super) fn on_records_sent(
        &mut self,
        slot: u32,
        (mut records, result): (Vec<u8>, i32),
    ) -> io::Result<()> {
        let Driver { slots, secure, step, outbox, now, .. } = self;
        let connection = &mut slots[slot as usize];
        let is_wanted = connection.open && !connection.closing;
        let Passage::Tls(secured) = &mut connection.passage else { return Ok(()) };
        // A signal has ended it before it did anything.
        let result = if result == -libc::EINTR && is_wanted { 0 } else { result };
        let sent = usize::try_from(result).ok().filter(|_| is_wanted);
        match sent {
            Some(count) if count == records.len() => {
                secure.pool.give(records);
                if secured.covered > 0 {
                    let sent = Some(mem::take(&mut secured.covered));
                    let buffer = secured.plain.take().expect("what is covered is under way");
                    step.step(*now, Input::Sent { connection: slot, buffer, sent }, outbox);
                }
            }
            // The rest goes first.
            Some(count) => {
                records.drain(..count);
                records.extend_from_slice(&secured.out);
                secure.pool.give(mem::replace(&mut secured.out, records));
            }
            None => {
                secure.pool.give(records);
                let plain = secured.plain.take();
                secured.covered = 0;
                if let Some(buffer) = plain {
                    let input = Input::Sent { connection: slot, buffer, sent: None };
                    step.step(*now, input, outbox);
                } else if is_wanted {
                    step.step(*now, Input::Broken { connection: slot }, outbox);
                }
            }
        }
        self.send_records(slot)?;
        self.close_if_idle(slot)
    }

    /// Shuts our direction down, once the peer is told.
    pub(super) fn shut_down_tls(&mut self, slot: u32) -> io::Result<()> {
        let Some(secured) = self.secured(slot) else { return Ok(()) };
        let Secured { tls, out, is_ending, .. } = secured;
        let is_told = tls.as_mut().is_some_and(|tls| tls.is_established() && tls.end(out).is_ok());
        if !is_told {
            return self.shut_down_socket(slot);
        }
        *is_ending = true;
        self.send_records(slot)
    }

    /// The connection is about to be closed: its handshake is over, and its peer is told where
    /// nothing is under way. Nobody waits for that: a peer that takes nothing is not told.
    pub(super) fn leave_tls(&mut self, slot: u32, is_reset: bool) -> io::Result<()> {
        let connection = &self.slots[slot as usize];
        let is_quiet = connection.sending.is_none() && !connection.closing && !connection.ended;
        let Some(secured) = self.secured(slot) else { return Ok(()) };
        let was_counted = mem::take(&mut secured.is_counted);
        let mut records = mem::take(&mut secured.out);
        if let Some(tls) = &mut secured.tls
            && tls.is_established()
            && !secured.is_failed
        {
            // Without it the peer sees the end, too.
            let _ = tls.end(&mut records);
        }
        self.secure.under_way -= usize::from(was_counted);
        if records.is_empty() || is_reset || !is_quiet {
            self.secure.pool.give(records);
            return Ok(());
        }
        self.submit_send(slot, records, libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT)
    }

    /// The connection can't go on: counted, and broken for the shard. Its alert is sent with its
    /// close.
    fn fail_tls(&mut self, slot: u32, reason: &'static str) -> io::Result<()> {
        self.counters.tls_failures.of(reason).add(1);
        let connection = &mut self.slots[slot as usize];
        // What is under way to a peer that can't read it needs no end.
        connection.reset |= connection.sending.is_some();
        let Passage::Tls(secured) = &mut connection.passage else { return Ok(()) };
        secured.is_failed = true;
        secured.covered = 0;
        if mem::take(&mut secured.is_counted) {
            self.secure.under_way -= 1;
        }
        if let Some(buffer) = secured.plain.take() {
            let input = Input::Sent { connection: slot, buffer, sent: None };
            self.step.step(self.now, input, &mut self.outbox);
        }
        self.step.step(self.now, Input::Broken { connection: slot }, &mut self.outbox);
        Ok(())
    }

    /// Somebody takes this port for one of plain HTTP: the shard tells so.
    fn refuse_plain_http(&mut self, slot: u32, (buffer, length, done): Received) {
        let Driver { ring, slots, step, outbox, now, counters, .. } = self;
        counters.tls_failures.of("plain_http").add(1);
        slots[slot as usize].passage = Passage::Open;
        let bytes = &ring.received(buffer, length)[done..];
        step.step(*now, Input::PlainHttp { connection: slot, bytes }, outbox);
    }

    /// The peer has ended its direction without a word of TLS.
    pub(super) fn count_cut_handshake(&mut self, slot: u32) {
        let is_cut = self.secured(slot).is_some_and(|secured| secured.is_counted);
        if is_cut {
            self.counters.tls_failures.of("cut").add(1);
        }
    }

    /// Ends handshakes that have taken too long. Looked at once a tick.
    pub(super) fn expire_handshakes(&mut self) -> io::Result<()> {
        let (mut due, now) = (mem::take(&mut self.secure.due), self.now.mono);
        let mut result = Ok(());
        due.retain(|(at, slot, generation)| {
            let connection = &self.slots[*slot as usize];
            let is_awaited = connection.generation == *generation
                && connection.open
                && !connection.closing
                && matches!(&connection.passage, Passage::Tls(secured) if secured.is_awaited());
            let is_late = is_awaited && *at <= now;
            if is_late && let Err(error) = self.fail_tls(*slot, "timeout") {
                result = Err(error);
            }
            is_awaited && !is_late
        });
        self.secure.due = due;
        self.secure.pool.shrink();
        self.counters.tls_handshakes_open.set(self.secure.under_way as u64);
        result
    }
}

//! Deadlines of a connection: one for the send under way, one for the stage of reading. Each counts
//! from the start of its stage, not from the last byte, so a slow peer cannot stretch it.

use std::mem;

use super::{Connection, ConnectionTurn, Expiry, Phase, flag};
use crate::refusal::HttpRefusal;
use nudged_base::limits::{
    BODY_TIMEOUT_MS, DRAIN_FIRST_BYTE_TIMEOUT_MS, FIRST_BYTE_TIMEOUT_MS, HEAD_TIMEOUT_MS,
    IDLE_TIMEOUT_MS, LINGER_TIMEOUT_MS, WRITE_STALL_TIMEOUT_MS,
};
use nudged_base::time::MonoNs;

/// How long a peer may take, in milliseconds; settings of `[limits]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From accept to the first byte of a request.
    pub first_byte_ms: u64,
    /// From the first byte of a head to its end.
    pub head_ms: u64,
    /// From the end of a head to the end of its body.
    pub body_ms: u64,
    /// Without a byte of an answer taken.
    pub write_stall_ms: u64,
    /// Between two requests.
    pub idle_ms: u64,
}

impl Timeouts {
    /// How often it is looked whether a peer takes bytes while a send is under way: often enough
    /// to be late by a fifth at most.
    pub fn stall_look_ms(&self) -> u64 {
        self.write_stall_ms / 5
    }

    /// The defaults (docs/guarantees.md#http-rules).
    pub const DEFAULT: Timeouts = Timeouts {
        first_byte_ms: FIRST_BYTE_TIMEOUT_MS,
        head_ms: HEAD_TIMEOUT_MS,
        body_ms: BODY_TIMEOUT_MS,
        write_stall_ms: WRITE_STALL_TIMEOUT_MS,
        idle_ms: IDLE_TIMEOUT_MS,
    };
}

impl Connection {
    /// When [`Connection::expire`] has to be called next; none while only this server is waited
    /// for.
    pub fn deadline(&self, timeouts: &Timeouts) -> Option<MonoNs> {
        let sending = self.sending_deadline(timeouts);
        let reading = self.reading_deadline(timeouts);
        match (sending, reading) {
            (Some(sending), Some(reading)) => Some(sending.min(reading)),
            (one, None) | (None, one) => one,
        }
    }

    /// Acts on the deadlines that have passed at the turn's time.
    pub fn expire(&mut self, turn: &mut ConnectionTurn<'_>) -> Expiry {
        if self.sending_deadline(turn.timeouts).is_some_and(|at| at <= turn.now) {
            self.flags |= flag::CLOSING | flag::DEAD;
            self.settle(turn);
            return Expiry::Reset;
        }
        if self.reading_deadline(turn.timeouts).is_none_or(|at| at > turn.now) {
            return Expiry::Nothing;
        }
        if self.in_request() {
            let input = mem::take(&mut self.input);
            self.refuse(HttpRefusal::Timeout, &input[self.offset()..], turn);
            self.input = input;
            self.settle(turn);
            return Expiry::Answered;
        }
        self.flags |= flag::CLOSING | flag::DEAD;
        self.settle(turn);
        Expiry::Closed
    }

    fn sending_deadline(&self, timeouts: &Timeouts) -> Option<MonoNs> {
        let running = self.has(flag::SENDING) && !self.has(flag::DEAD);
        running.then(|| self.sending_since.plus_ms(timeouts.write_stall_ms))
    }

    fn reading_deadline(&self, timeouts: &Timeouts) -> Option<MonoNs> {
        let timeout_ms = match self.phase {
            _ if self.has(flag::DEAD) => return None,
            _ if self.has(flag::SHUT) => LINGER_TIMEOUT_MS,
            Phase::Sized { .. } | Phase::Chunked { .. } => timeouts.body_ms,
            Phase::Head(reader) if !reader.is_before_line() => timeouts.head_ms,
            _ if self.has(flag::FRESH) && self.has(flag::IDLE_ENDS) => {
                timeouts.first_byte_ms.min(DRAIN_FIRST_BYTE_TIMEOUT_MS)
            }
            _ if self.has(flag::FRESH) => timeouts.first_byte_ms,
            _ if self.is_idle() => timeouts.idle_ms,
            _ => return None,
        };
        Some(self.since.plus_ms(timeout_ms))
    }
}

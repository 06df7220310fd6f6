//! Deadlines of a connection: one for the send under way, one for the stage of reading. Each counts
//! from the start of its stage, not from the last byte, so a slow peer cannot stretch it.

use super::{Connection, Expiry, Phase, Turn, flag};
use crate::base::limits::{
    BODY_TIMEOUT_MS, FIRST_BYTE_TIMEOUT_MS, HEAD_TIMEOUT_MS, IDLE_TIMEOUT_MS, LINGER_TIMEOUT_MS,
    WRITE_STALL_TIMEOUT_MS,
};
use crate::base::time::MonoNs;
use crate::http::refusal::Refusal;

impl Connection {
    /// When [`Connection::expire`] has to be called next; none while only this server is waited
    /// for.
    pub fn deadline(&self) -> Option<MonoNs> {
        let sending = self.sending_deadline();
        let reading = self.reading_deadline();
        match (sending, reading) {
            (Some(sending), Some(reading)) => Some(sending.min(reading)),
            (one, None) | (None, one) => one,
        }
    }

    /// Acts on the deadlines that have passed at the turn's time.
    pub fn expire(&mut self, turn: &mut Turn<'_>) -> Expiry {
        if self.sending_deadline().is_some_and(|at| at <= turn.now) {
            self.flags |= flag::CLOSING | flag::DEAD;
            self.settle(turn);
            return Expiry::Reset;
        }
        if self.reading_deadline().is_none_or(|at| at > turn.now) {
            return Expiry::Nothing;
        }
        if self.in_request() {
            let head_only = self.input[self.offset()..].starts_with(b"HEAD ");
            self.refuse(Refusal::Timeout, head_only, turn);
            self.settle(turn);
            return Expiry::Answered;
        }
        self.flags |= flag::CLOSING | flag::DEAD;
        self.settle(turn);
        Expiry::Closed
    }

    fn sending_deadline(&self) -> Option<MonoNs> {
        let running = self.has(flag::SENDING) && !self.has(flag::DEAD);
        running.then(|| self.sending_since.plus_ms(WRITE_STALL_TIMEOUT_MS))
    }

    fn reading_deadline(&self) -> Option<MonoNs> {
        let timeout_ms = match self.phase {
            _ if self.has(flag::DEAD) => return None,
            _ if self.has(flag::SHUT) => LINGER_TIMEOUT_MS,
            Phase::Sized { .. } | Phase::Chunked { .. } => BODY_TIMEOUT_MS,
            Phase::Head(scan) if !scan.is_new() => HEAD_TIMEOUT_MS,
            _ if self.has(flag::FRESH) => FIRST_BYTE_TIMEOUT_MS,
            _ if self.is_idle() => IDLE_TIMEOUT_MS,
            _ => return None,
        };
        Some(self.since.plus_ms(timeout_ms))
    }
}

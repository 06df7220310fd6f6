//! Answers that the peer has not taken: how much they are, whether there is room for another, and
//! whether the send under way makes progress.

use std::mem;

use super::{Connection, flag};
use crate::pool::BufferPool;
use nudged_base::limits::CONNECTION_OUTPUT_BYTES_MAX;
use nudged_base::time::MonoNs;

impl Connection {
    /// Memory of answers that wait for a send or are being sent, in bytes; of the latter what was
    /// written, since their buffer is elsewhere and may be larger.
    pub fn unsent_bytes(&self) -> usize {
        self.output.capacity() + self.slots.held_capacity() + self.sending()
    }

    /// How large answers that come later are on this connection, on average, in bytes.
    pub fn answer_bytes(&self) -> u32 {
        self.slots.answer_bytes()
    }

    /// Expects answers of this size until there are some, in bytes: what others had.
    pub fn expect_answers_of(&mut self, bytes: u32) {
        self.slots.expect_answers_of(bytes);
    }

    /// Whether a send is under way.
    pub fn is_sending(&self) -> bool {
        self.has(flag::SENDING) && !self.has(flag::DEAD)
    }

    /// Since when the send under way, or the last one, has made no progress that is known.
    pub fn sending_since(&self) -> MonoNs {
        self.sending_since
    }

    /// The peer has taken bytes of those that were sent, though the send under way has not ended.
    pub fn peer_took(&mut self, now: MonoNs) {
        self.sending_since = now;
    }

    /// Whether a request waits until every answer before it is taken: to be said before each call
    /// that may take requests.
    pub fn spare(&mut self, is_sparing: bool) {
        self.flags = match is_sparing {
            true => self.flags | flag::SPARING,
            false => self.flags & !flag::SPARING,
        };
    }

    /// Gives every buffer back. Nothing else may be done with the connection after that.
    pub fn give_up(&mut self, pool: &mut BufferPool) {
        pool.give(mem::take(&mut self.input));
        pool.give(mem::take(&mut self.output));
        self.slots.give_up(pool);
        self.flags |= flag::CLOSING | flag::DEAD;
    }

    /// Whether another request may be begun: what is unsent, with what the requests under way are
    /// likely to add, is within the bound. A connection that owes nothing always may.
    pub(super) fn has_room(&self) -> bool {
        let unsent = self.output.len() + self.slots.held_bytes() + self.sending();
        let max = if self.has(flag::SPARING) { 1 } else { CONNECTION_OUTPUT_BYTES_MAX };
        !self.slots.is_full() && unsent + self.slots.bytes_to_come() < max
    }

    fn sending(&self) -> usize {
        usize::try_from(self.sending_bytes).unwrap_or(usize::MAX)
    }

    /// Learns from an answer that was just appended how large the next ones may be; before it so
    /// many bytes were unsent.
    pub(super) fn note_answer(&mut self, before: usize) {
        let now = self.output.len() + self.slots.held_bytes();
        self.slots.note_answer(now.saturating_sub(before));
    }
}

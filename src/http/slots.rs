//! The order of answers: a request that is answered later has a slot, and an answer that is ready
//! before its turn is held until all before it have gone out.
//!
//! A slot's number counts the requests of its connection and wraps. The slots in use are those
//! from `first`, `count` of them, at most `PIPELINE_DEPTH_MAX`; each has one bit in the masks,
//! the first one the lowest. Answers that are held stand one after another in one buffer, each
//! after its slot's number and its length.

use super::pool::BufferPool;
use nudged_base::limits::PIPELINE_DEPTH_MAX;

/// Bytes before each answer that is held: its slot and its length, 4 bytes each.
const RECORD_HEAD_BYTES: usize = 8;

/// The requests of one connection that are not answered yet, and the answers before their turn.
#[derive(Debug, Default)]
pub(super) struct Slots {
    held: Vec<u8>,
    first: u32,
    /// How large answers that come later are on average, in bytes; the latest counts an eighth.
    answer_bytes: u32,
    ready: u16,
    head_only: u16,
    http_1_0: u16,
    count: u8,
}

impl Slots {
    /// The slot that the next request takes.
    pub(super) fn next(&self) -> u32 {
        self.first.wrapping_add(u32::from(self.count))
    }

    /// Requests that have no answer on its way out.
    pub(super) fn count(&self) -> usize {
        usize::from(self.count)
    }

    /// Bytes of answers that are held before their turn.
    pub(super) fn held_bytes(&self) -> usize {
        self.held.len()
    }

    /// Memory in which they are held, in bytes.
    pub(super) fn held_capacity(&self) -> usize {
        self.held.capacity()
    }

    /// How large answers that come later are on average, in bytes.
    pub(super) fn answer_bytes(&self) -> u32 {
        self.answer_bytes
    }

    /// Sets that average.
    pub(super) fn expect_answers_of(&mut self, bytes: u32) {
        self.answer_bytes = bytes;
    }

    /// Learns how large an answer was that came later, in bytes.
    pub(super) fn note_answer(&mut self, bytes: usize) {
        let latest = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.answer_bytes = self.answer_bytes - self.answer_bytes / 8 + latest / 8;
    }

    /// What the answers that are still to be made are likely to take, in bytes.
    pub(super) fn bytes_to_come(&self) -> usize {
        let waiting = u32::from(self.count) - self.ready.count_ones();
        usize::try_from(waiting.saturating_mul(self.answer_bytes)).unwrap_or(usize::MAX)
    }

    /// Gives the buffer back, with what is held in it.
    pub(super) fn give_up(&mut self, pool: &mut BufferPool) {
        pool.give(std::mem::take(&mut self.held));
    }

    /// Whether each request has its answer on its way out.
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether no further request may be taken.
    pub(super) fn is_full(&self) -> bool {
        self.count() == PIPELINE_DEPTH_MAX
    }

    /// Position of a slot that waits for its answer, from 0; none for any other number.
    pub(super) fn waiting(&self, slot: u32) -> Option<usize> {
        let index = usize::try_from(slot.wrapping_sub(self.first)).ok()?;
        (index < self.count() && self.ready & (1 << index) == 0).then_some(index)
    }

    /// Whether the request at a position was HEAD, and whether it was HTTP/1.0.
    pub(super) fn kind(&self, index: usize) -> (bool, bool) {
        debug_assert!(index < self.count());
        (self.head_only & (1 << index) != 0, self.http_1_0 & (1 << index) != 0)
    }

    /// Counts a request that was answered at once, while no other waited.
    pub(super) fn pass(&mut self) {
        debug_assert!(self.is_empty());
        self.first = self.first.wrapping_add(1);
    }

    /// Adds a request that waits for its answer; `kind` as in [`Slots::kind`].
    pub(super) fn push(&mut self, (head_only, http_1_0): (bool, bool)) {
        assert!(!self.is_full(), "no request is taken while as many wait");
        self.head_only |= u16::from(head_only) << self.count;
        self.http_1_0 |= u16::from(http_1_0) << self.count;
        self.count += 1;
    }

    /// Takes the first slot out, whose answer is on its way.
    pub(super) fn pop(&mut self) {
        debug_assert!(!self.is_empty());
        self.first = self.first.wrapping_add(1);
        self.count -= 1;
        self.ready >>= 1;
        self.head_only >>= 1;
        self.http_1_0 >>= 1;
    }

    /// Has `write` append the answer of a slot, to be held until its turn; gives what `write`
    /// gives. Where that is false nothing is held, and nothing may have been appended. A pooled
    /// buffer is taken where none is in use.
    pub(super) fn hold(
        &mut self,
        slot: u32,
        pool: &mut BufferPool,
        write: impl FnOnce(&mut Vec<u8>) -> bool,
    ) -> bool {
        if self.held.capacity() == 0 {
            self.held = pool.take();
        }
        let record = self.held.len();
        self.held.extend_from_slice(&slot.to_le_bytes());
        self.held.extend_from_slice(&[0; 4]);
        let start = self.held.len();
        let written = write(&mut self.held);
        if !written {
            debug_assert_eq!(self.held.len(), start, "an answer for later is not begun");
            self.held.truncate(record);
            self.give_back(pool);
            return false;
        }
        let length = u32::try_from(self.held.len() - start).expect("an answer fits in 32 bits");
        self.held[start - 4..start].copy_from_slice(&length.to_le_bytes());
        true
    }

    /// Says that the answer of the slot at a position is held.
    pub(super) fn set_ready(&mut self, index: usize) {
        debug_assert!(index < self.count());
        self.ready |= 1 << index;
    }

    /// Moves the answers whose turn has come into `out`.
    pub(super) fn release(&mut self, out: &mut Vec<u8>, pool: &mut BufferPool) {
        while self.ready & 1 != 0 {
            let (start, end) = self.find(self.first);
            out.extend_from_slice(&self.held[start..end]);
            self.held.drain(start - RECORD_HEAD_BYTES..end);
            self.pop();
        }
        self.give_back(pool);
    }

    fn give_back(&mut self, pool: &mut BufferPool) {
        if self.held.is_empty() && self.held.capacity() > 0 {
            pool.give(std::mem::take(&mut self.held));
        }
    }

    /// Where the answer of a slot stands. There are at most `PIPELINE_DEPTH_MAX` to look at.
    fn find(&self, slot: u32) -> (usize, usize) {
        let mut at = 0;
        loop {
            let number = |from: usize| {
                let bytes = self.held[from..from + 4].try_into().expect("4 bytes");
                u32::from_le_bytes(bytes)
            };
            let length = usize::try_from(number(at + 4)).expect("a length of this buffer");
            let start = at + RECORD_HEAD_BYTES;
            if number(at) == slot {
                return (start, start + length);
            }
            at = start + length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of(number: usize) -> (bool, bool) {
        (number.is_multiple_of(2), number.is_multiple_of(3))
    }

    // Any order of answering gives the order of asking, over the wrap of the slots' numbers.
    #[test]
    fn answers_leave_in_the_order_of_their_requests() {
        let mut pool = BufferPool::new(4);
        for step in [1, 3, 5, 7, 9, 11, 13, 15] {
            let mut slots = Slots { first: u32::MAX - 3, ..Slots::default() };
            let first = slots.next();
            for index in 0..PIPELINE_DEPTH_MAX {
                assert!(!slots.is_full());
                slots.push(kind_of(index));
            }
            assert!(slots.is_full());
            let mut out = Vec::new();
            // An odd step visits each of the 16 slots once.
            for turn in 0..PIPELINE_DEPTH_MAX {
                let number = (turn * step + 2) % PIPELINE_DEPTH_MAX;
                let slot = first.wrapping_add(u32::try_from(number).unwrap());
                let index = slots.waiting(slot).unwrap();
                assert_eq!(slots.kind(index), kind_of(number));
                let text = format!("<{number}>");
                assert!(slots.hold(slot, &mut pool, |held| {
                    held.extend_from_slice(text.as_bytes());
                    true
                }));
                slots.set_ready(index);
                assert_eq!(slots.waiting(slot), None);
                slots.release(&mut out, &mut pool);
            }
            let want: String =
                (0..PIPELINE_DEPTH_MAX).map(|number| format!("<{number}>")).collect();
            assert_eq!(String::from_utf8(out).unwrap(), want);
            assert!(slots.is_empty());
            assert_eq!(slots.held.capacity(), 0, "an idle connection holds no buffer");
        }
    }

    #[test]
    fn a_slot_that_is_not_waiting_is_not_found() {
        let mut slots = Slots::default();
        assert_eq!(slots.waiting(0), None);
        slots.pass();
        slots.push((false, false));
        assert_eq!(slots.waiting(0), None);
        assert_eq!(slots.waiting(1), Some(0));
        assert_eq!(slots.waiting(2), None);
        slots.pop();
        assert_eq!(slots.waiting(1), None);
    }
}

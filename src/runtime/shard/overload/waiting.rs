//! Connections whose first bytes since their last answer wait: by their slots, and in the order in
//! which they came. Buffers are kept for those that come next, so that who waits costs a copy.

use std::collections::VecDeque;

use nudged_base::limits::{SHED_BUFFERS_KEPT_MAX, SHED_HELD_BYTES_MAX};
use nudged_base::time::MonoNs;

/// A connection in a queue. It is passed over where its bytes wait no more.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeldPlace {
    pub(super) slot: u32,
    ticket: u64,
    pub(super) since: MonoNs,
}

/// What waits of one slot.
#[derive(Debug, Default)]
struct HeldBytes {
    /// 0 where nothing does.
    ticket: u64,
    bytes: Vec<u8>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    held: Vec<HeldBytes>,
    count: usize,
    /// Those that may be served, the oldest first.
    fresh: VecDeque<HeldPlace>,
    /// Those that have waited too long, the oldest first.
    late: VecDeque<HeldPlace>,
    ticket: u64,
    kept: Vec<Vec<u8>>,
}

impl Waiting {
    /// Requests that wait.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn holds(&self, slot: u32) -> bool {
        self.held.get(slot as usize).is_some_and(|held| held.ticket != 0)
    }

    /// Adds bytes to those that wait of a slot; all of them where they are too many.
    pub(super) fn add(&mut self, slot: u32, bytes: &[u8]) -> Option<Vec<u8>> {
        let held = &mut self.held[slot as usize];
        held.bytes.extend_from_slice(bytes);
        if held.bytes.len() <= SHED_HELD_BYTES_MAX { None } else { self.remove(slot) }
    }

    /// Has bytes of a slot wait of which none does.
    pub(super) fn push(&mut self, slot: u32, bytes: &[u8], now: MonoNs) {
        debug_assert!(!self.holds(slot), "its bytes are added");
        let index = slot as usize;
        if self.held.len() <= index {
            self.held.resize_with(index + 1, HeldBytes::default);
        }
        self.ticket += 1;
        self.count += 1;
        let mut buffer = self.kept.pop().unwrap_or_default();
        buffer.extend_from_slice(bytes);
        self.held[index] = HeldBytes { ticket: self.ticket, bytes: buffer };
        self.fresh.push_back(HeldPlace { slot, ticket: self.ticket, since: now });
    }

    /// Takes out what waits of a slot.
    pub(super) fn remove(&mut self, slot: u32) -> Option<Vec<u8>> {
        // Nothing waits but in an overload.
        let held = self.held.get_mut(slot as usize).filter(|held| held.ticket != 0)?;
        self.count -= 1;
        held.ticket = 0;
        Some(std::mem::take(&mut held.bytes))
    }

    /// A buffer that [`Waiting::remove`] gave is not needed any more.
    pub(super) fn give_back(&mut self, mut buffer: Vec<u8>) {
        if self.kept.len() < SHED_BUFFERS_KEPT_MAX {
            buffer.clear();
            self.kept.push(buffer);
        }
    }

    fn is_held(&self, place: &HeldPlace) -> bool {
        self.held.get(place.slot as usize).is_some_and(|held| held.ticket == place.ticket)
    }

    /// The oldest that may be served.
    pub(super) fn oldest(&mut self) -> Option<HeldPlace> {
        while let Some(place) = self.fresh.front() {
            if self.is_held(place) {
                return Some(*place);
            }
            self.fresh.pop_front();
        }
        None
    }

    /// Those that came before `until` are too late from now on.
    pub(super) fn expire(&mut self, until: MonoNs) {
        while let Some(place) = self.oldest().filter(|place| place.since <= until) {
            self.fresh.pop_front();
            self.late.push_back(place);
        }
    }

    /// Queue entries of those that may be served, and of some that wait no more.
    pub(super) fn fresh_count(&self) -> usize {
        self.fresh.len()
    }

    /// Whether some are too late.
    pub(super) fn has_late(&self) -> bool {
        !self.late.is_empty()
    }

    /// Takes out the oldest or the newest that may be served.
    pub(super) fn pop_fresh(&mut self, is_newest: bool) -> Option<(HeldPlace, Vec<u8>)> {
        loop {
            let place = if is_newest { self.fresh.pop_back() } else { self.fresh.pop_front() }?;
            if self.is_held(&place) {
                return Some((place, self.remove(place.slot)?));
            }
        }
    }

    /// Takes out the oldest that is too late.
    pub(super) fn pop_late(&mut self) -> Option<(HeldPlace, Vec<u8>)> {
        loop {
            let place = self.late.pop_front()?;
            if self.is_held(&place) {
                return Some((place, self.remove(place.slot)?));
            }
        }
    }

    /// What many have made it need goes back, once nothing waits.
    pub(super) fn shrink(&mut self) {
        debug_assert_eq!(self.count, 0, "nothing waits");
        *self = Waiting { ticket: self.ticket, ..Waiting::default() };
    }
}

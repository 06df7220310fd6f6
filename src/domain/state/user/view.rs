//! A user's state read where it lies: a decision asks for the clocks and for the entries of a few
//! popups, and finds them in the encoding without decoding the rest.
//!
//! The bytes are of our own making: [`decode`](super::decode) has accepted them, or
//! [`encode`](super::encode) has written them. Nothing here allocates.

use std::cell::Cell;
use std::ops::Range;

use super::encoding::{
    CONTINUED, COUNTED, ERASED, NUMBERED, SESSION, StateReader, first_eight, outcome_of, put_begin,
    put_count, unzigzag,
};
use super::{EntryBrief, PopupState, UserClocks, UserState, decode};
use nudged_base::ids::{PopupKey, Revision};
use nudged_base::limits::{STATE_BYTES_MAX, USER_POPUPS_MAX};
use nudged_base::time::WallMs;

const _: () = assert!(STATE_BYTES_MAX <= u16::MAX as usize);

/// A user's state as a decision asks it: decoded, or as its bytes lie.
#[derive(Clone, Copy, Debug)]
pub enum StateView<'a> {
    /// Decoded.
    Decoded(&'a UserState),
    /// As its bytes lie.
    Encoded(&'a EncodedState<'a>),
}

impl<'a> From<&'a UserState> for StateView<'a> {
    fn from(state: &'a UserState) -> StateView<'a> {
        StateView::Decoded(state)
    }
}

impl<'a> From<&'a EncodedState<'a>> for StateView<'a> {
    fn from(state: &'a EncodedState<'a>) -> StateView<'a> {
        StateView::Encoded(state)
    }
}

impl StateView<'_> {
    /// Clocks across popups.
    pub(crate) fn clocks(self) -> UserClocks {
        match self {
            StateView::Decoded(state) => state.clocks,
            StateView::Encoded(state) => state.clocks(),
        }
    }

    /// The entry of a popup in brief; `None` where there is none.
    pub(crate) fn brief(self, key: PopupKey) -> Option<EntryBrief> {
        match self {
            StateView::Decoded(state) => state.popup(key).map(PopupState::brief),
            StateView::Encoded(state) => state.find(key).map(|mut reader| reader.brief()),
        }
    }

    /// What is made of the entry of a popup; `None` where there is none.
    pub(crate) fn entry<T>(self, key: PopupKey, make: impl FnOnce(&PopupState) -> T) -> Option<T> {
        match self {
            StateView::Decoded(state) => state.popup(key).map(make),
            StateView::Encoded(state) => {
                let mut reader = state.find(key)?;
                let mut entry = PopupState::empty(key);
                reader.popup(&mut entry).expect(OURS);
                Some(make(&entry))
            }
        }
    }
}

/// The bytes of a state, and where its entries begin, as far as they were looked for.
#[derive(Debug)]
pub struct EncodedState<'a> {
    pub(super) bytes: &'a [u8],
    clocks: u16,
    /// Where the first entry begins.
    first: u16,
    /// How many entries there are.
    count: usize,
    /// Where those begin that are found.
    entries: [Cell<u16>; USER_POPUPS_MAX],
    pub(super) found: Cell<usize>,
    /// Where the first begins that is not.
    next: Cell<u16>,
}

/// Why a reader of our own bytes can't fail.
pub(super) const OURS: &str = "a state in memory was encoded by us";

impl<'a> EncodedState<'a> {
    /// A view of a state.
    ///
    /// # Panics
    /// Where [`decode`](super::decode) would not accept the bytes; perhaps only when they are asked
    /// for what is behind.
    pub fn new(bytes: &'a [u8]) -> EncodedState<'a> {
        let mut reader = StateReader::of_version(bytes).expect(OURS);
        // The revision.
        reader.skip_number();
        reader.skip_number();
        let clocks = reader.place_in(bytes);
        reader.skip_clocks();
        let count = usize::try_from(reader.varint().expect(OURS)).expect(OURS);
        let first = reader.place_in(bytes);
        let entries = [const { Cell::new(0) }; USER_POPUPS_MAX];
        let (found, next) = (Cell::new(0), Cell::new(first));
        EncodedState { bytes, clocks, first, count, entries, found, next }
    }

    /// Reads all of it into `state`, whose memory is used again. Allocates only where `state` never
    /// held as many popups.
    ///
    /// # Panics
    /// Where [`decode`](super::decode) does not accept the bytes.
    pub fn decode(&self, state: &mut UserState) {
        decode(self.bytes, state).expect(OURS);
    }

    /// Its revision.
    pub fn revision(&self) -> Revision {
        StateReader::of_version(self.bytes).and_then(|mut reader| reader.revision()).expect(OURS)
    }

    /// Whether it remembers no popup.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The newest time that the state knows; `None` where it knows no show and no erase. Finds
    /// every entry.
    pub fn newest(&self) -> Option<WallMs> {
        let found = self.entries[..self.found.get()].iter();
        let mut newest = found.map(|at| self.reader(at).newest_of_entry()).max();
        while self.found.get() < self.count {
            let mut reader = self.reader(&self.next);
            newest = newest.max(Some(reader.newest_of_entry()));
            self.pass(&reader);
        }
        let clocks = self.clocks();
        newest.max(clocks.last_counted_at).max(clocks.erased_at)
    }

    /// How many popups it remembers.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Appends the encoding of this state with other parts in place of its own: another revision,
    /// clocks as [`encode_clocks`](super::encode_clocks) has written them, and an entry of
    /// [`encode_popup`](super::encode_popup) where `place` says. Allocates only where `out` has to
    /// grow.
    pub fn splice(
        &self,
        revision: Revision,
        clocks: &[u8],
        (place, entry): (&Range<usize>, &[u8]),
        out: &mut Vec<u8>,
    ) {
        let is_new = place.is_empty();
        put_begin(revision, out);
        // Parts that are stored alone have a version of their own.
        out.extend_from_slice(&clocks[1..]);
        put_count(self.count + usize::from(is_new), out);
        out.extend_from_slice(&self.bytes[usize::from(self.first)..place.start]);
        out.extend_from_slice(&entry[1..]);
        out.extend_from_slice(&self.bytes[place.end..]);
    }

    /// Appends the encoding of this state with another revision. Allocates only where `out` has to
    /// grow.
    pub fn with_revision(&self, revision: Revision, out: &mut Vec<u8>) {
        put_begin(revision, out);
        out.extend_from_slice(&self.bytes[usize::from(self.clocks)..]);
    }

    pub(crate) fn clocks(&self) -> UserClocks {
        let at = Cell::new(self.clocks);
        self.reader(&at).clocks().expect(OURS)
    }

    /// The entry of a popup, from behind its key.
    pub(super) fn find(&self, key: PopupKey) -> Option<StateReader<'a>> {
        for at in &self.entries[..self.found.get()] {
            let mut reader = self.reader(at);
            if reader.fixed() == Ok(key.0) {
                return Some(reader);
            }
        }
        // Those behind it stay where they are until they are looked for.
        while self.found.get() < self.count {
            let mut reader = self.reader(&self.next);
            if reader.fixed() == Ok(key.0) {
                return Some(reader);
            }
            reader.skip_entry();
            self.pass(&reader);
        }
        None
    }

    /// Takes the entry at `next` as found; `reader` is behind it.
    fn pass(&self, reader: &StateReader<'_>) {
        self.entries[self.found.get()].set(self.next.get());
        self.found.set(self.found.get() + 1);
        self.next.set(reader.place_in(self.bytes));
    }

    fn reader(&self, at: &Cell<u16>) -> StateReader<'a> {
        StateReader { rest: &self.bytes[usize::from(at.get())..] }
    }
}

impl StateReader<'_> {
    /// Where in all of the bytes it is.
    pub(super) fn place_in(&self, bytes: &[u8]) -> u16 {
        u16::try_from(bytes.len() - self.rest.len()).expect(OURS)
    }

    pub(super) fn skip_number(&mut self) {
        if let [0..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return;
        }
        let ends = !first_eight(self.rest) & CONTINUED;
        let length = match ends {
            // The longest ones are longer.
            0 => 1 + self.rest.iter().position(|byte| byte & 0x80 == 0).expect(OURS),
            _ => ends.trailing_zeros() as usize / 8 + 1,
        };
        self.rest = &self.rest[length..];
    }

    pub(super) fn number(&mut self) -> i64 {
        unzigzag(self.varint().expect(OURS))
    }

    fn skip_clocks(&mut self) {
        let flags = self.byte().expect(OURS);
        if flags & COUNTED != 0 {
            self.skip_number();
            self.skip_number();
        }
        if flags & SESSION != 0 {
            self.fixed().expect(OURS);
            self.skip_number();
        }
        if flags & ERASED != 0 {
            self.skip_number();
        }
    }

    /// Skips what follows the key of an entry.
    fn skip_entry(&mut self) {
        self.skip_number();
        let head = self.byte().expect(OURS);
        for _ in 0..head >> 3 {
            let show = self.byte().expect(OURS);
            self.skip_number();
            if show & NUMBERED != 0 {
                self.skip_number();
            }
        }
        if head & 7 != 0 {
            self.skip_number();
        }
    }

    /// The newest time of an entry, which is skipped.
    fn newest_of_entry(&mut self) -> WallMs {
        self.fixed().expect(OURS);
        let brief = self.brief();
        let outcome_at = brief.outcome.map_or(WallMs::default(), |(_, at)| at);
        brief.latest_at.max(outcome_at)
    }

    /// What follows the key of an entry, in brief.
    fn brief(&mut self) -> EntryBrief {
        let shows_total = self.varint_u32().expect(OURS);
        let head = self.byte().expect(OURS);
        let mut at: i64 = 0;
        for _ in 0..head >> 3 {
            let show = self.byte().expect(OURS);
            at = at.wrapping_add(self.number());
            if show & NUMBERED != 0 {
                self.skip_number();
            }
        }
        let outcome = outcome_of(head & 7).expect(OURS);
        let outcome = outcome.map(|outcome| (outcome, WallMs(at.wrapping_add(self.number()))));
        EntryBrief { shows_total, latest_at: WallMs(at), outcome }
    }
}

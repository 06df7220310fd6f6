//! The stored form of a user's state. Redis, the journal and a shard's slice hold these bytes, so a
//! change of layout is a new version. Every state has one encoding: what `decode` accepts,
//! `encode` writes again byte for byte. Bytes come from disk and wire and are not believed.
//!
//! ```text
//! user   = version, varint epoch, varint counter, clocks, varint popups, popups x popup
//! clocks = flags (1 counted, 2 session, 4 erased), [zigzag last_counted_at, varint day_shows],
//!          [8 bytes session, varint session_shows], [zigzag erased_at]
//! popup  = 8 bytes key, varint shows_total, outcome | shows_used << 3, shows_used x show,
//!          [zigzag outcome_at - time of the latest show]
//! show   = actions | 0x20 where the number follows, zigzag time - time of the show before (of
//!          1970 for the first), [varint number]
//! ```
//!
//! A show's number is left out where it is the one that its place and `shows_total` tell. Clocks
//! and popups stored alone have a version byte of their own. Integers are little-endian; varints
//! are LEB128 of the shortest form.

use crate::catalog::snapshot::ShowOutcome;
use nudged_base::ids::{PopupKey, Revision};
use nudged_base::limits::{SHOWS_REMEMBERED_MAX, USER_POPUPS_MAX};
use nudged_base::time::WallMs;

use super::{PopupState, Show, UserClocks, UserState};

/// The layout above.
const VERSION: u8 = 1;
/// Flag of clocks: there is a counted show.
pub(super) const COUNTED: u8 = 1;
/// Flag of clocks: a counted show had a session.
pub(super) const SESSION: u8 = 2;
/// Flag of clocks: the user was erased lately.
pub(super) const ERASED: u8 = 4;
/// Bits of `Show::actions` that an `Action` may set.
const ACTIONS: u8 = 0x1f;
/// Flag of a show: its number follows.
pub(super) const NUMBERED: u8 = 0x20;

/// Why bytes are not the encoding of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// They end before the state does.
    #[error("state is cut short")]
    Truncated,
    /// They go on after the state.
    #[error("state is followed by other bytes")]
    TrailingBytes,
    /// Written by a version that this one does not know.
    #[error("state of unknown version {0}")]
    UnknownVersion(u8),
    /// A number is out of its range or not in its shortest form.
    #[error("state has a number out of range")]
    OutOfRange,
    /// More popups, or more shows of a popup, than are ever remembered.
    #[error("state has more popups or shows than are remembered")]
    TooMany,
    /// A popup has two entries.
    #[error("state has a popup twice")]
    RepeatedPopup,
}

/// Appends the encoding of `state` to `out`: at most `STATE_BYTES_MAX` bytes. Allocates only where
/// `out` has to grow.
///
/// # Panics
/// Where the state has more than 64 popups or an entry without shows: no mutator makes one.
pub fn encode(state: &UserState, out: &mut Vec<u8>) {
    assert!(state.popups.len() <= USER_POPUPS_MAX);
    put_begin(state.revision, out);
    put_clocks(out, &state.clocks);
    put_count(state.popups.len(), out);
    for popup in &state.popups {
        put_popup(out, popup);
    }
}

/// Reads the encoding of a state into `state`, whose memory is used again. Allocates only where
/// `state` never held as many popups.
///
/// # Errors
/// [`StateError`] where the bytes are not exactly one encoding; `state` is then empty.
pub fn decode(bytes: &[u8], state: &mut UserState) -> Result<(), StateError> {
    let read = read_user(bytes, state);
    if read.is_err() {
        state.revision = Revision::default();
        state.clocks = UserClocks::default();
        state.popups.clear();
    }
    read
}

/// Appends the encoding of one popup's entry to `out`. Allocates only where `out` has to grow.
///
/// # Panics
/// Where the entry has no show.
pub fn encode_popup(popup: &PopupState, out: &mut Vec<u8>) {
    out.push(VERSION);
    put_popup(out, popup);
}

/// Reads the encoding of one popup's entry. Does not allocate.
///
/// # Errors
/// [`StateError`] where the bytes are not exactly one encoding.
pub fn decode_popup(bytes: &[u8]) -> Result<PopupState, StateError> {
    let mut reader = StateReader::of_version(bytes)?;
    let popup = reader.keyed_popup()?;
    reader.end().map(|()| popup)
}

/// Appends the encoding of a user's clocks to `out`. Allocates only where `out` has to grow.
pub fn encode_clocks(clocks: &UserClocks, out: &mut Vec<u8>) {
    out.push(VERSION);
    put_clocks(out, clocks);
}

/// Reads the encoding of a user's clocks. Does not allocate.
///
/// # Errors
/// [`StateError`] where the bytes are not exactly one encoding.
pub fn decode_clocks(bytes: &[u8]) -> Result<UserClocks, StateError> {
    let mut reader = StateReader::of_version(bytes)?;
    let clocks = reader.clocks()?;
    reader.end().map(|()| clocks)
}

/// What comes before the clocks.
pub(super) fn put_begin(revision: Revision, out: &mut Vec<u8>) {
    out.push(VERSION);
    put_varint(out, u64::from(revision.epoch));
    put_varint(out, revision.counter);
}

/// What comes before the entries.
pub(super) fn put_count(popups: usize, out: &mut Vec<u8>) {
    put_varint(out, popups as u64);
}

/// The entry of a popup up to its shows: so many in all, so many that are remembered, without an
/// outcome. Asks for the room of the longest entry at once.
pub(super) fn put_entry_begin(popup: PopupKey, (total, used): (u32, usize), row: &mut Vec<u8>) {
    debug_assert!((1..=SHOWS_REMEMBERED_MAX).contains(&used));
    row.reserve(1 + ENTRY_BYTES_MAX);
    row.push(VERSION);
    row.extend_from_slice(&popup.0.to_le_bytes());
    put_varint(row, u64::from(total));
    row.push(u8::try_from(used << 3).expect("16 shows at most"));
}

/// A show so long after the one before, or after 1970. Its number may follow.
pub(super) fn put_show(flags: u8, after_ms: i64, row: &mut Vec<u8>) {
    row.push(flags);
    put_varint(row, zigzag(after_ms));
}

fn put_clocks(out: &mut Vec<u8>, clocks: &UserClocks) {
    let has_session = clocks.session != 0;
    debug_assert!(has_session || clocks.session_shows == 0);
    let nothing_counts = !has_session && clocks.day_shows == 0;
    debug_assert!(clocks.last_counted_at.is_some() || nothing_counts, "without a counted show");
    let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
    let counted = flag(clocks.last_counted_at.is_some(), COUNTED);
    out.push(counted | flag(has_session, SESSION) | flag(clocks.erased_at.is_some(), ERASED));
    if let Some(last_counted_at) = clocks.last_counted_at {
        put_varint(out, zigzag(last_counted_at.0));
        put_varint(out, u64::from(clocks.day_shows));
    }
    if has_session {
        out.extend_from_slice(&clocks.session.to_le_bytes());
        put_varint(out, u64::from(clocks.session_shows));
    }
    if let Some(erased_at) = clocks.erased_at {
        put_varint(out, zigzag(erased_at.0));
    }
}

fn put_popup(out: &mut Vec<u8>, popup: &PopupState) {
    assert!((1..=SHOWS_REMEMBERED_MAX).contains(&usize::from(popup.shows_used)));
    debug_assert!(popup.outcome.is_some() || popup.outcome_at == WallMs::default());
    // Room for the longest entry at once: each byte is then a store.
    let begin = out.len();
    out.resize(begin + ENTRY_BYTES_MAX, 0);
    let mut writer = EntryWriter { room: &mut out[begin..], used: 0 };
    popup.popup.0.to_le_bytes().into_iter().for_each(|byte| writer.byte(byte));
    writer.varint(u64::from(popup.shows_total));
    writer.byte(popup.outcome.map_or(0, |outcome| outcome as u8) | (popup.shows_used << 3));
    let mut before: i64 = 0;
    let mut expected = first_number(popup.shows_total, popup.shows_used);
    for show in popup.shows() {
        debug_assert_eq!(show.actions & !ACTIONS, 0);
        let numbered = if show.number == expected { 0 } else { NUMBERED };
        writer.byte((show.actions & ACTIONS) | numbered);
        writer.varint(zigzag(show.at.0.wrapping_sub(before)));
        if numbered != 0 {
            writer.varint(u64::from(show.number));
        }
        before = show.at.0;
        expected = expected.wrapping_add(1);
    }
    if popup.outcome.is_some() {
        writer.varint(zigzag(popup.outcome_at.0.wrapping_sub(before)));
    }
    let end = begin + writer.used;
    out.truncate(end);
}

/// Longest entry: key, total, head, each show with its time and number, the outcome's time.
const ENTRY_BYTES_MAX: usize = 8 + 5 + 1 + SHOWS_REMEMBERED_MAX * (1 + 10 + 5) + 10;

/// The bytes of an entry at work.
struct EntryWriter<'o> {
    room: &'o mut [u8],
    used: usize,
}

impl EntryWriter<'_> {
    #[inline]
    fn byte(&mut self, byte: u8) {
        self.room[self.used] = byte;
        self.used += 1;
    }

    #[inline]
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.byte(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.byte(number.to_le_bytes()[0]);
    }
}

/// The number of the oldest remembered show where the remembered ones are the last of all.
fn first_number(shows_total: u32, shows_used: u8) -> u32 {
    shows_total.wrapping_sub(u32::from(shows_used)).wrapping_add(1)
}

/// Maps small numbers of either sign to small numbers.
fn zigzag(number: i64) -> u64 {
    (number << 1).cast_unsigned() ^ (number >> 63).cast_unsigned()
}

pub(super) fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -((number & 1).cast_signed())
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

fn read_user(bytes: &[u8], state: &mut UserState) -> Result<(), StateError> {
    let mut reader = StateReader::of_version(bytes)?;
    state.revision = reader.revision()?;
    state.clocks = reader.clocks()?;
    let count = reader.varint()?;
    if count > USER_POPUPS_MAX as u64 {
        return Err(StateError::TooMany);
    }
    state.popups.clear();
    for _ in 0..count {
        let popup = reader.keyed_popup()?;
        if state.popup(popup.popup).is_some() {
            return Err(StateError::RepeatedPopup);
        }
        state.popups.push(popup);
    }
    reader.end()
}

/// The bits of eight bytes of varints that say that another one follows.
pub(super) const CONTINUED: u64 = 0x8080_8080_8080_8080;

/// The first eight bytes, the first one lowest, with zeros behind where there are fewer.
#[inline]
pub(super) fn first_eight(bytes: &[u8]) -> u64 {
    match bytes.first_chunk() {
        Some(eight) => u64::from_le_bytes(*eight),
        None => match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
            (Some(low), Some(high)) => {
                let number = |four: &[u8; 4]| u64::from(u32::from_le_bytes(*four));
                number(low) | number(high) << (8 * (bytes.len() - 4))
            }
            _ => bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)),
        },
    }
}

/// The number whose digits to the base of 128 are the lower bits of eight bytes.
#[inline]
fn sevens(bytes: u64) -> u64 {
    let pairs = (bytes & 0x007f_007f_007f_007f) | (bytes & 0x7f00_7f00_7f00_7f00) >> 1;
    let fours = (pairs & 0x0000_3fff_0000_3fff) | (pairs & 0x3fff_0000_3fff_0000) >> 2;
    (fours & 0x0fff_ffff) | (fours & 0x0fff_ffff_0000_0000) >> 4
}

/// The bytes that are not read yet.
pub(super) struct StateReader<'a> {
    pub(super) rest: &'a [u8],
}

impl<'a> StateReader<'a> {
    pub(super) fn of_version(bytes: &'a [u8]) -> Result<StateReader<'a>, StateError> {
        let mut reader = StateReader { rest: bytes };
        match reader.byte()? {
            VERSION => Ok(reader),
            other => Err(StateError::UnknownVersion(other)),
        }
    }

    fn end(&self) -> Result<(), StateError> {
        if self.rest.is_empty() { Ok(()) } else { Err(StateError::TrailingBytes) }
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8, StateError> {
        let (first, rest) = self.rest.split_first().ok_or(StateError::Truncated)?;
        self.rest = rest;
        Ok(*first)
    }

    pub(super) fn fixed(&mut self) -> Result<u64, StateError> {
        let (first, rest) = self.rest.split_first_chunk::<8>().ok_or(StateError::Truncated)?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*first))
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, StateError> {
        match self.rest.split_first() {
            Some((byte, rest)) if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    /// A varint of more than one byte: in one step where it has no more than eight, as every time
    /// has.
    fn long_varint(&mut self) -> Result<u64, StateError> {
        let word = first_eight(self.rest);
        let ends = !word & CONTINUED;
        let length = ends.trailing_zeros() as usize / 8 + 1;
        if ends == 0 || length > self.rest.len() {
            return self.longest_varint();
        }
        // Up to the end of the last byte, which goes on with no other.
        let own = word & (ends ^ (ends - 1));
        self.rest = &self.rest[length..];
        let is_shortest = own >> (8 * (length - 1)) != 0;
        if is_shortest { Ok(sevens(own)) } else { Err(StateError::OutOfRange) }
    }

    /// A varint that is longer, or cut short.
    #[cold]
    fn longest_varint(&mut self) -> Result<u64, StateError> {
        let mut number: u64 = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            // The tenth byte has room for the last of 64 bits alone.
            if shift == 63 && byte > 1 {
                return Err(StateError::OutOfRange);
            }
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let is_shortest = byte != 0 || shift == 0;
                return if is_shortest { Ok(number) } else { Err(StateError::OutOfRange) };
            }
        }
        Err(StateError::OutOfRange)
    }

    pub(super) fn varint_u32(&mut self) -> Result<u32, StateError> {
        u32::try_from(self.varint()?).map_err(|_| StateError::OutOfRange)
    }

    pub(super) fn revision(&mut self) -> Result<Revision, StateError> {
        Ok(Revision { epoch: self.varint_u32()?, counter: self.varint()? })
    }

    pub(super) fn clocks(&mut self) -> Result<UserClocks, StateError> {
        let flags = self.byte()?;
        let is_known = flags & !(COUNTED | SESSION | ERASED) == 0;
        let is_whole = flags & SESSION == 0 || flags & COUNTED != 0;
        if !is_known || !is_whole {
            return Err(StateError::OutOfRange);
        }
        let mut clocks = UserClocks::default();
        if flags & COUNTED != 0 {
            clocks.last_counted_at = Some(WallMs(unzigzag(self.varint()?)));
            clocks.day_shows = self.varint_u32()?;
        }
        if flags & SESSION != 0 {
            clocks.session = self.fixed()?;
            clocks.session_shows = self.varint_u32()?;
            if clocks.session == 0 {
                return Err(StateError::OutOfRange);
            }
        }
        if flags & ERASED != 0 {
            clocks.erased_at = Some(WallMs(unzigzag(self.varint()?)));
        }
        Ok(clocks)
    }

    fn keyed_popup(&mut self) -> Result<PopupState, StateError> {
        let mut popup = PopupState::empty(PopupKey(self.fixed()?));
        self.popup(&mut popup)?;
        Ok(popup)
    }

    /// Reads what follows the key of an entry into an empty one.
    pub(super) fn popup(&mut self, popup: &mut PopupState) -> Result<(), StateError> {
        popup.shows_total = self.varint_u32()?;
        let head = self.byte()?;
        popup.outcome = outcome_of(head & 7)?;
        popup.shows_used = head >> 3;
        if usize::from(popup.shows_used) > SHOWS_REMEMBERED_MAX {
            return Err(StateError::TooMany);
        }
        if popup.shows_used == 0 {
            return Err(StateError::OutOfRange);
        }
        let mut before: i64 = 0;
        let mut expected = first_number(popup.shows_total, popup.shows_used);
        for show in &mut popup.shows[..usize::from(popup.shows_used)] {
            *show = self.show(before, expected)?;
            before = show.at.0;
            expected = expected.wrapping_add(1);
        }
        if popup.outcome.is_some() {
            popup.outcome_at = WallMs(before.wrapping_add(unzigzag(self.varint()?)));
        }
        Ok(())
    }

    #[inline]
    fn show(&mut self, before: i64, expected: u32) -> Result<Show, StateError> {
        let head = self.byte()?;
        if head & !(ACTIONS | NUMBERED) != 0 {
            return Err(StateError::OutOfRange);
        }
        let at = WallMs(before.wrapping_add(unzigzag(self.varint()?)));
        let number = if head & NUMBERED == 0 { expected } else { self.varint_u32()? };
        if head & NUMBERED != 0 && number == expected {
            return Err(StateError::OutOfRange);
        }
        Ok(Show { at, number, actions: head & ACTIONS })
    }
}

pub(super) fn outcome_of(number: u8) -> Result<Option<ShowOutcome>, StateError> {
    let Some(place) = usize::from(number).checked_sub(1) else { return Ok(None) };
    ShowOutcome::ALL.get(place).copied().map(Some).ok_or(StateError::OutOfRange)
}

#[cfg(test)]
mod varint_tests {
    use super::*;

    #[test]
    fn numbers_of_any_length_are_read_whatever_follows() {
        let lengths = (0..64).flat_map(|bits: u32| [(1 << bits) - 1, 1 << bits, u64::MAX >> bits]);
        for number in lengths.chain([0, 0x0123_4567_89ab_cdef, 1_800_000_000_000]) {
            for behind in 0..12 {
                let mut bytes = Vec::new();
                put_varint(&mut bytes, number);
                let length = bytes.len();
                bytes.resize(length + behind, 0xff);
                let mut reader = StateReader { rest: &bytes };
                assert_eq!(reader.varint(), Ok(number));
                assert_eq!(reader.rest.len(), behind, "{number}");
                let cut = StateReader { rest: &bytes[..length - 1] }.varint();
                assert_eq!(cut, Err(StateError::Truncated), "{number}");
            }
        }
    }

    #[test]
    fn other_forms_of_a_number_are_none() {
        for length in 1..10 {
            for behind in 0..10 {
                let long = [&vec![0x80; length][..], &[0], &vec![1; behind]].concat();
                let read = StateReader { rest: &long }.varint();
                assert_eq!(read, Err(StateError::OutOfRange), "{length} {behind}");
            }
        }
    }
}

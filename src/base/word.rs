//! Bytes looked at sixteen at a time, in one register: texts are searched so which are too short to
//! pay for what prepares a search by larger ones.
//!
//! A mark is the high bit of a byte, and the other bits do not count. Exactly the bytes are marked
//! that are asked for, so that marks may be joined.

use std::ops::{BitAnd, BitOr};

use wide::u8x16;

/// Bytes of a word.
const BYTES: usize = 16;

/// Sixteen bytes, or their marks.
#[derive(Clone, Copy, Debug)]
pub struct Word(u8x16);

/// Where the first byte stands that `marks` marks, or the length where none does.
#[inline]
pub fn position(bytes: &[u8], marks: impl Fn(Word) -> Word) -> usize {
    let mut at = 0;
    while let Some(word) = bytes[at..].first_chunk() {
        if let Some(place) = marks(Word::of(*word)).first_mark() {
            return at + place;
        }
        at += BYTES;
    }
    let rest = bytes.len() - at;
    match bytes.last_chunk() {
        _ if rest == 0 => at,
        // Once more with bytes before, of which none is marked.
        Some(word) => match marks(Word::of(*word)).first_mark() {
            Some(place) => bytes.len() - BYTES + place,
            None => bytes.len(),
        },
        None => marks(Word::of_few(bytes)).first_mark().map_or(rest, |place| place.min(rest)),
    }
}

/// Whether two texts are the same: as `==`, and without a call where they are short.
#[inline]
pub fn is_same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    match (a.first_chunk::<8>(), b.first_chunk::<8>()) {
        _ if a.len() > BYTES => a == b,
        (Some(a_low), Some(b_low)) => a_low == b_low && a.last_chunk::<8>() == b.last_chunk::<8>(),
        _ => number_of(a) == number_of(b),
    }
}

/// A search for each byte of a kind, in order.
#[derive(Debug)]
pub struct MarkPositions<'b> {
    bytes: &'b [u8],
    /// Where the word ends that was looked at last.
    end: usize,
    /// What is marked in it and was not given, the first one lowest.
    found: u32,
}

impl<'b> MarkPositions<'b> {
    /// A search from the first byte on.
    #[inline]
    pub fn new(bytes: &'b [u8]) -> MarkPositions<'b> {
        MarkPositions { bytes, end: 0, found: 0 }
    }

    /// Where the next byte stands that `marks` marks, which are the same at each call.
    #[inline(always)]
    pub fn next(&mut self, marks: impl Fn(Word) -> Word) -> Option<usize> {
        while self.found == 0 {
            let rest = self.bytes.get(self.end..)?;
            self.found = match (rest.first_chunk(), self.bytes.last_chunk()) {
                (Some(word), _) => marks(Word::of(*word)).bits(),
                _ if rest.is_empty() => return None,
                (None, Some(word)) => marks(Word::of(*word)).bits() >> (BYTES - rest.len()),
                (None, None) => marks(Word::of_few(rest)).bits() & ((1 << rest.len()) - 1),
            };
            self.end += BYTES;
        }
        let place = self.found.trailing_zeros() as usize;
        self.found &= self.found - 1;
        Some(self.end - BYTES + place)
    }
}

/// How many bytes come before one that JSON escapes in a text, or before the end.
#[inline]
pub fn plain_json_length(bytes: &[u8]) -> usize {
    position(bytes, |word| word.equal(b'"') | word.equal(b'\\') | word.below(b' '))
}

impl Word {
    #[inline]
    fn of(bytes: [u8; BYTES]) -> Word {
        Word(u8x16::new(bytes))
    }

    /// Fewer bytes than a word has, with zeros behind them.
    #[inline]
    fn of_few(bytes: &[u8]) -> Word {
        let (low, high) = match bytes.first_chunk() {
            Some(eight) => (u64::from_le_bytes(*eight), number_of(&bytes[8..])),
            None => (number_of(bytes), 0),
        };
        Word::of((u128::from(low) | u128::from(high) << 64).to_le_bytes())
    }

    /// Marks the bytes that are `byte`.
    #[inline]
    #[must_use]
    pub fn equal(self, byte: u8) -> Word {
        Word(self.0.simd_eq(u8x16::splat(byte)))
    }

    /// Marks the bytes below a limit, which is at least 1.
    #[inline]
    #[must_use]
    pub fn below(self, limit: u8) -> Word {
        self.up_to(limit - 1)
    }

    /// Marks the bytes that are no ASCII.
    #[inline]
    #[must_use]
    pub fn not_ascii(self) -> Word {
        self
    }

    /// Marks the bytes that are neither a letter of ASCII nor a hyphen.
    #[inline]
    #[must_use]
    pub fn not_in_name(self) -> Word {
        let lower = self.0 | u8x16::splat(0x20);
        let letters = Word(lower - u8x16::splat(b'a')).up_to(b'z' - b'a');
        Word(!(letters | self.equal(b'-')).0)
    }

    /// Marks the bytes that are neither a digit nor a dot.
    #[inline]
    #[must_use]
    pub fn not_digit_or_dot(self) -> Word {
        let digits = Word(self.0 - u8x16::splat(b'0')).up_to(9);
        Word(!(digits | self.equal(b'.')).0)
    }

    #[inline]
    fn up_to(self, most: u8) -> Word {
        Word(self.0.min(u8x16::splat(most)).simd_eq(self.0))
    }

    /// The marks, the first one lowest.
    #[inline]
    fn bits(self) -> u32 {
        self.0.to_bitmask()
    }

    #[inline]
    fn first_mark(self) -> Option<usize> {
        let marks = self.bits();
        (marks != 0).then(|| marks.trailing_zeros() as usize)
    }
}

impl BitAnd for Word {
    type Output = Word;

    #[inline]
    fn bitand(self, other: Word) -> Word {
        Word(self.0 & other.0)
    }
}

impl BitOr for Word {
    type Output = Word;

    #[inline]
    fn bitor(self, other: Word) -> Word {
        Word(self.0 | other.0)
    }
}

/// Fewer than eight bytes, the first one lowest, with zeros behind them.
#[inline]
fn number_of(bytes: &[u8]) -> u64 {
    let (Some(low), Some(high)) = (bytes.first_chunk(), bytes.last_chunk()) else {
        return bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
    };
    // Where the two overlap, each has what the other has.
    let high = u64::from(u32::from_le_bytes(*high)) << (8 * (bytes.len() - 4));
    u64::from(u32::from_le_bytes(*low)) | high
}

#[cfg(test)]
mod tests {
    use super::*;

    type Case = (fn(Word) -> Word, fn(u8) -> bool);

    /// What is searched for, and the same byte by byte.
    const CASES: [Case; 8] = [
        (|word| word.equal(b'-'), |byte| byte == b'-'),
        (|word| word.below(0x20), |byte| byte < 0x20),
        (|word| word.below(0x80), |byte| byte.is_ascii()),
        (Word::not_ascii, |byte| !byte.is_ascii()),
        (Word::not_in_name, |byte| byte != b'-' && !byte.is_ascii_alphabetic()),
        (Word::not_digit_or_dot, |byte| byte != b'.' && !byte.is_ascii_digit()),
        (|word| word.equal(b'-') | word.below(0x20), |byte| byte == b'-' || byte < 0x20),
        (|word| word.not_ascii() & word.below(0x90), |byte| (0x80..0x90).contains(&byte)),
    ];

    #[test]
    fn each_byte_is_found_at_each_place() {
        for byte in 0..=u8::MAX {
            for (place, around) in
                (0..40).flat_map(|place| [0, b'-', b',', 0x7f, 0x80, 0xff].map(|a| (place, a)))
            {
                let mut bytes = [around; 40];
                bytes[place] = byte;
                for (marks, is) in CASES {
                    let naive = bytes.iter().position(|byte| is(*byte)).unwrap_or(40);
                    assert_eq!(position(&bytes, marks), naive, "{bytes:?}");
                    assert_eq!(MarkPositions::new(&bytes).next(marks).unwrap_or(40), naive);
                }
            }
        }
    }

    #[test]
    fn all_that_is_marked_is_given_in_order() {
        let bytes: Vec<u8> = (0..100_u8).map(|number| number % 7).collect();
        for length in 0..bytes.len() {
            let bytes = &bytes[..length];
            for (byte, other) in [(0, 3), (6, 5)] {
                let mut positions = MarkPositions::new(bytes);
                let marks = |word: Word| word.equal(byte) | word.equal(other);
                let found = std::iter::from_fn(|| positions.next(marks));
                let is = |place: &usize| [byte, other].contains(&bytes[*place]);
                assert!(found.eq((0..length).filter(is)), "{length}");
            }
        }
    }

    // What stands before and behind a text is none of it, whatever its length.
    #[test]
    fn what_is_beyond_the_end_is_not_found() {
        for length in 0..40 {
            let mut bytes = [b'-'; 60];
            bytes[10..10 + length].fill(b'a');
            let text = &bytes[10..10 + length];
            let dash = |word: Word| word.equal(b'-');
            assert_eq!(position(text, |word| word.below(0x20)), length);
            assert_eq!(position(text, |word| word.equal(0)), length);
            assert_eq!(position(text, dash), length);
            assert_eq!(position(text, Word::not_in_name), length);
            assert_eq!(position(&bytes[10..=10 + length], dash), length);
        }
    }

    #[test]
    fn texts_are_the_same_where_each_byte_is() {
        let bytes: Vec<u8> = (1..40).collect();
        for length in 0..bytes.len() {
            let mut other = bytes.clone();
            assert!(is_same(&bytes[..length], &other[..length]));
            assert!(!is_same(&bytes[..length], &other[..=length]));
            for at in 0..length {
                other[at] ^= 0x80;
                assert!(!is_same(&bytes[..length], &other[..length]), "{at} of {length}");
                other[at] ^= 0x80;
            }
        }
    }

    #[test]
    fn few_bytes_are_those_and_zeros() {
        for length in 0..BYTES {
            let bytes: Vec<u8> = (1..).take(length).collect();
            let mut whole = [0; BYTES];
            whole[..length].copy_from_slice(&bytes);
            assert_eq!(Word::of_few(&bytes).0.to_array(), whole);
        }
    }
}

//! Bytes looked at eight at a time, as the bytes of one number: short texts are searched so, which
//! are too short to pay for what prepares a search by vectors.
//!
//! A mark is the high bit of a byte of the number. Each function here marks exactly the bytes that
//! it names, so that marks may be joined and inverted.

const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
const LOW: u64 = !HIGH;

/// Where the first byte stands that `marks` marks, or the length where none does. `marks` gives the
/// marks of eight bytes; its other bits do not count.
#[inline]
pub fn position(bytes: &[u8], marks: impl Fn(u64) -> u64) -> usize {
    let mut at = 0;
    while let Some(eight) = bytes[at..].first_chunk::<8>() {
        let found = marks(u64::from_le_bytes(*eight)) & HIGH;
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = &bytes[at..];
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let found = marks(u64::from_le_bytes(last)) & HIGH;
    at + rest.len().min(found.trailing_zeros() as usize / 8)
}

/// Marks the bytes that are `byte`.
#[inline]
pub fn equal(word: u64, byte: u8) -> u64 {
    let difference = word ^ (ONES * u64::from(byte));
    // Of a byte that differs the sum's or its own high bit is set; no sum reaches the next byte.
    !(((difference & LOW) + LOW) | difference) & HIGH
}

/// Marks the bytes below a limit of at most 0x80.
#[inline]
pub fn below(word: u64, limit: u8) -> u64 {
    debug_assert!(limit <= 0x80);
    !(((word & LOW) + ONES * u64::from(0x80 - limit)) | word) & HIGH
}

/// Marks the letters of ASCII.
#[inline]
pub fn letters(word: u64) -> u64 {
    let lower = word | ONES * 0x20;
    below(lower, b'z' + 1) & !below(lower, b'a')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_is_marked_at_each_place_and_no_other() {
        for byte in 0..=u8::MAX {
            for (place, around) in
                (0..20).flat_map(|place| [0, b'-', b',', 0x7f, 0x80, 0xff].map(|a| (place, a)))
            {
                let mut bytes = [around; 20];
                bytes[place] = byte;
                let naive = |is: fn(u8) -> bool| bytes.iter().position(|b| is(*b)).unwrap_or(20);
                let minus = position(&bytes, |word| equal(word, b'-'));
                assert_eq!(minus, naive(|byte| byte == b'-'), "{bytes:?}");
                let control = position(&bytes, |word| below(word, 0x20));
                assert_eq!(control, naive(|byte| byte < 0x20), "{bytes:?}");
                let ascii = position(&bytes, |word| below(word, 0x80));
                assert_eq!(ascii, naive(|byte| byte < 0x80), "{bytes:?}");
                let letter = position(&bytes, letters);
                assert_eq!(letter, naive(|byte| byte.is_ascii_alphabetic()), "{bytes:?}");
                let other = position(&bytes, |word| !(letters(word) | equal(word, b'-')));
                let is_other = |byte: u8| byte != b'-' && !byte.is_ascii_alphabetic();
                assert_eq!(other, naive(is_other), "{bytes:?}");
            }
        }
    }

    #[test]
    fn what_is_beyond_the_end_is_not_found() {
        for length in 0..20 {
            let bytes = vec![b'a'; length];
            assert_eq!(position(&bytes, |word| below(word, 0x20)), length);
            assert_eq!(position(&bytes, |word| equal(word, 0)), length);
            assert_eq!(position(&bytes, |word| !letters(word)), length);
        }
    }
}

//! Bytes looked at eight at a time, as the bytes of one number: short texts are searched so, which
//! are too short to pay for what prepares a search by vectors.
//!
//! A mark is the high bit of a byte of the number. The first byte that is marked is one of those
//! asked for, and none of those comes before it; what stands behind it may be marked as well. So
//! marks may be joined.

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
    // Borrows go upwards alone, from a byte that is marked.
    difference.wrapping_sub(ONES) & !difference
}

/// Marks the bytes below a limit of at most 0x80.
#[inline]
pub fn below(word: u64, limit: u8) -> u64 {
    debug_assert!(limit <= 0x80);
    word.wrapping_sub(ONES * u64::from(limit)) & !word
}

/// How many bytes come before one that JSON escapes in a text, or before the end.
#[inline]
pub fn plain_json_length(bytes: &[u8]) -> usize {
    position(bytes, |eight| equal(eight, b'"') | equal(eight, b'\\') | below(eight, b' '))
}

/// Marks the bytes that are no ASCII.
#[inline]
pub fn not_ascii(word: u64) -> u64 {
    word
}

/// Marks the bytes that are neither a letter of ASCII nor a hyphen.
#[inline]
pub fn not_in_name(word: u64) -> u64 {
    // No sum reaches the next byte, so these are exact.
    let reaches = |word: u64, byte: u8| (word & LOW) + ONES * u64::from(0x80 - byte);
    let lower = word | (ONES * 0x20);
    let letters = reaches(lower, b'a') & !reaches(lower, b'z' + 1);
    let others = word ^ (ONES * u64::from(b'-'));
    let not_hyphens = ((others & LOW) + LOW) | others;
    (!letters & not_hyphens) | word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_is_found_at_each_place() {
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
                let high = position(&bytes, not_ascii);
                assert_eq!(high, naive(|byte| !byte.is_ascii()), "{bytes:?}");
                let other = position(&bytes, not_in_name);
                let is_other = |byte: u8| byte != b'-' && !byte.is_ascii_alphabetic();
                assert_eq!(other, naive(is_other), "{bytes:?}");
                let joined = position(&bytes, |word| equal(word, b'-') | below(word, 0x20));
                assert_eq!(joined, naive(|byte| byte == b'-' || byte < 0x20), "{bytes:?}");
            }
        }
    }

    #[test]
    fn what_is_beyond_the_end_is_not_found() {
        for length in 0..20 {
            let bytes = vec![b'a'; length];
            assert_eq!(position(&bytes, |word| below(word, 0x20)), length);
            assert_eq!(position(&bytes, |word| equal(word, 0)), length);
            assert_eq!(position(&bytes, not_in_name), length);
        }
    }
}

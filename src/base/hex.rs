//! Bytes as hex digits, lower-case where we write them, of either case where we read them; and
//! percent signs, which stand before two of them.

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The two digits of a byte.
pub fn digits(byte: u8) -> [u8; 2] {
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}

/// Appends two digits a byte.
pub fn push(out: &mut String, bytes: &[u8]) {
    let mut written = [0; 64];
    for piece in bytes.chunks(written.len() / 2) {
        for (pair, byte) in written.chunks_exact_mut(2).zip(piece) {
            pair.copy_from_slice(&digits(*byte));
        }
        let written = &written[..2 * piece.len()];
        out.push_str(str::from_utf8(written).expect("digits are ASCII"));
    }
}

/// Two digits a byte. Allocates.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    push(&mut text, bytes);
    text
}

/// The bytes that digits stand for; `None` where one is missing or something else is. Allocates.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let (pairs, odd) = text.as_bytes().as_chunks();
    if odd.is_empty() { pairs.iter().map(|[high, low]| byte(*high, *low)).collect() } else { None }
}

/// As [`decode`], for a text of exactly that many bytes.
pub fn decode_array<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, odd) = text.as_bytes().as_chunks();
    if pairs.len() != N || !odd.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (into, [high, low]) in bytes.iter_mut().zip(pairs) {
        *into = byte(*high, *low)?;
    }
    Some(bytes)
}

/// The number that `{:032x}` wrote; `None` for any other text, capitals among them, so that each
/// number has one text.
pub fn id(text: &str) -> Option<u128> {
    let is_lower = !text.bytes().any(|digit| digit.is_ascii_uppercase());
    decode_array(text).filter(|_| is_lower).map(u128::from_be_bytes)
}

/// The bytes that a text with percent signs stands for; `None` in the place of a sign that two
/// digits don't follow.
pub fn percent_decoded(text: impl Iterator<Item = u8>) -> impl Iterator<Item = Option<u8>> {
    let mut text = text;
    std::iter::from_fn(move || {
        Some(match text.next()? {
            b'%' => text.next().zip(text.next()).and_then(|(high, low)| byte(high, low)),
            other => Some(other),
        })
    })
}

fn byte(high: u8, low: u8) -> Option<u8> {
    Some(value(high)? << 4 | value(low)?)
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for length in [0, 1, 31, 32, 33, 64, 100] {
            let bytes: Vec<u8> = (0..length).map(|place: u8| place.wrapping_mul(7)).collect();
            let text = encode(&bytes);
            let want: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(text, want);
            assert_eq!(decode(&text), Some(bytes.clone()));
            assert_eq!(decode(&text.to_uppercase()), Some(bytes));
        }
    }

    #[test]
    fn what_is_not_hex_is_refused() {
        for text in ["0", "000", "0g", "+1", "-1", " 1", "é", "1é2", "0x"] {
            assert_eq!(decode(text), None, "{text}");
        }
        assert_eq!(decode_array::<2>("00ff"), Some([0, 255]));
        for text in ["", "00", "00ff0", "00ff00", "00+f", "00é"] {
            assert_eq!(decode_array::<2>(text), None, "{text}");
        }
    }

    #[test]
    fn an_id_has_one_text() {
        let text = "00000000000000000000000000000abc";
        assert_eq!(id(text), Some(0xabc));
        assert_eq!(format!("{:032x}", 0xabc), text);
        for other in [&text.to_uppercase(), "abc", "+0000000000000000000000000000abc"] {
            assert_eq!(id(other), None, "{other}");
        }
    }

    #[test]
    fn percent_signs_stand_before_two_digits() {
        let read = |text: &str| percent_decoded(text.bytes()).collect::<Option<Vec<u8>>>();
        for (text, want) in
            [("", ""), ("a+b", "a+b"), ("%41%6a%6A", "Ajj"), ("%2525", "%25"), ("é%C3%A9", "éé")]
        {
            assert_eq!(read(text).as_deref(), Some(want.as_bytes()), "{text}");
        }
        for text in ["%", "a%2", "%2g", "%+1", "%%41", "50%off"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}

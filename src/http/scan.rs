//! Bytes of a head: where it ends, and which bytes may stand where.
//!
//! [`HeadScan`] goes over the bytes once, however they arrive, and settles all that depends on
//! line ends and lengths: after it, CR and LF occur only together and only at the end of a line.
//! Limits: `REQUEST_LINE_BYTES_MAX`, `HEAD_BYTES_MAX`, `HEAD_FIELDS_MAX`.

use memchr::memchr2;

use super::refusal::HttpRefusal;
use nudged_base::limits::{HEAD_BYTES_MAX, HEAD_FIELDS_MAX, REQUEST_LINE_BYTES_MAX};
use nudged_base::word::{self, Word};

/// How far the search for a head's end has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadScan {
    /// Bytes that need not be looked at again.
    scanned: u16,
    /// Where the line begins that has not ended.
    line_start: u16,
    /// Lines that have ended, the request line among them.
    lines: u16,
}

impl HeadScan {
    /// A search before the first byte.
    pub(super) const NEW: HeadScan = HeadScan { scanned: 0, line_start: 0, lines: 0 };

    /// Whether nothing of a head has been seen.
    pub(super) fn is_new(self) -> bool {
        self.scanned == 0
    }

    /// Bytes that need not be looked at again: of the last line only what comes before its end.
    pub(super) fn scanned(self) -> usize {
        usize::from(self.scanned)
    }

    /// Where the line begins that has not ended, or in which the error is; all before it is lines.
    pub(super) fn line_start(self) -> usize {
        usize::from(self.line_start)
    }

    /// Goes on over `bytes`, which start with the head's first byte and may go on past its end.
    /// Gives the length of the head, its empty line included, or none where more has to come. What
    /// it finds depends on the bytes alone and not on how they were split.
    ///
    /// # Errors
    /// Bare line ends and heads over a limit, as soon as they are certain.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Result<Option<usize>, HttpRefusal> {
        let mut from = self.scanned();
        loop {
            let found = memchr2(b'\r', b'\n', &bytes[from..]);
            let at = found.map_or(bytes.len(), |offset| from + offset);
            // Past the limit of a head it is refused here, and what is kept does not matter.
            self.scanned = u16::try_from(at).unwrap_or(u16::MAX);
            self.check_length(at)?;
            // A line end needs both of its bytes in hand.
            if found.is_none() || (bytes[at] == b'\r' && at + 1 == bytes.len() && at > 0) {
                return Ok(None);
            }
            if at == 0 || bytes[at] == b'\n' || bytes[at + 1] != b'\n' {
                return Err(HttpRefusal::BareLineEnd);
            }
            if bytes[at - 1] == b'\n' {
                return Ok(Some(at + 2));
            }
            self.lines += 1;
            if usize::from(self.lines) > HEAD_FIELDS_MAX + 1 {
                return Err(HttpRefusal::TooManyFields);
            }
            from = at + 2;
            self.line_start = u16::try_from(from).expect("within the limit of a head");
        }
    }

    /// Checks the limits where `at` bytes stand before the next line end, or before the end of
    /// what has arrived.
    fn check_length(self, at: usize) -> Result<(), HttpRefusal> {
        if self.lines == 0 && at > REQUEST_LINE_BYTES_MAX {
            return Err(HttpRefusal::TargetTooLong);
        }
        // Whether it has arrived or not, a line end of two bytes has to follow.
        if at + 2 > HEAD_BYTES_MAX { Err(HttpRefusal::HeadTooLarge) } else { Ok(()) }
    }
}

/// Bytes of a token (RFC 9110, 5.6.2).
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte: u8 = 0;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(byte, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+')
            || matches!(byte, b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~');
        byte += 1;
    }
    table
};

/// Whether a byte may stand in a token.
pub(super) fn is_token_byte(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

/// Length of the token that `bytes` start with.
pub(super) fn token_length(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| !is_token_byte(*byte)).unwrap_or(bytes.len())
}

/// Whether a field's value is a list of tokens, at least one, with nothing between them but commas
/// and white space.
pub fn is_token_list(value: &[u8]) -> bool {
    value.split(|byte| *byte == b',').map(trim).all(|token| {
        let length = token_length(token);
        length > 0 && length == token.len()
    })
}

/// Whether all of a target's bytes are visible ASCII, and none starts a fragment. Without early
/// exit, so that it becomes vector code.
pub(super) fn is_target(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |good, byte| good & (0x21..=0x7e).contains(byte) & (*byte != b'#'))
}

/// As [`token_length`], of a token that is most likely a field's name: of letters and hyphens.
#[inline]
pub(super) fn name_length(bytes: &[u8]) -> usize {
    let length = word::position(bytes, Word::not_in_name);
    length + token_length(&bytes[length..])
}

/// Length of the field value that `bytes` start with: up to the first control byte other than TAB.
#[inline]
pub(super) fn value_length(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        at += word::position(&bytes[at..], |word| word.below(b' ') | word.equal(0x7f));
        if bytes.get(at) != Some(&b'\t') {
            return at;
        }
        at += 1;
    }
}

/// The bytes without the spaces and tabs at either end.
pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    type Found = Result<Option<usize>, HttpRefusal>;

    fn scan(bytes: &[u8], step: usize) -> Found {
        let mut scan = HeadScan::NEW;
        let mut end = 0;
        while end < bytes.len() {
            end = (end + step).min(bytes.len());
            if let Some(length) = scan.advance(&bytes[..end])? {
                return Ok(Some(length));
            }
        }
        Ok(None)
    }

    fn head(line: usize, total: usize) -> Vec<u8> {
        let mut head = vec![b'a'; line];
        head.extend_from_slice(b"\r\n");
        head.resize(total - 4, b'b');
        head.extend_from_slice(b"\r\n\r\n");
        head
    }

    // Each limit has its last good length and the first one past it, at every way of arriving.
    #[test]
    fn the_end_and_the_limits_do_not_depend_on_the_split() {
        let many = |count: usize| [&b"a\r\n"[..], &b"b\r\n".repeat(count), b"\r\n"].concat();
        let cases: Vec<(Vec<u8>, Found)> = vec![
            (b"a\r\n\r\nrest".to_vec(), Ok(Some(5))),
            (b"a\r\nb\r".to_vec(), Ok(None)),
            (b"\r\na\r\n\r\n".to_vec(), Err(HttpRefusal::BareLineEnd)),
            (b"\r".to_vec(), Err(HttpRefusal::BareLineEnd)),
            (b"\n".to_vec(), Err(HttpRefusal::BareLineEnd)),
            (b"a\nb\r\n\r\n".to_vec(), Err(HttpRefusal::BareLineEnd)),
            (b"a\r\nb\rc\r\n\r\n".to_vec(), Err(HttpRefusal::BareLineEnd)),
            (b"a\r\n\n".to_vec(), Err(HttpRefusal::BareLineEnd)),
            (b"a\r\n\rb".to_vec(), Err(HttpRefusal::BareLineEnd)),
            (head(REQUEST_LINE_BYTES_MAX, 9_000), Ok(Some(9_000))),
            (head(REQUEST_LINE_BYTES_MAX + 1, 9_000), Err(HttpRefusal::TargetTooLong)),
            (vec![b'a'; REQUEST_LINE_BYTES_MAX], Ok(None)),
            (vec![b'a'; REQUEST_LINE_BYTES_MAX + 1], Err(HttpRefusal::TargetTooLong)),
            (head(10, HEAD_BYTES_MAX), Ok(Some(HEAD_BYTES_MAX))),
            (head(10, HEAD_BYTES_MAX + 1), Err(HttpRefusal::HeadTooLarge)),
            (
                head(10, HEAD_BYTES_MAX + 4)[..HEAD_BYTES_MAX].to_vec(),
                Err(HttpRefusal::HeadTooLarge),
            ),
            (many(HEAD_FIELDS_MAX), Ok(Some(5 + 3 * HEAD_FIELDS_MAX))),
            (many(HEAD_FIELDS_MAX + 1), Err(HttpRefusal::TooManyFields)),
        ];
        for (bytes, want) in cases {
            for step in [1, 2, 3, 7, 4_096, usize::MAX / 2] {
                let start = String::from_utf8_lossy(&bytes[..bytes.len().min(20)]).into_owned();
                assert_eq!(scan(&bytes, step), want, "{start:?} by {step}");
            }
        }
    }

    #[test]
    fn byte_classes_are_those_of_the_rfc() {
        for byte in 0..=u8::MAX {
            let mut name = *b"Content-Length-Of";
            let place = usize::from(byte) % name.len();
            name[place] = byte;
            assert_eq!(name_length(&name), token_length(&name), "{byte}");
            let separator = b"\"(),/:;<=>?@[\\]{}".contains(&byte);
            assert_eq!(is_token_byte(byte), byte.is_ascii_graphic() && !separator, "{byte}");
            assert_eq!(is_target(&[byte]), byte.is_ascii_graphic() && byte != b'#', "{byte}");
            let control = byte.is_ascii_control() && byte != b'\t';
            // At each place of a word, of the next one, and of what is left of it.
            for at in 0..20 {
                let mut value = [0xff, b'a', b'\t', 0x80, b' '].repeat(4);
                value[at] = byte;
                assert_eq!(value_length(&value), if control { at } else { 20 }, "{byte} at {at}");
            }
        }
        assert_eq!(value_length(b"a\x7f\r\n"), 1);
        assert_eq!(trim(b" \t a b\t "), b"a b");
        assert_eq!(trim(b" \t"), b"");
    }
}

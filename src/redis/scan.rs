//! Where a reply ends, found before anything believes its lengths. The library that decodes
//! replies recurses with their nesting (10,000 nested arrays end the process) and reserves memory
//! by their counts; this walk does neither, and refuses what is beyond the limits.
//!
//! Strings, errors, integers, nulls, booleans, big numbers, arrays, maps, sets and pushes are
//! taken; doubles, attributes and streamed frames are what no command of ours is answered with.

use super::frame::number;
use nudged_base::limits::REDIS_DEPTH_MAX;

/// Which version of the protocol a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The old one: no maps, no pushes, its own nil.
    Resp2,
    /// The one of `HELLO 3`.
    Resp3,
}

/// What one reply may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLimits {
    /// Bytes, with every sign and line end.
    pub bytes: usize,
    /// Elements of all its lists together; those of a map count twice.
    pub elements: usize,
}

/// Bytes that are no reply, or one beyond the limits: the connection has to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Redis sent an invalid reply, or one that is too large")]
pub struct Malformed;

/// How far a reply goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Its bytes, with every sign and line end.
    pub bytes: usize,
    /// Its levels of lists: 0 for none, 1 for a list without lists.
    pub depth: usize,
}

/// What follows the head of an element.
enum ReplyHead {
    /// Nothing: the element ends with its line.
    Line,
    /// So many bytes and a line end.
    Bytes(usize),
    /// So many elements.
    Elements(usize),
}

/// The extent of the reply that `bytes` begin with; `None` where it is not yet whole. Does not
/// allocate, and does not recurse.
///
/// # Errors
/// [`Malformed`].
pub fn measure(
    bytes: &[u8],
    protocol: Protocol,
    limits: FrameLimits,
) -> Result<Option<Extent>, Malformed> {
    let extent = walk(bytes, protocol, limits)?;
    let known = extent.map_or(bytes.len(), |extent| extent.bytes);
    if known > limits.bytes { Err(Malformed) } else { Ok(extent) }
}

fn walk(
    bytes: &[u8],
    protocol: Protocol,
    limits: FrameLimits,
) -> Result<Option<Extent>, Malformed> {
    let mut missing = [0_usize; REDIS_DEPTH_MAX];
    let mut depth = 0;
    let mut deepest = 0;
    let mut elements_left = limits.elements;
    let mut at = 0;
    loop {
        let Some((head, end)) = head(&bytes[at..], protocol)? else { return Ok(None) };
        at += end;
        match head {
            ReplyHead::Line => {}
            ReplyHead::Bytes(length) => {
                if length > limits.bytes {
                    return Err(Malformed);
                }
                let end = at + length;
                match bytes.get(end..).unwrap_or_default() {
                    [b'\r', b'\n', ..] => at = end + 2,
                    [] | [b'\r'] => return Ok(None),
                    _ => return Err(Malformed),
                }
            }
            ReplyHead::Elements(count) => {
                elements_left = elements_left.checked_sub(count).ok_or(Malformed)?;
                deepest = deepest.max(depth + 1);
                if count > 0 {
                    *missing.get_mut(depth).ok_or(Malformed)? = count;
                    depth += 1;
                    continue;
                }
            }
        }
        while depth > 0 {
            missing[depth - 1] -= 1;
            if missing[depth - 1] > 0 {
                break;
            }
            depth -= 1;
        }
        if depth == 0 {
            return Ok(Some(Extent { bytes: at, depth: deepest }));
        }
    }
}

/// The longest line of a number or a length: the smallest integer of 64 bits, in bytes.
const LINE_BYTES_MAX: usize = 20;

/// The head of the element that `bytes` begin with, and where the line ends.
fn head(bytes: &[u8], protocol: Protocol) -> Result<Option<(ReplyHead, usize)>, Malformed> {
    let Some((&kind, rest)) = bytes.split_first() else { return Ok(None) };
    let is_known = match protocol {
        Protocol::Resp2 => b"+-:$*".contains(&kind),
        Protocol::Resp3 => b"+-:$*_#(=!%~>".contains(&kind),
    };
    if !is_known {
        return Err(Malformed);
    }
    let end = memchr::memchr2(b'\r', b'\n', rest);
    // Texts and big numbers have lines without end; the limit of the whole reply holds them.
    let is_bounded = !matches!(kind, b'+' | b'-' | b'(');
    if is_bounded && end.unwrap_or(rest.len()) > LINE_BYTES_MAX {
        return Err(Malformed);
    }
    let Some(end) = end else { return Ok(None) };
    let line = match &rest[end..] {
        [b'\r'] => return Ok(None),
        [b'\r', b'\n', ..] => &rest[..end],
        _ => return Err(Malformed),
    };
    let head = match kind {
        b'+' | b'-' => ReplyHead::Line,
        b'(' if is_number(line) => ReplyHead::Line,
        b':' if number(line).is_some() => ReplyHead::Line,
        b'_' if line.is_empty() => ReplyHead::Line,
        b'#' if matches!(line, b"t" | b"f") => ReplyHead::Line,
        b'$' | b'*' if protocol == Protocol::Resp2 && line == b"-1" => ReplyHead::Line,
        b'$' | b'!' => ReplyHead::Bytes(count(line)?),
        // `txt:` and the like come before the text and count as of it.
        b'=' => {
            ReplyHead::Bytes(Some(count(line)?).filter(|length| *length >= 4).ok_or(Malformed)?)
        }
        b'*' | b'~' | b'>' => ReplyHead::Elements(count(line)?),
        b'%' => ReplyHead::Elements(count(line)? * 2),
        _ => return Err(Malformed),
    };
    Ok(Some((head, 1 + line.len() + 2)))
}

fn is_number(line: &[u8]) -> bool {
    let digits = line.strip_prefix(b"-").unwrap_or(line);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

/// A length or a count: at most nine digits, far above every limit.
fn count(line: &[u8]) -> Result<usize, Malformed> {
    if line.is_empty() || line.len() > 9 || !line.iter().all(u8::is_ascii_digit) {
        return Err(Malformed);
    }
    Ok(line.iter().fold(0, |total, digit| total * 10 + usize::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: FrameLimits = FrameLimits { bytes: 64, elements: 8 };

    fn three(text: &str) -> Result<Option<usize>, Malformed> {
        length(text, Protocol::Resp3, LIMITS)
    }

    fn length(
        text: &str,
        protocol: Protocol,
        limits: FrameLimits,
    ) -> Result<Option<usize>, Malformed> {
        let extent = measure(text.as_bytes(), protocol, limits)?;
        Ok(extent.map(|extent| extent.bytes))
    }

    #[test]
    fn the_deepest_level_of_lists_is_told() {
        for (text, depth) in [
            (":1\r\n", 0),
            ("*0\r\n", 1),
            ("%1\r\n+a\r\n:1\r\n", 1),
            ("*2\r\n*1\r\n:1\r\n:2\r\n", 2),
            ("*2\r\n:1\r\n*0\r\n", 2),
        ] {
            let extent = measure(text.as_bytes(), Protocol::Resp3, LIMITS);
            assert_eq!(extent, Ok(Some(Extent { bytes: text.len(), depth })), "{text:?}");
        }
    }

    #[test]
    fn whole_replies_are_measured_and_their_beginnings_wait() {
        for text in [
            "+OK\r\n",
            "-ERR x\r\n",
            ":-5\r\n",
            "$0\r\n\r\n",
            "$3\r\na\r\n\r\n",
            "_\r\n",
            "#t\r\n",
            "(-123456789012345678901234567890\r\n",
            "=7\r\ntxt:abc\r\n",
            "!3\r\nabc\r\n",
            "*0\r\n",
            "*2\r\n:1\r\n*1\r\n_\r\n",
            "%1\r\n+a\r\n:1\r\n",
            "~1\r\n+a\r\n",
            ">3\r\n+message\r\n+c\r\n$1\r\nx\r\n",
        ] {
            assert_eq!(three(text), Ok(Some(text.len())), "{text:?}");
            assert_eq!(three(&format!("{text}+next\r\n")), Ok(Some(text.len())), "{text:?}");
            for end in 0..text.len() {
                assert_eq!(three(&text[..end]), Ok(None), "{:?}", &text[..end]);
            }
        }
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for text in [
            "x",
            "\r\n",
            "+a\rb\r\n",
            "+a\nb\r\n",
            ":\r\n",
            ":1x\r\n",
            ":123456789012345678901\r\n",
            // Refused before its line end comes, and no other way once a part of that has come.
            ":123456789012345678901",
            ":123456789012345678901\r",
            ":9223372036854775808\r\n",
            "$x\r\n",
            "$-1\r\n",
            "*-1\r\n",
            "$?\r\n",
            "*?\r\n",
            "$1\r\nabc",
            "$1000000000\r\n",
            "_x\r\n",
            "#x\r\n",
            "(\r\n",
            "=3\r\ntxt\r\n",
            ",1.5\r\n",
            "|1\r\n",
            ";1\r\n",
            ".\r\n",
            "*999999999999999999999",
            "H",
        ] {
            assert_eq!(three(text), Err(Malformed), "{text:?}");
        }
    }

    #[test]
    fn the_old_protocol_has_its_own_nil_and_no_maps() {
        let two = |text: &str| length(text, Protocol::Resp2, LIMITS);
        for text in ["$-1\r\n", "*-1\r\n", "*2\r\n$-1\r\n:1\r\n"] {
            assert_eq!(two(text), Ok(Some(text.len())), "{text:?}");
        }
        for text in ["%1\r\n", ">1\r\n", "_\r\n", "$-2\r\n", "#t\r\n"] {
            assert_eq!(two(text), Err(Malformed), "{text:?}");
        }
    }

    #[test]
    fn limits_hold_to_the_byte_the_element_and_the_level() {
        let bulk = |length: usize| format!("${length}\r\n{}\r\n", "x".repeat(length));
        assert_eq!(three(&bulk(57)), Ok(Some(64)));
        assert_eq!(three(&bulk(58)), Err(Malformed));
        assert_eq!(three("$65\r\n"), Err(Malformed), "by its length alone");
        assert_eq!(three(&"+".repeat(64)), Ok(None));
        assert_eq!(three(&"+".repeat(65)), Err(Malformed), "by what has come");
        assert_eq!(three("*8\r\n"), Ok(None));
        assert_eq!(three("*9\r\n"), Err(Malformed));
        assert_eq!(three("%5\r\n"), Err(Malformed));
        assert_eq!(three("*2\r\n*3\r\n:1\r\n:1\r\n:1\r\n*4\r\n"), Err(Malformed), "all together");
        let nested = |levels: usize| format!("{}:1\r\n", "*1\r\n".repeat(levels));
        let wide = FrameLimits { bytes: 1 << 20, elements: 1 << 20 };
        let at = |levels: usize| length(&nested(levels), Protocol::Resp3, wide);
        assert!(matches!(at(REDIS_DEPTH_MAX), Ok(Some(_))));
        assert_eq!(at(REDIS_DEPTH_MAX + 1), Err(Malformed));
        assert_eq!(at(10_000), Err(Malformed));
    }
}

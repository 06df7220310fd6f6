//! Heads as most of them come: whole, in one piece, and with nothing wrong about them. They are
//! read in one pass, without a search for their end before it. What is out of the ordinary, or may
//! only turn out so, is left to the reading line by line, which finds the rule that is broken
//! first: what is taken here it would take just so.

use super::fields::Fields;
use super::kept::{HeadFields, Kept};
use super::known::KnownFields;
use super::line::{RequestLine, RequestTarget};
use super::method::Method;
use nudged_base::limits::{HEAD_BYTES_MAX, HEAD_FIELDS_MAX, REQUEST_LINE_BYTES_MAX};
use nudged_base::word::{self, Word};

/// What stands between a target and the fields.
const LINE_END: &[u8; 11] = b" HTTP/1.1\r\n";

/// Reads the head that stands at the start of `bytes`, which may go on past its end: its line, its
/// fields, and its length, its empty line included. None where it is not whole, not good, or not an
/// ordinary one; whether fields are missing is not looked at. `known` are the fields that its
/// connection sent last, if any are kept; afterwards they are these. Allocates only for those.
pub(super) fn read<'b>(
    bytes: &'b [u8],
    body_bytes_max: usize,
    known: Option<&mut KnownFields>,
) -> Option<(RequestLine<'b>, Kept<'b>, usize)> {
    let (method, target) = match bytes {
        [b'G', b'E', b'T', b' ', rest @ ..] => (Method::Get, rest),
        [b'P', b'O', b'S', b'T', b' ', rest @ ..] => (Method::Post, rest),
        _ => return None,
    };
    let (target, rest) = origin_form(target)?;
    let section = rest.strip_prefix(LINE_END)?;
    let line_bytes = bytes.len() - section.len() - "\r\n".len();
    if line_bytes > REQUEST_LINE_BYTES_MAX {
        return None;
    }
    let line = RequestLine { method, target, http_1_0: false };
    let line_and_end = bytes.len() - section.len();
    let found = known.as_ref().and_then(|known| known.find(section, body_bytes_max));
    if let Some((kept, section_bytes)) = found {
        let head_bytes = line_and_end + section_bytes;
        return (head_bytes <= HEAD_BYTES_MAX).then_some((line, kept, head_bytes));
    }
    let (kept, section_bytes) = read_fields(section, body_bytes_max)?;
    let head_bytes = line_and_end + section_bytes;
    if head_bytes > HEAD_BYTES_MAX {
        return None;
    }
    if let Some(known) = known {
        known.set(&section[..section_bytes], body_bytes_max, &kept);
    }
    Some((line, kept, head_bytes))
}

/// Reads the fields that `section` starts with, and gives the length of their lines, the empty one
/// included.
#[inline]
fn read_fields(section: &[u8], body_bytes_max: usize) -> Option<(Kept<'_>, usize)> {
    let mut fields = Fields::new(section);
    let mut kept = Kept { fields: HeadFields(fields), ..Kept::default() };
    let mut lines = 0;
    while let Some(field) = fields.next().ok()? {
        lines += 1;
        if lines > HEAD_FIELDS_MAX {
            return None;
        }
        kept.take(field, body_bytes_max, &|| None).ok()?;
    }
    let section_bytes = section.len() - fields.after_empty_line()?.len();
    Some((kept, section_bytes))
}

/// Reads the path, with its query or without, that `bytes` start with, and gives what follows it.
/// None where it is anything else, or has not ended.
fn origin_form(bytes: &[u8]) -> Option<(RequestTarget<'_>, &[u8])> {
    let path_bytes = word::position(bytes, |word| no_target(word) | word.equal(b'?'));
    let mut end = path_bytes;
    if bytes.get(end) == Some(&b'?') {
        end += 1 + word::position(&bytes[end + 1..], no_target);
    }
    let (target, rest) = bytes.split_at(end);
    if target.first() != Some(&b'/') {
        return None;
    }
    let text = std::str::from_utf8(target).expect("visible ASCII");
    let query = text.get(path_bytes + 1..).unwrap_or_default();
    Some((RequestTarget { path: &text[..path_bytes], query, authority: None }, rest))
}

/// Marks the bytes that no target has: all but visible ASCII, and what starts a fragment.
#[inline]
fn no_target(word: Word) -> Word {
    word.below(0x21) | word.equal(0x7f) | word.not_ascii() | word.equal(b'#')
}

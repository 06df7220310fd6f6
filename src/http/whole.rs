//! Heads as most of them come: whole, in one piece, and with nothing wrong about them. They are read
//! in one pass, without a search for their end before it. What is out of the ordinary, or may only
//! turn out so, is left to the reading line by line, which finds the rule that is broken first: what
//! is taken here it would take just so.

use memchr::memchr;

use super::fields::Fields;
use super::head::{Head, Method, finish};
use super::kept::Kept;
use super::line::{RequestLine, origin_form};
use nudged_base::limits::{HEAD_BYTES_MAX, HEAD_FIELDS_MAX, REQUEST_LINE_BYTES_MAX};

/// What stands between a target and the fields.
const LINE_END: &[u8; 11] = b" HTTP/1.1\r\n";

/// Reads the head that stands at the start of `bytes`, which may go on past its end, and gives it
/// with its length, its empty line included. None where it is not whole, not good, or not an
/// ordinary one. Does not allocate.
pub(super) fn read(bytes: &[u8], body_bytes_max: usize) -> Option<(Head<'_>, usize)> {
    let (method, target) = match bytes {
        [b'G', b'E', b'T', b' ', rest @ ..] => (Method::Get, rest),
        [b'P', b'O', b'S', b'T', b' ', rest @ ..] => (Method::Post, rest),
        _ => return None,
    };
    let target_bytes = memchr(b' ', target)?;
    let (target, rest) = target.split_at(target_bytes);
    let section = rest.strip_prefix(LINE_END)?;
    let line_bytes = bytes.len() - section.len() - "\r\n".len();
    if line_bytes > REQUEST_LINE_BYTES_MAX {
        return None;
    }
    let line = RequestLine { method, target: origin_form(target)?, http_1_0: false };
    let mut kept = Kept::default();
    let mut fields = Fields::new(section);
    let mut lines = 0;
    while let Some(field) = fields.next().ok()? {
        lines += 1;
        if lines > HEAD_FIELDS_MAX {
            return None;
        }
        kept.take(field, body_bytes_max, &|| None, fields).ok()?;
    }
    let head_bytes = bytes.len() - fields.after_empty_line()?.len();
    if head_bytes > HEAD_BYTES_MAX {
        return None;
    }
    finish(line, &kept).ok().map(|head| (head, head_bytes))
}

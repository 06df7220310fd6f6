//! Fields of heads and of trailer sections: cut into name and value, and the rules on names.
//! Knows nothing of what a field means.

use super::refusal::HttpRefusal;
use super::scan::{name_length, trim, value_length};

/// One field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field<'b> {
    /// A token.
    pub(super) name: &'b [u8],
    /// Without white space at its ends and free of control bytes other than TAB.
    pub(super) value: &'b [u8],
}

/// The fields of a section whose lines all end in CRLF, up to its empty line.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fields<'b> {
    rest: &'b [u8],
}

impl<'b> Fields<'b> {
    /// The fields of `section`, in which CR and LF occur only together and at the ends of lines;
    /// where they don't, or a line has not ended, the line is malformed.
    pub(super) fn new(section: &'b [u8]) -> Fields<'b> {
        Fields { rest: section }
    }

    /// The next field; none at the empty line, or where the lines end without one.
    ///
    /// # Errors
    /// [`HttpRefusal::MalformedField`] and [`HttpRefusal::MalformedValue`].
    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<Field<'b>>, HttpRefusal> {
        if matches!(self.rest, [] | [b'\r', b'\n', ..]) {
            return Ok(None);
        }
        let colon = name_length(self.rest);
        // A line that starts with white space is a folded one: its first token is empty.
        if colon == 0 || self.rest.get(colon) != Some(&b':') {
            return Err(HttpRefusal::MalformedField);
        }
        let (name, after) = (&self.rest[..colon], &self.rest[colon + 1..]);
        let (value, end) = after.split_at(value_length(after));
        // CR stands at the ends of lines alone, so any other byte here is one that may not be.
        let Some(rest) = end.strip_prefix(b"\r\n") else {
            return Err(HttpRefusal::MalformedValue);
        };
        self.rest = rest;
        Ok(Some(Field { name, value: trim(value) }))
    }

    /// What follows the empty line, where that comes next.
    pub(super) fn after_empty_line(&self) -> Option<&'b [u8]> {
        self.rest.strip_prefix(b"\r\n")
    }
}

/// Whether a name, which is neither of the two itself, becomes `content-length` or
/// `transfer-encoding` where its separators are folded into single hyphens: something before or
/// behind us may read it so.
pub(super) fn is_disguised(name: &[u8]) -> bool {
    let mut words =
        name.split(|byte| !byte.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let pair = [words.next().unwrap_or_default(), words.next().unwrap_or_default()];
    let is = |first: &[u8], second: &[u8]| {
        pair[0].eq_ignore_ascii_case(first) && pair[1].eq_ignore_ascii_case(second)
    };
    (is(b"content", b"length") || is(b"transfer", b"encoding")) && words.next().is_none()
}

/// Fields that may not stand in a trailer section: they frame, route, authenticate or shape a
/// request (RFC 9110, 6.5.1).
const NOT_TRAILERS: [&str; 24] = [
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "max-forwards",
    "origin",
    "pragma",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-for",
];

/// Checks whole lines of a trailer section; their fields are dropped.
///
/// # Errors
/// [`HttpRefusal::MalformedTrailer`] where a field is malformed, disguised or may not be a trailer.
pub(super) fn check_trailers(section: &[u8]) -> Result<(), HttpRefusal> {
    let mut fields = Fields::new(section);
    while let Some(field) = fields.next().map_err(|_| HttpRefusal::MalformedTrailer)? {
        let forbidden =
            NOT_TRAILERS.iter().any(|name| field.name.eq_ignore_ascii_case(name.as_bytes()));
        if forbidden || is_disguised(field.name) {
            return Err(HttpRefusal::MalformedTrailer);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disguises_are_seen_and_other_names_are_not() {
        let disguised = [
            "content_length",
            "Content--Length",
            "CONTENT.LENGTH",
            "-content-length",
            "content-length-",
            "content_-_length",
            "transfer_encoding",
            "Transfer--Encoding",
            "transfer~encoding",
        ];
        let others =
            ["x_content_length", "content-type", "content", "length", "content-length-x", "_", "x"];
        for name in disguised {
            assert!(is_disguised(name.as_bytes()), "{name}");
        }
        for name in others {
            assert!(!is_disguised(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn fields_are_cut_at_the_first_colon_and_trimmed() {
        let mut fields = Fields::new(b"A:\r\nb: \tx:y \t\r\n\r\n");
        assert_eq!(fields.next(), Ok(Some(Field { name: b"A", value: b"" })));
        assert_eq!(fields.next(), Ok(Some(Field { name: b"b", value: b"x:y" })));
        assert_eq!(fields.next(), Ok(None));
        for bad in ["a\r\n\r\n", ": x\r\n\r\n", "a : x\r\n\r\n", " a: x\r\n\r\n", "a,b: x\r\n\r\n"]
        {
            assert_eq!(
                Fields::new(bad.as_bytes()).next(),
                Err(HttpRefusal::MalformedField),
                "{bad:?}"
            );
        }
        assert_eq!(Fields::new(b"a: \x0b\r\n\r\n").next(), Err(HttpRefusal::MalformedValue));
    }

    #[test]
    fn trailers_that_would_change_the_request_are_refused() {
        assert_eq!(check_trailers(b"\r\n"), Ok(()));
        assert_eq!(check_trailers(b"Checksum: 1\r\nX: y\r\n\r\n"), Ok(()));
        for name in NOT_TRAILERS.into_iter().chain(["Content_Length", "a b"]) {
            let section = format!("x: 1\r\n{}: 1\r\n\r\n", name.to_uppercase());
            assert_eq!(
                check_trailers(section.as_bytes()),
                Err(HttpRefusal::MalformedTrailer),
                "{name}"
            );
        }
    }
}

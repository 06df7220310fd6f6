//! Query strings as `application/x-www-form-urlencoded`: names and values, decoded into scratch.
//! Owns the decoding; of names it knows the access key's and the
//! signature's alone.

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use super::refusal::{Code, RequestField, RequestRefusal};
use nudged_base::hex;
use nudged_base::word::{MarkPositions, Word};

/// The pairs of a query in their order, decoded; empty ones (`&&`) are left out, one without `=`
/// has an empty value. What needs no decoding borrows from the query. Each item is an error where
/// that pair can't be decoded: `bad_encoding` or `invalid_utf8` on [`RequestField::Query`].
#[inline]
pub fn pairs<'a>(
    query: &'a str,
    bump: &'a Bump,
) -> impl Iterator<Item = Result<(&'a str, &'a str), RequestRefusal>> {
    RawPairs { query, start: 0, signs: MarkPositions::new(query.as_bytes()) }.map(|pair| {
        if !pair.is_encoded {
            return Ok((pair.name, pair.value));
        }
        Ok((decode(pair.name, bump)?, decode(pair.value, bump)?))
    })
}

/// The pairs of a query that are not empty, in one pass over it.
struct RawPairs<'a> {
    query: &'a str,
    /// Where the next pair starts.
    start: usize,
    signs: MarkPositions<'a>,
}

/// A pair as it stands.
#[derive(Debug)]
struct RawPair<'a> {
    name: &'a str,
    value: &'a str,
    /// Something in it stands for something else.
    is_encoded: bool,
}

impl<'a> Iterator for RawPairs<'a> {
    type Item = RawPair<'a>;

    // Inlined where pairs are read, so that what it keeps stays in registers.
    #[inline(always)]
    fn next(&mut self) -> Option<RawPair<'a>> {
        let query = self.query;
        while self.start < query.len() {
            let (begin, mut name_end, mut is_encoded) = (self.start, usize::MAX, false);
            let end = loop {
                let Some(at) = self.signs.next(is_sign) else { break query.len() };
                match query.as_bytes()[at] {
                    b'&' => break at,
                    b'=' => name_end = name_end.min(at),
                    _ => is_encoded = true,
                }
            };
            self.start = end + 1;
            if end > begin {
                let name = &query[begin..name_end.min(end)];
                let value = if name_end < end { &query[name_end + 1..end] } else { "" };
                return Some(RawPair { name, value, is_encoded });
            }
        }
        None
    }
}

/// Marks what separates pairs and their parts, and what stands for something else.
#[inline]
fn is_sign(word: Word) -> Word {
    word.equal(b'&') | word.equal(b'=') | word.equal(b'%') | word.equal(b'+')
}

/// Whether a byte stands for another one, or is a part of what does.
fn encodes(byte: u8) -> bool {
    byte == b'%' || byte == b'+'
}

/// The value of `key`.
///
/// # Errors
/// As [`pairs`], and `duplicate_field` where there are two.
pub fn key<'a>(query: &'a str, bump: &'a Bump) -> Result<Option<&'a str>, RequestRefusal> {
    only(query, RequestField::Key, bump)
}

/// The value of `sig`.
///
/// # Errors
/// As [`key`].
pub(super) fn signature<'a>(
    query: &'a str,
    bump: &'a Bump,
) -> Result<Option<&'a str>, RequestRefusal> {
    only(query, RequestField::Sig, bump)
}

fn only<'a>(
    query: &'a str,
    field: RequestField,
    bump: &'a Bump,
) -> Result<Option<&'a str>, RequestRefusal> {
    let mut found = None;
    for pair in pairs(query, bump) {
        let (name, value) = pair?;
        if name == field.name() && found.replace(value).is_some() {
            return Err(RequestRefusal::new(Code::DuplicateField, field));
        }
    }
    Ok(found)
}

fn decode<'a>(text: &'a str, bump: &'a Bump) -> Result<&'a str, RequestRefusal> {
    if !text.bytes().any(encodes) {
        return Ok(text);
    }
    let mut decoded = BumpVec::with_capacity_in(text.len(), bump);
    let plain = text.bytes().map(|byte| if byte == b'+' { b' ' } else { byte });
    for byte in hex::percent_decoded(plain) {
        decoded.push(byte.ok_or(RequestRefusal::new(Code::BadEncoding, RequestField::Query))?);
    }
    str::from_utf8(decoded.into_bump_slice())
        .map_err(|_| RequestRefusal::new(Code::InvalidUtf8, RequestField::Query))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(query: &str) -> Result<Vec<(String, String)>, Code> {
        let bump = Bump::new();
        pairs(query, &bump)
            .map(|pair| pair.map(|(name, value)| (name.to_owned(), value.to_owned())))
            .collect::<Result<_, _>>()
            .map_err(|refusal| refusal.code)
    }

    #[test]
    fn forms() {
        let cases: &[(&str, &[(&str, &str)])] = &[
            ("", &[]),
            ("&&", &[]),
            ("a", &[("a", "")]),
            ("a=", &[("a", "")]),
            ("=b", &[("", "b")]),
            ("a=b=c", &[("a", "b=c")]),
            ("a=1&&a=2", &[("a", "1"), ("a", "2")]),
            ("a+b=c+d", &[("a b", "c d")]),
            ("%61=%2B%26%3d%25", &[("a", "+&=%")]),
            ("u=%C3%A9%f0%9f%8e%81", &[("u", "é🎁")]),
            ("a;b=c", &[("a;b", "c")]),
        ];
        for (query, want) in cases {
            let want: Vec<_> =
                want.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            assert_eq!(read(query), Ok(want), "{query}");
        }
    }

    #[test]
    fn refusals() {
        for query in ["%", "a=%", "a=%4", "a=%4g", "a=%%41", "%zz=1", "a=% 41", "a=%+1", "a=%-1"] {
            assert_eq!(read(query), Err(Code::BadEncoding), "{query}");
        }
        for query in ["a=%ff", "a=%c3", "%ed%a0%80=1", "a=%c0%80", "a=%f4%90%80%80"] {
            assert_eq!(read(query), Err(Code::InvalidUtf8), "{query}");
        }
    }

    #[test]
    fn what_needs_no_decoding_takes_no_scratch() {
        let bump = Bump::new();
        let query = String::from("user=u1&placement=home");
        for pair in pairs(&query, &bump) {
            let (name, _) = pair.unwrap();
            assert!(query.as_bytes().as_ptr_range().contains(&name.as_ptr()));
        }
        assert_eq!(bump.allocated_bytes(), 0);
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(
            want in prop::collection::vec((any::<String>(), any::<String>()), 0..6),
            plain in any::<bool>(),
        ) {
            let encode = |text: &str| -> String {
                text.bytes()
                    .map(|byte| match byte {
                        b'a'..=b'z' if plain => char::from(byte).to_string(),
                        b' ' => "+".to_owned(),
                        _ => format!("%{byte:02X}"),
                    })
                    .collect()
            };
            let query: Vec<_> =
                want.iter().map(|(a, b)| format!("{}={}", encode(a), encode(b))).collect();
            prop_assert_eq!(read(&query.join("&")), Ok(want));
        }

        #[test]
        fn pairs_are_those_between_the_signs(query in "[a-c&=%+]{0,40}") {
            let want: Vec<_> = query
                .split('&')
                .filter(|pair| !pair.is_empty())
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .collect();
            let signs = MarkPositions::new(query.as_bytes());
            let pairs: Vec<_> = RawPairs { query: &query, start: 0, signs }.collect();
            let cut: Vec<_> = pairs.iter().map(|pair| (pair.name, pair.value)).collect();
            prop_assert_eq!(cut, want);
            let is_encoded = |pair: &RawPair<'_>| [pair.name, pair.value].concat().contains(['%', '+']);
            prop_assert!(pairs.iter().all(|pair| pair.is_encoded == is_encoded(pair)));
        }

        #[test]
        fn any_query_is_read_or_refused(query in "[ -~]{0,64}") {
            let percents = query.contains('%');
            prop_assert!(percents || read(&query).is_ok());
        }
    }
}

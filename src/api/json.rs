//! Strict, bounded JSON: a request body as a tree in scratch, in one pass over its bytes. Owns what
//! counts as JSON; knows nothing of what a member means.
//!
//! UTF-8 is checked once over the whole body; lone surrogates, trailing bytes, numbers beyond a
//! double and equal names in one object (compared after unescaping) are refused. Limits: depth
//! [`JSON_DEPTH_MAX`], members of one object [`JSON_MEMBERS_MAX`]; the largest body takes at most
//! `JSON_SCRATCH_BYTES_MAX` of scratch.
//!
//! Own code beside serde_json, which tests compare it with: that one keeps no number as it stands
//! (`5.10` is not `5.1`), tells its errors apart by their texts alone, unescapes into the heap, and
//! with what made up for it a body took five times the instructions.

use bumpalo::Bump;
use bumpalo::collections::{String as BumpString, Vec as BumpVec};

use super::refusal::{Code, RequestField, RequestRefusal};
use nudged_base::hex;
use nudged_base::limits::{JSON_DEPTH_MAX, JSON_MEMBERS_MAX};
use nudged_base::word;

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;

/// A JSON value, borrowed from the body or from scratch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Json<'a> {
    /// null
    Null,
    /// true or false
    Boolean(bool),
    /// A number as it stands in the body: of JSON's grammar, and within a double's range.
    Number(&'a str),
    /// A text, unescaped.
    Text(&'a str),
    /// An array.
    List(&'a [Json<'a>]),
    /// An object: its members in the order given, their names unique.
    Object(&'a [(&'a str, Json<'a>)]),
}

/// Room for the first members of a body, which most need; and of an object within it. All else
/// begins with 1, so that no body of many small ones takes much scratch.
const MEMBERS_EXPECTED: [usize; 2] = [8, 2];
/// Names that are compared each with each.
const NAMES_COMPARED_MAX: usize = 8;
/// Numbers of so many bytes without an exponent are within a double's range, which ends beyond 308
/// digits.
const PLAIN_NUMBER_BYTES_MAX: usize = 300;

/// Reads a whole body. Texts without escapes borrow from it, all else lies in `bump`; the heap is
/// not touched.
///
/// # Errors
/// 400 on [`RequestField::Body`]: `invalid_utf8`, `malformed_json`, `duplicate_key`, `too_deep`,
/// `too_many_members` or `bad_number`: the first of them by the order of the bytes, where equal
/// names count as found at the end of their object.
pub fn parse<'a>(body: &'a [u8], bump: &'a Bump) -> Result<Json<'a>, RequestRefusal> {
    let refuse = |code| RequestRefusal::new(code, RequestField::Body);
    let text = str::from_utf8(body).map_err(|_| refuse(Code::InvalidUtf8))?;
    JsonCursor { text, at: 0, bump }.whole().map_err(refuse)
}

/// Reads a body that is an object, one member after another, and no tree of it: `take` is given
/// each name and the cursor, by which it reads the value that follows. Gives false for a body that
/// is something else. The heap is not touched.
///
/// # Errors
/// As [`parse`].
pub(super) fn read_object<'a>(
    body: &'a [u8],
    bump: &'a Bump,
    mut take: impl FnMut(&'a str, &mut JsonCursor<'a>) -> Result<(), Code>,
) -> Result<bool, RequestRefusal> {
    let refuse = |code| RequestRefusal::new(code, RequestField::Body);
    let text = str::from_utf8(body).map_err(|_| refuse(Code::InvalidUtf8))?;
    let mut cursor = JsonCursor { text, at: 0, bump };
    if cursor.peek() != Some(b'{') {
        return cursor.whole().map(|_| false).map_err(refuse);
    }
    let read = cursor.distinct_members(0, &mut take).and_then(|()| match cursor.peek() {
        None => Ok(true),
        Some(_) => Err(Code::MalformedJson),
    });
    read.map_err(refuse)
}

/// A body, and how far it is read. Whatever begins or ends something is ASCII, so that the text may
/// be cut there.
pub(super) struct JsonCursor<'a> {
    text: &'a str,
    at: usize,
    bump: &'a Bump,
}

impl<'a> JsonCursor<'a> {
    fn whole(mut self) -> Result<Json<'a>, Code> {
        let json = self.value(0)?;
        match self.peek() {
            None => Ok(json),
            Some(_) => Err(Code::MalformedJson),
        }
    }

    /// Reads the value of a member of the body itself.
    pub(super) fn member(&mut self) -> Result<Json<'a>, Code> {
        self.value(1)
    }

    /// As [`JsonCursor::member`] where that is an object: gives each of its members to `take`, and
    /// no tree of them. Gives the value where it is something else.
    pub(super) fn member_object(
        &mut self,
        mut take: impl FnMut(&'a str, Json<'a>),
    ) -> Result<Option<Json<'a>>, Code> {
        if self.peek() != Some(b'{') {
            return self.value(1).map(Some);
        }
        let mut read = |name, cursor: &mut JsonCursor<'a>| {
            take(name, cursor.value(2)?);
            Ok(())
        };
        self.distinct_members(1, &mut read)?;
        Ok(None)
    }

    /// As [`JsonCursor::members`], where no two may have one name.
    fn distinct_members(
        &mut self,
        depth: usize,
        take: &mut impl FnMut(&'a str, &mut JsonCursor<'a>) -> Result<(), Code>,
    ) -> Result<(), Code> {
        let mut names = Names::new(self.bump);
        self.members(depth, |name, cursor| {
            names.add(name);
            take(name, cursor)
        })?;
        if names.has_equal() { Err(Code::DuplicateKey) } else { Ok(()) }
    }

    /// The next byte that is no white space; none at the end.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        match self.text.as_bytes().get(self.at) {
            Some(byte) if *byte > b' ' => Some(*byte),
            _ => self.peek_behind(),
        }
    }

    /// As [`JsonCursor::peek`], where white space may come first.
    #[inline(never)]
    fn peek_behind(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\t' | b'\r') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    /// Reads one value; `depth` objects and arrays are open around it.
    // Inlined, as is the reading of texts: most values are texts without escapes.
    #[inline]
    fn value(&mut self, depth: usize) -> Result<Json<'a>, Code> {
        match self.peek() {
            Some(b'"') => self.text().map(Json::Text),
            next => self.other_value(next, depth),
        }
    }

    /// Reads a value that begins with `next` and is no text.
    fn other_value(&mut self, next: Option<u8>, depth: usize) -> Result<Json<'a>, Code> {
        match next {
            Some(b'-' | b'0'..=b'9') => self.number().map(Json::Number),
            Some(b'{' | b'[') if depth == JSON_DEPTH_MAX => Err(Code::TooDeep),
            Some(b'{') => self.object(depth).map(Json::Object),
            Some(b'[') => self.list(depth).map(Json::List),
            Some(b't') => self.word("true", Json::Boolean(true)),
            Some(b'f') => self.word("false", Json::Boolean(false)),
            Some(b'n') => self.word("null", Json::Null),
            _ => Err(Code::MalformedJson),
        }
    }

    fn word(&mut self, word: &str, value: Json<'a>) -> Result<Json<'a>, Code> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(Code::MalformedJson);
        }
        self.at += word.len();
        Ok(value)
    }

    fn list(&mut self, depth: usize) -> Result<&'a [Json<'a>], Code> {
        self.at += 1;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(&[]);
        }
        let mut values = BumpVec::with_capacity_in(1, self.bump);
        loop {
            values.push(self.value(depth + 1)?);
            let next = self.peek();
            self.at += 1;
            match next {
                Some(b',') => {}
                Some(b']') => return Ok(values.into_bump_slice()),
                _ => return Err(Code::MalformedJson),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<&'a [(&'a str, Json<'a>)], Code> {
        let expected = MEMBERS_EXPECTED.get(depth).copied().unwrap_or(1);
        let mut members = BumpVec::new_in(self.bump);
        self.members(depth, |name, cursor| {
            let value = cursor.value(depth + 1)?;
            if members.capacity() == 0 {
                members.reserve_exact(expected);
            }
            members.push((name, value));
            Ok(())
        })?;
        if has_equal_names(&members, self.bump) {
            return Err(Code::DuplicateKey);
        }
        Ok(members.into_bump_slice())
    }

    /// Reads an object from its brace on; `take` reads each value. Equal names are its concern.
    fn members(
        &mut self,
        depth: usize,
        mut take: impl FnMut(&'a str, &mut JsonCursor<'a>) -> Result<(), Code>,
    ) -> Result<(), Code> {
        debug_assert!(depth < JSON_DEPTH_MAX);
        self.at += 1;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        let mut count = 0;
        loop {
            if self.peek() != Some(b'"') {
                return Err(Code::MalformedJson);
            }
            let name = self.text()?;
            if count == JSON_MEMBERS_MAX {
                return Err(Code::TooManyMembers);
            }
            count += 1;
            if self.peek() != Some(b':') {
                return Err(Code::MalformedJson);
            }
            self.at += 1;
            take(name, self)?;
            let next = self.peek();
            self.at += 1;
            match next {
                Some(b',') => {}
                Some(b'}') => return Ok(()),
                _ => return Err(Code::MalformedJson),
            }
        }
    }

    /// Reads a text from its first quote on.
    #[inline]
    fn text(&mut self) -> Result<&'a str, Code> {
        let start = self.at + 1;
        let end = start + word::plain_json_length(&self.text.as_bytes()[start..]);
        self.at = end + 1;
        match self.text.as_bytes().get(end) {
            Some(b'"') => Ok(&self.text[start..end]),
            Some(b'\\') => self.escaped(&self.text[start..end]),
            _ => Err(Code::MalformedJson),
        }
    }

    /// Goes on with a text after its first backslash, before which `plain` stood.
    #[cold]
    fn escaped(&mut self, plain: &str) -> Result<&'a str, Code> {
        let mut text = BumpString::from_str_in(plain, self.bump);
        loop {
            text.push(self.escape()?);
            let start = self.at;
            let end = start + word::plain_json_length(&self.text.as_bytes()[start..]);
            text.push_str(&self.text[start..end]);
            self.at = end + 1;
            match self.text.as_bytes().get(end) {
                Some(b'"') => return Ok(text.into_bump_str()),
                Some(b'\\') => {}
                _ => return Err(Code::MalformedJson),
            }
        }
    }

    /// Reads what stands after a backslash.
    fn escape(&mut self) -> Result<char, Code> {
        let byte = self.text.as_bytes().get(self.at).copied();
        self.at += 1;
        Ok(match byte {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.escaped_unit(),
            _ => return Err(Code::MalformedJson),
        })
    }

    /// Reads what stands after `\u`: one unit of UTF-16, or two that belong together.
    fn escaped_unit(&mut self) -> Result<char, Code> {
        let first = self.unit()?;
        let is_pair = (0xd800..0xdc00).contains(&first)
            && self.text.as_bytes()[self.at..].starts_with(b"\\u");
        let second = if is_pair {
            self.at += 2;
            Some(self.unit()?)
        } else {
            None
        };
        let mut characters = char::decode_utf16(std::iter::once(first).chain(second));
        match (characters.next(), characters.next()) {
            (Some(Ok(character)), None) => Ok(character),
            _ => Err(Code::MalformedJson),
        }
    }

    /// Four digits of either case.
    fn unit(&mut self) -> Result<u16, Code> {
        let digits = self.text.get(self.at..self.at + 4);
        self.at += 4;
        let unit = digits.and_then(hex::decode_array).map(u16::from_be_bytes);
        unit.ok_or(Code::MalformedJson)
    }

    /// Reads a number from its sign or first digit on.
    fn number(&mut self) -> Result<&'a str, Code> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let first = start + usize::from(bytes[start] == b'-');
        let mut end = match bytes.get(first) {
            Some(b'0') => first + 1,
            _ => some_digits(bytes, first)?,
        };
        if bytes.get(end) == Some(&b'.') {
            end = some_digits(bytes, end + 1)?;
        }
        let has_exponent = matches!(bytes.get(end), Some(b'e' | b'E'));
        if has_exponent {
            let is_signed = matches!(bytes.get(end + 1), Some(b'+' | b'-'));
            end = some_digits(bytes, end + 1 + usize::from(is_signed))?;
        }
        self.at = end;
        let number = &self.text[start..end];
        let is_plain = !has_exponent && number.len() <= PLAIN_NUMBER_BYTES_MAX;
        if is_plain || number.parse().is_ok_and(f64::is_finite) {
            Ok(number)
        } else {
            Err(Code::BadNumber)
        }
    }
}

/// Where the digits end that begin at `from`, of which there has to be one.
fn some_digits(bytes: &[u8], from: usize) -> Result<usize, Code> {
    let mut end = from;
    while bytes.get(end).is_some_and(u8::is_ascii_digit) {
        end += 1;
    }
    if end == from { Err(Code::MalformedJson) } else { Ok(end) }
}

/// The names of an object's members. Few are compared each with each; many are sorted, so that a
/// hostile object costs no square of its members.
struct Names<'a> {
    few: [&'a str; NAMES_COMPARED_MAX],
    count: usize,
    /// All of them, once they are too many.
    many: BumpVec<'a, &'a str>,
    /// A bit for each length and last byte that a name had: most names need no comparison.
    kinds: u64,
    is_any_equal: bool,
}

impl<'a> Names<'a> {
    fn new(bump: &'a Bump) -> Names<'a> {
        let many = BumpVec::new_in(bump);
        Names { few: [""; NAMES_COMPARED_MAX], count: 0, many, kinds: 0, is_any_equal: false }
    }

    #[inline]
    fn add(&mut self, name: &'a str) {
        match self.few.get_mut(self.count) {
            Some(place) => {
                *place = name;
                let kind = 1 << kind_of(name);
                if self.kinds & kind != 0 {
                    self.is_any_equal |= self.few[..self.count].contains(&name);
                }
                self.kinds |= kind;
            }
            None => {
                if self.many.is_empty() {
                    self.many.extend_from_slice_copy(&self.few);
                }
                self.many.push(name);
            }
        }
        self.count += 1;
    }

    fn has_equal(mut self) -> bool {
        self.many.sort_unstable();
        self.is_any_equal || self.many.windows(2).any(|pair| pair[0] == pair[1])
    }
}

/// A number below 64, the same for equal names.
#[inline]
fn kind_of(name: &str) -> usize {
    let last = name.as_bytes().last().map_or(0, |byte| usize::from(*byte));
    (last ^ name.len() << 2) % 64
}

/// As [`Names`], of members that are there already.
fn has_equal_names(members: &[(&str, Json<'_>)], bump: &Bump) -> bool {
    if members.len() <= NAMES_COMPARED_MAX {
        let mut before = members.iter().enumerate();
        return before.any(|(end, (name, _))| members[..end].iter().any(|(one, _)| one == name));
    }
    let names = bump.alloc_slice_fill_iter(members.iter().map(|(name, _)| *name));
    names.sort_unstable();
    names.windows(2).any(|pair| pair[0] == pair[1])
}

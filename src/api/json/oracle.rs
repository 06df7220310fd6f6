//! A second reading of JSON to compare ours with: serde_json's, with the rules that are ours.

use std::cell::Cell;
use std::fmt;

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;
use memchr::memchr2;
use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};

use super::{Code, JSON_DEPTH_MAX, JSON_MEMBERS_MAX, Json};

/// Reads a whole body, as `json::parse` does.
pub(super) fn parse<'a>(body: &'a [u8], bump: &'a Bump) -> Result<Json<'a>, Code> {
    let text = str::from_utf8(body).map_err(|_| Code::InvalidUtf8)?;
    let broken = Cell::new(None);
    let numbers = NumberTexts { rest: Cell::new(text) };
    let seed = JsonSeed { bump, broken: &broken, numbers: &numbers, depth: 0 };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let parsed = seed.deserialize(&mut deserializer).and_then(|json| {
        deserializer.end()?;
        Ok(json)
    });
    parsed.map_err(|error| broken.get().unwrap_or_else(|| code_of(&error)))
}

/// serde_json keeps the kind of its errors to itself; the number's is told by its message.
fn code_of(error: &serde_json::Error) -> Code {
    if error.to_string().starts_with("number out of range") {
        Code::BadNumber
    } else {
        Code::MalformedJson
    }
}

/// The numbers of a text in their order, as they stand in it: the library tells their values alone,
/// and `5.10` is not `5.1`. Looks at nothing behind the last number that was asked for.
struct NumberTexts<'a> {
    rest: Cell<&'a str>,
}

impl<'a> NumberTexts<'a> {
    /// The next number of a text that is JSON up to there.
    fn next(&self) -> &'a str {
        let mut rest = self.rest.get();
        loop {
            let start = rest.bytes().position(|byte| matches!(byte, b'"' | b'-' | b'0'..=b'9'));
            rest = &rest[start.expect("the library has just read a number")..];
            let Some(text) = rest.strip_prefix('"') else { break };
            rest = after_text(text);
        }
        let is_within = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let (number, rest) = rest.split_at(rest.bytes().take_while(is_within).count());
        self.rest.set(rest);
        number
    }
}

/// What follows a text whose first quote is behind us.
fn after_text(mut text: &str) -> &str {
    loop {
        let end = memchr2(b'"', b'\\', text.as_bytes()).expect("the library has read this text");
        if text.as_bytes()[end] == b'"' {
            return &text[end + 1..];
        }
        // What is escaped is ASCII, so the text may be cut after it.
        text = &text[end + 2..];
    }
}

/// Builds one value; `depth` objects and arrays are open around it. A rule of ours that is broken
/// is noted in `broken`, since serde's errors carry text alone.
#[derive(Clone, Copy)]
struct JsonSeed<'a, 's> {
    bump: &'a Bump,
    broken: &'s Cell<Option<Code>>,
    numbers: &'s NumberTexts<'a>,
    depth: usize,
}

impl<'a, 's> JsonSeed<'a, 's> {
    fn fail<E: de::Error>(self, code: Code) -> E {
        self.broken.set(Some(code));
        E::custom("")
    }

    fn deeper<E: de::Error>(self) -> Result<JsonSeed<'a, 's>, E> {
        if self.depth == JSON_DEPTH_MAX {
            return Err(self.fail(Code::TooDeep));
        }
        Ok(JsonSeed { depth: self.depth + 1, ..self })
    }
}

impl<'a> DeserializeSeed<'a> for JsonSeed<'a, '_> {
    type Value = Json<'a>;

    fn deserialize<D: de::Deserializer<'a>>(self, deserializer: D) -> Result<Json<'a>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for JsonSeed<'a, '_> {
    type Value = Json<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Json<'a>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Json<'a>, E> {
        Ok(Json::Boolean(value))
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Json<'a>, E> {
        Ok(Json::Number(self.numbers.next()))
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Json<'a>, E> {
        Ok(Json::Number(self.numbers.next()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Json<'a>, E> {
        if !value.is_finite() {
            return Err(self.fail(Code::BadNumber));
        }
        Ok(Json::Number(self.numbers.next()))
    }

    fn visit_borrowed_str<E: de::Error>(self, value: &'a str) -> Result<Json<'a>, E> {
        Ok(Json::Text(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Json<'a>, E> {
        Ok(Json::Text(self.bump.alloc_str(value)))
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut list: A) -> Result<Json<'a>, A::Error> {
        let inner = self.deeper()?;
        let mut values = BumpVec::new_in(self.bump);
        while let Some(value) = list.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(Json::List(values.into_bump_slice()))
    }

    fn visit_map<A: MapAccess<'a>>(self, mut object: A) -> Result<Json<'a>, A::Error> {
        let inner = self.deeper()?;
        let mut members = BumpVec::new_in(self.bump);
        while let Some(name) = object.next_key_seed(MemberName { bump: self.bump })? {
            if members.len() == JSON_MEMBERS_MAX {
                return Err(self.fail(Code::TooManyMembers));
            }
            members.push((name, object.next_value_seed(inner)?));
        }
        if has_equal_names(&members, self.bump) {
            return Err(self.fail(Code::DuplicateKey));
        }
        Ok(Json::Object(members.into_bump_slice()))
    }
}

/// Sorted, so that a hostile object costs no square of its members.
fn has_equal_names(members: &[(&str, Json<'_>)], bump: &Bump) -> bool {
    let names = bump.alloc_slice_fill_iter(members.iter().map(|(name, _)| *name));
    names.sort_unstable();
    names.windows(2).any(|pair| pair[0] == pair[1])
}

/// Builds the name of a member.
struct MemberName<'a> {
    bump: &'a Bump,
}

impl<'a> DeserializeSeed<'a> for MemberName<'a> {
    type Value = &'a str;

    fn deserialize<D: de::Deserializer<'a>>(self, deserializer: D) -> Result<&'a str, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for MemberName<'a> {
    type Value = &'a str;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E: de::Error>(self, value: &'a str) -> Result<&'a str, E> {
        Ok(value)
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<&'a str, E> {
        Ok(self.bump.alloc_str(value))
    }
}

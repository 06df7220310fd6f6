//! Bodies of requests that are an object of few members, or that may not be there at all. A slip in
//! one is refused: what an operator wrote must not count for less than it says. Must not know what
//! members are for.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::answer::AdminAnswer;
use super::input::BadInput;
use nudged_base::limits::IGNORED_NAME_BYTES_MAX;
use nudged_config::near::nearest;

/// An object's members as they came, those of one name too: a map would keep the last of them.
struct Members(Vec<(String, Value)>);

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

/// The members of a body, in the order of the names that it may have.
///
/// # Errors
/// 400 where it is no object, has another member, or has one twice.
pub(super) fn read<const N: usize>(
    body: &[u8],
    names: [&'static str; N],
) -> Result<[Option<Value>; N], AdminAnswer> {
    let members: Members = serde_json::from_slice(body).map_err(|error| {
        let code = if error.is_data() { "bad_value" } else { "bad_json" };
        BadInput::new(code, "body")
    })?;
    let mut values = [const { None }; N];
    for (name, value) in members.0 {
        let Some(index) = names.iter().position(|known| *known == name) else {
            return Err(unknown(&name, &names));
        };
        if values[index].replace(value).is_some() {
            let line = format!("{name} may be given once");
            return Err(AdminAnswer::errors(400, "duplicate_key", Some(&name), &[line]));
        }
    }
    Ok(values)
}

/// Looks whether the body of a request is empty, or as good as. `operation` is for the message.
///
/// # Errors
/// 400 where it says anything.
pub(super) fn none(body: &[u8], operation: &str) -> Result<(), AdminAnswer> {
    let is_empty = || serde_json::from_slice::<Members>(body).is_ok_and(|all| all.0.is_empty());
    if body.trim_ascii().is_empty() || is_empty() {
        return Ok(());
    }
    let line = format!("{operation} takes no body");
    Err(AdminAnswer::errors(400, "unexpected_body", Some("body"), &[line]))
}

/// 400 for a member that the body may not have.
fn unknown(name: &str, known: &[&'static str]) -> AdminAnswer {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let may_be_told =
        (1..=IGNORED_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_plain);
    let mut line = format!("the body takes {}", known.join(", "));
    if let Some(meant) = nearest(name, known.iter().copied()) {
        line.push_str(&format!("; {meant} was probably meant"));
    }
    AdminAnswer::errors(
        400,
        "unknown_field",
        Some(if may_be_told { name } else { "body" }),
        &[line],
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(refused: AdminAnswer) -> (String, String, String) {
        assert_eq!(refused.status, 400);
        let body: Value = serde_json::from_slice(&refused.body).unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let error = &body["error"];
        (text(&error["code"]), text(&error["field"]), text(&body["errors"][0]))
    }

    #[test]
    fn members_are_known_and_there_once() {
        let names = ["name", "role"];
        assert_eq!(read(b"{}", names).unwrap(), [None, None]);
        let two = read(br#" {"role":[1],"name":null} "#, names).unwrap();
        assert_eq!(two, [Some(Value::Null), Some(json!([1]))]);
        for (body, code, field, words) in [
            ("", "bad_json", "body", ""),
            ("{", "bad_json", "body", ""),
            ("{}x", "bad_json", "body", ""),
            ("[]", "bad_value", "body", ""),
            ("null", "bad_value", "body", ""),
            (r#"{"nmae":1}"#, "unknown_field", "nmae", "name was probably meant"),
            (r#"{"x y":1}"#, "unknown_field", "body", "takes name, role"),
            (r#"{"name":1,"role":2,"name":1}"#, "duplicate_key", "name", "once"),
            (r#"{"name":1,"n\u0061me":1}"#, "duplicate_key", "name", "once"),
        ] {
            let (got, of, line) = refusal(read(body.as_bytes(), names).unwrap_err());
            assert_eq!((got.as_str(), of.as_str()), (code, field), "{body}");
            assert!(line.contains(words), "{body}: {line}");
        }
    }

    #[test]
    fn no_body_is_none_or_says_nothing() {
        for body in ["", " \r\n", "{}", " { } "] {
            assert!(none(body.as_bytes(), "POST /v1/x").is_ok(), "{body}");
        }
        for body in ["{\"until\":1}", "[]", "null", "0", "x", "{"] {
            let (code, field, line) = refusal(none(body.as_bytes(), "POST /v1/x").unwrap_err());
            assert_eq!((code.as_str(), field.as_str()), ("unexpected_body", "body"), "{body}");
            assert_eq!(line, "POST /v1/x takes no body");
        }
    }
}

//! Texts of requests, read strictly: a user in a path, moments and names in a query. Must not know
//! what they are for.

use bumpalo::Bump;
use jiff::Timestamp;
use serde_json::{Value, json};

use nudged_api::query;
use nudged_api::refusal::RequestRefusal;
use nudged_base::hex;
use nudged_base::limits::{POPUP_ID_BYTES_MAX, USER_BYTES_MAX};
use nudged_base::time::WallMs;

/// Why a request is a bad one: 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadInput {
    /// What is wrong, as the data API calls it.
    pub(super) code: &'static str,
    /// What of the request.
    pub(super) field: Option<&'static str>,
}

impl BadInput {
    pub(super) fn new(code: &'static str, field: &'static str) -> BadInput {
        BadInput { code, field: Some(field) }
    }
}

impl From<RequestRefusal> for BadInput {
    fn from(refusal: RequestRefusal) -> BadInput {
        let field = refusal.field.map(|field| field.name());
        BadInput { code: refusal.code.name(), field }
    }
}

/// The last segment of `/v1/users/{user}`: percent-decoded once, 1 to 128 bytes of UTF-8 without
/// control characters.
pub(super) fn user(segment: &str) -> Result<String, BadInput> {
    // In a path, `+` stands for itself.
    let bytes: Option<Vec<u8>> = hex::percent_decoded(segment.bytes()).collect();
    let bytes = bytes.ok_or(BadInput::new("bad_encoding", "user"))?;
    let user = String::from_utf8(bytes).map_err(|_| BadInput::new("invalid_utf8", "user"))?;
    check_user(&user).map(|()| user)
}

/// Looks whether a text can be a user: 1 to 128 bytes without control characters.
pub(super) fn check_user(user: &str) -> Result<(), BadInput> {
    if user.is_empty() {
        return Err(BadInput::new("empty", "user"));
    }
    if user.len() > USER_BYTES_MAX {
        return Err(BadInput::new("too_long", "user"));
    }
    if user.chars().any(char::is_control) {
        return Err(BadInput::new("control_character", "user"));
    }
    Ok(())
}

/// The values of some names of a query, whose names have been looked at.
pub(super) fn fields<'a, const N: usize>(
    query: &'a str,
    names: [&'static str; N],
    bump: &'a Bump,
) -> Result<[Option<&'a str>; N], BadInput> {
    let mut values = [None; N];
    for pair in query::pairs(query, bump) {
        let (name, value) = pair?;
        let Some(index) = names.iter().position(|known| *known == name) else { continue };
        if values[index].replace(value).is_some() {
            return Err(BadInput::new("duplicate_field", names[index]));
        }
    }
    Ok(values)
}

/// A moment: RFC 3339, or milliseconds since 1970.
pub(super) fn moment(text: &str, field: &'static str) -> Result<WallMs, BadInput> {
    let milliseconds = match text.parse::<i64>() {
        Ok(milliseconds) => Timestamp::from_millisecond(milliseconds).ok(),
        // In a query `+` is a space, and nobody encodes it in an offset.
        Err(_) => text.replace(' ', "+").parse::<Timestamp>().ok(),
    };
    let moment = milliseconds.ok_or(BadInput::new("bad_value", field))?;
    Ok(WallMs(moment.as_millisecond()))
}

/// A number of digits alone: `parse` would take a sign.
pub(super) fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Whether it is a popup's id.
pub(super) fn is_popup_id(id: &str) -> bool {
    (1..=POPUP_ID_BYTES_MAX).contains(&id.len())
        && id.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

/// A popup's place in a list: the number that it is sorted by, if by one, and its id.
pub(super) fn popup_place(text: &str) -> Option<(Option<i64>, &str)> {
    let (key, id) = match text.rsplit_once('.') {
        Some((key, id)) => (Some(key), id),
        None => (None, text),
    };
    let is_plain = |key: &str| number(key.strip_prefix('-').unwrap_or(key)).is_some();
    let key = match key {
        Some(key) => Some(key.parse().ok().filter(|_| is_plain(key))?),
        None => None,
    };
    is_popup_id(id).then_some((key, id))
}

/// A moment as RFC 3339 in UTC with milliseconds; a number where no calendar has it.
pub(super) fn moment_json(at: WallMs) -> Value {
    match Timestamp::from_millisecond(at.0) {
        Ok(moment) => json!(format!("{moment:.3}")),
        Err(_) => json!(at.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_decoded_once_and_bounded() {
        let long = "x".repeat(128);
        let longer = "x".repeat(129);
        let cases: &[(&str, Result<&str, &str>)] = &[
            ("u1", Ok("u1")),
            ("a%2Fb", Ok("a/b")),
            ("%2e%2e", Ok("..")),
            ("a%2525", Ok("a%25")),
            ("a+b", Ok("a+b")),
            ("%C3%A9", Ok("é")),
            (&long, Ok(&long)),
            (&longer, Err("too_long")),
            ("", Err("empty")),
            ("%", Err("bad_encoding")),
            ("%4", Err("bad_encoding")),
            ("%+1", Err("bad_encoding")),
            ("%ff", Err("invalid_utf8")),
            ("%00", Err("control_character")),
            ("a%0Ab", Err("control_character")),
        ];
        for (segment, want) in cases {
            let got = user(segment).map_err(|bad| bad.code);
            assert_eq!(got.as_deref().map_err(|code| *code), *want, "{segment}");
        }
    }

    #[test]
    fn moments_come_as_rfc_3339_or_milliseconds() {
        let at = WallMs(1_767_225_600_000);
        for text in [
            "2026-01-01T00:00:00Z",
            "2026-01-01T01:00:00+01:00",
            "2026-01-01T01:00:00 01:00",
            "1767225600000",
        ] {
            assert_eq!(moment(text, "at"), Ok(at), "{text}");
        }
        assert_eq!(moment_json(at), json!("2026-01-01T00:00:00.000Z"));
        for text in ["", "now", "2026-01-01", "9223372036854775807", "-9223372036854775808"] {
            assert_eq!(moment(text, "at"), Err(BadInput::new("bad_value", "at")), "{text}");
        }
    }

    #[test]
    fn fields_are_named_once() {
        let bump = Bump::new();
        let got = fields("from=1&x=2&popup=a%2D", ["popup", "from", "to"], &bump);
        assert_eq!(got, Ok([Some("a-"), Some("1"), None]));
        let got = fields("to=1&to=2", ["popup", "from", "to"], &bump);
        assert_eq!(got, Err(BadInput::new("duplicate_field", "to")));
    }
}

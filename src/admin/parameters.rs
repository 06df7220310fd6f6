//! Query parameters of the admin API: which an operation takes and what each may be. Whatever is
//! not so is refused with the form that is expected: an operator's slip must not be taken for an
//! answer. Must not know what parameters are for.

use bumpalo::Bump;
use serde_json::{Value, json};

use super::answer::AdminAnswer;
use super::input;
use nudged_api::query;
use nudged_base::limits::{IGNORED_NAME_BYTES_MAX, POPUP_ID_BYTES_MAX};
use nudged_config::near::nearest;
use nudged_domain::catalog::schedule::zone_named;

/// A parameter that an operation takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameter {
    /// Its name; one that ends in a dot stands for all names that begin so.
    pub(super) name: &'static str,
    /// What it may be.
    pub(super) form: ParameterForm,
    /// What it does, for the description of the API.
    about: &'static str,
    /// Whether the handler does without it.
    is_required: bool,
}

/// What a parameter may be.
#[derive(Clone, Copy, Debug)]
pub(super) enum ParameterForm {
    /// A number of digits alone, in this range.
    Number {
        /// The lowest.
        min: u64,
        /// The highest.
        max: u64,
    },
    /// RFC 3339, or milliseconds since 1970.
    Moment,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A zone of the tz database.
    Zone,
    /// A popup's id.
    PopupId,
    /// A text of up to so many bytes.
    Text(usize),
    /// What an answer gave as the begin of the next page: digits, in parts with dots between.
    Cursor,
    /// The place of a popup in a list: its id, behind the number that the list is sorted by and a
    /// dot where it is not sorted by ids.
    PopupPlace,
    /// What the data API makes of it.
    Data,
}

impl Parameter {
    const fn new(name: &'static str, form: ParameterForm, about: &'static str) -> Parameter {
        Parameter { name, form, about, is_required: false }
    }

    /// A number in a range.
    pub(super) const fn number(
        name: &'static str,
        (min, max): (u64, u64),
        about: &'static str,
    ) -> Parameter {
        Parameter::new(name, ParameterForm::Number { min, max }, about)
    }

    /// A moment.
    pub(super) const fn moment(name: &'static str, about: &'static str) -> Parameter {
        Parameter::new(name, ParameterForm::Moment, about)
    }

    /// One of some words.
    pub(super) const fn one_of(
        name: &'static str,
        words: &'static [&'static str],
        about: &'static str,
    ) -> Parameter {
        Parameter::new(name, ParameterForm::OneOf(words), about)
    }

    /// A text.
    pub(super) const fn text(
        name: &'static str,
        bytes_max: usize,
        about: &'static str,
    ) -> Parameter {
        Parameter::new(name, ParameterForm::Text(bytes_max), about)
    }

    /// A popup's id.
    pub(super) const fn popup_id(name: &'static str, about: &'static str) -> Parameter {
        Parameter::new(name, ParameterForm::PopupId, about)
    }

    /// A zone.
    pub(super) const fn zone(name: &'static str, about: &'static str) -> Parameter {
        Parameter::new(name, ParameterForm::Zone, about)
    }

    /// The begin of a page.
    pub(super) const fn cursor(name: &'static str, about: &'static str) -> Parameter {
        Parameter::new(name, ParameterForm::Cursor, about)
    }

    /// The place of a popup in a list.
    pub(super) const fn popup_place(name: &'static str, about: &'static str) -> Parameter {
        Parameter::new(name, ParameterForm::PopupPlace, about)
    }

    /// What the data API reads by its own rules.
    pub(super) const fn data(name: &'static str, about: &'static str) -> Parameter {
        Parameter::new(name, ParameterForm::Data, about)
    }

    /// The same, which has to be there.
    pub(super) const fn required(self) -> Parameter {
        Parameter { is_required: true, ..self }
    }

    fn is_named(&self, name: &str) -> bool {
        match self.name.strip_suffix('.') {
            Some(_) => name.len() > self.name.len() && name.starts_with(self.name),
            None => name == self.name,
        }
    }

    /// As the description of the API has it.
    pub(super) fn described(&self) -> Value {
        if self.name.ends_with('.') {
            return json!({
                "name": self.name.trim_end_matches('.'),
                "in": "query",
                "description": self.about,
                "style": "form",
                "explode": true,
                "schema": { "type": "object", "additionalProperties": { "type": "string" } },
            });
        }
        json!({
            "name": self.name,
            "in": "query",
            "required": self.is_required,
            "description": self.about,
            "schema": self.form.schema(),
        })
    }
}

impl ParameterForm {
    /// What is expected, behind "must be".
    fn words(self) -> String {
        match self {
            ParameterForm::Number { min, max } => format!("a number from {min} to {max}"),
            ParameterForm::Moment => "a moment: RFC 3339 such as 2026-03-01T00:00:00+01:00, or \
                                      milliseconds since 1970"
                .to_owned(),
            ParameterForm::OneOf(words) => format!("one of {}", words.join(", ")),
            ParameterForm::Zone => {
                "a zone of the tz database, such as Europe/Berlin or UTC".to_owned()
            }
            ParameterForm::PopupId => {
                format!("a popup's id, [a-z0-9_-]{{1,{POPUP_ID_BYTES_MAX}}}")
            }
            ParameterForm::Text(bytes_max) => {
                format!("a text of 1 to {bytes_max} bytes without control characters")
            }
            ParameterForm::Cursor | ParameterForm::PopupPlace => {
                "what the page before gave for the next one".to_owned()
            }
            ParameterForm::Data => "as /v1/decide takes it".to_owned(),
        }
    }

    /// The code of the refusal; `None` where the value is right.
    fn refusal(self, value: &str) -> Option<&'static str> {
        let is_right = match self {
            ParameterForm::Number { min, max } => {
                input::number(value).is_some_and(|number| (min..=max).contains(&number))
            }
            ParameterForm::Moment => input::moment(value, "").is_ok(),
            ParameterForm::OneOf(words) => words.contains(&value),
            ParameterForm::Zone => zone_named(value).is_some(),
            ParameterForm::PopupId => input::is_popup_id(value),
            ParameterForm::PopupPlace => input::popup_place(value).is_some(),
            ParameterForm::Text(_) if value.is_empty() => return Some("empty"),
            ParameterForm::Text(bytes_max) if value.len() > bytes_max => return Some("too_long"),
            ParameterForm::Text(_) if value.chars().any(char::is_control) => {
                return Some("control_character");
            }
            ParameterForm::Text(_) | ParameterForm::Data => true,
            ParameterForm::Cursor => {
                value.split('.').all(|part| !part.is_empty() && input::number(part).is_some())
            }
        };
        (!is_right).then_some("bad_value")
    }

    fn schema(self) -> Value {
        match self {
            ParameterForm::Number { min, max } => {
                json!({ "type": "integer", "minimum": min, "maximum": max })
            }
            ParameterForm::Moment => json!({
                "anyOf": [{ "type": "string", "format": "date-time" }, { "type": "integer" }],
            }),
            ParameterForm::OneOf(words) => json!({ "type": "string", "enum": words }),
            ParameterForm::PopupId => json!({
                "type": "string",
                "pattern": format!("^[a-z0-9_-]{{1,{POPUP_ID_BYTES_MAX}}}$"),
            }),
            ParameterForm::Text(bytes_max) => {
                let pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$";
                json!({ "type": "string", "pattern": pattern, "minLength": 1, "maxLength": bytes_max })
            }
            ParameterForm::Cursor => json!({ "type": "string", "pattern": "^[0-9]+(\\.[0-9]+)*$" }),
            ParameterForm::PopupPlace => json!({
                "type": "string",
                "pattern": format!("^(-?[0-9]{{1,19}}\\.)?[a-z0-9_-]{{1,{POPUP_ID_BYTES_MAX}}}$"),
            }),
            ParameterForm::Zone | ParameterForm::Data => json!({ "type": "string" }),
        }
    }
}

/// Looks whether a query has what an operation takes, and nothing else. `operation` is its method
/// and path, for the message.
///
/// # Errors
/// 400, with what is expected.
pub(super) fn check(
    query: &str,
    known: &[Parameter],
    operation: (&str, &str),
) -> Result<(), AdminAnswer> {
    let bump = Bump::new();
    let mut seen: Vec<&str> = Vec::new();
    for pair in query::pairs(query, &bump) {
        let (name, value) = pair.map_err(input::BadInput::from)?;
        let Some(parameter) = known.iter().find(|parameter| parameter.is_named(name)) else {
            return Err(unknown(name, known, operation));
        };
        if seen.contains(&name) {
            let line = format!("{name} may be given once");
            return Err(AdminAnswer::errors(400, "duplicate_field", Some(name), &[line]));
        }
        seen.push(name);
        if let Some(code) = parameter.form.refusal(value) {
            let line = format!("{} must be {}", parameter.name, parameter.form.words());
            return Err(AdminAnswer::errors(400, code, Some(parameter.name), &[line]));
        }
    }
    Ok(())
}

/// 400 for a name that the operation does not take.
fn unknown(name: &str, known: &[Parameter], (method, path): (&str, &str)) -> AdminAnswer {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let may_be_told =
        (1..=IGNORED_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_plain);
    let names: Vec<String> = known
        .iter()
        .map(|parameter| match parameter.name.ends_with('.') {
            true => format!("{}NAME", parameter.name),
            false => parameter.name.to_owned(),
        })
        .collect();
    let mut line = match names.is_empty() {
        true => format!("{method} {path} takes no query parameters"),
        false => format!("{method} {path} takes {}", names.join(", ")),
    };
    if let Some(meant) = nearest(name, known.iter().map(|parameter| parameter.name)) {
        line.push_str(&format!("; {meant} was probably meant"));
    }
    AdminAnswer::errors(400, "unknown_parameter", may_be_told.then_some(name), &[line])
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [Parameter; 7] = [
        Parameter::number("limit", (1, 10), ""),
        Parameter::moment("at", ""),
        Parameter::one_of("by", &["hour", "day"], ""),
        Parameter::text("q", 4, ""),
        Parameter::cursor("before", ""),
        Parameter::popup_place("after", ""),
        Parameter::data("attr.", ""),
    ];

    fn refusal(query: &str) -> Option<(String, Value, String)> {
        let answer = check(query, &KNOWN, ("GET", "/v1/x")).err()?;
        assert_eq!(answer.status, 400);
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        let code = body["error"]["code"].as_str().unwrap().to_owned();
        let line = body["errors"][0].as_str().unwrap_or_default().to_owned();
        Some((code, body["error"]["field"].clone(), line))
    }

    #[test]
    fn what_is_right_passes() {
        for query in [
            "",
            "limit=1",
            "limit=10&by=day",
            "at=2026-01-01T00:00:00Z",
            "at=5",
            "q=a+b",
            "before=17.0.3",
            "after=a-b_9",
            "after=-17.a",
            "attr.x=1&attr.y=",
        ] {
            assert_eq!(refusal(query), None, "{query}");
        }
    }

    #[test]
    fn what_is_wrong_is_refused_with_what_is_expected() {
        for (query, code, field, words) in [
            ("limit=0", "bad_value", json!("limit"), "from 1 to 10"),
            ("limit=", "bad_value", json!("limit"), "from 1 to 10"),
            ("limit=1&limit=1", "duplicate_field", json!("limit"), "once"),
            ("attr.x=1&attr.x=2", "duplicate_field", json!("attr.x"), "once"),
            ("at=now", "bad_value", json!("at"), "RFC 3339"),
            ("by=week", "bad_value", json!("by"), "one of hour, day"),
            ("q=", "empty", json!("q"), "1 to 4 bytes"),
            ("q=abcde", "too_long", json!("q"), "1 to 4 bytes"),
            ("q=%00", "control_character", json!("q"), "control"),
            ("before=1.", "bad_value", json!("before"), "page before"),
            ("after=A", "bad_value", json!("after"), "page before"),
            ("after=.a", "bad_value", json!("after"), "page before"),
            ("after=%2B1.a", "bad_value", json!("after"), "page before"),
            ("after=1.", "bad_value", json!("after"), "page before"),
            ("limt=1", "unknown_parameter", json!("limt"), "limit was probably meant"),
            ("attr.=1", "unknown_parameter", json!("attr."), "attr.NAME"),
            ("a%20b=1", "unknown_parameter", Value::Null, "takes limit, at, by"),
            ("q=%", "bad_encoding", json!("query"), ""),
        ] {
            let (got, of, line) = refusal(query).unwrap_or_else(|| panic!("{query}"));
            assert_eq!((got.as_str(), &of), (code, &field), "{query}");
            assert!(line.contains(words), "{query}: {line}");
        }
        let nothing = check("x=1", &[], ("GET", "/v1/x")).unwrap_err();
        let body = String::from_utf8(nothing.body).unwrap();
        assert!(body.contains("GET /v1/x takes no query parameters"), "{body}");
    }
}

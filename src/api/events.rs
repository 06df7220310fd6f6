//! Events as they are posted, and the reply that tells what became of each. Owns their fields and
//! codes; knows nothing of state: whether an event is late or a duplicate is the domain's word.
//!
//! Limits: [`EVENTS_PER_REQUEST_MAX`] elements of one request.

use bumpalo::Bump;

use super::ignored::{Ignored, Unknown};
use super::json::{self, Json};
use super::refusal::{Code, RequestField, RequestRefusal};
use super::reply::{JsonText, ResponseContext};
use super::token::{Keys, Token};
use nudged_base::limits::EVENTS_PER_REQUEST_MAX;
use nudged_base::time::WallMs;
use nudged_domain::catalog::target::{JsonNumber, parse_number};
use nudged_domain::state::apply::Action;

#[cfg(test)]
mod tests;

/// The members of an event.
const MEMBERS: [&str; 3] = ["decision", "action", "ts"];

/// One event, its decision verified.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event<'a> {
    /// The decision's token as it was sent, which is its one canonical text.
    pub token_text: &'a str,
    /// What the token says.
    pub token: Token<'a>,
    /// What the user did.
    pub action: Action,
    /// When, by the client's clock; to be clamped to [decision time, now].
    pub ts: Option<WallMs>,
}

/// Why one event is rejected, while the others of its request stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventCode {
    /// Not an object.
    BadEvent,
    /// `decision` is no token of ours.
    BadDecision,
    /// `action` is none of the five.
    UnknownAction,
    /// `ts` is not a number.
    BadTs,
    /// More than 7 days after the decision, or its show is no longer remembered.
    TooLate,
    /// In a decide request: of another user than the request's.
    OtherUser,
    /// The node could not take it in time; worth sending again.
    Overloaded,
}

impl EventCode {
    /// Every code, in the order of their numbers.
    pub const ALL: [EventCode; 7] = [
        EventCode::BadEvent,
        EventCode::BadDecision,
        EventCode::UnknownAction,
        EventCode::BadTs,
        EventCode::TooLate,
        EventCode::OtherUser,
        EventCode::Overloaded,
    ];

    /// Its place in [`EventCode::ALL`]: stays within the process.
    pub(super) fn number(self) -> u8 {
        self as u8
    }

    /// The code of a number that [`EventCode::number`] gave.
    pub(super) fn of_number(number: u8) -> EventCode {
        EventCode::ALL[usize::from(number)]
    }

    /// The code as clients see it.
    pub fn name(self) -> &'static str {
        match self {
            EventCode::BadEvent => "bad_event",
            EventCode::BadDecision => "bad_decision",
            EventCode::UnknownAction => "unknown_action",
            EventCode::BadTs => "bad_ts",
            EventCode::TooLate => "too_late",
            EventCode::OtherUser => "other_user",
            EventCode::Overloaded => "overloaded",
        }
    }
}

/// One element of a request, in its place.
pub type Element<'a> = Result<Event<'a>, EventCode>;

/// What events are read with.
#[derive(Clone, Copy, Debug)]
pub struct EventContext<'a, 'k> {
    /// Verify the tokens.
    pub keys: &'k Keys,
    /// The node's time, by which superseded keys end.
    pub now: WallMs,
    /// Where all that is read lies.
    pub bump: &'a Bump,
}

/// Reads the body of `POST /v1/events`: one event, or an array of up to 100, which may be empty.
/// Members that nobody knows go to `unknown`.
/// Allocates in scratch, and on the heap for escaped texts.
///
/// # Errors
/// 400 as [`json::parse`], and `wrong_type` or `too_many` on [`RequestField::Body`]. What is wrong
/// within one element rejects that element alone.
pub(crate) fn read_body<'a>(
    body: &'a [u8],
    reading: EventContext<'a, '_>,
    unknown: &mut Unknown<'a>,
) -> Result<&'a [Element<'a>], RequestRefusal> {
    match json::parse(body, reading.bump)? {
        Json::List(list) => read_list(list, RequestField::Body, reading, unknown),
        one @ Json::Object(_) => {
            Ok(reading.bump.alloc_slice_copy(&[read_element(&one, reading, unknown)]))
        }
        _ => Err(RequestRefusal::new(Code::WrongType, RequestField::Body)),
    }
}

/// Reads an array of events.
///
/// # Errors
/// 400 `too_many` on `field` beyond [`EVENTS_PER_REQUEST_MAX`] elements; no token of them is
/// looked at.
pub(crate) fn read_list<'a>(
    list: &'a [Json<'a>],
    field: RequestField,
    reading: EventContext<'a, '_>,
    unknown: &mut Unknown<'a>,
) -> Result<&'a [Element<'a>], RequestRefusal> {
    if list.len() > EVENTS_PER_REQUEST_MAX {
        return Err(RequestRefusal::new(Code::TooMany, field));
    }
    let elements = list.iter().map(|json| read_element(json, reading, unknown));
    Ok(reading.bump.alloc_slice_fill_iter(elements))
}

fn read_element<'a>(
    json: &Json<'a>,
    reading: EventContext<'a, '_>,
    unknown: &mut Unknown<'a>,
) -> Element<'a> {
    let Json::Object(members) = *json else {
        return Err(EventCode::BadEvent);
    };
    let names = members.iter().map(|(name, _)| *name);
    names.filter(|name| !MEMBERS.contains(name)).for_each(|name| unknown.add(name));
    let member = |name| members.iter().find(|member| member.0 == name).map(|member| member.1);
    let Some(Json::Text(token_text)) = member("decision") else {
        return Err(EventCode::BadDecision);
    };
    let action = match member("action") {
        Some(Json::Text(text)) => Action::parse(text).ok_or(EventCode::UnknownAction),
        _ => Err(EventCode::UnknownAction),
    };
    let ts = match member("ts") {
        None | Some(Json::Null) => Ok(None),
        Some(Json::Number(number)) => Ok(parse_number(number).map(milliseconds)),
        Some(_) => Err(EventCode::BadTs),
    };
    // The signature first: a text that we did not sign says nothing about the rest.
    let EventContext { keys, now, bump } = reading;
    let token = keys.open(token_text, bump, now).ok_or(EventCode::BadDecision)?;
    Ok(Event { token_text, token, action: action?, ts: ts? })
}

/// A time of the client is clamped anyway: parts of a millisecond are cut, and a time outside 64
/// bits becomes the first or the last one.
fn milliseconds(number: JsonNumber) -> WallMs {
    WallMs(match number {
        JsonNumber::Whole(whole) => {
            i64::try_from(whole).unwrap_or(if whole < 0 { i64::MIN } else { i64::MAX })
        }
        // This cast saturates, and numbers are finite.
        #[allow(clippy::cast_possible_truncation)]
        JsonNumber::Real(real) => real as i64,
    })
}

/// A rejected element: its place in the request, from 0, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Its place in the request, from 0.
    pub index: u32,
    /// Why.
    pub code: EventCode,
}

/// What became of a request's events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary<'a> {
    /// Accepted, as durable as `ack` says.
    pub accepted: u32,
    /// Repeated, so that nothing changed.
    pub duplicate: u32,
    /// The others, by their place in the request.
    pub rejected: &'a [Rejection],
}

impl Summary<'_> {
    /// Bytes of the summary as JSON, about: to size scratch.
    pub(super) fn bytes_expected(&self) -> usize {
        64 + self.rejected.len() * 48
    }

    /// Appends `{"accepted":N,"duplicate":N,"rejected":[{"index":I,"code":"..."}]}`.
    pub(super) fn write(&self, json: &mut JsonText<'_>) {
        self.open(json);
        json.raw("}");
    }

    fn open(&self, json: &mut JsonText<'_>) {
        json.raw("{\"accepted\":").number(self.accepted);
        json.raw(",\"duplicate\":").number(self.duplicate);
        json.raw(",\"rejected\":[");
        for (place, rejection) in self.rejected.iter().enumerate() {
            json.raw(if place == 0 { "{\"index\":" } else { ",{\"index\":" });
            json.number(rejection.index);
            json.raw(",\"code\":\"").raw(rejection.code.name()).raw("\"}");
        }
        json.raw("]");
    }
}

/// Appends the 202 of `POST /v1/events`, with `"ignored":["..."]` where there are names to tell;
/// gives the status. Allocates in `bump`, and where `out` has to grow.
pub(crate) fn write_accepted(
    out: &mut Vec<u8>,
    response: &ResponseContext<'_>,
    summary: &Summary<'_>,
    ignored: &Ignored<'_>,
    bump: &Bump,
) -> u16 {
    const STATUS: u16 = 202;
    let mut json = JsonText::new(bump, summary.bytes_expected());
    summary.open(&mut json);
    for (place, name) in ignored.names.iter().enumerate() {
        json.raw(if place == 0 { ",\"ignored\":[" } else { "," }).text(name);
    }
    json.raw(if ignored.names.is_empty() { "}" } else { "]}" });
    response.start(out, STATUS);
    response.end_json(out, json.as_bytes());
    STATUS
}

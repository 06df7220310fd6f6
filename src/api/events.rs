//! Events as they are posted. Owns their fields and codes; knows nothing of state: whether an event
//! is late or a duplicate is the domain's word.
//!
//! Limits: [`EVENTS_PER_REQUEST_MAX`] elements of one request.

use bumpalo::Bump;

use super::binary::binary_table;
use super::ignored::Unknown;
use super::json::{self, Json};
use super::refusal::{Code, RequestField, RequestRefusal};
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

named! {
    /// Why one event is rejected, while the others of its request stand.
    pub enum EventCode {
        /// Not an object.
        BadEvent = "bad_event",
        /// `decision` is no token of ours.
        BadDecision = "bad_decision",
        /// `action` is none of the five.
        UnknownAction = "unknown_action",
        /// `ts` is not a number.
        BadTs = "bad_ts",
        /// More than 7 days after the decision, or its show is no longer remembered.
        TooLate = "too_late",
        /// In a decide request: of another user than the request's.
        OtherUser = "other_user",
        /// Its user sends more than it may; worth sending again, later.
        RateLimited = "rate_limited",
        /// The node could not take it in time; worth sending again.
        Overloaded = "overloaded",
    }
}

binary_table!(EventCode);

/// One element of a request, in its place.
pub type Element<'a> = Result<Event<'a>, EventCode>;

/// What events are read with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventContext<'a, 'k> {
    /// Verify the tokens.
    pub keys: &'k Keys,
    /// The node's time, by which superseded keys end.
    pub now: WallMs,
    /// Where all that is read lies.
    pub bump: &'a Bump,
}

/// Reads the body of `POST /v1/events`: one event, or an array of up to 100, which may be empty.
/// Members that nobody knows go to `unknown`. Allocates in scratch alone.
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

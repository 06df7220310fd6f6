//! Replies of `/v1/decide`: a popup, nothing, or an explanation. Owns their form; knows nothing of
//! why.

use bumpalo::Bump;

use super::events::Summary;
use super::ignored::Ignored;
use super::reply::{JsonText, ResponseContext};
use nudged_base::limits::{EXPIRES_IN_S, NEXT_IN_S_MAX};
use nudged_http::reply;

#[cfg(test)]
mod tests;

/// The popup that a decision returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown<'a> {
    /// The decision's token.
    pub decision: &'a str,
    /// The popup's id.
    pub popup: &'a str,
    /// The popup's version.
    pub version: u32,
    /// The key of the variant; empty for none, which the reply gives as null.
    pub variant: &'a str,
    /// The content, JSON as it is sent.
    pub content: &'a str,
}

/// What any reply of decide may carry beside the decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extras<'a> {
    /// The id that was minted for a request without a user.
    pub anonymous: Option<&'a str>,
    /// What became of the request's events, where it had any.
    pub events: Option<Summary<'a>>,
    /// What the request said that nobody knows.
    pub ignored: Ignored<'a>,
}

impl Extras<'_> {
    fn bytes_expected(&self) -> usize {
        64 + self.events.map_or(0, |events| events.bytes_expected())
    }

    /// Appends the members `anon` and `events`, each where there is one, and closes the object.
    fn close(&self, json: &mut JsonText<'_>) {
        if let Some(anonymous) = self.anonymous {
            json.raw(",\"anon\":").text(anonymous);
        }
        if let Some(events) = self.events {
            json.raw(",\"events\":");
            events.write(json);
        }
        json.raw("}");
    }
}

/// Appends the 200 that shows a popup. Allocates in `bump`, and where `out` has to grow.
pub(crate) fn write_show(
    out: &mut Vec<u8>,
    response: &ResponseContext<'_>,
    shown: &Shown<'_>,
    extras: &Extras<'_>,
    bump: &Bump,
) {
    let mut json = JsonText::new(bump, shown.bytes_expected() + extras.bytes_expected());
    shown.open(&mut json);
    extras.close(&mut json);
    response.start(out, 200);
    extras.ignored.write_field(out);
    response.end_json(out, json.as_bytes());
}

impl Shown<'_> {
    fn bytes_expected(&self) -> usize {
        self.decision.len() + self.popup.len() + self.variant.len() + self.content.len() + 128
    }

    /// Opens the object with its members `decision popup expires_in`.
    fn open(&self, json: &mut JsonText<'_>) {
        json.raw("{\"decision\":").text(self.decision);
        json.raw(",\"popup\":{\"id\":").text(self.popup);
        json.raw(",\"version\":").number(self.version);
        let variant = Some(self.variant).filter(|variant| !variant.is_empty());
        json.raw(",\"variant\":").text_or_null(variant);
        json.raw(",\"content\":").raw(self.content);
        json.raw("},\"expires_in\":").number(EXPIRES_IN_S);
    }
}

/// Appends the 204 that shows nothing: `Nudge-Reason`, and where there is one `Nudge-Next`, in
/// seconds from 1 to 86,400, `Nudge-Anon`, `Nudge-Events` and `Nudge-Ignored`. Allocates
/// only where `out` has to grow.
///
/// # Panics
/// Outside release, where `next_in_s` is out of range.
pub(crate) fn write_nothing(
    out: &mut Vec<u8>,
    response: &ResponseContext<'_>,
    reason: &str,
    next_in_s: Option<u32>,
    extras: &Extras<'_>,
) {
    debug_assert!(next_in_s.is_none_or(|next| (1..=NEXT_IN_S_MAX).contains(&next)));
    response.start(out, 204);
    reply::field(out, "Nudge-Reason", reason.as_bytes());
    let mut digits = itoa::Buffer::new();
    if let Some(next_in_s) = next_in_s {
        reply::field(out, "Nudge-Next", digits.format(next_in_s).as_bytes());
    }
    if let Some(anonymous) = extras.anonymous {
        reply::field(out, "Nudge-Anon", anonymous.as_bytes());
    }
    if let Some(events) = &extras.events {
        write_events_field(out, events);
    }
    extras.ignored.write_field(out);
    reply::end_without_body(out);
}

/// Longest value of `Nudge-Events`, in bytes: three names with `=`, two commas, three numbers.
const EVENTS_FIELD_BYTES_MAX: usize = 29 + 2 + 3 * 20;

fn write_events_field(out: &mut Vec<u8>, events: &Summary<'_>) {
    let mut value = [0; EVENTS_FIELD_BYTES_MAX];
    let mut used = 0;
    let mut put = |text: &str| {
        value[used..used + text.len()].copy_from_slice(text.as_bytes());
        used += text.len();
    };
    let mut digits = itoa::Buffer::new();
    put("accepted=");
    put(digits.format(events.accepted));
    put(",duplicate=");
    put(digits.format(events.duplicate));
    put(",rejected=");
    put(digits.format(events.rejected.len()));
    reply::field(out, "Nudge-Events", &value[..used]);
}

/// A popup that was weighed, and the gate that it failed at; `None` where it passed all.
pub type NamedCandidate<'a> = (&'a str, Option<&'a str>);

/// Why a decision came out as it did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Explanation<'a> {
    /// The popup that was returned.
    pub shown: Option<Shown<'a>>,
    /// Why nothing was; `None` where a popup was.
    pub reason: Option<&'a str>,
    /// Seconds after which asking again can help.
    pub next_in_s: Option<u32>,
    /// The popups that were weighed.
    pub candidates: &'a [NamedCandidate<'a>],
}

/// Appends the 200 that explains: the members of a show, `decision` and `popup` null for nothing,
/// with `reason`, `next_in` and `candidates`. Allocates in `bump`, and where `out` has to grow.
pub(crate) fn write_explain(
    out: &mut Vec<u8>,
    response: &ResponseContext<'_>,
    explanation: &Explanation<'_>,
    extras: &Extras<'_>,
    bump: &Bump,
) {
    let shown_bytes = explanation.shown.map_or(64, |shown| shown.bytes_expected());
    let candidates_bytes = explanation.candidates.len() * 64;
    let bytes_expected = shown_bytes + candidates_bytes + extras.bytes_expected();
    let mut json = JsonText::new(bump, bytes_expected);
    match &explanation.shown {
        Some(shown) => shown.open(&mut json),
        None => {
            json.raw("{\"decision\":null,\"popup\":null");
        }
    }
    json.raw(",\"reason\":").text_or_null(explanation.reason);
    json.raw(",\"next_in\":");
    match explanation.next_in_s {
        Some(next_in_s) => json.number(next_in_s),
        None => json.raw("null"),
    };
    json.raw(",\"candidates\":[");
    for (place, (id, gate)) in explanation.candidates.iter().enumerate() {
        json.raw(if place == 0 { "{\"id\":" } else { ",{\"id\":" }).text(id);
        json.raw(",\"gate\":").text_or_null(*gate).raw("}");
    }
    json.raw("]");
    extras.close(&mut json);
    response.start(out, 200);
    extras.ignored.write_field(out);
    response.end_json(out, json.as_bytes());
}

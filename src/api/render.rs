//! Outcomes as the bytes of their replies: written once, at the edge, by the catalog that each was
//! decided by. Owns the form of the replies of `/v1/decide` and `/v1/events`; knows nothing of why
//! they came out so.

use bumpalo::Bump;

use super::ignored::Ignored;
use super::look::Looked;
use super::nothing;
use super::outcome::{Candidate, Decided, Outcome, Verdicts};
use super::refusal::{Code, RequestField, RequestRefusal, write_journal_full, write_refusal};
use super::reply::{JsonText, ResponseContext};
use super::verdict::{Verdict, tally, write_accepted, write_preview, write_verdicts};
use nudged_base::limits::{EXPIRES_IN_S, NEXT_IN_S_MAX};
use nudged_base::rate::OverRate;
use nudged_domain::catalog::snapshot::Snapshot;
use nudged_domain::decide::choose::{Decision, Reason};
use nudged_domain::decide::gates::Gate;
use nudged_http::reply;

#[cfg(test)]
mod tests;

/// What a reply is written with.
#[derive(Clone, Copy, Debug)]
pub struct Rendering<'r> {
    /// What its head is made from.
    pub response: ResponseContext<'r>,
    /// The catalog that the outcome's popups are of; `None` where it names none.
    pub snapshot: Option<&'r Snapshot>,
    /// Why the node's own disk takes nothing, for people; `None` while it does.
    pub disk_lack: Option<&'r str>,
    /// Scratch.
    pub bump: &'r Bump,
}

impl<'r> Rendering<'r> {
    /// Appends the reply of an outcome. Allocates in `bump`, and where `out` has to grow.
    ///
    /// # Panics
    /// Where the outcome is an operator's, which is no reply of this API; outside release, where
    /// `next_in_s` is out of range.
    pub fn write(&self, outcome: &Outcome<'_>, out: &mut Vec<u8>) {
        match outcome {
            Outcome::Decided(decided) => match (decided.decision, decided.candidates) {
                (Decision::Nothing { reason, next_in_s }, None) => {
                    self.write_nothing(decided, (reason, next_in_s), out);
                }
                _ => self.write_decision(decided, out),
            },
            Outcome::Verdicts(verdicts) => self.write_verdicts(verdicts, out),
            Outcome::Looked(looked) => self.write_looked(looked, out),
            Outcome::RateLimited(over) => {
                write_refusal(out, &self.response, RequestRefusal::over_rate(*over, None));
            }
            Outcome::Overloaded => {
                write_refusal(out, &self.response, Code::Overloaded.into());
            }
            Outcome::State(_) | Outcome::Erased { .. } | Outcome::Kept | Outcome::Unavailable => {
                unreachable!("no connection asks for {outcome:?}")
            }
        }
    }

    /// Appends the 204 that shows nothing: `Nudge-Reason`, and where there is one `Nudge-Next`, in
    /// seconds from 1 to 86,400, `Nudge-Anon`, `Nudge-Events`, `Nudge-Preview` and
    /// `Nudge-Ignored`.
    fn write_nothing(
        &self,
        decided: &Decided<'_>,
        (reason, next_in_s): (Reason, Option<u32>),
        out: &mut Vec<u8>,
    ) {
        debug_assert!(next_in_s.is_none_or(|next| (1..=NEXT_IN_S_MAX).contains(&next)));
        nothing::write_begin(&self.response, out);
        nothing::write_reason(reason, next_in_s, out);
        if let Some(anonymous) = decided.anonymous {
            reply::field(out, "Nudge-Anon", anonymous.as_bytes());
        }
        if !decided.verdicts.is_empty() {
            let [accepted, duplicate, rejected] = tally(decided.verdicts.iter().copied());
            let mut value = JsonText::new(self.bump, 64);
            value.raw("accepted=").number(accepted);
            value.raw(",duplicate=").number(duplicate).raw(",rejected=").number(rejected);
            reply::field(out, "Nudge-Events", value.as_bytes());
        }
        write_of_preview(decided, out);
        Ignored { names: decided.ignored, count: 0 }.write_field(out);
        reply::end_without_body(out);
    }

    /// Appends the 200 that shows a popup, or explains what was decided: `decision`, `popup` and
    /// `expires_in`, where asked for `reason`, `next_in` and `candidates`, then `anon` and `events`
    /// where there are any.
    fn write_decision(&self, decided: &Decided<'_>, out: &mut Vec<u8>) {
        let explained = decided.candidates.unwrap_or_default();
        let expected = 320 + 64 * explained.len() + 48 * decided.verdicts.len();
        let mut json = JsonText::new(self.bump, expected + self.content(decided).len());
        self.open(decided, &mut json);
        if decided.candidates.is_some() {
            self.explain(decided.decision, explained, &mut json);
        }
        if let Some(anonymous) = decided.anonymous {
            json.raw(",\"anon\":").text(anonymous);
        }
        if !decided.verdicts.is_empty() {
            json.raw(",\"events\":{");
            write_verdicts(decided.verdicts.iter().copied(), &mut json);
            json.raw("}");
        }
        json.raw("}");
        self.response.start(out, 200);
        write_of_preview(decided, out);
        Ignored { names: decided.ignored, count: 0 }.write_field(out);
        self.response.end_json(out, json.as_bytes());
    }

    /// The content that is shown, JSON as it is sent; empty for none.
    fn content(&self, decided: &Decided<'_>) -> &'r str {
        match decided.decision {
            Decision::Show { popup, variant } => {
                let variant = &self.catalog().popups[popup as usize].variants[variant];
                &variant.content_at(decided.locale).0
            }
            Decision::Nothing { .. } => "",
        }
    }

    fn open(&self, decided: &Decided<'_>, json: &mut JsonText<'_>) {
        let Decision::Show { popup, variant } = decided.decision else {
            json.raw("{\"decision\":null,\"popup\":null");
            return;
        };
        let popup = &self.catalog().popups[popup as usize];
        let variant = Some(&*popup.variants[variant].key).filter(|key| !key.is_empty());
        // A token is of letters, digits, `-` and `_`.
        json.raw("{\"decision\":\"").raw(decided.token);
        json.raw("\",\"popup\":{\"id\":").text(&popup.id);
        json.raw(",\"version\":").number(popup.version);
        json.raw(",\"variant\":").text_or_null(variant);
        json.raw(",\"content\":").raw(self.content(decided));
        json.raw("},\"expires_in\":").number(EXPIRES_IN_S);
    }

    fn explain(&self, decision: Decision, candidates: &[Candidate], json: &mut JsonText<'_>) {
        let (reason, next_in_s) = match decision {
            Decision::Show { .. } => (None, None),
            Decision::Nothing { reason, next_in_s } => (Some(reason.as_str()), next_in_s),
        };
        json.raw(",\"reason\":").text_or_null(reason).raw(",\"next_in\":");
        match next_in_s {
            Some(next_in_s) => json.number(next_in_s),
            None => json.raw("null"),
        };
        json.raw(",\"candidates\":[");
        for (place, (popup, gate)) in candidates.iter().enumerate() {
            let id = &self.catalog().popups[*popup as usize].id;
            json.raw(if place == 0 { "{\"id\":" } else { ",{\"id\":" }).text(id);
            json.raw(",\"gate\":").text_or_null(gate.map(Gate::as_str)).raw("}");
        }
        json.raw("]");
    }

    fn catalog(&self) -> &'r Snapshot {
        self.snapshot.expect("an outcome that names popups has their catalog")
    }

    /// Appends the 200 that says what would be on screen, or the 404 where there is no such popup.
    fn write_looked(&self, looked: &Looked<'_>, out: &mut Vec<u8>) {
        let Some((snapshot, index)) = self.snapshot.zip(looked.popup) else {
            let refusal = RequestRefusal::new(Code::NotFound, RequestField::Popup);
            write_refusal(out, &self.response, refusal);
            return;
        };
        let popup = &snapshot.popups[index as usize];
        let variant = &popup.variants[looked.variant];
        let content = &variant.content_at(looked.locale).0;
        let mut json = JsonText::new(self.bump, 320 + content.len());
        json.raw("{\"popup\":{\"id\":").text(&popup.id);
        json.raw(",\"version\":").number(popup.version);
        let key = Some(&*variant.key).filter(|key| !key.is_empty());
        json.raw(",\"variant\":").text_or_null(key);
        json.raw(",\"content\":").raw(content);
        json.raw("},\"status\":").text(popup.status.word());
        let would_pass = if looked.gates.is_empty() { "true" } else { "false" };
        json.raw(",\"would_pass\":").raw(would_pass).raw(",\"gates\":[");
        for (place, (gate, opens_at)) in looked.gates.iter().enumerate() {
            json.raw(if place == 0 { "{\"gate\":" } else { ",{\"gate\":" }).text(gate.as_str());
            let opens_at = opens_at.map(|at| at.rfc3339().to_string());
            json.raw(",\"opens_at\":").text_or_null(opens_at.as_deref()).raw("}");
        }
        json.raw("],\"degraded\":").raw(if looked.is_degraded { "true}" } else { "false}" });
        self.response.start(out, 200);
        Ignored { names: looked.ignored, count: 0 }.write_field(out);
        self.response.end_json(out, json.as_bytes());
    }

    fn write_verdicts(&self, verdicts: &Verdicts<'_>, out: &mut Vec<u8>) {
        let (response, bump) = (&self.response, self.bump);
        let all = verdicts.verdicts.iter().map(|(_, verdict)| *verdict);
        let is_refused = all.clone().any(|verdict| verdict == Verdict::UNAVAILABLE)
            && !all.clone().any(Verdict::rests_on_record);
        if is_refused {
            return write_journal_full(out, response, self.disk_lack, bump);
        }
        if !verdicts.verdicts.is_empty() && all.clone().all(|one| one == Verdict::RATE_LIMITED) {
            let over = OverRate { after_s: verdicts.after_s.max(1) };
            write_refusal(out, response, RequestRefusal::over_rate(over, None));
            return;
        }
        let ignored = Ignored { names: verdicts.ignored, count: 0 };
        write_accepted(out, response, all, &ignored, bump);
    }
}

/// Appends `Nudge-Preview` where the answer, or an event that came with the request, is of one.
fn write_of_preview(decided: &Decided<'_>, out: &mut Vec<u8>) {
    if decided.is_preview || decided.verdicts.contains(&Verdict::Dropped) {
        write_preview(out);
    }
}

//! What became of the events of a request, and the reply that tells it.

use bumpalo::Bump;

use super::binary::{Binary, Reader};
use super::events::EventCode;
use super::ignored::Ignored;
use super::reply::{JsonText, ResponseContext};
use nudged_http::reply;

/// What became of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It changed the state.
    Accepted,
    /// It was known.
    Duplicate,
    /// It is of a preview: taken, and told nobody.
    Dropped,
    /// It changed nothing.
    Rejected(EventCode),
}

/// What became of an event, and its place in the request, from 0.
pub type PlacedVerdict = (u8, Verdict);

impl Verdict {
    /// Not taken: worth sending again.
    pub const UNAVAILABLE: Verdict = Verdict::Rejected(EventCode::Overloaded);
    /// Its user sends more than it may.
    pub const RATE_LIMITED: Verdict = Verdict::Rejected(EventCode::RateLimited);
    /// Its show is too old or no longer remembered.
    pub const TOO_LATE: Verdict = Verdict::Rejected(EventCode::TooLate);
    /// Of another user than the request's.
    pub const OTHER_USER: Verdict = Verdict::Rejected(EventCode::OtherUser);

    /// The verdict as a number, which stays within the process.
    pub(super) fn number(self) -> u8 {
        match self {
            Verdict::Accepted => 0,
            Verdict::Duplicate => 1,
            Verdict::Dropped => 2,
            Verdict::Rejected(code) => 3 + code as u8,
        }
    }

    /// Whether the verdict is true only while the record behind it is kept.
    pub fn rests_on_record(self) -> bool {
        matches!(self, Verdict::Accepted | Verdict::Duplicate)
    }

    /// The verdict where that record was not kept: what was not stored did not happen, and is worth
    /// sending again.
    #[must_use]
    pub fn unless_kept(self) -> Verdict {
        if self.rests_on_record() { Verdict::UNAVAILABLE } else { self }
    }
}

impl Binary<'_> for Verdict {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(self.number());
    }

    fn take(reader: &mut Reader<'_>) -> Verdict {
        match u8::take(reader) {
            0 => Verdict::Accepted,
            1 => Verdict::Duplicate,
            2 => Verdict::Dropped,
            code => Verdict::Rejected(EventCode::ALL[usize::from(code - 3)]),
        }
    }
}

/// How many events were accepted, repeated and rejected.
pub(super) fn tally(verdicts: impl Iterator<Item = Verdict>) -> [u32; 3] {
    verdicts.fold([0; 3], |[accepted, duplicate, rejected], verdict| match verdict {
        Verdict::Accepted | Verdict::Dropped => [accepted + 1, duplicate, rejected],
        Verdict::Duplicate => [accepted, duplicate + 1, rejected],
        Verdict::Rejected(_) => [accepted, duplicate, rejected + 1],
    })
}

/// Appends `"accepted":N,"duplicate":N,"rejected":[{"index":I,"code":"..."}]`, of one verdict for
/// each element of a request, in their order.
pub(super) fn write_verdicts(
    verdicts: impl Iterator<Item = Verdict> + Clone,
    json: &mut JsonText<'_>,
) {
    let [accepted, duplicate, _] = tally(verdicts.clone());
    json.raw("\"accepted\":").number(accepted).raw(",\"duplicate\":").number(duplicate);
    json.raw(",\"rejected\":[");
    let mut separator = "";
    for (index, verdict) in (0..).zip(verdicts) {
        if let Verdict::Rejected(code) = verdict {
            json.raw(separator).raw("{\"index\":").number(index);
            json.raw(",\"code\":\"").raw(code.name()).raw("\"}");
            separator = ",";
        }
    }
    json.raw("]");
}

/// Appends the field of an answer to whom nothing of it is remembered.
pub(super) fn write_preview(out: &mut Vec<u8>) {
    reply::field(out, "Nudge-Preview", b"1");
}

/// Appends the 202 of `POST /v1/events`, with `"ignored":["..."]` where there are names to tell;
/// gives the status. Allocates in `bump`, and where `out` has to grow.
pub(super) fn write_accepted(
    out: &mut Vec<u8>,
    response: &ResponseContext<'_>,
    verdicts: impl ExactSizeIterator<Item = Verdict> + Clone,
    ignored: &Ignored<'_>,
    bump: &Bump,
) -> u16 {
    const STATUS: u16 = 202;
    let mut json = JsonText::new(bump, 64 + 48 * verdicts.len());
    json.raw("{");
    write_verdicts(verdicts.clone(), &mut json);
    for (place, name) in ignored.names.iter().enumerate() {
        json.raw(if place == 0 { ",\"ignored\":[" } else { "," }).text(name);
    }
    json.raw(if ignored.names.is_empty() { "}" } else { "]}" });
    response.start(out, STATUS);
    if { verdicts }.any(|verdict| verdict == Verdict::Dropped) {
        write_preview(out);
    }
    response.end_json(out, json.as_bytes());
    STATUS
}

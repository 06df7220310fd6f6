//! What became of the events of a request.

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use super::events::{EventCode, Rejection, Summary};

/// What became of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It changed the state.
    Accepted,
    /// It was known.
    Duplicate,
    /// It changed nothing.
    Rejected(EventCode),
}

/// What became of an event, and its place in the request, from 0.
pub type PlacedVerdict = (u8, Verdict);

impl Verdict {
    /// Not taken: worth sending again.
    pub const UNAVAILABLE: Verdict = Verdict::Rejected(EventCode::Overloaded);
    /// Its show is too old or no longer remembered.
    pub const TOO_LATE: Verdict = Verdict::Rejected(EventCode::TooLate);
    /// Of another user than the request's.
    pub const OTHER_USER: Verdict = Verdict::Rejected(EventCode::OtherUser);

    /// The verdict as a number, which stays within the process.
    pub(super) fn number(self) -> u8 {
        match self {
            Verdict::Accepted => 0,
            Verdict::Duplicate => 1,
            Verdict::Rejected(code) => 2 + code.number(),
        }
    }

    /// The verdict of a number that [`Verdict::number`] gave.
    pub(super) fn of_number(number: u8) -> Verdict {
        match number {
            0 => Verdict::Accepted,
            1 => Verdict::Duplicate,
            code => Verdict::Rejected(EventCode::of_number(code - 2)),
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

/// Counts verdicts, one for each element in order, for a reply. Lies in scratch.
pub(super) fn summarize<'a>(verdicts: &[Verdict], bump: &'a Bump) -> Summary<'a> {
    let mut rejected = BumpVec::new_in(bump);
    let (mut accepted, mut duplicate) = (0, 0);
    for (index, verdict) in (0..).zip(verdicts) {
        match verdict {
            Verdict::Accepted => accepted += 1,
            Verdict::Duplicate => duplicate += 1,
            Verdict::Rejected(code) => rejected.push(Rejection { index, code: *code }),
        }
    }
    Summary { accepted, duplicate, rejected: rejected.into_bump_slice() }
}

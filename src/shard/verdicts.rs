//! What became of each event of a request, as bytes: pairs of the element's index and its verdict.
//! The form in which a part of a request travels between shards and waits for the journal.

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use crate::api::events::{EventCode, Rejection, Summary};

/// What became of one event. The numbers stay within the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Verdict {
    /// It changed the state.
    Accepted = 0,
    /// It was known.
    Duplicate = 1,
    /// Its show is too old or no longer remembered.
    TooLate = 2,
    /// Of another user than the request's.
    OtherUser = 3,
    /// Not taken: worth sending again.
    Unavailable = 4,
    /// Not an object.
    BadEvent = 5,
    /// No token of ours.
    BadDecision = 6,
    /// None of the actions.
    UnknownAction = 7,
    /// Not a time.
    BadTs = 8,
}

impl Verdict {
    /// The verdict of an element that was refused while it was read.
    pub fn of_code(code: EventCode) -> Verdict {
        match code {
            EventCode::BadEvent => Verdict::BadEvent,
            EventCode::BadDecision => Verdict::BadDecision,
            EventCode::UnknownAction => Verdict::UnknownAction,
            EventCode::BadTs => Verdict::BadTs,
            EventCode::TooLate => Verdict::TooLate,
            EventCode::OtherUser => Verdict::OtherUser,
            EventCode::Overloaded => Verdict::Unavailable,
        }
    }

    /// The verdict's number read back.
    pub fn of_byte(byte: u8) -> Verdict {
        match byte {
            0 => Verdict::Accepted,
            1 => Verdict::Duplicate,
            2 => Verdict::TooLate,
            3 => Verdict::OtherUser,
            5 => Verdict::BadEvent,
            6 => Verdict::BadDecision,
            7 => Verdict::UnknownAction,
            8 => Verdict::BadTs,
            _ => Verdict::Unavailable,
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
        if self.rests_on_record() { Verdict::Unavailable } else { self }
    }

    /// The verdict as a counter's label.
    pub fn name(self) -> &'static str {
        self.code().map_or("accepted", EventCode::name)
    }

    fn code(self) -> Option<EventCode> {
        Some(match self {
            Verdict::Accepted | Verdict::Duplicate => return None,
            Verdict::TooLate => EventCode::TooLate,
            Verdict::OtherUser => EventCode::OtherUser,
            Verdict::Unavailable => EventCode::Overloaded,
            Verdict::BadEvent => EventCode::BadEvent,
            Verdict::BadDecision => EventCode::BadDecision,
            Verdict::UnknownAction => EventCode::UnknownAction,
            Verdict::BadTs => EventCode::BadTs,
        })
    }
}

/// Appends one element's verdict.
pub fn put(index: usize, verdict: Verdict, out: &mut Vec<u8>) {
    out.push(u8::try_from(index).expect("at most 100 events a request"));
    out.push(verdict as u8);
}

/// Appends a part's verdicts as they are where their records were not kept.
pub fn put_unkept(part: &[u8], out: &mut Vec<u8>) {
    for (index, verdict) in pairs(part) {
        put(index, verdict.unless_kept(), out);
    }
}

/// The verdicts of a part.
pub fn pairs(bytes: &[u8]) -> impl Iterator<Item = (usize, Verdict)> {
    bytes.chunks_exact(2).map(|pair| (usize::from(pair[0]), Verdict::of_byte(pair[1])))
}

/// Counts verdicts, one for each element in order, for a reply. Lies in scratch.
pub fn summarize<'a>(verdicts: &[Verdict], bump: &'a Bump) -> Summary<'a> {
    let mut rejected = BumpVec::new_in(bump);
    let (mut accepted, mut duplicate) = (0, 0);
    for (index, verdict) in verdicts.iter().enumerate() {
        match verdict.code() {
            Some(code) => {
                let index = u32::try_from(index).expect("at most 100 events a request");
                rejected.push(Rejection { index, code });
            }
            None if *verdict == Verdict::Accepted => accepted += 1,
            None => duplicate += 1,
        }
    }
    Summary { accepted, duplicate, rejected: rejected.into_bump_slice() }
}

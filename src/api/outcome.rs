//! What came of a command, as a value. It says which popup is shown by its place in the catalog
//! that the decision was made by, and holds a reference to that catalog wherever it waits or
//! travels, so that the answer is written once, at the edge, whatever was published meanwhile.

use std::sync::Arc;

use bumpalo::Bump;

use super::binary::{Binary, Reader, binary_enum, binary_struct, binary_table};
use super::look::Looked;
use super::verdict::{PlacedVerdict, Verdict};
use nudged_base::limits::EVENTS_PER_REQUEST_MAX;
use nudged_base::rate::OverRate;
use nudged_base::time::WallMs;
use nudged_domain::catalog::snapshot::Snapshot;
use nudged_domain::decide::choose::{Decision, Reason};
use nudged_domain::decide::gates::Gate;

#[cfg(test)]
mod tests;

/// What came of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// A decision was made.
    Decided(Decided<'a>),
    /// Events were taken, or not.
    Verdicts(Verdicts<'a>),
    /// A popup was looked at.
    Looked(Looked<'a>),
    /// The user asks more often than it may.
    RateLimited(OverRate),
    /// The node has more work than it can do in time.
    Overloaded,
    /// A user's encoded state, for an operator.
    State(&'a [u8]),
    /// A user is erased.
    Erased {
        /// The record's time.
        at: WallMs,
    },
    /// A user is not forgotten: they have come since, or something binds them.
    Kept,
    /// An operator's command could not be carried out: no state in time, or no record taken.
    Unavailable,
}

/// What a decide request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided<'a> {
    /// A popup, by its place in the catalog, or nothing.
    pub decision: Decision,
    /// The token of a show; else empty.
    pub token: &'a str,
    /// Which of the variant's locales is shown; `None` for its own content.
    pub locale: Option<usize>,
    /// The id that was minted for a request without a user.
    pub anonymous: Option<&'a str>,
    /// What became of the request's events, in their order.
    pub verdicts: &'a [Verdict],
    /// The user only looks.
    pub is_preview: bool,
    /// Where the answer is to explain itself: every popup of the catalog by its place.
    pub candidates: Option<&'a [Candidate]>,
    /// Names in the request that nobody knows.
    pub ignored: &'a [&'a str],
}

/// A popup that was weighed, and the gate that it failed at; `None` where it passed all.
pub type Candidate = (u32, Option<Gate>);

/// What became of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdicts<'a> {
    /// Each with its place in the request: all of them, or those of one shard or one user.
    pub verdicts: &'a [PlacedVerdict],
    /// Seconds until each user may send one of those that are rate limited; 0 where none is.
    pub after_s: u32,
    /// Names in the request that nobody knows.
    pub ignored: &'a [&'a str],
}

/// Nothing to show, since what a show needs is not to be had.
pub const DEGRADED: Decision = Decision::Nothing { reason: Reason::Degraded, next_in_s: None };

impl<'a> Outcome<'a> {
    /// The outcome where the records that it rests on are not kept in time. Allocates in `bump`.
    #[must_use]
    pub fn unless_kept(self, bump: &'a Bump) -> Outcome<'a> {
        match self {
            Outcome::Decided(decided) => {
                let verdicts = decided.verdicts.iter().map(|verdict| verdict.unless_kept());
                Outcome::Decided(Decided {
                    decision: DEGRADED,
                    token: "",
                    locale: None,
                    verdicts: bump.alloc_slice_fill_iter(verdicts),
                    candidates: decided.candidates.map(|_| &[][..]),
                    ..decided
                })
            }
            Outcome::Verdicts(Verdicts { verdicts, after_s, ignored }) => {
                let unkept = |(place, verdict): &PlacedVerdict| (*place, verdict.unless_kept());
                let verdicts = bump.alloc_slice_fill_iter(verdicts.iter().map(unkept));
                Outcome::Verdicts(Verdicts { verdicts, after_s, ignored })
            }
            Outcome::Erased { .. } => Outcome::Unavailable,
            // Rests on none; without its catalog nobody could write it.
            Outcome::Looked(_) => Outcome::Overloaded,
            Outcome::RateLimited(_)
            | Outcome::Overloaded
            | Outcome::State(_)
            | Outcome::Kept
            | Outcome::Unavailable => self,
        }
    }

    /// Whether it names popups of a catalog.
    fn names_popups(&self) -> bool {
        match self {
            Outcome::Decided(decided) => {
                let is_show = matches!(decided.decision, Decision::Show { .. });
                is_show || decided.candidates.is_some_and(|candidates| !candidates.is_empty())
            }
            Outcome::Looked(looked) => looked.popup.is_some(),
            _ => false,
        }
    }
}

/// An outcome in the form in which it waits and travels, with the catalog that its popups are of:
/// a counted reference, which is taken for nothing else than those.
#[derive(Debug)]
pub struct EncodedOutcome {
    bytes: Vec<u8>,
    snapshot: Option<Arc<Snapshot>>,
}

/// The number of [`Outcome::Verdicts`].
const VERDICTS: u8 = 1;
/// Where the count of verdicts is: behind the kind, and the seconds to wait in four bytes.
const COUNT_AT: usize = 5;
/// How many there are is one byte then, and each is two.
const _: () = assert!(EVENTS_PER_REQUEST_MAX < 0x80);

binary_enum!(Outcome<'a> {
    0 => Decided(decided),
    VERDICTS => Verdicts(verdicts),
    2 => Overloaded,
    3 => State(state),
    4 => Erased { at },
    5 => Unavailable,
    6 => RateLimited(over),
    7 => Kept,
    8 => Looked(looked),
});
binary_struct!(Looked<'a> { popup, variant, locale, gates, is_degraded, ignored });
binary_struct!(Decided<'a> {
    decision, token, locale, anonymous, verdicts, is_preview, candidates, ignored
});
binary_struct!(OverRate { after_s });
binary_enum!(Decision {
    0 => Show { popup, variant },
    1 => Nothing { reason, next_in_s },
});
binary_enum!(Reason {
    0 => None,
    1 => Degraded,
    2 => Gate(gate),
});
binary_table!(Gate);

/// So that verdicts and the seconds to wait can be put in their places later.
impl<'a> Binary<'a> for Verdicts<'a> {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.after_s.to_le_bytes());
        self.verdicts.put(out);
        self.ignored.put(out);
    }

    fn take(reader: &mut Reader<'a>) -> Verdicts<'a> {
        let after_s = u32::from_le_bytes(reader.fixed());
        Verdicts { after_s, verdicts: Binary::take(reader), ignored: Binary::take(reader) }
    }
}

impl EncodedOutcome {
    /// Writes an outcome, decided by `snapshot`, into an empty buffer. Allocates only where that
    /// has to grow.
    pub fn new(
        outcome: &Outcome<'_>,
        snapshot: &Arc<Snapshot>,
        mut buffer: Vec<u8>,
    ) -> EncodedOutcome {
        debug_assert!(buffer.is_empty(), "a buffer for one outcome");
        outcome.put(&mut buffer);
        let snapshot = outcome.names_popups().then(|| Arc::clone(snapshot));
        EncodedOutcome { bytes: buffer, snapshot }
    }

    /// As [`EncodedOutcome::new`], of an outcome that names no popup.
    pub fn of_no_popup(outcome: &Outcome<'_>, mut buffer: Vec<u8>) -> EncodedOutcome {
        debug_assert!(buffer.is_empty(), "a buffer for one outcome");
        debug_assert!(!outcome.names_popups());
        outcome.put(&mut buffer);
        EncodedOutcome { bytes: buffer, snapshot: None }
    }

    /// The outcome. Its texts lie in these bytes, its lists in `bump`.
    ///
    /// # Panics
    /// Where the bytes are not of [`EncodedOutcome::new`]: memory is broken then.
    pub fn decode<'a>(&'a self, bump: &'a Bump) -> Outcome<'a> {
        Reader::new(&self.bytes, bump).whole()
    }

    /// The outcome where the records that it rests on are not kept in time. `bump` is scratch.
    /// Allocates: rare enough.
    #[must_use]
    pub fn unless_kept(&self, bump: &Bump) -> EncodedOutcome {
        EncodedOutcome::of_no_popup(&self.decode(bump).unless_kept(bump), Vec::new())
    }

    /// What is left where its popups are of a catalog before `version`, as
    /// [`EncodedOutcome::unless_kept`] does; `None` where nothing is to be done.
    pub fn let_go_before(&self, version: u64, bump: &Bump) -> Option<EncodedOutcome> {
        let is_old = self.snapshot().is_some_and(|snapshot| snapshot.version < version);
        is_old.then(|| self.unless_kept(bump))
    }

    /// Puts verdicts in their places, of an outcome that has verdicts itself; those for places
    /// that it does not have are passed over. The longer time to wait stands.
    ///
    /// # Panics
    /// Where it has none.
    pub fn merge_verdicts(&mut self, part: &Verdicts<'_>) {
        let [VERDICTS, after_s @ .., count] = &mut self.bytes[..=COUNT_AT] else {
            panic!("verdicts are merged into verdicts");
        };
        let longest_s =
            part.after_s.max(u32::from_le_bytes([after_s[0], after_s[1], after_s[2], after_s[3]]));
        after_s.copy_from_slice(&longest_s.to_le_bytes());
        let count = usize::from(*count);
        let own = &mut self.bytes[COUNT_AT + 1..][..2 * count];
        for (place, verdict) in part.verdicts {
            if let Some(pair) = own.chunks_exact_mut(2).find(|pair| pair[0] == *place) {
                pair[1] = verdict.number();
            }
        }
    }

    /// The catalog that its popups are of; `None` where it names none.
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_deref()
    }

    /// What it takes, in bytes, without its catalog.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The encoded form as it stands, for traces.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The buffer, for use again.
    pub fn into_buffer(self) -> Vec<u8> {
        self.bytes
    }
}

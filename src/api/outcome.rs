//! What came of a command, as a value. It says which popup is shown by its place in the catalog
//! that the decision was made by, and holds a reference to that catalog wherever it waits or
//! travels, so that the answer is written once, at the edge, whatever was published meanwhile.

use std::sync::Arc;

use bumpalo::Bump;

use super::binary::{Reader, put_bytes, put_count, put_number, put_option, put_text, put_time};
use super::verdict::{PlacedVerdict, Verdict};
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
    /// The node has more work than it can do in time.
    Overloaded,
    /// A user's encoded state, for an operator.
    State(&'a [u8]),
    /// A user is erased.
    Erased {
        /// The record's time.
        at: WallMs,
    },
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
            Outcome::Verdicts(Verdicts { verdicts, ignored }) => {
                let unkept = |(place, verdict): &PlacedVerdict| (*place, verdict.unless_kept());
                let verdicts = bump.alloc_slice_fill_iter(verdicts.iter().map(unkept));
                Outcome::Verdicts(Verdicts { verdicts, ignored })
            }
            Outcome::Erased { .. } => Outcome::Unavailable,
            Outcome::Overloaded | Outcome::State(_) | Outcome::Unavailable => self,
        }
    }

    /// Whether it names popups of a catalog.
    fn names_popups(&self) -> bool {
        let Outcome::Decided(decided) = self else { return false };
        let is_show = matches!(decided.decision, Decision::Show { .. });
        is_show || decided.candidates.is_some_and(|candidates| !candidates.is_empty())
    }
}

/// An outcome in the form in which it waits and travels, with the catalog that its popups are of:
/// a counted reference, which is taken for nothing else than those.
#[derive(Debug)]
pub struct EncodedOutcome {
    bytes: Vec<u8>,
    snapshot: Option<Arc<Snapshot>>,
}

mod kind {
    pub const SHOW: u8 = 0;
    pub const NOTHING: u8 = 1;
    pub(crate) const VERDICTS: u8 = 2;
    pub(crate) const OVERLOADED: u8 = 3;
    pub(crate) const STATE: u8 = 4;
    pub const ERASED: u8 = 5;
    pub const UNAVAILABLE: u8 = 6;
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
        put_outcome(outcome, &mut buffer);
        let snapshot = outcome.names_popups().then(|| Arc::clone(snapshot));
        EncodedOutcome { bytes: buffer, snapshot }
    }

    /// As [`EncodedOutcome::new`], of an outcome that names no popup.
    pub fn of_no_popup(outcome: &Outcome<'_>, mut buffer: Vec<u8>) -> EncodedOutcome {
        debug_assert!(buffer.is_empty(), "a buffer for one outcome");
        debug_assert!(!outcome.names_popups());
        put_outcome(outcome, &mut buffer);
        EncodedOutcome { bytes: buffer, snapshot: None }
    }

    /// The outcome. Its texts lie in these bytes, its lists in `bump`.
    ///
    /// # Panics
    /// Where the bytes are not of [`EncodedOutcome::new`]: memory is broken then.
    pub fn decode<'a>(&'a self, bump: &'a Bump) -> Outcome<'a> {
        let mut reader = Reader::new(&self.bytes);
        let outcome = outcome(&mut reader, bump);
        reader.end();
        outcome
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
    /// that it does not have are passed over.
    pub fn merge_verdicts(&mut self, verdicts: &[PlacedVerdict]) {
        let mut reader = Reader::new(&self.bytes);
        assert_eq!(reader.byte(), kind::VERDICTS, "verdicts are merged into verdicts");
        let count = reader.count();
        let first = self.bytes.len() - reader.rest_bytes();
        let own = &mut self.bytes[first..first + 2 * count];
        for (place, verdict) in verdicts {
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

fn put_outcome(outcome: &Outcome<'_>, out: &mut Vec<u8>) {
    match outcome {
        Outcome::Decided(decided) => put_decided(decided, out),
        Outcome::Verdicts(Verdicts { verdicts, ignored }) => {
            out.push(kind::VERDICTS);
            put_count(verdicts.len(), out);
            verdicts.iter().for_each(|(place, verdict)| {
                out.extend_from_slice(&[*place, verdict.number()]);
            });
            put_names(ignored, out);
        }
        Outcome::Overloaded => out.push(kind::OVERLOADED),
        Outcome::State(state) => {
            out.push(kind::STATE);
            put_bytes(state, out);
        }
        Outcome::Erased { at } => {
            out.push(kind::ERASED);
            put_time(*at, out);
        }
        Outcome::Unavailable => out.push(kind::UNAVAILABLE),
    }
}

fn outcome<'a>(reader: &mut Reader<'a>, bump: &'a Bump) -> Outcome<'a> {
    match reader.byte() {
        kind @ (kind::SHOW | kind::NOTHING) => Outcome::Decided(decided(kind, reader, bump)),
        kind::VERDICTS => {
            let count = reader.count();
            let verdict =
                |reader: &mut Reader<'_>| (reader.byte(), Verdict::of_number(reader.byte()));
            let verdicts = bump.alloc_slice_fill_with(count, |_| verdict(reader));
            Outcome::Verdicts(Verdicts { verdicts, ignored: names(reader, bump) })
        }
        kind::OVERLOADED => Outcome::Overloaded,
        kind::STATE => Outcome::State(reader.bytes()),
        kind::ERASED => Outcome::Erased { at: reader.time() },
        kind::UNAVAILABLE => Outcome::Unavailable,
        other => unreachable!("{other} is no kind of outcome"),
    }
}

fn put_decided(decided: &Decided<'_>, out: &mut Vec<u8>) {
    match decided.decision {
        Decision::Show { popup, variant } => {
            out.push(kind::SHOW);
            put_number(popup.into(), out);
            put_count(variant, out);
            put_text(decided.token, out);
            put_option(decided.locale, out, put_count);
        }
        Decision::Nothing { reason, next_in_s } => {
            out.push(kind::NOTHING);
            out.push(number_of_reason(reason));
            put_option(next_in_s, out, |next, out| put_number(next.into(), out));
        }
    }
    put_option(decided.anonymous, out, put_text);
    put_count(decided.verdicts.len(), out);
    out.extend(decided.verdicts.iter().map(|verdict| verdict.number()));
    put_option(decided.candidates, out, |candidates, out| {
        put_count(candidates.len(), out);
        for (popup, gate) in candidates {
            put_number((*popup).into(), out);
            put_option(*gate, out, |gate, out| out.push(gate as u8));
        }
    });
    put_names(decided.ignored, out);
}

fn decided<'a>(kind: u8, reader: &mut Reader<'a>, bump: &'a Bump) -> Decided<'a> {
    let (decision, token, locale) = if kind == kind::SHOW {
        let decision = Decision::Show { popup: reader.small(), variant: reader.count() };
        (decision, reader.text(), reader.option(Reader::count))
    } else {
        let reason = reason_of_number(reader.byte());
        (Decision::Nothing { reason, next_in_s: reader.option(Reader::small) }, "", None)
    };
    let anonymous = reader.option(Reader::text);
    let count = reader.count();
    let verdicts = bump.alloc_slice_fill_with(count, |_| Verdict::of_number(reader.byte()));
    let candidates = reader.option(|reader| {
        let count = reader.count();
        let gate = |reader: &mut Reader<'a>| Gate::ALL[usize::from(reader.byte())];
        &*bump.alloc_slice_fill_with(count, |_| (reader.small(), reader.option(gate)))
    });
    let ignored = names(reader, bump);
    Decided { decision, token, locale, anonymous, verdicts, candidates, ignored }
}

/// Reasons that are no gates' come first.
const GATES_FROM: u8 = 2;

fn number_of_reason(reason: Reason) -> u8 {
    match reason {
        Reason::None => 0,
        Reason::Degraded => 1,
        Reason::Gate(gate) => GATES_FROM + gate as u8,
    }
}

fn reason_of_number(number: u8) -> Reason {
    match number {
        0 => Reason::None,
        1 => Reason::Degraded,
        gate => Reason::Gate(Gate::ALL[usize::from(gate - GATES_FROM)]),
    }
}

fn put_names(names: &[&str], out: &mut Vec<u8>) {
    put_count(names.len(), out);
    names.iter().for_each(|name| put_text(name, out));
}

fn names<'a>(reader: &mut Reader<'a>, bump: &'a Bump) -> &'a [&'a str] {
    let count = reader.count();
    bump.alloc_slice_fill_with(count, |_| reader.text())
}

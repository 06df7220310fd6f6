//! Outcomes as the bytes of their replies: written once, at the edge, by the catalog that each was
//! decided by.

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use super::answer::{self, Explanation, Extras, Shown};
use super::events;
use super::ignored::Ignored;
use super::outcome::{Candidate, Decided, Outcome, Verdicts};
use super::refusal::{Code, write_journal_full, write_refusal};
use super::reply::ResponseContext;
use super::verdict::{Verdict, summarize};
use nudged_domain::catalog::snapshot::Snapshot;
use nudged_domain::decide::choose::Decision;
use nudged_domain::decide::gates::Gate;

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
    /// Where the outcome is an operator's, which is no reply of this API.
    pub fn write(&self, outcome: &Outcome<'_>, out: &mut Vec<u8>) {
        match outcome {
            Outcome::Decided(decided) => self.write_decided(decided, out),
            Outcome::Verdicts(verdicts) => self.write_verdicts(verdicts, out),
            Outcome::Overloaded => {
                write_refusal(out, &self.response, Code::Overloaded.into());
            }
            Outcome::State(_) | Outcome::Erased { .. } | Outcome::Unavailable => {
                unreachable!("no connection asks for {outcome:?}")
            }
        }
    }

    fn write_decided(&self, decided: &Decided<'_>, out: &mut Vec<u8>) {
        let (response, bump) = (&self.response, self.bump);
        let is_any = !decided.verdicts.is_empty();
        let extras = Extras {
            anonymous: decided.anonymous,
            events: is_any.then(|| summarize(decided.verdicts, bump)),
            ignored: Ignored { names: decided.ignored, count: 0 },
        };
        let (shown, reason, next_in_s) = match decided.decision {
            Decision::Show { popup, variant } => {
                (Some(self.shown(decided, (popup, variant))), None, None)
            }
            Decision::Nothing { reason, next_in_s } => (None, Some(reason.as_str()), next_in_s),
        };
        match (decided.candidates, shown, reason) {
            (None, Some(shown), _) => answer::write_show(out, response, &shown, &extras, bump),
            (None, None, reason) => {
                let reason = reason.expect("nothing is shown for a reason");
                answer::write_nothing(out, response, reason, next_in_s, &extras);
            }
            (Some(candidates), shown, reason) => {
                let candidates = self.named(candidates);
                let explanation = Explanation { shown, reason, next_in_s, candidates };
                answer::write_explain(out, response, &explanation, &extras, bump);
            }
        }
    }

    fn shown<'s>(&'s self, decided: &Decided<'s>, (popup, variant): (u32, usize)) -> Shown<'s> {
        let popup = &self.catalog().popups[popup as usize];
        let variant = &popup.variants[variant];
        Shown {
            decision: decided.token,
            popup: &popup.id,
            version: popup.version,
            variant: &variant.key,
            content: &variant.content_at(decided.locale).0,
        }
    }

    fn named(&self, candidates: &[Candidate]) -> &'r [answer::NamedCandidate<'r>] {
        let named = candidates.iter().map(|(popup, gate)| {
            let id: &str = &self.catalog().popups[*popup as usize].id;
            (id, gate.map(Gate::as_str))
        });
        self.bump.alloc_slice_fill_iter(named)
    }

    fn catalog(&self) -> &'r Snapshot {
        self.snapshot.expect("an outcome that names popups has their catalog")
    }

    fn write_verdicts(&self, verdicts: &Verdicts<'_>, out: &mut Vec<u8>) {
        let (response, bump) = (&self.response, self.bump);
        let mut all = BumpVec::with_capacity_in(verdicts.verdicts.len(), bump);
        all.extend(verdicts.verdicts.iter().map(|(_, verdict)| *verdict));
        let is_refused = all.contains(&Verdict::UNAVAILABLE)
            && !all.iter().any(|verdict| verdict.rests_on_record());
        if is_refused {
            return write_journal_full(out, response, self.disk_lack, bump);
        }
        let ignored = Ignored { names: verdicts.ignored, count: 0 };
        events::write_accepted(out, response, &summarize(&all, bump), &ignored, bump);
    }
}

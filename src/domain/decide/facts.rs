//! What stands behind a gate that holds a popup back: the rule that failed, the show that counts,
//! the place in the rollout. For explanations alone: a decision never asks for it, and this
//! allocates.
//!
//! ```text
//! gates ─ failure ─► facts ─ borrowed from catalog, state and request
//! ```

use super::bucket;
use super::context::{AttributeValue, Context};
use super::gates::{Gate, GateFailure, outcome_by};
use super::target::{self, RequestAttributes};
use crate::catalog::snapshot::{Cap, Popup, ShowOutcome};
use crate::catalog::target::Rule;
use crate::state::user::{PopupState, UserState};
use nudged_base::time::{Gap, WallMs};

#[cfg(test)]
mod tests;

/// What stands behind a gate that failed. Gates whose cause is the popup's own text have no more to
/// say.
#[derive(Clone, Debug)]
pub enum Fact<'a> {
    /// Status, schedule, window and placement: what the popup says of itself, at this moment.
    Definition,
    /// The rules that keep the target from being true, in their order.
    Target(Vec<FailedRule<'a>>),
    /// The user's place, as a fraction of 2^64.
    Rollout(u64),
    /// The user's shows of this popup.
    Shows {
        /// How many there were, ever.
        count: u32,
        /// The latest.
        last_at: WallMs,
    },
    /// The show and the outcome that the gaps are counted from.
    Gap(GapFact),
    /// Each cap that is full.
    Caps(Vec<CapFact>),
    /// The latest counted show of any popup, with the shows of its day and of its session.
    Clocks {
        /// The show.
        last_at: WallMs,
        /// Shows of its day.
        day_shows: u32,
        /// Shows of its session.
        session_shows: u32,
    },
}

/// A rule that is not what its target needs of it.
#[derive(Clone, Debug)]
pub struct FailedRule<'a> {
    /// Where it stands in the popup's definition, as a JSON pointer: `/target/all/0`.
    pub pointer: String,
    /// The attribute that it asks for; `None` for an `all` or `any` without parts.
    pub attribute: Option<&'a str>,
    /// What the target needs of it: false below a `not`.
    pub wanted: bool,
    /// What it is; `None` for unknown.
    pub result: Option<bool>,
    /// The request's value; `None` where it has none.
    pub value: Option<AttributeValue<'a>>,
}

/// What the gaps of a popup are counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GapFact {
    /// The latest show.
    pub shown_at: WallMs,
    /// The rest after it.
    pub after_shown: Gap,
    /// What came of it, if anything has by now.
    pub outcome: Option<OutcomeFact>,
}

/// What came of a show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutcomeFact {
    /// The outcome.
    pub outcome: ShowOutcome,
    /// When it came, which is the show's own time for one that is inferred.
    pub at: WallMs,
    /// The rest after it.
    pub after: Gap,
    /// Whether nobody has posted it: `ignore_after` has passed.
    pub is_inferred: bool,
}

/// A cap that is full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapFact {
    /// Its place in the popup's list, from 0.
    pub index: usize,
    /// The cap.
    pub cap: Cap,
    /// The shows that fill it, the latest first, as many as it allows.
    pub shows: Vec<WallMs>,
    /// When the oldest of them leaves it.
    pub opens_at: WallMs,
}

/// What stands behind the failure of a popup.
///
/// # Panics
/// Where the failure is not that of this popup, this user and this moment.
pub fn of<'a>(
    popup: &'a Popup,
    failure: GateFailure,
    state: &UserState,
    context: &Context<'a>,
    now: WallMs,
) -> Fact<'a> {
    let entry = || state.popup(popup.key).expect("a popup that was never shown has no history");
    match failure.gate {
        Gate::Status | Gate::Schedule | Gate::Window | Gate::Placement => Fact::Definition,
        Gate::Target => {
            let rule = popup.target.as_ref().expect("a popup without rules is for everyone");
            let mut failed = Vec::new();
            collect(rule, "/target", true, context, &mut failed);
            Fact::Target(failed)
        }
        Gate::Rollout => Fact::Rollout(bucket::place_in_rollout(popup, context.user)),
        Gate::MaxShows => Fact::Shows { count: entry().shows_total, last_at: entry().latest().at },
        Gate::Gap => Fact::Gap(gap(popup, entry(), now)),
        Gate::Cap => Fact::Caps(caps(popup, entry(), now)),
        Gate::Quiet | Gate::Day | Gate::Session => Fact::Clocks {
            last_at: state.clocks.last_counted_at.expect("who saw nothing is not held back"),
            day_shows: state.clocks.day_shows,
            session_shows: state.clocks.session_shows,
        },
    }
}

/// Adds the clauses below a rule that are not what is wanted of them; the rule itself is not.
fn collect<'a>(
    rule: &'a Rule,
    pointer: &str,
    wanted: bool,
    context: &Context<'a>,
    failed: &mut Vec<FailedRule<'a>>,
) {
    let result = target::evaluate(rule, &mut RequestAttributes::new(context.attributes));
    let mut add = |attribute: Option<&'a str>, value| {
        let pointer = pointer.to_owned();
        failed.push(FailedRule { pointer, attribute, wanted, result, value });
    };
    match rule {
        Rule::Clause { attribute, .. } => {
            let named = context.attributes.iter().find(|(name, _)| **name == **attribute);
            add(Some(attribute), named.map(|(_, value)| *value));
        }
        Rule::All(parts) | Rule::Any(parts) if parts.is_empty() => add(None, None),
        Rule::All(parts) | Rule::Any(parts) => {
            let shape = if matches!(rule, Rule::All(_)) { "all" } else { "any" };
            for (index, part) in parts.iter().enumerate() {
                if target::evaluate(part, &mut RequestAttributes::new(context.attributes))
                    != Some(wanted)
                {
                    let pointer = format!("{pointer}/{shape}/{index}");
                    collect(part, &pointer, wanted, context, failed);
                }
            }
        }
        Rule::Not(part) => {
            collect(part, &format!("{pointer}/not"), !wanted, context, failed);
        }
    }
}

fn gap(popup: &Popup, entry: &PopupState, now: WallMs) -> GapFact {
    let is_inferred = entry.outcome.is_none();
    let outcome = outcome_by(popup, entry.brief(), now).map(|(outcome, at)| OutcomeFact {
        outcome,
        at,
        after: popup.after(outcome),
        is_inferred,
    });
    GapFact { shown_at: entry.latest().at, after_shown: popup.after_shown, outcome }
}

fn caps(popup: &Popup, entry: &PopupState, now: WallMs) -> Vec<CapFact> {
    let full = popup.caps.iter().enumerate().filter_map(|(index, cap)| {
        let latest = entry.shows().iter().rev().take(usize::try_from(cap.n).ok()?);
        let shows: Vec<WallMs> = latest.map(|show| show.at).collect();
        let oldest = shows.get(usize::try_from(cap.n).ok()?.checked_sub(1)?)?;
        let opens_at = oldest.plus(cap.per);
        (now < opens_at).then_some(CapFact { index, cap: *cap, shows, opens_at })
    });
    full.collect()
}

//! What is allowed and still can't be meant: popups and variants that nobody can ever see, numbers
//! that are compared as texts, links that are scripts, and catalogs that need more memory of a user
//! than there is.
//!
//! That nobody sees a popup is a proof, not a guess: where it can't be shown, nothing is said.
//! Knows no clock: what has ended is told by the time that it is given. Off the hot path.

use super::schedule::{Zone, next_opening};
use super::snapshot::{OnFailure, Popup, Settings, ShowOutcome, Snapshot, Status};
use super::target::{Rule, Scalar, Test, parse_number};
use nudged_base::limits::USER_POPUPS_MAX;
use nudged_base::time::{DurationMs, Gap, WallMs};

mod contradiction;
mod links;

use contradiction::{always_matches, never_matches};
use links::running_links;

/// Something that is allowed and still can't be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The popup's id; `None` where it is about the catalog.
    pub popup: Option<String>,
    /// What is wrong with it.
    pub problem: LintProblem,
}

/// What a warning is about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LintProblem {
    /// No attributes can make the target true.
    #[error("target: no user can match it")]
    TargetNeverMatches,
    /// No user is below the rollout's bound.
    #[error("rollout: too small to include any user")]
    RolloutEmpty,
    /// A live popup's time is over.
    #[error("ends_at: is in the past, so no user sees the popup: set a later time, or remove it")]
    Ended,
    /// No window opens between `starts_at` and `ends_at`.
    #[error("windows: none opens between starts_at and ends_at")]
    WindowNeverOpens,
    /// Other popups win each time, wherever it may be shown.
    #[error("never shown: popup \"{by}\" always wins against it at \"{placement}\"")]
    Shadowed {
        /// One of the popups that win.
        by: String,
        /// Where that one wins.
        placement: String,
    },
    /// No user is given the variant.
    #[error("variants: \"{key}\" has weight 0, so no user gets it")]
    VariantUnreachable {
        /// The variant's key.
        key: String,
    },
    /// A rule orders texts, and its own reads as a number.
    #[error(
        "target: \"{attribute}\" {operator} \"{text}\" compares byte by byte (\"10\" sorts before \
         \"9\"): remove the quotes to compare numbers"
    )]
    NumberAsText {
        /// The attribute's name.
        attribute: String,
        /// The operator's name.
        operator: &'static str,
        /// The rule's text.
        text: String,
    },
    /// A link of the content is a script, which a page that trusts it runs.
    #[error(
        "{field}: \"{member}\" is a script and no address: a page that opens it as a link runs it, \
         and nudge.js leaves it out"
    )]
    LinkRuns {
        /// The popup's member that has it.
        field: &'static str,
        /// The name that it has in the content.
        member: String,
    },
    /// A user may see more popups than are remembered, so that the oldest are forgotten.
    #[error(
        "{count} popups may be shown to one user, but only {USER_POPUPS_MAX} are remembered: \
         limits and gaps of those shown longest ago are lost"
    )]
    TooManyToRemember {
        /// Live and paused popups whose history matters.
        count: usize,
    },
}

impl LintProblem {
    /// A word for machines, one for each kind, which stays.
    pub fn code(&self) -> &'static str {
        match self {
            LintProblem::TargetNeverMatches => "target_never_matches",
            LintProblem::RolloutEmpty => "rollout_empty",
            LintProblem::Ended => "ended",
            LintProblem::WindowNeverOpens => "window_never_opens",
            LintProblem::Shadowed { .. } => "shadowed",
            LintProblem::VariantUnreachable { .. } => "variant_unreachable",
            LintProblem::NumberAsText { .. } => "number_as_text",
            LintProblem::LinkRuns { .. } => "link_runs",
            LintProblem::TooManyToRemember { .. } => "too_many_to_remember",
        }
    }

    /// The popup's member that it is about; empty where it is about more than one.
    pub fn field(&self) -> &'static str {
        match self {
            LintProblem::TargetNeverMatches | LintProblem::NumberAsText { .. } => "target",
            LintProblem::RolloutEmpty => "rollout",
            LintProblem::Ended => "ends_at",
            LintProblem::WindowNeverOpens => "windows",
            LintProblem::VariantUnreachable { .. } => "variants",
            LintProblem::LinkRuns { field, .. } => field,
            LintProblem::Shadowed { .. } | LintProblem::TooManyToRemember { .. } => "",
        }
    }

    /// What is wrong, without the member.
    pub fn message(&self) -> String {
        let text = self.to_string();
        let rest = text.strip_prefix(self.field()).and_then(|rest| rest.strip_prefix(": "));
        rest.map_or(text.clone(), str::to_owned)
    }
}

impl std::fmt::Display for Warning {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(popup) = &self.popup {
            write!(formatter, "popup \"{popup}\": ")?;
        }
        write!(formatter, "{}", self.problem)
    }
}

/// All warnings of a catalog, in the order in which its popups win; archived popups have none.
pub fn lint(snapshot: &Snapshot) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for (index, popup) in snapshot.popups.iter().enumerate() {
        if popup.status == Status::Archived {
            continue;
        }
        let mut problems = Vec::new();
        problems.extend(unseen(popup));
        popup.target.iter().for_each(|rule| add_numbers_as_texts(rule, &mut problems));
        problems.extend(unreachable_variants(popup));
        problems.extend(running_links(popup));
        problems.extend(shadowed(snapshot, index));
        let warn = |problem| Warning { popup: Some(popup.id.to_string()), problem };
        warnings.extend(problems.into_iter().map(warn));
    }
    warnings.extend(too_many(snapshot).map(|problem| Warning { popup: None, problem }));
    warnings
}

/// The live popups that have ended at a time, in the order in which they win. No warning of a
/// catalog that runs: there the end of a popup is what was planned.
pub fn ended(snapshot: &Snapshot, now: WallMs) -> Vec<Warning> {
    let is_over = |popup: &&Popup| {
        popup.status == Status::Live && popup.ends_at.is_some_and(|ends_at| ends_at <= now)
    };
    let over = snapshot.popups.iter().filter(is_over);
    over.map(|popup| Warning { popup: Some(popup.id.to_string()), problem: LintProblem::Ended })
        .collect()
}

/// Why nobody can see a popup, as far as the popup alone shows it.
fn unseen(popup: &Popup) -> impl Iterator<Item = LintProblem> {
    let target = popup.target.as_deref().is_some_and(never_matches);
    let problems = [
        (target, LintProblem::TargetNeverMatches),
        (popup.rollout_below == 0, LintProblem::RolloutEmpty),
        (!window_opens(popup), LintProblem::WindowNeverOpens),
    ];
    problems.into_iter().filter(|(holds, _)| *holds).map(|(_, problem)| problem)
}

/// Whether a window opens while the popup runs; windows in the user's zone are taken to.
fn window_opens(popup: &Popup) -> bool {
    let (Some(starts_at), Some(ends_at)) = (popup.starts_at, popup.ends_at) else { return true };
    let Zone::Fixed(zone) = &popup.zone else { return true };
    let before_start = WallMs(starts_at.0.saturating_sub(1));
    popup.windows.is_empty()
        || next_opening(&popup.windows, zone, before_start).is_some_and(|at| at < ends_at)
}

/// Rules are at most `TARGET_DEPTH_MAX` deep, so recursion is bounded.
fn add_numbers_as_texts(rule: &Rule, problems: &mut Vec<LintProblem>) {
    match rule {
        Rule::All(parts) | Rule::Any(parts) => {
            parts.iter().for_each(|part| add_numbers_as_texts(part, problems));
        }
        Rule::Not(part) => add_numbers_as_texts(part, problems),
        Rule::Clause { attribute, test } => {
            if let Test::Order { order, value: Scalar::Text(text) } = &**test
                && parse_number(text).is_some()
            {
                let (attribute, text) = (attribute.to_string(), text.to_string());
                let operator = order.name();
                problems.push(LintProblem::NumberAsText { attribute, operator, text });
            }
        }
    }
}

fn unreachable_variants(popup: &Popup) -> impl Iterator<Item = LintProblem> {
    let unreachable = popup.variants.iter().filter(|variant| variant.weight == 0);
    unreachable.map(|variant| LintProblem::VariantUnreachable { key: variant.key.to_string() })
}

/// Whether higher-ranked popups win against the popup of an index at each of its placements.
fn shadowed(snapshot: &Snapshot, index: usize) -> Option<LintProblem> {
    let popup = &snapshot.popups[index];
    if popup.status != Status::Live {
        return None;
    }
    let mut first = None;
    for placement in &popup.placements {
        let higher = snapshot.live(placement).iter().map(|higher| *higher as usize);
        let higher = higher.take_while(|higher| *higher < index);
        let winner = higher
            .map(|higher| &snapshot.popups[higher])
            .find(|higher| always_wins(higher, popup, &snapshot.settings))?;
        first.get_or_insert_with(|| LintProblem::Shadowed {
            by: winner.id.to_string(),
            placement: placement.to_string(),
        });
    }
    first
}

/// Whether a higher-ranked popup passes every gate whenever the lower one does.
fn always_wins(higher: &Popup, lower: &Popup, settings: &Settings) -> bool {
    let starts_first = higher
        .starts_at
        .is_none_or(|higher_at| lower.starts_at.is_some_and(|lower_at| higher_at <= lower_at));
    let ends_last = higher
        .ends_at
        .is_none_or(|higher_at| lower.ends_at.is_some_and(|lower_at| lower_at <= higher_at));
    let for_all = higher.windows.is_empty()
        && higher.target.as_deref().is_none_or(always_matches)
        && higher.rollout_below == 1 << 64;
    let returns_at_once = higher.max_shows == 0 && higher.caps.is_empty() && !rests(higher);
    // What holds back every popup that is not exempt holds back both, or only the higher one.
    let no_quiet = settings.quiet_time == DurationMs(0)
        && settings.max_per_day == 0
        && settings.max_per_session == 0;
    let as_exempt = higher.quiet_exempt || !lower.quiet_exempt || no_quiet;
    let as_sturdy = higher.on_failure == OnFailure::Local || lower.on_failure == OnFailure::Hide;
    starts_first && ends_last && for_all && returns_at_once && as_exempt && as_sturdy
}

/// Whether the popup rests after a show or an outcome.
fn rests(popup: &Popup) -> bool {
    let gaps = ShowOutcome::ALL.map(|outcome| popup.after(outcome));
    popup.after_shown != NO_REST || gaps.iter().any(|gap| *gap != NO_REST)
}

const NO_REST: Gap = Gap::After(DurationMs(0));

/// Popups that are paused count: their history matters again when they resume.
fn too_many(snapshot: &Snapshot) -> Option<LintProblem> {
    let matters = |popup: &&Popup| {
        matches!(popup.status, Status::Live | Status::Paused)
            && (popup.max_shows > 0 || !popup.caps.is_empty() || rests(popup))
            && unseen(popup).next().is_none()
    };
    let count = snapshot.popups.iter().filter(matters).count();
    (count > USER_POPUPS_MAX).then_some(LintProblem::TooManyToRemember { count })
}

#[cfg(test)]
mod tests;

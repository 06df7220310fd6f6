//! Which popup is shown, or why none is and when to ask again. One pass over the live popups of the
//! request's placement in the order in which they win. Changes nothing: recording the show is
//! `state::apply`'s business. Nothing here allocates after warm-up.

use super::audience::Audience;
use super::bucket;
use super::candidates::Candidates;
use super::context::Context;
use super::gates::{Gate, GateFailure, GateFailures, Visit};
use super::timetable::Timetable;
use crate::catalog::placement::Placement;
use crate::catalog::snapshot::{
    Content, OnFailure, Popup, Snapshot, Status, Variant, is_same_locale,
};
use crate::state::user::{StateView, UserState};
use nudged_base::limits::NEXT_IN_S_MAX;
use nudged_base::time::WallMs;

#[cfg(test)]
mod tests;

/// What a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A popup, which is thereby shown.
    Show {
        /// Its index in `Snapshot::popups`.
        popup: u32,
        /// The index of the user's variant in `Popup::variants`.
        variant: usize,
    },
    /// Nothing to show.
    Nothing {
        /// Why.
        reason: Reason,
        /// In how many seconds, 1 to 86,400, asking again can help; `None` for never.
        next_in_s: Option<u32>,
    },
}

/// Why nothing is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The placement has no live popup.
    None,
    /// The latest gate at which a live popup of the placement failed.
    Gate(Gate),
    /// The user's state could not be read, and a popup may not be shown without it.
    Degraded,
}

impl Reason {
    /// Its name in answers and vectors.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::None => "none",
            Reason::Gate(gate) => gate.as_str(),
            Reason::Degraded => "degraded",
        }
    }
}

/// Decides on a request of the user with this state. `times` is of this catalog; where it does not
/// hold for `now`, popups are asked for their times one by one, with the same result.
pub fn decide<'a>(
    snapshot: &'a Snapshot,
    times: &Timetable,
    state: impl Into<StateView<'a>>,
    context: &'a Context<'a>,
    now: WallMs,
) -> Decision {
    decide_for(snapshot, times, state, (context, None), now)
}

/// As [`decide`], where it may be known which targets match: `audience` is [`Audience::of`] this
/// catalog and this context.
pub fn decide_for<'a>(
    snapshot: &'a Snapshot,
    times: &Timetable,
    state: impl Into<StateView<'a>>,
    (context, audience): (&'a Context<'a>, Option<Audience>),
    now: WallMs,
) -> Decision {
    let Some(placement) = snapshot.placement(context.placement) else {
        return nothing(&GateFailures::default(), now);
    };
    let mut visit = Visit::new(snapshot, state, context, now);
    let Some(open) = times.open_popups(placement.number, now) else {
        return scan(&mut visit, placement, context, now);
    };
    let is_indexed = !placement.pivots.is_empty();
    let candidates = is_indexed.then(|| Candidates::of(placement, &mut visit));
    let mut failures = open.failures;
    let mut asked = 0;
    let mut shown = |place: u32| {
        if open.is_closed(place) {
            return None;
        }
        asked += 1;
        let index = placement.live[place as usize];
        let popup = popup_at(snapshot, index);
        let failure = match audience {
            _ if placement.has_user_zones && popup.is_in_user_zone() => {
                visit.failure_of_live(index)
            }
            None => visit.failure_of_open(index),
            Some(audience) if audience.has(place) => visit.failure_of_matching(popup),
            Some(_) => Some(GateFailure::shut(Gate::Target)),
        };
        match failure {
            None => Some(show(index, popup, context)),
            Some(failure) => {
                failures.add(failure);
                None
            }
        }
    };
    let shown = match candidates {
        Some(mut candidates) => candidates.find_map(&mut shown),
        None => placement.asked.iter().copied().find_map(&mut shown),
    };
    if asked < open.open {
        failures.add(GateFailure::shut(Gate::Target));
    }
    shown.unwrap_or_else(|| nothing(&failures, now))
}

/// Asks every popup of a placement for its time too.
fn scan(
    visit: &mut Visit<'_>,
    placement: &Placement,
    context: &Context<'_>,
    now: WallMs,
) -> Decision {
    let mut failures = GateFailures::default();
    for index in &placement.live {
        match visit.failure_of_live(*index) {
            None => return show(*index, visit.popup(*index), context),
            Some(failure) => failures.add(failure),
        }
    }
    nothing(&failures, now)
}

/// Decides on a request of a user whose state can't be read (docs/semantics.md#without-state): each
/// popup's `on_failure` says whether what this node happens to remember, `local_state`, may decide.
/// The reason is `degraded` where a popup was held back for that alone.
pub fn decide_degraded<'a>(
    snapshot: &'a Snapshot,
    local_state: &'a UserState,
    context: &'a Context<'a>,
    now: WallMs,
) -> Decision {
    let mut visit = Visit::new(snapshot, local_state, context, now);
    let mut failures = GateFailures::default();
    let mut is_degraded = false;
    for index in snapshot.live(context.placement) {
        let popup = popup_at(snapshot, *index);
        let failure = match popup.on_failure {
            OnFailure::Local => visit.failure_of_live(*index),
            OnFailure::Hide => visit.failure_without_state(*index),
        };
        match (failure, popup.on_failure) {
            (Some(failure), _) => failures.add(failure),
            (None, OnFailure::Hide) => is_degraded = true,
            (None, OnFailure::Local) => return show(*index, popup, context),
        }
    }
    if is_degraded {
        return Decision::Nothing { reason: Reason::Degraded, next_in_s: None };
    }
    nothing(&failures, now)
}

/// Decides for a user who only looks, as if never shown anything: drafts are among the popups.
pub fn preview(snapshot: &Snapshot, context: &Context<'_>, now: WallMs) -> Decision {
    let never_shown = UserState::default();
    let mut visit = Visit::new(snapshot, &never_shown, context, now);
    let mut failures = GateFailures::default();
    let of_placement =
        |popup: &Popup| popup.placements.iter().any(|one| **one == *context.placement);
    for (index, popup) in (0_u32..).zip(&snapshot.popups) {
        if !is_previewed(popup) || !of_placement(popup) {
            continue;
        }
        match visit.failure_whatever_status(popup) {
            None => return show(index, popup, context),
            Some(failure) => failures.add(failure),
        }
    }
    nothing(&failures, now)
}

/// As [`explain`], of a decision by [`preview`]. Allocates.
pub fn explain_preview(
    snapshot: &Snapshot,
    context: &Context<'_>,
    now: WallMs,
) -> Vec<(u32, Option<Gate>)> {
    let never_shown = UserState::default();
    let mut visit = Visit::new(snapshot, &never_shown, context, now);
    let gate = |popup| match is_previewed(popup) {
        true => visit.failure_whatever_status(popup).map(|failure| failure.gate),
        false => Some(Gate::Status),
    };
    (0_u32..).zip(snapshot.popups.iter().map(gate)).collect()
}

/// Whether those see a popup who only look.
fn is_previewed(popup: &Popup) -> bool {
    matches!(popup.status, Status::Live | Status::Draft)
}

/// Every popup of the catalog in the order in which they win, by its index, with the gate at which
/// it fails; `None` where it passes all. Replaces what `out` had; allocates only where it grows.
pub fn explain(
    snapshot: &Snapshot,
    state: &UserState,
    context: &Context<'_>,
    now: WallMs,
    out: &mut Vec<(u32, Option<Gate>)>,
) {
    let mut visit = Visit::new(snapshot, state, context, now);
    out.clear();
    out.extend((0_u32..).zip(&snapshot.popups).map(|(index, popup)| {
        let gate = visit.failure(popup).map(|failure| failure.gate);
        (index, gate)
    }));
}

/// Which of a variant's locales is shown, by its place: the wanted one, else that less its last
/// tag, and so on (`de-AT`, `de`), else none, which stands for the variant's own content. Tags
/// compare without case; `_` parts them as `-` does. Does not allocate.
pub fn locale(variant: &Variant, wanted: Option<&str>) -> Option<usize> {
    let mut wanted = wanted.unwrap_or_default();
    while !wanted.is_empty() {
        let known = variant.locales.iter().position(|(tag, _)| is_same_locale(tag, wanted));
        if known.is_some() {
            return known;
        }
        wanted = wanted.rfind(['-', '_']).map_or("", |end| &wanted[..end]);
    }
    None
}

/// What a variant shows for a locale. Does not allocate.
pub fn content<'v>(variant: &'v Variant, wanted: Option<&str>) -> &'v Content {
    variant.content_at(locale(variant, wanted))
}

fn popup_at(snapshot: &Snapshot, index: u32) -> &Popup {
    &snapshot.popups[index as usize]
}

fn show(index: u32, popup: &Popup, context: &Context<'_>) -> Decision {
    Decision::Show { popup: index, variant: bucket::variant(popup, context.user) }
}

/// Nothing is shown, since these held every popup back.
fn nothing(failures: &GateFailures, now: WallMs) -> Decision {
    debug_assert!(failures.opens_at.is_none_or(|at| at > now), "a gate that failed opens later");
    Decision::Nothing {
        reason: failures.latest.map_or(Reason::None, Reason::Gate),
        next_in_s: failures.opens_at.map(|at| seconds_until(at, now)),
    }
}

/// Whole seconds, rounded up so that asking then is not too early.
fn seconds_until(at: WallMs, now: WallMs) -> u32 {
    let seconds = at.since(now).0.div_ceil(1_000);
    u32::try_from(seconds).unwrap_or(NEXT_IN_S_MAX).clamp(1, NEXT_IN_S_MAX)
}

//! One popup against one user: the gates in their order, and when the one that failed opens.
//!
//! ```text
//! status schedule window placement target rollout │ max_shows gap cap │ quiet day session
//! └───────── catalog, clock and request ─────────┘ └─ popup's entry ─┘ └── user's clocks ──┘
//! ```
//!
//! Knows nothing of the other popups of the catalog (`choose` does). Nothing here allocates.

use jiff::tz::TimeZone;

use super::bucket;
use super::context::Context;
use super::target::{self, RequestAttributes};
use crate::catalog::code::TargetCode;
use crate::catalog::schedule::{Zone, is_inside, local_day, next_midnight, next_opening};
use crate::catalog::snapshot::{Cap, Popup, Settings, ShowOutcome, Snapshot, Status};
use crate::state::user::{EntryBrief, PopupState, StateView, UserClocks};
use nudged_base::hash;
use nudged_base::time::{Gap, WallMs};

#[cfg(test)]
mod tests;

/// What can hold a popup back, in the order in which it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gate {
    /// It is not live.
    Status,
    /// It has not started or has ended.
    Schedule,
    /// The local time is in none of its windows.
    Window,
    /// It belongs elsewhere.
    Placement,
    /// Its rules do not hold.
    Target,
    /// The user is not among its percentage of users.
    Rollout,
    /// The user had all its shows.
    MaxShows,
    /// It rests after a show or an outcome.
    Gap,
    /// A sliding cap is full.
    Cap,
    /// Any popup was shown too shortly before.
    Quiet,
    /// The user's calendar day is full.
    Day,
    /// The user's session is full.
    Session,
}

impl Gate {
    /// Every gate, in their order.
    pub const ALL: [Gate; 12] = [
        Gate::Status,
        Gate::Schedule,
        Gate::Window,
        Gate::Placement,
        Gate::Target,
        Gate::Rollout,
        Gate::MaxShows,
        Gate::Gap,
        Gate::Cap,
        Gate::Quiet,
        Gate::Day,
        Gate::Session,
    ];

    /// Its name in answers and vectors.
    pub const fn as_str(self) -> &'static str {
        match self {
            Gate::Status => "status",
            Gate::Schedule => "schedule",
            Gate::Window => "window",
            Gate::Placement => "placement",
            Gate::Target => "target",
            Gate::Rollout => "rollout",
            Gate::MaxShows => "max_shows",
            Gate::Gap => "gap",
            Gate::Cap => "cap",
            Gate::Quiet => "quiet",
            Gate::Day => "day",
            Gate::Session => "session",
        }
    }
}

/// A gate that did not let a popup pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateFailure {
    /// The gate.
    pub gate: Gate,
    /// The first moment at which this gate opens, after now; `None` for never.
    pub opens_at: Option<WallMs>,
}

impl GateFailure {
    /// At a gate that time does not open.
    pub(super) fn shut(gate: Gate) -> GateFailure {
        GateFailure { gate, opens_at: None }
    }
}

/// What the popups that failed so far come to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct GateFailures {
    /// The latest gate at which one failed.
    pub(super) latest: Option<Gate>,
    /// The earliest moment at which one's gate opens.
    pub(super) opens_at: Option<WallMs>,
}

impl GateFailures {
    /// One more has failed.
    pub(super) fn add(&mut self, failure: GateFailure) {
        self.latest = self.latest.max(Some(failure.gate));
        self.opens_at = match (self.opens_at, failure.opens_at) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
}

/// When a popup's gaps let it return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextShow {
    /// From this moment on; it may be past.
    At(WallMs),
    /// Never, while the popup and the outcome are what they are.
    Never,
}

impl NextShow {
    /// The moment; `None` for never.
    pub fn time(self) -> Option<WallMs> {
        match self {
            NextShow::At(at) => Some(at),
            NextShow::Never => None,
        }
    }

    fn after(from: WallMs, gap: Gap) -> NextShow {
        match gap {
            Gap::After(duration) => NextShow::At(from.plus(duration)),
            Gap::Never => NextShow::Never,
        }
    }

    fn later_of(self, other: NextShow) -> NextShow {
        match (self, other) {
            (NextShow::At(a), NextShow::At(b)) => NextShow::At(a.max(b)),
            _ => NextShow::Never,
        }
    }
}

/// When the gaps of `popup`, as it is now, let it return to a user with this entry. Without an
/// outcome, `ignored` is inferred once `ignore_after` has passed at `now`.
pub fn next_show_at(popup: &Popup, entry: &PopupState, now: WallMs) -> NextShow {
    next_show_by(popup, entry.brief(), now)
}

/// The same by what is asked of the entry.
pub fn next_show_by(popup: &Popup, entry: EntryBrief, now: WallMs) -> NextShow {
    let after_shown = NextShow::after(entry.latest_at, popup.after_shown);
    match outcome_by(popup, entry, now) {
        Some((outcome, at)) => after_shown.later_of(NextShow::after(at, popup.after(outcome))),
        None => after_shown,
    }
}

/// What came of the latest show by now, and when. Without an outcome, `ignored` is inferred once
/// `ignore_after` has passed; it came with the show then.
pub(crate) fn outcome_by(
    popup: &Popup,
    entry: EntryBrief,
    now: WallMs,
) -> Option<(ShowOutcome, WallMs)> {
    let shown_at = entry.latest_at;
    let is_ignored = || now >= shown_at.plus(popup.ignore_after);
    entry.outcome.or_else(|| is_ignored().then_some((ShowOutcome::Ignored, shown_at)))
}

/// One request of one user at one moment, against popup after popup. What all popups share is found
/// out once, and only when a popup asks for it.
pub struct Visit<'a> {
    snapshot: &'a Snapshot,
    state: StateView<'a>,
    context: &'a Context<'a>,
    attributes: RequestAttributes<'a>,
    now: WallMs,
    /// The request's zone.
    user_zone: Option<&'a TimeZone>,
    /// How the gates on the user's clocks stand.
    crowding: Option<Option<GateFailure>>,
}

impl<'a> Visit<'a> {
    /// A visit at `now`. Nothing is looked up yet.
    #[inline]
    pub fn new(
        snapshot: &'a Snapshot,
        state: impl Into<StateView<'a>>,
        context: &'a Context<'a>,
        now: WallMs,
    ) -> Visit<'a> {
        let (state, attributes) = (state.into(), RequestAttributes::new(context.attributes));
        Visit { snapshot, state, context, attributes, now, user_zone: None, crowding: None }
    }

    /// The request's attributes, and the targets that ask for them.
    pub(super) fn attributes(&mut self) -> (&mut RequestAttributes<'a>, &'a TargetCode) {
        (&mut self.attributes, &self.snapshot.targets)
    }

    /// The first gate that holds back a popup, whatever its status and placement; `None` where it
    /// passes all.
    pub fn failure(&mut self, popup: &'a Popup) -> Option<GateFailure> {
        if popup.status != Status::Live {
            return Some(GateFailure::shut(Gate::Status));
        }
        self.failure_whatever_status(popup)
    }

    /// As [`Visit::failure`], whatever its status is.
    pub(super) fn failure_whatever_status(&mut self, popup: &'a Popup) -> Option<GateFailure> {
        self.failure_in_time(popup).or_else(|| {
            if popup.placements.iter().all(|placement| **placement != *self.context.placement) {
                return Some(GateFailure::shut(Gate::Placement));
            }
            let rule = popup.target.as_deref();
            if rule.is_some_and(|rule| target::evaluate(rule, &mut self.attributes) != Some(true)) {
                return Some(GateFailure::shut(Gate::Target));
            }
            self.failure_behind_target(popup).or_else(|| self.failure_in_state(popup))
        })
    }

    /// Every gate that holds back a popup, each by itself, in their order; of those that go by one
    /// fact, such as schedule and windows, the first. Allocates: no decision asks for it.
    pub fn failures(&mut self, popup: &'a Popup) -> Vec<GateFailure> {
        let mut failures = Vec::new();
        if popup.status != Status::Live {
            failures.push(GateFailure::shut(Gate::Status));
        }
        failures.extend(self.failure_in_time(popup));
        if popup.placements.iter().all(|placement| **placement != *self.context.placement) {
            failures.push(GateFailure::shut(Gate::Placement));
        }
        let rule = popup.target.as_deref();
        if rule.is_some_and(|rule| target::evaluate(rule, &mut self.attributes) != Some(true)) {
            failures.push(GateFailure::shut(Gate::Target));
        }
        failures.extend(self.failure_behind_target(popup));
        if let Some(entry) = self.state.brief(popup.key) {
            failures.extend(failure_of_entry(popup, entry, self.now));
            failures.extend(self.failure_of_caps(popup));
        }
        if !popup.quiet_exempt {
            let (settings, clocks) = (&self.snapshot.settings, self.state.clocks());
            failures.extend(failure_of_clocks(settings, &clocks, self.context.session, self.now));
        }
        failures
    }

    /// As [`Visit::failure`], for a live popup of the request's placement, by its index.
    pub(crate) fn failure_of_live(&mut self, index: u32) -> Option<GateFailure> {
        self.failure_without_state(index).or_else(|| self.failure_in_state(self.popup(index)))
    }

    /// The first gate that holds back a live popup of the request's placement whoever the user is
    /// and whatever is remembered of it.
    pub(crate) fn failure_without_state(&mut self, index: u32) -> Option<GateFailure> {
        self.failure_in_time(self.popup(index)).or_else(|| self.failure_for_request(index))
    }

    /// As [`Visit::failure_of_live`], for a popup whose time it is wherever the request comes from.
    pub(crate) fn failure_of_open(&mut self, index: u32) -> Option<GateFailure> {
        self.failure_for_request(index).or_else(|| self.failure_in_state(self.popup(index)))
    }

    /// As [`Visit::failure_of_open`], for a popup whose target matches.
    pub(super) fn failure_of_matching(&mut self, popup: &Popup) -> Option<GateFailure> {
        self.failure_behind_target(popup).or_else(|| self.failure_in_state(popup))
    }

    /// The popup of an index.
    pub(super) fn popup(&self, index: u32) -> &'a Popup {
        &self.snapshot.popups[index as usize]
    }

    /// Schedule and windows.
    fn failure_in_time(&mut self, popup: &'a Popup) -> Option<GateFailure> {
        let zone = match &popup.zone {
            Zone::Fixed(zone) => zone,
            of_user @ Zone::User => {
                self.user_zone.get_or_insert_with(|| of_user.resolve(self.context.tz))
            }
        };
        failure_in_time(popup, zone, self.now)
    }

    /// Target and rollout.
    fn failure_for_request(&mut self, index: u32) -> Option<GateFailure> {
        if !target::matches(&self.snapshot.targets, index, &mut self.attributes) {
            return Some(GateFailure::shut(Gate::Target));
        }
        self.failure_behind_target(self.popup(index))
    }

    /// Rollout.
    fn failure_behind_target(&self, popup: &Popup) -> Option<GateFailure> {
        if !bucket::is_in_rollout(popup, self.context.user) {
            return Some(GateFailure::shut(Gate::Rollout));
        }
        None
    }

    /// The popup's sliding caps; there is an entry.
    fn failure_of_caps(&self, popup: &Popup) -> Option<GateFailure> {
        if popup.caps.is_empty() {
            return None;
        }
        // The cap that allows last; those that allow already are past.
        let opens_at = self.state.entry(popup.key, |entry| {
            popup.caps.iter().filter_map(|cap| cap_opens_at(*cap, entry)).max()
        });
        match opens_at.flatten() {
            Some(at) if self.now < at => Some(GateFailure { gate: Gate::Cap, opens_at: Some(at) }),
            _ => None,
        }
    }

    /// The popup's entry, then the user's clocks.
    fn failure_in_state(&mut self, popup: &Popup) -> Option<GateFailure> {
        if let Some(entry) = self.state.brief(popup.key) {
            let failure = failure_of_entry(popup, entry, self.now);
            if let Some(failure) = failure.or_else(|| self.failure_of_caps(popup)) {
                return Some(failure);
            }
        }
        if popup.quiet_exempt {
            return None;
        }
        let Visit { snapshot, state, context, now, crowding, .. } = self;
        *crowding.get_or_insert_with(|| {
            failure_of_clocks(&snapshot.settings, &state.clocks(), context.session, *now)
        })
    }
}

/// Schedule and windows of a popup, whose windows are in this zone.
pub(super) fn failure_in_time(popup: &Popup, zone: &TimeZone, now: WallMs) -> Option<GateFailure> {
    if let Some(starts_at) = popup.starts_at
        && now < starts_at
    {
        return Some(GateFailure { gate: Gate::Schedule, opens_at: Some(starts_at) });
    }
    if popup.ends_at.is_some_and(|ends_at| now >= ends_at) {
        return Some(GateFailure::shut(Gate::Schedule));
    }
    if is_inside(&popup.windows, zone, now) {
        return None;
    }
    let opens_at = next_opening(&popup.windows, zone, now);
    Some(GateFailure { gate: Gate::Window, opens_at })
}

/// The popup's own limits: shows for ever, gaps.
fn failure_of_entry(popup: &Popup, entry: EntryBrief, now: WallMs) -> Option<GateFailure> {
    if popup.max_shows > 0 && entry.shows_total >= popup.max_shows {
        return Some(GateFailure::shut(Gate::MaxShows));
    }
    let next_show_at = next_show_by(popup, entry, now).time();
    let rests = next_show_at.is_none_or(|at| now < at);
    rests.then_some(GateFailure { gate: Gate::Gap, opens_at: next_show_at })
}

/// When a sliding cap allows one more show: as the `n`-th latest one leaves it. `None` where there
/// are fewer than `n`.
fn cap_opens_at(cap: Cap, entry: &PopupState) -> Option<WallMs> {
    let latest = usize::try_from(cap.n).ok()?;
    let index = entry.shows().len().checked_sub(latest)?;
    entry.shows().get(index).map(|show| show.at.plus(cap.per))
}

/// The limits across popups: quiet time, calendar day, session.
fn failure_of_clocks(
    settings: &Settings,
    clocks: &UserClocks,
    session: Option<&str>,
    now: WallMs,
) -> Option<GateFailure> {
    let last = clocks.last_counted_at?;
    let quiet_until = last.plus(settings.quiet_time);
    if now < quiet_until {
        return Some(GateFailure { gate: Gate::Quiet, opens_at: Some(quiet_until) });
    }
    // Asking for the day last spares most visits the look into the zone.
    if settings.max_per_day > 0
        && clocks.day_shows >= settings.max_per_day
        && local_day(&settings.tz, last) == local_day(&settings.tz, now)
    {
        let opens_at = Some(next_midnight(&settings.tz, now));
        return Some(GateFailure { gate: Gate::Day, opens_at });
    }
    if settings.max_per_session > 0
        && clocks.session_shows >= settings.max_per_session
        && session.is_some_and(|session| hash::session(session.as_bytes()) == clocks.session)
    {
        return Some(GateFailure::shut(Gate::Session));
    }
    None
}

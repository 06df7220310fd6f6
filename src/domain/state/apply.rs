//! The only functions that change a user's state. Each change raises the revision by one; what
//! changes nothing leaves it. Whether a popup may be shown is `decide`'s business, not asked here.
//! Shows that were decided without the state are in `late`.
//!
//! The caller's `now` is never before the newest time in the state (docs/semantics.md#time).

use std::ops::Range;

use crate::catalog::schedule::local_day;
use crate::catalog::snapshot::{Popup, Settings, ShowOutcome, Snapshot};
use nudged_base::event_kind::EventKind;
use nudged_base::hash;
use nudged_base::ids::{PopupKey, Revision};
use nudged_base::limits::{
    EVENT_AGE_MAX_MS, SHOWS_REMEMBERED_MAX, TOMBSTONE_AGE_MAX_MS, USER_POPUPS_MAX,
};
use nudged_base::time::WallMs;

use super::user::{EncodedState, EntryBrief, PopupState, Show, UserClocks, UserState};

mod late;
#[cfg(test)]
mod tests;

pub use late::{LateShow, MergedShow, confirm, learn_show, merge_show};

/// What a client reports of an impression. The numbers are stored, as bits of `Show::actions`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Action {
    /// It came on screen; moves no clock.
    Shown = 0,
    /// Nothing came of it.
    Ignored = 1,
    /// Closed by the user.
    Dismissed = 2,
    /// Clicked by the user.
    Clicked = 3,
    /// Led to what it was made for.
    Converted = 4,
}

impl Action {
    /// Every action, in the order of their numbers.
    pub const ALL: [Action; 5] =
        [Action::Shown, Action::Ignored, Action::Dismissed, Action::Clicked, Action::Converted];

    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        self.kind().word()
    }

    /// The action of a name; `None` for an unknown one.
    pub fn parse(name: &str) -> Option<Action> {
        EventKind::of_word(name).and_then(Action::of_kind)
    }

    /// What it is in the journal.
    pub fn kind(self) -> EventKind {
        match self {
            Action::Shown => EventKind::Shown,
            Action::Ignored => EventKind::Ignored,
            Action::Dismissed => EventKind::Dismissed,
            Action::Clicked => EventKind::Clicked,
            Action::Converted => EventKind::Converted,
        }
    }

    /// The action that a record is about; `None` for a show.
    pub fn of_kind(kind: EventKind) -> Option<Action> {
        Action::ALL.into_iter().find(|action| action.kind() == kind)
    }

    /// The outcome that it stands for; `shown` is none.
    pub fn outcome(self) -> Option<ShowOutcome> {
        ShowOutcome::of_kind(self.kind())
    }

    fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

/// What a show did to the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShowApplied {
    /// The show's number, from 1: with user, popup and time the identity of the impression.
    pub number: u32,
    /// The popup that was pushed out to make room.
    pub forgotten: Option<PopupKey>,
}

/// The parts of a state that a show has made other ones of, for [`EncodedState::splice`].
#[derive(Clone, Debug)]
pub struct ShowParts {
    /// What the show did.
    pub applied: ShowApplied,
    /// The state's revision with it.
    pub revision: Revision,
    /// The clocks with it.
    pub clocks: UserClocks,
    /// The popup's entry with it, in brief.
    pub entry: EntryBrief,
    /// Where the entry belongs in the state as it lies; empty for a new one.
    pub place: Range<usize>,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventVerdict {
    /// It changed the state.
    Accepted {
        /// The event's time after clamping to [decision, now].
        acted_at: WallMs,
    },
    /// This decision had this action before; nothing changed.
    Duplicate,
    /// Its decision is more than 7 days old or no longer remembered; nothing changed.
    TooLate,
}

/// Which show of a user an event is about: what a decision's token says beside the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShowId {
    /// The popup.
    pub popup: PopupKey,
    /// The show's number.
    pub number: u32,
    /// When it was decided.
    pub at: WallMs,
}

/// Records that `popup` was returned: its show time, which clears its outcome, and, where it is not
/// exempt, the user's clocks. At the 65th popup another one is forgotten. Allocates only where
/// `state` never held as many popups.
pub fn show(
    state: &mut UserState,
    snapshot: &Snapshot,
    popup: &Popup,
    session: Option<&str>,
    now: WallMs,
) -> ShowApplied {
    let mut forgotten = None;
    let known = state.popups.iter().position(|entry| entry.popup == popup.key);
    let index = known.unwrap_or_else(|| {
        if state.popups.len() >= USER_POPUPS_MAX {
            forgotten = Some(forget_one(state, snapshot));
        }
        state.popups.push(PopupState::empty(popup.key));
        state.popups.len() - 1
    });
    assert!(state.popups.len() <= USER_POPUPS_MAX);
    let number = add_show(&mut state.popups[index], now);
    move_clocks(&mut state.clocks, snapshot, popup, session, now);
    state.revision = state.revision.next();
    ShowApplied { number, forgotten }
}

/// The same upon a state as it lies: gives what is other than in it, and appends the popup's entry
/// to `row`, encoded. `None` where another popup has to be forgotten or shows are counted to the
/// end of their range: all of the state has to be decoded then. Allocates only where `row` has to
/// grow.
pub fn show_as_it_lies(
    state: &EncodedState<'_>,
    snapshot: &Snapshot,
    popup: &Popup,
    session: Option<&str>,
    (now, row): (WallMs, &mut Vec<u8>),
) -> Option<ShowParts> {
    let (number, place) = state.entry_with_show(popup.key, now, row)?;
    if place.is_empty() && state.len() >= USER_POPUPS_MAX {
        return None;
    }
    let mut clocks = state.clocks();
    move_clocks(&mut clocks, snapshot, popup, session, now);
    let applied = ShowApplied { number, forgotten: None };
    let entry = EntryBrief { shows_total: number, latest_at: now, outcome: None };
    Some(ShowParts { applied, revision: state.revision().next(), clocks, entry, place })
}

/// When an event happened: the client's time, if it gave one, held to [decision, now].
pub fn acted_at(client_time: Option<WallMs>, shown_at: WallMs, now: WallMs) -> WallMs {
    // Not `clamp`, which panics where a clock that went back made its range empty.
    client_time.unwrap_or(now).min(now).max(shown_at)
}

/// When an event that a state has had happened, where it comes again, `told` being what the
/// repeat says. A repeat changes nothing, so what it is recorded with is the state's own time as
/// far as that is kept: an outcome's is, unless other shows had the same action; then it is at
/// least not later. What counts for statistics only, or is replaced, has left no time.
pub fn repeated_at(state: &UserState, shown: ShowId, action: Action, told: WallMs) -> WallMs {
    let entry = state
        .popup(shown.popup)
        .filter(|entry| entry.outcome.is_some() && entry.outcome == action.outcome());
    let Some(entry) = entry else { return told };
    let had_it = |show: &&Show| show.actions & action.bit() != 0;
    match entry.shows().iter().filter(had_it).count() {
        1 => entry.outcome_at,
        _ => entry.outcome_at.min(told),
    }
}

/// Applies an event to the show that it names. `client_time` is the client's own time of the
/// event, if it gave one. Does not allocate.
pub fn event(
    state: &mut UserState,
    shown: ShowId,
    action: Action,
    client_time: Option<WallMs>,
    now: WallMs,
) -> EventVerdict {
    if now.since(shown.at).0 > EVENT_AGE_MAX_MS {
        return EventVerdict::TooLate;
    }
    let Some(entry) = state.popups.iter_mut().find(|entry| entry.popup == shown.popup) else {
        return EventVerdict::TooLate;
    };
    let used = usize::from(entry.shows_used);
    let remembered = entry.shows[..used]
        .iter_mut()
        .find(|show| show.number == shown.number && show.at == shown.at);
    let Some(show) = remembered else {
        return EventVerdict::TooLate;
    };
    if show.actions & action.bit() != 0 {
        return EventVerdict::Duplicate;
    }
    show.actions |= action.bit();
    let acted_at = acted_at(client_time, shown.at, now);
    if let Some(outcome) = action.outcome() {
        add_outcome(entry, outcome, acted_at);
    }
    state.revision = state.revision.next();
    EventVerdict::Accepted { acted_at }
}

/// Forgets everything of a user but when that was, which is given back, and how often the state has
/// changed, which this raises too. The time is not before any that the state knew. Keeps the
/// state's memory.
pub fn erase(state: &mut UserState, now: WallMs) -> WallMs {
    let erased_at = state.newest().map_or(now, |newest| newest.max(now));
    state.clocks = UserClocks { erased_at: Some(erased_at), ..UserClocks::default() };
    state.popups.clear();
    state.revision = state.revision.next();
    erased_at
}

/// Pushes out the popup that is missed least: one that left the catalog before one that is in it,
/// then the one shown longest ago, then the one that was remembered first.
fn forget_one(state: &mut UserState, snapshot: &Snapshot) -> PopupKey {
    let rank = |entry: &PopupState| (snapshot.is_current(entry.popup), entry.latest().at);
    let index = (0..state.popups.len())
        .min_by_key(|index| rank(&state.popups[*index]))
        .expect("a state with no room has popups");
    state.popups.remove(index).popup
}

/// Adds a show to a popup's entry and returns its number. The oldest of 16 makes room for it.
fn add_show(entry: &mut PopupState, now: WallMs) -> u32 {
    let used = usize::from(entry.shows_used);
    debug_assert!(entry.shows().last().is_none_or(|latest| latest.at <= now));
    // At the end of its range the number repeats, and the time alone tells the shows apart.
    entry.shows_total = entry.shows_total.saturating_add(1);
    let number = entry.shows_total;
    let index = if used == SHOWS_REMEMBERED_MAX {
        entry.shows.rotate_left(1);
        used - 1
    } else {
        entry.shows_used += 1;
        used
    };
    entry.shows[index] = Show { at: now, number, actions: 0 };
    entry.outcome = None;
    entry.outcome_at = WallMs::default();
    number
}

/// Nothing that an erase forbids is young enough any more, and who was erased is not told of.
fn forget_old_erase(clocks: &mut UserClocks, now: WallMs) {
    clocks.erased_at = clocks.erased_at.filter(|at| now.since(*at).0 < TOMBSTONE_AGE_MAX_MS);
}

/// What a show does to the clocks across popups.
fn move_clocks(
    clocks: &mut UserClocks,
    snapshot: &Snapshot,
    popup: &Popup,
    session: Option<&str>,
    now: WallMs,
) {
    if !popup.quiet_exempt {
        count_show(clocks, &snapshot.settings, session, now);
    }
    forget_old_erase(clocks, now);
}

fn count_show(clocks: &mut UserClocks, settings: &Settings, session: Option<&str>, now: WallMs) {
    let is_same_day = clocks
        .last_counted_at
        .is_some_and(|last| local_day(&settings.tz, last) == local_day(&settings.tz, now));
    clocks.day_shows = if is_same_day { clocks.day_shows.saturating_add(1) } else { 1 };
    clocks.last_counted_at = Some(now);
    if let Some(session) = session {
        count_session(clocks, hash::session(session.as_bytes()));
    }
}

fn count_session(clocks: &mut UserClocks, session: u64) {
    let is_same_session = clocks.session == session;
    clocks.session_shows = if is_same_session { clocks.session_shows.saturating_add(1) } else { 1 };
    clocks.session = session;
}

/// A higher outcome replaces the stored one, an equal one moves its time forward, a lower one
/// changes nothing.
fn add_outcome(entry: &mut PopupState, outcome: ShowOutcome, acted_at: WallMs) {
    if entry.outcome < Some(outcome) {
        entry.outcome = Some(outcome);
        entry.outcome_at = acted_at;
    } else if entry.outcome == Some(outcome) {
        entry.outcome_at = entry.outcome_at.max(acted_at);
    }
}

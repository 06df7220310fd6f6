//! Shows that a node decided by its own memory, while the user's state could not be had: they
//! become part of it later, perhaps behind newer ones, perhaps told first by an event's token.
//!
//! A show is known by (popup, number, time). The newest 16 of a popup are remembered, so one that
//! is newer than a remembered one and not among them was never part of the state; of an older one
//! nobody can tell.

use super::{
    PopupState, Settings, Show, ShowId, Snapshot, UserClocks, UserState, count_session,
    forget_old_erase, forget_one,
};
use crate::catalog::schedule::local_day;
use nudged_base::ids::PopupKey;
use nudged_base::limits::{SHOWS_REMEMBERED_MAX, USER_POPUPS_MAX};
use nudged_base::time::WallMs;

/// A show that was decided without the user's state, to be merged into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LateShow {
    /// Which show.
    pub shown: ShowId,
    /// Pinned hash of its session; 0 for none.
    pub session: u64,
}

/// What came of merging a show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergedShow {
    /// The state changed.
    Changed {
        /// The popup that was pushed out to make room.
        forgotten: Option<PopupKey>,
    },
    /// The state had it; nothing changed.
    Known,
    /// Its user was erased since; nothing changed, or the erase would be undone.
    Erased,
}

/// Merges a show that the state does not know, in its place by time: the union of both. One that is
/// older than 16 remembered ones is counted and not remembered. Allocates as
/// [`show`](super::show) does.
pub fn merge_show(state: &mut UserState, snapshot: &Snapshot, late: LateShow) -> MergedShow {
    let LateShow { shown, session } = late;
    let known = state.popups.iter().position(|entry| entry.popup == shown.popup);
    if known.is_some_and(|index| has_show(&state.popups[index], shown)) {
        return MergedShow::Known;
    }
    if is_erased(state, shown) {
        return MergedShow::Erased;
    }
    let mut forgotten = None;
    let index = known.unwrap_or_else(|| {
        if state.popups.len() >= USER_POPUPS_MAX {
            forgotten = Some(forget_one(state, snapshot));
        }
        state.popups.push(PopupState::empty(shown.popup));
        state.popups.len() - 1
    });
    // After an erase the number may count shows that are to be forgotten.
    let was_erased = state.clocks.erased_at.is_some();
    insert_show(&mut state.popups[index], shown, if was_erased { 0 } else { shown.number });
    let quiet_exempt = snapshot.popup(shown.popup).is_some_and(|popup| popup.quiet_exempt);
    if !quiet_exempt {
        count_late_show(&mut state.clocks, &snapshot.settings, session, shown.at);
    }
    forget_old_erase(&mut state.clocks, shown.at);
    state.revision = state.revision.next();
    MergedShow::Changed { forgotten }
}

/// Raises the revision alone: whoever was about to take back what the state has finds another one.
pub fn confirm(state: &mut UserState) {
    state.revision = state.revision.next();
}

/// Merges a show of which an event tells, where the state is sure never to have had it: its node
/// has not merged it yet. `None` where nothing changed, else the popup that was pushed out.
/// Allocates as [`merge_show`] does.
pub fn learn_show(
    state: &mut UserState,
    snapshot: &Snapshot,
    late: LateShow,
) -> Option<Option<PopupKey>> {
    if !is_new(state, late.shown) {
        return None;
    }
    match merge_show(state, snapshot, late) {
        MergedShow::Changed { forgotten } => Some(forgotten),
        MergedShow::Known | MergedShow::Erased => None,
    }
}

/// Whether the user was erased at the time of a show, or later. One of the same millisecond counts
/// as before: what was to be forgotten stays so.
fn is_erased(state: &UserState, shown: ShowId) -> bool {
    state.clocks.erased_at.is_some_and(|erased_at| shown.at <= erased_at)
}

/// Whether a show is sure to be new to the state: it is not there, and is not older than what was
/// forgotten.
fn is_new(state: &UserState, shown: ShowId) -> bool {
    match state.popup(shown.popup) {
        Some(entry) => {
            let is_full = entry.shows().len() == SHOWS_REMEMBERED_MAX;
            !has_show(entry, shown) && (!is_full || shown.at > entry.shows[0].at)
        }
        // At the 65th the popup that was shown longest ago is forgotten.
        None => {
            let oldest = state.popups.iter().map(|entry| entry.latest().at).min();
            state.popups.len() < USER_POPUPS_MAX || oldest.is_some_and(|oldest| shown.at > oldest)
        }
    }
}

fn has_show(entry: &PopupState, shown: ShowId) -> bool {
    entry.shows().iter().any(|show| show.number == shown.number && show.at == shown.at)
}

/// Inserts a show in the order of time; there were at least as many as `total_min`.
fn insert_show(entry: &mut PopupState, shown: ShowId, total_min: u32) {
    let used = usize::from(entry.shows_used);
    let place = entry.shows().partition_point(|show| show.at <= shown.at);
    entry.shows_total = entry.shows_total.saturating_add(1).max(total_min);
    let show = Show { at: shown.at, number: shown.number, actions: 0 };
    if used < SHOWS_REMEMBERED_MAX {
        entry.shows[place..=used].rotate_right(1);
        entry.shows[place] = show;
        entry.shows_used += 1;
    } else if place > 0 {
        entry.shows[..place].rotate_left(1);
        entry.shows[place - 1] = show;
    }
    if place == used {
        entry.outcome = None;
        entry.outcome_at = WallMs::default();
    }
}

/// Counts a show that may be older than the latest counted one: a day or a session that is over is
/// not counted any more.
fn count_late_show(clocks: &mut UserClocks, settings: &Settings, session: u64, at: WallMs) {
    let day = |at| local_day(&settings.tz, at);
    let last = clocks.last_counted_at;
    let is_latest = last.is_none_or(|last| at >= last);
    if last.is_some_and(|last| day(last) == day(at)) {
        clocks.day_shows = clocks.day_shows.saturating_add(1);
    } else if is_latest {
        clocks.day_shows = 1;
    }
    if is_latest {
        clocks.last_counted_at = Some(at);
    }
    if session != 0 && (is_latest || clocks.session == session) {
        count_session(clocks, session);
    }
}

#[cfg(test)]
mod tests;

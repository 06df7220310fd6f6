//! Whether anything that is remembered of a user can make a difference to a later decision, as the
//! catalog and its settings are now. A user whom nothing binds may be forgotten: every later
//! decision comes out as it would have. Pure; must not know who forgets.
//!
//! What is looked at is what the gates on a user's state look at: `max_shows`, `gap` and `cap` of
//! each popup that is not archived, `quiet`, `day` and `session` of the settings.

#[cfg(test)]
mod tests;

use super::gates::{NextShow, next_show_at};
use crate::catalog::schedule::local_day;
use crate::catalog::snapshot::{Popup, Settings, Snapshot};
use crate::state::user::{PopupState, UserClocks, UserState};
use nudged_base::time::WallMs;

/// When everything that is inferred of a show is known.
const END_OF_TIME: WallMs = WallMs(i64::MAX);

/// Whether something binds at `now`, or will without another show or event. Does not allocate.
pub fn binds(snapshot: &Snapshot, state: &UserState, now: WallMs) -> bool {
    let binds_popup = |entry: &PopupState| {
        let popup = snapshot.popup(entry.popup).filter(|_| snapshot.is_current(entry.popup));
        popup.is_some_and(|popup| entry_binds(popup, entry, now))
    };
    clocks_bind(&snapshot.settings, &state.clocks, now) || state.popups.iter().any(binds_popup)
}

fn entry_binds(popup: &Popup, entry: &PopupState, now: WallMs) -> bool {
    // A show that nobody has answered counts as ignored one day, which may rest for longer.
    let gap_binds = [now, END_OF_TIME].iter().any(|at| match next_show_at(popup, entry, *at) {
        NextShow::At(next) => next > now,
        NextShow::Never => true,
    });
    let cap_binds = || {
        let longest = popup.caps.iter().map(|cap| cap.per).max();
        longest.is_some_and(|per| entry.shows().iter().any(|show| show.at.plus(per) > now))
    };
    popup.max_shows > 0 || gap_binds || cap_binds()
}

fn clocks_bind(settings: &Settings, clocks: &UserClocks, now: WallMs) -> bool {
    let Some(last) = clocks.last_counted_at else { return false };
    let day_binds = || {
        settings.max_per_day > 0 && local_day(&settings.tz, last) >= local_day(&settings.tz, now)
    };
    let session_binds = settings.max_per_session > 0 && clocks.session_shows > 0;
    last.plus(settings.quiet_time) > now || session_binds || day_binds()
}

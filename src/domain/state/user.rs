//! What is remembered of a user. Its compact, versioned encoding is in `encoding`; its only
//! mutators are in `state::apply`. Knows nothing of requests and of what a catalog makes of it.
//!
//! In memory a shard keeps the encoding. A decision reads it where it lies (`view`); what changes a
//! state decodes it into a scratch [`UserState`] that is used again and again, so neither side
//! allocates after warm-up. Limits: `USER_POPUPS_MAX` popups,
//! `SHOWS_REMEMBERED_MAX` shows of each, `STATE_BYTES_MAX` bytes encoded.

mod adding;
mod encoding;
#[cfg(test)]
mod tests;
mod view;

pub use encoding::{
    StateError, decode, decode_clocks, decode_popup, encode, encode_clocks, encode_popup,
};

pub use view::{EncodedState, StateView};

use crate::catalog::snapshot::ShowOutcome;
use nudged_base::ids::{PopupKey, Revision};
use nudged_base::limits::SHOWS_REMEMBERED_MAX;
use nudged_base::time::WallMs;

/// Everything that is remembered of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserState {
    /// How often this state has changed.
    pub revision: Revision,
    /// Clocks across popups.
    pub clocks: UserClocks,
    /// Remembered popups, at most 64, in the order in which they were first shown.
    pub popups: Vec<PopupState>,
}

/// Clocks of a user across popups. Shows of `quiet_exempt` popups are not counted in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserClocks {
    /// Time of the latest counted show.
    pub last_counted_at: Option<WallMs>,
    /// Counted shows on the calendar day of `last_counted_at`, in the zone of that time's setting.
    pub day_shows: u32,
    /// Pinned hash of the session of the latest counted show that had one; 0 for none.
    pub session: u64,
    /// Counted shows in that session.
    pub session_shows: u32,
    /// When the user was erased last, kept for as long as a tombstone stands: what was shown up to
    /// then and was not part of the state yet never becomes part of it.
    pub erased_at: Option<WallMs>,
}

/// What is remembered of one (user, popup).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PopupState {
    /// The popup.
    pub popup: PopupKey,
    /// Shows, those no longer remembered included.
    pub shows_total: u32,
    /// The stored outcome of the latest show; `None` until an event, or until ignored is inferred
    /// (which is never stored).
    pub outcome: Option<ShowOutcome>,
    /// The outcome's time; the default where there is none.
    pub outcome_at: WallMs,
    /// How many of `shows` are in use, 1 to 16.
    pub shows_used: u8,
    /// The latest shows, oldest first.
    pub shows: [Show; SHOWS_REMEMBERED_MAX],
}

/// An entry in brief: what most gates ask of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryBrief {
    /// Shows, those no longer remembered included.
    pub shows_total: u32,
    /// The time of the latest show.
    pub latest_at: WallMs,
    /// The stored outcome of the latest show, with its time.
    pub outcome: Option<(ShowOutcome, WallMs)>,
}

/// One remembered show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Show {
    /// When the decision was made.
    pub at: WallMs,
    /// The show's number, from 1: which show of this popup to this user it was.
    pub number: u32,
    /// Actions that were accepted for it; bit `action as u8`.
    pub actions: u8,
}

impl PopupState {
    /// An entry without a show, which the first one fills.
    pub fn empty(popup: PopupKey) -> PopupState {
        PopupState {
            popup,
            shows_total: 0,
            outcome: None,
            outcome_at: WallMs::default(),
            shows_used: 0,
            shows: [Show::default(); SHOWS_REMEMBERED_MAX],
        }
    }

    /// The remembered shows, oldest first.
    pub fn shows(&self) -> &[Show] {
        &self.shows[..usize::from(self.shows_used)]
    }

    /// The entry in brief.
    ///
    /// # Panics
    /// Where it has no show.
    pub fn brief(&self) -> EntryBrief {
        let outcome = self.outcome.map(|outcome| (outcome, self.outcome_at));
        EntryBrief { shows_total: self.shows_total, latest_at: self.latest().at, outcome }
    }

    /// The latest show.
    ///
    /// # Panics
    /// Where there is none: an entry is made by its first show.
    pub fn latest(&self) -> &Show {
        self.shows().last().expect("an entry has at least one show")
    }
}

impl UserState {
    /// The newest time that the state knows; `None` where it knows no show and no erase.
    pub fn newest(&self) -> Option<WallMs> {
        let of_popup = |popup: &PopupState| popup.latest().at.max(popup.outcome_at);
        let shown = self.popups.iter().map(of_popup).max();
        shown.max(self.clocks.last_counted_at).max(self.clocks.erased_at)
    }

    /// The entry of a popup.
    pub fn popup(&self, key: PopupKey) -> Option<&PopupState> {
        self.popups.iter().find(|entry| entry.popup == key)
    }
}

//! Users, erases and statistics as whole rows, for those who take them from one database into
//! another. Plain values and what both databases do with them; must not know statements.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use jiff::tz::TimeZone;

use super::catalog::PopupRow;
use super::stored::HistoryEntry;
use nudged_background::projection::stats::StatUsers;
use nudged_background::projection::union::{Tombstone, WholeUser, unite};
use nudged_base::ids::{Sequence, UserKey};
use nudged_base::time::WallMs;
use nudged_domain::catalog::snapshot::ShowOutcome;

/// What became of users that were taken in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TakenUsers {
    /// Not there before.
    pub new: u64,
    /// There, and now with what was brought.
    pub united: u64,
    /// There, with all of it.
    pub known: u64,
}

impl TakenUsers {
    /// Adds what another call did.
    pub fn add(&mut self, other: TakenUsers) {
        self.new += other.new;
        self.united += other.united;
        self.known += other.known;
    }
}

/// A row of `popup_stats`, its stream by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WholeStat {
    /// The popup's id.
    pub popup: String,
    /// The variant's key; empty for none.
    pub variant: String,
    /// The first millisecond of the hour, or of the day.
    pub hour: i64,
    /// It is a whole UTC day.
    pub is_day: bool,
    /// What `streams` calls the stream: a journal's set id in hex, or a list.
    pub set: String,
    /// Decided, shown, ignored, dismissed, clicked, converted.
    pub counts: [i64; 6],
    /// Decisions of the hour that were answered; `None` where a version did not count them.
    pub answered: Option<i64>,
    /// The distinct users.
    pub users: StatUsers,
}

/// A journal that a database knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WholeStream {
    /// Its number there.
    pub stream: u32,
    /// Its set id in hex.
    pub set: String,
    /// The last record that is applied.
    pub applied: Sequence,
}

/// A popup with all that is stored of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WholePopup {
    /// Its row.
    pub(super) popup: PopupRow,
    /// Its changes, oldest first.
    pub(super) history: Vec<HistoryEntry>,
}

impl WholePopup {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.popup.id
    }

    /// Whether the popups file owns the id.
    pub fn is_in_file(&self) -> bool {
        self.popup.is_in_file()
    }
}

/// What became of a popup that was brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TakenPopup {
    /// It was not there.
    New,
    /// It is there, the same.
    Known,
    /// It is there with another definition, which stays.
    Differs,
}

/// What is to be written of users that are brought, given what is there: `known` by id, and the
/// erases among them.
pub(super) fn plan(
    brought: &[WholeUser],
    known: &BTreeMap<String, WholeUser>,
    erased: &HashMap<UserKey, Tombstone>,
    zone: &TimeZone,
) -> (Vec<WholeUser>, TakenUsers) {
    let (mut written, mut taken) = (Vec::new(), TakenUsers::default());
    for user in brought {
        let before = known.get(&user.user);
        let erased = erased.get(&UserKey::of(user.user.as_bytes()));
        match (unite(before, user, erased, zone), before) {
            (Some(united), before) => {
                let count = if before.is_some() { &mut taken.united } else { &mut taken.new };
                *count += 1;
                written.push(united);
            }
            (None, _) => taken.known += 1,
        }
    }
    (written, taken)
}

/// An outcome of its two columns.
pub(super) fn outcome_at(
    word: Option<String>,
    at: Option<WallMs>,
) -> Option<(ShowOutcome, WallMs)> {
    ShowOutcome::of_word(&word?).zip(at)
}

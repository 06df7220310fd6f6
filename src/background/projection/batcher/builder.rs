//! What records do to each user and each entry, gathered by key: the newest revision stands. Knows
//! rows; must not know events.

use hashbrown::HashMap;

use super::{Batch, EntryColumns, EraseRow, PopupDelta, Tombstones, UserRow};
use crate::projection::validate::{Decoded, DecodedWithdrawn};
use nudged_base::ids::UserKey;
use nudged_base::time::WallMs;
use nudged_domain::state::user::PopupState;
use nudged_journal::record::{Impression, Withdrawn};

/// How an entry ends.
#[derive(Clone, Copy)]
enum EntryEnd {
    /// It is marked, so that people see what it was.
    Forgotten,
    /// Its row goes: it never was.
    Removed,
}

/// An entry's own columns; those of its place in the batch are to be filled in.
fn columns<'a>(
    entry: &PopupState,
    state: &'a [u8],
    next_show_at: Option<WallMs>,
) -> EntryColumns<'a> {
    EntryColumns {
        shows: entry.shows_total,
        last_shown_at: entry.latest().at,
        outcome: entry.outcome.map(|outcome| (outcome, entry.outcome_at)),
        next_show_at,
        state,
        ..EntryColumns::default()
    }
}

/// Rows by their keys while a batch is built.
#[derive(Default)]
pub(super) struct Builder<'a> {
    erased: Tombstones,
    erases: HashMap<&'a str, EraseRow<'a>>,
    users: HashMap<&'a str, UserRow<'a>>,
    popups: HashMap<(&'a str, &'a str), PopupDelta<'a>>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(erased: Tombstones) -> Builder<'a> {
        Builder { erased, ..Builder::default() }
    }

    pub(super) fn erase(&mut self, row: EraseRow<'a>) {
        let latest = self.erased.entry(row.key).or_insert(row.revision);
        *latest = row.revision.max(*latest);
        let kept = self.erases.entry(row.user).or_insert(row);
        if row.revision > kept.revision {
            *kept = row;
        }
    }

    /// Takes an impression's rows; whether its user is erased.
    pub(super) fn impression(
        &mut self,
        index: usize,
        impression: &Impression<'a>,
        parts: &Decoded,
    ) -> bool {
        let Impression { user, revision, .. } = *impression;
        let key = UserKey::of(user.as_bytes());
        let change = UserRow { index, user, key, revision, clocks: parts.clocks };
        let is_erased = self.is_erased(&change);
        if !is_erased {
            self.user(&change);
            let (state, next_show_at) = (impression.row, impression.next_show_at);
            self.entry(&change, impression.popup, columns(&parts.entry, state, next_show_at));
            if !impression.forgotten.is_empty() {
                self.end(&change, impression.forgotten, EntryEnd::Forgotten);
            }
        }
        is_erased
    }

    /// Takes the rows of a show that is taken back: those that stood before it.
    pub(super) fn withdrawn(
        &mut self,
        index: usize,
        withdrawn: &Withdrawn<'a>,
        parts: &DecodedWithdrawn,
    ) {
        let Withdrawn { user, revision, popup, .. } = *withdrawn;
        let key = UserKey::of(user.as_bytes());
        let change = UserRow { index, user, key, revision, clocks: parts.clocks };
        if self.is_erased(&change) {
            return;
        }
        self.user(&change);
        match (&withdrawn.former, &parts.former) {
            (Some(former), Some(entry)) => {
                self.entry(&change, popup, columns(entry, former.row, former.next_show_at));
            }
            _ => self.end(&change, popup, EntryEnd::Removed),
        }
    }

    fn is_erased(&self, change: &UserRow<'_>) -> bool {
        self.erased.get(&change.key).is_some_and(|at| change.revision <= *at)
    }

    fn user(&mut self, change: &UserRow<'a>) {
        let kept = self.users.entry(change.user).or_insert(*change);
        if change.revision > kept.revision {
            *kept = *change;
        }
    }

    /// The row of a popup, where the change is the newest one of it.
    fn popup(&mut self, change: &UserRow<'a>, popup: &'a str) -> Option<&mut PopupDelta<'a>> {
        let user = change.user;
        let empty = PopupDelta { user, popup, entry: None, forgotten: None, removed: None };
        let row = self.popups.entry((user, popup)).or_insert(empty);
        row.revision().is_none_or(|kept| change.revision > kept).then_some(row)
    }

    fn entry(&mut self, change: &UserRow<'a>, popup: &'a str, columns: EntryColumns<'a>) {
        let UserRow { index, revision, .. } = *change;
        let Some(row) = self.popup(change, popup) else { return };
        let has_ended = row.forgotten.is_some() || row.removed.is_some();
        let kept = row.entry.filter(|_| !has_ended);
        row.forgotten = None;
        row.removed = None;
        row.entry = Some(EntryColumns {
            index,
            revision,
            first: kept.map_or(revision, |kept| kept.first),
            restarted: has_ended || kept.is_some_and(|kept| kept.restarted),
            ..columns
        });
    }

    fn end(&mut self, change: &UserRow<'a>, popup: &'a str, end: EntryEnd) {
        let Some(row) = self.popup(change, popup) else { return };
        let at = Some((change.index, change.revision));
        match end {
            // Of a row that goes there is nothing to be marked.
            EntryEnd::Forgotten if row.removed.is_some() => row.removed = at,
            EntryEnd::Forgotten => row.forgotten = at,
            EntryEnd::Removed => (row.entry, row.forgotten, row.removed) = (None, None, at),
        }
    }

    pub(super) fn finish(self, batch: &mut Batch<'a>) {
        batch.users = self.users.into_values().collect();
        batch.users.sort_unstable_by_key(|row| row.user);
        batch.popups = self.popups.into_values().collect();
        batch.popups.sort_unstable_by_key(|row| (row.user, row.popup));
        batch.erases = self.erases.into_values().collect();
        batch.erases.sort_unstable_by_key(|row| row.user);
    }
}

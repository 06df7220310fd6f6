//! A run of journal records as the rows of one transaction. Knows records and the domain's
//! encodings; must not know statements, the position, or what the tables hold already.
//!
//! Only the latest row per key leaves, sorted by key, so that transactions of several writers take
//! their locks in one order. The rows are the same however the journal is cut into batches: an
//! erase acts on every record of its user up to its revision, before and after it.
//!
//! Limits: `MYSQL_APPLY_RECORDS_MAX` records a batch; memory grows with the batch alone.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use hashbrown::HashMap;

use super::validate::{Decoded, RecordError, decode, decode_impression};
use crate::base::hash;
use crate::base::ids::{Revision, Sequence, UserKey};
use crate::base::limits::MYSQL_APPLY_RECORDS_MAX;
use crate::base::time::WallMs;
use crate::catalog::snapshot::Outcome;
use crate::journal::record::{Happening, Impression, Record};
use crate::state::user::UserClocks;

/// Erased users: records of them up to the revision are of nobody.
pub type Tombstones = HashMap<UserKey, Revision>;

/// The rows of one transaction. Each carries the index of the record that it comes from, so that
/// a row which the database refuses names its record.
#[derive(Debug, Default)]
pub struct Batch<'a> {
    /// One per impression, in order of sequence.
    pub events: Vec<EventRow<'a>>,
    /// The latest per user, sorted by id.
    pub users: Vec<UserRow<'a>>,
    /// The latest per (user, popup), sorted.
    pub popups: Vec<PopupRow<'a>>,
    /// The latest per user, sorted by id; they go first.
    pub erases: Vec<EraseRow<'a>>,
    /// Records that can't become rows: index and reason.
    pub rejected: Vec<(usize, RecordError)>,
}

/// A row of `events`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow<'a> {
    /// Index of the record in the batch.
    pub index: usize,
    /// The record's sequence.
    pub sequence: Sequence,
    /// The token, or what stands for it where the user is erased.
    pub decision: Cow<'a, str>,
    /// What happened.
    pub happening: Happening,
    /// The time of the change.
    pub at: WallMs,
    /// The event's own time.
    pub acted_at: WallMs,
    /// The user's id; `None` where the user is erased.
    pub user: Option<&'a str>,
    /// The popup's id.
    pub popup: &'a str,
    /// The popup's version.
    pub version: u32,
    /// The variant's key; empty for none.
    pub variant: &'a str,
    /// The user's revision after the change.
    pub revision: Revision,
}

/// A row of `users`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserRow<'a> {
    /// Index of the record in the batch.
    pub index: usize,
    /// The user's id.
    pub user: &'a str,
    /// The pinned hash of the id.
    pub key: UserKey,
    /// The user's revision.
    pub revision: Revision,
    /// Clocks across popups.
    pub clocks: UserClocks,
}

/// What a batch does to a row of `user_popups`: writes an entry, forgets it, or one after the
/// other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PopupRow<'a> {
    /// The user's id.
    pub user: &'a str,
    /// The popup's id.
    pub popup: &'a str,
    /// The entry to write, if any.
    pub entry: Option<EntryColumns<'a>>,
    /// Where the entry is forgotten after that: index of the record, and its revision.
    pub forgotten: Option<(usize, Revision)>,
}

/// The columns of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryColumns<'a> {
    /// Index of the record in the batch.
    pub index: usize,
    /// The revision that wrote it.
    pub revision: Revision,
    /// The revision of the batch's first record of this entry.
    pub first: Revision,
    /// Whether the batch forgot an older entry of the popup before, so that `first` stands even
    /// where the table has one.
    pub restarted: bool,
    /// Shows, those no longer remembered included.
    pub shows: u32,
    /// The latest show.
    pub last_shown_at: WallMs,
    /// The stored outcome and its time.
    pub outcome: Option<(Outcome, WallMs)>,
    /// When the popup may return; `None` for never.
    pub next_show_at: Option<WallMs>,
    /// The encoded entry.
    pub state: &'a [u8],
}

/// An erase: rows and events of the user up to the revision lose the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EraseRow<'a> {
    /// Index of the record in the batch.
    pub index: usize,
    /// The user's id.
    pub user: &'a str,
    /// The pinned hash of the id.
    pub key: UserKey,
    /// The erase's revision.
    pub revision: Revision,
    /// When.
    pub at: WallMs,
}

/// Turns records into the rows of one transaction. `tombstones` are the erased users among those
/// of the records, `left_out` the records that the database has refused, with its reasons.
/// Allocates.
///
/// # Panics
/// On more than `MYSQL_APPLY_RECORDS_MAX` records.
pub fn build<'a>(
    records: &[(Sequence, Record<'a>)],
    tombstones: &Tombstones,
    left_out: &BTreeMap<Sequence, String>,
) -> Batch<'a> {
    assert!(records.len() <= MYSQL_APPLY_RECORDS_MAX, "a transaction has a bound");
    let mut builder = Builder { erased: tombstones.clone(), ..Builder::default() };
    let mut batch = Batch::default();
    let kept =
        || records.iter().enumerate().filter(|(_, (sequence, _))| !left_out.contains_key(sequence));
    // Erases first: they act on the records before and after them alike.
    for (index, (_, record)) in kept() {
        let Record::Erase { user, revision, at } = record else { continue };
        match decode(record) {
            Ok(_) => {
                let key = UserKey::of(user.as_bytes());
                builder.erase(EraseRow { index, user, key, revision: *revision, at: *at });
            }
            Err(error) => batch.rejected.push((index, error)),
        }
    }
    batch.events.reserve(records.len());
    for (index, (sequence, record)) in kept() {
        let Record::Impression(impression) = record else { continue };
        match decode_impression(impression) {
            Ok(parts) => {
                let event = builder.impression((index, *sequence), impression, &parts);
                batch.events.push(event);
            }
            Err(error) => batch.rejected.push((index, error)),
        }
    }
    batch.rejected.sort_unstable_by_key(|(index, _)| *index);
    builder.finish(&mut batch);
    batch
}

fn event_row<'a>(
    (index, sequence): (usize, Sequence),
    impression: &Impression<'a>,
    is_erased: bool,
) -> EventRow<'a> {
    let token = impression.token;
    EventRow {
        index,
        sequence,
        decision: if is_erased { erased_decision(token).into() } else { token.into() },
        happening: impression.happening,
        at: impression.at,
        acted_at: impression.acted_at,
        user: if is_erased { None } else { Some(impression.user) },
        popup: impression.popup,
        version: impression.version,
        variant: impression.variant,
        revision: impression.revision,
    }
}

/// What stands for a decision of an erased user: `erased:` and a hash of the token in hex. A token
/// that has been replaced stays as it is. Allocates.
pub fn erased_decision(token: &str) -> String {
    const MARK: &str = "erased:";
    if token.starts_with(MARK) {
        // A token is base64 and holds no colon, so this is one that was replaced before.
        return token.to_owned();
    }
    let mut text = String::with_capacity(MARK.len() + 32);
    text.push_str(MARK);
    for byte in hash::erased_decision(token.as_bytes()) {
        write!(text, "{byte:02x}").expect("writing to a string");
    }
    text
}

/// Rows by their keys while a batch is built.
#[derive(Default)]
struct Builder<'a> {
    erased: Tombstones,
    erases: HashMap<&'a str, EraseRow<'a>>,
    users: HashMap<&'a str, UserRow<'a>>,
    popups: HashMap<(&'a str, &'a str), PopupRow<'a>>,
}

impl<'a> Builder<'a> {
    fn erase(&mut self, row: EraseRow<'a>) {
        let latest = self.erased.entry(row.key).or_insert(row.revision);
        *latest = row.revision.max(*latest);
        let kept = self.erases.entry(row.user).or_insert(row);
        if row.revision > kept.revision {
            *kept = row;
        }
    }

    /// Takes an impression's rows; gives its event.
    fn impression(
        &mut self,
        (index, sequence): (usize, Sequence),
        impression: &Impression<'a>,
        parts: &Decoded,
    ) -> EventRow<'a> {
        let key = UserKey::of(impression.user.as_bytes());
        let is_erased = self.erased.get(&key).is_some_and(|at| impression.revision <= *at);
        if !is_erased {
            self.user((index, key), impression, parts.clocks);
            self.entry(index, impression, parts);
            self.forget(index, impression);
        }
        event_row((index, sequence), impression, is_erased)
    }

    fn user(
        &mut self,
        (index, key): (usize, UserKey),
        impression: &Impression<'a>,
        clocks: UserClocks,
    ) {
        let user = impression.user;
        let row = UserRow { index, user, key, revision: impression.revision, clocks };
        let kept = self.users.entry(user).or_insert(row);
        if row.revision > kept.revision {
            *kept = row;
        }
    }

    fn popup(&mut self, user: &'a str, popup: &'a str) -> &mut PopupRow<'a> {
        let empty = PopupRow { user, popup, entry: None, forgotten: None };
        self.popups.entry((user, popup)).or_insert(empty)
    }

    fn entry(&mut self, index: usize, impression: &Impression<'a>, parts: &Decoded) {
        let revision = impression.revision;
        let row = self.popup(impression.user, impression.popup);
        if row.revision().is_some_and(|kept| revision <= kept) {
            return;
        }
        let restarted = row.forgotten.is_some() || row.entry.is_some_and(|kept| kept.restarted);
        let first = match row.entry {
            Some(kept) if row.forgotten.is_none() => kept.first,
            _ => revision,
        };
        let entry = &parts.entry;
        row.forgotten = None;
        row.entry = Some(EntryColumns {
            index,
            revision,
            first,
            restarted,
            shows: entry.shows_total,
            last_shown_at: entry.latest().at,
            outcome: entry.outcome.map(|outcome| (outcome, entry.outcome_at)),
            next_show_at: impression.next_show_at,
            state: impression.row,
        });
    }

    fn forget(&mut self, index: usize, impression: &Impression<'a>) {
        if impression.forgotten.is_empty() {
            return;
        }
        let row = self.popup(impression.user, impression.forgotten);
        if row.revision().is_none_or(|kept| impression.revision > kept) {
            row.forgotten = Some((index, impression.revision));
        }
    }

    fn finish(self, batch: &mut Batch<'a>) {
        batch.users = self.users.into_values().collect();
        batch.users.sort_unstable_by_key(|row| row.user);
        batch.popups = self.popups.into_values().collect();
        batch.popups.sort_unstable_by_key(|row| (row.user, row.popup));
        batch.erases = self.erases.into_values().collect();
        batch.erases.sort_unstable_by_key(|row| row.user);
    }
}

impl PopupRow<'_> {
    /// The revision after everything that the batch does to the row.
    fn revision(&self) -> Option<Revision> {
        let entry = self.entry.map(|entry| entry.revision);
        entry.max(self.forgotten.map(|(_, revision)| revision))
    }
}

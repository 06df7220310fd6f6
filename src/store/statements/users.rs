//! Rows of `users` and `user_popups`: written by records and by whole copies. A row gives way only
//! to a higher revision, unless it is replaced whole. Knows columns; must not know positions or
//! what the rows mean.

use crate::error::StoreError;
use crate::session::{RowError, Session};
use crate::statement::{ColumnChange, Insert, OnConflict};
use crate::value::{Row, SqlValue, Unreadable, signed};
use crate::whole::outcome_at;
use nudged_background::projection::batcher::{EntryColumns, PopupDelta, UserRow};
use nudged_background::projection::union::{WholeEntry, WholeUser};
use nudged_base::ids::{PopupKey, Revision, UserKey};
use nudged_base::time::WallMs;
use nudged_domain::catalog::snapshot::ShowOutcome;
use nudged_domain::state::user::UserClocks;

/// Rows that one statement names, where it may name several: their texts may be long.
pub(super) const NAMED_MAX: usize = 100;

/// What of a user's own row is read, in the order of [`read_user`].
pub(super) const USER_READ: &str = "users.user_id, users.revision_epoch, users.revision_counter, \
    last_counted_at, day_shows, session, session_shows";

/// A user's own row; when they were erased is another table's business.
pub(super) fn read_user(row: &mut Row<'_>) -> Result<(String, Revision, UserClocks), Unreadable> {
    let (user, revision) = (row.take()?, row.take_revision()?);
    let clocks = UserClocks {
        last_counted_at: row.take_maybe_time()?,
        day_shows: row.take()?,
        session: row.take_bits()?,
        session_shows: row.take()?,
        erased_at: None,
    };
    Ok((user, revision, clocks))
}

fn users_insert(on_conflict: OnConflict<'_>) -> Insert<'_> {
    Insert {
        table: "users",
        columns: "user_id, user_hash, revision_epoch, revision_counter, last_counted_at, \
                  day_shows, session, session_shows",
        key: "user_id",
        on_conflict,
    }
}

/// The columns of a user beside id and revision.
const CLOCKS: (&str, ColumnChange<'_>) =
    ("user_hash, last_counted_at, day_shows, session, session_shows", ColumnChange::New);

fn user_values<'v>(user: &'v str, revision: Revision, clocks: &UserClocks) -> [SqlValue<'v>; 8] {
    [
        user.into(),
        UserKey::of(user.as_bytes()).0.cast_signed().into(),
        revision.epoch.into(),
        signed(revision.counter).into(),
        clocks.last_counted_at.into(),
        clocks.day_shows.into(),
        clocks.session.cast_signed().into(),
        clocks.session_shows.into(),
    ]
}

/// Writes user-level clocks where their revision is the higher one.
pub(super) fn write_users(session: &mut Session, users: &[UserRow<'_>]) -> Result<(), RowError> {
    let insert = users_insert(OnConflict::UpdateIfNewer(&[CLOCKS]));
    let rows = users.iter().map(|row| user_values(row.user, row.revision, &row.clocks));
    let written = session.insert("write users", &insert, rows);
    written.map(drop).map_err(|error| error.renumbered(|row| users[row].index))
}

/// A row of `user_popups` beside its key.
#[derive(Default)]
struct UserPopupColumns<'a> {
    shows: u32,
    last_shown_at: Option<WallMs>,
    outcome: Option<(ShowOutcome, WallMs)>,
    next_show_at: Option<WallMs>,
    is_forgotten: bool,
    first: Revision,
    revision: Revision,
    state: &'a [u8],
}

impl<'a> UserPopupColumns<'a> {
    fn of_record(entry: &EntryColumns<'a>) -> UserPopupColumns<'a> {
        UserPopupColumns {
            shows: entry.shows,
            last_shown_at: Some(entry.last_shown_at),
            outcome: entry.outcome,
            next_show_at: entry.next_show_at,
            is_forgotten: false,
            first: entry.first,
            revision: entry.revision,
            state: entry.state,
        }
    }

    fn of_whole(entry: &'a WholeEntry) -> UserPopupColumns<'a> {
        UserPopupColumns {
            shows: entry.shows,
            last_shown_at: entry.last_shown_at,
            outcome: entry.outcome,
            next_show_at: entry.next_show_at,
            is_forgotten: entry.is_forgotten,
            first: entry.first,
            revision: entry.revision,
            state: &entry.state,
        }
    }

    /// The mark that stands alone where there is no older row, so that older records can't bring
    /// the entry back.
    fn forgotten(revision: Revision) -> UserPopupColumns<'a> {
        UserPopupColumns {
            is_forgotten: true,
            first: revision,
            revision,
            ..UserPopupColumns::default()
        }
    }

    fn values(&self, user: &'a str, popup: &'a str) -> [SqlValue<'a>; 14] {
        [
            user.into(),
            popup.into(),
            PopupKey::of(popup).0.cast_signed().into(),
            self.shows.into(),
            self.last_shown_at.into(),
            self.outcome.map(|(outcome, _)| outcome.word()).into(),
            self.outcome.map(|(_, at)| at).into(),
            self.next_show_at.into(),
            self.is_forgotten.into(),
            self.first.epoch.into(),
            signed(self.first.counter).into(),
            self.revision.epoch.into(),
            signed(self.revision.counter).into(),
            self.state.into(),
        ]
    }
}

fn entries_insert(on_conflict: OnConflict<'_>) -> Insert<'_> {
    Insert {
        table: "user_popups",
        columns: "user_id, popup_id, popup_key, shows, last_shown_at, outcome, outcome_at, \
                  next_show_at, forgotten, first_epoch, first_counter, revision_epoch, \
                  revision_counter, state",
        key: "user_id, popup_id",
        on_conflict,
    }
}

const FIRST: &str = "first_epoch, first_counter";
const COLUMNS: &str = "shows, last_shown_at, outcome, outcome_at, next_show_at, state, forgotten";

/// Writes and forgets entries where the revision is the higher one.
pub(super) fn write_entries(
    session: &mut Session,
    popups: &[PopupDelta<'_>],
) -> Result<(), RowError> {
    // Since when an entry counts is a matter of the row, and so of its statement. Nearly all go on.
    for begins in ["forgotten", "TRUE"] {
        let rows = popups.iter().filter_map(|row| {
            let entry = row.entry.as_ref().filter(|entry| begins_where(entry) == begins)?;
            Some((entry.index, row, UserPopupColumns::of_record(entry)))
        });
        // Whether the row was forgotten is asked before that changes.
        let changes = [(FIRST, ColumnChange::NewWhere(begins)), (COLUMNS, ColumnChange::New)];
        write_kind(session, "write popups of users", &changes, &rows.collect::<Vec<_>>())?;
    }
    let rows = popups.iter().filter_map(|row| {
        let (index, revision) = row.forgotten?;
        Some((index, row, UserPopupColumns::forgotten(revision)))
    });
    let changes = [("forgotten", ColumnChange::New)];
    write_kind(session, "forget popups of users", &changes, &rows.collect::<Vec<_>>())
}

/// Writes entries, each beside the index of its record and whose it is.
fn write_kind(
    session: &mut Session,
    action: &'static str,
    changes: &[(&str, ColumnChange<'_>)],
    rows: &[(usize, &PopupDelta<'_>, UserPopupColumns<'_>)],
) -> Result<(), RowError> {
    if rows.is_empty() {
        return Ok(());
    }
    let insert = entries_insert(OnConflict::UpdateIfNewer(changes));
    let values = rows.iter().map(|(_, row, entry)| entry.values(row.user, row.popup));
    session
        .insert(action, &insert, values)
        .map(drop)
        .map_err(|error| error.renumbered(|row| rows[row].0))
}

/// When an entry's first revision takes the place of the one that its row has.
fn begins_where(entry: &EntryColumns<'_>) -> &'static str {
    if entry.restarted { "TRUE" } else { "forgotten" }
}

/// Deletes the entries that only a withdrawn show had made.
pub(super) fn remove_entries(
    session: &mut Session,
    popups: &[PopupDelta<'_>],
) -> Result<(), StoreError> {
    const IS_OLDER: &str = "(user_id = ? AND popup_id = ? AND (revision_epoch < ? \
        OR (revision_epoch = ? AND revision_counter < ?)))";
    let removed = popups.iter().filter_map(|row| Some((row, row.removed?.1)));
    let rows: Vec<[SqlValue<'_>; 5]> = removed
        .map(|(row, revision)| {
            let (epoch, counter) = (revision.epoch.into(), signed(revision.counter).into());
            [row.user.into(), row.popup.into(), epoch, epoch, counter]
        })
        .collect();
    for rows in rows.chunks(session.dialect().named_max(NAMED_MAX)) {
        let condition = vec![IS_OLDER; rows.len()].join(" OR ");
        let delete = format!("DELETE FROM user_popups WHERE {condition}");
        session.execute("remove popups of users", &delete, rows.as_flattened())?;
    }
    Ok(())
}

/// Writes users with all their entries, whatever was there.
pub(super) fn replace_whole(session: &mut Session, users: &[WholeUser]) -> Result<(), StoreError> {
    let revision = ("revision_epoch, revision_counter", ColumnChange::New);
    let changes = [CLOCKS, revision];
    let insert = users_insert(OnConflict::Update(&changes));
    let rows = users.iter().map(|user| user_values(&user.user, user.revision, &user.clocks));
    session.insert("take users in", &insert, rows)?;
    let changes = [(FIRST, ColumnChange::New), (COLUMNS, ColumnChange::New), revision];
    let insert = entries_insert(OnConflict::Update(&changes));
    let entries = users.iter().flat_map(|user| {
        user.entries
            .iter()
            .map(|entry| UserPopupColumns::of_whole(entry).values(&user.user, &entry.popup))
    });
    session.insert("take users in", &insert, entries)?;
    Ok(())
}

/// What of an entry is read, in the order of [`read_entry`].
pub(super) const ENTRY_READ: &str = "user_id, popup_id, shows, last_shown_at, outcome, outcome_at, \
    next_show_at, forgotten, first_epoch, first_counter, revision_epoch, revision_counter, state";

/// A row of `user_popups` beside its user.
pub(super) fn read_entry(row: &mut Row<'_>) -> Result<(String, WholeEntry), Unreadable> {
    let user = row.take()?;
    let entry = WholeEntry {
        popup: row.take()?,
        shows: row.take()?,
        last_shown_at: row.take_maybe_time()?,
        outcome: outcome_at(row.take()?, row.take_maybe_time()?),
        next_show_at: row.take_maybe_time()?,
        is_forgotten: row.take()?,
        first: row.take_revision()?,
        revision: row.take_revision()?,
        state: row.take()?,
    };
    Ok((user, entry))
}

//! The rows of pauses and archives. Knows statements; what an entry does to them is
//! `store::overrides`'.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::Sqlite;
use super::popups::raise_version;
use crate::catalog::NO_TEXT;
use crate::error::StoreError;
use crate::overrides::{COLUMNS, DROPPED, dropped_of, entry_of, plan_overrides};
use crate::stored::Dropped;
use nudged_base::limits::{OVERRIDES_MAX, SQL_ROWS_READ_MAX};
use nudged_domain::catalog::overrides::{Entry, EntryId};

impl Sqlite {
    /// See [`crate::Store::put_overrides`].
    pub(crate) fn put_overrides(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        let action = "store pauses and archives";
        let path = self.path.clone();
        self.durably(action, |transaction| {
            let put = put(transaction, entries).and_then(|is_changed| {
                if is_changed { raise_version(transaction) } else { Ok(()) }
            });
            put.map_err(|source| StoreError::sql(&path, action, source))
        })
    }

    /// See [`crate::Store::overrides_of`].
    pub(crate) fn overrides_of(&self, ids: &[EntryId]) -> Result<Vec<Entry>, StoreError> {
        let found = of_ids(&self.connection, ids.iter().copied());
        found.map_err(|source| StoreError::sql(&self.path, "read pauses and archives", source))
    }
}

/// Every entry that stands, and the latest that have ended.
pub(super) fn load(connection: &Connection) -> rusqlite::Result<Vec<Entry>> {
    let standing = format!(
        "SELECT {COLUMNS} FROM override_entries WHERE ended_at IS NULL LIMIT {OVERRIDES_MAX}"
    );
    let ended = format!(
        "SELECT {COLUMNS} FROM override_entries WHERE ended_at IS NOT NULL
         ORDER BY ended_at DESC LIMIT {SQL_ROWS_READ_MAX}"
    );
    let mut entries = query(connection, &standing, [])?;
    entries.extend(query(connection, &ended, [])?);
    entries.sort_by_key(|entry| entry.id);
    Ok(entries)
}

/// Writes what is news of these entries, with their lines of history; whether anything was.
pub(super) fn put(transaction: &Transaction<'_>, entries: &[Entry]) -> rusqlite::Result<bool> {
    let mut stored = of_ids(transaction, entries.iter().map(|entry| entry.id))?;
    let of_popup = format!(
        "SELECT {COLUMNS} FROM override_entries WHERE ended_at IS NULL AND popup_id = ?1
         LIMIT {OVERRIDES_MAX}"
    );
    let mut popups: Vec<&str> = entries.iter().map(|entry| &*entry.popup).collect();
    popups.sort_unstable();
    popups.dedup();
    for popup in popups {
        stored.extend(query(transaction, &of_popup, [popup])?);
    }
    let edits = plan_overrides(&stored, entries);
    for edit in &edits {
        let Entry { id, popup, kind, at, who, end } = &edit.entry;
        let end = end.as_ref().map(|end| (end.at.0, &*end.who));
        let upsert = format!(
            "INSERT INTO override_entries ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (entry_id) DO UPDATE SET
                 ended_at = excluded.ended_at, ended_by = excluded.ended_by"
        );
        transaction.execute(
            &upsert,
            params![
                id.to_string(),
                &**popup,
                kind.word(),
                at.0,
                &**who,
                end.map(|(at, _)| at),
                end.map(|(_, who)| who),
            ],
        )?;
        for line in &edit.lines {
            // A popup that is not here has no history here.
            transaction.execute(
                "INSERT INTO popup_history (popup_id, version, change, at, who, diff, definition)
                 SELECT popup_id, version, 'override', ?2, ?3, ?4, ?5
                 FROM popups WHERE popup_id = ?1",
                params![&**popup, line.at.0, &*line.who, line.diff, NO_TEXT],
            )?;
        }
    }
    Ok(!edits.is_empty())
}

/// The popups that the schema's upgrade has stopped.
pub(super) fn dropped(connection: &Connection) -> rusqlite::Result<Vec<Dropped>> {
    let mut statement = connection.prepare(DROPPED)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    rows.filter_map(|row| row.map(dropped_of).transpose()).collect()
}

fn of_ids(
    connection: &Connection,
    ids: impl Iterator<Item = EntryId>,
) -> rusqlite::Result<Vec<Entry>> {
    let find = format!("SELECT {COLUMNS} FROM override_entries WHERE entry_id = ?1");
    let mut statement = connection.prepare_cached(&find)?;
    let mut found = Vec::new();
    for id in ids {
        found.extend(statement.query_row([id.to_string()], entry_of_row).optional()?.flatten());
    }
    Ok(found)
}

fn query(
    connection: &Connection,
    text: &str,
    parameters: impl rusqlite::Params,
) -> rusqlite::Result<Vec<Entry>> {
    let mut statement = connection.prepare_cached(text)?;
    let rows = statement.query_map(parameters, entry_of_row)?;
    rows.filter_map(Result::transpose).collect()
}

fn entry_of_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<Entry>> {
    let (id, kind): (String, String) = (row.get(0)?, row.get(2)?);
    let (made, ended) = ((row.get(3)?, row.get(4)?), (row.get(5)?, row.get(6)?));
    Ok(entry_of((&id, row.get(1)?, &kind), made, ended))
}

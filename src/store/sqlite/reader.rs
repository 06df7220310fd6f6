//! The connection that reads: users for the shards, and rows for people. Its transactions are
//! short, so that the write-ahead log can be folded in. Knows columns; must not know who asks.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::apply::tombstone;
use super::rows::revision_of;
use super::{FILE_NAME, SQL_READ_CACHE_KIB, connect, popups, sequence_of};
use crate::error::StoreError;
use crate::stored::{HistoryEntry, StatRow, StoredCatalog, StoredEvent};
use nudged_background::writer::stats::hour_of;
use nudged_base::ids::{PopupKey, Revision, UserKey};
use nudged_base::limits::{SQL_ROWS_READ_MAX, USER_POPUPS_MAX};
use nudged_base::time::WallMs;
use nudged_domain::state::user::{PopupState, UserClocks, UserState, decode_popup};

/// A connection that only reads.
#[derive(Debug)]
pub struct SqliteReader {
    connection: Connection,
    path: PathBuf,
}

impl SqliteReader {
    /// See [`crate::Reader::open`].
    pub(crate) fn open(directory: &Path) -> Result<SqliteReader, StoreError> {
        let path = directory.join(FILE_NAME);
        let connection = connect(&path, SQL_READ_CACHE_KIB)?;
        connection
            .pragma_update(None, "query_only", true)
            .map_err(|source| StoreError::sql(&path, "set it up", source))?;
        Ok(SqliteReader { connection, path })
    }

    /// See [`crate::Reader::read_users`].
    pub(crate) fn read_users(
        &mut self,
        users: &[&str],
        found: &mut impl FnMut(usize, UserState),
    ) -> Result<usize, StoreError> {
        let failed = |source| StoreError::sql(&self.path, "read users", source);
        let transaction = self.connection.transaction().map_err(failed)?;
        let mut unreadable = 0;
        for (index, user) in users.iter().enumerate() {
            match read_user(&transaction, user).map_err(failed)? {
                Some(state) => found(index, state),
                None => unreadable += 1,
            }
        }
        transaction.finish().map_err(failed)?;
        Ok(unreadable)
    }

    /// See [`crate::Reader::users_after`].
    pub(crate) fn users_after(
        &mut self,
        after: &str,
        count: usize,
    ) -> Result<Vec<String>, StoreError> {
        let query = "SELECT user_id FROM users WHERE user_id > ?1 ORDER BY user_id LIMIT ?2";
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.rows(query, params![after, count], |row| row.get(0))
    }

    /// See [`crate::Reader::user_events`].
    pub(crate) fn user_events(
        &self,
        user: &str,
        count: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let query = "SELECT stream, seq, decision, action, at, acted_at, popup_id, version, variant
                     FROM events WHERE user_id = ?1 ORDER BY at DESC, stream DESC, seq DESC
                     LIMIT ?2";
        self.rows(query, params![user, count.min(SQL_ROWS_READ_MAX)], |row| {
            Ok(StoredEvent {
                stream: row.get(0)?,
                sequence: sequence_of(row.get(1)?),
                decision: row.get(2)?,
                action: row.get(3)?,
                at: WallMs(row.get(4)?),
                acted_at: WallMs(row.get(5)?),
                popup: row.get(6)?,
                version: row.get(7)?,
                variant: row.get(8)?,
            })
        })
    }

    /// See [`crate::Reader::stats`].
    pub(crate) fn stats(
        &self,
        popup: Option<&str>,
        from: WallMs,
        to: WallMs,
    ) -> Result<Vec<StatRow>, StoreError> {
        let query = "SELECT popup_id, variant, hour, sum(decided), sum(shown), sum(ignored),
                            sum(dismissed), sum(clicked), sum(converted)
                     FROM popup_stats
                     WHERE (?1 IS NULL OR popup_id = ?1) AND hour >= ?2 AND hour < ?3
                     GROUP BY popup_id, variant, hour
                     HAVING sum(decided + shown + ignored + dismissed + clicked + converted) > 0
                     ORDER BY popup_id, variant, hour";
        self.rows(query, params![popup, hour_of(from), to.0], |row| {
            let mut counts = [0; 6];
            for (column, count) in (3..).zip(&mut counts) {
                *count = u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0);
            }
            let hour = WallMs(row.get(2)?);
            Ok(StatRow { popup: row.get(0)?, variant: row.get(1)?, hour, counts })
        })
    }

    /// See [`crate::Reader::catalog`].
    pub(crate) fn catalog(&mut self) -> Result<StoredCatalog, StoreError> {
        let failed = |source| StoreError::sql(&self.path, "read popups", source);
        let transaction = self.connection.transaction().map_err(failed)?;
        popups::load(&transaction).map_err(failed)
    }

    /// See [`crate::Reader::catalog_version`].
    pub(crate) fn catalog_version(&self) -> Result<u64, StoreError> {
        popups::version(&self.connection)
            .map_err(|source| StoreError::sql(&self.path, "read the catalog's version", source))
    }

    /// See [`crate::Reader::history`].
    pub(crate) fn history(
        &self,
        popup: &str,
        before: Option<u64>,
        count: u32,
    ) -> Result<Vec<HistoryEntry>, StoreError> {
        let before = before.map_or(i64::MAX, |before| i64::try_from(before).unwrap_or(i64::MAX));
        let query = "SELECT id, version, change, at, who, diff, definition FROM popup_history
                     WHERE popup_id = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3";
        self.rows(query, params![popup, before, count], |row| {
            Ok(HistoryEntry {
                number: row.get::<_, i64>(0)?.unsigned_abs(),
                version: row.get(1)?,
                change: row.get(2)?,
                at: WallMs(row.get(3)?),
                who: row.get(4)?,
                diff: row.get(5)?,
                text: HistoryEntry::text_of_column(row.get(6)?),
            })
        })
    }

    /// See [`crate::Reader::text_of`].
    pub(crate) fn text_of(&self, popup: &str, version: u32) -> Result<Option<String>, StoreError> {
        popups::text_of(&self.connection, popup, version)
            .map_err(|source| StoreError::sql(&self.path, "read a popup's history", source))
    }

    #[cfg(test)]
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    fn rows<T>(
        &self,
        query: &str,
        parameters: &[&dyn rusqlite::ToSql],
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let run = || {
            let mut statement = self.connection.prepare_cached(query)?;
            statement.query_map(parameters, read)?.collect::<rusqlite::Result<Vec<T>>>()
        };
        run().map_err(|source| StoreError::sql(&self.path, "read rows", source))
    }
}

/// A user's state; `None` where a row of theirs can't be read.
fn read_user(connection: &Connection, user: &str) -> Result<Option<UserState>, rusqlite::Error> {
    let mut state = UserState::default();
    let mut find = connection.prepare_cached(
        "SELECT revision_epoch, revision_counter, last_counted_at, day_shows, session,
                session_shows
         FROM users WHERE user_id = ?1",
    )?;
    let erased = tombstone(connection, UserKey::of(user.as_bytes()))?;
    let erased_at = erased.map(|(_, at)| at);
    let row = find.query_row([user], |row| {
        let clocks = UserClocks {
            last_counted_at: row.get::<_, Option<i64>>(2)?.map(WallMs),
            day_shows: row.get(3)?,
            session: row.get::<_, i64>(4)?.cast_unsigned(),
            session_shows: row.get(5)?,
            erased_at,
        };
        Ok((revision_of(row, 0)?, clocks))
    });
    let Some((revision, clocks)) = row.optional()? else {
        // Revisions go on after an erase, or the user's new records would count as erased.
        state.revision = erased.map_or(Revision::default(), |(revision, _)| revision);
        state.clocks.erased_at = erased_at;
        return Ok(Some(state));
    };
    state.revision = revision;
    state.clocks = clocks;
    let is_readable = read_entries(connection, user, &mut state)?;
    Ok(is_readable.then_some(state))
}

/// Reads a user's entries in order of their first shows; false where one can't be read.
fn read_entries(
    connection: &Connection,
    user: &str,
    state: &mut UserState,
) -> Result<bool, rusqlite::Error> {
    let mut find = connection.prepare_cached(
        "SELECT popup_key, state FROM user_popups WHERE user_id = ?1 AND NOT forgotten
         ORDER BY first_epoch, first_counter, popup_id",
    )?;
    let mut rows = find.query([user])?;
    while let Some(row) = rows.next()? {
        let key = PopupKey(row.get::<_, i64>(0)?.cast_unsigned());
        let mut entry = PopupState::empty(key);
        let bytes = row.get_ref(1)?.as_blob()?;
        if decode_popup(bytes, &mut entry).is_err() || entry.popup != key {
            return Ok(false);
        }
        state.popups.push(entry);
    }
    // Journals that arrive out of order may leave more for a while; the oldest go first.
    let surplus = state.popups.len().saturating_sub(USER_POPUPS_MAX);
    state.popups.drain(..surplus);
    Ok(true)
}

//! Whole rows of users, erases, events and statistics: read in pages, and users taken in. Knows
//! columns; what a union of users is stands in `writer::union`.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use jiff::tz::TimeZone;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::apply::tombstone;
use super::rows::{counter_column, revision_of};
use super::{PART, Sqlite, sequence_of};
use crate::error::StoreError;
use crate::whole::{
    TakenUsers, WholeEvent, WholeOverride, WholePopup, WholeStat, WholeStream, outcome_at, plan,
};
use nudged_background::writer::union::{Tombstone, WholeEntry, WholeUser};
use nudged_base::ids::{PopupKey, UserKey};
use nudged_base::time::WallMs;
use nudged_domain::state::user::UserClocks;

impl Sqlite {
    /// See [`crate::Store::whole_users_after`].
    pub(crate) fn whole_users_after(
        &self,
        after: &str,
        count: usize,
    ) -> Result<Vec<WholeUser>, StoreError> {
        // A snapshot, so that a user and their entries are of one moment.
        let transaction = self.connection.unchecked_transaction();
        let transaction = transaction.map_err(|source| self.failed("read users", source))?;
        let query = "SELECT user_id FROM users WHERE user_id > ?1 ORDER BY user_id LIMIT ?2";
        let ids = page(&transaction, query, params![after, limit(count)], |row| row.get(0));
        let ids: Vec<String> = ids.map_err(|source| self.failed("read users", source))?;
        let users = ids.iter().map(|id| read_whole(&transaction, id));
        let users: rusqlite::Result<Vec<Option<WholeUser>>> = users.collect();
        let users = users.map_err(|source| self.failed("read users", source))?;
        Ok(users.into_iter().flatten().collect())
    }

    /// See [`crate::Store::take_users`].
    pub(crate) fn take_users(
        &mut self,
        users: &[WholeUser],
        zone: &TimeZone,
    ) -> Result<TakenUsers, StoreError> {
        let action = "take users in";
        let path = self.path.clone();
        let failed = |source| StoreError::sql(&path, action, source);
        self.durably(action, |transaction| {
            let (mut known, mut erased) = (BTreeMap::new(), HashMap::new());
            for WholeUser { user, .. } in users {
                if let Some(row) = read_whole(transaction, user).map_err(failed)? {
                    known.insert(user.clone(), row);
                }
                let key = UserKey::of(user.as_bytes());
                if let Some((revision, at)) = tombstone(transaction, key).map_err(failed)? {
                    erased.insert(key, Tombstone { key, revision, at });
                }
            }
            let (written, taken) = plan(users, &known, &erased, zone);
            written.iter().try_for_each(|user| write_whole(transaction, user)).map_err(failed)?;
            Ok(taken)
        })
    }

    /// See [`crate::Store::tombstones_after`].
    pub(crate) fn tombstones_after(
        &self,
        after: i64,
        count: usize,
    ) -> Result<Vec<Tombstone>, StoreError> {
        let query = "SELECT user_hash, revision_epoch, revision_counter, erased_at
                     FROM erased_users WHERE user_hash > ?1 ORDER BY user_hash LIMIT ?2";
        let read = |row: &Row<'_>| {
            let key = UserKey(row.get::<_, i64>(0)?.cast_unsigned());
            Ok(Tombstone { key, revision: revision_of(row, 1)?, at: WallMs(row.get(3)?) })
        };
        self.page("read tombstones", query, params![after, limit(count)], read)
    }

    /// See [`crate::Store::take_tombstones`].
    pub(crate) fn take_tombstones(&mut self, tombstones: &[Tombstone]) -> Result<(), StoreError> {
        let action = "take tombstones in";
        let path = self.path.clone();
        let failed = |source| StoreError::sql(&path, action, source);
        self.durably(action, |transaction| {
            tombstones.iter().try_for_each(|one| take_tombstone(transaction, one)).map_err(failed)
        })
    }

    /// See [`crate::Store::whole_stats_after`].
    pub(crate) fn whole_stats_after(
        &self,
        after: Option<&WholeStat>,
        count: usize,
    ) -> Result<Vec<WholeStat>, StoreError> {
        let query = "SELECT popup_id, variant, hour, set_id, decided, shown, ignored, dismissed,
                            clicked, converted
                     FROM popup_stats JOIN streams USING (stream)
                     WHERE ?1 IS NULL OR (popup_id, variant, hour, set_id) > (?1, ?2, ?3, ?4)
                     ORDER BY popup_id, variant, hour, set_id LIMIT ?5";
        let (popup, variant) = (after.map(|row| &row.popup), after.map(|row| &row.variant));
        let (hour, set) = (after.map(|row| row.hour), after.map(|row| &row.set));
        self.page(
            "read statistics",
            query,
            params![popup, variant, hour, set, limit(count)],
            |row| {
                let mut counts = [0; 6];
                for (column, count) in (4..).zip(&mut counts) {
                    *count = row.get(column)?;
                }
                let (popup, variant, hour, set) =
                    (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
                Ok(WholeStat { popup, variant, hour, set, counts })
            },
        )
    }

    /// See [`crate::Store::take_stats`].
    pub(crate) fn take_stats(&mut self, stats: &[WholeStat]) -> Result<(), StoreError> {
        let action = "take statistics in";
        let path = self.path.clone();
        let failed = |source| StoreError::sql(&path, action, source);
        self.durably(action, |transaction| {
            stats.iter().try_for_each(|row| take_stat(transaction, row)).map_err(failed)
        })
    }

    /// Events behind a place, in order of (stream, sequence).
    ///
    /// # Errors
    /// Where the database fails.
    pub fn whole_events_after(
        &self,
        after: (u32, i64),
        count: usize,
    ) -> Result<Vec<WholeEvent>, StoreError> {
        let query =
            "SELECT stream, seq, decision, action, at, acted_at, user_id, popup_id, version,
                            variant, revision_epoch, revision_counter FROM events
                     WHERE (stream, seq) > (?1, ?2) ORDER BY stream, seq LIMIT ?3";
        self.page("read events", query, params![after.0, after.1, limit(count)], |row| {
            Ok(WholeEvent {
                stream: row.get(0)?,
                sequence: sequence_of(row.get(1)?),
                decision: row.get(2)?,
                action: row.get(3)?,
                times: (row.get(4)?, row.get(5)?),
                user: row.get(6)?,
                popup: row.get(7)?,
                version: row.get(8)?,
                variant: row.get(9)?,
                revision: (row.get(10)?, row.get(11)?),
            })
        })
    }

    /// Every journal that it knows.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn whole_streams(&self) -> Result<Vec<WholeStream>, StoreError> {
        let query = "SELECT stream, set_id, off FROM streams JOIN writer_position USING (stream)
                     WHERE part = ?1 ORDER BY stream";
        self.page("read streams", query, params![PART], |row| {
            let applied = sequence_of(row.get(2)?);
            Ok(WholeStream { stream: row.get(0)?, set: row.get(1)?, applied })
        })
    }

    /// Every popup with its changes.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn whole_popups(&self) -> Result<Vec<WholePopup>, StoreError> {
        let query = "SELECT popup_id, version, origin, definition, archived_at FROM popups
                     ORDER BY popup_id";
        let mut popups = self.page("read popups", query, params![], |row| {
            Ok(WholePopup {
                id: row.get(0)?,
                version: row.get(1)?,
                origin: row.get(2)?,
                text: row.get(3)?,
                archived_at: row.get(4)?,
                history: Vec::new(),
            })
        })?;
        let query = "SELECT version, change, at, who, diff, definition FROM popup_history
                     WHERE popup_id = ?1 ORDER BY id";
        for popup in &mut popups {
            popup.history = self.page("read a history", query, params![popup.id], |row| {
                let (version, change, at) = (row.get(0)?, row.get(1)?, row.get(2)?);
                Ok((version, change, at, row.get(3)?, row.get(4)?, row.get(5)?))
            })?;
        }
        Ok(popups)
    }

    /// Every entry of an operator's override, ended ones too; none in a schema without them.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn whole_overrides(&self) -> Result<Vec<WholeOverride>, StoreError> {
        let action = "read overrides";
        let query = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'override_entries')";
        let is_there = self.page(action, query, params![], |row| row.get::<_, bool>(0))?;
        if is_there != [true] {
            return Ok(Vec::new());
        }
        let query = "SELECT entry_id, popup_id, kind, at, who, ended_at, ended_by
                     FROM override_entries ORDER BY entry_id";
        self.page(action, query, params![], |row| {
            Ok(WholeOverride {
                entry: row.get(0)?,
                popup: row.get(1)?,
                kind: row.get(2)?,
                begun: (row.get(3)?, row.get(4)?),
                ended: (row.get(5)?, row.get(6)?),
            })
        })
    }

    fn page<T>(
        &self,
        action: &'static str,
        query: &str,
        parameters: &[&dyn rusqlite::ToSql],
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let rows = page(&self.connection, query, parameters, read);
        rows.map_err(|source| self.failed(action, source))
    }

    fn failed(&self, action: &'static str, source: rusqlite::Error) -> StoreError {
        StoreError::sql(&self.path, action, source)
    }
}

fn page<T>(
    connection: &Connection,
    query: &str,
    parameters: &[&dyn rusqlite::ToSql],
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare_cached(query)?.query_map(parameters, read)?.collect()
}

fn limit(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// A user's rows; `None` where there is none.
fn read_whole(connection: &Connection, user: &str) -> rusqlite::Result<Option<WholeUser>> {
    let mut find = connection.prepare_cached(
        "SELECT revision_epoch, revision_counter, last_counted_at, day_shows, session,
                session_shows FROM users WHERE user_id = ?1",
    )?;
    let row = find.query_row([user], |row| {
        let clocks = UserClocks {
            last_counted_at: row.get::<_, Option<i64>>(2)?.map(WallMs),
            day_shows: row.get(3)?,
            session: row.get::<_, i64>(4)?.cast_unsigned(),
            session_shows: row.get(5)?,
            erased_at: None,
        };
        Ok((revision_of(row, 0)?, clocks))
    });
    let Some((revision, clocks)) = row.optional()? else { return Ok(None) };
    let query = "SELECT popup_id, shows, last_shown_at, outcome, outcome_at, next_show_at,
                        forgotten, first_epoch, first_counter, revision_epoch, revision_counter,
                        state FROM user_popups WHERE user_id = ?1 ORDER BY popup_id";
    let entries = page(connection, query, params![user], |row| {
        Ok(WholeEntry {
            popup: row.get(0)?,
            shows: row.get(1)?,
            last_shown_at: row.get::<_, Option<i64>>(2)?.map(WallMs),
            outcome: outcome_at(row.get(3)?, row.get(4)?),
            next_show_at: row.get::<_, Option<i64>>(5)?.map(WallMs),
            is_forgotten: row.get(6)?,
            first: revision_of(row, 7)?,
            revision: revision_of(row, 9)?,
            state: row.get(11)?,
        })
    })?;
    Ok(Some(WholeUser { user: user.to_owned(), revision, clocks, entries }))
}

fn write_whole(transaction: &Transaction<'_>, user: &WholeUser) -> rusqlite::Result<()> {
    let mut write = transaction.prepare_cached(
        "INSERT OR REPLACE INTO users (user_id, user_hash, revision_epoch, revision_counter,
                                       last_counted_at, day_shows, session, session_shows)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    write.execute(params![
        user.user,
        UserKey::of(user.user.as_bytes()).0.cast_signed(),
        user.revision.epoch,
        counter_column(user.revision),
        user.clocks.last_counted_at.map(|at| at.0),
        user.clocks.day_shows,
        user.clocks.session.cast_signed(),
        user.clocks.session_shows,
    ])?;
    let mut write = transaction.prepare_cached(
        "INSERT OR REPLACE INTO user_popups (user_id, popup_id, popup_key, shows, last_shown_at,
             outcome, outcome_at, next_show_at, forgotten, first_epoch, first_counter,
             revision_epoch, revision_counter, state)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?;
    for entry in &user.entries {
        write.execute(params![
            user.user,
            entry.popup,
            PopupKey::of(&entry.popup).0.cast_signed(),
            entry.shows,
            entry.last_shown_at.map(|at| at.0),
            entry.outcome.map(|(outcome, _)| outcome.word()),
            entry.outcome.map(|(_, at)| at.0),
            entry.next_show_at.map(|at| at.0),
            entry.is_forgotten,
            entry.first.epoch,
            counter_column(entry.first),
            entry.revision.epoch,
            counter_column(entry.revision),
            entry.state,
        ])?;
    }
    Ok(())
}

/// Rows of the user that are not above the tombstone's revision are lifted above it: it is of
/// another store, and not about them.
fn take_tombstone(transaction: &Transaction<'_>, one: &Tombstone) -> rusqlite::Result<()> {
    let (hash, above) = (one.key.0.cast_signed(), one.revision.next());
    let (epoch, counter) = (one.revision.epoch, counter_column(one.revision));
    let lift = "UPDATE users SET revision_epoch = ?4, revision_counter = ?5 WHERE user_hash = ?1
                AND (revision_epoch, revision_counter) <= (?2, ?3)";
    let row = params![hash, epoch, counter, above.epoch, counter_column(above)];
    transaction.prepare_cached(lift)?.execute(row)?;
    let insert = "INSERT INTO erased_users (user_hash, revision_epoch, revision_counter, erased_at)
                  VALUES (?1, ?2, ?3, ?4) ON CONFLICT (user_hash) DO UPDATE SET
                      revision_epoch = excluded.revision_epoch,
                      revision_counter = excluded.revision_counter,
                      erased_at = max(erased_users.erased_at, excluded.erased_at)
                  WHERE (excluded.revision_epoch, excluded.revision_counter)
                        > (erased_users.revision_epoch, erased_users.revision_counter)";
    transaction.prepare_cached(insert)?.execute(params![hash, epoch, counter, one.at.0])?;
    Ok(())
}

fn take_stat(transaction: &Transaction<'_>, row: &WholeStat) -> rusqlite::Result<()> {
    let make = "INSERT INTO streams (set_id) VALUES (?1) ON CONFLICT DO NOTHING";
    transaction.prepare_cached(make)?.execute([&row.set])?;
    let position = "INSERT INTO writer_position (stream, part, epoch, off)
                    SELECT stream, ?2, 1, 0 FROM streams WHERE set_id = ?1 ON CONFLICT DO NOTHING";
    transaction.prepare_cached(position)?.execute(params![row.set, PART])?;
    let mut insert = transaction.prepare_cached(
        "INSERT INTO popup_stats (popup_id, variant, hour, stream, part, decided, shown, ignored,
                                  dismissed, clicked, converted)
         SELECT ?1, ?2, ?3, stream, ?5, ?6, ?7, ?8, ?9, ?10, ?11 FROM streams WHERE set_id = ?4
         ON CONFLICT (popup_id, variant, hour, stream, part) DO UPDATE SET
             decided = max(decided, excluded.decided), shown = max(shown, excluded.shown),
             ignored = max(ignored, excluded.ignored),
             dismissed = max(dismissed, excluded.dismissed),
             clicked = max(clicked, excluded.clicked),
             converted = max(converted, excluded.converted)",
    )?;
    let [decided, shown, ignored, dismissed, clicked, converted] = row.counts;
    insert.execute(params![
        row.popup,
        row.variant,
        row.hour,
        row.set,
        PART,
        decided,
        shown,
        ignored,
        dismissed,
        clicked,
        converted
    ])?;
    Ok(())
}

//! The statements of a transaction's rows. Knows columns; must not know positions or what the rows
//! mean.
//!
//! Every statement is prepared once for the connection and runs once a row: SQLite has no round
//! trip that longer statements would save.

use rusqlite::{CachedStatement, Connection, ErrorCode, OptionalExtension, Row, params};

use super::{PART, StreamId, sequence_column};
use nudged_background::writer::batcher::{
    EntryColumns, EraseRow, EventRow, PopupRow, UserRow, erased_decision,
};
use nudged_background::writer::stats::{StatCounts, StatKey};
use nudged_base::ids::{PopupKey, Revision};
use nudged_base::limits::SQL_ROWS_READ_MAX;

/// Why a row was not written.
#[derive(Debug)]
pub(super) enum RowError {
    /// The database refuses this row of the batch's record.
    Refused { index: usize, source: rusqlite::Error },
    /// The events table has another record at this record's place.
    Conflict { index: usize },
    /// The database failed.
    Sql(rusqlite::Error),
}

impl From<rusqlite::Error> for RowError {
    fn from(source: rusqlite::Error) -> RowError {
        RowError::Sql(source)
    }
}

/// Sorts an error of a row's statement: the row's fault or the database's.
pub(super) fn of_row(index: usize) -> impl Fn(rusqlite::Error) -> RowError {
    move |source| match source.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig) => {
            RowError::Refused { index, source }
        }
        _ => RowError::Sql(source),
    }
}

/// What became of an event.
pub(super) enum Inserted {
    /// It is a new row.
    New,
    /// Its (decision, action), or the record itself, is there already.
    Duplicate,
}

/// The statements that insert events.
pub(super) struct EventInsert<'c> {
    connection: &'c Connection,
    insert: CachedStatement<'c>,
    stream: StreamId,
}

impl<'c> EventInsert<'c> {
    pub(super) fn prepare(
        connection: &'c Connection,
        stream: StreamId,
    ) -> Result<EventInsert<'c>, RowError> {
        let insert = connection.prepare_cached(
            "INSERT INTO events (stream, seq, decision, action, at, acted_at, user_id, popup_id,
                                 version, variant, revision_epoch, revision_counter)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) ON CONFLICT DO NOTHING",
        )?;
        Ok(EventInsert { connection, insert, stream })
    }

    pub(super) fn insert(&mut self, event: &EventRow<'_>) -> Result<Inserted, RowError> {
        let inserted = self
            .insert
            .execute(params![
                self.stream.0,
                sequence_column(event.sequence),
                event.decision,
                event.happening.word(),
                event.at.0,
                event.acted_at.0,
                event.user,
                event.popup,
                event.version,
                event.variant,
                event.revision.epoch,
                counter_column(event.revision),
            ])
            .map_err(of_row(event.index))?;
        if inserted == 1 { Ok(Inserted::New) } else { self.existing(event) }
    }

    /// Tells the two unique keys apart: a row of this very record, or another impression's report
    /// of the same action.
    fn existing(&self, event: &EventRow<'_>) -> Result<Inserted, RowError> {
        // The row may have lost its user to an erase since; the rest of it is then the same.
        let mut same = self.connection.prepare_cached(
            "SELECT decision IN (?3, ?4) AND action = ?5 AND at = ?6 AND acted_at = ?7
                    AND coalesce(user_id, ?8) IS ?8 AND popup_id = ?9 AND version = ?10
                    AND variant = ?11 AND revision_epoch = ?12 AND revision_counter = ?13
             FROM events WHERE stream = ?1 AND seq = ?2",
        )?;
        let row = params![
            self.stream.0,
            sequence_column(event.sequence),
            event.decision,
            erased_decision(&event.decision),
            event.happening.word(),
            event.at.0,
            event.acted_at.0,
            event.user,
            event.popup,
            event.version,
            event.variant,
            event.revision.epoch,
            counter_column(event.revision),
        ];
        match same.query_row(row, |row| row.get::<_, bool>(0)).optional()? {
            Some(false) => Err(RowError::Conflict { index: event.index }),
            Some(true) | None => Ok(Inserted::Duplicate),
        }
    }
}

/// Writes user-level clocks where their revision is the higher one.
pub(super) fn write_users(connection: &Connection, users: &[UserRow<'_>]) -> Result<(), RowError> {
    let mut upsert = connection.prepare_cached(
        "INSERT INTO users (user_id, user_hash, revision_epoch, revision_counter, last_counted_at,
                            day_shows, session, session_shows)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (user_id) DO UPDATE SET
             revision_epoch = excluded.revision_epoch,
             revision_counter = excluded.revision_counter,
             last_counted_at = excluded.last_counted_at,
             day_shows = excluded.day_shows,
             session = excluded.session,
             session_shows = excluded.session_shows
         WHERE (excluded.revision_epoch, excluded.revision_counter)
               > (users.revision_epoch, users.revision_counter)",
    )?;
    for row in users {
        upsert
            .execute(params![
                row.user,
                row.key.0.cast_signed(),
                row.revision.epoch,
                counter_column(row.revision),
                row.clocks.last_counted_at.map(|at| at.0),
                row.clocks.day_shows,
                row.clocks.session.cast_signed(),
                row.clocks.session_shows,
            ])
            .map_err(of_row(row.index))?;
    }
    Ok(())
}

/// Writes and forgets entries where their revision is the higher one.
pub(super) fn write_popups(
    connection: &Connection,
    popups: &[PopupRow<'_>],
) -> Result<(), RowError> {
    let mut upsert = connection.prepare_cached(
        "INSERT INTO user_popups (user_id, popup_id, popup_key, shows, last_shown_at, outcome,
                                  outcome_at, next_show_at, forgotten, first_epoch, first_counter,
                                  revision_epoch, revision_counter, state)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?9, ?10, ?11, ?12, ?13)
         ON CONFLICT (user_id, popup_id) DO UPDATE SET
             shows = excluded.shows,
             last_shown_at = excluded.last_shown_at,
             outcome = excluded.outcome,
             outcome_at = excluded.outcome_at,
             next_show_at = excluded.next_show_at,
             first_epoch = CASE WHEN ?14 OR (user_popups.forgotten AND NOT ?15)
                                THEN excluded.first_epoch ELSE user_popups.first_epoch END,
             first_counter = CASE WHEN ?14 OR (user_popups.forgotten AND NOT ?15)
                                  THEN excluded.first_counter ELSE user_popups.first_counter END,
             forgotten = 0,
             revision_epoch = excluded.revision_epoch,
             revision_counter = excluded.revision_counter,
             state = excluded.state
         WHERE (excluded.revision_epoch, excluded.revision_counter)
               > (user_popups.revision_epoch, user_popups.revision_counter)",
    )?;
    // Without an older row the mark stands alone, so that older records can't bring it back.
    let mut forget = connection.prepare_cached(
        "INSERT INTO user_popups (user_id, popup_id, popup_key, shows, forgotten, first_epoch,
                                  first_counter, revision_epoch, revision_counter, state)
         VALUES (?1, ?2, ?3, 0, 1, ?4, ?5, ?4, ?5, x'')
         ON CONFLICT (user_id, popup_id) DO UPDATE SET
             forgotten = 1,
             revision_epoch = excluded.revision_epoch,
             revision_counter = excluded.revision_counter
         WHERE (excluded.revision_epoch, excluded.revision_counter)
               > (user_popups.revision_epoch, user_popups.revision_counter)",
    )?;
    for row in popups {
        let key = PopupKey::of(row.popup).0.cast_signed();
        if let Some(entry) = &row.entry {
            execute_entry(&mut upsert, row, key, entry).map_err(of_row(entry.index))?;
        }
        if let Some((index, revision)) = row.forgotten {
            let counter = counter_column(revision);
            forget
                .execute(params![row.user, row.popup, key, revision.epoch, counter])
                .map_err(of_row(index))?;
        }
    }
    Ok(())
}

fn execute_entry(
    upsert: &mut CachedStatement<'_>,
    row: &PopupRow<'_>,
    key: i64,
    entry: &EntryColumns<'_>,
) -> Result<usize, rusqlite::Error> {
    upsert.execute(params![
        row.user,
        row.popup,
        key,
        entry.shows,
        entry.last_shown_at.0,
        entry.outcome.map(|(outcome, _)| outcome.word()),
        entry.outcome.map(|(_, at)| at.0),
        entry.next_show_at.map(|at| at.0),
        entry.first.epoch,
        counter_column(entry.first),
        entry.revision.epoch,
        counter_column(entry.revision),
        entry.state,
        entry.restarted,
        entry.restored,
    ])
}

/// Adds a transaction's counts to its stream's rows.
pub(super) fn write_stats(
    connection: &Connection,
    stream: StreamId,
    stats: &[(StatKey<'_>, StatCounts)],
) -> Result<(), RowError> {
    let mut add = connection.prepare_cached(
        "INSERT INTO popup_stats (popup_id, variant, hour, stream, part, decided, shown, ignored,
                                  dismissed, clicked, converted)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
         ON CONFLICT (popup_id, variant, hour, stream, part) DO UPDATE SET
             decided = decided + excluded.decided,
             shown = shown + excluded.shown,
             ignored = ignored + excluded.ignored,
             dismissed = dismissed + excluded.dismissed,
             clicked = clicked + excluded.clicked,
             converted = converted + excluded.converted",
    )?;
    for (key, row) in stats {
        let [decided, shown, ignored, dismissed, clicked, converted] = row.counts;
        let (stream, part) = (stream.0, PART);
        add.execute(params![
            key.popup,
            key.variant,
            key.hour,
            stream,
            part,
            decided,
            shown,
            ignored,
            dismissed,
            clicked,
            converted,
        ])
        .map_err(of_row(row.index))?;
    }
    Ok(())
}

/// Takes users out: their rows go, their events stay without them, and a tombstone keeps older
/// records out.
pub(super) fn erase(connection: &Connection, erases: &[EraseRow<'_>]) -> Result<(), RowError> {
    for row in erases {
        erase_user(connection, row).map_err(of_row(row.index))?;
    }
    Ok(())
}

fn erase_user(connection: &Connection, row: &EraseRow<'_>) -> Result<(), rusqlite::Error> {
    let (epoch, counter) = (row.revision.epoch, counter_column(row.revision));
    for table in ["users", "user_popups"] {
        let delete = format!(
            "DELETE FROM {table} WHERE user_id = ?1
             AND (revision_epoch, revision_counter) <= (?2, ?3)"
        );
        connection.prepare_cached(&delete)?.execute((row.user, epoch, counter))?;
    }
    connection
        .prepare_cached(
            "INSERT INTO erased_users (user_hash, revision_epoch, revision_counter, erased_at)
             VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (user_hash) DO UPDATE SET
                 revision_epoch = excluded.revision_epoch,
                 revision_counter = excluded.revision_counter,
                 erased_at = excluded.erased_at
             WHERE (excluded.revision_epoch, excluded.revision_counter)
                   > (erased_users.revision_epoch, erased_users.revision_counter)",
        )?
        .execute((row.key.0.cast_signed(), epoch, counter, row.at.0))?;
    // A user may have any number of events, so they are taken in parts. Each part leaves the index
    // of users, which ends the loop.
    let part = usize::try_from(SQL_ROWS_READ_MAX).expect("a thousand");
    while erase_events(connection, row)? == part {}
    Ok(())
}

/// Takes the user out of some of their events; gives their number, at most `SQL_ROWS_READ_MAX`.
fn erase_events(connection: &Connection, row: &EraseRow<'_>) -> Result<usize, rusqlite::Error> {
    let (epoch, counter) = (row.revision.epoch, counter_column(row.revision));
    let mut find = connection.prepare_cached(
        "SELECT stream, seq, decision FROM events
         WHERE user_id = ?1 AND (revision_epoch, revision_counter) <= (?2, ?3) LIMIT ?4",
    )?;
    let events = find
        .query_map((row.user, epoch, counter, SQL_ROWS_READ_MAX), |row| {
            Ok((row.get::<_, u32>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?))
        })?
        .collect::<Result<Vec<_>, _>>()?;
    let mut update = connection.prepare_cached(
        "UPDATE OR IGNORE events SET user_id = NULL, decision = ?3 WHERE stream = ?1 AND seq = ?2",
    )?;
    let mut delete =
        connection.prepare_cached("DELETE FROM events WHERE stream = ?1 AND seq = ?2")?;
    for (stream, sequence, decision) in &events {
        let replaced = update.execute((stream, sequence, erased_decision(decision)))?;
        if replaced == 0 {
            // The same (decision, action) lost its user before: this row is its duplicate.
            delete.execute((stream, sequence))?;
        }
    }
    Ok(events.len())
}

/// A revision from two columns.
pub(super) fn revision_of(row: &Row<'_>, column: usize) -> Result<Revision, rusqlite::Error> {
    let counter: i64 = row.get(column + 1)?;
    let counter = u64::try_from(counter)
        .map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column + 1, counter))?;
    Ok(Revision { epoch: row.get(column)?, counter })
}

/// A revision's counter as a column.
pub(super) fn counter_column(revision: Revision) -> i64 {
    i64::try_from(revision.counter).expect("records with larger counters are rejected")
}

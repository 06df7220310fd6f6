//! Rows of `events`: written once, found again by their place, and taken back where nobody saw the
//! show. Knows columns; must not know positions or what the rows mean.

use std::collections::BTreeMap;

use crate::error::StoreError;
use crate::session::{Inserted, RowError, Session};
use crate::statement::{Insert, OnConflict};
use crate::statements::users::NAMED_MAX;
use crate::stored::{StoredEvent, StreamId};
use crate::value::{Row, SqlValue, Unreadable, signed};
use crate::{Store, StoreReader};
use nudged_background::projection::batcher::{EventRow, WithdrawnRow, erased_decision};
use nudged_base::ids::Sequence;
use nudged_base::limits::{MYSQL_LIST_MAX, SQL_ROWS_READ_MAX};
use nudged_base::time::WallMs;

/// Where a record is: its stream and its sequence there.
pub(super) type RecordKey = (StreamId, Sequence);

const INSERT: Insert<'_> = Insert {
    table: "events",
    columns: COLUMNS,
    key: "stream, seq",
    // By its place, or by (decision, action).
    on_conflict: OnConflict::Keep,
};

/// The columns of an event, in the order of [`Columns`] and of [`read_event`].
const COLUMNS: &str = "stream, seq, decision, action, at, acted_at, user_id, popup_id, version, \
    variant, revision_epoch, revision_counter";

type Columns<'v> = [SqlValue<'v>; 12];

fn of_record<'v>((stream, sequence): RecordKey, event: &'v EventRow<'_>) -> Columns<'v> {
    let record = &event.record;
    [
        stream.0.into(),
        sequence.into(),
        SqlValue::Text(&event.decision),
        record.kind.word().into(),
        record.at.into(),
        record.acted_at.into(),
        event.user.into(),
        record.popup.into(),
        record.version.into(),
        record.variant.into(),
        record.revision.epoch.into(),
        signed(record.revision.counter).into(),
    ]
}

fn of_row(stream: StreamId, event: &StoredEvent) -> Columns<'_> {
    [
        stream.0.into(),
        event.sequence.into(),
        (&event.decision).into(),
        (&event.action).into(),
        event.at.into(),
        event.acted_at.into(),
        event.user.as_deref().into(),
        (&event.popup).into(),
        event.version.into(),
        (&event.variant).into(),
        event.revision.0.into(),
        event.revision.1.into(),
    ]
}

/// Whether a row is the record's own. It may have lost its user to an erase since; the rest of it
/// is then the same.
fn is_own((place, event): (RecordKey, &EventRow<'_>), row: &StoredEvent) -> bool {
    let is_same_decision =
        row.decision == event.decision || row.decision == erased_decision(&event.decision);
    let [_, _, decision, _, _, _, user, ..] = of_record(place, event);
    let mut columns = of_row(place.0, row);
    columns[2] = decision;
    if row.user.is_none() {
        columns[6] = user;
    }
    is_same_decision && columns == of_record(place, event)
}

fn read_event(row: &mut Row<'_>) -> Result<StoredEvent, Unreadable> {
    Ok(StoredEvent {
        stream: row.take()?,
        sequence: row.take_sequence()?,
        decision: row.take()?,
        action: row.take()?,
        at: row.take_time()?,
        acted_at: row.take_time()?,
        user: row.take()?,
        popup: row.take()?,
        version: row.take()?,
        variant: row.take()?,
        revision: (row.take()?, row.take()?),
    })
}

/// Inserts events that are not there. Those that are, by their place or by (decision, action),
/// stay as they are.
pub(super) fn insert_events(
    session: &mut Session,
    events: &[(RecordKey, &EventRow<'_>)],
) -> Result<Inserted, RowError> {
    let rows = events.iter().map(|(place, event)| of_record(*place, event));
    let inserted = session.insert("write events", &INSERT, rows);
    inserted.map_err(|error| error.renumbered(|row| events[row].1.index))
}

/// Which of these events have rows under their own places.
///
/// # Errors
/// [`StoreError::Halted`] where such a row is another record's.
pub(super) fn own_rows(
    session: &mut Session,
    events: &[(RecordKey, &EventRow<'_>)],
) -> Result<Vec<bool>, StoreError> {
    let mut found = BTreeMap::new();
    for part in events.chunks(session.dialect().named_max(MYSQL_LIST_MAX)) {
        let (condition, values) = at_places(part.iter().map(|(place, _)| *place));
        let query = format!("SELECT {COLUMNS} FROM events WHERE {condition}");
        let rows = session.query("read events", &query, &values, read_event)?;
        found.extend(rows.into_iter().map(|row| ((StreamId(row.stream), row.sequence), row)));
    }
    let is_there = |(place, event): &(RecordKey, &EventRow<'_>)| match found.get(place) {
        Some(row) if is_own((*place, event), row) => Ok(true),
        Some(_) => Err(StoreError::Halted { stream: place.0.0, sequence: place.1 }),
        None => Ok(false),
    };
    events.iter().map(is_there).collect()
}

/// A condition on `stream` and `seq` that holds at these places.
pub(super) fn at_places(
    places: impl Iterator<Item = RecordKey>,
) -> (String, Vec<SqlValue<'static>>) {
    let mut by_stream: BTreeMap<StreamId, Vec<Sequence>> = BTreeMap::new();
    for (stream, sequence) in places {
        by_stream.entry(stream).or_default().push(sequence);
    }
    let (mut conditions, mut values) = (Vec::new(), Vec::new());
    for (stream, sequences) in by_stream {
        let list = vec!["?"; sequences.len()].join(",");
        conditions.push(format!("(stream = ? AND seq IN ({list}))"));
        values.push(stream.0.into());
        values.extend(sequences.into_iter().map(SqlValue::from));
    }
    (conditions.join(" OR "), values)
}

/// Deletes the events of withdrawn shows; gives those that were there, each with the stream of its
/// record: by index into `withdrawn`.
///
/// A show's record stands before its withdrawal in the same stream, so it is in the table, or in
/// the same batch and never in the table. Run again, this changes nothing.
pub(super) fn withdraw(
    session: &mut Session,
    withdrawn: &[WithdrawnRow<'_>],
) -> Result<Vec<(StreamId, usize)>, StoreError> {
    let query = format!(
        "SELECT stream, seq, decision FROM events WHERE action = 'decided' AND decision IN (?){}",
        session.dialect().lock()
    );
    let mut deleted = Vec::new();
    for (part, first) in withdrawn.chunks(NAMED_MAX).zip((0..).step_by(NAMED_MAX)) {
        let mut indices = BTreeMap::new();
        for (index, row) in (first..).zip(part) {
            indices.extend(row.decisions().map(|decision| (decision, index)));
        }
        let decisions: Vec<_> = indices.keys().map(|decision| SqlValue::Text(decision)).collect();
        let rows = session.query_in("read withdrawn shows", &query, &decisions, |row| {
            Ok(((StreamId(row.take()?), row.take_sequence()?), row.take::<String>()?))
        })?;
        for rows in rows.chunks(session.dialect().named_max(NAMED_MAX)) {
            let (condition, values) = at_places(rows.iter().map(|(place, _)| *place));
            let delete = format!("DELETE FROM events WHERE {condition}");
            let count = session.execute("delete withdrawn shows", &delete, &values)?;
            assert_eq!(usize::try_from(count).ok(), Some(rows.len()), "the rows were locked");
        }
        deleted.extend(rows.iter().map(|((stream, _), decision)| (*stream, indices[&**decision])));
    }
    Ok(deleted)
}

/// Takes the user out of those of their events that a condition names; gives their number, at most
/// [`NAMED_MAX`]. Each leaves the condition, which is on the user.
pub(super) fn erase_events(
    session: &mut Session,
    condition: &str,
    values: &[SqlValue<'_>],
) -> Result<usize, StoreError> {
    let query =
        format!("SELECT stream, seq, decision FROM events WHERE {condition} LIMIT {NAMED_MAX}");
    let events = session.query("read events of a user", &query, values, |row| {
        Ok(((StreamId(row.take()?), row.take_sequence()?), row.take::<String>()?))
    })?;
    for events in events.chunks(session.dialect().named_max(NAMED_MAX)) {
        let decisions = events.iter().map(|(_, decision)| (decision, erased_decision(decision)));
        let decisions: BTreeMap<&String, String> = decisions.collect();
        let of_decision = |(of, erased)| [SqlValue::from(of), SqlValue::Text(erased)];
        let mut values: Vec<_> =
            decisions.iter().flat_map(|(of, erased)| of_decision((*of, erased.as_str()))).collect();
        let (condition, places) = at_places(events.iter().map(|(place, _)| *place));
        values.extend(&places);
        let erase = format!(
            "{} events SET user_id = NULL, decision = CASE decision{} ELSE decision END \
             WHERE {condition}",
            session.dialect().update_or_ignore(),
            " WHEN ? THEN ?".repeat(decisions.len()),
        );
        let erased = session.execute("erase events", &erase, &values)?;
        if usize::try_from(erased).ok() != Some(events.len()) {
            // The same (decision, action) lost its user before: such a row is its duplicate.
            let delete = format!("DELETE FROM events WHERE ({condition}) AND user_id IS NOT NULL");
            session.execute("erase events", &delete, &places)?;
        }
    }
    Ok(events.len())
}

impl Store {
    /// Events behind a place, in order of (stream, sequence).
    ///
    /// # Errors
    /// Where the database fails.
    pub fn whole_events_after(
        &mut self,
        after: (u32, i64),
        count: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let query = format!(
            "SELECT {COLUMNS} FROM events WHERE (stream, seq) > (?, ?) \
             ORDER BY stream, seq LIMIT {count}"
        );
        let values = [after.0.into(), after.1.into()];
        self.session.get_mut().query("read events", &query, &values, read_event)
    }

    /// Takes events in, `numbers` being what their streams are called here. Those that are there,
    /// by place or by (decision, action), stay as they are; gives the number of new ones.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn take_events(
        &mut self,
        events: &[StoredEvent],
        numbers: &BTreeMap<u32, StreamId>,
    ) -> Result<u64, StoreError> {
        self.session.get_mut().transaction(|session| {
            let rows = events.iter();
            let rows = rows.map(|event| of_row(numbers[&event.stream], event));
            Ok(session.insert("take events in", &INSERT, rows)?.changed)
        })
    }
}

impl StoreReader {
    /// A user's latest events, newest first, up to `count` and at most 1,000; from a replica where
    /// there is one.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn user_events(&self, user: &str, count: u32) -> Result<Vec<StoredEvent>, StoreError> {
        let query = format!(
            "SELECT {COLUMNS} FROM events WHERE user_id = ? \
             ORDER BY at DESC, stream DESC, seq DESC LIMIT {}",
            count.min(SQL_ROWS_READ_MAX)
        );
        let mut session = self.reports().borrow_mut();
        session.query("read a user's events", &query, &[user.into()], read_event)
    }

    /// A user's events up to a moment, newest first, `count` at most; from a replica where there is
    /// one.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn user_events_until(
        &self,
        user: &str,
        until: WallMs,
        count: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let query = format!(
            "SELECT {COLUMNS} FROM events WHERE user_id = ? AND at <= ? \
             ORDER BY at DESC, stream DESC, seq DESC LIMIT {count}"
        );
        let values = [user.into(), until.into()];
        self.reports().borrow_mut().query("read a user's events", &query, &values, read_event)
    }
}

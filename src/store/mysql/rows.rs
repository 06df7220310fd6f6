//! The statements of a transaction's rows: one of many rows for each table. Knows columns; must not
//! know positions or what the rows mean.
//!
//! A row of `users` or `user_popups` gives way only to a higher revision. MySQL carries assignments
//! out from left to right and each sees what those before it wrote, so the revision's columns come
//! last, the epoch behind the counter: as a maximum, which needs no comparison.

use std::collections::BTreeMap;

use mysql_async::FromRowError;
use mysql_async::prelude::FromRow;

use super::session::Session;
use super::text::{Literal, Rows, push_row};
use crate::error::StoreError;
use crate::stored::StreamId;
use nudged_background::writer::batcher::{
    EntryColumns, EventRow, PopupRow, UserRow, erased_decision,
};
use nudged_background::writer::stats::{StatCounts, StatKey};
use nudged_base::happening::Happening;
use nudged_base::ids::{PopupKey, Revision, Sequence};
use nudged_base::limits::MYSQL_LIST_MAX;

/// Whether the new row's revision is the higher one.
const IS_NEWER: &str = "VALUES(revision_epoch) > revision_epoch \
    OR (VALUES(revision_epoch) = revision_epoch AND VALUES(revision_counter) > revision_counter)";

/// The part of a stream that this writer applies: all of it.
pub(super) const PART: i64 = 0;

/// Where a record is: its stream and its sequence there.
pub(super) type Place = (StreamId, Sequence);

/// A row of `events` by its key, to be held against a record.
struct FoundEvent {
    place: Place,
    decision: String,
    action: String,
    times: (i64, i64),
    user: Option<String>,
    popup: String,
    version: u32,
    variant: String,
    revision: Revision,
}

impl FromRow for FoundEvent {
    fn from_row_opt(row: mysql_async::Row) -> Result<FoundEvent, FromRowError> {
        type Columns =
            (u32, u64, String, String, i64, i64, Option<String>, String, u32, String, u32, u64);
        let (stream, seq, decision, action, at, acted_at, user, popup, version, variant, epoch, c) =
            Columns::from_row_opt(row)?;
        Ok(FoundEvent {
            place: (StreamId(stream), Sequence(seq)),
            decision,
            action,
            times: (at, acted_at),
            user,
            popup,
            version,
            variant,
            revision: Revision { epoch, counter: c },
        })
    }
}

impl FoundEvent {
    /// Whether it is the record's own row. It may have lost its user to an erase since; the rest of
    /// it is then the same.
    fn is_of(&self, event: &EventRow<'_>) -> bool {
        let is_same_decision =
            self.decision == event.decision || self.decision == erased_decision(&event.decision);
        is_same_decision
            && self.action == event.happening.word()
            && self.times == (event.at.0, event.acted_at.0)
            && self.user.as_deref().is_none_or(|user| event.user == Some(user))
            && (self.popup.as_str(), self.variant.as_str()) == (event.popup, event.variant)
            && (self.version, self.revision) == (event.version, event.revision)
    }
}

/// Inserts events that are not there; gives the number of new rows. Those that are there, by their
/// key or by (decision, action), stay as they are.
pub(super) fn insert_events(
    session: &mut Session,
    events: &[(Place, &EventRow<'_>)],
) -> Result<u64, StoreError> {
    let bytes_max = session.statement_bytes_max()?;
    let mut rows = Rows::new(
        "INSERT INTO events (stream, seq, decision, action, at, acted_at, user_id, popup_id, \
         version, variant, revision_epoch, revision_counter) VALUES ",
        " ON DUPLICATE KEY UPDATE stream = stream",
        bytes_max,
    );
    for ((stream, sequence), event) in events {
        rows.push(&[
            Literal::Number(stream.0.into()),
            Literal::Number(signed(sequence.0)),
            Literal::Text(&event.decision),
            Literal::Text(event.happening.word()),
            Literal::Number(event.at.0),
            Literal::Number(event.acted_at.0),
            Literal::MaybeText(event.user),
            Literal::Text(event.popup),
            Literal::Number(event.version.into()),
            Literal::Text(event.variant),
            Literal::Number(event.revision.epoch.into()),
            Literal::Number(signed(event.revision.counter)),
        ]);
    }
    execute_all(session, "write events", &rows.finish())
}

/// Which of these events have rows under their own keys.
///
/// # Errors
/// [`StoreError::Halted`] where such a row is another record's.
pub(super) fn own_rows(
    session: &mut Session,
    events: &[(Place, &EventRow<'_>)],
) -> Result<Vec<bool>, StoreError> {
    let mut found = BTreeMap::new();
    for part in events.chunks(MYSQL_LIST_MAX) {
        let query = format!(
            "SELECT stream, seq, decision, action, at, acted_at, user_id, popup_id, version, \
             variant, revision_epoch, revision_counter FROM events WHERE {}",
            places(part.iter().map(|(place, _)| *place))
        );
        let rows: Vec<FoundEvent> = session.query("read events", &query)?;
        found.extend(rows.into_iter().map(|row| (row.place, row)));
    }
    let is_own = |(place, event): &(Place, &EventRow<'_>)| match found.get(place) {
        Some(row) if row.is_of(event) => Ok(true),
        Some(_) => Err(StoreError::Halted { stream: place.0.0, sequence: place.1 }),
        None => Ok(false),
    };
    events.iter().map(is_own).collect()
}

/// A condition on `stream` and `seq` that holds for these places.
pub(super) fn places(places: impl Iterator<Item = Place>) -> String {
    let mut by_stream: BTreeMap<StreamId, Vec<Literal<'_>>> = BTreeMap::new();
    for (stream, sequence) in places {
        by_stream.entry(stream).or_default().push(Literal::Number(signed(sequence.0)));
    }
    let mut condition = String::new();
    for (stream, sequences) in by_stream {
        let or = if condition.is_empty() { "" } else { " OR " };
        condition.push_str(&format!("{or}(stream = {} AND seq IN ", stream.0));
        push_row(&mut condition, &sequences);
        condition.push(')');
    }
    condition
}

/// Writes user-level clocks where their revision is the higher one.
pub(super) fn write_users(session: &mut Session, users: &[UserRow<'_>]) -> Result<(), StoreError> {
    let newer = |column: &str| format!("{column} = IF({IS_NEWER}, VALUES({column}), {column})");
    let columns = ["user_hash", "last_counted_at", "day_shows", "session", "session_shows"];
    let updates: Vec<_> = columns.into_iter().map(newer).collect();
    let tail = format!(
        " ON DUPLICATE KEY UPDATE {}, {}, {}",
        updates.join(", "),
        newer("revision_counter"),
        EPOCH_LAST
    );
    let mut rows = Rows::new(
        "INSERT INTO users (user_id, user_hash, revision_epoch, revision_counter, \
         last_counted_at, day_shows, session, session_shows) VALUES ",
        &tail,
        session.statement_bytes_max()?,
    );
    for row in users {
        rows.push(&[
            Literal::Text(row.user),
            Literal::Number(row.key.0.cast_signed()),
            Literal::Number(row.revision.epoch.into()),
            Literal::Number(signed(row.revision.counter)),
            Literal::Maybe(row.clocks.last_counted_at.map(|at| at.0)),
            Literal::Number(row.clocks.day_shows.into()),
            Literal::Number(row.clocks.session.cast_signed()),
            Literal::Number(row.clocks.session_shows.into()),
        ]);
    }
    execute_all(session, "write users", &rows.finish()).map(|_| ())
}

/// The last assignment of a row with a revision.
const EPOCH_LAST: &str = "revision_epoch = GREATEST(revision_epoch, VALUES(revision_epoch))";

pub(super) const POPUP_COLUMNS: &str = "INSERT INTO user_popups (user_id, popup_id, popup_key, shows, \
    last_shown_at, outcome, outcome_at, next_show_at, forgotten, first_epoch, first_counter, \
    revision_epoch, revision_counter, state) VALUES ";

/// Writes and forgets entries where the revision is the higher one.
pub(super) fn write_popups(
    session: &mut Session,
    popups: &[PopupRow<'_>],
) -> Result<(), StoreError> {
    // Since when an entry counts is a matter of the row, and so of its statement. Nearly all go on.
    for begins in ["forgotten", "TRUE", "FALSE"] {
        let of_kind = |row: &&PopupRow<'_>| row.entry.is_some_and(|e| begins_if(&e) == begins);
        write_entries(session, popups.iter().filter(of_kind), begins)?;
    }
    forget_entries(session, popups)
}

/// When an entry's first revision takes the place of the one that its row has.
fn begins_if(entry: &EntryColumns<'_>) -> &'static str {
    match entry {
        EntryColumns { restarted: true, .. } => "TRUE",
        EntryColumns { restored: true, .. } => "FALSE",
        _ => "forgotten",
    }
}

fn write_entries<'a>(
    session: &mut Session,
    popups: impl Iterator<Item = &'a PopupRow<'a>>,
    begins: &str,
) -> Result<(), StoreError> {
    let newer = |column: &str| format!("{column} = IF({IS_NEWER}, VALUES({column}), {column})");
    let first = |column: &str| {
        format!("{column} = IF(({IS_NEWER}) AND {begins}, VALUES({column}), {column})")
    };
    let plain = ["shows", "last_shown_at", "outcome", "outcome_at", "next_show_at", "state"];
    // `first_*` ask whether the row was forgotten, so they come before it.
    let updates = ["first_epoch", "first_counter"]
        .into_iter()
        .map(first)
        .chain(plain.into_iter().chain(["forgotten", "revision_counter"]).map(newer));
    let tail = format!(
        " ON DUPLICATE KEY UPDATE {}, {EPOCH_LAST}",
        updates.collect::<Vec<_>>().join(", ")
    );
    let mut rows = Rows::new(POPUP_COLUMNS, &tail, session.statement_bytes_max()?);
    for row in popups {
        let entry = row.entry.as_ref().expect("rows without an entry are left out");
        rows.push(&entry_literals(row, entry));
    }
    execute_all(session, "write popups of users", &rows.finish()).map(|_| ())
}

fn entry_literals<'a>(row: &PopupRow<'a>, entry: &EntryColumns<'a>) -> [Literal<'a>; 14] {
    [
        Literal::Text(row.user),
        Literal::Text(row.popup),
        Literal::Number(PopupKey::of(row.popup).0.cast_signed()),
        Literal::Number(entry.shows.into()),
        Literal::Number(entry.last_shown_at.0),
        Literal::MaybeText(entry.outcome.map(|(outcome, _)| outcome.word())),
        Literal::Maybe(entry.outcome.map(|(_, at)| at.0)),
        Literal::Maybe(entry.next_show_at.map(|at| at.0)),
        Literal::Number(0),
        Literal::Number(entry.first.epoch.into()),
        Literal::Number(signed(entry.first.counter)),
        Literal::Number(entry.revision.epoch.into()),
        Literal::Number(signed(entry.revision.counter)),
        Literal::Bytes(entry.state),
    ]
}

/// Marks entries as forgotten. Without an older row the mark stands alone, so that older records
/// can't bring it back.
fn forget_entries(session: &mut Session, popups: &[PopupRow<'_>]) -> Result<(), StoreError> {
    let tail = format!(
        " ON DUPLICATE KEY UPDATE forgotten = IF({IS_NEWER}, 1, forgotten), \
         revision_counter = IF({IS_NEWER}, VALUES(revision_counter), revision_counter), \
         {EPOCH_LAST}"
    );
    let mut rows = Rows::new(POPUP_COLUMNS, &tail, session.statement_bytes_max()?);
    for row in popups {
        let Some((_, revision)) = row.forgotten else { continue };
        let (epoch, counter) = (i64::from(revision.epoch), signed(revision.counter));
        rows.push(&[
            Literal::Text(row.user),
            Literal::Text(row.popup),
            Literal::Number(PopupKey::of(row.popup).0.cast_signed()),
            Literal::Number(0),
            Literal::Maybe(None),
            Literal::MaybeText(None),
            Literal::Maybe(None),
            Literal::Maybe(None),
            Literal::Number(1),
            Literal::Number(epoch),
            Literal::Number(counter),
            Literal::Number(epoch),
            Literal::Number(counter),
            Literal::Bytes(&[]),
        ]);
    }
    execute_all(session, "forget popups of users", &rows.finish()).map(|_| ())
}

/// Adds a transaction's counts to the rows of their streams.
pub(super) fn write_stats(
    session: &mut Session,
    stats: &[(StreamId, StatKey<'_>, StatCounts)],
) -> Result<(), StoreError> {
    let columns = Happening::ALL.map(Happening::word);
    let adds = columns.map(|column| format!("{column} = {column} + VALUES({column})"));
    let tail = format!(" ON DUPLICATE KEY UPDATE {}", adds.join(", "));
    let mut rows = Rows::new(
        "INSERT INTO popup_stats (popup_id, variant, hour, stream, part, decided, shown, ignored, \
         dismissed, clicked, converted) VALUES ",
        &tail,
        session.statement_bytes_max()?,
    );
    for (stream, key, row) in stats {
        let [decided, shown, ignored, dismissed, clicked, converted] =
            row.counts.map(Literal::Number);
        rows.push(&[
            Literal::Text(key.popup),
            Literal::Text(key.variant),
            Literal::Number(key.hour),
            Literal::Number(stream.0.into()),
            Literal::Number(PART),
            decided,
            shown,
            ignored,
            dismissed,
            clicked,
            converted,
        ]);
    }
    execute_all(session, "write statistics", &rows.finish()).map(|_| ())
}

/// Runs statements; gives the number of rows that they changed.
pub(super) fn execute_all(
    session: &mut Session,
    action: &'static str,
    statements: &[String],
) -> Result<u64, StoreError> {
    let mut changed = 0;
    for statement in statements {
        changed += session.execute(action, statement)?;
    }
    Ok(changed)
}

/// A number as a signed column.
///
/// # Panics
/// On more than 63 bits: records with larger revisions are rejected, and no journal is that long.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).expect("numbers of records have 63 bits")
}

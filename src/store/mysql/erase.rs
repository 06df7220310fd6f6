//! Taking users out: their rows go, their events stay without them, and a tombstone keeps older
//! records out. Knows columns; must not know where the erase came from.

use hashbrown::HashMap;

use super::rows::{execute_all, places, signed};
use super::session::Session;
use super::text::{Literal, Rows, list, push_text};
use crate::error::StoreError;
use crate::stored::StreamId;
use nudged_background::writer::batcher::{EraseRow, Tombstones, erased_decision};
use nudged_base::ids::{Revision, Sequence, UserKey};
use nudged_base::limits::MYSQL_LIST_MAX;
use nudged_base::time::WallMs;

/// Events of a user that lose the user in one statement: their decisions are told apart in it.
const EVENTS_MAX: usize = 100;

/// Erases users.
pub(super) fn erase(session: &mut Session, erases: &[EraseRow<'_>]) -> Result<(), StoreError> {
    for row in erases {
        let condition = condition(row);
        for table in ["users", "user_popups"] {
            session.execute("erase a user", &format!("DELETE FROM {table} WHERE {condition}"))?;
        }
        // A user may have any number of events, so they are taken in parts. Each part leaves the
        // condition, which ends the loop.
        while erase_events(session, &condition)? == EVENTS_MAX {}
    }
    write_tombstones(session, erases)
}

/// What holds for the rows of a user up to the erase's revision.
fn condition(row: &EraseRow<'_>) -> String {
    let mut condition = "user_id = ".to_owned();
    push_text(&mut condition, row.user);
    let (epoch, counter) = (row.revision.epoch, row.revision.counter);
    condition.push_str(&format!(
        " AND (revision_epoch < {epoch} OR (revision_epoch = {epoch} \
         AND revision_counter <= {counter}))"
    ));
    condition
}

/// Takes the user out of some of their events; gives their number.
fn erase_events(session: &mut Session, condition: &str) -> Result<usize, StoreError> {
    let query =
        format!("SELECT stream, seq, decision FROM events WHERE {condition} LIMIT {EVENTS_MAX}");
    let events: Vec<(u32, u64, String)> = session.query("read events of a user", &query)?;
    if events.is_empty() {
        return Ok(0);
    }
    let mut decisions: Vec<_> = events.iter().map(|(_, _, decision)| decision).collect();
    decisions.sort_unstable();
    decisions.dedup();
    let mut cases = String::new();
    for decision in decisions {
        cases.push_str(" WHEN ");
        push_text(&mut cases, decision);
        cases.push_str(" THEN ");
        push_text(&mut cases, &erased_decision(decision));
    }
    let rows = events.iter().map(|(stream, seq, _)| (StreamId(*stream), Sequence(*seq)));
    let rows = places(rows);
    let replace = format!(
        "UPDATE IGNORE events SET user_id = NULL, decision = CASE decision{cases} ELSE decision END \
         WHERE {rows}"
    );
    session.execute("erase events", &replace)?;
    // The same (decision, action) lost its user before: such a row is its duplicate.
    let delete = format!("DELETE FROM events WHERE ({rows}) AND user_id IS NOT NULL");
    session.execute("erase events", &delete)?;
    Ok(events.len())
}

/// A tombstone gives way only to a higher revision.
pub(super) const TOMBSTONE_TAIL: &str = " ON DUPLICATE KEY UPDATE \
    erased_at = IF(VALUES(revision_epoch) > revision_epoch \
        OR (VALUES(revision_epoch) = revision_epoch \
            AND VALUES(revision_counter) > revision_counter), VALUES(erased_at), erased_at), \
    revision_counter = IF(VALUES(revision_epoch) > revision_epoch \
        OR (VALUES(revision_epoch) = revision_epoch \
            AND VALUES(revision_counter) > revision_counter), \
        VALUES(revision_counter), revision_counter), \
    revision_epoch = GREATEST(revision_epoch, VALUES(revision_epoch))";

fn write_tombstones(session: &mut Session, erases: &[EraseRow<'_>]) -> Result<(), StoreError> {
    let mut rows = Rows::new(
        "INSERT INTO erased_users (user_hash, revision_epoch, revision_counter, erased_at) VALUES ",
        TOMBSTONE_TAIL,
        session.statement_bytes_max()?,
    );
    for row in erases {
        rows.push(&[
            Literal::Number(row.key.0.cast_signed()),
            Literal::Number(row.revision.epoch.into()),
            Literal::Number(signed(row.revision.counter)),
            Literal::Number(row.at.0),
        ]);
    }
    execute_all(session, "write tombstones", &rows.finish()).map(|_| ())
}

/// The erased users among these, with the revisions of their erases.
pub(super) fn tombstones(
    session: &mut Session,
    keys: &[UserKey],
) -> Result<Tombstones, StoreError> {
    let erases = erases_of(session, keys)?;
    Ok(erases.into_iter().map(|(key, (revision, _))| (key, revision)).collect())
}

/// The erased users among these, with the revisions and times of their erases.
pub(super) fn erases_of(
    session: &mut Session,
    keys: &[UserKey],
) -> Result<HashMap<UserKey, (Revision, WallMs)>, StoreError> {
    let mut erases = HashMap::new();
    for part in keys.chunks(MYSQL_LIST_MAX) {
        let query = format!(
            "SELECT user_hash, revision_epoch, revision_counter, erased_at FROM erased_users \
             WHERE user_hash IN {}",
            list(part.iter().map(|key| Literal::Number(key.0.cast_signed())))
        );
        let rows: Vec<(i64, u32, u64, i64)> = session.query("read tombstones", &query)?;
        let found = rows.into_iter().map(|(key, epoch, counter, at)| {
            (UserKey(key.cast_unsigned()), (Revision { epoch, counter }, WallMs(at)))
        });
        erases.extend(found);
    }
    Ok(erases)
}

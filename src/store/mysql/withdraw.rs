//! Taking shows back that nobody saw: their events and the rows that only they had made go. Knows
//! columns; must not know where the withdrawal came from.
//!
//! A show's record stands before its withdrawal in the same stream, so it is in the table, or in
//! the same batch and never in the table. Each statement changes nothing where it runs again.
//! A transaction without withdrawals has none of these statements.

use std::collections::BTreeMap;

use super::rows::{execute_all, places, signed};
use super::session::Session;
use super::text::{Literal, list, push_text};
use crate::error::StoreError;
use crate::stored::StreamId;
use nudged_background::writer::batcher::{PopupRow, WithdrawnRow};
use nudged_base::ids::Sequence;

/// Shows, or entries, that one statement names: their texts may be long.
const NAMED_MAX: usize = 100;

/// Deletes the events of withdrawn shows; gives those that were there, each with the stream of its
/// record: by index into `withdrawn`.
pub(super) fn withdraw(
    session: &mut Session,
    withdrawn: &[WithdrawnRow<'_>],
) -> Result<Vec<(StreamId, usize)>, StoreError> {
    let mut deleted = Vec::new();
    for (part, first) in withdrawn.chunks(NAMED_MAX).zip((0..).step_by(NAMED_MAX)) {
        let mut indices = BTreeMap::new();
        for (index, row) in (first..).zip(part) {
            indices.extend(row.decisions().map(|decision| (decision, index)));
        }
        let query = format!(
            "SELECT stream, seq, decision FROM events WHERE action = 'decided' \
             AND decision IN {} FOR UPDATE",
            list(indices.keys().map(|decision| Literal::Text(decision)))
        );
        let rows: Vec<(u32, u64, String)> = session.query("read withdrawn shows", &query)?;
        if rows.is_empty() {
            continue;
        }
        let found = rows.iter().map(|(stream, seq, _)| (StreamId(*stream), Sequence(*seq)));
        let delete = format!("DELETE FROM events WHERE {}", places(found));
        let count = session.execute("delete withdrawn shows", &delete)?;
        assert_eq!(usize::try_from(count).ok(), Some(rows.len()), "the rows were locked");
        deleted.extend(
            rows.iter().map(|(stream, _, decision)| (StreamId(*stream), indices[&**decision])),
        );
    }
    Ok(deleted)
}

/// Deletes the entries that only a withdrawn show had made.
pub(super) fn remove_popups(
    session: &mut Session,
    popups: &[PopupRow<'_>],
) -> Result<(), StoreError> {
    let conditions: Vec<String> = popups.iter().filter_map(condition).collect();
    let statements: Vec<String> = conditions
        .chunks(NAMED_MAX)
        .map(|part| format!("DELETE FROM user_popups WHERE {}", part.join(" OR ")))
        .collect();
    execute_all(session, "remove popups of users", &statements).map(|_| ())
}

/// What holds for an entry that is to be removed; `None` for a row that is not.
fn condition(row: &PopupRow<'_>) -> Option<String> {
    let (_, revision) = row.removed?;
    let (epoch, counter) = (revision.epoch, signed(revision.counter));
    let mut condition = "(user_id = ".to_owned();
    push_text(&mut condition, row.user);
    condition.push_str(" AND popup_id = ");
    push_text(&mut condition, row.popup);
    condition.push_str(&format!(
        " AND (revision_epoch < {epoch} OR (revision_epoch = {epoch} \
         AND revision_counter < {counter})))"
    ));
    Some(condition)
}

//! Taking shows back that nobody saw: their events and the rows that only they had made go. Knows
//! columns; must not know where the withdrawal came from.
//!
//! A show's record stands before its withdrawal in the same stream, so it is in the table, or in
//! the same batch and never in the table. Each statement changes nothing where it runs again.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::StreamId;
use super::rows::{RowError, counter_column, of_row};
use nudged_background::writer::batcher::{PopupRow, WithdrawnRow};
use nudged_background::writer::stats::Tally;

/// Deletes the events of withdrawn shows; a row that was there is taken back from the statistics
/// of its own stream. `stream` is that of the withdrawals.
pub(super) fn withdraw<'a>(
    connection: &Connection,
    stream: StreamId,
    withdrawn: &[WithdrawnRow<'a>],
    tallies: &mut BTreeMap<StreamId, Tally<'a>>,
) -> Result<(), RowError> {
    let mut delete = connection.prepare_cached(
        "DELETE FROM events WHERE decision IN (?1, ?2) AND action = 'decided' RETURNING stream",
    )?;
    for row in withdrawn {
        tallies.entry(stream).or_default().touch(row);
        let streams = delete
            .query_map(row.decisions(), |row| row.get(0).map(StreamId))
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(of_row(row.index))?;
        for of in streams {
            tallies.entry(of).or_default().uncount(row);
        }
    }
    Ok(())
}

/// Deletes the entries that only a withdrawn show had made.
pub(super) fn remove_popups(
    connection: &Connection,
    popups: &[PopupRow<'_>],
) -> Result<(), RowError> {
    let mut delete = connection.prepare_cached(
        "DELETE FROM user_popups WHERE user_id = ?1 AND popup_id = ?2
         AND (revision_epoch, revision_counter) < (?3, ?4)",
    )?;
    for row in popups {
        let Some((index, revision)) = row.removed else { continue };
        delete
            .execute((row.user, row.popup, revision.epoch, counter_column(revision)))
            .map_err(of_row(index))?;
    }
    Ok(())
}

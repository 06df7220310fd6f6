//! Rows of `popup_stats`: counts per popup, variant and hour, of each stream for itself. Knows
//! columns; must not know what is counted.

use crate::error::StoreError;
use crate::session::{RowError, Session};
use crate::statement::{ColumnChange, Dialect, Insert, OnConflict};
use crate::statements::streams::{PART, make_positions, number_all};
use crate::stored::{StatRow, StreamId};
use crate::value::{Row, SqlValue, Unreadable};
use crate::whole::WholeStat;
use crate::{Store, StoreReader};
use nudged_background::projection::stats::{StatCounts, StatKey, hour_of};
use nudged_base::time::WallMs;

/// The six counts, in the order of a row's.
const COUNTS: &str = "decided, shown, ignored, dismissed, clicked, converted";

fn insert(on_conflict: OnConflict<'_>) -> Insert<'_> {
    Insert {
        table: "popup_stats",
        columns: "popup_id, variant, hour, stream, part, decided, shown, ignored, dismissed, \
                  clicked, converted",
        key: "popup_id, variant, hour, stream, part",
        on_conflict,
    }
}

fn values<'v>(key: StatKey<'v>, stream: StreamId, counts: [i64; 6]) -> [SqlValue<'v>; 11] {
    let of = [key.popup.into(), key.variant.into(), key.hour.into(), stream.0.into(), PART.into()];
    let mut values = [SqlValue::Null; 11];
    let all = of.into_iter().chain(counts.map(SqlValue::Number));
    values.iter_mut().zip(all).for_each(|(place, value)| *place = value);
    values
}

fn read_counts(row: &mut Row<'_>) -> Result<[i64; 6], Unreadable> {
    let mut counts = [0; 6];
    for count in &mut counts {
        *count = row.take()?;
    }
    Ok(counts)
}

/// Adds a transaction's counts to the rows of their streams.
pub(super) fn add_stats(
    session: &mut Session,
    stats: &[(StreamId, StatKey<'_>, StatCounts)],
) -> Result<(), RowError> {
    let insert = insert(OnConflict::Update(&[(COUNTS, ColumnChange::Sum)]));
    let rows = stats.iter().map(|(stream, key, row)| values(*key, *stream, row.counts));
    let written = session.insert("write statistics", &insert, rows);
    written.map(drop).map_err(|error| error.renumbered(|row| stats[row].2.index))
}

impl Store {
    /// Statistics behind a row, in the order of (popup, variant, hour, set), at most `count`.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn whole_stats_after(
        &mut self,
        after: Option<&WholeStat>,
        count: usize,
    ) -> Result<Vec<WholeStat>, StoreError> {
        let (condition, values) = match after {
            // The first column alone lets a server begin at the right place.
            Some(row) => (
                "WHERE popup_id >= ? AND (popup_id, variant, hour, set_id) > (?, ?, ?, ?)",
                vec![
                    SqlValue::from(&row.popup),
                    SqlValue::from(&row.popup),
                    SqlValue::from(&row.variant),
                    SqlValue::from(row.hour),
                    SqlValue::from(&row.set),
                ],
            ),
            None => ("", Vec::new()),
        };
        let query = format!(
            "SELECT popup_id, variant, hour, set_id, {COUNTS} \
             FROM popup_stats JOIN streams ON streams.stream = popup_stats.stream {condition} \
             ORDER BY popup_id, variant, hour, set_id LIMIT {count}"
        );
        self.session.get_mut().query("read statistics", &query, &values, |row| {
            Ok(WholeStat {
                popup: row.take()?,
                variant: row.take()?,
                hour: row.take()?,
                set: row.take()?,
                counts: read_counts(row)?,
            })
        })
    }

    /// Takes statistics of another store in, in one transaction: of a row that is there each count
    /// is the higher one, since both are the same stream's.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn take_stats(&mut self, stats: &[WholeStat]) -> Result<(), StoreError> {
        let session = self.session.get_mut();
        let mut names: Vec<String> = stats.iter().map(|row| row.set.clone()).collect();
        names.sort_unstable();
        names.dedup();
        let streams = number_all(session, &names)?;
        let insert = insert(OnConflict::Update(&[(COUNTS, ColumnChange::Highest)]));
        session.transaction(|session| {
            // A file that has a journal's counts knows the journal.
            if session.dialect() == Dialect::Sqlite {
                make_positions(session, streams.values())?;
            }
            let rows = stats.iter().map(|row| {
                let WholeStat { popup, variant, hour, set, counts } = row;
                values(StatKey { popup, variant, hour: *hour }, streams[set], *counts)
            });
            session.insert("take statistics in", &insert, rows)?;
            Ok(())
        })
    }
}

impl StoreReader {
    /// Counts per popup, variant and hour for hours in `[from, to)`, of one popup or of all, summed
    /// over streams and sorted by key, where there is anything.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn stats(
        &self,
        popup: Option<&str>,
        from: WallMs,
        to: WallMs,
    ) -> Result<Vec<StatRow>, StoreError> {
        let sums: Vec<_> = COUNTS.split(", ").map(|column| format!("SUM({column})")).collect();
        let mut values: Vec<SqlValue<'_>> = vec![hour_of(from).into(), to.into()];
        values.extend(popup.map(SqlValue::Text));
        // An hour whose only show was taken back is left with a row of zeros.
        let query = format!(
            "SELECT popup_id, variant, hour, {} FROM popup_stats WHERE hour >= ? AND hour < ?{} \
             GROUP BY popup_id, variant, hour HAVING SUM({}) > 0 ORDER BY popup_id, variant, hour",
            sums.join(", "),
            if popup.is_some() { " AND popup_id = ?" } else { "" },
            COUNTS.replace(", ", " + "),
        );
        self.reports().borrow_mut().query("read statistics", &query, &values, |row| {
            Ok(StatRow {
                popup: row.take()?,
                variant: row.take()?,
                hour: row.take_time()?,
                counts: read_counts(row)?.map(|count| u64::try_from(count).unwrap_or(0)),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nudged_base::event_kind::EventKind;

    #[test]
    fn the_counts_are_in_the_order_of_what_happens() {
        assert_eq!(COUNTS, EventKind::ALL.map(EventKind::word).join(", "));
    }
}

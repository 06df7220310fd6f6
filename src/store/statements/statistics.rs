//! Rows of `popup_stats`: counts per popup, variant and hour, of each stream for itself, with the
//! sketches of their users; what is old is counted per day. Knows columns; must not know what is
//! counted.

use std::collections::BTreeMap;

use crate::error::StoreError;
use crate::session::{RowError, Session};
use crate::statement::{ColumnChange, Dialect, Insert, OnConflict};
use crate::statements::sketches::{KnownSketches, StatIncrement, USERS, UserColumns, take_users};
use crate::statements::streams::{Claims, PART, make_positions, number_all};
use crate::stored::{StatRow, StreamId};
use crate::value::{Row, SqlValue, Unreadable};
use crate::whole::WholeStat;
use crate::{Store, StoreReader};
use nudged_background::projection::stats::{DAY_MS, StatKey, StatUsers, day_of, hour_of};
use nudged_background::retention::StatPlace;
use nudged_base::limits::{MYSQL_LIST_MAX, RETENTION_ROWS_MAX};
use nudged_base::time::WallMs;

/// The part of a row that stands for a whole UTC day, its `hour` being the day's first millisecond;
/// one of [`PART`] is an hour. No writer adds to a day, so that late counts are a row beside it
/// until they are added up too.
const DAY_PART: i64 = 1;

/// The key of rows by their hour.
const HOUR_KEY: &str = "popup_stats_hour";
const HOUR_MS: i64 = 3_600_000;

/// The six counts, in the order of a row's.
const COUNTS: &str = "decided, shown, ignored, dismissed, clicked, converted";
/// As [`COUNTS`], with the decisions that were answered, which is NULL where that is not known.
const ALL_COUNTS: &str = "decided, shown, ignored, dismissed, clicked, converted, answered";

/// Whether a row has users, known or not. Where one stream's shows are taken back by another one,
/// a row with users may have no show left.
const HAS_USERS: &str =
    "users_decided IS NOT NULL OR users_clicked IS NOT NULL OR decided > 0 OR clicked > 0";

/// A popup, a variant, the first millisecond of an hour or a day, and whether it is a day.
pub type StatPlaceAt = (String, String, WallMs, bool);

/// The counts of a row.
type Counts = ([i64; 6], Option<i64>);

fn insert(on_conflict: OnConflict<'_>) -> Insert<'_> {
    Insert {
        table: "popup_stats",
        columns: "popup_id, variant, hour, stream, part, decided, shown, ignored, dismissed, \
                  clicked, converted, answered, users_decided, users_clicked",
        key: "popup_id, variant, hour, stream, part",
        on_conflict,
    }
}

fn values<'v>(
    key: StatKey<'v>,
    (stream, part): (StreamId, i64),
    (counts, answered): Counts,
    users: &'v UserColumns,
) -> [SqlValue<'v>; 14] {
    let of = [key.popup.into(), key.variant.into(), key.hour.into(), stream.0.into(), part.into()];
    let mut values = [SqlValue::Null; 14];
    let all = of.into_iter().chain(counts.map(SqlValue::Number)).chain([answered.into()]);
    let all = all.chain(users.each_ref().map(|column| column.as_deref().into()));
    values.iter_mut().zip(all).for_each(|(place, value)| *place = value);
    values
}

fn read_counts(row: &mut Row<'_>) -> Result<Counts, Unreadable> {
    let mut counts = [0; 6];
    for count in &mut counts {
        *count = row.take()?;
    }
    Ok((counts, row.take()?))
}

/// Adds a transaction's counts and users to the rows of their streams.
pub(super) fn add_stats(
    session: &mut Session,
    sketches: &mut KnownSketches,
    claims: &Claims,
    stats: &[StatIncrement<'_>],
) -> Result<(), RowError> {
    let users = sketches.add(session, PART, |stream| claims.contains_key(&stream), stats)?;
    let changes = [(ALL_COUNTS, ColumnChange::Sum), (USERS, ColumnChange::NewIfAny)];
    let insert = insert(OnConflict::Update(&changes));
    let rows = stats.iter().zip(&users).map(|((stream, key, row), users)| {
        values(*key, (*stream, PART), (row.counts, Some(row.answered)), users)
    });
    let written = session.insert("write statistics", &insert, rows);
    written.map(drop).map_err(|error| error.renumbered(|row| stats[row].2.index))
}

impl Store {
    /// Statistics behind a row, in the order of (popup, variant, hour, set, part), at most `count`.
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
                "WHERE popup_id >= ? AND (popup_id, variant, hour, set_id, part) > (?, ?, ?, ?, ?)",
                vec![
                    SqlValue::from(&row.popup),
                    SqlValue::from(&row.popup),
                    SqlValue::from(&row.variant),
                    SqlValue::from(row.hour),
                    SqlValue::from(&row.set),
                    SqlValue::from(part_of(row.is_day)),
                ],
            ),
            None => ("", Vec::new()),
        };
        let query = format!(
            "SELECT popup_id, variant, hour, set_id, part, {ALL_COUNTS}, {USERS} \
             FROM popup_stats JOIN streams ON streams.stream = popup_stats.stream {condition} \
             ORDER BY popup_id, variant, hour, set_id, part LIMIT {count}"
        );
        self.session.get_mut().query("read statistics", &query, &values, |row| {
            let (popup, variant, hour) = (row.take()?, row.take()?, row.take()?);
            let (set, is_day) = (row.take()?, row.take::<i64>()? == DAY_PART);
            let (counts, answered) = read_counts(row)?;
            let users = take_users(row, &counts)?;
            Ok(WholeStat { popup, variant, hour, set, is_day, counts, answered, users })
        })
    }

    /// Takes statistics of another store in, in one transaction: of a row that is there each count
    /// is the higher one, since both are the same stream's, and the users are those of both.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn take_stats(&mut self, stats: &[WholeStat]) -> Result<(), StoreError> {
        let session = self.session.get_mut();
        let mut names: Vec<String> = stats.iter().map(|row| row.set.clone()).collect();
        names.sort_unstable();
        names.dedup();
        let streams = number_all(session, &names)?;
        let changes = [(ALL_COUNTS, ColumnChange::Highest), (USERS, ColumnChange::New)];
        let insert = insert(OnConflict::Update(&changes));
        session.transaction(|session| {
            // A file that has a journal's counts knows the journal.
            if session.dialect() == Dialect::Sqlite {
                make_positions(session, streams.values())?;
            }
            let mut taken: Vec<(&WholeStat, UserColumns)> = Vec::with_capacity(stats.len());
            for row in stats {
                if is_to_take(session, row, streams[&row.set])? {
                    taken.push((row, users_of_both(session, row, streams[&row.set])?));
                }
            }
            let rows = taken.iter().map(|(row, users)| {
                let WholeStat { popup, variant, hour, set, counts, answered, is_day, .. } = row;
                let key = StatKey { popup, variant, hour: *hour };
                values(key, (streams[set], part_of(*is_day)), (*counts, *answered), users)
            });
            session.insert("take statistics in", &insert, rows)?;
            Ok(())
        })
    }
}

/// The columns for the users of a row that is brought, and of the one that is there. Where one of
/// the two does not know them, the other one has all that the first has, and more.
fn users_of_both(
    session: &mut Session,
    row: &WholeStat,
    stream: StreamId,
) -> Result<UserColumns, StoreError> {
    let query = format!(
        "SELECT {ALL_COUNTS}, {USERS} FROM popup_stats WHERE popup_id = ? AND variant = ? \
         AND hour = ? AND stream = ? AND part = ?{}",
        session.dialect().lock()
    );
    let values = [
        SqlValue::from(&row.popup),
        SqlValue::from(&row.variant),
        SqlValue::from(row.hour),
        SqlValue::from(stream.0),
        SqlValue::from(part_of(row.is_day)),
    ];
    let there = session.query_one("take statistics in", &query, &values, |row| {
        let (counts, _) = read_counts(row)?;
        take_users(row, &counts)
    })?;
    let mut users = row.users.clone();
    for (brought, there) in users.by_kind.iter_mut().zip(there.unwrap_or_default().by_kind) {
        match (brought.as_mut(), &there) {
            (Some(brought), Some(there)) => brought.unite(there),
            _ => *brought = brought.take().or(there),
        }
    }
    Ok(users.columns())
}

fn part_of(is_day: bool) -> i64 {
    if is_day { DAY_PART } else { PART }
}

/// Whether a row of another store is to be written beside what is there of its stream: an hour is
/// in its day where that was added up here; the hours of a day that was added up there go.
fn is_to_take(
    session: &mut Session,
    row: &WholeStat,
    stream: StreamId,
) -> Result<bool, StoreError> {
    let action = "take statistics in";
    let day = day_of(WallMs(row.hour));
    let place = [SqlValue::from(&row.popup), SqlValue::from(&row.variant)];
    if row.is_day {
        let delete = format!(
            "DELETE FROM popup_stats WHERE popup_id = ? AND variant = ? \
             AND hour >= ? AND hour < ? AND stream = ? AND part = {PART}"
        );
        let hours = [day.into(), day.saturating_add(DAY_MS).into(), stream.0.into()];
        session.execute(action, &delete, &[&place[..], &hours].concat())?;
        return Ok(true);
    }
    let query = format!(
        "SELECT hour FROM popup_stats WHERE popup_id = ? AND variant = ? \
         AND hour = ? AND stream = ? AND part = {DAY_PART}"
    );
    let values = [&place[..], &[day.into(), stream.0.into()]].concat();
    Ok(session.query_one(action, &query, &values, |row| row.take::<i64>())?.is_none())
}

/// Adds hours from before a time up to days, in the first place behind one; gives the number of
/// rows that became part of a day, and behind which place to go on, `None` behind the last.
///
/// # Errors
/// Where the database fails.
pub(super) fn fold_hours(
    session: &mut Session,
    after: Option<&StatPlace>,
    before: WallMs,
) -> Result<(u64, Option<Option<StatPlace>>), StoreError> {
    let Some(place) = next_place(session, after)? else { return Ok((0, None)) };
    let folded = session.transaction(|session| fold_place(session, &place, before))?;
    session.note_applied(false);
    let is_full = folded >= u64::from(RETENTION_ROWS_MAX);
    Ok((folded, Some(if is_full { after.cloned() } else { Some(place) })))
}

/// The first popup and variant behind a place: by two ranges of the key.
fn next_place(
    session: &mut Session,
    after: Option<&StatPlace>,
) -> Result<Option<StatPlace>, StoreError> {
    let (popup, variant) = after.map_or(("", ""), |(popup, variant)| (popup, variant));
    let ranges = [
        ("popup_id = ? AND variant > ?", vec![popup.into(), variant.into()]),
        ("popup_id > ?", vec![popup.into()]),
    ];
    for (range, values) in ranges {
        let query = format!(
            "SELECT popup_id, variant FROM popup_stats WHERE {range} \
             ORDER BY popup_id, variant LIMIT 1"
        );
        let found = session.query_one("find statistics", &query, &values, |row| {
            Ok((row.take::<String>()?, row.take::<String>()?))
        })?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Adds up to [`RETENTION_ROWS_MAX`] hours of a popup's variant to the days of their streams.
fn fold_place(
    session: &mut Session,
    (popup, variant): &StatPlace,
    before: WallMs,
) -> Result<u64, StoreError> {
    let action = "add statistics up";
    let query = format!(
        "SELECT hour, stream, {ALL_COUNTS}, {USERS} FROM popup_stats WHERE popup_id = ? \
         AND variant = ? AND hour < ? AND part = {PART} ORDER BY hour, stream \
         LIMIT {RETENTION_ROWS_MAX}{}",
        session.dialect().lock()
    );
    let place = [SqlValue::from(popup), SqlValue::from(variant)];
    let range = [&place[..], &[before.into()]].concat();
    let hours = session.query(action, &query, &range, |row| {
        let (hour, stream, counts) = (row.take_time()?, StreamId(row.take()?), read_counts(row)?);
        Ok((hour, stream, counts, take_users(row, &counts.0)?))
    })?;
    let mut days = users_of_days(session, &place, &hours)?;
    for (hour, stream, (counts, answered), users) in &hours {
        let day = days.entry((day_of(*hour), *stream)).or_insert_with(new_day);
        day.0.0.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        // What is not known of an hour is not known of its day.
        day.0.1 = day.0.1.zip(*answered).map(|(sum, count)| sum + count);
        day.1.unite(users);
    }
    days.retain(|(day, stream), _| {
        hours.iter().any(|hour| (day_of(hour.0), hour.1) == (*day, *stream))
    });
    let changes = [(ALL_COUNTS, ColumnChange::Sum), (USERS, ColumnChange::New)];
    let insert = insert(OnConflict::Update(&changes));
    let days: Vec<_> =
        days.into_iter().map(|(of, (counts, users))| (of, counts, users.columns())).collect();
    let rows = days.iter().map(|((day, stream), counts, users)| {
        values(StatKey { popup, variant, hour: *day }, (*stream, DAY_PART), *counts, users)
    });
    session.insert(action, &insert, rows)?;
    // Those that were read, and no row that has come since.
    let most = session.dialect().named_max(MYSQL_LIST_MAX);
    for hours in hours.chunks(most) {
        let rows = vec!["(hour = ? AND stream = ?)"; hours.len()].join(" OR ");
        let delete = format!(
            "DELETE FROM popup_stats WHERE popup_id = ? AND variant = ? AND part = {PART} \
             AND ({rows})"
        );
        let keys = hours.iter().flat_map(|(hour, stream, ..)| [(*hour).into(), stream.0.into()]);
        let named: Vec<SqlValue<'_>> = place.iter().copied().chain(keys).collect();
        let deleted = session.execute(action, &delete, &named)?;
        assert_eq!(usize::try_from(deleted).ok(), Some(hours.len()), "the rows were locked");
    }
    Ok(u64::try_from(hours.len()).unwrap_or(u64::MAX))
}

/// A day with its increments and all of its users.
type FoldedDay = (Counts, StatUsers);

fn new_day() -> FoldedDay {
    (([0; 6], Some(0)), StatUsers::default())
}

/// The days that these hours are in, as far as they are there: their users, and nothing added.
fn users_of_days(
    session: &mut Session,
    place: &[SqlValue<'_>; 2],
    hours: &[(WallMs, StreamId, Counts, StatUsers)],
) -> Result<BTreeMap<(i64, StreamId), FoldedDay>, StoreError> {
    let (Some(first), Some(last)) = (hours.first(), hours.last()) else {
        return Ok(BTreeMap::new());
    };
    let query = format!(
        "SELECT hour, stream, {ALL_COUNTS}, {USERS} FROM popup_stats WHERE popup_id = ? \
         AND variant = ? AND hour >= ? AND hour <= ? AND part = {DAY_PART}{}",
        session.dialect().lock()
    );
    let range = [&place[..], &[day_of(first.0).into(), day_of(last.0).into()]].concat();
    let days = session.query("add statistics up", &query, &range, |row| {
        let (day, stream) = (row.take::<i64>()?, StreamId(row.take()?));
        let (counts, _) = read_counts(row)?;
        Ok(((day, stream), (new_day().0, take_users(row, &counts)?)))
    })?;
    Ok(days.into_iter().collect())
}

impl StoreReader {
    /// The distinct users of the rows of [`StoreReader::stats`], united over streams: in each the
    /// popup, the variant, the first millisecond, and whether it is a day. Those without users may
    /// be missing.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn stat_users(
        &self,
        popup: Option<&str>,
        from: WallMs,
        to: WallMs,
    ) -> Result<BTreeMap<StatPlaceAt, StatUsers>, StoreError> {
        let mut values: Vec<SqlValue<'_>> = vec![hour_of(from).into(), to.into()];
        values.extend(popup.map(SqlValue::Text));
        let query = format!(
            "SELECT popup_id, variant, hour, part, {ALL_COUNTS}, {USERS} FROM popup_stats \
             WHERE hour >= ? AND hour < ? AND ({HAS_USERS}){}",
            if popup.is_some() { " AND popup_id = ?" } else { "" },
        );
        let mut united: BTreeMap<StatPlaceAt, StatUsers> = BTreeMap::new();
        self.reports().borrow_mut().query("read statistics", &query, &values, |row| {
            let (popup, variant, hour) = (row.take()?, row.take()?, row.take_time()?);
            let is_day = row.take::<i64>()? == DAY_PART;
            let (counts, _) = read_counts(row)?;
            let users = take_users(row, &counts)?;
            united.entry((popup, variant, hour, is_day)).or_default().unite(&users);
            Ok(())
        })?;
        Ok(united)
    }

    /// Counts per popup, variant and hour for hours in `[from, to)`, of one popup or of all, summed
    /// over streams and sorted by key, where there is anything. What is old is there as days, each
    /// where its first hour is.
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
            "SELECT popup_id, variant, hour, part, {}, \
             CASE WHEN COUNT(answered) = COUNT(*) THEN SUM(answered) END FROM popup_stats \
             WHERE hour >= ? AND hour < ?{} GROUP BY popup_id, variant, hour, part \
             HAVING SUM({}) > 0 ORDER BY popup_id, variant, hour, part",
            sums.join(", "),
            if popup.is_some() { " AND popup_id = ?" } else { "" },
            COUNTS.replace(", ", " + "),
        );
        self.reports().borrow_mut().query("read statistics", &query, &values, |row| {
            let (popup, variant, hour) = (row.take()?, row.take()?, row.take_time()?);
            let is_day = row.take::<i64>()? == DAY_PART;
            let (counts, answered) = unsigned(read_counts(row)?);
            Ok(StatRow { popup, variant, hour, is_day, counts, answered })
        })
    }
}

impl StoreReader {
    /// Counts of some popups in each of so many hours from a first one on, of all variants
    /// together, where there is anything; in no order.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn hours_of(
        &self,
        popups: &[&str],
        (first, count): (WallMs, u32),
    ) -> Result<Vec<StatRow>, StoreError> {
        let sums: Vec<_> = COUNTS.split(", ").map(|column| format!("SUM({column})")).collect();
        let first = hour_of(first);
        let hours = (0..i64::from(count)).map(|hour| (first + hour * HOUR_MS).to_string());
        let mut session = self.reports().borrow_mut();
        let query = format!(
            "SELECT popup_id, hour, {}, \
             CASE WHEN COUNT(answered) = COUNT(*) THEN SUM(answered) END FROM popup_stats{} \
             WHERE popup_id IN (?) AND hour IN ({}) AND part = {PART} GROUP BY popup_id, hour",
            sums.join(", "),
            session.dialect().by_key(HOUR_KEY),
            hours.collect::<Vec<String>>().join(", "),
        );
        let keys: Vec<SqlValue<'_>> = popups.iter().map(|popup| (*popup).into()).collect();
        session.query_in("read statistics", &query, &keys, |row| {
            let (popup, hour) = (row.take()?, row.take_time()?);
            let (counts, answered) = unsigned(read_counts(row)?);
            Ok(StatRow { popup, variant: String::new(), hour, is_day: false, counts, answered })
        })
    }

    /// How often each popup was shown and clicked in the hours of `[from, to)`, in no order.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn shows_and_clicks(
        &self,
        from: WallMs,
        to: WallMs,
    ) -> Result<Vec<(String, [u64; 2])>, StoreError> {
        let mut session = self.reports().borrow_mut();
        let query = format!(
            "SELECT popup_id, SUM(decided), SUM(clicked) FROM popup_stats{} \
             WHERE hour >= ? AND hour < ? AND part = {PART} GROUP BY popup_id",
            session.dialect().by_key(HOUR_KEY),
        );
        let range = [hour_of(from).into(), to.into()];
        session.query("read statistics", &query, &range, |row| {
            let popup = row.take()?;
            let counts = [row.take::<i64>()?, row.take::<i64>()?];
            Ok((popup, counts.map(|count| u64::try_from(count).unwrap_or(0))))
        })
    }
}

/// Counts that are none below 0: what was taken back is taken off what was there.
fn unsigned((counts, answered): Counts) -> ([u64; 6], Option<u64>) {
    let unsigned = |count: i64| u64::try_from(count).unwrap_or(0);
    (counts.map(unsigned), answered.map(unsigned))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nudged_background::projection::stats::USER_KINDS;
    use nudged_base::event_kind::EventKind;

    #[test]
    fn the_counts_are_in_the_order_of_what_happens() {
        assert_eq!(COUNTS, EventKind::ALL.map(EventKind::word).join(", "));
        assert_eq!(ALL_COUNTS, format!("{COUNTS}, answered"));
        let users = USER_KINDS.map(|kind| format!("users_{}", kind.word()));
        assert_eq!(USERS, users.join(", "));
    }
}

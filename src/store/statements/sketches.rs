//! The distinct users of rows of `popup_stats`, whose columns hold sketches: what this process
//! knows of them, since it alone writes the rows of its streams. So a transaction that adds to them
//! reads only those that a process before has begun. Rows that lists are counted in may be several
//! processes', one after the other: they are read each time, a few by a lane's transaction. Must
//! not know what else is in the rows.
//!
//! ```text
//! known + users of a batch -> pending, written with the counts -> committed: known
//!                                                              -> failed: nothing is known
//! ```
//!
//! Limits: `STAT_SKETCHES_KNOWN_MAX` rows; beyond them all are read again.
//!
//! Behind the newest hour that was there when the streams were claimed there is no row of theirs
//! but those that were written since.

use hashbrown::HashMap;

use crate::error::StoreError;
use crate::session::Session;
use crate::stored::StreamId;
use crate::value::{Row, SqlValue, Unreadable};
use nudged_background::projection::stats::{StatCounts, StatKey, StatUsers, USER_KINDS};
use nudged_base::limits::{MYSQL_LIST_MAX, STAT_SKETCHES_KNOWN_MAX};

/// The columns, in the order of [`USER_KINDS`].
pub(super) const USERS: &str = "users_decided, users_clicked";

/// The two columns as they are stored.
pub(super) type UserColumns = [Option<Vec<u8>>; 2];

/// A row's stream, popup, variant and hour.
type SketchPlace = (StreamId, String, String, i64);

/// What is known of rows.
#[derive(Debug)]
pub(crate) struct KnownSketches {
    known: HashMap<SketchPlace, StatUsers>,
    pending: Vec<(SketchPlace, StatUsers)>,
    /// Rows up to this hour that are not known may be there.
    read_to: i64,
}

impl Default for KnownSketches {
    fn default() -> KnownSketches {
        KnownSketches { known: HashMap::new(), pending: Vec::new(), read_to: i64::MAX }
    }
}

/// A row of a transaction: its stream, key and increments.
pub(super) type StatIncrement<'a> = (StreamId, StatKey<'a>, StatCounts);

impl KnownSketches {
    /// The columns of a transaction's rows, all of one part, with its users in them, in their
    /// order; none where they stay as they are. Nothing is kept of it until
    /// [`KnownSketches::keep`], and never of a stream that this process has not claimed: another
    /// one may write its rows meanwhile.
    pub(super) fn add(
        &mut self,
        session: &mut Session,
        part: i64,
        is_claimed: impl Fn(StreamId) -> bool,
        rows: &[StatIncrement<'_>],
    ) -> Result<Vec<UserColumns>, StoreError> {
        self.pending.clear();
        let has_users =
            |row: &&StatIncrement<'_>| row.2.users.iter().any(|users| !users.is_empty());
        let missing: Vec<SketchPlace> = rows
            .iter()
            .filter(has_users)
            .map(|(stream, key, _)| place_of(*stream, key))
            .filter(|place| !is_claimed(place.0) || self.is_to_read(place))
            .collect();
        let mut found = read(session, part, missing)?;
        let mut columns = Vec::with_capacity(rows.len());
        for row in rows {
            let (stream, key, increment) = row;
            if !has_users(&row) {
                columns.push([None, None]);
                continue;
            }
            let place = place_of(*stream, key);
            let known = found.remove(&place).or_else(|| self.known.get(&place).cloned());
            let mut users = known.unwrap_or_default();
            let mut is_changed = [false; 2];
            for (kind, hashes) in increment.users.iter().enumerate() {
                let Some(sketch) = &mut users.by_kind[kind] else { continue };
                for hash in hashes {
                    is_changed[kind] |= sketch.insert(*hash);
                }
            }
            let mut changed = users.columns();
            let unchanged = changed.iter_mut().zip(is_changed).filter(|(_, is)| !is);
            unchanged.for_each(|(column, _)| *column = None);
            columns.push(changed);
            if is_claimed(*stream) {
                self.pending.push((place, users));
            }
        }
        Ok(columns)
    }

    fn is_to_read(&self, place: &SketchPlace) -> bool {
        place.3 <= self.read_to && !self.known.contains_key(place)
    }

    /// What was pending is committed.
    pub(super) fn keep(&mut self) {
        if self.known.len() + self.pending.len() > STAT_SKETCHES_KNOWN_MAX {
            let pending = std::mem::take(&mut self.pending);
            self.forget();
            self.pending = pending;
        }
        match self.pending.len() <= STAT_SKETCHES_KNOWN_MAX {
            true => self.known.extend(self.pending.drain(..)),
            false => self.forget(),
        }
    }

    /// It is not known what the rows are.
    pub(super) fn forget(&mut self) {
        let written = self.known.keys().chain(self.pending.iter().map(|(place, _)| place));
        let newest = written.map(|place| place.3).max();
        self.read_to = self.read_to.max(newest.unwrap_or(i64::MIN));
        self.known.clear();
        self.pending.clear();
    }

    /// Streams are claimed: whoever had them before writes nothing any more.
    ///
    /// # Errors
    /// Where the database fails.
    pub(super) fn claim(&mut self, session: &mut Session) -> Result<(), StoreError> {
        let query = "SELECT MAX(hour) FROM popup_stats";
        let newest = session
            .query_one("look for statistics", query, &[], |row| row.take::<Option<i64>>())?;
        *self = KnownSketches::default();
        self.read_to = newest.flatten().unwrap_or(i64::MIN);
        Ok(())
    }
}

fn place_of(stream: StreamId, key: &StatKey<'_>) -> SketchPlace {
    (stream, key.popup.to_owned(), key.variant.to_owned(), key.hour)
}

/// What the rows hold at these places; a row that is not there holds nobody.
fn read(
    session: &mut Session,
    part: i64,
    places: Vec<SketchPlace>,
) -> Result<HashMap<SketchPlace, StatUsers>, StoreError> {
    let mut found: HashMap<SketchPlace, StatUsers> = HashMap::new();
    let most = session.dialect().named_max(MYSQL_LIST_MAX);
    for places in places.chunks(most) {
        let named = "(popup_id = ? AND variant = ? AND hour = ? AND stream = ?)";
        let query = format!(
            "SELECT stream, popup_id, variant, hour, {}, {USERS} FROM popup_stats \
             WHERE part = {part} AND ({})",
            USER_KINDS.map(|kind| kind.word()).join(", "),
            vec![named; places.len()].join(" OR ")
        );
        let values = places.iter().flat_map(|(stream, popup, variant, hour)| {
            [popup.into(), variant.into(), (*hour).into(), stream.0.into()]
        });
        let values: Vec<SqlValue<'_>> = values.collect();
        let rows = session.query("read the users of statistics", &query, &values, |row| {
            let place = (StreamId(row.take()?), row.take()?, row.take()?, row.take()?);
            let mut counts = [0; 6];
            for kind in USER_KINDS {
                counts[kind as usize] = row.take()?;
            }
            Ok((place, take_users(row, &counts)?))
        })?;
        found.extend(rows);
    }
    for place in places {
        found.entry(place).or_default();
    }
    Ok(found)
}

/// The next two columns of a row with these counts.
pub(super) fn take_users(row: &mut Row<'_>, counts: &[i64; 6]) -> Result<StatUsers, Unreadable> {
    let columns: [Option<Vec<u8>>; 2] = [row.take()?, row.take()?];
    let [decided, clicked] = &columns;
    Ok(StatUsers::of_columns(counts, [decided.as_deref(), clicked.as_deref()]))
}

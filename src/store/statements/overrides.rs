//! The rows of pauses and archives. Knows columns; what an entry does to them is
//! `store::overrides`'.

use crate::Store;
use crate::catalog::NO_TEXT;
use crate::error::StoreError;
use crate::overrides::{DROPPED, dropped_of, plan_overrides};
use crate::session::Session;
use crate::statement::{ColumnChange, Insert, OnConflict};
use crate::statements::popups::{lock_version, raise_version};
use crate::stored::Dropped;
use crate::value::{Row, SqlValue, Unreadable};
use nudged_base::limits::{OVERRIDES_MAX, SQL_ROWS_READ_MAX};
use nudged_domain::catalog::overrides::{Override, OverrideId, OverrideKind};
use nudged_domain::ended::Ended;

const READ: &str = "read pauses and archives";
const WRITE: &str = "store pauses and archives";

/// The columns of an entry's row, in the order of [`read_row`].
const COLUMNS: &str = "entry_id, popup_id, kind, at, who, ended_at, ended_by";

fn insert(on_conflict: OnConflict<'_>) -> Insert<'_> {
    Insert { table: "override_entries", columns: COLUMNS, key: "entry_id", on_conflict }
}

/// An entry of its row; `None` where somebody else wrote what is none.
fn read_row(row: &mut Row<'_>) -> Result<Option<Override>, Unreadable> {
    let (id, popup, kind) = (row.take::<String>()?, row.take::<String>()?, row.take::<String>()?);
    let (at, who) = (row.take_time()?, row.take::<String>()?);
    let (ended_at, ended_by) = (row.take_maybe_time()?, row.take::<Option<String>>()?);
    let end = ended_at.map(|at| Ended { at, who: ended_by.unwrap_or_default().into() });
    // A word that somebody else wrote stops the popup.
    let kind = OverrideKind::of_word(&kind).unwrap_or(OverrideKind::Pause);
    let (popup, who) = (popup.into(), who.into());
    Ok(OverrideId::parse(&id).map(|id| Override { id, popup, kind, at, who, end }))
}

fn values<'v>(id: &'v str, entry: &'v Override) -> [SqlValue<'v>; 7] {
    [
        id.into(),
        SqlValue::Text(&entry.popup),
        entry.kind.word().into(),
        entry.at.into(),
        SqlValue::Text(&entry.who),
        entry.end.as_ref().map(|end| end.at).into(),
        entry.end.as_ref().map(|end| &*end.who).into(),
    ]
}

impl Store {
    /// Takes in what a node knows of pauses and archives, each with its lines of history; what is
    /// there already changes nothing. All or nothing, synced to disk before it returns; raises the
    /// catalog's version where anything is news.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn put_overrides(&mut self, entries: &[Override]) -> Result<(), StoreError> {
        self.session.get_mut().transaction(|session| {
            // Two nodes that bring the same entry write its history once.
            lock_version(session)?;
            if put(session, entries)? { raise_version(session) } else { Ok(()) }
        })
    }

    /// The pauses and archives of these ids, those that have ended too, as far as they are there.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn overrides_of(&mut self, ids: &[OverrideId]) -> Result<Vec<Override>, StoreError> {
        of_ids(self.session.get_mut(), ids)
    }

    /// Every entry of an operator's override, ended ones too.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn whole_overrides(&mut self) -> Result<Vec<Override>, StoreError> {
        let query = format!("SELECT {COLUMNS} FROM override_entries ORDER BY entry_id");
        let rows = self.session.get_mut().query(READ, &query, &[], read_row)?;
        Ok(rows.into_iter().flatten().collect())
    }

    /// Takes entries of overrides in: the union by id, in which an end stays. Gives the number of
    /// rows that were changed.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn take_overrides(&mut self, entries: &[Override]) -> Result<u64, StoreError> {
        if entries.is_empty() {
            return Ok(0);
        }
        let ids: Vec<String> = entries.iter().map(|entry| entry.id.to_string()).collect();
        let insert = insert(OnConflict::Update(&[("ended_by, ended_at", ColumnChange::First)]));
        self.session.get_mut().transaction(|session| {
            lock_version(session)?;
            let rows = ids.iter().zip(entries).map(|(id, entry)| values(id, entry));
            let changed = session.insert("take overrides in", &insert, rows)?.changed;
            if changed > 0 {
                raise_version(session)?;
            }
            Ok(changed)
        })
    }
}

/// Every entry that stands, and the latest that have ended.
pub(super) fn load(session: &mut Session) -> Result<Vec<Override>, StoreError> {
    let standing = format!(
        "SELECT {COLUMNS} FROM override_entries WHERE ended_at IS NULL LIMIT {OVERRIDES_MAX}"
    );
    let ended = format!(
        "SELECT {COLUMNS} FROM override_entries WHERE ended_at IS NOT NULL \
         ORDER BY ended_at DESC LIMIT {SQL_ROWS_READ_MAX}"
    );
    let mut rows = session.query(READ, &standing, &[], read_row)?;
    rows.extend(session.query(READ, &ended, &[], read_row)?);
    let mut entries: Vec<Override> = rows.into_iter().flatten().collect();
    entries.sort_by_key(|entry| entry.id);
    Ok(entries)
}

/// Writes what is news of these entries, with their lines of history; whether anything was.
pub(super) fn put(session: &mut Session, entries: &[Override]) -> Result<bool, StoreError> {
    let ids: Vec<OverrideId> = entries.iter().map(|entry| entry.id).collect();
    let mut stored = of_ids(session, &ids)?;
    let mut popups: Vec<&str> = entries.iter().map(|entry| &*entry.popup).collect();
    popups.sort_unstable();
    popups.dedup();
    let popups: Vec<SqlValue<'_>> = popups.into_iter().map(SqlValue::Text).collect();
    let standing = format!(
        "SELECT {COLUMNS} FROM override_entries \
         WHERE ended_at IS NULL AND popup_id IN (?) LIMIT {OVERRIDES_MAX}"
    );
    let rows = session.query_in(READ, &standing, &popups, read_row)?;
    stored.extend(rows.into_iter().flatten());
    let edits = plan_overrides(&stored, entries);
    let ends = insert(OnConflict::Update(&[("ended_at, ended_by", ColumnChange::New)]));
    for edit in &edits {
        let (id, popup) = (edit.entry.id.to_string(), SqlValue::Text(&edit.entry.popup));
        session.insert(WRITE, &ends, [values(&id, &edit.entry)].into_iter())?;
        for line in &edit.lines {
            // A popup that is not here has no history here.
            let insert = "INSERT INTO popup_history \
                          (popup_id, version, `change`, at, who, diff, definition) \
                          SELECT popup_id, version, 'override', ?, ?, ?, ? \
                          FROM popups WHERE popup_id = ?";
            let (who, diff) = ((*line.who).into(), (&line.diff).into());
            let values = [line.at.into(), who, diff, NO_TEXT.into(), popup];
            session.execute(WRITE, insert, &values)?;
        }
    }
    Ok(!edits.is_empty())
}

/// The popups that the schema's upgrade has stopped.
pub(crate) fn dropped(session: &mut Session) -> Result<Vec<Dropped>, StoreError> {
    let read = |row: &mut Row<'_>| Ok((row.take()?, row.take()?, row.take()?));
    let rows = session.query(READ, DROPPED, &[], read)?;
    Ok(rows.into_iter().filter_map(dropped_of).collect())
}

fn of_ids(session: &mut Session, ids: &[OverrideId]) -> Result<Vec<Override>, StoreError> {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let ids: Vec<SqlValue<'_>> = ids.iter().map(SqlValue::from).collect();
    let find = format!("SELECT {COLUMNS} FROM override_entries WHERE entry_id IN (?)");
    let rows = session.query_in(READ, &find, &ids, read_row)?;
    Ok(rows.into_iter().flatten().collect())
}

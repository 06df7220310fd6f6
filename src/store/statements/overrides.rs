//! The rows of pauses and archives. Knows columns; what an entry does to them is
//! `store::overrides`'.

use crate::base::limits::{OVERRIDES_MAX, SQL_ROWS_READ_MAX};
use crate::catalog::overrides::{Entry, EntryId};
use crate::store::Store;
use crate::store::catalog::NO_TEXT;
use crate::store::error::StoreError;
use crate::store::overrides::{DROPPED, dropped_of, entry_of, plan_overrides};
use crate::store::session::Session;
use crate::store::statement::{Change, Insert, There};
use crate::store::statements::popups::{lock_version, raise_version};
use crate::store::stored::Dropped;
use crate::store::value::{Row, Unreadable, Value};
use crate::store::whole::WholeOverride;

const READ: &str = "read pauses and archives";
const WRITE: &str = "store pauses and archives";

/// The columns of an entry's row, in the order of [`read_row`].
const COLUMNS: &str = "entry_id, popup_id, kind, at, who, ended_at, ended_by";

fn insert(there: There<'_>) -> Insert<'_> {
    Insert { table: "override_entries", columns: COLUMNS, key: "entry_id", there }
}

fn read_row(row: &mut Row<'_>) -> Result<WholeOverride, Unreadable> {
    Ok(WholeOverride {
        entry: row.take()?,
        popup: row.take()?,
        kind: row.take()?,
        begun: (row.take()?, row.take()?),
        ended: (row.take()?, row.take()?),
    })
}

fn values(row: &WholeOverride) -> [Value<'_>; 7] {
    [
        (&row.entry).into(),
        (&row.popup).into(),
        (&row.kind).into(),
        row.begun.0.into(),
        (&row.begun.1).into(),
        row.ended.0.into(),
        row.ended.1.as_deref().into(),
    ]
}

fn row_of(entry: &Entry) -> WholeOverride {
    WholeOverride {
        entry: entry.id.to_string(),
        popup: entry.popup.to_string(),
        kind: entry.kind.word().to_owned(),
        begun: (entry.at.0, entry.who.to_string()),
        ended: (
            entry.end.as_ref().map(|end| end.at.0),
            entry.end.as_ref().map(|end| end.who.to_string()),
        ),
    }
}

impl Store {
    /// Takes in what a node knows of pauses and archives, each with its lines of history; what is
    /// there already changes nothing. All or nothing, synced to disk before it returns; raises the
    /// catalog's version where anything is news.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn put_overrides(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
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
    pub fn overrides_of(&mut self, ids: &[EntryId]) -> Result<Vec<Entry>, StoreError> {
        of_ids(self.session.get_mut(), ids)
    }

    /// Every entry of an operator's override, ended ones too.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn whole_overrides(&mut self) -> Result<Vec<WholeOverride>, StoreError> {
        let query = format!("SELECT {COLUMNS} FROM override_entries ORDER BY entry_id");
        self.session.get_mut().query(READ, &query, &[], read_row)
    }

    /// Takes entries of overrides in: the union by id, in which an end stays. Gives the number of
    /// rows that were changed.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn take_overrides(&mut self, entries: &[WholeOverride]) -> Result<u64, StoreError> {
        if entries.is_empty() {
            return Ok(0);
        }
        let insert = insert(There::Changes(&[("ended_by, ended_at", Change::First)]));
        self.session.get_mut().transaction(|session| {
            lock_version(session)?;
            let rows = entries.iter().map(values);
            let changed = session.insert("take overrides in", &insert, rows)?.changed;
            if changed > 0 {
                raise_version(session)?;
            }
            Ok(changed)
        })
    }
}

/// Every entry that stands, and the latest that have ended.
pub(super) fn load(session: &mut Session) -> Result<Vec<Entry>, StoreError> {
    let standing = format!(
        "SELECT {COLUMNS} FROM override_entries WHERE ended_at IS NULL LIMIT {OVERRIDES_MAX}"
    );
    let ended = format!(
        "SELECT {COLUMNS} FROM override_entries WHERE ended_at IS NOT NULL \
         ORDER BY ended_at DESC LIMIT {SQL_ROWS_READ_MAX}"
    );
    let mut rows = session.query(READ, &standing, &[], read_row)?;
    rows.extend(session.query(READ, &ended, &[], read_row)?);
    let mut entries: Vec<Entry> = rows.into_iter().filter_map(entry_of).collect();
    entries.sort_by_key(|entry| entry.id);
    Ok(entries)
}

/// Writes what is news of these entries, with their lines of history; whether anything was.
pub(super) fn put(session: &mut Session, entries: &[Entry]) -> Result<bool, StoreError> {
    let ids: Vec<EntryId> = entries.iter().map(|entry| entry.id).collect();
    let mut stored = of_ids(session, &ids)?;
    let mut popups: Vec<&str> = entries.iter().map(|entry| &*entry.popup).collect();
    popups.sort_unstable();
    popups.dedup();
    let popups: Vec<Value<'_>> = popups.into_iter().map(Value::Text).collect();
    let standing = format!(
        "SELECT {COLUMNS} FROM override_entries \
         WHERE ended_at IS NULL AND popup_id IN (?) LIMIT {OVERRIDES_MAX}"
    );
    let rows = session.query_in(READ, &standing, &popups, read_row)?;
    stored.extend(rows.into_iter().filter_map(entry_of));
    let edits = plan_overrides(&stored, entries);
    let ends = insert(There::Changes(&[("ended_at, ended_by", Change::New)]));
    for edit in &edits {
        let row = row_of(&edit.entry);
        session.insert(WRITE, &ends, [values(&row)].into_iter())?;
        for line in &edit.lines {
            // A popup that is not here has no history here.
            let insert = "INSERT INTO popup_history \
                          (popup_id, version, `change`, at, who, diff, definition) \
                          SELECT popup_id, version, 'override', ?, ?, ?, ? \
                          FROM popups WHERE popup_id = ?";
            let (who, diff) = ((*line.who).into(), (&line.diff).into());
            let values = [line.at.into(), who, diff, NO_TEXT.into(), (&row.popup).into()];
            session.execute(WRITE, insert, &values)?;
        }
    }
    Ok(!edits.is_empty())
}

/// The popups that the schema's upgrade has stopped.
pub(in crate::store) fn dropped(session: &mut Session) -> Result<Vec<Dropped>, StoreError> {
    let read = |row: &mut Row<'_>| Ok((row.take()?, row.take()?, row.take()?));
    let rows = session.query(READ, DROPPED, &[], read)?;
    Ok(rows.into_iter().filter_map(dropped_of).collect())
}

fn of_ids(session: &mut Session, ids: &[EntryId]) -> Result<Vec<Entry>, StoreError> {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let ids: Vec<Value<'_>> = ids.iter().map(Value::from).collect();
    let find = format!("SELECT {COLUMNS} FROM override_entries WHERE entry_id IN (?)");
    let rows = session.query_in(READ, &find, &ids, read_row)?;
    Ok(rows.into_iter().filter_map(entry_of).collect())
}

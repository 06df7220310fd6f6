//! The rows of pauses and archives, the same as in SQLite. Knows statements; what an entry does to
//! them is `store::overrides`'.

use super::Mysql;
use super::popups::{lock_version, raise_version};
use super::session::Session;
use super::text::{Literal, list, push_row, push_text};
use crate::catalog::NO_TEXT;
use crate::error::StoreError;
use crate::overrides::{COLUMNS, DROPPED, dropped_of, entry_of, plan_overrides};
use crate::stored::Dropped;
use nudged_base::limits::{MYSQL_LIST_MAX, OVERRIDES_MAX, SQL_ROWS_READ_MAX};
use nudged_domain::catalog::overrides::{Entry, EntryId};

const READ: &str = "read pauses and archives";
const WRITE: &str = "store pauses and archives";

impl Mysql {
    /// See [`crate::Store::put_overrides`].
    pub(crate) fn put_overrides(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        self.session.get_mut().transaction(|session| {
            // Two nodes that bring the same entry write its history once.
            lock_version(session)?;
            if put(session, entries)? { raise_version(session) } else { Ok(()) }
        })
    }

    /// See [`crate::Store::overrides_of`].
    pub(crate) fn overrides_of(&mut self, ids: &[EntryId]) -> Result<Vec<Entry>, StoreError> {
        of_ids(self.session.get_mut(), ids)
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
    let mut entries = query(session, &standing)?;
    entries.extend(query(session, &ended)?);
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
    for popups in popups.chunks(MYSQL_LIST_MAX) {
        let popups = list(popups.iter().map(|popup| Literal::Text(popup)));
        stored.extend(query(
            session,
            &format!(
                "SELECT {COLUMNS} FROM override_entries \
                 WHERE ended_at IS NULL AND popup_id IN {popups} LIMIT {OVERRIDES_MAX}"
            ),
        )?);
    }
    let edits = plan_overrides(&stored, entries);
    for edit in &edits {
        write(session, &edit.entry)?;
        for line in &edit.lines {
            // A popup that is not here has no history here.
            let mut insert = "INSERT INTO popup_history (popup_id, version, `change`, at, who, \
                              diff, definition) SELECT popup_id, version, 'override', "
                .to_owned();
            insert.push_str(&format!("{}, ", line.at.0));
            push_text(&mut insert, &line.who);
            insert.push_str(", ");
            push_text(&mut insert, &line.diff);
            insert.push_str(", ");
            push_text(&mut insert, NO_TEXT);
            insert.push_str(" FROM popups WHERE popup_id = ");
            push_text(&mut insert, &edit.entry.popup);
            session.execute(WRITE, &insert)?;
        }
    }
    Ok(!edits.is_empty())
}

fn write(session: &mut Session, entry: &Entry) -> Result<(), StoreError> {
    let mut upsert = format!("INSERT INTO override_entries ({COLUMNS}) VALUES ");
    push_row(
        &mut upsert,
        &[
            Literal::Text(&entry.id.to_string()),
            Literal::Text(&entry.popup),
            Literal::Text(entry.kind.word()),
            Literal::Number(entry.at.0),
            Literal::Text(&entry.who),
            Literal::Maybe(entry.end.as_ref().map(|end| end.at.0)),
            Literal::MaybeText(entry.end.as_ref().map(|end| &*end.who)),
        ],
    );
    upsert.push_str(
        " ON DUPLICATE KEY UPDATE ended_at = VALUES(ended_at), ended_by = VALUES(ended_by)",
    );
    session.execute(WRITE, &upsert).map(drop)
}

/// The popups that the schema's upgrade has stopped.
pub(super) fn dropped(session: &mut Session) -> Result<Vec<Dropped>, StoreError> {
    let rows: Vec<(String, String, String)> = session.query(READ, DROPPED)?;
    Ok(rows.into_iter().filter_map(dropped_of).collect())
}

fn of_ids(session: &mut Session, ids: &[EntryId]) -> Result<Vec<Entry>, StoreError> {
    let mut found = Vec::new();
    for ids in ids.chunks(MYSQL_LIST_MAX) {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let ids = list(ids.iter().map(|id| Literal::Text(id)));
        let find = format!("SELECT {COLUMNS} FROM override_entries WHERE entry_id IN {ids}");
        found.extend(query(session, &find)?);
    }
    Ok(found)
}

fn query(session: &mut Session, text: &str) -> Result<Vec<Entry>, StoreError> {
    type Columns = (String, String, String, i64, String, Option<i64>, Option<String>);
    let rows: Vec<Columns> = session.query(READ, text)?;
    let entry = |(id, popup, kind, at, who, ended_at, ended_by): Columns| {
        entry_of((&id, popup, &kind), (at, who), (ended_at, ended_by))
    };
    Ok(rows.into_iter().filter_map(entry).collect())
}

//! The catalog's rows, the same as in SQLite: read whole, changed by a plan in one transaction.
//! Knows statements; what a change means is `store::catalog`'s. Every change locks the row of
//! `catalog_version` first, so that two nodes change one after the other, and raises it in its own
//! transaction, so that each node sees that there is something new.

use super::session::Session;
use super::text::{Literal, push_row, push_text};
use super::{Mysql, overrides};
use crate::catalog::{CatalogChange, Edit, PopupRow, Written, plan};
use crate::error::StoreError;
use crate::stored::{Origin, StoredCatalog};
use nudged_base::ids::PopupKey;
use nudged_base::time::WallMs;

/// What an error of these statements was about.
const ACTION: &str = "change popups";

impl Mysql {
    /// See [`crate::Store::change_catalog`].
    pub(crate) fn change_catalog(
        &mut self,
        based_on: Option<u64>,
        change: CatalogChange<'_>,
        who: &str,
        at: WallMs,
    ) -> Result<StoredCatalog, StoreError> {
        self.session.get_mut().transaction(|session| {
            let found = lock_version(session)?;
            if based_on.is_some_and(|based_on| based_on != found) {
                return Err(StoreError::CatalogMoved { found });
            }
            let edits = plan(read_rows(session)?, change, at)?;
            for edit in &edits {
                write(session, edit, who, at)?;
            }
            let is_overridden = match change {
                CatalogChange::Import { overrides: entries, .. } => {
                    overrides::put(session, entries)?
                }
                _ => false,
            };
            if !edits.is_empty() || is_overridden {
                raise_version(session)?;
            }
            load(session)
        })
    }

    /// See [`crate::Store::load_catalog`].
    pub(crate) fn load_catalog(&mut self) -> Result<StoredCatalog, StoreError> {
        load(self.session.get_mut())
    }

    /// See [`crate::Store::catalog_version`].
    pub(crate) fn catalog_version(&mut self) -> Result<u64, StoreError> {
        version(self.session.get_mut())
    }

    /// See [`crate::Store::text_of`].
    pub(crate) fn text_of(&mut self, id: &str, version: u32) -> Result<Option<String>, StoreError> {
        text_of(self.session.get_mut(), id, version)
    }

    /// See [`crate::Store::version_before`].
    pub(crate) fn version_before(
        &mut self,
        id: &str,
        version: u32,
    ) -> Result<Option<u32>, StoreError> {
        let mut query = "SELECT MAX(version) FROM popup_history WHERE popup_id = ".to_owned();
        push_text(&mut query, id);
        query.push_str(&format!(" AND version < {version}"));
        let found: Option<(Option<u32>,)> =
            self.session.get_mut().query_one("read a popup's history", &query)?;
        Ok(found.and_then(|(version,)| version))
    }
}

/// Every popup with the version of the whole, which is read first: where a change comes between,
/// the rows are newer than the version says, and whoever looks again finds that it has moved.
pub(super) fn load(session: &mut Session) -> Result<StoredCatalog, StoreError> {
    let version = version(session)?;
    let popups = read_rows(session)?.into_iter().map(PopupRow::stored).collect();
    Ok(StoredCatalog { version, popups, overrides: overrides::load(session)? })
}

/// The definition of a popup's version.
pub(super) fn text_of(
    session: &mut Session,
    id: &str,
    version: u32,
) -> Result<Option<String>, StoreError> {
    let mut query = "SELECT definition FROM popup_history WHERE popup_id = ".to_owned();
    push_text(&mut query, id);
    let of_version = " AND definition <> '' ORDER BY id DESC LIMIT 1";
    query.push_str(&format!(" AND version = {version}{of_version}"));
    let found: Option<(String,)> = session.query_one("read a popup's history", &query)?;
    Ok(found.map(|(text,)| text))
}

/// The catalog's version, which nobody else changes until the transaction ends.
pub(super) fn lock_version(session: &mut Session) -> Result<u64, StoreError> {
    version_by(session, "SELECT version FROM catalog_version WHERE id = 1 FOR UPDATE")
}

/// Raises the catalog's version.
pub(super) fn raise_version(session: &mut Session) -> Result<(), StoreError> {
    let raise = "UPDATE catalog_version SET version = version + 1 WHERE id = 1";
    session.execute(ACTION, raise).map(drop)
}

/// The catalog's version.
pub(super) fn version(session: &mut Session) -> Result<u64, StoreError> {
    version_by(session, "SELECT version FROM catalog_version WHERE id = 1")
}

fn version_by(session: &mut Session, query: &str) -> Result<u64, StoreError> {
    let found: Option<(u64,)> = session.query_one("read the catalog's version", query)?;
    Ok(found.map_or(0, |(version,)| version))
}

/// Every popup, sorted by id.
fn read_rows(session: &mut Session) -> Result<Vec<PopupRow>, StoreError> {
    let query = "SELECT popup_id, popup_key, version, origin, definition, archived_at \
                 FROM popups ORDER BY popup_id";
    type Columns = (String, i64, u32, String, String, Option<i64>);
    let rows: Vec<Columns> = session.query("read popups", query)?;
    let row = |(id, key, version, origin, text, archived_at): Columns| PopupRow {
        id,
        key: PopupKey(key.cast_unsigned()),
        version,
        origin: Origin::of_word(&origin),
        text,
        archived_at: archived_at.map(WallMs),
    };
    Ok(rows.into_iter().map(row).collect())
}

/// Writes an edit's rows and its line of history.
fn write(session: &mut Session, edit: &Edit, who: &str, at: WallMs) -> Result<(), StoreError> {
    let row = &edit.row;
    match edit.written {
        Written::New => insert(session, row)?,
        Written::Row => update(session, row)?,
    }
    let diff = edit.diff.to_string();
    let mut insert = "INSERT INTO popup_history (popup_id, version, `change`, at, who, diff, \
                      definition) VALUES "
        .to_owned();
    push_row(
        &mut insert,
        &[
            Literal::Text(&row.id),
            Literal::Number(row.version.into()),
            Literal::Text(edit.change),
            Literal::Number(at.0),
            Literal::Text(who),
            Literal::Text(&diff),
            Literal::Text(edit.history_text()),
        ],
    );
    session.execute(ACTION, &insert).map(drop)
}

fn insert(session: &mut Session, row: &PopupRow) -> Result<(), StoreError> {
    let mut insert = "INSERT INTO popups (popup_id, popup_key, version, origin, definition, \
                      archived_at) VALUES "
        .to_owned();
    push_row(
        &mut insert,
        &[
            Literal::Text(&row.id),
            Literal::Number(row.key.0.cast_signed()),
            Literal::Number(row.version.into()),
            Literal::Text(row.origin.word()),
            Literal::Text(&row.text),
            Literal::Maybe(row.archived_at.map(|at| at.0)),
        ],
    );
    session.execute(ACTION, &insert).map(drop)
}

fn update(session: &mut Session, row: &PopupRow) -> Result<(), StoreError> {
    let archived_at = row.archived_at.map_or("NULL".to_owned(), |at| at.0.to_string());
    let mut update = format!(
        "UPDATE popups SET version = {}, origin = '{}', archived_at = {archived_at}, \
         definition = ",
        row.version,
        row.origin.word(),
    );
    push_text(&mut update, &row.text);
    update.push_str(" WHERE popup_id = ");
    push_text(&mut update, &row.id);
    session.execute(ACTION, &update).map(drop)
}

//! The catalog's rows: read whole, changed by a plan in one transaction. Knows statements; what a
//! change means is `store::catalog`'s.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{Sqlite, overrides};
use crate::catalog::{CatalogChange, Edit, PopupRow, Written, plan};
use crate::error::StoreError;
use crate::stored::{Origin, StoredCatalog};
use nudged_base::ids::PopupKey;
use nudged_base::time::WallMs;

impl Sqlite {
    /// See [`crate::Store::change_catalog`].
    pub(crate) fn change_catalog(
        &mut self,
        based_on: Option<u64>,
        change: CatalogChange<'_>,
        who: &str,
        at: WallMs,
    ) -> Result<StoredCatalog, StoreError> {
        let action = "change popups";
        let path = self.path.clone();
        let failed = |source| StoreError::sql(&path, action, source);
        self.durably(action, |transaction| {
            let found = version(transaction).map_err(failed)?;
            if based_on.is_some_and(|based_on| based_on != found) {
                return Err(StoreError::CatalogMoved { found });
            }
            let edits = plan(read_rows(transaction).map_err(failed)?, change, at)?;
            for edit in &edits {
                write(transaction, edit, who, at).map_err(failed)?;
            }
            let is_overridden = match change {
                CatalogChange::Import { overrides: entries, .. } => {
                    overrides::put(transaction, entries).map_err(failed)?
                }
                _ => false,
            };
            if !edits.is_empty() || is_overridden {
                raise_version(transaction).map_err(failed)?;
            }
            load(transaction).map_err(failed)
        })
    }

    /// See [`crate::Store::load_catalog`].
    pub(crate) fn load_catalog(&mut self) -> Result<StoredCatalog, StoreError> {
        let failed = |source| StoreError::sql(&self.path, "read popups", source);
        // One transaction, so that rows and version belong together.
        let transaction = self.connection.transaction().map_err(failed)?;
        load(&transaction).map_err(failed)
    }

    /// See [`crate::Store::catalog_version`].
    pub(crate) fn catalog_version(&self) -> Result<u64, StoreError> {
        version(&self.connection)
            .map_err(|source| StoreError::sql(&self.path, "read the catalog's version", source))
    }

    /// See [`crate::Store::text_of`].
    pub(crate) fn text_of(&self, id: &str, version: u32) -> Result<Option<String>, StoreError> {
        text_of(&self.connection, id, version)
            .map_err(|source| StoreError::sql(&self.path, "read a popup's history", source))
    }

    /// See [`crate::Store::version_before`].
    pub(crate) fn version_before(&self, id: &str, version: u32) -> Result<Option<u32>, StoreError> {
        let query = "SELECT max(version) FROM popup_history WHERE popup_id = ?1 AND version < ?2";
        self.connection
            .query_row(query, (id, version), |row| row.get(0))
            .map_err(|source| StoreError::sql(&self.path, "read a popup's history", source))
    }
}

/// Every popup with the version of the whole.
pub(super) fn load(connection: &Connection) -> rusqlite::Result<StoredCatalog> {
    let version = version(connection)?;
    let popups = read_rows(connection)?.into_iter().map(PopupRow::stored).collect();
    Ok(StoredCatalog { version, popups, overrides: overrides::load(connection)? })
}

/// The definition of a popup's version.
pub(super) fn text_of(
    connection: &Connection,
    id: &str,
    version: u32,
) -> rusqlite::Result<Option<String>> {
    let query = "SELECT definition FROM popup_history
                 WHERE popup_id = ?1 AND version = ?2 AND definition <> ''
                 ORDER BY id DESC LIMIT 1";
    connection.query_row(query, (id, version), |row| row.get(0)).optional()
}

/// Raises the catalog's version.
pub(super) fn raise_version(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let raise = "UPDATE catalog_version SET version = version + 1";
    transaction.execute(raise, []).map(drop)
}

/// The catalog's version.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<u64> {
    let version: i64 =
        connection.query_row("SELECT version FROM catalog_version", [], |row| row.get(0))?;
    Ok(version.unsigned_abs())
}

/// Every popup, sorted by id.
fn read_rows(connection: &Connection) -> rusqlite::Result<Vec<PopupRow>> {
    let mut read = connection.prepare(
        "SELECT popup_id, popup_key, version, origin, definition, archived_at
         FROM popups ORDER BY popup_id",
    )?;
    read.query_map([], |row| {
        Ok(PopupRow {
            id: row.get(0)?,
            key: PopupKey(row.get::<_, i64>(1)?.cast_unsigned()),
            version: row.get(2)?,
            origin: Origin::of_word(&row.get::<_, String>(3)?),
            text: row.get(4)?,
            archived_at: row.get::<_, Option<i64>>(5)?.map(WallMs),
        })
    })?
    .collect()
}

/// Writes an edit's rows and its line of history.
fn write(
    transaction: &Transaction<'_>,
    edit: &Edit,
    who: &str,
    at: WallMs,
) -> rusqlite::Result<()> {
    let row = &edit.row;
    let archived_at = row.archived_at.map(|at| at.0);
    match edit.written {
        Written::New => {
            transaction.execute(
                "INSERT INTO popups (popup_id, popup_key, version, origin, definition, archived_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    row.id,
                    row.key.0.cast_signed(),
                    row.version,
                    row.origin.word(),
                    row.text,
                    archived_at,
                ],
            )?;
        }
        Written::Row => {
            transaction.execute(
                "UPDATE popups SET version = ?2, origin = ?3, definition = ?4, archived_at = ?5
                 WHERE popup_id = ?1",
                params![row.id, row.version, row.origin.word(), row.text, archived_at],
            )?;
        }
    }
    transaction.execute(
        "INSERT INTO popup_history (popup_id, version, change, at, who, diff, definition)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            row.id,
            row.version,
            edit.change,
            at.0,
            who,
            edit.diff.to_string(),
            edit.history_text(),
        ],
    )?;
    Ok(())
}

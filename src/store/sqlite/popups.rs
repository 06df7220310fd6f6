//! The catalog as it is stored: the truth of ids, versions and what operators set. Knows texts;
//! must not know what a definition means beyond its members' names.
//!
//! ```text
//! new text -> created (version 1)      other text -> changed (version + 1)
//! gone from the file -> archived       there again -> returned (version + 1 if the text differs)
//! ```

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde_json::{Map, Value, json};

use super::Sqlite;
use crate::base::ids::PopupKey;
use crate::base::time::WallMs;
use crate::catalog::snapshot::Status;
use crate::store::error::StoreError;
use crate::store::stored::{Origin, StoredPopup, status_of, status_word};

impl Sqlite {
    /// See [`crate::store::Store::import_popups`].
    pub(in crate::store) fn import_popups(
        &mut self,
        definitions: &[(&str, &str)],
        who: &str,
        at: WallMs,
    ) -> Result<Vec<StoredPopup>, StoreError> {
        let action = "import popups";
        let path = self.path.clone();
        let failed = |source| StoreError::sql(&path, action, source);
        self.durably(action, |transaction| {
            let import = Import { transaction, who, at, path: &path };
            let mut known = read_known(transaction).map_err(failed)?;
            for (id, text) in definitions {
                import.define(id, text, known.remove(*id))?;
            }
            let gone = known.into_iter().filter(|(_, known)| known.is_in_file());
            for (id, known) in gone {
                import.archive(&id, &known).map_err(failed)?;
            }
            load(transaction).map_err(failed)
        })
    }

    /// See [`crate::store::Store::set_override`].
    pub(in crate::store) fn set_override(
        &mut self,
        id: &str,
        status: Status,
        who: &str,
        at: WallMs,
    ) -> Result<(), StoreError> {
        let action = "set a popup's status";
        let path = self.path.clone();
        let failed = |source| StoreError::sql(&path, action, source);
        self.durably(action, |transaction| {
            let import = Import { transaction, who, at, path: &path };
            let known = read_known(transaction).map_err(failed)?.remove(id);
            let known = known.ok_or(StoreError::NoSuchPopup)?;
            import.set_override(id, &known, status).map_err(failed)
        })
    }

    /// See [`crate::store::Store::load_popups`].
    pub(in crate::store) fn load_popups(&self) -> Result<Vec<StoredPopup>, StoreError> {
        load(&self.connection).map_err(|source| StoreError::sql(&self.path, "read popups", source))
    }
}

/// A popup before an import.
struct Known {
    version: u32,
    origin: Origin,
    text: String,
    archived_at: Option<i64>,
}

impl Known {
    fn is_in_file(&self) -> bool {
        self.origin == Origin::File && self.archived_at.is_none()
    }
}

/// One change of the catalog: by whom and when.
struct Import<'t> {
    transaction: &'t Transaction<'t>,
    who: &'t str,
    at: WallMs,
    path: &'t std::path::Path,
}

impl Import<'_> {
    /// Takes a definition of the file.
    fn define(&self, id: &str, text: &str, known: Option<Known>) -> Result<(), StoreError> {
        let failed = |source| StoreError::sql(self.path, "import popups", source);
        let Some(known) = known else {
            members(id, text)?;
            self.check_key(id)?;
            return self.create(id, text).map_err(failed);
        };
        if known.is_in_file() && known.text == text {
            return Ok(());
        }
        let version = if known.text == text { known.version } else { known.version + 1 };
        let diff = diff(&members(id, &known.text)?, &members(id, text)?);
        let change = if known.archived_at.is_some() { "returned" } else { "changed" };
        self.transaction
            .execute(
                "UPDATE popups SET version = ?2, origin = 'file', definition = ?3,
                                   archived_at = NULL WHERE popup_id = ?1",
                (id, version, text),
            )
            .and_then(|_| self.record(id, (version, text), change, &diff))
            .map_err(failed)
    }

    /// Refuses an id whose key another popup has: a state could not tell them apart.
    fn check_key(&self, id: &str) -> Result<(), StoreError> {
        let key = PopupKey::of(id).0.cast_signed();
        let find = "SELECT popup_id FROM popups WHERE popup_key = ?1";
        let other = self.transaction.query_row(find, [key], |row| row.get(0)).optional();
        let other = other.map_err(|source| StoreError::sql(self.path, "import popups", source))?;
        other.map_or(Ok(()), |other| Err(StoreError::PopupKeyTaken { id: id.to_owned(), other }))
    }

    fn create(&self, id: &str, text: &str) -> rusqlite::Result<()> {
        self.transaction.execute(
            "INSERT INTO popups (popup_id, popup_key, version, origin, definition)
             VALUES (?1, ?2, 1, 'file', ?3)",
            params![id, PopupKey::of(id).0.cast_signed(), text],
        )?;
        self.record(id, (1, text), "created", &Value::Object(Map::new()))
    }

    fn archive(&self, id: &str, known: &Known) -> rusqlite::Result<()> {
        self.transaction
            .execute("UPDATE popups SET archived_at = ?2 WHERE popup_id = ?1", (id, self.at.0))?;
        let nothing = Value::Object(Map::new());
        self.record(id, (known.version, &known.text), "archived", &nothing)
    }

    fn set_override(&self, id: &str, known: &Known, status: Status) -> rusqlite::Result<()> {
        let find = "SELECT status FROM popup_overrides WHERE popup_id = ?1";
        let before: Option<String> =
            self.transaction.query_row(find, [id], |row| row.get(0)).optional()?;
        let after = status_word(status);
        self.transaction.execute(
            "INSERT INTO popup_overrides (popup_id, status, who, at) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (popup_id) DO UPDATE SET
                 status = excluded.status, who = excluded.who, at = excluded.at",
            (id, after, self.who, self.at.0),
        )?;
        let diff = json!({ "status": [before, after] });
        self.record(id, (known.version, &known.text), "override", &diff)
    }

    fn record(
        &self,
        id: &str,
        (version, text): (u32, &str),
        change: &str,
        diff: &Value,
    ) -> rusqlite::Result<()> {
        self.transaction.execute(
            "INSERT INTO popup_history (popup_id, version, change, at, who, diff, definition)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![id, version, change, self.at.0, self.who, diff.to_string(), text],
        )?;
        Ok(())
    }
}

fn read_known(connection: &Connection) -> rusqlite::Result<BTreeMap<String, Known>> {
    let mut read = connection
        .prepare("SELECT popup_id, version, origin, definition, archived_at FROM popups")?;
    read.query_map([], |row| {
        let known = Known {
            version: row.get(1)?,
            origin: origin_of(&row.get::<_, String>(2)?),
            text: row.get(3)?,
            archived_at: row.get(4)?,
        };
        Ok((row.get(0)?, known))
    })?
    .collect()
}

/// Every popup, sorted by id.
pub(super) fn load(connection: &Connection) -> rusqlite::Result<Vec<StoredPopup>> {
    let mut read = connection.prepare(
        "SELECT popups.popup_id, version, origin, definition, archived_at, status
         FROM popups LEFT JOIN popup_overrides ON popup_overrides.popup_id = popups.popup_id
         ORDER BY popups.popup_id",
    )?;
    read.query_map([], |row| {
        let is_archived = row.get::<_, Option<i64>>(4)?.is_some();
        let word: Option<String> = row.get(5)?;
        let status_override = match word {
            _ if is_archived => Some(Status::Archived),
            // Only `status_word` writes here; a word that somebody else wrote shows nothing.
            Some(word) => Some(status_of(&word).unwrap_or(Status::Paused)),
            None => None,
        };
        Ok(StoredPopup {
            id: row.get(0)?,
            version: row.get(1)?,
            status_override,
            text: row.get(3)?,
            origin: origin_of(&row.get::<_, String>(2)?),
        })
    })?
    .collect()
}

/// The origin of its word.
pub(in crate::store) fn origin_of(word: &str) -> Origin {
    if word == "api" { Origin::Api } else { Origin::File }
}

/// A definition's members.
pub(in crate::store) fn members(id: &str, text: &str) -> Result<Map<String, Value>, StoreError> {
    let failed = |source| StoreError::Definition { id: id.to_owned(), source };
    serde_json::from_str(text).map_err(failed)
}

/// `{"member": [before, after]}` of the members that differ; an absent one is null.
pub(in crate::store) fn diff(before: &Map<String, Value>, after: &Map<String, Value>) -> Value {
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    let names = gone.chain(after.keys());
    let pairs = names.filter(|name| before.get(*name) != after.get(*name)).map(|name| {
        let pair = json!([before.get(name), after.get(name)]);
        (name.clone(), pair)
    });
    Value::Object(pairs.collect())
}

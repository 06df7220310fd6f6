//! The catalog as it is stored, the same as in SQLite. Every change locks the row of
//! `catalog_version` first, so that two nodes change one after the other, and raises it in its own
//! transaction, so that each node sees that there is something new.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Mysql;
use super::session::Session;
use super::text::{Literal, push_row, push_text};
use crate::base::ids::PopupKey;
use crate::base::time::WallMs;
use crate::catalog::snapshot::Status;
use crate::store::error::StoreError;
use crate::store::sqlite::popups::{diff, members, origin_of};
use crate::store::stored::{Origin, StoredPopup, status_of, status_word};

impl Mysql {
    /// See [`crate::store::Store::import_popups`].
    pub(in crate::store) fn import_popups(
        &mut self,
        definitions: &[(&str, &str)],
        who: &str,
        at: WallMs,
    ) -> Result<Vec<StoredPopup>, StoreError> {
        self.session.get_mut().transaction(|session| {
            let mut import = Import::begin(session, who, at)?;
            let mut known = read_known(import.session)?;
            for (id, text) in definitions {
                import.define(id, text, known.remove(*id))?;
            }
            let gone = known.into_iter().filter(|(_, known)| known.is_in_file());
            for (id, known) in gone {
                import.archive(&id, &known)?;
            }
            import.end()?;
            load(session)
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
        self.session.get_mut().transaction(|session| {
            let mut import = Import::begin(session, who, at)?;
            let known = read_known(import.session)?.remove(id);
            import.set_override(id, &known.ok_or(StoreError::NoSuchPopup)?, status)?;
            import.end()
        })
    }

    /// See [`crate::store::Store::load_popups`].
    pub(in crate::store) fn load_popups(&self) -> Result<Vec<StoredPopup>, StoreError> {
        load(&mut self.session.borrow_mut())
    }

    /// How often the catalog has changed.
    ///
    /// # Errors
    /// Where the server fails.
    pub fn catalog_version(&self) -> Result<u64, StoreError> {
        let query = "SELECT version FROM catalog_version WHERE id = 1";
        let found: Option<(u64,)> =
            self.session.borrow_mut().query_one("read the catalog's version", query)?;
        Ok(found.map_or(0, |(version,)| version))
    }
}

/// A popup before a change.
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
struct Import<'s> {
    session: &'s mut Session,
    who: &'s str,
    at: WallMs,
    is_changed: bool,
}

impl<'s> Import<'s> {
    /// Locks the catalog until the transaction ends.
    fn begin(session: &'s mut Session, who: &'s str, at: WallMs) -> Result<Import<'s>, StoreError> {
        let lock = "SELECT version FROM catalog_version WHERE id = 1 FOR UPDATE";
        let _version: Option<(u64,)> = session.query_one("lock the catalog", lock)?;
        Ok(Import { session, who, at, is_changed: false })
    }

    fn end(self) -> Result<(), StoreError> {
        if self.is_changed {
            let raise = "UPDATE catalog_version SET version = version + 1 WHERE id = 1";
            self.session.execute("raise the catalog's version", raise)?;
        }
        Ok(())
    }

    /// Takes a definition of the file.
    fn define(&mut self, id: &str, text: &str, known: Option<Known>) -> Result<(), StoreError> {
        let Some(known) = known else {
            members(id, text)?;
            self.check_key(id)?;
            return self.create(id, text);
        };
        if known.is_in_file() && known.text == text {
            return Ok(());
        }
        let version = if known.text == text { known.version } else { known.version + 1 };
        let diff = diff(&members(id, &known.text)?, &members(id, text)?);
        let change = if known.archived_at.is_some() { "returned" } else { "changed" };
        let mut update = format!(
            "UPDATE popups SET version = {version}, origin = 'file', archived_at = NULL, \
             definition = "
        );
        push_text(&mut update, text);
        update.push_str(" WHERE popup_id = ");
        push_text(&mut update, id);
        self.session.execute("import popups", &update)?;
        self.record(id, (version, text), change, &diff)
    }

    /// Refuses an id whose key another popup has: a state could not tell them apart.
    fn check_key(&mut self, id: &str) -> Result<(), StoreError> {
        let key = PopupKey::of(id).0.cast_signed();
        let find = format!("SELECT popup_id FROM popups WHERE popup_key = {key}");
        let other: Option<(String,)> = self.session.query_one("import popups", &find)?;
        let taken = |(other,)| Err(StoreError::PopupKeyTaken { id: id.to_owned(), other });
        other.map_or(Ok(()), taken)
    }

    fn create(&mut self, id: &str, text: &str) -> Result<(), StoreError> {
        let mut insert =
            "INSERT INTO popups (popup_id, popup_key, version, origin, definition) VALUES "
                .to_owned();
        push_row(
            &mut insert,
            &[
                Literal::Text(id),
                Literal::Number(PopupKey::of(id).0.cast_signed()),
                Literal::Number(1),
                Literal::Text("file"),
                Literal::Text(text),
            ],
        );
        self.session.execute("import popups", &insert)?;
        self.record(id, (1, text), "created", &Value::Object(Map::new()))
    }

    fn archive(&mut self, id: &str, known: &Known) -> Result<(), StoreError> {
        let mut update = format!("UPDATE popups SET archived_at = {} WHERE popup_id = ", self.at.0);
        push_text(&mut update, id);
        self.session.execute("import popups", &update)?;
        let nothing = Value::Object(Map::new());
        self.record(id, (known.version, &known.text), "archived", &nothing)
    }

    fn set_override(&mut self, id: &str, known: &Known, status: Status) -> Result<(), StoreError> {
        let action = "set a popup's status";
        let mut find = "SELECT status FROM popup_overrides WHERE popup_id = ".to_owned();
        push_text(&mut find, id);
        let before: Option<(String,)> = self.session.query_one(action, &find)?;
        let after = status_word(status);
        let mut insert =
            "INSERT INTO popup_overrides (popup_id, status, who, at) VALUES ".to_owned();
        push_row(
            &mut insert,
            &[
                Literal::Text(id),
                Literal::Text(after),
                Literal::Text(self.who),
                Literal::Number(self.at.0),
            ],
        );
        insert.push_str(
            " ON DUPLICATE KEY UPDATE status = VALUES(status), who = VALUES(who), at = VALUES(at)",
        );
        self.session.execute(action, &insert)?;
        let diff = json!({ "status": [before.map(|(word,)| word), after] });
        self.record(id, (known.version, &known.text), "override", &diff)
    }

    fn record(
        &mut self,
        id: &str,
        (version, text): (u32, &str),
        change: &str,
        diff: &Value,
    ) -> Result<(), StoreError> {
        self.is_changed = true;
        let diff = diff.to_string();
        let mut insert = "INSERT INTO popup_history (popup_id, version, `change`, at, who, diff, \
                          definition) VALUES "
            .to_owned();
        push_row(
            &mut insert,
            &[
                Literal::Text(id),
                Literal::Number(version.into()),
                Literal::Text(change),
                Literal::Number(self.at.0),
                Literal::Text(self.who),
                Literal::Text(&diff),
                Literal::Text(text),
            ],
        );
        self.session.execute("record a change", &insert).map(|_| ())
    }
}

fn read_known(session: &mut Session) -> Result<BTreeMap<String, Known>, StoreError> {
    let query = "SELECT popup_id, version, origin, definition, archived_at FROM popups";
    type Columns = (String, u32, String, String, Option<i64>);
    let rows: Vec<Columns> = session.query("read popups", query)?;
    let known = |(id, version, origin, text, archived_at): Columns| {
        (id, Known { version, origin: origin_of(&origin), text, archived_at })
    };
    Ok(rows.into_iter().map(known).collect())
}

/// Every popup, sorted by id.
pub(super) fn load(session: &mut Session) -> Result<Vec<StoredPopup>, StoreError> {
    let query = "SELECT popups.popup_id, version, origin, definition, archived_at, status \
                 FROM popups LEFT JOIN popup_overrides \
                 ON popup_overrides.popup_id = popups.popup_id ORDER BY popups.popup_id";
    type Columns = (String, u32, String, String, Option<i64>, Option<String>);
    let rows: Vec<Columns> = session.query("read popups", query)?;
    let popup = |(id, version, origin, text, archived_at, word): Columns| {
        let status_override = match word {
            _ if archived_at.is_some() => Some(Status::Archived),
            // Only `status_word` writes here; a word that somebody else wrote shows nothing.
            Some(word) => Some(status_of(&word).unwrap_or(Status::Paused)),
            None => None,
        };
        StoredPopup { id, version, status_override, text, origin: origin_of(&origin) }
    };
    Ok(rows.into_iter().map(popup).collect())
}

//! What a change of the catalog does to its rows: the rules of ids, versions and history, the same
//! for every database. Pure: rows and a change in, edits out; a store reads the former and writes
//! the latter in one transaction.
//!
//! ```text
//! new text -> created (version 1)      other text -> changed, or published (version + 1)
//! gone from the file, deleted -> archived
//! there again -> returned (in the file: version + 1 if the text differs; by the API: always)
//! no file any more -> released (its popups are the admin API's, as they stand)
//! ```
//!
//! A line of history has the definition where that is a new version's; every other line stands on
//! the version that it names.
//!
//! An id has one owner: the popups file while it has the id, else the admin API. Must not know what
//! a definition means beyond its members' names.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use serde_json::{Map, Value, json};

use super::error::StoreError;
use super::stored::{PopupOrigin, StoredPopup};
use nudged_base::ids::PopupKey;
use nudged_base::time::WallMs;
use nudged_domain::catalog::overrides::Override;

/// A change of the catalog; texts are canonical JSON objects.
#[derive(Clone, Copy, Debug)]
pub enum CatalogChange<'a> {
    /// The popups file, as (id, text), each id once: ids that it no longer has are archived.
    File(&'a [(&'a str, &'a str)]),
    /// A definition of the admin API.
    Put {
        /// The popup's id.
        id: &'a str,
        /// Its definition.
        text: &'a str,
        /// Whether the text is that of an earlier version.
        is_rollback: bool,
    },
    /// A draft becomes the definition of its popup, and is a draft no more.
    Publish {
        /// The popup's id.
        id: &'a str,
        /// The draft.
        text: &'a str,
    },
    /// There is no popups file any more: what is in it is the admin API's.
    Release,
    /// The admin API's popup of this id is archived; its rows and users' states stay.
    Delete(&'a str),
    /// What another store had.
    Import {
        /// Its popups.
        popups: &'a [ImportedPopup<'a>],
        /// Pauses and archives, those that have ended too.
        overrides: &'a [Override],
    },
}

/// A popup as another store had it.
#[derive(Clone, Copy, Debug)]
pub struct ImportedPopup<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its version there; a popup that is new here goes on from it.
    pub version: u32,
    /// Its definition.
    pub text: &'a str,
    /// Whether it was gone from the file, or deleted.
    pub is_gone: bool,
}

/// A popup's rows before a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PopupRow {
    pub(super) id: String,
    pub(super) key: PopupKey,
    pub(super) version: u32,
    pub(super) origin: PopupOrigin,
    pub(super) text: String,
    pub(super) archived_at: Option<WallMs>,
}

impl PopupRow {
    /// Whether the popups file owns the id.
    pub(super) fn is_in_file(&self) -> bool {
        self.origin == PopupOrigin::File && self.archived_at.is_none()
    }

    /// The popup as it is handed out.
    pub(super) fn stored(self) -> StoredPopup {
        let is_gone = self.archived_at.is_some();
        let PopupRow { id, version, text, origin, .. } = self;
        StoredPopup { id, version, text, origin, is_gone }
    }
}

/// One line of a popup's history, with the rows that it writes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Edit {
    /// The popup afterwards.
    pub(super) row: PopupRow,
    /// What of it is written.
    pub(super) written: RowWrite,
    /// `created`, `changed`, `rolled_back`, `published`, `archived`, `returned` or `released`.
    pub(super) change: &'static str,
    /// `{"member": [before, after]}` of what differs.
    pub(super) diff: Value,
    /// Whether the version is a new one, whose definition the line has.
    pub(super) is_new_version: bool,
}

impl Edit {
    /// The definition as its line of history has it.
    pub(super) fn history_text(&self) -> &str {
        if self.is_new_version { &self.row.text } else { NO_TEXT }
    }
}

/// The definition of a line of history that stands on an earlier one's: no JSON is empty.
pub(super) const NO_TEXT: &str = "";

/// What an edit writes beside its line of history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowWrite {
    /// A popup that was not there.
    New,
    /// The popup's row.
    Row,
}

/// What a change does to these rows, in order; nothing where all is so already.
///
/// # Errors
/// [`StoreError::InFile`] with every id that the file owns, [`StoreError::NoSuchPopup`],
/// [`StoreError::PopupKeyTaken`], and texts that are no JSON objects.
pub(super) fn plan(
    rows: Vec<PopupRow>,
    change: CatalogChange<'_>,
    at: WallMs,
) -> Result<Vec<Edit>, StoreError> {
    let by_key = rows.iter().map(|row| (row.key, row.id.clone())).collect();
    let rows = rows.into_iter().map(|row| (row.id.clone(), row)).collect();
    let mut planner = Planner { rows, by_key, edits: Vec::new(), at };
    match change {
        CatalogChange::File(definitions) => planner.take_file(definitions)?,
        CatalogChange::Put { id, text, is_rollback } => {
            let change = if is_rollback { "rolled_back" } else { "changed" };
            planner.put(id, text, change, 1)?;
        }
        CatalogChange::Publish { id, text } => planner.put(id, text, "published", 1)?,
        CatalogChange::Release => planner.release(),
        CatalogChange::Delete(id) => planner.delete(id)?,
        CatalogChange::Import { popups, .. } => planner.import(popups)?,
    }
    Ok(planner.edits)
}

struct Planner {
    rows: BTreeMap<String, PopupRow>,
    by_key: HashMap<PopupKey, String>,
    edits: Vec<Edit>,
    at: WallMs,
}

impl Planner {
    fn take_file(&mut self, definitions: &[(&str, &str)]) -> Result<(), StoreError> {
        let mut gone: Vec<String> =
            self.rows.values().filter(|row| row.is_in_file()).map(|row| row.id.clone()).collect();
        for (id, text) in definitions {
            self.define_in_file(id, text)?;
        }
        let ids: std::collections::BTreeSet<&str> = definitions.iter().map(|(id, _)| *id).collect();
        gone.retain(|id| !ids.contains(id.as_str()));
        gone.iter().for_each(|id| self.archive(id));
        Ok(())
    }

    fn release(&mut self) {
        let in_file = self.rows.values().filter(|row| row.is_in_file());
        for row in in_file.cloned().collect::<Vec<_>>() {
            let row = PopupRow { origin: PopupOrigin::Api, ..row };
            self.edit(row, RowWrite::Row, "released", Value::Object(Map::new()));
        }
    }

    fn define_in_file(&mut self, id: &str, text: &str) -> Result<(), StoreError> {
        let Some(known) = self.rows.get(id) else {
            return self.create(id, text, PopupOrigin::File, 1);
        };
        if known.is_in_file() && known.text == text {
            return Ok(());
        }
        let version = if known.text == text { known.version } else { known.version + 1 };
        let known = PopupRow { version, origin: PopupOrigin::File, ..known.clone() };
        self.redefine(known, text, "changed")
    }

    /// Takes a definition of the admin API. One that was gone returns as a version of its own.
    fn put(
        &mut self,
        id: &str,
        text: &str,
        change: &'static str,
        first_version: u32,
    ) -> Result<(), StoreError> {
        let Some(known) = self.rows.get(id) else {
            return self.create(id, text, PopupOrigin::Api, first_version.max(1));
        };
        if known.is_in_file() {
            return Err(StoreError::InFile { ids: vec![id.to_owned()] });
        }
        if known.archived_at.is_none() && known.text == text {
            return Ok(());
        }
        let version = known.version + 1;
        let known = PopupRow { version, origin: PopupOrigin::Api, ..known.clone() };
        self.redefine(known, text, change)
    }

    /// Gives a popup another definition, or the same one again where it was gone.
    fn redefine(
        &mut self,
        known: PopupRow,
        text: &str,
        change: &'static str,
    ) -> Result<(), StoreError> {
        let diff = diff(&members(&known.id, &known.text)?, &members(&known.id, text)?);
        let change = if known.archived_at.is_some() { "returned" } else { change };
        let row = PopupRow { text: text.to_owned(), archived_at: None, ..known };
        self.edit(row, RowWrite::Row, change, diff);
        Ok(())
    }

    fn delete(&mut self, id: &str) -> Result<(), StoreError> {
        let known = self.rows.get(id).ok_or(StoreError::NoSuchPopup)?;
        if known.is_in_file() {
            return Err(StoreError::InFile { ids: vec![id.to_owned()] });
        }
        if known.archived_at.is_none() {
            self.archive(id);
        }
        Ok(())
    }

    fn import(&mut self, popups: &[ImportedPopup<'_>]) -> Result<(), StoreError> {
        let mut in_file = Vec::new();
        for popup in popups {
            let known = self.rows.get(popup.id);
            match known {
                Some(known) if known.is_in_file() && known.text != popup.text => {
                    in_file.push(popup.id.to_owned());
                }
                _ => self.import_one(popup)?,
            }
        }
        if in_file.is_empty() { Ok(()) } else { Err(StoreError::InFile { ids: in_file }) }
    }

    fn import_one(&mut self, popup: &ImportedPopup<'_>) -> Result<(), StoreError> {
        let known = self.rows.get(popup.id);
        if known.is_some_and(PopupRow::is_in_file) {
            return Ok(());
        }
        let is_same = known.is_some_and(|known| {
            known.text == popup.text && known.archived_at.is_some() == popup.is_gone
        });
        if !is_same {
            self.put(popup.id, popup.text, "changed", popup.version)?;
        }
        if popup.is_gone { self.delete(popup.id) } else { Ok(()) }
    }

    fn create(
        &mut self,
        id: &str,
        text: &str,
        origin: PopupOrigin,
        version: u32,
    ) -> Result<(), StoreError> {
        members(id, text)?;
        let key = PopupKey::of(id);
        // A state could not tell the two apart.
        if let Some(other) = self.by_key.insert(key, id.to_owned()) {
            return Err(StoreError::PopupKeyTaken { id: id.to_owned(), other });
        }
        let (id, text) = (id.to_owned(), text.to_owned());
        let row = PopupRow { id, key, version, origin, text, archived_at: None };
        self.edit(row, RowWrite::New, "created", Value::Object(Map::new()));
        Ok(())
    }

    fn archive(&mut self, id: &str) {
        let known = self.rows.get(id).expect("only what is known is archived");
        let row = PopupRow { archived_at: Some(self.at), ..known.clone() };
        self.edit(row, RowWrite::Row, "archived", Value::Object(Map::new()));
    }

    fn edit(&mut self, row: PopupRow, written: RowWrite, change: &'static str, diff: Value) {
        let before = self.rows.insert(row.id.clone(), row.clone());
        let is_new_version = before.is_none_or(|before| before.version != row.version);
        self.edits.push(Edit { row, written, change, diff, is_new_version });
    }
}

/// `{"member": [before, after]}` of what differs between two definitions of a popup, where there is
/// one before.
///
/// # Errors
/// Texts that are no JSON objects.
pub fn difference(id: &str, before: Option<&str>, after: &str) -> Result<Value, StoreError> {
    let before = before.map(|text| members(id, text)).transpose()?.unwrap_or_default();
    Ok(diff(&before, &members(id, after)?))
}

/// A definition's members.
fn members(id: &str, text: &str) -> Result<Map<String, Value>, StoreError> {
    let failed = |source| StoreError::Definition { id: id.to_owned(), source };
    serde_json::from_str(text).map_err(failed)
}

/// `{"member": [before, after]}` of the members that differ; an absent one is null.
fn diff(before: &Map<String, Value>, after: &Map<String, Value>) -> Value {
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    let names = gone.chain(after.keys());
    let pairs = names.filter(|name| before.get(*name) != after.get(*name)).map(|name| {
        let pair = json!([before.get(name), after.get(name)]);
        (name.clone(), pair)
    });
    Value::Object(pairs.collect())
}

//! The catalog's rows: read whole, changed by a plan in one transaction. Knows columns; what a
//! change means is `store::catalog`'s. Every change locks the row of `catalog_version` first, so
//! that two nodes change one after the other, and raises it in its own transaction, so that each
//! node sees that there is something new.

use crate::catalog::{CatalogChange, Edit, NO_TEXT, PopupRow, RowWrite, plan};
use crate::error::StoreError;
use crate::session::Session;
use crate::statement::{Insert, OnConflict};
use crate::statements::overrides;
use crate::stored::{HISTORY_CHANGES, HistoryEntry, PopupOrigin, StoredCatalog};
use crate::value::{Row, SqlValue, Unreadable};
use crate::whole::{TakenPopup, WholePopup};
use crate::{Store, StoreReader};
use nudged_base::ids::PopupKey;
use nudged_base::time::WallMs;

const ACTION: &str = "change popups";

const INSERT: Insert<'_> = Insert {
    table: "popups",
    columns: "popup_id, popup_key, version, origin, definition, archived_at",
    key: "popup_id",
    on_conflict: OnConflict::Fail,
};

/// What of a line of history is read, in the order of [`read_line`].
const LINE: &str = "id, version, `change`, at, who, diff, definition";

/// Which lines are of the popup itself, and not of its draft.
const OF_POPUP: &str = "`change` NOT IN ('drafted', 'draft_deleted')";

pub(super) const INSERT_LINE: Insert<'_> = Insert {
    table: "popup_history",
    columns: "popup_id, version, `change`, at, who, diff, definition",
    key: "id",
    on_conflict: OnConflict::Fail,
};

fn read_line(row: &mut Row<'_>) -> Result<HistoryEntry, Unreadable> {
    Ok(HistoryEntry {
        number: row.take_unsigned()?,
        version: row.take()?,
        change: row.take()?,
        at: row.take_time()?,
        who: row.take()?,
        diff: row.take()?,
        // An empty column is none.
        text: Some(row.take::<String>()?).filter(|text| !text.is_empty()),
    })
}

impl Store {
    /// Changes the catalog, where it still has the version that the change is based on; with `None`
    /// in whatever version. All or nothing, synced to disk before it returns; a change that finds
    /// everything as it wants it raises no version. Gives the catalog afterwards.
    ///
    /// # Errors
    /// [`StoreError::CatalogMoved`] where another change came first, [`StoreError::InFile`],
    /// [`StoreError::NoSuchPopup`], where a definition is no JSON object or two ids share a key,
    /// and where the database fails.
    pub fn change_catalog(
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
            if let CatalogChange::Publish { id, text } = change
                && !take_published(session, id, text)?
            {
                // It is another draft by now, or none: who publishes looks again.
                return Err(StoreError::CatalogMoved { found });
            }
            if !edits.is_empty() || is_overridden {
                raise_version(session)?;
            }
            load(session)
        })
    }

    /// Every popup that was ever stored, sorted by id, with the catalog's version.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn load_catalog(&mut self) -> Result<StoredCatalog, StoreError> {
        self.session.get_mut().snapshot(load)
    }

    /// The catalog's version: rises by one with each change, from whichever process.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn catalog_version(&mut self) -> Result<u64, StoreError> {
        version(self.session.get_mut(), "")
    }

    /// The definition that a popup had in a version; `None` where it never had that version.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn text_of(&mut self, id: &str, version: u32) -> Result<Option<String>, StoreError> {
        text_of(self.session.get_mut(), id, version)
    }

    /// The highest version that a popup had before this one.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn version_before(&mut self, id: &str, version: u32) -> Result<Option<u32>, StoreError> {
        let query = format!(
            "SELECT MAX(version) FROM popup_history \
             WHERE popup_id = ? AND version < ? AND {OF_POPUP}"
        );
        let session = self.session.get_mut();
        let values = [id.into(), version.into()];
        let found =
            session.query_one("read a popup's history", &query, &values, |row| row.take())?;
        Ok(found.flatten())
    }

    /// Every popup with its changes.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn whole_popups(&mut self) -> Result<Vec<WholePopup>, StoreError> {
        let session = self.session.get_mut();
        let mut popups = Vec::new();
        for popup in read_rows(session)? {
            let query = format!("SELECT {LINE} FROM popup_history WHERE popup_id = ? ORDER BY id");
            let values = [(&popup.id).into()];
            let history = session.query("read a history", &query, &values, read_line)?;
            popups.push(WholePopup { popup, history });
        }
        Ok(popups)
    }

    /// Takes a popup in with its changes, where there is none of its id.
    ///
    /// # Errors
    /// Where the database fails, or another popup has its key.
    pub fn take_popup(&mut self, whole: &WholePopup) -> Result<TakenPopup, StoreError> {
        let WholePopup { popup, history } = whole;
        self.session.get_mut().transaction(|session| {
            lock_version(session)?;
            let query = "SELECT definition FROM popups WHERE popup_id = ?";
            let values = [(&popup.id).into()];
            let known =
                session.query_one("read popups", query, &values, |row| row.take::<String>())?;
            match known {
                Some(text) if text == popup.text => return Ok(TakenPopup::Known),
                Some(_) => return Ok(TakenPopup::Differs),
                None => {}
            }
            session.insert("take popups in", &INSERT, [values_of(popup)].into_iter())?;
            let lines = history.iter().map(|line| {
                let text = line.text.as_deref().unwrap_or(NO_TEXT);
                [
                    (&popup.id).into(),
                    line.version.into(),
                    (&line.change).into(),
                    line.at.into(),
                    (&line.who).into(),
                    (&line.diff).into(),
                    text.into(),
                ]
            });
            session.insert("take popups in", &INSERT_LINE, lines)?;
            raise_version(session)?;
            Ok(TakenPopup::New)
        })
    }
}

impl StoreReader {
    /// Every popup that was ever stored, sorted by id, with the catalog's version.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn catalog(&mut self) -> Result<StoredCatalog, StoreError> {
        self.session.get_mut().snapshot(load)
    }

    /// The catalog's version.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn catalog_version(&mut self) -> Result<u64, StoreError> {
        version(self.session.get_mut(), "")
    }

    /// A popup's latest changes, those before the one of a number where one is given: newest first,
    /// `count` at most.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn history(
        &self,
        popup: &str,
        before: Option<u64>,
        count: u32,
    ) -> Result<Vec<HistoryEntry>, StoreError> {
        let before = before.map_or(i64::MAX, |before| i64::try_from(before).unwrap_or(i64::MAX));
        let query = format!(
            "SELECT {LINE} FROM popup_history WHERE popup_id = ? AND id < ? AND {OF_POPUP} \
             ORDER BY id DESC LIMIT {count}"
        );
        // Not from a replica: who has just changed a popup looks for the change.
        let mut session = self.session.borrow_mut();
        session.query("read a history", &query, &[popup.into(), before.into()], read_line)
    }

    /// The latest changes of all popups and of their drafts, those before the one of a number where
    /// one is given: newest first, `count` at most, each beside its popup and without its
    /// definition.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn changes(
        &self,
        before: Option<u64>,
        count: u32,
    ) -> Result<Vec<(String, HistoryEntry)>, StoreError> {
        let before = before.map_or(i64::MAX, |before| i64::try_from(before).unwrap_or(i64::MAX));
        let query = format!(
            "SELECT popup_id, id, version, `change`, at, who, diff FROM popup_history \
             WHERE id < ? ORDER BY id DESC LIMIT {count}"
        );
        // Not from a replica: who has just changed a popup looks for the change.
        let mut session = self.session.borrow_mut();
        session.query("read changes", &query, &[before.into()], |row| {
            let popup = row.take()?;
            let entry = HistoryEntry {
                number: row.take_unsigned()?,
                version: row.take()?,
                change: row.take()?,
                at: row.take_time()?,
                who: row.take()?,
                diff: row.take()?,
                text: None,
            };
            Ok((popup, entry))
        })
    }

    /// When popups changed last, of those that changed behind the change of a number: each with
    /// that number, in no order. Not from a replica, as [`StoreReader::history`].
    ///
    /// # Errors
    /// Where the database fails.
    pub fn changed_after(&self, number: u64) -> Result<Vec<(String, u64, WallMs)>, StoreError> {
        let action = "read changes";
        let mut session = self.session.borrow_mut();
        let newest = "SELECT COALESCE(MAX(id), 0) FROM popup_history";
        let newest = session.query_one(action, newest, &[], |row| row.take_unsigned())?;
        if newest.unwrap_or(0) <= number {
            return Ok(Vec::new());
        }
        let query = format!(
            "SELECT line.popup_id, line.id, line.at FROM \
             (SELECT MAX(id) AS id FROM popup_history WHERE id > ? AND {OF_POPUP} \
              GROUP BY popup_id) AS latest JOIN popup_history AS line ON line.id = latest.id"
        );
        let number = SqlValue::Number(i64::try_from(number).unwrap_or(i64::MAX));
        session.query(action, &query, &[number], |row| {
            Ok((row.take()?, row.take_unsigned()?, row.take_time()?))
        })
    }

    /// When a popup changed last.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn changed_at(&self, popup: &str) -> Result<Option<WallMs>, StoreError> {
        let query = format!(
            "SELECT at FROM popup_history WHERE popup_id = ? AND {OF_POPUP} \
             ORDER BY id DESC LIMIT 1"
        );
        let mut session = self.session.borrow_mut();
        session.query_one("read changes", &query, &[popup.into()], |row| row.take_time())
    }

    /// Changes of some popups up to a moment, newest first, `count` of each at most, without what
    /// is large of them; each beside its popup.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn changes_until(
        &self,
        popups: &[&str],
        until: WallMs,
        count: usize,
    ) -> Result<Vec<(String, HistoryEntry)>, StoreError> {
        let query = format!(
            "SELECT popup_id, id, version, `change`, at, who FROM popup_history \
             WHERE popup_id = ? AND at <= ? AND {OF_POPUP} \
             ORDER BY at DESC, id DESC LIMIT {count}"
        );
        let mut changes = Vec::new();
        let mut session = self.reports().borrow_mut();
        for popup in popups {
            let values = [(*popup).into(), until.into()];
            changes.extend(session.query("read changes", &query, &values, |row| {
                Ok((
                    row.take()?,
                    HistoryEntry {
                        number: row.take_unsigned()?,
                        version: row.take()?,
                        change: row.take()?,
                        at: row.take_time()?,
                        who: row.take()?,
                        diff: String::new(),
                        text: None,
                    },
                ))
            })?);
        }
        Ok(changes)
    }

    /// What a change, by its number, has made different; `None` where there is none of it.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn difference_of(&self, number: u64) -> Result<Option<String>, StoreError> {
        let query = "SELECT diff FROM popup_history WHERE id = ?";
        let number = SqlValue::Number(i64::try_from(number).unwrap_or(i64::MAX));
        let mut session = self.reports().borrow_mut();
        session.query_one("read a change", query, &[number], |row| row.take())
    }

    /// The definition of a popup's version; `None` where its history does not have it.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn text_of(&self, popup: &str, version: u32) -> Result<Option<String>, StoreError> {
        text_of(&mut self.session.borrow_mut(), popup, version)
    }
}

/// Takes a draft away that has become its popup's definition; false where it is another by now.
fn take_published(session: &mut Session, id: &str, text: &str) -> Result<bool, StoreError> {
    let delete = "DELETE FROM popup_drafts WHERE popup_id = ? AND definition = ?";
    Ok(session.execute(ACTION, delete, &[id.into(), text.into()])? > 0)
}

/// Every popup with the version of the whole, which is read first: where a change comes between,
/// the rows are newer than the version says, and whoever looks again finds that it has moved.
pub(super) fn load(session: &mut Session) -> Result<StoredCatalog, StoreError> {
    let version = version(session, "")?;
    let popups = read_rows(session)?.into_iter().map(PopupRow::stored).collect();
    Ok(StoredCatalog { version, popups, overrides: overrides::load(session)? })
}

/// The definition of a popup's version.
fn text_of(session: &mut Session, id: &str, version: u32) -> Result<Option<String>, StoreError> {
    let query = "SELECT definition FROM popup_history \
                 WHERE popup_id = ? AND version = ? AND definition <> '' ORDER BY id DESC LIMIT 1";
    let values = [id.into(), version.into()];
    session.query_one("read a popup's history", query, &values, |row| row.take())
}

/// The catalog's version, which nobody else changes until the transaction ends.
pub(super) fn lock_version(session: &mut Session) -> Result<u64, StoreError> {
    let lock = session.dialect().lock();
    version(session, lock)
}

/// Raises the catalog's version.
pub(super) fn raise_version(session: &mut Session) -> Result<(), StoreError> {
    let raise = "UPDATE catalog_version SET version = version + 1 WHERE id = 1";
    session.execute(ACTION, raise, &[]).map(drop)
}

fn version(session: &mut Session, lock: &str) -> Result<u64, StoreError> {
    let query = format!("SELECT version FROM catalog_version WHERE id = 1{lock}");
    let action = "read the catalog's version";
    Ok(session.query_one(action, &query, &[], |row| row.take_unsigned())?.unwrap_or(0))
}

/// Every popup, sorted by id.
fn read_rows(session: &mut Session) -> Result<Vec<PopupRow>, StoreError> {
    let query = format!("SELECT {} FROM popups ORDER BY popup_id", INSERT.columns);
    session.query("read popups", &query, &[], |row| {
        Ok(PopupRow {
            id: row.take()?,
            key: PopupKey(row.take_bits()?),
            version: row.take()?,
            origin: PopupOrigin::of_word(&row.take::<String>()?),
            text: row.take()?,
            archived_at: row.take_maybe_time()?,
        })
    })
}

fn values_of(row: &PopupRow) -> [SqlValue<'_>; 6] {
    [
        (&row.id).into(),
        row.key.0.cast_signed().into(),
        row.version.into(),
        row.origin.word().into(),
        (&row.text).into(),
        row.archived_at.into(),
    ]
}

/// Writes an edit's rows and its line of history.
fn write(session: &mut Session, edit: &Edit, who: &str, at: WallMs) -> Result<(), StoreError> {
    let row = &edit.row;
    let [id, _, version, origin, text, archived_at] = values_of(row);
    match edit.written {
        RowWrite::New => {
            session.insert(ACTION, &INSERT, [values_of(row)].into_iter())?;
        }
        RowWrite::Row => {
            let update = "UPDATE popups SET version = ?, origin = ?, definition = ?, \
                          archived_at = ? WHERE popup_id = ?";
            session.execute(ACTION, update, &[version, origin, text, archived_at, id])?;
        }
    }
    let (diff, text) = (edit.diff.to_string(), edit.history_text().into());
    debug_assert!(HISTORY_CHANGES.contains(&edit.change), "told to nobody: {}", edit.change);
    let line = [id, version, edit.change.into(), at.into(), who.into(), (&diff).into(), text];
    session.insert(ACTION, &INSERT_LINE, [line].into_iter())?;
    Ok(())
}

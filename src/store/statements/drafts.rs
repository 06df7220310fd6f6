//! Rows of `popup_drafts`: pending definitions, one a popup. Knows columns; what a draft is checked
//! for is the publisher's. Each change locks the row of `catalog_version` first, as changes of
//! popups do, and does not raise it: nothing that nodes decide by is another.

use crate::error::StoreError;
use crate::session::Session;
use crate::statement::{ColumnChange, Insert, OnConflict};
use crate::statements::popups::lock_version;
use crate::stored::StoredDraft;
use crate::value::{Row, Unreadable};
use crate::{Store, StoreReader};

const ACTION: &str = "change drafts";
const COLUMNS: &str = "popup_id, definition, at, who";

const INSERT: Insert<'_> = Insert {
    table: "popup_drafts",
    columns: COLUMNS,
    key: "popup_id",
    on_conflict: OnConflict::Update(&[("definition, at, who", ColumnChange::New)]),
};

fn read_draft(row: &mut Row<'_>) -> Result<StoredDraft, Unreadable> {
    Ok(StoredDraft { id: row.take()?, text: row.take()?, at: row.take_time()?, who: row.take()? })
}

impl Store {
    /// Keeps a draft, in the place of the one that its popup may have; `most` is how many there may
    /// be. Gives whether there was none, or `None` where there are too many.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn put_draft(
        &mut self,
        draft: &StoredDraft,
        most: usize,
    ) -> Result<Option<bool>, StoreError> {
        self.session.get_mut().transaction(|session| {
            lock_version(session)?;
            let is_new = draft_of(session, &draft.id)?.is_none();
            let count = "SELECT COUNT(*) FROM popup_drafts";
            let count = session.query_one(ACTION, count, &[], |row| row.take_unsigned())?;
            if is_new && count.unwrap_or(0) >= u64::try_from(most).unwrap_or(u64::MAX) {
                return Ok(None);
            }
            let StoredDraft { id, text, at, who } = draft;
            let row = [id.into(), text.into(), (*at).into(), who.into()];
            session.insert(ACTION, &INSERT, [row].into_iter())?;
            Ok(Some(is_new))
        })
    }

    /// Takes a popup's draft away; gives whether there was one.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn delete_draft(&mut self, id: &str) -> Result<bool, StoreError> {
        self.session.get_mut().transaction(|session| {
            lock_version(session)?;
            let delete = "DELETE FROM popup_drafts WHERE popup_id = ?";
            Ok(session.execute(ACTION, delete, &[id.into()])? > 0)
        })
    }

    /// A popup's draft.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn draft(&mut self, id: &str) -> Result<Option<StoredDraft>, StoreError> {
        draft_of(self.session.get_mut(), id)
    }

    /// Every draft, sorted by id.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn drafts(&mut self) -> Result<Vec<StoredDraft>, StoreError> {
        all(self.session.get_mut())
    }
}

impl StoreReader {
    /// As [`Store::drafts`].
    ///
    /// # Errors
    /// Where the database fails.
    pub fn drafts(&self) -> Result<Vec<StoredDraft>, StoreError> {
        all(&mut self.session.borrow_mut())
    }

    /// A popup's draft. Not from a replica: who has just put one looks for it.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn draft(&self, id: &str) -> Result<Option<StoredDraft>, StoreError> {
        draft_of(&mut self.session.borrow_mut(), id)
    }
}

fn all(session: &mut Session) -> Result<Vec<StoredDraft>, StoreError> {
    let query = format!("SELECT {COLUMNS} FROM popup_drafts ORDER BY popup_id");
    session.query("read drafts", &query, &[], read_draft)
}

fn draft_of(session: &mut Session, id: &str) -> Result<Option<StoredDraft>, StoreError> {
    let query = format!("SELECT {COLUMNS} FROM popup_drafts WHERE popup_id = ?");
    session.query_one("read a draft", &query, &[id.into()], read_draft)
}

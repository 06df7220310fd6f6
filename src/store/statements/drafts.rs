//! Rows of `popup_drafts`: pending definitions, one a popup. Knows columns; what a draft is checked
//! for is the publisher's. Each change locks the row of `catalog_version` first, as changes of
//! popups do, and does not raise it: nothing that nodes decide by is another. What operators did to
//! drafts is told in `popup_history`, in lines without a definition.

use crate::catalog::{NO_TEXT, difference};
use crate::error::StoreError;
use crate::session::Session;
use crate::statement::{ColumnChange, Insert, OnConflict};
use crate::statements::popups::{INSERT_LINE, lock_version};
use crate::stored::{DraftChange, HISTORY_CHANGES, StoredDraft};
use crate::value::{Row, Unreadable};
use crate::{Store, StoreReader};
use nudged_base::time::WallMs;

const ACTION: &str = "change drafts";
const COLUMNS: &str = "popup_id, definition, base_version, at, who";

const INSERT: Insert<'_> = Insert {
    table: "popup_drafts",
    columns: COLUMNS,
    key: "popup_id",
    on_conflict: OnConflict::Update(&[("definition, base_version, at, who", ColumnChange::New)]),
};

fn read_draft(row: &mut Row<'_>) -> Result<StoredDraft, Unreadable> {
    Ok(StoredDraft {
        id: row.take()?,
        text: row.take()?,
        base_version: row.take()?,
        at: row.take_time()?,
        who: row.take()?,
    })
}

impl Store {
    /// Keeps a draft, in the place of the one that its popup may have where that one `is_expected`;
    /// `most` is how many drafts there may be. Its time becomes a later one than that of the one
    /// before. One that is there as it is stays so.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn put_draft(
        &mut self,
        draft: &StoredDraft,
        is_expected: impl Fn(Option<&StoredDraft>) -> bool,
        most: usize,
    ) -> Result<DraftChange, StoreError> {
        self.session.get_mut().transaction(|session| {
            lock_version(session)?;
            let before = text_before(session, &draft.id)?;
            let change = keep(session, draft, &is_expected, most)?;
            if let DraftChange::Done { draft, is_new } = &change
                && (*is_new || before.as_ref() != Some(&draft.text))
            {
                let diff = difference(&draft.id, before.as_deref(), &draft.text)?;
                tell(session, "drafted", draft, &diff.to_string())?;
            }
            Ok(change)
        })
    }

    /// The same of a draft that another store had, which has told of it.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn take_draft(
        &mut self,
        draft: &StoredDraft,
        most: usize,
    ) -> Result<DraftChange, StoreError> {
        self.session.get_mut().transaction(|session| {
            lock_version(session)?;
            keep(session, draft, &|_| true, most)
        })
    }

    /// Takes a popup's draft away where it `is_expected`, and tells who did; gives `None` where it
    /// has none.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn delete_draft(
        &mut self,
        id: &str,
        is_expected: impl Fn(Option<&StoredDraft>) -> bool,
        (who, at): (&str, WallMs),
    ) -> Result<Option<DraftChange>, StoreError> {
        self.session.get_mut().transaction(|session| {
            lock_version(session)?;
            let Some(present) = draft_of(session, id)? else { return Ok(None) };
            if !is_expected(Some(&present)) {
                return Ok(Some(DraftChange::Other(Some(present))));
            }
            let delete = "DELETE FROM popup_drafts WHERE popup_id = ?";
            session.execute(ACTION, delete, &[id.into()])?;
            let by = StoredDraft { at, who: who.to_owned(), ..present.clone() };
            tell(session, "draft_deleted", &by, "{}")?;
            Ok(Some(DraftChange::Done { draft: present, is_new: false }))
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
        all(self.session.get_mut(), COLUMNS)
    }
}

impl StoreReader {
    /// As [`Store::drafts`].
    ///
    /// # Errors
    /// Where the database fails.
    pub fn drafts(&self) -> Result<Vec<StoredDraft>, StoreError> {
        all(&mut self.session.borrow_mut(), COLUMNS)
    }

    /// As [`Store::drafts`], with the texts of those alone that have no popup yet; the others' are
    /// empty.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn draft_heads(&self) -> Result<Vec<StoredDraft>, StoreError> {
        let has_popup =
            "EXISTS (SELECT 1 FROM popups WHERE popups.popup_id = popup_drafts.popup_id)";
        let text = format!("CASE WHEN {has_popup} THEN '' ELSE definition END");
        all(&mut self.session.borrow_mut(), &COLUMNS.replace("definition", &text))
    }

    /// How many drafts there are, and the sum of their times: other numbers after each change.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn draft_stamp(&self) -> Result<(u64, u64), StoreError> {
        let query = "SELECT COUNT(*), COALESCE(SUM(at), 0) FROM popup_drafts";
        let mut session = self.session.borrow_mut();
        let stamp = session.query_one("read drafts", query, &[], |row| {
            Ok((row.take_unsigned()?, row.take_unsigned()?))
        })?;
        Ok(stamp.unwrap_or_default())
    }

    /// A popup's draft. Not from a replica: who has just put one looks for it.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn draft(&self, id: &str) -> Result<Option<StoredDraft>, StoreError> {
        draft_of(&mut self.session.borrow_mut(), id)
    }
}

fn all(session: &mut Session, columns: &str) -> Result<Vec<StoredDraft>, StoreError> {
    let query = format!("SELECT {columns} FROM popup_drafts ORDER BY popup_id");
    session.query("read drafts", &query, &[], read_draft)
}

/// Keeps a draft; the catalog's version is locked.
fn keep(
    session: &mut Session,
    draft: &StoredDraft,
    is_expected: &dyn Fn(Option<&StoredDraft>) -> bool,
    most: usize,
) -> Result<DraftChange, StoreError> {
    let present = draft_of(session, &draft.id)?;
    if !is_expected(present.as_ref()) {
        return Ok(DraftChange::Other(present));
    }
    let is_new = present.is_none();
    if present.as_ref() == Some(draft) {
        return Ok(DraftChange::Done { draft: draft.clone(), is_new });
    }
    let count = "SELECT COUNT(*) FROM popup_drafts";
    let count = session.query_one(ACTION, count, &[], |row| row.take_unsigned())?;
    if is_new && count.unwrap_or(0) >= u64::try_from(most).unwrap_or(u64::MAX) {
        return Ok(DraftChange::TooMany);
    }
    let behind = present.map(|present| WallMs(present.at.0.saturating_add(1)));
    let at = draft.at.max(behind.unwrap_or(draft.at));
    let draft = StoredDraft { at, ..draft.clone() };
    let StoredDraft { id, text, base_version, at, who } = &draft;
    let row = [id.into(), text.into(), (*base_version).into(), (*at).into(), who.into()];
    session.insert(ACTION, &INSERT, [row].into_iter())?;
    Ok(DraftChange::Done { draft, is_new })
}

/// What a draft of a popup changes: the one that is there, else the popup.
fn text_before(session: &mut Session, id: &str) -> Result<Option<String>, StoreError> {
    if let Some(draft) = draft_of(session, id)? {
        return Ok(Some(draft.text));
    }
    let query = "SELECT definition FROM popups WHERE popup_id = ?";
    session.query_one("read a popup", query, &[id.into()], |row| row.take())
}

/// Tells in the history what was done to a draft, when and by whom.
fn tell(
    session: &mut Session,
    change: &str,
    StoredDraft { id, at, who, .. }: &StoredDraft,
    diff: &str,
) -> Result<(), StoreError> {
    let query = "SELECT version FROM popups WHERE popup_id = ?";
    let version: Option<u32> =
        session.query_one("read a popup", query, &[id.into()], |row| row.take())?;
    let (version, text) = (version.unwrap_or(0).into(), NO_TEXT.into());
    debug_assert!(HISTORY_CHANGES.contains(&change), "told to nobody: {change}");
    let row = [id.into(), version, change.into(), (*at).into(), who.into(), diff.into(), text];
    session.insert(ACTION, &INSERT_LINE, [row].into_iter())?;
    Ok(())
}

fn draft_of(session: &mut Session, id: &str) -> Result<Option<StoredDraft>, StoreError> {
    let query = format!("SELECT {COLUMNS} FROM popup_drafts WHERE popup_id = ?");
    session.query_one("read a draft", &query, &[id.into()], read_draft)
}

//! A look into a directory's database that changes nothing: whose it is, and how many users it
//! has. For whoever has to decide whether to open it at all.

use std::path::Path;

use super::{Embedded, FILE_NAME};
use crate::error::StoreError;
use crate::statements::streams::PART;
use crate::value::{Row, SqlValue, Unreadable};
use nudged_base::hex;
use nudged_base::ids::Sequence;

/// A database that was opened to be looked at.
#[derive(Debug)]
pub struct Peek {
    file: Embedded,
}

impl Peek {
    /// Opens the database of a directory, whatever schema it has; `None` where there is none yet.
    ///
    /// # Errors
    /// Where the file can't be opened or is no database.
    pub fn open(directory: &Path) -> Result<Option<Peek>, StoreError> {
        if !directory.join(FILE_NAME).exists() {
            return Ok(None);
        }
        let peek = Peek { file: Embedded::open_reader(directory)? };
        let tables = peek.number(
            "SELECT count(*) FROM sqlite_schema WHERE type = 'table'
             AND name IN ('users', 'streams', 'writer_position')",
        )?;
        Ok((tables == 3).then_some(peek))
    }

    /// Looks whether this version can use the schema.
    ///
    /// # Errors
    /// As opening it to write does, where the schema is a later one.
    pub fn check_version(&self) -> Result<(), StoreError> {
        self.file.check_version()
    }

    /// The number of users that have rows.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn users(&self) -> Result<u64, StoreError> {
        self.number("SELECT count(*) FROM users")
    }

    /// The number of journals whose records it has.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn streams(&self) -> Result<u64, StoreError> {
        self.number("SELECT count(*) FROM streams")
    }

    /// The last record of a journal's set that is applied; `None` for a journal that the database
    /// does not know.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn position(&self, set_id: [u8; 16]) -> Result<Option<Sequence>, StoreError> {
        let query = "SELECT off FROM writer_position JOIN streams USING (stream)
                     WHERE set_id = ? AND part = ?";
        let set = hex::encode(&set_id);
        self.first(query, &[(&set).into(), PART.into()], |row| row.take_sequence())
    }

    /// Whether a user has a row.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn has_user(&self, user: &str) -> Result<bool, StoreError> {
        let query = "SELECT 1 FROM users WHERE user_id = ?";
        Ok(self.first(query, &[user.into()], |row| row.take::<i64>())?.is_some())
    }

    fn number(&self, query: &str) -> Result<u64, StoreError> {
        Ok(self.first(query, &[], |row| row.take_unsigned())?.unwrap_or(0))
    }

    fn first<T>(
        &self,
        query: &str,
        values: &[SqlValue<'_>],
        read: impl FnMut(&mut Row<'_>) -> Result<T, Unreadable>,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.file.query("look into it", query, values, read)?.into_iter().next())
    }
}

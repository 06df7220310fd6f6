//! A look into a directory's database that changes nothing: whose it is, and how many users it
//! has. For whoever has to decide whether to open it at all.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use super::{FILE_NAME, PART, SQL_READ_CACHE_KIB, connect, sequence_of};
use crate::error::StoreError;
use nudged_base::hex;
use nudged_base::ids::Sequence;

/// A database that was opened to be looked at.
#[derive(Debug)]
pub struct Peek {
    connection: Connection,
    path: std::path::PathBuf,
}

impl Peek {
    /// Opens the database of a directory, whatever schema it has; `None` where there is none yet.
    ///
    /// # Errors
    /// Where the file can't be opened or is no database.
    pub fn open(directory: &Path) -> Result<Option<Peek>, StoreError> {
        let path = directory.join(FILE_NAME);
        if !path.exists() {
            return Ok(None);
        }
        let connection = connect(&path, SQL_READ_CACHE_KIB)?;
        let peek = Peek { connection, path };
        let tables = peek.number(
            "SELECT count(*) FROM sqlite_schema WHERE type = 'table'
             AND name IN ('users', 'streams', 'writer_position')",
        )?;
        Ok((tables == 3).then_some(peek))
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
                     WHERE set_id = ?1 AND part = ?2";
        let row = self.connection.query_row(query, (hex::encode(&set_id), PART), |row| row.get(0));
        let off = row.optional().map_err(|source| self.failed(source))?;
        Ok(off.map(sequence_of))
    }

    /// Whether a user has a row.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn has_user(&self, user: &str) -> Result<bool, StoreError> {
        let query = "SELECT EXISTS (SELECT 1 FROM users WHERE user_id = ?1)";
        let found = self.connection.prepare_cached(query);
        let found = found.and_then(|mut find| find.query_row([user], |row| row.get(0)));
        found.map_err(|source| self.failed(source))
    }

    fn number(&self, query: &str) -> Result<u64, StoreError> {
        let number = self.connection.query_row(query, [], |row| row.get::<_, i64>(0));
        number.map(i64::unsigned_abs).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: rusqlite::Error) -> StoreError {
        StoreError::sql(&self.path, "look into it", source)
    }
}

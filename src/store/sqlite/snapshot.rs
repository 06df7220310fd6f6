//! A copy of the database beside the node that has it: one read snapshot, in a file of its own.
//! Must not know where it goes and what else is on that disk.
//!
//! The connection only reads, so that neither its end nor that of its process touches the
//! database; nobody waits for it. As long as it copies, the write-ahead log can't be emptied.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, InterruptHandle, OpenFlags};

use super::FILE_NAME;
use crate::error::StoreError;
use nudged_base::limits::{SQL_BUSY_TIMEOUT_MS, SQL_READ_CACHE_KIB};

/// The database as it is when the copy begins.
#[derive(Debug)]
pub struct DatabaseSnapshot {
    connection: Connection,
    path: PathBuf,
}

/// Ends a copy that is being made.
pub struct SnapshotStop(InterruptHandle);

impl SnapshotStop {
    /// The copy fails soon.
    pub fn stop(&self) {
        self.0.interrupt();
    }
}

/// What a copy has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopySummary {
    /// Rows of `users`.
    pub users: u64,
    /// Rows of `events`.
    pub events: u64,
}

impl DatabaseSnapshot {
    /// Opens the database of a directory whose node runs.
    ///
    /// # Errors
    /// Where the file can't be read or is no database.
    pub fn open(directory: &Path) -> Result<DatabaseSnapshot, StoreError> {
        let path = directory.join(FILE_NAME);
        Ok(DatabaseSnapshot { connection: connect(&path)?, path })
    }

    /// What ends [`DatabaseSnapshot::write_to`] from another thread.
    pub fn stop_handle(&self) -> SnapshotStop {
        SnapshotStop(self.connection.get_interrupt_handle())
    }

    /// Writes a compact copy into a file that is empty or is not there. It is not synced.
    ///
    /// # Errors
    /// Where the database can't be read, the copy can't be written, or it was stopped.
    pub fn write_to(&self, file: &Path) -> Result<(), StoreError> {
        let failed = |source| StoreError::sql(&self.path, "copy it", source);
        let name =
            file.to_str().ok_or_else(|| failed(rusqlite::Error::InvalidPath(file.to_owned())))?;
        self.connection.execute("VACUUM INTO ?1", [name]).map(drop).map_err(failed)
    }
}

/// Looks whether a copy is a whole database.
///
/// # Errors
/// Where it is not, or can't be read.
pub fn check_copy(file: &Path) -> Result<CopySummary, StoreError> {
    let failed = |source| StoreError::sql(file, "check the copy", source);
    let connection = connect(file)?;
    let said: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(failed)?;
    if said != "ok" {
        let source = rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
            Some(said),
        );
        return Err(failed(source));
    }
    let count = |table| -> Result<u64, StoreError> {
        let query = format!("SELECT count(*) FROM {table}");
        let count: i64 = connection.query_row(&query, [], |row| row.get(0)).map_err(failed)?;
        Ok(u64::try_from(count).unwrap_or(0))
    };
    Ok(CopySummary { users: count("users")?, events: count("events")? })
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let failed = |source| StoreError::sql(path, "open it", source);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(Duration::from_millis(SQL_BUSY_TIMEOUT_MS)).map_err(failed)?;
    let settings = format!("PRAGMA cache_size = -{SQL_READ_CACHE_KIB}");
    connection.execute_batch(&settings).map_err(failed)?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;

    #[test]
    fn a_copy_opens_as_a_database_and_writes_go_on_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = Store::open(directory.path()).unwrap();
        store.stream_id([1; 16]).unwrap();
        let snapshot = DatabaseSnapshot::open(directory.path()).unwrap();
        let restored = tempfile::tempdir().unwrap();
        let file = restored.path().join(FILE_NAME);
        snapshot.write_to(&file).unwrap();
        assert_eq!(check_copy(&file).unwrap(), CopySummary::default());
        store.stream_id([2; 16]).unwrap();
        let mut copy = Store::open(restored.path()).unwrap();
        assert!(copy.knows_set(&"01".repeat(16)).unwrap());
        assert!(!copy.knows_set(&"02".repeat(16)).unwrap());
        let again = snapshot.write_to(&file).unwrap_err().to_string();
        assert!(again.contains("already exists"), "{again}");
        std::fs::write(&file, "no database").unwrap();
        assert!(check_copy(&file).is_err());
    }
}

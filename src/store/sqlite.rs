//! The embedded store: one SQLite file, `nudged.db`, in the data directory. Owns its connections,
//! settings and schema. Must not know tables, the journal's files, shards or threads.
//!
//! `schema` creating and upgrading · `peek` a look that changes nothing · `snapshot` a copy beside
//! the node that has it.
//!
//! Settings, and why:
//! - WAL: readers neither wait nor hold the writer up.
//! - synchronous = NORMAL: a commit survives a kill of the process, but a loss of power may take
//!   the latest ones. That loses nothing: rows and position are in one transaction, so both go
//!   back together, and the journal, which keeps applied segments for its retention and is synced
//!   by its own rules, is replayed from there. What is in no journal (catalog, overrides, streams
//!   and their epochs) is committed with synchronous = FULL.
//! - secure_delete: what is deleted is overwritten, so that an erased user's id is in no free part
//!   of the file. The write-ahead log, which has it too, is emptied after an erase.
//! - The log is folded in at a clean stop and now and then, so that the file alone is a backup.
//! - One writer a process; another process waits for up to `SQL_BUSY_TIMEOUT_MS`.

mod peek;
mod schema;
pub mod snapshot;
#[cfg(test)]
mod tests;

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, params_from_iter};

pub use peek::Peek;

use super::error::StoreError;
use super::session::{Inserted, RowError};
use super::statement::{Dialect, Insert};
use super::value::{Row, SqlValue, Unreadable};
use nudged_base::limits::{
    SQL_BUSY_TIMEOUT_MS, SQL_FOLD_WAIT_MS, SQL_READ_CACHE_KIB, SQL_STATEMENTS_MAX, SQL_WAL_PAGES,
    SQL_WRITE_CACHE_KIB,
};

/// The database's name in the data directory.
pub const FILE_NAME: &str = "nudged.db";

/// A connection to the file.
#[derive(Debug)]
pub(super) struct Embedded {
    connection: Connection,
    path: PathBuf,
    /// Something was applied since the write-ahead log was folded in; an erase among it.
    pub(super) is_to_fold: bool,
    pub(super) must_fold: bool,
}

impl Embedded {
    /// The connection that writes, and whether its schema was an older one. See
    /// [`super::Store::open`].
    pub(super) fn open(directory: &Path) -> Result<(Embedded, bool), StoreError> {
        let path = directory.join(FILE_NAME);
        create_private(&path).map_err(|source| {
            let action = "open or create it";
            StoreError::File { action, path: path.clone(), source }
        })?;
        let mut connection = connect(&path, SQL_WRITE_CACHE_KIB)?;
        let settings = format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = OFF;
             PRAGMA wal_autocheckpoint = {SQL_WAL_PAGES}; PRAGMA secure_delete = ON;"
        );
        let failed = |source| StoreError::sql(&path, "set it up", source);
        connection.execute_batch(&settings).map_err(failed)?;
        let is_upgraded = schema::upgrade(&mut connection, &path)?;
        Ok((Embedded { connection, path, is_to_fold: true, must_fold: false }, is_upgraded))
    }

    /// A connection that only reads.
    pub(super) fn open_reader(directory: &Path) -> Result<Embedded, StoreError> {
        let path = directory.join(FILE_NAME);
        let connection = connect(&path, SQL_READ_CACHE_KIB)?;
        connection
            .pragma_update(None, "query_only", true)
            .map_err(|source| StoreError::sql(&path, "set it up", source))?;
        Ok(Embedded { connection, path, is_to_fold: false, must_fold: false })
    }

    /// Notes that records were applied, and whether one of them has erased a user.
    pub(super) fn note_applied(&mut self, has_erased: bool) {
        self.is_to_fold = true;
        self.must_fold |= has_erased;
    }

    /// See [`super::Store::fold`].
    pub(super) fn fold(&mut self) -> Result<bool, StoreError> {
        let action = "fold its log in";
        let query = "PRAGMA wal_checkpoint(TRUNCATE)";
        // A copy that is being made reads for minutes: records do not wait for it.
        self.wait_at_most(SQL_FOLD_WAIT_MS)?;
        let is_busy: Result<Vec<i64>, _> = self.query(action, query, &[], |row| row.take());
        self.wait_at_most(SQL_BUSY_TIMEOUT_MS)?;
        let is_busy = is_busy?;
        let is_done = is_busy.first() == Some(&0);
        if is_done {
            (self.is_to_fold, self.must_fold) = (false, false);
        }
        Ok(is_done)
    }

    /// Locks of others are waited for so long from now on.
    fn wait_at_most(&self, ms: u64) -> Result<(), StoreError> {
        self.connection
            .busy_timeout(Duration::from_millis(ms))
            .map_err(|source| StoreError::sql(&self.path, "set it up", source))
    }

    /// See [`super::session::Session::query`].
    pub(super) fn query<T>(
        &self,
        action: &'static str,
        text: &str,
        values: &[SqlValue<'_>],
        mut read: impl FnMut(&mut Row<'_>) -> Result<T, Unreadable>,
    ) -> Result<Vec<T>, StoreError> {
        let failed = |source| StoreError::sql(&self.path, action, source);
        let mut statement = self.connection.prepare_cached(text).map_err(failed)?;
        let mut rows = statement.query(params_from_iter(values)).map_err(failed)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            let row = read(&mut Row::of_sqlite(row));
            let row = row.map_err(|Unreadable(error)| error.unwrap_or(NOT_OF_SQLITE));
            found.push(row.map_err(failed)?);
        }
        Ok(found)
    }

    /// See [`super::session::Session::execute`].
    pub(super) fn execute(
        &mut self,
        action: &'static str,
        text: &str,
        values: &[SqlValue<'_>],
    ) -> Result<u64, StoreError> {
        let statement = self.connection.prepare_cached(text);
        statement
            .and_then(|mut statement| statement.execute(params_from_iter(values)))
            .map(|changed| u64::try_from(changed).unwrap_or(u64::MAX))
            .map_err(|source| StoreError::sql(&self.path, action, source))
    }

    /// See [`super::session::Session::insert`]. The statement is prepared once for the connection
    /// and runs once a row: SQLite has no round trip that a longer one would save.
    pub(super) fn insert<'v, const COLUMNS: usize>(
        &mut self,
        action: &'static str,
        insert: &Insert<'_>,
        rows: impl Iterator<Item = [SqlValue<'v>; COLUMNS]>,
    ) -> Result<Inserted, RowError> {
        let places = ["?"; COLUMNS].join(", ");
        let text = format!("{}({places}){}", insert.head(), insert.tail(Dialect::Sqlite));
        let failed = |source| StoreError::sql(&self.path, action, source);
        let mut statement = self.connection.prepare_cached(&text).map_err(failed)?;
        let (mut count, mut unchanged) = (0, Vec::new());
        for (index, row) in rows.enumerate() {
            let mut run = || {
                for (place, value) in (1..).zip(&row) {
                    statement.raw_bind_parameter(place, value)?;
                }
                statement.raw_execute()
            };
            let changed = run().map_err(|source| {
                let row = is_of_row(&source).then_some(index);
                RowError { row, error: failed(source) }
            })?;
            count += u64::try_from(changed).unwrap_or(u64::MAX);
            if changed == 0 {
                unchanged.push(index);
            }
        }
        Ok(Inserted { changed: count, unchanged: Some(unchanged) })
    }

    /// Begins a transaction that has the write lock from its start.
    pub(super) fn begin(&mut self) -> Result<(), StoreError> {
        self.run("begin a transaction", "BEGIN IMMEDIATE")
    }

    /// Begins a transaction that reads.
    pub(super) fn begin_reading(&mut self) -> Result<(), StoreError> {
        self.run("begin a transaction", "BEGIN")
    }

    /// See [`super::session::Session::commit`].
    pub(super) fn commit(&mut self) -> Result<(), StoreError> {
        self.run("commit", "COMMIT")
    }

    /// See [`super::session::Session::roll_back`]. A failure that ends the transaction by itself
    /// leaves nothing to undo; what can't be undone now is undone when the connection goes.
    pub(super) fn roll_back(&mut self) {
        if !self.connection.is_autocommit() {
            let _ = self.run("roll back", "ROLLBACK");
        }
    }

    /// Whether commits are on disk when they return.
    pub(super) fn set_synced(&mut self, is_synced: bool) -> Result<(), StoreError> {
        let level = if is_synced { "FULL" } else { "NORMAL" };
        self.connection
            .pragma_update(None, "synchronous", level)
            .map_err(|source| StoreError::sql(&self.path, "set it up", source))
    }

    fn run(&mut self, action: &'static str, text: &str) -> Result<(), StoreError> {
        let failed = |source| StoreError::sql(&self.path, action, source);
        self.connection.execute_batch(text).map_err(failed)
    }
}

/// Stands for the error that only a row of another database lacks.
const NOT_OF_SQLITE: rusqlite::Error = rusqlite::Error::InvalidQuery;

/// Whether an error of a row's statement is the row's fault and not the database's.
fn is_of_row(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(
        code,
        Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig)
    )
}

/// Makes the file where it is missing, for its owner alone; SQLite gives the files beside it the
/// same mode.
fn create_private(path: &Path) -> io::Result<()> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path).map(drop)
}

/// A connection with what all of them have in common.
fn connect(path: &Path, cache_kib: u32) -> Result<Connection, StoreError> {
    let failed = |source| StoreError::sql(path, "open it", source);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(Duration::from_millis(SQL_BUSY_TIMEOUT_MS)).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(SQL_STATEMENTS_MAX);
    let settings = format!("PRAGMA cache_size = -{cache_kib}; PRAGMA temp_store = MEMORY;");
    connection.execute_batch(&settings).map_err(failed)?;
    Ok(connection)
}

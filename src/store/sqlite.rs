//! The embedded store: one SQLite file, `nudged.db`, in the data directory. Owns its connections,
//! settings and schema. Must not know the journal's files, shards or threads.
//!
//! `apply` records → one transaction · `rows` the statements of its rows · `popups` the catalog ·
//! `overrides` pauses and archives · `reader` the connection that reads · `schema` creating and
//! upgrading.
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

mod apply;
mod keys;
mod overrides;
mod peek;
mod popups;
mod reader;
mod rows;
mod schema;
#[cfg(test)]
mod tests;
mod whole;
mod withdraw;

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};

pub use peek::Peek;
pub use reader::SqliteReader;

use super::dead_letter::DeadLetters;
use super::error::StoreError;
use super::stored::{Dropped, StreamId};
use nudged_base::hex;
use nudged_base::ids::Sequence;
use nudged_base::limits::{
    SQL_BUSY_TIMEOUT_MS, SQL_READ_CACHE_KIB, SQL_ROWS_READ_MAX, SQL_STATEMENTS_MAX, SQL_WAL_PAGES,
    SQL_WRITE_CACHE_KIB, TOMBSTONE_AGE_MAX_MS,
};
use nudged_base::time::WallMs;

/// The database's name in the data directory.
pub const FILE_NAME: &str = "nudged.db";

/// The one part of the embedded writer; MySQL may have more.
const PART: i64 = 0;

/// The connection that writes.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
    path: PathBuf,
    dead_letters: DeadLetters,
    claims: Vec<Claim>,
    /// Something was applied since the write-ahead log was folded in; an erase among it.
    is_to_fold: bool,
    must_fold: bool,
    /// The popups that opening it has stopped.
    dropped: Vec<Dropped>,
}

/// A stream that this process applies, and the epoch that fences others.
#[derive(Clone, Copy, Debug)]
struct Claim {
    stream: StreamId,
    epoch: i64,
}

impl Sqlite {
    /// See [`super::Store::open`].
    pub(super) fn open(directory: &Path) -> Result<Sqlite, StoreError> {
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
        let dropped = match is_upgraded {
            true => overrides::dropped(&connection).map_err(failed)?,
            false => Vec::new(),
        };
        let dead_letters = DeadLetters::new(directory);
        Ok(Sqlite {
            connection,
            path,
            dead_letters,
            claims: Vec::new(),
            is_to_fold: true,
            must_fold: false,
            dropped,
        })
    }

    /// See [`super::Store::is_to_fold`].
    pub(super) fn is_to_fold(&self) -> bool {
        self.is_to_fold
    }

    /// See [`super::Store::must_fold`].
    pub(super) fn must_fold(&self) -> bool {
        self.must_fold
    }

    /// See [`super::Store::fold`].
    pub(super) fn fold(&mut self) -> Result<bool, StoreError> {
        let failed = |source| StoreError::sql(&self.path, "fold its log in", source);
        let query = "PRAGMA wal_checkpoint(TRUNCATE)";
        let is_busy: i64 =
            self.connection.query_row(query, [], |row| row.get(0)).map_err(failed)?;
        if is_busy == 0 {
            (self.is_to_fold, self.must_fold) = (false, false);
        }
        Ok(is_busy == 0)
    }

    /// See [`super::Store::take_dropped`].
    pub(super) fn take_dropped(&mut self) -> Vec<Dropped> {
        std::mem::take(&mut self.dropped)
    }

    /// See [`super::Store::stream_id`].
    pub(super) fn stream_id(&mut self, set_id: [u8; 16]) -> Result<StreamId, StoreError> {
        let action = "claim a stream";
        let path = self.path.clone();
        let claim = self.durably(action, |transaction| {
            claim_stream(transaction, &hex::encode(&set_id))
                .map_err(|source| StoreError::sql(&path, action, source))
        })?;
        let stream = claim.stream;
        self.claims.retain(|claim| claim.stream != stream);
        self.claims.push(claim);
        Ok(stream)
    }

    /// See [`super::Store::position`].
    pub(super) fn position(&self, stream: StreamId) -> Result<Sequence, StoreError> {
        self.connection
            .query_row(
                "SELECT off FROM writer_position WHERE stream = ?1 AND part = ?2",
                (stream.0, PART),
                |row| row.get(0),
            )
            .optional()
            .map_err(|source| StoreError::sql(&self.path, "read the position", source))?
            .map(sequence_of)
            .ok_or(StoreError::NoSuchStream { stream: stream.0 })
    }

    /// See [`super::Store::newest`].
    pub(super) fn newest(&self, stream: StreamId) -> Result<Option<WallMs>, StoreError> {
        let query = "SELECT max(at) FROM
                     (SELECT at FROM events WHERE stream = ?1 ORDER BY seq DESC LIMIT ?2)";
        self.connection
            .query_row(query, (stream.0, SQL_ROWS_READ_MAX), |row| row.get::<_, Option<i64>>(0))
            .map(|newest| newest.map(WallMs))
            .map_err(|source| StoreError::sql(&self.path, "read the newest time", source))
    }

    /// See [`super::Store::purge_tombstones`].
    pub(super) fn purge_tombstones(&mut self, now: WallMs) -> Result<usize, StoreError> {
        let before = now.0.saturating_sub_unsigned(TOMBSTONE_AGE_MAX_MS);
        self.connection
            .execute("DELETE FROM erased_users WHERE erased_at <= ?1", [before])
            .map_err(|source| StoreError::sql(&self.path, "purge tombstones", source))
    }

    /// Runs a transaction whose commit is on disk when this returns.
    fn durably<T>(
        &mut self,
        action: &'static str,
        run: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let path = self.path.clone();
        let failed = |source| StoreError::sql(&path, action, source);
        self.connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
        let result = self.immediately(action, run);
        self.connection.pragma_update(None, "synchronous", "NORMAL").map_err(failed)?;
        result
    }

    /// Runs a transaction that has the write lock from its start; rolls back on an error.
    fn immediately<T>(
        &mut self,
        action: &'static str,
        run: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let path = &self.path;
        let failed = |source| StoreError::sql(path, action, source);
        let behavior = TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(behavior).map_err(failed)?;
        let value = run(&transaction)?;
        transaction.commit().map_err(failed)?;
        Ok(value)
    }

    /// The claim of a stream.
    ///
    /// # Panics
    /// Where this process has not claimed it.
    fn claim(&self, stream: StreamId) -> Claim {
        let claim = self.claims.iter().find(|claim| claim.stream == stream);
        *claim.expect("a stream is claimed before it is applied")
    }
}

/// Finds or makes a stream and raises its epoch.
fn claim_stream(transaction: &Transaction<'_>, set_id: &str) -> rusqlite::Result<Claim> {
    let insert = "INSERT INTO streams (set_id) VALUES (?1) ON CONFLICT DO NOTHING";
    transaction.execute(insert, [set_id])?;
    let find = "SELECT stream FROM streams WHERE set_id = ?1";
    let stream: u32 = transaction.query_row(find, [set_id], |row| row.get(0))?;
    let epoch = transaction.query_row(
        "INSERT INTO writer_position (stream, part, epoch, off) VALUES (?1, ?2, 1, 0)
         ON CONFLICT (stream, part) DO UPDATE SET epoch = epoch + 1 RETURNING epoch",
        (stream, PART),
        |row| row.get(0),
    )?;
    Ok(Claim { stream: StreamId(stream), epoch })
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

/// A sequence as a column, which is signed.
///
/// # Panics
/// On more than 63 bits; applied sequences rise by one from 0.
fn sequence_column(sequence: Sequence) -> i64 {
    i64::try_from(sequence.0).expect("a journal holds fewer than 2^63 records")
}

/// A column as a sequence.
///
/// # Panics
/// On a negative one, which nothing writes.
fn sequence_of(column: i64) -> Sequence {
    Sequence(u64::try_from(column).expect("positions are not negative"))
}

//! SQL: where every acknowledged record ends, exactly once, and where a user's state is read back
//! from when it is in no slice. An enum of databases with the same tables and names; today SQLite.
//! Owns connections, statements, schema and the dead-letter file. Must not know shards, requests,
//! the journal's files or threads: the caller brings records and gives each of [`Store`] and
//! [`Reader`] a thread of its own.
//!
//! `sqlite` the embedded store · `error` what can go wrong · `dead_letter` rows that SQL refuses ·
//! `stored` what is read for people and for the catalog.

pub mod dead_letter;
pub mod error;
pub mod sqlite;
pub mod stored;

use std::path::Path;

pub use error::StoreError;
pub use sqlite::StreamId;
pub use stored::{Applied, HistoryEntry, Origin, StatRow, StoredEvent, StoredPopup};

use crate::base::ids::Sequence;
use crate::base::time::WallMs;
use crate::catalog::snapshot::Status;
use crate::journal::record::Record;
use crate::state::user::UserState;

/// The connection that writes; one a process.
#[derive(Debug)]
pub enum Store {
    /// One file in the data directory.
    Sqlite(sqlite::Sqlite),
}

impl Store {
    /// Opens, creates or upgrades `nudged.db` in a directory that exists.
    ///
    /// # Errors
    /// Where the file can't be opened, is no database of ours, is locked for 5 s, or has a schema
    /// that is newer than this binary; all of them are exit code 4.
    pub fn open(directory: &Path) -> Result<Store, StoreError> {
        sqlite::Sqlite::open(directory).map(Store::Sqlite)
    }

    /// The stream of a journal's set id, made where it is new, and claimed: whoever claimed it
    /// before is fenced.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn stream_id(&mut self, set_id: [u8; 16]) -> Result<StreamId, StoreError> {
        let Store::Sqlite(store) = self;
        store.stream_id(set_id)
    }

    /// The last sequence of a stream that is applied; 0 for none.
    ///
    /// # Errors
    /// Where the database fails, or the stream is unknown.
    pub fn position(&self, stream: StreamId) -> Result<Sequence, StoreError> {
        let Store::Sqlite(store) = self;
        store.position(stream)
    }

    /// The newest time among a stream's latest 1,000 events; `None` where it has none. A node's
    /// time must not begin before it: SQL may have records that a loss of power took from the
    /// journal.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn newest(&self, stream: StreamId) -> Result<Option<WallMs>, StoreError> {
        let Store::Sqlite(store) = self;
        store.newest(stream)
    }

    /// Applies up to 1,000 records of ascending, gapless sequence in one transaction with the
    /// position. Records at or below the position are skipped. After an error nothing of them is
    /// applied, except that a commit may have failed after the fact: the position tells, so
    /// calling again is always safe.
    ///
    /// # Errors
    /// [`StoreError::Behind`] where the records start beyond the position, [`StoreError::Fenced`]
    /// and [`StoreError::Halted`] where going on would mix two journals, and where the database or
    /// the dead-letter file fails.
    ///
    /// # Panics
    /// On more than `APPLY_RECORDS_MAX` records, or a stream that was not claimed here.
    pub fn apply(
        &mut self,
        stream: StreamId,
        records: &[(Sequence, Record<'_>)],
    ) -> Result<Applied, StoreError> {
        let Store::Sqlite(store) = self;
        store.apply(stream, records)
    }

    /// Moves the position over records that are lost: recovery has reported their sequences. A
    /// position that is there already stays.
    ///
    /// # Errors
    /// Where the database fails or another process has claimed the stream.
    pub fn skip_lost(&mut self, stream: StreamId, through: Sequence) -> Result<(), StoreError> {
        let Store::Sqlite(store) = self;
        store.skip_lost(stream, through)
    }

    /// Drops the tombstones of users erased 8 days before `now` or earlier; gives their number.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn purge_tombstones(&mut self, now: WallMs) -> Result<usize, StoreError> {
        let Store::Sqlite(store) = self;
        store.purge_tombstones(now)
    }

    /// Takes the popups file as the truth of its ids: a new id starts at version 1, a changed text
    /// is a new version, an id that is gone is archived, one that returns goes on where it was.
    /// `definitions` are (id, canonical JSON object), each id once. All or nothing, synced to disk
    /// before it returns; gives what [`Store::load_popups`] gives.
    ///
    /// # Errors
    /// Where a definition is no JSON object, two ids share a key, or the database fails.
    pub fn import_popups(
        &mut self,
        definitions: &[(&str, &str)],
        who: &str,
        at: WallMs,
    ) -> Result<Vec<StoredPopup>, StoreError> {
        let Store::Sqlite(store) = self;
        store.import_popups(definitions, who, at)
    }

    /// Sets the status that wins over the definition's, synced to disk before it returns.
    ///
    /// # Errors
    /// [`StoreError::NoSuchPopup`], or where the database fails.
    pub fn set_override(
        &mut self,
        id: &str,
        status: Status,
        who: &str,
        at: WallMs,
    ) -> Result<(), StoreError> {
        let Store::Sqlite(store) = self;
        store.set_override(id, status, who, at)
    }

    /// Every popup that was ever stored, sorted by id.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn load_popups(&self) -> Result<Vec<StoredPopup>, StoreError> {
        let Store::Sqlite(store) = self;
        store.load_popups()
    }
}

/// A connection that reads beside the one that writes; it never waits for it and never holds it up.
#[derive(Debug)]
pub enum Reader {
    /// One file in the data directory.
    Sqlite(sqlite::SqliteReader),
}

impl Reader {
    /// Opens the database of a [`Store`] that has been opened before.
    ///
    /// # Errors
    /// Where the file can't be opened or is no database.
    pub fn open(directory: &Path) -> Result<Reader, StoreError> {
        sqlite::SqliteReader::open(directory).map(Reader::Sqlite)
    }

    /// Reads users in one read transaction and hands each to `found` with its index. An unknown
    /// user is the default state; an erased one is empty at the erase's revision. A user whose
    /// rows can't be read is not handed out; gives the number of those.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn read_users(
        &mut self,
        users: &[&str],
        found: &mut impl FnMut(usize, UserState),
    ) -> Result<usize, StoreError> {
        let Reader::Sqlite(reader) = self;
        reader.read_users(users, found)
    }

    /// A user's latest events, newest first, up to `count` and at most 1,000.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn user_events(&self, user: &str, count: u32) -> Result<Vec<StoredEvent>, StoreError> {
        let Reader::Sqlite(reader) = self;
        reader.user_events(user, count)
    }

    /// Counts per popup, variant and hour for hours in `[from, to)`, of one popup or of all, summed
    /// over streams and sorted by key.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn stats(
        &self,
        popup: Option<&str>,
        from: WallMs,
        to: WallMs,
    ) -> Result<Vec<StatRow>, StoreError> {
        let Reader::Sqlite(reader) = self;
        reader.stats(popup, from, to)
    }

    /// Every popup that was ever stored, sorted by id.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn popups(&self) -> Result<Vec<StoredPopup>, StoreError> {
        let Reader::Sqlite(reader) = self;
        reader.popups()
    }

    /// A popup's latest changes, newest first, at most 1,000.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn history(&self, popup: &str) -> Result<Vec<HistoryEntry>, StoreError> {
        let Reader::Sqlite(reader) = self;
        reader.history(popup)
    }
}

//! SQL: where every acknowledged record ends, exactly once, and where a user's state is read back
//! from when it is in no slice. An enum of databases with the same tables and names; today SQLite.
//! Owns connections, statements, schema and the dead-letter file. Must not know shards, requests,
//! the journal's files or threads: the caller brings records and gives each of [`Store`] and
//! [`Reader`] a thread of its own.
//!
//! `sqlite` the embedded store · `catalog` what a change of popups does · `error` what can go wrong ·
//! `dead_letter` rows that SQL refuses · `stored` what is read for people and for the catalog.

pub mod catalog;
pub mod dead_letter;
pub mod error;
pub mod sqlite;
pub mod stored;

use std::path::Path;

pub use catalog::{CatalogChange, ImportedPopup};
pub use error::StoreError;
pub use sqlite::StreamId;
pub use stored::{
    Applied, HistoryEntry, Origin, StatRow, StoredCatalog, StoredEvent, StoredPopup, status_word,
};

use crate::base::ids::Sequence;
use crate::base::time::WallMs;
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

    /// Changes the catalog, where it still has the version that the change is based on; with `None`
    /// in whatever version. All or nothing, synced to disk before it returns; a change that finds
    /// everything as it wants it raises no version. Gives the catalog afterwards.
    ///
    /// # Errors
    /// [`StoreError::CatalogMoved`] where another change came first, [`StoreError::InFile`],
    /// [`StoreError::NoSuchPopup`], where a definition is no JSON object or two ids share a key, and
    /// where the database fails.
    pub fn change_catalog(
        &mut self,
        based_on: Option<u64>,
        change: CatalogChange<'_>,
        who: &str,
        at: WallMs,
    ) -> Result<StoredCatalog, StoreError> {
        let Store::Sqlite(store) = self;
        store.change_catalog(based_on, change, who, at)
    }

    /// Every popup that was ever stored, sorted by id, with the catalog's version.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn load_catalog(&mut self) -> Result<StoredCatalog, StoreError> {
        let Store::Sqlite(store) = self;
        store.load_catalog()
    }

    /// The catalog's version: rises by one with each change, from whichever process.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn catalog_version(&mut self) -> Result<u64, StoreError> {
        let Store::Sqlite(store) = self;
        store.catalog_version()
    }

    /// The definition that a popup had in a version; `None` where it never had that version.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn text_of(&mut self, id: &str, version: u32) -> Result<Option<String>, StoreError> {
        let Store::Sqlite(store) = self;
        store.text_of(id, version)
    }

    /// The highest version that a popup had before this one.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn version_before(&mut self, id: &str, version: u32) -> Result<Option<u32>, StoreError> {
        let Store::Sqlite(store) = self;
        store.version_before(id, version)
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

    /// Every popup that was ever stored, sorted by id, with the catalog's version.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn catalog(&mut self) -> Result<StoredCatalog, StoreError> {
        let Reader::Sqlite(reader) = self;
        reader.catalog()
    }

    /// The catalog's version.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn catalog_version(&mut self) -> Result<u64, StoreError> {
        let Reader::Sqlite(reader) = self;
        reader.catalog_version()
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

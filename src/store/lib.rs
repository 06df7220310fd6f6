//! SQL: where every acknowledged record ends, exactly once, and where a user's state is read back
//! from when it is in no slice. An enum of two databases with the same tables and names.
//! Owns connections, statements, schema and the dead-letter file. Must not know shards, requests,
//! the journal's files or threads: the caller brings records and gives each of [`Store`] and
//! [`Reader`] a thread of its own.
//!
//! `sqlite` the embedded store · `mysql` the one that nodes share · `catalog` what a change of
//! popups does · `overrides` what pauses and archives do · `error` what can go wrong ·
//! `dead_letter` rows that SQL refuses · `stored` what is read for people and for the catalog ·
//! `whole` rows on their way into another store.

pub mod catalog;
pub mod dead_letter;
pub mod error;
pub mod mysql;
mod overrides;
pub mod sqlite;
pub mod stored;
pub mod whole;

use std::path::Path;
use std::time::Duration;

use jiff::tz::TimeZone;

pub use catalog::{CatalogChange, ImportedPopup};
pub use error::StoreError;
pub use mysql::FailureKind;
pub use stored::{
    Applied, Dropped, HistoryEntry, Origin, Run, StatRow, StoredCatalog, StoredEvent, StoredKey,
    StoredPopup, StreamId, status_of, status_word,
};

use whole::{TakenUsers, WholeStat};

use nudged_background::writer::union::{Tombstone, WholeUser};
use nudged_base::ids::Sequence;
use nudged_base::limits::APPLY_RECORDS_MAX;
use nudged_base::time::WallMs;
use nudged_config::Config;
use nudged_domain::catalog::overrides::{Entry, EntryId};
use nudged_domain::state::user::UserState;
use nudged_journal::record::Record;

/// The connection that writes; one a process.
#[derive(Debug)]
pub enum Store {
    /// One file in the data directory.
    Sqlite(sqlite::Sqlite),
    /// A database of a server.
    Mysql(mysql::Mysql),
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

    /// The store that a configuration names: `[mysql] url`, else the data directory's own. A server
    /// is not connected to before it is asked something.
    ///
    /// # Errors
    /// As [`Store::open`], or where the url can't be read.
    pub fn of(config: &Config) -> Result<Store, StoreError> {
        match config.mysql.url {
            Some(_) => mysql::Mysql::new(config).map(Store::Mysql),
            None => Store::open(&config.data),
        }
    }

    /// Somebody waits for what is asked from now on: a server that says nothing for so long has
    /// failed as one that can't be reached.
    pub fn answer_within(&mut self, silence_max: Duration) {
        match self {
            Store::Sqlite(_) => {}
            Store::Mysql(store) => store.answer_within(silence_max),
        }
    }

    /// Looks whether a server is there and has the schema of this binary; gives what of its
    /// settings weakens a promise, a sentence each. A file was looked at when it was opened.
    ///
    /// # Errors
    /// Where the server can't be reached, or `nudged migrate` has to be run.
    pub fn check(&mut self) -> Result<Vec<String>, StoreError> {
        match self {
            Store::Sqlite(_) => Ok(Vec::new()),
            Store::Mysql(store) => store.check(),
        }
    }

    /// The popups that are not shown any more since opening this store has upgraded its schema; a
    /// server's is upgraded by `nudged migrate`.
    pub fn take_dropped(&mut self) -> Vec<Dropped> {
        match self {
            Store::Sqlite(store) => store.take_dropped(),
            Store::Mysql(_) => Vec::new(),
        }
    }

    /// Rights that a server denies this user and a node needs, as `GRANT` takes them; a file has
    /// none. Changes nothing there.
    ///
    /// # Errors
    /// Where the server can't be reached.
    pub fn missing_rights(&mut self) -> Result<Vec<String>, StoreError> {
        match self {
            Store::Sqlite(_) => Ok(Vec::new()),
            Store::Mysql(store) => store.missing_rights(),
        }
    }

    /// Records that are worth one transaction: `[mysql] batch`, or `APPLY_RECORDS_MAX`.
    pub fn records_max(&self) -> usize {
        match self {
            Store::Sqlite(_) => APPLY_RECORDS_MAX,
            Store::Mysql(store) => store.records_max(),
        }
    }

    /// What nodes share beside records; `None` for a store of one node.
    pub fn shared(&mut self) -> Option<&mut mysql::Mysql> {
        match self {
            Store::Sqlite(_) => None,
            Store::Mysql(store) => Some(store),
        }
    }

    /// Whether something was written that is not in the database's file yet. Never of a server.
    pub fn is_to_fold(&self) -> bool {
        matches!(self, Store::Sqlite(store) if store.is_to_fold())
    }

    /// Whether a user was erased whose id is still beside the database's file.
    pub fn must_fold(&self) -> bool {
        matches!(self, Store::Sqlite(store) if store.must_fold())
    }

    /// Folds what was written into the database's file, and empties what is beside it; false where
    /// a reader was in the way of a part.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn fold(&mut self) -> Result<bool, StoreError> {
        match self {
            Store::Sqlite(store) => store.fold(),
            Store::Mysql(_) => Ok(true),
        }
    }

    /// The signing keys of a node that shares none, the oldest first; none of a shared store.
    ///
    /// # Errors
    /// Where the database fails, or a row is no key.
    pub fn own_signing_keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        match self {
            Store::Sqlite(store) => store.signing_keys_stored(),
            Store::Mysql(_) => Ok(Vec::new()),
        }
    }

    /// Makes these the signing keys of a node that shares none. Nothing in a shared store.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn replace_own_signing_keys(&mut self, keys: &[StoredKey]) -> Result<(), StoreError> {
        match self {
            Store::Sqlite(store) => store.replace_signing_keys(keys),
            Store::Mysql(_) => Ok(()),
        }
    }

    /// The stream of a journal's set id, made where it is new, and claimed: whoever claimed it
    /// before is fenced.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn stream_id(&mut self, set_id: [u8; 16]) -> Result<StreamId, StoreError> {
        match self {
            Store::Sqlite(store) => store.stream_id(set_id),
            Store::Mysql(store) => store.stream_id(set_id),
        }
    }

    /// The last sequence of a stream that is applied; 0 for none.
    ///
    /// # Errors
    /// Where the database fails, or the stream is unknown.
    pub fn position(&self, stream: StreamId) -> Result<Sequence, StoreError> {
        match self {
            Store::Sqlite(store) => store.position(stream),
            Store::Mysql(store) => store.position(stream),
        }
    }

    /// The newest time among a stream's latest 1,000 events; `None` where it has none. A node's
    /// time must not begin before it: SQL may have records that a loss of power took from the
    /// journal.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn newest(&self, stream: StreamId) -> Result<Option<WallMs>, StoreError> {
        match self {
            Store::Sqlite(store) => store.newest(stream),
            Store::Mysql(store) => store.newest(stream),
        }
    }

    /// Applies up to [`Store::records_max`] records of ascending, gapless sequence, in one
    /// transaction with the position; after a failure a server may get them in several. Records at
    /// or below the position are skipped. After an error a part of them may be applied, and a
    /// commit may have failed after the fact: the position tells, so calling again is always safe.
    ///
    /// # Errors
    /// [`StoreError::Behind`] where the records start beyond the position, [`StoreError::Fenced`]
    /// and [`StoreError::Halted`] where going on would mix two journals, and where the database or
    /// the dead-letter file fails.
    ///
    /// # Panics
    /// In SQLite on more than `APPLY_RECORDS_MAX` records; on a stream that was not claimed here.
    pub fn apply(
        &mut self,
        stream: StreamId,
        records: &[(Sequence, Record<'_>)],
    ) -> Result<Applied, StoreError> {
        match self {
            Store::Sqlite(store) => store.apply(stream, records),
            Store::Mysql(store) => store.apply_runs(&[Run { stream, is_dense: true, records }]),
        }
    }

    /// Applies runs of several streams, in one transaction with their positions where nothing
    /// fails. Records of one user have to be in the order of their revisions, or it has to be all
    /// the same.
    ///
    /// # Errors
    /// As [`Store::apply`]. [`StoreError::Fenced`] names the stream that another node has claimed:
    /// without it the rest may be applied.
    ///
    /// # Panics
    /// As [`Store::apply`]; in SQLite on a run that is not dense: a node of its own has no lists.
    pub fn apply_runs(&mut self, runs: &[Run<'_>]) -> Result<Applied, StoreError> {
        match self {
            Store::Sqlite(store) => {
                let mut total = Applied::default();
                for run in runs {
                    assert!(run.is_dense, "lists are of nodes that share a server");
                    total.add(store.apply(run.stream, run.records)?);
                }
                Ok(total)
            }
            Store::Mysql(store) => store.apply_runs(runs),
        }
    }

    /// Moves the position over records that are lost: recovery has reported their sequences. A
    /// position that is there already stays.
    ///
    /// # Errors
    /// Where the database fails or another process has claimed the stream.
    pub fn skip_lost(&mut self, stream: StreamId, through: Sequence) -> Result<(), StoreError> {
        match self {
            Store::Sqlite(store) => store.skip_lost(stream, through),
            Store::Mysql(store) => store.skip_lost(stream, through),
        }
    }

    /// Users behind `after`, in the order of their ids' bytes, at most `count`, with everything
    /// that is stored of them but their events.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn whole_users_after(
        &mut self,
        after: &str,
        count: usize,
    ) -> Result<Vec<WholeUser>, StoreError> {
        match self {
            Store::Sqlite(store) => store.whole_users_after(after, count),
            Store::Mysql(store) => store.whole_users_after(after, count),
        }
    }

    /// Takes users of another store in, in one transaction: who is there gets both stores' shows,
    /// under a revision above both. No node may run on this store, or it decides by what it knew.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn take_users(
        &mut self,
        users: &[WholeUser],
        zone: &TimeZone,
    ) -> Result<TakenUsers, StoreError> {
        match self {
            Store::Sqlite(store) => store.take_users(users, zone),
            Store::Mysql(store) => store.take_users(users, zone),
        }
    }

    /// Tombstones behind a hash, as a signed number, in its order, at most `count`.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn tombstones_after(
        &mut self,
        after: i64,
        count: usize,
    ) -> Result<Vec<Tombstone>, StoreError> {
        match self {
            Store::Sqlite(store) => store.tombstones_after(after, count),
            Store::Mysql(store) => store.tombstones_after(after, count),
        }
    }

    /// Takes tombstones of another store in, in one transaction: they keep its records and tokens
    /// out. Users of this store stay; their revisions are lifted above.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn take_tombstones(&mut self, tombstones: &[Tombstone]) -> Result<(), StoreError> {
        match self {
            Store::Sqlite(store) => store.take_tombstones(tombstones),
            Store::Mysql(store) => store.take_tombstones(tombstones),
        }
    }

    /// Statistics behind a row, in the order of (popup, variant, hour, set), at most `count`.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn whole_stats_after(
        &mut self,
        after: Option<&WholeStat>,
        count: usize,
    ) -> Result<Vec<WholeStat>, StoreError> {
        match self {
            Store::Sqlite(store) => store.whole_stats_after(after, count),
            Store::Mysql(store) => store.whole_stats_after(after, count),
        }
    }

    /// Takes statistics of another store in, in one transaction: of a row that is there each count
    /// is the higher one, since both are the same stream's.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn take_stats(&mut self, stats: &[WholeStat]) -> Result<(), StoreError> {
        match self {
            Store::Sqlite(store) => store.take_stats(stats),
            Store::Mysql(store) => store.take_stats(stats),
        }
    }

    /// Drops the tombstones of users erased 8 days before `now` or earlier; gives their number.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn purge_tombstones(&mut self, now: WallMs) -> Result<usize, StoreError> {
        match self {
            Store::Sqlite(store) => store.purge_tombstones(now),
            Store::Mysql(store) => store.purge_tombstones(now),
        }
    }

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
        match self {
            Store::Sqlite(store) => store.change_catalog(based_on, change, who, at),
            Store::Mysql(store) => store.change_catalog(based_on, change, who, at),
        }
    }

    /// Takes in what a node knows of pauses and archives, each with its lines of history; what is
    /// there already changes nothing. All or nothing, synced to disk before it returns; raises the
    /// catalog's version where anything is news.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn put_overrides(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        match self {
            Store::Sqlite(store) => store.put_overrides(entries),
            Store::Mysql(store) => store.put_overrides(entries),
        }
    }

    /// The pauses and archives of these ids, those that have ended too, as far as they are there.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn overrides_of(&mut self, ids: &[EntryId]) -> Result<Vec<Entry>, StoreError> {
        match self {
            Store::Sqlite(store) => store.overrides_of(ids),
            Store::Mysql(store) => store.overrides_of(ids),
        }
    }

    /// Every popup that was ever stored, sorted by id, with the catalog's version.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn load_catalog(&mut self) -> Result<StoredCatalog, StoreError> {
        match self {
            Store::Sqlite(store) => store.load_catalog(),
            Store::Mysql(store) => store.load_catalog(),
        }
    }

    /// The catalog's version: rises by one with each change, from whichever process.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn catalog_version(&mut self) -> Result<u64, StoreError> {
        match self {
            Store::Sqlite(store) => store.catalog_version(),
            Store::Mysql(store) => store.catalog_version(),
        }
    }

    /// The definition that a popup had in a version; `None` where it never had that version.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn text_of(&mut self, id: &str, version: u32) -> Result<Option<String>, StoreError> {
        match self {
            Store::Sqlite(store) => store.text_of(id, version),
            Store::Mysql(store) => store.text_of(id, version),
        }
    }

    /// The highest version that a popup had before this one.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn version_before(&mut self, id: &str, version: u32) -> Result<Option<u32>, StoreError> {
        match self {
            Store::Sqlite(store) => store.version_before(id, version),
            Store::Mysql(store) => store.version_before(id, version),
        }
    }
}

/// A connection that reads beside the one that writes; it never waits for it and never holds it up.
#[derive(Debug)]
pub enum Reader {
    /// One file in the data directory.
    Sqlite(sqlite::SqliteReader),
    /// A database of a server.
    Mysql(Box<mysql::MysqlReader>),
}

impl Reader {
    /// Opens the database of a [`Store`] that has been opened before.
    ///
    /// # Errors
    /// Where the file can't be opened or is no database.
    pub fn open(directory: &Path) -> Result<Reader, StoreError> {
        sqlite::SqliteReader::open(directory).map(Reader::Sqlite)
    }

    /// The reader that goes with [`Store::of`].
    ///
    /// # Errors
    /// Where the file can't be opened or is no database, or the url can't be read.
    pub fn of(config: &Config) -> Result<Reader, StoreError> {
        match config.mysql.url {
            Some(_) => {
                mysql::MysqlReader::new(config).map(|reader| Reader::Mysql(Box::new(reader)))
            }
            None => Reader::open(&config.data),
        }
    }

    /// As [`Store::answer_within`].
    pub fn answer_within(&mut self, silence_max: Duration) {
        match self {
            Reader::Sqlite(_) => {}
            Reader::Mysql(reader) => reader.answer_within(silence_max),
        }
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
        match self {
            Reader::Sqlite(reader) => reader.read_users(users, found),
            Reader::Mysql(reader) => reader.read_users(users, found),
        }
    }

    /// The ids of the users that have rows, in the order of their bytes, behind `after`: at most
    /// `count` of them. Fewer than that are the last ones.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn users_after(&mut self, after: &str, count: usize) -> Result<Vec<String>, StoreError> {
        match self {
            Reader::Sqlite(reader) => reader.users_after(after, count),
            Reader::Mysql(reader) => reader.users_after(after, count),
        }
    }

    /// A user's latest events, newest first, up to `count` and at most 1,000.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn user_events(&self, user: &str, count: u32) -> Result<Vec<StoredEvent>, StoreError> {
        match self {
            Reader::Sqlite(reader) => reader.user_events(user, count),
            Reader::Mysql(reader) => reader.user_events(user, count),
        }
    }

    /// Counts per popup, variant and hour for hours in `[from, to)`, of one popup or of all, summed
    /// over streams and sorted by key, where there is anything.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn stats(
        &self,
        popup: Option<&str>,
        from: WallMs,
        to: WallMs,
    ) -> Result<Vec<StatRow>, StoreError> {
        match self {
            Reader::Sqlite(reader) => reader.stats(popup, from, to),
            Reader::Mysql(reader) => reader.stats(popup, from, to),
        }
    }

    /// Every popup that was ever stored, sorted by id, with the catalog's version.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn catalog(&mut self) -> Result<StoredCatalog, StoreError> {
        match self {
            Reader::Sqlite(reader) => reader.catalog(),
            Reader::Mysql(reader) => reader.catalog(),
        }
    }

    /// The catalog's version.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn catalog_version(&mut self) -> Result<u64, StoreError> {
        match self {
            Reader::Sqlite(reader) => reader.catalog_version(),
            Reader::Mysql(reader) => reader.catalog_version(),
        }
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
        match self {
            Reader::Sqlite(reader) => reader.history(popup, before, count),
            Reader::Mysql(reader) => reader.history(popup, before, count),
        }
    }

    /// The definition of a popup's version; `None` where its history does not have it.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn text_of(&self, popup: &str, version: u32) -> Result<Option<String>, StoreError> {
        match self {
            Reader::Sqlite(reader) => reader.text_of(popup, version),
            Reader::Mysql(reader) => reader.text_of(popup, version),
        }
    }
}

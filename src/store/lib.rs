//! SQL: where every acknowledged record ends, exactly once, and where a user's state is read back
//! from when it is in no slice. Two databases with the same tables and names: a file of one node,
//! and a server that nodes share.
//! Owns connections, statements, schema and the dead-letter file. Must not know shards, requests,
//! the journal's files or threads: the caller brings records and gives each of [`Store`] and
//! [`StoreReader`] a thread of its own.
//!
//! `statements` what is asked and written, each once · `session` a connection of either kind ·
//! `statement`, `value` what the two spell and bind differently · `sqlite` the file · `mysql` the
//! server · `catalog` what a change of popups does · `overrides` what pauses and archives do ·
//! `error` what can go wrong · `dead_letter` rows that SQL refuses · `stored` what is read for
//! people and for the catalog · `whole` rows on their way into another store.

pub mod catalog;
pub mod dead_letter;
pub mod error;
pub mod mysql;
mod overrides;
mod session;
pub mod sqlite;
mod statement;
mod statements;
pub mod stored;
mod value;
pub mod whole;

use std::cell::RefCell;
use std::path::Path;
use std::time::Duration;

pub use catalog::{CatalogChange, ImportedPopup, difference};
pub use error::StoreError;
pub use mysql::FailureKind;
pub use statements::StatPlaceAt;
pub use stored::{
    Applied, DraftChange, Dropped, HISTORY_CHANGES, HistoryEntry, LiveNode, PopupOrigin, RecordRun,
    StatRow, StatUsers, StoredCatalog, StoredDraft, StoredEvent, StoredKey, StoredPopup, StreamId,
};

use self::dead_letter::DeadLetters;
use self::mysql::Remote;
use self::session::Session;
use self::sqlite::Embedded;
use self::statements::KnownSketches;
use nudged_base::limits::APPLY_RECORDS_MAX;
use nudged_config::Config;

/// The connection that writes; one a process.
#[derive(Debug)]
pub struct Store {
    // A question may have to connect anew, which changes the session and not the store.
    session: RefCell<Session>,
    dead_letters: DeadLetters,
    claims: Vec<Claim>,
    sketches: KnownSketches,
    /// Records that a transaction applies by configuration, and now: less after a failure.
    records_max: usize,
    records_now: usize,
    /// The popups that opening it has stopped.
    dropped: Vec<Dropped>,
}

/// A stream that this process applies, and the epoch that fences others.
#[derive(Clone, Copy, Debug)]
struct Claim {
    stream: StreamId,
    epoch: i64,
    /// Whose rows of statistics its records are counted in: its own, or of a list the lane's.
    counted_in: StreamId,
}

impl Store {
    /// Opens, creates or upgrades `nudged.db` in a directory that exists.
    ///
    /// # Errors
    /// Where the file can't be opened, is no database of ours, is locked for 5 s, or has a schema
    /// that is newer than this binary; all of them are exit code 4.
    pub fn open(directory: &Path) -> Result<Store, StoreError> {
        let (embedded, is_upgraded) = Embedded::open(directory)?;
        let mut session = Session::Sqlite(embedded.into());
        let dropped = match is_upgraded {
            true => statements::overrides::dropped(&mut session)?,
            false => Vec::new(),
        };
        Ok(Store { dropped, ..Store::over(session, directory, APPLY_RECORDS_MAX) })
    }

    /// The store that a configuration names: `[mysql] url`, else the data directory's own. A server
    /// is not connected to before it is asked something.
    ///
    /// # Errors
    /// As [`Store::open`], or where the url can't be read.
    pub fn of(config: &Config) -> Result<Store, StoreError> {
        let Some(url) = &config.mysql.url else { return Store::open(&config.data) };
        let session = Session::Mysql(Remote::new(url, &config.mysql)?.into());
        let records_max = usize::try_from(config.mysql.batch).unwrap_or(usize::MAX).max(1);
        Ok(Store::over(session, &config.data, records_max))
    }

    fn over(session: Session, directory: &Path, records_max: usize) -> Store {
        Store {
            session: RefCell::new(session),
            dead_letters: DeadLetters::new(directory),
            claims: Vec::new(),
            sketches: KnownSketches::default(),
            records_max,
            records_now: records_max,
            dropped: Vec::new(),
        }
    }

    /// Somebody waits for what is asked from now on: a server that says nothing for so long has
    /// failed as one that can't be reached.
    pub fn answer_within(&mut self, silence_max: Duration) {
        self.session.get_mut().answer_within(silence_max);
    }

    /// Looks whether a server is there and has the schema of this binary; gives what of its
    /// settings weakens a promise, a sentence each. A file was looked at when it was opened.
    ///
    /// # Errors
    /// Where the server can't be reached, or `nudged migrate` has to be run.
    pub fn check(&mut self) -> Result<Vec<String>, StoreError> {
        match self.session.get_mut() {
            Session::Sqlite(_) => Ok(Vec::new()),
            Session::Mysql(remote) => mysql::check(remote),
        }
    }

    /// The popups that are not shown any more since opening this store has upgraded its schema; a
    /// server's is upgraded by `nudged migrate`.
    pub fn take_dropped(&mut self) -> Vec<Dropped> {
        std::mem::take(&mut self.dropped)
    }

    /// Rights that a server denies this user and a node needs, as `GRANT` takes them; a file has
    /// none. Changes nothing there.
    ///
    /// # Errors
    /// Where the server can't be reached.
    pub fn missing_rights(&mut self) -> Result<Vec<String>, StoreError> {
        match self.session.get_mut() {
            Session::Sqlite(_) => Ok(Vec::new()),
            Session::Mysql(remote) => mysql::missing_rights(remote),
        }
    }

    /// Records that are worth one transaction: `[mysql] batch`, or `APPLY_RECORDS_MAX`.
    pub fn records_max(&self) -> usize {
        self.records_max
    }

    /// The store where nodes share it, for what they share beside records; `None` for a store of
    /// one node.
    pub fn shared(&mut self) -> Option<&mut Store> {
        matches!(self.session.get_mut(), Session::Mysql(_)).then_some(self)
    }

    /// Until [`Store::let_others_ask`], no other store or reader of this process is let ask its
    /// server: it may have another database than the one that was meant.
    pub fn ask_alone(&mut self) {
        if let Session::Mysql(remote) = self.session.get_mut() {
            remote.ask_first();
            mysql::hold();
        }
    }

    /// The server's database is the one that was meant.
    pub fn let_others_ask(&self) {
        mysql::release();
    }

    /// The server and its database, without user and password; empty for a file.
    pub fn server_name(&self) -> String {
        match &*self.session.borrow() {
            Session::Sqlite(_) => String::new(),
            Session::Mysql(remote) => remote.server().to_string(),
        }
    }

    /// Statements that were sent to a server, for measurements. A transaction has 8, one of lists
    /// 9, those that erase a user or take a show back some more: there only is something to delete.
    pub fn statements(&self) -> u64 {
        match &*self.session.borrow() {
            Session::Sqlite(_) => 0,
            Session::Mysql(remote) => remote.statements(),
        }
    }

    /// Whether something was written that is not in the database's file yet. Never of a server.
    pub fn is_to_fold(&self) -> bool {
        matches!(&*self.session.borrow(), Session::Sqlite(embedded) if embedded.is_to_fold)
    }

    /// Whether a user was erased whose id is still beside the database's file.
    pub fn must_fold(&self) -> bool {
        matches!(&*self.session.borrow(), Session::Sqlite(embedded) if embedded.must_fold)
    }

    /// Folds what was written into the database's file, and empties what is beside it; false where
    /// a reader was in the way of a part.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn fold(&mut self) -> Result<bool, StoreError> {
        match self.session.get_mut() {
            Session::Sqlite(embedded) => embedded.fold(),
            Session::Mysql(_) => Ok(true),
        }
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

/// A connection that reads beside the one that writes; it never waits for it and never holds it up.
/// Its transactions are short, so that a file's log can be folded in.
#[derive(Debug)]
pub struct StoreReader {
    session: RefCell<Session>,
    replica: Option<RefCell<Session>>,
}

impl StoreReader {
    /// Opens the database of a [`Store`] that has been opened before.
    ///
    /// # Errors
    /// Where the file can't be opened or is no database.
    pub fn open(directory: &Path) -> Result<StoreReader, StoreError> {
        let session = Session::Sqlite(Embedded::open_reader(directory)?.into());
        Ok(StoreReader { session: RefCell::new(session), replica: None })
    }

    /// The reader that goes with [`Store::of`].
    ///
    /// # Errors
    /// Where the file can't be opened or is no database, or the url can't be read.
    pub fn of(config: &Config) -> Result<StoreReader, StoreError> {
        let settings = &config.mysql;
        let Some(url) = &settings.url else { return StoreReader::open(&config.data) };
        let session = |url| {
            Remote::new(url, settings).map(|remote| RefCell::new(Session::Mysql(remote.into())))
        };
        let replica = settings.replica.as_ref().map(session).transpose()?;
        Ok(StoreReader { session: session(url)?, replica })
    }

    /// As [`Store::answer_within`].
    pub fn answer_within(&mut self, silence_max: Duration) {
        self.session.get_mut().answer_within(silence_max);
        if let Some(replica) = &mut self.replica {
            replica.get_mut().answer_within(silence_max);
        }
    }

    /// Where people's questions go.
    fn reports(&self) -> &RefCell<Session> {
        self.replica.as_ref().unwrap_or(&self.session)
    }
}

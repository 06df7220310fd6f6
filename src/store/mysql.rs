//! The shared store: a database of a MySQL server, MySQL 5.7 or newer, MariaDB 10.6 or newer, or
//! what speaks their protocol. Owns its connections, their settings and timeouts. Must not know the
//! journal's files, shards or threads.
//!
//! `session` one connection · `census` how many · `gate` which of them may ask · `failure` what
//! their errors mean · `address` the url · `text` statements as text · `apply` records →
//! transactions · `rows`, `erase`, `withdraw` theirs · `streams` claims and positions · `shared`
//! what nodes agree on · `popups` the catalog · `reader` the connection that reads · `rights` what
//! it has to be let do · `schema` making and upgrading · `settings` what a server should be told.
//!
//! Everything is a blocking call: the runtime that drives the client is inside and has one thread,
//! the caller's. Every wait has a bound, `[mysql] connect_timeout` or `query_timeout`; a connection
//! that does not keep it is dropped.
//!
//! Privileges: SELECT, INSERT, UPDATE and DELETE on the database; for `nudged migrate` CREATE and
//! ALTER too. A user may always end its own connections, so PROCESS and SUPER are not needed.

mod address;
mod apply;
mod census;
mod erase;
pub(super) mod failure;
mod gate;
mod overrides;
mod popups;
mod reader;
mod rights;
mod rows;
mod schema;
mod session;
mod settings;
mod shared;
mod streams;
mod text;
mod whole;
mod withdraw;

use std::cell::RefCell;
use std::time::Duration;

pub use census::{connections_made, connections_open};
pub use failure::{FailureKind, ServerFailure};
pub use reader::MysqlReader;
pub use schema::{dropped_since, migrate};
pub use shared::LiveNode;
pub use whole::TakenPopup;

use session::Session;

use super::dead_letter::DeadLetters;
use super::error::StoreError;
use super::stored::StreamId;
use nudged_config::Config;

/// Whether a url names a database of a server. Connects to nothing.
///
/// # Errors
/// [`StoreError::Address`] with what is wrong.
pub fn check_url(url: &str) -> Result<(), StoreError> {
    address::hosts(url).map(drop)
}

/// The connection that writes.
#[derive(Debug)]
pub struct Mysql {
    // A question may have to connect anew, which changes the session and not the store.
    session: RefCell<Session>,
    dead_letters: DeadLetters,
    claims: Vec<Claim>,
    /// Records that a transaction applies by configuration, and now: less after a failure.
    records_max: usize,
    records_now: usize,
}

/// A stream that this process applies, and the epoch that fences others.
#[derive(Clone, Copy, Debug)]
struct Claim {
    stream: StreamId,
    epoch: i64,
}

impl Mysql {
    /// A store that connects when it is first asked something.
    ///
    /// # Errors
    /// Where the url can't be read, or the system refuses a runtime.
    ///
    /// # Panics
    /// Without `[mysql] url`.
    pub(super) fn new(config: &Config) -> Result<Mysql, StoreError> {
        let settings = &config.mysql;
        let url = settings.url.as_ref().expect("the caller has looked for it");
        let records_max = usize::try_from(settings.batch).unwrap_or(usize::MAX).max(1);
        Ok(Mysql {
            session: RefCell::new(Session::new(url, settings)?),
            dead_letters: DeadLetters::new(&config.data),
            claims: Vec::new(),
            records_max,
            records_now: records_max,
        })
    }

    /// See [`super::Store::records_max`].
    pub(super) fn records_max(&self) -> usize {
        self.records_max
    }

    /// See [`super::Store::check`].
    pub(super) fn check(&mut self) -> Result<Vec<String>, StoreError> {
        let session = self.session.get_mut();
        schema::check(session)?;
        settings::warnings(session)
    }

    /// See [`super::Store::answer_within`].
    pub(super) fn answer_within(&mut self, silence_max: Duration) {
        self.session.get_mut().answer_within(silence_max);
    }

    /// Until [`Mysql::let_others_ask`], no other store or reader of this process is let ask its
    /// server: it may have another database than the one that was meant.
    pub fn ask_alone(&mut self) {
        self.session.get_mut().ask_first();
        gate::hold();
    }

    /// The database is the one that was meant.
    pub fn let_others_ask(&self) {
        gate::release();
    }

    /// The server and its database, without user and password.
    pub fn server_name(&self) -> String {
        self.session.borrow().server().to_string()
    }

    /// See [`super::Store::missing_rights`].
    pub(super) fn missing_rights(&mut self) -> Result<Vec<String>, StoreError> {
        rights::missing(self.session.get_mut())
    }

    /// Statements that were sent, for measurements. A transaction has 8, those that erase a user
    /// or take a show back some more: there only is something to delete.
    pub fn statements(&self) -> u64 {
        self.session.borrow().statements()
    }

    /// The number of this store's connection on the server, for tests that end it.
    ///
    /// # Errors
    /// Where the server can't be reached.
    pub fn connection_id(&mut self) -> Result<u64, StoreError> {
        self.session.get_mut().connection_id()
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

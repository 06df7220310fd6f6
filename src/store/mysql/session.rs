//! One connection to a MySQL server, made when it is needed and made again when it is lost. Owns
//! the runtime that drives it, its settings and its timeouts. Must not know tables.
//!
//! ```text
//! none -> connecting -> connected -> statement -> connected
//!   ^         |                          |
//!   +---------+-- failure or timeout ----+   the connection is dropped; where a transaction was
//!                                            open, the next connection kills it first
//! ```
//!
//! A statement whose connection was lost is sent again once where that is harmless: outside a
//! transaction, on a connection that had been idle. Everything else is the caller's to repeat.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::address;
use super::census::Counted;
use super::failure::{FailureKind, ServerFailure};
use super::gate;
use super::text::{self, RowStatements, bound};
use crate::error::StoreError;
use crate::statement::{Dialect, Insert};
use crate::value::{Row, SqlValue, Unreadable};
use nudged_base::limits::{
    MYSQL_LOCK_WAIT_S, MYSQL_STATEMENT_BYTES_MAX, MYSQL_STATEMENT_BYTES_MIN,
};
use nudged_config::{MysqlSettings as Settings, SecretText};

/// What each connection is told first, whatever its server was set to for everybody: texts are
/// UTF-8 and nothing is cut to fit; times are UTC; a statement stands alone and a COMMIT ends its
/// transaction; no answer is cut short and no statement is refused or ended for its size; a key is
/// unique; and a lock, on rows or on a table that somebody alters, is given soon or not at all.
const SETUP: [&str; 4] = [
    "SET NAMES utf8mb4",
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', \
     SESSION time_zone = '+00:00', SESSION autocommit = 1, SESSION completion_type = 0",
    // The two times go by other names, which the other server takes for comments.
    "SET SESSION sql_select_limit = 18446744073709551615, SESSION sql_safe_updates = 0, \
     /*M!100108 SESSION max_statement_time = 0, */ /*!50708 SESSION max_execution_time = 0, */ \
     SESSION sql_big_selects = 1, SESSION unique_checks = 1",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
];

/// A server as one thread sees it.
pub(crate) struct Remote {
    // Before the runtime, which has to outlive it.
    connection: Option<Connected>,
    runtime: Runtime,
    hosts: Vec<Opts>,
    host: usize,
    connect_timeout: Duration,
    /// The same by configuration.
    connect_timeout_max: Duration,
    query_timeout: Duration,
    /// The server may say nothing for this long while a statement runs.
    silence_max: Duration,
    server: Arc<str>,
    is_in_transaction: bool,
    /// A connection that may still hold a transaction open on the server.
    left_behind: Option<Identity>,
    statements: u64,
    /// It asks while the gate holds the others.
    is_first: bool,
}

struct Connected {
    conn: Conn,
    _counted: Counted,
    identity: Identity,
    statement_bytes_max: usize,
    /// What the server takes in one packet: a statement and the byte before it; 0 for unknown.
    packet_bytes_max: usize,
}

/// Names a connection on a server; numbers begin anew when the server does.
#[derive(Clone, PartialEq)]
struct Identity {
    id: u64,
    hostname: String,
    port: u64,
    since: Instant,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Options hold the password.
        formatter.debug_struct("Remote").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Remote {
    /// A session with the server of a url; does not connect.
    ///
    /// # Errors
    /// Where the url can't be read.
    pub(crate) fn new(url: &SecretText, settings: &Settings) -> Result<Remote, StoreError> {
        let (hosts, server) = address::hosts(url.expose())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|source| StoreError::Runtime { source })?;
        Ok(Remote {
            connection: None,
            runtime,
            hosts,
            host: 0,
            connect_timeout: Duration::from_millis(settings.connect_timeout.0),
            connect_timeout_max: Duration::from_millis(settings.connect_timeout.0),
            query_timeout: Duration::from_millis(settings.query_timeout.0),
            silence_max: Duration::from_millis(settings.query_timeout.0),
            server,
            is_in_transaction: false,
            left_behind: None,
            statements: 0,
            is_first: false,
        })
    }

    /// Somebody waits for what is asked from now on: a server that says nothing for so long is
    /// given up, at a connect too; one that sends rows may go on for as long as ever.
    pub(crate) fn answer_within(&mut self, silence_max: Duration) {
        self.silence_max = silence_max.min(self.query_timeout);
        self.connect_timeout = silence_max.min(self.connect_timeout_max);
    }

    /// It looks which database it is, while the others wait for that.
    pub(crate) fn ask_first(&mut self) {
        self.is_first = true;
    }

    /// Whether a transaction that began then may be tried again: not once it takes longer than a
    /// statement may.
    pub(crate) fn may_try_again(&self, begun: Instant) -> bool {
        begun.elapsed() < self.silence_max
    }

    /// The server and its database, without user and password.
    pub(crate) fn server(&self) -> &Arc<str> {
        &self.server
    }

    /// Statements that were sent.
    pub(crate) fn statements(&self) -> u64 {
        self.statements
    }

    /// Bytes that one statement may have on this connection; half of what the server takes.
    fn statement_bytes_max(&mut self) -> Result<usize, StoreError> {
        Ok(self.connected()?.statement_bytes_max)
    }

    /// See [`crate::session::Session::query`].
    pub(crate) fn query<T>(
        &mut self,
        action: &'static str,
        text: &str,
        values: &[SqlValue<'_>],
        mut read: impl FnMut(&mut Row<'_>) -> Result<T, Unreadable>,
    ) -> Result<Vec<T>, StoreError> {
        let rows = self.run(action, &bound(text, values))?.0;
        let found: Result<Vec<T>, _> =
            rows.into_iter().map(|row| read(&mut Row::of_mysql(row))).collect();
        found.map_err(|_| self.error(action, ServerFailure::unreadable()))
    }

    /// See [`crate::session::Session::execute`].
    pub(crate) fn execute(
        &mut self,
        action: &'static str,
        text: &str,
        values: &[SqlValue<'_>],
    ) -> Result<u64, StoreError> {
        Ok(self.run(action, &bound(text, values))?.1)
    }

    /// Inserts rows, as many as fit with each statement; gives the number of those that it changed.
    ///
    /// # Errors
    /// Where the server fails.
    pub(crate) fn insert<'v, const COLUMNS: usize>(
        &mut self,
        action: &'static str,
        insert: &Insert<'_>,
        rows: impl Iterator<Item = [SqlValue<'v>; COLUMNS]>,
    ) -> Result<u64, StoreError> {
        let (head, tail) = (insert.head(), insert.tail(Dialect::Mysql));
        let mut statements = RowStatements::new(&head, &tail, self.statement_bytes_max()?);
        rows.for_each(|row| statements.push(&row));
        let statements = statements.finish();
        statements
            .iter()
            .try_fold(0, |changed, text| Ok(changed + self.execute(action, text, &[])?))
    }

    /// A text with its one `?` as lists of keys: as many texts as it takes for each to fit.
    ///
    /// # Errors
    /// Where no host takes a connection.
    pub(crate) fn lists(
        &mut self,
        text: &str,
        keys: &[SqlValue<'_>],
    ) -> Result<Vec<String>, StoreError> {
        Ok(text::lists(text, keys, self.statement_bytes_max()?))
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// Where the server fails.
    pub(crate) fn begin(&mut self) -> Result<(), StoreError> {
        assert!(!self.is_in_transaction, "transactions do not nest");
        self.execute("begin a transaction", "START TRANSACTION", &[])?;
        self.is_in_transaction = true;
        Ok(())
    }

    /// Commits. After an error of the kind `Unreachable` the outcome is unknown; after another one
    /// the transaction may still be open, as where somebody holds all writes up: a
    /// [`Remote::roll_back`] has to follow.
    ///
    /// # Errors
    /// Where the server fails.
    pub(crate) fn commit(&mut self) -> Result<(), StoreError> {
        self.execute("commit", "COMMIT", &[])?;
        self.is_in_transaction = false;
        Ok(())
    }

    /// Undoes the open transaction, if there is one. Where the server does not say that it did, the
    /// connection goes, which undoes it too.
    pub(crate) fn roll_back(&mut self) {
        if !self.is_in_transaction {
            return;
        }
        if self.connection.is_some() && self.execute("roll back", "ROLLBACK", &[]).is_err() {
            self.leave();
        }
        self.is_in_transaction = false;
    }

    /// An error of this server.
    fn error(&self, action: &'static str, source: ServerFailure) -> StoreError {
        StoreError::Server { action, server: Arc::clone(&self.server), source }
    }

    /// Runs a statement, with a second try where the connection had been idle.
    fn run(
        &mut self,
        action: &'static str,
        sql: &str,
    ) -> Result<(Vec<mysql_async::Row>, u64), StoreError> {
        let was_connected = self.connection.is_some();
        // Asked before, for a loss ends the transaction: its statements have no place in another.
        let was_in_transaction = self.is_in_transaction;
        assert!(was_connected || !was_in_transaction, "a lost transaction ends");
        let error = match self.run_once(action, sql) {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let is_idle_loss = error.kind() == FailureKind::Unreachable && !error.is_timeout();
        if was_connected && is_idle_loss && !was_in_transaction {
            return self.run_once(action, sql);
        }
        Err(error)
    }

    fn run_once(
        &mut self,
        action: &'static str,
        sql: &str,
    ) -> Result<(Vec<mysql_async::Row>, u64), StoreError> {
        let (limit, silence_max) = (self.query_timeout, self.silence_max);
        let packet_bytes_max = self.connected()?.packet_bytes_max;
        if packet_bytes_max > 0 && sql.len() >= packet_bytes_max {
            let failure = ServerFailure::too_large(sql.len(), packet_bytes_max);
            return Err(self.error(action, failure));
        }
        self.statements += 1;
        let Remote { runtime, connection, .. } = self;
        let conn = &mut connection.as_mut().expect("it was just connected").conn;
        let outcome = runtime.block_on(async {
            let answer = timeout(limit, answer(conn, sql, silence_max));
            answer.await.unwrap_or_else(|_elapsed| Err(ServerFailure::timeout()))
        });
        let failure = match outcome {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        if failure.kind().ends_connection() {
            self.leave();
        }
        if failure.kind() == FailureKind::ReadOnly {
            self.host = (self.host + 1) % self.hosts.len();
        }
        Err(self.error(action, failure))
    }

    /// Gives the connection up; remembers it where the server may still be at work for it.
    fn leave(&mut self) {
        if let Some(connected) = self.connection.take() {
            self.left_behind = Some(connected.identity);
        }
        self.is_in_transaction = false;
    }

    /// The connection; made where there is none, by the first host that takes one.
    fn connected(&mut self) -> Result<&mut Connected, StoreError> {
        if gate::is_held() && !self.is_first {
            return Err(self.error("connect", ServerFailure::held()));
        }
        if self.connection.is_none() {
            self.connection = Some(self.connect()?);
        }
        Ok(self.connection.as_mut().expect("it was just made"))
    }

    /// A lock that is not given is said before the server's silence is taken for more.
    fn lock_wait_s(&self) -> u64 {
        let below_silence = self.silence_max.as_secs().saturating_sub(1).max(1);
        below_silence.min(MYSQL_LOCK_WAIT_S.into())
    }

    /// Its errors say that it was the connection, whatever was to be asked over it.
    fn connect(&mut self) -> Result<Connected, StoreError> {
        let mut last = None;
        for _ in 0..self.hosts.len() {
            let options = self.hosts[self.host].clone();
            let left_behind = self.left_behind.clone();
            let connecting = open(options, left_behind, self.lock_wait_s());
            let attempt = async { timeout(self.connect_timeout, connecting).await };
            let failure = match self.runtime.block_on(attempt) {
                Ok(Ok(connected)) => {
                    self.left_behind = None;
                    return Ok(connected);
                }
                Ok(Err(error)) => ServerFailure::from(error),
                Err(_elapsed) => ServerFailure::timeout(),
            };
            last = Some(failure);
            self.host = (self.host + 1) % self.hosts.len();
        }
        Err(self.error("connect", last.expect("an address has at least one host")))
    }
}

/// A statement's rows, and how many it changed. The server is heard of again and again until it has
/// answered.
async fn answer(
    conn: &mut Conn,
    sql: &str,
    silence_max: Duration,
) -> Result<(Vec<mysql_async::Row>, u64), ServerFailure> {
    let mut result = heard(conn.query_iter(sql), silence_max).await?;
    let affected = result.affected_rows();
    let mut rows = Vec::new();
    while let Some(row) = heard(result.next(), silence_max).await? {
        rows.push(row);
    }
    heard(result.drop_result(), silence_max).await?;
    Ok((rows, affected))
}

/// What a server says, unless it says nothing for too long.
async fn heard<T>(
    said: impl Future<Output = Result<T, mysql_async::Error>>,
    silence_max: Duration,
) -> Result<T, ServerFailure> {
    match timeout(silence_max, said).await {
        Ok(said) => said.map_err(ServerFailure::from),
        Err(_elapsed) => Err(ServerFailure::timeout()),
    }
}

/// Connects, sets up, and ends what an earlier connection may have left open.
async fn open(
    options: Opts,
    left_behind: Option<Identity>,
    lock_wait_s: u64,
) -> Result<Connected, mysql_async::Error> {
    let mut conn = Conn::new(options).await?;
    for statement in SETUP {
        conn.query_drop(statement).await?;
    }
    let lock_wait = format!(
        "SET SESSION innodb_lock_wait_timeout = {lock_wait_s}, \
         SESSION lock_wait_timeout = {lock_wait_s}"
    );
    conn.query_drop(lock_wait).await?;
    let query = "SELECT CONNECTION_ID(), @@hostname, @@port, @@max_allowed_packet";
    let row: Option<(u64, String, u64, usize)> = conn.query_first(query).await?;
    let (id, hostname, port, packet_bytes_max) = row.unwrap_or_default();
    let identity = Identity { id, hostname, port, since: Instant::now() };
    if let Some(before) = left_behind {
        kill(&mut conn, &identity, &before).await?;
    }
    let statement_bytes_max =
        (packet_bytes_max / 2).clamp(MYSQL_STATEMENT_BYTES_MIN, MYSQL_STATEMENT_BYTES_MAX);
    let counted = Counted::new();
    Ok(Connected { conn, _counted: counted, identity, statement_bytes_max, packet_bytes_max })
}

/// Ends a connection of ours, so that what it had not committed is undone now and not when the
/// server notices. Another server, or one that has started since, knows nothing of it, and may have
/// given its number to a stranger.
async fn kill(
    conn: &mut Conn,
    own: &Identity,
    before: &Identity,
) -> Result<(), mysql_async::Error> {
    if (&own.hostname, own.port) != (&before.hostname, before.port) {
        return Ok(());
    }
    let status: Option<(String, u64)> =
        conn.query_first("SHOW GLOBAL STATUS LIKE 'Uptime'").await?;
    let uptime = Duration::from_secs(status.map_or(0, |(_, seconds)| seconds));
    // Both are rounded: where it is close the number is left alone, and its lock times out.
    if uptime <= before.since.elapsed() + Duration::from_secs(1) {
        return Ok(());
    }
    match conn.query_drop(format!("KILL {}", before.id)).await {
        // Gone already, which is the ordinary case, or not ours any more.
        Err(mysql_async::Error::Server(_)) | Ok(()) => Ok(()),
        Err(error) => Err(error),
    }
}

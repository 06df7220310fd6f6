//! Floor 5: what operators see and do, on a listener of its own. One thread accepts, each
//! connection has a thread of its own that blocks; nothing here is on the path of a decision.
//!
//! ```text
//! socket -> listener -> connection -> routes (access) -> popups, users, status ... -> service
//! ```
//!
//! `socket` addresses · `stream` connections with and without TLS · `certificate` its last days ·
//! `listener`, `seats` who gets in · `connection` one connection · `routes` which handler answers ·
//! `access`, `token` who may ask, `roles` what, `tokens` theirs · `console` files of the web
//! console, `session`, `sessions` (kept in `session_file`), `cookie` who has signed in to it ·
//! `service` what handlers share: the node, its time, SQL · `changes`, `drafts` (`draft_head`) what
//! operators change · `popups`, `popup_list` (by `popup_lookup`, which keeps `popup_facts`),
//! `history`, `users`,
//! `timeline`, `stats` (`csv`), `explain`, `preview`, `status`, `metrics` what they see, `arbiter`
//! of Redis, `process` of the process, `lag` how late SQL is, `popup_totals` by popup, `files` what
//! lies in the data directory, `last_errors` what was wrong, `nodes` the others, `log_lines` its
//! log, `audit` who changed what, `check` a popup before it is stored, `doctor` the host · `live`
//! all of it as it happens, `progress` a pause as it comes on, both as `events` · `listeners`
//! connections by listener · `refusals` what a failure is to them · `answer` replies · `unread` the
//! memory of large ones · `input` texts of requests, `members` small bodies · `operations` the
//! table of routes, `parameters` what their queries may have, `openapi` the description of it all.
//! Limits: those of the admin listener in `base::limits`.

mod access;
mod answer;
mod arbiter;
mod audit;
mod backup;
mod certificate;
mod changes;
mod check;
mod connection;
mod console;
mod cookie;
mod csv;
mod doctor;
mod draft_head;
mod drafts;
mod events;
mod explain;
mod files;
mod history;
mod hosts;
mod input;
mod lag;
mod last_errors;
mod listener;
mod listeners;
mod live;
mod log_lines;
mod members;
mod metrics;
mod nodes;
mod openapi;
mod operations;
mod parameters;
mod popup_facts;
mod popup_list;
mod popup_lookup;
mod popup_totals;
mod popups;
mod preview;
mod process;
mod progress;
mod refusals;
mod roles;
mod routes;
mod seats;
mod service;
mod session;
mod session_file;
mod sessions;
mod socket;
mod stats;
mod status;
mod stream;
#[cfg(test)]
mod tests;
mod timeline;
pub mod token;
mod tokens;
mod unread;
mod users;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use access::AdminAccess;
use hosts::AdminHosts;
use listener::Running;
use nudged_base::clock::NodeClock;
use nudged_config::{AdminAddress, Config, ConsoleAccess};
use nudged_store::StoreReader;
use routes::Router;
use service::Service;
pub use service::{AdminContext, DoctorVisit, HandOverMetrics, RedisMetrics};
use sessions::ConsoleSessions;
use socket::AdminListener;
pub use socket::{BindError, GivenListener, text_of};
use token::{AdminToken, TokenError};

/// Why there is no admin listener.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The token file can't be used.
    #[error("admin_token_file: {0}")]
    Token(#[from] TokenError),
    /// Others can reach the address, and no token is asked for.
    #[error("admin: other hosts can reach {0}, so admin_token_file must name a file with a token")]
    TokenMissing(String),
    /// The address can't be listened on.
    #[error("admin: {0}")]
    Bind(#[from] BindError),
    /// The system gave no thread or descriptor.
    #[error("admin: can't start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// A running admin listener.
#[derive(Debug)]
pub struct AdminHandle {
    address: String,
    /// As it was at start.
    has_console: bool,
    socket: OwnedFd,
    ready: Arc<AtomicBool>,
    running: Running,
}

/// The token of the file, where there is one; one is needed where others can come.
fn token_of(config: &Config) -> Result<Option<AdminToken>, AdminError> {
    match &config.admin_token_file {
        // Nobody is asked for it there; who sends it is let in by it.
        Some(path) if config.admin.is_local() => Ok(AdminToken::read(path).ok()),
        None if config.admin.is_local() => Ok(None),
        Some(path) => Ok(Some(AdminToken::read(path)?)),
        None => Err(AdminError::TokenMissing(socket::text_of(&config.admin))),
    }
}

/// Looks whether operators would be asked for what the configuration says, wherever they come in.
///
/// # Errors
/// As [`start`] would find its token.
pub fn check_token(config: &Config) -> Result<(), AdminError> {
    token_of(config).map(drop)
}

/// Looks whether there could be an admin listener by this configuration, and makes nothing.
///
/// # Errors
/// As [`start`] would find its token and its address.
pub fn check(config: &Config) -> Result<(), AdminError> {
    token_of(config)?;
    Ok(probe(config)?)
}

/// Looks whether the address of the admin listener could be listened on, and makes nothing.
///
/// # Errors
/// What is in the way; `AddrInUse` where somebody listens there.
pub fn probe(config: &Config) -> Result<(), BindError> {
    AdminListener::probe(&config.admin)
}

/// Starts the admin listener, on a given socket where there is one. `clock` is the node's time, and
/// `reader` a connection of its own for rows that people ask for.
///
/// # Errors
/// [`AdminError`]; nothing is left running.
pub fn start(
    node: AdminContext,
    clock: NodeClock,
    reader: StoreReader,
    given: Option<GivenListener>,
) -> Result<AdminHandle, AdminError> {
    let config = node.publisher.config();
    let token = token_of(&config)?;
    let listener = match given {
        Some(given) => AdminListener::adopt(&config.admin, given)?,
        None => AdminListener::bind(&config.admin)?,
    };
    let socket = listener.try_clone()?;
    let address = listener.address().to_owned();
    let is_tls = matches!(config.admin, AdminAddress::Tls(_));
    let mut access = AdminAccess::new(token, !config.admin.is_local(), is_tls);
    access.sessions = ConsoleSessions::kept_in(&config.data, node.log.clone());
    let hosts = AdminHosts::new(&config);
    let service = Arc::new(Service::new(node, clock, reader));
    let ready = service.ready();
    let (access, live) = (Arc::new(access), Arc::default());
    let running = Running::start(listener, Router { service, access, live, hosts })?;
    let has_console = config.console.access != ConsoleAccess::Off;
    Ok(AdminHandle { address, has_console, socket, ready, running })
}

impl AdminHandle {
    /// Where it listens: `127.0.0.1:8081`, `127.0.0.1:8081 tls`, or `unix:/path`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where a browser of this host finds the console; `None` for a unix socket, which no browser
    /// opens, and where there is no console.
    pub fn console(&self) -> Option<String> {
        let place = self.address.strip_suffix(" tls");
        let scheme = if place.is_some() { "https" } else { "http" };
        let mut address: SocketAddr = place.unwrap_or(&self.address).parse().ok()?;
        if address.ip().is_unspecified() {
            address.set_ip(match address.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        self.has_console.then(|| format!("{scheme}://{address}/console/"))
    }

    /// Its socket once more, for a process that takes over.
    ///
    /// # Errors
    /// Where the system gives no descriptor.
    pub fn socket(&self) -> std::io::Result<OwnedFd> {
        self.socket.try_clone()
    }

    /// The node is stopping: readiness goes red, everything else goes on.
    pub fn announce_stop(&self) {
        self.ready.store(false, Ordering::Release);
    }

    /// Accepts no more, lets requests that are being answered finish within `ADMIN_STOP_MS`, and
    /// ends. Removes a unix socket.
    pub fn stop(self) {
        // Nobody is to come to a socket that nobody accepts from.
        drop(self.socket);
        self.running.stop();
    }

    /// As [`stop`](AdminHandle::stop), in favour of a process that has the socket too: who comes
    /// meanwhile waits for that one, and a unix socket stays.
    pub fn leave(self) {
        self.running.leave();
    }
}

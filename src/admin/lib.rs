//! Floor 5: what operators see and do, on a listener of its own. One thread accepts, each
//! connection has a thread of its own that blocks; nothing here is on the path of a decision.
//!
//! ```text
//! socket -> listener -> connection -> service (token) -> routes -> popups, users, status ...
//!                                                                  |               |
//!                    nudged_publish · store::Reader · counters        answer
//! ```
//!
//! `socket` addresses · `listener` who gets in · `connection` one connection · `token` the bearer
//! token · `service` what all routes share · `routes` paths and methods · `changes` what operators
//! change · `popups`, `history`, `users`, `stats`, `explain`, `status`, `metrics` what they see ·
//! `arbiter` what is seen of Redis · `store_refusal` what a failure of SQL is to others · `answer`
//! replies · `unread` the memory of large ones · `input` texts of requests. Limits: those of the
//! admin listener in `base::limits`.

mod answer;
pub mod arbiter;
mod changes;
mod connection;
mod explain;
mod history;
mod input;
mod listener;
mod metrics;
mod popups;
mod routes;
mod service;
mod socket;
mod stats;
mod status;
mod store_refusal;
#[cfg(test)]
mod tests;
pub mod token;
mod unread;
mod users;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use listener::Running;
use nudged_base::clock::NodeClock;
use nudged_base::telemetry::counters::ShardCounters;
use nudged_base::telemetry::log::Log;
use nudged_config::Config;
use nudged_publish::publisher::Publisher;
use nudged_runtime::shard::mesh::Mesh;
use nudged_runtime::threads::sql_writer::WriterFigures;
use nudged_runtime::topology::Topology;
use nudged_store::StoreReader;
use service::Service;
use socket::{AdminListener, BindError};
use token::{AdminToken, TokenError};

/// What the admin listener is made of. Its address, its token file and the journal's retention are
/// those of the publisher's configuration.
pub struct AdminSetup {
    /// Cores of the node.
    pub topology: Topology,
    /// Connections that are served at once, on all shards together.
    pub connections_max: u32,
    /// The node's time.
    pub clock: NodeClock,
    /// All lanes.
    pub mesh: Arc<Mesh>,
    /// Counters, by shard.
    pub counters: Vec<Arc<ShardCounters>>,
    /// Changes of popups and settings.
    pub publisher: Arc<Publisher>,
    /// A connection of its own, for rows that people ask for.
    pub reader: StoreReader,
    /// What the writer has done.
    pub figures: Arc<WriterFigures>,
    /// What the threads count that Redis asks for.
    pub redis: Option<arbiter::RedisMetrics>,
    /// Where changes are told.
    pub log: Log,
}

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
    ready: Arc<AtomicBool>,
    running: Running,
}

/// The token that is asked for; none where only this host can come.
fn token_of(config: &Config) -> Result<Option<AdminToken>, AdminError> {
    match &config.admin_token_file {
        _ if config.admin.is_local() => Ok(None),
        Some(path) => Ok(Some(AdminToken::read(path)?)),
        None => Err(AdminError::TokenMissing(socket::text_of(&config.admin))),
    }
}

/// Looks whether there could be an admin listener by this configuration, and makes nothing.
///
/// # Errors
/// As [`start`] would find its token and its address.
pub fn check(config: &Config) -> Result<(), AdminError> {
    token_of(config)?;
    Ok(AdminListener::probe(&config.admin)?)
}

/// Starts the admin listener.
///
/// # Errors
/// [`AdminError`]; nothing is left running.
pub fn start(setup: AdminSetup) -> Result<AdminHandle, AdminError> {
    let config = setup.publisher.config();
    let token = token_of(&config)?;
    let listener = AdminListener::bind(&config.admin)?;
    let address = listener.address().to_owned();
    let service = Arc::new(Service::new(setup, token));
    let ready = service.ready();
    let running = Running::start(listener, service)?;
    Ok(AdminHandle { address, ready, running })
}

impl AdminHandle {
    /// Where it listens: `127.0.0.1:8081`, or `unix:/path`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The node is stopping: readiness goes red, everything else goes on.
    pub fn announce_stop(&self) {
        self.ready.store(false, Ordering::Release);
    }

    /// Accepts no more, lets requests that are being answered finish within `ADMIN_STOP_MS`, and
    /// ends. Removes a unix socket.
    pub fn stop(self) {
        self.running.stop();
    }
}

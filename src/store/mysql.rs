//! The shared store's server: a database of MySQL 5.7 or newer, MariaDB 10.6 or newer, or what
//! speaks their protocol. Owns its connections, their settings and timeouts. Must not know the
//! journal's files, shards or threads.
//!
//! `session` one connection · `census` how many · `gate` which of them may ask · `failure` what
//! their errors mean · `address` the url · `text` statements as text · `rights` what it has to be
//! let do · `schema` making and upgrading · `settings` what a server should be told ·
//! `survey` what it says of itself.
//!
//! Everything is a blocking call: the runtime that drives the client is inside and has one thread,
//! the caller's. Every wait has a bound, `[mysql] connect_timeout` or `query_timeout`; a connection
//! that does not keep it is dropped.
//!
//! Privileges: SELECT, INSERT, UPDATE and DELETE on the database; for `nudged migrate` CREATE and
//! ALTER too. A user may always end its own connections, so PROCESS and SUPER are not needed.

mod address;
mod census;
pub(super) mod failure;
mod gate;
mod rights;
mod schema;
mod session;
mod settings;
mod survey;
mod text;

pub use census::{connections_made, connections_open};
pub use failure::{FailureKind, ServerFailure};
pub use schema::{dropped_since, migrate};
pub use survey::{ServerSurvey, survey};

pub(super) use gate::{hold, release};
pub(super) use rights::missing as missing_rights;
pub(super) use session::Remote;

use super::error::StoreError;

/// Whether a url names a database of a server. Connects to nothing.
///
/// # Errors
/// [`StoreError::Address`] with what is wrong.
pub fn check_url(url: &str) -> Result<(), StoreError> {
    address::hosts(url).map(drop)
}

/// See [`super::Store::check`].
pub(super) fn check(remote: &mut Remote) -> Result<Vec<String>, StoreError> {
    schema::check(remote)?;
    settings::warnings(remote)
}

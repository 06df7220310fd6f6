//! A look at the SQL server before the node starts on it: is it there, and does it let us in. A
//! node serves without SQL, from Redis and from copies, and must not wait for one that is away once
//! for each thing that it would ask. Must not know what is asked later.

use crate::node::failure::Failure;
use nudged_base::limits::SQL_START_MS;
use nudged_base::telemetry::log::{Log, Message};
use nudged_base::time::DurationMs;
use nudged_config::Config;
use nudged_runtime::threads::log_writer;
use nudged_store::Store;

/// What a look has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SqlPreflight {
    /// It answers.
    Usable,
    /// It answers, and refuses a password or a right: nothing is asked of it before that is mended.
    Denied,
    /// It does not answer.
    Unreachable,
}

/// Says whether SQL answers; a file of the node's own always does. Each server of the list has
/// `SQL_START_MS` to take a connection, where `mysql.connect_timeout` is not shorter: one that is
/// slower is asked again by the threads that need it, with all of their time.
///
/// # Errors
/// Where the server answers and can't be used until an operator acts: the node does not start. One
/// that has no connection to give now, or takes no writes, is away.
pub fn check(config: &Config, log: &Log) -> Result<SqlPreflight, Failure> {
    if config.mysql.url.is_none() {
        return Ok(SqlPreflight::Usable);
    }
    let mut hasty = config.clone();
    let bound = |timeout: DurationMs| DurationMs(timeout.0.min(SQL_START_MS));
    hasty.mysql.connect_timeout = bound(config.mysql.connect_timeout);
    hasty.mysql.query_timeout = bound(config.mysql.query_timeout);
    match Store::of(&hasty)?.check() {
        Ok(_) => Ok(SqlPreflight::Usable),
        // The writer says which, as long as it is missing.
        Err(error) if error.is_refusal() => Ok(SqlPreflight::Denied),
        Err(error) if error.may_pass() => {
            log_writer::tell(log, Message::SqlAway, &error.to_string());
            Ok(SqlPreflight::Unreachable)
        }
        Err(error) => Err(error.into()),
    }
}

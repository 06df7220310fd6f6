//! What a server says of itself, for an operator who asks whether it is ready. Changes nothing.

use std::collections::BTreeMap;
use std::time::Instant;

use super::session::Remote;
use super::{rights, schema};
use crate::error::StoreError;
use nudged_config::{Config, SecretText};

/// Round trips that are timed.
const ROUND_TRIPS: usize = 20;

/// A server as it is set up.
#[derive(Debug)]
pub struct ServerSurvey {
    /// The server and its database, without user and password.
    pub server: String,
    /// The account that the server takes the user for.
    pub account: String,
    /// Global variables that matter, as far as the server has them.
    pub variables: BTreeMap<String, String>,
    /// Times of round trips, in microseconds.
    pub round_trips_us: Vec<u64>,
    /// Whether the schema is the one of this binary.
    pub schema: Result<(), StoreError>,
    /// Rights that are missing, as `GRANT` takes them; of a schema that is not there, none.
    pub missing_rights: Result<Vec<String>, StoreError>,
}

/// Asks the server of a url, which is one of the configuration's.
///
/// # Errors
/// Where it can't be reached, or does not let the user in.
pub fn survey(config: &Config, url: &SecretText) -> Result<ServerSurvey, StoreError> {
    let mut session = Remote::new(url, &config.mysql)?;
    let mut account = session
        .query("ask who we are", "SELECT CURRENT_USER()", &[], |row| row.take::<String>())?;
    let query = "SHOW GLOBAL VARIABLES WHERE Variable_name IN \
        ('version', 'sql_mode', 'max_allowed_packet', 'transaction_isolation', 'tx_isolation', \
        'innodb_flush_log_at_trx_commit', 'log_bin', 'sync_binlog', 'binlog_format', 'wsrep_on', \
        'time_zone', 'system_time_zone', 'read_only', 'max_connections')";
    let rows: Vec<(String, String)> =
        session.query("read its settings", query, &[], |row| Ok((row.take()?, row.take()?)))?;
    let mut round_trips_us = Vec::with_capacity(ROUND_TRIPS);
    for _ in 0..ROUND_TRIPS {
        let begun = Instant::now();
        session.query("measure", "SELECT 1", &[], |row| row.take::<i64>())?;
        round_trips_us.push(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    let schema = schema::check(&mut session);
    let missing_rights = match &schema {
        Ok(()) => rights::missing(&mut session),
        Err(_) => Ok(Vec::new()),
    };
    Ok(ServerSurvey {
        server: session.server().to_string(),
        account: account.pop().unwrap_or_default(),
        variables: rows.into_iter().collect(),
        round_trips_us,
        schema,
        missing_rights,
    })
}

//! What a server should be set to for the store to keep its promises. Knows variables; must not
//! know tables.

use std::collections::BTreeMap;

use super::session::Remote;
use crate::error::StoreError;
use nudged_base::limits::MYSQL_PACKET_BYTES_LEAST;

/// What of the server's settings weakens a promise, a sentence each.
///
/// # Errors
/// Where the server can't be asked.
pub(super) fn warnings(session: &mut Remote) -> Result<Vec<String>, StoreError> {
    let query = "SHOW GLOBAL VARIABLES WHERE Variable_name IN \
        ('innodb_flush_log_at_trx_commit', 'log_bin', 'sync_binlog', 'wsrep_on', 'binlog_format', \
        'max_allowed_packet')";
    let rows: Vec<(String, String)> =
        session.query("read its settings", query, &[], |row| Ok((row.take()?, row.take()?)))?;
    Ok(of(&rows.into_iter().collect()))
}

fn of(variables: &BTreeMap<String, String>) -> Vec<String> {
    let is = |name: &str, value: &str| {
        variables.get(name).is_some_and(|found| found.eq_ignore_ascii_case(value))
    };
    let has_other = |name: &str, value: &str| variables.contains_key(name) && !is(name, value);
    let mut warnings = Vec::new();
    if has_other("innodb_flush_log_at_trx_commit", "1") {
        warnings.push(
            "innodb_flush_log_at_trx_commit is not 1: a crash of the server loses the latest \
             transactions; the journal restores them while it is retained"
                .to_owned(),
        );
    }
    if is("log_bin", "ON") && has_other("sync_binlog", "1") {
        warnings.push(
            "sync_binlog is not 1: replicas may have transactions that the server loses in a crash"
                .to_owned(),
        );
    }
    if is("log_bin", "ON") && is("binlog_format", "STATEMENT") {
        warnings.push(
            "binlog_format is STATEMENT, which refuses transactions at READ COMMITTED: set ROW"
                .to_owned(),
        );
    }
    let packet_bytes = variables.get("max_allowed_packet").and_then(|value| value.parse().ok());
    if packet_bytes.is_some_and(|bytes: u64| bytes < MYSQL_PACKET_BYTES_LEAST) {
        warnings.push(format!(
            "max_allowed_packet is below {} MiB: batches are smaller, and what does not fit is \
             refused",
            MYSQL_PACKET_BYTES_LEAST >> 20
        ));
    }
    if is("wsrep_on", "ON") {
        warnings.push(
            "Galera is on: a committed transaction may be lost with its node; let all nudged nodes \
             write to the same cluster node"
                .to_owned(),
        );
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_weakens_a_promise_is_said_and_nothing_else() {
        type Row<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);
        let table: [Row<'_>; 7] = [
            (&[("innodb_flush_log_at_trx_commit", "1"), ("log_bin", "OFF")], &[]),
            (&[("innodb_flush_log_at_trx_commit", "2")], &["innodb_flush"]),
            (&[("log_bin", "ON"), ("sync_binlog", "0")], &["sync_binlog"]),
            (&[("log_bin", "OFF"), ("sync_binlog", "0"), ("wsrep_on", "ON")], &["Galera"]),
            (&[("log_bin", "ON"), ("binlog_format", "STATEMENT")], &["binlog_format"]),
            (&[("max_allowed_packet", "1048575")], &["max_allowed_packet"]),
            (&[("max_allowed_packet", "1048576")], &[]),
        ];
        for (variables, expected) in table {
            let variables = variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
            let found = of(&variables.collect());
            assert_eq!(found.len(), expected.len(), "{found:?}");
            assert!(found.iter().zip(expected).all(|(text, start)| text.starts_with(start)));
        }
    }
}

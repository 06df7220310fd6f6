//! What the log says of a node's begin and end: one line each, with what an operator asks first.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use nudged_admin::AdminHandle;
use nudged_base::telemetry::log::{Log, LogValue, Message};
use nudged_config::{AckMode, AdminAddress, Config, DataListener, Loaded, QueueMode};
use nudged_runtime::clocks;
use nudged_runtime::topology::Topology;

/// Says with what the node starts. `connections_max` is what all shards together may hold.
pub(super) fn log_start(log: &Log, loaded: &Loaded, topology: &Topology, connections_max: u32) {
    let config = &loaded.config;
    let file = loaded.file.as_deref().map_or("none".to_owned(), absolute);
    let data = absolute(&config.data.to_string_lossy());
    let (listen, admin) = (list(&config.listen), admin_of(config));
    let cpus = topology.shard_cpus.iter().map(|cpu| *cpu as u64).collect::<Vec<u64>>();
    let (cpus, writer_cpu) = match topology.pin {
        true => (ranges(&cpus), topology.writer_cpu.to_string()),
        false => ("not pinned".to_owned(), "not pinned".to_owned()),
    };
    let has_redis = config.redis.url.is_some();
    let fields = [
        ("version", LogValue::Text(env!("CARGO_PKG_VERSION"))),
        ("commit", LogValue::Text(super::version::COMMIT)),
        ("config", LogValue::Text(&file)),
        ("data", LogValue::Text(&data)),
        ("store", LogValue::Text(if config.mysql.url.is_some() { "mysql" } else { "embedded" })),
        ("arbiter", LogValue::Text(if has_redis { "redis" } else { "node" })),
        (
            "queue",
            LogValue::Text(if config.queue == QueueMode::Redis { "redis" } else { "journal" }),
        ),
        ("ack", LogValue::Text(if config.ack == AckMode::Synced { "synced" } else { "written" })),
        ("listen", LogValue::Text(&listen)),
        ("admin", LogValue::Text(&admin)),
        ("shards", LogValue::Number(u64::from(topology.shards))),
        ("cpus", LogValue::Text(&cpus)),
        ("writer_cpu", LogValue::Text(&writer_cpu)),
        ("connections_max", LogValue::Number(u64::from(connections_max))),
        ("slice_bytes", LogValue::Number(config.slice_bytes)),
        ("journal_bytes_max", LogValue::Number(config.journal.bytes_max)),
    ];
    log.write(clocks::now(), Message::Started, &fields);
}

/// Says that the node takes requests, where, and how long its start took.
pub(super) fn log_ready(
    log: &Log,
    listeners: &[DataListener],
    admin: &AdminHandle,
    begun: Instant,
) {
    let (listen, console) = (list(listeners), admin.console());
    let fields = [
        ("listen", LogValue::Text(&listen)),
        ("admin", LogValue::Text(admin.address())),
        ("console", LogValue::Text(console.as_deref().unwrap_or("none"))),
        ("duration_ms", LogValue::Number(milliseconds(begun))),
    ];
    log.write(clocks::now(), Message::Ready, &fields);
}

/// Says why the node has stopped, how long that took, and what SQL gets at the next start.
pub(super) fn log_stopped(log: &Log, reason: &str, begun: Instant, unapplied: u64) {
    let fields = [
        ("reason", LogValue::Text(reason)),
        ("duration_ms", LogValue::Number(milliseconds(begun))),
        ("unapplied", LogValue::Number(unapplied)),
    ];
    log.write(clocks::now(), Message::Stopped, &fields);
}

fn milliseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn admin_of(config: &Config) -> String {
    match &config.admin {
        AdminAddress::Tcp(address) | AdminAddress::Tls(address) => address.to_string(),
        AdminAddress::Unix(path) => format!("unix:{}", path.display()),
    }
}

/// Where a path leads whatever directory the reader is in.
fn absolute(path: &str) -> String {
    let whole = std::path::absolute(Path::new(path));
    whole.map_or_else(|_| path.to_owned(), |whole| whole.display().to_string())
}

fn list(listeners: &[DataListener]) -> String {
    listeners.iter().map(DataListener::to_string).collect::<Vec<String>>().join(", ")
}

/// Ascending numbers as people write them: `0-3,8`.
fn ranges(numbers: &[u64]) -> String {
    let mut out = String::new();
    let mut left = numbers;
    while let Some(first) = left.first() {
        let follows = |(index, number): (u64, &u64)| *number == first + index;
        let count = (0..).zip(left).take_while(|pair| follows(*pair)).count();
        let comma = if out.is_empty() { "" } else { "," };
        // Writing to a String fails only where memory does, which ends the process anyway.
        match count {
            1 => write!(out, "{comma}{first}"),
            _ => write!(out, "{comma}{first}-{}", left[count - 1]),
        }
        .expect("a String takes any text");
        left = &left[count..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_ranges() {
        let cases: [(&[u64], &str); 4] =
            [(&[], ""), (&[3], "3"), (&[0, 1, 2, 3, 8], "0-3,8"), (&[1, 3, 4, 7], "1,3-4,7")];
        for (numbers, wanted) in cases {
            assert_eq!(ranges(numbers), wanted);
        }
    }
}

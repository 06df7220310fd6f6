//! What would refuse a start, looked at before anything is made, so that a wrong configuration or a
//! host that is not fit leaves nothing behind. What is only found by using it (a database, a kernel
//! that changes its mind) is refused later.
//!
//! `redis` and `sql` whether the stores can be used.

use std::path::Path;

use super::failure::Failure;
use super::{ownership, redis as redis_way};
use nudged_config::{AdminAddress, Config, Loaded, QueueMode};
use nudged_publish::publisher;
use nudged_runtime::shard::listener;
use nudged_runtime::topology::{Topology, allowed_cpus};
use nudged_runtime::{probe, process_limits, thread_room, tls_files};
use nudged_store::mysql;

pub mod redis;
pub mod sql;

/// Threads of every node beside shards, readers and drains: log, watch, two of the journal, writer,
/// reloads, admin, watch of the catalog, three that bring pauses on, keeper, resolver.
const THREADS: usize = 13;
/// Threads that come and go: operators' connections, the kernel's own for a ring.
const THREADS_SPARE: usize = 8;

/// Whether this process may have what a node of this size needs.
///
/// # Errors
/// Exit code 3, with what raises the limit or mends the kernel.
pub fn check_host(config: &Config, topology: &Topology) -> Result<(), Failure> {
    process_limits::check(topology.shards, config.listen.len())?;
    probe::check_kernel()?;
    Ok(thread_room::check(threads_needed(config, topology.shards))?)
}

/// Threads of a node of this configuration and so many shards.
pub(super) fn threads_needed(config: &Config, shards: u16) -> usize {
    let readers = usize::try_from(config.mysql.parallel()).unwrap_or(usize::MAX);
    let drains = if config.queue == QueueMode::Redis { readers } else { 0 };
    (THREADS + THREADS_SPARE + usize::from(shards)).saturating_add(readers).saturating_add(drains)
}

/// Whether servers' addresses, popups file and listeners are such as a node could start with.
///
/// # Errors
/// Exit code 2, with everything that is wrong with the first of them that can't be used.
pub fn check(config: &Config) -> Result<(), Failure> {
    redis_way::address_of(config)?;
    if let Some(url) = &config.mysql.url {
        mysql::check_url(url.expose())?;
    }
    publisher::check_file(config)
        .map_err(|error| Failure::Configuration(error.lines().join("\n")))?;
    tls_files::read(&config.tls).map_err(|error| Failure::Configuration(error.to_string()))?;
    // Of two nodes in one directory that is said, and not what else they share.
    if ownership::holder(&config.data).is_some() {
        return Ok(());
    }
    let addresses = config.listen.iter().map(|listener| listener.address);
    for address in addresses.filter(|address| address.port() != 0) {
        listener::probe(address)?;
    }
    // A directory that the start makes is not there yet.
    let is_in_data = |path: &Path| path.starts_with(&config.data) && !config.data.exists();
    if matches!(&config.admin, AdminAddress::Unix(path) if is_in_data(path)) {
        return Ok(());
    }
    nudged_admin::check(config).map_err(|error| Failure::Configuration(error.to_string()))
}

/// CPUs of the configuration that this process may not use, each key with what is wrong.
pub fn wrong_cpus(config: &Config) -> Vec<(&'static str, String)> {
    let allowed = allowed_cpus();
    let of_shards: Vec<u16> = config.cpus.iter().flatten().copied().collect();
    let asked = [("cpus", of_shards), ("writer_cpu", config.writer_cpu.into_iter().collect())];
    let mut wrong = Vec::new();
    for (key, cpus) in asked {
        let is_missing = |cpu: &u16| !allowed.contains(&usize::from(*cpu));
        let missing: Vec<String> =
            cpus.into_iter().filter(is_missing).map(|cpu| cpu.to_string()).collect();
        let verb = match missing.len() {
            0 => continue,
            1 => "is",
            _ => "are",
        };
        let message = format!(
            "{} {verb} not among the CPUs that this process may use: {allowed:?} (see `taskset \
             -p`, or AllowedCPUs= of the unit)",
            missing.join(", ")
        );
        wrong.push((key, message));
    }
    wrong
}

/// Refuses CPUs that this process may not use.
///
/// # Errors
/// A line for each key, with the flag, the variable or the line that it came from: exit code 2.
pub fn check_cpus(loaded: &Loaded) -> Result<(), Failure> {
    let wrong = wrong_cpus(&loaded.config);
    if wrong.is_empty() {
        return Ok(());
    }
    let line = |(key, message): (&str, String)| match loaded.origin(key) {
        Some(origin) => format!("{origin}: {key}: {message}"),
        None => format!("{key}: {message}"),
    };
    Err(Failure::Configuration(wrong.into_iter().map(line).collect::<Vec<_>>().join("\n")))
}

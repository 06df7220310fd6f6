//! `GET /metrics`: every shard's numbers, and the node's own, in Prometheus' text format.

use std::sync::atomic::Ordering;

use sha2::{Digest as _, Sha256};

use super::access::AdminAccess;
use super::answer::AdminAnswer;
use super::popup_totals::PopupLabels;
use super::service::Service;
use super::{arbiter, listeners, popup_totals, process};
use nudged_base::hex;
use nudged_base::telemetry::text::{CONTENT_TYPE, NodeMetric, render, render_sql};
use nudged_config::Config;
use nudged_domain::catalog::overrides::OverridePlace;
use nudged_runtime::clocks;
use nudged_runtime::threads::sql_writer::{FollowerMetrics, RetentionMetrics};
use nudged_store::{FailureKind, mysql, sqlite};

/// Answers.
pub(super) fn answer(
    service: &Service,
    access: &AdminAccess,
    live: [NodeMetric<'static>; 3],
) -> AdminAnswer {
    let config_hash = hash_of(&service.publisher.config());
    let build = [("version", env!("CARGO_PKG_VERSION")), ("commit", service.commit)];
    let config = [("hash", config_hash.as_str())];
    let shards: Vec<String> = (0..service.topology.shards).map(|shard| shard.to_string()).collect();
    let shards: Vec<_> = shards.iter().map(|shard| [("shard", shard.as_str())]).collect();
    let by_listener = listeners::listener_totals(service);
    let listener_labels = listeners::listener_labels(&by_listener);
    let totals = popup_totals::totals(service);
    let popups = PopupLabels::of(&totals);
    let mut metrics = Vec::new();
    push_journal(&mut metrics, service);
    push_writer(&mut metrics, service);
    let kinds = FailureKind::ALL.map(|kind| [("kind", kind.name())]);
    metrics.extend(kinds.iter().zip(FailureKind::ALL).map(|(labels, kind)| {
        let count = service.figures.fitness.failures_of(kind);
        NodeMetric { labels, ..counter("sql_errors_total", "SQL failures by kind.", count) }
    }));
    push_node(&mut metrics, service);
    process::push_metrics(&mut metrics, service);
    push_load(&mut metrics, service, &shards);
    listeners::push_listeners(&mut metrics, &by_listener, &listener_labels);
    popups.push_metrics(&mut metrics, &totals);
    arbiter::push_metrics(&mut metrics, service);
    push_overrides(&mut metrics, service);
    let refused = access.refused();
    let reasons = refused.map(|(reason, _)| [("reason", reason)]);
    push_tokens(&mut metrics, service, access);
    metrics.extend(reasons.iter().zip(refused).map(|(labels, (_, count))| {
        let help = "Requests of operators refused for who sent them, by reason.";
        NodeMetric { labels, ..counter("admin_refused_total", help, count) }
    }));
    push_hand_overs(&mut metrics, service);
    metrics.extend(live);
    push_catalog(&mut metrics, service);
    metrics.push(NodeMetric {
        labels: &config,
        ..gauge("config_info", "Hash of the running configuration.", 1)
    });
    metrics.push(NodeMetric {
        labels: &build,
        ..gauge("build_info", "The version of this binary, and its commit.", 1)
    });
    let outages: Vec<_> = service.log.outages().collect();
    let labels: Vec<_> = outages.iter().map(|(name, ..)| [("outage", *name)]).collect();
    for ((_, is_active, _), labels) in outages.iter().zip(&labels) {
        let active = gauge("outage_active", "1 while the outage lasts.", u64::from(*is_active));
        metrics.push(NodeMetric { labels, ..active });
    }
    for ((.., total), labels) in outages.iter().zip(&labels) {
        let begun = counter("outages_total", "Outages that began.", *total);
        metrics.push(NodeMetric { labels, ..begun });
    }
    let mut text = String::with_capacity(64 * 1_024);
    render(&mut text, &service.counters, &metrics);
    render_sql(&mut text, &service.figures.durations);
    AdminAnswer::text(CONTENT_TYPE, text)
}

fn gauge(name: &'static str, help: &'static str, value: u64) -> NodeMetric<'static> {
    NodeMetric::gauge(name, help, value)
}

fn counter(name: &'static str, help: &'static str, value: u64) -> NodeMetric<'static> {
    NodeMetric::counter(name, help, value)
}

fn push_hand_overs(metrics: &mut Vec<NodeMetric<'_>>, service: &Service) {
    let (failed, gap_ms) = service.hand_overs.counts();
    metrics.push(counter(
        "handovers_failed_total",
        "Times that a new process could not take over from this one.",
        failed,
    ));
    let gap = gauge(
        "handover_gap_seconds",
        "Time in which nobody accepted when this process took over; 0 where it started by itself.",
        gap_ms,
    );
    metrics.push(gap.in_ms());
}

/// The catalog, and the certificate, which comes with a reload too.
fn push_catalog(metrics: &mut Vec<NodeMetric<'_>>, service: &Service) {
    let published = service.publisher.current();
    let version = published.snapshot.version;
    metrics.push(gauge("catalog_version", "Version of the current catalog.", version));
    let known = u64::try_from(published.popups.len()).unwrap_or(u64::MAX);
    metrics.push(gauge("catalog_popups", "Popups in the catalog, including archived ones.", known));
    let catalogs = u64::try_from(service.publisher.catalogs()).unwrap_or(u64::MAX);
    metrics.push(gauge(
        "catalogs",
        "Catalogs in memory: the current one, and those that pending answers were decided with.",
        catalogs,
    ));
    metrics.push(counter(
        "catalog_replaced_total",
        "Times that this node's popups file overwrote another node's.",
        service.publisher.replaced(),
    ));
    metrics.push(counter(
        "catalog_late_total",
        "Changes of popups and reloads refused because earlier ones took too long.",
        service.publisher.late(),
    ));
    if let Some(identity) = service.mesh.identity.current() {
        metrics.push(gauge(
            "tls_certificate_expiry_timestamp_seconds",
            "When the TLS certificate expires, in seconds since 1970.",
            u64::try_from(identity.not_after_s).unwrap_or(0),
        ));
    }
}

fn push_journal(metrics: &mut Vec<NodeMetric<'_>>, service: &Service) {
    let journal = service.mesh.journal.metrics();
    let segments = u64::try_from(journal.segments).unwrap_or(u64::MAX);
    metrics.extend([
        gauge("journal_written_sequence", "Last record in the journal's file.", journal.written.0),
        gauge(
            "journal_synced_sequence",
            "Last record in the journal that is synced.",
            journal.synced.0,
        ),
        gauge(
            "journal_accepting",
            "1 while the journal accepts records.",
            u64::from(journal.is_accepting),
        ),
        gauge(
            "journal_full",
            "1 while the journal's disk accepts no records.",
            u64::from(journal.is_full),
        ),
        gauge(
            "journal_low",
            "1 while there is no room for the next segment; the current one is filled.",
            u64::from(journal.is_low),
        ),
        gauge(
            "journal_segment_left_bytes",
            "Bytes left in the current segment.",
            journal.room_bytes,
        ),
        gauge(
            "journal_unapplied_bytes",
            "Bytes in the journal that are not in SQL yet.",
            journal.unapplied_bytes,
        ),
        gauge("journal_disk_bytes", "Bytes of the journal's files.", journal.total_bytes),
        gauge("journal_segments", "Files of the journal.", segments),
        counter("journal_failures_total", "Writes and syncs that failed.", journal.failures),
    ]);
}

fn push_overrides(metrics: &mut Vec<NodeMetric<'_>>, service: &Service) {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let [stopped, no_file, no_redis, no_sql] = service.publisher.with_overrides(|overrides| {
        let lacking = |place| count(overrides.not_in(place).count());
        let stopped = count(overrides.statuses().count());
        [
            stopped,
            lacking(OverridePlace::Node),
            lacking(OverridePlace::Redis),
            lacking(OverridePlace::Sql),
        ]
    });
    let no_redis = if service.redis.is_some() { no_redis } else { 0 };
    let help = "Pauses, archives and resumes not stored in that place yet.";
    let lacking = |labels, value| NodeMetric { labels, ..gauge("overrides_waiting", help, value) };
    metrics.push(gauge("popups_overridden", "Popups paused or archived by operators.", stopped));
    metrics.extend([
        lacking(&[("place", "node")], no_file),
        lacking(&[("place", "redis")], no_redis),
        lacking(&[("place", "sql")], no_sql),
    ]);
}

/// Operators' tokens, and the console's sessions.
fn push_tokens(metrics: &mut Vec<NodeMetric<'_>>, service: &Service, access: &AdminAccess) {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let in_force = service.publisher.with_tokens(|tokens| tokens.count_in_force(clocks::wall()));
    let sessions = access.sessions_open(&service.publisher, clocks::mono());
    metrics.extend([
        gauge("admin_tokens", "Operators' tokens in force.", count(in_force)),
        gauge("admin_sessions", "Open sessions of the console.", count(sessions)),
        counter("admin_sign_ins_total", "Sign-ins to the console.", access.signed_in()),
    ]);
}

fn push_writer(metrics: &mut Vec<NodeMetric<'_>>, service: &Service) {
    let figures = &service.figures;
    let written = service.mesh.journal.written().0;
    let applied = service.mesh.journal.applied().0;
    let is_halted = figures.counts.is_halted.load(Ordering::Relaxed);
    metrics.extend([
        gauge("sql_applied_sequence", "Last record that is in SQL.", applied),
        gauge("sql_lag_records", "Records not in SQL yet.", written.saturating_sub(applied)),
        gauge(
            "sql_lag_seconds",
            "How long the oldest record not in SQL has waited.",
            service.lag_ms(),
        )
        .in_ms(),
        gauge(
            "sql_unfit",
            "1 while something is wrong with SQL: see unfit in /v1/status.",
            u64::from(figures.fitness.why().is_some()),
        ),
        gauge("sql_halted", "1 if applying has stopped until a restart.", u64::from(is_halted)),
        gauge(
            "sqlite_log_bytes",
            "Bytes of nudged.db's write-ahead log; it grows while a backup is made. 0 with MySQL.",
            log_bytes(&service.publisher.config()),
        ),
        gauge("sql_connections_open", "Open connections to MySQL.", mysql::connections_open()),
        counter("sql_connects_total", "Connections made to MySQL.", mysql::connections_made()),
    ]);
    metrics.extend(FollowerMetrics::ROWS.iter().map(|row| row.now(&figures.counts)));
    let retention = &figures.counts.retention;
    metrics.extend(RetentionMetrics::ROWS.iter().map(|row| row.now(retention)));
}

/// Bytes that are beside the database's file; 0 where there is none.
fn log_bytes(config: &Config) -> u64 {
    let path = config.data.join(format!("{}-wal", sqlite::FILE_NAME));
    path.metadata().map_or(0, |metadata| metadata.len())
}

fn push_node(metrics: &mut Vec<NodeMetric<'_>>, service: &Service) {
    let shards = u64::from(service.topology.shards);
    metrics.extend([
        gauge("ready", "1 while the node accepts traffic.", u64::from(service.is_ready())),
        gauge("shards", "Shards of this node.", shards),
        gauge(
            "connections_max",
            "Connections served at the same time; any more are answered with 503.",
            u64::from(service.connections_max),
        ),
        gauge(
            "clock_ahead_seconds",
            "How far the node's time is ahead of the wall clock; 0 if it is behind.",
            u64::try_from(service.clock_ahead_ms()).unwrap_or(0),
        )
        .in_ms(),
    ]);
}

/// How busy each shard is; `labels` are the shards' own.
fn push_load<'m>(
    metrics: &mut Vec<NodeMetric<'m>>,
    service: &Service,
    labels: &'m [[(&'static str, &'m str); 1]],
) {
    let load = service.load.shards();
    let busiest = load.iter().copied().max().unwrap_or(0);
    let help = "Share of the last 5 seconds in which the busiest shard was not asleep.";
    metrics.push(gauge("load", help, busiest).in_thousandths());
    metrics.extend(labels.iter().zip(load).map(|(labels, load)| {
        let help = "Share of the last 5 seconds in which the shard was not asleep.";
        NodeMetric { labels, ..gauge("shard_load", help, load).in_thousandths() }
    }));
    metrics.extend(labels.iter().zip(service.load.cpu_ns()).map(|(labels, cpu_ns)| {
        let help = "CPU time of the shard's thread, the kernel's included.";
        NodeMetric { labels, ..counter("shard_cpu_seconds_total", help, cpu_ns).in_ns() }
    }));
}

/// The same for equal configurations. Secrets are not in the `Debug` text, so not in the hash.
fn hash_of(config: &Config) -> String {
    let digest = Sha256::digest(format!("{config:?}").as_bytes());
    hex::encode(&digest[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_tells_configurations_apart() {
        let one = Config::default();
        let other = Config { max_per_day: 1, ..Config::default() };
        assert_eq!(hash_of(&one), hash_of(&one.clone()));
        assert_ne!(hash_of(&one), hash_of(&other));
    }
}

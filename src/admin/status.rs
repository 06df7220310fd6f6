//! `GET /v1/status`: one look at the whole node.

use std::sync::atomic::Ordering;

use serde_json::{Map, Value, json};

use super::answer::AdminAnswer;
use super::files::files_json;
use super::input::moment_json;
use super::last_errors::{last_error, last_errors};
use super::listeners::listeners_json;
use super::service::Service;
use super::{arbiter, nodes};
use nudged_base::ids::ShardId;
use nudged_base::limits::UNAPPLIED_BYTES_MAX;
use nudged_base::time::{Gap, WallMs};
use nudged_config::{AckMode, Config};
use nudged_domain::catalog::snapshot::Status;
use nudged_runtime::clocks;
use rustix::process::{Resource, getrlimit};

/// Answers.
pub(super) fn answer(service: &Service) -> AdminAnswer {
    let published = service.publisher.current();
    let config = service.publisher.config();
    let (started_mono, started_wall) = service.started;
    let value = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "ready": service.is_ready(),
        "started_at": moment_json(started_wall),
        "uptime_s": (clocks::mono().0.saturating_sub(started_mono.0)) / 1_000_000_000,
        "shards": shards(service),
        "load": share_json(service.load.shards().into_iter().max().unwrap_or(0)),
        "listeners": listeners_json(service),
        "connections_max": service.connections_max,
        "writer_cpu": service.topology.writer_cpu,
        "pinned": service.topology.pin,
        "ack": match config.ack {
            AckMode::Written => "written",
            AckMode::Synced => "synced",
        },
        "catalog": {
            "version": published.snapshot.version,
            "since": moment_json(published.at),
            "popups": popups_by_status(service),
        },
        "nodes": nodes::status(service),
        "journal": whole_journal(service),
        "sql": whole_sql(service),
        "redis": arbiter::status(service),
        "tls": certificate(service),
        "data": files_json(&config.data),
        "limits": limits(service, &config),
        "outages": last_errors(service, |_| true),
        "clock": { "now": moment_json(service.now()), "ahead_ms": service.clock_ahead_ms() },
    });
    AdminAnswer::json(200, &value)
}

/// `GET /readyz`
pub(super) fn readiness(service: &Service) -> AdminAnswer {
    match service.is_ready() {
        true => AdminAnswer::json(200, &json!({ "status": "ready" })),
        false => match service.mesh.journal.lack() {
            None => AdminAnswer::json(503, &json!({ "status": "unavailable" })),
            Some(lack) => {
                AdminAnswer::json(503, &json!({ "status": "unavailable", "reason": *lack }))
            }
        },
    }
}

fn shards(service: &Service) -> Vec<Value> {
    (0..service.topology.shards)
        .zip(&service.counters)
        .zip(service.load.shards())
        .map(|((shard, counters), load)| {
            json!({
                "id": shard,
                "cpu": service.topology.cpu_of(ShardId(shard)),
                "load": share_json(load),
                "connections": counters.connections_open.get(),
                "users": counters.slice_entries.get(),
                "slice_bytes": counters.slice_bytes.get(),
            })
        })
        .collect()
}

/// How the stores are, in short.
pub(super) fn stores(service: &Service) -> Value {
    json!({
        "journal": journal(service),
        "sql": sql(service),
        "redis": arbiter::status(service),
    })
}

fn journal(service: &Service) -> Value {
    let metrics = service.mesh.journal.metrics();
    json!({
        "written": metrics.written.0,
        "synced": metrics.synced.0,
        "accepting": metrics.is_accepting,
        "full": metrics.is_full,
        "lacks": service.mesh.journal.lack().as_deref(),
        "unapplied_bytes": metrics.unapplied_bytes,
        "bytes": metrics.total_bytes,
    })
}

fn sql(service: &Service) -> Value {
    let applied = service.mesh.journal.applied().0;
    json!({
        "applied": applied,
        "lag": service.mesh.journal.written().0.saturating_sub(applied),
        "lag_ms": service.lag_ms(),
        "unfit": service.figures.fitness.why(),
        "halted": service.figures.counts.is_halted.load(Ordering::Relaxed),
    })
}

/// A share that is kept in thousandths.
pub(super) fn share_json(thousandths: u64) -> Value {
    let thousandths = u32::try_from(thousandths).unwrap_or(u32::MAX);
    json!(f64::from(thousandths) / 1_000.0)
}

/// What bounds this node, as it is in effect.
fn limits(service: &Service, config: &Config) -> Value {
    let redis = config.redis.url.is_some();
    json!({
        "connections": service.connections_max,
        "slice_bytes": config.slice_bytes,
        "unsent_bytes": config.limits.unsent_bytes_max,
        "journal_bytes": config.journal.bytes_max,
        "journal_unapplied_bytes": UNAPPLIED_BYTES_MAX,
        "journal_retention_ms": config.journal.retention.0,
        "list_records": redis.then_some(config.redis.list_max),
        "descriptors": getrlimit(Resource::Nofile).current,
    })
}

/// The certificate in use; null where the node has none.
fn certificate(service: &Service) -> Value {
    let Some(identity) = service.mesh.identity.current() else { return Value::Null };
    let moment = |seconds: i64| moment_json(WallMs(seconds.saturating_mul(1_000)));
    let left_s = identity.not_after_s.saturating_sub(clocks::wall().0 / 1_000);
    json!({
        "not_before": moment(identity.not_before_s),
        "expires_at": moment(identity.not_after_s),
        "expires_in_s": left_s,
    })
}

fn popups_by_status(service: &Service) -> Value {
    let popups = service.publisher.current().popups;
    let counts: Map<String, Value> = Status::WORDS
        .into_iter()
        .map(|(word, status)| {
            let count = popups.iter().filter(|known| known.status == status).count();
            (word.to_owned(), json!(count))
        })
        .collect();
    Value::Object(counts)
}

fn whole_journal(service: &Service) -> Value {
    let metrics = service.mesh.journal.metrics();
    let mut told = journal(service);
    told["left_in_segment_bytes"] = json!(metrics.room_bytes);
    told["segments"] = json!(metrics.segments);
    told["failures"] = json!(metrics.failures);
    told["last_error"] = last_error(service, &["journal", "journal_full", "journal_low"]);
    told
}

/// How long SQL keeps what, and what was deleted since the start.
fn retention(service: &Service) -> Value {
    let done = &service.figures.counts.retention;
    let retention = service.publisher.config().retention.clone();
    let [events, users] = [retention.events, retention.users].map(|age| match age {
        Gap::After(age) => age.to_string(),
        Gap::Never => "never".to_owned(),
    });
    json!({
        "events": events,
        "users": users,
        "users_forgotten": done.users.load(Ordering::Relaxed),
        "events_deleted": done.events.load(Ordering::Relaxed),
        "hours_folded": done.hours.load(Ordering::Relaxed),
        "busy_ms": done.busy_ns.load(Ordering::Relaxed) / 1_000_000,
    })
}

fn whole_sql(service: &Service) -> Value {
    let counts = &service.figures.counts;
    let mut told = sql(service);
    told["transactions"] = json!(counts.transactions.load(Ordering::Relaxed));
    told["failures"] = json!(counts.failures.load(Ordering::Relaxed));
    told["last_error"] = last_error(service, &["sql"]);
    told["retention"] = retention(service);
    told
}

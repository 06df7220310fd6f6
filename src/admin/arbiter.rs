//! What operators see of Redis as the arbiter: its state on this node, as JSON and as metrics.
//! Nothing where the node has none.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::last_errors::last_error;
use super::service::{RedisMetrics, Service};
use nudged_base::ids::ShardId;
use nudged_base::telemetry::counters::Unit;
use nudged_base::telemetry::text::NodeMetric;
use nudged_runtime::clocks;
use nudged_runtime::redis_status::{NO_RUN, RedisStatus, ServerFound};
use nudged_runtime::threads::keeper::KeeperMetrics;
use nudged_runtime::threads::list_drain::DrainMetrics;

/// The part of `GET /v1/status`; null without `[redis]`.
pub(super) fn status(service: &Service) -> Value {
    if service.publisher.config().redis.url.is_none() {
        return Value::Null;
    }
    let mut value = redis_json(&service.mesh.redis_status, service.topology.shards);
    // The breakers know first.
    let is_away = service.counters.iter().all(|shard| shard.redis_breaker.get() != 0);
    if is_away && value["state"] == "open" {
        value["state"] = json!("away");
    }
    if let Some(figures) = &service.redis {
        let rebuild = figures.keeper.rebuild(clocks::mono());
        if rebuild.is_some() && value["state"] == "open" {
            value["state"] = json!("rebuilding");
        }
        value["rebuild"] = rebuild.map_or(Value::Null, |rebuild| {
            json!({
                "partitions": rebuild.partitions,
                "phase": rebuild.phase,
                "users": rebuild.users,
                "for_ms": rebuild.for_ms,
            })
        });
        value["last_error"] = last_error(service, &["redis", "redis_unfit"]);
        value["other_nodes"] = json!(figures.keeper.peers.load(Ordering::Relaxed));
        value["lists"] = json!({
            "waiting": figures.sum(|lane| &lane.waiting),
            "lag_ms": figures.lag_ms(),
        });
    }
    value
}

fn redis_json(redis_status: &RedisStatus, shards: u16) -> Value {
    let found: Vec<ServerFound> =
        (0..shards).map(|shard| redis_status.found(ShardId(shard))).collect();
    let server = found.iter().find_map(|found| match *found {
        ServerFound::Server { run, evicts, syncs_always } => Some((run, evicts, syncs_always)),
        _ => None,
    });
    let (run, evicts, syncs_always) = match server {
        Some((run, evicts, syncs_always)) => (Some(run), Some(evicts), syncs_always),
        None => (None, None, None),
    };
    let learned = redis_status.learned();
    let is_looked_at = Some(learned.run) == run;
    let lost: Vec<u16> = redis_status.lost().map(|partition| partition.0).collect();
    json!({
        "state": state(redis_status, &found),
        "unfit": redis_status.why_unfit().as_deref(),
        "run": run.map(|run| format!("{run:016x}")),
        "run_cleared": run.is_some_and(|run| run == redis_status.cleared_run()),
        "shards_compared": (0..shards)
            .filter(|shard| Some(redis_status.compared_run(ShardId(*shard))) == run)
            .count(),
        "evicts": evicts.map(|evicts| evicts || learned.is_evicting),
        "syncs_always": if is_looked_at { learned.syncs_always } else { syncs_always },
        "partitions_lost": lost.len(),
        "first_unmerged": redis_status.first_unmerged().map(|sequence| sequence.0),
    })
}

/// One word for how it stands: `open` is the one in which every user is decided on by Redis.
fn state(redis_status: &RedisStatus, found: &[ServerFound]) -> &'static str {
    if redis_status.is_refused() {
        "unfit"
    } else if found.iter().all(|found| *found == ServerFound::Nothing) {
        "away"
    } else if redis_status.is_open() {
        "open"
    } else if redis_status.cleared_run() == NO_RUN || redis_status.lost_count() == 0 {
        "comparing"
    } else {
        "rebuilding"
    }
}

/// The node's metrics of it; none without `[redis]`.
pub(super) fn push_metrics(metrics: &mut Vec<NodeMetric<'_>>, service: &Service) {
    if service.publisher.config().redis.url.is_none() {
        return;
    }
    let redis_status = &service.mesh.redis_status;
    let gauge = NodeMetric::gauge;
    let is_rebuilding = |figures: &RedisMetrics| figures.keeper.rebuild(clocks::mono()).is_some();
    let is_open = redis_status.is_open() && !service.redis.as_ref().is_some_and(is_rebuilding);
    let is_open = u64::from(is_open);
    let is_unfit = u64::from(redis_status.why_unfit().is_some());
    let lost = u64::from(redis_status.lost_count());
    metrics.extend([
        gauge("redis_open", "1 while Redis can decide for every user.", is_open),
        gauge(
            "redis_unfit",
            "1 while something is wrong with Redis: see unfit in /v1/status.",
            is_unfit,
        ),
        gauge("redis_partitions_lost", "Partitions that have lost writes, of 1,024.", lost),
    ]);
    let Some(figures) = &service.redis else { return };
    let is_evicting = u64::from(redis_status.learned().is_evicting);
    metrics.push(gauge("redis_evicts", "1 while Redis may evict users.", is_evicting));
    metrics.extend(KeeperMetrics::ROWS.iter().map(|row| row.now(&figures.keeper)));
    metrics.extend(DrainMetrics::ROWS.iter().map(|row| {
        let lanes = figures.lists.iter().map(|lane| (row.value)(lane));
        // What is late is as late as its latest lane; all else adds up.
        let is_lag = row.unit == Unit::Milliseconds;
        row.with(if is_lag { lanes.max().unwrap_or(0) } else { lanes.sum() })
    }));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use nudged_base::ids::Partition;
    use nudged_redis::link::Incompatible;
    use nudged_runtime::wake::Waker;

    const SERVER: ServerFound =
        ServerFound::Server { run: 7, evicts: false, syncs_always: Some(true) };

    #[test]
    fn each_state_has_its_word() {
        let wakers = (0..2).map(|_| Arc::new(Waker::new().unwrap())).collect();
        let redis_status = RedisStatus::new(wakers).unwrap();
        let word = || redis_json(&redis_status, 2)["state"].as_str().unwrap().to_owned();
        assert_eq!(word(), "away");
        redis_status.report_found(ShardId(0), SERVER);
        assert_eq!(word(), "comparing");
        redis_status
            .report_found(ShardId(1), ServerFound::Incompatible(Incompatible::Denied("info")));
        assert_eq!(word(), "unfit");
        assert!(redis_json(&redis_status, 2)["unfit"].as_str().unwrap().contains("users.acl"));
        redis_status.report_found(ShardId(1), SERVER);
        redis_status.report_lost(Partition(5));
        (0..2).for_each(|shard| redis_status.report_compared(ShardId(shard), 7));
        redis_status.clear_run(7);
        assert_eq!(word(), "rebuilding");
        redis_status.settle(Partition(5));
        assert_eq!(word(), "open");
        let shown = redis_json(&redis_status, 2);
        assert_eq!(
            (&shown["run"], &shown["run_cleared"]),
            (&json!("0000000000000007"), &json!(true))
        );
        assert_eq!((&shown["shards_compared"], &shown["partitions_lost"]), (&json!(2), &json!(0)));
    }
}

//! What operators see of Redis as the arbiter: its state on this node, as JSON and as metrics.
//! Nothing where the node has none.

use serde_json::{Value, json};

use super::service::Service;
use crate::base::ids::ShardId;
use crate::redis::link::Unfit;
use crate::runtime::board::{Board, Found, NO_RUN};
use crate::telemetry::counters::Kind;
use crate::telemetry::text::NodeMetric;

/// The part of `GET /v1/status`; null without `[redis]`.
pub(super) fn status(service: &Service) -> Value {
    if service.publisher.config().redis.url.is_none() {
        return Value::Null;
    }
    told(&service.mesh.board, service.topology.shards)
}

fn told(board: &Board, shards: u16) -> Value {
    let found: Vec<Found> = (0..shards).map(|shard| board.found(ShardId(shard))).collect();
    let server = found.iter().find_map(|found| match *found {
        Found::Server { run, evicts, syncs_always } => Some((run, evicts, syncs_always)),
        _ => None,
    });
    let (run, evicts, syncs_always) = match server {
        Some((run, evicts, syncs_always)) => (Some(run), Some(evicts), syncs_always),
        None => (None, None, None),
    };
    let lost: Vec<u16> = board.lost().map(|partition| partition.0).collect();
    json!({
        "state": state(board, &found),
        "unfit": board.unfit().map(mend),
        "run": run.map(|run| format!("{run:016x}")),
        "run_cleared": run.is_some_and(|run| run == board.cleared_run()),
        "shards_compared": (0..shards)
            .filter(|shard| Some(board.compared_run(ShardId(*shard))) == run)
            .count(),
        "evicts": evicts,
        "syncs_always": syncs_always,
        "partitions_lost": lost.len(),
        "first_unmerged": board.first_unmerged().map(|sequence| sequence.0),
    })
}

/// One word for how it stands: `open` is the one in which every user is decided on by Redis.
fn state(board: &Board, found: &[Found]) -> &'static str {
    if board.unfit().is_some() {
        "unfit"
    } else if found.iter().all(|found| *found == Found::Nothing) {
        "away"
    } else if board.is_open() {
        "open"
    } else if board.cleared_run() == NO_RUN || board.lost_count() == 0 {
        "comparing"
    } else {
        "rebuilding"
    }
}

/// What is wrong with a server, and what mends it.
pub fn mend(unfit: Unfit) -> &'static str {
    match unfit {
        Unfit::Denied => {
            "Redis does not let nudged in or denies what it needs: set user and password in \
             redis.url, and the rights of vendor-config/redis/users.acl"
        }
        Unfit::TooOld => "Redis is older than 7.0: upgrade it",
        Unfit::NoDatabase => "Redis has no database of the number in redis.url",
        Unfit::Unnamed => "Redis does not say which run it is: allow INFO",
    }
}

/// The node's metrics of it; none without `[redis]`.
pub(super) fn push_metrics(metrics: &mut Vec<NodeMetric<'_>>, service: &Service) {
    if service.publisher.config().redis.url.is_none() {
        return;
    }
    let board = &service.mesh.board;
    let gauge =
        |name, help, value| NodeMetric { name, kind: Kind::Gauge, help, labels: &[], value };
    let is_open = u64::from(board.is_open());
    let is_unfit = u64::from(board.unfit().is_some());
    let lost = u64::from(board.lost_count());
    metrics.extend([
        gauge("redis_open", "1 while every user can be decided on by Redis.", is_open),
        gauge("redis_unfit", "1 while Redis can't be used as it is set up.", is_unfit),
        gauge("redis_partitions_lost", "Partitions that have lost writes, of 1,024.", lost),
    ]);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::ids::Partition;
    use crate::runtime::wake::Sleeper;

    const SERVER: Found = Found::Server { run: 7, evicts: false, syncs_always: Some(true) };

    #[test]
    fn each_state_has_its_word() {
        let sleepers = (0..2).map(|_| Arc::new(Sleeper::new().unwrap())).collect();
        let board = Board::new(sleepers).unwrap();
        let word = || told(&board, 2)["state"].as_str().unwrap().to_owned();
        assert_eq!(word(), "away");
        board.report_found(ShardId(0), SERVER);
        assert_eq!(word(), "comparing");
        board.report_found(ShardId(1), Found::Unfit(Unfit::Denied));
        assert_eq!(word(), "unfit");
        assert!(told(&board, 2)["unfit"].as_str().unwrap().contains("users.acl"));
        board.report_found(ShardId(1), SERVER);
        board.report_lost(Partition(5));
        (0..2).for_each(|shard| board.report_compared(ShardId(shard), 7));
        board.clear_run(7);
        assert_eq!(word(), "rebuilding");
        board.settle(Partition(5));
        assert_eq!(word(), "open");
        let told = told(&board, 2);
        assert_eq!(
            (&told["run"], &told["run_cleared"]),
            (&json!("0000000000000007"), &json!(true))
        );
        assert_eq!((&told["shards_compared"], &told["partitions_lost"]), (&json!(2), &json!(0)));
    }
}

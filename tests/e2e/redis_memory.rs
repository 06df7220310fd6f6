//! Property: whatever a Redis that may evict has thrown away, nobody is shown a popup again: not
//! while it may, not when its policy is set back, not by a node that starts after that.

use std::time::Duration;

use serde_json::Value;

use crate::client::Client;
use crate::cluster::{Cluster, Plan, stop};
use crate::harness::{Server, until_within};

const ONCE: &str = "[[popup]]\nid = \"once\"\nafter_shown = \"never\"\n";
const USERS: usize = 200;
/// What the keeper learns reaches each shard within this (docs/operations.md#outages).
const LEARNT_WITHIN: Duration = Duration::from_secs(1);

fn redis_of(server: &Server) -> Value {
    server.operator().get("/v1/status").json()["redis"].clone()
}

/// Asks for all users until nobody is degraded; gives how many were shown something.
fn ask_all(client: &mut Client, prefix: &str) -> usize {
    let mut left: Vec<usize> = (0..USERS).collect();
    let mut shown = 0;
    until_within("every user to be decided on", Duration::from_secs(20), || {
        left.retain(|user| {
            let answer = client.decide(&format!("{prefix}-{user}"));
            shown += usize::from(answer.status == 200);
            answer.status == 204 && answer.reason() == "degraded"
        });
        left.is_empty().then_some(())
    });
    shown
}

/// Lowers the memory until nearly everybody is gone.
fn evict(cluster: &Cluster) -> usize {
    cluster.redis.line(&["CONFIG", "SET", "maxmemory", "1"]);
    // Each write asks for room.
    for _ in 0..20 {
        cluster.redis.line(&["SET", "nudged:filler", "x"]);
    }
    let keys = cluster.redis.ask(&[b"KEYS", b"nudged:{p*}:u:*"]);
    let left = String::from_utf8_lossy(&keys).matches(":u:").count();
    cluster.redis.line(&["CONFIG", "SET", "maxmemory", "1gb"]);
    left
}

#[test]
fn whom_redis_has_evicted_nobody_shows_a_popup_again() {
    let cluster = Cluster::new(Plan { redis: "deadline = \"400ms\"", ..Plan::new(ONCE) });
    let mut nodes = cluster.start(1);
    nodes[0].1.allow("redis_unfit");
    assert_eq!(ask_all(&mut nodes[0].1.client(), "early"), USERS);
    cluster.await_events("decided", USERS);
    cluster.redis.line(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    until_within("the shards to know", LEARNT_WITHIN, || {
        (redis_of(&nodes[0].1)["evicts"] == true).then_some(())
    });
    // A node that has copies of nobody, connected after the switch.
    let setup = cluster.node();
    let mut other = setup.start_listening();
    other.allow("redis_unfit");
    let left = evict(&cluster);
    assert!(left < USERS, "some are gone: {left} are left");
    until_within("the second node to be ready", Duration::from_secs(10), || {
        (other.client().get("/readyz").status == 200).then_some(())
    });
    assert_eq!(ask_all(&mut other.client(), "early"), 0, "while it may evict");
    // Who is new is shown it, and may be evicted too.
    assert_eq!(ask_all(&mut other.client(), "late"), USERS);
    cluster.await_events("decided", 2 * USERS);
    evict(&cluster);
    // An operator who mends it, and starts all nodes again.
    cluster.redis.line(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    other.stop();
    stop(nodes);
    let setup = cluster.node();
    let server = setup.start();
    for prefix in ["early", "late"] {
        assert_eq!(ask_all(&mut server.client(), prefix), 0, "{prefix}: after it was mended");
    }
    assert!(redis_of(&server)["unfit"].is_null());
    assert_eq!(ask_all(&mut server.client(), "new"), USERS);
    server.stop();
    cluster.check_sql();
}

#[test]
fn what_was_evicted_between_two_looks_is_found_by_its_count() {
    let cluster = Cluster::new(Plan { redis: "deadline = \"400ms\"", ..Plan::new(ONCE) });
    let nodes = cluster.start(1);
    assert_eq!(ask_all(&mut nodes[0].1.client(), "u"), USERS);
    stop(nodes);
    // Nobody looks while it evicts.
    cluster.redis.line(&["CONFIG", "SET", "maxmemory-policy", "allkeys-random"]);
    evict(&cluster);
    cluster.redis.line(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    let setup = cluster.node();
    let server = setup.start();
    assert_eq!(ask_all(&mut server.client(), "u"), 0);
    server.stop();
}

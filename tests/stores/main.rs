//! What speaks to Redis and MySQL, against real ones.

// A failed `unwrap` in a test is the test's failure.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod keeper;
mod keeper_node;
mod list_drain;
mod mysql;
mod node_start;
mod proxy;
mod redis_client;
mod redis_link;
mod redis_model;
mod redis_scripts;
mod speed;
mod sql;
mod vendor_config;

#[test]
fn the_servers_of_this_machine_start_and_answer() {
    let redis = support::redis::Redis::start();
    assert_eq!(redis.ask(&[b"PING"]), b"+PONG\r\n");
    assert_eq!(support::mariadb::shared().run_sql("SELECT 1"), "1\n");
}

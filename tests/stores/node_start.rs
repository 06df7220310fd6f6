//! Property: nodes that share a database share their signing keys, whatever of SQL and Redis is
//! away; and no node starts on a promise that Redis is not set up to keep.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use nudged::node::preflight::redis::{RedisPreflight, check};
use nudged::node::shared_keys;
use nudged_base::telemetry::log::{Level, Log};
use nudged_base::time::WallMs;
use nudged_config::{AckMode, Config, QueueMode, SecretText};
use nudged_redis::link::LinkSettings;
use nudged_runtime::redis_client::BlockingRedis;
use nudged_store::{Store, mysql};

use super::support::mariadb;
use super::support::redis::Redis;

/// Nobody listens on the first port.
const NOWHERE: &str = "127.0.0.1:1";

fn log() -> Log {
    Log::new(Level::Info, true, &[])
}

fn config(mysql: &str) -> Config {
    let mut config = Config::default();
    config.mysql.url = Some(SecretText::new(mysql.to_owned()));
    config
}

fn client(url: &str) -> BlockingRedis {
    let (address, settings) = LinkSettings::of_url(url).unwrap();
    BlockingRedis::new(address, settings, Duration::from_secs(5))
}

/// Ids and bytes of the keys that a node with this directory gets.
fn keys(directory: &Path, mysql: &str, redis: &str, at: i64) -> Vec<(u32, [u8; 32])> {
    let mut config = config(mysql);
    config.data = directory.to_owned();
    let mut store = Store::of(&config).unwrap();
    let mut redis = client(redis);
    let keys =
        shared_keys::load(directory, (&mut store, true), Some(&mut redis), WallMs(at), &log());
    keys.unwrap().iter().map(|secret| (secret.id, secret.bytes)).collect()
}

#[test]
fn all_nodes_sign_with_one_key_also_where_sql_or_redis_is_away() {
    let database = mariadb::shared().url_of(&mariadb::shared_database());
    mysql::migrate(&config(&database), WallMs(0)).unwrap();
    let redis = Redis::start();
    let (url, nowhere) = (redis.url(), format!("redis://{NOWHERE}"));
    let sql_nowhere = format!("mysql://nudged:secret@{NOWHERE}/nudged");
    let folders: Vec<_> = (0..4).map(|_| tempfile::tempdir().unwrap()).collect();
    let paths: Vec<&Path> = folders.iter().map(|folder| folder.path()).collect();

    let first = keys(paths[0], &database, &url, 10);
    assert_eq!(first.len(), 1);
    assert_eq!(keys(paths[1], &database, &url, 20), first, "SQL has it");
    assert_eq!(keys(paths[2], &database, &nowhere, 30), first, "Redis is not needed");
    assert_eq!(keys(paths[3], &sql_nowhere, &url, 40), first, "Redis has a copy");
    assert_eq!(keys(paths[3], &sql_nowhere, &nowhere, 50), first, "the directory has one");
    for path in paths {
        let mode = std::fs::metadata(path.join("signing-keys")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn where_redis_alone_is_there_nodes_agree_by_it_and_sql_takes_that_key() {
    let redis = Redis::start();
    let sql_nowhere = format!("mysql://nudged:secret@{NOWHERE}/nudged");
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = keys(one.path(), &sql_nowhere, &redis.url(), 10);
    assert_eq!(keys(other.path(), &sql_nowhere, &redis.url(), 20), first);
    let database = mariadb::shared().url_of(&mariadb::shared_database());
    mysql::migrate(&config(&database), WallMs(0)).unwrap();
    assert_eq!(keys(other.path(), &database, &redis.url(), 30), first);
}

#[test]
fn what_redis_does_not_sync_is_not_promised() {
    let always = Redis::start();
    let seldom = Redis::start_with(&["--appendonly", "yes", "--appendfsync", "everysec"]);
    let memory = Redis::start_with(&["--appendonly", "no", "--appendfsync", "always"]);
    let (synced, written) = (AckMode::Synced, AckMode::Written);
    let (list, journal) = (QueueMode::Redis, QueueMode::Journal);
    let nowhere = format!("redis://{NOWHERE}");
    for (url, ack, queue, is_fit) in [
        (always.url(), synced, list, true),
        (seldom.url(), synced, list, false),
        (memory.url(), synced, list, false),
        (seldom.url(), synced, journal, true),
        (seldom.url(), written, list, true),
        // Who is away may be fit when it comes.
        (nowhere, synced, list, true),
    ] {
        let config = Config { ack, queue, ..Config::default() };
        let checked = check(&mut client(&url), &config, &log());
        assert_eq!(checked.is_ok(), is_fit, "{url} {ack:?} {queue:?}");
        if let Err(failure) = checked {
            assert_eq!(failure.exit_code(), 3);
            assert!(failure.to_string().contains("appendfsync always"), "{failure}");
        }
    }
}

#[test]
fn what_is_wrong_with_redis_is_found_and_does_not_end_the_node() {
    let redis = Redis::start();
    let log = log();
    redis.line(&["CONFIG", "SET", "requirepass", "right"]);
    let look = |url: &str| check(&mut client(url), &Config::default(), &log).unwrap();
    let url = redis.url().replace("redis://", "redis://:canary@");
    assert_eq!(look(&url), RedisPreflight::Unusable);
    assert_eq!(look(&format!("redis://{NOWHERE}")), RedisPreflight::Unreachable);
    let url = redis.url().replace("redis://", "redis://:right@");
    assert_eq!(look(&format!("{url}/99")), RedisPreflight::Unusable);
    assert_eq!(look(&url), RedisPreflight::Usable);
    // The keeper says what is unfit, for as long as it is.
    let told: Vec<String> = std::iter::from_fn(|| log.next_line()).collect();
    assert!(told.len() == 1 && told[0].contains("redis_away"), "{told:?}");
    assert!(told[0].contains("refused"), "{told:?}");
}

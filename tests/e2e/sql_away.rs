//! Properties of a start without SQL: it costs no more than a few seconds however SQL is away, says
//! why, and all that SQL is for begins by itself once it is there.

use std::time::{Duration, Instant};

use crate::cluster::{Cluster, Plan, in_turn};
use crate::harness::{Setup, run, until, until_within};
use crate::support::mariadb::{MariaDb, shared, shared_database};
use crate::support::proxy::Proxy;

/// Errors that a node without its database may log.
const ANY_ERROR: &str = "\"level\":\"error\"";
/// A node is ready within this where its SQL server swallows what it is sent: two seconds are for
/// the server, the rest for a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(4);
/// A node that has nothing for SQL stops within this where its server swallows what it is sent:
/// two seconds are for its threads, the rest for a busy machine.
const STOPPED_WITHIN: Duration = Duration::from_secs(10);
/// The writer's longest backoff, and room for a busy machine.
const BACK_WITHIN: Duration = Duration::from_secs(20);

#[test]
fn a_node_starts_in_time_where_sql_swallows_everything_and_beats_there_once_it_answers() {
    let popups = in_turn(2);
    let cluster = Cluster::new(Plan { owns_mariadb: true, ..Plan::new(&popups) });
    // It has been there before, so that Redis and its directory have copies.
    let setup = cluster.node();
    let server = setup.start();
    // A busy machine may not have filled Redis yet.
    until("a show", || server.client().decide("ann").token());
    cluster.await_events("decided", 1);
    until("the copy in the data directory", || {
        setup.data().join("catalog.json").exists().then_some(())
    });
    server.stop();
    // What is said of SQL's settings at a connect is said at a late one, too.
    cluster.mariadb().run_sql("SET GLOBAL innodb_flush_log_at_trx_commit = 2");
    cluster.mariadb().run_sql("DELETE FROM nudged.nodes");
    let proxy = Proxy::to(cluster.mariadb().address());
    proxy.black_hole();
    let direct = cluster.mariadb().address().to_string();
    let other = cluster.node();
    for setup in [&setup, &other] {
        let text = std::fs::read_to_string(setup.path("nudged.toml")).unwrap();
        setup.write_config(&text.replace(&direct, &proxy.address().to_string()));
    }
    // A stop that has nothing for SQL does not wait for it.
    let mut idle = other.start();
    idle.allow(ANY_ERROR);
    let begun = Instant::now();
    idle.stop();
    assert!(begun.elapsed() < STOPPED_WITHIN, "stopped after {:?}", begun.elapsed());
    let begun = Instant::now();
    let mut server = setup.start();
    let took = begun.elapsed();
    server.allow(ANY_ERROR);
    println!("ready after {took:?}");
    assert!(took < READY_WITHIN, "ready after {took:?}");
    assert!(server.logged("sql_away").len() == 1, "{}", server.said());
    assert_eq!(server.client().decide("ann").popup().as_deref(), Some("p1"), "Redis decides");
    proxy.heal();
    until_within("signs of life in SQL", BACK_WITHIN, || {
        (cluster.number("SELECT COUNT(*) FROM nodes") == 1).then_some(())
    });
    assert!(!server.logged("sql_weak").is_empty(), "{}", server.said());
    until_within("the rest in SQL", BACK_WITHIN, || {
        (cluster.number("SELECT COUNT(*) FROM events") == 2).then_some(())
    });
    server.stop();
}

#[test]
fn without_a_copy_a_first_start_says_which_server_does_not_answer() {
    let mariadb = MariaDb::start();
    let proxy = Proxy::to(mariadb.address());
    proxy.black_hole();
    let url = mariadb.url().replace(&mariadb.address().to_string(), &proxy.address().to_string());
    let config = format!("[mysql]\nurl = \"{url}\"\nconnect_timeout = \"1s\"\n");
    let exit = Setup::new("").config(&config).start_fails(&[]);
    assert_eq!(exit.code, Some(4), "{exit:?}");
    let said = format!("mysql {}/nudged: can't connect: no connection", proxy.address());
    assert!(exit.stderr.contains(&said), "{exit:?}");
}

#[test]
fn what_a_newcomer_gets_wrong_is_named_with_its_mend() {
    let address = shared().address();
    let database = shared_database();
    shared().run_sql(&format!(
        "CREATE USER IF NOT EXISTS 'stranger'@'%' IDENTIFIED BY 'secret';
         CREATE USER IF NOT EXISTS 'reader'@'%' IDENTIFIED BY 'secret';
         GRANT SELECT ON {database}.* TO 'reader'@'%';
         CREATE USER IF NOT EXISTS 'locked'@'%' IDENTIFIED BY 'secret' ACCOUNT LOCK;
         CREATE USER IF NOT EXISTS 'expired'@'%' IDENTIFIED BY 'secret' PASSWORD EXPIRE;
         GRANT SELECT ON {database}.* TO 'expired'@'%';"
    ));
    let table = [
        ("nudged:wrong", database.as_str(), address.to_string(), "can't connect: user or password"),
        ("nudged:secret", "nowhere", address.to_string(), "has no such database: create it"),
        ("stranger:secret", &database, address.to_string(), "no rights on this database"),
        (
            "reader:secret",
            &database,
            address.to_string(),
            "the user is not allowed to do this: grant",
        ),
        ("locked:secret", &database, address.to_string(), "account is locked"),
        ("expired:secret", &database, address.to_string(), "password has expired"),
        ("nudged:secret", &database, "127.0.0.1:1".to_owned(), "is the server running"),
        ("nudged:secret", &database, "no.such.host.invalid".to_owned(), "can't connect: no conn"),
    ];
    for (user, database, address, wanted) in table {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("[mysql]\nurl = \"mysql://{user}@{address}/{database}\"\n");
        std::fs::write(folder.path().join("nudged.toml"), text).unwrap();
        let exit = run(folder.path(), &["migrate", "--config", "nudged.toml"]);
        assert_eq!(exit.code, Some(4), "{exit:?}");
        assert!(exit.stderr.contains(wanted), "{wanted}: {exit:?}");
        assert!(!exit.stderr.contains("secret") && !exit.stderr.contains("wrong@"), "{exit:?}");
    }
}

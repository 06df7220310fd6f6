//! Properties of MySQL as the store: its schema is made by command and never by surprise; every
//! acknowledged record reaches it exactly once, however often it dies (G2); no decision waits for
//! it; and of two copies of a data directory only one writes.

use std::collections::HashSet;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::client::Client;
use crate::cluster::{AGREEMENTS, Cluster, Plan, in_turn, stop};
use crate::harness::{Setup, WELCOME, nudged, run, until, until_within};
use crate::support::mariadb::{shared, shared_database};

/// Errors that a node without its database may log.
const ANY_ERROR: &str = "\"level\":\"error\"";
/// Rounds of the loop that kills the database.
const KILLS: usize = 3;
/// What waits in the journal is applied within this once the database is back: its longest
/// backoff, its own recovery, and room for a busy machine.
const APPLIED_WITHIN: Duration = Duration::from_secs(30);

/// A node with MySQL and the embedded arbiter, and its database.
fn single(popups: &str) -> (Setup, String) {
    let database = shared_database();
    let url = shared().url_of_least_user(&database);
    let setup = Setup::new(popups).config(&format!("[mysql]\nurl = \"{url}\"\n"));
    (setup, database)
}

fn migrate(database: &str) -> crate::harness::Exit {
    let folder = tempfile::tempdir().unwrap();
    let url = shared().url_of_migrator(database);
    let text = format!("[mysql]\nurl = \"{url}\"\n");
    std::fs::write(folder.path().join("nudged.toml"), text).unwrap();
    run(folder.path(), &["migrate", "--config", "nudged.toml"])
}

#[test]
fn without_its_schema_a_node_says_which_command_makes_it() {
    let (setup, _) = single(WELCOME);
    let exit = setup.start_fails(&[]);
    assert_eq!(exit.code, Some(4), "{exit:?}");
    assert!(exit.stderr.contains("nudged migrate"), "{exit:?}");
}

#[test]
fn migrate_may_run_again_and_twice_at_once() {
    let (setup, database) = single(WELCOME);
    let runs: Vec<_> = std::thread::scope(|scope| {
        let both = [(); 2].map(|()| scope.spawn(|| migrate(&database)));
        both.into_iter().map(|run| run.join().unwrap()).collect()
    });
    for exit in runs {
        assert_eq!(exit.code, Some(0), "{exit:?}");
    }
    assert_eq!(migrate(&database).code, Some(0));
    let server = setup.start();
    assert!(server.client().decide("ann").token().is_some());
    server.stop();
}

#[test]
fn one_node_with_mysql_keeps_its_users_and_records_there() {
    let (setup, database) = single(WELCOME);
    assert_eq!(migrate(&database).code, Some(0));
    let server = setup.start();
    // Ids compare byte for byte.
    let users = ["ann", "Ann", "ann%20", "%C3%A4nn", "%F0%9F%98%80"];
    for user in users {
        let token = server.client().decide(user).token().unwrap_or_else(|| panic!("{user}"));
        let answer = server.client().event(&token, "clicked").expect(202).json();
        assert_eq!(answer["accepted"], 1);
    }
    server.stop();
    let number = |query: &str| shared().number(&database, query);
    assert_eq!(number("SELECT COUNT(*) FROM users"), 5);
    assert_eq!(number("SELECT COUNT(*) FROM user_popups WHERE outcome = 'clicked'"), 5);
    assert_eq!(number("SELECT COUNT(*) FROM events"), 10);
    for (what, query) in AGREEMENTS {
        assert_eq!(number(query), 0, "{what}");
    }
    // Without its journal and its file nothing but MySQL remembers them.
    std::fs::remove_dir_all(setup.data()).unwrap();
    let server = setup.start();
    for user in users {
        assert_eq!(server.client().decide(user).reason(), "gap", "{user}");
    }
    assert!(!setup.data().join("nudged.db").exists(), "no SQLite beside MySQL");
    server.stop();
}

/// Asks for new users and posts a click for each show, until it is told to stop: the tokens whose
/// shows and clicks were acknowledged. Every answer must be a show.
fn work(client: &mut Client, name: &str, is_over: &AtomicBool) -> Vec<String> {
    let mut tokens = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let user = format!("{name}-{}", tokens.len());
        let answer = client.decide(&user);
        let token = answer.token().unwrap_or_else(|| panic!("a decision missed SQL: {answer:?}"));
        let answer = client.event(&token, "clicked").expect(202).json();
        assert_eq!(answer["accepted"], 1, "{answer}");
        tokens.push(token);
    }
    tokens
}

#[test]
fn decisions_don_t_notice_that_mysql_dies_and_sql_gets_everything_once() {
    let popups = in_turn(1);
    let mut cluster = Cluster::new(Plan { owns_mariadb: true, ..Plan::new(&popups) });
    let mut nodes = cluster.start(2);
    for (_, server) in &mut nodes {
        server.allow(ANY_ERROR);
    }
    let is_over = AtomicBool::new(false);
    let tokens: Vec<String> = std::thread::scope(|scope| {
        let is_over = &is_over;
        let workers: Vec<_> = nodes
            .iter()
            .enumerate()
            .map(|(index, (_, server))| {
                let mut client = server.client();
                scope.spawn(move || work(&mut client, &format!("worker-{index}"), is_over))
            })
            .collect();
        for round in 0..KILLS {
            let wanted = i64::try_from(20 * (round + 1)).unwrap();
            until_within("some of it in SQL", APPLIED_WITHIN, || {
                (cluster.number("SELECT COUNT(*) FROM events") >= wanted).then_some(())
            });
            cluster.mariadb().kill_connections();
            cluster.own_mariadb().kill();
            // A while of work without it.
            let server = &nodes[round % 2].1;
            let before = status_number(server, "written");
            until("work without MySQL", || {
                (status_number(server, "written") > before + 50).then_some(())
            });
            cluster.own_mariadb().restart();
        }
        is_over.store(true, Ordering::Relaxed);
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let wanted = i64::try_from(2 * tokens.len()).unwrap();
    until_within("everything in SQL", APPLIED_WITHIN, || {
        (cluster.number("SELECT COUNT(*) FROM events") >= wanted).then_some(())
    });
    stop(nodes);
    let rows = cluster.rows("SELECT decision, action FROM events");
    assert_eq!(rows.len(), 2 * tokens.len());
    let rows: HashSet<String> = rows.into_iter().collect();
    for token in &tokens {
        for action in ["decided", "clicked"] {
            assert!(rows.contains(&format!("{token}\t{action}")), "acknowledged: {action}");
        }
    }
    cluster.check_sql();
}

/// A number of the journal's part of `/v1/status`.
fn status_number(server: &crate::harness::Server, name: &str) -> u64 {
    server.operator().get("/v1/status").expect(200).json()["journal"][name].as_u64().unwrap()
}

#[test]
fn a_schema_that_vanishes_stops_the_writer_and_nothing_else() {
    let popups = in_turn(2);
    let cluster = Cluster::new(Plan::new(&popups));
    let mut nodes = cluster.start(1);
    nodes[0].1.allow(ANY_ERROR);
    let server = &nodes[0].1;
    server.client().decide("ann").token().expect("a show");
    cluster.await_events("decided", 1);
    cluster.rows("RENAME TABLE events TO events_aside");
    server.client().decide("ann").token().expect("another show, without the table");
    until("the alarm", || (server.lines_with("nudged migrate") > 0).then_some(()));
    server.client().get("/readyz").expect(200);
    cluster.rows("RENAME TABLE events_aside TO events");
    until_within("the rest in SQL", APPLIED_WITHIN, || {
        (cluster.number("SELECT COUNT(*) FROM events") == 2).then_some(())
    });
    stop(nodes);
    cluster.check_sql();
}

#[test]
fn of_two_copies_of_a_data_directory_only_the_newer_process_writes() {
    let popups = in_turn(3);
    let cluster = Cluster::new(Plan::new(&popups));
    let first = cluster.node();
    let server = first.start();
    server.client().decide("before").token().expect("a show");
    server.stop();
    let copy = cluster.node();
    let copied = Command::new("cp").arg("-r").args([first.data(), copy.data()]).status().unwrap();
    assert!(copied.success());
    let mut older = first.start();
    older.allow(ANY_ERROR);
    let newer = copy.start();
    newer.client().decide("new-1").token().expect("a show");
    // The older one goes on deciding; its writer finds that it was taken over, and halts.
    older.client().decide("old-1").token().expect("a show");
    until("the older writer's halt", || {
        let status = older.operator().get("/v1/status").expect(200).json();
        status["sql"]["halted"].as_bool().unwrap().then_some(())
    });
    newer.stop();
    let twice = "SELECT COUNT(*) FROM (SELECT 1 FROM events GROUP BY stream, seq \
                 HAVING COUNT(*) > 1) AS twice";
    assert_eq!(cluster.number(twice), 0);
    let new = "SELECT COUNT(*) FROM events WHERE user_id = 'new-1' AND action = 'decided'";
    assert_eq!(cluster.number(new), 1);
    older.kill();
}

#[test]
fn migrate_without_mysql_is_a_usage_error() {
    let folder = tempfile::tempdir().unwrap();
    let output = nudged().current_dir(folder.path()).arg("migrate").output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

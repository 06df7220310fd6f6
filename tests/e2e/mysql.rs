//! Properties of MySQL as the store: its schema is made by command and never by surprise; every
//! acknowledged record reaches it exactly once, however often it dies (docs/guarantees.md#g2); no
//! decision waits for it; of two copies of a data directory only one writes; and it is held by as
//! many connections as docs/operations.md says.

use std::collections::HashSet;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::client::Client;
use crate::cluster::{AGREEMENTS, Cluster, Plan, in_turn, stop};
use crate::harness::{Exit, Server, Setup, WELCOME, run, until, until_within};
use crate::support::mariadb::{MariaDb, shared, shared_database};

/// Errors that a node without its database may log.
const ANY_ERROR: &str = "\"level\":\"error\"";
/// Rounds of the loop that kills the database.
const KILLS: usize = 3;
/// Users of one who works: few, so that they are in the slice and no read of theirs needs SQL.
const USERS: usize = 20;
/// Shown each time, clicked or not.
const CLICKED_AGAIN: &str = "[[popup]]\nid = \"banner\"\nafter_shown = \"0s\"\n\
     after_ignored = \"0s\"\nafter_clicked = \"0s\"\n";
/// What waits in the journal is applied within this once the database is back: its longest
/// backoff, its own recovery, and room for a busy machine.
const APPLIED_WITHIN: Duration = Duration::from_secs(30);

/// MySQL as the store, and patience with a machine that runs all tests at once.
fn config(url: &str) -> String {
    format!("[mysql]\nurl = \"{url}\"\n[limits]\nread_deadline = \"2s\"\n")
}

/// A node with MySQL and the embedded arbiter, and its database.
fn single(popups: &str) -> (Setup, String) {
    let database = shared_database();
    let url = shared().url_of_least_user(&database);
    let setup = Setup::new(popups).config(&config(&url));
    (setup, database)
}

fn migrate(database: &str) -> Exit {
    migrate_at(&shared().url_of_migrator(database))
}

fn migrate_at(url: &str) -> Exit {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("[mysql]\nurl = \"{url}\"\n");
    std::fs::write(folder.path().join("nudged.toml"), text).unwrap();
    run(folder.path(), &["migrate", "--config", "nudged.toml"])
}

#[test]
fn a_backup_of_mysql_is_refused_with_what_to_do() {
    let (setup, database) = single(WELCOME);
    assert_eq!(migrate(&database).code, Some(0));
    let server = setup.start();
    let admin = server.admin.to_string();
    let exit = setup.run(&["backup", "--admin", &admin, "copy.db"]);
    assert_eq!(exit.code, Some(1), "{exit:?}");
    assert!(exit.stderr.contains("mysqldump"), "{exit:?}");
    assert!(!setup.path("copy.db").exists());
    server.stop();
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
fn a_retired_node_gives_the_database_what_only_its_journal_has() {
    let (setup, database) = single(WELCOME);
    assert_eq!(migrate(&database).code, Some(0));
    let server = setup.start();
    for user in ["ann", "ben", "cat"] {
        server.client().decide(user).expect(200);
    }
    server.stop();
    // As after a loss of what the database had applied last, and a node that was killed.
    shared().run_sql(&format!(
        "USE {database}; DELETE FROM events; DELETE FROM users; DELETE FROM user_popups; \
         DELETE FROM popup_stats; UPDATE writer_position SET off = 0; UPDATE nodes SET seen_at = 1"
    ));
    let drain = || setup.run(&["drain", "--config", "nudged.toml", "data"]);
    let exit = drain();
    assert_eq!(exit.code, Some(0), "{exit:?}");
    assert!(exit.stdout.contains("3 records, 1 to 3, applied to mysql"), "{exit:?}");
    let number = |query: &str| shared().number(&database, query);
    for table in ["events", "users", "user_popups"] {
        assert_eq!(number(&format!("SELECT COUNT(*) FROM {table}")), 3, "{table}");
    }
    for (what, query) in AGREEMENTS {
        assert_eq!(number(query), 0, "{what}");
    }
    assert_eq!(number("SELECT COUNT(*) FROM nodes WHERE seen_at <> 0"), 0, "it has stopped");
    assert!(drain().stdout.contains("nothing to do"));
    assert_eq!(number("SELECT COUNT(*) FROM events"), 3);
    // A node of its own is not this database's.
    let own = Setup::new(WELCOME);
    let server = own.start();
    server.client().decide("dan").expect(200);
    server.stop();
    let own = own.data().to_str().unwrap();
    let exit = setup.run(&["drain", "--config", "nudged.toml", own]);
    assert_eq!(exit.code, Some(4), "{exit:?}");
    assert!(exit.stderr.contains("nudged migrate"), "{exit:?}");
    assert_eq!(number("SELECT COUNT(*) FROM events"), 3);
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

/// Asks for a few users again and again and posts a click for each show, until it is told to stop:
/// the tokens whose shows and clicks were acknowledged. Every answer must be a show.
fn work(client: &mut Client, name: &str, is_over: &AtomicBool) -> Vec<String> {
    let mut tokens = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let user = format!("{name}-{}", tokens.len() % USERS);
        let answer = client.decide(&user);
        let token = answer.token().unwrap_or_else(|| panic!("a decision missed SQL: {answer:?}"));
        let answer = client.event(&token, "clicked").expect(202).json();
        assert_eq!(answer["accepted"], 1, "{answer}");
        tokens.push(token);
    }
    tokens
}

/// Ends the workers when it goes, however that comes about.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Kills a database again and again while its nodes work: what they acknowledged is in SQL once.
fn kill_in_a_loop(servers: &[&Server], mariadb: &mut MariaDb) {
    let rows = |mariadb: &MariaDb| mariadb.number("nudged", "SELECT COUNT(*) FROM events");
    let is_over = AtomicBool::new(false);
    let tokens: Vec<String> = std::thread::scope(|scope| {
        let end = End(&is_over);
        let is_over = &is_over;
        let workers: Vec<_> = servers
            .iter()
            .enumerate()
            .map(|(index, server)| {
                let mut client = server.client();
                scope.spawn(move || work(&mut client, &format!("worker-{index}"), is_over))
            })
            .collect();
        for round in 0..KILLS {
            let wanted = rows(mariadb) + 200;
            until_within("some of it in SQL", APPLIED_WITHIN, || {
                (rows(mariadb) >= wanted).then_some(())
            });
            mariadb.kill_connections();
            mariadb.kill();
            let server = servers[round % servers.len()];
            let before = status_number(server, "written");
            until("work without MySQL", || {
                (status_number(server, "written") > before + 50).then_some(())
            });
            mariadb.restart();
        }
        drop(end);
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let wanted = i64::try_from(2 * tokens.len()).unwrap();
    until_within("everything in SQL", APPLIED_WITHIN, || (rows(mariadb) >= wanted).then_some(()));
    let told = mariadb.run_sql("SELECT decision, action FROM nudged.events");
    let told: Vec<&str> = told.lines().collect();
    assert_eq!(told.len(), 2 * tokens.len());
    let told: HashSet<&str> = told.into_iter().collect();
    for token in &tokens {
        for action in ["decided", "clicked"] {
            assert!(told.contains(format!("{token}\t{action}").as_str()), "lost: {action}");
        }
    }
    for (what, query) in AGREEMENTS {
        assert_eq!(mariadb.number("nudged", query), 0, "{what}");
    }
}

#[test]
fn one_node_works_on_while_mysql_dies_and_sql_gets_everything_once() {
    let mut mariadb = MariaDb::start();
    let url = mariadb.url_of_least_user("nudged");
    let exit = migrate_at(&mariadb.url_of_migrator("nudged"));
    assert_eq!(exit.code, Some(0), "{exit:?}");
    let setup = Setup::new(CLICKED_AGAIN).config(&config(&url));
    let mut server = setup.start();
    server.allow(ANY_ERROR);
    kill_in_a_loop(&[&server], &mut mariadb);
    server.stop();
}

#[test]
fn nodes_with_redis_work_on_while_mysql_dies_and_sql_gets_everything_once() {
    let mut cluster = Cluster::new(Plan { owns_mariadb: true, ..Plan::new(CLICKED_AGAIN) });
    let mut nodes = cluster.start(2);
    for (_, server) in &mut nodes {
        server.allow(ANY_ERROR);
    }
    let servers: Vec<&Server> = nodes.iter().map(|(_, server)| server).collect();
    kill_in_a_loop(&servers, cluster.own_mariadb());
    stop(nodes);
    cluster.check_sql();
}

/// A number of the journal's part of `/v1/status`.
fn status_number(server: &Server, name: &str) -> u64 {
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
fn migrate_without_mysql_has_nothing_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let exit = run(folder.path(), &["migrate"]);
    assert_eq!(exit.code, Some(0), "{exit:?}");
    assert!(exit.stdout.contains("nothing to do"), "{exit:?}");
}

/// The node's own count of its connections to MySQL.
fn connections_open(server: &Server) -> i64 {
    let answer = server.operator().get("/metrics").expect(200);
    let mut lines = answer.body.lines();
    let number = lines.find_map(|line| line.strip_prefix("nudged_sql_connections_open "));
    number.expect("the metric is there").parse().unwrap()
}

#[test]
fn users_are_read_back_by_as_many_connections_as_configured_and_no_more() {
    const CONNECTIONS: i64 = 3;
    let database = shared_database();
    let url = shared().url_of_least_user(&database);
    let text = config(&url).replace("[limits]", "connections = 3\n[limits]");
    let setup = Setup::new(WELCOME).config(&text);
    assert_eq!(migrate(&database).code, Some(0));
    let server = setup.start();
    let users: Vec<String> = (0..400).map(|number| format!("user-{number}")).collect();
    for user in &users {
        assert!(server.client().decide(user).token().is_some());
    }
    server.stop();
    // Only MySQL remembers them: each is read back, gathered only while all connections are busy.
    std::fs::remove_dir_all(setup.data()).unwrap();
    let server = setup.start();
    let count =
        format!("SELECT COUNT(*) FROM information_schema.processlist WHERE db = '{database}'");
    let (is_over, mut most) = (AtomicBool::new(false), 0);
    std::thread::scope(|scope| {
        let end = End(&is_over);
        let visitors: Vec<_> = users
            .chunks(50)
            .map(|users| {
                let mut client = server.client();
                scope.spawn(move || {
                    for user in users {
                        assert_eq!(client.decide(user).reason(), "gap", "{user}");
                    }
                })
            })
            .collect();
        let is_over = &is_over;
        let looking = scope.spawn(move || {
            let mut most = 0;
            while !is_over.load(Ordering::Relaxed) {
                most = most.max(shared().number(&database, &count));
            }
            most
        });
        visitors.into_iter().for_each(|visitor| visitor.join().unwrap());
        drop(end);
        most = looking.join().unwrap();
    });
    // Those of the readers, and journal, popups, admin listener, overrides with tokens, and watch.
    assert!((CONNECTIONS..=CONNECTIONS + 5).contains(&most), "{most} connections");
    let own = connections_open(&server);
    assert!((CONNECTIONS..=CONNECTIONS + 5).contains(&own), "{own} connections");
    server.stop();
}

#[test]
fn a_node_starts_where_mysql_has_no_connection_left_to_give() {
    let mariadb = MariaDb::start_with(&["--max-connections=10"]);
    let url = mariadb.url_of_least_user("nudged");
    assert_eq!(migrate_at(&mariadb.url_of_migrator("nudged")).code, Some(0));
    let setup = Setup::new(WELCOME).config(&config(&url));
    // Its directory keeps the popups from then on.
    setup.start().stop();
    let held: Vec<_> = std::iter::from_fn(|| mariadb.try_hold("SELECT 1;")).take(20).collect();
    assert!((10..20).contains(&held.len()), "{} connections", held.len());
    let mut server = setup.start();
    server.allow(ANY_ERROR);
    server.client().get("/readyz").expect(200);
    // Nobody can say what she has seen.
    assert_eq!(server.client().decide("ann").reason(), "degraded");
    drop(held);
    until_within("a show", APPLIED_WITHIN, || server.client().decide("ann").token());
    until_within("its record in SQL", APPLIED_WITHIN, || {
        (mariadb.number("nudged", "SELECT COUNT(*) FROM events") == 1).then_some(())
    });
    server.stop();
}

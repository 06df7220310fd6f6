//! Property: the kill switch works in an incident. A pause is taken whatever SQL, Redis and the
//! disk do, holds on every shard when it is answered, comes to the other nodes within a second and
//! to SQL when it can, and survives restarts; a resume ends what its node knows, and what has ended
//! never returns.

use std::fs::File;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::Client;
use crate::cluster::{Cluster, Plan};
use crate::disks::tmpfs;
use crate::harness::{Server, Setup, until, until_within};

const POPUPS: &str = "[[popup]]\nid = \"p\"\nafter_shown = \"0s\"\nafter_ignored = \"0s\"\n";
const PAUSED: &str = "[[popup]]\nid = \"p\"\nstatus = \"paused\"\npriority = 7\n";
/// Other nodes know within this (docs/semantics.md#the-catalog).
const KNOWN_WITHIN: Duration = Duration::from_secs(1);
/// What an answer takes is bounded by this on a busy machine; 50 ms are promised on an idle one.
const ANSWERED_WITHIN: Duration = Duration::from_millis(400);
/// What operators ask of a node whose SQL is frozen is answered within this: three seconds for SQL,
/// three for another who asks it, the rest for a busy machine.
const ANSWERED_WITHOUT_SQL: Duration = Duration::from_secs(9);
/// What a node without SQL says.
const WITHOUT_SQL: [&str; 4] = ["sql_failed", "read_failed", "catalog_refused", "keeper_failed"];
/// Users enough to have homes on every shard.
const USERS: usize = 8;

fn ask(server: &Server, verb: &str) -> Value {
    server.operator().ask("POST", &format!("/v1/popups/p/{verb}"), "").expect(200).json()
}

fn popup(server: &Server) -> Value {
    server.operator().get("/v1/popups/p").expect(200).json()
}

/// Whether no shard decides on the popup.
fn is_stopped(server: &Server) -> bool {
    let mut client = server.client();
    (0..USERS).all(|user| {
        let answer = client.decide(&format!("u{user}"));
        answer.status == 204 && answer.reason() == "none"
    })
}

fn is_effective(server: &Server, status: &str) -> bool {
    popup(server)["effective_status"] == status
}

fn await_stored(server: &Server, place: &str) {
    until(&format!("the pause in {place}"), || (popup(server)["stored"] == place).then_some(()));
}

fn allow(server: &mut Server) {
    WITHOUT_SQL.iter().for_each(|part| server.allow(part));
}

#[test]
fn a_pause_needs_no_sql_reaches_the_other_node_and_outlives_a_restart() {
    let cluster = Cluster::new(Plan { owns_mariadb: true, ..Plan::new(POPUPS) });
    let mut nodes = cluster.start(2);
    nodes.iter_mut().for_each(|(_, server)| allow(server));
    until("copies of the catalog", || {
        let is_there = |(setup, _): &(Setup, Server)| setup.data().join("catalog.json").exists();
        nodes.iter().all(is_there).then_some(())
    });
    cluster.mariadb().freeze();
    let begun = Instant::now();
    let paused = ask(&nodes[0].1, "pause");
    let took = begun.elapsed();
    println!("paused without SQL after {took:?}: {}", paused["stored"]);
    assert!(took < ANSWERED_WITHIN, "{took:?}");
    assert_eq!(paused["effective_status"], "paused", "{paused}");
    assert!(is_stopped(&nodes[0].1));
    until_within("the pause on the other node", KNOWN_WITHIN, || {
        is_effective(&nodes[1].1, "paused").then_some(())
    });
    assert!(is_stopped(&nodes[1].1));
    await_stored(&nodes[0].1, "redis");

    // A restart knows it; a resume by the other node ends it, for both.
    let (setup, server) = nodes.remove(0);
    server.kill();
    let mut server = setup.start();
    allow(&mut server);
    assert!(is_effective(&server, "paused") && is_stopped(&server));
    let resumed = ask(&nodes[0].1, "resume");
    assert_eq!(resumed["effective_status"], "live", "{resumed}");
    until_within("the resume on the first node", KNOWN_WITHIN, || {
        is_effective(&server, "live").then_some(())
    });
    cluster.mariadb().thaw();
    await_stored(&server, "sql");
    let rows = cluster.rows("SELECT kind, who, ended_by FROM override_entries");
    assert_eq!(rows, ["pause\tadmin (127.0.0.1)\tadmin (127.0.0.1)"]);
    let lines = "SELECT diff FROM popup_history WHERE `change` = 'override' ORDER BY at";
    assert_eq!(
        cluster.rows(lines),
        [r#"{"status":[null,"paused"]}"#, r#"{"status":["paused",null]}"#]
    );
    let refused = server.operator().ask("POST", "/v1/popups/p/resume", "").expect(200).json();
    assert_eq!(refused["effective_status"], "live", "nothing to end, and live by itself");
}

#[test]
fn a_file_read_without_sql_pauses_at_once_and_is_imported_when_sql_answers() {
    let mut cluster = Cluster::new(Plan { owns_mariadb: true, ..Plan::new(POPUPS) });
    let mut nodes = cluster.start(1);
    let (setup, mut server) = nodes.remove(0);
    allow(&mut server);
    until("the copy of the catalog", || setup.data().join("catalog.json").exists().then_some(()));
    // Frozen on connections that are open: nobody is refused, and nobody hears anything.
    cluster.mariadb().freeze();
    setup.write_popups(PAUSED);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let server = &server;
        for (method, path, status) in [
            ("POST", "/v1/reload", 200),
            ("GET", "/v1/popups/p/history", 503),
            ("PUT", "/v1/popups/n", 503),
        ] {
            scope.spawn(move || {
                let answer = server.operator().ask(method, path, "{}").expect(status);
                let took = begun.elapsed();
                println!("{method} {path} with SQL frozen after {took:?}");
                assert!(took < ANSWERED_WITHOUT_SQL, "{method} {path}: {took:?}");
                let waits = answer.body.contains("when SQL answers");
                assert_eq!(waits, path == "/v1/reload", "{answer:?}");
            });
        }
    });
    cluster.own_mariadb().kill();
    let told = popup(&server);
    assert_eq!((&told["effective_status"], &told["override"]), (&"paused".into(), &Value::Null));
    assert!(is_stopped(&server));
    let refused = server.operator().ask("POST", "/v1/popups/p/resume", "").expect(409);
    assert_eq!(refused.json()["error"]["code"], "own_status", "{refused:?}");
    assert!(refused.body.contains("popups.toml"), "{refused:?}");
    server.kill();
    // The same at a start.
    let mut server = setup.start();
    allow(&mut server);
    assert!(is_effective(&server, "paused") && is_stopped(&server));
    cluster.own_mariadb().restart();
    until("the whole file in SQL", || (popup(&server)["version"] == 2).then_some(()));
    assert_eq!(cluster.number("SELECT version FROM popups"), 2);
    assert!(is_effective(&server, "paused"));
    setup.write_popups(POPUPS);
    server.operator().ask("POST", "/v1/reload", "").expect(200);
    assert!(is_effective(&server, "live"), "no resume is needed");
}

#[test]
fn without_redis_too_it_holds_and_comes_to_the_other_node_with_redis() {
    let mut cluster = Cluster::new(Plan { owns_mariadb: true, ..Plan::impatient(POPUPS) });
    let mut nodes = cluster.start(2);
    nodes.iter_mut().for_each(|(_, server)| {
        allow(server);
        server.allow("redis_");
    });
    cluster.mariadb().freeze();
    cluster.redis.kill();
    let paused = ask(&nodes[0].1, "pause");
    assert!(matches!(paused["stored"].as_str(), Some("memory" | "node")), "{paused}");
    let warning = paused["warnings"][0].as_str().unwrap();
    assert!(warning.contains("other nodes do not know"), "{paused}");
    await_stored(&nodes[0].1, "node");
    assert!(is_effective(&nodes[1].1, "live"));
    cluster.redis.restart();
    until("the pause on the other node", || is_effective(&nodes[1].1, "paused").then_some(()));
    await_stored(&nodes[0].1, "redis");
    // A further run of Redis gets it again, from whoever knows it.
    cluster.redis.kill();
    cluster.redis.restart();
    until("the pause in the new run", || {
        (cluster.redis.line(&["HLEN", "nudged:overrides"]) == "2").then_some(())
    });
    cluster.mariadb().thaw();
    await_stored(&nodes[0].1, "sql");
    await_stored(&nodes[1].1, "sql");
    assert_eq!(cluster.number("SELECT COUNT(*) FROM override_entries"), 1);
}

#[test]
fn a_full_disk_does_not_matter_to_a_pause() {
    let Some(disk) = tmpfs("size=400m") else { return };
    let other = "[[popup]]\nid = \"q\"\nplacement = [\"away\"]\n";
    let setup = Setup::new(&format!("{POPUPS}{other}")).data_in(&disk.path.join("data"));
    let mut server = setup.start_with(&["--shards", "2"]);
    for part in ["journal_full", "sql_failed", "read_failed", "catalog_refused"] {
        server.allow(part);
    }
    // The last byte of the disk.
    let mut ballast = File::create(disk.path.join("ballast")).unwrap();
    let (mebibyte, page) = (vec![1; 1 << 20], vec![1; 4_096]);
    while ballast.write_all(&mebibyte).is_ok() {}
    while ballast.write_all(&page).is_ok() {}
    let begun = Instant::now();
    let paused = ask(&server, "pause");
    let took = begun.elapsed();
    println!("paused on a full disk after {took:?}: {}", paused["stored"]);
    assert!(took < ANSWERED_WITHIN, "{took:?}");
    assert!(is_stopped(&server));
    until("the pause in the node's file", || (popup(&server)["stored"] != "memory").then_some(()));
    // What the popups file pauses holds as well, as its own status.
    setup.write_popups(&format!("{POPUPS}{other}status = \"paused\"\n"));
    let reloaded = server.operator().ask("POST", "/v1/reload", "").expect(200);
    let q = server.operator().get("/v1/popups/q").expect(200).json();
    assert_eq!(q["effective_status"], "paused", "{reloaded:?}");
    server.kill();
    drop(ballast);
    std::fs::remove_file(disk.path.join("ballast")).unwrap();
    let server = setup.start_with(&["--shards", "2"]);
    assert!(is_effective(&server, "paused") && is_stopped(&server));
    await_stored(&server, "sql");
    server.stop();
}

#[test]
fn nodes_that_race_agree_and_the_last_word_holds() {
    let cluster = Cluster::new(Plan::new(POPUPS));
    let nodes = cluster.start(2);
    std::thread::scope(|scope| {
        for (number, (_, server)) in nodes.iter().enumerate() {
            scope.spawn(move || {
                let mut operator = server.operator();
                for round in 0..12 {
                    let verb = ["pause", "resume", "archive"][(round + number) % 3];
                    operator.ask("POST", &format!("/v1/popups/p/{verb}"), "").expect(200);
                }
            });
        }
    });
    let both_stored =
        || nodes.iter().all(|(_, server)| popup(server)["stored"] == "sql").then_some(());
    until("everything in SQL", both_stored);
    let statuses = || -> Vec<String> {
        let status = |(_, server): &(Setup, Server)| popup(server)["effective_status"].to_string();
        nodes.iter().map(status).collect()
    };
    until("both nodes to agree", || {
        let statuses = statuses();
        (statuses[0] == statuses[1]).then_some(())
    });
    // Each ends what it knows; the other's last entry may still be on its way.
    until("the end of all on both", || {
        ask(&nodes[0].1, "resume");
        (statuses() == ["\"live\""; 2]).then_some(())
    });
    ask(&nodes[1].1, "pause");
    until_within("it on the other node", KNOWN_WITHIN, || {
        (!is_effective(&nodes[0].1, "live")).then_some(())
    });
    ask(&nodes[0].1, "resume");
    until_within("its end on the other node", KNOWN_WITHIN, || {
        is_effective(&nodes[1].1, "live").then_some(())
    });
    until("everything in SQL", both_stored);
    assert_eq!(cluster.number("SELECT COUNT(*) FROM override_entries WHERE ended_at IS NULL"), 0);
}

#[test]
fn a_pause_is_answered_fast_beside_a_busy_writer() {
    let setup = Setup::new(POPUPS);
    let server = setup.start_with(&["--shards", "2"]);
    let is_over = AtomicBool::new(false);
    let mut times = Vec::new();
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (server, is_over) = (&server, &is_over);
            scope.spawn(move || load(&mut server.client(), number, is_over));
        }
        until("load", || {
            let metrics = server.operator().get("/metrics").body;
            metrics.contains("nudged_").then_some(())
        });
        let mut operator = server.operator();
        for _ in 0..20 {
            for verb in ["pause", "resume"] {
                let begun = Instant::now();
                operator.ask("POST", &format!("/v1/popups/p/{verb}"), "").expect(200);
                times.push(begun.elapsed());
            }
        }
        is_over.store(true, Ordering::Release);
    });
    times.sort();
    let (median, most) = (times[times.len() / 2], times[times.len() - 1]);
    println!("answered after {median:?}, at most {most:?}");
    assert!(median < Duration::from_millis(100) && most < Duration::from_secs(1));
    server.stop();
}

/// Decisions of users who are new each time, sixteen at once.
fn load(client: &mut Client, number: usize, is_over: &AtomicBool) {
    let mut user = 0;
    while !is_over.load(Ordering::Acquire) {
        let requests: String = (0..16)
            .map(|_| {
                user += 1;
                format!("GET /v1/decide?user=l{number}-{user} HTTP/1.1\r\nHost: x\r\n\r\n")
            })
            .collect();
        client.send(requests.as_bytes());
        (0..16).for_each(|_| drop(client.answer()));
    }
}

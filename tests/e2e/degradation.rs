//! Properties while Redis is away, slow or empty (docs/guarantees.md#g4, #g3): every request is
//! answered, never with 5xx, by its deadline, and at once while the breaker is open; each popup's
//! `on_failure` decides; events are taken and count later; service is full again within a second,
//! and nobody is shown twice through any of it.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::cluster::{Cluster, Plan, addresses, in_turn, stop};
use crate::harness::{Server, Setup, until, until_within};
use crate::support::proxy::{Proxy, Way};

/// Errors that a node without Redis may log.
const ANY_ERROR: &str = "\"level\":\"error\"";
/// `[redis] deadline` (20 ms) and 5 ms; the rest is for two cores that all tests share.
const ANSWERED_WITHIN: Duration = Duration::from_millis(20 + 5 + 75);
/// While the breaker is open an answer takes no more than the machine does: the middle one of many.
const AT_ONCE: Duration = Duration::from_millis(3);
/// Redis is back: full service is too.
const FULL_WITHIN: Duration = Duration::from_secs(1);
/// What was accepted meanwhile has been merged and applied within this.
const MERGED_WITHIN: Duration = Duration::from_secs(20);

/// One that fails closed, one that fails open.
const BOTH: &str = "[[popup]]\nid = \"closed\"\npriority = 9\nafter_shown = \"never\"\n\
     [[popup]]\nid = \"open\"\nafter_shown = \"never\"\non_failure = \"local\"\n";

fn one_node(cluster: &Cluster) -> (Setup, Server) {
    let setup = cluster.node();
    let mut server = setup.start();
    server.allow(ANY_ERROR);
    (setup, server)
}

/// One decision, and how long it took.
fn timed(client: &mut Client, user: &str) -> (crate::client::Answer, Duration) {
    let begun = Instant::now();
    let answer = client.decide(user);
    let took = begun.elapsed();
    assert!(answer.status < 500, "never 5xx: {answer:?}");
    (answer, took)
}

/// Asks for new users until the breaker is open, then measures; the middle of what it measured.
fn middle_while_away(client: &mut Client) -> Duration {
    for number in 0..20 {
        let (answer, took) = timed(client, &format!("first-{number}"));
        assert_eq!(answer.reason(), "degraded");
        assert!(took < ANSWERED_WITHIN, "{took:?}");
    }
    let mut times: Vec<Duration> = (0..201)
        .map(|number| {
            let (answer, took) = timed(client, &format!("then-{number}"));
            assert_eq!(answer.reason(), "degraded");
            assert!(took < ANSWERED_WITHIN, "{took:?}");
            took
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

fn await_full_service(client: &mut Client, since: Instant) {
    let mut number = 0;
    until_within("full service", FULL_WITHIN, || {
        number += 1;
        timed(client, &format!("back-{number}")).0.token()
    });
    assert!(since.elapsed() < FULL_WITHIN, "{:?}", since.elapsed());
}

#[test]
fn a_frozen_redis_degrades_answers_in_time_and_is_back_within_a_second() {
    let popups = in_turn(1);
    let cluster = Cluster::new(Plan::impatient(&popups));
    let (_setup, server) = one_node(&cluster);
    let mut client = server.client();
    until("service", || client.decide("before").token());
    for _ in 0..2 {
        cluster.redis.freeze();
        let middle = middle_while_away(&mut client);
        assert!(middle < AT_ONCE, "{middle:?}");
        cluster.redis.thaw();
        await_full_service(&mut client, Instant::now());
    }
    client.get("/readyz").expect(200);
    server.stop();
    cluster.check_sql();
}

#[test]
fn a_partition_without_a_reset_degrades_in_time_and_heals_within_a_second() {
    let popups = in_turn(1);
    let cluster = Cluster::new(Plan::impatient(&popups));
    let proxy = Proxy::to(cluster.redis.address());
    let setup = cluster.node_behind(&proxy);
    let mut server = setup.start();
    server.allow(ANY_ERROR);
    let mut client = server.client();
    until("service", || client.decide("before").token());
    proxy.black_hole();
    let middle = middle_while_away(&mut client);
    assert!(middle < AT_ONCE, "{middle:?}");
    proxy.heal();
    await_full_service(&mut client, Instant::now());
    server.stop();
    cluster.check_sql();
}

#[test]
fn a_redis_killed_and_started_again_is_trusted_with_what_its_log_has() {
    let popups = in_turn(2);
    let mut cluster = Cluster::new(Plan::new(&popups));
    let mut nodes = cluster.start(2);
    for (_, server) in &mut nodes {
        server.allow(ANY_ERROR);
    }
    let mut seen = HashSet::new();
    for round in 0..2 {
        for number in 0..20 {
            let user = format!("user-{number}");
            let mut client = nodes[number % 2].1.client();
            let popup = until("a show", || {
                let answer = client.decide(&user);
                assert!(answer.status < 500, "{answer:?}");
                answer.popup()
            });
            assert!(seen.insert((user, popup)), "shown twice, round {round}");
        }
        cluster.redis.kill();
        let (answer, _) = timed(&mut nodes[0].1.client(), "nobody");
        assert_eq!(answer.reason(), "degraded");
        cluster.redis.restart();
    }
    stop(nodes);
    cluster.await_events("decided", seen.len());
    cluster.check_sql();
}

#[test]
fn a_wrong_password_is_said_and_degrades() {
    let popups = in_turn(1);
    let cluster = Cluster::new(Plan::impatient(&popups));
    let url = cluster.redis.url_of_least_user().replace(":canary-of-redis@", ":canary-4711@");
    let setup = cluster.node_at(&url);
    let mut server = setup.start_listening();
    server.allow(ANY_ERROR);
    let mut client = server.client();
    assert_eq!(client.decide("ann").reason(), "degraded");
    client.get("/health").expect(200);
    until("it to be said", || (server.lines_with("redis_unfit") == 1).then_some(()));
    client.get("/readyz").expect(503);
    let refusals = || {
        let stats = cluster.redis.info("errorstats");
        let line = stats.lines().find_map(|line| line.strip_prefix("errorstat_WRONGPASS:count="));
        line.map_or(0, |count| count.trim().parse::<u64>().unwrap())
    };
    let first = refusals();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(1) {
        assert_eq!(client.decide("ann").reason(), "degraded");
    }
    // Two shards, and whoever else connects: once a second each, not in a hot loop.
    assert!(refusals() - first <= 10, "{} attempts in a second", refusals() - first);
    client.get("/readyz").expect(503);
    cluster.redis.line(&["ACL", "SETUSER", "nudged", ">canary-4711"]);
    until("readiness", || (client.get("/readyz").status == 200).then_some(()));
    // What comes back before its end has settled is still the same outage.
    until("its end", || (server.lines_with("redis_fit") == 1).then_some(()));
    // It was ready: what nodes share turns it red no more, on new connections either.
    cluster.redis.line(&["ACL", "SETUSER", "nudged", "<canary-4711"]);
    cluster.redis.line(&["CLIENT", "KILL", "USER", "nudged"]);
    until("it to be said again", || (server.lines_with("redis_unfit") == 2).then_some(()));
    client.get("/readyz").expect(200);
    assert!(!server.said().contains("canary-4711"), "the password is in the log");
    server.kill();
}

#[test]
fn each_popup_says_what_happens_without_redis() {
    let cluster = Cluster::new(Plan::impatient(BOTH));
    let (_setup, server) = one_node(&cluster);
    let mut client = server.client();
    until("service", || client.decide("before").token());
    cluster.redis.freeze();
    let answer = client.decide("ann");
    assert_eq!(answer.popup().as_deref(), Some("open"), "{answer:?}");
    let again = client.decide("ann");
    assert_eq!(again.reason(), "degraded", "the node's own memory has shown it: {again:?}");
    cluster.redis.thaw();
    // Once merged, the other one is decided, and never the same again.
    let next = until("full service", || client.decide("ann").popup());
    assert_eq!(next, "closed");
    assert_eq!(client.decide("ann").reason(), "gap");
    server.stop();
    let shows = "SELECT COUNT(*) FROM events WHERE user_id = 'ann' AND action = 'decided'";
    assert_eq!(cluster.number(shows), 2);
    cluster.check_sql();
}

#[test]
fn events_of_an_outage_are_taken_and_count_on_every_node_later() {
    let popups = "[[popup]]\nid = \"again\"\nafter_shown = \"0s\"\nafter_ignored = \"0s\"\n\
                  after_dismissed = \"never\"\n";
    let cluster = Cluster::new(Plan::impatient(popups));
    let mut nodes = cluster.start(2);
    for (_, server) in &mut nodes {
        server.allow(ANY_ERROR);
    }
    let mut client = nodes[0].1.client();
    let token = until("a show", || client.decide("ann").token());
    cluster.redis.freeze();
    let taken = client.event(&token, "dismissed").expect(202).json();
    assert_eq!(taken["accepted"], 1, "{taken}");
    cluster.redis.thaw();
    let mut other = nodes[1].1.client();
    until_within("the event everywhere", MERGED_WITHIN, || {
        // The first node merges before it decides on her; the other one learns of it.
        let here = client.decide("ann");
        let there = other.decide("ann");
        (here.status == 204 && there.status == 204 && there.reason() == "gap").then_some(())
    });
    stop(nodes);
    let row = "SELECT COUNT(*) FROM events WHERE user_id = 'ann' AND action = 'dismissed'";
    assert_eq!(cluster.number(row), 1);
    let outcome = "SELECT COUNT(*) FROM user_popups WHERE user_id = 'ann' \
                   AND outcome = 'dismissed'";
    assert_eq!(cluster.number(outcome), 1);
    cluster.check_sql();
}

#[test]
fn a_click_on_a_local_show_counts_on_a_node_that_has_not_heard_of_it() {
    let cluster = Cluster::new(Plan::impatient(BOTH));
    let proxy = Proxy::to(cluster.redis.address());
    let mut nodes: Vec<(Setup, Server)> = Vec::new();
    for setup in [cluster.node_behind(&proxy), cluster.node()] {
        let mut server = setup.start();
        server.allow(ANY_ERROR);
        nodes.push((setup, server));
    }
    let mut cut_off = nodes[0].1.client();
    let mut other = nodes[1].1.client();
    until("service", || cut_off.decide("before").token());
    until("service", || other.decide("early").token());
    proxy.black_hole();
    let local = cut_off.decide("ann");
    assert_eq!(local.popup().as_deref(), Some("open"), "{local:?}");
    let token = local.token().unwrap();
    let taken = other.event(&token, "clicked").expect(202).json();
    assert_eq!(taken["accepted"], 1, "{taken}");
    let again = other.event(&token, "clicked").expect(202).json();
    assert_eq!(again["duplicate"], 1, "{again}");
    // The node that is cut off can't know.
    let unknown = cut_off.event(&token, "clicked").expect(202).json();
    assert_eq!(unknown["accepted"], 1, "{unknown}");
    assert_eq!(until("the other one", || other.decide("ann").popup()), "closed");
    proxy.heal();
    until_within("the merge", MERGED_WITHIN, || {
        (cut_off.decide("ann").reason() == "gap").then_some(())
    });
    stop(nodes);
    let count = |what: &str| cluster.number(&format!("SELECT COUNT(*) FROM {what}"));
    assert_eq!(count("events WHERE user_id = 'ann' AND action = 'decided'"), 2);
    assert_eq!(count("events WHERE user_id = 'ann' AND action = 'clicked'"), 1);
    let outcome = "user_popups WHERE popup_id = 'open' AND outcome = 'clicked' AND shows = 1";
    assert_eq!(count(outcome), 1);
    cluster.check_sql();
}

#[test]
fn events_of_an_outage_survive_a_kill_of_their_node() {
    let popups = in_turn(1);
    let cluster = Cluster::new(Plan::impatient(&popups));
    let (setup, server) = one_node(&cluster);
    let mut client = server.client();
    let token = until("a show", || client.decide("ann").token());
    cluster.redis.freeze();
    let taken = client.event(&token, "clicked").expect(202).json();
    assert_eq!(taken["accepted"], 1, "{taken}");
    server.kill();
    cluster.redis.thaw();
    let mut server = setup.start();
    server.allow(ANY_ERROR);
    let row = "SELECT COUNT(*) FROM events WHERE user_id = 'ann' AND action = 'clicked'";
    until_within("the event in SQL", MERGED_WITHIN, || (cluster.number(row) == 1).then_some(()));
    let mut client = server.client();
    let again = client.event(&token, "clicked").expect(202).json();
    assert_eq!(again["duplicate"], 1, "{again}");
    server.stop();
    assert_eq!(cluster.number(row), 1);
    cluster.check_sql();
}

#[test]
fn a_reply_that_is_lost_in_its_midst_shows_once() {
    let popups = in_turn(1);
    let cluster = Cluster::new(Plan::new(&popups));
    let proxy = Proxy::to(cluster.redis.address());
    let setup = cluster.node_behind(&proxy);
    let mut server = setup.start();
    server.allow(ANY_ERROR);
    let mut client = server.client();
    until("service", || client.decide("before").token());
    let mut shown = 1;
    for number in 0..20 {
        // Somewhere in the reply of the read, of the commit, or between them.
        proxy.cut_after(Way::ToClient, 1 + number * 7);
        let (answer, _) = timed(&mut client, &format!("user-{number}"));
        shown += usize::from(answer.token().is_some());
        until("service", || {
            let answer = client.decide(&format!("after-{number}"));
            match answer.token() {
                Some(_) => {
                    shown += 1;
                    Some(())
                }
                None => (answer.reason() == "gap").then_some(()),
            }
        });
    }
    server.stop();
    let seen = usize::try_from(cluster.number("SELECT COUNT(*) FROM events")).unwrap();
    // A commit whose reply never came may have shown to nobody, and is not counted as a show twice.
    assert!(seen >= shown, "{seen} rows of {shown} shows that were answered");
    let twice = "SELECT COUNT(*) FROM (SELECT 1 FROM events WHERE action = 'decided' \
                 GROUP BY user_id, popup_id HAVING COUNT(*) > 1) AS twice";
    assert_eq!(cluster.number(twice), 0);
}

/// Asks for hot users until it is told to stop, and says what was shown; never 5xx.
fn hammer(address: SocketAddr, is_over: &AtomicBool) -> Vec<(String, String)> {
    let mut client = Client::connect(address);
    let mut shows = Vec::new();
    let mut number = 0_usize;
    while !is_over.load(Ordering::Relaxed) {
        number += 1;
        let user = format!("hot-{}", number % 40);
        if let Some(popup) = timed(&mut client, &user).0.popup() {
            shows.push((user, popup));
        }
    }
    shows
}

/// A wipe under load: nobody is shown twice, and service is full again by itself.
fn wipe_under_load(queue: &str, wipe: impl FnOnce(&mut Cluster)) {
    let popups = in_turn(3);
    let settings = format!("queue = \"{queue}\"");
    let mut cluster = Cluster::new(Plan { settings: &settings, ..Plan::impatient(&popups) });
    let mut nodes = cluster.start(2);
    for (_, server) in &mut nodes {
        server.allow(ANY_ERROR);
    }
    let is_over = AtomicBool::new(false);
    let shows: Vec<(String, String)> = std::thread::scope(|scope| {
        let is_over = &is_over;
        let hammers: Vec<_> = addresses(&nodes)
            .into_iter()
            .map(|address| scope.spawn(move || hammer(address, is_over)))
            .collect();
        let mut client = nodes[0].1.client();
        until("some shows", || client.decide("early").token());
        wipe(&mut cluster);
        // Who was never seen before is shown something once the partitions are vouched for.
        let mut number = 0;
        until_within("service after the wipe", MERGED_WITHIN, || {
            number += 1;
            timed(&mut client, &format!("late-{number}")).0.token()
        });
        let next = until_within("service for whom it knew", MERGED_WITHIN, || {
            timed(&mut client, "early").0.popup()
        });
        assert_eq!(next, "p1", "the second, not the first again");
        is_over.store(true, Ordering::Relaxed);
        hammers.into_iter().flat_map(|hammer| hammer.join().unwrap()).collect()
    });
    let distinct: HashSet<&(String, String)> = shows.iter().collect();
    assert_eq!(distinct.len(), shows.len(), "shown twice within the gap");
    stop(nodes);
    cluster.check_sql();
}

#[test]
fn a_wiped_redis_shows_nobody_twice() {
    wipe_under_load("journal", |cluster| {
        assert_eq!(cluster.redis.line(&["FLUSHALL"]), "OK");
    });
}

#[test]
fn a_redis_that_restarts_without_its_files_shows_nobody_twice() {
    wipe_under_load("journal", |cluster| {
        cluster.redis.kill();
        std::fs::remove_dir_all(cluster.redis.folder().join("appendonlydir")).unwrap();
        cluster.redis.restart();
    });
}

#[test]
fn records_queue_in_redis_while_mysql_is_away_and_are_applied_once() {
    let popups = in_turn(1);
    let settings = "queue = \"redis\"";
    // Several lists go to SQL at once.
    let mysql = "connections = 3";
    let plan = Plan { settings, mysql, owns_mariadb: true, ..Plan::new(&popups) };
    let mut cluster = Cluster::new(plan);
    let mut nodes = cluster.start(2);
    for (_, server) in &mut nodes {
        server.allow(ANY_ERROR);
    }
    cluster.own_mariadb().kill();
    let mut shows = 0;
    for number in 0..50 {
        let mut client = nodes[number % 2].1.client();
        let token = client.decide(&format!("user-{number}")).token().expect("a show");
        let taken = client.event(&token, "clicked").expect(202).json();
        assert_eq!(taken["accepted"], 1, "{taken}");
        shows += 1;
    }
    assert!(cluster.redis.calls("rpush") >= 2 * shows, "the records are in lists");
    // A node that dies leaves nothing behind but the lists, which the other one drains.
    let (_, server) = nodes.remove(0);
    server.kill();
    cluster.own_mariadb().restart();
    let count = usize::try_from(shows).unwrap();
    until_within("the lists in SQL", Duration::from_secs(60), || {
        let rows = cluster.number("SELECT COUNT(*) FROM events");
        (rows >= i64::try_from(2 * count).unwrap()).then_some(())
    });
    cluster.await_events("decided", count);
    cluster.await_events("clicked", count);
    // docs/operations.md says how many at most: of readers and lanes, and one each for six that
    // ask. Those that had nothing to ask since have none.
    let open = "SELECT COUNT(*) FROM information_schema.processlist WHERE user LIKE 'nudged%'";
    assert!((3..=2 * 3 + 6).contains(&cluster.number(open)), "{}", cluster.number(open));
    stop(nodes);
    cluster.check_sql();
}

#[test]
fn events_of_an_outage_that_ends_with_an_empty_redis_are_applied_once() {
    let mut cluster = Cluster::new(Plan::impatient(BOTH));
    let (_setup, server) = one_node(&cluster);
    let mut client = server.client();
    let token = until("a show", || client.decide("ann").token());
    cluster.await_events("decided", 1);
    cluster.redis.kill();
    let taken = client.event(&token, "clicked").expect(202).json();
    assert_eq!(taken["accepted"], 1, "{taken}");
    let local = client.decide("bob");
    assert_eq!(local.popup().as_deref(), Some("open"), "{local:?}");
    std::fs::remove_dir_all(cluster.redis.folder().join("appendonlydir")).unwrap();
    cluster.redis.restart();
    // The rebuild waits for SQL, which waits for the merge, which waits for the rebuild.
    let count = "SELECT COUNT(*) FROM events";
    until_within("the events in SQL", MERGED_WITHIN, || (cluster.number(count) == 3).then_some(()));
    assert_eq!(client.decide("bob").popup().as_deref(), Some("closed"));
    assert_eq!(client.decide("bob").reason(), "gap");
    server.stop();
    assert_eq!(cluster.number(count), 4);
    cluster.check_sql();
}

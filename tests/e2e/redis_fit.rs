//! Properties of a Redis that answers and refuses: every right that a node needs is tried, and one
//! that is missing is named; a node that was never ready waits for it, one that was degrades and
//! stays ready; given back, it heals by itself within 3 s. What it refuses for other reasons has
//! its own label and line.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cluster::{Cluster, Plan, stop};
use crate::harness::{Server, until, until_within};

/// A right that is given back is used within this.
const HEALS_WITHIN: Duration = Duration::from_secs(3);
/// A right that is missing is named within this.
const NAMED_WITHIN: Duration = Duration::from_secs(3);

/// Shown again only once it was clicked: who has not heard of the click answers nothing.
const UNTIL_CLICKED: &str = "[[popup]]\nid = \"p\"\nafter_shown = \"0s\"\n\
     ignore_after = \"1ms\"\nafter_ignored = \"never\"\nafter_clicked = \"0s\"\n";

/// Nodes that a busy machine does not make degrade, and whose first rebuild, which waits for twice
/// the deadline, is short.
fn quick(popups: &str) -> Plan<'_> {
    Plan { redis: "deadline = \"400ms\"", ..Plan::new(popups) }
}

fn unfit(server: &Server) -> Option<String> {
    let status: Value = server.operator().get("/v1/status").json();
    status["redis"]["unfit"].as_str().map(str::to_owned)
}

fn await_unfit(server: &Server, part: &str) {
    until_within(&format!("{part} to be named"), NAMED_WITHIN, || {
        unfit(server).filter(|why| why.contains(part))
    });
}

fn await_fit(server: &Server) {
    let mut last = None;
    until_within("Redis to be fit again", HEALS_WITHIN, || {
        last = unfit(server);
        last.is_none().then_some(())
    });
}

fn is_ready(server: &Server) -> bool {
    server.client().get("/readyz").status == 200
}

/// The numbers of a metric whose lines have this in them, together.
fn metric(server: &Server, name: &str, part: &str) -> u64 {
    let text = server.operator().get("/metrics").body;
    let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(part));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

fn counted(server: &Server, kind: &str) -> u64 {
    metric(server, "nudged_redis_refused_total{", &format!("\"{kind}\""))
}

/// Changes the rights of the nodes' user.
fn acl(cluster: &Cluster, rules: &[&str]) {
    let words = [&["ACL", "SETUSER", "nudged"], rules].concat();
    assert_eq!(cluster.redis.line(&words), "OK", "{rules:?}");
}

/// Ends every connection of the nodes: rights are looked at anew.
fn cut(cluster: &Cluster) {
    cluster.redis.line(&["CLIENT", "KILL", "USER", "nudged"]);
}

/// What is taken, how it is named, what gives it back, whether decisions need it.
const RIGHTS: &[(&str, &str, &[&str], bool)] = &[
    ("-publish", "+publish", &["+publish"], true),
    ("-set", "+set", &["+set"], true),
    ("-get", "+get", &["+get"], true),
    ("-hmget", "+hmget", &["+hmget"], true),
    ("-hincrby", "+hincrby", &["+hincrby"], true),
    ("-time", "+time", &["+time"], true),
    ("-evalsha", "+evalsha", &["+evalsha"], true),
    ("resetkeys", "~nudged:*", &["~nudged:*"], true),
    ("resetchannels", "&nudged:*", &["&nudged:*"], true),
    ("-eval", "+eval", &["+eval"], false),
    ("-script|load", "+script|load", &["+script|load"], false),
    ("-subscribe", "+subscribe", &["+subscribe"], false),
    ("-scan", "+scan", &["+scan"], false),
    ("-sadd", "+sadd", &["+sadd"], false),
    ("-info", "+info", &["+info"], false),
];

#[test]
fn each_right_that_is_taken_is_named_and_given_back_heals() {
    let cluster = Cluster::new(quick("[[popup]]\nid = \"p\"\nafter_shown = \"never\"\n"));
    let mut nodes = cluster.start(1);
    let (_, server) = &mut nodes[0];
    server.allow("redis_unfit");
    let mut client = server.client();
    for (taken, named, given, is_deciding) in RIGHTS {
        acl(&cluster, &[taken]);
        cut(&cluster);
        await_unfit(server, named);
        assert!(is_ready(server), "{taken}: it was ready");
        let answer = client.decide(&format!("without-{taken}"));
        if *is_deciding {
            assert_eq!(answer.reason(), "degraded", "{taken}");
        }
        acl(&cluster, given);
        await_fit(server);
        let begun = Instant::now();
        until_within("decisions by Redis", HEALS_WITHIN, || {
            client.decide(&format!("with-{}{taken}", begun.elapsed().as_micros())).token()
        });
    }
    let lines = server.lines_with("redis_unfit");
    assert!(lines <= 2 * RIGHTS.len(), "one line each, and for those not let in: {lines}");
    stop(nodes);
}

#[test]
fn what_is_accepted_while_a_right_is_missing_reaches_every_node_once_it_is_given() {
    let cluster = Cluster::new(quick(UNTIL_CLICKED));
    let mut nodes = cluster.start(2);
    nodes.iter_mut().for_each(|(_, server)| server.allow("redis_unfit"));
    let (one, other) = (&nodes[0].1, &nodes[1].1);
    let token = one.client().decide("ann").token().expect("the first show");
    // On its open connections: nothing of it is closed.
    acl(&cluster, &["-publish"]);
    let taken = one.client().event(&token, "clicked").expect(202).json();
    assert_eq!(taken["accepted"], 1, "{taken}");
    await_unfit(one, "+publish");
    assert!(is_ready(one) && is_ready(other));
    assert_ne!(other.client().decide("ann").status, 200, "it has not heard of the click");
    assert_eq!(metric(one, "nudged_redis_unfit ", ""), 1);
    acl(&cluster, &["+publish"]);
    until_within("the click to be known", HEALS_WITHIN, || other.client().decide("ann").token());
    await_fit(one);
    assert_eq!(one.client().event(&token, "clicked").expect(202).json()["duplicate"], 1);
    assert_eq!(one.lines_with("redis_unfit"), 1, "{}", one.said());
    stop(nodes);
    cluster.await_events("clicked", 1);
    cluster.check_sql();
}

#[test]
fn a_node_that_was_never_ready_waits_until_nothing_is_refused() {
    let cluster = Cluster::new(quick(UNTIL_CLICKED));
    acl(&cluster, &["resetchannels"]);
    let setup = cluster.node();
    let mut server = setup.start_listening();
    server.allow("redis_unfit");
    await_unfit(&server, "&nudged:*");
    assert!(!is_ready(&server));
    acl(&cluster, &["&nudged:*"]);
    until_within("the node to be ready", HEALS_WITHIN, || is_ready(&server).then_some(()));
    await_fit(&server);
    // A busy host may be late with one answer.
    until_within("a show", HEALS_WITHIN, || server.client().decide("ann").token());
    server.stop();
    // One that waits is stopped as any other.
    acl(&cluster, &["-publish"]);
    let mut server = setup.start_listening();
    server.allow("redis_unfit");
    await_unfit(&server, "+publish");
    server.stop();
    // One that is away holds nothing up.
    let setup = cluster.node_at("redis://127.0.0.1:1");
    let away = setup.start();
    assert!(is_ready(&away));
    away.stop();
}

#[test]
fn each_kind_of_refusal_has_its_label_and_its_line() {
    let cluster = Cluster::new(quick(UNTIL_CLICKED));
    let mut nodes = cluster.start(1);
    let (_, server) = &mut nodes[0];
    server.allow("redis_unfit");
    let mut client = server.client();
    let mut users = 0;
    let redis = &cluster.redis;
    let full: (&[&str], &[&str]) =
        (&["CONFIG", "SET", "maxmemory", "1"], &["CONFIG", "SET", "maxmemory", "1gb"]);
    let alone: (&[&str], &[&str]) = (
        &["CONFIG", "SET", "min-replicas-to-write", "1"],
        &["CONFIG", "SET", "min-replicas-to-write", "0"],
    );
    for ((wrong, right), kind) in [(full, "out_of_memory"), (alone, "read_only")] {
        let cause = format!("\"cause\":\"{kind}\"");
        redis.line(wrong);
        until_within("a refusal to be told", NAMED_WITHIN, || {
            users += 1;
            assert_eq!(client.decide(&format!("u{users}")).reason(), "degraded");
            (server.lines_with(&cause) > 0).then_some(())
        });
        assert!(counted(server, kind) > 0, "a label of its own");
        assert!(unfit(server).is_some() && is_ready(server));
        redis.line(right);
        until_within("a show", HEALS_WITHIN, || {
            users += 1;
            client.decide(&format!("u{users}")).token()
        });
        until_within("nothing to be wrong", HEALS_WITHIN, || unfit(server).is_none().then_some(()));
        until("its end to be told", || (server.lines_with(&cause) > 1).then_some(()));
        assert_eq!(server.lines_with(&cause), 2, "its begin and its end: {}", server.said());
    }
    redis.line(&["REPLICAOF", "127.0.0.1", "1"]);
    await_unfit(server, "replica");
    assert_eq!(client.decide("replica").reason(), "degraded");
    redis.line(&["REPLICAOF", "NO", "ONE"]);
    until_within("a show", HEALS_WITHIN, || client.decide("primary").token());
    stop(nodes);
}

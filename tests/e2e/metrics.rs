//! Properties of `/metrics`: Prometheus takes every name as it is, and after a day in which it must
//! have moved no metric still stands at 0. One that never moves says that all is well for ever.

use std::collections::BTreeSet;

use crate::admin;
use crate::client::{Client, event};
use crate::cluster::{Cluster, Plan, in_turn};
use crate::harness::{ALWAYS, Server, Setup, until};
use crate::support::prometheus::{Metrics, promtool};
use crate::support::proxy::Proxy;
use crate::tls;
use crate::vendor_monitoring;

/// What an ordinary day does not move, by why. All else has to.
const STILL: &[(&str, &[&str])] = &[
    (
        "states that pass, and are 0 again when somebody looks",
        &[
            "clock_ahead_seconds",
            "clock_apart_seconds",
            "journal_unapplied_bytes",
            "journal_waiting",
            "list_lag_seconds",
            "list_waiting",
            "load",
            "overrides_waiting",
            "parked",
            "rebuild_partitions",
            "redis_breaker",
            "redis_in_flight",
            "redis_partitions_lost",
            "shard_load",
            "sql_lag_records",
            "sql_lag_seconds",
            "unmerged",
        ],
    ),
    (
        "many connections of one client, whom tests/e2e/sources.rs has",
        &["source_connections_refused_total"],
    ),
    (
        "clients of TLS, whom tests/e2e/tls.rs has",
        &["tls_failures_total", "tls_handshakes_open", "tls_handshakes_total"],
    ),
    ("operators' tokens, which tests/e2e/tokens.rs has", &["admin_refused_total", "admin_tokens"]),
    ("the console, which tests/e2e/console.rs has", &["admin_sessions", "admin_sign_ins_total"]),
    (
        "who looks at live figures, whom tests/e2e/live.rs has",
        &["live_streams", "live_streams_cut_total", "live_streams_refused_total"],
    ),
    (
        "preview users, whom tests/e2e/preview_users.rs has",
        &["preview_decisions_total", "preview_events_total"],
    ),
    (
        "more load than a test has",
        &[
            "acks_late_total",
            "busy_poll_idle_seconds_total",
            "catalog_late_total",
            "catalogs_let_go_total",
            "connections_cut_total",
            "hops_refused_total",
            "parked_full_total",
            "user_rate_refusals_total",
            "user_rate_untracked_total",
            "ring_buffers_empty_total",
            "ring_overflows_total",
            "queue_delay_seconds",
            "shed_held",
            "shed_total",
            "shedding",
            "slice_evictions_total",
            "slice_full_total",
            "unsent_bytes",
        ],
    ),
    ("upgrades (upgrade)", &["handover_gap_seconds", "handovers_failed_total"]),
    (
        "older rows than a day has, and what fails with them (retention)",
        &[
            "retention_events_deleted_total",
            "retention_failures_total",
            "retention_statistics_folded_total",
            "retention_users_forgotten_total",
        ],
    ),
    (
        "the machine's or the disk's failures (disks, journal, io_uring, reload)",
        &[
            "accept_errors_total",
            "journal_cut_bytes",
            "journal_failures_total",
            "journal_full",
            "journal_lost_stretches",
            "journal_low",
            "journal_refusals_total",
        ],
    ),
    (
        "failures of Redis that have tests of their own (degradation, eviction, withdrawn, redis)",
        &[
            "journaled_again_total",
            "merges_dropped_total",
            "list_denials_total",
            "rebuild_held_total",
            "rebuild_unreadable_total",
            "rebuild_users_total",
            "redis_evicts",
            "redis_breaker_opens_total",
            "redis_fills_total",
            "redis_link_expired_total",
            "redis_link_late_total",
            "redis_link_malformed_total",
            "redis_link_retries_total",
            "redis_link_unknown_total",
            "redis_pursued",
            "redis_pursuits_total",
            "redis_unfit",
            "redis_withdrawn_total",
            "shows_learnt_total",
        ],
    ),
    (
        "failures of SQL that have tests of their own (mysql, sql_away, disks)",
        &[
            "keeper_sql_failures_total",
            "reads_failed_total",
            "reads_late_total",
            "sql_duplicates_total",
            "sql_errors_total",
            "sql_failures_total",
            "sql_halted",
            "sql_regressions_total",
            "sql_rejected_total",
            "sql_unfit",
        ],
    ),
    (
        "what two nodes do to each other at the same moment, and files that differ (redis, catalog)",
        &[
            "catalog_replaced_total",
            "list_duplicates_total",
            "list_given_up_total",
            "redis_joined_total",
            "redis_moved_total",
        ],
    ),
];

fn text(server: &Server) -> String {
    server.operator().get("/metrics").expect(200).body
}

/// Holds the text to the rules.
fn check(text: &str) -> Metrics {
    let metrics = Metrics::read(text);
    assert!(metrics.mistakes().is_empty(), "{:#?}", metrics.mistakes());
    match promtool(text) {
        Some(said) => assert_eq!(said, "", "promtool"),
        None => println!("promtool is not installed; our own rules alone"),
    }
    metrics
}

/// Shows, events of every outcome, refusals, questions without a user.
fn visit(server: &Server, users: &str) {
    let mut client = server.client();
    for number in 0..20 {
        let user = format!("{users}-{number}");
        let token = client.decide(&user).token();
        client.decide(&user);
        if let Some(token) = token {
            client.event(&token, "clicked");
            client.event(&token, "clicked");
            client.ask("POST", "/v1/events", &event(&token, "eaten"));
        }
    }
    client.get("/v1/decide?user=a&tz=Nowhere/Land&placment=cart");
    client.get("/nowhere");
}

#[test]
fn after_an_ordinary_day_no_metric_stands_at_zero() {
    let mut day = vec![embedded()];
    day.extend(with_redis());
    let moved: BTreeSet<&str> = day
        .iter()
        .flat_map(|metrics| metrics.names().filter(|name| metrics.sum(name) > 0.0))
        .collect();
    let all: BTreeSet<&str> = day.iter().flat_map(Metrics::names).collect();
    let still: BTreeSet<String> = STILL
        .iter()
        .flat_map(|(_, names)| names.iter().map(|name| format!("nudged_{name}")))
        .collect();
    let dead: Vec<&&str> = all.difference(&moved).filter(|name| !still.contains(**name)).collect();
    assert!(dead.is_empty(), "never moved: {dead:#?}");
    let unknown: Vec<&String> = still.iter().filter(|name| !all.contains(&***name)).collect();
    assert!(unknown.is_empty(), "no such metric: {unknown:#?}");
    vendor_monitoring::check_names(&all);
}

/// Requests are timed, each under its route and outcome, whether it was answered at once or waited;
/// a shard that has work is busy, one that spins for nothing is not.
#[test]
fn requests_are_timed_and_work_is_load() {
    let setup = Setup::new(ALWAYS).flags(&["--shards", "1", "--no-pin", "--busy-poll", "2000"]);
    let server = setup.start();
    let mut client = server.client();
    let token = client.decide("ann").token().unwrap();
    client.event(&token, "clicked").expect(202);
    client.get("/v1/decide?user=ann&placement=none").expect(204);
    client.get("/v1/decide?user=").expect(400);
    client.get("/health").expect(200);
    let series = |text: &str, labels: &str| {
        let name = format!("nudged_request_duration_seconds_count{{shard=\"0\",{labels}}} ");
        let count = text.lines().find_map(|line| line.strip_prefix(&name)?.parse::<u64>().ok());
        count.unwrap_or_else(|| panic!("no {name}"))
    };
    until("each of the requests under its route and outcome", || {
        let text = text(&server);
        let all = [
            ("route=\"decide\",outcome=\"shown\"", 1),
            ("route=\"decide\",outcome=\"nothing\"", 1),
            ("route=\"decide\",outcome=\"refused\"", 1),
            ("route=\"events\",outcome=\"answered\"", 1),
            ("route=\"other\",outcome=\"answered\"", 1),
        ];
        all.iter().all(|(labels, count)| series(&text, labels) == *count).then_some(())
    });
    let load = |text: &str| check(text).sum("nudged_load");
    until("a load, while requests come", || {
        (0..100).for_each(|_| _ = client.get("/v1/decide?user=ann&placement=none"));
        (load(&text(&server)) > 0.01).then_some(())
    });
    let spun = || check(&text(&server)).sum("nudged_busy_poll_idle_seconds_total");
    until("spins that are no load", || (spun() > 0.0).then_some(()));
    server.stop();
}

/// An embedded node that knows its users again after a restart.
fn embedded() -> Metrics {
    let config = "connections_max = 4\n[proxy_protocol]\nnetworks = [\"127.0.0.1\"]\n\
        [limits]\nuser_rate = \"1000000/s\"\n\
        [tls]\ncertificate = \"tls.pem\"\nkey = \"tls.key\"\n";
    let setup = Setup::new(ALWAYS).config(config);
    tls::install(&setup, "server.pem", "server.key");
    let proxied = ["--listen", "127.0.0.1:0 proxy_protocol"];
    let setup = setup.flags(&["--shards", "2", "--no-pin"]).flags(&proxied);
    let server = setup.start();
    visit(&server, "early");
    server.stop();
    let server = setup.start();
    visit(&server, "early");
    // More than may be open: some of them are refused.
    let crowd: Vec<_> = (0..16).map(|_| server.client()).collect();
    let refused = || check(&text(&server)).sum("nudged_connections_refused_total") > 0.0;
    until("one that is refused", || refused().then_some(()));
    drop(crowd);
    until("all in SQL", || {
        (check(&text(&server)).sum("nudged_sql_lag_records") == 0.0).then_some(())
    });
    for header in ["PROXY UNKNOWN\r\n", "GET / HTTP/1.1\r\n"] {
        let mut client = Client::connect(server.others[0]);
        client.send(header.as_bytes());
        // What is no header ends the connection.
        let _ = client.try_ask("GET", "/health", "");
    }
    let mut open = server.client();
    // Its buffer grows past what is kept.
    let large = format!("{{\"user\":\"{}\"}}", "x".repeat(65_500));
    open.ask("POST", "/v1/decide", &large);
    let mut open = server.client();
    open.get("/health").expect(200);
    server.operator().ask("POST", "/v1/popups/banner/pause", "").expect(200);
    let metrics = check(&text(&server));
    drop(open);
    server.stop();
    metrics
}

/// Two nodes, one of which loses Redis and SQL for a while.
fn with_redis() -> Vec<Metrics> {
    let popups = in_turn(3) + "on_failure = \"local\"\n";
    let cluster = Cluster::new(Plan { settings: "queue = \"redis\"", ..Plan::impatient(&popups) });
    let proxy = Proxy::to(cluster.redis.address());
    let setups = [cluster.node_behind(&proxy), cluster.node()];
    let mut servers = setups.each_ref().map(Setup::start);
    servers.iter_mut().for_each(|server| server.allow("\"level\":\"error\""));
    for server in &servers {
        visit(server, "both");
    }
    proxy.refuse();
    proxy.cut();
    visit(&servers[0], "away");
    let away = check(&text(&servers[0]));
    admin::check_status(&servers[0]);
    proxy.heal();
    until("Redis", || servers[0].logged("redis_connected").pop());
    visit(&servers[0], "back");
    until("what was taken without Redis to be merged", || {
        let text = text(&servers[0]);
        let mut lines = text.lines().filter(|line| line.starts_with("nudged_merged_total{"));
        lines.any(|line| !line.ends_with(" 0")).then_some(())
    });
    let metrics = servers.each_ref().map(|server| check(&text(server)));
    servers.into_iter().for_each(Server::stop);
    metrics.into_iter().chain([away]).collect()
}

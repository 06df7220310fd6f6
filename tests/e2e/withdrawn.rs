//! Property: a show whose commit became known too late for its request, which was answered without
//! it, never was: no row of it stays in SQL, it is not counted, and the user may be shown the popup
//! again at once. With `queue = "redis"` its record had left with the commit. So it is where the
//! word of Redis never comes, since the connection was given up and Redis stood still.

use crate::cluster::{Cluster, Plan, in_turn};
use crate::harness::{Server, until};
use crate::support::proxy::{Proxy, Way};

/// Long enough for a busy machine, short enough to wait for.
const DEADLINE: &str = "deadline = \"300ms\"";

/// The sum over shards of a counter.
fn metric(server: &Server, name: &str) -> u64 {
    let text = server.operator().get("/metrics").body;
    let lines = text.lines().filter(|line| line.starts_with(name));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// What SQL counts of a popup: rows of events, shows in statistics, users who know it.
fn known(cluster: &Cluster, popup: &str) -> [i64; 3] {
    [
        format!("SELECT COUNT(*) FROM events WHERE popup_id = '{popup}'"),
        format!("SELECT COALESCE(SUM(decided), 0) FROM popup_stats WHERE popup_id = '{popup}'"),
        format!("SELECT COUNT(*) FROM user_popups WHERE popup_id = '{popup}'"),
    ]
    .map(|query| cluster.number(&query))
}

fn a_late_show_never_was(queue: &str) {
    // Shown once, and not again in this world: where `p2` were not withdrawn, nobody would see it.
    let popups = format!("{}max_shows = 1\n", in_turn(3));
    let settings = format!("queue = \"{queue}\"");
    let plan = Plan { settings: &settings, redis: DEADLINE, ..Plan::new(&popups) };
    let cluster = Cluster::new(plan);
    let proxy = Proxy::to(cluster.redis.address());
    let setup = cluster.node_behind(&proxy);
    let mut server = setup.start();
    server.allow("\"level\":\"error\"");
    let mut client = server.client();
    let first = until("service", || client.decide("ann").popup());
    assert_eq!(first, "p0");
    // Redis does what it is told, and its word comes too late: the copy of the user is trusted, so
    // the next show is the first command.
    proxy.hold(Way::ToClient);
    assert_eq!(client.decide("ann").reason(), "degraded");
    proxy.heal();
    until("the withdrawal", || {
        (metric(&server, "nudged_redis_withdrawn_total") == 1).then_some(())
    });
    // In a journal there is nothing of it; of a list SQL has to have the last record.
    let revision = "SELECT COALESCE(MAX(revision_counter), 0) FROM users WHERE user_id = 'ann'";
    let applied = if queue == "redis" { 3 } else { 1 };
    until("all records in SQL", || (cluster.number(revision) == applied).then_some(()));
    assert_eq!(known(&cluster, "p1"), [0, 0, 0]);
    assert_eq!(known(&cluster, "p0"), [1, 1, 1]);
    let stats = server.operator().get("/v1/stats?popup=p1").expect(200).json();
    assert_eq!(stats["totals"]["decided"], 0, "{stats}");
    assert_eq!(stats["rows"].as_array().map(Vec::len), Some(0), "{stats}");
    let next = until("service again", || client.decide("ann").popup());
    assert_eq!(next, "p1", "nobody has seen it");
    // Redis freezes behind what it has done, for longer than a connection is waited for.
    proxy.hold(Way::ToClient);
    assert_eq!(client.decide("ann").reason(), "degraded");
    cluster.redis.freeze();
    until("the end of the connection", || {
        (metric(&server, "nudged_redis_pursued") == 1).then_some(())
    });
    proxy.heal();
    assert_eq!(client.decide("ann").reason(), "degraded");
    cluster.redis.thaw();
    let next = until("service again", || client.decide("ann").popup());
    assert_eq!(next, "p2", "nobody has seen it");
    assert_eq!(metric(&server, "nudged_redis_withdrawn_total"), 2);
    server.stop();
    assert_eq!(known(&cluster, "p1"), [1, 1, 1]);
    assert_eq!(known(&cluster, "p2"), [1, 1, 1]);
    cluster.check_sql();
}

#[test]
fn a_show_that_is_known_too_late_leaves_no_row_in_a_list() {
    a_late_show_never_was("redis");
}

#[test]
fn a_show_that_is_known_too_late_leaves_no_row_in_a_journal() {
    a_late_show_never_was("journal");
}

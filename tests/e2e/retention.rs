//! Property: what SQL has kept for longer than `[retention]` says goes, beside a node that serves,
//! and nothing that is younger; decisions and statistics do not notice.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use crate::client::Client;
use crate::database;
use crate::harness::{ALWAYS, Server, Setup, until};

const EVENTS: &str = "SELECT count(*) FROM events";
const DAY_MS: i64 = 86_400_000;

fn metric(server: &Server, name: &str) -> f64 {
    let text = server.operator().get("/metrics").expect(200).body;
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Changes rows beside the node.
fn change(data: &Path, sql: &str) {
    let connection = Connection::open(data.join("nudged.db")).unwrap();
    connection.busy_timeout(Duration::from_secs(10)).unwrap();
    connection.execute_batch(sql).unwrap();
}

fn show(client: &mut Client, count: usize) {
    for _ in 0..count {
        client.decide("ann").expect(200);
    }
}

#[test]
fn old_events_go_and_hours_become_days_once_a_reload_says_so() {
    let setup = Setup::new(ALWAYS).config("[retention]\nevents = \"never\"\n");
    let mut server = setup.start();
    show(&mut server.client(), 700);
    until("all in SQL", || (database::number(setup.data(), EVENTS) == 700).then_some(()));
    // The first 600 and all hours are of a hundred days ago, the last hour in a night.
    let age = 100 * DAY_MS;
    change(setup.data(), &format!("UPDATE events SET at = at - {age} WHERE seq <= 600"));
    let sum = "SELECT sum(decided) FROM popup_stats";
    assert_eq!(database::number(setup.data(), sum), 700);
    show(&mut server.client(), 1);
    until("all in SQL", || (database::number(setup.data(), EVENTS) == 701).then_some(()));
    assert_eq!(server.operator().get("/v1/status").json()["sql"]["retention"]["events"], "never");

    setup.write_config("[retention]\nevents = \"7d\"\n");
    let refused = server.operator().ask("POST", "/v1/reload", "");
    assert_eq!(refused.status, 422, "{refused:?}");
    server.allow("config_refused");
    setup.write_config("[retention]\nevents = \"8d\"\n");
    server.operator().ask("POST", "/v1/reload", "").expect(200);
    until("what is old to go", || (database::number(setup.data(), EVENTS) == 101).then_some(()));
    let first = "SELECT min(seq) FROM events";
    assert_eq!(database::number(setup.data(), first), 601);
    assert_eq!(database::number(setup.data(), sum), 701);
    until("it to be told", || {
        (metric(&server, "nudged_retention_events_deleted_total") == 600.0).then_some(())
    });
    let status = server.operator().get("/v1/status").json();
    assert_eq!(status["sql"]["retention"]["events"], "8d");
    assert_eq!(status["sql"]["retention"]["events_deleted"], 600);
    server.stop();

    change(setup.data(), &format!("UPDATE popup_stats SET hour = hour - {age}"));
    let server = setup.start();
    until("hours to become days", || {
        let days = "SELECT count(*) FROM popup_stats WHERE part = 1";
        let hours = "SELECT count(*) FROM popup_stats WHERE part = 0";
        let left = database::number(setup.data(), hours);
        (left == 0 && database::number(setup.data(), days) >= 1).then_some(())
    });
    assert_eq!(database::number(setup.data(), sum), 701);
    let user = server.operator().get("/v1/users/ann").expect(200).json();
    assert_eq!(user["popups"][0]["shows"], 701);
    server.stop();
}

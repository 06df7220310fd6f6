//! Property: a right that SQL denies is named; a node that was never ready waits for it, one that
//! was stays ready and keeps its records; given back, it heals by itself within 3 s.

use std::time::Duration;

use crate::cluster::{Cluster, Plan};
use crate::harness::{ALWAYS, Server, until, until_within};

const HEALS_WITHIN: Duration = Duration::from_secs(3);
const NAMED_WITHIN: Duration = Duration::from_secs(3);

fn unfit(server: &Server) -> Option<String> {
    let status = server.operator().get("/v1/status").json();
    status["sql"]["unfit"].as_str().map(str::to_owned)
}

fn await_unfit(server: &Server, part: &str) {
    let mut client = server.client();
    until_within(&format!("{part} to be named"), NAMED_WITHIN, || {
        // A record, whose refusal is looked into.
        client.decide("ann");
        unfit(server).filter(|why| why.contains(part))
    });
}

fn await_fit(server: &Server) {
    until_within("SQL to be fit again", HEALS_WITHIN, || unfit(server).is_none().then_some(()));
}

fn is_ready(server: &Server) -> bool {
    server.client().get("/readyz").status == 200
}

#[test]
fn each_right_of_sql_that_is_taken_is_named_and_given_back_heals() {
    let cluster = Cluster::new(Plan {
        redis: "deadline = \"400ms\"",
        owns_mariadb: true,
        ..Plan::new(ALWAYS)
    });
    let setup = cluster.node();
    let mut server = setup.start();
    server.allow("sql_unfit");
    server.allow("sql_failed");
    server.allow("read_failed");
    for right in ["INSERT", "UPDATE", "DELETE", "SELECT"] {
        cluster.change_rights(&format!("REVOKE {right} ON"), "FROM");
        // Rights on a database are looked up once a connection.
        cluster.mariadb().kill_connections();
        if right == "DELETE" {
            // Nothing is deleted day by day: found by the trial after another refusal.
            cluster.change_rights("REVOKE UPDATE ON", "FROM");
            cluster.mariadb().kill_connections();
        }
        await_unfit(&server, &format!("{right} ON"));
        assert!(is_ready(&server), "{right}: it was ready");
        assert!(server.client().decide("ann").token().is_some(), "{right}: nothing waits for SQL");
        cluster.change_rights(&format!("GRANT {right}, UPDATE ON"), "TO");
        await_fit(&server);
    }
    let lines = server.lines_with("\"sql_unfit\"");
    assert!(lines <= 5, "a line each: {lines}");
    server.stop();
    cluster.check_sql();
    // A node that was never ready.
    let setup = cluster.node();
    cluster.change_rights("REVOKE INSERT ON", "FROM");
    let mut fresh = setup.start_listening();
    fresh.allow("sql_unfit");
    fresh.allow("sql_failed");
    until_within("it to be named", NAMED_WITHIN, || unfit(&fresh));
    assert!(!is_ready(&fresh));
    cluster.change_rights("GRANT INSERT ON", "TO");
    until_within("the node to be ready", HEALS_WITHIN, || is_ready(&fresh).then_some(()));
    fresh.stop();
}

#[test]
fn a_password_that_sql_refuses_is_named_by_an_idle_node_and_waited_for_at_a_start() {
    let cluster = Cluster::new(Plan {
        redis: "deadline = \"400ms\"",
        owns_mariadb: true,
        ..Plan::new(ALWAYS)
    });
    let setup = cluster.node();
    let password = |password: &str| {
        cluster
            .mariadb()
            .run_sql(&format!("ALTER USER 'nudged_least'@'%' IDENTIFIED BY '{password}'"));
        cluster.mariadb().kill_connections();
    };
    let allow = |server: &mut Server| {
        for code in ["sql_unfit", "sql_failed", "sql_away", "read_failed"] {
            server.allow(code);
        }
    };
    let mut server = setup.start();
    allow(&mut server);
    until("the copy in the data directory", || {
        setup.data().join("catalog.json").exists().then_some(())
    });
    password("another");
    until_within("it to be named without a request", NAMED_WITHIN, || {
        unfit(&server).filter(|why| why.contains("user or password is wrong"))
    });
    assert!(!unfit(&server).unwrap().contains(" ON "), "no right is missing");
    assert!(is_ready(&server));
    server.stop();
    let mut server = setup.start_listening();
    allow(&mut server);
    until_within("it to be named", NAMED_WITHIN, || {
        unfit(&server).filter(|why| why.contains("user or password is wrong"))
    });
    assert!(!is_ready(&server), "it was never ready");
    password("change-me");
    until_within("the node to be ready", HEALS_WITHIN, || is_ready(&server).then_some(()));
    await_fit(&server);
    server.client().decide("ann").token().expect("a show");
    server.stop();
    cluster.check_sql();
}

//! Property: what SQL has kept for longer than `[retention]` says goes, beside a node that serves,
//! and nothing that is younger; decisions and statistics do not notice.

use std::path::Path;
use std::time::{Duration, SystemTime};

use rusqlite::Connection;

use nudged_base::hex;
use nudged_base::ids::PopupKey;
use nudged_base::time::WallMs;
use nudged_domain::catalog::snapshot::ShowOutcome;
use nudged_domain::state::user::{PopupState, Show, encode_popup};

use crate::client::Client;
use crate::cluster::{Cluster, Plan, stop};
use crate::database;
use crate::growing::migrate;
use crate::harness::{ALWAYS, Server, Setup, until};

const EVENTS: &str = "SELECT count(*) FROM events";
const DAY_MS: i64 = 86_400_000;
const USERS_FORGOTTEN: &str = "nudged_retention_users_forgotten_total";

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

/// A user as `nudged import` takes one: shown a popup once, so many days ago.
fn user_line(user: &str, popup: &str, days: u64, outcome: Option<ShowOutcome>) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let at = i64::try_from(now.as_millis()).unwrap() - i64::try_from(days).unwrap() * DAY_MS;
    let mut entry = PopupState::empty(PopupKey::of(popup));
    entry.shows[0] = Show { at: WallMs(at), number: 1, actions: 0 };
    (entry.shows_used, entry.shows_total, entry.outcome) = (1, 1, outcome);
    entry.outcome_at = outcome.map_or(WallMs::default(), |_| WallMs(at));
    let mut state = Vec::new();
    encode_popup(&entry, &mut state);
    let word = outcome.map(ShowOutcome::word);
    let line = serde_json::json!({
        "kind": "user", "user_id": user, "revision": [0, 1], "last_counted_at": at,
        "day_shows": 1, "session": "0000000000000000", "session_shows": 0,
        "popups": [{
            "popup_id": popup, "shows": 1, "last_shown_at": at, "outcome": word,
            "outcome_at": outcome.map(|_| at), "next_show_at": null, "forgotten": false,
            "first": [0, 1], "revision": [0, 1], "state": hex::encode(&state),
        }],
    });
    format!("{line}\n")
}

/// Two popups, of which the second is for who has seen the first.
const TWO: &str =
    "[[popup]]\nid = \"welcome\"\n[[popup]]\nid = \"few\"\nmax_shows = 1\npriority = -1\n";
const FORGETTING: &str = "[retention]\nusers = \"20d\"\n";
/// How many popups are left of each user.
const LEFT: [(&str, usize); 5] =
    [("old", 0), ("removed", 0), ("clicked", 1), ("had-all", 1), ("young", 1)];

/// Puts users into an embedded node that does not run: two of them are old, and bound by nothing.
fn import_users(setup: &Setup) {
    let clicked = Some(ShowOutcome::Clicked);
    let lines = [
        user_line("old", "welcome", 30, None),
        user_line("removed", "elsewhere", 30, clicked),
        user_line("clicked", "welcome", 30, clicked),
        user_line("had-all", "few", 30, None),
        user_line("young", "welcome", 10, None),
    ];
    std::fs::write(setup.path("users.ndjson"), lines.concat()).unwrap();
    let data = setup.data().to_str().unwrap();
    let exit = setup.run(&["import", "--data", data, "users.ndjson"]);
    assert_eq!(exit.code, Some(0), "{exit:?}");
}

#[test]
fn users_whom_nothing_binds_are_forgotten_and_others_are_not() {
    let setup = Setup::new(TWO).config(FORGETTING);
    import_users(&setup);
    let server = setup.start();
    let forgotten = USERS_FORGOTTEN;
    until("who is old to be forgotten", || (metric(&server, forgotten) == 2.0).then_some(()));
    let left = "SELECT group_concat(user_id) FROM (SELECT user_id FROM users ORDER BY user_id)";
    until("their rows to go", || {
        let users: String =
            database::open(setup.data()).query_row(left, [], |row| row.get(0)).unwrap();
        (users == "clicked,had-all,young").then_some(())
    });
    let mut operator = server.operator();
    for (user, popups) in LEFT {
        let state = operator.get(&format!("/v1/users/{user}")).expect(200).json();
        assert_eq!(state["popups"].as_array().unwrap().len(), popups, "{user}");
    }
    let mut client = server.client();
    assert_eq!(client.decide("old").expect(200).popup().as_deref(), Some("welcome"));
    assert_eq!(client.decide("clicked").expect(200).popup().as_deref(), Some("few"));
    let status = operator.get("/v1/status").json();
    assert_eq!(status["sql"]["retention"]["users_forgotten"], 2);
    server.stop();
    // Again nobody who came since, and nobody who is bound.
    let server = setup.start();
    until("users to be looked through", || {
        (metric(&server, "nudged_retention_folds_total") > 0.0).then_some(())
    });
    assert_eq!(metric(&server, forgotten), 0.0);
    server.stop();
}

/// A metric of all nodes together.
fn sum(nodes: &[(Setup, Server)], name: &str) -> f64 {
    nodes.iter().map(|(_, server)| metric(server, name)).sum()
}

/// Has nodes look through all users by settings that they reload, and waits until one has.
fn look_through(nodes: &[(Setup, Server)], settings: &str) {
    const LOOKED_THROUGH: &str = "nudged_retention_folds_total";
    let before = sum(nodes, LOOKED_THROUGH);
    for (setup, server) in nodes {
        let path = setup.path("nudged.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let rest = text.split("[retention]").next().unwrap();
        std::fs::write(path, format!("{rest}\n{settings}")).unwrap();
        server.operator().ask("POST", "/v1/reload", "").expect(200);
    }
    until("users to be looked through", || (sum(nodes, LOOKED_THROUGH) > before).then_some(()));
}

#[test]
fn several_nodes_forget_a_user_in_redis_and_mysql_once() {
    let embedded = Setup::new(TWO);
    import_users(&embedded);
    let cluster = Cluster::new(Plan::new(TWO));
    let moved = migrate(&cluster.node(), embedded.data());
    assert_eq!(moved.code, Some(0), "{moved:?}");
    let nodes = cluster.start(2);
    for (_, server) in &nodes {
        until("Redis to have everybody", || {
            let answer = server.client().decide("somebody");
            (answer.status == 200 || answer.reason() != "degraded").then_some(())
        });
    }
    let forgotten = || sum(&nodes, USERS_FORGOTTEN);
    // Whom no shard has time for is left for the next day: another age begins anew.
    let mut ages = (20..30).map(|days| format!("[retention]\nusers = \"{days}d\"\n"));
    while forgotten() < 2.0 {
        look_through(&nodes, &ages.next().expect("shards that have time for it"));
    }
    let users = "SELECT user_id FROM users WHERE user_id <> 'somebody' ORDER BY user_id";
    until("their rows to go", || {
        (cluster.rows(users) == ["clicked", "had-all", "young"]).then_some(())
    });
    assert_eq!(cluster.number("SELECT COUNT(*) FROM erased_users"), 2);
    let rest = "SELECT COUNT(*) FROM user_popups WHERE user_id IN ('old', 'removed')";
    assert_eq!(cluster.number(rest), 0);
    for (_, server) in &nodes {
        for (user, popups) in LEFT {
            let state = server.operator().get(&format!("/v1/users/{user}")).expect(200).json();
            assert_eq!(state["popups"].as_array().unwrap().len(), popups, "{user}");
        }
    }
    // They are new everywhere, and once; who is bound is bound as before.
    let decide = |node: usize, user: &str| nodes[node].1.client().decide(user);
    for (first, user) in [(0, "old"), (1, "removed")] {
        assert_eq!(decide(first, user).expect(200).popup().as_deref(), Some("welcome"), "{user}");
        assert_eq!(decide(1 - first, user).popup().as_deref(), Some("few"), "{user}");
        assert_eq!(decide(first, user).reason(), "gap", "{user}");
    }
    assert_eq!(decide(0, "clicked").popup().as_deref(), Some("few"));
    assert_eq!(decide(1, "young").popup().as_deref(), Some("welcome"));
    assert_eq!(forgotten(), 2.0);
    stop(nodes);
}

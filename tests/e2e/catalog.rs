//! Property: a change of a popup holds: on every shard when it is answered, after a kill, on every
//! node within a second whatever becomes of the message; and popups and journals go out and in
//! again as they were.

use std::fs;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::cluster::{Cluster, Plan};
use crate::database;
use crate::harness::{Server, Setup, WELCOME, run, until, until_within};

/// A change is live on every node within this (docs/semantics.md#the-catalog).
const LIVE_WITHIN: Duration = Duration::from_secs(1);
/// Users enough to have homes on every shard.
const USERS: usize = 24;

fn put(operator: &mut Client, id: &str, title: &str) -> u16 {
    let body = format!(
        "{{\"id\":\"{id}\",\"after_shown\":\"0s\",\"priority\":9,\"content\":{{\"title\":\"{title}\"}}}}"
    );
    operator.ask("PUT", &format!("/v1/popups/{id}"), &body).status
}

fn title(client: &mut Client, user: &str) -> String {
    let answer = client.decide(user);
    match answer.status {
        200 => answer.json()["popup"]["content"]["title"].as_str().unwrap_or("").to_owned(),
        _ => String::new(),
    }
}

#[test]
fn changes_are_live_on_every_shard_and_survive_a_kill() {
    let setup = Setup::new("");
    let server = setup.start_with(&["--shards", "3"]);
    let (mut operator, mut client) = (server.operator(), server.client());
    assert_eq!(put(&mut operator, "n", "one"), 201);
    for user in 0..USERS {
        assert_eq!(title(&mut client, &format!("u{user}")), "one");
    }
    assert_eq!(put(&mut operator, "n", "two"), 200);
    for user in 0..USERS {
        assert_eq!(title(&mut client, &format!("v{user}")), "two");
    }
    operator.ask("POST", "/v1/popups/n/rollback", "").expect(200);
    assert_eq!(title(&mut client, "ann"), "one");
    assert_eq!(put(&mut operator, "gone", "gone"), 201);
    operator.ask("DELETE", "/v1/popups/gone", "").expect(200);
    server.kill();

    let server = setup.start_with(&["--shards", "2"]);
    let mut operator = server.operator();
    let popup = operator.get("/v1/popups/n").expect(200).json();
    assert_eq!((&popup["version"], &popup["origin"]), (&3.into(), &"api".into()), "{popup}");
    let gone = operator.get("/v1/popups/gone").expect(200).json();
    assert_eq!(gone["effective_status"], "archived", "{gone}");
    assert_eq!(title(&mut server.client(), "bob"), "one");
    operator.ask("POST", "/v1/reload", "").expect(200);
    assert_eq!(title(&mut server.client(), "cid"), "one", "a reload leaves the API's popups alone");
    let history = operator.get("/v1/popups/n/history").expect(200).json();
    assert_eq!(history["history"][0]["change"], "rolled_back", "{history}");
    server.stop();
}

#[test]
fn popups_go_out_and_in_again() {
    let setup = Setup::new(WELCOME);
    let server = setup.start();
    let mut operator = server.operator();
    put(&mut operator, "n", "one");
    put(&mut operator, "m", "two");
    operator.ask("POST", "/v1/popups/m/pause", "").expect(200);
    let data = setup.data().to_str().unwrap().to_owned();
    let exported = run(&setup.path(""), &["export", "--data", &data]);
    assert_eq!((exported.code, exported.stdout.lines().count()), (Some(0), 3), "{exported:?}");
    let before = operator.get("/v1/popups").expect(200).json();

    // Into the same database, beside its node: nothing changes. Changed, the node has it at once.
    let file = setup.path("popups.ndjson");
    fs::write(&file, &exported.stdout).unwrap();
    let import = |file: &str| run(&setup.path(""), &["import", "--data", &data, file]);
    let imported = import("popups.ndjson");
    assert_eq!(imported.code, Some(0), "{imported:?}");
    assert!(imported.stdout.contains("3 popups, 0 changed"), "{imported:?}");
    assert_eq!(operator.get("/v1/popups").expect(200).json(), before);
    fs::write(&file, exported.stdout.replace("\"one\"", "\"new\"")).unwrap();
    let begun = Instant::now();
    assert_eq!(import("popups.ndjson").code, Some(0));
    until_within("the import on the node", LIVE_WITHIN * 3, || {
        (title(&mut server.client(), "ann") == "new").then_some(())
    });
    println!("live {:?} after the import began", begun.elapsed());

    // Whole or nothing: the file's popup is the file's, and a bad line names itself.
    fs::write(&file, exported.stdout.replace("\"Welcome\"", "\"x\"").replace("\"two\"", "\"3\""))
        .unwrap();
    let refused = import("popups.ndjson");
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("welcome"), "{refused:?}");
    fs::write(&file, format!("{}{{\"id\":\"z\",\"definition\":{{\"x\":1}}}}\n", exported.stdout))
        .unwrap();
    let refused = import("popups.ndjson");
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("popups.ndjson:4: "), "{refused:?}");
    let after = operator.get("/v1/popups/m").expect(200).json();
    assert_eq!(after["definition"]["content"]["title"], "two", "{after}");
    server.stop();

    // Into an empty one.
    let other = Setup::new("");
    fs::write(other.path("popups.ndjson"), &exported.stdout).unwrap();
    let data = other.data().to_str().unwrap().to_owned();
    other.start().stop();
    let imported = run(&other.path(""), &["import", "--data", &data, "popups.ndjson"]);
    assert!(imported.stdout.contains("3 popups, 3 changed"), "{imported:?}");
    let again = run(&other.path(""), &["export", "--data", &data, "popups"]);
    let as_api = exported.stdout.replace("\"origin\":\"file\"", "\"origin\":\"api\"");
    assert_eq!(again.stdout, as_api);
}

#[test]
fn journals_go_out_and_in_again_each_record_once() {
    let setup = Setup::new(WELCOME);
    let server = setup.start();
    let mut client = server.client();
    for user in 0..10 {
        let token = client.decide(&format!("u{user}")).token().unwrap();
        client.event(&token, "clicked").expect(202);
    }
    server.operator().ask("DELETE", "/v1/users/u9", "").expect(200);
    server.stop();
    let data = setup.data().to_str().unwrap().to_owned();
    let exported = run(&setup.path(""), &["export", "journal", &data]);
    assert_eq!((exported.code, exported.stdout.lines().count()), (Some(0), 21), "{exported:?}");
    assert!(exported.stdout.contains("\"user_id\":\"u3\""), "{exported:?}");
    fs::write(setup.path("journal.ndjson"), &exported.stdout).unwrap();

    let other = Setup::new(WELCOME);
    other.start().stop();
    let file = setup.path("journal.ndjson").to_str().unwrap().to_owned();
    for (data, want) in [
        (other.data(), "21 records applied, 0 already there, 0 imported before, 0 refused"),
        (other.data(), "0 records applied, 0 already there, 21 imported before, 0 refused"),
    ] {
        let data = data.to_str().unwrap();
        let imported = run(&setup.path(""), &["import", "--data", data, &file]);
        assert_eq!(imported.code, Some(0), "{imported:?}");
        assert_eq!(imported.stdout.trim(), want);
    }
    for (table, of) in [("events", "1"), ("users", "1"), ("user_popups", "1")] {
        let query = format!("SELECT COUNT(*) FROM {table} WHERE {of}");
        let (here, there) =
            (database::number(setup.data(), &query), database::number(other.data(), &query));
        assert_eq!(here, there, "{table}");
    }
    // Into the node's own database everything is there.
    let imported = run(&setup.path(""), &["import", "--data", &data, &file]);
    assert!(imported.stdout.starts_with("0 records") || imported.code == Some(0), "{imported:?}");
    assert_eq!(database::number(setup.data(), "SELECT COUNT(*) FROM events"), 20);
    let server = other.start();
    assert_eq!(server.client().decide("u3").reason(), "gap", "clicked: never again");
    server.stop();
}

fn live_within(server: &Server, want: &str) -> Duration {
    let (begun, mut client, mut user) = (Instant::now(), server.client(), 0);
    until("the change on the other node", || {
        user += 1;
        (title(&mut client, &format!("{want}-{user}")) == want).then_some(())
    });
    begun.elapsed()
}

#[test]
fn a_change_is_live_on_the_other_node_within_a_second_also_without_its_message() {
    let cluster = Cluster::new(Plan::new(""));
    let nodes = cluster.start(2);
    let (one, other) = (&nodes[0].1, &nodes[1].1);
    for round in 0..6 {
        let wanted = format!("round{round}");
        if round % 2 == 1 {
            // What was published while nobody listens is lost.
            cluster.redis.ask(&[b"CLIENT", b"KILL", b"TYPE", b"pubsub"]);
        }
        let (from, to) = if round % 3 == 0 { (other, one) } else { (one, other) };
        let status = put(&mut from.operator(), "n", &wanted);
        assert!(matches!(status, 200 | 201), "{status}");
        let after = live_within(to, &wanted);
        println!("live on the other node after {after:?}");
        assert!(after < LIVE_WITHIN, "{after:?}");
    }
    // Both at once, and neither change is lost.
    std::thread::scope(|scope| {
        for (node, id) in [(one, "a"), (other, "b")] {
            scope.spawn(move || {
                let mut operator = node.operator();
                for round in 0..10 {
                    let body = r#"{"content":{"title":"x"}}"#;
                    let path = format!("/v1/popups/{id}{round}");
                    operator.ask("PUT", &path, body).expect(201);
                }
            });
        }
    });
    for node in [one, other] {
        until("every popup on both nodes", || {
            let popups = node.operator().get("/v1/popups").expect(200).json();
            (popups["popups"].as_array().unwrap().len() == 21).then_some(())
        });
    }
    for (_, server) in nodes {
        server.stop();
    }
}

#[test]
fn two_popups_files_that_fight_are_told_of_and_a_deployment_is_not() {
    let first = "[[popup]]\nid = \"a\"\n";
    let second = "[[popup]]\nid = \"a\"\npriority = 2\n";
    let cluster = Cluster::new(Plan::new(first));
    let nodes = cluster.start(2);
    let told = |index: usize| nodes[index].1.logged("catalog_replaced").len();
    let reload = |index: usize, popups: &str| {
        nodes[index].0.write_popups(popups);
        nodes[index].1.operator().ask("POST", "/v1/reload", "").expect(200);
    };
    // A deployment: one node after the other.
    reload(0, second);
    reload(1, second);
    assert_eq!((told(0), told(1)), (0, 0));
    // One goes back, and the other does not know.
    reload(1, first);
    assert_eq!((told(0), told(1)), (0, 0), "its own file said so before");
    reload(0, second);
    until("the line on the node that replaces", || (told(0) == 1).then_some(()));
    let metrics = nodes[0].1.operator().get("/metrics").expect(200).body;
    assert!(metrics.contains("\nnudged_catalog_replaced_total 1\n"), "{metrics}");
    let history = nodes[0].1.operator().get("/v1/popups/a/history").expect(200).json();
    let who = history["history"][0]["who"].as_str().unwrap().to_owned();
    assert!(who.starts_with("admin (127.0.0.1) on "), "{who}");
    for (_, server) in nodes {
        server.stop();
    }
}

#[test]
fn a_change_is_told_to_the_other_nodes_before_it_is_answered() {
    let cluster = Cluster::new(Plan::new(""));
    let nodes = cluster.start(1);
    let mut operator = nodes[0].1.operator();
    let in_redis = || cluster.redis.line(&["HINCRBY", "nudged:catalog", "version", "0"]);
    for round in 0..10 {
        let status = put(&mut operator, "n", &format!("round{round}"));
        assert!(matches!(status, 200 | 201), "{status}");
        let in_sql = cluster.number("SELECT version FROM catalog_version");
        assert_eq!(in_redis(), in_sql.to_string(), "{round}");
    }
    for (_, server) in nodes {
        server.stop();
    }
}

#[test]
fn without_sql_nothing_changes_and_a_node_starts_with_the_last_good_copy() {
    let mut cluster = Cluster::new(Plan { owns_mariadb: true, ..Plan::new("") });
    let setup = cluster.node();
    let server = setup.start();
    assert_eq!(put(&mut server.operator(), "n", "one"), 201);
    until("the copy in the data directory", || {
        let copy = fs::read_to_string(setup.data().join("catalog.json")).unwrap_or_default();
        copy.contains("\"one\"").then_some(())
    });
    server.stop();
    cluster.own_mariadb().kill();
    // Redis has lost its copy: the directory's is left.
    cluster.redis.ask(&[b"DEL", b"nudged:catalog"]);
    let mut server = setup.start();
    for part in ["sql_failed", "read_failed", "catalog_refused"] {
        server.allow(part);
    }
    let popup = server.operator().get("/v1/popups/n").expect(200).json();
    assert_eq!(popup["definition"]["content"]["title"], "one", "{popup}");
    let mut operator = server.operator();
    let refused = operator.ask("PUT", "/v1/popups/n", "{\"content\":{\"title\":\"two\"}}");
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(refused.json()["error"]["code"], "sql_unavailable", "{refused:?}");
    cluster.own_mariadb().restart();
    until("a change once SQL is back", || {
        (put(&mut server.operator(), "n", "two") == 200).then_some(())
    });
    server.stop();
}

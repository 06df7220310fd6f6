//! Property: the operators' API is whole over real processes: what is changed by parts or by a
//! draft is live on every shard and node, survives a kill and a move, and what users did is told
//! with its reasons and counted once.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::Client;
use crate::cluster::{Cluster, Plan, stop};
use crate::database;
use crate::harness::{Server, Setup, WELCOME, run, until, until_within};

const LIVE_WITHIN: Duration = Duration::from_secs(1);

fn title(client: &mut Client, user: &str) -> Value {
    let answer = client.decide(user);
    if answer.status == 200 {
        answer.json()["popup"]["content"]["title"].clone()
    } else {
        json!(null)
    }
}

#[test]
fn patches_drafts_and_lists_hold_over_a_kill_and_a_move() {
    let setup = Setup::new("");
    let server = setup.start_with(&["--shards", "3"]);
    let (mut operator, mut client) = (server.operator(), server.client());
    let body = "{\"content\":{\"title\":\"one\",\"text\":\"Spring SALE\"},\"after_shown\":\"0s\"}";
    operator.ask("PUT", "/v1/popups/n", body).expect(201);
    let patch = "{\"content\":{\"title\":\"two\"},\"after_shown\":null,\"after_dismissed\":\"0s\"}";
    let patched = operator.ask("PATCH", "/v1/popups/n", patch).expect(200).json();
    assert_eq!(patched["definition"]["content"]["text"], "Spring SALE", "{patched}");
    assert!(patched["definition"]["after_shown"].is_null(), "{patched}");
    for user in 0..12 {
        assert_eq!(title(&mut client, &format!("u{user}")), "two");
    }
    let draft = "{\"content\":{\"title\":\"three\"}}";
    operator.ask("PUT", "/v1/popups/n/draft?base_version=1", draft).expect(201);
    let outdated = operator.ask("POST", "/v1/popups/n/publish", "").expect(409).json();
    assert_eq!((&outdated["base_version"], &outdated["live_version"]), (&json!(1), &json!(2)));
    operator.ask("PUT", "/v1/popups/n/draft?base_version=2", draft).expect(200);
    operator.ask("PUT", "/v1/popups/m/draft", draft).expect(201);
    assert_eq!(title(&mut client, "ann"), "two", "nobody is shown a draft");
    let preview = "{\"popup\":\"n\",\"draft\":true,\"user\":\"u1\"}";
    let preview = operator.ask("POST", "/v1/preview", preview).expect(200).json();
    assert_eq!(preview["popup"]["content"]["title"], "three", "{preview}");
    assert_eq!(preview["gates"][0]["gate"], "gap", "u1 has just seen it: {preview}");
    let found = operator.get("/v1/popups?q=sale&status=live").expect(200).json();
    assert_eq!((&found["total"], &found["popups"][0]["id"]), (&json!(1), &json!("n")));
    operator.get("/v1/popups?qq=sale").expect(400);
    server.kill();

    let server = setup.start_with(&["--shards", "2"]);
    let mut operator = server.operator();
    operator.get("/v1/popups/m/draft").expect(200);
    let made = operator.ask("POST", "/v1/popups/m/publish", "").expect(201).json();
    assert_eq!(made["version"], 1, "{made}");
    let data = setup.data().to_str().unwrap().to_owned();
    let exported = run(&setup.path(""), &["export", "--data", &data]);
    assert_eq!(exported.stdout.lines().count(), 3, "two popups and a draft: {exported:?}");
    let other = Setup::new("");
    fs::write(other.path("popups.ndjson"), &exported.stdout).unwrap();
    let into = other.data().to_str().unwrap().to_owned();
    let imported = run(&other.path(""), &["import", "--data", &into, "popups.ndjson"]);
    assert!(imported.stdout.contains("2 popups, 2 changed, 1 drafts"), "{imported:?}");
    assert_eq!(run(&other.path(""), &["export", "--data", &into]).stdout, exported.stdout);
    let live = operator.ask("POST", "/v1/popups/n/publish", "").expect(200).json();
    assert_eq!(live["version"], 3, "{live}");
    assert_eq!(title(&mut server.client(), "bob"), "three");
    operator.get("/v1/popups/n/draft").expect(404);
    server.stop();
}

#[test]
fn a_published_draft_is_live_on_every_node_and_only_once() {
    let cluster = Cluster::new(Plan::new(""));
    let nodes = cluster.start(2);
    let (one, other) = (&nodes[0].1, &nodes[1].1);
    one.operator().ask("PUT", "/v1/popups/n", "{\"content\":{\"title\":\"one\"}}").expect(201);
    for round in 0..3 {
        let draft = format!("{{\"content\":{{\"title\":\"draft{round}\"}}}}");
        other.operator().ask("PUT", "/v1/popups/n/draft", &draft).expect(201);
        let seen = one.operator().get("/v1/popups/n/draft").expect(200).json();
        assert_eq!(seen["definition"]["content"]["title"], format!("draft{round}"), "{seen}");
        // Both at once: one publishes it, and the other finds none.
        let publish =
            |server: &Server| server.operator().ask("POST", "/v1/popups/n/publish", "").status;
        let mut statuses = std::thread::scope(|scope| {
            let beside = scope.spawn(|| publish(other));
            [publish(one), beside.join().unwrap()]
        });
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 404], "{round}");
        for (name, server) in [("one", one), ("other", other)] {
            let mut tries = 0;
            until_within("the draft on both nodes", LIVE_WITHIN * 3, || {
                // Who has been shown the one before is not shown the next.
                tries += 1;
                let user = format!("{name}{round}-{tries}");
                (title(&mut server.client(), &user) == format!("draft{round}")).then_some(())
            });
        }
    }
    assert_eq!(cluster.number("SELECT COUNT(*) FROM popup_drafts"), 0);
    let published = "SELECT COUNT(*) FROM popup_history WHERE `change` = 'published'";
    assert_eq!(cluster.number(published), 3);
    stop(nodes);
}

/// Some users see a popup and answer it, some twice and some never.
fn answer_popups(client: &mut Client) {
    for user in 0..6 {
        let token = client.decide(&format!("u{user}")).token().unwrap();
        let actions: &[&str] = match user {
            0 => &["clicked", "converted", "clicked"],
            1 => &["shown", "dismissed"],
            2 => &["ignored"],
            3 => &["shown"],
            _ => &[],
        };
        for action in actions {
            client.event(&token, action).expect(202);
        }
    }
}

#[test]
fn answers_are_counted_once_in_the_hour_of_their_decision() {
    let setup = Setup::new(WELCOME);
    let server = setup.start_with(&["--shards", "2"]);
    answer_popups(&mut server.client());
    let mut operator = server.operator();
    let stats = until("the counts in SQL", || {
        let stats = operator.get("/v1/stats?popup=welcome&by=day&tz=Europe/Berlin").expect(200);
        let stats = stats.json();
        let is_there = stats["totals"]["decided"] == 6 && stats["totals"]["shown"] == 2;
        (is_there && stats["totals"]["converted"] == 1).then_some(stats)
    });
    assert_eq!(stats["totals"]["answered"], 2, "{stats}");
    let users = [&stats["totals"]["uniques"], &stats["rows"][0]["uniques_clicked"]];
    assert_eq!(users, [6, 1], "{stats}");
    assert_eq!((&stats["by"], &stats["tz"]), (&json!("day"), &json!("Europe/Berlin")));
    assert!(stats["rows"][0]["local"].as_str().unwrap().contains("T00:00:00+0"), "{stats}");
    let csv = operator.get("/v1/stats?popup=welcome&format=csv").expect(200);
    assert!(csv.field("content-type").unwrap().starts_with("text/csv"), "{csv:?}");
    assert!(csv.body.starts_with("popup,variant,hour,") && csv.body.contains("\r\nwelcome,,"));
    operator
        .send(b"GET /v1/stats HTTP/1.1\r\nHost: localhost\r\nAccept: text/csv, */*;q=0.1\r\n\r\n");
    assert!(operator.answer().body.starts_with("popup,variant,"));
    for query in ["by=week", "tz=Mars/Base", "format=xml", "popup=A", "from=x"] {
        let refused = operator.get(&format!("/v1/stats?{query}")).expect(400).json();
        assert!(refused["errors"][0].as_str().unwrap().contains("must be"), "{refused}");
    }
    server.stop();
    let data = setup.data();
    // Applied again from the journal it is the same.
    assert_eq!(database::number(data, "SELECT SUM(answered) FROM popup_stats"), 2);
    for name in ["nudged.db", "nudged.db-wal", "nudged.db-shm"] {
        let _ = fs::remove_file(data.join(name));
    }
    setup.start().stop();
    assert_eq!(database::number(data, "SELECT SUM(answered) FROM popup_stats"), 2);
}

#[test]
fn answers_are_counted_once_whichever_node_takes_them() {
    let cluster = Cluster::new(Plan::new(WELCOME));
    let nodes = cluster.start(2);
    let (mut one, mut other) = (nodes[0].1.client(), nodes[1].1.client());
    for user in 0..8 {
        let token = one.decide(&format!("u{user}")).token().unwrap();
        if user < 5 {
            other.event(&token, "clicked").expect(202);
            one.event(&token, "clicked").expect(202);
            one.event(&token, "dismissed").expect(202);
        }
    }
    // What a page of the list tells is of both.
    let mut operator = nodes[1].1.operator();
    operator.ask("PUT", "/v1/popups/soon/draft", "{\"priority\":3}").expect(201);
    let list = until("the list to have all counts", || {
        let list = operator.get("/v1/popups?stats=24h").expect(200).json();
        let stats = &list["popups"][1]["stats"];
        (stats["decided"] == 8 && stats["clicked"] == 5).then_some(list)
    });
    assert_eq!(list["popups"][0]["draft"]["base_version"], 0, "{list}");
    assert_eq!(list["popups"][1]["stats"]["hours"].as_array().unwrap().len(), 24, "{list}");
    for (sort, first) in [("shows", "welcome"), ("priority", "soon"), ("updated", "soon")] {
        let page = operator.get(&format!("/v1/popups?sort={sort}&limit=1")).expect(200).json();
        assert_eq!(page["popups"][0]["id"], first, "{sort}: {page}");
    }
    stop(nodes);
    assert_eq!(cluster.number("SELECT SUM(decided) FROM popup_stats"), 8);
    assert_eq!(cluster.number("SELECT SUM(answered) FROM popup_stats"), 5);
}

#[test]
fn a_timeline_tells_what_happened_with_its_reasons_in_pages() {
    let setup = Setup::new("");
    let server = setup.start();
    let (mut operator, mut client) = (server.operator(), server.client());
    operator.ask("PUT", "/v1/popups/n", "{\"content\":{\"title\":\"one\"}}").expect(201);
    let token = client.decide("ann").token().unwrap();
    client.event(&token, "dismissed").expect(202);
    operator.ask("PATCH", "/v1/popups/n", "{\"max_shows\":3}").expect(200);
    operator.ask("POST", "/v1/popups/n/pause", "").expect(200);
    let whole = until("everything in SQL", || {
        let told = operator.get("/v1/users/ann/timeline").expect(200).json();
        (told["timeline"].as_array().unwrap().len() == 4).then_some(told)
    });
    assert_eq!(whole["next_before"], json!(null));
    let entries = whole["timeline"].as_array().unwrap();
    let kinds: Vec<&str> = entries.iter().map(|entry| entry["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["change", "change", "event", "decision"], "{whole}");
    let why = |index: usize| entries[index]["why"].as_str().unwrap();
    assert!(why(0).contains("paused by admin"), "{whole}");
    assert!(why(1).contains("max_shows"), "{whole}");
    assert!(why(2).contains("after_dismissed"), "{whole}");
    assert!(why(3).contains("passed every gate"), "{whole}");
    let (mut paged, mut before) = (Vec::new(), String::new());
    loop {
        let page = operator.get(&format!("/v1/users/ann/timeline?limit=2{before}")).expect(200);
        let page = page.json();
        paged.extend(page["timeline"].as_array().unwrap().iter().cloned());
        match page["next_before"].as_str() {
            Some(next) => before = format!("&before={next}"),
            None => break,
        }
    }
    assert_eq!(&paged, entries);
    operator.get("/v1/users/ann/timeline?limit=1001").expect(400);
    operator.get("/v1/users/ann/timeline?before=yesterday").expect(400);
    assert_eq!(operator.get("/v1/users/zoe/timeline").expect(200).json()["timeline"], json!([]));
    server.stop();
}

//! Property: who looks at a node sees what it does as it happens, and no longer than they may: the
//! figures once a second, lines as they are written, a pause as it comes to shards, places and
//! nodes. Streams have a bound and end with the node and with the token.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::client::{Client, request};
use crate::cluster::{Cluster, Plan, stop};
use crate::harness::{ALWAYS, Server, Setup, until};

/// Of the file that `admin_token_file` names.
const OWNER: &str = "owner-token-0123456789abcdef";
/// Streams that are open at once.
const STREAMS_MAX: usize = 16;

/// A stream whose head has come.
fn open(server: &Server, target: &str, fields: &str) -> Client {
    let mut stream = server.operator();
    let line = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
    stream.send(line.as_bytes());
    let head = stream.answer_to_head().expect(200);
    assert_eq!(head.field("content-type"), Some("text/event-stream"));
    assert_eq!(head.field("cache-control"), Some("no-store"));
    assert_eq!((head.field("content-length"), head.field("connection")), (None, Some("close")));
    stream
}

/// The next event of a name that is as it is wanted.
fn await_event(stream: &mut Client, name: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
    loop {
        let (found, data) = stream.next_event().expect("the stream goes on");
        if found == name && is_wanted(&data) {
            return data;
        }
    }
}

#[test]
fn figures_lines_and_changes_come_as_they_happen_until_the_node_stops() {
    let setup = Setup::new(ALWAYS).flags(&["--shards", "2", "--no-pin"]);
    let server = setup.start();
    let mut stream = open(&server, "/v1/live?log=info", "");
    // The node may have something to log meanwhile.
    let catalog = await_event(&mut stream, "catalog", |_| true);
    assert_eq!(catalog["changed"], json!([]));
    let live = await_event(&mut stream, "live", |_| true);
    assert_eq!((live["shards"].as_array().unwrap().len(), &live["streams"]), (2, &json!(1)));
    assert_eq!((&live["stores"]["redis"], &live["ready"]), (&Value::Null, &json!(true)));

    // Asked in every interval, so that one of them has it all.
    let mut visitor = server.client();
    let busy = until("figures of the load", || {
        (0..50).for_each(|_| drop(visitor.get("/v1/decide?user=u&placement=home")));
        let (name, data) = stream.next_event().unwrap();
        let has = |data: &Value| data["totals"]["requests_per_s"].as_f64().unwrap() > 0.0;
        (name == "live" && has(&data) && data["popups"] != json!({})).then_some(data)
    });
    let figures = busy["popups"].as_object().unwrap().values().next().unwrap();
    assert!(figures["shows"].as_u64().unwrap() > 0, "{busy}");
    assert!(busy["totals"]["latency_ms"]["p99"].as_f64().unwrap() > 0.0, "{busy}");
    let of_shards = busy["shards"].as_array().unwrap().iter();
    let sum: f64 = of_shards.map(|shard| shard["requests_per_s"].as_f64().unwrap()).sum();
    assert!((sum - busy["totals"]["requests_per_s"].as_f64().unwrap()).abs() < 0.01, "{busy}");

    let mut operator = server.operator();
    operator.ask("PUT", "/v1/popups/new", "{\"id\":\"new\"}").expect(201);
    let line = await_event(&mut stream, "log", |line| line["code"] == "popup_changed");
    assert_eq!((&line["level"], &line["fields"]["popup"]), (&json!("info"), &json!("new")));
    let changed = await_event(&mut stream, "catalog", |_| true);
    assert_eq!(changed["changed"], json!(["new"]));
    let kept = operator.get("/v1/log?limit=1000").expect(200).json();
    let kept = kept["lines"].as_array().unwrap();
    assert!(kept.contains(&line) && kept[0]["code"] == "started", "{kept:?}");
    let text = line["line"].as_str().unwrap();
    until("the same on standard error", || server.said().contains(text).then_some(()));
    let after = operator.get(&format!("/v1/log?after={}&level=warn", line["n"])).json();
    assert_eq!(after["lines"], json!([]));

    let mut others: Vec<Client> = (1..STREAMS_MAX).map(|_| open(&server, "/v1/live", "")).collect();
    let refused = server.operator().get("/v1/live").expect(503);
    assert_eq!(refused.json()["error"]["code"], "too_many_streams");
    assert_eq!(refused.field("retry-after"), Some("1"));
    let metrics = operator.get("/metrics").body;
    assert!(metrics.contains("nudged_live_streams 16") && metrics.contains("_refused_total 1"));
    others.truncate(1);
    until("their seats to be free", || {
        operator.get("/metrics").body.contains("nudged_live_streams 2\n").then_some(())
    });
    server.stop();
    while others[0].next_event().is_some() {}
    while stream.next_event().is_some() {}
}

#[test]
fn a_pause_is_told_of_as_it_comes_to_shards_places_and_nodes() {
    let cluster = Cluster::new(Plan::new("[[popup]]\nid = \"p\"\n"));
    let nodes = cluster.start(2);
    let server = &nodes[0].1;
    let others = until("the nodes to know each other", || {
        let status = server.operator().get("/v1/status").json();
        let nodes = status["nodes"].as_array().unwrap().clone();
        let is_same = |node: &Value| node["current"] == true;
        (nodes.len() == 2 && nodes.iter().all(is_same)).then_some(nodes)
    });
    assert_eq!((&others[0]["self"], &others[1]["self"]), (&json!(true), &json!(false)));

    let accept = "Accept: text/event-stream\r\nContent-Length: 0\r\n\r\n";
    let mut missing = server.operator();
    let line = "POST /v1/popups/none/pause HTTP/1.1\r\nHost: localhost\r\n";
    missing.send(format!("{line}{accept}").as_bytes());
    assert_eq!(missing.answer().expect(404).json()["error"]["code"], "not_found");

    let mut stream = server.operator();
    let line = "POST /v1/popups/p/pause HTTP/1.1\r\nHost: localhost\r\n";
    stream.send(format!("{line}{accept}").as_bytes());
    stream.answer_to_head().expect(200);
    let mut events = Vec::new();
    while let Some(event) = stream.next_event() {
        events.push(event);
    }
    let of = |name: &str| -> Vec<&Value> {
        events.iter().filter(|(found, _)| found == name).map(|(_, data)| data).collect()
    };
    let shards = server.operator().get("/v1/status").json()["shards"].as_array().unwrap().len();
    assert_eq!(of("shard").len(), shards, "{events:?}");
    let stored: Vec<&str> =
        of("stored").iter().map(|event| event["stored"].as_str().unwrap()).collect();
    assert_eq!(stored.last(), Some(&"sql"), "{events:?}");
    assert_eq!(of("node").len(), 1, "{events:?}");
    assert_eq!(
        (&of("node")[0]["node"], &of("node")[0]["seen"]),
        (&others[1]["node"], &json!(true))
    );
    let (last, done) = events.last().unwrap();
    assert_eq!((last.as_str(), &done["effective_status"]), ("done", &json!("paused")));
    assert_eq!((&done["stored"], &done["nodes"][0]["seen"]), (&json!("sql"), &json!(true)));
    assert_eq!(done["shards"].as_array().unwrap().len(), shards, "{done}");
    let popup = nodes[1].1.operator().get("/v1/popups/p").json();
    assert_eq!(popup["effective_status"], "paused", "what was told of is so");

    let resumed = server.operator().ask("POST", "/v1/popups/p/resume", "").expect(200).json();
    assert_eq!(resumed["shards"].as_array().unwrap().len(), shards, "{resumed}");
    assert_eq!(resumed["nodes"][0]["node"], others[1]["node"]);
    stop(nodes);
}

/// A node that others can reach, or as good as.
fn guarded() -> Setup {
    let setup = Setup::new(ALWAYS).admin("0.0.0.0:0").flags(&["--shards", "1", "--no-pin"]);
    let file = setup.path("token");
    fs::write(&file, OWNER).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    setup.config(&format!("admin_token_file = {:?}", file.display()))
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

#[test]
fn a_stream_ends_with_its_token_and_each_role_sees_what_it_may() {
    let setup = guarded();
    let server = setup.start();
    let ask = |token: &str, method: &str, target: &str, body: &str| {
        let text = String::from_utf8(request(method, target, body)).unwrap();
        let text = text.replacen("\r\n", &format!("\r\n{}", bearer(token)), 1);
        let mut client = server.operator();
        client.send(text.as_bytes());
        client.answer()
    };
    let made = ask(OWNER, "POST", "/v1/tokens", "{\"name\":\"ann\",\"role\":\"viewer\"}");
    let made = made.expect(201).json();
    let viewer = made["token"].as_str().unwrap();
    let mut stream = open(&server, "/v1/live", &bearer(viewer));
    await_event(&mut stream, "live", |_| true);

    let body = "{\"target\":{\"attr\":\"age\",\"op\":\"lt\",\"value\":\"5\"},\"rollout\":101}";
    let wrong = ask(viewer, "POST", "/v1/check?id=x", body).expect(200).json();
    let errors = wrong["errors"].as_array().unwrap();
    assert!(errors.iter().any(|error| error["field"] == "rollout"), "{wrong}");
    assert_eq!((&wrong["definition"], &wrong["changed"]), (&Value::Null, &Value::Null));
    let body = "{\"id\":\"x\",\"ends_at\":\"2020-01-01T00:00:00Z\",\"priority\":0}";
    let odd = ask(viewer, "POST", "/v1/check", body).expect(200).json();
    assert_eq!(odd["errors"], json!([]));
    assert_eq!(odd["warnings"][0]["field"], "ends_at", "{odd}");
    assert_eq!((&odd["definition"]["id"], &odd["changed"]), (&json!("x"), &json!(true)));
    let nameless = ask(viewer, "POST", "/v1/check", "{}").expect(200).json();
    assert_eq!(nameless["errors"][0]["field"], "id", "{nameless}");

    assert_eq!(ask(viewer, "GET", "/v1/doctor", "").status, 403);
    let found = ask(OWNER, "GET", "/v1/doctor", "").expect(200).json();
    let checks = found["checks"].as_array().unwrap();
    let named = |name: &str| checks.iter().find(|check| check["name"] == name);
    let threads = named("threads").unwrap()["found"].as_str().unwrap();
    assert!(threads.contains("the node runs"), "{found}");
    assert!(named("data_directory").is_some() && named("cpus").is_some(), "{found}");

    let id = made["id"].as_str().unwrap();
    ask(OWNER, "DELETE", &format!("/v1/tokens/{id}"), "").expect(200);
    while stream.next_event().is_some() {}
    assert_eq!(ask(viewer, "GET", "/v1/live", "").status, 401);
    let audit = until("the end of the token in the audit", || {
        let audit = ask(OWNER, "GET", "/v1/audit?limit=2", "").expect(200).json();
        (audit["entries"][0]["change"] == "revoked").then_some(audit)
    });
    assert_eq!(
        (&audit["entries"][0]["name"], &audit["entries"][0]["role"]),
        (&json!("ann"), &json!("viewer"))
    );
    let next = audit["next_before"].as_str().unwrap();
    let rest = ask(OWNER, "GET", &format!("/v1/audit?before={next}"), "").expect(200).json();
    let rest = rest["entries"].as_array().unwrap();
    assert!(rest.iter().any(|entry| entry["change"] == "created"), "{rest:?}");
    server.stop();
}

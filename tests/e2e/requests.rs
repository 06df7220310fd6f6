//! Property: a client that says something wrong, empty, long or unknown is served as far as it can
//! be and told of the rest, wherever its user is at home and whoever else is in its request.

use serde_json::json;

use crate::client::event;
use crate::harness::{Setup, WELCOME};

/// Enough users to have some on each of three shards.
const USERS: usize = 24;

fn user(number: usize) -> String {
    format!("user-{number}")
}

#[test]
fn unknown_fields_are_served_and_named_on_every_shard() {
    let setup = Setup::new(WELCOME);
    let server = setup.start_with(&["--shards", "3"]);
    let mut client = server.client();
    let mut tokens = Vec::new();
    for number in 0..USERS {
        let asked = format!("/v1/decide?user={}&placment=cart&_=1&attr.odd=1", user(number));
        let answer = client.get(&asked).expect(200);
        assert_eq!(answer.field("nudge-ignored"), Some("placment, _"), "{answer:?}");
        assert_eq!(answer.field("cache-control"), Some("no-store"));
        tokens.push(answer.token().unwrap());
        let body = json!({"user": user(number), "placment": "cart", "key": "k", "attrs": {"x": 1},
            "events": [{"decision": tokens[number], "action": "shown", "time": 1}]});
        let answer = client.ask("POST", "/v1/decide?utm=1", &body.to_string()).expect(204);
        assert_eq!(answer.field("nudge-ignored"), Some("utm, placment, time"), "{answer:?}");
        assert_eq!(answer.field("nudge-events"), Some("accepted=1,duplicate=0,rejected=0"));
    }
    client.get("/v1/decide?user=x&placement=none").expect(204);

    let mut clicked: Vec<_> = tokens.iter().map(|token| event(token, "clicked")).collect();
    clicked[3] = clicked[3].replace("action", "actoin");
    clicked[20] = clicked[20].replace('{', "{\"a b\":1,\"time\":1,");
    let answer = client.ask("POST", "/v1/events", &format!("[{}]", clicked.join(","))).expect(202);
    let body = answer.json();
    assert_eq!(body["accepted"], USERS - 1, "{body}");
    assert_eq!(body["rejected"], json!([{"index": 3, "code": "unknown_action"}]));
    assert_eq!(body["ignored"], json!(["actoin", "time"]), "{body}");
    let plain = client.event(&tokens[0], "clicked").expect(202);
    assert_eq!(plain.json(), json!({"accepted": 0, "duplicate": 1, "rejected": []}));

    // Two of each GET, three of each POST, three of the events.
    let metrics = server.operator().get("/metrics").expect(200).body;
    let counts = metrics.lines().filter(|line| line.starts_with("nudged_ignored_fields_total"));
    let count: usize =
        counts.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum();
    assert_eq!(count, 5 * USERS + 3);
    server.stop();
}

#[test]
fn empty_fields_are_absent_and_sessions_may_be_long() {
    let popups = "[[popup]]\nid = \"p\"\nafter_shown = \"0s\"\nafter_ignored = \"0s\"\n\
        [popup.content]\nt = 1\n[popup.locales.de]\nt = 2\n";
    let setup = Setup::new(popups).config("max_per_session = 1\n");
    let server = setup.start();
    let mut client = server.client();
    let empty = client.get("/v1/decide?user=u&placement=&session=&locale=&tz=").expect(200);
    assert_eq!(
        (empty.field("nudge-ignored"), &empty.json()["popup"]["content"]["t"]),
        (None, &1.into())
    );
    let posted = r#"{"user":"u","placement":"","session":"","locale":"","tz":""}"#;
    client.ask("POST", "/v1/decide", posted).expect(200);
    for request in ["/v1/decide?user=", "/v1/decide?user=&session=s"] {
        let refused = client.get(request).expect(400).json();
        assert_eq!(refused, json!({"error": {"code": "empty", "field": "user"}}));
    }
    // A session of 1,024 bytes is one as any other; a byte more is none.
    let session = "s".repeat(1_024);
    let asked = |session: &str| format!("/v1/decide?user=v&locale=de_AT&session={session}");
    assert_eq!(client.get(&asked(&session)).expect(200).json()["popup"]["content"]["t"], 2);
    assert_eq!(client.get(&asked(&session)).reason(), "session");
    client.get(&asked(&format!("{}t", &session[1..]))).expect(200);
    let refused = client.get(&asked(&format!("{session}s"))).expect(400).json();
    assert_eq!(refused, json!({"error": {"code": "too_long", "field": "session"}}));
    server.stop();
}

#[test]
fn a_query_and_a_body_are_decided_alike() {
    let popups = "[[popup]]\nid = \"p\"\nafter_shown = \"0s\"\nafter_ignored = \"0s\"\n\
        [popup.target]\nall = [{ attr = \"v\", op = \"eq\", value = \"5.10\" },\n\
        { attr = \"v\", op = \"semver_gte\", value = \"5.9.0.1\" },\n\
        { attr = \"v\", op = \"lt\", value = 5.2 }]\n";
    let setup = Setup::new(popups);
    let server = setup.start();
    let mut client = server.client();
    for (number, status) in [("5.10", 200), ("5.1", 204), ("5.100", 204), ("51e-1", 204)] {
        client.get(&format!("/v1/decide?user=u&attr.v={number}")).expect(status);
        for value in [number.to_owned(), format!("\"{number}\"")] {
            let body = format!(r#"{{"user":"u","attrs":{{"v":{value}}}}}"#);
            client.ask("POST", "/v1/decide", &body).expect(status);
        }
    }
    server.stop();
}

#[test]
fn options_are_answered_anywhere() {
    let setup = Setup::new(WELCOME);
    let server = setup.start();
    let mut client = server.client();
    for path in ["/", "/v1/decide", "/v1/events", "/health", "/nowhere/at/all?x=1", "*"] {
        let answer = client.ask("OPTIONS", path, "").expect(204);
        assert!(answer.field("allow").unwrap().contains("OPTIONS"), "{path} {answer:?}");
        assert_eq!(answer.field("content-length"), None, "{path}");
        // With what looks like a body or without, the next request is answered.
        client = server.client();
    }
    // What a balancer sends that is told nothing but to look whether HTTP answers.
    client.send(b"OPTIONS / HTTP/1.0\r\n\r\n");
    client.answer().expect(204);
    assert!(client.is_closed());
    server.stop();
}

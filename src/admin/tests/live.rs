//! Property: streams tell what is described, a followed pause tells what its answer does, and
//! neither outlives the listener.

use std::io::BufRead as _;

use super::described::{resolve, undescribed};
use super::*;
use nudged_domain::catalog::overrides::OverridePlace;

/// A stream whose head has come.
struct Stream(std::io::BufReader<TcpStream>);

impl Stream {
    fn open(node: &Node, line: &str, fields: &str) -> Stream {
        let mut stream = TcpStream::connect(node.admin.address()).unwrap();
        // Two requests at once: nothing follows a stream.
        let request = format!("{line} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
        let behind = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
        stream.write_all(format!("{request}{behind}").as_bytes()).unwrap();
        let mut stream = Stream(std::io::BufReader::new(stream));
        let head: Vec<String> = std::iter::from_fn(|| stream.line()).collect();
        assert_eq!(head[0], "HTTP/1.1 200 OK");
        assert!(head.contains(&"Content-Type: text/event-stream".to_owned()), "{head:?}");
        assert!(head.contains(&"Connection: close".to_owned()), "{head:?}");
        stream
    }

    /// The next line; `None` for an empty one, and at the end.
    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap_or(0);
        Some(line.trim_end().to_owned()).filter(|line| !line.is_empty())
    }

    fn next(&mut self) -> Option<(String, Value)> {
        loop {
            let first = self.line()?;
            let Some(name) = first.strip_prefix("event: ") else {
                assert_eq!((first.as_str(), self.line()), ("retry: 1000", None));
                continue;
            };
            let data = self.line().unwrap();
            assert_eq!(self.line(), None);
            let data = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            return Some((name.to_owned(), data));
        }
    }
}

#[test]
fn figures_are_as_they_are_described_and_end_with_the_listener() {
    let node = node();
    let document = openapi::document();
    let mut stream = Stream::open(&node, "GET /v1/live", "");
    for (want, schema) in [("catalog", "LiveCatalog"), ("live", "LiveFigures")] {
        let (name, told) = stream.next().unwrap();
        assert_eq!(name, want);
        let schema = resolve(&document, &document["components"]["schemas"][schema]);
        assert_eq!(undescribed(&document, schema, &told, ""), [] as [String; 0], "{told}");
    }
    assert_eq!(node.json("GET /v1/status")["nodes"].as_array().unwrap().len(), 1);
    let begun = std::time::Instant::now();
    node.admin.stop();
    assert!(begun.elapsed() < std::time::Duration::from_millis(2_000), "none is waited for");
    while stream.next().is_some() {}
}

#[test]
fn a_followed_pause_ends_with_the_answer() {
    let node = node();
    let accept = "Accept: text/event-stream\r\nContent-Length: 0\r\nIf-Match: 1\r\n";
    let mut stream = Stream::open(&node, "POST /v1/popups/a/pause", accept);
    let events: Vec<(String, Value)> = std::iter::from_fn(|| stream.next()).collect();
    let mut shards: Vec<&Value> = events[..2].iter().map(|(_, shard)| &shard["shard"]).collect();
    shards.sort_by_key(|shard| shard.as_u64());
    assert_eq!(shards, [&json!(0), &json!(1)], "{events:?}");
    let (last, done) = events.last().unwrap();
    assert_eq!((last.as_str(), &done["stored"]), ("done", &json!("sql")), "{events:?}");
    let stored: Vec<&str> = events[2..events.len() - 1]
        .iter()
        .map(|(name, data)| {
            assert_eq!(name, "stored");
            data["stored"].as_str().unwrap()
        })
        .collect();
    assert_eq!(stored.last(), Some(&"sql"), "{events:?}");
    assert_eq!(done["effective_status"], "paused");
    let (status, _, refused) = node.send("POST /v1/popups/a/resume", "If-Match: 7\r\n", "");
    assert_eq!((status, &refused["error"]["code"]), (412, &json!("other_version")));
    let again = node.json("POST /v1/popups/a/pause");
    assert_eq!((&again["shards"], &again["nodes"]), (&json!([]), &json!([])), "all was so");
    let follows = "Accept: text/event-stream\r\nContent-Length: 0\r\n";
    // One more entry, which comes its own way to SQL although nothing is decided otherwise.
    let mut stream = Stream::open(&node, "POST /v1/popups/a/pause", follows);
    let mut events: Vec<(String, Value)> = std::iter::from_fn(|| stream.next()).collect();
    let (_, done) = events.pop().unwrap();
    assert_eq!((&done["stored"], &done["shards"]), (&json!("sql"), &json!([])), "{done}");
    assert!(events.iter().all(|(name, _)| name == "stored"), "{events:?}");
    assert_eq!(events.last().unwrap().1["stored"], "sql", "{events:?}");
    let standing = node.publisher.with_overrides(|all| {
        all.all().filter(|held| held.entry.end.is_none() && held.is_in(OverridePlace::Sql)).count()
    });
    assert_eq!(standing, 3, "each is in SQL by the time it is said");
    let resumed = node.json("POST /v1/popups/a/resume");
    assert_eq!(resumed["shards"].as_array().unwrap().len(), 2, "{resumed}");
}

#[test]
fn what_is_asked_of_the_console_s_routes_is_looked_at() {
    let node = node();
    let cases = [
        ("GET /v1/log", 200),
        ("GET /v1/log?limit=0", 400),
        ("GET /v1/log?level=loud", 400),
        ("GET /v1/log?after=-1", 400),
        ("GET /v1/audit", 200),
        ("GET /v1/audit?before=1", 400),
        ("GET /v1/audit?before=x", 400),
        ("GET /v1/doctor", 200),
        ("POST /v1/doctor", 405),
        ("POST /v1/check", 400),
        ("POST /v1/check?id=A", 400),
        ("HEAD /v1/live", 200),
        ("GET /v1/live?log=loud", 400),
        ("POST /v1/live", 405),
    ];
    for (line, want) in cases {
        assert_eq!(node.status(line), want, "{line}");
    }
}

#[test]
fn a_page_of_another_origin_neither_holds_streams_nor_has_the_host_looked_at() {
    let node = node();
    for target in ["HEAD /v1/live", "GET /v1/doctor"] {
        for (fields, want) in [
            ("Sec-Fetch-Site: cross-site\r\n", 403),
            ("Sec-Fetch-Site: same-site\r\n", 403),
            ("Origin: http://evil.example\r\n", 403),
            ("Sec-Fetch-Site: same-origin\r\n", 200),
            ("Sec-Fetch-Site: none\r\n", 200),
            ("Origin: http://localhost\r\nSec-Fetch-Site: same-origin\r\n", 200),
        ] {
            let (head, _) = node.ask(target, fields);
            assert_eq!(status_of(&head), want, "{target} {fields}");
        }
    }
}

#[test]
fn one_popup_is_checked_at_a_time() {
    let node = node();
    let router = &node.admin.running.router;
    let turn = router.service.checks.take_within(std::time::Duration::ZERO).unwrap();
    let (status, _, refused) = node.send("POST /v1/check?id=x", "", "{}");
    assert_eq!((status, &refused["error"]["code"]), (503, &json!("busy")));
    drop(turn);
    assert_eq!(node.send("POST /v1/check?id=x", "", "{}").0, 200);
}

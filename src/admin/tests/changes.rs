//! Property: a popup of the API is made, changed, archived and taken back as the contract says; a
//! popup of the file is the file's; every change has its line of history, and survives.

use super::*;

impl Node {
    /// A request with a body; gives its status, head and body.
    pub(super) fn send(&self, line: &str, fields: &str, body: &str) -> (u16, String, Value) {
        let stream = TcpStream::connect(self.admin.address()).unwrap();
        let fields = format!("{fields}Content-Length: {}\r\n", body.len());
        let (head, answer) = exchange_body(stream, line, &fields, body);
        let value = serde_json::from_str(&answer).unwrap_or(Value::Null);
        (status_of(&head), head, value)
    }

    fn put(&self, id: &str, body: &str) -> (u16, Value) {
        let (status, _, value) = self.send(&format!("PUT /v1/popups/{id}"), "", body);
        (status, value)
    }

    fn changes_of(&self, id: &str) -> Vec<(u64, String)> {
        let history = self.json(&format!("GET /v1/popups/{id}/history"));
        let entries = history["history"].as_array().unwrap().iter();
        let tell = |entry: &Value| {
            let change = entry["change"].as_str().unwrap().to_owned();
            (entry["version"].as_u64().unwrap(), change)
        };
        entries.map(tell).collect()
    }
}

fn exchange_body(mut stream: TcpStream, line: &str, fields: &str, body: &str) -> (String, String) {
    let head = format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (format!("{head}\r\n"), body.to_owned())
}

#[test]
fn a_popup_is_made_changed_archived_and_made_again() {
    let node = node();
    let (status, made) = node.put("n", "{\"id\":\"n\",\"priority\":1}");
    assert_eq!((status, &made["version"], &made["origin"]), (201, &json!(1), &json!("api")));
    let told = node.shards.take_told();
    assert_eq!(told, [(0, "catalog 2".to_owned()), (1, "catalog 2".to_owned())]);
    let (status, same) = node.put("n", "{\"priority\":1}");
    assert_eq!((status, &same["version"]), (200, &json!(1)), "an id is not needed in the body");
    assert!(node.shards.take_told().is_empty(), "an unchanged text changes nothing");
    let (status, changed) = node.put("n", "[[popup]]\nid = \"n\"\npriority = 2\n");
    assert_eq!((status, &changed["version"]), (200, &json!(2)));
    assert_eq!(changed["definition"], json!({ "id": "n", "priority": 2 }));
    assert_eq!(node.put("n", "priority = 3\n").1["version"], 3);

    let gone = node.json("DELETE /v1/popups/n");
    assert_eq!(gone["effective_status"], "archived");
    assert_eq!(node.json("DELETE /v1/popups/n")["effective_status"], "archived");
    assert_eq!(node.status("POST /v1/popups/n/resume"), 409);
    assert_eq!(node.status("POST /v1/popups/n/rollback"), 409);
    let (status, back) = node.put("n", "priority = 3\n");
    assert_eq!((status, &back["version"]), (200, &json!(4)), "an id is one popup for ever");
    assert_eq!(back["effective_status"], "live");

    assert_eq!(node.json("POST /v1/popups/n/archive")["override"], "archived");
    let (_, back) = node.put("n", "priority = 4\n");
    assert_eq!((&back["version"], &back["effective_status"]), (&json!(5), &json!("archived")));
    assert!(back["warnings"][0].as_str().unwrap().contains("/resume"), "{back}");
    assert_eq!(node.json("POST /v1/popups/n/resume")["effective_status"], "live");
    let mut changes = node.changes_of("n");
    changes.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    let want = [
        (5, "override"),
        (5, "changed"),
        (4, "override"),
        (4, "returned"),
        (3, "archived"),
        (3, "changed"),
        (2, "changed"),
        (1, "created"),
    ];
    assert_eq!(changes, want.map(|(version, change)| (version, change.to_owned())));
}

#[test]
fn a_rollback_is_a_new_version_with_an_old_text() {
    let node = node();
    for priority in 1..=3 {
        node.put("n", &format!("priority = {priority}\n"));
    }
    let back = node.json("POST /v1/popups/n/rollback");
    assert_eq!((&back["version"], &back["priority"]), (&json!(4), &json!(2)));
    let back = node.json("POST /v1/popups/n/rollback?version=1");
    assert_eq!((&back["version"], &back["priority"]), (&json!(5), &json!(1)));
    let (status, _, back) = node.send("POST /v1/popups/n/rollback", "", "{\"version\":3}");
    assert_eq!((status, &back["version"], &back["priority"]), (200, &json!(6), &json!(3)));
    let same = node.json("POST /v1/popups/n/rollback?version=6");
    assert_eq!(same["version"], 6, "where it is so already, nothing changes");
    assert_eq!(node.changes_of("n")[0], (6, "rolled_back".to_owned()));
    for (line, want) in [
        ("POST /v1/popups/n/rollback?version=7", 404),
        ("POST /v1/popups/n/rollback?version=0", 404),
        ("POST /v1/popups/n/rollback?version=x", 400),
        ("POST /v1/popups/n/rollback?version=-1", 400),
        ("POST /v1/popups/a/rollback", 409),
    ] {
        assert_eq!(node.status(line), want, "{line}");
    }
    node.put("m", "priority = 1\n");
    let (status, _, refused) = node.send("POST /v1/popups/m/rollback", "", "");
    assert_eq!((status, &refused["error"]["code"]), (409, &json!("no_earlier_version")));
    for (query, body, field) in [
        ("", "x", "body"),
        ("", "[]", "body"),
        ("", "{\"version\":\"1\"}", "version"),
        ("", "{\"version\":-1}", "version"),
        ("", "{\"versoin\":2}", "versoin"),
        ("", "{\"version\":1,\"version\":2}", "version"),
        ("?version=1", "{\"version\":2}", "version"),
        ("?version=1", "{\"versoin\":1}", "versoin"),
    ] {
        let line = format!("POST /v1/popups/n/rollback{query}");
        let (status, _, refused) = node.send(&line, "", body);
        assert_eq!((status, &refused["error"]["field"]), (400, &json!(field)), "{query} {body}");
    }
    assert_eq!(node.json("GET /v1/popups/n")["version"], 6, "none of them went back");
    let both = node.send("POST /v1/popups/n/rollback?version=1", "", "{\"version\":1}");
    assert_eq!((both.0, &both.2["priority"]), (200, &json!(1)));
}

#[test]
fn what_takes_no_body_says_so_and_does_nothing() {
    let node = node();
    node.put("n", "priority = 1\n");
    node.send("PUT /v1/popups/n/draft", "", "{\"priority\":2}");
    for operation in ["popups/n/publish", "popups/n/pause", "popups/n/archive", "reload", "backup"]
    {
        let (status, _, refused) = node.send(&format!("POST /v1/{operation}"), "", "{\"n\":1}");
        assert_eq!((status, &refused["error"]["field"]), (400, &json!("body")), "{refused}");
        assert!(refused["errors"][0].as_str().unwrap().ends_with("takes no body"), "{refused}");
    }
    let popup = node.json("GET /v1/popups/n");
    assert_eq!((&popup["version"], &popup["effective_status"]), (&json!(1), &json!("live")));
    assert_eq!(node.send("POST /v1/popups/n/pause", "", "{}").0, 200);
    assert_eq!(node.send("POST /v1/popups/n/resume", "", "{\"n\":1}").0, 400);
    assert_eq!(node.send("POST /v1/popups/n/resume", "", " \n").0, 200);
}

#[test]
fn what_is_no_popup_is_refused_with_every_error_and_changes_nothing() {
    let node = node();
    let before = node.json("GET /v1/popups");
    let (status, refused) = node.put("n", "{\"caps\":[{\"n\":17,\"per\":\"1h\"}],\"x\":1}");
    assert_eq!((status, &refused["error"]["code"]), (400, &json!("bad_popup")));
    assert_eq!(refused["error"]["field"], "x");
    assert!(refused["errors"].as_array().unwrap().len() == 2, "{refused}");
    for (body, field) in [
        ("{\"id\":\"other\"}", json!("id")),
        ("", json!("body")),
        ("[1]", json!(null)),
        ("{", json!(null)),
        ("[[popup]]\nid = \"n\"\n[[popup]]\nid = \"m\"\n", json!(null)),
        ("popup = 3", json!(null)),
    ] {
        let (status, refused) = node.put("n", body);
        assert_eq!((status, &refused["error"]["field"]), (400, &field), "{body}: {refused}");
    }
    let (status, _, refused) = node.send("PUT /v1/popups/n", "Nudge-Who: \r\n", "priority = 1");
    assert_eq!((status, &refused["error"]["field"]), (400, &json!("Nudge-Who")));
    assert_eq!(node.json("GET /v1/popups"), before);
    assert!(node.shards.take_told().is_empty());
    let (status, warned) = node.put("n", "rollout = 0.0\n");
    assert_eq!(status, 201);
    assert!(warned["warnings"][0].as_str().unwrap().contains("rollout"), "{warned}");
}

#[test]
fn the_files_popups_are_the_files() {
    let node = node();
    for (line, body) in [
        ("PUT /v1/popups/a", "priority = 9\n"),
        ("PUT /v1/popups/a", "priority = 2\n"),
        ("DELETE /v1/popups/a", ""),
        ("POST /v1/popups/a/rollback", ""),
    ] {
        let (status, _, refused) = node.send(line, "", body);
        assert_eq!((status, &refused["error"]["code"]), (409, &json!("in_popups_file")), "{line}");
    }
    assert_eq!(node.json("POST /v1/popups/a/archive")["effective_status"], "archived");
    node.json("POST /v1/reload");
    let archived = node.json("GET /v1/popups/a");
    assert_eq!((&archived["status"], &archived["override"]), (&json!("live"), &json!("archived")));
    // Once it is gone from the file, the API may have it; and the file takes it back.
    node.put("n", "priority = 1\n");
    node.directory.write_popups("[[popup]]\nid = \"a\"\n");
    node.json("POST /v1/reload");
    let (status, taken) = node.put("b", "priority = 7\n");
    assert_eq!((status, &taken["origin"], &taken["version"]), (200, &json!("api"), &json!(2)));
    node.json("POST /v1/reload");
    assert_eq!(node.json("GET /v1/popups/b")["effective_status"], "live");
    assert_eq!(node.json("GET /v1/popups/n")["effective_status"], "live");
    node.directory.write_popups("[[popup]]\nid = \"b\"\n");
    node.json("POST /v1/reload");
    assert_eq!(node.put("b", "priority = 7\n").0, 409);
}

#[test]
fn without_a_popups_file_its_popups_are_the_apis_as_they_stand() {
    let node = node();
    assert_eq!(node.put("a", "priority = 9\n").0, 409);
    node.directory.logged();
    node.directory.change(|config| config.popups = None);
    assert_eq!(node.json("POST /v1/reload")["changed"], false);
    let told = node.directory.logged();
    assert_eq!(told.matches("popups_released").count(), 1, "{told}");
    let kept = node.json("GET /v1/popups/a");
    assert_eq!((&kept["origin"], &kept["version"]), (&json!("api"), &json!(1)));
    assert_eq!(kept["effective_status"], "live");
    let history = node.json("GET /v1/popups/a/history?limit=1");
    assert_eq!(history["history"][0]["change"], "released", "{history}");
    let (status, changed) = node.put("a", "priority = 9\n");
    assert_eq!((status, &changed["version"]), (200, &json!(2)));
    assert_eq!(node.send("DELETE /v1/popups/b", "", "").0, 200);
    node.json("POST /v1/reload");
    assert_eq!(node.directory.logged().matches("popups_released").count(), 0);
    // A file that has the id takes it back.
    let path = node.directory.popups_path();
    node.directory.change(|config| config.popups = Some(path));
    node.json("POST /v1/reload");
    assert_eq!(node.put("a", "priority = 9\n").0, 409);
}

#[test]
fn a_change_may_be_meant_for_one_version() {
    let node = node();
    node.put("n", "priority = 1\n");
    let (_, head, _) = node.send("GET /v1/popups/n", "", "");
    assert!(head.contains("\r\nETag: \"1\"\r\n"), "{head}");
    for (line, tag, want) in [
        ("PUT /v1/popups/n", "\"2\"", 412),
        ("PUT /v1/popups/m", "*", 412),
        ("PUT /v1/popups/m", "1", 412),
        ("PUT /v1/popups/n", "x", 400),
        ("DELETE /v1/popups/n", "2", 412),
        ("POST /v1/popups/n/pause", "2", 412),
        ("POST /v1/popups/n/pause", "1", 200),
        ("PUT /v1/popups/n", "\"1\"", 200),
        ("PUT /v1/popups/n", "*", 200),
        ("POST /v1/popups/n/rollback", "1", 412),
        ("DELETE /v1/popups/n", "2", 200),
    ] {
        let body = if line.starts_with("PUT") { "priority = 2\n" } else { "" };
        let (status, head, _) = node.send(line, &format!("If-Match: {tag}\r\n"), body);
        assert_eq!(status, want, "{line} {tag}: {head}");
    }
}

#[test]
fn whom_a_change_is_put_down_to_stands_in_history_and_log() {
    let node = node();
    node.send("PUT /v1/popups/n", "Nudge-Who: alice\r\n", "priority = 1\n");
    node.send("POST /v1/popups/n/pause", "Nudge-Who: bob\r\n", "");
    let history = node.json("GET /v1/popups/n/history");
    assert_eq!(history["history"][1]["who"], "alice (127.0.0.1)");
    assert_eq!(history["history"][0]["who"], "bob (127.0.0.1)");
    assert_eq!(history["history"][0]["diff"], json!({ "status": [null, "paused"] }));
    let logged = node.directory.logged();
    assert!(logged.contains("alice") && logged.contains("bob"), "{logged}");
}

#[test]
fn what_another_process_stored_is_taken_over_and_not_undone() {
    use nudged_store::{CatalogChange, Store};
    let node = node();
    let mut other = Store::open(node.directory.path()).unwrap();
    let put = |other: &mut Store, id: &str, text: &str| {
        let change = CatalogChange::Put { id, text, is_rollback: false };
        other.change_catalog(None, change, "other", WallMs(1)).unwrap();
    };
    put(&mut other, "x", "{\"id\":\"x\"}");
    // A change that was checked against an older catalog is checked again.
    let (status, _) = node.put("n", "priority = 1\n");
    assert_eq!(status, 201);
    assert_eq!(node.json("GET /v1/popups/x")["effective_status"], "live");
    put(&mut other, "x", "{\"id\":\"x\",\"priority\":4}");
    let (status, refused, _) = node.send("PUT /v1/popups/x", "If-Match: 1\r\n", "priority = 2\n");
    assert_eq!(status, 412, "{refused}");
    assert_eq!(node.json("GET /v1/popups/x")["priority"], 4);
}

#[test]
fn an_id_that_is_none_is_refused_with_the_reason() {
    let node = node();
    let long = "x".repeat(65);
    for (id, body) in [("Spring", "priority = 1\n"), ("a.b", "{}"), (&long, "priority = 1\n")] {
        let (status, refused) = node.put(id, body);
        assert_eq!((status, &refused["error"]["code"]), (400, &json!("bad_popup")), "{refused}");
        assert_eq!(refused["error"]["field"], "id", "{refused}");
    }
    let (status, refused) = node.put("Spring", "id = \"spring\"\n");
    assert_eq!((status, &refused["error"]["field"]), (400, &json!("id")), "{refused}");
    assert_eq!(node.status("GET /v1/popups/spring"), 404);
}

#[test]
fn a_popup_may_be_made_only_where_none_ever_was() {
    let node = node();
    let create = |id: &str, tag: &str| {
        let line = format!("PUT /v1/popups/{id}");
        let fields = format!("If-None-Match: {tag}\r\n");
        let (status, _, answer) = node.send(&line, &fields, "priority = 1\n");
        (status, answer["error"]["code"].as_str().map(str::to_owned))
    };
    let exists = (412, Some("exists".to_owned()));
    assert_eq!(create("n", "*"), (201, None));
    assert_eq!(create("n", " * "), exists, "also with the same text");
    assert_eq!(create("a", "*"), exists, "the file's");
    node.json("DELETE /v1/popups/n");
    assert_eq!(create("n", "*"), exists, "an id is one popup for ever");
    // Nothing else may be taken for a guard that it is not.
    for tag in ["\"1\"", "1", "", "W/\"1\""] {
        assert_eq!(create("m", tag), (400, Some("bad_value".to_owned())), "{tag}");
    }
    // A list may come in parts; of versions only one can be meant.
    let parts = "If-Match: \"1\"\r\nIf-Match: \"2\"\r\n";
    assert_eq!(node.send("PUT /v1/popups/x", parts, "priority = 2\n").0, 400);
    let both = "If-Match: 1\r\nIf-None-Match: *\r\n";
    assert_eq!(node.send("PUT /v1/popups/n", both, "priority = 1\n").0, 400);
    assert_eq!(node.status("GET /v1/popups/m"), 404);
}

#[test]
fn a_popup_may_have_many_contents_and_what_is_larger_is_413() {
    use nudged_base::limits::{ADMIN_BODY_BYTES_MAX, CONTENT_BYTES_MAX};
    let node = node();
    // As large as one may be, in as many languages as fit.
    let content = format!("{{\"t\":\"{}\"}}", "x".repeat(CONTENT_BYTES_MAX - 8));
    let locales: Vec<String> = (10..40).map(|number| format!("\"l{number}\":{content}")).collect();
    let body = format!("{{\"content\":{content},\"locales\":{{{}}}}}", locales.join(","));
    assert!(body.len() > 950_000 && body.len() <= ADMIN_BODY_BYTES_MAX);
    let (status, made) = node.put("n", &body);
    assert_eq!(status, 201, "{}", made["error"]);
    let definition = &node.json("GET /v1/popups/n")["definition"];
    assert_eq!(definition["locales"]["l39"], made["definition"]["content"]);
    // The largest content is its own limit, with its field.
    let (status, refused) = node.put("m", &format!("{{\"content\":{{\"t\":{content}}}}}"));
    assert_eq!((status, &refused["error"]["field"]), (400, &json!("content")), "{refused}");
    for (bytes, want) in [(ADMIN_BODY_BYTES_MAX, 400), (ADMIN_BODY_BYTES_MAX + 1, 413)] {
        let stream = TcpStream::connect(node.admin.address()).unwrap();
        let fields = format!("Content-Length: {bytes}\r\nExpect: 100-continue\r\n");
        let line = "PUT /v1/popups/m HTTP/1.1\r\nHost: localhost\r\nConnection: close";
        let head = format!("{line}\r\n{fields}\r\n");
        let answer = after_continue(stream, &head, bytes);
        assert_eq!(status_of(&answer), want, "{bytes}: {answer}");
        assert_eq!(answer.contains("\"body_too_large\""), want == 413, "{answer}");
    }
}

/// Sends a body of spaces once it is asked for; gives the last answer.
fn after_continue(mut stream: TcpStream, head: &str, bytes: usize) -> String {
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = vec![0; 1_024];
    let length = stream.read(&mut answer).unwrap();
    answer.truncate(length);
    let mut answer = String::from_utf8(answer).unwrap();
    if answer.starts_with("HTTP/1.1 100") {
        stream.write_all(&vec![b' '; bytes]).unwrap();
        answer.clear();
    }
    stream.read_to_string(&mut answer).unwrap();
    answer
}

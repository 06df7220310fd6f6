//! Property: a draft changes nothing until it is published, and then is a version as any other; it
//! is checked as a whole when it is put, and is not for the popups of the file.

use super::*;

#[test]
fn a_draft_is_kept_beside_what_is_live_until_it_is_published() {
    let node = node();
    node.send("PUT /v1/popups/n", "", "{\"priority\":1,\"max_shows\":2}");
    node.shards.take_told();
    assert_eq!(node.status("GET /v1/popups/n/draft"), 404);
    let text = "{\"priority\":2,\"content\":{\"price\":1.50}}";
    let (status, _, put) = node.send("PUT /v1/popups/n/draft", "Nudge-Who: ann\r\n", text);
    assert_eq!((status, &put["live_version"]), (201, &json!(1)), "{put}");
    assert_eq!(put["diff"]["priority"], json!([1, 2]));
    assert_eq!(put["diff"]["max_shows"], json!([2, null]));
    assert!(node.shards.take_told().is_empty(), "no shard is told of a draft");
    assert_eq!(node.json("GET /v1/popups/n")["priority"], 1);
    let again = node.send("PUT /v1/popups/n/draft", "", "priority = 3\n");
    assert_eq!((again.0, &again.2["who"]), (200, &json!("admin (127.0.0.1)")));
    assert_eq!(node.send("PUT /v1/popups/n/draft", "", text).0, 200);
    let (head, raw) = node.ask("GET /v1/popups/n/draft", "");
    assert_eq!(status_of(&head), 200);
    assert!(raw.contains("\"price\":1.50"), "numbers stay as they are written: {raw}");

    let (status, head, live) = node.send("POST /v1/popups/n/publish", "Nudge-Who: bob\r\n", "");
    assert_eq!((status, &live["version"], &live["priority"]), (200, &json!(2), &json!(2)));
    assert!(head.contains("\r\nETag: \"2\"\r\n") && live["warnings"].is_array(), "{live}");
    assert_eq!(node.shards.take_told().len(), 2, "every shard decides by it");
    assert_eq!(node.status("GET /v1/popups/n/draft"), 404);
    let history = node.json("GET /v1/popups/n/history?limit=1");
    let line = &history["history"][0];
    assert_eq!((&line["change"], &line["who"]), (&json!("published"), &json!("bob (127.0.0.1)")));
    let (status, _, refused) = node.send("POST /v1/popups/n/publish", "", "");
    assert_eq!((status, &refused["error"]["code"]), (404, &json!("no_draft")));
    assert!(node.directory.logged().contains("draft_changed"));

    // What is so already is no version, and the draft goes all the same.
    node.send("PUT /v1/popups/n/draft", "", text);
    assert_eq!(node.json("POST /v1/popups/n/publish")["version"], 2);
    assert_eq!(node.status("GET /v1/popups/n/draft"), 404);
}

#[test]
fn a_draft_may_be_of_a_popup_that_is_not_there_yet_or_no_more() {
    let node = node();
    let (status, _, put) = node.send("PUT /v1/popups/new/draft", "", "{\"priority\":4}");
    assert_eq!((status, &put["live_version"]), (201, &json!(null)));
    assert_eq!(node.status("GET /v1/popups/new"), 404);
    let (status, _, made) = node.send("POST /v1/popups/new/publish", "", "");
    assert_eq!((status, &made["version"]), (201, &json!(1)));
    node.json("DELETE /v1/popups/new");
    node.send("PUT /v1/popups/new/draft", "", "{\"priority\":5}");
    let back = node.json("POST /v1/popups/new/publish");
    assert_eq!((&back["version"], &back["effective_status"]), (&json!(2), &json!("live")));
    assert_eq!(node.send("PUT /v1/popups/x/draft", "", "{}").0, 201);
    assert_eq!(node.json("DELETE /v1/popups/x/draft"), json!({ "id": "x", "deleted": true }));
    assert_eq!(node.status("DELETE /v1/popups/x/draft"), 404);
    assert_eq!(node.status("POST /v1/popups/x/publish"), 404);
}

#[test]
fn a_draft_that_could_not_stand_is_refused_when_it_is_put() {
    let node = node();
    let (status, _, refused) =
        node.send("PUT /v1/popups/n/draft", "", "{\"caps\":[{\"n\":17,\"per\":\"1h\"}],\"x\":1}");
    assert_eq!((status, &refused["error"]["code"]), (400, &json!("bad_popup")));
    assert_eq!(refused["errors"].as_array().unwrap().len(), 2, "{refused}");
    assert_eq!(node.status("GET /v1/popups/n/draft"), 404);
    for (line, body) in [
        ("PUT /v1/popups/a/draft", "{}"),
        ("DELETE /v1/popups/a/draft", ""),
        ("POST /v1/popups/a/publish", ""),
    ] {
        let (status, _, refused) = node.send(line, "", body);
        assert_eq!((status, &refused["error"]["code"]), (409, &json!("in_popups_file")), "{line}");
    }
    node.send("PUT /v1/popups/n", "", "{}");
    for (line, body) in [("PUT /v1/popups/n/draft", "{}"), ("POST /v1/popups/n/publish", "")] {
        assert_eq!(node.send(line, "If-Match: 2\r\n", body).0, 412, "{line}");
        let want = if body.is_empty() { 200 } else { 201 };
        assert_eq!(node.send(line, "If-Match: 1\r\n", body).0, want, "{line}");
    }
}

#[test]
fn a_draft_of_a_popup_that_the_file_took_may_go() {
    let node = node();
    node.send("PUT /v1/popups/n/draft", "", "{}");
    node.directory.write_popups("[[popup]]\nid = \"n\"\n[[popup]]\nid = \"a\"\n");
    node.json("POST /v1/reload");
    assert_eq!(node.status("POST /v1/popups/n/publish"), 409);
    assert_eq!(node.status("DELETE /v1/popups/n/draft"), 200);
    assert_eq!(node.status("DELETE /v1/popups/n/draft"), 409);
}

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
}

/// The revision of a draft, and its tag.
fn revision_of(node: &Node, id: &str) -> (u64, String) {
    let (head, body) = node.ask(&format!("GET /v1/popups/{id}/draft"), "");
    let draft: Value = serde_json::from_str(&body).unwrap();
    let revision = draft["revision"].as_u64().unwrap();
    assert!(head.contains(&format!("\r\nETag: \"{revision}\"\r\n")), "{head}");
    (revision, format!("If-Match: \"{revision}\"\r\n"))
}

#[test]
fn two_editors_of_one_draft_do_not_overwrite_each_other() {
    let node = node();
    let put = |fields: &str, priority: u32| {
        let body = format!("{{\"priority\":{priority}}}");
        node.send("PUT /v1/popups/n/draft", fields, &body)
    };
    assert_eq!(put("If-Match: *\r\n", 1).0, 412, "there is none");
    assert_eq!(put("If-None-Match: *\r\nNudge-Who: ann\r\n", 1).0, 201);
    let (of_ann, ann) = revision_of(&node, "n");
    let (status, _, by_bob) = put(&format!("Nudge-Who: bob\r\n{ann}"), 2);
    assert_eq!(status, 200, "{by_bob}");
    assert!(by_bob["revision"].as_u64().unwrap() > of_ann, "{by_bob}");
    for (fields, what) in [(ann.as_str(), "an older revision"), ("If-None-Match: *\r\n", "none")] {
        let (status, _, refused) = put(fields, 3);
        assert_eq!((status, &refused["error"]["code"]), (412, &json!("other_revision")), "{what}");
        let words = refused["errors"][0].as_str().unwrap();
        assert!(words.contains("saved by bob (127.0.0.1)"), "{words}");
        for member in ["revision", "at", "who", "base_version"] {
            assert_eq!(refused["draft"][member], by_bob[member], "{member} of {refused}");
        }
    }
    assert_eq!(node.json("GET /v1/popups/n/draft")["definition"]["priority"], 2);
    assert_eq!(node.send("DELETE /v1/popups/n/draft", &ann, "").0, 412);
    let publish = format!("POST /v1/popups/n/publish?revision={of_ann}");
    let (status, _, refused) = node.send(&publish, "", "");
    assert_eq!((status, &refused["draft"]["who"]), (412, &json!("bob (127.0.0.1)")), "{refused}");
    let (_, bob) = revision_of(&node, "n");
    assert_eq!(node.send("DELETE /v1/popups/n/draft", &bob, "").0, 200);
    // One that was made anew is another, whatever its text.
    let (status, _, gone) = put(&bob, 3);
    assert_eq!((status, &gone["draft"]), (412, &json!(null)), "{gone}");
    assert_eq!(put("", 2).0, 201);
    assert_eq!(put(&bob, 3).0, 412);
    let (of_new, _) = revision_of(&node, "n");
    assert_eq!(node.send(&format!("POST /v1/popups/n/publish?revision={of_new}"), "", "").0, 201);
}

#[test]
fn a_draft_of_a_popup_that_has_changed_since_is_not_published_unseen() {
    let node = node();
    node.send("PUT /v1/popups/n", "", "{\"priority\":1}");
    let first = node.send("PUT /v1/popups/n/draft", "", "{\"priority\":2}").2;
    assert_eq!((&first["base_version"], &first["outdated"]), (&json!(1), &json!(false)));
    node.send("PUT /v1/popups/n", "", "{\"priority\":1,\"max_shows\":3}");
    // Whoever goes on with it has not seen that.
    let later = node.send("PUT /v1/popups/n/draft", "", "{\"priority\":3}").2;
    assert_eq!((&later["base_version"], &later["live_version"]), (&json!(1), &json!(2)));
    assert_eq!(later["outdated"], true);
    let (status, _, refused) = node.send("POST /v1/popups/n/publish", "", "");
    assert_eq!((status, &refused["error"]["code"]), (409, &json!("draft_outdated")), "{refused}");
    assert_eq!((&refused["base_version"], &refused["live_version"]), (&json!(1), &json!(2)));
    assert_eq!(node.json("GET /v1/popups/n")["max_shows"], json!(null));
    assert_eq!(node.json("GET /v1/popups/n")["definition"]["max_shows"], 3, "nothing changed");

    // With what has changed since it may go.
    let merged = "{\"priority\":3,\"max_shows\":3}";
    let rebased = node.send("PUT /v1/popups/n/draft?base_version=2", "", merged).2;
    assert_eq!((&rebased["base_version"], &rebased["outdated"]), (&json!(2), &json!(false)));
    assert_eq!(node.json("POST /v1/popups/n/publish")["version"], 3);

    // An editor that began before says so, and who names what is replaced has seen it.
    let old = node.send("PUT /v1/popups/n/draft?base_version=2", "", "{\"priority\":4}").2;
    assert_eq!(old["outdated"], true);
    assert_eq!(node.status("POST /v1/popups/n/publish"), 409);
    let any = node.send("POST /v1/popups/n/publish", "If-Match: *\r\n", "");
    assert_eq!(any.0, 409, "that a popup is there says nothing of its version");
    let (status, _, other) = node.send("POST /v1/popups/n/publish", "If-Match: \"2\"\r\n", "");
    assert_eq!((status, &other["version"]), (412, &json!(3)), "{other}");
    let (status, _, live) = node.send("POST /v1/popups/n/publish", "If-Match: \"3\"\r\n", "");
    assert_eq!((status, &live["version"]), (200, &json!(4)), "{live}");
    let (status, _, ahead) = node.send("PUT /v1/popups/n/draft?base_version=5", "", "{}");
    let want = json!({ "code": "bad_value", "field": "base_version" });
    assert_eq!((status, &ahead["error"]), (400, &want));
}

#[test]
fn a_draft_of_a_new_popup_is_outdated_where_somebody_else_has_made_it() {
    let node = node();
    let put = node.send("PUT /v1/popups/n/draft", "", "{\"priority\":2}").2;
    assert_eq!((&put["base_version"], &put["live_version"]), (&json!(0), &json!(null)));
    assert_eq!(put["outdated"], false);
    node.send("PUT /v1/popups/n", "", "{}");
    assert_eq!(node.json("GET /v1/popups/n/draft")["outdated"], true);
    let (status, _, refused) = node.send("POST /v1/popups/n/publish", "", "");
    assert_eq!((status, &refused["base_version"]), (409, &json!(0)), "{refused}");
    assert_eq!(node.send("POST /v1/popups/n/publish", "If-Match: 1\r\n", "").0, 200);
    // What was deleted since has its version still.
    node.send("PUT /v1/popups/n/draft", "", "{\"priority\":3}");
    node.json("DELETE /v1/popups/n");
    assert_eq!(node.status("POST /v1/popups/n/publish"), 200);
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

#[test]
fn a_node_of_the_version_before_may_put_drafts_beside_this_one() {
    let node = node();
    node.send("PUT /v1/popups/n", "", "{\"priority\":1}");
    node.send("PUT /v1/popups/n/draft", "", "{\"priority\":2}");
    let (_, seen) = revision_of(&node, "n");
    let database = rusqlite::Connection::open(node.directory.path().join("nudged.db")).unwrap();
    let old = "INSERT INTO popup_drafts (popup_id, definition, at, who) VALUES (?1, ?2, ?3, 'old')
               ON CONFLICT (popup_id) DO UPDATE SET definition = excluded.definition,
               at = excluded.at, who = excluded.who";
    let put = |id: &str, text: &str, after_ms: i64| {
        let at = clocks::wall().0 + after_ms;
        database.execute(old, rusqlite::params![id, text, at]).unwrap();
    };
    put("n", "{\"id\":\"n\",\"priority\":3}", 5);
    let (status, _, other) = node.send("PUT /v1/popups/n/draft", &seen, "{}");
    assert_eq!((status, &other["draft"]["who"]), (412, &json!("old")), "it is another revision");
    let draft = node.json("GET /v1/popups/n/draft");
    assert_eq!((&draft["base_version"], &draft["outdated"]), (&json!(1), &json!(false)));
    // Of one that such a node has made nobody knows what it was made from.
    put("m", "{\"id\":\"m\"}", 0);
    node.send("PUT /v1/popups/m", "", "{\"priority\":4}");
    let draft = node.json("GET /v1/popups/m/draft");
    assert_eq!((&draft["base_version"], &draft["outdated"]), (&json!(null), &json!(false)));
    assert_eq!(node.json("POST /v1/popups/m/publish")["version"], 2);
}

#[test]
fn what_was_done_to_drafts_is_audited_and_no_change_of_the_popup() {
    let node = node();
    node.send("PUT /v1/popups/n", "Nudge-Who: ann\r\n", "{\"priority\":1}");
    let before = node.json("GET /v1/popups/n")["updated_at"].clone();
    let by = |who: &str, line: &str, body: &str| {
        node.send(line, &format!("Nudge-Who: {who}\r\n"), body).0
    };
    assert_eq!(by("ben", "PUT /v1/popups/n/draft", "{\"priority\":2}"), 201);
    assert_eq!(by("ben", "PUT /v1/popups/n/draft", "{\"priority\":2}"), 200);
    assert_eq!(by("cat", "PUT /v1/popups/n/draft", "{\"priority\":2,\"max_shows\":3}"), 200);
    assert_eq!(by("dan", "DELETE /v1/popups/n/draft", ""), 200);
    assert_eq!(by("eve", "PUT /v1/popups/new/draft", "{\"priority\":5}"), 201);
    let audit = node.json("GET /v1/audit?limit=4");
    let told = audit["entries"].as_array().unwrap().iter().map(|entry| {
        let who = entry["who"].as_str().unwrap().split(' ').next().unwrap();
        json!([who, entry["popup"], entry["change"], entry["version"], entry["members"]])
    });
    let want = json!([
        ["eve", "new", "drafted", 0, ["id", "priority"]],
        ["dan", "n", "draft_deleted", 1, []],
        ["cat", "n", "drafted", 1, ["max_shows"]],
        ["ben", "n", "drafted", 1, ["priority"]],
    ]);
    assert_eq!(json!(told.collect::<Vec<_>>()), want, "{audit}");
    assert_eq!(node.json("GET /v1/popups/n")["updated_at"], before);
    let history = node.json("GET /v1/popups/n/history");
    assert_eq!(history["history"].as_array().unwrap().len(), 1, "{history}");
    node.json("POST /v1/popups/new/publish");
    let (status, _, refused) = node.send("POST /v1/popups/new/rollback", "", "");
    assert_eq!(status, 409, "there is no version before: {refused}");
}

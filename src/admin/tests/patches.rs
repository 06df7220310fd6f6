//! Property: a merge patch changes what it names and nothing else, and what comes of it holds as
//! what is put does: whole, versioned, audited, and not for the popups of the file.

use super::*;

#[test]
fn a_patch_changes_what_it_names() {
    let node = node();
    let content = "{\"title\":\"One\",\"price\":1.50,\"tags\":[\"a\"]}";
    let put = format!("{{\"priority\":1,\"max_shows\":3,\"content\":{content}}}");
    assert_eq!(node.send("PUT /v1/popups/n", "", &put).0, 201);
    let patch = "{\"max_shows\":null,\"content\":{\"title\":\"Two\",\"tags\":null}}";
    let fields = "If-Match: 1\r\nNudge-Who: ann\r\nContent-Type: application/merge-patch+json\r\n";
    let (status, head, patched) = node.send("PATCH /v1/popups/n", fields, patch);
    assert_eq!((status, &patched["version"]), (200, &json!(2)), "{patched}");
    assert!(head.contains("\r\nETag: \"2\"\r\n"), "{head}");
    let want = json!({ "id": "n", "priority": 1, "content": { "title": "Two", "price": 1.50 } });
    assert_eq!(patched["definition"], want);
    let raw = node.ask("GET /v1/popups/n", "").1;
    assert!(raw.contains("\"price\":1.50"), "numbers stay as they are written: {raw}");
    let (_, _, same) = node.send("PATCH /v1/popups/n", "", "{\"priority\":1}");
    assert_eq!(same["version"], 2, "what changes nothing is no version");
    let history = node.json("GET /v1/popups/n/history?limit=1");
    let line = &history["history"][0];
    assert_eq!((&line["change"], &line["who"]), (&json!("changed"), &json!("ann (127.0.0.1)")));
    assert_eq!(line["diff"]["max_shows"], json!([3, null]), "{line}");
    assert_eq!(node.send("PATCH /v1/popups/n", "If-Match: 1\r\n", "{\"priority\":2}").0, 412);
}

#[test]
fn a_patch_that_makes_no_popup_changes_nothing() {
    let node = node();
    node.send("PUT /v1/popups/n", "", "{\"priority\":1}");
    let before = node.json("GET /v1/popups/n");
    for (body, code, field) in [
        ("", "empty", json!("body")),
        ("[]", "bad_popup", json!(null)),
        ("{", "bad_popup", json!(null)),
        ("priority = 2", "bad_popup", json!(null)),
        ("{\"priority\":\"high\",\"colour\":1}", "bad_popup", json!("colour")),
        ("{\"id\":\"m\"}", "bad_popup", json!("id")),
        ("{\"id\":null}", "bad_popup", json!("id")),
    ] {
        let (status, _, refused) = node.send("PATCH /v1/popups/n", "", body);
        assert_eq!((status, &refused["error"]["code"]), (400, &json!(code)), "{body}: {refused}");
        assert_eq!(refused["error"]["field"], field, "{body}: {refused}");
    }
    let (_, _, refused) =
        node.send("PATCH /v1/popups/n", "", "{\"priority\":\"high\",\"colour\":1}");
    assert_eq!(refused["errors"].as_array().unwrap().len(), 2, "{refused}");
    assert_eq!(node.json("GET /v1/popups/n"), before);
    assert_eq!(node.send("PATCH /v1/popups/zz", "", "{}").0, 404);
    let (status, _, refused) = node.send("PATCH /v1/popups/a", "", "{\"priority\":2}");
    assert_eq!((status, &refused["error"]["code"]), (409, &json!("in_popups_file")));
    node.json("DELETE /v1/popups/n");
    let (status, _, refused) = node.send("PATCH /v1/popups/n", "", "{\"priority\":2}");
    assert_eq!((status, &refused["error"]["code"]), (409, &json!("archived")));
}

//! Property: a preview shows what a popup would put on screen, whatever its status, with every gate
//! that would hold it back, and changes nothing.

use super::*;

impl Node {
    fn preview(&self, body: &str) -> (u16, Value) {
        let (status, _, answer) = self.send("POST /v1/preview", "", body);
        (status, answer)
    }
}

const OFFER: &str = r#"{"status":"draft","placement":["cart"],"starts_at":"2030-01-01T00:00:00Z",
    "target":{"attr":"plan","op":"eq","value":"pro"},"content":{"title":"Offer","price":1.50},
    "locales":{"de":{"title":"Angebot"}}}"#;

#[test]
fn any_status_is_previewed_with_every_gate_that_holds_it_back() {
    let node = node();
    assert_eq!(node.send("PUT /v1/popups/n", "", OFFER).0, 201);
    let (status, told) = node.preview("{\"popup\":\"n\"}");
    assert_eq!(status, 200, "{told}");
    assert_eq!((&told["status"], &told["would_pass"]), (&json!("draft"), &json!(false)));
    assert_eq!(told["popup"]["content"]["title"], "Offer");
    let gates = |told: &Value| -> Vec<String> {
        let gates = told["gates"].as_array().unwrap().iter();
        gates.map(|gate| gate["gate"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(gates(&told), ["status", "schedule", "target"]);
    assert!(told["gates"][1]["why"].as_str().unwrap().contains("2030"), "{told}");
    let body = r#"{"popup":"n","placement":"home","locale":"de-AT","attrs":{"plan":"pro"},
        "at":"2031-01-01T00:00:00Z"}"#;
    let (_, told) = node.preview(body);
    assert_eq!(gates(&told), ["status", "placement"], "{told}");
    assert_eq!(told["popup"]["content"], json!({ "title": "Angebot" }));
    // What the user has seen counts; the shards' user has had three shows of `a`.
    let (_, told) = node.preview("{\"popup\":\"a\",\"user\":\"u\"}");
    assert_eq!((gates(&told), &told["popup"]["version"]), (vec!["gap".to_owned()], &json!(1)));
    let (_, told) = node.preview("{\"popup\":\"a\"}");
    assert_eq!((gates(&told), &told["would_pass"]), (vec![], &json!(true)));
    assert!(!node.directory.logged().contains("popup_changed\",\"popup\":\"a"));
}

#[test]
fn drafts_and_definitions_are_previewed_and_not_kept() {
    let node = node();
    let before = node.json("GET /v1/popups");
    let (status, told) = node.preview(&format!("{{\"popup\":{OFFER}}}"));
    assert_eq!((status, &told["popup"]["version"]), (200, &json!(null)), "{told}");
    let variants = r#"{"popup":{"id":"v","variants":[{"key":"x","content":{"n":1}},
        {"key":"y","content":{"n":2}}]},"variant":"y"}"#;
    let (_, told) = node.preview(variants);
    assert_eq!(
        (&told["popup"]["variant"], &told["popup"]["content"]["n"]),
        (&json!("y"), &json!(2))
    );
    assert_eq!(node.json("GET /v1/popups"), before);
    node.send("PUT /v1/popups/d/draft", "", "{\"content\":{\"title\":\"Soon\"}}");
    let (_, told) = node.preview("{\"popup\":\"d\",\"draft\":true}");
    assert_eq!(told["popup"]["content"]["title"], "Soon");
    for (body, status, field) in [
        ("", 400, json!("body")),
        ("{}", 400, json!("body")),
        ("{\"popup\":\"a\",\"placment\":\"x\"}", 400, json!("body")),
        ("{\"popup\":\"zz\"}", 404, json!(null)),
        ("{\"popup\":\"a\",\"draft\":true}", 404, json!(null)),
        ("{\"popup\":\"a\",\"user\":\"\"}", 400, json!("user")),
        ("{\"popup\":\"a\",\"at\":\"now\"}", 400, json!("at")),
        ("{\"popup\":\"a\",\"attrs\":[]}", 400, json!("attrs")),
        ("{\"popup\":\"a\",\"variant\":\"x\"}", 400, json!("variant")),
        ("{\"popup\":{\"priority\":\"x\"}}", 400, json!("priority")),
    ] {
        let (got, refused) = node.preview(body);
        assert_eq!((got, &refused["error"]["field"]), (status, &field), "{body}: {refused}");
    }
}

#[test]
fn texts_are_as_requests_for_decisions_have_them() {
    let node = node();
    let (_, plain) = node.preview("{\"popup\":\"b\",\"at\":5}");
    let body = r#"{"popup":"b","at":5,"placement":"","session":"","locale":"","tz":""}"#;
    assert_eq!(node.preview(body), (200, plain));
    for (field, bytes_max) in [("placement", 128), ("locale", 128), ("tz", 128), ("session", 1_024)]
    {
        let body = |bytes| format!("{{\"popup\":\"a\",\"{field}\":\"{}\"}}", "x".repeat(bytes));
        assert_eq!(node.preview(&body(bytes_max)).0, 200, "{field}");
        let (status, refused) = node.preview(&body(bytes_max + 1));
        let error = &refused["error"];
        assert_eq!(
            (status, &error["code"], &error["field"]),
            (400, &json!("too_long"), &json!(field))
        );
    }
}

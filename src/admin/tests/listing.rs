//! Property: the list has what is looked for, each once, on pages that stay as they are.

use super::*;

fn ids(page: &Value) -> Vec<&str> {
    page["popups"].as_array().unwrap().iter().map(|popup| popup["id"].as_str().unwrap()).collect()
}

#[test]
fn popups_are_found_by_status_placement_and_text() {
    let node = node();
    for (id, body) in [
        ("sale", "{\"placement\":[\"home\",\"cart\"],\"content\":{\"title\":\"Spring Offer\"}}"),
        ("news", "{\"status\":\"draft\",\"content\":{\"title\":\"On SALE\"}}"),
        ("other", "{\"content\":{\"sale\":1}}"),
    ] {
        assert_eq!(node.send(&format!("PUT /v1/popups/{id}"), "", body).0, 201);
    }
    node.json("POST /v1/popups/other/pause");
    for (query, want) in [
        ("", vec!["a", "b", "news", "other", "sale"]),
        ("?status=live", vec!["a", "b", "sale"]),
        ("?status=paused", vec!["other"]),
        ("?status=draft", vec!["news"]),
        ("?placement=cart", vec!["sale"]),
        ("?q=sale", vec!["news", "sale"]),
        ("?q=Spring+OFFER", vec!["sale"]),
        ("?q=sale&status=live", vec!["sale"]),
        ("?q=nothing", vec![]),
    ] {
        let page = node.json(&format!("GET /v1/popups{query}"));
        assert_eq!(ids(&page), want, "{query}");
        assert_eq!((&page["total"], &page["next_after"]), (&json!(want.len()), &json!(null)));
    }
}

#[test]
fn pages_have_each_popup_once_while_others_come() {
    let node = node();
    let first = node.json("GET /v1/popups?limit=1");
    assert_eq!((ids(&first), &first["total"]), (vec!["a"], &json!(2)));
    assert_eq!(first["next_after"], "a");
    node.send("PUT /v1/popups/0", "", "{}");
    node.send("PUT /v1/popups/aa", "", "{}");
    let second = node.json("GET /v1/popups?limit=2&after=a");
    assert_eq!((ids(&second), &second["next_after"]), (vec!["aa", "b"], &json!(null)));
    assert_eq!(second["total"], 4);
    let behind = node.json("GET /v1/popups?after=zz");
    assert_eq!((ids(&behind), &behind["total"]), (vec![], &json!(4)));
    for query in ["limit=0", "limit=1001", "after=A", "status=on", "q=", "offset=1"] {
        assert_eq!(node.status(&format!("GET /v1/popups?{query}")), 400, "{query}");
    }
}

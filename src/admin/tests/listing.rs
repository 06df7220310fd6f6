//! Property: the list has what is looked for, each once, on pages that stay as they are.

use super::*;
use nudged_store::whole::WholeStat;

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
fn what_is_gone_is_told_from_what_was_archived() {
    let node = node();
    for id in ["x", "y"] {
        node.send(&format!("PUT /v1/popups/{id}"), "", "{}");
    }
    node.json("POST /v1/popups/x/archive");
    node.json("DELETE /v1/popups/y");
    node.directory.write_popups("[[popup]]\nid = \"a\"\npriority = 2\n");
    node.json("POST /v1/reload");
    let gone = |page: &Value| {
        let popups = page["popups"].as_array().unwrap().iter();
        let told = popups.map(|popup| (popup["id"].clone(), popup["gone"].clone()));
        json!(told.collect::<Vec<_>>())
    };
    let want = json!([["a", false], ["b", true], ["x", false], ["y", true]]);
    assert_eq!(gone(&node.json("GET /v1/popups")), want);
    let want = json!([["b", true], ["x", false], ["y", true]]);
    assert_eq!(gone(&node.json("GET /v1/popups?status=archived")), want);
    assert_eq!(node.json("GET /v1/popups/y")["gone"], true);
    node.send("PUT /v1/popups/y", "", "{}");
    assert_eq!(node.json("GET /v1/popups/y")["gone"], false, "it is made again");
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
    let backwards = node.json("GET /v1/popups?order=desc&limit=3");
    assert_eq!((ids(&backwards), &backwards["next_after"]), (vec!["b", "aa", "a"], &json!("a")));
    let behind = node.json("GET /v1/popups?after=zz");
    assert_eq!((ids(&behind), &behind["total"]), (vec![], &json!(4)));
    for query in [
        "limit=0",
        "limit=1001",
        "after=A",
        "status=on",
        "q=",
        "offset=1",
        "sort=name",
        "order=up",
        "stats=7d",
        "after=5.a",
        "sort=priority&after=a",
    ] {
        assert_eq!(node.status(&format!("GET /v1/popups?{query}")), 400, "{query}");
    }
}

#[test]
fn drafts_are_told_of_and_listed_where_there_is_no_popup_yet() {
    let node = node();
    let before = node.json("GET /v1/popups/a");
    assert_eq!(before["draft"], json!(null));
    node.send("PUT /v1/popups/n", "Nudge-Who: ann\r\n", "{\"priority\":1}");
    node.send("PUT /v1/popups/n/draft", "Nudge-Who: bob\r\n", "{\"priority\":2}");
    let new = "{\"priority\":7,\"placement\":[\"cart\"],\"content\":{\"title\":\"Soon\"}}";
    node.send("PUT /v1/popups/new/draft", "Nudge-Who: bob\r\n", new);
    let page = node.json("GET /v1/popups");
    assert_eq!((ids(&page), &page["total"]), (vec!["a", "b", "n", "new"], &json!(4)));
    assert_eq!(page["warnings"], json!([]));
    let draft = node.json("GET /v1/popups/n/draft");
    for popup in [&page["popups"][2], &node.json("GET /v1/popups/n")] {
        for member in ["base_version", "revision", "at", "who"] {
            assert_eq!(popup["draft"][member], draft[member], "{member} of {popup}");
        }
        assert_eq!((&popup["priority"], &popup["version"]), (&json!(1), &json!(1)));
    }
    let soon = &page["popups"][3];
    for (member, want) in [
        ("version", json!(0)),
        ("status", json!("draft")),
        ("effective_status", json!("draft")),
        ("override", json!(null)),
        ("placement", json!(["cart"])),
        ("priority", json!(7)),
        ("updated_at", soon["draft"]["at"].clone()),
    ] {
        assert_eq!(soon[member], want, "{member} of {soon}");
    }
    assert_eq!(soon["definition"]["content"]["title"], "Soon");
    assert_eq!(soon["draft"]["base_version"], 0);
    for (query, want) in [
        ("status=draft", vec!["new"]),
        ("placement=cart", vec!["new"]),
        ("q=soon", vec!["new"]),
        ("status=live&q=soon", vec![]),
        ("sort=priority", vec!["new", "a", "n", "b"]),
        ("sort=priority&limit=2&after=7.new", vec!["a", "n"]),
    ] {
        assert_eq!(ids(&node.json(&format!("GET /v1/popups?{query}"))), want, "{query}");
    }
    assert_eq!(node.status("GET /v1/popups/new"), 404);
    assert_eq!(node.status("GET /v1/stats?popup=new"), 200);
    node.json("POST /v1/popups/new/publish");
    let live = node.json("GET /v1/popups?q=soon");
    assert_eq!(live["popups"][0]["version"], 1);
    assert_eq!(live["popups"][0]["draft"], json!(null));
}

#[test]
fn what_changed_last_comes_first_whatever_changed_it() {
    let node = node();
    for id in ["x", "y", "z"] {
        node.send(&format!("PUT /v1/popups/{id}"), "", "{}");
    }
    let first = |query: &str| {
        let page = node.json(&format!("GET /v1/popups?sort=updated&limit=1{query}"));
        let first = &page["popups"][0];
        (
            first["id"].as_str().unwrap().to_owned(),
            first["updated_at"].clone(),
            page["next_after"].clone(),
        )
    };
    node.send("PUT /v1/popups/x", "", "{\"priority\":3}");
    let (id, at, next) = first("");
    assert_eq!(id, "x");
    assert_eq!(node.json("GET /v1/popups/x")["updated_at"], at);
    assert_ne!(first(&format!("&after={}", next.as_str().unwrap())).0, "x");
    node.json("POST /v1/popups/y/pause");
    // Its line of history comes with the courier.
    let is_first = || first("").0 == "y";
    assert!((0..200).any(|_| is_first() || {
        std::thread::sleep(std::time::Duration::from_millis(10));
        false
    }));
}

#[test]
fn counts_of_the_last_hours_are_beside_each_popup_and_sort_it() {
    let directory = NodeDirectory::with_popups(POPUPS);
    let hour = |hours: i64| {
        let now = clocks::wall().0.div_euclid(3_600_000);
        WallMs((now - hours) * 3_600_000)
    };
    {
        let mut store = Store::open(directory.path()).unwrap();
        let row = |popup: &str, hours: i64, counts: [i64; 6]| WholeStat {
            popup: popup.to_owned(),
            variant: if hours == 0 { "v" } else { "" }.to_owned(),
            hour: hour(hours).0,
            set: "0".repeat(32),
            is_day: false,
            counts,
            answered: Some(1),
            users: nudged_store::StatUsers::default(),
        };
        let rows = [
            row("a", 0, [3, 2, 0, 0, 1, 0]),
            row("a", 2, [5, 4, 0, 1, 0, 0]),
            row("a", 30, [100, 0, 0, 0, 90, 0]),
            row("b", 23, [7, 7, 0, 0, 5, 1]),
        ];
        store.take_stats(&rows).unwrap();
    }
    let node = node_at(AdminAddress::Tcp("127.0.0.1:0".parse().unwrap()), directory).unwrap();
    node.send("PUT /v1/popups/c", "", "{}");
    let page = node.json("GET /v1/popups?stats=24h");
    let of = |index: usize| &page["popups"][index]["stats"];
    let all = |stats: &Value| -> Vec<Value> {
        let members = ["decided", "shown", "clicked", "dismissed", "ignored", "converted"];
        members.iter().map(|member| stats[*member].clone()).collect()
    };
    assert_eq!(json!(all(of(0))), json!([8, 6, 1, 1, 4, 0]), "{page}");
    assert_eq!(json!(all(of(1))), json!([7, 7, 5, 0, 6, 1]), "{page}");
    assert_eq!(json!(all(of(2))), json!([0, 0, 0, 0, 0, 0]), "{page}");
    let hours = of(0)["hours"].as_array().unwrap();
    assert_eq!((hours.len(), &hours[23], &hours[21]), (24, &json!(3), &json!(5)));
    assert_eq!(of(1)["hours"][0], 7);
    assert!(of(2)["as_of"].is_string(), "{page}");
    assert_eq!(node.json("GET /v1/popups")["popups"][0]["stats"], json!(null));
    for (query, want) in [
        ("sort=shows", vec!["a", "b", "c"]),
        ("sort=clicks", vec!["b", "a", "c"]),
        ("sort=clicks&order=asc", vec!["c", "a", "b"]),
        ("sort=clicks&limit=1&after=5.b", vec!["a"]),
    ] {
        assert_eq!(ids(&node.json(&format!("GET /v1/popups?{query}"))), want, "{query}");
    }
    let known = node.json("GET /v1/stats?popup=c");
    assert_eq!(known["totals"]["decided"], 0);
    let (status, _, nobody) = node.send("GET /v1/stats?popup=nope", "", "");
    let want = json!({ "code": "not_found", "field": "popup" });
    assert_eq!((status, &nobody["error"]), (404, &want));
}

#[test]
fn what_sql_alone_knows_is_missed_and_the_rest_is_told() {
    let node = node();
    node.send("PUT /v1/popups/n/draft", "", "{}");
    assert_eq!(node.json("GET /v1/popups")["total"], 3);
    let database = rusqlite::Connection::open(node.directory.path().join("nudged.db")).unwrap();
    database.execute_batch("ALTER TABLE popup_drafts RENAME TO gone").unwrap();
    let page = node.json("GET /v1/popups?stats=24h");
    assert_eq!((ids(&page), &page["total"]), (vec!["a", "b"], &json!(2)));
    let popup = &page["popups"][0];
    for member in ["draft", "updated_at", "stats"] {
        assert_eq!(popup[member], json!(null), "{member} of {popup}");
    }
    for warnings in [&page["warnings"], &node.json("GET /v1/popups/a")["warnings"]] {
        assert!(warnings[0].as_str().unwrap().contains("SQL does not answer"), "{warnings}");
    }
    assert_eq!(node.status("GET /v1/popups?sort=priority"), 200);
    // It is left alone for a while.
    database.execute_batch("ALTER TABLE gone RENAME TO popup_drafts").unwrap();
    for sort in ["updated", "shows", "clicks"] {
        assert_eq!(node.status(&format!("GET /v1/popups?sort={sort}")), 503, "{sort}");
    }
}

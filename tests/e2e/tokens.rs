//! Property: operators have tokens of their own. A role may do its work and no other, the audit
//! names the token, a revoked one lets nobody in on any node within a second and after restarts,
//! and none of it needs SQL. The file's token always works.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::Value;

use crate::client::{Answer, Client};
use crate::cluster::{Cluster, Plan, stop};
use crate::harness::{ALWAYS, Server, Setup, until, until_within};

/// Of the file that `admin_token_file` names.
const OWNER: &str = "owner-token-0123456789abcdef";
/// Other nodes know within this.
const KNOWN_WITHIN: Duration = Duration::from_secs(1);

/// One request of an operator with a token.
fn ask(server: &Server, token: &str, method: &str, target: &str, body: &str) -> Answer {
    let mut client = Client::connect(server.admin);
    let authorization = match token {
        "" => String::new(),
        token => format!("Authorization: Bearer {token}\r\n"),
    };
    let length = body.len();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: {}\r\nNudge-Who: somebody\r\n{authorization}\
         Content-Length: {length}\r\n\r\n{body}",
        server.admin
    );
    client.send(request.as_bytes());
    client.answer()
}

/// Makes a token; its id and its text.
fn make(server: &Server, by: &str, name: &str, role: &str) -> (String, String) {
    make_for(server, by, (name, role), "3650d")
}

/// The same of one that expires.
fn make_for(server: &Server, by: &str, (name, role): (&str, &str), time: &str) -> (String, String) {
    let body = format!("{{\"name\":\"{name}\",\"role\":\"{role}\",\"expires_in\":\"{time}\"}}");
    let made = ask(server, by, "POST", "/v1/tokens", &body).expect(201).json();
    let text = |member: &str| made[member].as_str().unwrap().to_owned();
    assert_eq!((made["name"].as_str(), made["role"].as_str()), (Some(name), Some(role)));
    (text("id"), text("token"))
}

fn names(server: &Server, by: &str) -> Vec<String> {
    let listed = ask(server, by, "GET", "/v1/tokens", "").expect(200);
    assert!(!listed.body.contains("nudged_") && !listed.body.contains("hash"), "{listed:?}");
    let tokens = listed.json()["tokens"].as_array().unwrap().clone();
    tokens.iter().map(|token| token["name"].as_str().unwrap().to_owned()).collect()
}

fn popup(id: &str) -> String {
    format!("{{\"id\":\"{id}\"}}")
}

/// The statuses of: reading, pausing, changing a popup, reloading, erasing a user, listing tokens.
fn may(server: &Server, token: &str) -> [u16; 6] {
    let asked =
        |method: &str, target: &str, body: &str| ask(server, token, method, target, body).status;
    [
        asked("GET", "/v1/status", ""),
        asked("POST", "/v1/popups/mine/pause", ""),
        asked("PUT", "/v1/popups/mine", &popup("mine")),
        asked("POST", "/v1/reload", ""),
        asked("DELETE", "/v1/users/nobody", ""),
        asked("GET", "/v1/tokens", ""),
    ]
}

/// Why a token is refused, if it is.
fn refusal(server: &Server, token: &str) -> Option<Value> {
    let answer = ask(server, token, "GET", "/v1/status", "");
    (answer.status == 401).then(|| answer.json()["error"]["code"].clone())
}

fn is_in(server: &Server, token: &str) -> bool {
    ask(server, token, "GET", "/v1/status", "").status == 200
}

/// A node that others can reach, or as good as.
fn setup() -> Setup {
    let setup = Setup::new(ALWAYS).admin("0.0.0.0:0").flags(&["--shards", "2", "--no-pin"]);
    let file = setup.path("token");
    fs::write(&file, OWNER).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    setup.config(&format!("admin_token_file = \"{}\"\n", file.display()))
}

#[test]
fn each_role_may_do_its_work_and_the_audit_names_the_token() {
    let setup = Setup::new(ALWAYS).flags(&["--shards", "2", "--no-pin"]);
    let mut server = setup.start();
    ["admin_refused", "admin_forbidden"].iter().for_each(|code| server.allow(code));
    ask(&server, "", "PUT", "/v1/popups/mine", &popup("mine")).expect(201);
    let roles = [
        ("viewer", [200, 403, 403, 403, 403, 403]),
        ("editor", [200, 200, 200, 403, 403, 403]),
        ("operator", [200, 200, 403, 200, 403, 403]),
        ("admin", [200; 6]),
    ];
    for (role, want) in roles {
        let (_, token) = make(&server, "", &format!("the {role}"), role);
        assert_eq!(may(&server, &token), want, "{role}");
    }
    // On loopback nobody is asked for a token; a wrong one is refused all the same.
    assert_eq!(may(&server, ""), [200; 6]);
    assert_eq!(may(&server, "nudged_wrong"), [401; 6]);
    let refused = make_refused(&server, "the viewer", "viewer");
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (409, &"name_taken".into()));
    assert_eq!(make_refused(&server, "x", "owner").status, 400);
    let (_, editor) = make(&server, "", "alice@example.org", "editor");
    ask(&server, &editor, "PUT", "/v1/popups/mine", "{\"id\":\"mine\",\"priority\":3}").expect(200);
    let history = ask(&server, "", "GET", "/v1/popups/mine/history", "").expect(200).body;
    assert!(history.contains("alice@example.org (127.0.0.1)"), "not what it said: {history}");
    let forbidden = ask(&server, &editor, "POST", "/v1/reload", "").expect(403).json();
    assert_eq!(forbidden["error"]["code"], "role_required", "{forbidden}");
    let metrics = ask(&server, "", "GET", "/metrics", "").expect(200).body;
    for series in ["nudged_admin_tokens 5", "nudged_admin_refused_total{reason=\"token\"} 6"] {
        assert!(metrics.contains(series), "{series}");
    }
    assert!(!server.said().contains(&editor) && !metrics.contains(&editor), "it is told nowhere");
    server.stop();
}

#[test]
fn viewers_are_not_told_the_tokens_of_decisions() {
    let setup = Setup::new(ALWAYS).flags(&["--shards", "2", "--no-pin"]);
    let server = setup.start();
    let decision = server.client().decide("ann").token().unwrap();
    for (role, is_told) in [("viewer", false), ("editor", true), ("operator", true)] {
        let (_, token) = make(&server, "", role, role);
        for (target, list) in [("/v1/users/ann", "records"), ("/v1/users/ann/timeline", "timeline")]
        {
            let entry = until("the decision in SQL", || {
                let told = ask(&server, &token, "GET", target, "").expect(200).json();
                let entries = told[list].as_array()?.clone();
                entries.into_iter().find(|entry| entry["action"] == "decided")
            });
            let want = is_told.then(|| Value::from(decision.as_str()));
            assert_eq!(entry.get("decision"), want.as_ref(), "{role} {target}: {entry}");
        }
    }
    server.stop();
}

fn make_refused(server: &Server, name: &str, role: &str) -> Answer {
    let body = format!("{{\"name\":\"{name}\",\"role\":\"{role}\"}}");
    ask(server, "", "POST", "/v1/tokens", &body)
}

#[test]
fn a_revoked_token_stays_so_over_restarts_and_the_files_token_always_works() {
    let setup = setup();
    let mut server = setup.start();
    server.allow("admin_refused");
    assert_eq!(ask(&server, "", "GET", "/v1/status", "").status, 401);
    let (kept_id, kept) = make(&server, OWNER, "kept", "viewer");
    let (gone_id, gone) = make(&server, OWNER, "gone", "admin");
    assert!(is_in(&server, &kept) && is_in(&server, &gone) && is_in(&server, OWNER));
    let (_, brief) = make_for(&server, OWNER, ("brief", "viewer"), "1s");
    let revoked = ask(&server, &gone, "DELETE", &format!("/v1/tokens/{gone_id}"), "").expect(200);
    assert_eq!(revoked.json()["revoked_by"], "gone (127.0.0.1)", "{revoked:?}");
    assert!(!is_in(&server, &gone), "at once");
    ask(&server, OWNER, "DELETE", &format!("/v1/tokens/{gone_id}"), "").expect(404);
    assert_eq!(names(&server, OWNER), ["kept", "brief"]);
    server.kill();
    let mut server = setup.start();
    server.allow("admin_refused");
    assert!(is_in(&server, &kept) && !is_in(&server, &gone) && is_in(&server, OWNER));
    let expired = Some(Value::from("token_expired"));
    until("its time to be up", || (refusal(&server, &brief) == expired).then_some(()));
    assert_eq!(refusal(&server, &gone), Some(Value::from("wrong_token")));
    // What the file has lost, SQL remembers.
    until("both in SQL", || {
        let listed = ask(&server, OWNER, "GET", "/v1/tokens", "").expect(200).json();
        let tokens = listed["tokens"].as_array().unwrap();
        tokens.iter().all(|token| token["stored"] == "sql").then_some(())
    });
    server.stop();
    fs::remove_file(setup.data().join("tokens")).unwrap();
    let mut server = setup.start();
    server.allow("admin_refused");
    until("the token of SQL", || is_in(&server, &kept).then_some(()));
    assert!(!is_in(&server, &gone));
    until("the expired token of SQL", || (refusal(&server, &brief) == expired).then_some(()));
    ask(&server, OWNER, "DELETE", "/v1/tokens?name=kept", "").expect(200);
    assert!(!is_in(&server, &kept), "{kept_id}");
    server.stop();
}

#[test]
fn tokens_reach_every_node_and_need_no_sql() {
    let cluster = Cluster::new(Plan { owns_mariadb: true, ..Plan::new(ALWAYS) });
    let mut nodes = cluster.start(2);
    let away = ["sql_failed", "read_failed", "catalog_refused", "keeper_failed", "admin_refused"];
    for (_, server) in &mut nodes {
        away.iter().for_each(|code| server.allow(code));
    }
    let (_, early) = make(&nodes[0].1, "", "early", "operator");
    until("the token in SQL", || {
        let there = cluster.number("SELECT COUNT(*) FROM operator_tokens WHERE name = 'early'");
        (there == 1).then_some(())
    });
    let hashes = cluster.rows("SELECT hash FROM operator_tokens");
    assert!(hashes.iter().all(|hash| hash.len() == 64 && !early.contains(&**hash)), "{hashes:?}");
    until_within("the token on the other node", KNOWN_WITHIN, || {
        is_in(&nodes[1].1, &early).then_some(())
    });
    cluster.mariadb().freeze();
    let paused = ask(&nodes[1].1, &early, "POST", "/v1/popups/banner/pause", "").expect(200);
    assert_eq!(paused.json()["effective_status"], "paused", "{paused:?}");
    let (late_id, late) = make(&nodes[1].1, "", "late", "viewer");
    let (_, brief) = make_for(&nodes[1].1, "", ("brief", "viewer"), "1s");
    until("its time to be up on the other node", || {
        (refusal(&nodes[0].1, &brief)? == "token_expired").then_some(())
    });
    until_within("a token that SQL does not know", KNOWN_WITHIN, || {
        is_in(&nodes[0].1, &late).then_some(())
    });
    let revoked = ask(&nodes[0].1, "", "DELETE", &format!("/v1/tokens/{late_id}"), "").expect(200);
    assert_ne!(revoked.json()["stored"], Value::from("sql"), "{revoked:?}");
    ask(&nodes[0].1, "", "DELETE", "/v1/tokens?name=early", "").expect(200);
    until_within("the end on the other node", KNOWN_WITHIN, || {
        (!is_in(&nodes[1].1, &late) && !is_in(&nodes[1].1, &early)).then_some(())
    });
    cluster.mariadb().thaw();
    until("an expiry in SQL", || {
        let expiring = "SELECT COUNT(*) FROM operator_tokens WHERE expires_at = at + 1000";
        (cluster.number(expiring) == 1).then_some(())
    });
    until("both ends in SQL", || {
        let ended = "SELECT COUNT(*) FROM operator_tokens WHERE ended_at IS NOT NULL";
        (cluster.number(ended) == 2).then_some(())
    });
    stop(nodes);
}

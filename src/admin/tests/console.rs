//! Property: a browser that has shown a token once may do what the token may, as long as the token
//! may, and no page of another origin may do it in its name. What the console lets nobody do, no
//! page does.

use super::*;
use nudged_base::limits::CONSOLE_COOKIES_MAX;
use nudged_config::ConsoleAccess;

const OWN: &str = "Origin: http://localhost\r\n";

/// The cookie that an answer sets, as a browser sends it back.
fn cookie_of(head: &str) -> String {
    let line = head.lines().find_map(|line| line.strip_prefix("Set-Cookie: ")).unwrap();
    format!("Cookie: other=1; {}\r\n", line.split(';').next().unwrap())
}

fn asked_for_token() -> Node {
    let everywhere = AdminAddress::Tcp("0.0.0.0:0".parse().unwrap());
    node_at(everywhere, directory_with_token(TOKEN)).unwrap()
}

impl Node {
    /// Signs a browser in; gives the head of the answer, and what it says.
    fn sign_in(&self, token: &str, fields: &str) -> (String, Value) {
        let body = json!({ "token": token }).to_string();
        let (status, head, session) = self.send("POST /v1/session", fields, &body);
        assert_eq!(status, 200, "{session}");
        (head, session)
    }

    /// A token of a name and a role.
    fn token(&self, name: &str, role: &str) -> String {
        let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
        let body = json!({ "name": name, "role": role }).to_string();
        let (status, _, made) = self.send("POST /v1/tokens", &bearer, &body);
        assert_eq!(status, 201, "{made}");
        made["token"].as_str().unwrap().to_owned()
    }

    /// The status of a request, and the code of its error.
    fn said(&self, line: &str, fields: &str) -> (u16, String) {
        let (status, _, body) = self.send(line, fields, "");
        (status, body["error"]["code"].as_str().unwrap_or_default().to_owned())
    }
}

#[test]
fn a_session_is_its_tokens() {
    let node = asked_for_token();
    let nobody = node.json("GET /v1/session");
    assert_eq!(
        (&nobody["login"], &nobody["owner"], &nobody["may"]),
        (&json!(true), &json!(false), &json!([]))
    );
    let (head, owner) = node.sign_in(&format!(" {TOKEN}\n"), OWN);
    assert!(head.contains("; Path=/; HttpOnly; SameSite=Strict\r\n"), "{head}");
    assert_eq!((&owner["name"], &owner["owner"]), (&Value::Null, &json!(true)), "{owner}");
    let owners = cookie_of(&head);
    assert!(owners.starts_with("Cookie: other=1; nudged_session="), "{owners}");
    let token = node.token("ann", "editor");
    let (head, ann) = node.sign_in(&token, "");
    assert_eq!((&ann["name"], &ann["role"]), (&json!("ann"), &json!("editor")), "{ann}");
    assert_eq!(ann["may"], json!(["read", "switch", "edit"]));
    let anns = cookie_of(&head);
    assert_eq!(node.said("GET /v1/status", &anns).0, 200);
    assert_eq!(node.said("GET /v1/tokens", &anns), (403, "role_required".to_owned()));
    assert_eq!(node.said("POST /v1/popups/a/pause", &format!("{anns}{OWN}")).0, 200);
    let (_, _, history) = node.send("GET /v1/popups/a/history", &anns, "");
    assert_eq!(history["history"][0]["who"], "ann (127.0.0.1)", "{history}");
    // A token that is sent counts, and no cookie beside it.
    let both = format!("{owners}Authorization: Bearer {token}\r\n");
    assert_eq!(node.said("GET /v1/tokens", &both), (403, "role_required".to_owned()));
    let wrong = format!("{owners}Authorization: Bearer x\r\n");
    assert_eq!(node.said("GET /v1/status", &wrong), (401, "wrong_token".to_owned()));
    let (_, metrics) = node.ask("GET /metrics", &owners);
    assert!(metrics.contains("\nnudged_admin_sessions 2\n"), "{metrics}");
    assert!(metrics.contains("\nnudged_admin_sign_ins_total 2\n"), "{metrics}");
    assert_eq!(node.said("DELETE /v1/tokens?name=ann", &format!("{owners}{OWN}")).0, 200);
    let (status, head, body) = node.send("GET /v1/status", &anns, "");
    assert_eq!((status, &body["error"]["code"]), (401, &json!("session_ended")));
    assert!(head.contains("\r\nSet-Cookie: nudged_session=; Max-Age=0; Path=/; "), "{head}");
    let (head, body) = node.ask("GET /v1/session", &anns);
    assert!(body.contains("\"may\":[]") && head.contains("Max-Age=0"), "{head}{body}");
    let (_, metrics) = node.ask("GET /metrics", &owners);
    assert!(metrics.contains("\nnudged_admin_sessions 1\n"), "{metrics}");
    assert!(metrics.contains("_refused_total{reason=\"session\"} 1\n"), "{metrics}");
    let (status, head, _) = node.send("DELETE /v1/session", &format!("{owners}{OWN}"), "");
    assert!(status == 204 && head.contains("Max-Age=0"), "{head}");
    assert_eq!(node.said("GET /v1/status", &owners), (401, "session_ended".to_owned()));
    let logged = node.directory.logged();
    assert!(logged.contains("signed in") && !logged.contains("canary"), "{logged}");
    let secret = owners.trim_end().rsplit('=').next().unwrap();
    assert!(secret.len() == 64 && !logged.contains(secret), "{logged}");
}

#[test]
fn pages_of_other_origins_do_nothing_by_a_cookie() {
    let node = asked_for_token();
    let cookie = cookie_of(&node.sign_in(TOKEN, "").0);
    for (origin, want) in [
        (OWN, 200),
        ("", 403),
        ("Origin: null\r\n", 403),
        ("Origin: http://localhost:81\r\n", 403),
        ("Origin: https://evil.example\r\n", 403),
    ] {
        let fields = format!("{cookie}{origin}");
        assert_eq!(node.said("POST /v1/reload", &fields).0, want, "{origin}");
    }
    let evil = "Origin: https://evil.example\r\n";
    let body = json!({ "token": TOKEN }).to_string();
    assert_eq!(node.send("POST /v1/session", evil, &body).0, 403, "nobody is signed in unasked");
    // Who signs in again in one browser has one session.
    let second = cookie_of(&node.sign_in(TOKEN, &format!("{cookie}{OWN}")).0);
    assert_eq!(node.said("GET /v1/status", &cookie), (401, "session_ended".to_owned()));
    assert_eq!(node.said("GET /v1/status", &second).0, 200);
}

#[test]
fn cookies_are_named_by_port_and_kept_to_tls() {
    let node = asked_for_token();
    let (head, _) = node.sign_in(TOKEN, "Origin: https://localhost\r\n");
    assert!(head.contains("\r\nSet-Cookie: __Host-nudged_session="), "{head}");
    assert!(head.contains("; Path=/; HttpOnly; SameSite=Strict; Secure\r\n"), "{head}");
    assert_eq!(node.said("GET /v1/status", &cookie_of(&head)).0, 200);
    let secret = cookie_of(&head).split("session=").nth(1).unwrap().to_owned();
    for (name, want) in [
        ("nudged_session", 200),
        ("a=b;nudged_session", 200),
        ("nudged_session_8081", 401),
        ("nudged_sessio", 401),
        ("Nudged_Session", 401),
    ] {
        assert_eq!(
            node.said("GET /v1/status", &format!("Cookie: {name}={secret}")).0,
            want,
            "{name}"
        );
    }
    // Who listens at another port of this host can have set others, which come first.
    let junk = |count: usize| "nudged_session=zz; ".repeat(count);
    for (count, want) in [(1, 200), (CONSOLE_COOKIES_MAX - 1, 200), (CONSOLE_COOKIES_MAX, 401)] {
        let cookies = format!("Cookie: {}nudged_session={secret}", junk(count));
        assert_eq!(node.said("GET /v1/status", &cookies).0, want, "{count} before it");
    }
    let both = format!("{OWN}Cookie: {}nudged_session={}\r\n", junk(1), secret.trim());
    assert_eq!(node.said("DELETE /v1/session", &both).0, 204, "the good one ends");
    assert_eq!(node.said("GET /v1/status", &cookie_of(&head)).0, 401);
    for value in ["", "0", "zz", &"0".repeat(64), &"f".repeat(4_096)] {
        let (status, code) =
            node.said("GET /v1/status", &format!("Cookie: nudged_session={value}\r\n"));
        assert_eq!((status, &*code), (401, "session_ended"), "{value}");
    }
}

#[test]
fn what_signs_nobody_in_is_told() {
    let node = asked_for_token();
    for (body, status, code) in [
        ("", 400, "bad_json"),
        ("{}", 400, "empty"),
        ("{\"token\":\" \"}", 400, "empty"),
        ("{\"token\":7}", 400, "wrong_type"),
        ("{\"token\":\"x\",\"y\":1}", 400, "unknown_field"),
        ("{\"token\":\"canary-0123456789abcdeX\"}", 401, "wrong_token"),
    ] {
        let (got, head, said) = node.send("POST /v1/session", "", body);
        assert_eq!((got, &said["error"]["code"]), (status, &json!(code)), "{body}");
        assert!(!head.contains("Set-Cookie") && !said.to_string().contains("canary"), "{said}");
    }
    assert!(node.directory.logged().contains("had no valid token"));
}

#[test]
fn a_console_that_is_read_only_changes_nothing_without_a_token() {
    let node =
        node_at(AdminAddress::Tcp("127.0.0.1:0".parse().unwrap()), directory_with_token(TOKEN));
    let node = node.unwrap();
    let session = node.json("GET /v1/session");
    assert_eq!((&session["login"], &session["owner"]), (&json!(false), &json!(true)), "{session}");
    assert_eq!(session["may"].as_array().unwrap().len(), 5);
    node.directory.change(|config| config.console.access = ConsoleAccess::ReadOnly);
    assert_eq!(node.json("POST /v1/reload")["waiting_for_restart"], json!([]));
    let session = node.json("GET /v1/session");
    assert_eq!((&session["read_only"], &session["may"]), (&json!(true), &json!(["read"])));
    assert_eq!(session["owner"], false);
    let changes = [
        "POST /v1/popups/a/pause",
        "PUT /v1/popups/a",
        "DELETE /v1/users/u",
        "POST /v1/reload",
        "POST /v1/tokens",
    ];
    for line in changes {
        assert_eq!(node.said(line, OWN), (403, "read_only".to_owned()), "{line}");
    }
    // What a browser only reads has no origin.
    let reading = "Sec-Fetch-Site: same-origin\r\n";
    for line in ["GET /v1/doctor", "GET /v1/tokens"] {
        assert_eq!(node.said(line, reading), (403, "read_only".to_owned()), "{line}");
    }
    assert_eq!(node.said("GET /v1/popups", reading).0, 200);
    assert_eq!(node.said("GET /v1/tokens", "").0, 200, "no page");
    let preview = node.send("POST /v1/preview", OWN, "{\"popup\":\"a\"}");
    assert_eq!(preview.0, 200, "it changes nothing: {}", preview.2);
    assert_eq!(node.said("POST /v1/popups/a/pause", "").0, 200, "no page");
    let (head, session) = node.sign_in(TOKEN, OWN);
    assert_eq!(session["read_only"], false, "{session}");
    let cookie = cookie_of(&head);
    assert_eq!(node.said("POST /v1/popups/a/resume", &format!("{cookie}{OWN}")).0, 200);
    node.directory.change(|config| config.console.access = ConsoleAccess::Off);
    node.json("POST /v1/reload");
    for line in ["GET /", "GET /console", "GET /console/", "GET /v1/session", "POST /v1/session"] {
        assert_eq!(node.status(line), 404, "{line}");
    }
    assert_eq!(node.said("GET /v1/status", &cookie).0, 200, "as without a cookie");
}

//! Property: whoever has a browser and may come to the admin listener has the console. Its files
//! are held to themselves, a session ends with its token, no page of another origin and no other
//! name of the server gets anything, and what is in the tree is of its source.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::Command;

use crate::browser::has_browser;
use crate::client::{Answer, Client};
use crate::harness::{Server, Setup, WELCOME, repository};
use crate::tls;

/// Of the file that `admin_token_file` names.
const OWNER: &str = "owner-token-0123456789abcdef";
const ALONE: [&str; 3] = ["--shards", "1", "--no-pin"];

/// One request with further fields; the server's own name is its address.
fn ask(server: &Server, line: &str, fields: &str, body: &str) -> Answer {
    ask_as(server, &server.admin.to_string(), line, (fields, body))
}

fn ask_as(server: &Server, host: &str, line: &str, (fields, body): (&str, &str)) -> Answer {
    let mut client = Client::connect(server.admin);
    let length = body.len();
    let head = format!(
        "{line} HTTP/1.1\r\nHost: {host}\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
    );
    client.send(head.as_bytes());
    if line.starts_with("HEAD") { client.answer_to_head() } else { client.answer() }
}

/// What browsers send with each write of a page of this node.
fn own(server: &Server) -> String {
    format!("Origin: http://{}\r\n", server.admin)
}

#[test]
fn pages_and_files_are_held_to_themselves() {
    let setup = Setup::new(WELCOME).flags(&ALONE);
    let server = setup.start();
    let ready = server.await_logged("ready");
    assert_eq!(ready.text("console"), format!("http://{}/console/", server.admin));
    for path in ["/", "/console"] {
        let leading = ask(&server, &format!("GET {path}"), "", "").expect(302);
        assert_eq!(leading.field("location"), Some("console/"), "wherever a proxy has put it");
    }
    let page = ask(&server, "GET /console/", "", "").expect(200);
    let policy = page.field("content-security-policy").unwrap();
    for part in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"] {
        assert!(policy.contains(part) && !policy.contains("unsafe"), "{policy}");
    }
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("cache-control", "no-cache"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
    ] {
        assert_eq!(page.field(name), Some(value), "{name}");
    }
    // A link to a page within, with what it shows in its query, whatever that is.
    let script = "%3Cscript%3Ealert(1)%3C/script%3E";
    for path in ["popups/welcome/edit", "users/john.doe@example.com?at=%3Cb%3E", "new?x=1&x=2"] {
        assert_eq!(
            ask(&server, &format!("GET /console/{path}"), "", "").expect(200).body,
            page.body
        );
    }
    for path in [script, "x.js", "assets/x.js", "..", "a/../b", "popups/%2e%2e"] {
        let none = ask(&server, &format!("GET /console/{path}"), "", "").expect(404);
        assert_eq!(none.json(), serde_json::json!({ "error": { "code": "not_found" } }));
        assert!(none.field("content-security-policy").unwrap().contains("default-src 'none'"));
    }
    let preview = ask(&server, "GET /console/preview.html", "", "").expect(200);
    let policy = preview.field("content-security-policy").unwrap();
    assert!(policy.contains("img-src * data:") && policy.contains("frame-ancestors 'self'"));
    check_file(&server, &page);
    ask(&server, "POST /console/", "", "").expect(405);
    ask_as(&server, "attacker.example", "GET /console/", ("", "")).expect(421);
    let status = ask(&server, "GET /v1/status", "", "").expect(200);
    assert_eq!(status.field("x-content-type-options"), Some("nosniff"));
    server.stop();
}

/// The page's script: for ever, compressed for who takes that, not sent to who has it.
fn check_file(server: &Server, page: &Answer) {
    let script = page.body.split('"').find(|part| part.ends_with(".js")).unwrap();
    let get = format!("GET {script}");
    let plain = ask(server, &get, "", "").expect(200);
    assert_eq!(plain.field("cache-control"), Some("public, max-age=31536000, immutable"));
    assert_eq!(plain.field("content-type"), Some("text/javascript; charset=utf-8"));
    let length = plain.body.len().to_string();
    let head = ask(server, &format!("HEAD {script}"), "", "").expect(200);
    assert_eq!(head.field("content-length"), Some(&*length));
    let gzip = ask(server, &format!("HEAD {script}"), "Accept-Encoding: br, gzip\r\n", "");
    let gzip = gzip.expect(200);
    assert_eq!(gzip.field("content-encoding"), Some("gzip"));
    let bytes: usize = gzip.field("content-length").unwrap().parse().unwrap();
    assert!(bytes * 2 < plain.body.len(), "{bytes} of {length}");
    assert_ne!(gzip.field("etag"), plain.field("etag"));
    let known = format!("If-None-Match: {}\r\n", plain.field("etag").unwrap());
    ask(server, &get, &known, "").expect(304);
    // What was sent compressed is the same.
    let url = format!("http://{}{script}", server.admin);
    let output = Command::new("curl").args(["-sf", "--compressed", &url]).output().unwrap();
    assert!(output.stdout == plain.body.as_bytes());
}

/// A node that others can reach, or as good as.
fn reachable() -> Setup {
    let setup = Setup::new(WELCOME).admin("0.0.0.0:0").flags(&ALONE);
    let file = setup.path("token");
    fs::write(&file, OWNER).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    setup.config(&format!("admin_token_file = \"{}\"\n", file.display()))
}

/// Signs a browser in; gives the cookie as it sends it back.
fn sign_in(server: &Server, token: &str) -> String {
    let body = format!("{{\"token\":\"{token}\"}}");
    let signed_in = ask(server, "POST /v1/session", &own(server), &body).expect(200);
    let cookie = signed_in.field("set-cookie").unwrap();
    let port = server.admin.port();
    assert!(cookie.starts_with(&format!("nudged_session_{port}=")), "{cookie}");
    assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{cookie}");
    format!("Cookie: {}\r\n", cookie.split(';').next().unwrap())
}

#[test]
fn who_signs_in_may_what_the_token_may_until_it_is_revoked() {
    let setup = reachable();
    let mut server = setup.start();
    ["admin_refused", "admin_forbidden"].iter().for_each(|code| server.allow(code));
    ask(&server, "GET /console/", "", "").expect(200);
    ask(&server, "GET /console/assets/former.js", "", "").expect(404);
    let nobody = ask(&server, "GET /v1/session", "", "").expect(200).json();
    assert_eq!((&nobody["login"], &nobody["may"]), (&true.into(), &serde_json::json!([])));
    ask(&server, "GET /v1/status", "", "").expect(401);
    ask(&server, "POST /v1/session", &own(&server), "{\"token\":\"wrong\"}").expect(401);
    let (owner, page) = (sign_in(&server, OWNER), own(&server));
    let written = format!("{owner}{page}");
    let made = "{\"name\":\"ann\",\"role\":\"editor\"}";
    let made = ask(&server, "POST /v1/tokens", &written, made).expect(201).json();
    let token = made["token"].as_str().unwrap();
    let ann = sign_in(&server, token);
    let session = ask(&server, "GET /v1/session", &ann, "").expect(200).json();
    assert_eq!((&session["name"], &session["role"]), (&"ann".into(), &"editor".into()));
    ask(&server, "POST /v1/popups/welcome/pause", &ann, "").expect(403);
    let evil = format!("{ann}Origin: https://evil.example\r\n");
    ask(&server, "POST /v1/popups/welcome/pause", &evil, "").expect(403);
    ask(&server, "POST /v1/popups/welcome/pause", &format!("{ann}{page}"), "").expect(200);
    let history = ask(&server, "GET /v1/popups/welcome/history", &ann, "").expect(200).body;
    assert!(history.contains("ann (127.0.0.1)"), "the audit has the token's name: {history}");
    ask(&server, "POST /v1/reload", &format!("{ann}{page}"), "").expect(403);
    ask(&server, "DELETE /v1/tokens?name=ann", &written, "").expect(200);
    let ended = ask(&server, "GET /v1/popups", &ann, "").expect(401);
    assert_eq!(ended.json()["error"]["code"], "session_ended");
    ask(&server, "DELETE /v1/session", &written, "").expect(204);
    ask(&server, "GET /v1/popups", &owner, "").expect(401);
    let secret = owner.trim_end().rsplit('=').next().unwrap().to_owned();
    assert!(!server.said().contains(&secret) && !server.said().contains(OWNER));
    server.stop();
}

#[test]
fn sessions_outlive_a_restart_and_an_upgrade_and_what_has_ended_stays_so() {
    let setup = reachable();
    let mut server = setup.start();
    let page = own(&server);
    let (kept, out) = (sign_in(&server, OWNER), sign_in(&server, OWNER));
    let written = format!("{kept}{page}");
    let made = ask(&server, "POST /v1/tokens", &written, "{\"name\":\"ann\",\"role\":\"viewer\"}");
    let made = made.expect(201).json();
    let ann = sign_in(&server, made["token"].as_str().unwrap());
    ask(&server, "DELETE /v1/session", &format!("{out}{page}"), "").expect(204);
    let status = |server: &Server, cookie: &str| ask(server, "GET /v1/popups", cookie, "").status;
    let all = |server: &Server| [&kept, &out, &ann].map(|cookie| status(server, cookie));
    assert_eq!(all(&server), [200, 401, 200]);
    server.hand_over();
    assert_eq!(all(&server), [200, 401, 200], "after an upgrade");
    ask(&server, "DELETE /v1/tokens?name=ann", &written, "").expect(200);
    assert_eq!(all(&server), [200, 401, 401]);
    // At the same port, as a browser names the cookie by it.
    let setup = setup.admin(&format!("0.0.0.0:{}", server.admin.port()));
    server.stop();
    let server = setup.start();
    assert_eq!(all(&server), [200, 401, 401], "after a restart");
    let file = setup.data().join("sessions");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let secret = kept.trim_end().rsplit('=').next().unwrap().as_bytes().to_vec();
    let text = fs::read(&file).unwrap();
    assert!(!text.windows(secret.len()).any(|part| part == secret), "hashes alone");
    server.stop();
}

#[test]
fn a_console_that_is_read_only_or_off_is_so_at_a_reload() {
    let setup = Setup::new(WELCOME).flags(&ALONE).config("[console]\naccess = \"read-only\"\n");
    let server = setup.start();
    let pause = "POST /v1/popups/welcome/pause";
    let refused = ask(&server, pause, &own(&server), "").expect(403);
    assert_eq!(refused.json()["error"]["code"], "read_only");
    ask(&server, pause, "", "").expect(200);
    setup.write_config("[console]\naccess = \"off\"\n");
    let reloaded = ask(&server, "POST /v1/reload", "", "").expect(200).json();
    assert_eq!(reloaded["waiting_for_restart"], serde_json::json!([]), "{reloaded}");
    for path in ["/", "/console/", "/v1/session"] {
        ask(&server, &format!("GET {path}"), "", "").expect(404);
    }
    ask(&server, pause, &own(&server), "").expect(200);
    server.stop();
}

#[test]
fn the_console_is_on_a_unix_socket_too_by_names_that_nobody_resolves() {
    let setup = Setup::new(WELCOME).flags(&ALONE);
    let path = setup.path("admin.sock");
    let setup = setup.admin(&format!("unix:{}", path.display()));
    let server = setup.start();
    let asked = |host: &str| {
        let mut stream = UnixStream::connect(&path).unwrap();
        let head = format!("GET /console/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer["HTTP/1.1 ".len()..][..3].parse::<u16>().unwrap()
    };
    // A tunnel of ssh ends at a port of localhost; what `curl` calls it is anything.
    for (host, want) in [("localhost:9001", 200), ("nudged", 200), ("attacker.example:9001", 421)] {
        assert_eq!(asked(host), want, "{host}");
    }
    server.stop();
}

#[test]
fn with_tls_the_cookie_is_kept_to_it() {
    let setup = reachable().admin("127.0.0.1:0 tls");
    let token = setup.path("token").display().to_string();
    setup.write_config(&format!(
        "admin_token_file = \"{token}\"\n[tls]\ncertificate = \"tls.pem\"\nkey = \"tls.key\"\n"
    ));
    tls::install(&setup, "server.pem", "server.key");
    let server = setup.start();
    let console = server.await_logged("ready").text("console").to_owned();
    assert_eq!(console, format!("https://{}/console/", server.admin));
    let body = format!("{{\"token\":\"{OWNER}\"}}");
    let head = tls::curl(server.admin, &["-i", "-d", &body], "/v1/session");
    let head = String::from_utf8(head.stdout).unwrap();
    let cookie = head.lines().find(|line| line.starts_with("Set-Cookie: ")).unwrap();
    assert!(cookie.starts_with("Set-Cookie: __Host-nudged_session"), "{cookie}");
    assert!(cookie.trim_end().ends_with("; Secure"), "{cookie}");
    server.stop();
}

#[test]
fn what_is_in_the_tree_is_of_its_source() {
    if !has_browser() {
        return;
    }
    let output = Command::new(repository("tools/console")).arg("--check").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

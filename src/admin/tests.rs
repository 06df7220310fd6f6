//! Property: the admin listener answers as the contract says, to those who may ask alone, and ends
//! when it is told to, whatever its clients do.

mod changes;
mod console;
mod described;
mod drafts;
mod listing;
mod live;
mod patches;
mod previews;
mod tokens;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};

use serde_json::{Value, json};

use super::*;
use nudged_base::ids::{PopupKey, UserKey};
use nudged_base::limits::ADMIN_CONNECTIONS_MAX;
use nudged_base::time::WallMs;
use nudged_config::AdminAddress;
use nudged_domain::state::user::{PopupState, Show, UserState};
use nudged_publish::Publishing;
use nudged_publish::publisher::{ConfigRefused, PublishError, Publisher, PublisherSetup};
use nudged_publishing::{ERASED_AT, FakeShards, NodeDirectory};
use nudged_runtime::clocks;
use nudged_runtime::shard::mesh::Mesh;
use nudged_runtime::topology::Topology;
use nudged_store::Store;

const POPUPS: &str = "[[popup]]\nid = \"a\"\npriority = 2\n[[popup]]\nid = \"b\"\n\
                      windows = [{ from = \"09:00\", to = \"18:00\" }]\n";
const TOKEN: &str = "canary-0123456789abcdef";

/// A user who saw popup `a` and one that nobody knows.
fn state(at: WallMs) -> UserState {
    let mut state = UserState::default();
    for key in [PopupKey::of("a"), PopupKey(5)] {
        let mut entry = PopupState::empty(key);
        entry.shows_total = 3;
        entry.shows_used = 1;
        entry.shows[0] = Show { at, number: 3, actions: 0b1001 };
        state.popups.push(entry);
    }
    state
}

struct Node {
    admin: AdminHandle,
    publisher: Arc<Publisher>,
    _publishing: Publishing,
    directory: NodeDirectory,
    shards: FakeShards,
}

fn load(directory: &NodeDirectory, mesh: &Arc<Mesh>) -> Result<Publisher, PublishError> {
    let config = Arc::clone(&directory.config);
    let read = move || config.lock().unwrap().clone().map_err(ConfigRefused);
    Publisher::load(PublisherSetup {
        store: Store::open(directory.path()).unwrap(),
        is_store_there: true,
        config: read().unwrap(),
        read_config: Box::new(read),
        mesh: Arc::clone(mesh),
        log: directory.log.clone(),
    })
}

fn node_at(address: AdminAddress, directory: NodeDirectory) -> Result<Node, AdminError> {
    directory.change(|config| config.admin = address);
    let shards = FakeShards::start(2, &state(clocks::wall()));
    let publisher = Arc::new(load(&directory, &shards.mesh).unwrap());
    let topology = Topology { shard_cpus: vec![0], writer_cpu: 0, shards: 2, pin: false };
    let figures = Arc::default();
    let publishing = Publishing::start(&publisher, &figures, &directory.log).unwrap();
    let context = AdminContext {
        topology,
        listening: publisher.config().listen.clone(),
        connections_max: 1_000,
        mesh: Arc::clone(&shards.mesh),
        counters: vec![Arc::default(), Arc::default()],
        publisher: Arc::clone(&publisher),
        figures,
        redis: None,
        hand_overs: Arc::default(),
        commit: "unknown",
        log: directory.log.clone(),
        log_tail: Arc::default(),
        doctor: Box::new(|| Some("[]".to_owned())),
    };
    let clock = NodeClock::start(clocks::mono(), clocks::wall(), WallMs(0));
    let reader = StoreReader::open(directory.path()).unwrap();
    let admin = start(context, clock, reader, None)?;
    Ok(Node { admin, publisher, _publishing: publishing, directory, shards })
}

fn node() -> Node {
    node_at(AdminAddress::Tcp("127.0.0.1:0".parse().unwrap()), NodeDirectory::with_popups(POPUPS))
        .unwrap()
}

impl Node {
    /// Sends a request on a connection of its own; gives its head and body.
    fn ask(&self, line: &str, fields: &str) -> (String, String) {
        let stream = TcpStream::connect(self.admin.address()).unwrap();
        exchange(stream, line, fields)
    }

    fn status(&self, line: &str) -> u16 {
        status_of(&self.ask(line, "").0)
    }

    fn json(&self, line: &str) -> Value {
        let (head, body) = self.ask(line, "");
        assert!(head.contains("\r\nContent-Type: application/json\r\n"), "{head}");
        serde_json::from_str(&body).unwrap()
    }
}

fn exchange(
    mut stream: impl std::io::Read + std::io::Write,
    line: &str,
    fields: &str,
) -> (String, String) {
    write!(stream, "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (format!("{head}\r\n"), body.to_owned())
}

fn status_of(head: &str) -> u16 {
    head["HTTP/1.1 ".len()..][..3].parse().unwrap()
}

#[test]
fn statuses_by_route_and_method() {
    let node = node();
    let cases = [
        ("GET /health", 200),
        ("HEAD /healthz", 200),
        ("GET /readyz", 200),
        ("GET /metrics", 200),
        ("HEAD /metrics", 200),
        ("GET /openapi.json", 200),
        ("GET /v1/status", 200),
        ("GET /v1/popups", 200),
        ("GET /v1/popups/a", 200),
        ("GET /v1/popups/zz", 404),
        ("GET /v1/popups/zz/history", 404),
        ("GET /v1/popups/a/history?limit=1", 200),
        ("GET /v1/popups/a/history?limit=0", 400),
        ("GET /v1/popups/a/history?before=now", 400),
        ("POST /v1/popups/zz/pause", 404),
        ("GET /v1/popups/a/pause", 405),
        ("PUT /v1/popups/a", 400),
        ("PUT /v1/popups/A", 400),
        ("GET /v1/popups/A", 404),
        ("DELETE /v1/popups/A", 404),
        ("PUT /v1/popups/%41", 404),
        ("PUT /v1/popups/..", 404),
        ("PATCH /v1/popups/a", 400),
        ("PATCH /v1/popups/a/pause", 405),
        ("GET /v1/popups?status=gone", 400),
        ("PUT /v1/popups/a/pause", 405),
        ("POST /v1/popups/zz/archive", 404),
        ("POST /v1/popups/zz/rollback", 404),
        ("DELETE /v1/popups/zz", 404),
        ("DELETE /v1/popups/a", 409),
        ("POST /v1/status", 405),
        ("DELETE /v1/popups", 405),
        ("OPTIONS /v1/popups", 204),
        ("OPTIONS *", 204),
        ("OPTIONS /", 204),
        ("OPTIONS /nothing", 204),
        ("GET /v1/users/%zz", 400),
        ("GET /v1/users/a/b", 404),
        ("GET /v1/explain", 400),
        ("GET /v1/explain?user=u&at=never", 400),
        ("GET /v1/stats?from=2&to=1", 400),
        ("GET /nothing", 404),
        ("GET /v1/%70opups", 404),
    ];
    for (line, want) in cases {
        let (head, body) = node.ask(line, "");
        assert_eq!(status_of(&head), want, "{line}");
        assert_eq!(head.contains("\r\nAllow: "), matches!(want, 204 | 405), "{line}");
        assert!(head.contains("\r\nCache-Control: no-store\r\n"), "{line}");
        if line.starts_with("HEAD") {
            assert!(body.is_empty() && !head.contains("Content-Length: 0"), "{line}");
        }
        if want >= 400 {
            let error: Value = serde_json::from_str(&body).unwrap();
            assert!(error["error"]["code"].is_string(), "{line}: {body}");
        }
    }
    node.admin.stop();
}

#[test]
fn a_pause_is_answered_when_every_shard_has_it_and_is_audited() {
    let node = node();
    let paused = node.json("POST /v1/popups/a/pause");
    assert_eq!(paused["effective_status"], "paused");
    assert_eq!((&paused["status"], &paused["override"]), (&json!("live"), &json!("paused")));
    let told = node.shards.take_told();
    assert_eq!(told, [(0, "catalog 2".to_owned()), (1, "catalog 2".to_owned())]);
    let list = node.json("GET /v1/popups");
    assert_eq!(list["catalog_version"], 2);
    assert_eq!(list["popups"][0]["effective_status"], "paused");
    assert_eq!(list["popups"][1]["schedule"]["windows"][0]["from"], "09:00");
    assert_eq!(list["popups"][1]["definition"]["id"], "b");
    let history = node.json("GET /v1/popups/a/history");
    assert_eq!(history["history"][0]["change"], "override");
    assert_eq!(history["history"][0]["who"], "admin (127.0.0.1)");
    assert_eq!(history["history"][0]["diff"], json!({ "status": [null, "paused"] }));
    assert_eq!(history["history"][0]["definition"]["id"], "a");
    assert_eq!(history["next_before"], json!(null));
    let page = node.json("GET /v1/popups/a/history?limit=1");
    let next = page["next_before"].as_u64().unwrap();
    let rest = node.json(&format!("GET /v1/popups/a/history?before={next}"));
    assert_eq!(
        (&page["history"][0], &rest["history"][0]),
        (&history["history"][0], &history["history"][1])
    );
    assert_eq!(node.json("POST /v1/popups/a/resume")["effective_status"], "live");
    assert_eq!(node.json("GET /v1/status")["catalog"]["popups"]["live"], 2);
}

#[test]
fn a_reload_is_whole_or_says_every_error() {
    let node = node();
    node.directory.change(|config| config.pin = false);
    let reloaded = node.json("POST /v1/reload");
    assert_eq!((&reloaded["version"], &reloaded["changed"]), (&json!(1), &json!(false)));
    assert_eq!(reloaded["waiting_for_restart"], json!(["pin"]));
    node.directory.write_popups("[[popup]]\nid = \"A\"\n[[popup]]\nid = \"b\"\nx = 1\n");
    let (head, body) = node.ask("POST /v1/reload", "");
    assert_eq!(status_of(&head), 422);
    let refused: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(refused["error"]["code"], "bad_popups");
    assert!(refused["errors"][0].as_str().unwrap().contains("popups.toml:2: "), "{body}");
    assert!(refused["errors"].as_array().unwrap().len() >= 2, "{body}");
    assert_eq!(node.json("GET /v1/status")["catalog"]["version"], 1);
}

#[test]
fn a_user_is_read_and_erased_on_the_shard_that_owns_them() {
    let node = node();
    let home = |user: &str| UserKey::of(user.as_bytes()).home(2).0;
    let user = node.json("GET /v1/users/a%2Fb");
    assert_eq!(node.shards.take_told(), [(home("a/b"), "read a/b".to_owned())]);
    assert_eq!((&user["user"], &user["shard"]), (&json!("a/b"), &json!(home("a/b"))));
    assert_eq!(user["popups"][0]["id"], "a");
    assert_eq!(user["popups"][0]["last_shows"][0]["actions"], json!(["shown", "clicked"]));
    assert_eq!(user["popups"][0]["last_shows"][0]["number"], 3);
    assert!(user["popups"][0]["next_show_at"].is_string());
    assert_eq!(user["popups"][1]["id"], "0000000000000005");
    assert_eq!(user["popups"][1]["next_show_at"], Value::Null);
    let erased = node.json("DELETE /v1/users/a%2Fb");
    assert_eq!(node.shards.take_told(), [(home("a/b"), "erase a/b".to_owned())]);
    let want = json!({
        "erased": true,
        "at": input::moment_json(ERASED_AT),
        "journal_until": "2026-01-02T00:00:00.000Z",
        "remains_in": ["journal segments, until journal_until", "backups made earlier"],
    });
    assert_eq!(erased, want);
    assert_eq!(node.status("DELETE /v1/users/stuck"), 503);
    assert!(!node.directory.logged().contains("a/b"), "ids are hashed in the log");
}

#[test]
fn a_user_is_told_also_where_sql_can_not_say_what_they_did() {
    let node = node();
    let user = node.json("GET /v1/users/u");
    assert!(user["records"].is_array(), "{user}");
    let database = rusqlite::Connection::open(node.directory.path().join("nudged.db"));
    database.unwrap().execute_batch("ALTER TABLE events RENAME TO aside").unwrap();
    let user = node.json("GET /v1/users/u");
    assert_eq!((&user["records"], &user["popups"][0]["id"]), (&Value::Null, &json!("a")));
    assert!(node.directory.logged().contains("users could not be read from SQL"));
}

#[test]
fn explain_tells_what_would_be_decided_and_when() {
    let node = node();
    let now = node.json("GET /v1/explain?user=u");
    assert_eq!(now["placement"], "home");
    let candidate = &now["candidates"][0];
    assert_eq!((&candidate["id"], &candidate["gate"]), (&json!("a"), &json!("gap")));
    let opens_at = candidate["opens_at"].as_str().unwrap();
    assert!(opens_at.ends_with("+00:00"), "{candidate}");
    assert!(candidate["why"].as_str().unwrap().ends_with(opens_at), "{candidate}");
    assert_eq!((&now["tz"], &now["warnings"]), (&json!("UTC"), &json!([])));
    let berlin = node.json("GET /v1/explain?user=u&tz=Europe/Berlin");
    let opens_at = berlin["candidates"][0]["opens_at"].as_str().unwrap().to_owned();
    assert!(opens_at.ends_with("+01:00") || opens_at.ends_with("+02:00"), "{berlin}");
    let mars = node.json("GET /v1/explain?user=u&tz=Mars/Base");
    assert!(mars["warnings"][0].as_str().unwrap().contains("Mars/Base"), "{mars}");
    let night = node.json("GET /v1/explain?user=seen&at=2000-01-05T20:00:00Z");
    assert_eq!((&night["popup"], &night["reason"]), (&json!(null), &json!("gap")));
    assert_eq!(night["next_in"], 13 * 3_600, "when the window of b opens");
    let later = node.json("GET /v1/explain?user=u&at=2099-01-05T10:00:00+01:00");
    assert_eq!((&later["popup"], &later["reason"]), (&json!("a"), &json!(null)));
    assert_eq!(later["at"], "2099-01-05T09:00:00.000Z");
    assert_eq!(later["candidates"][1], json!({ "id": "b", "gate": null }));
    node.directory.change(|config| config.preview.users = vec!["tester".to_owned()]);
    node.json("POST /v1/reload");
    let listed = node.json("GET /v1/explain?user=tester&tz=Mars/Base");
    assert!(listed["warnings"][1].as_str().unwrap().contains("[preview] users"), "{listed}");
    assert_eq!(node.json("GET /v1/explain?user=u")["warnings"], json!([]));
    let elsewhere = node.json("GET /v1/explain?user=u&placement=checkout");
    assert_eq!(elsewhere["reason"], "none");
    assert_eq!(elsewhere["candidates"][0]["gate"], "placement");
}

#[test]
fn metrics_are_those_of_shards_and_node() {
    let node = node();
    let (head, text) = node.ask("GET /metrics", "");
    assert!(head.contains("\r\nContent-Type: text/plain; version=0.0.4"), "{head}");
    for line in [
        "nudged_connections_open{shard=\"1\"} 0",
        "nudged_catalog_version 1",
        "nudged_ready 1",
        "nudged_sql_halted 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}");
    }
    node.admin.announce_stop();
    assert!(node.ask("GET /metrics", "").1.contains("\nnudged_ready 0\n"));
    assert_eq!(node.status("GET /readyz"), 503);
    assert_eq!(node.status("GET /health"), 200);
}

#[test]
fn pages_of_other_origins_change_nothing() {
    let node = node();
    let origin = "Origin: https://evil.example\r\n";
    for line in [
        "POST /v1/reload",
        "POST /v1/popups/a/pause",
        "PUT /v1/popups/n",
        "PATCH /v1/popups/a",
        "DELETE /v1/users/u",
    ] {
        assert_eq!(status_of(&node.ask(line, origin).0), 403, "{line}");
    }
    assert!(node.shards.take_told().is_empty());
}

#[test]
fn other_names_of_this_server_are_refused_but_to_probes() {
    let directory = NodeDirectory::with_popups(POPUPS);
    directory.change(|config| config.admin_hosts = vec!["nudged-1.example".to_owned()]);
    let node = node_at(AdminAddress::Tcp("127.0.0.1:0".parse().unwrap()), directory).unwrap();
    let asked = |line: &str, host: &str| {
        let mut stream = TcpStream::connect(node.admin.address()).unwrap();
        let head = format!("{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        status_of(&answer)
    };
    for host in ["attacker.example", "attacker.example:8081"] {
        assert_eq!(asked("GET /v1/status", host), 421, "{host}");
        assert_eq!(asked("POST /v1/reload", host), 421, "{host}");
        assert_eq!(asked("GET /health?at=1", host), 200, "{host}");
    }
    for host in ["nudged-1.example", "NUDGED-1.example:9", "localhost", "127.0.0.1:8081"] {
        assert_eq!(asked("GET /v1/status", host), 200, "{host}");
    }
    // A page that this server gave out may write.
    let own = "Origin: http://localhost\r\n";
    assert_eq!(status_of(&node.ask("POST /v1/reload", own).0), 200);
}

fn directory_with_token(text: &str) -> NodeDirectory {
    let directory = NodeDirectory::with_popups(POPUPS);
    let path = directory.path().join("token");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    directory.change(|config| config.admin_token_file = Some(path));
    directory
}

#[test]
fn where_others_can_reach_it_the_token_is_asked_for_and_never_told() {
    let everywhere = || AdminAddress::Tcp("0.0.0.0:0".parse().unwrap());
    let none = node_at(everywhere(), NodeDirectory::with_popups(POPUPS)).err().unwrap();
    assert!(matches!(none, AdminError::TokenMissing(_)), "{none}");
    let node = node_at(everywhere(), directory_with_token(TOKEN)).unwrap();
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let mut said = String::new();
    for (line, fields, want) in [
        ("GET /v1/status", bearer(TOKEN), 200),
        ("GET /health", String::new(), 200),
        ("GET /v1/status", String::new(), 401),
        ("GET /v1/status", bearer("canary-0123456789abcdeX"), 401),
        ("POST /v1/reload", bearer("x"), 401),
        ("GET /nothing", String::new(), 401),
        ("GET /metrics", bearer(TOKEN), 200),
    ] {
        let (head, body) = node.ask(line, &fields);
        assert_eq!(status_of(&head), want, "{line} {fields}");
        assert_eq!(head.contains("\r\nWWW-Authenticate: Bearer\r\n"), want == 401);
        said.push_str(&head);
        said.push_str(&body);
    }
    said.push_str(&node.directory.logged());
    assert!(!said.contains("canary"), "{said}");
    assert!(said.contains("had no valid token"), "{said}");
}

#[test]
fn who_says_nothing_keeps_no_operator_out() {
    let node = node();
    let connect = || TcpStream::connect(node.admin.address()).unwrap();
    let mut held: Vec<_> = (0..2 * ADMIN_CONNECTIONS_MAX).map(|_| connect()).collect();
    for stream in &mut held {
        // Half a head, or nothing where it has been ended already.
        let _ = stream.write_all(b"POST /v1/popups/a/pause HTTP/1.1\r\nHost: loc");
    }
    let (head, _) = node.ask("GET /v1/status", "");
    assert_eq!(status_of(&head), 200);
    let mut first = held.remove(0);
    assert_eq!(first.read(&mut [0; 1]).unwrap_or(0), 0, "it had waited longest");
    // All of them idle: a stop does not wait for their timeouts.
    node.admin.stop();
    for mut stream in held {
        assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0);
    }
}

#[test]
fn requests_of_one_connection_are_answered_in_order() {
    let node = node();
    let mut stream = TcpStream::connect(node.admin.address()).unwrap();
    let one = "GET /v1/popups/zz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(one.repeat(20).as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    let statuses: Vec<u16> =
        answers.match_indices("HTTP/1.1 ").map(|(at, _)| status_of(&answers[at..])).collect();
    assert_eq!(statuses, [404, 200].repeat(20));
}

#[test]
fn a_unix_socket_is_its_owners_alone() {
    let directory = NodeDirectory::with_popups(POPUPS);
    let path = directory.path().join("admin.sock");
    // A dead process has left one behind.
    drop(UnixListener::bind(&path).unwrap());
    let node = node_at(AdminAddress::Unix(path.clone()), directory).unwrap();
    assert_eq!(node.admin.address(), format!("unix:{}", path.display()));
    let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let (head, body) = exchange(UnixStream::connect(&path).unwrap(), "POST /v1/reload", "");
    assert_eq!(status_of(&head), 200, "{body}");
    let second = node_at(AdminAddress::Unix(path.clone()), NodeDirectory::with_popups(POPUPS));
    let second = second.err().unwrap().to_string();
    assert!(second.contains("another process is listening there"), "{second}");
    node.admin.stop();
    assert!(!path.exists());
    std::fs::write(&path, "a file of somebody").unwrap();
    let file = node_at(AdminAddress::Unix(path.clone()), NodeDirectory::with_popups(POPUPS));
    assert!(file.is_err());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "a file of somebody");
}

#[test]
fn the_description_names_every_route_and_no_other() {
    let text = openapi::document();
    for (path, operations) in text["paths"].as_object().unwrap() {
        let example = path.replace("{id}", "a").replace("{user}", "u");
        let route = routes::AdminRoute::of(&example);
        for (method, operation) in operations.as_object().unwrap() {
            let tag = operation["tags"][0].as_str().unwrap();
            assert_eq!(route.is_some(), tag != "data", "{path}");
            let method = method.to_ascii_uppercase();
            let allow = route.map_or_else(|| data_allow(path).to_owned(), |route| route.allow());
            assert!(allow.split(", ").any(|allowed| allowed == method), "{method} {path}");
        }
        let allow = route.map_or_else(|| data_allow(path).to_owned(), |route| route.allow());
        let described = operations.as_object().unwrap();
        for method in allow.split(", ").filter(|method| !["HEAD", "OPTIONS"].contains(method)) {
            assert!(described.contains_key(&method.to_ascii_lowercase()), "{method} {path}");
        }
    }
    for operation in operations::OPERATIONS {
        let example = operation.path.replace("{id}", "a").replace("{user}", "u");
        let route = routes::AdminRoute::of(&example).unwrap();
        assert!(["/healthz", route.template()].contains(&operation.path), "{}", operation.path);
    }
    for reference in references(&text) {
        assert!(text.pointer(&reference[1..]).is_some(), "{reference}");
    }
}

#[test]
fn a_query_that_no_route_takes_is_refused_on_every_route_but_probes_and_pages() {
    let node = node();
    let is_free = |path| {
        matches!(path, "/health" | "/healthz" | "/readyz" | "/" | "/console")
            || path == "/console/{path}"
    };
    for operation in operations::OPERATIONS.iter().filter(|one| !is_free(one.path)) {
        let path = operation.path.replace("{id}", "a").replace("{user}", "u");
        let line = format!("{} {path}?limt=1", operations::name_of(operation.method));
        let (head, body) = node.ask(&line, "");
        assert_eq!(status_of(&head), 400, "{line}");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["error"], json!({ "code": "unknown_parameter", "field": "limt" }));
        let words = body["errors"][0].as_str().unwrap();
        assert!(words.contains(operation.path), "{words}");
    }
    let (_, body) = node.ask("GET /v1/popups/a/history?limit=0", "");
    assert!(body.contains("limit must be a number from 1 to 1000"), "{body}");
}

/// What the data API's route table allows.
fn data_allow(path: &str) -> &'static str {
    match path {
        "/v1/decide" => "GET, POST, OPTIONS",
        "/v1/events" => "POST, OPTIONS",
        "/nudge.js" => "GET, HEAD, OPTIONS",
        other => panic!("{other} is on no listener"),
    }
}

fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| match value {
                Value::String(text) if name == "$ref" => vec![text.clone()],
                other => references(other),
            })
            .collect(),
        Value::Array(values) => values.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

//! Property: what pages send from a real browser arrives, of listed origins with credentials and
//! any header, of all others where `*` stands, and of nobody else.
//!
//! Needs Debian's chromium, node and `tests/browser`'s packages, which `tools/test` sets up; where
//! they are not, this says so and passes, unless `TEST_NUDGED_BROWSER` is set.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;

use serde_json::Value;

use crate::harness::{Server, Setup, WELCOME, repository, until};

pub const KEY: &str = "public-key-0123456789";
pub const CHROMIUM: &str = "/usr/bin/chromium";

/// Serves an empty page to whoever asks, for as long as the tests run.
fn pages() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            // Each asks for one small page; a browser that opens a connection ahead of need waits
            // for nobody else.
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 4_096]);
                let _ = stream.write_all(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 15\r\n\
                      Connection: close\r\n\r\n<!doctype html>",
                );
            });
        }
    });
    address
}

fn node_with_origins(setup: &Setup, origin: &str) -> Server {
    // A browser that starts takes the processors; the user's state may take long to be read then.
    setup.write_config(&format!(
        "[limits]\nread_deadline = \"2s\"\n[keys]\npublic = [\"{KEY}\"]\n\
         [cors]\norigins = [\"{origin}\"]\n"
    ));
    setup.start()
}

/// What came of the visits of two pages; an empty one is left out.
fn visit(listed_page: &str, other_page: &str, node: &Server) -> Value {
    let script = repository("tests/browser/pages.mjs");
    let node = format!("http://{}", node.data);
    let mut command = Command::new("node");
    command.arg(script).args([CHROMIUM, listed_page, other_page, &node, KEY]);
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Whether the tests in a browser can be run here; says so where not.
pub fn has_browser() -> bool {
    let missing = [
        repository("tests/browser/node_modules/playwright-core").exists(),
        // Of the tests of the snippet; an older set-up has not all.
        repository("tests/browser/node_modules/axe-core").exists(),
        repository("src/snippet/node_modules/esbuild").exists(),
        repository("src/admin/console/node_modules/vite").exists(),
        std::path::Path::new(CHROMIUM).exists(),
        Command::new("node").arg("--version").output().is_ok(),
    ]
    .contains(&false);
    let is_wanted = std::env::var_os("TEST_NUDGED_BROWSER").is_some();
    assert!(!missing || !is_wanted, "no chromium, no node or not all packages of npm (tools/test)");
    if missing {
        println!("left out: no chromium, no node or not all packages of npm (tools/test)");
    }
    !missing
}

/// What a script of `tests/browser` says, as JSON.
pub fn told(script: &str, arguments: &[&str]) -> Value {
    let mut command = Command::new("node");
    command.arg(repository(script)).arg(CHROMIUM).args(arguments);
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Holds that each test of a script has passed, and that there were so many.
pub fn assert_passed(told: &Value, at_least: usize) {
    let tests = told.as_array().unwrap();
    let failed = tests.iter().filter_map(|test| {
        let error = test["error"].as_str()?;
        Some(format!("{}: {error}", test["name"]))
    });
    let failed: Vec<String> = failed.collect();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    assert!(tests.len() >= at_least, "{told}");
    for test in tests {
        println!("{} ms: {}", test["ms"], test["name"]);
    }
}

/// The actions that a user's events have reached SQL with.
fn actions(server: &Server) -> Vec<String> {
    let user = server.operator().get("/v1/users/ann").expect(200).json();
    let events = user["records"].as_array().unwrap();
    events.iter().map(|event| event["action"].as_str().unwrap().to_owned()).collect()
}

fn assert_shown(shown: &Value) {
    assert_eq!(shown["status"], 200, "{shown}");
    assert_eq!(shown["fields"]["nudge-ignored"], "placment", "{shown}");
}

#[test]
fn pages_ask_and_their_beacons_arrive() {
    if !has_browser() {
        return;
    }
    let pages = pages();
    let listed_page = format!("http://{pages}");
    let other_page = format!("http://localhost:{}", pages.port());
    let setup = Setup::new(WELCOME);
    let server = node_with_origins(&setup, &listed_page);
    let said = visit(&listed_page, &other_page, &server);
    let (listed, other) = (&said["listed"], &said["other"]);
    assert_shown(&listed["shown"]);
    // Fields and refusals can be read by the page.
    let nothing = &listed["nothing"];
    assert_eq!(
        (&nothing["status"], &nothing["fields"]["nudge-reason"]),
        (&204.into(), &"gap".into())
    );
    assert_eq!(listed["wrong"]["status"], 401, "{listed}");
    assert_eq!(listed["beacons"], serde_json::json!([true, true, true]), "{listed}");
    for asked in ["shown", "nothing", "wrong"] {
        assert!(other[asked]["refused"].is_string(), "not of another origin: {other}");
    }
    until("the beacons", || {
        let actions = actions(&server);
        let all = ["decided", "shown", "dismissed", "clicked"];
        all.iter().all(|action| actions.iter().any(|had| had == action)).then_some(())
    });
    server.stop();

    let setup = Setup::new(WELCOME);
    let server = node_with_origins(&setup, "*");
    let said = visit("", &other_page, &server);
    assert_shown(&said["other"]["shown"]);
    // A beacon of JSON has credentials, and no browser gives them to `*`; one of text asks nobody.
    until("the beacon of text", || actions(&server).contains(&"dismissed".into()).then_some(()));
    assert_eq!(said["other"]["beacons"][2], true, "{said}");
    server.stop();
}

//! Property: a page with one tag shows what its node decides, once, to everybody, and no node and
//! no browser can break that page. The files that are served are those of `src/snippet`.
//!
//! Needs what `browser` needs, and `src/snippet`'s packages for the comparison with the source.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::browser::{KEY, assert_passed, has_browser, told};
use crate::client::request;
use crate::harness::{Server, Setup, repository};

/// A node with the popups of the tests, and the folder that it lives in.
fn node() -> (Setup, Server) {
    let setup = Setup::new(include_str!("../browser/popups.toml"));
    // A browser that starts takes the processors; the user's state may take long to be read then.
    setup.write_config(&format!(
        "[limits]\nread_deadline = \"30s\"\n[keys]\npublic = [\"{KEY}\"]\n[cors]\norigins = [\"*\"]\n"
    ));
    let server = setup.start();
    (setup, server)
}

#[test]
fn the_files_are_served_to_every_page_without_a_key() {
    let (_setup, server) = node();
    let mut client = server.client();
    let leading = client.get("/nudge.js").expect(302);
    assert_eq!(leading.field("cache-control"), Some("public, max-age=300"));
    let name = leading.field("location").unwrap();
    assert!(name.starts_with("nudge-"), "beside the first, behind a proxy that adds a path too");
    let path = format!("/{name}");
    let plain = client.get(&path).expect(200);
    assert_eq!(plain.field("cache-control"), Some("public, max-age=31536000, immutable"));
    assert_eq!(plain.field("access-control-allow-origin"), Some("*"));
    assert_eq!(plain.field("cross-origin-resource-policy"), Some("cross-origin"));
    assert_eq!(plain.field("x-content-type-options"), Some("nosniff"));
    // The same from another client, compressed on the way.
    let whole = ["-sfL", "--compressed", "-w", "%{size_download} %{num_redirects}"];
    let url = format!("http://{}/nudge.js", server.data);
    let output = Command::new("curl").args(whole).arg(&url).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let (body, sizes) = said.split_at(plain.body.len());
    assert_eq!(body, plain.body);
    let (compressed_bytes, redirects) = sizes.split_once(' ').unwrap();
    assert_eq!(redirects, "1");
    assert!(compressed_bytes.parse::<usize>().unwrap() < plain.body.len() / 2, "{sizes}");
    // A head tells the same, and what is known is not sent again; on one connection, in order.
    client.send(&request("HEAD", &path, ""));
    let length = plain.body.len().to_string();
    assert_eq!(client.answer_to_head().field("content-length"), Some(&*length));
    let tag = plain.field("etag").unwrap();
    for (known, status) in [(tag, 304), ("\"other\"", 200), ("*", 304)] {
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nIf-None-Match: \"a\", {known}\r\n\r\n");
        client.send(head.as_bytes());
        let answer = client.answer().expect(status);
        assert_eq!(answer.field("etag"), Some(tag));
    }
    client.ask("POST", &path, "").expect(405);
    client.get("/v1/decide?user=u").expect(401);
    server.stop();
}

#[test]
fn a_page_shows_popups_with_one_tag() {
    if !has_browser() {
        return;
    }
    let (_setup, server) = node();
    let [node, admin] = [server.data, server.admin].map(|address| format!("http://{address}"));
    assert_passed(&told("tests/browser/snippet.mjs", &[&node, &admin, KEY]), 15);
    server.stop();
}

/// The shop of `docs/examples`, ended with its node when it goes.
struct Shop(Child);

impl Drop for Shop {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

#[test]
fn the_shop_of_the_examples_is_one_command() {
    if !has_browser() {
        return;
    }
    let any = "127.0.0.1:0";
    let mut command = Command::new(repository("docs/examples/shop/serve"));
    command.args(["--port", "0", "--listen", any, "--admin", any]);
    command.args(["--nudged", env!("CARGO_BIN_EXE_nudged")]);
    let mut shop = Shop(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let mut lines = BufReader::new(shop.0.stdout.take().unwrap()).lines();
    let line = lines.next().expect("the shop says where it is").unwrap();
    let url = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
    assert_passed(&told("tests/browser/shop.mjs", &[url.trim_end_matches(',')]), 1);
}

#[test]
fn the_files_in_the_tree_are_of_their_source() {
    let packages = repository("src/snippet/node_modules");
    let is_wanted = std::env::var_os("TEST_NUDGED_BROWSER").is_some();
    if !packages.exists() {
        assert!(!is_wanted, "no {}", packages.display());
        println!("left out: no {}", packages.display());
        return;
    }
    let mut command = Command::new("node");
    let output = command.arg(repository("src/snippet/build.mjs")).arg("--check").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A block of the guide, by its language, from 1.
fn block(language: &str, number: usize) -> String {
    let guide = std::fs::read_to_string(repository("docs/integrate.md")).unwrap();
    let part = guide.split(&format!("```{language}\n")).nth(number).unwrap();
    part.split("```").next().unwrap().to_owned()
}

#[test]
fn the_guide_puts_a_popup_on_a_page() {
    let config = block("toml", 2);
    let (popups, origin) = ("popups = \"popups.toml\"\n", "http://127.0.0.1:8000");
    assert!(config.contains(popups) && config.contains(origin), "{config}");
    // Which port its page has is known later than the node's settings.
    let config = config.replace(origin, "*").replace(popups, "");
    let setup = Setup::new(&block("toml", 1));
    let setup = setup.config(&format!("{config}[limits]\nread_deadline = \"30s\"\n"));
    let server = setup.start();
    if has_browser() {
        let node = format!("http://{}", server.data);
        assert_passed(&told("tests/browser/guide.mjs", &[&node]), 1);
    }
    server.stop();
}

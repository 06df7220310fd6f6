//! Property: what a released version has written, every later one opens. Nobody is shown again what
//! they have seen, tokens are known, pauses hold, and who was erased stays erased; of an embedded
//! node that was killed, and of Redis and MySQL (docs/guarantees.md#g8).
//!
//! `tests/corpus/data` has what each version left, and the program that wrote it. A version is
//! added when it is released; none is ever written again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::{Cluster, Plan};
use crate::harness::{Server, Setup, repository, until};

/// Rows of a version stay, however old they are when it is opened. A clock that is behind them is
/// that of another machine.
const KEPT: &str = "[retention]\nevents = \"never\"\n";
const FLAGS: [&str; 3] = ["--accept-clock", "--shards", "3"];

fn versions() -> Vec<PathBuf> {
    let entries = fs::read_dir(repository("tests/corpus/data")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut versions: Vec<PathBuf> = paths.filter(|path| path.is_dir()).collect();
    versions.sort();
    assert!(!versions.is_empty());
    versions
}

fn popups() -> String {
    fs::read_to_string(repository("tests/corpus/data/popups.toml")).unwrap()
}

fn unpacked(path: &Path) -> Vec<u8> {
    let output = Command::new("gzip").arg("-dc").arg(path).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// The tokens of a kind of store, with their users.
fn tokens(version: &Path, kind: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(version.join("tokens.txt")).unwrap();
    let words = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let own = words.filter(|words| words[0] == kind);
    own.map(|words| (words[1].to_owned(), words[2].to_owned())).collect()
}

/// Holds what a node makes of a version's data.
fn hold(server: &Server, tokens: &[(String, String)]) {
    let (mut client, mut operator) = (server.client(), server.operator());
    // Redis may have to be filled first.
    until("service to be full", || {
        let answer = client.decide("somebody");
        (answer.status == 200 || answer.reason() != "degraded").then_some(())
    });
    for (user, token) in tokens {
        assert_eq!(client.decide(user).reason(), "gap", "{user}");
        let told = client.event(token, "converted").expect(202).json();
        // By how much later it is asked.
        let is_late = told["rejected"][0]["code"] == "too_late";
        assert!(is_late || told["accepted"] == 1, "{user}: {told}");
    }
    let first = client.get("/v1/decide?user=first&placement=side");
    assert_eq!(first.reason(), "max_shows");
    for (user, outcome) in [("ann", "clicked"), ("bob", "dismissed")] {
        let state = operator.get(&format!("/v1/users/{user}")).expect(200).json();
        let found = &state["popups"][0];
        assert_eq!((&found["id"], &found["shows"]), (&"welcome".into(), &1.into()), "{state}");
        let is_theirs = found["outcome"] == outcome || found["outcome"] == "converted";
        assert!(is_theirs, "{state}");
    }
    let gone = operator.get("/v1/users/gone").expect(200).json();
    assert_eq!(gone["popups"], serde_json::json!([]), "{gone}");
    let stopped = operator.get("/v1/popups/stopped").expect(200).json();
    assert_eq!(stopped["override"], "paused", "{stopped}");
    assert_eq!(client.get("/v1/decide?user=new&placement=stop").reason(), "none");
    let welcome = operator.get("/v1/popups/welcome").expect(200).json();
    assert_eq!(welcome["version"], 1, "the same popup is no new version: {welcome}");
}

#[test]
fn a_data_directory_of_each_version_is_opened() {
    for version in versions() {
        let setup = Setup::new(&popups()).config(KEPT);
        fs::create_dir(setup.data()).unwrap();
        let mut command = Command::new("tar");
        command.arg("-xzf").arg(version.join("embedded.tar.gz")).arg("-C").arg(setup.data());
        assert!(command.status().unwrap().success());
        let server = setup.start_with(&FLAGS);
        let tokens = tokens(&version, "embedded");
        assert!(tokens.iter().any(|(user, _)| user == "last"), "of the journal alone");
        hold(&server, &tokens);
        server.stop();
    }
}

/// Words in hex.
fn words_of(line: &str) -> Vec<Vec<u8>> {
    let byte = |hex: &[u8]| u8::from_str_radix(std::str::from_utf8(hex).unwrap(), 16).unwrap();
    let bytes = |word: &str| word.as_bytes().chunks(2).map(byte).collect();
    line.split(' ').map(bytes).collect()
}

#[test]
fn redis_and_mysql_of_each_version_are_opened() {
    for version in versions() {
        // The version's own tables take the place of these.
        let cluster = Cluster::new(Plan { settings: KEPT, ..Plan::new(&popups()) });
        let dump = unpacked(&version.join("mysql.sql.gz"));
        cluster.rows(std::str::from_utf8(&dump).unwrap());
        let migrated = cluster.migrate();
        assert_eq!(migrated.code, Some(0), "{migrated:?}");
        for line in std::str::from_utf8(&unpacked(&version.join("redis.txt.gz"))).unwrap().lines() {
            let words = words_of(line);
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            let said = cluster.redis.ask(&words);
            assert!(!said.starts_with(b"-"), "{line}: {}", String::from_utf8_lossy(&said));
        }
        let setup = cluster.node();
        let server = setup.start_with(&["--accept-clock"]);
        hold(&server, &tokens(&version, "shared"));
        server.stop();
        cluster.check_sql();
    }
}

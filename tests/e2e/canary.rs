//! Property: no secret and no user is in anything that a node says: log lines of every level,
//! metrics, status, answers to what is wrong, command lines, `check`. One that is there once is in
//! somebody's log archive for years.

use std::fs;

use crate::harness::{ALWAYS, Setup, until};

const SERVER_KEY: &str = "canary-server-key-0123456789abcdef";
const PUBLIC_KEY: &str = "canary-public-key-0123456789abcdef";
const WRONG_KEY: &str = "canary-wrong-key-0123456789abcdefgh";
const SECRET: &str = "canary-identity-secret-0123456789ab";
const SIGNATURE: &str = "canary-signature-0123456789abcdef";
const PASSWORD: &str = "canary-password";
const USER: &str = "canary-user";

/// Fails where a text has a canary in it.
fn assert_silent(what: &str, text: &str, canaries: &[&str]) {
    for canary in canaries {
        assert!(!text.contains(canary), "{what} tells {canary}:\n{text}");
    }
}

#[test]
fn keys_tokens_and_users_are_in_nothing_that_a_node_says() {
    let keys = format!(
        "[keys]\nserver = [\"{SERVER_KEY}\"]\npublic = [\"{PUBLIC_KEY}\"]\n\
         identity = [\"{SECRET}\"]\n[preview]\nusers = [\"{USER}-2\"]\n"
    );
    let setup = Setup::new(ALWAYS).config(&format!("{keys}[log]\nlevel = \"debug\"\n"));
    let server = setup.start();
    let mut client = server.client();
    let ask = format!("/v1/decide?user={USER}&key=");
    let token = client.get(&format!("{ask}{SERVER_KEY}")).expect(200).token().unwrap();
    let mut said = Vec::new();
    said.push(client.get(&format!("{ask}{WRONG_KEY}")).expect(401).body);
    let signed = format!("/v1/decide?user={USER}&key={PUBLIC_KEY}&sig={SIGNATURE}");
    said.push(client.get(&signed).expect(401).body);
    said.push(client.get(&format!("/v1/decide?{USER}={SERVER_KEY}&placement={USER}%")).body);
    for body in [format!("{{\"decision\":\"{token}"), format!("[{{\"decision\":\"{token}x\"}}]")] {
        let answer = client.ask("POST", &format!("/v1/events?key={PUBLIC_KEY}"), &body);
        said.push(answer.body);
    }
    let mut operator = server.operator();
    let answers = ["/metrics", "/v1/status", "/v1/nothing?token=canary-server-key"];
    said.extend(answers.map(|path| operator.get(path).body));
    said.push(operator.ask("POST", "/v1/popups/banner/pause", "").expect(200).body);
    let cmdline = fs::read(format!("/proc/{}/cmdline", server.pid())).unwrap();
    said.push(String::from_utf8(cmdline).unwrap());
    for command in [&["check", "--config", "nudged.toml", "popups.toml"][..], &["check", "--json"]]
    {
        let exit = setup.run(command);
        said.push(exit.stdout + &exit.stderr);
    }
    until("a line of the log", || server.said().contains("ready").then_some(()));
    said.push(server.said());
    let canaries = [SERVER_KEY, PUBLIC_KEY, WRONG_KEY, SECRET, SIGNATURE, USER, &token];
    said.iter().for_each(|text| assert_silent("a node", text, &canaries));
    server.stop();
}

#[test]
fn passwords_of_servers_that_are_away_are_not_told() {
    let urls = format!(
        "[log]\nlevel = \"debug\"\n[redis]\nurl = \"redis://u:{PASSWORD}@127.0.0.1:1\"\n\
         [mysql]\nurl = \"mysql://u:{PASSWORD}@127.0.0.1:1/nudged\"\n"
    );
    let setup = Setup::new(ALWAYS).config(&urls);
    // Without a copy of the keys there is no start.
    let started = setup.start_fails(&[]);
    assert!(started.stderr.contains("127.0.0.1"), "it tells who is away: {started:?}");
    let migrate = setup.run(&["migrate"]);
    let wrong = urls.replace("mysql://", "mysql:/").replace("redis://", "redi://");
    setup.write_config(&wrong);
    let check = setup.run(&["check", "--config", "nudged.toml"]);
    assert_eq!(check.code, Some(2), "{check:?}");
    for said in [started.stderr, migrate.stderr, check.stdout, check.stderr] {
        assert_silent("a node", &said, &[PASSWORD]);
    }
}

//! Property: the configurations that docs/operations.md has the reader write are accepted by what
//! reads them. That its lines work together, on hosts of their own, `tests/package/two-vms` shows.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::{Setup, WELCOME, repository};
use crate::readme::{block_with, shell};

/// What a block writes into a file that begins with `name`, by a here-document.
fn written(block: &str, name: &str) -> String {
    let (_, rest) = block.split_once(&format!("{name} <<END\n")).unwrap();
    rest.split("\nEND\n").next().unwrap().to_owned() + "\n"
}

/// Configurations among the blocks of a document, each with what reads it.
fn tables(document: &str) -> Vec<String> {
    let parts = document.split("\n```toml\n").skip(1);
    parts.map(|part| part.split("\n```").next().unwrap().to_owned() + "\n").collect()
}

/// `nudged check` of a configuration, with the files that it names where they are.
fn check(text: &str, variables: &[(&str, &str)]) {
    let setup = Setup::new(WELCOME);
    for ending in ["pem", "key"] {
        fs::copy(
            repository(&format!("tests/corpus/tls/server.{ending}")),
            setup.path(&format!("tls.{ending}")),
        )
        .unwrap();
    }
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::write(setup.path("admin-token"), "a-token-of-sixteen-characters\n").unwrap();
    for name in ["tls.key", "admin-token"] {
        fs::set_permissions(setup.path(name), fs::Permissions::clone(&mode)).unwrap();
    }
    let folder = setup.path("").display().to_string();
    // Of the hosts that are spoken of this one is none.
    let text = text
        .replace("/etc/nudged/", &folder)
        .replace("/var/lib/nudged", &format!("{folder}data"))
        .replace("$address:", "127.0.0.1:")
        .replace("10.0.0.5:", "127.0.0.5:");
    fs::write(setup.path("nudged.toml"), &text).unwrap();
    let setup = variables.iter().fold(setup, |setup, (name, value)| setup.variable(name, value));
    let exit = setup.run(&["check", "--config", "nudged.toml"]);
    assert_eq!(exit.code, Some(0), "{exit:?}\n--- of ---\n{text}");
}

#[test]
fn nudged_accepts_what_a_reader_writes() {
    let document = fs::read_to_string(repository("docs/operations.md")).unwrap();
    let tables = tables(&document);
    assert!(tables.len() >= 2, "{tables:?}");
    tables.iter().for_each(|table| check(table, &[]));
    let block = block_with("# On each node");
    let variables = written(&block, "/etc/default/nudged");
    let variables: Vec<_> = variables.lines().map(|line| line.split_once('=').unwrap()).collect();
    assert_eq!(variables.len(), 2, "{variables:?}");
    check(&written(&block, "/etc/nudged/nudged.toml"), &variables);
}

#[test]
fn haproxy_accepts_what_a_reader_makes() {
    let is_there = Command::new("haproxy").arg("-v").stdout(Stdio::null()).status();
    if !is_there.is_ok_and(|status| status.success()) {
        println!("haproxy is not installed; left out");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("haproxy.cfg").display().to_string();
    let block = block_with("# On the balancer, 10.0.0.2");
    let wanted = |line: &&str| line.starts_with("sed ") || line.starts_with("haproxy -c");
    let lines: Vec<&str> = block.lines().filter(wanted).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    let vendor = repository("vendor-config").display().to_string();
    let lines = lines
        .join("\n")
        .replace("/etc/haproxy/haproxy.cfg", &made)
        .replace("vendor-config", &vendor)
        // Its user is there where it is installed as a service.
        .replace(
            "haproxy -c",
            &format!("sed -i '/^    user /d; /^    group /d' {made}; haproxy -c"),
        );
    shell(&lines, &[]);
    let text = fs::read_to_string(Path::new(&made)).unwrap();
    assert!(text.contains("10.0.0.11:8080") && !text.contains("192.0.2."), "{text}");
}

#[test]
fn the_contents_name_every_section() {
    let document = fs::read_to_string(repository("docs/operations.md")).unwrap();
    let sections: Vec<&str> =
        document.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let (contents, _) = document.split_once("\n## ").unwrap();
    let is_named = |section: &&&str| contents.contains(&format!("[{section}](#"));
    let missing: Vec<_> = sections.iter().filter(|section| !is_named(section)).collect();
    assert!(sections.len() > 20 && missing.is_empty(), "{missing:?}");
}

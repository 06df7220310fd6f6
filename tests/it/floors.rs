//! Property: imports go down only. A floor that imports from a higher one makes the core depend on
//! the runtime, and the simulator impossible. Each third-party crate that does I/O appears on the
//! floors that may know it, and no clock or thread below the runtime.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders of `src` by floor, from the lowest; `architecture` tells why.
const FLOORS: [&[&str]; 7] = [
    &["base", "telemetry", "config"],
    &["http", "redis", "journal"],
    &["catalog", "state", "decide"],
    &["api"],
    &["keeper", "shard", "writer"],
    &["runtime", "store", "admin"],
    &["node"],
];
/// Within the domain: decide may use state and catalog; state may use catalog.
const WITHIN_DOMAIN: [&str; 3] = ["catalog", "state", "decide"];
/// Crates and paths that only floors from this index on may name.
const FROM_FLOOR: [(&str, usize); 16] = [
    ("io_uring", 5),
    ("glommio", 5),
    ("rustix", 5),
    ("rusqlite", 5),
    ("mysql_async", 5),
    ("tokio", 5),
    ("core_affinity", 5),
    ("signal_hook", 6),
    ("clap", 6),
    ("std::thread", 5),
    ("TcpStream", 5),
    ("TcpListener", 5),
    ("UnixStream", 5),
    ("std::fs", 5),
    ("Instant::now", 5),
    ("SystemTime::now", 5),
];

/// Every Rust file below a folder.
pub fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|modules| modules.contains(&module))
}

/// Lines that the build ships: without comments and without the tests at a file's end.
fn shipped_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate();
    lines
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn violations(module: &str, text: &str) -> Vec<String> {
    let floor = floor_of(module).unwrap_or_else(|| panic!("src/{module} is on no floor"));
    let mut found = Vec::new();
    for (number, line) in shipped_lines(text) {
        let mut say = |what: &str| found.push(format!("{}: {what}: {}", number + 1, line.trim()));
        for piece in line.split("crate::").skip(1) {
            let end = piece.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(piece.len());
            let imported = &piece[..end];
            let Some(other) = floor_of(imported) else { continue };
            let is_up_in_domain = match (
                WITHIN_DOMAIN.iter().position(|name| *name == module),
                WITHIN_DOMAIN.iter().position(|name| *name == imported),
            ) {
                (Some(own), Some(theirs)) => theirs > own,
                _ => false,
            };
            if other > floor || is_up_in_domain {
                say("imports upwards");
            }
        }
        for (name, lowest) in FROM_FLOOR {
            if floor < lowest && line.contains(name) {
                say(&format!("`{name}` belongs to floor {lowest} and above"));
            }
        }
    }
    found
}

#[test]
fn imports_go_down_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 50, "the tree was found");
    let mut all = Vec::new();
    for path in files {
        let inside = path.strip_prefix(&root).unwrap();
        let mut parts = inside.components();
        let module = parts.next().unwrap().as_os_str().to_str().unwrap();
        let is_test = inside.file_stem().is_some_and(|stem| stem == "tests");
        if parts.next().is_none() || is_test {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        all.extend(violations(module, &text).iter().map(|v| format!("{}:{v}", inside.display())));
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn the_test_itself_catches_what_it_should() {
    assert_eq!(violations("http", "use crate::api::json;").len(), 1);
    assert_eq!(violations("state", "use crate::decide::gates;").len(), 1);
    assert_eq!(violations("decide", "use crate::state::user;").len(), 0);
    assert_eq!(violations("shard", "let now = Instant::now();").len(), 1);
    assert_eq!(violations("shard", "// rustix is not known here").len(), 0);
}

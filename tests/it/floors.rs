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

/// Lines that the build ships: without comments, and without the items that only tests have,
/// wherever in a file they stand. rustfmt puts the end of an item at the depth of its begin, which
/// is how the end is found.
fn shipped_lines(text: &str) -> Vec<(usize, &str)> {
    let mut lines = Vec::new();
    let mut test_item_depth = None;
    for (number, line) in text.lines().enumerate() {
        let depth = line.len() - line.trim_start().len();
        let code = line.trim_start();
        if code.is_empty() || code.starts_with("//") {
            continue;
        }
        if test_item_depth == Some(depth) {
            let is_attribute = code.starts_with("#[");
            let ends = code.ends_with(';') || code.ends_with(',') || code.ends_with('}');
            if ends && !is_attribute {
                test_item_depth = None;
            }
        } else if test_item_depth.is_none_or(|outer| depth < outer) {
            test_item_depth = is_test_only(code).then_some(depth);
            if test_item_depth.is_none() {
                lines.push((number, line));
            }
        }
    }
    lines
}

/// Whether the item after this attribute is built for tests alone.
fn is_test_only(code: &str) -> bool {
    code == "#[cfg(test)]" || code.starts_with("#[cfg(all(test")
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

#[test]
fn what_stands_after_an_item_of_tests_is_looked_at() {
    let poisoned = [
        "#[cfg(test)]\nmod tests;\nuse crate::runtime::clock;",
        "#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n\nfn now() { Instant::now(); }",
        "#[cfg(test)]\n#[allow(unused)]\nfn only(\n    a: u8,\n) {\n    a();\n}\nuse std::fs;",
        "impl A {\n    #[cfg(test)]\n    fn a() {\n        b();\n    }\n    fn c() { std::thread::yield_now(); }\n}",
        "struct A {\n    #[cfg(test)]\n    seen: u32,\n    socket: TcpStream,\n}",
    ];
    for text in poisoned {
        assert_eq!(violations("decide", text).len(), 1, "{text}");
    }
    // What only tests have may look upwards: it is not shipped.
    let tests_only = "#[cfg(test)]\nmod tests {\n    use std::fs;\n    use crate::node::serve;\n}";
    assert_eq!(violations("decide", tests_only).len(), 0);
}

/// The files that a reader of the first half alone would have missed: poison put at the end of
/// each is seen.
#[test]
fn poison_is_seen_at_the_end_of_every_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    for folder in ["catalog", "state", "decide"] {
        sources(&root.join(folder), &mut files);
    }
    for path in files {
        let mut text = fs::read_to_string(&path).unwrap();
        let before = violations("decide", &text).len();
        text.push_str("\nfn poison() -> Instant {\n    Instant::now()\n}\n");
        assert_eq!(violations("decide", &text).len(), before + 1, "{}", path.display());
    }
}

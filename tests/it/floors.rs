//! Property: what a floor may know is what its crates list. The compiler refuses what is not listed
//! and every circle; here stands which lists are right: a dependency lies lower or on the same
//! floor, a third-party crate that does I/O is known to the crates that need it alone, nothing is
//! listed that is not used, and below the runtime nobody names the clocks, threads, files and
//! sockets of the standard library, which no list can keep out.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders of `src` by floor, from the lowest; the root package is `node`.
const FLOORS: [&[&str]; 7] = [
    &["base", "config"],
    &["http", "tls", "redis", "journal"],
    &["domain"],
    &["api"],
    &["shard", "background"],
    &["store", "runtime", "publish", "admin"],
    &["node"],
];
/// The lowest floor that touches the outside.
const RUNTIME_FLOOR: usize = 5;
/// Within the domain: decide may use state and catalog; state may use catalog.
const WITHIN_DOMAIN: [&str; 3] = ["catalog", "state", "decide"];
/// Who may list a crate that does I/O.
const KNOWN_TO: [(&str, &[&str]); 12] = [
    ("io-uring", &["runtime"]),
    ("glommio", &["runtime"]),
    ("futures-lite", &["runtime"]),
    ("core_affinity", &["runtime"]),
    ("mysql_async", &["store"]),
    ("tokio", &["store"]),
    ("rustls", &["tls"]),
    ("rusqlite", &["store"]),
    ("rustix", &["runtime", "admin", "node"]),
    ("libc", &["runtime", "publish", "node"]),
    ("signal-hook", &["node"]),
    ("crossterm", &["node"]),
];
/// What the standard library offers of the outside.
const OUTSIDE: [&str; 9] = [
    "std::thread",
    "std::fs",
    "std::env",
    "std::process",
    "TcpStream",
    "TcpListener",
    "UnixStream",
    "Instant::now",
    "SystemTime::now",
];

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

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

fn floor_of(folder: &str) -> usize {
    let floor = FLOORS.iter().position(|folders| folders.contains(&folder));
    floor.unwrap_or_else(|| panic!("src/{folder} is on no floor"))
}

/// The names that a manifest lists in one of its tables.
fn listed<'a>(manifest: &'a str, table: &str) -> Vec<&'a str> {
    let header = format!("[{table}]");
    let lines = manifest.lines().skip_while(|line| *line != header).skip(1);
    let names = lines.take_while(|line| !line.starts_with('['));
    names.filter_map(|line| line.split(['.', ' ', '=']).next()).filter(|n| !n.is_empty()).collect()
}

/// What is wrong with the dependencies of a folder's crate.
fn wrong_lists(folder: &str, manifest: &str) -> Vec<String> {
    let mut found = Vec::new();
    for name in listed(manifest, "dependencies") {
        if let Some(other) = name.strip_prefix("nudged-")
            && floor_of(other) > floor_of(folder)
        {
            found.push(format!("src/{folder} lists {name} of a floor above"));
        }
        let known = KNOWN_TO.iter().find(|(known, _)| *known == name);
        if known.is_some_and(|(_, folders)| !folders.contains(&folder)) {
            found.push(format!("src/{folder} lists {name}, which it must not know"));
        }
    }
    found
}

/// Lines that the build ships: without comments, and without the items that only tests have,
/// wherever in a file they stand. rustfmt puts the end of an item at the depth of its begin, which
/// is how the end is found.
pub fn shipped_lines(text: &str) -> Vec<(usize, &str)> {
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

/// What a file below the runtime names of the outside, or of the domain's upper part.
fn violations(folder: &str, part: &str, text: &str) -> Vec<String> {
    let own = WITHIN_DOMAIN.iter().position(|name| *name == part);
    let above = own.map_or(&[][..], |own| &WITHIN_DOMAIN[own + 1..]);
    let mut found = Vec::new();
    for (number, line) in shipped_lines(text) {
        let outside = OUTSIDE.iter().filter(|_| floor_of(folder) < RUNTIME_FLOOR);
        let names = outside.filter(|name| line.contains(**name)).map(|name| (*name).to_owned());
        let imports = above.iter().map(|name| format!("crate::{name}"));
        for name in names.chain(imports.filter(|name| line.contains(name))) {
            found.push(format!("{}: `{name}` must not be known here", number + 1));
        }
    }
    found
}

/// The files that the build ships, each with its folder and the part of the folder it is in.
pub fn shipped_files() -> Vec<(String, String, PathBuf)> {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    assert!(files.len() > 50, "the tree was found");
    let mut shipped = Vec::new();
    for path in files {
        let inside = path.strip_prefix(root().join("src")).unwrap().to_owned();
        let parts: Vec<&str> = inside.iter().map(|part| part.to_str().unwrap()).collect();
        let is_test = parts.contains(&"tests") || inside.file_stem().is_some_and(|s| s == "tests");
        if parts.len() > 1 && !is_test {
            shipped.push((parts[0].to_owned(), parts[1].to_owned(), path));
        }
    }
    shipped
}

#[test]
fn dependency_lists_go_down_only() {
    let mut wrong = Vec::new();
    for folder in FLOORS.iter().flat_map(|folders| folders.iter()) {
        let path = if *folder == "node" { root().into() } else { root().join("src").join(folder) };
        let manifest = fs::read_to_string(path.join("Cargo.toml")).unwrap();
        wrong.extend(wrong_lists(folder, &manifest));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_listed_is_used() {
    let files = shipped_files();
    for folder in FLOORS.iter().flat_map(|folders| folders.iter()).filter(|f| **f != "node") {
        let manifest = root().join("src").join(folder).join("Cargo.toml");
        let manifest = fs::read_to_string(manifest).unwrap();
        let own = files.iter().filter(|(of, _, _)| of == folder);
        let text: String = own.map(|(_, _, path)| fs::read_to_string(path).unwrap()).collect();
        for name in listed(&manifest, "dependencies") {
            let name = name.replace('-', "_");
            // One that is listed for its version alone is named all the same.
            let is_used = [format!("{name}::"), format!("use {name} as _;")];
            let is_used = is_used.iter().any(|used| text.contains(used));
            assert!(is_used, "src/{folder} lists {name} and does not use it");
        }
    }
}

#[test]
fn the_outside_is_known_to_the_runtime_alone() {
    let mut all = Vec::new();
    for (folder, part, path) in shipped_files() {
        let text = fs::read_to_string(&path).unwrap();
        let found = violations(&folder, &part, &text);
        all.extend(found.iter().map(|violation| format!("{}:{violation}", path.display())));
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn the_test_itself_catches_what_it_should() {
    let manifest = "[dependencies]\nnudged-shard.workspace = true\ntokio.workspace = true\n\
                    [dev-dependencies]\nrusqlite.workspace = true\n";
    assert_eq!(wrong_lists("http", manifest).len(), 2);
    assert_eq!(wrong_lists("store", manifest).len(), 0);
    assert_eq!(violations("domain", "state", "use crate::decide::gates;").len(), 1);
    assert_eq!(violations("domain", "decide", "use crate::state::user;").len(), 0);
    assert_eq!(violations("shard", "core.rs", "let now = Instant::now();").len(), 1);
    assert_eq!(violations("runtime", "clocks.rs", "let now = Instant::now();").len(), 0);
    assert_eq!(violations("shard", "core.rs", "// std::fs is not known here").len(), 0);
}

#[test]
fn what_stands_after_an_item_of_tests_is_looked_at() {
    let poisoned = [
        "#[cfg(test)]\nmod tests;\nuse std::fs;",
        "#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n\nfn now() { Instant::now(); }",
        "#[cfg(test)]\n#[allow(unused)]\nfn only(\n    a: u8,\n) {\n    a();\n}\nuse std::fs;",
        "impl A {\n    #[cfg(test)]\n    fn a() {\n        b();\n    }\n    fn c() { std::thread::yield_now(); }\n}",
        "struct A {\n    #[cfg(test)]\n    seen: u32,\n    socket: TcpStream,\n}",
    ];
    for text in poisoned {
        assert_eq!(violations("domain", "decide", text).len(), 1, "{text}");
    }
    // What only tests have may look outside: it is not shipped.
    let tests_only =
        "#[cfg(test)]\nmod tests {\n    use std::fs;\n    use crate::decide::gates;\n}";
    assert_eq!(violations("domain", "state", tests_only).len(), 0);
}

/// A reader that stops too early would miss poison at the end of a file.
#[test]
fn poison_is_seen_at_the_end_of_every_file() {
    for (folder, part, path) in shipped_files() {
        if floor_of(&folder) >= RUNTIME_FLOOR {
            continue;
        }
        let mut text = fs::read_to_string(&path).unwrap();
        let before = violations(&folder, &part, &text).len();
        text.push_str("\nfn poison() -> Instant {\n    Instant::now()\n}\n");
        assert_eq!(violations(&folder, &part, &text).len(), before + 1, "{}", path.display());
    }
}

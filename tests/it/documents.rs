//! Property: what a document names runs. Every command in README and the other documents, every
//! tool and every example has a smoke: a line of `tools/test`, or a test that does the same.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What runs a command.
enum Smoke {
    /// A line of `tools/test`.
    Tool(&'static str),
    /// A function of a file of tests.
    Test(&'static str, &'static str),
    /// CI itself, which runs `tools/test`.
    Ci,
}

use Smoke::{Ci, Test, Tool};

/// Every command, without its arguments, with what runs it.
const SMOKES: &[(&str, Smoke)] = &[
    ("cargo run", Test("e2e/readme.rs", "the_first_minute")),
    ("curl", Test("e2e/readme.rs", "the_first_minute")),
    ("cargo build", Test("e2e/readme.rs", "more_than_one_node")),
    ("cargo run --example floor", Test("e2e/readme.rs", "the_floor_serves_an_answer")),
    ("cargo build --example floor", Tool("tools/bench --smoke")),
    ("cargo run --example open-loop", Ci),
    ("cargo test --test alloc", Test("alloc/main.rs", "a_decision_that_shows_nothing")),
    ("cargo test --test chaos", Test("chaos/main.rs", "main")),
    ("cargo test --test sim", Test("sim/main.rs", "main")),
    ("cargo test --test e2e", Ci),
    ("cargo test --test it", Ci),
    ("cargo test --test stores", Ci),
    ("kill", Test("e2e/reload.rs", "a_bad_file_changes_nothing_and_every_error_is_named")),
    (
        "nudged backup",
        Test("e2e/backup.rs", "a_copy_made_under_load_has_all_that_was_acknowledged_and_serves"),
    ),
    ("nudged check", Test("e2e/first_minute.rs", "the_samples_that_are_shipped_are_right")),
    (
        "nudged drain",
        Test("e2e/retired.rs", "what_is_left_is_applied_once_and_again_is_harmless"),
    ),
    ("nudged doctor", Test("e2e/doctor.rs", "a_host_is_looked_at_beside_the_node_that_runs_on_it")),
    ("nudged explain", Test("e2e/admin.rs", "explanations_record_nothing")),
    ("nudged export", Test("e2e/catalog.rs", "popups_go_out_and_in_again")),
    ("nudged import", Test("e2e/catalog.rs", "popups_go_out_and_in_again")),
    (
        "nudged journal",
        Test("e2e/journal_command.rs", "records_are_read_beside_a_running_node_and_behind_damage"),
    ),
    ("nudged migrate", Test("e2e/readme.rs", "more_than_one_node")),
    ("nudged schema", Test("e2e/first_minute.rs", "the_schema_of_popups_is_printed")),
    ("nudged serve", Test("e2e/readme.rs", "the_first_minute")),
    ("nudged top", Test("e2e/top.rs", "a_node_is_watched_in_a_terminal_that_is_given_back")),
    ("nudged vectors", Tool("target/debug/nudged vectors")),
    ("tools/api-check", Tool("tools/api-check --smoke")),
    ("tools/bench", Tool("tools/bench --smoke")),
    ("tools/bench-tls", Tool("tools/bench-tls --smoke")),
    ("tools/chaos", Tool("tools/chaos --smoke")),
    ("tools/console", Test("e2e/console.rs", "what_is_in_the_tree_is_of_its_source")),
    ("tools/instructions", Tool("tools/instructions --smoke")),
    ("tools/kill-loop", Tool("tools/kill-loop --smoke")),
    ("tools/load", Tool("tools/bench --smoke")),
    ("tools/manual", Tool("tools/package --smoke")),
    ("tools/overload", Tool("tools/overload --smoke")),
    ("tools/package", Tool("tools/package --smoke")),
    ("tools/side-by-side", Tool("tools/side-by-side --smoke")),
    ("tools/sim", Tool("tools/sim --smoke")),
    ("tools/test", Ci),
    ("tools/upgrade", Tool("tools/upgrade --smoke")),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Files below a folder, or beside the manifest, that `wanted` picks.
fn files(folder: &Path, wanted: &dyn Fn(&Path) -> bool, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let is_ours = !["target", "node_modules"].contains(&&*name) && !name.starts_with('.');
        if path.is_dir() && is_ours {
            files(&path, wanted, into);
        } else if path.is_file() && wanted(&path) {
            into.push(path);
        }
    }
}

/// Each document, and the words at the head of tests, benches and tools.
fn documents() -> Vec<(String, String)> {
    let is_document = |path: &Path| {
        let is_named = |name: &str| path.file_name().is_some_and(|found| found == name);
        let below = |folder: &str| path.starts_with(root().join(folder));
        let is_head = is_named("main.rs") && (below("tests") || below("benches"));
        path.extension().is_some_and(|found| found == "md") || is_head || below("vendor-config")
    };
    let mut found = Vec::new();
    files(root(), &is_document, &mut found);
    let name = |path: &Path| path.strip_prefix(root()).unwrap().display().to_string();
    let read = |path: &PathBuf| {
        let whole = fs::read_to_string(path).unwrap();
        let heads = |line: &&str| line.starts_with("//!");
        match path.extension().is_some_and(|found| found == "rs") {
            true => whole.lines().filter(heads).map(|line| format!("{}\n", &line[3..])).collect(),
            false => whole,
        }
    };
    found.iter().map(|path| (name(path), read(path))).collect()
}

/// The command that a line or a span begins with, without its arguments; none where it is no
/// command of this project.
fn command_of(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().skip_while(|word| word.contains('=')).collect();
    let first = *words.first()?;
    let behind = |flag: &str| {
        let place = words.iter().position(|word| *word == flag)?;
        words.get(place + 1).map(|name| format!("{flag} {name}"))
    };
    let second = words.get(1).copied().unwrap_or_default();
    match first.trim_start_matches("target/release/") {
        "cargo" if matches!(second, "run" | "build" | "test") => {
            let target = behind("--example").or(behind("--test"));
            let target = target.map_or(String::new(), |target| format!(" {target}"));
            Some(format!("cargo {second}{target}")).filter(|command| command != "cargo test")
        }
        "nudged" if second.bytes().all(|byte| byte.is_ascii_lowercase()) && !second.is_empty() => {
            Some(format!("nudged {second}"))
        }
        "curl" | "kill" => Some(first.to_owned()),
        tool if tool.starts_with("tools/") => {
            let name = tool.split(['/', '`']).nth(1)?;
            Some(format!("tools/{name}"))
        }
        _ => None,
    }
}

/// Spans in backticks, and the lines of blocks: those between fences, and indented ones.
fn commands_of(document: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut is_block = false;
    for line in document.lines() {
        if line.trim_start().starts_with("```") {
            is_block = !is_block;
        } else if is_block || line.starts_with("    ") || line.starts_with(" cargo") {
            found.extend(command_of(line));
        } else {
            found.extend(line.split('`').skip(1).step_by(2).filter_map(command_of));
        }
    }
    found
}

fn has_function(path: &str, name: &str) -> bool {
    let text = text(&format!("tests/{path}"));
    text.lines().any(|line| line.starts_with(&format!("fn {name}(")))
}

#[test]
fn every_command_of_a_document_has_a_smoke() {
    let mut missing = Vec::new();
    let mut count = 0;
    for (name, document) in documents() {
        for command in commands_of(&document) {
            count += 1;
            if !SMOKES.iter().any(|(known, _)| *known == command) {
                missing.push(format!("{name}: {command}"));
            }
        }
    }
    assert!(count > 20, "{count} commands are too few to be all");
    assert!(missing.is_empty(), "no smoke is listed for: {missing:#?}");
}

#[test]
fn every_smoke_is_run() {
    let tool = text("tools/test");
    assert!(text(".ci/run").contains("tools/test"));
    for (command, smoke) in SMOKES {
        let is_run = match smoke {
            Tool(line) => tool.lines().any(|own| own.trim().starts_with(&format!("\"{line}"))),
            Test(path, function) => has_function(path, function),
            Ci => true,
        };
        assert!(is_run, "what is listed for {command} is not there");
    }
}

#[test]
fn every_tool_and_example_has_a_smoke() {
    for entry in fs::read_dir(root().join("tools")).unwrap() {
        let name = format!("tools/{}", entry.unwrap().file_name().to_string_lossy());
        assert!(SMOKES.iter().any(|(known, _)| *known == name), "{name}");
    }
    let manifest = text("Cargo.toml");
    for example in manifest.split("[[example]]").skip(1) {
        let name = example.split('"').nth(1).unwrap();
        let command = format!("cargo run --example {name}");
        assert!(SMOKES.iter().any(|(known, _)| *known == command), "{command}");
    }
    // What the scripts of a load are run by names each of them.
    let mut benches = Vec::new();
    let is_python = |path: &Path| path.extension().is_some_and(|found| found == "py");
    files(&root().join("benches/goals"), &is_python, &mut benches);
    let benches: String = benches.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    for entry in fs::read_dir(root().join("tools/load")).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        assert!(benches.contains(&name), "tools/load/{name} is run by nothing");
    }
}

/// README is what a user needs in the first ten minutes; the rest belongs into `docs`.
const README_LINES_MAX: usize = 220;

#[test]
fn the_readme_stays_short() {
    let count = text("README.md").lines().count();
    assert!(count <= README_LINES_MAX, "README has {count} lines: move some into docs/");
}

#[test]
fn the_test_itself_finds_what_it_should() {
    let document = "Ask `nudged doctor --all` or `tools/x`, not `nudged` or `cargo`.\n\
                    | `tools/y --seed S` | what |\n```sh\n# no command\nA=b target/release/nudged \
                    migrate\n```\n    cargo run --release --example z -- 1\n";
    let found: Vec<String> = commands_of(document).into_iter().collect();
    let wanted = ["cargo run --example z", "nudged doctor", "nudged migrate", "tools/x", "tools/y"];
    assert_eq!(found, wanted);
}

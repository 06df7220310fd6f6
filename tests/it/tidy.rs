//! Property: the tree stays readable. Files, lines and functions have lengths at which they are
//! split; nothing unfinished is committed.

use std::fs;
use std::path::Path;

use crate::floors::sources;

/// A file beyond this wants to be two.
const FILE_LINES_MAX: usize = 800;
/// Code is rustfmt's to break, which leaves long texts alone; comments are on us.
const LINE_COLUMNS_MAX: usize = 100;

fn problems(text: &str) -> Vec<String> {
    let unfinished = [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("dbg", "!(")];
    let mut found = Vec::new();
    if text.lines().count() > FILE_LINES_MAX {
        found.push(format!("more than {FILE_LINES_MAX} lines"));
    }
    if !text.starts_with("//!") {
        found.push("does not begin with what it is".to_owned());
    }
    for (index, line) in text.lines().enumerate() {
        let is_comment = line.trim_start().starts_with("//");
        if is_comment && line.chars().count() > LINE_COLUMNS_MAX {
            found.push(format!("line {} is longer than {LINE_COLUMNS_MAX} columns", index + 1));
        }
        if let Some(word) = unfinished.iter().find(|word| line.contains(**word)) {
            found.push(format!("line {}: {word}", index + 1));
        }
    }
    found
}

#[test]
fn the_tree_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "tests", "benches"] {
        sources(&root.join(folder), &mut files);
    }
    let mut all = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.strip_prefix(root).unwrap().display().to_string();
        all.extend(problems(&text).into_iter().map(|problem| format!("{name}: {problem}")));
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn the_test_itself_catches_what_it_should() {
    let long = format!("//! x\n// {}", "y".repeat(LINE_COLUMNS_MAX));
    assert_eq!(problems(&long).len(), 1);
    assert_eq!(problems("fn main() {}").len(), 1);
    assert_eq!(problems(concat!("//! x\ntodo", "!()")).len(), 1);
}

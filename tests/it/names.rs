//! Property: a name means one thing. No type of production code shares its name with another,
//! except where it is the same idea in each: the seam of a step machine, a cursor over bytes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::floors::{root, shipped_files, shipped_lines};

/// Names that stand more than once, each with the idea that its bearers share.
const SAME_IDEA: [(&str, &str); 5] = [
    ("Effect", "what a step machine wants done"),
    ("Input", "what a step machine is told"),
    ("Stage", "how far a step machine has come"),
    ("Turn", "what a step machine has for one step"),
    ("View", "what of a step machine's owner it may read"),
];

/// The type that a line declares, if it does.
fn declared(line: &str) -> Option<&str> {
    let code = line.trim_start();
    let is_inside = code.len() < line.len();
    let code = match code.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(") ")?.1,
        Some(rest) => rest.trim_start(),
        None => code,
    };
    let (kind, rest) = code.split_once(' ')?;
    // A `type` inside an `impl` is a trait's.
    let is_type = matches!(kind, "struct" | "enum" | "trait" | "union") || kind == "type";
    if !is_type || (kind == "type" && is_inside) {
        return None;
    }
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    // A macro's `$name` is none yet.
    (end > 0).then(|| &rest[..end])
}

/// Names that more than one file declares, with these files.
fn shared(files: &[(String, String)]) -> BTreeMap<String, Vec<String>> {
    let mut bearers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (file, text) in files {
        for name in shipped_lines(text).iter().filter_map(|(_, line)| declared(line)) {
            bearers.entry(name.to_owned()).or_default().push(file.clone());
        }
    }
    bearers.retain(|_, files| files.len() > 1);
    bearers
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

#[test]
fn a_type_name_means_one_thing() {
    let shipped = shipped_files();
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let files: Vec<_> = shipped.iter().map(|(_, _, path)| (relative(path), read(path))).collect();
    let shared = shared(&files);
    let unexplained = shared.iter().filter(|(name, _)| SAME_IDEA.iter().all(|(n, _)| n != name));
    let told: Vec<String> =
        unexplained.map(|(name, files)| format!("{name}: {}", files.join(", "))).collect();
    assert!(told.is_empty(), "one name for several types:\n{}", told.join("\n"));
    for (name, idea) in SAME_IDEA {
        assert!(shared.contains_key(name), "{name} ({idea}) stands once: take it off the list");
    }
}

#[test]
fn the_test_itself_catches_what_it_should() {
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let two = [file("a", "pub(crate) struct Entry<'a> {\n"), file("b", "enum Entry {\n}\n")];
    assert_eq!(shared(&two)["Entry"], ["a", "b"]);
    let alias = [file("a", "pub type Entry = u8;\n"), file("b", "    type Entry = u8;\n")];
    assert!(shared(&alias).is_empty());
    let tests = [file("a", "struct Entry;\n"), file("b", "#[cfg(test)]\nstruct Entry;\n")];
    assert!(shared(&tests).is_empty());
}

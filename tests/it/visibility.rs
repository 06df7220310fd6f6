//! Property: `pub` means used by another crate. What a crate offers and nobody outside names is
//! `pub(crate)`, so that a reader knows from the word who may depend on an item.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;

use crate::floors::{root, shipped_files, shipped_lines, sources};

/// An item that another crate could name.
#[derive(Debug, PartialEq)]
struct Offered<'a> {
    kind: &'a str,
    name: &'a str,
}

/// What a line offers, if it begins a public item.
fn offered(line: &str) -> Option<Offered<'_>> {
    let mut words = line.trim_start().strip_prefix("pub ")?.split_whitespace().peekable();
    while words.peek().is_some_and(|word| matches!(*word, "unsafe" | "async")) {
        words.next();
    }
    let mut kind = words.next()?;
    if kind == "const" && words.peek() == Some(&"fn") {
        kind = words.next()?;
    }
    let is_item = matches!(kind, "fn" | "const" | "static" | "struct" | "enum" | "trait" | "type");
    let name = words.next().filter(|_| is_item)?;
    let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
    Some(Offered { kind, name: &name[..end] })
}

/// Every word of code, comments left out.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let code = text.lines().map(|line| line.split("//").next().unwrap_or(line));
    code.flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'))
}

/// Every word that public declarations say: signatures of functions up to their bodies, types with
/// all they hold. rustfmt puts the end of a type at the depth of its begin.
fn said_in_public<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    let mut said = Vec::new();
    let mut open: Option<(&str, usize)> = None;
    for line in lines {
        let depth = line.len() - line.trim_start().len();
        let begun = open.is_none().then(|| offered(line).map(|item| (item.kind, depth)));
        open = open.or(begun.flatten());
        // A field or an associated item of what is not public itself counts by its own `pub`, and
        // what a trait is told of a type (`type Item`) by the trait's.
        let code = line.trim_start();
        let is_field = code.starts_with("pub ") || (depth > 0 && code.starts_with("type "));
        let Some((kind, begin)) = open else {
            said.extend(is_field.then(|| words(line)).into_iter().flatten());
            continue;
        };
        // The item's own name does not speak for it.
        let own = offered(line).map(|item| item.name);
        said.extend(words(line).filter(|word| Some(*word) != own));
        let ends_type = depth == begin && (line.ends_with('}') || line.ends_with(';'));
        let ends_function = line.ends_with('{') || line.ends_with(';') || line.ends_with('}');
        if if kind == "fn" { ends_function } else { ends_type } {
            open = None;
        }
    }
    said
}

/// Items of a crate's files that nobody outside names. A type may be named by nobody and still be
/// public: as a part of something that is, whose declaration then says its name.
fn unused<'a>(files: &[&'a str], is_outside: impl Fn(&str) -> bool) -> Vec<&'a str> {
    let lines: Vec<&str> =
        files.iter().flat_map(|text| shipped_lines(text)).map(|(_, line)| line).collect();
    let said: HashSet<&str> = said_in_public(&lines).into_iter().collect();
    let is_part = |item: &Offered| {
        !matches!(item.kind, "fn" | "const" | "static") && said.contains(item.name)
    };
    let items = lines.iter().filter_map(|line| offered(line));
    items.filter(|item| !is_outside(item.name) && !is_part(item)).map(|i| i.name).collect()
}

#[test]
fn public_means_used_by_another_crate() {
    let mut crates: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut everything = Vec::new();
    for folder in ["src", "tests", "benches", "tools"] {
        sources(&root().join(folder), &mut everything);
    }
    let shipped: HashSet<_> = shipped_files().into_iter().map(|(_, _, path)| path).collect();
    let mut all = Vec::new();
    for path in everything {
        let inside = path.strip_prefix(root()).unwrap();
        let mut parts = inside.iter().map(|part| part.to_str().unwrap());
        let in_source = parts.next() == Some("src");
        let folder = parts.next().unwrap_or_default().to_owned();
        // The root package, tests and benches are users alone.
        let owner = if in_source && folder != "node" { folder } else { String::new() };
        let text = fs::read_to_string(&path).unwrap();
        if shipped.contains(&path) && !owner.is_empty() {
            crates.entry(owner.clone()).or_default().push(text.clone());
        }
        all.push((owner, text));
    }
    // For each word the one crate that says it, or none where several do.
    let mut said_by: HashMap<&str, Option<&str>> = HashMap::new();
    for (owner, text) in &all {
        for word in words(text) {
            let by = said_by.entry(word).or_insert(Some(owner));
            *by = by.filter(|by| by == owner);
        }
    }
    let mut wrong = Vec::new();
    for (folder, files) in &crates {
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let unused = unused(&files, |name| said_by[name] != Some(folder));
        wrong.extend(unused.iter().map(|name| format!("src/{folder}: {name}")));
    }
    assert!(wrong.is_empty(), "public, and named by no other crate:\n{}", wrong.join("\n"));
}

#[test]
fn the_test_itself_catches_what_it_should() {
    let outside = |name: &str| name == "used";
    assert_eq!(unused(&["pub fn used() {}\npub const fn spare() {}"], outside), ["spare"]);
    assert_eq!(unused(&["pub struct Spare;\npub(crate) fn own() {}"], outside), ["Spare"]);
    let part = "pub struct Part;\npub fn used() -> Part {\n    Part\n}";
    assert!(unused(&[part], outside).is_empty());
    let item = "pub struct Item;\nimpl Iterator for All {\n    type Item = Item;\n}";
    assert!(unused(&[item], outside).is_empty());
    assert_eq!(offered("    pub unsafe fn lay(x: u8)"), Some(Offered { kind: "fn", name: "lay" }));
}

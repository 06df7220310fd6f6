//! Property: within a crate no more than two files know each other in a circle, so that each can be
//! read after what it rests on. The compiler refuses circles of crates; those of modules it does
//! not see.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::floors::{root, shipped_files, shipped_lines};

/// Two files may be halves of one subject; three are a knot.
const CIRCLE_FILES_MAX: usize = 2;
/// How many re-exports are followed from a name to the module that declares it.
const RE_EXPORTS_MAX: usize = 6;

/// A path of names from the root of the crate.
type ModulePath = Vec<String>;

/// One name that a module uses or hands on.
struct Mention {
    path: ModulePath,
    is_re_export: bool,
}

/// The modules of a crate, each with what it mentions.
#[derive(Default)]
struct Modules(BTreeMap<String, Vec<Mention>>);

/// `a::{b, c::{d}}` as `a::b`, `a::c::d`.
fn unfold(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((head, rest)) = tree.split_once('{') else {
        return vec![tree.split(" as ").next().unwrap_or(tree).trim().to_owned()];
    };
    let body = rest.strip_suffix('}').unwrap_or(rest);
    let mut depth = 0;
    let parts = body.split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    let parts = parts.filter(|part| !part.trim().is_empty()).flat_map(unfold);
    parts.map(|part| format!("{head}{part}")).collect()
}

/// The path from the root of the crate that `path` means in the module `at`.
fn from_root(path: &str, at: &[String], modules: &Modules) -> Option<ModulePath> {
    let mut names: Vec<String> = path.split("::").map(|name| name.trim().to_owned()).collect();
    if names.last().is_some_and(|last| last == "self" || last == "*") {
        names.pop();
    }
    let ups = names.iter().take_while(|name| *name == "super").count();
    match names.first()?.as_str() {
        "crate" => Some(names.split_off(1)),
        "self" => Some([at, &names[1..]].concat()),
        "super" => Some([&at[..at.len().checked_sub(ups)?], &names[ups..]].concat()),
        // A child's name stands for itself.
        first => {
            let child = [at, &[first.to_owned()]].concat().join("/");
            modules.0.contains_key(&child).then(|| [at, &names[..]].concat())
        }
    }
}

/// What code says of other modules outside of `use`: `crate::a::b`, `super::c`.
fn paths_in(code: &str) -> impl Iterator<Item = &str> {
    let words = code.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
    words
        .filter(|word| ["crate::", "super::", "self::"].iter().any(|begin| word.starts_with(begin)))
}

impl Modules {
    fn read(files: &[(String, String)]) -> Self {
        let mut modules = Self::default();
        for (module, _) in files {
            modules.0.insert(module.clone(), Vec::new());
        }
        for (module, text) in files {
            let mentions = modules.mentions(module, text);
            modules.0.insert(module.clone(), mentions);
        }
        modules
    }

    fn mentions(&self, module: &str, text: &str) -> Vec<Mention> {
        let at: ModulePath =
            module.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let mut found = Vec::new();
        let mut add = |path: &str, is_re_export| {
            let path = from_root(path, &at, self);
            found.extend(path.map(|path| Mention { path, is_re_export }));
        };
        let mut open = String::new();
        for (_, line) in shipped_lines(text) {
            let code = line.trim();
            let is_use = code.starts_with("use ")
                || (code.starts_with("pub") && code.contains(" use ") && code.len() < 100);
            if open.is_empty() && !is_use {
                paths_in(code).for_each(|path| add(path, false));
                continue;
            }
            open.push_str(code);
            if code.ends_with(';') {
                let is_re_export = open.starts_with("pub");
                let tree = open.split_once("use ").map_or("", |(_, tree)| tree);
                for path in unfold(tree.trim_end_matches(';')) {
                    add(&path, is_re_export);
                }
                open.clear();
            }
        }
        found
    }

    /// The module that declares what a path names.
    fn owner(&self, path: &[String], re_exports: usize) -> Option<String> {
        let length = (0..=path.len()).rev().find(|n| self.0.contains_key(&path[..*n].join("/")))?;
        let module = path[..length].join("/");
        let handed_on = path.get(length).and_then(|name| {
            let mut mentions = self.0[&module].iter().filter(|mention| mention.is_re_export);
            mentions.find(|mention| mention.path.last() == Some(name))
        });
        match handed_on {
            Some(mention) if re_exports > 0 => self.owner(&mention.path, re_exports - 1),
            _ => Some(module),
        }
    }

    /// For each module those that it rests on. Handing on what a child declares is no use of it.
    fn graph(&self) -> BTreeMap<&str, BTreeSet<String>> {
        let edges = self.0.iter().map(|(module, mentions)| {
            let owned = mentions.iter().filter_map(|mention| {
                let owner = self.owner(&mention.path, RE_EXPORTS_MAX)?;
                let is_child = mention.is_re_export && owner.starts_with(module.as_str());
                (!is_child && owner != *module).then_some(owner)
            });
            (module.as_str(), owned.collect())
        });
        edges.collect()
    }

    /// Sets of modules of which each can reach each other.
    fn circles(&self) -> BTreeSet<Vec<String>> {
        let graph = self.graph();
        let reach = |from: &str| {
            let mut seen = BTreeSet::new();
            let mut next: Vec<&str> = vec![from];
            while let Some(module) = next.pop() {
                next.extend(graph[module].iter().filter(|m| seen.insert(m.as_str())).map(|m| &**m));
            }
            seen
        };
        let reached: BTreeMap<&str, BTreeSet<&str>> =
            graph.keys().map(|module| (*module, reach(module))).collect();
        let circle = |module: &&str| {
            let own = reached[module].iter().filter(|other| reached[**other].contains(module));
            own.map(|name| (*name).to_owned()).collect::<Vec<String>>()
        };
        graph.keys().map(circle).filter(|circle| circle.len() > CIRCLE_FILES_MAX).collect()
    }
}

/// `users/redis/mod.rs` and `users/redis.rs` are the module `users/redis`.
fn module_of(inside: &str) -> String {
    let name = inside.trim_end_matches(".rs");
    let name = name.strip_suffix("/mod").unwrap_or(name);
    if matches!(name, "lib" | "main" | "mod") { String::new() } else { name.to_owned() }
}

#[test]
fn no_three_files_know_each_other_in_a_circle() {
    let mut crates: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for (folder, _, path) in shipped_files() {
        let inside = path.strip_prefix(root().join("src").join(&folder)).unwrap();
        let module = module_of(inside.to_str().unwrap());
        let text = fs::read_to_string(&path).unwrap();
        // `node` is a module of the root package.
        let module = match (folder.as_str(), module.as_str()) {
            ("node", "") => folder.clone(),
            ("node", inner) => format!("{folder}/{inner}"),
            _ => module,
        };
        crates.entry(folder).or_default().push((module, text));
    }
    let mut told = Vec::new();
    for (folder, files) in &crates {
        for circle in Modules::read(files).circles() {
            told.push(format!("src/{folder}: {}", circle.join(", ")));
        }
    }
    assert!(told.is_empty(), "files in a circle:\n{}", told.join("\n"));
}

#[test]
fn the_test_itself_catches_what_it_should() {
    let circles = |files: &[(&str, &str)]| {
        let files: Vec<_> = files.iter().map(|(m, t)| ((*m).to_owned(), (*t).to_owned())).collect();
        Modules::read(&files).circles().len()
    };
    let knot = [("", "pub mod a;"), ("a", "use crate::b::{self, B};"), ("b", "use super::c::C;")];
    assert_eq!(circles(&[&knot[..], &[("c", "fn c() { crate::a::go(); }")]].concat()), 1);
    assert_eq!(circles(&[&knot[..], &[("c", "// crate::a")]].concat()), 0);
    // By way of a re-export, and in an import of several lines.
    let handed = ("", "pub use a::A;\nmod a;\nmod b;\nmod c;");
    let last = ("c", "use crate::{\n    A,\n};");
    assert_eq!(circles(&[handed, ("a", "use crate::b::B;"), ("b", "use crate::c::C;"), last]), 1);
    assert_eq!(
        circles(&[("", "mod a;"), ("a", "use crate::a::b::B;"), ("a/b", "use super::A;")]),
        0
    );
}

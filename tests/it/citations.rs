//! Property: what a comment or a document points at is there. A citation names a file of this tree,
//! and a heading as `docs/semantics.md#gates`; a document names tests and files that exist, and the
//! diff of a worked example applies. Nothing points at a document outside of the tree.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::floors::sources;

/// How a document that is not in the tree would be cited: by a word for it, or by a number alone.
const OUTSIDE: [&str; 8] = [
    "(product,",
    "product section",
    "(architecture,",
    "(reliability,",
    "reliability page",
    "(performance ",
    "(P",
    "(G",
];
/// What a file's name in a document begins with.
const FOLDERS: [&str; 6] = ["src/", "tests/", "docs/", "tools/", "benches/", "vendor-config/"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every document and every file with comments, by its path below the root.
fn cited_from() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in ["src", "tests", "benches"] {
        sources(&root().join(folder), &mut found);
    }
    let mut folders = vec![root().to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let is_passed = name.starts_with('.') || ["target", "node_modules"].contains(&&*name);
            let is_document = path.extension().is_some_and(|it| it == "md" || it == "toml");
            let is_tool = path.parent().is_some_and(|at| at.ends_with("tools"));
            if path.is_dir() && !is_passed {
                folders.push(path);
            } else if path.is_file() && (is_document || is_tool) {
                found.push(path);
            }
        }
    }
    found.iter().map(|path| path.strip_prefix(root()).unwrap().to_path_buf()).collect()
}

fn text(path: &Path) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn is(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

/// A heading as a citation names it: small letters, digits and hyphens.
fn anchor(heading: &str) -> String {
    let plain = heading.trim().to_lowercase().replace(' ', "-");
    plain.chars().filter(|sign| sign.is_alphanumeric() || "-_".contains(*sign)).collect()
}

fn anchors(document: &str) -> BTreeSet<String> {
    let headings = document.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#'))).collect()
}

/// Whether a line has a mark of [`OUTSIDE`]; behind one letter a number has to follow.
fn is_cited(line: &str, mark: &str) -> bool {
    let is_number =
        |rest: &str| mark.len() > 2 || rest.starts_with(|sign: char| sign.is_ascii_digit());
    line.split(mark).skip(1).any(is_number)
}

/// The files that a line cites, each with its heading; a heading alone is of the file before it.
fn citations(line: &str) -> Vec<(&str, Option<&str>)> {
    let is_part = |sign: char| sign.is_ascii_alphanumeric() || "_./-#".contains(sign);
    let mut found = Vec::new();
    let mut last = None;
    for word in line.split(|sign| !is_part(sign)).map(|word| word.trim_end_matches('.')) {
        let (file, heading) = match word.split_once('#') {
            Some((file, heading)) => (file, Some(heading)),
            None => (word, None),
        };
        let is_document = file.len() > 3 && file.ends_with(".md");
        let file = if is_document { Some(file) } else { last.filter(|_| file.is_empty()) };
        if let (Some(file), true) =
            (file, is_document || heading.is_some_and(|name| !name.is_empty()))
        {
            last = Some(file);
            found.push((file, heading));
        }
    }
    found
}

/// What is wrong with the citations of one file. `find` gives the text of a file below the root.
fn problems(path: &Path, text: &str, find: &dyn Fn(&Path) -> Option<String>) -> Vec<String> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let is_comment = line.trim_start().starts_with("//");
        if is(path, "rs") && !is_comment {
            continue;
        }
        let place = format!("{}:{}", path.display(), index + 1);
        for words in OUTSIDE.iter().filter(|words| is_cited(line, words)) {
            found.push(format!("{place}: {words:?} cites no document of this tree"));
        }
        // The heads of a diff name its files below `a` and `b`.
        let line = line.strip_prefix("--- a/").or(line.strip_prefix("+++ b/")).unwrap_or(line);
        for (file, heading) in citations(line) {
            let Some(cited) = path.ancestors().skip(1).find_map(|at| find(&at.join(file))) else {
                found.push(format!("{place}: there is no {file}"));
                continue;
            };
            if heading.is_some_and(|heading| !anchors(&cited).contains(heading)) {
                found.push(format!("{place}: {file} has no heading {heading:?}"));
            }
        }
    }
    found
}

/// Spans in backticks, without those of blocks.
fn spans(document: &str) -> Vec<&str> {
    let mut is_block = false;
    let mut found = Vec::new();
    for line in document.lines() {
        if line.trim_start().starts_with("```") {
            is_block = !is_block;
        } else if !is_block {
            found.extend(line.split('`').skip(1).step_by(2));
        }
    }
    found
}

/// The folder whose tests a name such as `e2e` or `nudged-http` stands for.
fn folder_of(target: &str) -> Option<PathBuf> {
    match target {
        "e2e" | "it" | "stores" | "alloc" => Some(Path::new("tests").join(target)),
        _ => Some(Path::new("src").join(target.strip_prefix("nudged-")?)),
    }
}

/// The names of a document's tests that do not exist: `e2e redis::NAME`, `nudged-http tests::NAME`.
fn missing_tests(document: &str, functions: &dyn Fn(&Path, &str) -> bool) -> Vec<String> {
    let mut missing = Vec::new();
    for span in spans(document) {
        let Some((target, name)) = span.split_once(' ') else { continue };
        let Some(folder) = folder_of(target) else { continue };
        let function = name.rsplit("::").next().unwrap_or(name);
        let is_name =
            |sign: char| sign.is_ascii_lowercase() || sign.is_ascii_digit() || sign == '_';
        if function.contains('_') && function.chars().all(is_name) && !functions(&folder, function)
        {
            missing.push(span.to_owned());
        }
    }
    missing
}

fn has_function(folder: &Path, name: &str) -> bool {
    let mut files = Vec::new();
    sources(&root().join(folder), &mut files);
    let wanted = format!("fn {name}(");
    files.iter().any(|path| fs::read_to_string(path).unwrap().contains(&wanted))
}

/// What a span names of the code, as `core.rs`, `shard::core` or the function `head::parse`, where
/// nothing of that name is.
fn missing_source(span: &str, all: &[PathBuf]) -> Option<String> {
    let is_part = |sign: char| sign.is_ascii_lowercase() || sign.is_ascii_digit() || sign == '_';
    let is_file = span.ends_with(".rs") && span.chars().all(|it| is_part(it) || "/.".contains(it));
    if is_file {
        let is_there = all.iter().any(|path| path.ends_with(span));
        return (!is_there).then(|| span.to_owned());
    }
    let (parent, name) = span.rsplit_once("::")?;
    let is_module = span.split("::").all(|part| !part.is_empty() && part.chars().all(is_part));
    let files_of = |module: &str| {
        let path = module.replace("::", "/");
        let names = [format!("{path}.rs"), format!("{path}/mod.rs")];
        all.iter().filter(move |path| names.iter().any(|name| path.ends_with(name)))
    };
    let function = format!("fn {name}(");
    let is_there = !is_module
        || files_of(span).next().is_some()
        || files_of(parent).any(|path| text(path).contains(&function));
    (!is_there).then(|| span.to_owned())
}

/// The hunks of the diffs of a document: the file, and the lines that must be there.
fn hunks(document: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut file = String::new();
    let mut is_diff = false;
    for line in document.lines() {
        if line.starts_with("```") {
            is_diff = line == "```diff";
        } else if !is_diff || line.starts_with("--- ") {
        } else if let Some(path) = line.strip_prefix("+++ b/") {
            file = path.to_owned();
        } else if line.starts_with("@@") {
            found.push((file.clone(), String::new()));
        } else if let (Some((_, old)), false) = (found.last_mut(), line.starts_with(['+', '\\'])) {
            old.push_str(line.get(1..).unwrap_or_default());
            old.push('\n');
        }
    }
    found
}

#[test]
fn every_citation_names_what_is_there() {
    let find = |path: &Path| fs::read_to_string(root().join(path)).ok();
    let files = cited_from();
    assert!(files.len() > 300 && files.iter().any(|path| path.ends_with("docs/semantics.md")));
    // This file names what must not be cited.
    let own = Path::new(file!());
    let others = files.iter().filter(|path| !path.ends_with(own));
    let wrong: Vec<String> = others.flat_map(|path| problems(path, &text(path), &find)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_test_and_file_of_a_document_is_there() {
    let all = cited_from();
    let mut wrong = Vec::new();
    let mut count = 0;
    for path in all.iter().filter(|path| is(path, "md")) {
        let document = text(path);
        let name = path.display();
        wrong.extend(
            missing_tests(&document, &has_function)
                .iter()
                .map(|test| format!("{name}: there is no test `{test}`")),
        );
        for span in spans(&document) {
            if let Some(part) = missing_source(span, &all) {
                wrong.push(format!("{name}: there is no {part} (`{span}`)"));
            }
            let file = span.split([' ', ':', '#']).next().unwrap_or_default();
            let is_file = FOLDERS.iter().any(|folder| file.starts_with(folder));
            if is_file && !file.contains(['*', '{', '<']) {
                count += 1;
                if !root().join(file).exists() {
                    wrong.push(format!("{name}: there is no `{file}`"));
                }
            }
        }
    }
    assert!(count > 30, "{count} files are too few to be all");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_diff_of_the_worked_example_applies() {
    let hunks = hunks(&text(Path::new("docs/add-a-gate.md")));
    assert!(hunks.len() > 5, "{hunks:?}");
    let mut wrong = Vec::new();
    for (file, old) in hunks {
        // A file may end without a line end, which a line of a diff does not.
        let count = (text(Path::new(&file)) + "\n").matches(&old).count();
        if count != 1 {
            wrong.push(format!("{file} has {count} times, and not once:\n{old}"));
        }
    }
    let mend = "docs/add-a-gate.md quotes lines that are no more: mend them there";
    assert!(wrong.is_empty(), "{mend}\n{}", wrong.join("\n"));
}

#[test]
fn the_test_itself_catches_what_it_should() {
    let document = "# A page\n## What `unfit` says\n## 4. Home shards\n";
    let find = |path: &Path| (path == Path::new("docs/a.md")).then(|| document.to_owned());
    let wrong = |text: &str| problems(Path::new("src/http/x.rs"), text, &find).len();
    assert_eq!(wrong("// as it must (docs/a.md#4-home-shards), and docs/a.md."), 0);
    assert_eq!(wrong("/// (docs/a.md#what-unfit-says)"), 0);
    assert_eq!(wrong("// (docs/a.md#a-page, #4-home-shards)"), 0);
    assert_eq!(wrong("// (docs/a.md#5-other)"), 1);
    assert_eq!(wrong("// (docs/a.md#a-page, #5-other)"), 1);
    assert_eq!(wrong("// never twice (G3), by a Page (Group)"), 1);
    assert_eq!(wrong("//! FORMAT.md beside it"), 1);
    assert_eq!(wrong("    // 64 of them (product, section 5)"), 1);
    assert_eq!(wrong("let code = \"docs/none.md\";"), 0);
    let missing = |text: &str| missing_tests(text, &|_, name| name == "it_is_there");
    assert!(
        missing("`e2e a::it_is_there`, `nudged-http it_is_there`, `e2e` and `kill -9`").is_empty()
    );
    assert_eq!(missing("as `e2e a::it_is_not`"), ["e2e a::it_is_not"]);
    let all = [PathBuf::from("src/shard/core.rs"), PathBuf::from("src/domain/state/mod.rs")];
    let source = |span| missing_source(span, &all);
    let named =
        ["shard/core.rs", "core.rs", "shard::core", "domain::state", "Core::step", "a b.rs"];
    assert_eq!(named.map(source), [const { None }; 6]);
    assert!(source("shard::none").is_some() && source("shard/none.rs").is_some());
    let diff = "```diff\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n one\n-two\n+three\n```\n";
    assert_eq!(hunks(diff), [("x".to_owned(), "one\ntwo\n".to_owned())]);
}

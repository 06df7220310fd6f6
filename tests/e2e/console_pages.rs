//! Property: each page of the console does its work in a real browser, by keys alone, in light and
//! dark, at 360 pixels, and says what went wrong. `tests/browser/console-harness.mjs` has what its
//! scripts share; they start their nodes themselves, as some have to die under an open page.
//!
//! Needs what `browser` needs.

use crate::browser::{assert_passed, has_browser, patient, told};
use crate::harness::repository;

/// Runs a script of pages with this program.
fn run(script: &str, tests_at_least: usize) {
    if !has_browser() {
        return;
    }
    let arguments = ["--nudged", env!("CARGO_BIN_EXE_nudged")];
    assert_passed(&told(&format!("tests/browser/{script}"), &arguments), tests_at_least);
}

/// One browser after the other, as two cores are enough for one.
#[test]
fn each_page_does_its_work() {
    run("console-lists.mjs", 10);
    run("console-editor.mjs", 14);
    run("console-people.mjs", 21);
}

/// What is no page has tests of its own, and all of it has types.
#[test]
fn its_source_holds_without_a_browser() {
    if !has_browser() {
        return;
    }
    for script in ["check", "test"] {
        let mut command = patient("npm");
        command.args(["run", "--silent", script]).current_dir(repository("src/admin/console"));
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&said));
    }
}

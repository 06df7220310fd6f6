//! Property: each page of the console does its work in a real browser, by keys alone, in light and
//! dark, at 360 pixels, and says what went wrong. `tests/browser/console-harness.mjs` has what its
//! scripts share; they start their nodes themselves, as some have to die under an open page.
//!
//! Needs what `browser` needs. Several browsers leave nothing of two cores to tests that hold
//! times: where TEST_NUDGED_CONSOLE is `later`, as in the first of two runs of `tools/test`, these
//! are left out.

use std::process::Command;

use crate::browser::{assert_passed, has_browser, told};
use crate::harness::repository;

/// Whether they can be run here, and now.
fn is_time() -> bool {
    let is_later = std::env::var_os("TEST_NUDGED_CONSOLE").is_some_and(|when| when == "later");
    !is_later && has_browser()
}

/// Runs a script of pages with this program.
fn run(script: &str, tests_at_least: usize) {
    if !is_time() {
        return;
    }
    let arguments = ["--nudged", env!("CARGO_BIN_EXE_nudged")];
    assert_passed(&told(&format!("tests/browser/{script}"), &arguments), tests_at_least);
}

#[test]
fn lists_a_popup_and_statistics() {
    run("console-lists.mjs", 10);
}

#[test]
fn the_editor() {
    run("console-editor.mjs", 14);
}

#[test]
fn users_the_system_and_access() {
    run("console-people.mjs", 21);
}

/// As `tools/console --times` tells it; how long it is, says nothing on a machine of tests.
#[test]
fn the_first_page_s_time_is_told() {
    if !is_time() {
        return;
    }
    let mut command = Command::new(repository("tools/console"));
    let output = command.args(["--times", env!("CARGO_BIN_EXE_nudged"), "1"]).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{said}");
    for when in ["nothing in the cache", "visited before"] {
        assert!(said.contains(&format!("painted, {when}: median ")), "{said}");
    }
}

/// What is no page has tests of its own, and all of it has types.
#[test]
fn its_source_holds_without_a_browser() {
    if !is_time() {
        return;
    }
    for script in ["check", "test"] {
        let mut command = Command::new("npm");
        command.args(["run", "--silent", script]).current_dir(repository("src/admin/console"));
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&said));
    }
}

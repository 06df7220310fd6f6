//! Property: typed clients can be made from `/openapi.json` of a node, and their types refuse what
//! the API does.
//!
//! Needs node and `tests/browser`'s packages, which `tools/test` sets up; where they are not, this
//! says so and passes, unless `TEST_NUDGED_BROWSER` is set.

use std::fs;
use std::process::Command;

use crate::harness::{Setup, WELCOME, repository};

/// What a bundler's project has.
const COMPILER: &str = "--noEmit --strict --skipLibCheck --target es2022 --module esnext \
                        --moduleResolution bundler --lib es2022,dom";

/// Runs a program of the packages in a folder.
fn run(setup: &Setup, program: &str, arguments: &[&str]) {
    let mut command = Command::new(repository("tests/browser/node_modules/.bin").join(program));
    let output = command.current_dir(setup.path("")).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {said}");
}

#[test]
fn a_typed_client_is_made_of_the_description() {
    if !repository("tests/browser/node_modules/.bin/openapi-typescript").exists() {
        let is_wanted = std::env::var_os("TEST_NUDGED_BROWSER").is_some();
        assert!(!is_wanted, "tests/browser has no packages: `npm ci --prefix tests/browser`");
        eprintln!("left out: tests/browser has no packages");
        return;
    }
    let setup = Setup::new(WELCOME);
    let server = setup.start();
    let document = server.operator().get("/openapi.json").expect(200).json();
    server.stop();
    fs::write(setup.path("openapi.json"), document.to_string()).unwrap();
    fs::copy(repository("tests/browser/typed-client.ts"), setup.path("client.ts")).unwrap();
    // A default is what a request may leave out.
    let made = ["openapi.json", "--default-non-nullable=false", "--output", "api.d.ts"];
    run(&setup, "openapi-typescript", &made);
    let compiler: Vec<&str> = COMPILER.split_whitespace().chain(["client.ts"]).collect();
    run(&setup, "tsc", &compiler);
}

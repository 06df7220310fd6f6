//! Property: a gate that the core knows is known wherever gates are listed by hand: as a label of
//! the metric, among the facts of an explanation, among the console's words, and as a row of the
//! table in docs/semantics.md, in the same order.

use std::fs;

use nudged_domain::decide::gates::Gate;

use crate::floors::root;

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// What stands between two texts.
fn between<'t>(text: &'t str, begin: &str, end: &str) -> &'t str {
    text.split_once(begin).unwrap().1.split_once(end).unwrap().0
}

fn names() -> Vec<&'static str> {
    Gate::ALL.iter().map(|gate| gate.as_str()).collect()
}

#[test]
fn each_gate_is_a_row_of_the_table_in_its_order() {
    let document = text("docs/semantics.md");
    let table = between(&document, "| gate | holds back | opens |\n|---|---|---|\n", "\n\n");
    let rows: Vec<&str> = table.lines().map(|row| row.split('`').nth(1).unwrap()).collect();
    assert_eq!(rows, names());
}

#[test]
fn each_gate_is_a_label_of_the_reasons() {
    let counters = text("src/base/telemetry/counters.rs");
    let reasons = between(between(&counters, "const REASONS:", "];"), "= [", "\n    \"other\"");
    let labels: Vec<&str> = reasons.split('"').skip(1).step_by(2).collect();
    let gates = names();
    let wanted: Vec<&str> = ["none"].into_iter().chain(gates).chain(["degraded"]).collect();
    assert_eq!(labels, wanted);
}

#[test]
fn each_gate_has_its_words_in_the_console() {
    let words = text("src/admin/console/src/pages/user/gates.ts");
    let gates = between(&words, "const GATES:", "};");
    let rows = gates.lines().filter_map(|row| row.split_once(": [").map(|(name, _)| name.trim()));
    assert_eq!(rows.collect::<Vec<_>>(), names());
}

#[test]
fn each_gate_has_its_facts_in_the_description() {
    let described = text("src/admin/openapi.json");
    let facts = described.lines().find(|line| line.contains("rollout {")).unwrap();
    for name in names() {
        assert!(facts.contains(&format!("{name} {{")), "{name}");
    }
}

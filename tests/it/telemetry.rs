//! Property: nothing that a node says of itself is dead. Every number is counted somewhere and
//! shown somewhere, every value of a label can come up, every message is logged. A counter that
//! nothing counts looks like a node on which all is well.

use std::fs;
use std::path::Path;

use nudged_base::telemetry::counters::DESCRIPTORS;
use nudged_base::telemetry::log::Message;

use crate::floors::sources;

/// What changes a number of a shard's block.
const COUNTS: [&str; 7] = ["add(", "increment(", "set(", "of(", "at(", "record(", "note("];
/// What changes a number that threads share.
const STORES: [&str; 4] = ["fetch_add(", "store(", "swap(", "set("];

/// The source without tests, as one line without white space; `but` is left out.
fn production(but: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut all = String::new();
    for path in files {
        let name = path.strip_prefix(&root).unwrap().display().to_string();
        if name.contains("tests")
            || name.contains("fixture")
            || but.iter().any(|folder| name.starts_with(folder))
        {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        all.extend(text.chars().filter(|letter| !letter.is_whitespace()));
    }
    all
}

fn source(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(path)).unwrap()
}

/// The fields of the table in `telemetry::counters`.
fn shard_numbers() -> Vec<String> {
    let text = source("base/telemetry/counters.rs");
    let table = text.split("\nshard_counters! {").nth(1).unwrap().split("\n}\n").next().unwrap();
    let rows =
        table.lines().filter(|line| line.starts_with("        ") && !line.contains("    \""));
    let rows = rows.filter(|line| line.contains('"'));
    rows.map(|row| {
        let row = row.trim();
        let row = row.strip_prefix("Counter ").or(row.strip_prefix("Gauge ")).unwrap_or(row);
        row.split(' ').next().unwrap().to_owned()
    })
    .collect()
}

/// The numbers of a part of the node: those of its table, and atomics beside it.
fn shared_numbers(path: &str, part: &str) -> (Vec<String>, Vec<String>) {
    let text = source(path);
    let body = text.split(&format!("pub struct {part} {{")).nth(1).unwrap();
    let body = body.split("\n}\n").next().unwrap();
    let of_table = |line: &str| {
        let row = line.strip_prefix("Counter ").or(line.strip_prefix("Gauge "))?;
        row.split(' ').next().map(str::to_owned)
    };
    let beside = |line: &str| {
        let (name, kind) = line.strip_prefix("pub ")?.split_once(':')?;
        kind.contains("Atomic").then(|| name.to_owned())
    };
    let lines = || body.lines().map(str::trim);
    (lines().filter_map(of_table).collect(), lines().filter_map(beside).collect())
}

fn is_changed(source: &str, field: &str, by: &[&str]) -> bool {
    by.iter().any(|by| source.contains(&format!(".{field}.{by}")))
        || source.contains(&format!(".{field}["))
}

#[test]
fn every_number_of_a_shard_is_counted() {
    let (fields, code) = (shard_numbers(), production(&["base/telemetry"]));
    assert!(fields.len() > 70, "{fields:?}");
    let dead: Vec<&String> =
        fields.iter().filter(|field| !is_changed(&code, field, &COUNTS)).collect();
    assert!(dead.is_empty(), "declared in telemetry::counters and never counted: {dead:?}");
}

#[test]
fn every_number_that_threads_share_is_counted_and_shown() {
    let (code, admin) = (production(&["base/telemetry"]), production(&["runtime", "background"]));
    for (path, structure) in [
        ("background/follower.rs", "FollowerMetrics"),
        ("background/keeper/metrics.rs", "KeeperMetrics"),
        ("background/lists/metrics.rs", "DrainMetrics"),
    ] {
        let (shown, beside) = shared_numbers(path, structure);
        assert!(shown.len() > 5, "{structure}: {shown:?}");
        for field in shown.iter().chain(&beside) {
            assert!(is_changed(&code, field, &STORES), "{structure}::{field} is never changed");
        }
        assert!(admin.contains(&format!("{structure}::ROWS")), "{structure} is shown nowhere");
        for field in beside {
            // What the keeper tells of a rebuild is put together beside it.
            let is_shown = admin.contains(&format!(".{field}"))
                || (structure == "KeeperMetrics" && ["phase", "since_ns"].contains(&&*field));
            assert!(is_shown, "{structure}::{field} is shown nowhere");
        }
    }
}

#[test]
fn every_value_of_a_label_can_come_up() {
    let code = production(&["base/telemetry"]);
    for row in DESCRIPTORS {
        let Some((label, values)) = row.label else { continue };
        for value in values.iter().filter(|value| **value != "other") {
            let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
            let found = code.contains(&format!("\"{value}\""))
                || (is_number && code.contains(&format!("{value}\"")))
                || (is_number && code.contains(&format!("=>{value}")));
            assert!(found, "nudged_{}: nothing gives {label} = {value:?}", row.name);
        }
    }
}

/// Said by the shards once they tell of connections that they refuse.
const UNSAID: [&str; 1] = ["ConnectionsFull"];

#[test]
fn every_message_is_logged() {
    let code = production(&["base/telemetry"]) + &source("base/telemetry/log.rs");
    let outages: String =
        source("base/telemetry/log/outage.rs").split_whitespace().collect::<Vec<_>>().join(" ");
    for message in Message::ALL {
        let name = format!("{message:?}");
        let is_logged = code.contains(&format!("Message::{name}"))
            || outages.contains(&format!(" to {name} "))
            || UNSAID.contains(&&*name);
        assert!(is_logged, "{name} is in the table of telemetry::log and nobody logs it");
    }
}

//! Property: what watches nudged looks at what is there. Every metric that an alert or the
//! dashboard names exists, with these labels and values; every alert fires in a test of its own,
//! and has its paragraph in docs/operations.md#alerts, where somebody finds it at three in the
//! morning.
//!
//! `promtool` runs the files as they are shipped. Queries are read crudely: a name that begins with
//! `nudged_`, and what stands in braces behind it.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::harness::{Setup, WELCOME, repository};
use crate::support::prometheus::without_part;
use crate::support::vendor;

const ALERTS: &str = "prometheus/alerts.yml";
const ALERT_TESTS: &str = "prometheus/alerts_test.yml";
const DASHBOARD: &str = "grafana/nudged.json";
/// Labels that Prometheus adds.
const ADDED: [&str; 2] = ["job", "instance"];

/// A metric that a query names.
#[derive(Debug, PartialEq)]
struct Selector {
    name: String,
    /// Labels that it is picked by, with the value where it is picked by one.
    labels: Vec<(String, Option<String>)>,
}

fn read(path: &str) -> String {
    fs::read_to_string(vendor(path)).unwrap()
}

/// The metrics that a text of queries names.
fn selectors(text: &str) -> Vec<Selector> {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let begins = text.match_indices("nudged_").map(|(at, _)| at);
    let begins = begins.filter(|at| !text[..*at].ends_with(is_word));
    let read = |at: usize| {
        let rest = &text[at..];
        let (name, behind) = rest.split_at(rest.find(|it| !is_word(it)).unwrap_or(rest.len()));
        let braces = behind.strip_prefix('{').and_then(|behind| behind.split('}').next());
        let matchers = braces.unwrap_or("").split("\",");
        let labels =
            matchers.filter_map(|matcher| matcher.split_once('=')).map(|(label, value)| {
                let value = value.strip_prefix('"').map(|value| value.trim_end_matches('"'));
                let value = value.filter(|value| !value.starts_with('$')).map(str::to_owned);
                (label.trim_end_matches('!').to_owned(), value)
            });
        Selector { name: name.to_owned(), labels: labels.collect() }
    };
    begins.map(read).collect()
}

/// All queries of the dashboard: of its panels, its variables and its annotations.
fn queries(value: &Value, into: &mut String) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| queries(value, into)),
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(text) if name == "expr" || name == "query" => {
                        into.push_str(text);
                        into.push('\n');
                    }
                    _ => queries(value, into),
                }
            }
        }
        _ => {}
    }
}

fn dashboard() -> Value {
    serde_json::from_str(&read(DASHBOARD)).unwrap()
}

/// What alerts and dashboard name.
fn used() -> Vec<Selector> {
    let mut text = read(ALERTS);
    queries(&dashboard(), &mut text);
    let found = selectors(&text);
    assert!(found.len() > 100, "{} are too few to be all", found.len());
    found
}

/// Holds what is used to the names of all metrics, those of every kind of node.
pub fn check_names(known: &BTreeSet<&str>) {
    let used = used();
    let unknown: BTreeSet<&str> =
        used.iter().map(|it| without_part(&it.name)).filter(|name| !known.contains(name)).collect();
    assert!(unknown.is_empty(), "alerts or dashboard name what is no metric: {unknown:#?}");
}

/// Series of a text of metrics that a selector picks, leaving out what Prometheus adds.
fn is_there(selector: &Selector, text: &str) -> bool {
    let labels = || selector.labels.iter().filter(|(label, _)| !ADDED.contains(&label.as_str()));
    let mut series = text.lines().filter(|line| {
        line.strip_prefix(&selector.name).is_some_and(|rest| rest.starts_with(['{', ' ']))
    });
    series.any(|line| {
        labels().all(|(label, value)| match value {
            Some(value) => line.contains(&format!("{label}=\"{value}\"")),
            None => line.contains(&format!("{label}=\"")),
        })
    })
}

#[test]
fn labels_and_values_are_those_of_a_node() {
    let server = Setup::new(WELCOME).start();
    let text = server.operator().get("/metrics").expect(200).body;
    server.stop();
    let of_node =
        |name: &str| text.contains(&format!("\n{name}{{")) || text.contains(&format!("\n{name} "));
    let used = used();
    let wrong: Vec<&Selector> =
        used.iter().filter(|it| of_node(&it.name) && !is_there(it, &text)).collect();
    assert!(wrong.is_empty(), "no series has these labels: {wrong:#?}");
}

/// The names of the alerts.
fn alerts() -> Vec<String> {
    let text = read(ALERTS);
    let names = text.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    names.map(str::to_owned).collect()
}

#[test]
fn every_alert_is_explained_and_tested() {
    let (rules, tests) = (read(ALERTS), read(ALERT_TESTS));
    let document = fs::read_to_string(repository("docs/operations.md")).unwrap();
    let alerts = alerts();
    assert!(alerts.len() > 20, "{} alerts", alerts.len());
    for alert in &alerts {
        let rule = rules.split("- alert: ").find(|rule| rule.starts_with(&format!("{alert}\n")));
        let rule = rule.expect("it is there");
        let runbook = format!("runbook: docs/operations.md#{}\n", alert.to_lowercase());
        for part in ["severity: ", "summary: ", "description: ", &runbook] {
            assert!(rule.contains(part), "{alert} has no {part}");
        }
        assert!(document.contains(&format!("\n### {alert}\n\n")), "{alert} is not explained");
        assert!(tests.contains(&format!("{{alertname=\"{alert}\"}}")), "{alert} has no test");
    }
    let explained = document.lines().filter_map(|line| line.strip_prefix("### Nudged"));
    let gone: Vec<&str> =
        explained.filter(|name| !alerts.contains(&format!("Nudged{name}"))).collect();
    assert!(gone.is_empty(), "explained, and no alert: {gone:?}");
}

/// What promtool says of files in a folder; `None` where it is not installed.
fn promtool(folder: &std::path::Path, arguments: &[&str]) -> Option<(bool, String)> {
    let output = Command::new("promtool").args(arguments).current_dir(folder).output();
    let Ok(output) = output else {
        println!("promtool is not installed; left out");
        return None;
    };
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    Some((output.status.success(), said.into_owned()))
}

#[test]
fn prometheus_takes_the_files_and_each_alert_fires() {
    let folder = vendor("prometheus");
    let checks: [&[&str]; 2] =
        [&["check", "config", "prometheus.yml"], &["test", "rules", "alerts_test.yml"]];
    for check in checks {
        let Some((is_well, said)) = promtool(&folder, check) else { return };
        assert!(is_well, "{said}");
    }
    // The tests do fail where an alert does not fire.
    let copy = tempfile::tempdir().unwrap();
    let rules = read(ALERTS).replace("nudged_sql_lag_seconds > 60", "nudged_sql_lag_seconds > 600");
    fs::write(copy.path().join("alerts.yml"), rules).unwrap();
    fs::write(copy.path().join("alerts_test.yml"), read(ALERT_TESTS)).unwrap();
    let (is_well, said) = promtool(copy.path(), &["test", "rules", "alerts_test.yml"]).unwrap();
    assert!(!is_well && said.contains("NudgedSqlLag"), "{said}");
}

#[test]
fn every_panel_has_a_unit_and_queries() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let rows = panels.iter().filter(|panel| panel["type"] == "row");
    let rows: Vec<&str> = rows.map(|row| row["title"].as_str().unwrap()).collect();
    for row in ["Decisions", "Latency", "Shards", "Redis", "SQL", "Journal", "System"] {
        assert!(rows.contains(&row), "{rows:?}");
    }
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let unit = panel["fieldConfig"]["defaults"]["unit"].as_str().unwrap_or_default();
        assert!(!unit.is_empty(), "{panel}");
        let targets = panel["targets"].as_array().unwrap();
        let mut text = String::new();
        targets.iter().for_each(|target| queries(target, &mut text));
        assert!(!selectors(&text).is_empty(), "{panel}");
    }
}

#[test]
fn the_test_itself_reads_what_it_should() {
    let text = "sum by (x) (rate(nudged_a_total{route=\"decide\",job=\"$job\",i=~\"a|b\"}[5m])) > \
                nudged_b and anudged_c";
    let label = |label: &str, value: Option<&str>| (label.to_owned(), value.map(str::to_owned));
    let labels = vec![label("route", Some("decide")), label("job", None), label("i", None)];
    let wanted = [
        Selector { name: "nudged_a_total".to_owned(), labels },
        Selector { name: "nudged_b".to_owned(), labels: Vec::new() },
    ];
    assert_eq!(selectors(text), wanted);
    let metrics = "nudged_a_total{route=\"events\",i=\"a\"} 0\nnudged_b 1\n";
    assert!(!is_there(&wanted[0], metrics) && is_there(&wanted[1], metrics));
}

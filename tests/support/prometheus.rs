//! What Prometheus asks of metrics, held to the text of `/metrics` itself: the rules of `promtool
//! check metrics`, and what it does not see. `promtool` runs as well where it is installed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

/// One series: its name as it stands, its labels without `shard` and `le`, its value.
type Series = (String, BTreeSet<String>, f64);

/// Suffixes of the series of a histogram.
const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];
/// Units that are not base units, as words of a name.
const UNITS: [&str; 22] = [
    "ms",
    "us",
    "ns",
    "sec",
    "secs",
    "milliseconds",
    "microseconds",
    "nanoseconds",
    "minutes",
    "hours",
    "days",
    "kb",
    "mb",
    "gb",
    "kib",
    "mib",
    "kilobytes",
    "megabytes",
    "gigabytes",
    "percent",
    "celsius",
    "bits",
];

/// The metrics of one text.
pub struct Metrics {
    types: BTreeMap<String, String>,
    series: Vec<Series>,
    mistakes: Vec<String>,
}

impl Metrics {
    /// Reads a text and notes what is wrong with it.
    pub fn read(text: &str) -> Metrics {
        let mut metrics =
            Metrics { types: BTreeMap::new(), series: Vec::new(), mistakes: Vec::new() };
        let (mut helped, mut current) = (BTreeSet::new(), String::new());
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
                metrics.check(help.ends_with('.') && help.len() > 5, name, "needs a help text");
                let is_new = helped.insert(name.to_owned());
                metrics.check(is_new, name, "has HELP twice");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap_or((rest, ""));
                let is_new = metrics.types.insert(name.to_owned(), kind.to_owned()).is_none();
                metrics.check(is_new, name, "has TYPE twice");
                metrics.check(helped.contains(name), name, "has TYPE before HELP");
                current = name.to_owned();
            } else {
                metrics.read_series(line, &current);
            }
        }
        metrics.check_names();
        metrics.check_labels();
        metrics
    }

    /// What is wrong with them.
    pub fn mistakes(&self) -> &[String] {
        &self.mistakes
    }

    /// Names of metrics, those of a histogram's series as one.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.types.keys().map(String::as_str)
    }

    /// The sum over all series of a name; of a histogram, how often it was observed.
    pub fn sum(&self, name: &str) -> f64 {
        let is_histogram = self.types.get(name).is_some_and(|kind| kind == "histogram");
        let wanted = if is_histogram { format!("{name}_count") } else { name.to_owned() };
        self.series.iter().filter(|(name, ..)| *name == wanted).map(|(.., value)| value).sum()
    }

    fn check(&mut self, is_right: bool, name: &str, what: &str) {
        if !is_right {
            self.mistakes.push(format!("{name} {what}"));
        }
    }

    fn read_series(&mut self, line: &str, current: &str) {
        let Some((name, value)) = line.rsplit_once(' ') else {
            return self.mistakes.push(format!("no series: {line:?}"));
        };
        let (name, labels) = match name.split_once('{') {
            Some((name, labels)) => (name, labels.trim_end_matches('}')),
            None => (name, ""),
        };
        let base = without_part(name);
        let is_own = name == current || base == current;
        self.check(is_own, name, "stands away from its TYPE");
        let number = value.parse::<f64>();
        self.check(number.is_ok(), name, "has a value that is no number");
        let names = labels.split("\",").filter_map(|label| label.split_once('='));
        let names: BTreeSet<String> = names.map(|(name, _)| name.to_owned()).collect();
        self.series.push((name.to_owned(), names, number.unwrap_or_default()));
    }

    fn check_names(&mut self) {
        for (name, kind) in self.types.clone() {
            let is_plain =
                name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
            self.check(is_plain && name.starts_with("nudged_"), &name, "is no name of ours");
            let is_total = name.ends_with("_total");
            self.check(
                is_total == (kind == "counter"),
                &name,
                "ends in _total, or a counter is not",
            );
            let has_part = PARTS.iter().any(|part| name.ends_with(part));
            self.check(!has_part, &name, "ends as a histogram's series do");
            let is_timed = kind != "histogram" || name.ends_with("_seconds");
            self.check(is_timed, &name, "is a histogram of something but seconds");
            let words: Vec<&str> = name.split('_').collect();
            let unit = words.iter().find(|word| UNITS.contains(word));
            self.check(unit.is_none(), &name, "is not in seconds or bytes");
            let is_told = ["gauge", "counter", "histogram"].iter().any(|kind| words.contains(kind));
            self.check(!is_told, &name, "has its type in its name");
        }
    }

    /// Every series of a name has the same labels: without, one is the sum of the others.
    fn check_labels(&mut self) {
        let mut labels: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (name, own, _) in self.series.clone() {
            let first = labels.entry(name.clone()).or_insert_with(|| own.clone());
            let is_same = *first == own;
            self.check(is_same, &name, "has series with other labels");
        }
        for name in self.names().map(str::to_owned).collect::<Vec<_>>() {
            let is_histogram = self.types[&name] == "histogram";
            let bucket = labels.get(&format!("{name}_bucket"));
            let has_le = bucket.is_some_and(|labels| labels.contains("le"));
            self.check(has_le == is_histogram, &name, "has no le, or is no histogram");
            let has_any = is_histogram || labels.contains_key(&name);
            self.check(has_any, &name, "has no series");
        }
    }
}

/// The metric that a series is of.
pub fn without_part(name: &str) -> &str {
    PARTS.iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name)
}

/// What `promtool check metrics` says of a text; `None` where it is not installed.
pub fn promtool(text: &str) -> Option<String> {
    let mut command = Command::new(std::env::var("PROMTOOL").unwrap_or("promtool".to_owned()));
    command.args(["check", "metrics"]).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().ok()?;
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    Some(said.trim().to_owned())
}

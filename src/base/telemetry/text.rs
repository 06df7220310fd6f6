//! All numbers in Prometheus' text format (version 0.0.4). Names start with `nudged_`; numbers of a
//! shard carry the label `shard`. Help and type stand once for each name.

use std::fmt::Write;
use std::sync::Arc;

use super::counters::{Counter, DESCRIPTORS, HISTOGRAMS, MetricKind, ShardCounters, Unit};
use super::request_durations::{BOUNDS_NS, DurationSeries};
use super::sql_durations::{SQL_BOUNDS_NS, SqlDurationSeries, SqlDurations};

/// The `Content-Type` of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A number of the whole node.
#[derive(Clone, Copy, Debug)]
pub struct NodeMetric<'a> {
    /// Its name without `nudged_`. Metrics of one name must follow one another.
    pub name: &'static str,
    /// What readers do with it.
    pub kind: MetricKind,
    /// What it says.
    pub help: &'static str,
    /// Labels and their values; values may hold anything.
    pub labels: &'a [(&'static str, &'a str)],
    /// The number.
    pub value: u64,
    /// What it is kept in.
    pub unit: Unit,
}

impl NodeMetric<'static> {
    /// A number that is what it is now, without labels.
    pub fn gauge(name: &'static str, help: &'static str, value: u64) -> NodeMetric<'static> {
        NodeMetric { name, kind: MetricKind::Gauge, help, labels: &[], value, unit: Unit::Base }
    }

    /// A number that only rises, without labels.
    pub fn counter(name: &'static str, help: &'static str, value: u64) -> NodeMetric<'static> {
        NodeMetric { kind: MetricKind::Counter, ..NodeMetric::gauge(name, help, value) }
    }

    /// The same number, which is in nanoseconds.
    #[must_use]
    pub fn in_ns(self) -> NodeMetric<'static> {
        NodeMetric { unit: Unit::Nanoseconds, ..self }
    }

    /// The same number, which is in thousandths of a share.
    #[must_use]
    pub fn in_thousandths(self) -> NodeMetric<'static> {
        NodeMetric { unit: Unit::Thousandths, ..self }
    }

    /// The same number, which is in milliseconds.
    #[must_use]
    pub fn in_ms(self) -> NodeMetric<'static> {
        NodeMetric { unit: Unit::Milliseconds, ..self }
    }
}

/// Appends every number of the shards, in the order given, and of the node. Allocates where `out`
/// has to grow.
pub fn render(out: &mut String, shards: &[Arc<ShardCounters>], node: &[NodeMetric<'_>]) {
    // Writing to a String fails only where memory does, which ends the process anyway.
    write_all(out, shards, node).expect("a String takes any text");
}

fn write_all(
    out: &mut String,
    shards: &[Arc<ShardCounters>],
    node: &[NodeMetric<'_>],
) -> std::fmt::Result {
    for descriptor in DESCRIPTORS {
        let (name, unit) = (descriptor.name, descriptor.unit);
        write_header(out, name, kind_name(descriptor.kind), descriptor.help)?;
        for (shard, counters) in shards.iter().enumerate() {
            let cells = (descriptor.cells)(counters);
            let number = |cell: &Counter| BaseUnits(cell.get(), unit);
            match descriptor.label {
                None => writeln!(out, "nudged_{name}{{shard=\"{shard}\"}} {}", number(&cells[0]))?,
                Some((label, values)) => {
                    for (value, cell) in values.iter().zip(cells) {
                        let labels = format_args!("shard=\"{shard}\",{label}=\"{value}\"");
                        writeln!(out, "nudged_{name}{{{labels}}} {}", number(cell))?;
                    }
                }
            }
        }
    }
    write_histograms(out, shards)?;
    write_request_durations(out, shards)?;
    let mut last_name = "";
    for metric in node {
        if metric.name != last_name {
            write_header(out, metric.name, kind_name(metric.kind), metric.help)?;
            last_name = metric.name;
        }
        write_node_metric(out, metric)?;
    }
    Ok(())
}

fn kind_name(kind: MetricKind) -> &'static str {
    match kind {
        MetricKind::Counter => "counter",
        MetricKind::Gauge => "gauge",
    }
}

fn write_header(out: &mut String, name: &str, kind: &str, help: &str) -> std::fmt::Result {
    writeln!(out, "# HELP nudged_{name} {help}")?;
    writeln!(out, "# TYPE nudged_{name} {kind}")
}

fn write_histograms(out: &mut String, shards: &[Arc<ShardCounters>]) -> std::fmt::Result {
    let mut last_name = "";
    for descriptor in HISTOGRAMS {
        let name = descriptor.name;
        if name != last_name {
            write_header(out, name, "histogram", descriptor.help)?;
            last_name = name;
        }
        let own = descriptor.label.map(|(label, value)| format!(",{label}=\"{value}\""));
        let own = own.unwrap_or_default();
        for (shard, counters) in shards.iter().enumerate() {
            let histogram = (descriptor.histogram)(counters);
            let mut below = 0;
            for (bound_ns, count) in histogram.cumulative() {
                let bound = BaseUnits(bound_ns, Unit::Nanoseconds);
                let labels = format_args!("shard=\"{shard}\"{own},le=\"{bound}\"");
                writeln!(out, "nudged_{name}_bucket{{{labels}}} {count}")?;
                below = count;
            }
            // The shard records while this reads: no bucket may hold more than the last does.
            let count = histogram.count().max(below);
            let labels = format_args!("shard=\"{shard}\"{own}");
            writeln!(out, "nudged_{name}_bucket{{{labels},le=\"+Inf\"}} {count}")?;
            let sum = BaseUnits(histogram.sum_ns(), Unit::Nanoseconds);
            writeln!(out, "nudged_{name}_sum{{{labels}}} {sum}")?;
            writeln!(out, "nudged_{name}_count{{{labels}}} {count}")?;
        }
    }
    Ok(())
}

fn write_request_durations(out: &mut String, shards: &[Arc<ShardCounters>]) -> std::fmt::Result {
    let help = "Time from the turn that took a request up to the end of the one that answered it.";
    write_header(out, "request_duration_seconds", "histogram", help)?;
    for (shard, counters) in shards.iter().enumerate() {
        for series in counters.request_durations.series() {
            let DurationSeries { route, outcome, cumulative, count, sum_ns } = series;
            let labels = format!("shard=\"{shard}\",route=\"{route}\",outcome=\"{outcome}\"");
            for (bound_ns, below) in BOUNDS_NS.iter().zip(cumulative) {
                let bound = BaseUnits(*bound_ns, Unit::Nanoseconds).to_string();
                let bound = bound.trim_end_matches('0').trim_end_matches('.');
                writeln!(
                    out,
                    "nudged_request_duration_seconds_bucket{{{labels},le=\"{bound}\"}} {below}"
                )?;
            }
            let sum = BaseUnits(sum_ns, Unit::Nanoseconds);
            writeln!(
                out,
                "nudged_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}} {count}\n\
                 nudged_request_duration_seconds_sum{{{labels}}} {sum}\n\
                 nudged_request_duration_seconds_count{{{labels}}} {count}"
            )?;
        }
    }
    Ok(())
}

/// Appends how long SQL took. Allocates where `out` has to grow.
pub fn render_sql(out: &mut String, durations: &SqlDurations) {
    write_sql(out, durations).expect("a String takes any text");
}

fn write_sql(out: &mut String, durations: &SqlDurations) -> std::fmt::Result {
    let name = "sql_duration_seconds";
    write_header(out, name, "histogram", "Time that SQL took, failures included, by operation.")?;
    for series in durations.series() {
        let SqlDurationSeries { operation, cumulative, count, sum_ns } = series;
        let labels = format_args!("operation=\"{operation}\"");
        for (bound_ns, below) in SQL_BOUNDS_NS.iter().zip(cumulative) {
            let bound = BaseUnits(*bound_ns, Unit::Nanoseconds).to_string();
            let bound = bound.trim_end_matches('0').trim_end_matches('.');
            writeln!(out, "nudged_{name}_bucket{{{labels},le=\"{bound}\"}} {below}")?;
        }
        let sum = BaseUnits(sum_ns, Unit::Nanoseconds);
        writeln!(out, "nudged_{name}_bucket{{{labels},le=\"+Inf\"}} {count}")?;
        writeln!(out, "nudged_{name}_sum{{{labels}}} {sum}")?;
        writeln!(out, "nudged_{name}_count{{{labels}}} {count}")?;
    }
    Ok(())
}

fn write_node_metric(out: &mut String, metric: &NodeMetric<'_>) -> std::fmt::Result {
    write!(out, "nudged_{}", metric.name)?;
    for (index, (label, value)) in metric.labels.iter().enumerate() {
        let open = if index == 0 { '{' } else { ',' };
        write!(out, "{open}{label}=\"")?;
        for letter in value.chars() {
            match letter {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str("\\n"),
                other => out.push(other),
            }
        }
        out.push('"');
    }
    let close = if metric.labels.is_empty() { "" } else { "}" };
    writeln!(out, "{close} {}", BaseUnits(metric.value, metric.unit))
}

/// A number in base units, exactly.
struct BaseUnits(u64, Unit);

impl std::fmt::Display for BaseUnits {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let BaseUnits(value, unit) = *self;
        match unit {
            Unit::Base => write!(out, "{value}"),
            Unit::Milliseconds | Unit::Thousandths => {
                write!(out, "{}.{:03}", value / 1_000, value % 1_000)
            }
            Unit::Nanoseconds => {
                write!(out, "{}.{:09}", value / 1_000_000_000, value % 1_000_000_000)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_each_metric_once_and_each_shard() {
        let shards = [Arc::new(ShardCounters::default()), Arc::new(ShardCounters::default())];
        shards[1].connections_accepted.add(7);
        shards[0].decisions_nothing.of("gap").increment();
        shards[1].turn_length.record(1_500);
        shards[0].clock_apart_ms.set(61_005);
        let labels = [("path", "a\\b\"c\nd")];
        let disk = NodeMetric::gauge("disk_bytes", "Bytes on disk.", 5);
        let node = [
            NodeMetric { labels: &labels[..], ..disk },
            NodeMetric::gauge("lag_seconds", "How late it is.", 6_007).in_ms(),
        ];
        let mut text = String::new();
        render(&mut text, &shards, &node);
        let lines = [
            "nudged_connections_accepted_total{shard=\"0\"} 0",
            "nudged_connections_accepted_total{shard=\"1\"} 7",
            "nudged_decisions_nothing_total{shard=\"0\",reason=\"gap\"} 1",
            "nudged_turn_seconds_bucket{shard=\"1\",le=\"0.000001024\"} 0",
            "nudged_turn_seconds_bucket{shard=\"1\",le=\"0.000002048\"} 1",
            "nudged_turn_seconds_bucket{shard=\"1\",le=\"+Inf\"} 1",
            "nudged_turn_seconds_sum{shard=\"1\"} 0.000001500",
            "nudged_turn_seconds_count{shard=\"1\"} 1",
            "nudged_disk_bytes{path=\"a\\\\b\\\"c\\nd\"} 5",
            "nudged_lag_seconds 6.007",
            "nudged_clock_apart_seconds{shard=\"0\"} 61.005",
            "nudged_request_duration_seconds_bucket{shard=\"1\",route=\"decide\",outcome=\"shown\",\
             le=\"0.00005\"} 0",
        ];
        for line in lines {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        let mut types: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
        let count = types.len();
        types.sort_unstable();
        types.dedup();
        let mut histograms: Vec<&str> = HISTOGRAMS.iter().map(|row| row.name).collect();
        histograms.dedup();
        assert_eq!((types.len(), count), (count, DESCRIPTORS.len() + histograms.len() + 3));
        assert!(text.lines().all(|line| line.starts_with("nudged_") || line.starts_with("# ")));
    }
}

//! All numbers in Prometheus' text format (version 0.0.4). Names start with `nudged_`; numbers of a
//! shard carry the label `shard`. Help and type stand once for each name.

use std::fmt::Write;
use std::sync::Arc;

use super::counters::{DESCRIPTORS, HISTOGRAMS, Kind, ShardCounters};

/// The `Content-Type` of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A number of the whole node.
#[derive(Clone, Copy, Debug)]
pub struct NodeMetric<'a> {
    /// Its name without `nudged_`. Metrics of one name must follow one another.
    pub name: &'static str,
    /// What readers do with it.
    pub kind: Kind,
    /// What it says.
    pub help: &'static str,
    /// Labels and their values; values may hold anything.
    pub labels: &'a [(&'static str, &'a str)],
    /// The number.
    pub value: u64,
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
        let name = descriptor.name;
        write_header(out, name, kind_name(descriptor.kind), descriptor.help)?;
        for (shard, counters) in shards.iter().enumerate() {
            let cells = (descriptor.cells)(counters);
            match descriptor.label {
                None => writeln!(out, "nudged_{name}{{shard=\"{shard}\"}} {}", cells[0].get())?,
                Some((label, values)) => {
                    for (value, cell) in values.iter().zip(cells) {
                        let labels = format_args!("shard=\"{shard}\",{label}=\"{value}\"");
                        writeln!(out, "nudged_{name}{{{labels}}} {}", cell.get())?;
                    }
                }
            }
        }
    }
    write_histograms(out, shards)?;
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

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
    }
}

fn write_header(out: &mut String, name: &str, kind: &str, help: &str) -> std::fmt::Result {
    writeln!(out, "# HELP nudged_{name} {help}")?;
    writeln!(out, "# TYPE nudged_{name} {kind}")
}

fn write_histograms(out: &mut String, shards: &[Arc<ShardCounters>]) -> std::fmt::Result {
    for descriptor in HISTOGRAMS {
        let name = descriptor.name;
        write_header(out, name, "histogram", descriptor.help)?;
        for (shard, counters) in shards.iter().enumerate() {
            let histogram = (descriptor.histogram)(counters);
            let mut below = 0;
            for (bound_ns, count) in histogram.cumulative() {
                let bound = Seconds(bound_ns);
                let labels = format_args!("shard=\"{shard}\",le=\"{bound}\"");
                writeln!(out, "nudged_{name}_bucket{{{labels}}} {count}")?;
                below = count;
            }
            // The shard records while this reads: no bucket may hold more than the last does.
            let count = histogram.count().max(below);
            writeln!(out, "nudged_{name}_bucket{{shard=\"{shard}\",le=\"+Inf\"}} {count}")?;
            let sum = Seconds(histogram.sum_ns());
            writeln!(out, "nudged_{name}_sum{{shard=\"{shard}\"}} {sum}")?;
            writeln!(out, "nudged_{name}_count{{shard=\"{shard}\"}} {count}")?;
        }
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
    writeln!(out, "{close} {}", metric.value)
}

/// Nanoseconds as seconds, exactly.
struct Seconds(u64);

impl std::fmt::Display for Seconds {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
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
        let labels = [("path", "a\\b\"c\nd")];
        let metric = |value, labels| NodeMetric {
            name: "disk_bytes",
            kind: Kind::Gauge,
            help: "Bytes on disk.",
            labels,
            value,
        };
        let node = [metric(5, &labels[..]), metric(6, &[])];
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
            "nudged_disk_bytes 6",
        ];
        for line in lines {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        let mut types: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
        let count = types.len();
        types.sort_unstable();
        types.dedup();
        assert_eq!((types.len(), count), (count, DESCRIPTORS.len() + HISTOGRAMS.len() + 1));
        assert!(text.lines().all(|line| line.starts_with("nudged_") || line.starts_with("# ")));
    }
}

//! One look at a node: its metrics and its status, read.

use std::collections::HashMap;

use serde_json::Value;

/// What was seen at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct TopSample {
    /// Seconds since the first look, by the clock of whoever looks.
    pub(super) at_s: f64,
    /// Values by series, without `nudged_`.
    series: HashMap<String, Vec<Series>>,
    /// `/v1/status`
    pub(super) status: Value,
}

#[derive(Clone, Debug)]
struct Series {
    labels: HashMap<String, String>,
    value: f64,
}

impl TopSample {
    /// Reads the text of `/metrics`; what is no series is passed over.
    pub(super) fn read(at_s: f64, text: &str, status: Value) -> TopSample {
        let mut series: HashMap<String, Vec<Series>> = HashMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            let Ok(value) = value.parse() else { continue };
            let (name, labels) = name.split_once('{').unwrap_or((name, ""));
            let Some(name) = name.strip_prefix("nudged_") else { continue };
            let labels = labels_of(labels.trim_end_matches('}'));
            series.entry(name.to_owned()).or_default().push(Series { labels, value });
        }
        TopSample { at_s, series, status }
    }

    /// The sum over all series of a name that have these labels.
    pub(super) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let all = self.series.get(name).into_iter().flatten();
        // A sum of nothing is -0, which would be shown as such.
        all.filter(|series| series.has(labels)).map(|series| series.value).sum::<f64>() + 0.0
    }

    /// The values of a label over all series of a name, each once, in order.
    pub(super) fn values(&self, name: &str, label: &str) -> Vec<String> {
        let all = self.series.get(name).into_iter().flatten();
        let mut values: Vec<String> =
            all.filter_map(|series| series.labels.get(label).cloned()).collect();
        values.sort();
        values.dedup();
        values
    }

    /// A histogram's buckets, summed over all series with these labels: bounds in seconds, and how
    /// many were not above each.
    fn buckets(&self, name: &str, labels: &[(&str, &str)]) -> Vec<(f64, f64)> {
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        let all = self.series.get(&format!("{name}_bucket")).into_iter().flatten();
        for series in all.filter(|series| series.has(labels)) {
            let bound = series.labels.get("le").map_or("", String::as_str);
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap_or(0.0) };
            match buckets.iter_mut().find(|(known, _)| known.total_cmp(&bound).is_eq()) {
                Some((_, count)) => *count += series.value,
                None => buckets.push((bound, series.value)),
            }
        }
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        buckets
    }

    /// A quantile of what was observed since an earlier look, in seconds, within the buckets as
    /// Prometheus does it; `None` where nothing was.
    pub(super) fn quantile(
        &self,
        earlier: &TopSample,
        (name, labels): (&str, &[(&str, &str)]),
        quantile: f64,
    ) -> Option<f64> {
        let before = earlier.buckets(name, labels);
        let now: Vec<(f64, f64)> = self.buckets(name, labels);
        let grown = now.iter().map(|(bound, count)| {
            let known = before.iter().find(|(known, _)| known.total_cmp(bound).is_eq());
            (*bound, (count - known.map_or(0.0, |(_, count)| *count)).max(0.0))
        });
        let grown: Vec<(f64, f64)> = grown.collect();
        let wanted = grown.last()?.1 * quantile;
        if wanted <= 0.0 {
            return None;
        }
        let (mut lower, mut below) = (0.0, 0.0);
        for (bound, count) in grown {
            if count >= wanted {
                // Above the last bound there is nothing to go between.
                let width = if bound.is_finite() { bound - lower } else { 0.0 };
                return Some(lower + width * (wanted - below) / (count - below).max(1.0));
            }
            (lower, below) = (bound, count);
        }
        None
    }
}

impl Series {
    fn has(&self, labels: &[(&str, &str)]) -> bool {
        labels.iter().all(|(name, value)| self.labels.get(*name).is_some_and(|own| own == value))
    }
}

/// Labels of ours: no value of the series that are looked at has a comma or an escape.
fn labels_of(text: &str) -> HashMap<String, String> {
    let pairs = text.split("\",").filter_map(|pair| pair.split_once("=\""));
    pairs.map(|(name, value)| (name.to_owned(), value.trim_end_matches('"').to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# TYPE nudged_a counter\nnudged_a{shard=\"0\",kind=\"x\"} 3\n\
        nudged_a{shard=\"1\",kind=\"x\"} 4\nnudged_b 0.5\nother 9\nnudged_c\n\
        nudged_t_bucket{shard=\"0\",le=\"0.001\"} 10\nnudged_t_bucket{shard=\"0\",le=\"0.01\"} 20\n\
        nudged_t_bucket{shard=\"0\",le=\"+Inf\"} 20\n";

    #[test]
    fn series_are_read_and_quantiles_are_of_what_came_since() {
        let sample = TopSample::read(1.0, TEXT, Value::Null);
        assert_eq!(sample.sum("a", &[]), 7.0);
        assert_eq!(sample.sum("a", &[("shard", "1"), ("kind", "x")]), 4.0);
        assert_eq!((sample.sum("b", &[]), sample.sum("c", &[])), (0.5, 0.0));
        assert_eq!(sample.values("a", "shard"), ["0", "1"]);
        let nothing = TopSample::default();
        let quantile = |earlier, quantile| sample.quantile(earlier, ("t", &[]), quantile);
        assert!((quantile(&nothing, 0.25).unwrap() - 0.0005).abs() < 1e-9);
        assert!((quantile(&nothing, 0.75).unwrap() - 0.0055).abs() < 1e-9);
        assert_eq!(quantile(&sample, 0.5), None);
    }
}

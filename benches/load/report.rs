//! What came of a load, for people and for programs.

use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::latencies::Latencies;
use crate::load::Figures;

/// Requests that left later than this by the generator's fault, in microseconds, are too many if
/// they are more than one in a hundred.
const LAG_MAX_US: f64 = 1_000.0;
/// A generator that is this much of its time on its CPU takes answers late, which makes connections
/// free late and hides its lag.
const CPU_SHARE_MAX: f64 = 0.95;
/// The quantiles that are told, in millionths.
const QUANTILES: [(&str, u64); 4] =
    [("p50", 500_000), ("p90", 900_000), ("p99", 990_000), ("p99.9", 999_000)];

/// What was asked for, and what came of it.
#[derive(Debug)]
pub struct Report {
    /// As it was called.
    pub arguments: Arguments,
    /// What was counted.
    pub figures: Figures,
}

impl Report {
    /// Whether some requests were not answered as they should be.
    pub fn has_errors(&self) -> bool {
        let Figures { statuses, resets, timeouts, .. } = &self.figures;
        !statuses.is_empty() || *resets > 0 || *timeouts > 0
    }

    /// Whether the generator sent in time, and was not itself the limit.
    fn has_kept_up(&self) -> bool {
        let Figures { lags, cpu_share, .. } = &self.figures;
        lags.quantile_us(990_000) <= LAG_MAX_US && *cpu_share < CPU_SHARE_MAX
    }

    /// Answers a second while it was measured.
    fn rate_reached(&self) -> f64 {
        match self.figures.elapsed_ns {
            0 => 0.0,
            elapsed_ns => self.figures.answered as f64 * 1e9 / elapsed_ns as f64,
        }
    }

    /// Lines for people.
    pub fn as_text(&self) -> String {
        let Figures { sent, answered, shown, statuses, resets, timeouts, .. } = &self.figures;
        let Arguments { rate, connections, .. } = &self.arguments;
        let mut text = format!(
            "rate        {:.0} answers/s, {rate} requests/s were due, over {connections} connections\n\
             requests    {sent} sent, {answered} answered, {shown} shows\n\
             errors      {} of status, {resets} resets, {timeouts} timeouts\n",
            self.rate_reached(),
            statuses.values().sum::<u64>(),
        );
        for (status, count) in statuses {
            text += &format!("            status {status}: {count}\n");
        }
        let rows = [
            ("decisions", &self.figures.decisions),
            ("new users", &self.figures.new_users),
            ("events", &self.figures.events),
            ("refusals", &self.figures.refusals),
            ("lag", &self.figures.lags),
        ];
        for (name, latencies) in rows.iter().filter(|(_, latencies)| latencies.count() > 0) {
            text += &format!("{name:<12}mean {:.0} us", latencies.mean_us());
            for (quantile, per_million) in QUANTILES {
                text += &format!("  {quantile} {:.0}", latencies.quantile_us(per_million));
            }
            text += &format!("  max {:.0}\n", latencies.max_us());
        }
        text += &format!("generator   {:.0} % of its core\n", self.figures.cpu_share * 100.0);
        if !self.has_kept_up() {
            text += &format!(
                "NO RESULT   the generator did not keep up: one request in a hundred left {:.0} us \
                 late or later, or it had no time left on its core\n",
                self.figures.lags.quantile_us(990_000)
            );
        }
        text
    }

    /// One line for programs; times are in microseconds.
    pub fn as_json(&self) -> String {
        let Figures { sent, answered, shown, statuses, resets, timeouts, .. } = &self.figures;
        let by_status: serde_json::Map<String, Value> =
            statuses.iter().map(|(status, count)| (status.to_string(), json!(count))).collect();
        let value = json!({
            "rate": self.arguments.rate,
            "rate_reached": rounded(self.rate_reached()),
            "connections": self.arguments.connections,
            "seconds": self.arguments.seconds,
            "sent": sent,
            "answered": answered,
            "in_time": self.figures.in_time,
            "dropped": self.figures.dropped,
            "unanswered": self.figures.unanswered,
            "elapsed_ms": rounded(self.figures.elapsed_ns as f64 / 1e6),
            "shown": shown,
            "errors": {
                "status": statuses.values().sum::<u64>(),
                "by_status": by_status,
                "reset": resets,
                "timeout": timeouts,
            },
            "decisions": latencies_json(&self.figures.decisions),
            "new_users": latencies_json(&self.figures.new_users),
            "events": latencies_json(&self.figures.events),
            "refusals": latencies_json(&self.figures.refusals),
            "lag": latencies_json(&self.figures.lags),
            "cpu_share": rounded(self.figures.cpu_share * 100.0) / 100.0,
            "kept_up": self.has_kept_up(),
        });
        format!("{value}\n")
    }
}

fn latencies_json(latencies: &Latencies) -> Value {
    let mut value = json!({
        "count": latencies.count(),
        "mean_us": rounded(latencies.mean_us()),
        "max_us": rounded(latencies.max_us()),
    });
    for (name, per_million) in QUANTILES {
        value[format!("{name}_us")] = json!(rounded(latencies.quantile_us(per_million)));
    }
    value
}

/// To a tenth.
fn rounded(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn report(lag_us: u64) -> Report {
        let mut figures = Figures { sent: 2, answered: 2, shown: 1, ..Figures::default() };
        figures.elapsed_ns = 1_000_000_000;
        [100_000, 300_000].into_iter().for_each(|ns| figures.decisions.record(ns));
        figures.lags.record(lag_us * 1_000);
        let arguments = Arguments::parse_from(["open-loop", "127.0.0.1:80", "--rate", "2"]);
        Report { arguments, figures }
    }

    #[test]
    fn errors_and_a_late_generator_are_told() {
        let mut report = report(10);
        assert!(!report.has_errors() && !report.as_text().contains("NO RESULT"));
        report.figures.statuses.insert(503, 7);
        assert!(report.has_errors() && report.as_text().contains("status 503: 7"));
        assert!(self::report(2_000).as_text().contains("NO RESULT"));
    }

    #[test]
    fn a_generator_that_is_itself_the_limit_gives_no_result() {
        for (cpu_share, kept_up) in [(0.0, true), (0.94, true), (0.95, false), (1.0, false)] {
            let mut report = report(10);
            report.figures.cpu_share = cpu_share;
            let value: Value = serde_json::from_str(&report.as_json()).unwrap();
            assert_eq!(value["kept_up"], json!(kept_up), "{cpu_share}");
            assert_eq!(report.as_text().contains("NO RESULT"), !kept_up, "{cpu_share}");
        }
    }

    #[test]
    fn a_program_finds_every_figure() {
        let value: Value = serde_json::from_str(&report(10).as_json()).unwrap();
        assert_eq!((&value["rate"], &value["rate_reached"]), (&json!(2), &json!(2.0)));
        assert_eq!(value["decisions"]["mean_us"], json!(200.0));
        assert_eq!(value["decisions"]["p99.9_us"], json!(300.0));
        assert_eq!((&value["kept_up"], &value["errors"]["timeout"]), (&json!(true), &json!(0)));
    }
}

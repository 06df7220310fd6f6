//! What `top` shows: two looks at a node as lines of text. Knows names of metrics and members of
//! the status; must not know terminals.

use serde_json::Value;

use super::sample::TopSample;
use crate::node::explain::plain;

/// Popups that are listed.
const POPUPS_SHOWN: usize = 10;

/// The lines for a window of this many columns and lines, the shards as far as they fit.
pub(super) fn lines(
    (earlier, now): (&TopSample, &TopSample),
    (columns, height): (usize, usize),
) -> Vec<String> {
    let top = TopFigures { earlier, now, elapsed_s: (now.at_s - earlier.at_s).max(0.001) };
    let mut lines = top.header();
    let behind = [top.stores(), top.outages(), top.popups()].concat();
    let room = height.saturating_sub(lines.len() + 3).max(3);
    lines.extend(top.shards(room.saturating_sub(behind.len().min(room / 2))));
    lines.push(String::new());
    lines.extend(behind);
    lines.iter().map(|line| plain(line).chars().take(columns).collect()).collect()
}

struct TopFigures<'t> {
    earlier: &'t TopSample,
    now: &'t TopSample,
    elapsed_s: f64,
}

impl TopFigures<'_> {
    /// How often something happens in a second.
    fn rate(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        (self.now.sum(name, labels) - self.earlier.sum(name, labels)).max(0.0) / self.elapsed_s
    }

    fn latency(&self, labels: &[(&str, &str)], quantile: f64) -> String {
        let durations = ("request_duration_seconds", labels);
        let found = self.now.quantile(self.earlier, durations, quantile);
        found.map_or("-".to_owned(), |seconds| format!("{:.2}", seconds * 1_000.0))
    }

    /// A text of the status; empty where it has none.
    fn text(&self, pointer: &str) -> &str {
        self.now.status.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    fn header(&self) -> Vec<String> {
        let status = &self.now.status;
        let up = duration(status["uptime_s"].as_f64().unwrap_or(0.0));
        let ready = match status["ready"].as_bool() {
            Some(true) => "ready",
            Some(false) => "NOT READY",
            None => "?",
        };
        let (shown, degraded) =
            (self.rate("decisions_shown_total", &[]), self.rate("degraded_total", &[]));
        let sum = |name: &str| self.now.sum(name, &[]);
        vec![
            format!(
                "nudged {}  up {up}  {ready}  load {:.2}  ack {}",
                self.text("/version"),
                sum("load"),
                self.text("/ack"),
            ),
            format!(
                "requests {}/s  shown {}/s  degraded {}/s  refused {}/s  events {}/s",
                count(self.rate("requests_total", &[])),
                count(shown),
                count(degraded),
                count(self.rate("http_errors_total", &[])),
                count(self.rate("events_accepted_total", &[])),
            ),
            format!(
                "latency p50 {} ms  p99 {} ms  connections {} of {}  memory {}",
                self.latency(&[], 0.5),
                self.latency(&[], 0.99),
                count(sum("connections_open")),
                count(sum("connections_max")),
                bytes(sum("process_resident_memory_bytes")),
            ),
            String::new(),
        ]
    }

    fn shards(&self, room: usize) -> Vec<String> {
        let mut shards: Vec<(usize, String)> = self
            .now
            .values("turns_total", "shard")
            .into_iter()
            .filter_map(|shard| Some((shard.parse().ok()?, shard)))
            .collect();
        shards.sort();
        let head = "SHARD  CPU     REQ/S  P50 ms  P99 ms    HIT %    HOPS/S     CONN  CPU %  LOAD";
        let mut lines = vec![head.to_owned()];
        let listed = if shards.len() <= room { shards.len() } else { room.saturating_sub(1) };
        lines.extend(shards.iter().take(listed).map(|(number, shard)| {
            let own = [("shard", shard.as_str())];
            let (hits, misses) =
                (self.rate("slice_hits_total", &own), self.rate("slice_misses_total", &own));
            let hit = match hits + misses {
                all if all > 0.0 => format!("{:.1}", 100.0 * hits / all),
                _ => "-".to_owned(),
            };
            let cpu = &self.now.status["shards"][*number]["cpu"];
            format!(
                "{shard:>5}  {:>3}  {:>8}  {:>6}  {:>6}  {hit:>7}  {:>8}  {:>7}  {:>5.0}  {:>4.2}",
                cpu.as_u64().map_or("-".to_owned(), |cpu| cpu.to_string()),
                count(self.rate("requests_total", &own)),
                self.latency(&own, 0.5),
                self.latency(&own, 0.99),
                count(self.rate("hops_sent_total", &own)),
                count(self.now.sum("connections_open", &own)),
                100.0 * self.rate("shard_cpu_seconds_total", &own),
                self.now.sum("shard_load", &own),
            )
        }));
        if listed < shards.len() {
            lines.push(format!("       and {} more", shards.len() - listed));
        }
        lines
    }

    fn stores(&self) -> Vec<String> {
        let sum = |name: &str| self.now.sum(name, &[]);
        let unfit = |pointer: &str| match self.text(pointer) {
            "" => String::new(),
            why => format!("  UNFIT: {why}"),
        };
        let mut lines = vec![
            format!(
                "journal  {} files  {}  not in SQL {}  {} records/s{}",
                count(sum("journal_segments")),
                bytes(sum("journal_disk_bytes")),
                bytes(sum("journal_unapplied_bytes")),
                count(self.rate("journal_records_total", &[])),
                match self.text("/journal/lacks") {
                    "" => String::new(),
                    lacks => format!("  LACKS: {lacks}"),
                },
            ),
            format!(
                "sql      lag {} records, {:.1} s  {} transactions/s  {} errors{}{}",
                count(sum("sql_lag_records")),
                sum("sql_lag_seconds"),
                count(self.rate("sql_transactions_total", &[])),
                count(sum("sql_errors_total")),
                if sum("sql_halted") > 0.0 { "  HALTED" } else { "" },
                unfit("/sql/unfit"),
            ),
        ];
        if self.now.status["redis"].is_object() {
            let replies = self.rate("redis_link_replies_total", &[]);
            let trip_ms = match replies > 0.0 {
                true => 1_000.0 * self.rate("redis_link_round_trip_seconds_total", &[]) / replies,
                false => 0.0,
            };
            lines.push(format!(
                "redis    {}  {} commands/s  round trip {trip_ms:.2} ms  {} failures/s{}",
                self.text("/redis/state"),
                count(self.rate("redis_link_commands_total", &[])),
                count(self.rate("redis_failures_total", &[])),
                unfit("/redis/unfit"),
            ));
        }
        lines
    }

    fn outages(&self) -> Vec<String> {
        let outages = self.now.status["outages"].as_array().into_iter().flatten();
        let active = outages.filter(|outage| outage["active"] == true);
        let text = |outage: &Value, name: &str| outage[name].as_str().unwrap_or("").to_owned();
        active
            .map(|outage| {
                let (name, at) = (text(outage, "outage"), text(outage, "at"));
                let error = text(outage, "error");
                let why = if error.is_empty() { text(outage, "code") } else { error };
                format!("OUTAGE   {name} since {at}: {why}")
            })
            .collect()
    }

    fn popups(&self) -> Vec<String> {
        let mut popups: Vec<(f64, f64, String)> = self
            .now
            .values("popup_shows_total", "popup")
            .into_iter()
            .map(|popup| {
                let own = [("popup", popup.as_str())];
                let shows = self.now.sum("popup_shows_total", &own);
                (self.rate("popup_shows_total", &own), shows, popup)
            })
            .filter(|(_, shows, _)| *shows > 0.0)
            .collect();
        if popups.is_empty() {
            return Vec::new();
        }
        popups.sort_by(|one, other| {
            other.0.total_cmp(&one.0).then(other.1.total_cmp(&one.1)).then(one.2.cmp(&other.2))
        });
        let head = "POPUP                             SHOWS/S   EVENTS/S       SHOWS      EVENTS";
        let mut lines = vec![String::new(), head.to_owned()];
        lines.extend(popups.iter().take(POPUPS_SHOWN).map(|(rate, shows, popup)| {
            let own = [("popup", popup.as_str())];
            format!(
                "{popup:<32}  {:>7}  {:>9}  {:>10}  {:>10}",
                count(*rate),
                count(self.rate("popup_events_total", &own)),
                count(*shows),
                count(self.now.sum("popup_events_total", &own)),
            )
        }));
        lines
    }
}

/// A number as people read it: `0.4`, `37`, `12,345`.
fn count(number: f64) -> String {
    if number > 0.0 && number < 9.95 && number.fract() > 0.0 {
        return format!("{number:.1}");
    }
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn bytes(number: f64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut number = number;
    let mut unit = 0;
    while number >= 1_024.0 && unit + 1 < UNITS.len() {
        number /= 1_024.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && number < 100.0);
    format!("{number:.digits$} {}", UNITS[unit])
}

fn duration(seconds: f64) -> String {
    let seconds = std::time::Duration::from_secs_f64(seconds.clamp(0.0, 1e12)).as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes}m{:02}s", seconds % 60),
        (0, _) => format!("{hours}h{minutes:02}m"),
        _ => format!("{days}d{hours:02}h"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample(at_s: f64, requests: u64) -> TopSample {
        let text: String = (0..3)
            .map(|shard| {
                format!(
                    "nudged_turns_total{{shard=\"{shard}\"}} 9\n\
                     nudged_requests_total{{shard=\"{shard}\",route=\"decide\"}} {requests}\n\
                     nudged_request_duration_seconds_bucket{{shard=\"{shard}\",le=\"0.001\"}} {requests}\n\
                     nudged_request_duration_seconds_bucket{{shard=\"{shard}\",le=\"+Inf\"}} {requests}\n"
                )
            })
            .collect();
        let text = text + "nudged_popup_shows_total{popup=\"welcome\"} 7\nnudged_load 0.5\n";
        let status = json!({
            "version": "1.2.3", "ready": false, "uptime_s": 3_700, "ack": "written",
            "shards": [{ "cpu": 2 }, { "cpu": 3 }, { "cpu": 4 }],
            "redis": { "state": "away", "unfit": "no\u{1b}[2J rights" },
            "outages": [{ "outage": "redis", "active": true, "at": "T", "error": "refused" }],
        });
        TopSample::read(at_s, &text, status)
    }

    #[test]
    fn two_looks_are_rates_and_everything_fits() {
        let (earlier, now) = (sample(1.0, 100), sample(3.0, 2_100));
        let lines = lines((&earlier, &now), (80, 24));
        let text = lines.join("\n");
        assert!(lines.len() <= 24 && lines.iter().all(|line| line.chars().count() <= 80), "{text}");
        for wanted in [
            "nudged 1.2.3  up 1h01m  NOT READY  load 0.50",
            "requests 3,000/s",
            "latency p50 0.50 ms",
            "    0    2     1,000    0.50",
            "redis    away",
            "UNFIT: no [2J",
            "OUTAGE   redis since T: refused",
            "welcome",
        ] {
            assert!(text.contains(wanted), "{wanted}\n{text}");
        }
        let few = super::lines((&earlier, &now), (40, 8));
        assert!(few.iter().any(|line| line.contains("more")), "{few:#?}");
    }

    #[test]
    fn numbers_are_as_people_read_them() {
        let shown = [0.0, 0.44, 7.0, 999.0, 1_000.0, 1_234_567.0].map(count);
        assert_eq!(shown, ["0", "0.4", "7", "999", "1,000", "1,234,567"]);
        assert_eq!([0.0, 1_500.0, 3.5e9].map(bytes), ["0 B", "1.5 KiB", "3.3 GiB"]);
        assert_eq!([59.0, 3_700.0, 1e6].map(duration), ["0m59s", "1h01m", "11d13h"]);
    }
}

//! Figures of an interval: what the shards' counters have grown by between two looks, and how the
//! stores are at the second one.
//!
//! Limit: [`LIVE_POPUPS_MAX`] popups, those that were shown most.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::catalog::CatalogLook;
use crate::input::moment_json;
use crate::last_errors::last_errors;
use crate::popup_totals::OTHER;
use crate::service::Service;
use crate::status;
use nudged_base::event_kind::EventKind;
use nudged_base::ids::{PopupKey, ShardId};
use nudged_base::limits::{LIVE_FIRST_MS, LIVE_PERIOD_MS, LIVE_POPUPS_MAX};
use nudged_base::telemetry::counters::ShardCounters;
use nudged_base::telemetry::{DurationTotals, KindCounts};
use nudged_base::time::MonoNs;

/// What all streams tell of one moment.
#[derive(Debug)]
pub(super) struct LiveSample {
    /// Rises by one with each.
    pub(super) number: u64,
    /// The figures.
    pub(super) live: Value,
    /// The popups.
    pub(super) catalog: Arc<CatalogLook>,
}

/// Looks once an interval, while somebody asks it.
#[derive(Debug, Default)]
pub(super) struct LiveSampler {
    last: Option<LiveReading>,
    due: MonoNs,
    /// Samples so far.
    number: u64,
    sample: Option<Arc<LiveSample>>,
    catalog: Option<Arc<CatalogLook>>,
}

/// The counters at one moment.
#[derive(Debug)]
struct LiveReading {
    at: MonoNs,
    shards: Vec<ShardReading>,
    popups: HashMap<PopupKey, KindCounts>,
    other: KindCounts,
}

/// The counters of one shard.
#[derive(Clone, Copy, Debug, Default)]
struct ShardReading {
    requests: u64,
    shows: u64,
    nothing: u64,
    degraded: u64,
    events: u64,
    errors: u64,
    durations: DurationTotals,
}

impl LiveSampler {
    /// The sample of the latest interval that has ended, if any, and how long the next one takes.
    /// Where nobody has asked for longer than an interval, the first one is begun.
    pub(super) fn look(
        &mut self,
        service: &Service,
        now: MonoNs,
        streams: usize,
    ) -> (Option<Arc<LiveSample>>, Duration) {
        let is_stale = |last: &LiveReading| last.at.plus_ms(2 * LIVE_PERIOD_MS) < now;
        match self.last.take_if(|last| !is_stale(last)) {
            None => {
                self.last = Some(LiveReading::of(service, now));
                self.sample = None;
                self.due = now.plus_ms(LIVE_FIRST_MS);
            }
            Some(last) if now >= self.due => {
                let reading = LiveReading::of(service, now);
                let catalog = CatalogLook::after(self.catalog.as_ref(), service);
                let live = live_json(service, (&last, &reading), streams);
                self.number += 1;
                self.catalog = Some(Arc::clone(&catalog));
                self.sample = Some(Arc::new(LiveSample { number: self.number, live, catalog }));
                self.last = Some(reading);
                self.due = now.plus_ms(LIVE_PERIOD_MS);
            }
            last => self.last = last,
        }
        (self.sample.clone(), Duration::from_nanos(self.due.0.saturating_sub(now.0).max(1)))
    }
}

impl LiveReading {
    fn of(service: &Service, at: MonoNs) -> LiveReading {
        let mut popups: HashMap<PopupKey, KindCounts> = HashMap::new();
        let mut other = KindCounts::default();
        for shard in &service.counters {
            for (key, counts) in shard.popups.all() {
                add(popups.entry(key).or_default(), &counts);
            }
            add(&mut other, &shard.popups.other());
        }
        let shards = service.counters.iter().map(|shard| ShardReading::of(shard)).collect();
        LiveReading { at, shards, popups, other }
    }

    /// Popups of which something has happened since, with what has, those shown most first.
    fn moved(&self, earlier: &LiveReading) -> Vec<(Option<PopupKey>, KindCounts)> {
        let since = |now: &KindCounts, before: Option<&KindCounts>| -> KindCounts {
            let before = before.copied().unwrap_or_default();
            std::array::from_fn(|kind| now[kind].saturating_sub(before[kind]))
        };
        let of_popups = self.popups.iter();
        let of_popups =
            of_popups.map(|(key, now)| (Some(*key), since(now, earlier.popups.get(key))));
        let other = (None, since(&self.other, Some(&earlier.other)));
        let all = of_popups.chain([other]);
        let mut moved: Vec<_> = all.filter(|(_, counts)| counts.iter().any(|n| *n > 0)).collect();
        moved.sort_by_key(|(key, counts)| (std::cmp::Reverse(*counts), *key));
        moved
    }
}

fn add(to: &mut KindCounts, counts: &KindCounts) {
    to.iter_mut().zip(counts).for_each(|(to, count)| *to += count);
}

impl ShardReading {
    fn of(shard: &ShardCounters) -> ShardReading {
        let sum = |counts: &mut dyn Iterator<Item = (&'static str, u64)>| -> u64 {
            counts.map(|(_, count)| count).sum()
        };
        ShardReading {
            requests: sum(&mut shard.requests.all()),
            shows: shard.decisions_shown.get(),
            nothing: sum(&mut shard.decisions_nothing.all()),
            degraded: shard.degraded.get(),
            events: shard.events_accepted.get(),
            errors: sum(&mut shard.http_errors.all().filter(|(status, _)| status.starts_with('5'))),
            durations: shard.request_durations.totals(),
        }
    }

    fn since(&self, earlier: &ShardReading) -> ShardReading {
        ShardReading {
            requests: self.requests.saturating_sub(earlier.requests),
            shows: self.shows.saturating_sub(earlier.shows),
            nothing: self.nothing.saturating_sub(earlier.nothing),
            degraded: self.degraded.saturating_sub(earlier.degraded),
            events: self.events.saturating_sub(earlier.events),
            errors: self.errors.saturating_sub(earlier.errors),
            durations: self.durations.since(&earlier.durations),
        }
    }

    fn plus(&self, other: &ShardReading) -> ShardReading {
        ShardReading {
            requests: self.requests + other.requests,
            shows: self.shows + other.shows,
            nothing: self.nothing + other.nothing,
            degraded: self.degraded + other.degraded,
            events: self.events + other.events,
            errors: self.errors + other.errors,
            durations: self.durations.plus(&other.durations),
        }
    }
}

/// An interval as it is told.
fn live_json(
    service: &Service,
    (earlier, now): (&LiveReading, &LiveReading),
    streams: usize,
) -> Value {
    let interval_ms = (now.at.0.saturating_sub(earlier.at.0) / 1_000_000).max(1);
    let grown: Vec<ShardReading> =
        now.shards.iter().zip(&earlier.shards).map(|(now, earlier)| now.since(earlier)).collect();
    let total = grown.iter().fold(ShardReading::default(), |sum, more| sum.plus(more));
    let rate = |count: u64| rate(count, interval_ms);
    let (popups, left_out) = popups_json(service, (earlier, now), interval_ms);
    let catalog = service.publisher.current();
    json!({
        "at": moment_json(service.now()),
        "interval_ms": interval_ms,
        "totals": {
            "requests_per_s": rate(total.requests),
            "shows_per_s": rate(total.shows),
            "nothing_per_s": rate(total.nothing),
            "degraded_per_s": rate(total.degraded),
            "events_per_s": rate(total.events),
            "errors_per_s": rate(total.errors),
            "latency_ms": latency_json(&total.durations),
            "connections": service
                .counters
                .iter()
                .map(|shard| shard.connections_open.get())
                .sum::<u64>(),
        },
        "shards": shards_json(service, &grown, interval_ms),
        "popups": popups,
        "popups_left_out": left_out,
        "stores": status::stores(service),
        "outages": last_errors(service, |error| error.is_active),
        "catalog": { "version": catalog.snapshot.version, "since": moment_json(catalog.at) },
        "ready": service.is_ready(),
        "load": status::share_json(service.load.shards().into_iter().max().unwrap_or(0)),
        "streams": streams,
    })
}

fn shards_json(service: &Service, grown: &[ShardReading], interval_ms: u64) -> Vec<Value> {
    let all = (0..service.topology.shards).zip(&service.counters);
    all.zip(service.load.shards())
        .zip(grown)
        .map(|(((shard, counters), load), grown)| {
            json!({
                "id": shard,
                "cpu": service.topology.cpu_of(ShardId(shard)),
                "load": status::share_json(load),
                "requests_per_s": rate(grown.requests, interval_ms),
                "connections": counters.connections_open.get(),
                "users": counters.slice_entries.get(),
                "latency_ms": latency_json(&grown.durations),
            })
        })
        .collect()
}

/// The popups of which something has happened, and how many of them are not told.
fn popups_json(
    service: &Service,
    (earlier, now): (&LiveReading, &LiveReading),
    interval_ms: u64,
) -> (Map<String, Value>, usize) {
    let moved = now.moved(earlier);
    let snapshot = service.publisher.snapshot();
    let mut popups = Map::new();
    for (key, counts) in moved.iter().take(LIVE_POPUPS_MAX) {
        let known = key.and_then(|key| snapshot.popup(key));
        let id = known.map_or(OTHER, |popup| &*popup.id);
        let shows = key.map_or(&now.other, |key| &now.popups[&key])[0];
        let events: Map<String, Value> = EventKind::ALL[1..]
            .iter()
            .zip(&counts[1..])
            .map(|(kind, count)| (kind.word().to_owned(), rate(*count, interval_ms)))
            .collect();
        let figures = json!({
            "shows": shows,
            "shows_per_s": rate(counts[0], interval_ms),
            "events_per_s": events,
        });
        popups.insert(id.to_owned(), figures);
    }
    (popups, moved.len().saturating_sub(LIVE_POPUPS_MAX))
}

/// How many there were a second, to three places.
fn rate(count: u64, interval_ms: u64) -> Value {
    let thousandths = u128::from(count) * 1_000_000 / u128::from(interval_ms);
    let thousandths = u32::try_from(thousandths).unwrap_or(u32::MAX);
    json!(f64::from(thousandths) / 1_000.0)
}

/// Quantiles in milliseconds, to the microsecond; null where nothing was answered.
fn latency_json(durations: &DurationTotals) -> Value {
    let quantile = |thousandths| {
        let us = durations.quantile_ns(thousandths)? / 1_000;
        u32::try_from(us).ok().map(|us| f64::from(us) / 1_000.0)
    };
    json!({ "p50": quantile(500), "p99": quantile(990) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_quantiles_have_their_units() {
        assert_eq!(rate(51_200, 1_000), json!(51_200.0));
        assert_eq!(rate(1, 250), json!(4.0));
        assert_eq!(rate(1, 3_000), json!(0.333));
        assert_eq!(rate(4_000_000_000, 1_000), json!(f64::from(u32::MAX) / 1_000.0), "a bound");
        assert_eq!(latency_json(&DurationTotals::default()), json!({ "p50": null, "p99": null }));
        let shard = ShardCounters::default();
        shard.request_durations.note(
            nudged_base::telemetry::RequestRoute::Decide,
            nudged_base::telemetry::RequestOutcome::Nothing,
        );
        shard.request_durations.end_turn(90_000);
        assert_eq!(latency_json(&shard.request_durations.totals())["p50"], json!(0.1));
    }

    #[test]
    fn popups_that_moved_come_by_their_shows() {
        let reading = |popups: &[(u64, KindCounts)]| LiveReading {
            at: MonoNs(0),
            shards: Vec::new(),
            popups: popups.iter().map(|(key, counts)| (PopupKey(*key), *counts)).collect(),
            other: KindCounts::default(),
        };
        let earlier = reading(&[(1, [5, 0, 0, 0, 0, 0]), (2, [1, 0, 0, 0, 0, 0])]);
        let now =
            reading(&[(1, [5, 0, 0, 0, 0, 0]), (2, [2, 1, 0, 0, 0, 0]), (3, [4, 0, 0, 0, 0, 0])]);
        let moved: Vec<_> =
            now.moved(&earlier).into_iter().map(|(key, _)| key.unwrap().0).collect();
        assert_eq!(moved, [3, 2]);
    }
}

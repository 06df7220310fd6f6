//! `GET /v1/live`: what the node does, as events, for as long as somebody looks. All streams share
//! one sampler, which looks only while there are any: nothing is counted for them on the way of a
//! request.
//!
//! ```text
//! counters ── sampler, once a second ──┬─► stream: live, catalog
//! lines of the log ── its tail ────────┴─► stream: log
//! ```
//!
//! `sampler` figures of an interval · `catalog` what changed of popups. Limits:
//! [`LIVE_STREAMS_MAX`] streams, [`LIVE_STREAM_MS`] each.

mod catalog;
mod sampler;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bumpalo::Bump;

use super::access::{AdminAccess, Credentials};
use super::answer::AdminAnswer;
use super::events::{EventWriter, ListenerLost};
use super::input;
use super::log_lines::line_json;
use super::operations::Needs;
use super::service::Service;
use super::stream::AdminStream;
use nudged_base::limits::{LIVE_STREAM_MS, LIVE_STREAMS_MAX, LOG_TAIL_LINES};
use nudged_base::telemetry::log::Level;
use nudged_base::telemetry::text::NodeMetric;
use nudged_http::head::Request;
use nudged_runtime::clocks;
use sampler::{LiveSample, LiveSampler};

/// Who looks at live figures, and what they see.
#[derive(Debug, Default)]
pub(super) struct LiveHub {
    open: Arc<AtomicUsize>,
    refused: AtomicU64,
    cut: AtomicU64,
    sampler: Mutex<LiveSampler>,
}

/// A stream's place among those that are open, until it is dropped.
#[derive(Debug)]
struct LiveSeat(Arc<AtomicUsize>);

impl Drop for LiveSeat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What a stream was asked for.
#[derive(Debug)]
struct LiveRequest {
    _seat: LiveSeat,
    credentials: Credentials,
    /// Lines of the log that are as grave as this, where any are wanted.
    level: Option<Level>,
    /// The number of the last line that is known.
    line: u64,
}

impl LiveHub {
    /// A place, where one is free.
    fn enter(&self) -> Option<LiveSeat> {
        let step = |open| (open < LIVE_STREAMS_MAX).then_some(open + 1);
        let entered = self.open.fetch_update(Ordering::AcqRel, Ordering::Acquire, step);
        if entered.is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        entered.ok().map(|_| LiveSeat(Arc::clone(&self.open)))
    }

    /// What is to be told now, where there is anything yet, and when to look again.
    fn look(&self, service: &Service) -> (Option<Arc<LiveSample>>, Duration) {
        let streams = self.open.load(Ordering::Acquire);
        let mut sampler = self.sampler.lock().unwrap_or_else(PoisonError::into_inner);
        sampler.look(service, clocks::mono(), streams)
    }

    /// How many are open, were refused, and were cut since their clients did not read.
    pub(super) fn metrics(&self) -> [NodeMetric<'static>; 3] {
        let open = u64::try_from(self.open.load(Ordering::Acquire)).unwrap_or(u64::MAX);
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            NodeMetric::gauge("live_streams", "Streams of live figures that are open.", open),
            NodeMetric::counter(
                "live_streams_refused_total",
                "Streams of live figures refused because too many were open.",
                count(&self.refused),
            ),
            NodeMetric::counter(
                "live_streams_cut_total",
                "Streams of live figures cut because their clients did not read.",
                count(&self.cut),
            ),
        ]
    }
}

/// What streams have of the node.
type LiveParts<'p> = (&'p Arc<Service>, &'p Arc<AdminAccess>, &'p Arc<LiveHub>);

/// Answers `log after`: with the head of a stream, where there is room for one.
///
/// # Errors
/// The answer that refuses it.
pub(super) fn answer(
    (service, access, hub): LiveParts<'_>,
    request: &Request<'_>,
) -> Result<AdminAnswer, AdminAnswer> {
    let bump = Bump::new();
    let [level, after] = input::fields(request.query, ["log", "after"], &bump)?;
    let level = level.and_then(Level::of_name);
    let line = after.and_then(input::number).unwrap_or_else(|| service.log_tail.last());
    let seat = hub.enter().filter(|_| !service.are_streams_over());
    let seat = seat.ok_or_else(|| AdminAnswer::unavailable("too_many_streams"))?;
    let credentials = access.credentials(request);
    let live = LiveRequest { _seat: seat, credentials, level, line };
    let (service, access, hub) = (Arc::clone(service), Arc::clone(access), Arc::clone(hub));
    Ok(AdminAnswer::events(move |stream| run((&service, &access, &hub), live, stream)))
}

/// Tells until the client has gone, may not look any more, has looked for long enough, or the node
/// stops.
fn run(parts: LiveParts<'_>, request: LiveRequest, stream: &mut AdminStream) {
    let told = EventWriter::on(stream).and_then(|events| tell(parts, request, events));
    if told == Err(ListenerLost::Stalled) {
        let (.., hub) = parts;
        hub.cut.fetch_add(1, Ordering::Relaxed);
    }
}

fn tell(
    (service, access, hub): LiveParts<'_>,
    mut request: LiveRequest,
    mut events: EventWriter<'_, AdminStream>,
) -> Result<(), ListenerLost> {
    let until = Instant::now() + Duration::from_millis(LIVE_STREAM_MS);
    let (mut live_seen, mut catalog_seen) = (0, None);
    events.send_retry()?;
    loop {
        if let Some(level) = request.level {
            for line in service.log_tail.after(request.line, level, LOG_TAIL_LINES) {
                events.send("log", &line_json(&line))?;
                request.line = line.number;
            }
        }
        let (credentials, publisher) = (&request.credentials, &service.publisher);
        let is_let_in = access.still_lets(credentials, Needs::Reading, publisher, clocks::mono());
        if service.are_streams_over() || Instant::now() >= until || !is_let_in {
            return events.send_retry();
        }
        let (sample, next) = hub.look(service);
        if let Some(sample) = sample {
            let catalog = &sample.catalog;
            if catalog_seen != Some(catalog.number) {
                events.send("catalog", &catalog.told(catalog_seen.is_none()))?;
                catalog_seen = Some(catalog.number);
            }
            if sample.number != live_seen {
                events.send("live", &sample.live)?;
                live_seen = sample.number;
            }
        }
        // Who wants no lines is not woken by them.
        let line = if request.level.is_some() { request.line_seen(service) } else { u64::MAX };
        service.log_tail.wait(line, next, || service.are_streams_over());
    }
}

impl LiveRequest {
    /// The number behind which a line is news: those below the level are none.
    fn line_seen(&self, service: &Service) -> u64 {
        let level = self.level.unwrap_or(Level::Error);
        let newest = service.log_tail.newest(level, 1).first().map_or(0, |line| line.number);
        if newest > self.line { self.line } else { service.log_tail.last().max(self.line) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_have_a_bound_and_a_seat_that_is_left_is_free_again() {
        let hub = LiveHub::default();
        let mut seats: Vec<_> = (0..LIVE_STREAMS_MAX).map(|_| hub.enter()).collect();
        assert!(seats.iter().all(Option::is_some));
        assert!(hub.enter().is_none());
        assert_eq!(hub.metrics().map(|metric| metric.value), [LIVE_STREAMS_MAX as u64, 1, 0]);
        seats.pop();
        assert!(hub.enter().is_some());
    }
}

//! Shows and events by popup, all shards together. Only so many popups have series of their own, in
//! the order in which something first happened to them; which those are never changes, so that no
//! series falls back.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::service::Service;
use nudged_base::event_kind::EventKind;
use nudged_base::ids::PopupKey;
use nudged_base::telemetry::KindCounts;
use nudged_base::telemetry::text::NodeMetric;

/// What stands for all popups without a series; no popup can be called so.
pub(super) const OTHER: &str = "(other)";

/// Popups that have series of their own.
#[derive(Debug, Default)]
pub(super) struct NamedPopups(Mutex<Vec<PopupKey>>);

/// The counts of one series, and its popup.
pub(super) type PopupTotal = (String, KindCounts);

/// The totals of this moment, those of all others last.
pub(super) fn totals(service: &Service) -> Vec<PopupTotal> {
    let mut by_key: HashMap<PopupKey, KindCounts> = HashMap::new();
    let mut other = KindCounts::default();
    for shard in &service.counters {
        for (key, counts) in shard.popups.all() {
            add(by_key.entry(key).or_default(), &counts);
        }
        add(&mut other, &shard.popups.other());
    }
    let limit = usize::try_from(service.publisher.config().metrics.popups).unwrap_or(usize::MAX);
    let popups = service.publisher.current().popups;
    let mut named = service.named_popups.0.lock().unwrap_or_else(PoisonError::into_inner);
    let mut totals = Vec::new();
    for known in popups.iter() {
        let id = &known.stored.id;
        let key = PopupKey::of(id);
        let Some(counts) = by_key.remove(&key) else { continue };
        if !named.contains(&key) && named.len() < limit {
            named.push(key);
        }
        match named.contains(&key) {
            true => totals.push((id.clone(), counts)),
            false => add(&mut other, &counts),
        }
    }
    by_key.values().for_each(|counts| add(&mut other, counts));
    totals.push((OTHER.to_owned(), other));
    totals
}

fn add(to: &mut KindCounts, counts: &KindCounts) {
    to.iter_mut().zip(counts).for_each(|(to, count)| *to += count);
}

/// The labels of all series: of shows, and of events.
pub(super) struct PopupLabels<'t> {
    shows: Vec<[(&'static str, &'t str); 1]>,
    events: Vec<[(&'static str, &'t str); 2]>,
}

impl<'t> PopupLabels<'t> {
    pub(super) fn of(totals: &'t [PopupTotal]) -> PopupLabels<'t> {
        let label = |(id, _): &'t PopupTotal| ("popup", id.as_str());
        let actions = |total: &'t PopupTotal| {
            let action = |kind: &EventKind| [label(total), ("action", kind.word())];
            EventKind::ALL[1..].iter().map(action).collect::<Vec<_>>()
        };
        PopupLabels {
            shows: totals.iter().map(|total| [label(total)]).collect(),
            events: totals.iter().flat_map(actions).collect(),
        }
    }

    /// The metrics of the same totals.
    pub(super) fn push_metrics<'m>(
        &'m self,
        metrics: &mut Vec<NodeMetric<'m>>,
        totals: &[PopupTotal],
    ) {
        let shows = totals.iter().zip(&self.shows).map(|((_, counts), labels)| NodeMetric {
            labels,
            ..NodeMetric::counter("popup_shows_total", "Decisions that returned it.", counts[0])
        });
        metrics.extend(shows);
        let events = totals.iter().flat_map(|(_, counts)| &counts[1..]);
        metrics.extend(events.zip(&self.events).map(|(count, labels)| NodeMetric {
            labels,
            ..NodeMetric::counter("popup_events_total", "Events accepted of its shows.", *count)
        }));
    }
}

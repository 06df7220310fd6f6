//! Connections by listener, all shards together: as JSON and as metrics.

use serde_json::{Value, json};

use super::service::Service;
use nudged_base::telemetry::text::NodeMetric;
use nudged_config::DataListener;

/// One listener's connections.
pub(super) struct ListenerTotal {
    /// Its place in the setting.
    place: String,
    /// As it is bound.
    address: String,
    /// Accepted, open, refused.
    counts: [u64; 3],
}

/// The totals of this moment, in the order of the setting.
pub(super) fn listener_totals(service: &Service) -> Vec<ListenerTotal> {
    let total = |(place, listener): (u16, &DataListener)| {
        let rows = service.counters.iter().map(|shard| shard.listeners.at(place));
        let counts = rows.map(|row| [row.accepted.get(), row.open.get(), row.refused.get()]);
        let counts = counts.fold([0; 3], |sum, more| [0, 1, 2].map(|at| sum[at] + more[at]));
        ListenerTotal { place: place.to_string(), address: listener.to_string(), counts }
    };
    (0..).zip(&service.listening).map(total).collect()
}

/// The part of `GET /v1/status`.
pub(super) fn listeners_json(service: &Service) -> Vec<Value> {
    let json = |total: ListenerTotal| {
        let [accepted, open, refused] = total.counts;
        json!({
            "address": total.address,
            "connections_accepted": accepted,
            "connections": open,
            "connections_refused": refused,
        })
    };
    listener_totals(service).into_iter().map(json).collect()
}

/// The labels of each listener's series.
pub(super) fn listener_labels(totals: &[ListenerTotal]) -> Vec<[(&'static str, &str); 2]> {
    totals
        .iter()
        .map(|total| [("listener", total.place.as_str()), ("address", total.address.as_str())])
        .collect()
}

/// The metrics of the same totals.
pub(super) fn push_listeners<'m>(
    metrics: &mut Vec<NodeMetric<'m>>,
    totals: &[ListenerTotal],
    labels: &'m [[(&'static str, &'m str); 2]],
) {
    let metrics_of = [
        NodeMetric::counter(
            "listener_connections_accepted_total",
            "Connections accepted, by listener.",
            0,
        ),
        NodeMetric::gauge("listener_connections_open", "Open connections, by listener.", 0),
        NodeMetric::counter(
            "listener_connections_refused_total",
            "Connections refused because too many were open, by listener.",
            0,
        ),
    ];
    for (at, metric) in metrics_of.into_iter().enumerate() {
        let all = totals.iter().zip(labels);
        metrics.extend(all.map(|(total, labels)| NodeMetric {
            labels,
            value: total.counts[at],
            ..metric
        }));
    }
}

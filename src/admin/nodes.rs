//! Which nodes there are beside this one and what they decide by, as far as they say.

use serde_json::{Value, json};

use super::service::Service;
use nudged_base::limits::PEER_SILENT_MS;
use nudged_publish::publisher::{NodeSight, NodeView};

/// The part of `GET /v1/status`: this node first.
pub(super) fn status(service: &Service) -> Vec<Value> {
    let own = service.publisher.own_node();
    let others = service.publisher.other_nodes();
    let all = std::iter::once((&own, true)).chain(others.iter().map(|sight| (sight, false)));
    all.map(|(sight, is_self)| {
        let NodeSight { node, view, silent_ms } = sight;
        json!({
            "node": (!node.is_empty()).then_some(node),
            "host": view.host,
            "version": view.version,
            "self": is_self,
            "catalog_version": view.catalog,
            "overrides": view.overrides,
            "current": view.is_same(&own.view),
            "silent_ms": silent_ms,
        })
    })
    .collect()
}

/// The other nodes that are alive, each with whether the same pauses and archives stand there.
pub(super) fn seen(service: &Service) -> Vec<(NodeSight, bool)> {
    let NodeSight { view: own, .. } = service.publisher.own_node();
    let alive = service.publisher.other_nodes().into_iter();
    let alive = alive.filter(|sight| sight.silent_ms <= PEER_SILENT_MS);
    let has_same = |view: &NodeView| view.has_same_overrides(&own);
    alive.map(|sight| (has_same(&sight.view), sight)).map(|(is, sight)| (sight, is)).collect()
}

/// A node that the change of a popup has come to, or not.
pub(super) fn seen_json((sight, is_seen): &(NodeSight, bool)) -> Value {
    json!({ "node": sight.node, "host": sight.view.host, "seen": is_seen })
}

//! What this node decides by, as it says it to others, and what others have said.

use std::time::Instant;

use super::Publisher;
use super::nodes::{FollowedNodes, NodeSight, NodeView};
use nudged_domain::catalog::overrides::Overrides;
use nudged_runtime::{clocks, topology};

/// The same for the same entries, in whatever order: ids are random.
fn mark_of(overrides: &Overrides) -> (u64, String) {
    let standing = overrides.all().filter(|held| held.entry.end.is_none());
    let (count, mark) =
        standing.fold((0, 0), |(count, mark), held| (count + 1, mark ^ held.entry.id.0));
    (count, format!("{mark:032x}"))
}

impl Publisher {
    /// This node has this id from now on.
    pub fn be_node(&self, node: &str) {
        self.nodes.set_own(node);
    }

    /// This node as it is now.
    pub fn own_node(&self) -> NodeSight {
        let (overrides, mark) = mark_of(&self.live.lock().overrides);
        let view = NodeView {
            host: topology::host_name(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            catalog: self.current().stored_version,
            overrides,
            mark,
            at: clocks::wall().0,
        };
        NodeSight { node: self.nodes.own(), view, silent_ms: 0 }
    }

    /// The other nodes that were heard of lately, by their ids; none without Redis.
    pub fn other_nodes(&self) -> Vec<NodeSight> {
        self.nodes.others(Instant::now())
    }

    /// Has them asked as often as may be, until what is given is dropped.
    pub fn follow_nodes(&self) -> FollowedNodes {
        let followed = self.nodes.follow();
        self.live.ring();
        followed
    }

    /// How often other nodes were asked.
    pub(super) fn nodes_said(&self) -> u64 {
        self.nodes.said()
    }

    /// Whether somebody waits for what they say.
    pub(crate) fn is_followed(&self) -> bool {
        self.nodes.is_followed()
    }

    /// Takes in what all nodes say of themselves; wakes who waits for it.
    pub(crate) fn take_nodes(&self, views: Vec<(String, NodeView)>) {
        self.nodes.take(views, Instant::now(), clocks::wall());
        drop(self.live.lock());
        self.live.ring();
    }
}

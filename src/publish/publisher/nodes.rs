//! What other nodes decide by, as far as they say: each leaves its catalog's version and a mark of
//! the pauses and archives that stand there, so that who pauses here sees who knows of it. Only
//! for people: nothing is decided by it. Must not know where it is left.
//!
//! Limits: [`PEERS_MAX`] nodes; one that is silent for [`PEER_SILENT_MS`] is not waited for, one
//! for [`NODE_TOLD_MS`] not told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};

#[cfg(doc)]
use nudged_base::limits::PEER_SILENT_MS;
use nudged_base::limits::{NODE_TOLD_MS, PEERS_MAX};
use nudged_base::time::WallMs;

/// What a node says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeView {
    /// The host's name.
    pub host: String,
    /// The program's version.
    pub version: String,
    /// The store's version of its catalog.
    pub catalog: u64,
    /// How many pauses and archives stand there.
    pub overrides: u64,
    /// The same for nodes where the same ones stand.
    pub mark: String,
    /// When it said so, by its own clock, in milliseconds since 1970.
    pub at: i64,
}

impl NodeView {
    /// Whether the same pauses and archives stand there.
    pub fn has_same_overrides(&self, other: &NodeView) -> bool {
        (self.overrides, &self.mark) == (other.overrides, &other.mark)
    }

    /// Whether it decides by the same.
    pub fn is_same(&self, other: &NodeView) -> bool {
        self.catalog == other.catalog && self.has_same_overrides(other)
    }
}

/// A node, and for how long it has been silent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSight {
    /// Its id; that of its journal. Empty where a node alone is asked for its own.
    pub node: String,
    /// What it said last.
    pub view: NodeView,
    /// How long ago, in milliseconds.
    pub silent_ms: u64,
}

#[derive(Debug, Default)]
struct NodeBookState {
    /// This node's id.
    own: String,
    others: BTreeMap<String, (NodeView, Instant)>,
}

/// The nodes that were heard of.
#[derive(Debug, Default)]
pub(super) struct NodeBook {
    state: Mutex<NodeBookState>,
    /// How many wait for what they say.
    followers: Arc<AtomicUsize>,
    /// How often they were asked.
    said: AtomicU64,
}

/// Somebody waits for what other nodes say, until it is dropped.
#[derive(Debug)]
pub struct FollowedNodes(Arc<AtomicUsize>);

impl Drop for FollowedNodes {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl NodeBook {
    /// A panic ends the process, so a poisoned lock guards what it always did.
    fn lock(&self) -> MutexGuard<'_, NodeBookState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what all nodes have left; those that have left nothing are forgotten.
    pub(super) fn take(&self, views: Vec<(String, NodeView)>, now: Instant, wall: WallMs) {
        self.said.fetch_add(1, Ordering::AcqRel);
        let mut state = self.lock();
        let before = std::mem::take(&mut state.others);
        let others = views.into_iter().filter(|(node, _)| *node != state.own).take(PEERS_MAX);
        let others = others.map(|(node, view)| {
            let heard = match before.get(&node) {
                // Equality, not order: its clock may have been set back.
                Some((known, heard)) if known.at == view.at => *heard,
                Some(_) => now,
                // By its own clock, which is near enough to tell one that is gone.
                None => {
                    let age_ms = u64::try_from(wall.0.saturating_sub(view.at)).unwrap_or(0);
                    let age = std::time::Duration::from_millis(age_ms);
                    now.checked_sub(age).unwrap_or(now)
                }
            };
            (node, (view, heard))
        });
        let others = others.collect();
        state.others = others;
    }

    /// This node's id.
    pub(super) fn own(&self) -> String {
        self.lock().own.clone()
    }

    /// This node has this id from now on.
    pub(super) fn set_own(&self, node: &str) {
        node.clone_into(&mut self.lock().own);
    }

    /// Somebody waits for what other nodes say.
    pub(super) fn follow(&self) -> FollowedNodes {
        self.followers.fetch_add(1, Ordering::AcqRel);
        FollowedNodes(Arc::clone(&self.followers))
    }

    /// Whether anybody does.
    pub(super) fn is_followed(&self) -> bool {
        self.followers.load(Ordering::Acquire) > 0
    }

    /// How often other nodes were asked.
    pub(super) fn said(&self) -> u64 {
        self.said.load(Ordering::Acquire)
    }

    /// Those that were heard of lately.
    pub(super) fn others(&self, now: Instant) -> Vec<NodeSight> {
        let state = self.lock();
        let sight = |(node, (view, heard)): (&String, &(NodeView, Instant))| {
            let silent = now.saturating_duration_since(*heard);
            let silent_ms = u64::try_from(silent.as_millis()).unwrap_or(u64::MAX);
            NodeSight { node: node.clone(), view: view.clone(), silent_ms }
        };
        let told = state.others.iter().map(sight);
        told.filter(|sight| sight.silent_ms <= NODE_TOLD_MS).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn view(at: i64) -> NodeView {
        NodeView { host: "web-2".to_owned(), at, ..NodeView::default() }
    }

    #[test]
    fn a_node_is_silent_since_it_last_said_something_else() {
        let book = NodeBook::default();
        book.set_own("own");
        let begun = Instant::now() + Duration::from_secs(3_600);
        let take = |node: &str, at: i64, now: Instant| {
            let views = vec![("own".to_owned(), view(1)), (node.to_owned(), view(at))];
            book.take(views, now, WallMs(10_000));
        };
        let silent = |now: Instant| -> Vec<u64> {
            book.others(now).iter().map(|sight| sight.silent_ms).collect()
        };
        take("a", 9_000, begun);
        assert_eq!(silent(begun), [1_000], "by its own clock at first, and without this one");
        let later = begun + Duration::from_secs(2);
        take("a", 9_000, later);
        assert_eq!(silent(later), [3_000]);
        take("a", 8_999, later);
        assert_eq!(silent(later), [0], "its clock was set back");
        assert_eq!(silent(later + Duration::from_millis(NODE_TOLD_MS + 1)), [] as [u64; 0]);
        take("b", -80_000, later);
        assert_eq!(silent(later), [] as [u64; 0], "one that is gone");
    }
}

//! The node's lists, seen by the keeper: which they are, and how long they are where the thread
//! that drains them is held up by SQL, since what waits must be known above all then. One pipeline
//! of a length for each list, at most every `LIST_LOOK_MS`.

use std::sync::Arc;

use super::common::{RoundError, Turn};
use super::seam::{Effect, Input, View};
use crate::lists::assignment::ListAssignment;
use crate::lists::list_key;
use crate::lists::rendezvous::partitions_of;
use nudged_base::ids::{NodeId, Partition};
use nudged_redis::request::{OwnedReply, RedisRequest, command};

#[derive(Debug)]
pub(super) struct Backlog {
    lists: Arc<ListAssignment>,
    /// The nodes that share all lists.
    nodes: Vec<NodeId>,
    /// The lane whose lists are looked at.
    lane: usize,
}

impl Backlog {
    pub(super) fn new(lists: Arc<ListAssignment>) -> Backlog {
        Backlog { lists, nodes: Vec::new(), lane: 0 }
    }

    /// Refusals for want of a right that the drains have met.
    pub(super) fn denials(&self) -> u64 {
        self.lists.denials()
    }

    /// Works out which lists are this node's, where the nodes have changed; then looks at those at
    /// which nobody has looked for a while.
    pub(super) fn begin(&mut self, view: &View, own: NodeId, nodes: Vec<NodeId>) -> Option<Effect> {
        if nodes != self.nodes {
            self.lists.set_partitions(partitions_of(own, &nodes));
            self.nodes = nodes;
        }
        self.look(view, 0)
    }

    pub(super) fn step(&mut self, view: &View, input: Input) -> Turn {
        let Input::Answered(answers) = input else { return Err(RoundError::Unasked) };
        let mut waiting = 0;
        for answer in answers? {
            let OwnedReply::Int(length) = answer else { return Err(RoundError::Answer("LLEN")) };
            waiting += u64::try_from(length).unwrap_or(0);
        }
        let metrics = &self.lists.metrics[self.lane];
        metrics.see(view.now.mono, waiting);
        metrics.grow_old(view.now.wall);
        Ok(self.look(view, self.lane + 1))
    }

    /// Looks at the lists of the next lane from this one on.
    fn look(&mut self, view: &View, from: usize) -> Option<Effect> {
        let metrics = &self.lists.metrics;
        self.lane = (from..metrics.len()).find(|lane| metrics[*lane].is_stale(view.now.mono))?;
        let length = |at: &Partition| command(&[b"LLEN", list_key(*at).as_bytes()]);
        let lengths = self.lists.begin(self.lane).partitions.iter().map(length).collect();
        Some(Effect::Ask(RedisRequest::Pipeline(lengths)))
    }
}

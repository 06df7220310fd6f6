//! Which lists of Redis this node drains, and how far it is with them: between the keeper, which
//! shares lists out among nodes, and the threads that drain them. Must not know Redis or SQL.
//!
//! The node's lists are dealt out among lanes, a thread with connections of its own each. A list is
//! the same lane's for the life of the process, so that nobody else moves its position meanwhile.
//!
//! ```text
//! round 7: lane 0 begins -> ends all of its lists      round 8: each pass of it began after
//!          lane 1 begins ------> ends all of its lists |        round 7 was over
//! ```

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::metrics::DrainMetrics;
use nudged_base::ids::Partition;

/// The lists of a node, by lane.
#[derive(Debug)]
pub struct ListAssignment {
    state: Mutex<AssignmentState>,
    /// What was seen and done, by lane.
    pub metrics: Vec<Arc<DrainMetrics>>,
}

#[derive(Debug)]
struct AssignmentState {
    partitions: Vec<Partition>,
    rounds: u64,
    /// By lane: whether it has ended a pass that began in this round.
    is_done: Vec<bool>,
}

/// One reading of all lists of a lane.
#[derive(Debug, Default)]
pub struct Pass {
    /// The partitions whose lists are the lane's.
    pub partitions: Vec<Partition>,
    round: u64,
}

impl Default for ListAssignment {
    fn default() -> ListAssignment {
        ListAssignment::new(1)
    }
}

impl ListAssignment {
    /// No lists yet, for so many lanes.
    ///
    /// # Panics
    /// Without a lane.
    pub fn new(lanes: usize) -> ListAssignment {
        assert!(lanes > 0, "somebody drains");
        let state =
            AssignmentState { partitions: Vec::new(), rounds: 0, is_done: vec![false; lanes] };
        let metrics = (0..lanes).map(|_| Arc::default()).collect();
        ListAssignment { state: Mutex::new(state), metrics }
    }

    /// Says which lists are this node's.
    pub fn set_partitions(&self, partitions: Vec<Partition>) {
        self.state().partitions = partitions;
    }

    /// A lane begins to read its lists. Allocates.
    pub fn begin(&self, lane: usize) -> Pass {
        let state = self.state();
        let lanes = state.is_done.len();
        let is_own = |partition: &&Partition| usize::from(partition.0) % lanes == lane;
        let partitions = state.partitions.iter().filter(is_own).copied().collect();
        Pass { partitions, round: state.rounds }
    }

    /// SQL has all that was in the lists of a lane when it began.
    pub fn end(&self, lane: usize, pass: &Pass) {
        let mut state = self.state();
        if pass.round != state.rounds {
            return;
        }
        state.is_done[lane] = true;
        if state.is_done.iter().all(|is_done| *is_done) {
            state.is_done.fill(false);
            state.rounds += 1;
        }
    }

    /// Rounds that are over: in each every lane has ended a pass that began in it. What was in the
    /// lists before is in SQL once two more are.
    pub fn rounds(&self) -> u64 {
        self.state().rounds
    }

    /// Refusals for want of a right that the lanes have met.
    pub fn denials(&self) -> u64 {
        self.metrics.iter().map(|lane| lane.denials.load(Ordering::Relaxed)).sum()
    }

    fn state(&self) -> MutexGuard<'_, AssignmentState> {
        // A thread that panicked has aborted the process.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_is_one_lanes_whatever_the_node_has() {
        for lanes in [1, 2, 3, 64] {
            let assignment = ListAssignment::new(lanes);
            for of_node in [vec![], vec![5], (0..1_024).collect(), (0..1_024).step_by(2).collect()]
            {
                let wanted: Vec<Partition> = of_node.into_iter().map(Partition).collect();
                assignment.set_partitions(wanted.clone());
                let passes = (0..lanes).map(|lane| assignment.begin(lane).partitions);
                let mut dealt: Vec<Partition> = passes.flatten().collect();
                dealt.sort_unstable();
                assert_eq!(dealt, wanted, "{lanes} lanes");
            }
        }
    }

    #[test]
    fn a_round_is_over_when_every_lane_has_ended_a_pass_that_began_in_it() {
        let assignment = ListAssignment::new(2);
        let (slow, quick) = (assignment.begin(0), assignment.begin(1));
        assignment.end(1, &quick);
        // However often one of them comes round, it does not stand for the other.
        (0..5).for_each(|_| assignment.end(1, &assignment.begin(1)));
        assert_eq!(assignment.rounds(), 0);
        let early = assignment.begin(1);
        assignment.end(0, &slow);
        assert_eq!(assignment.rounds(), 1);
        // It began before the first round was over, so it may have missed what came since.
        assignment.end(1, &early);
        assignment.end(0, &assignment.begin(0));
        assert_eq!(assignment.rounds(), 1);
        assignment.end(1, &assignment.begin(1));
        assert_eq!(assignment.rounds(), 2);
    }
}

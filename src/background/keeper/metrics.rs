//! What the keeper has done, and how a rebuild stands: counted by it, read for metrics and status.
//! Atomics alone.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use super::core::RebuildStatus;
use nudged_base::telemetry::table::node_metrics;
use nudged_base::time::MonoNs;

node_metrics! {
    /// What the keeper has done, for metrics and status.
    pub struct KeeperMetrics {
        Counter rounds "keeper_rounds_total" "Rounds of the keeper.";
        Counter failures "keeper_failures_total" "Rounds of the keeper that failed.";
        Counter sql_failures "keeper_sql_failures_total" "SQL queries of the keeper that failed.";
        Gauge peers "keeper_other_nodes" "Other nodes that are alive.";
        Counter rebuilds "rebuild_begun_total" "Rebuilds begun by this node.";
        Counter users_filled "rebuild_users_total" "Users filled into Redis from SQL.";
        Counter fenced "rebuild_held_total" "Partitions found to have lost writes.";
        Counter users_unreadable "rebuild_unreadable_total"
            "Users whose rows could not be read, so that Redis takes them for new.";
        Gauge partitions "rebuild_partitions" "Partitions that are not open.";
    }
    beside {
        /// 0 while all are open, 1 lost, 2 barrier, 3 filling.
        pub phase: AtomicU8,
        /// When they were first seen not to be, on the monotonic clock, in nanoseconds.
        pub since_ns: AtomicU64,
    }
}

/// A rebuild as a person is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RebuildProgress {
    /// Partitions that are not open.
    pub partitions: u64,
    /// `lost`, `barrier` or `filling`.
    pub phase: &'static str,
    /// Users that this node has written into Redis since it started.
    pub users: u64,
    /// For how long, in milliseconds.
    pub for_ms: u64,
}

/// The phases of a rebuild, in their order; the first while none is under way.
pub(super) const PHASES: [&str; 4] = ["open", "lost", "barrier", "filling"];

impl KeeperMetrics {
    /// The rebuild that is under way, if one is.
    pub fn rebuild(&self, now: MonoNs) -> Option<RebuildProgress> {
        let phase = PHASES[usize::from(self.phase.load(Ordering::Relaxed)).min(3)];
        (phase != "open").then(|| RebuildProgress {
            partitions: self.partitions.load(Ordering::Relaxed),
            phase,
            users: self.users_filled.load(Ordering::Relaxed),
            for_ms: now.0.saturating_sub(self.since_ns.load(Ordering::Relaxed)) / 1_000_000,
        })
    }

    /// How it stands after a round; gives the partitions that are not open.
    pub(super) fn publish(&self, peers: usize, status: Option<RebuildStatus>) -> u64 {
        self.peers.store(u64::try_from(peers).unwrap_or(u64::MAX), Ordering::Relaxed);
        let partitions = status.map_or(0, |status| status.partitions as u64);
        self.partitions.store(partitions, Ordering::Relaxed);
        self.since_ns.store(status.map_or(0, |status| status.since.0), Ordering::Relaxed);
        self.phase.store(status.map_or(0, |status| status.phase), Ordering::Relaxed);
        partitions
    }
}

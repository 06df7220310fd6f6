//! What was drained from lists of Redis, and what waits in them: counted by the threads that drain
//! them, looked at by the keeper while SQL holds those up, read for metrics. Atomics alone.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use nudged_base::limits::LIST_LOOK_MS;
use nudged_base::telemetry::table::node_metrics;
use nudged_base::time::{MonoNs, WallMs};

node_metrics! {
    /// What a lane has drained. `waiting` and `lag_ms` are as of the latest look; where entries
    /// were drained, the lag is how old the oldest was when it was applied.
    pub struct DrainMetrics {
        Gauge waiting "list_waiting" "Records in this node's lists.";
        Gauge lag_ms "list_lag_seconds"
            "Age of the oldest record in this node's lists." in Milliseconds;
        Counter transactions "list_transactions_total"
            "Transactions that applied records from lists.";
        Counter given_up "list_given_up_total" "Lists taken over by other nodes.";
        Counter records "list_records_total" "Records applied from lists.";
        Counter duplicates "list_duplicates_total" "Records that SQL had already.";
        Counter trimmed "list_trimmed_total" "Entries dropped from lists.";
        Counter denials "list_denials_total"
            "Permissions that Redis denied to the reader of lists.";
        Counter failures "list_failures_total" "Failures of Redis or SQL while moving lists.";
    }
    beside {
        /// When they were looked at last, on the monotonic clock, in nanoseconds.
        looked_ns: AtomicU64,
        /// The time of the oldest entry that is being applied, in milliseconds; 0 for none.
        oldest_ms: AtomicI64,
    }
}

impl DrainMetrics {
    /// So many entries wait.
    pub fn see(&self, now: MonoNs, waiting: u64) {
        self.waiting.store(waiting, Ordering::Relaxed);
        self.looked_ns.store(now.0, Ordering::Relaxed);
    }

    /// Whether nobody has looked for [`LIST_LOOK_MS`]: who drains them is held up by SQL.
    pub fn is_stale(&self, now: MonoNs) -> bool {
        let looked = MonoNs(self.looked_ns.load(Ordering::Relaxed));
        now >= looked.plus_ms(LIST_LOOK_MS)
    }

    /// Entries are on their way to SQL, the oldest of this time.
    pub fn begin(&self, oldest: WallMs) {
        self.oldest_ms.store(oldest.0, Ordering::Relaxed);
    }

    /// All that was on its way to SQL is there; `lag_ms` is how old the oldest of it was.
    pub fn end(&self, lag_ms: u64) {
        self.oldest_ms.store(0, Ordering::Relaxed);
        self.lag_ms.store(lag_ms, Ordering::Relaxed);
    }

    /// What is on its way to SQL grows old.
    pub(crate) fn grow_old(&self, now: WallMs) {
        match self.oldest_ms.load(Ordering::Relaxed) {
            0 => {}
            oldest => self.lag_ms.store(now.since(WallMs(oldest)).0, Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn what_nobody_looked_at_for_a_while_is_stale() {
        let metrics = DrainMetrics::default();
        let at = MonoNs(50_000 * MS);
        assert!(metrics.is_stale(at), "nobody has ever looked");
        metrics.see(at, 7);
        assert_eq!(metrics.waiting.load(Ordering::Relaxed), 7);
        assert!(!metrics.is_stale(MonoNs(at.0 + LIST_LOOK_MS * MS - 1)));
        assert!(metrics.is_stale(MonoNs(at.0 + LIST_LOOK_MS * MS)));
    }

    #[test]
    fn the_lag_grows_while_entries_are_on_their_way() {
        let metrics = DrainMetrics::default();
        let lag_ms = || metrics.lag_ms.load(Ordering::Relaxed);
        metrics.end(40);
        metrics.grow_old(WallMs(9_000));
        assert_eq!(lag_ms(), 40, "nothing is on its way");
        metrics.begin(WallMs(5_000));
        metrics.grow_old(WallMs(9_000));
        assert_eq!(lag_ms(), 4_000);
        metrics.end(4_100);
        metrics.grow_old(WallMs(20_000));
        assert_eq!(lag_ms(), 4_100);
    }
}

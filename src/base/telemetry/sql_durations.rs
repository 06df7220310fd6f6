//! How long statements and transactions of SQL take, by what they are for, in fixed buckets. Any
//! thread records, any may read; nothing allocates.

use std::sync::atomic::{AtomicU64, Ordering};

/// Upper bounds of the buckets, in nanoseconds: from a lookup in SQLite to a server that hangs.
pub(crate) const SQL_BOUNDS_NS: [u64; 16] = [
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// What SQL is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SqlOperation {
    /// Records of the journal are applied, one transaction.
    Apply,
    /// Users are read back.
    Read,
    /// Records of Redis' lists are applied, one transaction.
    Drain,
    /// What is old is deleted or folded, one batch.
    Retain,
    /// Positions, signs of life, checks.
    Other,
}

impl SqlOperation {
    /// Each one, in the order in which they are shown.
    pub(crate) const ALL: [SqlOperation; 5] = [
        SqlOperation::Apply,
        SqlOperation::Read,
        SqlOperation::Drain,
        SqlOperation::Retain,
        SqlOperation::Other,
    ];

    /// Its name in metrics.
    pub(crate) fn word(self) -> &'static str {
        match self {
            SqlOperation::Apply => "apply",
            SqlOperation::Read => "read",
            SqlOperation::Drain => "drain",
            SqlOperation::Retain => "retain",
            SqlOperation::Other => "other",
        }
    }
}

#[derive(Debug, Default)]
struct SqlDurationRow {
    /// By bound; the last has what is longer than all of them.
    counts: [AtomicU64; SQL_BOUNDS_NS.len() + 1],
    sum_ns: AtomicU64,
}

/// Durations of each operation.
#[derive(Debug, Default)]
pub struct SqlDurations([SqlDurationRow; SqlOperation::ALL.len()]);

/// One operation's durations as they are shown.
pub(crate) struct SqlDurationSeries {
    pub(crate) operation: &'static str,
    /// How many were not longer than each bound.
    pub(crate) cumulative: [u64; SQL_BOUNDS_NS.len()],
    pub(crate) count: u64,
    pub(crate) sum_ns: u64,
}

impl SqlDurations {
    /// Counts one duration, failed or not.
    pub fn record(&self, operation: SqlOperation, ns: u64) {
        let row = &self.0[operation as usize];
        let place = SQL_BOUNDS_NS.partition_point(|bound| *bound < ns);
        row.counts[place].fetch_add(1, Ordering::Relaxed);
        row.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    pub(crate) fn series(&self) -> impl Iterator<Item = SqlDurationSeries> {
        self.0.iter().zip(SqlOperation::ALL).map(|(row, operation)| {
            let mut count = 0;
            let mut upto = |counter: &AtomicU64| {
                count += counter.load(Ordering::Relaxed);
                count
            };
            let cumulative = std::array::from_fn(|place| upto(&row.counts[place]));
            let count = upto(&row.counts[SQL_BOUNDS_NS.len()]);
            let sum_ns = row.sum_ns.load(Ordering::Relaxed);
            SqlDurationSeries { operation: operation.word(), cumulative, count, sum_ns }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_under_its_operation_and_each_bound_that_it_keeps() {
        let durations = SqlDurations::default();
        for ns in [100_000, 100_001, 60_000_000_000] {
            durations.record(SqlOperation::Read, ns);
        }
        let all: Vec<_> = durations.series().collect();
        assert_eq!(all.iter().map(|one| one.count).collect::<Vec<_>>(), [0, 3, 0, 0, 0]);
        let read = &all[1];
        assert_eq!((read.operation, read.sum_ns), ("read", 60_000_200_001));
        assert_eq!((read.cumulative[0], read.cumulative[1], read.cumulative[15]), (1, 2, 2));
    }
}

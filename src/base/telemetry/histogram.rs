//! Latencies in fixed buckets: four to each doubling, from 1 us to 34 s, so a quantile is at most a
//! quarter too high. One thread records, any may read; nothing allocates.

use super::counter::Counter;

/// Durations below 2^10 ns share the first bucket.
const FIRST_POWER: u32 = 10;
/// Durations of 2^35 ns and more share the last.
const LAST_POWER: u32 = 35;
/// Powers of two that have buckets of their own.
const POWERS: usize = (LAST_POWER - FIRST_POWER) as usize;
/// The first bucket, four to each power, the last.
const BUCKETS: usize = 1 + 4 * POWERS + 1;

/// Counts of durations by length.
#[derive(Debug)]
pub struct Histogram {
    buckets: [Counter; BUCKETS],
    sum_ns: Counter,
}

impl Default for Histogram {
    fn default() -> Histogram {
        let buckets = std::array::from_fn(|_| Counter::default());
        Histogram { buckets, sum_ns: Counter::default() }
    }
}

impl Histogram {
    /// Counts one duration. Only the owning thread may.
    pub fn record(&self, ns: u64) {
        self.buckets[bucket(ns)].increment();
        self.sum_ns.add(ns);
    }

    /// All durations together, in nanoseconds.
    pub(crate) fn sum_ns(&self) -> u64 {
        self.sum_ns.get()
    }

    /// Durations counted so far.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(Counter::get).sum()
    }

    /// For each power of two: the upper bound in nanoseconds and how many durations were shorter.
    pub(crate) fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut count = self.buckets[0].get();
        (0..=POWERS).map(move |power| {
            if power > 0 {
                let own = &self.buckets[4 * power - 3..=4 * power];
                count += own.iter().map(Counter::get).sum::<u64>();
            }
            (1 << (power + FIRST_POWER as usize), count)
        })
    }
}

fn bucket(ns: u64) -> usize {
    let power = ns.checked_ilog2().unwrap_or(0);
    if power < FIRST_POWER {
        return 0;
    }
    if power >= LAST_POWER {
        return BUCKETS - 1;
    }
    let quarter = usize::try_from((ns >> (power - 2)) & 3).expect("masked to 2 bits");
    1 + 4 * (power - FIRST_POWER) as usize + quarter
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The least duration that is in a later bucket, in nanoseconds.
    fn upper_bound_ns(bucket: usize) -> u64 {
        if bucket == 0 {
            return 1 << FIRST_POWER;
        }
        if bucket == BUCKETS - 1 {
            return u64::MAX;
        }
        let (power, quarter) = ((bucket - 1) / 4, (bucket - 1) % 4);
        (4 + quarter as u64 + 1) << (power + FIRST_POWER as usize - 2)
    }

    proptest::proptest! {
        #[test]
        fn each_duration_is_in_the_bucket_below_its_bound(ns: u64, shift in 0..64u32) {
            let ns = ns >> shift;
            let index = bucket(ns);
            proptest::prop_assert!(ns < upper_bound_ns(index) || index == BUCKETS - 1);
            if index > 0 {
                proptest::prop_assert!(ns >= upper_bound_ns(index - 1));
            }
        }
    }

    #[test]
    fn counts_are_cumulative() {
        let (one, other) = (Histogram::default(), Histogram::default());
        (0..99).for_each(|_| one.record(1_500));
        other.record(1 << 40);
        let below: Vec<(u64, u64)> = one.cumulative().take(3).collect();
        assert_eq!(below, [(1_024, 0), (2_048, 99), (4_096, 99)]);
        assert_eq!(one.cumulative().last(), Some((1 << 35, 99)));
        assert_eq!((other.count(), other.cumulative().last().unwrap().1), (1, 0));
        assert_eq!(one.sum_ns(), 99 * 1_500);
    }
}

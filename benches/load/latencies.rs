//! Durations in buckets that are each a 64th wide of what they hold: a quantile is at most 1.6 %
//! too high. Mean and maximum are exact.

/// Buckets of each doubling.
const STEPS: usize = 64;
const STEPS_POWER: u32 = STEPS.ilog2();
/// Durations of 2^37 ns and more, 137 s, share the last bucket.
const LAST_POWER: u32 = 37;
const BUCKETS: usize = STEPS * (LAST_POWER - STEPS_POWER + 1) as usize;

/// Counts of durations, in nanoseconds.
#[derive(Clone, Debug)]
pub struct Latencies {
    buckets: Vec<u64>,
    count: u64,
    sum_ns: u64,
    max_ns: u64,
}

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies { buckets: vec![0; BUCKETS], count: 0, sum_ns: 0, max_ns: 0 }
    }
}

impl Latencies {
    /// Counts one.
    pub fn record(&mut self, ns: u64) {
        self.buckets[bucket(ns)] += 1;
        self.count += 1;
        self.sum_ns += ns;
        self.max_ns = self.max_ns.max(ns);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The mean, in microseconds; 0 of none.
    pub fn mean_us(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum_ns as f64 / self.count as f64 / 1e3 }
    }

    /// What so many of a million are not longer than, in microseconds; 0 of none.
    pub fn quantile_us(&self, per_million: u64) -> f64 {
        assert!(per_million <= 1_000_000, "a share");
        let rank = (u128::from(self.count) * u128::from(per_million)).div_ceil(1_000_000);
        let mut below = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            below += u128::from(*count);
            if *count > 0 && below >= rank {
                return bound_ns(index).min(self.max_ns) as f64 / 1e3;
            }
        }
        0.0
    }

    /// The longest, in microseconds.
    pub fn max_us(&self) -> f64 {
        self.max_ns as f64 / 1e3
    }
}

fn bucket(ns: u64) -> usize {
    let power = ns.checked_ilog2().unwrap_or(0);
    if power < STEPS_POWER {
        return usize::try_from(ns).expect("less than a doubling's steps");
    }
    if power >= LAST_POWER {
        return BUCKETS - 1;
    }
    let doubling = (power - STEPS_POWER + 1) as usize;
    let step = usize::try_from(ns >> (power - STEPS_POWER)).expect("less than two doublings");
    STEPS * doubling + step - STEPS
}

/// The longest duration of a bucket.
fn bound_ns(bucket: usize) -> u64 {
    let (doubling, step) = (bucket / STEPS, (bucket % STEPS) as u64);
    if doubling == 0 {
        return step;
    }
    ((STEPS as u64 + step + 1) << (doubling - 1)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn each_duration_is_in_the_bucket_of_its_bound(ns in 0..1u64 << LAST_POWER, shift in 0..37u32) {
            let ns = ns >> shift;
            let index = bucket(ns);
            proptest::prop_assert!(ns <= bound_ns(index));
            proptest::prop_assert!(index == 0 || ns > bound_ns(index - 1));
            proptest::prop_assert!(bound_ns(index) - ns <= ns / STEPS as u64);
        }
    }

    #[test]
    fn quantiles_are_ranks() {
        let mut latencies = Latencies::default();
        assert_eq!((latencies.quantile_us(999_000), latencies.mean_us()), (0.0, 0.0));
        (1..=1_000u64).for_each(|us| latencies.record(us * 1_000));
        let of = |per_million| latencies.quantile_us(per_million);
        assert!((500.0..508.0).contains(&of(500_000)), "{}", of(500_000));
        assert!((999.0..=1_000.0).contains(&of(999_000)), "{}", of(999_000));
        assert_eq!(
            (of(1_000_000), latencies.max_us(), latencies.mean_us()),
            (1_000.0, 1_000.0, 500.5)
        );
        latencies.record(u64::MAX >> 8);
        assert_eq!(latencies.count(), 1_001);
    }
}

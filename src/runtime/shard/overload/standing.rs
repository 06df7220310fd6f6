//! Whether what waits stands above a bound, or only passed it: of all waits of an interval the
//! least one counts, as CoDel has it. One late turn, however late, is none of that.

use nudged_base::limits::OVERLOAD_INTERVAL_MS;
use nudged_base::time::MonoNs;

/// Waits of one queue, as they are told.
#[derive(Debug, Default)]
pub(super) struct StandingDelay {
    /// Since when each of them was above the bound.
    above_since: Option<MonoNs>,
    told: MonoNs,
}

impl StandingDelay {
    /// Takes a wait of `delay_ns` that has ended `now`; whether every one was above `bound_ns` for
    /// an interval. Where one began longer after the one before had ended, both are bursts.
    pub(super) fn take(&mut self, now: MonoNs, delay_ns: u64, bound_ns: u64) -> bool {
        let begun_ns = now.0.saturating_sub(delay_ns);
        let is_apart = begun_ns > self.told.plus_ms(OVERLOAD_INTERVAL_MS).0;
        self.told = now;
        if delay_ns <= bound_ns {
            self.above_since = None;
            return false;
        }
        if is_apart {
            self.above_since = None;
        }
        let since = *self.above_since.get_or_insert(now);
        now >= since.plus_ms(OVERLOAD_INTERVAL_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn taken(delays: impl IntoIterator<Item = (u64, u64)>) -> Vec<bool> {
        let mut standing = StandingDelay::default();
        let take = |(at_ms, delay_ms)| standing.take(MonoNs(at_ms * MS), delay_ms * MS, 5 * MS);
        delays.into_iter().map(take).collect()
    }

    #[test]
    fn the_least_of_an_interval_counts() {
        // A second of long waits, with a short one in each 90 ms.
        let short = |at: u64| (at, if at.is_multiple_of(90) { 5 } else { 40 });
        assert!(!taken((1..100).map(|step| short(step * 10))).contains(&true));
        let long = taken((0..=10).map(|step| (1_000 + step * 10, 6)));
        assert_eq!(long.iter().position(|stands| *stands), Some(10));
        // One that took a second was one.
        assert_eq!(taken([(5_000, 1_000), (5_001, 900)]), [false, false]);
        // Of turns that take longer than the interval the second one tells.
        assert_eq!(taken([(5_000, 150), (5_151, 150)]), [false, true]);
        // Nothing is known of what lies between two that are far apart.
        assert!(!taken((1..20).map(|step| (step * 160, 50))).contains(&true));
    }
}

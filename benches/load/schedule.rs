//! When requests are due: the n-th at a time that no answer moves.

/// The requests of one stretch of load.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    start_ns: u64,
    /// Requests a second; `None` where all are due at once.
    rate: Option<u64>,
    count: u64,
}

impl Schedule {
    /// `count` requests, `rate` a second, the first at once.
    pub fn steady(start_ns: u64, rate: u64, count: u64) -> Schedule {
        Schedule { start_ns, rate: Some(rate), count }
    }

    /// `count` requests as fast as connections take them.
    pub fn at_once(count: u64) -> Schedule {
        Schedule { start_ns: 0, rate: None, count }
    }

    /// When the request of this number is due, in nanoseconds of the monotonic clock; `None` beyond
    /// the last.
    pub fn due_ns(&self, number: u64) -> Option<u64> {
        if number >= self.count {
            return None;
        }
        let Some(rate) = self.rate else { return Some(self.start_ns) };
        // From the start, so that nothing adds up.
        let after_ns = u128::from(number) * 1_000_000_000 / u128::from(rate);
        Some(self.start_ns + u64::try_from(after_ns).unwrap_or(u64::MAX / 2))
    }

    /// Whether it has a rate that is to be kept.
    pub fn is_steady(&self) -> bool {
        self.rate.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn a_second_has_as_many_as_the_rate_says(rate in 1..200_000u64, start in 0..1u64 << 40) {
            let schedule = Schedule::steady(start, rate, rate * 3);
            let due = |number| schedule.due_ns(number).unwrap();
            proptest::prop_assert_eq!(due(0), start);
            for second in 1..3 {
                proptest::prop_assert_eq!(due(rate * second), start + second * 1_000_000_000);
                proptest::prop_assert!(due(rate * second - 1) < start + second * 1_000_000_000);
            }
            proptest::prop_assert_eq!(schedule.due_ns(rate * 3), None);
        }
    }

    #[test]
    fn gaps_differ_by_the_nanosecond_that_can_not_be_divided() {
        let schedule = Schedule::steady(0, 3, 9);
        let due: Vec<u64> = (0..5).filter_map(|number| schedule.due_ns(number)).collect();
        assert_eq!(due, [0, 333_333_333, 666_666_666, 1_000_000_000, 1_333_333_333]);
        let at_once = Schedule::at_once(2);
        assert_eq!(
            [at_once.due_ns(0), at_once.due_ns(1), at_once.due_ns(2)],
            [Some(0), Some(0), None]
        );
    }
}

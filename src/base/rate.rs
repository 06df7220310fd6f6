//! A limit of events in time: a steady rate with a burst above it, as the generic cell rate
//! algorithm has it (ITU-T I.371, annex A): one number a subject, no timer. Knows no subject.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::time::MonoNs;

/// Nanoseconds of a second.
const SECOND_NS: u64 = 1_000_000_000;

/// How many events, and in what time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Events, from 1.
    pub events: u32,
    /// Within this many seconds, from 1.
    pub per_s: u32,
}

/// A rate with the events that may come at once. Subjects that were quiet for long may use all of
/// them; then they are held to the rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    interval_ns: u64,
    tolerance_ns: u64,
}

/// Refused: seconds until one event may come, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverRate {
    /// Rounded up.
    pub after_s: u32,
}

impl RateLimit {
    /// A limit; `burst` counts from 1, fewer are taken for 1.
    ///
    /// # Panics
    /// Where the rate has no events.
    pub fn new(rate: Rate, burst: u32) -> RateLimit {
        let interval_ns = u64::from(rate.per_s) * SECOND_NS / u64::from(rate.events);
        let interval_ns = interval_ns.max(1);
        RateLimit { interval_ns, tolerance_ns: u64::from(burst.max(1) - 1) * interval_ns }
    }

    /// Takes one event of the subject whose next event is due at `due_ns`, on the clock of `now`;
    /// 0 for a subject that is new. Gives when the one after it is due.
    ///
    /// # Errors
    /// Where it comes too soon; nothing is taken then.
    pub fn take(&self, due_ns: u64, now: MonoNs) -> Result<u64, OverRate> {
        let due_ns = due_ns.max(now.0);
        match due_ns - now.0 > self.tolerance_ns {
            true => Err(self.over(due_ns, now)),
            false => Ok(due_ns + self.interval_ns),
        }
    }

    /// As [`RateLimit::take`], of a subject that several threads count.
    ///
    /// # Errors
    /// As there.
    pub fn take_shared(&self, due_ns: &AtomicU64, now: MonoNs) -> Result<(), OverRate> {
        let take = |due_ns| self.take(due_ns, now).ok();
        match due_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => Ok(()),
            Err(due_ns) => Err(self.over(due_ns, now)),
        }
    }

    fn over(&self, due_ns: u64, now: MonoNs) -> OverRate {
        let wait_ns = due_ns.saturating_sub(now.0).saturating_sub(self.tolerance_ns);
        let after_s = wait_ns.div_ceil(SECOND_NS).max(1);
        OverRate { after_s: u32::try_from(after_s).unwrap_or(u32::MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at_ms(ms: u64) -> MonoNs {
        MonoNs(ms * 1_000_000)
    }

    /// Takes at each of these times, in milliseconds; how many seconds each is told to wait.
    fn waits(limit: RateLimit, times_ms: &[u64]) -> Vec<Option<u32>> {
        let mut due_ns = 0;
        let take = |time_ms: &u64| match limit.take(due_ns, at_ms(*time_ms)) {
            Ok(next_ns) => {
                due_ns = next_ns;
                None
            }
            Err(over) => Some(over.after_s),
        };
        times_ms.iter().map(take).collect()
    }

    #[test]
    fn a_burst_then_the_rate() {
        let two_a_second = Rate { events: 2, per_s: 1 };
        let limit = RateLimit::new(two_a_second, 3);
        let times = [10, 10, 10, 10, 509, 510, 510, 1_010, 9_000, 9_000, 9_000, 9_000];
        let (taken, second) = (None, Some(1));
        let want = [
            taken, taken, taken, second, second, taken, second, taken, taken, taken, taken, second,
        ];
        assert_eq!(waits(limit, &times), want);
    }

    #[test]
    fn waits_are_told_in_whole_seconds() {
        let limit = RateLimit::new(Rate { events: 1, per_s: 60 }, 1);
        assert_eq!(
            waits(limit, &[1, 1, 30_000, 59_999, 60_001]),
            [None, Some(60), Some(31), Some(1), None]
        );
        let least = RateLimit::new(Rate { events: 1, per_s: 3_600 }, 0);
        assert_eq!(waits(least, &[0, 0]), [None, Some(3_600)], "no burst is one at a time");
    }

    #[test]
    fn threads_share_one_subject() {
        let limit = RateLimit::new(Rate { events: 1, per_s: 3_600 }, 100);
        let due_ns = AtomicU64::new(0);
        let take = || (0..100).filter(|_| limit.take_shared(&due_ns, at_ms(5)).is_ok()).count();
        let taken: usize = std::thread::scope(|scope| {
            let threads = [scope.spawn(take), scope.spawn(take)];
            threads.into_iter().map(|thread| thread.join().expect("it counts")).sum()
        });
        assert_eq!(taken, 100);
    }

    proptest! {
        /// In any window no more than the burst and what the rate gives in it.
        #[test]
        fn no_window_has_more(
            events in 1_u32..2_000, per_s in 1_u32..100, burst in 1_u32..50,
            steps_ms in prop::collection::vec(0_u64..2_000, 1..200),
        ) {
            let limit = RateLimit::new(Rate { events, per_s }, burst);
            let (mut due_ns, mut now_ms, mut taken) = (0, 0, Vec::new());
            for step_ms in steps_ms {
                now_ms += step_ms;
                if let Ok(next_ns) = limit.take(due_ns, at_ms(now_ms)) {
                    due_ns = next_ns;
                    taken.push(now_ms);
                }
            }
            for (index, from_ms) in taken.iter().enumerate() {
                for (count, to_ms) in (1_u64..).zip(&taken[index..]) {
                    let given = (to_ms - from_ms) * u64::from(events) / (u64::from(per_s) * 1_000);
                    prop_assert!(count <= u64::from(burst) + given + 1);
                }
            }
        }
    }
}

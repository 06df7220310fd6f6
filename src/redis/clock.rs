//! The clock of Redis, as a shard knows it: each reply carries TIME, read at some moment between
//! the sending of its command and its receipt. That bounds how far TIME is ahead of the monotonic
//! clock; an estimate within the bounds stays, any other moves to the nearer one. So a reply that
//! was held up moves nothing, the quickest one counts, and a step of TIME is followed at once.
//! Pure; must not know what the time is for.

use nudged_base::time::{MonoNs, WallMs};

/// Nanoseconds of a millisecond. In 64 bits, which a decision divides by with a multiplication: a
/// TIME after the year 2262 is taken for its end.
const MS_NS: i64 = 1_000_000;

/// How far TIME is ahead of the monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerClock {
    ahead_ns: Option<i64>,
}

impl ServerClock {
    /// Takes the TIME of a reply to a command that was sent and whose reply was received then.
    pub fn observe(&mut self, sent_at: MonoNs, received_at: MonoNs, time: WallMs) {
        let time_ns = time.0.saturating_mul(MS_NS);
        let least = time_ns.saturating_sub_unsigned(received_at.0);
        // TIME is told in whole milliseconds: it may have been almost the next one.
        let most = time_ns.saturating_add(MS_NS).saturating_sub_unsigned(sent_at.0).max(least);
        self.ahead_ns = Some(self.ahead_ns.map_or(least, |ahead| ahead.clamp(least, most)));
    }

    /// What TIME is at a monotonic instant; `None` before the first reply.
    pub fn at(&self, mono: MonoNs) -> Option<WallMs> {
        let ahead = self.ahead_ns?;
        Some(WallMs(ahead.saturating_add_unsigned(mono.0).div_euclid(MS_NS)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_late_reply_moves_nothing_and_a_step_is_followed_at_once() {
        let mut clock = ServerClock::default();
        assert_eq!(clock.at(MonoNs(5)), None);
        clock.observe(MonoNs(0), MonoNs(MS), WallMs(1_000));
        assert_eq!(clock.at(MonoNs(MS)), Some(WallMs(1_000)));
        // Executed at once, received half a second later.
        clock.observe(MonoNs(2 * MS), MonoNs(502 * MS), WallMs(1_002));
        assert_eq!(clock.at(MonoNs(502 * MS)), Some(WallMs(1_501)));
        // Set back by a minute: as far as the reply proves.
        clock.observe(MonoNs(600 * MS), MonoNs(601 * MS), WallMs(-58_400));
        assert_eq!(clock.at(MonoNs(601 * MS)), Some(WallMs(-58_398)));
        clock.observe(MonoNs(700 * MS), MonoNs(701 * MS), WallMs(90_000));
        assert_eq!(clock.at(MonoNs(701 * MS)), Some(WallMs(90_000)));
    }

    #[test]
    fn a_time_beyond_all_years_is_the_last_one() {
        for (told, most) in [(i64::MAX, i64::MAX / 1_000_000), (i64::MIN, i64::MIN / 1_000_000)] {
            let mut clock = ServerClock::default();
            clock.observe(MonoNs(MS), MonoNs(2 * MS), WallMs(told));
            let WallMs(at_ms) = clock.at(MonoNs(2 * MS)).unwrap();
            assert!(at_ms.abs_diff(most) <= 3, "{at_ms} of {told}");
            assert_eq!(clock.at(MonoNs(u64::MAX)).map(|at| at.0 >= at_ms), Some(true));
            // And the next reply is believed again.
            clock.observe(MonoNs(3 * MS), MonoNs(4 * MS), WallMs(1_000));
            let WallMs(at_ms) = clock.at(MonoNs(4 * MS)).unwrap();
            assert!((1_000..=1_002).contains(&at_ms), "{at_ms} after {told}");
        }
    }

    proptest! {
        #[test]
        fn it_is_never_ahead_and_behind_by_the_quickest_reply(
            replies in prop::collection::vec((1u64..1_000, 0u64..50, 0u64..500), 1..40),
        ) {
            let (mut clock, mut mono_ms, mut quickest) = (ServerClock::default(), 0, u64::MAX);
            let true_at = |mono_ms: u64| i64::try_from(mono_ms).unwrap() + 1_800_000_000_000;
            for (rest, there, back) in replies {
                let sent = mono_ms + rest;
                let executed = sent + there;
                mono_ms = executed + back;
                quickest = quickest.min(back);
                let time = WallMs(true_at(executed));
                clock.observe(MonoNs(sent * MS), MonoNs(mono_ms * MS), time);
                let behind = true_at(mono_ms) - clock.at(MonoNs(mono_ms * MS)).unwrap().0;
                prop_assert!(behind >= -1, "a millisecond is TIME's own grain: {behind}");
                prop_assert!(behind <= i64::try_from(quickest).unwrap(), "{behind} of {quickest}");
            }
        }
    }
}

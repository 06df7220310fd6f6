//! The node's time (docs/semantics.md#time): it starts at the later of the wall clock and the
//! newest time in the journal, advances with a clock that counts through sleep, and is slewed to
//! the wall clock by at most 5 %. It never runs backwards and never stands still, whatever an
//! operator or a time daemon does to the wall clock. Pure: both clocks are read by the runtime.

use super::time::{MonoNs, WallMs};

/// Largest slew, in parts per million: 5 %.
const SLEW_PPM_MAX: i64 = 50_000;
/// An error is slewed away as if within this long, in nanoseconds, so that it fades without
/// overshooting; observations come more often than that.
const SLEW_HORIZON_NS: i64 = 1_000_000_000;
/// Nanoseconds of a millisecond.
const MS_NS: i64 = 1_000_000;

/// Both times of a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For deadlines.
    pub mono: MonoNs,
    /// For decisions and records: the node's time. For log lines it may be the machine's own.
    pub wall: WallMs,
}

/// The node's time as a function of the monotonic clock: a line whose slope changes at each
/// observation of the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct NodeClock {
    anchor_mono: MonoNs,
    anchor_node_ns: i64,
    slew_ppm: i64,
}

impl NodeClock {
    /// Starts at the later of the wall clock and the newest time of the journal.
    pub fn start(mono: MonoNs, wall: WallMs, newest: WallMs) -> NodeClock {
        let anchor_node_ns = wall.max(newest).0.saturating_mul(MS_NS);
        NodeClock { anchor_mono: mono, anchor_node_ns, slew_ppm: 0 }
    }

    /// The node's time at a monotonic instant.
    pub fn at(&self, mono: MonoNs) -> WallMs {
        WallMs(self.at_ns(mono).div_euclid(MS_NS))
    }

    /// Takes a reading of the wall clock: the slope changes, the time does not jump. Returns how
    /// far the wall clock is ahead of the node's time, in milliseconds.
    pub fn observe(&mut self, mono: MonoNs, wall: WallMs) -> i64 {
        let node_ns = self.at_ns(mono);
        let ahead_ns = wall.0.saturating_mul(MS_NS).saturating_sub(node_ns);
        self.anchor_mono = self.anchor_mono.max(mono);
        self.anchor_node_ns = node_ns;
        let ppm = i128::from(ahead_ns) * 1_000_000 / i128::from(SLEW_HORIZON_NS);
        let bounded = ppm.clamp(-i128::from(SLEW_PPM_MAX), i128::from(SLEW_PPM_MAX));
        self.slew_ppm = i64::try_from(bounded).expect("clamped to 5 %");
        ahead_ns / MS_NS
    }

    fn at_ns(&self, mono: MonoNs) -> i64 {
        let elapsed = i128::from(mono.0.saturating_sub(self.anchor_mono.0));
        // A slope is meant for the time to the next observation: after a suspension of hours it
        // must not have acted for all of them.
        let slewing = elapsed.min(i128::from(SLEW_HORIZON_NS));
        let slewed = elapsed + slewing * i128::from(self.slew_ppm) / 1_000_000;
        let elapsed_ns = i64::try_from(slewed).unwrap_or(i64::MAX);
        self.anchor_node_ns.saturating_add(elapsed_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: WallMs = WallMs(1_800_000_000_000);

    #[test]
    fn starts_at_the_later_of_wall_clock_and_journal() {
        let later = WallMs(START.0 + 5);
        assert_eq!(NodeClock::start(MonoNs(7), START, later).at(MonoNs(7)), later);
        assert_eq!(NodeClock::start(MonoNs(7), later, START).at(MonoNs(7)), later);
    }

    #[test]
    fn fades_a_step_by_at_most_five_percent() {
        let mut clock = NodeClock::start(MonoNs(0), START, START);
        // The wall clock is set back by 100 ms: 5 % of 2 s make it up.
        for tick in 1..=400u64 {
            let mono = MonoNs(tick * 100_000_000);
            let wall = WallMs(START.0 - 100 + i64::try_from(tick).unwrap() * 100);
            let before = clock.at(mono);
            clock.observe(mono, wall);
            assert_eq!(clock.at(mono), before, "an observation moves no time");
            if tick == 10 {
                assert!(wall.0 - before.0 <= -50, "1 s in, half of it at most is made up");
            }
        }
        let mono = MonoNs(400 * 100_000_000);
        assert!((clock.at(mono).0 - (START.0 - 100 + 40_000)).abs() <= 1);
    }

    proptest! {
        #[test]
        fn never_backwards_never_still(steps in prop::collection::vec(
            (1u64..10_000_000_000, -315_360_000_000i64..315_360_000_000), 1..50)) {
            let mut clock = NodeClock::start(MonoNs(0), START, START);
            let (mut mono, mut last) = (0, clock.at_ns(MonoNs(0)));
            for (elapsed, wall_error) in steps {
                mono += elapsed;
                let now = clock.at_ns(MonoNs(mono));
                let advanced = now - last;
                let elapsed = i64::try_from(elapsed).unwrap();
                prop_assert!(advanced >= elapsed - elapsed / 20 - 1);
                prop_assert!(advanced <= elapsed + elapsed / 20 + 1);
                clock.observe(MonoNs(mono), WallMs(START.0 + wall_error));
                last = now;
            }
        }
    }
}

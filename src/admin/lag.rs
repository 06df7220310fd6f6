//! How late SQL is, in time: for how long the oldest record has waited that is not in SQL yet, as
//! this process has seen it.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use nudged_base::ids::Sequence;
use nudged_base::limits::LAG_MARKS_MAX;
use nudged_base::time::MonoNs;

/// When the journal had which record, for those that SQL has not.
#[derive(Debug, Default)]
pub(super) struct LagMeter(Mutex<VecDeque<(MonoNs, Sequence)>>);

impl LagMeter {
    /// Looks how far both are. To be called several times a second: that is how exact it is.
    pub(super) fn look(&self, now: MonoNs, written: Sequence, applied: Sequence) {
        let mut marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while marks.front().is_some_and(|(_, sequence)| *sequence <= applied) {
            marks.pop_front();
        }
        let is_new = marks.back().is_none_or(|(_, sequence)| *sequence < written);
        if written > applied && is_new {
            if marks.len() == LAG_MARKS_MAX {
                // Half of them tell it half as exactly; the oldest stays.
                let mut place = 0;
                marks.retain(|_| {
                    place += 1;
                    place % 2 == 1
                });
            }
            marks.push_back((now, written));
        }
    }

    /// The lag in milliseconds; 0 where SQL has all.
    pub(super) fn lag_ms(&self, now: MonoNs, applied: Sequence) -> u64 {
        let marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = marks.iter().find(|(_, sequence)| *sequence > applied);
        oldest.map_or(0, |(at, _)| now.0.saturating_sub(at.0) / 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_record_that_waits_counts_and_marks_have_a_bound() {
        let meter = LagMeter::default();
        let at = |ms: u64| MonoNs(ms * 1_000_000);
        assert_eq!(meter.lag_ms(at(5), Sequence(0)), 0);
        meter.look(at(1_000), Sequence(10), Sequence(0));
        meter.look(at(2_000), Sequence(20), Sequence(5));
        assert_eq!(meter.lag_ms(at(2_500), Sequence(5)), 1_500);
        assert_eq!(meter.lag_ms(at(2_500), Sequence(10)), 500, "those of the first look are in");
        assert_eq!(meter.lag_ms(at(2_500), Sequence(20)), 0);
        meter.look(at(3_000), Sequence(20), Sequence(20));
        for number in 0..10 * LAG_MARKS_MAX as u64 {
            meter.look(at(4_000 + number), Sequence(21 + number), Sequence(20));
        }
        assert_eq!(meter.lag_ms(at(9_000), Sequence(20)), 5_000);
        assert!(meter.0.lock().unwrap().len() <= LAG_MARKS_MAX);
    }
}

//! How long SQL keeps what, as it is now: reloads set it, the thread that deletes reads it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::wake::Waker;
use nudged_background::projection::stats::day_of;
use nudged_background::retention::RetentionView;
use nudged_base::limits::STATS_FOLD_AGE_MS;
use nudged_base::time::{Gap, WallMs};

/// Stands for an age that is never reached.
const NEVER: u64 = u64::MAX;

/// Ages in milliseconds; nothing is ever old before they are set.
#[derive(Debug)]
pub struct RetentionAges {
    events_ms: AtomicU64,
    is_new: AtomicBool,
    /// Of the thread that deletes.
    waker: OnceLock<Arc<Waker>>,
}

impl Default for RetentionAges {
    fn default() -> RetentionAges {
        RetentionAges {
            events_ms: AtomicU64::new(NEVER),
            is_new: AtomicBool::new(false),
            waker: OnceLock::new(),
        }
    }
}

impl RetentionAges {
    /// Names who is to be woken by a change.
    pub(crate) fn wake_by(&self, waker: &Arc<Waker>) {
        let _ = self.waker.set(Arc::clone(waker));
    }

    /// Sets how long rows of `events` are kept.
    pub fn set(&self, events: Gap) {
        let events_ms = match events {
            Gap::After(age) => age.0,
            Gap::Never => NEVER,
        };
        if self.events_ms.swap(events_ms, Ordering::Relaxed) != events_ms {
            self.is_new.store(true, Ordering::Release);
            if let Some(waker) = self.waker.get() {
                waker.wake();
            }
        }
    }

    /// Whether it was set anew and not told yet.
    pub(crate) fn is_new(&self) -> bool {
        self.is_new.load(Ordering::Acquire)
    }

    /// Tells once that it was set anew.
    pub(crate) fn take_new(&self) -> bool {
        self.is_new.swap(false, Ordering::AcqRel)
    }

    /// What is old at a time.
    pub fn at(&self, now: WallMs, is_shared: bool) -> RetentionView {
        let before = |age_ms: u64| WallMs(now.0.saturating_sub_unsigned(age_ms));
        let events_ms = self.events_ms.load(Ordering::Relaxed);
        RetentionView {
            events_before: (events_ms != NEVER).then(|| before(events_ms)),
            hours_before: Some(WallMs(day_of(before(STATS_FOLD_AGE_MS)))),
            is_shared,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nudged_base::time::DurationMs;

    #[test]
    fn an_age_is_counted_back_from_now() {
        let day_ms = 86_400_000;
        let ages = RetentionAges::default();
        let now = WallMs(100 * day_ms + 7);
        let view = |events_before| RetentionView {
            events_before,
            hours_before: Some(WallMs(10 * day_ms)),
            is_shared: true,
        };
        assert_eq!(ages.at(now, true), view(None));
        ages.set(Gap::After(DurationMs(7)));
        assert!(ages.is_new() && ages.take_new() && !ages.is_new());
        ages.set(Gap::After(DurationMs(7)));
        assert!(!ages.is_new(), "it is the same");
        assert_eq!(ages.at(now, true), view(Some(WallMs(100 * day_ms))));
        ages.set(Gap::Never);
        assert_eq!(ages.at(now, true), view(None));
    }
}

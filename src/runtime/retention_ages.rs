//! How long SQL keeps what, as it is now: reloads set it, the thread that deletes reads it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::wake::Waker;
use nudged_background::projection::stats::day_of;
use nudged_background::retention::RetentionView;
use nudged_base::limits::STATS_FOLD_AGE_MS;
use nudged_base::time::{Gap, WallMs};
use nudged_domain::catalog::snapshot::Snapshot;

/// Stands for an age that is never reached.
const NEVER: u64 = u64::MAX;

/// Ages in milliseconds; nothing is ever old before they are set.
#[derive(Debug)]
pub struct RetentionAges {
    events_ms: AtomicU64,
    users_ms: AtomicU64,
    /// By which users are judged.
    catalog: Mutex<Option<Arc<Snapshot>>>,
    is_new: AtomicBool,
    /// Of the thread that deletes.
    waker: OnceLock<Arc<Waker>>,
}

impl Default for RetentionAges {
    fn default() -> RetentionAges {
        RetentionAges {
            events_ms: AtomicU64::new(NEVER),
            users_ms: AtomicU64::new(NEVER),
            catalog: Mutex::new(None),
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

    /// Sets how long rows of `events` are kept, and users whom nothing binds.
    pub fn set(&self, events: Gap, users: Gap) {
        let is_other = [(&self.events_ms, events), (&self.users_ms, users)].map(|(kept, age)| {
            let ms = match age {
                Gap::After(age) => age.0,
                Gap::Never => NEVER,
            };
            kept.swap(ms, Ordering::Relaxed) != ms
        });
        if is_other.contains(&true) {
            self.is_new.store(true, Ordering::Release);
            if let Some(waker) = self.waker.get() {
                waker.wake();
            }
        }
    }

    /// Sets the catalog by which users are judged.
    pub fn set_catalog(&self, catalog: Arc<Snapshot>) {
        // The former one is freed here, and by nobody who is in a hurry.
        *self.catalog.lock().unwrap_or_else(PoisonError::into_inner) = Some(catalog);
    }

    /// The catalog by which users are judged, once there is one.
    pub(crate) fn catalog(&self) -> Option<Arc<Snapshot>> {
        self.catalog.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
        let of = |age_ms: &AtomicU64| {
            let age_ms = age_ms.load(Ordering::Relaxed);
            (age_ms != NEVER).then(|| before(age_ms))
        };
        RetentionView {
            events_before: of(&self.events_ms),
            users_before: of(&self.users_ms),
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
            users_before: None,
            hours_before: Some(WallMs(10 * day_ms)),
            is_shared: true,
        };
        assert_eq!(ages.at(now, true), view(None));
        ages.set(Gap::After(DurationMs(7)), Gap::Never);
        assert!(ages.is_new() && ages.take_new() && !ages.is_new());
        ages.set(Gap::After(DurationMs(7)), Gap::Never);
        assert!(!ages.is_new(), "it is the same");
        assert_eq!(ages.at(now, true), view(Some(WallMs(100 * day_ms))));
        ages.set(Gap::Never, Gap::Never);
        assert_eq!(ages.at(now, true), view(None));
        ages.set(Gap::Never, Gap::After(DurationMs(7)));
        assert_eq!(ages.at(now, true).users_before, Some(WallMs(100 * day_ms)));
    }
}

//! What is wrong with SQL as the node needs it: told by the writer's thread, read for
//! `/v1/status`, for metrics, and by a start that waits until no right is refused.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::limits::UNFIT_AGAIN_MS;
use crate::base::time::MonoNs;

/// What is wrong with SQL, if anything.
#[derive(Debug, Default)]
pub struct SqlFitness {
    state: Mutex<State>,
    is_denied: AtomicBool,
    is_tried: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    rights: Vec<String>,
    said_at: MonoNs,
    failure: Option<String>,
}

impl SqlFitness {
    /// Takes the rights that are missing; gives what is to be said: what is missing where that is
    /// news or a minute old, an empty text where nothing is any more.
    pub fn take_rights(&self, now: MonoNs, missing: Vec<String>) -> Option<String> {
        self.is_denied.store(!missing.is_empty(), Ordering::Release);
        self.is_tried.store(true, Ordering::Release);
        let mut state = self.state();
        let is_news = state.rights != missing;
        let is_due = !missing.is_empty() && now >= state.said_at.plus_ms(UNFIT_AGAIN_MS);
        state.rights = missing;
        if !is_news && !is_due {
            return None;
        }
        state.said_at = now;
        Some(told(&state.rights).unwrap_or_default())
    }

    /// What failed last; `None` once something was done again.
    pub fn set_failure(&self, failure: Option<String>) {
        self.state().failure = failure;
    }

    /// Whether a right is missing.
    pub fn is_denied(&self) -> bool {
        self.is_denied.load(Ordering::Acquire)
    }

    /// Whether rights were tried.
    pub fn is_tried(&self) -> bool {
        self.is_tried.load(Ordering::Acquire)
    }

    /// What is wrong, for people; `None` for nothing.
    pub fn why(&self) -> Option<String> {
        let state = self.state();
        told(&state.rights).or_else(|| state.failure.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A thread that panicked has aborted the process.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn told(missing: &[String]) -> Option<String> {
    (!missing.is_empty()).then(|| {
        format!(
            "SQL denies nudged {}: grant it as in vendor-config/mysql/grants.sql",
            missing.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_rights_are_said_once_a_minute_and_their_end_once() {
        let (fitness, at) = (SqlFitness::default(), |ms| MonoNs(0).plus_ms(ms));
        assert!(!fitness.is_tried());
        assert_eq!(fitness.take_rights(at(1), Vec::new()), None);
        assert!(fitness.is_tried() && !fitness.is_denied());
        let missing = || vec!["INSERT ON events".to_owned()];
        let said = fitness.take_rights(at(2), missing()).unwrap();
        assert!(said.contains("denies nudged INSERT ON events:"), "{said}");
        assert_eq!(fitness.take_rights(at(3), missing()), None);
        assert!(fitness.take_rights(at(UNFIT_AGAIN_MS + 2), missing()).is_some());
        fitness.set_failure(Some("no connection".to_owned()));
        assert!(fitness.is_denied() && fitness.why().is_some_and(|why| why.contains("INSERT")));
        assert_eq!(fitness.take_rights(at(4), Vec::new()).as_deref(), Some(""));
        assert_eq!(fitness.why().as_deref(), Some("no connection"));
        fitness.set_failure(None);
        assert_eq!((fitness.why(), fitness.is_denied()), (None, false));
    }
}

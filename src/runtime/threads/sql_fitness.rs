//! What is wrong with SQL as the node needs it: told by every thread that asks it, read for
//! `/v1/status`, for metrics, and by a start that waits until no right is refused.
//!
//! ```text
//! writer, readers, keeper, drains, overrides -> failures, each until it is over -> why
//!      a right refused to any of them -> the writer tries all -> what is missing -> why
//! ```

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::wake::Waker;
use nudged_base::limits::{SQL_FAILED_FOR_MS, UNFIT_AGAIN_MS};
use nudged_base::time::MonoNs;
use nudged_store::{FailureKind, StoreError};

/// Who asks SQL. What one of them is answered says nothing of what another one asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asker {
    /// The writer of the journal.
    Writer,
    /// The threads that read users.
    Reader,
    /// The keeper of Redis.
    Keeper,
    /// A lane that drains lists.
    Lists(usize),
    /// What brings pauses and archives on.
    Overrides,
}

/// What is wrong with SQL, if anything.
#[derive(Debug, Default)]
pub struct SqlFitness {
    state: Mutex<FitnessState>,
    is_denied: AtomicBool,
    is_tried: AtomicBool,
    /// Failures by [`FailureKind`], in the order of `ALL`, of all who ask.
    by_kind: [AtomicU64; FailureKind::ALL.len()],
    /// Somebody was refused a right since they were tried.
    is_doubted: AtomicBool,
    /// Wakes who tries the rights.
    trier: OnceLock<Arc<Waker>>,
}

#[derive(Debug, Default)]
struct FitnessState {
    /// What is refused, in words.
    denied: Option<String>,
    said_at: MonoNs,
    failures: BTreeMap<Asker, AskerFailure>,
}

#[derive(Debug)]
struct AskerFailure {
    why: String,
    at: MonoNs,
}

impl SqlFitness {
    /// Who tries the rights sleeps here. The first call counts.
    pub(crate) fn set_trier(&self, waker: &Arc<Waker>) {
        let _ = self.trier.set(Arc::clone(waker));
    }

    /// Takes the rights that are missing; gives what is to be said: what is missing where that is
    /// news or a minute old, an empty text where nothing is any more.
    pub fn take_rights(&self, now: MonoNs, missing: &[String]) -> Option<String> {
        self.take_denied(now, told(missing))
    }

    /// Takes in words that the node is not let in, `None` where nothing is known to be refused;
    /// gives what is to be said, as [`SqlFitness::take_rights`].
    pub(crate) fn take_denied(&self, now: MonoNs, denied: Option<String>) -> Option<String> {
        self.is_denied.store(denied.is_some(), Ordering::Release);
        self.is_tried.store(true, Ordering::Release);
        let mut state = self.state();
        let is_news = state.denied != denied;
        let is_due = denied.is_some() && now >= state.said_at.plus_ms(UNFIT_AGAIN_MS);
        state.denied = denied;
        if !is_news && !is_due {
            return None;
        }
        state.said_at = now;
        Some(state.denied.clone().unwrap_or_default())
    }

    /// SQL did not do what it was asked.
    pub fn failed(&self, now: MonoNs, asker: Asker, error: &StoreError) {
        let kind = error.kind();
        self.by_kind[kind as usize].fetch_add(1, Ordering::Relaxed);
        self.set_failed(now, asker, error.to_string());
        if kind == FailureKind::Denied && !self.is_doubted.swap(true, Ordering::AcqRel) {
            self.trier.get().map(|waker| waker.wake());
        }
    }

    fn set_failed(&self, now: MonoNs, asker: Asker, why: String) {
        self.state().failures.insert(asker, AskerFailure { why, at: now });
    }

    /// SQL did it. What others met is over as well where they have not met it for
    /// `SQL_FAILED_FOR_MS`: they may have nothing more to ask.
    pub fn succeeded(&self, now: MonoNs, asker: Asker) {
        let mut state = self.state();
        if !state.failures.is_empty() {
            let is_fresh = |failure: &AskerFailure| now < failure.at.plus_ms(SQL_FAILED_FOR_MS);
            state.failures.retain(|of, failure| *of != asker && is_fresh(failure));
        }
    }

    /// Takes whether somebody was refused a right since the last call.
    pub(crate) fn take_doubt(&self) -> bool {
        self.is_doubted.swap(false, Ordering::AcqRel)
    }

    /// Whether somebody was refused a right that nobody has looked into.
    pub fn is_doubted(&self) -> bool {
        self.is_doubted.load(Ordering::Acquire)
    }

    /// How often SQL failed so, whoever asked.
    pub fn failures_of(&self, kind: FailureKind) -> u64 {
        self.by_kind[kind as usize].load(Ordering::Relaxed)
    }

    /// Whether a right is missing.
    pub fn is_denied(&self) -> bool {
        self.is_denied.load(Ordering::Acquire)
    }

    /// Whether rights were tried.
    pub fn is_tried(&self) -> bool {
        self.is_tried.load(Ordering::Acquire)
    }

    /// What is wrong, for people; `None` for nothing. The same words of many count once.
    pub fn why(&self) -> Option<String> {
        let state = self.state();
        let mut whys: Vec<&str> = state.denied.as_deref().into_iter().collect();
        if whys.is_empty() {
            whys.extend(state.failures.values().map(|failure| &*failure.why));
            whys.sort_unstable();
            whys.dedup();
        }
        (!whys.is_empty()).then(|| whys.join("; "))
    }

    fn state(&self) -> MutexGuard<'_, FitnessState> {
        // A thread that panicked has aborted the process.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// So many missing rights are named: who lacks one on a table mostly lacks it on all.
const NAMED_MAX: usize = 4;

fn told(missing: &[String]) -> Option<String> {
    let more = match missing.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let named = missing[..missing.len().min(NAMED_MAX)].join(", ");
    (!missing.is_empty()).then(|| {
        format!("SQL denies nudged {named}{more}: grant it as in vendor-config/mysql/grants.sql")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> MonoNs {
        MonoNs(0).plus_ms(ms)
    }

    fn rights(rights: &[&str]) -> Vec<String> {
        rights.iter().map(|right| (*right).to_owned()).collect()
    }

    #[test]
    fn missing_rights_are_said_once_a_minute_where_they_change_and_their_end_once() {
        let fitness = SqlFitness::default();
        assert!(!fitness.is_tried());
        assert_eq!(fitness.take_rights(at(1), &[]), None);
        assert!(fitness.is_tried() && !fitness.is_denied());
        let missing = rights(&["INSERT ON events"]);
        let said = fitness.take_rights(at(2), &missing).unwrap();
        assert!(said.contains("denies nudged INSERT ON events:"), "{said}");
        assert_eq!(fitness.take_rights(at(3), &missing), None);
        let other = rights(&["INSERT ON events", "SELECT ON users"]);
        assert!(fitness.take_rights(at(4), &other).unwrap().contains("events, SELECT ON users:"));
        assert!(fitness.take_rights(at(UNFIT_AGAIN_MS + 4), &other).is_some());
        fitness.set_failed(at(4), Asker::Writer, "no connection".to_owned());
        assert!(fitness.is_denied() && fitness.why().is_some_and(|why| why.contains("INSERT")));
        assert_eq!(fitness.take_rights(at(5), &[]).as_deref(), Some(""));
        assert_eq!(fitness.why().as_deref(), Some("no connection"));
        fitness.succeeded(at(6), Asker::Writer);
        assert_eq!((fitness.why(), fitness.is_denied()), (None, false));
    }

    #[test]
    fn who_lacks_many_rights_is_told_how_many_more() {
        let missing: Vec<String> = (0..7).map(|table| format!("SELECT ON t{table}")).collect();
        let said = SqlFitness::default().take_rights(at(1), &missing).unwrap();
        assert!(said.contains("t2, SELECT ON t3 and 3 more: grant"), "{said}");
        let said = SqlFitness::default().take_rights(at(1), &missing[..4]).unwrap();
        assert!(said.contains("SELECT ON t3: grant"), "{said}");
    }

    #[test]
    fn what_one_is_answered_hides_no_failure_of_another_until_that_is_old() {
        let all = [Asker::Writer, Asker::Reader, Asker::Keeper, Asker::Lists(1), Asker::Overrides];
        for failing in all {
            for other in all.into_iter().chain([Asker::Lists(0)]).filter(|it| *it != failing) {
                let fitness = SqlFitness::default();
                fitness.set_failed(at(1), failing, "gone".to_owned());
                fitness.succeeded(at(SQL_FAILED_FOR_MS), other);
                assert_eq!(fitness.why().as_deref(), Some("gone"), "{failing:?} {other:?}");
                fitness.set_failed(at(2), other, "gone".to_owned());
                assert_eq!(fitness.why().as_deref(), Some("gone"), "said once");
                fitness.succeeded(at(SQL_FAILED_FOR_MS + 1), other);
                assert_eq!(fitness.why(), None, "{failing:?} asks no more");
                fitness.set_failed(at(3), failing, "gone".to_owned());
                fitness.succeeded(at(4), failing);
                assert_eq!(fitness.why(), None);
            }
        }
    }

    #[test]
    fn a_right_that_anybody_is_refused_wakes_who_tries_them() {
        let (fitness, waker) = (SqlFitness::default(), Arc::new(Waker::new().unwrap()));
        fitness.set_trier(&waker);
        let path = std::path::PathBuf::from("/data/nudged.db");
        let of = |code| StoreError::Sql {
            action: "read",
            path: path.clone(),
            source: rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None),
        };
        fitness.failed(at(1), Asker::Reader, &of(rusqlite::ffi::SQLITE_FULL));
        assert!(!fitness.is_doubted());
        waker.announce_sleep();
        fitness.failed(at(1), Asker::Reader, &of(rusqlite::ffi::SQLITE_PERM));
        assert!(!waker.wake(), "it was woken");
        assert!(fitness.is_doubted() && fitness.take_doubt() && !fitness.take_doubt());
        assert_eq!(fitness.failures_of(FailureKind::Denied), 1);
        assert_eq!(fitness.failures_of(FailureKind::DiskFull), 1);
    }
}

//! What wins over the stored catalog on this node: what operators have paused and archived, and
//! what a popups file says that SQL could not be told yet; with the lock around it, and what is
//! rung when anything of it changes. Must not know who shows it.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::published::KnownPopup;
use nudged_domain::catalog::overrides::Overrides;
use nudged_domain::catalog::snapshot::Status;

/// What wins over stored definitions.
#[derive(Debug, Default)]
pub(super) struct Live {
    pub(super) overrides: Overrides,
    /// What the popups file says of popups that it does not show, while SQL does not know it.
    pub(super) file_statuses: BTreeMap<String, Status>,
}

impl Live {
    /// A popup's own status: its definition's, or the file's where SQL could not be told yet.
    fn own_status(&self, known: &KnownPopup) -> Status {
        match self.file_statuses.get(&known.stored.id) {
            _ if known.stored.is_gone => Status::Archived,
            Some(status) => *status,
            None => known.definition.status(),
        }
    }

    /// A popup with the statuses that hold.
    pub(super) fn applied(&self, known: &KnownPopup) -> KnownPopup {
        let override_status = self.overrides.status(&known.stored.id);
        let own = self.own_status(known);
        let status = match override_status {
            _ if known.stored.is_gone => Status::Archived,
            Some(status) => status,
            None => own,
        };
        KnownPopup { own, override_status, status, ..known.clone() }
    }
}

/// The lock around it, and what is rung when anything of it changes.
#[derive(Debug, Default)]
pub(super) struct LiveLock {
    live: Mutex<Live>,
    rung: Condvar,
}

impl LiveLock {
    /// A panic ends the process, so a poisoned lock guards what it always did.
    pub(super) fn lock(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who waits looks again.
    pub(super) fn ring(&self) {
        self.rung.notify_all();
    }

    /// Waits while `is_awaited`, for `limit` at most.
    pub(super) fn wait<'d>(
        &self,
        live: MutexGuard<'d, Live>,
        limit: Duration,
        is_awaited: impl FnMut(&mut Live) -> bool,
    ) -> MutexGuard<'d, Live> {
        let waited = self.rung.wait_timeout_while(live, limit, is_awaited);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

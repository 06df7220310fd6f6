//! Who may ask: the bearer token, and the slow refusal of those who do not have it.
//!
//! Limit: [`ADMIN_REFUSALS_MAX`] requests wait for their refusal; one more is refused at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::answer::AdminAnswer;
use super::token::AdminToken;
use nudged_base::limits::{ADMIN_REFUSAL_DELAY_MS, ADMIN_REFUSALS_MAX};
use nudged_http::head::Request;

/// What is asked of clients.
pub(super) struct AdminAccess {
    token: Option<AdminToken>,
    pending: PendingRefusals,
}

/// Requests that wait for their refusal.
#[derive(Debug, Default)]
struct PendingRefusals(AtomicUsize);

/// A place among them, until it is dropped.
struct RefusalSlot<'r>(&'r PendingRefusals);

impl PendingRefusals {
    /// A place, where one is free.
    fn enter(&self) -> Option<RefusalSlot<'_>> {
        let step = |waiting| (waiting < ADMIN_REFUSALS_MAX).then_some(waiting + 1);
        let entered = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, step);
        entered.ok().map(|_| RefusalSlot(self))
    }
}

impl Drop for RefusalSlot<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl AdminAccess {
    /// With this token; without one everybody may ask.
    pub(super) fn new(token: Option<AdminToken>) -> AdminAccess {
        AdminAccess { token, pending: PendingRefusals::default() }
    }

    /// Whether a request may be answered.
    pub(super) fn is_authorized(&self, request: &Request<'_>) -> bool {
        self.token.as_ref().is_none_or(|token| token.is_in(request.authorization))
    }

    /// Refuses late, so that trying tokens is slow; only some may wait at once, so that those who
    /// try do not take every connection.
    pub(super) fn refuse(&self) -> AdminAnswer {
        let Some(_slot) = self.pending.enter() else {
            return AdminAnswer::error(429, "too_many_refusals", None);
        };
        std::thread::sleep(Duration::from_millis(ADMIN_REFUSAL_DELAY_MS));
        AdminAnswer::error(401, "wrong_token", None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_wait_for_their_refusal() {
        let refusals = PendingRefusals::default();
        let mut slots: Vec<_> = (0..ADMIN_REFUSALS_MAX).map(|_| refusals.enter()).collect();
        assert!(slots.iter().all(Option::is_some));
        assert!(refusals.enter().is_none());
        slots.pop();
        assert!(refusals.enter().is_some());
    }
}

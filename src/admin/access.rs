//! Who may ask: the bearer tokens, and the slow refusal of those who have none.
//!
//! Limit: [`ADMIN_REFUSALS_MAX`] requests wait for their refusal; one more is refused at once.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::answer::AdminAnswer;
use super::operations::Needs;
use super::token::{AdminToken, sent_hash};
use nudged_base::limits::{ADMIN_REFUSAL_DELAY_MS, ADMIN_REFUSALS_MAX};
use nudged_domain::operators::OperatorRole;
use nudged_http::head::Request;
use nudged_publish::publisher::Publisher;

/// What is asked of clients.
pub(super) struct AdminAccess {
    token: Option<AdminToken>,
    /// Whether others can come, so that nobody is let in without a token.
    is_required: bool,
    pending: PendingRefusals,
    refused: RefusedRequests,
}

/// Requests that were refused for their tokens.
#[derive(Debug, Default)]
struct RefusedRequests {
    wrong: AtomicU64,
    forbidden: AtomicU64,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AdminAsker {
    /// Whoever can come where none is asked for a token, or holds the file's: may do everything.
    Owner,
    /// Whoever holds a token of this name and role.
    Named(Box<str>, OperatorRole),
}

impl AdminAsker {
    /// The name that the audit has; `None` where the request may say one.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            AdminAsker::Owner => None,
            AdminAsker::Named(name, _) => Some(name),
        }
    }

    /// Whether they are allowed it.
    pub(super) fn may(&self, needs: Needs) -> bool {
        match self {
            AdminAsker::Owner => true,
            AdminAsker::Named(_, role) => needs.is_of(*role),
        }
    }

    /// Whether they are told the tokens of decisions: who holds one can say that its popup was
    /// clicked or dismissed, which is more than to look.
    pub(super) fn sees_decisions(&self) -> bool {
        self.may(Needs::Switching)
    }
}

/// What a request showed to be let in, for who looks again later whether it still would be.
pub(super) struct Credentials {
    authorization: Option<Box<[u8]>>,
}

impl Credentials {
    /// Those of a request.
    pub(super) fn of(request: &Request<'_>) -> Credentials {
        Credentials { authorization: request.authorization.map(Into::into) }
    }
}

impl std::fmt::Debug for Credentials {
    /// Without what is secret.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Credentials").finish_non_exhaustive()
    }
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
    /// With the file's token, if there is one. Where none `is_required` everybody may ask, but
    /// whoever sends a token needs a good one.
    pub(super) fn new(token: Option<AdminToken>, is_required: bool) -> AdminAccess {
        let (pending, refused) = (PendingRefusals::default(), RefusedRequests::default());
        AdminAccess { token, is_required, pending, refused }
    }

    /// Who sends a request; `None` for nobody who is let in.
    pub(super) fn asker(&self, request: &Request<'_>, publisher: &Publisher) -> Option<AdminAsker> {
        self.asker_of(request.authorization, publisher)
    }

    /// Whether who showed these would be let in now, and allowed it.
    pub(super) fn still_lets(
        &self,
        credentials: &Credentials,
        needs: Needs,
        publisher: &Publisher,
    ) -> bool {
        let asker = self.asker_of(credentials.authorization.as_deref(), publisher);
        asker.is_some_and(|asker| asker.may(needs))
    }

    fn asker_of(&self, authorization: Option<&[u8]>, publisher: &Publisher) -> Option<AdminAsker> {
        let Some(sent) = sent_hash(authorization) else {
            return (!self.is_required).then_some(AdminAsker::Owner);
        };
        if self.token.as_ref().is_some_and(|token| token.has_hash(&sent)) {
            return Some(AdminAsker::Owner);
        }
        publisher.with_tokens(|tokens| {
            tokens.find(&sent).map(|token| AdminAsker::Named(token.name.clone(), token.role))
        })
    }

    /// Refuses what a role has no right to.
    ///
    /// # Errors
    /// 403, with the roles that have it.
    pub(super) fn check(&self, asker: &AdminAsker, needs: Needs) -> Result<(), AdminAnswer> {
        match asker {
            AdminAsker::Named(name, role) if !asker.may(needs) => {
                self.refused.forbidden.fetch_add(1, Ordering::Relaxed);
                let (role, roles) = (role.word(), needs.roles().join(" or "));
                let line = format!("the token \"{name}\" has the role {role}: needed is {roles}");
                Err(AdminAnswer::errors(403, "role_required", None, &[line]))
            }
            _ => Ok(()),
        }
    }

    /// How many requests had no good token, and how many one without the right.
    pub(super) fn refused(&self) -> (u64, u64) {
        let RefusedRequests { wrong, forbidden } = &self.refused;
        (wrong.load(Ordering::Relaxed), forbidden.load(Ordering::Relaxed))
    }

    /// Refuses late, so that trying tokens is slow; only some may wait at once, so that those who
    /// try do not take every connection.
    pub(super) fn refuse(&self) -> AdminAnswer {
        self.refused.wrong.fetch_add(1, Ordering::Relaxed);
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

//! Who may ask: the bearer tokens, the console's sessions that stand for one, and the slow refusal
//! of those who have none.
//!
//! Limits: [`ADMIN_REFUSALS_MAX`] requests wait for their refusal; one more is refused at once.
//! [`SIGN_IN_BURST`] wrong sign-ins may come at once, and [`SIGN_INS_PER_S`] a second.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::answer::AdminAnswer;
use super::cookie::SessionCookie;
use super::operations::Needs;
use super::sessions::{ConsoleSessions, SessionHash};
use super::token::{AdminToken, bearer, hash, sent_hash};
use nudged_base::hex;
use nudged_base::limits::{
    ADMIN_REFUSAL_DELAY_MS, ADMIN_REFUSALS_MAX, CONSOLE_COOKIES_MAX, CONSOLE_SESSION_BYTES,
    SIGN_IN_BURST, SIGN_INS_PER_S,
};
use nudged_base::rate::{Rate, RateLimit};
use nudged_base::time::{MonoNs, WallMs};
use nudged_domain::operators::OperatorRole;
use nudged_http::head::Request;
use nudged_publish::publisher::Publisher;
use nudged_runtime::clocks;

/// What is asked of clients.
pub(super) struct AdminAccess {
    token: Option<AdminToken>,
    /// Whether others can come, so that nobody is let in without a token.
    pub(super) is_required: bool,
    /// Whether clients speak TLS with this listener.
    pub(super) is_tls: bool,
    /// Of the console.
    pub(super) sessions: ConsoleSessions,
    pending: PendingRefusals,
    refused: RefusedRequests,
    sign_in_due_ns: AtomicU64,
    signed_in: AtomicU64,
}

/// Requests that were refused for who sent them.
#[derive(Debug, Default)]
struct RefusedRequests {
    wrong: AtomicU64,
    forbidden: AtomicU64,
    ended: AtomicU64,
    over_rate: AtomicU64,
}

/// By what a request says who sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Credentials {
    /// By nothing.
    Nothing,
    /// By a token, of this hash.
    Token([u8; 32]),
    /// By the cookie of a session, of this hash.
    Session(SessionHash),
}

/// Why a request's sender is nobody who may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotAdmitted {
    /// A token is asked for, and there is none.
    NoToken,
    /// The token is none that is in force.
    WrongToken,
    /// The token's time is up.
    TokenExpired,
    /// The session is none that is open.
    SessionEnded,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AdminAsker {
    /// Whoever may only do what needs nothing.
    Nobody,
    /// Whoever can come where none is asked for a token: may do everything.
    Anybody,
    /// Whoever holds the file's token: may do everything.
    Owner,
    /// Whoever holds a token of this name and role, and until when it lets in.
    Named(Box<str>, OperatorRole, Option<WallMs>),
}

impl AdminAsker {
    /// The name that the audit has; `None` where the request may say one.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            AdminAsker::Named(name, ..) => Some(name),
            _ => None,
        }
    }

    /// Whether they have shown a token.
    pub(super) fn has_token(&self) -> bool {
        matches!(self, AdminAsker::Owner | AdminAsker::Named(..))
    }

    /// Whether they are allowed it.
    pub(super) fn may(&self, needs: Needs) -> bool {
        match self {
            AdminAsker::Nobody => needs == Needs::Nothing,
            AdminAsker::Anybody | AdminAsker::Owner => true,
            AdminAsker::Named(_, role, _) => needs.is_of(*role),
        }
    }

    /// Whether they are told the tokens of decisions: who holds one can say that its popup was
    /// clicked or dismissed, which is more than to look.
    pub(super) fn sees_decisions(&self) -> bool {
        self.may(Needs::Switching)
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
    pub(super) fn new(token: Option<AdminToken>, is_required: bool, is_tls: bool) -> AdminAccess {
        AdminAccess {
            token,
            is_required,
            is_tls,
            sessions: ConsoleSessions::default(),
            pending: PendingRefusals::default(),
            refused: RefusedRequests::default(),
            sign_in_due_ns: AtomicU64::new(0),
            signed_in: AtomicU64::new(0),
        }
    }

    /// Whether a request says who sends it, rightly or not.
    pub(super) fn has_credentials(&self, request: &Request<'_>) -> bool {
        request.authorization.and_then(bearer).is_some()
            || SessionCookie::sent(request, self.is_tls).is_some()
    }

    /// By what a request says who sends it: a token before a cookie.
    pub(super) fn credentials(&self, request: &Request<'_>) -> Credentials {
        if let Some(sent) = sent_hash(request.authorization) {
            return Credentials::Token(sent);
        }
        let cookies = SessionCookie::all_sent(request, self.is_tls).take(CONSOLE_COOKIES_MAX);
        let mut sessions = cookies.map(|(_, value)| session_of(value));
        let Some(first) = sessions.next() else { return Credentials::Nothing };
        // A page of another port can have put one before the good one.
        let known = [first].into_iter().chain(sessions).find(|session| self.sessions.has(session));
        Credentials::Session(known.unwrap_or(first))
    }

    /// Who holds these, as things are now.
    ///
    /// # Errors
    /// [`NotAdmitted`].
    pub(super) fn asker(
        &self,
        credentials: &Credentials,
        publisher: &Publisher,
        now: MonoNs,
    ) -> Result<AdminAsker, NotAdmitted> {
        match credentials {
            Credentials::Nothing if self.is_required => Err(NotAdmitted::NoToken),
            Credentials::Nothing => Ok(AdminAsker::Anybody),
            Credentials::Token(sent) => self.holder(sent, publisher),
            Credentials::Session(session) => {
                let token = self.sessions.token_of(session, now);
                let holder = token.and_then(|token| self.holder(&token, publisher).ok());
                holder.ok_or_else(|| {
                    self.sessions.end(session);
                    NotAdmitted::SessionEnded
                })
            }
        }
    }

    /// Whether who showed these would be let in now, and allowed it.
    pub(super) fn still_lets(
        &self,
        credentials: &Credentials,
        needs: Needs,
        publisher: &Publisher,
        now: MonoNs,
    ) -> bool {
        self.asker(credentials, publisher, now).is_ok_and(|asker| asker.may(needs))
    }

    /// Who holds the token of a hash.
    ///
    /// # Errors
    /// [`NotAdmitted`] where none in force has it.
    pub(super) fn holder(
        &self,
        hash: &[u8; 32],
        publisher: &Publisher,
    ) -> Result<AdminAsker, NotAdmitted> {
        if self.token.as_ref().is_some_and(|token| token.has_hash(hash)) {
            return Ok(AdminAsker::Owner);
        }
        publisher.with_tokens(|tokens| match tokens.find(hash) {
            None => Err(NotAdmitted::WrongToken),
            Some(token) if token.is_expired(clocks::wall()) => Err(NotAdmitted::TokenExpired),
            Some(token) => Ok(AdminAsker::Named(token.name.clone(), token.role, token.expires)),
        })
    }

    /// How many sessions are open.
    pub(super) fn sessions_open(&self, publisher: &Publisher, now: MonoNs) -> usize {
        self.sessions.tidy(now, |token| self.holder(token, publisher).is_ok())
    }

    /// Lets somebody try to sign in with a wrong token.
    ///
    /// # Errors
    /// 429 where too many tried.
    pub(super) fn take_wrong_sign_in(&self, now: MonoNs) -> Result<(), AdminAnswer> {
        let rate = Rate { events: SIGN_INS_PER_S, per_s: 1 };
        let limit = RateLimit::new(rate, SIGN_IN_BURST);
        limit.take_shared(&self.sign_in_due_ns, now).map_err(|_| {
            self.refused.over_rate.fetch_add(1, Ordering::Relaxed);
            AdminAnswer::error(429, "too_many_sign_ins", None)
        })
    }

    /// Somebody has signed in.
    pub(super) fn count_sign_in(&self) {
        self.signed_in.fetch_add(1, Ordering::Relaxed);
    }

    /// How many have signed in.
    pub(super) fn signed_in(&self) -> u64 {
        self.signed_in.load(Ordering::Relaxed)
    }

    /// Refuses what a role has no right to.
    ///
    /// # Errors
    /// 403, with the roles that have it.
    pub(super) fn check(&self, asker: &AdminAsker, needs: Needs) -> Result<(), AdminAnswer> {
        match asker {
            AdminAsker::Named(name, role, _) if !asker.may(needs) => {
                self.refused.forbidden.fetch_add(1, Ordering::Relaxed);
                let (role, roles) = (role.word(), needs.roles().join(" or "));
                let line = format!("the token \"{name}\" has the role {role}: needed is {roles}");
                Err(AdminAnswer::errors(403, "role_required", None, &[line]))
            }
            _ => Ok(()),
        }
    }

    /// How many requests were refused, by reason.
    pub(super) fn refused(&self) -> [(&'static str, u64); 4] {
        let RefusedRequests { wrong, forbidden, ended, over_rate } = &self.refused;
        let counts =
            [("token", wrong), ("role", forbidden), ("session", ended), ("rate", over_rate)];
        counts.map(|(reason, count)| (reason, count.load(Ordering::Relaxed)))
    }

    /// Refuses a session that has ended, at once: nobody guesses its secret. The browser forgets
    /// it.
    pub(super) fn refuse_session(&self, request: &Request<'_>) -> AdminAnswer {
        self.refused.ended.fetch_add(1, Ordering::Relaxed);
        let answer = AdminAnswer::error(401, "session_ended", None);
        match SessionCookie::sent(request, self.is_tls) {
            Some((cookie, _)) => answer.with_field("Set-Cookie", cookie.clear()),
            None => answer,
        }
    }

    /// Refuses a token, or that there is none. One that has expired is nobody's guess, so its
    /// holder is told at once.
    pub(super) fn refuse_token(&self, why: NotAdmitted) -> AdminAnswer {
        if why != NotAdmitted::TokenExpired {
            return self.refuse();
        }
        self.refused.wrong.fetch_add(1, Ordering::Relaxed);
        AdminAnswer::error(401, "token_expired", None)
    }

    /// Refuses late, so that trying tokens is slow; only some may wait at once, so that those who
    /// try do not take every connection.
    fn refuse(&self) -> AdminAnswer {
        self.refused.wrong.fetch_add(1, Ordering::Relaxed);
        let Some(_slot) = self.pending.enter() else {
            return AdminAnswer::error(429, "too_many_refusals", None);
        };
        std::thread::sleep(Duration::from_millis(ADMIN_REFUSAL_DELAY_MS));
        AdminAnswer::error(401, "wrong_token", None)
    }
}

/// The session of a cookie's value; what is no secret is that of none.
fn session_of(value: &[u8]) -> SessionHash {
    let text = str::from_utf8(value).ok();
    let secret = text.and_then(hex::decode_array::<CONSOLE_SESSION_BYTES>);
    secret.map_or([0; 32], |secret| hash(&secret))
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

    #[test]
    fn only_so_many_may_try_to_sign_in() {
        let access = AdminAccess::new(None, true, false);
        let start = MonoNs(1);
        let taken = (0..100).filter(|_| access.take_wrong_sign_in(start).is_ok()).count();
        assert_eq!(taken, usize::try_from(SIGN_IN_BURST).unwrap());
        let later = start.plus_ms(2_000);
        let taken = (0..100).filter(|_| access.take_wrong_sign_in(later).is_ok()).count();
        assert_eq!(taken, usize::try_from(2 * SIGN_INS_PER_S).unwrap());
        assert_eq!(access.refused()[3], ("rate", 100 - 30 + 100 - 2));
    }
}

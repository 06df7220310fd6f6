//! The users that a shard owns, and the one place where a user's state is changed. Knows nothing of
//! connections and of HTTP. Who decides which of two changes of a user stands is picked once, at
//! start ([`Arbitration`]).
//!
//! `memory` what there is of them, whoever decides · `evaluate` what commands do to a state · `own`
//! commands where the shard itself decides · `redis` where Redis does · `preview` for those who
//! only look · `in_flight` what is under way for users · `waiting` who waits for it · `change` what
//! Redis has to take · `rates` how often each user may ask · `lane` the way to the journal ·
//! `unmerged` what was accepted without Redis.

pub(crate) mod change;
pub(crate) mod evaluate;
pub(crate) mod in_flight;
pub(crate) mod lane;
pub(crate) mod memory;
mod own;
mod preview;
pub(crate) mod rates;
pub mod redis;
pub mod unmerged;
pub(crate) mod waiting;

use bumpalo::Bump;

use self::evaluate::RequestContext;
use self::in_flight::KeyedUser;
use self::memory::{Scratch, Users};
use self::own::OwnUsers;
use self::redis::{Arbiter, RedisUsers};
use self::waiting::StateAccess;
use nudged_api::command::Command;
use nudged_api::look::{LookRequest, Looked};
use nudged_api::outcome::{EncodedOutcome, Outcome};
use nudged_base::clock::Now;
use nudged_base::ids::Revision;
use nudged_base::limits::CATALOGS_HELD_MAX;
use nudged_base::time::{MonoNs, WallMs};
use nudged_domain::decide::binding::binds;
use nudged_domain::state::user::{self, UserState};

/// Who decides which of two changes of a user stands.
pub(crate) enum Arbitration {
    /// The shard itself: it is the only one that changes its users.
    Own,
    /// Redis.
    Redis(Box<Arbiter>),
}

impl Arbitration {
    /// Until when a request that comes now may wait for its user's state.
    pub(crate) fn deadline(&self, users: &Users, now: MonoNs) -> MonoNs {
        match self {
            Arbitration::Own => now.plus_ms(users.read_deadline_ms),
            Arbitration::Redis(arbiter) => arbiter.deadline(now),
        }
    }

    /// The time of decisions.
    pub(crate) fn wall(&self, now: Now) -> WallMs {
        match self {
            Arbitration::Own => now.wall,
            Arbitration::Redis(arbiter) => arbiter.wall(now),
        }
    }

    /// Whether nothing is under way that could come to an end now.
    pub(crate) fn may_end(&self, users: &Users, now: MonoNs) -> bool {
        match self {
            Arbitration::Own => true,
            Arbitration::Redis(arbiter) => arbiter.may_end(&users.in_flight, now),
        }
    }
}

/// The users of a shard, who decides on them, and what commands work on: lent for one step.
pub(crate) struct Turn<'t> {
    pub(crate) users: &'t mut Users,
    pub(crate) arbitration: &'t mut Arbitration,
    pub(crate) scratch: &'t mut Scratch,
}

impl Turn<'_> {
    /// Executes a command about users of this shard. `None` where the outcome comes later.
    pub(crate) fn execute<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        command: &Command<'a>,
    ) -> Option<Outcome<'a>> {
        let Turn { users, arbitration, scratch } = self;
        users.rates.begin(context.counted);
        match (command, &mut **arbitration) {
            (Command::Decide(request), Arbitration::Own) => {
                OwnUsers { users, scratch }.decide(context, request)
            }
            (Command::Decide(request), Arbitration::Redis(arbiter)) => {
                RedisUsers { users, arbiter, scratch }.decide(context, request)
            }
            (Command::Events(request), Arbitration::Own) => {
                OwnUsers { users, scratch }.take_events(context, request)
            }
            (Command::Events(request), Arbitration::Redis(arbiter)) => {
                RedisUsers { users, arbiter, scratch }.take_events(context, request)
            }
            (Command::Look(request), _) => self.look(context, request),
            (
                Command::ReadUser { user }
                | Command::EraseUser { user }
                | Command::ForgetUser { user, .. },
                _,
            ) => self.operate(context, (command, user)),
        }
    }

    /// Carries out an operator's command about one user, or has it wait for the user's state, which
    /// has to be fresh where Redis is the arbiter.
    fn operate<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        (command, user): (&Command<'a>, &'a str),
    ) -> Option<Outcome<'a>> {
        let Turn { users, arbitration, scratch } = self;
        let may_run = !users.is_by_redis || context.access == StateAccess::Fresh;
        if may_run && users.slice.contains(user) && users.load(scratch, user).is_some() {
            return match (command, &mut **arbitration) {
                (Command::ReadUser { .. }, _) => {
                    let mut state = users.buffer();
                    user::encode(&scratch.state, &mut state);
                    let outcome = Outcome::State(context.bump.alloc_slice_copy(&state));
                    users.keep(state);
                    Some(outcome)
                }
                (Command::ForgetUser { revision, before, .. }, arbitration)
                    if !may_forget(context, arbitration, &scratch.state, (*revision, *before)) =>
                {
                    Some(Outcome::Kept)
                }
                (_, Arbitration::Own) => OwnUsers { users, scratch }.erase(context, user),
                (_, Arbitration::Redis(arbiter)) => {
                    RedisUsers { users, arbiter, scratch }.erase(context, (command, user))
                }
            };
        }
        (!self.waits_for_state(context, (command, user))).then_some(Outcome::Unavailable)
    }

    /// Has a command wait for its user's state; whether it does.
    fn waits_for_state(
        &mut self,
        context: &RequestContext<'_, '_>,
        (command, user): (&Command<'_>, &str),
    ) -> bool {
        if context.access == StateAccess::Missing {
            return false;
        }
        let Turn { users, arbitration, scratch } = self;
        let waiter = users.waiter(context, command);
        match &mut **arbitration {
            Arbitration::Own => users.park(context.view.shard, user, waiter),
            Arbitration::Redis(arbiter) => {
                let user = KeyedUser::of(user);
                RedisUsers { users, arbiter, scratch }.wait_for_redis(context.now, user, waiter)
            }
        }
    }

    /// Looks at a popup with the eyes of its user, or waits for the user's state. Nothing is
    /// remembered, and without state it is seen as by somebody new.
    pub(crate) fn look<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        request: &LookRequest<'a>,
    ) -> Option<Outcome<'a>> {
        let (view, bump, user) = (context.view, context.bump, request.context.user);
        let now = self.arbitration.wall(context.now);
        if !request.has_user {
            let nobody = UserState::default();
            return Some(Outcome::Looked(request.look(&view.snapshot, &nobody, now, bump)));
        }
        let Turn { users, scratch, .. } = self;
        let may_run = !users.is_by_redis || context.access == StateAccess::Fresh;
        if may_run && users.slice.contains(user) && users.load(scratch, user).is_some() {
            return Some(Outcome::Looked(request.look(&view.snapshot, &scratch.state, now, bump)));
        }
        if self.waits_for_state(context, (&Command::Look(*request), user)) {
            return None;
        }
        let looked = request.look(&view.snapshot, &UserState::default(), now, bump);
        Some(Outcome::Looked(Looked { is_degraded: true, ..looked }))
    }

    /// Another catalog is current: shows that wait by those too long before become "nothing", so
    /// that only so many catalogs are in memory. `bump` is scratch.
    pub(crate) fn let_go_of_catalogs(&mut self, current: u64, bump: &Bump) {
        let held = u64::try_from(CATALOGS_HELD_MAX).expect("a small number");
        let oldest = (current + 1).saturating_sub(held);
        let Users { lane, in_flight, counters, .. } = &mut *self.users;
        let mut let_go = |outcome: &EncodedOutcome| {
            let left = outcome.let_go_before(oldest, bump)?;
            counters.catalogs_let_go.add(1);
            Some(left)
        };
        lane.replace_outcomes(&mut let_go);
        in_flight.replace_outcomes(let_go);
    }
}

/// Whether a user is as they were found, has not come for long, and nothing binds them.
fn may_forget(
    context: &RequestContext<'_, '_>,
    arbitration: &Arbitration,
    state: &UserState,
    (revision, before): (Revision, WallMs),
) -> bool {
    let is_old = state.newest().is_some_and(|newest| newest < before);
    let now = arbitration.wall(context.now);
    state.revision == revision && is_old && !binds(&context.view.snapshot, state, now)
}

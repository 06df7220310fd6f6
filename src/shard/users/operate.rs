//! Operators' commands about one user of this shard.

use super::evaluate::RequestContext;
use super::own::OwnUsers;
use super::redis::RedisUsers;
use super::{Arbitration, Users};
use nudged_api::command::Command;
use nudged_api::outcome::Outcome;
use nudged_domain::state::apply;
use nudged_domain::state::user;
use nudged_journal::record::Record;

impl Arbitration {
    /// Carries a command out, or has it wait for the user's state, which has to be fresh where
    /// Redis is the arbiter. `None` where the outcome comes later.
    pub(super) fn operate<'a>(
        &mut self,
        users: &mut Users,
        context: &RequestContext<'a, '_>,
        (command, user): (&Command<'a>, &'a str),
        has_state: bool,
    ) -> Option<Outcome<'a>> {
        let may_run = match self {
            Arbitration::Own(_) => true,
            Arbitration::Redis(_) => has_state && context.attempt.is_fresh,
        };
        if may_run && users.slice.contains(user) && users.load(user).is_some() {
            return match (command, self) {
                (Command::ReadUser { .. }, _) => Some(users.read_state(context)),
                (_, Arbitration::Own(in_flight)) => {
                    OwnUsers { users, in_flight }.erase(context, user)
                }
                (_, Arbitration::Redis(arbiter)) => {
                    RedisUsers { users, arbiter }.erase(context, user)
                }
            };
        }
        if !has_state {
            return Some(Outcome::Unavailable);
        }
        let waiter = users.waiter(context, command);
        let waits = match self {
            Arbitration::Own(in_flight) => {
                OwnUsers { users, in_flight }.park(context.view.shard, user, waiter)
            }
            Arbitration::Redis(arbiter) => {
                RedisUsers { users, arbiter }.wait_for_redis(context.now, user, waiter)
            }
        };
        waits.err().map(|_| Outcome::Unavailable)
    }
}

impl OwnUsers<'_> {
    /// Erases a user, whose state is in the scratch.
    fn erase<'a>(&mut self, context: &RequestContext<'a, '_>, user: &str) -> Option<Outcome<'a>> {
        let users = &mut *self.users;
        if !users.lane.has_room(1) {
            return Some(Outcome::Unavailable);
        }
        let mark = users.lane.mark();
        let at = apply::erase(&mut users.scratch.state, context.now.wall);
        let revision = users.scratch.state.revision;
        let upto = users.lane.append(&Record::Erase { user, revision, at });
        if !users.store(context.now, user, upto, mark) {
            return Some(Outcome::Unavailable);
        }
        users.hold_back(context, Outcome::Erased { at }, Some(upto))
    }
}

impl Users {
    fn read_state<'a>(&mut self, context: &RequestContext<'a, '_>) -> Outcome<'a> {
        let mut state = self.buffer();
        user::encode(&self.scratch.state, &mut state);
        let outcome = Outcome::State(context.bump.alloc_slice_copy(&state));
        self.keep(state);
        outcome
    }
}

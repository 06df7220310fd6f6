//! Operators' commands about one user of this shard.

use super::Users;
use super::evaluate::RequestContext;
use super::own::OwnUsers;
use super::redis::RedisUsers;
use nudged_api::command::Command;
use nudged_api::outcome::Outcome;
use nudged_domain::state::apply;
use nudged_domain::state::user;
use nudged_journal::record::Record;

impl OwnUsers<'_> {
    /// Carries a command out, or has it wait for the user's state. `None` where the outcome comes
    /// later.
    pub(super) fn operate<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        command: &Command<'a>,
        user: &'a str,
        has_state: bool,
    ) -> Option<Outcome<'a>> {
        if self.users.slice.contains(user) && self.users.load(user).is_some() {
            return match command {
                Command::EraseUser { .. } => self.erase(context, user),
                _ => Some(self.users.read_state(context)),
            };
        }
        if !has_state {
            return Some(Outcome::Unavailable);
        }
        let waiter = self.users.waiter(context, command);
        let parked = self.park(context.view.shard, user, waiter);
        parked.err().map(|_| Outcome::Unavailable)
    }

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

impl RedisUsers<'_> {
    /// The same where Redis is the arbiter: the state has to be fresh.
    pub(super) fn operate<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        command: &Command<'a>,
        user: &'a str,
        has_state: bool,
    ) -> Option<Outcome<'a>> {
        let is_fresh = has_state && context.attempt.is_fresh;
        if is_fresh && self.users.slice.contains(user) && self.users.load(user).is_some() {
            return match command {
                Command::EraseUser { .. } => self.erase(context, user),
                _ => Some(self.users.read_state(context)),
            };
        }
        if !has_state {
            return Some(Outcome::Unavailable);
        }
        let waiter = self.users.waiter(context, command);
        let parked = self.wait_for_redis(context.now, user, waiter);
        parked.err().map(|_| Outcome::Unavailable)
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

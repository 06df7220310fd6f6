//! Operators' commands about one user of this shard.

use super::decision::RequestContext;
use super::home::Home;
use nudged_api::command::Command;
use nudged_api::outcome::Outcome;
use nudged_domain::state::apply;
use nudged_domain::state::user;
use nudged_journal::record::Record;

impl Home {
    /// Carries a command out, or has it wait for the user's state. With an arbiter that has to be
    /// fresh. `None` where the outcome comes later.
    pub(super) fn operate<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        command: &Command<'a>,
        user: &'a str,
        has_state: bool,
    ) -> Option<Outcome<'a>> {
        let has_arbiter = self.arbiter.is_some();
        let is_there = !has_arbiter || has_state && context.attempt.is_fresh;
        if is_there && self.slice.contains(user) && self.load(user).is_some() {
            return match command {
                Command::EraseUser { .. } if has_arbiter => self.erase_by_redis(context, user),
                Command::EraseUser { .. } => self.erase(context, user),
                _ => Some(self.read_state(context)),
            };
        }
        if !has_state {
            return Some(Outcome::Unavailable);
        }
        let waiter = self.waiter(context, command);
        let parked = match has_arbiter {
            true => self.wait_for_redis(context.now, user, waiter),
            false => self.park(context.view.shard, context.now, user, waiter),
        };
        parked.err().map(|_| Outcome::Unavailable)
    }

    fn read_state<'a>(&mut self, context: &RequestContext<'a, '_>) -> Outcome<'a> {
        let mut state = self.buffer();
        user::encode(&self.scratch.state, &mut state);
        let outcome = Outcome::State(context.bump.alloc_slice_copy(&state));
        self.keep(state);
        outcome
    }

    /// Erases a user, whose state is in the scratch.
    fn erase<'a>(&mut self, context: &RequestContext<'a, '_>, user: &str) -> Option<Outcome<'a>> {
        if !self.lane.has_room(1) {
            return Some(Outcome::Unavailable);
        }
        let mark = self.lane.mark();
        let at = apply::erase(&mut self.scratch.state, context.now.wall);
        let revision = self.scratch.state.revision;
        let upto = self.lane.append(&Record::Erase { user, revision, at });
        if !self.store(context.now, user, upto, mark) {
            return Some(Outcome::Unavailable);
        }
        self.hold_back(context, Outcome::Erased { at }, Some(upto))
    }
}

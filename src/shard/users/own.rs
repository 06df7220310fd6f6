//! Commands where the shard itself is the arbiter: one step over memory each. What a command needs
//! is fetched before, what it changes is reserved in the lane before.

use bumpalo::collections::Vec as BumpVec;

use super::evaluate::{self, RequestContext, decided, verdict_of};
use super::in_flight::{KeyedUser, Stage};
use super::memory::{Scratch, Users};
use super::waiting::{Resumed, StateAccess, Waiter};
use crate::seam::{Effect, ReadRequest, UserRead};
use nudged_api::command::{Command, EventsRequest};
use nudged_api::decide::DecideRequest;
use nudged_api::events::Event;
use nudged_api::outcome::{DEGRADED, Decided, Outcome, Verdicts};
use nudged_api::verdict::Verdict;
use nudged_base::ids::{LaneSequence, ShardId};
use nudged_base::slab::Handle;
use nudged_domain::decide::choose::{self, Decision};
use nudged_domain::state::apply;
use nudged_domain::state::user::UserState;
use nudged_journal::record::Record;

/// The users of a shard that is their arbiter, lent for one step.
pub(crate) struct OwnUsers<'u> {
    pub(crate) users: &'u mut Users,
    pub(crate) scratch: &'u mut Scratch,
}

impl OwnUsers<'_> {
    /// Decides; degraded where the user's state is not to be had.
    pub(super) fn decide<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        request: &DecideRequest<'a>,
    ) -> Option<Outcome<'a>> {
        if context.access == StateAccess::Missing {
            return self.decide_degraded(context, request);
        }
        let user = request.context.user;
        let Some((state, last_change)) = self.users.look_up(user) else {
            if let Err(over) = self.users.count_user(user, context.now.mono) {
                return Some(Outcome::RateLimited(over));
            }
            let waiter = self.users.waiter(context, &Command::Decide(*request));
            let is_parked = self.users.park(context.view.shard, user, waiter);
            return if is_parked { None } else { self.decide_degraded(context, request) };
        };
        let decision = evaluate::decide_as_it_lies(context, request, &state, context.now.wall);
        if let Some(nothing @ Decision::Nothing { .. }) = decision {
            let decided = decided(request, nothing);
            self.users.note_decision(context, user, &decided);
            return Some(Outcome::Decided(decided));
        }
        let is_ready = match decision {
            Some(Decision::Show { popup, .. }) => {
                let place = (popup, state.revision().epoch);
                self.scratch.show_as_it_lies(context, request, &state, place)
            }
            _ => false,
        };
        if !is_ready {
            state.decode(&mut self.scratch.state);
        }
        if let Err(over) = self.users.count_user(user, context.now.mono) {
            self.scratch.forget_shown();
            return Some(Outcome::RateLimited(over));
        }
        let mark = self.users.lane.mark();
        let has_room = self.users.lane.has_room(request.events.len() + 1);
        let mut verdicts = BumpVec::with_capacity_in(request.events.len(), context.bump);
        verdicts.extend(request.events.iter().map(|element| {
            verdict_of(element, user, |event| match has_room {
                true => self.users.apply_event(self.scratch, context.view, context.now, event),
                false => Verdict::UNAVAILABLE,
            })
        }));
        let candidates = self.scratch.candidates(context, request);
        let decision = decision.unwrap_or_else(|| self.scratch.decide(context, request));
        let mut decided = self.carry_out(context, request, decision, has_room);
        let mut upto = last_change;
        if self.users.lane.last() != mark.last() {
            upto = self.users.lane.last();
            if !self.users.store(self.scratch, context.now, user, mark) {
                upto = last_change;
                decided = evaluate::decided(request, DEGRADED);
                verdicts.iter_mut().for_each(|verdict| *verdict = verdict.unless_kept());
            }
        }
        self.scratch.forget_shown();
        let decided = Decided { verdicts: verdicts.into_bump_slice(), candidates, ..decided };
        self.users.note_decision(context, user, &decided);
        let is_show = matches!(decided.decision, Decision::Show { .. });
        let rests_on_record = !decided.verdicts.is_empty() || is_show;
        let upto = rests_on_record.then_some(upto);
        self.users.hold_back(context, Outcome::Decided(decided), upto)
    }

    /// Where a popup is shown, applies that to the scratch state and records it.
    fn carry_out<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        request: &DecideRequest<'a>,
        decision: Decision,
        has_room: bool,
    ) -> Decided<'a> {
        match decision {
            nothing @ Decision::Nothing { .. } => decided(request, nothing),
            Decision::Show { .. } if !has_room => {
                self.users.counters.journal_refusals.add(1);
                decided(request, DEGRADED)
            }
            Decision::Show { popup, variant } => {
                self.users.show(self.scratch, context, request, (popup, variant))
            }
        }
    }

    /// Answers a decide request whose user's state is not to be had in time. What this shard
    /// remembers is all there is, so no show is taken from anywhere else.
    fn decide_degraded<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        request: &DecideRequest<'a>,
    ) -> Option<Outcome<'a>> {
        self.users.counters.degraded.add(1);
        let user = request.context.user;
        let unavailable = |element| verdict_of(element, user, |_| Verdict::UNAVAILABLE);
        let verdicts = request.events.iter().map(unavailable);
        let verdicts = context.bump.alloc_slice_fill_iter(verdicts);
        let (snapshot, nothing) = (&*context.view.snapshot, UserState::default());
        let now = context.now.wall;
        let decision = match choose::decide_degraded(snapshot, &nothing, &request.context, now) {
            Decision::Show { .. } => DEGRADED,
            nothing @ Decision::Nothing { .. } => nothing,
        };
        let candidates = request.explain.then_some(&[][..]);
        let decided = Decided { verdicts, candidates, ..decided(request, decision) };
        self.users.note_decision(context, user, &decided);
        Some(Outcome::Decided(decided))
    }

    /// Executes events. `None` where their verdicts have to wait: for a user's state, or for the
    /// journal.
    pub(super) fn take_events<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        request: &EventsRequest<'a>,
    ) -> Option<Outcome<'a>> {
        let is_missing = context.access == StateAccess::Missing;
        let may_park = !is_missing && context.now.mono < context.until;
        if may_park && self.park_events(context, request) {
            return None;
        }
        let has_room = self.users.lane.has_room(request.events.len());
        if !has_room {
            self.users.counters.journal_refusals.add(1);
        }
        let mut verdicts = BumpVec::with_capacity_in(request.events.len(), context.bump);
        let mut upto = LaneSequence(0);
        for placed in request.events {
            let verdict = match has_room {
                true => self.one_event(context, &placed.event, &mut upto),
                false => Verdict::UNAVAILABLE,
            };
            verdicts.push((placed.place, verdict));
        }
        let verdicts = verdicts.into_bump_slice();
        let outcome = Outcome::Verdicts(Verdicts {
            verdicts,
            after_s: self.users.rates.after_s(),
            ignored: &[],
        });
        self.users.hold_back(context, outcome, Some(upto))
    }

    /// Parks events where a user of them is not in memory: reads of all such users are started, and
    /// the events wait for the last.
    fn park_events<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        request: &EventsRequest<'a>,
    ) -> bool {
        let shard = context.view.shard;
        let mut last = None;
        for placed in request.events {
            let user = placed.event.token.user;
            if last == Some(user) || self.users.slice.contains(user) {
                continue;
            }
            if let Some(former) = last.replace(user) {
                let (origin, until) = (context.origin, context.until);
                let waiter = Waiter { origin, command: None, until, tries: 0, counted: 0 };
                // Refused, the events find this user missing when they are executed.
                self.users.park(shard, former, waiter);
            }
        }
        let Some(user) = last else { return false };
        let waiter = self.users.waiter(context, &Command::Events(*request));
        self.users.park(shard, user, waiter)
    }

    fn one_event(
        &mut self,
        context: &RequestContext<'_, '_>,
        event: &Event<'_>,
        upto: &mut LaneSequence,
    ) -> Verdict {
        let user = event.token.user;
        let Some(last_change) = self.users.load(self.scratch, user) else {
            return Verdict::UNAVAILABLE;
        };
        let mark = self.users.lane.mark();
        let verdict = match self.users.apply_event(self.scratch, context.view, context.now, event) {
            Verdict::Accepted => {
                let last = self.users.lane.last();
                let is_stored = self.users.store(self.scratch, context.now, user, mark);
                if is_stored {
                    *upto = (*upto).max(last);
                }
                if is_stored { Verdict::Accepted } else { Verdict::UNAVAILABLE }
            }
            Verdict::Duplicate => {
                *upto = (*upto).max(last_change);
                Verdict::Duplicate
            }
            rejected => rejected,
        };
        self.users.count_verdicts([verdict].into_iter());
        verdict
    }

    /// Erases a user, whose state is in the scratch.
    pub(super) fn erase<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        user: &str,
    ) -> Option<Outcome<'a>> {
        let OwnUsers { users, scratch, .. } = self;
        if !users.lane.has_room(1) {
            return Some(Outcome::Unavailable);
        }
        let mark = users.lane.mark();
        let at = apply::erase(&mut scratch.state, context.now.wall);
        let revision = scratch.state.revision;
        let upto = users.lane.append(&Record::Erase { user, revision, at });
        if !users.store(scratch, context.now, user, mark) {
            return Some(Outcome::Unavailable);
        }
        users.hold_back(context, Outcome::Erased { at }, Some(upto))
    }
}

impl Users {
    /// Parks work until a user's state is there, and asks for the state where nobody has; false
    /// where a bound is reached.
    pub(super) fn park(&mut self, shard: ShardId, user: &str, waiter: Waiter) -> bool {
        let handle = match self.in_flight.has_room() {
            true => self.in_flight.find(user).or_else(|| self.read_from_sql(shard, user)),
            false => None,
        };
        match handle {
            Some(handle) => self.in_flight.wait(handle, waiter),
            None => self.counters.parked_full.add(1),
        }
        handle.is_some()
    }

    fn read_from_sql(&mut self, shard: ShardId, user: &str) -> Option<Handle> {
        let handle = self.in_flight.begin(KeyedUser::of(user), Stage::Sql(None))?;
        self.ask_sql(shard, handle, user.into());
        Some(handle)
    }

    /// Has a user read from SQL for what is under way.
    pub(super) fn ask_sql(&mut self, shard: ShardId, handle: Handle, user: Box<str>) {
        self.counters.reads.add(1);
        let request = ReadRequest { shard, ticket: handle.to_bits(), user };
        self.effects.push(Effect::ReadUser(request));
    }

    /// A user's state was read, or could not be: who waits runs again.
    pub(crate) fn on_read(&mut self, read: &UserRead) -> Option<Resumed> {
        let (flight, waiters) = self.in_flight.end(Handle::from_bits(read.ticket))?;
        let access = match &read.state {
            Ok(state) if self.admit(&flight.user, state) => StateAccess::Cached,
            Ok(_) => StateAccess::Missing,
            Err(_) => {
                self.counters.reads_failed.add(1);
                StateAccess::Missing
            }
        };
        Some(Resumed { user: flight.user, waiters, access })
    }
}

//! How events run where Redis is the arbiter: as requests do, those of each user by themselves.

use bumpalo::collections::Vec as BumpVec;

use super::requests::{EvaluatedChange, WithoutState};
use super::{RecordQueue, RedisUsers};
use crate::origin::Origin;
use crate::users::evaluate::{Happened, RequestContext, Subject, shown_of};
use crate::users::in_flight::KeyedUser;
use crate::users::waiting::StateAccess;
use nudged_api::command::{Command, EventsRequest, PlacedEvent};
use nudged_api::events::Event;
use nudged_api::outcome::{Outcome, Verdicts};
use nudged_api::verdict::{PlacedVerdict, Verdict};
use nudged_domain::state::apply;

impl RedisUsers<'_> {
    /// Executes events, those of each user by themselves.
    pub(in crate::users) fn take_events<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        request: &EventsRequest<'a>,
    ) -> Option<Outcome<'a>> {
        let mut users = BumpVec::new_in(context.bump);
        for placed in request.events {
            let user = placed.event.token.user;
            if !users.contains(&user) {
                users.push(user);
            }
        }
        match users[..] {
            [] | [_] => self.events_of_one(context, request.events),
            _ => self.events_of_each(context, request.events, &users),
        }
    }

    /// Executes the events of several users, each by itself. Those that are a part of others
    /// already become as many parts of these.
    fn events_of_each<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        events: &'a [PlacedEvent<'a>],
        users: &[&'a str],
    ) -> Option<Outcome<'a>> {
        let begun = match context.origin {
            Origin::Fanout(handle) => Some(handle),
            origin => {
                let unavailable = events.iter().map(|placed| (placed.place, Verdict::UNAVAILABLE));
                let verdicts = context.bump.alloc_slice_fill_iter(unavailable);
                let (after_s, ignored) = (0, &[][..]);
                let outcome = Outcome::Verdicts(Verdicts { verdicts, after_s, ignored });
                self.users.begin_fanout(origin, &outcome)
            }
        };
        let Some(handle) = begun else { return self.events_degraded(context, events) };
        let of_part = &RequestContext { origin: Origin::Fanout(handle), ..*context };
        for user in users {
            let mut own = BumpVec::with_capacity_in(events.len(), context.bump);
            own.extend(events.iter().filter(|placed| placed.event.token.user == *user));
            self.users.rates.begin(0);
            let outcome = self.events_of_one(of_part, own.into_bump_slice());
            self.users.fanouts.add_part(handle, outcome.as_ref());
        }
        if of_part.origin == context.origin {
            return Some(Outcome::Verdicts(Verdicts::default()));
        }
        self.users.part_done(handle, &Verdicts::default());
        None
    }

    fn events_of_one<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        events: &'a [PlacedEvent<'a>],
    ) -> Option<Outcome<'a>> {
        let executed = self.events_on_state(context, events);
        executed.unwrap_or_else(|WithoutState| self.events_degraded(context, events))
    }

    fn events_on_state<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        events: &'a [PlacedEvent<'a>],
    ) -> Result<Option<Outcome<'a>>, WithoutState> {
        let user = KeyedUser::of(events.first().map_or("", |placed| placed.event.token.user));
        let command = Command::Events(EventsRequest { events, ..EventsRequest::default() });
        let Some((wall, _)) = self.state_or_wait(context, &command, user)? else {
            return Ok(None);
        };
        let context = &context.at(wall);
        let base = self.begin_change(user.partition);
        let mut verdicts = BumpVec::with_capacity_in(events.len(), context.bump);
        for placed in events {
            let verdict = self.event_by_redis(context, &placed.event);
            let is_doubted = verdict == Verdict::TOO_LATE && context.access != StateAccess::Fresh;
            if is_doubted && self.wait_for_turn(context, &command, user).is_ok() {
                return Ok(None);
            }
            verdicts.push((placed.place, verdict));
        }
        let verdicts: &[PlacedVerdict] = verdicts.into_bump_slice();
        let after_s = self.users.rates.after_s();
        let outcome = Outcome::Verdicts(Verdicts { verdicts, after_s, ignored: &[] });
        let (event_bytes, former) = (self.scratch.uncommitted_records.len(), None);
        if event_bytes > 0 {
            let change = EvaluatedChange { command, user, base, event_bytes, former, outcome };
            self.settle_change(context, change)?;
        }
        self.users.count_verdicts(verdicts.iter().map(|(_, verdict)| *verdict));
        Ok((event_bytes == 0).then_some(outcome))
    }

    /// Applies an event to the scratch state. A repeated one is recorded again, with the time that
    /// the state has of it: its first record may be in the journal of a node that is no more, or
    /// come to SQL later than this one, which stands then.
    pub(super) fn event_by_redis(
        &mut self,
        context: &RequestContext<'_, '_>,
        event: &Event<'_>,
    ) -> Verdict {
        let (snapshot, wall) = (&context.view.snapshot, context.now.wall);
        self.learn_show(snapshot, wall, event);
        let verdict = self.users.apply_event(self.scratch, context.view, context.now, event);
        if verdict == Verdict::Duplicate && self.arbiter.setup.queue == RecordQueue::Journal {
            let subject = Subject::of(event);
            let told = apply::acted_at(event.ts, event.token.at, wall);
            let (state, shown) = (&self.scratch.state, shown_of(&event.token));
            let acted_at = apply::repeated_at(state, shown, event.action, told);
            let kind = event.action.kind();
            let happened = Happened { kind, at: wall, acted_at, forgotten: None };
            self.users.record(self.scratch, snapshot, &subject, happened);
        }
        verdict
    }
}

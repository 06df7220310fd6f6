//! How events run where Redis is the arbiter: as requests do, those of each user by themselves.

use bumpalo::collections::Vec as BumpVec;

use super::requests::{EvaluatedChange, StateSource};
use super::{RecordQueue, RedisUsers};
use crate::fanout::verdicts_of;
use crate::origin::Origin;
use crate::users::evaluate::{Happened, RequestContext, Subject};
use nudged_api::command::{Command, EventsRequest, PlacedEvent};
use nudged_api::events::Event;
use nudged_api::outcome::{EncodedOutcome, Outcome, Verdicts};
use nudged_api::verdict::{PlacedVerdict, Verdict};
use nudged_base::clock::Now;
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

    /// Executes the events of several users, each by itself.
    fn events_of_each<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        events: &'a [PlacedEvent<'a>],
        users: &[&'a str],
    ) -> Option<Outcome<'a>> {
        let unavailable = events.iter().map(|placed| (placed.place, Verdict::UNAVAILABLE));
        let verdicts = context.bump.alloc_slice_fill_iter(unavailable);
        let outcome = Outcome::Verdicts(Verdicts { verdicts, ignored: &[] });
        let outcome = EncodedOutcome::of_no_popup(&outcome, self.users.buffer());
        let handle = match self.arbiter.fanouts.begin(context.origin, outcome) {
            Ok(handle) => handle,
            Err(outcome) => {
                self.users.keep(outcome.into_buffer());
                return self.events_degraded(context, events);
            }
        };
        let context = &RequestContext { origin: Origin::UserFanout(handle), ..*context };
        for user in users {
            let mut own = BumpVec::with_capacity_in(events.len(), context.bump);
            own.extend(events.iter().filter(|placed| placed.event.token.user == *user));
            let outcome = self.events_of_one(context, own.into_bump_slice());
            let fanouts = &mut self.arbiter.fanouts;
            match outcome {
                Some(outcome) => fanouts.merge(handle, verdicts_of(&outcome)),
                None => fanouts.await_part(handle),
            }
        }
        if let Some(fanout) = self.arbiter.fanouts.take_whole(handle) {
            self.users.finish(fanout.origin, fanout.outcome);
        }
        None
    }

    fn events_of_one<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        events: &'a [PlacedEvent<'a>],
    ) -> Option<Outcome<'a>> {
        let user = events.first().map_or("", |placed| placed.event.token.user);
        let command = Command::Events(EventsRequest { events, ..EventsRequest::default() });
        let wall = match self.state_source(context, user, None) {
            StateSource::Copy(wall) | StateSource::Decided(wall, _) => wall,
            StateSource::Wait if self.wait_for_turn(context, &command, user) => return None,
            StateSource::Wait | StateSource::Degraded => {
                return self.events_degraded(context, events);
            }
        };
        let context = &RequestContext { now: Now { wall, ..context.now }, ..*context };
        let base = self.begin_change(user);
        let mut verdicts = BumpVec::with_capacity_in(events.len(), context.bump);
        for placed in events {
            let verdict = self.event_by_redis(context, &placed.event);
            let is_doubted = verdict == Verdict::TOO_LATE && !context.attempt.is_fresh();
            if is_doubted && self.wait_for_turn(context, &command, user) {
                return None;
            }
            verdicts.push((placed.place, verdict));
        }
        let verdicts: &[PlacedVerdict] = verdicts.into_bump_slice();
        let known = || verdicts.iter().map(|(_, verdict)| *verdict);
        let outcome = Outcome::Verdicts(Verdicts { verdicts, ignored: &[] });
        if self.scratch.uncommitted_records.is_empty() {
            self.users.count_verdicts(known());
            return Some(outcome);
        }
        let (event_bytes, former) = (self.scratch.uncommitted_records.len(), None);
        let change = EvaluatedChange { command, user, base, event_bytes, former, outcome };
        if !self.settle_change(context, change) {
            return self.events_degraded(context, events);
        }
        self.users.count_verdicts(known());
        None
    }

    /// Applies an event to the scratch state. A repeated one is recorded again: its first record
    /// may be in the journal of a node that is no more.
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
            let acted_at = apply::acted_at(event.ts, event.token.at, wall);
            let kind = event.action.kind();
            let happened = Happened { kind, at: wall, acted_at, forgotten: None };
            self.users.record(self.scratch, snapshot, &subject, happened);
        }
        verdict
    }
}

//! Events of users of this shard. An element stands for itself; those of one user keep their order.

use bumpalo::collections::Vec as BumpVec;

use super::decision::RequestContext;
use super::home::Home;
use super::reads::Waiter;
use nudged_api::command::{Command, EventsRequest};
use nudged_api::events::Event;
use nudged_api::outcome::{Outcome, Verdicts};
use nudged_api::verdict::{PlacedVerdict, Verdict};
use nudged_base::ids::LaneSequence;

impl Home {
    /// Executes events. `None` where their verdicts have to wait: for a user's state, or for the
    /// journal.
    pub fn take_events<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        request: &EventsRequest<'a>,
        may_park: bool,
    ) -> Option<Outcome<'a>> {
        if self.arbiter.is_some() {
            return self.events_by_redis(context, request, may_park);
        }
        let is_in_time = context.now.mono < context.until;
        if may_park && is_in_time && self.park_events(context, request) {
            return None;
        }
        let has_room = self.lane.has_room(request.events.len());
        if !has_room {
            self.counters.journal_refusals.add(1);
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
        self.hold_verdicts_back(context, verdicts.into_bump_slice(), upto)
    }

    /// Gives verdicts where the records up to `upto` are acknowledged; else holds them back.
    pub(super) fn hold_verdicts_back<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        verdicts: &'a [PlacedVerdict],
        upto: LaneSequence,
    ) -> Option<Outcome<'a>> {
        let outcome = Outcome::Verdicts(Verdicts { verdicts, ignored: &[] });
        self.hold_back(context, outcome, Some(upto))
    }

    /// Parks events where a user of them is not in memory: reads of all such users are started, and
    /// the events wait for the last.
    fn park_events<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        request: &EventsRequest<'a>,
    ) -> bool {
        let (shard, now) = (context.view.shard, context.now);
        let mut last = None;
        for placed in request.events {
            let user = placed.event.token.user;
            if last == Some(user) || self.slice.contains(user) {
                continue;
            }
            if let Some(former) = last.replace(user) {
                let (origin, until) = (context.origin, context.until);
                let waiter = Waiter { origin, command: None, until, tries: 0 };
                // Refused, the events find this user missing when they are executed.
                let _ = self.park(shard, now, former, waiter);
            }
        }
        let Some(user) = last else { return false };
        let waiter = self.waiter(context, &Command::Events(*request));
        self.park(shard, now, user, waiter).is_ok()
    }

    fn one_event(
        &mut self,
        context: &RequestContext<'_, '_>,
        event: &Event<'_>,
        upto: &mut LaneSequence,
    ) -> Verdict {
        let user = event.token.user;
        let Some(last_change) = self.load(user) else { return Verdict::UNAVAILABLE };
        let mark = self.lane.mark();
        let verdict = match self.apply_event(context.view, context.now, event) {
            Verdict::Accepted => {
                let last = self.lane.last();
                let is_stored = self.store(context.now, user, last, mark);
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
        self.count_verdicts([verdict].into_iter());
        verdict
    }
}

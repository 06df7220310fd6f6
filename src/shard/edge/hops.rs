//! Commands that other shards execute, whole or in part: the shard that took a request coordinates,
//! those that own its users execute.

use bumpalo::collections::Vec as BumpVec;

use crate::fanout::{Fanouts, verdicts_of};
use crate::origin::Origin;
use crate::seam::{Effect, Hop};
use crate::users::evaluate::RequestContext;
use crate::users::{Arbitration, Users};
use crate::view::View;
use nudged_api::command::{Command, EncodedCommand, EventsRequest, PlacedEvent};
use nudged_api::decide::DecideRequest;
use nudged_api::outcome::{EncodedOutcome, Outcome, Verdicts};
use nudged_api::verdict::{PlacedVerdict, Verdict};
use nudged_base::ids::{ShardId, UserKey};
use nudged_base::limits::HOPS_OUTSTANDING_MAX;
use nudged_base::slab::{Handle, Slab};

/// What a command on another shard is for.
#[derive(Clone, Copy, Debug)]
pub enum Outstanding {
    /// A decision: the reply is whole.
    Decision(Origin),
    /// A part of an events request.
    Part(Handle),
}

/// What other shards execute for this one.
#[derive(Debug)]
pub struct Hops {
    /// Events requests whose verdicts are not all there.
    fanouts: Fanouts,
    outstanding: Slab<Outstanding>,
}

impl Default for Hops {
    fn default() -> Hops {
        Hops { fanouts: Fanouts::default(), outstanding: Slab::new(HOPS_OUTSTANDING_MAX) }
    }
}

impl Hops {
    /// Takes out what a ticket was for; `None` for an unknown one.
    pub fn take(&mut self, ticket: u64) -> Option<Outstanding> {
        self.outstanding.remove(Handle::from_bits(ticket))
    }

    /// A part has come back: its verdicts, or none where it could not be executed.
    pub(crate) fn part_done(
        &mut self,
        users: &mut Users,
        handle: Handle,
        verdicts: &[PlacedVerdict],
    ) {
        if let Some(fanout) = self.fanouts.part_done(handle, verdicts) {
            users.finish(fanout.origin, fanout.outcome);
        }
    }

    /// Events requests whose verdicts are not all there.
    pub(crate) fn fanouts(&self) -> usize {
        self.fanouts.len()
    }

    /// Whether nothing is under way.
    pub fn is_quiet(&self) -> bool {
        self.outstanding.is_empty() && self.fanouts.is_empty()
    }
}

/// What a command is coordinated with, lent for one step.
pub(super) struct Coordinator<'c> {
    pub(super) hops: &'c mut Hops,
    pub(super) users: &'c mut Users,
    pub(super) arbitration: &'c mut Arbitration,
}

impl Coordinator<'_> {
    /// Has a command executed by the shards that own its users. `None` where the outcome comes
    /// later.
    pub(super) fn coordinate<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        command: Command<'a>,
    ) -> Option<Outcome<'a>> {
        match command {
            Command::Events(request) => {
                self.users.counters.requests.of("events").add(1);
                self.users.counters.ignored_fields.add(request.ignored.count.into());
                self.fan_out(context, &request)
            }
            Command::Decide(mut request) => {
                self.users.counters.requests.of("decide").add(1);
                self.users.counters.ignored_fields.add(request.ignored.count.into());
                if request.anonymous {
                    request.context.user = self.users.mint(context.view, context.bump);
                }
                self.coordinate_decision(context, &request)
            }
            // Operators ask by `Input::Control`.
            Command::ReadUser { .. } | Command::EraseUser { .. } => Some(Outcome::Unavailable),
        }
    }

    fn coordinate_decision<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        request: &DecideRequest<'a>,
    ) -> Option<Outcome<'a>> {
        let command = Command::Decide(*request);
        let to = context.view.home(UserKey::of(request.context.user.as_bytes()));
        if to == context.view.shard {
            return self.arbitration.execute(self.users, context, &command, true);
        }
        if !self.may_hop() {
            self.users.counters.hops_refused.add(1);
            return Some(Outcome::Overloaded);
        }
        self.hop(context.view.shard, to, Outstanding::Decision(context.origin), &command);
        None
    }

    /// Splits events by the shards that own their users. Each element stands for itself; the
    /// outcome leaves when all verdicts are there.
    fn fan_out<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        request: &EventsRequest<'a>,
    ) -> Option<Outcome<'a>> {
        let rejected = request.rejected.iter().map(|(_, code)| Verdict::Rejected(*code));
        self.users.count_verdicts(rejected);
        let verdicts = verdicts_before(request, context);
        let outcome = Outcome::Verdicts(Verdicts { verdicts, ignored: request.ignored.names });
        let outcome = EncodedOutcome::of_no_popup(&outcome, self.users.buffer());
        let handle = match self.hops.fanouts.begin(context.origin, outcome) {
            Ok(handle) => handle,
            Err(outcome) => {
                self.users.keep(outcome.into_buffer());
                return Some(Outcome::Overloaded);
            }
        };
        for shard in shards_of(context, request.events) {
            self.ask_part(context, shard, request.events, handle);
        }
        if let Some(fanout) = self.hops.fanouts.take_whole(handle) {
            self.users.finish(fanout.origin, fanout.outcome);
        }
        None
    }

    fn ask_part<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        shard: ShardId,
        events: &'a [PlacedEvent<'a>],
        handle: Handle,
    ) {
        let mut own = BumpVec::with_capacity_in(events.len(), context.bump);
        let is_of_shard = |placed: &&PlacedEvent<'_>| home_of(context.view, placed) == shard;
        own.extend(events.iter().filter(is_of_shard));
        let part = EventsRequest { events: own.into_bump_slice(), ..EventsRequest::default() };
        let command = Command::Events(part);
        if shard == context.view.shard {
            let origin = Origin::ShardFanout(handle);
            match self.arbitration.execute(
                self.users,
                &RequestContext { origin, ..*context },
                &command,
                true,
            ) {
                Some(outcome) => self.hops.fanouts.merge(handle, verdicts_of(&outcome)),
                None => self.hops.fanouts.await_part(handle),
            }
        } else if self.may_hop() {
            self.hop(context.view.shard, shard, Outstanding::Part(handle), &command);
            self.hops.fanouts.await_part(handle);
        }
    }

    /// Whether another shard may be asked once more.
    fn may_hop(&self) -> bool {
        self.hops.outstanding.len() < HOPS_OUTSTANDING_MAX
    }

    /// Sends a command to the shard that owns its users.
    fn hop(&mut self, from: ShardId, to: ShardId, what: Outstanding, command: &Command<'_>) {
        let handle = self.hops.outstanding.insert(what).expect("`may_hop` was asked");
        self.users.counters.hops_sent.add(1);
        let command = EncodedCommand::new(command, self.users.buffer());
        let hop = Hop { from, ticket: handle.to_bits(), command };
        self.users.effects.push(Effect::Hop { to, hop });
    }
}

/// A verdict in the place of each element, as they are before any part is executed.
fn verdicts_before<'a>(
    request: &EventsRequest<'a>,
    context: &RequestContext<'a, '_>,
) -> &'a [PlacedVerdict] {
    let mut verdicts = BumpVec::with_capacity_in(request.count(), context.bump);
    verdicts
        .extend(request.rejected.iter().map(|(place, code)| (*place, Verdict::Rejected(*code))));
    verdicts.extend(request.events.iter().map(|placed| (placed.place, Verdict::UNAVAILABLE)));
    verdicts.sort_unstable_by_key(|(place, _)| *place);
    verdicts.into_bump_slice()
}

fn home_of(view: &View, placed: &PlacedEvent<'_>) -> ShardId {
    view.home(UserKey::of(placed.event.token.user.as_bytes()))
}

/// The shards that own the users of these events, each once, ascending.
fn shards_of<'a>(
    context: &RequestContext<'a, '_>,
    events: &[PlacedEvent<'_>],
) -> BumpVec<'a, ShardId> {
    let mut shards = BumpVec::new_in(context.bump);
    for placed in events {
        let shard = home_of(context.view, placed);
        if let Err(place) = shards.binary_search(&shard) {
            shards.insert(place, shard);
        }
    }
    shards
}

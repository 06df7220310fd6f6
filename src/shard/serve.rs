//! The edge: from a request to its command, and the command to whoever executes it: here, on other
//! shards, or after a wait. An outcome that is there at once is written at once.

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use super::decision::{Attempt, RequestContext};
use super::home::{Home, Outstanding};
use super::origin::{ConnectionSlot, Origin};
use super::seam::{Effect, Hop};
use super::view::View;
use nudged_api::command::{Command, EncodedCommand, EventsRequest, PlacedEvent};
use nudged_api::decide::DecideRequest;
use nudged_api::outcome::{EncodedOutcome, Outcome, Verdicts};
use nudged_api::render::Rendering;
use nudged_api::reply::Heading;
use nudged_api::routes::{self, Routed};
use nudged_api::verdict::{PlacedVerdict, Verdict};
use nudged_base::clock::Now;
use nudged_base::ids::{ShardId, UserKey};
use nudged_base::limits::HOPS_OUTSTANDING_MAX;
use nudged_base::slab::Handle;
use nudged_base::telemetry::counters::ShardCounters;
use nudged_http::head::{Method, Request};

/// Whether an answer is there or will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The answer was appended to the output.
    Answered,
    /// It comes later.
    Later,
}

/// Where a request came in.
#[derive(Clone, Copy, Debug)]
pub struct Arrived {
    /// The place of its answer.
    pub slot: ConnectionSlot,
    /// The listener that its connection came in by.
    pub listener: u16,
}

/// What a request is served with: the shard's parts, lent for one step.
pub struct Server<'s> {
    /// Catalog, keys, date.
    pub view: &'s View,
    /// The users of this shard.
    pub home: &'s mut Home,
    /// Scratch, reset for each request.
    pub bump: &'s mut Bump,
    /// The turn's time.
    pub now: Now,
}

impl Server<'_> {
    /// Serves a request of a connection of this shard.
    pub fn serve(
        &mut self,
        request: &Request<'_>,
        arrived: Arrived,
        out: &mut Vec<u8>,
    ) -> Progress {
        self.bump.reset();
        let Server { view, home, bump, now } = self;
        let (view, bump) = (*view, &**bump);
        let frame = request.frame(view.date.as_str());
        let surface = view.surface(arrived.listener, *now);
        let command = match routes::route(request, &surface, bump, &frame, out) {
            Routed::Command(command) => command,
            Routed::Answered(status) => {
                count_answered(&home.counters, request, status);
                return Progress::Answered;
            }
        };
        let (cors, grant) = (&view.rules.cors, view.rules.cors.grant(request.origin));
        let origin = Origin::Connection { slot: arrived.slot, grant };
        let (until, attempt) = (home.deadline(now.mono), Attempt::default());
        let context = RequestContext { view, now: *now, bump, origin, until, attempt };
        let Some(outcome) = home.coordinate(&context, command) else { return Progress::Later };
        let rendering = Rendering {
            heading: Heading { frame, cors, grant },
            snapshot: Some(&view.snapshot),
            disk_lack: view.disk_lack.as_deref(),
            bump,
        };
        rendering.write(&outcome, out);
        Progress::Answered
    }
}

impl Home {
    /// Has a command executed by the shards that own its users. `None` where the outcome comes
    /// later.
    fn coordinate<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        command: Command<'a>,
    ) -> Option<Outcome<'a>> {
        match command {
            Command::Events(request) => {
                self.counters.requests.of("events").add(1);
                self.counters.ignored_fields.add(request.ignored.count.into());
                self.fan_out(context, &request)
            }
            Command::Decide(mut request) => {
                self.counters.requests.of("decide").add(1);
                self.counters.ignored_fields.add(request.ignored.count.into());
                if request.anonymous {
                    request.context.user = self.mint(context.view, context.bump);
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
            return self.execute(context, &command, true);
        }
        if !self.may_hop() {
            self.counters.hops_refused.add(1);
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
        self.count_verdicts(rejected);
        let verdicts = verdicts_before(request, context);
        let outcome = Outcome::Verdicts(Verdicts { verdicts, ignored: request.ignored.names });
        let outcome = EncodedOutcome::of_no_popup(&outcome, self.buffer());
        let handle = match self.fanouts.begin(context.origin, outcome) {
            Ok(handle) => handle,
            Err(outcome) => {
                self.keep(outcome.into_buffer());
                return Some(Outcome::Overloaded);
            }
        };
        for shard in shards_of(context, request.events) {
            self.ask_part(context, shard, request.events, handle);
        }
        if let Some(fanout) = self.fanouts.take_whole(handle) {
            self.finish(fanout.origin, fanout.outcome);
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
            match self.execute(&RequestContext { origin, ..*context }, &command, true) {
                Some(outcome) => self.fanouts.merge(handle, verdicts_of(&outcome)),
                None => self.fanouts.await_part(handle),
            }
        } else if self.may_hop() {
            self.hop(context.view.shard, shard, Outstanding::Part(handle), &command);
            self.fanouts.await_part(handle);
        }
    }

    /// A part has come back: its verdicts, or none where it could not be executed.
    pub fn part_done(&mut self, handle: Handle, verdicts: &[PlacedVerdict]) {
        if let Some(fanout) = self.fanouts.part_done(handle, verdicts) {
            self.finish(fanout.origin, fanout.outcome);
        }
    }

    /// Whether another shard may be asked once more.
    fn may_hop(&self) -> bool {
        self.outstanding.len() < HOPS_OUTSTANDING_MAX
    }

    /// Sends a command to the shard that owns its users.
    fn hop(&mut self, from: ShardId, to: ShardId, what: Outstanding, command: &Command<'_>) {
        let handle = self.outstanding.insert(what).expect("`may_hop` was asked");
        self.counters.hops_sent.add(1);
        let command = EncodedCommand::new(command, self.buffer());
        let hop = Hop { from, ticket: handle.to_bits(), command };
        self.effects.push(Effect::Hop { to, hop });
    }
}

/// Counts what was answered at once: health, preflights, refusals.
pub(super) fn count_answered(counters: &ShardCounters, request: &Request<'_>, status: u16) {
    let route = match (request.method, request.path) {
        (Method::Options, _) => "options",
        (_, "/v1/decide") => "decide",
        (_, "/v1/events") => "events",
        (_, "/health" | "/healthz") => "health",
        (_, "/readyz") => "readyz",
        _ => "other",
    };
    counters.requests.of(route).add(1);
    if status >= 400 {
        counters.http_errors.of(itoa::Buffer::new().format(status)).add(1);
    }
}

/// The verdicts of an outcome of events.
pub fn verdicts_of<'a>(outcome: &Outcome<'a>) -> &'a [PlacedVerdict] {
    match outcome {
        Outcome::Verdicts(verdicts) => verdicts.verdicts,
        // Nothing was executed: its elements stay unavailable.
        _ => &[],
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

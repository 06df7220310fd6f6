//! From a request to its command, and the command to whoever executes it, whole or in part: this
//! shard, or those that own its users. An outcome that is there at once is written at once.

use std::net::IpAddr;

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use crate::origin::{Origin, RequestSlot};
use crate::seam::{Effect, Hop};
use crate::users::Turn;
use crate::users::evaluate::RequestContext;
use crate::users::memory::Users;
use crate::users::waiting::StateAccess;
use crate::view::View;
use nudged_api::command::{Command, EncodedCommand, EventsRequest, PlacedEvent};
use nudged_api::early;
use nudged_api::outcome::{Outcome, Verdicts};
use nudged_api::render::Rendering;
use nudged_api::reply::ResponseContext;
use nudged_api::routes::{self, Routed};
use nudged_api::snippet::is_of_snippet;
use nudged_api::verdict::{PlacedVerdict, Verdict};
use nudged_base::clock::Now;
use nudged_base::ids::ShardId;
use nudged_base::limits::HOPS_OUTSTANDING_MAX;
use nudged_base::slab::{Handle, Slab};
use nudged_base::telemetry::counters::{DECIDE_ROUTE, EVENTS_ROUTE, PREVIEW_ROUTE, ShardCounters};
use nudged_base::telemetry::log::{LogValue, Message};
use nudged_base::telemetry::{RequestOutcome, RequestRoute};
use nudged_domain::decide::choose::{Decision, Reason};
use nudged_http::connection::Answer;
use nudged_http::head::{Method, Request};

/// Where a request came in.
#[derive(Clone, Copy, Debug)]
pub struct Arrived {
    /// The place of its answer.
    pub slot: RequestSlot,
    /// The listener that its connection came in by.
    pub listener: u16,
    /// Whose the connection is, where that is known.
    pub source: Option<IpAddr>,
}

/// What a request is served with: the shard's parts, lent for one step.
pub(crate) struct RequestServer<'s> {
    /// Catalog, keys, date.
    pub view: &'s View,
    /// The turn's time.
    pub now: Now,
    /// Scratch, reset for each request.
    pub bump: &'s mut Bump,
    /// Whoever executes commands.
    pub coordinator: Coordinator<'s>,
    /// There is no time for what pages ask: it is refused.
    pub is_shedding: bool,
}

impl RequestServer<'_> {
    /// Serves a request of a connection of this shard.
    pub(crate) fn serve(
        &mut self,
        request: &Request<'_>,
        arrived: Arrived,
        out: &mut Vec<u8>,
    ) -> Answer {
        self.bump.reset();
        let RequestServer { view, now, bump, coordinator, is_shedding } = self;
        let (view, bump) = (*view, &**bump);
        let Turn { users, arbitration, .. } = &coordinator.turn;
        let frame = request.frame(&view.date);
        if *is_shedding && let Some(status) = early::shed(request, &view.rules.cors, &frame, out) {
            count_answered(&users.counters, request, status);
            return Answer::Now;
        }
        let policy = view.policy(arrived.listener, *now);
        let (command, grant, words) = match routes::route(request, &policy, bump, &frame, out) {
            Routed::Command(command, grant, words) => (command, grant, words),
            Routed::Answered(status) => {
                count_answered(&users.counters, request, status);
                return Answer::Now;
            }
        };
        let route = match command {
            Command::Events(_) => RequestRoute::Events,
            Command::Look(_) => RequestRoute::Other,
            _ => RequestRoute::Decide,
        };
        if let Some(source) = arrived.source {
            log_asker(users, *now, &command, source);
        }
        let origin = Origin::Connection { slot: arrived.slot, grant, route, since: now.mono };
        let (until, access) = (arbitration.deadline(users, now.mono), StateAccess::Cached);
        let (now, tries, counted) = (*now, 0, 0);
        let context =
            RequestContext { view, now, bump, origin, until, tries, counted, access, words };
        let outcome = coordinator.coordinate(&context, command);
        let Some(outcome) = outcome else { return Answer::Later };
        let durations = &coordinator.turn.users.counters.request_durations;
        durations.note(route, kind_of(&outcome));
        let rendering = Rendering {
            response: ResponseContext { frame, cors: &view.rules.cors, grant },
            snapshot: Some(view.snapshot_of(&outcome)),
            disk_lack: view.disk_lack.as_deref(),
            bump,
        };
        rendering.write(&outcome, out);
        Answer::Now
    }
}

/// What a command on another shard is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outstanding {
    /// A decision: the reply is whole.
    Decision(Origin),
    /// A part of an events request.
    Part(Handle),
}

/// What other shards execute for this one.
#[derive(Debug)]
pub(crate) struct Hops(Slab<Outstanding>);

impl Default for Hops {
    fn default() -> Hops {
        Hops(Slab::new(HOPS_OUTSTANDING_MAX))
    }
}

impl Hops {
    /// Takes out what a ticket was for; `None` for an unknown one.
    pub(crate) fn take(&mut self, ticket: u64) -> Option<Outstanding> {
        self.0.remove(Handle::from_bits(ticket))
    }

    /// Whether nothing is under way.
    pub(crate) fn is_quiet(&self) -> bool {
        self.0.is_empty()
    }
}

/// What a command is coordinated with, lent for one step.
pub(crate) struct Coordinator<'c> {
    pub hops: &'c mut Hops,
    pub turn: Turn<'c>,
}

impl Coordinator<'_> {
    /// Has a command executed by the shards that own its users. `None` where the outcome comes
    /// later.
    pub(super) fn coordinate<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        mut command: Command<'a>,
    ) -> Option<Outcome<'a>> {
        let users = &mut *self.turn.users;
        match &mut command {
            Command::Events(request) => {
                users.counters.requests.at(EVENTS_ROUTE).add(1);
                users.counters.ignored_fields.add(request.ignored.count.into());
                self.fan_out(context, request)
            }
            Command::Decide(request) => {
                users.counters.requests.at(DECIDE_ROUTE).add(1);
                users.counters.ignored_fields.add(request.ignored.count.into());
                if request.is_preview {
                    return Some(self.turn.preview(context, request));
                }
                if request.anonymous {
                    request.context.user = users.mint(context.view, context.bump);
                }
                let home = context.view.home_of(request.context.user);
                self.coordinate_decision(context, &command, home)
            }
            Command::Look(request) => {
                users.counters.requests.at(PREVIEW_ROUTE).add(1);
                users.counters.ignored_fields.add(request.ignored.count.into());
                if !request.has_user {
                    return self.turn.look(context, request);
                }
                let home = context.view.home_of(request.context.user);
                self.coordinate_decision(context, &command, home)
            }
            // Operators ask by `Input::Control`.
            Command::ReadUser { .. } | Command::EraseUser { .. } | Command::ForgetUser { .. } => {
                Some(Outcome::Unavailable)
            }
        }
    }

    fn coordinate_decision<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        command: &Command<'a>,
        to: ShardId,
    ) -> Option<Outcome<'a>> {
        if to == context.view.shard {
            return self.turn.execute(context, command);
        }
        if !self.may_hop() {
            self.turn.users.counters.hops_refused.add(1);
            return Some(Outcome::Overloaded);
        }
        self.hop(context, to, Outstanding::Decision(context.origin), command);
        None
    }

    /// Splits events by the shards that own their users. Each element stands for itself; the
    /// outcome leaves when all verdicts are there.
    fn fan_out<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        request: &EventsRequest<'a>,
    ) -> Option<Outcome<'a>> {
        self.turn.users.count_verdicts(request.settled.iter().map(|(_, verdict)| *verdict));
        let verdicts = verdicts_before(request, context);
        let outcome =
            Outcome::Verdicts(Verdicts { verdicts, after_s: 0, ignored: request.ignored.names });
        let Some(handle) = self.turn.users.begin_fanout(context.origin, &outcome) else {
            return Some(Outcome::Overloaded);
        };
        for shard in shards_of(context, request.events) {
            self.ask_part(context, shard, request.events, handle);
        }
        self.turn.users.part_done(handle, &Verdicts::default());
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
            let origin = Origin::Fanout(handle);
            let outcome = self.turn.execute(&RequestContext { origin, ..*context }, &command);
            self.turn.users.fanouts.add_part(handle, outcome.as_ref());
        } else if self.may_hop() {
            self.hop(context, shard, Outstanding::Part(handle), &command);
            self.turn.users.fanouts.add_part(handle, None);
        }
    }

    /// Whether another shard may be asked once more.
    fn may_hop(&self) -> bool {
        self.hops.0.len() < HOPS_OUTSTANDING_MAX
    }

    /// Sends a command to the shard that owns its users.
    fn hop(
        &mut self,
        context: &RequestContext<'_, '_>,
        to: ShardId,
        what: Outstanding,
        command: &Command<'_>,
    ) {
        let handle = self.hops.0.insert(what).expect("`may_hop` was asked");
        self.turn.users.counters.hops_sent.add(1);
        let command = EncodedCommand::new(command, self.turn.users.buffer());
        let (from, since) = (context.view.shard, context.now.mono);
        let hop = Hop { from, ticket: handle.to_bits(), since, command };
        self.turn.users.effects.push(Effect::Hop { to, hop });
    }
}

/// Says from where a user asks, where the log has their requests.
fn log_asker(users: &Users, now: Now, command: &Command<'_>, source: IpAddr) {
    let log = |user: &str| {
        if !user.is_empty() && users.log.wants(Message::Asked, Some(user)) {
            let source = source.to_string();
            let fields = [("user", LogValue::User(user)), ("source", LogValue::Text(&source))];
            users.log(now, Message::Asked, &fields);
        }
    };
    match command {
        Command::Decide(request) => log(request.context.user),
        Command::Events(request) => {
            let askers = request.events.iter().map(|placed| placed.event.token.user);
            let mut last = "";
            for user in askers {
                if std::mem::replace(&mut last, user) != user {
                    log(user);
                }
            }
        }
        _ => {}
    }
}

/// A verdict in the place of each element, as they are before any part is executed.
fn verdicts_before<'a>(
    request: &EventsRequest<'a>,
    context: &RequestContext<'a, '_>,
) -> &'a [PlacedVerdict] {
    let mut verdicts = BumpVec::with_capacity_in(request.count(), context.bump);
    verdicts.extend_from_slice(request.settled);
    verdicts.extend(request.events.iter().map(|placed| (placed.place, Verdict::UNAVAILABLE)));
    verdicts.sort_unstable_by_key(|(place, _)| *place);
    verdicts.into_bump_slice()
}

fn home_of(view: &View, placed: &PlacedEvent<'_>) -> ShardId {
    view.home_of(placed.event.token.user)
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

/// What a request's outcome counts as.
pub(crate) fn kind_of(outcome: &Outcome<'_>) -> RequestOutcome {
    match outcome {
        // Nothing of it counts as shown.
        Outcome::Decided(decided) if decided.is_preview => RequestOutcome::Answered,
        Outcome::Decided(decided) => match decided.decision {
            Decision::Show { .. } => RequestOutcome::Shown,
            Decision::Nothing { reason: Reason::Degraded, .. } => RequestOutcome::Degraded,
            Decision::Nothing { .. } => RequestOutcome::Nothing,
        },
        Outcome::Overloaded | Outcome::RateLimited(_) => RequestOutcome::Refused,
        _ => RequestOutcome::Answered,
    }
}

/// Counts what was answered at once: health, the snippet, preflights, refusals.
pub(super) fn count_answered(counters: &ShardCounters, request: &Request<'_>, status: u16) {
    let route = match (request.method, request.path) {
        (Method::Options, _) => "options",
        (_, "/v1/decide") => "decide",
        (_, "/v1/events") => "events",
        (_, "/v1/preview") => "preview",
        (_, "/health" | "/healthz") => "health",
        (_, "/readyz") => "readyz",
        (_, path) if is_of_snippet(path) => "snippet",
        _ => "other",
    };
    counters.requests.of(route).add(1);
    let is_refused = status >= 400;
    let timed = match route {
        "decide" => RequestRoute::Decide,
        "events" => RequestRoute::Events,
        _ => RequestRoute::Other,
    };
    let answered = if is_refused { RequestOutcome::Refused } else { RequestOutcome::Answered };
    counters.request_durations.note(timed, answered);
    if is_refused {
        counters.http_errors.of(itoa::Buffer::new().format(status)).add(1);
    }
}

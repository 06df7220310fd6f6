//! From a request to its command, and the command to whoever executes it: here, on other shards, or
//! after a wait. An outcome that is there at once is written at once.

use bumpalo::Bump;

use super::hops::{Coordinator, Hops};
use crate::origin::{Origin, RequestSlot};
use crate::users::evaluate::{Attempt, RequestContext};
use crate::users::{Arbitration, Users};
use crate::view::View;
use nudged_api::render::Rendering;
use nudged_api::reply::ResponseContext;
use nudged_api::routes::{self, Routed};
use nudged_base::clock::Now;
use nudged_base::telemetry::counters::ShardCounters;
use nudged_http::head::{Method, Request};

/// Whether an answer is there or will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// The answer was appended to the output.
    Answered,
    /// It comes later.
    Later,
}

/// Where a request came in.
#[derive(Clone, Copy, Debug)]
pub struct Arrived {
    /// The place of its answer.
    pub slot: RequestSlot,
    /// The listener that its connection came in by.
    pub listener: u16,
}

/// What a request is served with: the shard's parts, lent for one step.
pub struct RequestServer<'s> {
    /// Catalog, keys, date.
    pub view: &'s View,
    /// The users of this shard.
    pub users: &'s mut Users,
    /// Who decides which of two changes of them stands.
    pub arbitration: &'s mut Arbitration,
    /// What other shards execute.
    pub hops: &'s mut Hops,
    /// Scratch, reset for each request.
    pub bump: &'s mut Bump,
    /// The turn's time.
    pub now: Now,
}

impl RequestServer<'_> {
    /// Serves a request of a connection of this shard.
    pub fn serve(&mut self, request: &Request<'_>, arrived: Arrived, out: &mut Vec<u8>) -> Served {
        self.bump.reset();
        let RequestServer { view, users, arbitration, hops, bump, now } = self;
        let (view, bump) = (*view, &**bump);
        let frame = request.frame(view.date.as_str());
        let policy = view.policy(arrived.listener, *now);
        let command = match routes::route(request, &policy, bump, &frame, out) {
            Routed::Command(command) => command,
            Routed::Answered(status) => {
                count_answered(&users.counters, request, status);
                return Served::Answered;
            }
        };
        let (cors, grant) = (&view.rules.cors, view.rules.cors.grant(request.origin));
        let origin = Origin::Connection { slot: arrived.slot, grant };
        let (until, attempt) = (arbitration.deadline(users, now.mono), Attempt::default());
        let context = RequestContext { view, now: *now, bump, origin, until, attempt };
        let mut coordinator = Coordinator { hops, users, arbitration };
        let outcome = coordinator.coordinate(&context, command);
        let Some(outcome) = outcome else { return Served::Later };
        let rendering = Rendering {
            response: ResponseContext { frame, cors, grant },
            snapshot: Some(&view.snapshot),
            disk_lack: view.disk_lack.as_deref(),
            bump,
        };
        rendering.write(&outcome, out);
        Served::Answered
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

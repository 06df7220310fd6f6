//! From a whole request to its command, and the command to whoever executes it: here, on another
//! shard, or after a wait.

use bumpalo::Bump;

use super::decision::{Ask, Progress, Round};
use super::home::{Home, Outstanding};
use super::origin::Origin;
use super::packed::{self, Packed};
use super::seam::Outbox;
use super::view::View;
use crate::api::refusal::{Code, write_refusal};
use crate::api::routes::{self, Command as Asked};
use crate::base::clock::Now;
use crate::base::ids::UserKey;
use crate::http::head::{Method, Request};
use crate::telemetry::counters::ShardCounters;

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
        packed: &Packed<'_>,
        origin: Origin,
        out: &mut Vec<u8>,
        outbox: &mut Outbox,
    ) -> Progress {
        self.bump.reset();
        let Server { view, home, bump, now } = self;
        let round = Round::default();
        let until = home.deadline(now.mono);
        serve(&Ask { view, now: *now, bump, packed, origin, until, round }, home, out, outbox)
    }
}

fn serve<'a>(
    ask: &Ask<'a, '_>,
    home: &mut Home,
    out: &mut Vec<u8>,
    outbox: &mut Outbox,
) -> Progress {
    let (view, packed) = (ask.view, ask.packed);
    let frame = view.frame(&packed.request);
    let surface = view.surface(packed.listener, ask.now);
    let start = out.len();
    let Some(asked) = routes::route(&packed.request, &surface, ask.bump, &frame, out) else {
        count_answered(&home.counters, &packed.request, &out[start..]);
        return Progress::Answered;
    };
    match asked {
        Asked::Events { elements, ignored } => {
            home.counters.requests.of("events").add(1);
            home.counters.ignored_fields.add(ignored.count.into());
            home.gather(ask, elements, ignored, (out, outbox))
        }
        Asked::Decide(mut asked) => {
            home.counters.requests.of("decide").add(1);
            home.counters.ignored_fields.add(asked.ignored.count.into());
            if asked.anonymous {
                asked.context.user = home.mint(view, ask.bump);
            }
            let to = view.home(UserKey::of(asked.context.user.as_bytes()));
            if to == view.shard {
                return home.decide(ask, &asked, out, outbox);
            }
            if !home.may_hop() {
                home.counters.hops_refused.add(1);
                let heading = view.heading(&packed.request);
                write_refusal(out, &heading, Code::Overloaded.into());
                return Progress::Answered;
            }
            let mut buffer = home.buffer();
            let anonymous = if asked.anonymous { asked.context.user } else { "" };
            packed::pack(&Packed { anonymous, ..*packed }, &mut buffer);
            home.hop(view, to, Outstanding::Decision(ask.origin), buffer, outbox);
            Progress::Later
        }
    }
}

/// Counts what was answered at once: health, preflights, refusals.
pub(super) fn count_answered(counters: &ShardCounters, request: &Request<'_>, answer: &[u8]) {
    let route = match (request.method, request.path) {
        (Method::Options, _) => "options",
        (_, "/v1/decide") => "decide",
        (_, "/v1/events") => "events",
        (_, "/health" | "/healthz") => "health",
        (_, "/readyz") => "readyz",
        _ => "other",
    };
    counters.requests.of(route).add(1);
    // `HTTP/1.1 404 ...`
    let status = answer.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
    if let Some(status) = status.filter(|status| *status >= "400") {
        counters.http_errors.of(status).add(1);
    }
}

/// Serves a request that came by a hop or was parked: of this shard's users, whose state is there
/// unless `has_state` says that it is not to be had.
pub fn serve_parked<'a>(
    ask: &Ask<'a, '_>,
    home: &mut Home,
    has_state: bool,
    out: &mut Vec<u8>,
    outbox: &mut Outbox,
) -> Progress {
    let (view, packed) = (ask.view, ask.packed);
    let frame = view.frame(&packed.request);
    let surface = view.surface(packed.listener, ask.now);
    let Some(asked) = routes::route(&packed.request, &surface, ask.bump, &frame, out) else {
        if packed.request.path == "/v1/events" {
            // Refused by rules that changed on its way: a part without verdicts.
            out.clear();
        }
        return Progress::Answered;
    };
    match asked {
        Asked::Events { elements, .. } => match home.part(ask, elements, has_state, outbox) {
            Some(verdicts) => {
                out.clear();
                out.extend_from_slice(&verdicts);
                home.keep(verdicts);
                Progress::Answered
            }
            None => Progress::Later,
        },
        Asked::Decide(mut asked) => {
            if asked.anonymous {
                asked.context.user = ask.bump.alloc_str(packed.anonymous);
            }
            if has_state {
                return home.decide(ask, &asked, out, outbox);
            }
            home.decide_degraded(ask, &asked, out)
        }
    }
}

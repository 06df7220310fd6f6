//! Which request goes where. Owns paths, methods and the order in which a request is refused:
//! path, method, key, content type, content. Knows nothing of what a command does.
//!
//! Paths match byte for byte: a percent-encoded or dotted one is another path, so 404.

use bumpalo::Bump;

use super::access::{Access, Admitted, Caller};
use super::command::{Command, EventsRequest};
use super::cors::{Cors, Grant};
use super::decide;
use super::events::{self, EventContext};
use super::health;
use super::ignored::Unknown;
use super::look;
use super::query;
use super::refusal::{self, Code, RequestField, RequestRefusal};
use super::repeated::{KnownWords, RepeatedRequests, UserAndRest};
use super::reply::ResponseContext;
use super::snippet::{self, SnippetFile};
use super::token::Keys;
use super::verdict::write_accepted;
use super::visitors::VisitorRules;
use nudged_base::time::{MonoNs, WallMs};
use nudged_http::head::{Method, Request};
use nudged_http::reply::{self, ResponseFlags};

#[cfg(test)]
mod tests;

/// What requests are weighed against: the listener's settings and the node's state this turn.
#[derive(Clone, Copy, Debug)]
pub struct RequestPolicy<'s> {
    /// The listener's access keys.
    pub access: &'s Access,
    /// The origins that may read replies.
    pub cors: &'s Cors,
    /// Which users a caller may name.
    pub visitors: &'s VisitorRules,
    /// What requests have said lately; no answer depends on it.
    pub repeated: &'s RepeatedRequests,
    /// Verify tokens.
    pub keys: &'s Keys,
    /// The node takes traffic.
    pub ready: bool,
    /// Why the node's own disk takes nothing, for people; `None` while it does.
    pub disk_lack: Option<&'s str>,
    /// The node's time.
    pub now: WallMs,
    /// The same turn on the clock of rates.
    pub mono: MonoNs,
}

/// Where a request went.
#[derive(Clone, Copy, Debug)]
pub enum Routed<'a> {
    /// To whoever executes commands; what the request's origin was granted, and which words it
    /// said, where they are kept.
    Command(Command<'a>, Grant, Option<KnownWords>),
    /// Nowhere: it is answered, with this status.
    Answered(u16),
}

/// The routes, and `*`, which stands for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Decide,
    Events,
    Preview,
    Health,
    Readyz,
    Snippet,
    SnippetFile(SnippetFile),
    Any,
}

impl Route {
    pub(super) fn of(path: &str) -> Option<Route> {
        Some(match path {
            "/v1/decide" => Route::Decide,
            "/v1/events" => Route::Events,
            "/v1/preview" => Route::Preview,
            "/health" | "/healthz" => Route::Health,
            "/readyz" => Route::Readyz,
            snippet::LEADING_PATH => Route::Snippet,
            "*" => Route::Any,
            _ => Route::SnippetFile(SnippetFile::of(path)?),
        })
    }

    /// The methods of a route, as `Allow` lists them.
    pub(super) fn allow(self) -> &'static str {
        match self {
            Route::Decide => "GET, POST, OPTIONS",
            Route::Events | Route::Preview => "POST, OPTIONS",
            Route::Health | Route::Readyz | Route::Snippet | Route::SnippetFile(_) => {
                "GET, HEAD, OPTIONS"
            }
            Route::Any => "GET, HEAD, POST, OPTIONS",
        }
    }

    /// Whether it has a method.
    pub(super) fn takes(self, method: Method) -> bool {
        match method {
            Method::Options => true,
            Method::Get => !matches!(self, Route::Events | Route::Preview | Route::Any),
            Method::Head => !self.is_for_pages() && self != Route::Any,
            Method::Post => self.is_for_pages(),
            Method::Put | Method::Delete | Method::Patch => false,
        }
    }

    /// Whether pages of other origins may use it.
    pub(super) fn is_for_pages(self) -> bool {
        matches!(self, Route::Decide | Route::Events | Route::Preview)
    }
}

/// Turns a request into a command, or answers it in `out`: health, the snippet, preflights, every
/// refusal, and an empty array of events. What the command borrows lies in the request's bytes and
/// in `bump`; the heap is not touched.
pub fn route<'a>(
    request: &Request<'a>,
    policy: &RequestPolicy<'_>,
    bump: &'a Bump,
    frame: &ResponseFlags<'_>,
    out: &mut Vec<u8>,
) -> Routed<'a> {
    let mut response = ResponseContext { frame: *frame, cors: policy.cors, grant: Grant::Silent };
    let route = match find(request, &mut response) {
        Ok(route) => route,
        Err(refusal) => {
            return Routed::Answered(refusal::write_refusal(out, &response, refusal));
        }
    };
    let mut words = None;
    let command = match (route, request.method) {
        (_, Method::Options) => {
            return Routed::Answered(write_options(out, &response, route, request));
        }
        (Route::Health, Method::Get | Method::Head) => {
            return Routed::Answered(health::write_health(out, &response));
        }
        (Route::Readyz, Method::Get | Method::Head) => {
            let state = (policy.ready, policy.disk_lack);
            return Routed::Answered(health::write_readiness(out, &response, state, bump));
        }
        (Route::Snippet, Method::Get | Method::Head) => {
            return Routed::Answered(snippet::write_leading(out, &response));
        }
        (Route::SnippetFile(file), Method::Get | Method::Head) => {
            return Routed::Answered(snippet::write_file(out, &response, file, request));
        }
        (Route::Decide, Method::Get | Method::Post) => {
            command_decide(request, policy, bump, &mut words)
        }
        (Route::Preview, Method::Post) => command_look(request, policy, bump),
        (Route::Events, Method::Post) => match command_events(request, policy, bump) {
            Ok(EventsRequest { events: [], settled: [], ignored }) => {
                return Routed::Answered(write_accepted(
                    out,
                    &response,
                    std::iter::empty(),
                    &ignored,
                    bump,
                ));
            }
            events => events.map(Command::Events),
        },
        _ => {
            let allow = route.allow();
            return Routed::Answered(refusal::write_method_not_allowed(out, &response, allow));
        }
    };
    match command {
        Ok(command) => Routed::Command(command, response.grant, words),
        Err(refusal) => Routed::Answered(refusal::write_refusal(out, &response, refusal)),
    }
}

/// The route of a request, whose response then grants what pages are granted there.
pub(super) fn find(
    request: &Request<'_>,
    response: &mut ResponseContext<'_>,
) -> Result<Route, RequestRefusal> {
    let route = match Route::of(request.path) {
        Some(route) => route,
        // Balancers ask so whatever path they are told, and mean the server.
        None if request.method == Method::Options => Route::Any,
        None => return Err(Code::NotFound.into()),
    };
    if route.is_for_pages() {
        response.grant = response.cors.grant(request.origin);
    }
    Ok(route)
}

/// Checks what a command's head says: its key, and the type of a body.
pub(super) fn admit(
    request: &Request<'_>,
    policy: &RequestPolicy<'_>,
    bump: &Bump,
) -> Result<Admitted, RequestRefusal> {
    let admitted = policy.access.check(request, bump)?;
    if request.method == Method::Post {
        check_content_type(request.content_type)?;
    }
    Ok(admitted)
}

fn command_decide<'a>(
    request: &Request<'a>,
    policy: &RequestPolicy<'_>,
    bump: &'a Bump,
    words: &mut Option<KnownWords>,
) -> Result<Command<'a>, RequestRefusal> {
    let (admitted, mut asked) = if request.method == Method::Get {
        // Read once for both. What can't be read is refused for its key first.
        let parts = UserAndRest::of_query(request.query);
        let read = || decide::read_proven_query(request.query, bump);
        let read = policy.repeated.read(parts, bump, read);
        let admitted = match &read {
            Ok(read) => policy.access.check_with(request, || Ok(read.key))?,
            Err(_) => policy.access.check(request, bump)?,
        };
        policy.access.count(admitted, policy.mono)?;
        (admitted, read?)
    } else {
        let admitted = admit(request, policy, bump)?;
        policy.access.count(admitted, policy.mono)?;
        // Fields in the query are told beside those of the body.
        let is_whole = request.query.is_empty();
        let parts = if is_whole { UserAndRest::of_body(request.body) } else { None };
        let read = || {
            let unknown = Unknown::of_query(request.query, bump);
            decide::read_body(request.body, policy.reading(bump), unknown)
        };
        (admitted, policy.repeated.read(parts, bump, read)?)
    };
    if asked.request.explain && admitted.caller == Caller::Public {
        return Err(RequestRefusal::new(Code::ServerKeyRequired, RequestField::Explain));
    }
    let of_fields = asked.signature;
    let signature = || match of_fields {
        None if request.method == Method::Post => query::signature(request.query, bump),
        of_fields => Ok(of_fields),
    };
    policy.visitors.settle(&mut asked.request, admitted.caller, signature)?;
    *words = asked.words;
    Ok(Command::Decide(asked.request))
}

fn command_look<'a>(
    request: &Request<'a>,
    policy: &RequestPolicy<'_>,
    bump: &'a Bump,
) -> Result<Command<'a>, RequestRefusal> {
    let admitted = admit(request, policy, bump)?;
    policy.access.count(admitted, policy.mono)?;
    if admitted.caller == Caller::Public {
        return Err(RequestRefusal::new(Code::ServerKeyRequired, RequestField::Key));
    }
    let unknown = Unknown::of_query(request.query, bump);
    look::read_body(request.body, policy.reading(bump), unknown).map(Command::Look)
}

fn command_events<'a>(
    request: &Request<'a>,
    policy: &RequestPolicy<'_>,
    bump: &'a Bump,
) -> Result<EventsRequest<'a>, RequestRefusal> {
    let admitted = admit(request, policy, bump)?;
    policy.access.count(admitted, policy.mono)?;
    let mut unknown = Unknown::of_query(request.query, bump);
    let elements = events::read_body(request.body, policy.reading(bump), &mut unknown)?;
    Ok(EventsRequest::of(elements, unknown.finish(), bump))
}

impl<'s> RequestPolicy<'s> {
    fn reading<'a>(&self, bump: &'a Bump) -> EventContext<'a, 's> {
        EventContext { keys: self.keys, now: self.now, bump }
    }
}

/// JSON, or plain text, which a page may send to another origin without a preflight; parameters
/// are ignored, and none at all is taken for JSON.
fn check_content_type(content_type: Option<&[u8]>) -> Result<(), RequestRefusal> {
    let content_type = content_type.unwrap_or_default();
    if content_type == b"application/json" {
        return Ok(());
    }
    let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    match essence.trim_ascii() {
        b"" if content_type.trim_ascii().is_empty() => Ok(()),
        essence if essence.eq_ignore_ascii_case(b"application/json") => Ok(()),
        essence if essence.eq_ignore_ascii_case(b"text/plain") => Ok(()),
        // What `curl -d` sends unless it is told otherwise; the body is JSON all the same.
        essence if essence.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") => Ok(()),
        _ => Err(RequestRefusal::new(Code::UnsupportedMediaType, RequestField::ContentType)),
    }
}

/// `OPTIONS`: the route's methods, and where it is a preflight what the origin is granted.
fn write_options(
    out: &mut Vec<u8>,
    response: &ResponseContext<'_>,
    route: Route,
    request: &Request<'_>,
) -> u16 {
    const STATUS: u16 = 204;
    reply::start(out, STATUS, &response.frame);
    reply::field(out, "Allow", route.allow().as_bytes());
    if request.access_control_request_method.is_some() {
        let asked = request.access_control_request_headers;
        response.cors.write_preflight(response.grant, route.allow(), asked, out);
    } else {
        response.cors.write_grant(response.grant, out);
    }
    reply::end_without_body(out);
    STATUS
}

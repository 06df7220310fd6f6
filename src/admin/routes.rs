//! Which request goes to which handler, and what its head alone is refused for. Paths match byte
//! for byte; only the user in the last segment of `/v1/users/` may be percent-encoded.

use std::sync::Arc;

use super::access::{AdminAccess, AdminAsker, Credentials, NotAdmitted};
use super::answer::AdminAnswer;
use super::changes::{self, ChangeRequest};
use super::console::{self, ConsoleFile};
use super::hosts::{AdminHosts, is_same_origin};
use super::input::is_popup_id;
use super::live::{self, LiveHub};
use super::operations::{self, Needs};
use super::parameters;
use super::service::Service;
use super::{
    audit, backup, check, doctor, drafts, explain, history, log_lines, members, metrics, openapi,
    popup_list, popups, preview, session, stats, status, timeline, tokens, users,
};
use nudged_base::telemetry::log::{LogValue, Message};
use nudged_config::ConsoleAccess;
use nudged_domain::catalog::overrides::OverrideKind;
use nudged_http::head::{Method, Request};
use nudged_publish::publisher::OverrideRequest;
use nudged_runtime::clocks;

const JSON: &str = "application/json";

/// The handlers, behind what every request has to pass.
pub(super) struct Router {
    pub(super) service: Arc<Service>,
    pub(super) access: Arc<AdminAccess>,
    /// Who looks at live figures.
    pub(super) live: Arc<LiveHub>,
    pub(super) hosts: AdminHosts,
}

impl std::fmt::Debug for Router {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Router").finish_non_exhaustive()
    }
}

impl Router {
    /// Answers a request of `peer`.
    pub(super) fn answer(&self, request: &Request<'_>, peer: &str) -> AdminAnswer {
        let answered = self.admit(request, peer).and_then(|(route, asker)| match request.method {
            Method::Options => Ok(AdminAnswer::options(route.allow())),
            _ => {
                // Whoever has a token of a name does not choose another.
                let nudge_who = asker.name().map(str::as_bytes).or(request.nudge_who);
                let request = &Request { nudge_who, ..*request };
                dispatch(self, (route, &asker), request, peer)
            }
        });
        answered.unwrap_or_else(|refused| refused)
    }

    /// The route of a request and who sends it, unless its head says that it is refused.
    ///
    /// # Errors
    /// The answer that refuses it.
    pub(super) fn admit<'r>(
        &self,
        request: &Request<'r>,
        peer: &str,
    ) -> Result<(AdminRoute<'r>, AdminAsker), AdminAnswer> {
        let console = self.console();
        let is_there = |route: &AdminRoute<'_>| {
            console != ConsoleAccess::Off || !(route.is_file() || *route == AdminRoute::Session)
        };
        let route = AdminRoute::of(request.path).filter(is_there);
        // Balancers ask so whatever path they are told, and mean the server.
        if request.method == Method::Options {
            return Ok((route.unwrap_or(AdminRoute::Any), AdminAsker::Nobody));
        }
        // Probes tell nothing, and their senders name servers as they like.
        if !route.is_some_and(AdminRoute::is_probe) && !self.hosts.knows(request.host) {
            let line =
                "this server is asked for by another name: add it to `admin_hosts`".to_owned();
            return Err(AdminAnswer::errors(421, "wrong_host", None, &[line]));
        }
        // Files of other versions are asked for by whoever has an old page open.
        if route.is_none() && console::is_below(request.path) {
            return Err(AdminAnswer::not_found());
        }
        let (asker, credentials) = self.asker(request, route, peer)?;
        let Some(route) = route else { return Err(AdminAnswer::not_found()) };
        let path = route.template();
        let Some(operation) = operations::find(request.method, path) else {
            return Err(AdminAnswer::method_not_allowed(route.allow()));
        };
        // Browsers say from where a page writes: one that an operator happens to visit must not
        // reach a listener on loopback, nor use the cookie of another.
        let is_write = !matches!(request.method, Method::Get | Method::Head);
        let is_other = match request.origin {
            Some(origin) => !is_same_origin(origin, request.host),
            None => matches!(credentials, Credentials::Session(_)),
        };
        if is_write && is_other {
            return Err(AdminAnswer::error(403, "cross_origin", None));
        }
        // Nor hold its streams, or have its host looked at.
        if matches!(route, AdminRoute::Live | AdminRoute::Doctor) && is_foreign(request) {
            return Err(AdminAnswer::error(403, "cross_origin", None));
        }
        self.access.check(&asker, operation.needs).inspect_err(|_| {
            let name = LogValue::Text(asker.name().unwrap_or_default());
            let fields = [("peer", LogValue::Text(peer)), ("name", name)];
            self.service.log(Message::AdminForbidden, &fields);
        })?;
        let is_more = !matches!(operation.needs, Needs::Nothing | Needs::Reading);
        let is_page = is_by_browser(request) && !asker.has_token();
        if is_more && is_page && console == ConsoleAccess::ReadOnly {
            let line = "the console is read-only here without a token: see [console] access";
            return Err(AdminAnswer::errors(403, "read_only", None, &[line.to_owned()]));
        }
        let named = (operations::name_of(request.method), path);
        // Probes carry what makes their URL a new one, and pages what they show.
        if !route.is_probe() && !route.is_file() {
            parameters::check(request.query, operation.parameters, named)?;
        }
        Ok((route, asker))
    }

    /// Who sends a request, and by what it says so.
    ///
    /// # Errors
    /// The answer that refuses them.
    fn asker(
        &self,
        request: &Request<'_>,
        route: Option<AdminRoute<'_>>,
        peer: &str,
    ) -> Result<(AdminAsker, Credentials), AdminAnswer> {
        if route.is_some_and(|route| route.is_probe() || route.is_file()) {
            return Ok((AdminAsker::Nobody, Credentials::Nothing));
        }
        let credentials = self.access.credentials(request);
        let asker = self.access.asker(&credentials, &self.service.publisher, clocks::mono());
        let is_session = route == Some(AdminRoute::Session);
        match asker {
            Ok(asker) => Ok((asker, credentials)),
            // Who has none yet, or none any more, asks there for one; on a listener that asks for
            // none, they go on without.
            Err(NotAdmitted::NoToken | NotAdmitted::SessionEnded) if is_session => {
                let nothing = Credentials::Nothing;
                let asker = self.access.asker(&nothing, &self.service.publisher, clocks::mono());
                Ok((asker.unwrap_or(AdminAsker::Nobody), nothing))
            }
            Err(NotAdmitted::SessionEnded) => Err(self.access.refuse_session(request)),
            Err(why) => {
                self.service.log(Message::AdminRefused, &[("peer", LogValue::Text(peer))]);
                Err(self.access.refuse_token(why))
            }
        }
    }

    /// What the console lets people do.
    pub(super) fn console(&self) -> ConsoleAccess {
        self.service.publisher.config().console.access
    }
}

/// Whether a page of another origin sends it, as far as its browser says.
fn is_foreign(request: &Request<'_>) -> bool {
    let is_other = |origin| !is_same_origin(origin, request.host);
    let is_elsewhere = |site: &[u8]| !matches!(site, b"same-origin" | b"none");
    request.origin.is_some_and(is_other)
        || request.fields.first("sec-fetch-site").is_some_and(is_elsewhere)
}

/// Whether a browser sends it: of what it only reads it tells no origin.
fn is_by_browser(request: &Request<'_>) -> bool {
    request.origin.is_some() || request.fields.first("sec-fetch-site").is_some()
}

/// Has the handler of a route answer.
///
/// # Errors
/// The answer that refuses the request.
fn dispatch(
    router: &Router,
    (route, asker): (AdminRoute<'_>, &AdminAsker),
    request: &Request<'_>,
    peer: &str,
) -> Result<AdminAnswer, AdminAnswer> {
    let service = &router.service;
    let change = |change, id| changes::answer(service, (change, id), request, peer);
    let set = |kind| ChangeRequest::Override(OverrideRequest::Set(kind));
    match route {
        AdminRoute::Health => Ok(AdminAnswer::text(JSON, "{\"status\":\"ok\"}")),
        AdminRoute::Readyz => Ok(status::readiness(service)),
        AdminRoute::OpenApi => Ok(openapi::answer()),
        AdminRoute::Root | AdminRoute::Console => Ok(console::leading()),
        AdminRoute::File(file) => Ok(console::answer(file, request)),
        AdminRoute::Session => match request.method {
            Method::Post => session::open(router, request, peer),
            Method::Delete => Ok(session::end(router, request)),
            _ => Ok(session::one(router, asker, request)),
        },
        AdminRoute::Metrics => Ok(metrics::answer(service, &router.access, router.live.metrics())),
        AdminRoute::Status => Ok(status::answer(service)),
        AdminRoute::Live => live::answer((service, &router.access, &router.live), request),
        AdminRoute::Log => log_lines::answer(service, request.query),
        AdminRoute::Audit => audit::answer(service, request.query),
        AdminRoute::Doctor => doctor::answer(service),
        AdminRoute::Check => check::answer(service, request),
        AdminRoute::Popups => popup_list::answer(service, request.query),
        AdminRoute::Popup(id) => match request.method {
            Method::Put => change(ChangeRequest::Put, id),
            Method::Patch => change(ChangeRequest::Patch, id),
            Method::Delete => change(ChangeRequest::Delete, id),
            _ => popups::one(service, id),
        },
        AdminRoute::Draft(id) => match request.method {
            Method::Put => change(ChangeRequest::PutDraft, id),
            Method::Delete => change(ChangeRequest::DeleteDraft, id),
            _ => drafts::one(service, id),
        },
        AdminRoute::Publish(id) => change(ChangeRequest::Publish, id),
        AdminRoute::History(id) => history::answer(service, id, request.query),
        AdminRoute::Pause(id) => change(set(OverrideKind::Pause), id),
        AdminRoute::Resume(id) => change(ChangeRequest::Override(OverrideRequest::Resume), id),
        AdminRoute::Archive(id) => change(set(OverrideKind::Archive), id),
        AdminRoute::Rollback(id) => change(ChangeRequest::RollBack, id),
        AdminRoute::User(user) if request.method == Method::Delete => users::erase(service, user),
        AdminRoute::User(user) => users::one(service, user, asker),
        AdminRoute::Timeline(user) => timeline::answer(service, user, request.query, asker),
        AdminRoute::Explain => explain::answer(service, request.query),
        AdminRoute::Preview => preview::answer(service, request.body),
        AdminRoute::Stats => stats::answer(service, request),
        AdminRoute::Reload => changes::reload(service, request, peer),
        AdminRoute::Backup => {
            members::none(request.body, "POST /v1/backup").and_then(|()| backup::answer(service))
        }
        AdminRoute::Tokens => match request.method {
            Method::Post => tokens::make(service, request, peer),
            Method::Delete => tokens::revoke(service, None, request, peer),
            _ => Ok(tokens::list(service)),
        },
        AdminRoute::Token(id) => tokens::revoke(service, Some(id), request, peer),
        AdminRoute::Any => Err(AdminAnswer::not_found()),
    }
}

/// A route, with what its path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AdminRoute<'p> {
    /// `/health`, `/healthz`
    Health,
    /// `/readyz`
    Readyz,
    /// `/`
    Root,
    /// `/console`
    Console,
    /// `/console/{path}`
    File(&'static ConsoleFile),
    /// `/v1/session`
    Session,
    /// `/openapi.json`
    OpenApi,
    /// `/metrics`
    Metrics,
    /// `/v1/status`
    Status,
    /// `/v1/live`
    Live,
    /// `/v1/log`
    Log,
    /// `/v1/audit`
    Audit,
    /// `/v1/doctor`
    Doctor,
    /// `/v1/check`
    Check,
    /// `/v1/popups`
    Popups,
    /// `/v1/popups/{id}`; the id may be none, which who makes a popup is told.
    Popup(&'p str),
    /// `/v1/popups/{id}/pause`
    Pause(&'p str),
    /// `/v1/popups/{id}/resume`
    Resume(&'p str),
    /// `/v1/popups/{id}/archive`
    Archive(&'p str),
    /// `/v1/popups/{id}/rollback`
    Rollback(&'p str),
    /// `/v1/popups/{id}/draft`
    Draft(&'p str),
    /// `/v1/popups/{id}/publish`
    Publish(&'p str),
    /// `/v1/popups/{id}/history`
    History(&'p str),
    /// `/v1/users/{user}`, not decoded yet.
    User(&'p str),
    /// `/v1/users/{user}/timeline`, not decoded yet.
    Timeline(&'p str),
    /// `/v1/explain`
    Explain,
    /// `/v1/preview`
    Preview,
    /// `/v1/stats`
    Stats,
    /// `/v1/reload`
    Reload,
    /// `/v1/backup`
    Backup,
    /// `/v1/tokens`
    Tokens,
    /// `/v1/tokens/{id}`
    Token(&'p str),
    /// `*`: all of them.
    Any,
}

impl<'p> AdminRoute<'p> {
    /// The route of a path.
    pub(super) fn of(path: &'p str) -> Option<AdminRoute<'p>> {
        Some(match path {
            "/health" | "/healthz" => AdminRoute::Health,
            "/readyz" => AdminRoute::Readyz,
            "/" => AdminRoute::Root,
            "/console" => AdminRoute::Console,
            "/v1/session" => AdminRoute::Session,
            "/openapi.json" => AdminRoute::OpenApi,
            "/metrics" => AdminRoute::Metrics,
            "/v1/status" => AdminRoute::Status,
            "/v1/live" => AdminRoute::Live,
            "/v1/log" => AdminRoute::Log,
            "/v1/audit" => AdminRoute::Audit,
            "/v1/doctor" => AdminRoute::Doctor,
            "/v1/check" => AdminRoute::Check,
            "/v1/popups" => AdminRoute::Popups,
            "/v1/explain" => AdminRoute::Explain,
            "/v1/stats" => AdminRoute::Stats,
            "/v1/preview" => AdminRoute::Preview,
            "/v1/reload" => AdminRoute::Reload,
            "/v1/backup" => AdminRoute::Backup,
            "/v1/tokens" => AdminRoute::Tokens,
            "*" => AdminRoute::Any,
            _ => return AdminRoute::of_one(path),
        })
    }

    /// The routes of one popup or user.
    fn of_one(path: &'p str) -> Option<AdminRoute<'p>> {
        if let Some(user) = path.strip_prefix("/v1/users/") {
            return match user.split_once('/') {
                Some((user, "timeline")) if is_segment(user) => Some(AdminRoute::Timeline(user)),
                _ => is_segment(user).then_some(AdminRoute::User(user)),
            };
        }
        if let Some(file) = console::file_of(path) {
            return Some(AdminRoute::File(file));
        }
        if let Some(id) = path.strip_prefix("/v1/tokens/") {
            return is_segment(id).then_some(AdminRoute::Token(id));
        }
        let rest = path.strip_prefix("/v1/popups/")?;
        // Only a user may be encoded: an encoded id is no path of this API.
        if rest.contains('%') {
            return None;
        }
        let (id, verb) = rest.split_once('/').map_or((rest, None), |(id, verb)| (id, Some(verb)));
        match verb {
            None => is_segment(id).then_some(AdminRoute::Popup(id)),
            _ if !is_popup_id(id) => None,
            Some("pause") => Some(AdminRoute::Pause(id)),
            Some("resume") => Some(AdminRoute::Resume(id)),
            Some("archive") => Some(AdminRoute::Archive(id)),
            Some("rollback") => Some(AdminRoute::Rollback(id)),
            Some("draft") => Some(AdminRoute::Draft(id)),
            Some("publish") => Some(AdminRoute::Publish(id)),
            Some("history") => Some(AdminRoute::History(id)),
            Some(_) => None,
        }
    }

    /// The path of the route in the table of operations.
    pub(super) fn template(self) -> &'static str {
        match self {
            AdminRoute::Health => "/health",
            AdminRoute::Readyz => "/readyz",
            AdminRoute::Root => "/",
            AdminRoute::Console => "/console",
            AdminRoute::File(_) => "/console/{path}",
            AdminRoute::Session => "/v1/session",
            AdminRoute::OpenApi => "/openapi.json",
            AdminRoute::Metrics => "/metrics",
            AdminRoute::Status => "/v1/status",
            AdminRoute::Live => "/v1/live",
            AdminRoute::Log => "/v1/log",
            AdminRoute::Audit => "/v1/audit",
            AdminRoute::Doctor => "/v1/doctor",
            AdminRoute::Check => "/v1/check",
            AdminRoute::Popups => "/v1/popups",
            AdminRoute::Popup(_) => "/v1/popups/{id}",
            AdminRoute::Pause(_) => "/v1/popups/{id}/pause",
            AdminRoute::Resume(_) => "/v1/popups/{id}/resume",
            AdminRoute::Archive(_) => "/v1/popups/{id}/archive",
            AdminRoute::Rollback(_) => "/v1/popups/{id}/rollback",
            AdminRoute::Draft(_) => "/v1/popups/{id}/draft",
            AdminRoute::Publish(_) => "/v1/popups/{id}/publish",
            AdminRoute::History(_) => "/v1/popups/{id}/history",
            AdminRoute::User(_) => "/v1/users/{user}",
            AdminRoute::Timeline(_) => "/v1/users/{user}/timeline",
            AdminRoute::Preview => "/v1/preview",
            AdminRoute::Explain => "/v1/explain",
            AdminRoute::Stats => "/v1/stats",
            AdminRoute::Reload => "/v1/reload",
            AdminRoute::Backup => "/v1/backup",
            AdminRoute::Tokens => "/v1/tokens",
            AdminRoute::Token(_) => "/v1/tokens/{id}",
            AdminRoute::Any => "*",
        }
    }

    /// The methods of the route, as `Allow` lists them.
    pub(super) fn allow(self) -> String {
        operations::allow(self.template())
    }

    /// Whether balancers ask it, by whatever name and with whatever query.
    fn is_probe(self) -> bool {
        matches!(self, AdminRoute::Health | AdminRoute::Readyz)
    }

    /// Whether it is a file, which tells nothing of the node.
    fn is_file(self) -> bool {
        matches!(self, AdminRoute::Root | AdminRoute::Console | AdminRoute::File(_))
    }
}

/// Whether it is one segment of a path that names something.
fn is_segment(text: &str) -> bool {
    !text.is_empty() && !text.contains('/') && text != "." && text != ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_match_byte_for_byte() {
        let cases = [
            ("/health", Some(AdminRoute::Health)),
            ("/healthz", Some(AdminRoute::Health)),
            ("/v1/popups", Some(AdminRoute::Popups)),
            ("/v1/popups/a-b_9", Some(AdminRoute::Popup("a-b_9"))),
            ("/v1/popups/a/pause", Some(AdminRoute::Pause("a"))),
            ("/v1/popups/a/resume", Some(AdminRoute::Resume("a"))),
            ("/v1/popups/a/archive", Some(AdminRoute::Archive("a"))),
            ("/v1/popups/a/rollback", Some(AdminRoute::Rollback("a"))),
            ("/v1/popups/a/history", Some(AdminRoute::History("a"))),
            ("/v1/popups/a/draft", Some(AdminRoute::Draft("a"))),
            ("/v1/popups/a/publish", Some(AdminRoute::Publish("a"))),
            ("/v1/users/a%2Fb/timeline", Some(AdminRoute::Timeline("a%2Fb"))),
            ("/v1/users//timeline", None),
            ("/v1/users/a/b/timeline", None),
            ("/v1/users/a%2Fb", Some(AdminRoute::User("a%2Fb"))),
            ("*", Some(AdminRoute::Any)),
            ("/v1/popups/", None),
            ("/v1/popups/A", Some(AdminRoute::Popup("A"))),
            ("/v1/popups/A/pause", None),
            ("/v1/popups/..", None),
            ("/v1/popups/a/", None),
            ("/v1/popups/a/pause/", None),
            ("/v1/popups/%61", None),
            ("/v1/popups/../status", None),
            ("/v1/users/", None),
            ("/v1/users/..", None),
            ("/v1/users/a/b", None),
            ("/v1/%75sers/a", None),
            ("/v1/status/", None),
            ("/V1/status", None),
            ("//v1/status", None),
            ("/", Some(AdminRoute::Root)),
            ("/console", Some(AdminRoute::Console)),
            ("/console/popups/a", console::file_of("/console/").map(AdminRoute::File)),
            ("/console/assets/none.js", None),
            ("/v1/session", Some(AdminRoute::Session)),
            ("/v1/session/", None),
        ];
        for (path, want) in cases {
            assert_eq!(AdminRoute::of(path), want, "{path}");
        }
        let long = "a".repeat(65);
        assert_eq!(AdminRoute::of(&format!("/v1/popups/{long}")), Some(AdminRoute::Popup(&long)));
        assert_eq!(AdminRoute::of(&format!("/v1/popups/{long}/history")), None);
    }

    #[test]
    fn a_route_takes_what_it_allows() {
        for (path, allow) in [
            ("/metrics", "GET, HEAD, OPTIONS"),
            ("/v1/reload", "POST, OPTIONS"),
            ("/v1/backup", "POST, OPTIONS"),
            ("/v1/popups/a/pause", "POST, OPTIONS"),
            ("/v1/popups/a/rollback", "POST, OPTIONS"),
            ("/v1/popups/a", "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"),
            ("*", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
            ("/v1/users/u", "GET, HEAD, DELETE, OPTIONS"),
            ("/v1/popups/a/draft", "GET, HEAD, PUT, DELETE, OPTIONS"),
            ("/v1/tokens", "GET, HEAD, POST, DELETE, OPTIONS"),
            ("/v1/tokens/t", "DELETE, OPTIONS"),
            ("/console/popups", "GET, HEAD, OPTIONS"),
            ("/v1/session", "GET, HEAD, POST, DELETE, OPTIONS"),
        ] {
            let route = AdminRoute::of(path).unwrap();
            assert_eq!(route.allow(), allow);
        }
    }
}

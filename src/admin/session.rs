//! `/v1/session`: who looks at the console, and signing in and out of it with a token.

use serde_json::{Value, json};

use super::access::{AdminAsker, Credentials};
use super::answer::AdminAnswer;
use super::cookie::{SessionCookie, is_behind_tls};
use super::input::{BadInput, moment_json};
use super::members;
use super::operations::Needs;
use super::routes::Router;
use super::token::hash;
use nudged_base::hex;
use nudged_base::limits::CONSOLE_SESSION_BYTES;
use nudged_base::telemetry::log::{LogValue, Message};
use nudged_config::ConsoleAccess;
use nudged_http::head::Request;
use nudged_runtime::clocks;
use nudged_runtime::topology::host_name;

/// What askers may be allowed, as pages call it.
const RIGHTS: [(&str, Needs); 5] = [
    ("read", Needs::Reading),
    ("switch", Needs::Switching),
    ("edit", Needs::Editing),
    ("run", Needs::Running),
    ("own", Needs::Owning),
];

/// `GET /v1/session`
pub(super) fn one(router: &Router, asker: &AdminAsker, request: &Request<'_>) -> AdminAnswer {
    let answer = AdminAnswer::json(200, &session_json(router, asker));
    let access = &router.access;
    match (SessionCookie::sent(request, access.is_tls), access.credentials(request)) {
        // It is that of no session.
        (Some((cookie, _)), Credentials::Session(_)) if !asker.has_token() => {
            answer.with_field("Set-Cookie", cookie.clear())
        }
        _ => answer,
    }
}

/// `POST /v1/session` of `{"token"}`. `peer` is who is there.
///
/// # Errors
/// The answer that refuses it.
pub(super) fn open(
    router: &Router,
    request: &Request<'_>,
    peer: &str,
) -> Result<AdminAnswer, AdminAnswer> {
    let (access, service, now) = (&router.access, &router.service, clocks::mono());
    let [token] = members::read(request.body, ["token"])?;
    let token = match token {
        None => return Err(BadInput::new("empty", "token").into()),
        Some(Value::String(text)) if text.trim().is_empty() => {
            return Err(BadInput::new("empty", "token").into());
        }
        Some(Value::String(text)) => hash(text.trim().as_bytes()),
        Some(_) => return Err(BadInput::new("wrong_type", "token").into()),
    };
    // Good tokens are not counted: who tries wrong ones keeps nobody out.
    let asker = match access.holder(&token, &service.publisher) {
        Ok(asker) => asker,
        Err(why) => {
            access.take_wrong_sign_in(now)?;
            service.log(Message::AdminRefused, &[("peer", LogValue::Text(peer))]);
            return Err(access.refuse_token(why));
        }
    };
    let mut secret = [0; CONSOLE_SESSION_BYTES];
    // What somebody could guess is no secret.
    getrandom::fill(&mut secret).map_err(|_| AdminAnswer::unavailable("no_randomness"))?;
    end_of(router, request);
    // Those of tokens that are no more leave their places.
    access.sessions_open(&service.publisher, now);
    access.sessions.open(&secret, token, now);
    access.count_sign_in();
    let name = LogValue::Text(asker.name().unwrap_or_default());
    service.log(Message::SignedIn, &[("peer", LogValue::Text(peer)), ("name", name)]);
    let is_secure = access.is_tls || is_behind_tls(request);
    let cookie = SessionCookie::of(request.host, is_secure);
    let answer = AdminAnswer::json(200, &session_json(router, &asker));
    Ok(answer.with_field("Set-Cookie", cookie.set(&hex::encode(&secret))))
}

/// `DELETE /v1/session`
pub(super) fn end(router: &Router, request: &Request<'_>) -> AdminAnswer {
    end_of(router, request);
    let sent = SessionCookie::sent(request, router.access.is_tls);
    let is_secure = router.access.is_tls || is_behind_tls(request);
    let cookie = sent.map(|(cookie, _)| cookie);
    let cookie = cookie.unwrap_or_else(|| SessionCookie::of(request.host, is_secure));
    AdminAnswer::nothing().with_field("Set-Cookie", cookie.clear())
}

/// Ends the session that a request comes with.
fn end_of(router: &Router, request: &Request<'_>) {
    if let Credentials::Session(session) = router.access.credentials(request) {
        router.access.sessions.end(&session);
    }
}

fn session_json(router: &Router, asker: &AdminAsker) -> Value {
    let is_read_only = router.console() == ConsoleAccess::ReadOnly && !asker.has_token();
    let may = RIGHTS
        .into_iter()
        .filter(|(_, needs)| asker.may(*needs) && (!is_read_only || *needs == Needs::Reading));
    let may: Vec<&str> = may.map(|(word, _)| word).collect();
    let (role, expires) = match asker {
        AdminAsker::Named(_, role, expires) => (Some(role.word()), *expires),
        _ => (None, None),
    };
    json!({
        "name": asker.name(),
        "role": role,
        "expires_at": expires.map(moment_json),
        "owner": role.is_none() && may.len() == RIGHTS.len(),
        "read_only": is_read_only,
        "login": router.access.is_required,
        "may": may,
        "version": env!("CARGO_PKG_VERSION"),
        "node": host_name(),
    })
}

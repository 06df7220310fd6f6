//! The cookie that carries a console's session, as browsers send and take it. Must not know what a
//! session is.
//!
//! Browsers keep cookies by host and not by port, and tunnels to several nodes all end at
//! `localhost`, so the name has the port of `Host` in it. With TLS, be it a proxy's, it begins with
//! `__Host-`: nobody else of the domain can set it, and no plain request carries it.

use super::hosts::port_of;
use nudged_http::head::Request;

const NAME: &str = "nudged_session";
const SECURE: &str = "__Host-";

/// A cookie by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SessionCookie {
    name: String,
}

impl SessionCookie {
    /// The one of a request's host.
    pub(super) fn of(host: Option<&[u8]>, is_secure: bool) -> SessionCookie {
        let prefix = if is_secure { SECURE } else { "" };
        let name = match host.and_then(port_of) {
            Some(port) => format!("{prefix}{NAME}_{port}"),
            None => format!("{prefix}{NAME}"),
        };
        SessionCookie { name }
    }

    /// The first that a request carries, and its value.
    pub(super) fn sent<'r>(
        request: &Request<'r>,
        is_tls: bool,
    ) -> Option<(SessionCookie, &'r [u8])> {
        SessionCookie::all_sent(request, is_tls).next()
    }

    /// Those that a request carries, with their values: the secure ones before the others, which a
    /// listener with TLS does not take.
    pub(super) fn all_sent<'r>(
        request: &Request<'r>,
        is_tls: bool,
    ) -> impl Iterator<Item = (SessionCookie, &'r [u8])> {
        let (host, cookies) = (request.host, request.fields.lines("cookie"));
        let forms = [true, false].into_iter().filter(move |is_secure| *is_secure || !is_tls);
        forms.flat_map(move |is_secure| {
            let cookie = SessionCookie::of(host, is_secure);
            let lines = cookies.into_iter().flat_map(|cookies| cookies.values());
            let pairs = lines.flat_map(|line| line.split(|byte| *byte == b';'));
            pairs.filter_map(move |pair| {
                let rest = pair.trim_ascii().strip_prefix(cookie.name.as_bytes())?;
                Some((cookie.clone(), rest.strip_prefix(b"=")?))
            })
        })
    }

    /// The field that sets it, until the browser ends.
    pub(super) fn set(&self, value: &str) -> String {
        format!("{}={value}; {}", self.name, self.attributes())
    }

    /// The field that takes it away.
    pub(super) fn clear(&self) -> String {
        format!("{}=; Max-Age=0; {}", self.name, self.attributes())
    }

    fn attributes(&self) -> &'static str {
        match self.name.starts_with(SECURE) {
            true => "Path=/; HttpOnly; SameSite=Strict; Secure",
            false => "Path=/; HttpOnly; SameSite=Strict",
        }
    }
}

/// Whether the browser speaks TLS with somebody before this listener, whose page it shows.
pub(super) fn is_behind_tls(request: &Request<'_>) -> bool {
    request.origin.is_some_and(|origin| origin.starts_with(b"https://"))
}

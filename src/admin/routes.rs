//! Which request goes where. Paths match byte for byte; only the user in the last segment of
//! `/v1/users/` may be percent-encoded.

use nudged_base::limits::POPUP_ID_BYTES_MAX;
use nudged_http::head::Method;

/// A route, with what its path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AdminRoute<'p> {
    /// `/health`, `/healthz`
    Health,
    /// `/readyz`
    Readyz,
    /// `/openapi.json`
    OpenApi,
    /// `/metrics`
    Metrics,
    /// `/v1/status`
    Status,
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
    /// `/v1/popups/{id}/history`
    History(&'p str),
    /// `/v1/users/{user}`, not decoded yet.
    User(&'p str),
    /// `/v1/explain`
    Explain,
    /// `/v1/stats`
    Stats,
    /// `/v1/reload`
    Reload,
    /// `*`: all of them.
    Any,
}

impl<'p> AdminRoute<'p> {
    /// The route of a path.
    pub(super) fn of(path: &'p str) -> Option<AdminRoute<'p>> {
        Some(match path {
            "/health" | "/healthz" => AdminRoute::Health,
            "/readyz" => AdminRoute::Readyz,
            "/openapi.json" => AdminRoute::OpenApi,
            "/metrics" => AdminRoute::Metrics,
            "/v1/status" => AdminRoute::Status,
            "/v1/popups" => AdminRoute::Popups,
            "/v1/explain" => AdminRoute::Explain,
            "/v1/stats" => AdminRoute::Stats,
            "/v1/reload" => AdminRoute::Reload,
            "*" => AdminRoute::Any,
            _ => return AdminRoute::of_one(path),
        })
    }

    /// The routes of one popup or user.
    fn of_one(path: &'p str) -> Option<AdminRoute<'p>> {
        if let Some(user) = path.strip_prefix("/v1/users/") {
            return is_segment(user).then_some(AdminRoute::User(user));
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
            Some("history") => Some(AdminRoute::History(id)),
            Some(_) => None,
        }
    }

    /// The methods of the route, as `Allow` lists them.
    pub(super) fn allow(self) -> &'static str {
        match self {
            AdminRoute::Pause(_)
            | AdminRoute::Resume(_)
            | AdminRoute::Archive(_)
            | AdminRoute::Rollback(_)
            | AdminRoute::Reload => "POST, OPTIONS",
            AdminRoute::Popup(_) => "GET, HEAD, PUT, DELETE, OPTIONS",
            AdminRoute::User(_) => "GET, HEAD, DELETE, OPTIONS",
            AdminRoute::Any => "GET, HEAD, POST, PUT, DELETE, OPTIONS",
            _ => "GET, HEAD, OPTIONS",
        }
    }

    /// Whether the route has the method.
    pub(super) fn takes(self, method: Method) -> bool {
        let name = match method {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Options => "OPTIONS",
            Method::Patch => "PATCH",
        };
        self != AdminRoute::Any && self.allow().split(", ").any(|allowed| allowed == name)
            || method == Method::Options
    }

    /// Whether balancers ask it, without a token.
    pub(super) fn is_open(self) -> bool {
        matches!(self, AdminRoute::Health | AdminRoute::Readyz)
    }
}

/// Whether it is one segment of a path that names something.
fn is_segment(text: &str) -> bool {
    !text.is_empty() && !text.contains('/') && text != "." && text != ".."
}

fn is_popup_id(id: &str) -> bool {
    (1..=POPUP_ID_BYTES_MAX).contains(&id.len())
        && id.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
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
            ("/", None),
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
            ("/v1/popups/a/pause", "POST, OPTIONS"),
            ("/v1/popups/a/rollback", "POST, OPTIONS"),
            ("/v1/popups/a", "GET, HEAD, PUT, DELETE, OPTIONS"),
            ("/v1/users/u", "GET, HEAD, DELETE, OPTIONS"),
        ] {
            let route = AdminRoute::of(path).unwrap();
            assert_eq!(route.allow(), allow);
            assert_eq!(route.takes(Method::Get), allow.contains("GET"), "{path}");
            assert_eq!(route.takes(Method::Post), allow.contains("POST"), "{path}");
            assert_eq!(route.takes(Method::Delete), allow.contains("DELETE"), "{path}");
            assert_eq!(route.takes(Method::Put), allow.contains("PUT"), "{path}");
            assert!(route.takes(Method::Options) && !route.takes(Method::Patch), "{path}");
        }
    }
}

//! Answers before there is a whole request: pages of other origins may read those that HTTP itself
//! refuses, too, and who waits with a body is told at once where the head decides.

use bumpalo::Bump;

use super::cors::{Cors, Grant};
use super::refusal::{self, Code};
use super::reply::ResponseContext;
use super::routes::{self, RequestPolicy, Route};
use nudged_http::early::HeadArrival;
use nudged_http::head::{Method, Request};
use nudged_http::refusal::{self as http_refusal, HttpRefusal};
use nudged_http::reply::{ImfDate, ResponseFlags};

/// Appends the answer of a request that HTTP itself refuses. Does not allocate, unless `out` has to
/// grow.
pub fn write_refused(
    refusal: HttpRefusal,
    begun: &HeadArrival<'_>,
    cors: &Cors,
    frame: &ResponseFlags<'_>,
    out: &mut Vec<u8>,
) {
    refusal.write(out, frame, |out| cors.write_grant(grant(begun, cors), out));
}

/// Appends what a connection beyond the bound is told; `begun` is of what it has sent. As
/// [`write_refused`].
pub fn write_overloaded(begun: &HeadArrival<'_>, cors: &Cors, date: &ImfDate, out: &mut Vec<u8>) {
    let grant = grant(begun, cors);
    http_refusal::write_overloaded(out, date, |out| cors.write_grant(grant, out));
}

/// Whether [`write_overloaded`] depends on what the client has sent.
pub fn needs_origin(cors: &Cors) -> bool {
    cors.grant_unseen().is_none()
}

/// What the page is granted that sent the request, as far as it has arrived: what no page asks for
/// is granted nothing.
fn grant(begun: &HeadArrival<'_>, cors: &Cors) -> Grant {
    let is_for_pages = |path: &str| Route::of(path).is_some_and(Route::is_for_pages);
    match begun.origin {
        _ if !begun.path.is_none_or(is_for_pages) => Grant::Silent,
        None => cors.grant_unseen().unwrap_or(Grant::Vary),
        origin => cors.grant(origin),
    }
}

/// Appends the 503 of a request that an overloaded shard has no time for; gives its status. `None`
/// for one that is answered all the same: who asks how the node is, and a browser that asks first.
pub fn shed(
    request: &Request<'_>,
    cors: &Cors,
    frame: &ResponseFlags<'_>,
    out: &mut Vec<u8>,
) -> Option<u16> {
    let is_for_pages = Route::of(request.path).is_some_and(Route::is_for_pages);
    if !is_for_pages || request.method == Method::Options {
        return None;
    }
    let grant = cors.grant(request.origin);
    let response = ResponseContext { frame: *frame, cors, grant };
    Some(refusal::write_refusal(out, &response, Code::Overloaded.into()))
}

/// Appends the answer where path, method, key or content type decide it, in the words that it would
/// have with its body; gives its status then.
pub fn refuse_head(
    request: &Request<'_>,
    policy: &RequestPolicy<'_>,
    frame: &ResponseFlags<'_>,
    out: &mut Vec<u8>,
) -> Option<u16> {
    let mut response = ResponseContext { frame: *frame, cors: policy.cors, grant: Grant::Silent };
    let refused = match routes::find(request, &mut response) {
        Err(refusal) => Some(refusal),
        Ok(_) if request.method == Method::Options => None,
        Ok(route) if !route.takes(request.method) => {
            return Some(refusal::write_method_not_allowed(out, &response, route.allow()));
        }
        Ok(route) if route.is_for_pages() => routes::admit(request, policy, &Bump::new()).err(),
        Ok(_) => None,
    };
    refused.map(|refusal| refusal::write_refusal(out, &response, refusal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Access;
    use crate::fixture::{FRAME, FixtureReply, NOW, get, keys, post};
    use crate::repeated::RepeatedRequests;
    use crate::routes::Routed;
    use crate::visitors::VisitorRules;
    use nudged_base::time::{DurationMs, MonoNs};

    const A: &str = "https://a.example";
    const B: &str = "https://b.example";

    fn cors(origins: &[&str]) -> Cors {
        Cors::new(origins.iter().map(|origin| (*origin).to_owned()).collect(), DurationMs(0))
    }

    fn closing() -> ResponseFlags<'static> {
        ResponseFlags { close: true, ..FRAME }
    }

    #[test]
    fn pages_read_what_http_refuses_where_they_could_read_the_answer() {
        let decide = Some("/v1/decide");
        // Origins, path, origin of the request; `Access-Control-Allow-Origin` and `Vary`.
        type Case<'c> = (&'c [&'c str], Option<&'c str>, Option<&'c str>, Option<&'c str>, bool);
        let cases: &[Case<'_>] = &[
            (&[A, B], decide, Some(B), Some(B), true),
            (&[A, B], Some("/v1/events"), Some(A), Some(A), true),
            (&[A, B], decide, Some("https://evil.example"), None, true),
            // Its line has not arrived.
            (&[A, B], decide, None, None, true),
            (&[A], decide, None, Some(A), true),
            (&["*"], decide, None, Some("*"), false),
            // Not even the path has.
            (&[A], None, None, Some(A), true),
            (&[], decide, Some(A), None, false),
            (&[A], Some("/health"), Some(A), None, false),
            (&[A], Some("/nothing"), Some(A), None, false),
        ];
        for (origins, path, origin, allowed, varies) in cases {
            let begun = HeadArrival { path: *path, origin: origin.map(str::as_bytes) };
            let cors = cors(origins);
            for refusal in HttpRefusal::ALL {
                let mut out = Vec::new();
                write_refused(*refusal, &begun, &cors, &closing(), &mut out);
                let reply = FixtureReply::read(&out);
                assert_eq!(reply.status, refusal.status());
                assert_eq!(reply.field("access-control-allow-origin"), *allowed, "{begun:?}");
                assert_eq!(reply.field("vary").is_some(), *varies, "{begun:?}");
            }
            let mut out = Vec::new();
            write_overloaded(&begun, &cors, FRAME.date, &mut out);
            let reply = FixtureReply::read(&out);
            assert_eq!(reply.field("access-control-allow-origin"), *allowed, "{begun:?}");
            assert_eq!(needs_origin(&cors), origins.len() > 1);
        }
    }

    #[test]
    fn what_pages_ask_is_shed_and_who_asks_how_the_node_is_is_not() {
        let cors = cors(&[A, B]);
        let page = Request { origin: Some(B.as_bytes()), ..get("/v1/decide", "user=ann") };
        let mut out = Vec::new();
        assert_eq!(shed(&page, &cors, &FRAME, &mut out), Some(503));
        let reply = FixtureReply::read(&out);
        assert_eq!((reply.status, reply.field("retry-after")), (503, Some("1")));
        assert_eq!(reply.field("access-control-allow-origin"), Some(B));
        out.clear();
        assert_eq!(shed(&post("/v1/events", "[]"), &cors, &FRAME, &mut out), Some(503));
        let options = Request { method: Method::Options, ..page };
        let mut untouched = Vec::new();
        for request in [get("/health", ""), get("/readyz", ""), get("/nothing", ""), options] {
            assert_eq!(shed(&request, &cors, &FRAME, &mut untouched), None);
        }
        assert!(untouched.is_empty());
    }

    // Who waits with a body has the very answer that it would have got after sending it.
    #[test]
    fn what_the_head_decides_is_answered_as_with_its_body() {
        let (access, cors, keys) = (Access::new([], ["p"]), cors(&[A]), keys());
        let policy = RequestPolicy {
            access: &access,
            cors: &cors,
            visitors: &VisitorRules::default(),
            repeated: &RepeatedRequests::new(1),
            keys: &keys,
            ready: true,
            disk_lack: None,
            now: NOW,
            mono: MonoNs(0),
        };
        let decide = post("/v1/decide", "");
        let authorization = Some(&b"Bearer p"[..]);
        let cases: &[(Request<'_>, Option<u16>)] = &[
            (post("/nothing", ""), Some(404)),
            (Request { method: Method::Put, ..decide }, Some(405)),
            (Request { method: Method::Head, ..decide }, Some(405)),
            (post("/health", ""), Some(405)),
            (get("/v1/events", ""), Some(405)),
            (decide, Some(401)),
            (Request { origin: Some(A.as_bytes()), ..decide }, Some(401)),
            (Request { query: "key=q", ..decide }, Some(401)),
            (Request { query: "key=%zz", ..decide }, Some(400)),
            (Request { authorization, content_type: Some(b"text/html"), ..decide }, Some(415)),
            (Request { authorization, ..decide }, None),
            (Request { query: "key=p", ..post("/v1/events", "") }, None),
            (Request { method: Method::Options, ..post("/nothing", "") }, None),
            (get("/health", ""), None),
        ];
        for (request, status) in cases {
            let mut early = Vec::new();
            let answered = refuse_head(request, &policy, &closing(), &mut early);
            assert_eq!(answered, *status, "{request:?}");
            assert_eq!(answered.is_some(), !early.is_empty());
            if let Some(status) = status {
                assert_eq!(FixtureReply::read(&early).status, *status, "{request:?}");
                let mut late = Vec::new();
                let bump = Bump::new();
                let routed = routes::route(request, &policy, &bump, &closing(), &mut late);
                let is_same = matches!(routed, Routed::Answered(late) if late == *status);
                assert!(is_same && late == early, "{request:?}");
            }
        }
    }
}

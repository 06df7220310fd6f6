//! Property: every path, method, key and content type leads where the contract says, and a refusal
//! never echoes its request.

use proptest::prelude::*;

use super::*;
use crate::fixture::{FRAME, FixtureReply, NOW, get, keys, post, token_text};
use crate::identity::IdentitySecrets;
use crate::visitors::PreviewUsers;
use nudged_base::time::DurationMs;

const METHODS: [(&str, Method); 7] = [
    ("GET", Method::Get),
    ("HEAD", Method::Head),
    ("POST", Method::Post),
    ("PUT", Method::Put),
    ("DELETE", Method::Delete),
    ("OPTIONS", Method::Options),
    ("PATCH", Method::Patch),
];

/// What became of a request.
#[derive(Debug)]
enum Outcome {
    Decide { user: String, explain: bool, events: usize },
    Events(usize),
    Look { popup: String, user: Option<String>, placement: String },
    Answered(FixtureReply),
}

impl Outcome {
    fn reply(self) -> FixtureReply {
        match self {
            Outcome::Answered(reply) => reply,
            other => panic!("not answered: {other:?}"),
        }
    }

    fn status(&self) -> u16 {
        match self {
            Outcome::Answered(reply) => reply.status,
            _ => 0,
        }
    }
}

const SECRET: &str = "identity-secret-1";
/// Of `u1` by it.
const SIGNATURE: &str = "a9d0fa3751fff551f5a23fc8ec01a79d3d6bc1a5a4503493f1205e98c38e31ad";

struct Node {
    access: Access,
    cors: Cors,
    visitors: VisitorRules,
    ready: bool,
}

impl Node {
    fn open() -> Node {
        let (access, visitors) = (Access::default(), VisitorRules::default());
        Node { access, cors: Cors::default(), visitors, ready: true }
    }

    fn with_keys() -> Node {
        let access = Access::new(["server-key"], ["public-key"]);
        Node { access, ..Node::open() }
    }

    /// Asks for signatures too.
    fn with_identity() -> Node {
        let visitors = VisitorRules {
            identity: IdentitySecrets::new([SECRET]),
            preview: PreviewUsers::new(["u1"]),
        };
        Node { visitors, ..Node::with_keys() }
    }

    fn with_origins(origins: &[&str]) -> Node {
        let origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
        let cors = Cors::new(origins, DurationMs(600_999));
        Node { cors, ..Node::open() }
    }

    fn ask(&self, request: &Request<'_>) -> Outcome {
        let (bump, keys, repeated) = (Bump::new(), keys(), RepeatedRequests::new(1));
        let policy = RequestPolicy {
            access: &self.access,
            cors: &self.cors,
            visitors: &self.visitors,
            repeated: &repeated,
            keys: &keys,
            ready: self.ready,
            disk_lack: None,
            now: NOW,
            mono: MonoNs(0),
        };
        let frame = ResponseFlags { head_only: request.method == Method::Head, ..FRAME };
        // The third time its words are known, if they are kept.
        let [mut first, mut second, mut out] = [const { Vec::new() }; 3];
        for before in [&mut first, &mut second] {
            route(request, &policy, &Bump::new(), &frame, before);
        }
        let routed = route(request, &policy, &bump, &frame, &mut out);
        assert_eq!((&first, &second), (&out, &out));
        let command = match routed {
            Routed::Answered(status) => {
                let reply = FixtureReply::read(&out);
                assert_eq!(reply.status, status, "the status is told as it is written");
                return Outcome::Answered(reply);
            }
            Routed::Command(command, ..) => command,
        };
        assert!(out.is_empty(), "answered, or a command");
        match command {
            Command::Events(events) => Outcome::Events(events.count()),
            Command::Decide(asked) => Outcome::Decide {
                user: asked.context.user.to_owned(),
                explain: asked.explain,
                events: asked.events.len(),
            },
            Command::Look(asked) => Outcome::Look {
                popup: asked.popup.to_owned(),
                user: asked.has_user.then(|| asked.context.user.to_owned()),
                placement: asked.context.placement.to_owned(),
            },
            other => panic!("no request asks for {other:?}"),
        }
    }
}

// One row a path; 0 stands for a command.
#[test]
fn every_path_with_every_method() {
    let file = "/nudge-0123456789abcdef.js";
    let rows: [(&str, [u16; 7], &str); 9] = [
        ("/v1/decide", [0, 405, 0, 405, 405, 204, 405], "GET, POST, OPTIONS"),
        ("/v1/events", [405, 405, 0, 405, 405, 204, 405], "POST, OPTIONS"),
        ("/v1/preview", [405, 405, 0, 405, 405, 204, 405], "POST, OPTIONS"),
        ("/health", [200, 200, 405, 405, 405, 204, 405], "GET, HEAD, OPTIONS"),
        ("/healthz", [200, 200, 405, 405, 405, 204, 405], "GET, HEAD, OPTIONS"),
        ("/readyz", [200, 200, 405, 405, 405, 204, 405], "GET, HEAD, OPTIONS"),
        ("/nudge.js", [302, 302, 405, 405, 405, 204, 405], "GET, HEAD, OPTIONS"),
        (file, [200, 200, 405, 405, 405, 204, 405], "GET, HEAD, OPTIONS"),
        ("*", [405, 405, 405, 405, 405, 204, 405], "GET, HEAD, POST, OPTIONS"),
    ];
    for (path, statuses, allow) in rows {
        let body = match path {
            "/v1/events" => "{}",
            "/v1/preview" => r#"{"popup":"p"}"#,
            _ => r#"{"user":"u"}"#,
        };
        for ((name, method), status) in METHODS.into_iter().zip(statuses) {
            let outcome = Node::open().ask(&Request { method, ..post(path, body) });
            assert_eq!(outcome.status(), status, "{name} {path}");
            let Outcome::Answered(reply) = outcome else { continue };
            if matches!(status, 204 | 405) {
                assert_eq!(reply.field("allow"), Some(allow), "{name} {path}");
            }
            if status == 204 {
                assert_eq!(reply.field("content-length"), None, "{name} {path}");
            }
            if method == Method::Head {
                assert_eq!(reply.body, "", "{path}");
                let has_body = status != 302;
                assert_eq!(reply.field("content-length") != Some("0"), has_body, "{path}");
            } else if status == 405 {
                assert_eq!(reply.error(), ("method_not_allowed".into(), None));
            }
        }
    }
}

#[test]
fn other_paths_are_not_found() {
    let paths = [
        "/",
        "/v1",
        "/v1/",
        "/v1/decide/",
        "//v1/decide",
        "/v1//decide",
        "/V1/decide",
        "/v1/Decide",
        "/v1/decid%65",
        "/v1%2Fdecide",
        "/v1/../v1/decide",
        "/v1/./decide",
        "/v1/decide;a",
        "/v1/decide.json",
        "/health/",
        "/healthzz",
        "/ready",
        "/nudge",
        "/nudge.js/",
        "/nudge-.js",
        "/nudge-popup.js",
        "/nudge-0123456789abcdef.js.gz",
        "/metrics",
        "/v1/popups",
        "/v1/explain",
        "",
    ];
    for path in paths {
        for (name, method) in METHODS {
            let reply = Node::open().ask(&Request { method, ..get(path, "") }).reply();
            if method == Method::Options {
                assert_eq!(reply.status, 204, "{path}");
                assert_eq!(reply.field("allow"), Some("GET, HEAD, POST, OPTIONS"), "{path}");
                continue;
            }
            assert_eq!(reply.status, 404, "{name} {path}");
            if method != Method::Head {
                assert_eq!(reply.error(), ("not_found".into(), None));
            }
        }
    }
}

#[test]
fn commands_carry_what_was_asked() {
    let outcome = Node::open().ask(&get("/v1/decide", "user=u1&explain=1"));
    assert!(matches!(outcome, Outcome::Decide { user, explain: true, events: 0 } if user == "u1"));
    let body = format!(
        r#"{{"user":"u2","events":[{{"decision":"{}","action":"shown"}}]}}"#,
        token_text("u2")
    );
    let outcome = Node::open().ask(&post("/v1/decide", &body));
    assert!(matches!(outcome, Outcome::Decide { user, explain: false, events: 1 } if user == "u2"));
    let outcome = Node::open().ask(&post("/v1/events", "[{},{}]"));
    assert!(matches!(outcome, Outcome::Events(2)));
}

#[test]
fn no_events_are_accepted_at_once() {
    let reply = Node::open().ask(&post("/v1/events", "[]")).reply();
    assert_eq!(reply.status, 202);
    assert_eq!(reply.body, r#"{"accepted":0,"duplicate":0,"rejected":[]}"#);
}

#[test]
fn content_types() {
    let cases: [(Option<&str>, bool); 16] = [
        (None, true),
        (Some(""), true),
        (Some("application/json"), true),
        (Some("Application/JSON"), true),
        (Some("application/json; charset=utf-8"), true),
        (Some("application/json ;charset=utf-8"), true),
        (Some("text/plain;charset=UTF-8"), true),
        (Some("text/plain"), true),
        (Some("text/html"), false),
        (Some("application/x-www-form-urlencoded"), true),
        (Some("application/jsonp"), false),
        (Some("application/problem+json"), false),
        (Some("multipart/form-data; boundary=x"), false),
        (Some("application"), false),
        (Some("; charset=utf-8"), false),
        (Some("text/plain, application/json"), false),
    ];
    for (content_type, taken) in cases {
        for (path, body) in [("/v1/decide", "{}"), ("/v1/events", "{}")] {
            let content_type = content_type.map(str::as_bytes);
            let outcome = Node::open().ask(&Request { content_type, ..post(path, body) });
            assert_eq!(outcome.status(), if taken { 0 } else { 415 }, "{path} {content_type:?}");
            if !taken {
                let want = ("unsupported_media_type".into(), Some("content-type".into()));
                assert_eq!(outcome.reply().error(), want);
            }
        }
    }
    let asked = Request { content_type: Some(b"text/html"), ..get("/v1/decide", "") };
    assert_eq!(Node::open().ask(&asked).status(), 0, "a query has no type");
}

#[test]
fn keys_say_who_may_do_what() {
    // Columns: no key, a wrong one, a public one, a server's.
    let rows: [(Request<'_>, [u16; 4]); 8] = [
        (get("/v1/decide", "user=u"), [401, 401, 0, 0]),
        (get("/v1/decide", "user=u&explain=1"), [401, 401, 403, 0]),
        (post("/v1/decide", "{}"), [401, 401, 0, 0]),
        (post("/v1/decide", r#"{"explain":true}"#), [401, 401, 403, 0]),
        (post("/v1/events", "{}"), [401, 401, 0, 0]),
        (get("/health", ""), [200, 200, 200, 200]),
        (get("/readyz", ""), [200, 200, 200, 200]),
        (Request { method: Method::Options, ..get("/v1/decide", "") }, [204, 204, 204, 204]),
    ];
    let sent: [Option<&[u8]>; 4] =
        [None, Some(b"Bearer nope"), Some(b"Bearer public-key"), Some(b"Bearer server-key")];
    for (request, statuses) in rows {
        for (authorization, status) in sent.into_iter().zip(statuses) {
            let outcome = Node::with_keys().ask(&Request { authorization, ..request });
            assert_eq!(outcome.status(), status, "{} {authorization:?}", request.path);
            if let Outcome::Answered(reply) = outcome {
                assert_eq!(reply.field("www-authenticate").is_some(), status == 401);
            }
            assert_ne!(Node::open().ask(&Request { authorization, ..request }).status(), 401);
        }
    }
    let outcome =
        Node::with_keys().ask(&Request { query: "key=public-key", ..post("/v1/events", "{}") });
    assert!(matches!(outcome, Outcome::Events(1)));
}

#[test]
fn who_has_no_server_key_names_users_by_their_signatures() {
    let (public, server) = ("key=public-key", "key=server-key");
    let signed = format!("sig={SIGNATURE}");
    let minted = IdentitySecrets::new([SECRET]).sealed(keys().anonymous_id(1, 7));
    let (minted, old) = (minted.as_str(), "anon-0123456789abcdefghjkm");
    let (named, refused) = (Ok("u1"), Err(("bad_signature", "sig")));
    let twice = format!("{signed}&{signed}");
    // Key, user, what proves it; who is decided for, nobody for one that is minted.
    type Case<'c> = (&'c str, &'c str, &'c str, Result<&'c str, (&'c str, &'c str)>);
    let cases: &[Case<'_>] = &[
        (public, "u1", &signed, named),
        (public, "u1", "", refused),
        (public, "u1", "sig=", refused),
        (public, "u1", &signed[..40], refused),
        (public, "u2", &signed, refused),
        (public, "u1", "sig=%zz", Err(("bad_encoding", "query"))),
        (public, "u1", &twice, Err(("duplicate_field", "sig"))),
        (public, "", &signed, Ok("")),
        (public, minted, "", Ok(minted)),
        (public, old, "", Ok("")),
        (server, "u1", "", named),
        (server, "u1", "sig=wrong", named),
        (server, old, "", Ok(old)),
    ];
    for (key, user, proof, want) in cases {
        let of_user = if user.is_empty() { String::new() } else { format!("user={user}&") };
        let query = format!("{key}&{of_user}{proof}");
        let body = if user.is_empty() { "{}".into() } else { format!(r#"{{"user":"{user}"}}"#) };
        let beside = format!("{key}&{proof}");
        let requests =
            [get("/v1/decide", &query), Request { query: &beside, ..post("/v1/decide", &body) }];
        for request in requests {
            // A body is decoded without its query, which is read for the key alone.
            let said = match Node::with_identity().ask(&request) {
                Outcome::Decide { user, .. } => Ok(user),
                answered => Err(answered.reply().error()),
            };
            let want = want.map(str::to_owned);
            let want = want.map_err(|(code, field)| (code.into(), Some(field.into())));
            assert_eq!(said, want, "{request:?}");
        }
    }
}

#[test]
fn a_body_has_its_own_signature() {
    let key = "key=public-key";
    let beside = format!("{key}&sig={SIGNATURE}");
    let cases = [
        (key, format!(r#"{{"user":"u1","sig":"{SIGNATURE}"}}"#), 0),
        (key, format!(r#"{{"sig":"{SIGNATURE}","user":"u2"}}"#), 401),
        (key, r#"{"user":"u1","sig":7}"#.to_owned(), 400),
        (key, r#"{"user":"u1","sig":null}"#.to_owned(), 401),
        (&beside, r#"{"user":"u1","sig":null}"#.to_owned(), 0),
        // What the body says is what counts.
        (&beside, r#"{"user":"u1","sig":"00"}"#.to_owned(), 401),
    ];
    for (query, body, status) in cases {
        let request = Request { query, ..post("/v1/decide", &body) };
        let outcome = Node::with_identity().ask(&request);
        assert_eq!(outcome.status(), status, "{body}");
        if let Outcome::Answered(reply) = outcome {
            assert_eq!(reply.field("www-authenticate").is_some(), status == 401);
            assert_eq!(reply.error().1.as_deref(), Some("sig"), "{body}");
        }
    }
    let unasked = Node::with_keys().ask(&get("/v1/decide", "user=u1&key=public-key&sig=7"));
    assert!(matches!(unasked, Outcome::Decide { .. }), "without secrets nobody looks");
}

#[test]
fn a_caller_without_a_key_learns_nothing_more() {
    let requests = [
        get("/v1/decide", "user=&placement=%ff"),
        post("/v1/events", "nonsense"),
        Request { content_type: Some(b"text/html"), ..post("/v1/events", "{}") },
    ];
    for request in requests {
        let node = Node::with_keys();
        let authorization: Option<&[u8]> = Some(b"Bearer nope");
        assert_eq!(node.ask(&Request { authorization, ..request }).status(), 401);
    }
}

#[test]
fn readiness() {
    for (method, ready, status) in [
        (Method::Get, true, 200),
        (Method::Head, true, 200),
        (Method::Get, false, 503),
        (Method::Head, false, 503),
    ] {
        let node = Node { ready, ..Node::open() };
        assert_eq!(node.ask(&Request { method, ..get("/readyz", "") }).status(), status);
        assert_eq!(node.ask(&Request { method, ..get("/healthz", "") }).status(), 200);
        assert_eq!(node.ask(&get("/v1/decide", "user=u")).status(), 0, "a drain still serves");
    }
}

#[test]
fn preflights() {
    const SHOP: &str = "https://shop.example";
    let cases: &[(&[&str], &str, Option<&str>)] = &[
        (&[], SHOP, None),
        (&[SHOP], SHOP, Some(SHOP)),
        (&[SHOP], "https://evil.example", None),
        (&["*"], SHOP, Some("*")),
    ];
    for (origins, origin, allowed) in cases {
        for path in ["/v1/decide", "/v1/events"] {
            let request = Request {
                method: Method::Options,
                origin: Some(origin.as_bytes()),
                access_control_request_method: Some(b"POST"),
                access_control_request_headers: Some(b"content-type,x-b3-traceid"),
                ..get(path, "")
            };
            let node = Node::with_origins(origins);
            let plain = node.ask(&Request { method: Method::Head, ..request }).reply();
            let reply = node.ask(&request).reply();
            let is_listed = *allowed == Some(SHOP);
            for (reply, vary) in
                [(&reply, "Origin, Access-Control-Request-Headers"), (&plain, "Origin")]
            {
                let credentials = reply.field("access-control-allow-credentials");
                assert_eq!(credentials, is_listed.then_some("true"), "{origin}");
                assert_eq!(reply.field("vary"), (*origins == [SHOP]).then_some(vary));
            }
            assert_eq!(reply.status, 204);
            assert_eq!(reply.field("access-control-allow-origin"), *allowed, "{origin}");
            let methods = reply.field("access-control-allow-methods");
            assert_eq!(methods.is_some(), allowed.is_some());
            assert!(methods.is_none_or(|methods| methods.contains("POST")));
            let max_age = allowed.map(|_| "600");
            assert_eq!(reply.field("access-control-max-age"), max_age);
            let headers = reply.field("access-control-allow-headers").unwrap_or_default();
            let want = match *allowed {
                Some("*") => "traceparent, tracestate, baggage, sentry-trace, x-request-id",
                Some(_) => "content-type,x-b3-traceid",
                None => "",
            };
            assert!(headers.ends_with(want) && headers.is_empty() == want.is_empty(), "{headers}");
            assert_eq!(reply.field("content-length"), None);
        }
    }
    let health = Request {
        method: Method::Options,
        origin: Some(SHOP.as_bytes()),
        access_control_request_method: Some(b"GET"),
        ..get("/health", "")
    };
    let reply = Node::with_origins(&["*"]).ask(&health).reply();
    assert_eq!(reply.field("access-control-allow-origin"), None);
}

#[test]
fn refusals_reach_the_pages_that_may_read() {
    let origin: Option<&[u8]> = Some(b"https://shop.example");
    let request = Request { origin, ..get("/v1/decide", "user=") };
    let reply = Node::with_origins(&["https://shop.example"]).ask(&request).reply();
    assert_eq!(reply.status, 400);
    assert_eq!(reply.body, r#"{"error":{"code":"empty","field":"user"}}"#);
    assert_eq!(reply.field("access-control-allow-origin"), Some("https://shop.example"));
}

#[test]
fn refusals_for_load_say_when_to_come_back() {
    for code in [Code::Overloaded, Code::JournalFull] {
        let cors = Cors::default();
        let response = crate::fixture::response(&cors);
        let mut out = Vec::new();
        refusal::write_refusal(&mut out, &response, code.into());
        let reply = FixtureReply::read(&out);
        assert_eq!((reply.status, reply.field("retry-after")), (503, Some("1")));
        assert_eq!(reply.error(), (code.name().into(), None));
    }
}

proptest! {
    #[test]
    fn no_refusal_echoes(path in "/[a-z0-9/]{0,12}", query in "[ -~]{0,40}", body in "\\PC{0,40}") {
        const CANARY: &str = "zq9canary";
        let query = format!("{CANARY}={CANARY}&{query}");
        let body = format!("{{\"user\":\"{CANARY}\",\"{CANARY}\":{body}");
        for path in [path.as_str(), "/v1/decide", "/v1/events"] {
            for (_, method) in METHODS {
                let request = Request { method, query: &query, ..post(path, &body) };
                for node in [Node::with_keys(), Node::open()] {
                    let outcome = node.ask(&request);
                    let echoes = outcome.status() != 0 && format!("{outcome:?}").contains(CANARY);
                    prop_assert!(!echoes, "{:?}", outcome);
                }
            }
        }
    }
}

#[test]
fn a_popup_is_looked_at_with_a_server_key() {
    let body = r#"{"popup":"p","user":"u","placement":"cart","locale":"de","attrs":{"a":1}}"#;
    let asked = |node: &Node, key: &str, body: &str| {
        let query = if key.is_empty() { String::new() } else { format!("key={key}") };
        node.ask(&Request { query: &query, ..post("/v1/preview", body) })
    };
    let node = Node::with_keys();
    let Outcome::Look { popup, user, placement } = asked(&node, "server-key", body) else {
        panic!("a command")
    };
    assert_eq!((&*popup, user.as_deref(), &*placement), ("p", Some("u"), "cart"));
    let Outcome::Look { user, placement, .. } = asked(&Node::open(), "", r#"{"popup":"p"}"#) else {
        panic!("a command")
    };
    assert_eq!((user, &*placement), (None, ""), "the popup's own placement");
    // What nobody knows is named in the answer, as everywhere on this listener.
    let more = r#"{"popup":"p","usr":"u","events":[]}"#;
    assert!(matches!(asked(&node, "server-key", more), Outcome::Look { user: None, .. }));
    for (key, body, status, code, field) in [
        ("", body, 401, "missing_key", None),
        ("wrong", body, 401, "wrong_key", Some("key")),
        ("public-key", body, 403, "server_key_required", Some("key")),
        ("server-key", "{}", 400, "empty", Some("popup")),
        ("server-key", r#"{"popup":""}"#, 400, "empty", Some("popup")),
        ("server-key", r#"{"popup":{"id":"p"}}"#, 400, "wrong_type", Some("popup")),
        ("server-key", r#"{"popup":"p","user":""}"#, 400, "empty", Some("user")),
        ("server-key", r#"{"popup":"p","attrs":[]}"#, 400, "wrong_type", Some("attrs")),
        ("server-key", r#"{"popup":"p""#, 400, "malformed_json", Some("body")),
        ("server-key", "[]", 400, "wrong_type", Some("body")),
    ] {
        let reply = asked(&node, key, body).reply();
        assert_eq!(reply.status, status, "{body}");
        let (got, of) = reply.error();
        assert_eq!((got.as_str(), of.as_deref()), (code, field), "{body}");
    }
}

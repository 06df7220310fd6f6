//! Which origins may read replies. Owns the CORS fields of replies and preflights; knows no route.

use nudged_base::limits::REQUEST_HEADERS_BYTES_MAX;
use nudged_base::time::DurationMs;
use nudged_http::reply;
use nudged_http::scan::is_token_list;

/// What a listed origin may send that asks for nothing, or for what is no list.
const HEADERS_ALLOWED: &[u8] = b"Authorization, Content-Type";
/// What any origin may send: with those that tracing adds to each request of a page, unasked.
const HEADERS_ALLOWED_ANY: &[u8] = b"Authorization, Content-Type, traceparent, tracestate, \
    baggage, sentry-trace, x-request-id";
const HEADERS_EXPOSED: &[u8] =
    b"Nudge-Reason, Nudge-Next, Nudge-Anon, Nudge-Events, Nudge-Ignored, Nudge-Preview, \
    Retry-After";
/// What an answer depends on, for caches, and a preflight's.
const VARY: &[u8] = b"Origin";
const VARY_PREFLIGHT: &[u8] = b"Origin, Access-Control-Request-Headers";

/// The configured origins. Compared byte for byte: a browser sends an origin in one form only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cors {
    origins: Vec<String>,
    any: bool,
    max_age_s: u64,
}

/// What a request's origin was granted. Small, so that a parked request can keep it. After a
/// reload it may stand for another listed origin; a browser then keeps the reply from its page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grant {
    /// No CORS field is due.
    #[default]
    Silent,
    /// Not for this origin, or for none; caches are told that it depends.
    Vary,
    /// Every origin may read the reply.
    Any,
    /// The listed origin at this index may.
    Listed(usize),
}

impl Cors {
    /// Takes origins as `https://shop.example`, or `*` for every one; empty for no CORS at all.
    /// A browser may keep a preflight's answer for `max_age`, in whole seconds.
    pub fn new(origins: Vec<String>, max_age: DurationMs) -> Cors {
        let any = origins.iter().any(|origin| origin == "*");
        Cors { origins, any, max_age_s: max_age.0 / 1_000 }
    }

    /// What a request with this `Origin` field is granted. Does not allocate.
    pub fn grant(&self, origin: Option<&[u8]>) -> Grant {
        if self.any {
            return if origin.is_some() { Grant::Any } else { Grant::Silent };
        }
        if self.origins.is_empty() {
            return Grant::Silent;
        }
        let listed = origin
            .and_then(|origin| self.origins.iter().position(|listed| listed.as_bytes() == origin));
        listed.map_or(Grant::Vary, Grant::Listed)
    }

    /// What every request is granted whose `Origin` has not arrived; `None` where that depends on
    /// it.
    pub(super) fn grant_unseen(&self) -> Option<Grant> {
        match &self.origins[..] {
            _ if self.any => Some(Grant::Any),
            [] => Some(Grant::Silent),
            // A browser compares: of another origin it keeps the reply all the same.
            [_] => Some(Grant::Listed(0)),
            _ => None,
        }
    }

    /// Appends the fields of an actual reply.
    #[inline]
    pub(super) fn write_grant(&self, grant: Grant, out: &mut Vec<u8>) {
        if grant != Grant::Silent && self.write_origin(grant, VARY, out) {
            reply::field(out, "Access-Control-Expose-Headers", HEADERS_EXPOSED);
        }
    }

    /// Appends the fields of a preflight's reply; `methods` as `GET, POST`, `asked` as
    /// `Access-Control-Request-Headers` has it.
    pub(super) fn write_preflight(
        &self,
        grant: Grant,
        methods: &str,
        asked: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) {
        if self.write_origin(grant, VARY_PREFLIGHT, out) {
            reply::field(out, "Access-Control-Allow-Methods", methods.as_bytes());
            reply::field(out, "Access-Control-Allow-Headers", headers_allowed(grant, asked));
            let mut digits = itoa::Buffer::new();
            let max_age_s = digits.format(self.max_age_s);
            reply::field(out, "Access-Control-Max-Age", max_age_s.as_bytes());
        }
    }

    /// Whether an origin may read the reply. A listed one may send its credentials along, as
    /// beacons always do; for `*` browsers take no such word.
    fn write_origin(&self, grant: Grant, vary: &[u8], out: &mut Vec<u8>) -> bool {
        let origin = match grant {
            Grant::Silent => return false,
            Grant::Any => {
                reply::field(out, "Access-Control-Allow-Origin", b"*");
                return true;
            }
            Grant::Vary => None,
            Grant::Listed(index) => self.origins.get(index),
        };
        reply::field(out, "Vary", vary);
        if let Some(origin) = origin {
            reply::field(out, "Access-Control-Allow-Origin", origin.as_bytes());
            reply::field(out, "Access-Control-Allow-Credentials", b"true");
        }
        origin.is_some()
    }
}

/// The request headers that an origin may send: a listed one all that it asks for.
fn headers_allowed(grant: Grant, asked: Option<&[u8]>) -> &[u8] {
    match asked {
        _ if grant == Grant::Any => HEADERS_ALLOWED_ANY,
        Some(asked) if asked.len() <= REQUEST_HEADERS_BYTES_MAX && is_token_list(asked) => asked,
        _ => HEADERS_ALLOWED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: &[&str]) -> Cors {
        let origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
        Cors::new(origins, DurationMs(600_999))
    }

    #[test]
    fn grants() {
        const A: &str = "https://a.example";
        const B: &str = "https://b.example:8443";
        let cases: &[(&[&str], Option<&str>, Grant)] = &[
            (&[], None, Grant::Silent),
            (&[], Some(A), Grant::Silent),
            (&[A, B], None, Grant::Vary),
            (&[A, B], Some(A), Grant::Listed(0)),
            (&[A, B], Some(B), Grant::Listed(1)),
            (&[A, B], Some("https://a.example.evil"), Grant::Vary),
            (&[A, B], Some("https://a.exampl"), Grant::Vary),
            (&[A, B], Some("http://a.example"), Grant::Vary),
            (&[A, B], Some("null"), Grant::Vary),
            (&[A, B], Some("*"), Grant::Vary),
            (&[A, B], Some(""), Grant::Vary),
            (&["*"], Some(A), Grant::Any),
            (&["*"], None, Grant::Silent),
            (&[A, "*"], Some(A), Grant::Any),
        ];
        for (origins, origin, want) in cases {
            let got = cors(origins).grant(origin.map(str::as_bytes));
            assert_eq!(got, *want, "{origins:?} {origin:?}");
        }
    }

    #[test]
    fn without_an_origin_only_one_that_is_sure_is_granted() {
        let cases: &[(&[&str], Option<Grant>)] = &[
            (&[], Some(Grant::Silent)),
            (&["https://a.example"], Some(Grant::Listed(0))),
            (&["https://a.example", "https://b.example"], None),
            (&["https://a.example", "*"], Some(Grant::Any)),
        ];
        for (origins, want) in cases {
            assert_eq!(cors(origins).grant_unseen(), *want, "{origins:?}");
        }
    }

    #[test]
    fn a_grant_that_a_reload_took_away_writes_no_origin() {
        let mut out = Vec::new();
        cors(&["https://a.example"]).write_grant(Grant::Listed(1), &mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.to_ascii_lowercase(), "vary: origin\r\n");
    }

    #[test]
    fn a_listed_origin_may_send_what_it_asks_for() {
        const FIXED: &str = "Authorization, Content-Type";
        let long = format!("x-{}", "a".repeat(1_022));
        let longer = format!("{long}a");
        let any = str::from_utf8(HEADERS_ALLOWED_ANY).unwrap();
        for name in ["content-type", "authorization", "traceparent", "tracestate", "baggage"] {
            assert!(any.to_ascii_lowercase().split(", ").any(|listed| listed == name), "{name}");
        }
        let cases: &[(Option<&str>, &str)] = &[
            (None, FIXED),
            (Some("content-type"), "content-type"),
            (Some("content-type,x-datadog-trace-id"), "content-type,x-datadog-trace-id"),
            (Some("a, b ,\tc"), "a, b ,\tc"),
            (Some("X!#$%&'*+-.^_`|~9"), "X!#$%&'*+-.^_`|~9"),
            (Some(&long), &long),
            (Some(&longer), FIXED),
            (Some(""), FIXED),
            (Some(" "), FIXED),
            (Some("a,,b"), FIXED),
            (Some("a,"), FIXED),
            (Some("a b"), FIXED),
            (Some("a: b"), FIXED),
            (Some("a;b"), FIXED),
            (Some("\"a\""), FIXED),
            (Some("\u{e9}"), FIXED),
        ];
        for (asked, want) in cases {
            let asked = asked.map(str::as_bytes);
            assert_eq!(headers_allowed(Grant::Listed(0), asked), want.as_bytes(), "{asked:?}");
            assert_eq!(headers_allowed(Grant::Any, asked), HEADERS_ALLOWED_ANY, "{asked:?}");
        }
    }
}

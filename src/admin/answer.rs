//! Replies of the admin API: JSON, or a text for machines. Errors look as those of the data API.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::input::BadInput;
use super::stream::AdminStream;
use nudged_http::reply::{self, ResponseFlags};

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

/// Seconds after which a client may come again, on every 503 and 429.
const RETRY_AFTER_S: &[u8] = b"1";

/// What pages may do; what is no page of the console may do nothing, were it taken for one.
pub(super) const POLICY: &str = "Content-Security-Policy";
const NO_PAGE: &[u8] = b"default-src 'none'; frame-ancestors 'none'";

/// What no cache may keep.
const UNSTORED: &str = "no-store";

/// What goes on behind the head of an answer, on the bare connection, for as long as it takes.
pub(super) struct StreamBody(Box<dyn FnOnce(&mut AdminStream)>);

impl StreamBody {
    /// Carries it out; the connection ends with it.
    pub(super) fn run(self, stream: &mut AdminStream) {
        (self.0)(stream);
    }
}

impl std::fmt::Debug for StreamBody {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("StreamBody").finish_non_exhaustive()
    }
}

/// One reply, before its frame.
#[derive(Debug)]
pub(super) struct AdminAnswer {
    /// The HTTP status.
    pub(super) status: u16,
    content_type: &'static str,
    /// The whole body.
    pub(super) body: Vec<u8>,
    /// `Cache-Control`.
    cache: &'static str,
    /// Further fields, by their names.
    fields: Vec<(&'static str, Cow<'static, str>)>,
    /// What follows in the place of a body.
    pub(super) streamed: Option<StreamBody>,
}

impl AdminAnswer {
    /// A value as JSON.
    pub(super) fn json(status: u16, value: &impl Serialize) -> AdminAnswer {
        let body = serde_json::to_vec(value).expect("our own values serialize");
        AdminAnswer { status, ..AdminAnswer::text(JSON, body) }
    }

    /// A text of another type.
    pub(super) fn text(content_type: &'static str, text: impl Into<Vec<u8>>) -> AdminAnswer {
        AdminAnswer {
            status: 200,
            content_type,
            body: text.into(),
            cache: UNSTORED,
            fields: Vec::new(),
            streamed: None,
        }
    }

    /// Events, which end with the connection.
    pub(super) fn events(tell: impl FnOnce(&mut AdminStream) + 'static) -> AdminAnswer {
        let streamed = Some(StreamBody(Box::new(tell)));
        AdminAnswer { streamed, ..AdminAnswer::text(EVENTS, "") }
    }

    /// `{"error":{"code","field"}}`, `field` only where there is one.
    pub(super) fn error(status: u16, code: &str, field: Option<&str>) -> AdminAnswer {
        AdminAnswer::json(status, &error_value(code, field))
    }

    /// The same answer with a popup's version, or a draft's revision, as its entity tag.
    pub(super) fn with_tag(self, tag: impl Into<u64>) -> AdminAnswer {
        let tag: u64 = tag.into();
        self.with_field("ETag", format!("\"{tag}\""))
    }

    /// The same answer with another status.
    pub(super) fn with_status(self, status: u16) -> AdminAnswer {
        AdminAnswer { status, ..self }
    }

    /// The same answer with one more field.
    pub(super) fn with_field(
        mut self,
        name: &'static str,
        value: impl Into<Cow<'static, str>>,
    ) -> AdminAnswer {
        self.fields.push((name, value.into()));
        self
    }

    /// The same answer, which caches may keep so.
    pub(super) fn with_cache(self, cache: &'static str) -> AdminAnswer {
        AdminAnswer { cache, ..self }
    }

    /// As [`AdminAnswer::error`], with a line for each error beside it.
    pub(super) fn errors(
        status: u16,
        code: &str,
        field: Option<&str>,
        lines: &[String],
    ) -> AdminAnswer {
        AdminAnswer::errors_with(status, (code, field), lines, Map::new())
    }

    /// As [`AdminAnswer::errors`], with more members beside the lines.
    pub(super) fn errors_with(
        status: u16,
        (code, field): (&str, Option<&str>),
        lines: &[String],
        members: Map<String, Value>,
    ) -> AdminAnswer {
        let mut value = error_value(code, field);
        value["errors"] = json!(lines);
        members.into_iter().for_each(|(name, member)| value[name] = member);
        AdminAnswer::json(status, &value)
    }

    /// 404.
    pub(super) fn not_found() -> AdminAnswer {
        AdminAnswer::error(404, "not_found", None)
    }

    /// 503: come again.
    pub(super) fn unavailable(code: &str) -> AdminAnswer {
        AdminAnswer::error(503, code, None)
    }

    /// 405, with the methods that the route has.
    pub(super) fn method_not_allowed(allow: String) -> AdminAnswer {
        AdminAnswer::error(405, "method_not_allowed", None).with_field("Allow", allow)
    }

    /// 204: the methods that the route has.
    pub(super) fn options(allow: String) -> AdminAnswer {
        AdminAnswer::nothing().with_field("Allow", allow)
    }

    /// 204: it is so now, and there is nothing to tell.
    pub(super) fn nothing() -> AdminAnswer {
        AdminAnswer::text(JSON, "").with_status(204)
    }

    /// Appends the whole reply. None is taken for what it is not.
    pub(super) fn write(&self, out: &mut Vec<u8>, frame: &ResponseFlags<'_>) {
        // A stream has no length, so that its end is the connection's.
        let close = frame.close || self.streamed.is_some();
        reply::start(out, self.status, &ResponseFlags { close, ..*frame });
        reply::field(out, "Cache-Control", self.cache.as_bytes());
        reply::field(out, "X-Content-Type-Options", b"nosniff");
        match self.status {
            401 => reply::field(out, "WWW-Authenticate", b"Bearer"),
            429 | 503 => reply::field(out, "Retry-After", RETRY_AFTER_S),
            _ => {}
        }
        if !self.fields.iter().any(|(name, _)| *name == POLICY) {
            reply::field(out, POLICY, NO_PAGE);
        }
        for (name, value) in &self.fields {
            reply::field(out, name, value.as_bytes());
        }
        if self.streamed.is_some() {
            reply::field(out, "Content-Type", self.content_type.as_bytes());
            reply::end_without_body(out);
        } else if matches!(self.status, 204 | 304) {
            reply::end_without_body(out);
        } else {
            reply::end_with_body(out, self.content_type, &self.body, frame);
        }
    }
}

impl From<BadInput> for AdminAnswer {
    fn from(bad: BadInput) -> AdminAnswer {
        AdminAnswer::error(400, bad.code, bad.field)
    }
}

fn error_value(code: &str, field: Option<&str>) -> Value {
    match field {
        Some(field) => json!({ "error": { "code": code, "field": field } }),
        None => json!({ "error": { "code": code } }),
    }
}

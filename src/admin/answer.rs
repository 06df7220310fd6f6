//! Replies of the admin API: JSON, or a text for machines. Errors look as those of the data API.

use serde::Serialize;
use serde_json::{Value, json};

use super::input::BadInput;
use super::live::LiveRequest;
use super::progress::FollowedOverride;
use nudged_http::reply::{self, ResponseFlags};

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

/// Seconds after which a client may come again, on every 503 and 429.
const RETRY_AFTER_S: &[u8] = b"1";

/// What goes on behind the head of an answer, for as long as it takes.
#[derive(Debug)]
pub(super) enum Streamed {
    /// Live figures.
    Live(LiveRequest),
    /// A pause, an archive or a resume, and how far it comes.
    Override(FollowedOverride),
}

/// One reply, before its frame.
#[derive(Debug)]
pub(super) struct AdminAnswer {
    /// The HTTP status.
    pub(super) status: u16,
    content_type: &'static str,
    /// The whole body.
    pub(super) body: Vec<u8>,
    /// The methods of the route, where they are told.
    allow: Option<String>,
    /// The version of the popup that the body tells.
    version: Option<u32>,
    /// What follows in the place of a body.
    pub(super) streamed: Option<Streamed>,
}

impl AdminAnswer {
    /// A value as JSON.
    pub(super) fn json(status: u16, value: &impl Serialize) -> AdminAnswer {
        let body = serde_json::to_vec(value).expect("our own values serialize");
        AdminAnswer { status, ..AdminAnswer::text(JSON, body) }
    }

    /// A text of another type.
    pub(super) fn text(content_type: &'static str, text: impl Into<Vec<u8>>) -> AdminAnswer {
        let body = text.into();
        AdminAnswer { status: 200, content_type, body, allow: None, version: None, streamed: None }
    }

    /// Events, which end with the connection.
    pub(super) fn events(streamed: Streamed) -> AdminAnswer {
        AdminAnswer { streamed: Some(streamed), ..AdminAnswer::text(EVENTS, "") }
    }

    /// `{"error":{"code","field"}}`, `field` only where there is one.
    pub(super) fn error(status: u16, code: &str, field: Option<&str>) -> AdminAnswer {
        AdminAnswer::json(status, &error_value(code, field))
    }

    /// The same answer with the version as its entity tag.
    pub(super) fn with_version(self, version: u32) -> AdminAnswer {
        AdminAnswer { version: Some(version), ..self }
    }

    /// As [`AdminAnswer::error`], with a line for each error beside it.
    pub(super) fn errors(
        status: u16,
        code: &str,
        field: Option<&str>,
        lines: &[String],
    ) -> AdminAnswer {
        let mut value = error_value(code, field);
        value["errors"] = json!(lines);
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
        AdminAnswer { allow: Some(allow), ..AdminAnswer::error(405, "method_not_allowed", None) }
    }

    /// 204: the methods that the route has.
    pub(super) fn options(allow: String) -> AdminAnswer {
        AdminAnswer { status: 204, allow: Some(allow), ..AdminAnswer::text(JSON, "") }
    }

    /// Appends the whole reply. None is stored by a cache.
    pub(super) fn write(&self, out: &mut Vec<u8>, frame: &ResponseFlags<'_>) {
        // A stream has no length, so that its end is the connection's.
        let close = frame.close || self.streamed.is_some();
        reply::start(out, self.status, &ResponseFlags { close, ..*frame });
        reply::field(out, "Cache-Control", b"no-store");
        match self.status {
            401 => reply::field(out, "WWW-Authenticate", b"Bearer"),
            429 | 503 => reply::field(out, "Retry-After", RETRY_AFTER_S),
            _ => {}
        }
        if let Some(allow) = &self.allow {
            reply::field(out, "Allow", allow.as_bytes());
        }
        if let Some(version) = self.version {
            reply::field(out, "ETag", format!("\"{version}\"").as_bytes());
        }
        if self.streamed.is_some() {
            reply::field(out, "Content-Type", self.content_type.as_bytes());
            reply::end_without_body(out);
        } else if self.status == 204 {
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

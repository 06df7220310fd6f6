//! Refused requests: the codes that clients see, and their replies. Codes and fields are names of
//! ours, so that no refusal echoes its request.

use bumpalo::Bump;

use super::reply::{JsonText, ResponseContext};
use nudged_base::rate::OverRate;
use nudged_http::reply;

/// Seconds after which a client that was refused for load should ask again.
const RETRY_AFTER_S: u32 = 1;

named! {
    /// Why a request is refused.
    pub enum Code {
        /// Not UTF-8, as it came or after percent-decoding.
        InvalidUtf8 = "invalid_utf8",
        /// Not JSON.
        MalformedJson = "malformed_json",
        /// An object has two members of one name.
        DuplicateKey = "duplicate_key",
        /// JSON is nested too deep.
        TooDeep = "too_deep",
        /// A JSON object has too many members.
        TooManyMembers = "too_many_members",
        /// A number is out of range.
        BadNumber = "bad_number",
        /// A value is not of its field's type.
        WrongType = "wrong_type",
        /// A query has a `%` without two hex digits.
        BadEncoding = "bad_encoding",
        /// A query names a field twice.
        DuplicateField = "duplicate_field",
        /// A text is empty.
        Empty = "empty",
        /// A text is too long.
        TooLong = "too_long",
        /// A text has control characters.
        ControlCharacter = "control_character",
        /// A value is none of those that its field takes.
        BadValue = "bad_value",
        /// A list is too long.
        TooMany = "too_many",
        /// A key is asked for and none was sent.
        MissingKey = "missing_key",
        /// The key that was sent is not one of ours.
        WrongKey = "wrong_key",
        /// A user is named without its signature.
        BadSignature = "bad_signature",
        /// A public key asks for what needs a server key.
        ServerKeyRequired = "server_key_required",
        /// No such route.
        NotFound = "not_found",
        /// The route exists, the method on it does not.
        MethodNotAllowed = "method_not_allowed",
        /// The body's type is neither JSON nor plain text.
        UnsupportedMediaType = "unsupported_media_type",
        /// The key, or the user, asks more often than it may.
        RateLimited = "rate_limited",
        /// The node has more work than it can do in time.
        Overloaded = "overloaded",
        /// The journal is at its budget.
        JournalFull = "journal_full",
    }
}

impl Code {
    /// The HTTP status that goes with it.
    pub fn status(self) -> u16 {
        match self {
            Code::MissingKey | Code::WrongKey | Code::BadSignature => 401,
            Code::ServerKeyRequired => 403,
            Code::NotFound => 404,
            Code::MethodNotAllowed => 405,
            Code::UnsupportedMediaType => 415,
            Code::RateLimited => 429,
            Code::Overloaded | Code::JournalFull => 503,
            _ => 400,
        }
    }
}

named! {
    /// Which part of a request is at fault.
    pub enum RequestField {
        /// The body as a whole.
        Body = "body",
        /// The query string as a whole.
        Query = "query",
        /// `user`
        User = "user",
        /// `placement`
        Placement = "placement",
        /// `session`
        Session = "session",
        /// `locale`
        Locale = "locale",
        /// `tz`
        Tz = "tz",
        /// `attrs`, or a query's `attr.NAME`
        Attrs = "attrs",
        /// `popup`
        Popup = "popup",
        /// `events`
        Events = "events",
        /// `explain`
        Explain = "explain",
        /// The access key, as `key` or in `Authorization`.
        Key = "key",
        /// `sig`
        Sig = "sig",
        /// `Content-Type`
        ContentType = "content-type",
    }
}

/// A refused request: why, and what of it is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestRefusal {
    /// Why.
    pub code: Code,
    /// What of the request is at fault; `None` where no field is.
    pub field: Option<RequestField>,
    /// Seconds after which it is worth sending again, of a 429 and a 503.
    pub after_s: u32,
}

impl RequestRefusal {
    /// A refusal for one field.
    pub fn new(code: Code, field: RequestField) -> RequestRefusal {
        RequestRefusal { field: Some(field), ..code.into() }
    }

    /// A refusal of what comes too often.
    pub(crate) fn over_rate(over: OverRate, field: Option<RequestField>) -> RequestRefusal {
        RequestRefusal { code: Code::RateLimited, field, after_s: over.after_s }
    }
}

impl From<Code> for RequestRefusal {
    fn from(code: Code) -> RequestRefusal {
        RequestRefusal { code, field: None, after_s: RETRY_AFTER_S }
    }
}

/// Appends the reply of a refusal: `{"error":{"code":"...","field":"..."}}`, `field` only where
/// there is one; with `WWW-Authenticate` on a 401 and `Retry-After` on a 429 and a
/// 503. A 405 goes through
/// [`write_method_not_allowed`]. Gives the status. Allocates only where `out` has to grow.
pub(crate) fn write_refusal(
    out: &mut Vec<u8>,
    response: &ResponseContext<'_>,
    refusal: RequestRefusal,
) -> u16 {
    debug_assert!(refusal.code != Code::MethodNotAllowed, "a 405 carries Allow");
    write(out, response, refusal, None)
}

/// Appends a 405 with the methods that the route has, as `GET, POST`; gives the status. Allocates
/// only where `out` has to grow.
pub(crate) fn write_method_not_allowed(
    out: &mut Vec<u8>,
    response: &ResponseContext<'_>,
    allow: &str,
) -> u16 {
    write(out, response, Code::MethodNotAllowed.into(), Some(allow))
}

/// Appends the 503 of events for which the journal has no room:
/// `{"error":{"code":"journal_full","message":"..."}}`, with what the node's own disk lacks as the
/// message, where it is that.
pub(crate) fn write_journal_full(
    out: &mut Vec<u8>,
    response: &ResponseContext<'_>,
    disk_lack: Option<&str>,
    bump: &Bump,
) {
    let Some(lack) = disk_lack else {
        write_refusal(out, response, Code::JournalFull.into());
        return;
    };
    response.start(out, Code::JournalFull.status());
    write_retry_after(out, RETRY_AFTER_S);
    let mut body = JsonText::new(bump, 256);
    body.raw("{\"error\":{\"code\":\"").raw(Code::JournalFull.name());
    body.raw("\",\"message\":").text(lack).raw("}}");
    response.end_json(out, body.as_bytes());
}

fn write(
    out: &mut Vec<u8>,
    response: &ResponseContext<'_>,
    refusal: RequestRefusal,
    allow: Option<&str>,
) -> u16 {
    let status = refusal.code.status();
    response.start(out, status);
    match status {
        401 => reply::field(out, "WWW-Authenticate", b"Bearer"),
        429 | 503 => write_retry_after(out, refusal.after_s),
        _ => {}
    }
    if let Some(allow) = allow {
        reply::field(out, "Allow", allow.as_bytes());
    }
    let mut body = Body::default();
    body.put("{\"error\":{\"code\":\"");
    body.put(refusal.code.name());
    if let Some(field) = refusal.field {
        body.put("\",\"field\":\"");
        body.put(field.name());
    }
    body.put("\"}}");
    response.end_json(out, body.as_bytes());
    status
}

fn write_retry_after(out: &mut Vec<u8>, after_s: u32) {
    reply::field(out, "Retry-After", itoa::Buffer::new().format(after_s).as_bytes());
}

/// Longest body of a refusal, in bytes: its frame, a code and a field of ours.
const BODY_BYTES_MAX: usize = 96;

/// A body on the stack: a refusal needs no scratch.
struct Body {
    bytes: [u8; BODY_BYTES_MAX],
    used: usize,
}

impl Default for Body {
    fn default() -> Body {
        Body { bytes: [0; BODY_BYTES_MAX], used: 0 }
    }
}

impl Body {
    fn put(&mut self, text: &str) {
        self.bytes[self.used..self.used + text.len()].copy_from_slice(text.as_bytes());
        self.used += text.len();
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.used]
    }
}

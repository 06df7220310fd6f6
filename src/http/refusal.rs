//! Why a connection refuses a request before anyone else sees it, and the answer that says so.
//!
//! Each refusal has one fixed answer: nothing of the input is echoed. The connection closes after
//! it, since where the next request would start is no longer known.

use super::reply::{self, ImfDate, ResponseFlags};

/// What `Allow` says where a method is refused on every route.
const METHODS: &[u8] = b"GET, HEAD, POST, PUT, DELETE, OPTIONS";

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident $status:literal $code:literal $field:literal,)*) => {
        /// A reason to refuse a request, at the level of HTTP.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum HttpRefusal {
            $($(#[$doc])* $name,)*
        }

        impl HttpRefusal {
            /// Every refusal, for counters and tests.
            pub const ALL: &'static [HttpRefusal] = &[$(HttpRefusal::$name),*];

            /// The status of the answer.
            pub fn status(self) -> u16 {
                match self { $(HttpRefusal::$name => $status,)* }
            }

            /// The code of the answer's body; unique, so it names a counter too.
            pub fn code(self) -> &'static str {
                match self { $(HttpRefusal::$name => $code,)* }
            }

            fn body(self) -> &'static str {
                match self {
                    $(HttpRefusal::$name => concat!(
                        "{\"error\":{\"code\":\"", $code, "\",\"field\":", $field, "}}"
                    ),)*
                }
            }
        }
    };
}

refusals! {
    /// HTTP where TLS is spoken: the address is one of https.
    PlainHttp 400 "plain_http" "null",
    /// A bare CR or LF in the head, or a second empty line before it.
    BareLineEnd 400 "bare_line_end" "null",
    /// Not `METHOD target VERSION` with single spaces, or a method that is no token of 16 bytes.
    MalformedRequestLine 400 "malformed_request_line" "null",
    /// Not exactly `HTTP/` digit `.` digit.
    MalformedVersion 400 "malformed_version" "null",
    /// A target of no known form, or with a fragment, white space or a byte outside of ASCII.
    MalformedTarget 400 "malformed_target" "null",
    /// A field without a colon, with an empty name, with space around its name, or folded.
    MalformedField 400 "malformed_field" "null",
    /// A control byte in a field's value.
    MalformedValue 400 "malformed_field_value" "null",
    /// A name that others may read as `Content-Length` or `Transfer-Encoding`.
    DisguisedField 400 "disguised_field" "null",
    /// A field twice that may stand once: those that frame, route or authenticate.
    RepeatedField 400 "repeated_field" "null",
    /// No `Host` in HTTP/1.1.
    MissingHost 400 "missing_host" "\"host\"",
    /// A `Host` that is empty or not `host[:port]`.
    MalformedHost 400 "malformed_host" "\"host\"",
    /// A target whose authority is not that of `Host`.
    HostDisagrees 400 "host_disagrees" "\"host\"",
    /// A `Content-Length` that is not a plain decimal number up to 2^53.
    ContentLength 400 "bad_content_length" "\"content-length\"",
    /// A `Transfer-Encoding` other than `chunked`, or one in HTTP/1.0.
    TransferEncoding 400 "bad_transfer_encoding" "\"transfer-encoding\"",
    /// Both `Content-Length` and `Transfer-Encoding`.
    ConflictingLengths 400 "conflicting_lengths" "\"transfer-encoding\"",
    /// A chunk that is not `size[;extensions] CRLF data CRLF`, or too many bytes of extensions.
    MalformedChunk 400 "malformed_chunk" "null",
    /// A trailer that is malformed or may not be one.
    MalformedTrailer 400 "malformed_trailer" "null",
    /// CONNECT or TRACE.
    MethodNotAllowed 405 "method_not_allowed" "null",
    /// A head or a body that was begun and not ended in time.
    Timeout 408 "request_timeout" "null",
    /// A body over its limit.
    BodyTooLarge 413 "body_too_large" "null",
    /// A request line over its limit.
    TargetTooLong 414 "target_too_long" "null",
    /// An `Expect` other than `100-continue`.
    ExpectationFailed 417 "expectation_failed" "\"expect\"",
    /// A head over its limit.
    HeadTooLarge 431 "head_too_large" "null",
    /// More fields than the limit.
    TooManyFields 431 "too_many_fields" "null",
    /// A trailer section over its limit.
    TrailersTooLarge 431 "trailers_too_large" "null",
    /// A method that no RFC 9110 server knows.
    UnknownMethod 501 "unknown_method" "null",
    /// A major version other than 1; also the preface of HTTP/2.
    UnsupportedVersion 505 "unsupported_version" "null",
}

impl HttpRefusal {
    /// Appends the whole answer, with the fields that `write_fields` appends. Allocates only where
    /// `out` has to grow.
    pub fn write(
        self,
        out: &mut Vec<u8>,
        frame: &ResponseFlags<'_>,
        write_fields: impl FnOnce(&mut Vec<u8>),
    ) {
        debug_assert!(frame.close, "what follows a refused request is not known");
        reply::start(out, self.status(), frame);
        if self == HttpRefusal::MethodNotAllowed {
            reply::field(out, "Allow", METHODS);
        }
        write_fields(out);
        reply::end_with_body(out, "application/json", self.body().as_bytes(), frame);
    }
}

/// Appends what a connection beyond the bound is told, whatever it would have asked: 503, to come
/// again in a second; with the fields that `write_fields` appends. Allocates only where `out` has
/// to grow.
pub fn write_overloaded(
    out: &mut Vec<u8>,
    date: &ImfDate,
    write_fields: impl FnOnce(&mut Vec<u8>),
) {
    let frame = ResponseFlags { date, close: true, head_only: false, http_1_0: false };
    reply::start(out, 503, &frame);
    reply::field(out, "Retry-After", b"1");
    write_fields(out);
    let body = b"{\"error\":{\"code\":\"overloaded\",\"field\":null}}";
    reply::end_with_body(out, "application/json", body, &frame);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_a_code_of_its_own_and_a_body_of_json() {
        let date = &ImfDate::EPOCH;
        let frame = ResponseFlags { date, close: true, head_only: false, http_1_0: false };
        let mut codes = Vec::new();
        for refusal in HttpRefusal::ALL {
            let body: serde_json::Value = serde_json::from_str(refusal.body()).unwrap();
            assert_eq!(body["error"]["code"], refusal.code());
            assert!(body["error"].get("field").is_some());
            codes.push(refusal.code());
            let mut out = Vec::new();
            refusal.write(&mut out, &frame, |_| {});
            let text = String::from_utf8(out).unwrap();
            assert!(text.starts_with(&format!("HTTP/1.1 {} ", refusal.status())));
            assert_eq!(text.contains("\r\nAllow: "), refusal.status() == 405);
            assert!(text.ends_with(refusal.body()));
        }
        let mut out = Vec::new();
        write_overloaded(&mut out, date, |_| {});
        let text = String::from_utf8(out).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 503 "));
        for field in ["Date: Thu, 01 Jan 1970 00:00:00 GMT", "Connection: close", "Retry-After: 1"]
        {
            assert!(head.contains(field), "{field}");
        }
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())));
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["error"]["code"], "overloaded");
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), HttpRefusal::ALL.len());
    }
}

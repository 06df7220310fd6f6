//! Answers as bytes, appended to a buffer that the caller owns. Allocates only where that buffer
//! has to grow.
//!
//! An answer is [`start`], any number of [`field`]s, and one of the two ends. Knows nothing of
//! connections: whether one closes is told by [`ResponseFlags`]. No `Server` field is ever sent.

use std::io::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use httpdate::HttpDate;

use nudged_base::time::WallMs;

/// Bytes of a date in IMF form.
pub const DATE_BYTES: usize = 29;
/// The last second that IMF form can tell: 9999-12-31T23:59:59Z.
const DATE_MAX_S: u64 = 253_402_300_799;

/// The interim answer that lets a client send its body.
pub(crate) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What an answer's head takes from its connection and its turn.
#[derive(Clone, Copy, Debug)]
pub struct ResponseFlags<'a> {
    /// The turn's date.
    pub date: &'a ImfDate,
    /// The connection closes after this answer.
    pub close: bool,
    /// The request was HEAD: the head alone is sent, with the length the body would have.
    pub head_only: bool,
    /// The request was HTTP/1.0: a connection that stays open says so.
    pub http_1_0: bool,
}

/// Appends the status line, `Date`, and `Connection` where one is due.
///
/// # Panics
/// Where the status is none that this server sends: [`status_line`] lists them.
// Inlined, as the other parts of an answer are: where the status is known they are a few stores.
#[inline]
pub fn start(out: &mut Vec<u8>, status: u16, frame: &ResponseFlags<'_>) {
    let line = status_line(status).expect("a status that the table lists");
    out.extend_from_slice(line.as_bytes());
    out.extend_from_slice(&frame.date.text);
    match (frame.close, frame.http_1_0) {
        (true, _) => out.extend_from_slice(b"\r\nConnection: close\r\n"),
        (false, true) => out.extend_from_slice(b"\r\nConnection: keep-alive\r\n"),
        (false, false) => out.extend_from_slice(b"\r\n"),
    }
}

/// Appends one field. The value must be free of control bytes other than TAB.
#[inline]
pub fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    let is_text = |byte: &u8| *byte == b'\t' || !byte.is_ascii_control();
    debug_assert!(!name.is_empty() && value.iter().all(is_text));
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Ends an answer that has no body and no `Content-Length` (204).
#[inline]
pub fn end_without_body(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// Ends an answer with a body: `Content-Type`, `Content-Length` and, unless the request was HEAD,
/// the body itself. An empty body gives `Content-Length: 0` and no type.
#[inline]
pub fn end_with_body(
    out: &mut Vec<u8>,
    content_type: &str,
    body: &[u8],
    frame: &ResponseFlags<'_>,
) {
    if body.is_empty() {
        out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
        return;
    }
    out.extend_from_slice(b"Content-Type: ");
    out.extend_from_slice(content_type.as_bytes());
    out.extend_from_slice(b"\r\nContent-Length: ");
    out.extend_from_slice(itoa::Buffer::new().format(body.len()).as_bytes());
    out.extend_from_slice(b"\r\n\r\n");
    if !frame.head_only {
        out.extend_from_slice(body);
    }
}

/// A moment in IMF form ("Sun, 06 Nov 1994 08:49:37 GMT"), kept from turn to turn and formatted
/// anew once a second. Does not allocate.
#[derive(Clone, Copy, Debug)]
pub struct ImfDate {
    second: u64,
    text: [u8; DATE_BYTES],
}

impl ImfDate {
    /// The date of the first second.
    pub const EPOCH: ImfDate = ImfDate { second: 0, text: *b"Thu, 01 Jan 1970 00:00:00 GMT" };

    /// The date of a moment. Moments before 1970 count as its first second, moments after 9999 as
    /// its last.
    pub fn of(now: WallMs) -> ImfDate {
        let second = second_of(now);
        ImfDate { second, text: imf_date(second) }
    }

    /// The date as it is sent.
    pub fn as_bytes(&self) -> &[u8; DATE_BYTES] {
        &self.text
    }

    /// Moves the date to another moment; formats only where the second is another.
    pub fn refresh(&mut self, now: WallMs) {
        let into_ms = now.0.wrapping_sub_unsigned(self.second.wrapping_mul(1_000));
        if !(0..1_000).contains(&into_ms) {
            *self = ImfDate::of(now);
        }
    }
}

/// Formats a second since 1970 in IMF form; a second after 9999 counts as its last. Does not
/// allocate.
pub(crate) fn imf_date(second: u64) -> [u8; DATE_BYTES] {
    let date = HttpDate::from(UNIX_EPOCH + Duration::from_secs(second.min(DATE_MAX_S)));
    let mut text = [b' '; DATE_BYTES];
    write!(&mut text[..], "{date}").expect("IMF form has 29 bytes");
    text
}

fn second_of(now: WallMs) -> u64 {
    u64::try_from(now.0.div_euclid(1_000)).unwrap_or(0)
}

/// The status line and the start of the `Date` field, which each answer carries.
macro_rules! status_lines {
    ($($status:literal $text:literal,)*) => {
        /// The statuses that this server sends, each with the bytes up to its date; none for any
        /// other.
        #[inline]
        pub fn status_line(status: u16) -> Option<&'static str> {
            Some(match status {
                $($status => {
                    concat!("HTTP/1.1 ", $status, " ", $text, "\r\nDate: ")
                })*
                _ => return None,
            })
        }

        #[cfg(test)]
        const STATUSES: &[u16] = &[$($status),*];
    };
}

status_lines! {
    200 "OK",
    201 "Created",
    202 "Accepted",
    204 "No Content",
    302 "Found",
    304 "Not Modified",
    400 "Bad Request",
    401 "Unauthorized",
    403 "Forbidden",
    404 "Not Found",
    405 "Method Not Allowed",
    408 "Request Timeout",
    409 "Conflict",
    412 "Precondition Failed",
    413 "Content Too Large",
    414 "URI Too Long",
    415 "Unsupported Media Type",
    417 "Expectation Failed",
    421 "Misdirected Request",
    422 "Unprocessable Content",
    429 "Too Many Requests",
    431 "Request Header Fields Too Large",
    500 "Internal Server Error",
    501 "Not Implemented",
    503 "Service Unavailable",
    504 "Gateway Timeout",
    505 "HTTP Version Not Supported",
    507 "Insufficient Storage",
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const OPEN: ResponseFlags<'_> =
        ResponseFlags { date: &ImfDate::EPOCH, close: false, head_only: false, http_1_0: false };

    fn answer(status: u16, frame: &ResponseFlags<'_>, body: Option<&str>) -> String {
        let mut out = Vec::new();
        start(&mut out, status, frame);
        field(&mut out, "Nudge-Reason", b"gap");
        match body {
            None => end_without_body(&mut out),
            Some(body) => end_with_body(&mut out, "text/plain", body.as_bytes(), frame),
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_frame_has_its_own_bytes() {
        let date = "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n";
        let close = ResponseFlags { close: true, ..OPEN };
        let old = ResponseFlags { http_1_0: true, ..OPEN };
        let old_close = ResponseFlags { http_1_0: true, close: true, ..OPEN };
        let head = ResponseFlags { head_only: true, ..OPEN };
        let cases = [
            (204, OPEN, None, "204 No Content", "", ""),
            (200, OPEN, Some(""), "200 OK", "", "Content-Length: 0\r\n"),
            (200, close, None, "200 OK", "Connection: close\r\n", ""),
            (200, old, None, "200 OK", "Connection: keep-alive\r\n", ""),
            (200, old_close, None, "200 OK", "Connection: close\r\n", ""),
        ];
        for (status, frame, body, text, connection, end) in cases {
            let want =
                format!("HTTP/1.1 {text}\r\n{date}{connection}Nudge-Reason: gap\r\n{end}\r\n");
            assert_eq!(answer(status, &frame, body), want);
        }
        let fields = "Content-Type: text/plain\r\nContent-Length: 5\r\n\r\n";
        let start = format!("HTTP/1.1 200 OK\r\n{date}Nudge-Reason: gap\r\n{fields}");
        assert_eq!(answer(200, &OPEN, Some("hello")), format!("{start}hello"));
        assert_eq!(answer(200, &head, Some("hello")), start);
    }

    #[test]
    fn every_status_has_a_line_and_no_other_has() {
        for status in 0..1_000 {
            let line = status_line(status);
            assert_eq!(line.is_some(), STATUSES.contains(&status), "{status}");
            if let Some(line) = line {
                assert!(line.starts_with(&format!("HTTP/1.1 {status} ")));
                assert!(line.ends_with("\r\nDate: "));
            }
        }
    }

    #[test]
    fn dates_are_imf_and_stay_within_the_calendar() {
        let cases = [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, DATE),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (DATE_MAX_S, "Fri, 31 Dec 9999 23:59:59 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ];
        for (second, want) in cases {
            assert_eq!(imf_date(second), want.as_bytes());
        }
        let mut date = ImfDate::of(WallMs(-1));
        assert_eq!((date.second, date.text), (0, ImfDate::EPOCH.text));
        date.refresh(WallMs(784_111_777_999));
        assert_eq!(date.text, DATE.as_bytes());
        date.refresh(WallMs(784_111_778_000));
        assert_eq!(&date.text, b"Sun, 06 Nov 1994 08:49:38 GMT");
    }
}

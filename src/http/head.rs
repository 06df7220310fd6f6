//! Request heads: what a request is, and how its head is read. The rules are strict on purpose:
//! what two parsers could read in two ways is refused.
//!
//! Heads are judged as they come: nothing that can't become good waits for more. Stricter than the
//! RFC's letter, on purpose, beside the limits:
//! - white space in chunk extensions is refused (RFC 9112, 7.1.1 lets it stand: "BWS");
//! - a target in absolute form has to agree with `Host`, byte for byte but for case and the default
//!   port (the RFC has the target win);
//! - `Content-Length` has no leading zeros, and stands once even where its values are equal;
//! - a coding other than exactly `chunked` is 400 (the RFC has 501): the body's end is unknown;
//! - fields that frame, route or authenticate are refused in trailers (the RFC drops them);
//! - a comma in `Host` is refused, which RFC 3986 lets stand: two fields joined on the way;
//! - bodies of GET, HEAD, DELETE and OPTIONS are dropped, and the connection ends.
//!
//! Knows no bodies beyond how they are framed.

use memchr::memchr;

use super::fields::Fields;
pub use super::kept::HeadFields;
use super::kept::{Kept, seen};
use super::known::KnownFields;
use super::line::{RequestLine, check_begin};
pub use super::method::Method;
use super::refusal::HttpRefusal;
use super::reply::{ImfDate, ResponseFlags};
use super::scan::HeadScan;
use super::whole;

/// A whole request, borrowed from the bytes it came in. Only the fields that anyone asks for are
/// kept of its head.
#[derive(Clone, Copy, Debug)]
pub struct Request<'b> {
    /// The method.
    pub method: Method,
    /// The path of the target: starts with `/`, visible ASCII; `*` for `OPTIONS *`.
    pub path: &'b str,
    /// The query without its `?`; empty where there is none. Visible ASCII, still encoded.
    pub query: &'b str,
    /// `Host`, as sent.
    pub host: Option<&'b [u8]>,
    /// `Authorization`, as sent.
    pub authorization: Option<&'b [u8]>,
    /// `Content-Type`, as sent.
    pub content_type: Option<&'b [u8]>,
    /// `Accept`, the first line of it, as sent.
    pub accept: Option<&'b [u8]>,
    /// `Origin`, as sent.
    pub origin: Option<&'b [u8]>,
    /// `Access-Control-Request-Method`, as sent.
    pub access_control_request_method: Option<&'b [u8]>,
    /// `Access-Control-Request-Headers`, as sent; empty where it was sent twice.
    pub access_control_request_headers: Option<&'b [u8]>,
    /// `Nudge-Who`, as sent: whom a change is put down to.
    pub nudge_who: Option<&'b [u8]>,
    /// `Accept-Encoding`, as sent; empty where it was sent twice.
    pub accept_encoding: Option<&'b [u8]>,
    /// All fields, for those that few are asked for.
    pub fields: HeadFields<'b>,
    /// The whole body, decoded from its framing; empty where there is none.
    pub body: &'b [u8],
    /// Sent as HTTP/1.0.
    pub http_1_0: bool,
    /// The connection closes after this request's answer.
    pub close: bool,
}

impl Request<'_> {
    /// The frame of an answer that is written at once.
    pub fn frame<'d>(&self, date: &'d ImfDate) -> ResponseFlags<'d> {
        let head_only = self.method == Method::Head;
        ResponseFlags { date, close: self.close, head_only, http_1_0: self.http_1_0 }
    }
}

/// How a request's body is told from what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// This many bytes, up to `CONTENT_LENGTH_MAX`; 0 where there is no body.
    Sized(u64),
    /// Chunks.
    Chunked,
}

/// A head, read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'b> {
    /// The request without its body. `close` is what the client asked for.
    pub(super) request: Request<'b>,
    /// How its body is framed.
    pub(super) framing: Framing,
    /// The client waits for `100 Continue` before it sends the body.
    pub(super) expects_continue: bool,
}

/// A head on its way: how far its bytes were looked at, and what was seen of its lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadReader {
    scan: HeadScan,
    /// Bytes of the lines that were judged.
    judged: u16,
    /// What those lines were, in bits of [`seen`].
    seen: u16,
}

impl HeadReader {
    /// Before the first byte.
    pub(super) const NEW: HeadReader = HeadReader { scan: HeadScan::NEW, judged: 0, seen: 0 };

    /// After the first byte of an empty line before the request line.
    pub(super) const EMPTY_LINE: HeadReader = HeadReader { seen: u16::MAX, ..HeadReader::NEW };

    /// Whether nothing of a head has been seen.
    pub(super) fn is_new(self) -> bool {
        self.scan.is_new() && self.seen == 0
    }

    /// Whether the second byte of an empty line has to come.
    pub(super) fn is_in_empty_line(self) -> bool {
        self.is_before_line() && self.seen == HeadReader::EMPTY_LINE.seen
    }

    /// Whether nothing of a request line has been seen.
    pub(super) fn is_before_line(self) -> bool {
        self.scan.is_new()
    }

    /// Goes on over `bytes`, which start with the head's first byte and may go on past its end.
    /// Gives the head and its length, its empty line included, or none where more has to come. A
    /// head in one piece is read once; of others each line is judged when it has ended, and once
    /// more with the whole. What is found depends on the bytes alone: not on how they were split,
    /// nor on `known`, the fields that their connection sent last.
    ///
    /// # Errors
    /// The rule that is broken first, by the order of the bytes, at the first byte after which no
    /// other could make the head good; at the end of a line where what is wrong stands in it.
    pub(super) fn advance<'b>(
        &mut self,
        bytes: &'b [u8],
        body_bytes_max: usize,
        known: Option<&mut KnownFields>,
    ) -> Result<Option<(Head<'b>, usize)>, HttpRefusal> {
        if self.is_new()
            && let Some((line, kept, end)) = whole::read(bytes, body_bytes_max, known)
            && let Ok(head) = finish(line, &kept)
        {
            return Ok(Some((head, end)));
        }
        let scanned = self.scan.advance(bytes);
        if let Ok(Some(end)) = scanned {
            return parse(&bytes[..end], body_bytes_max).map(|head| Some((head, end)));
        }
        // What is wrong in the lines before comes first.
        self.judge(bytes, body_bytes_max)?;
        scanned.map(|_| None)
    }

    /// Judges the lines that have ended since the last call, and the begin of the first.
    fn judge(&mut self, bytes: &[u8], body_bytes_max: usize) -> Result<(), HttpRefusal> {
        let end = self.scan.line_start();
        if end == 0 {
            return check_begin(&bytes[..self.scan.scanned().min(bytes.len())]);
        }
        let judged = usize::from(self.judged);
        if judged == end {
            return Ok(());
        }
        let mut from = judged;
        if judged == 0 {
            let (line, after) = request_line(bytes)?;
            self.seen = if line.http_1_0 { seen::HTTP_1_0 } else { 0 };
            from = after;
        }
        let mut kept = Kept { seen: self.seen, ..Kept::default() };
        // Read again at most once a head: where its `Host` stands.
        let authority = || request_line(bytes).ok().and_then(|(line, _)| line.target.authority);
        kept.take_all(&bytes[from..end], body_bytes_max, authority)?;
        self.seen = kept.seen;
        self.judged = u16::try_from(end).expect("within the limit of a head");
        Ok(())
    }
}

/// The request line of a head, of which it has ended, and where the next line begins.
fn request_line(head: &[u8]) -> Result<(RequestLine<'_>, usize), HttpRefusal> {
    let end = memchr(b'\r', head).expect("a line that has ended has an end");
    Ok((RequestLine::parse(&head[..end])?, end + 2))
}

/// Reads a whole head, its empty line included, that a `HeadReader` has been over; bodies may have
/// `body_bytes_max` bytes. Does not allocate.
///
/// # Errors
/// The first line that breaks a rule; at the end, a `Host` that is missing.
pub(super) fn parse(head: &[u8], body_bytes_max: usize) -> Result<Head<'_>, HttpRefusal> {
    let (line, fields) = request_line(head)?;
    let seen = if line.http_1_0 { seen::HTTP_1_0 } else { 0 };
    let all = HeadFields(Fields::new(&head[fields..]));
    let mut kept = Kept { seen, fields: all, ..Kept::default() };
    kept.take_all(&head[fields..], body_bytes_max, || line.target.authority)?;
    finish(line, &kept)
}

/// Makes a head of its line and all of its fields.
///
/// # Errors
/// [`HttpRefusal::MissingHost`].
fn finish<'b>(line: RequestLine<'b>, kept: &Kept<'b>) -> Result<Head<'b>, HttpRefusal> {
    if !line.http_1_0 && !kept.has(seen::HOST) {
        return Err(HttpRefusal::MissingHost);
    }
    let framing = match kept.has(seen::TRANSFER_ENCODING) {
        true => Framing::Chunked,
        false => Framing::Sized(kept.content_length),
    };
    let request = Request {
        method: line.method,
        path: line.target.path,
        query: line.target.query,
        host: kept.host,
        authorization: kept.authorization,
        content_type: kept.content_type,
        origin: kept.origin,
        access_control_request_method: kept.access_control_request_method,
        access_control_request_headers: kept.access_control_request_headers,
        accept: kept.accept,
        nudge_who: kept.nudge_who,
        accept_encoding: kept.accept_encoding,
        fields: kept.fields,
        body: &[],
        http_1_0: line.http_1_0,
        close: kept.close || (line.http_1_0 && !kept.keep_alive),
    };
    Ok(Head { request, framing, expects_continue: kept.expects_continue })
}

//! Request heads: what a request is, and how its head is read. The rules are strict on purpose:
//! what two parsers could read in two ways is refused.
//!
//! Works on whole heads that `scan` has been over. Knows no bodies beyond how they are framed.

use memchr::memchr;

use super::authority::Authority;
use super::fields::{Field, Fields, is_disguised};
use super::refusal::Refusal;
use super::reply::Frame;
use super::scan::{is_target, token_length, trim};
use crate::base::limits::{CONTENT_LENGTH_MAX, METHOD_BYTES_MAX};

/// Methods that this server answers. Others are refused while framing: 501 for an unknown one, 405
/// for CONNECT and TRACE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// HEAD
    Head,
    /// POST
    Post,
    /// PUT
    Put,
    /// DELETE
    Delete,
    /// OPTIONS
    Options,
    /// PATCH: known, and allowed on no route.
    Patch,
}

impl Method {
    /// Whether a body of this method is framed, dropped, and followed by the connection's end:
    /// parsers disagree on whether such a request has one.
    pub(super) fn drops_body(self) -> bool {
        matches!(self, Method::Get | Method::Head | Method::Delete | Method::Options)
    }
}

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
    /// `Authorization`, as sent.
    pub authorization: Option<&'b [u8]>,
    /// `Content-Type`, as sent.
    pub content_type: Option<&'b [u8]>,
    /// `Origin`, as sent.
    pub origin: Option<&'b [u8]>,
    /// `Access-Control-Request-Method`, as sent.
    pub access_control_request_method: Option<&'b [u8]>,
    /// `Access-Control-Request-Headers`, as sent; empty where it was sent twice.
    pub access_control_request_headers: Option<&'b [u8]>,
    /// `If-Match`, as sent.
    pub if_match: Option<&'b [u8]>,
    /// `If-None-Match`, as sent.
    pub if_none_match: Option<&'b [u8]>,
    /// `Nudge-Who`, as sent: whom a change is put down to.
    pub nudge_who: Option<&'b [u8]>,
    /// The whole body, decoded from its framing; empty where there is none.
    pub body: &'b [u8],
    /// Sent as HTTP/1.0.
    pub http_1_0: bool,
    /// The connection closes after this request's answer.
    pub close: bool,
}

impl Request<'_> {
    /// The frame of an answer that is written at once.
    pub fn frame<'d>(&self, date: &'d str) -> Frame<'d> {
        let head_only = self.method == Method::Head;
        Frame { date, close: self.close, head_only, http_1_0: self.http_1_0 }
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

/// Reads a whole head, its empty line included, that `HeadScan` has accepted. Does not allocate.
///
/// # Errors
/// The first rule that the head breaks, in the order: request line, version, fields, method,
/// `Host` and target, framing, expectation.
pub(super) fn parse(head: &[u8]) -> Result<Head<'_>, Refusal> {
    let end = memchr(b'\r', head).expect("a scanned head has lines");
    let line = RequestLine::parse(&head[..end])?;
    let kept = Kept::of(Fields::new(&head[end + 2..]))?;
    let method = method(line.method)?;
    let target = target(method, line.target)?;
    check_host(&kept, &target, line.http_1_0)?;
    let framing = framing(&kept, line.http_1_0)?;
    let expects_continue = expects_continue(&kept, line.http_1_0)?;
    let close = kept.close || (line.http_1_0 && !kept.keep_alive);
    let request = Request {
        method,
        path: target.path,
        query: target.query,
        authorization: kept.authorization,
        content_type: kept.content_type,
        origin: kept.origin,
        access_control_request_method: kept.access_control_request_method,
        access_control_request_headers: kept.access_control_request_headers,
        if_match: kept.if_match,
        if_none_match: kept.if_none_match,
        nudge_who: kept.nudge_who,
        body: &[],
        http_1_0: line.http_1_0,
        close,
    };
    Ok(Head { request, framing, expects_continue })
}

struct RequestLine<'b> {
    method: &'b [u8],
    target: &'b str,
    http_1_0: bool,
}

impl<'b> RequestLine<'b> {
    fn parse(line: &'b [u8]) -> Result<RequestLine<'b>, Refusal> {
        const VERSION_BYTES: usize = "HTTP/1.1".len();
        let method_end = token_length(line);
        if method_end == 0 || method_end > METHOD_BYTES_MAX {
            return Err(Refusal::MalformedRequestLine);
        }
        // At the least: a space, one byte of target, a space, a version.
        if line.len() < method_end + 3 + VERSION_BYTES || line[method_end] != b' ' {
            return Err(Refusal::MalformedRequestLine);
        }
        let (before, version) = line.split_at(line.len() - VERSION_BYTES);
        let [target @ .., b' '] = &before[method_end + 1..] else {
            return Err(Refusal::MalformedRequestLine);
        };
        if !is_target(target) {
            return Err(Refusal::MalformedTarget);
        }
        let http_1_0 = match version {
            b"HTTP/1.1" => false,
            b"HTTP/1.0" => true,
            // A higher minor version is served as the highest we know.
            [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9'] => false,
            [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
                return Err(Refusal::UnsupportedVersion);
            }
            _ => return Err(Refusal::MalformedVersion),
        };
        let target = std::str::from_utf8(target).expect("visible ASCII");
        Ok(RequestLine { method: &line[..method_end], target, http_1_0 })
    }
}

fn method(token: &[u8]) -> Result<Method, Refusal> {
    Ok(match token {
        b"GET" => Method::Get,
        b"POST" => Method::Post,
        b"HEAD" => Method::Head,
        b"OPTIONS" => Method::Options,
        b"PUT" => Method::Put,
        b"DELETE" => Method::Delete,
        b"PATCH" => Method::Patch,
        b"CONNECT" | b"TRACE" => return Err(Refusal::MethodNotAllowed),
        _ => return Err(Refusal::UnknownMethod),
    })
}

struct Target<'b> {
    path: &'b str,
    query: &'b str,
    /// Authority and default port of a target in absolute form.
    authority: Option<(Authority<'b>, u16)>,
}

fn target(method: Method, target: &str) -> Result<Target<'_>, Refusal> {
    if target.starts_with('/') {
        let (path, query) = cut_query(target);
        return Ok(Target { path, query, authority: None });
    }
    if target == "*" && method == Method::Options {
        return Ok(Target { path: "*", query: "", authority: None });
    }
    absolute_target(method, target).ok_or(Refusal::MalformedTarget)
}

fn absolute_target(method: Method, target: &str) -> Option<Target<'_>> {
    let (scheme, rest) = target.split_once("://")?;
    let default_port = match scheme {
        _ if scheme.eq_ignore_ascii_case("http") => 80,
        _ if scheme.eq_ignore_ascii_case("https") => 443,
        _ => return None,
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let authority = Authority::parse(&rest.as_bytes()[..end])?;
    let (path, query) = cut_query(&rest[end..]);
    let path = match path {
        // RFC 9112, 3.2.4: for OPTIONS an empty path stands for the server as a whole.
        "" if method == Method::Options && query.is_empty() => "*",
        "" => "/",
        path => path,
    };
    Some(Target { path, query, authority: Some((authority, default_port)) })
}

fn cut_query(text: &str) -> (&str, &str) {
    match memchr(b'?', text.as_bytes()) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, ""),
    }
}

/// The fields that matter, as they stood.
#[derive(Default)]
struct Kept<'b> {
    host: Option<&'b [u8]>,
    content_length: Option<&'b [u8]>,
    transfer_encoding: Option<&'b [u8]>,
    expect: Option<&'b [u8]>,
    authorization: Option<&'b [u8]>,
    content_type: Option<&'b [u8]>,
    origin: Option<&'b [u8]>,
    access_control_request_method: Option<&'b [u8]>,
    access_control_request_headers: Option<&'b [u8]>,
    if_match: Option<&'b [u8]>,
    if_none_match: Option<&'b [u8]>,
    nudge_who: Option<&'b [u8]>,
    close: bool,
    keep_alive: bool,
}

impl<'b> Kept<'b> {
    fn of(mut fields: Fields<'b>) -> Result<Kept<'b>, Refusal> {
        let mut kept = Kept::default();
        while let Some(field) = fields.next()? {
            kept.take(field)?;
        }
        Ok(kept)
    }

    /// Takes one field. The length picks the only name it can be, so that most fields cost one
    /// comparison.
    fn take(&mut self, field: Field<'b>) -> Result<(), Refusal> {
        let Field { name, value } = field;
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match name.len() {
            4 if is("host") => once(&mut self.host, value),
            6 if is("expect") => once(&mut self.expect, value),
            6 if is("origin") => once(&mut self.origin, value),
            8 if is("if-match") => once(&mut self.if_match, value),
            9 if is("nudge-who") => once(&mut self.nudge_who, value),
            10 if is("connection") => {
                self.take_connection(value);
                Ok(())
            }
            12 if is("content-type") => once(&mut self.content_type, value),
            13 if is("authorization") => once(&mut self.authorization, value),
            13 if is("if-none-match") => once(&mut self.if_none_match, value),
            14 if is("content-length") => once(&mut self.content_length, value),
            17 if is("transfer-encoding") => once(&mut self.transfer_encoding, value),
            29 if is("access-control-request-method") => {
                once(&mut self.access_control_request_method, value)
            }
            30 if is("access-control-request-headers") => {
                // A list may be sent in parts; no browser does, and in parts it names nothing.
                let place = &mut self.access_control_request_headers;
                *place = Some(if place.is_some() { b"" } else { value });
                Ok(())
            }
            // The shorter of the two names has 14 bytes, and folding only shortens.
            14.. if is_disguised(name) => Err(Refusal::DisguisedField),
            _ => Ok(()),
        }
    }

    fn take_connection(&mut self, value: &[u8]) {
        for option in value.split(|byte| *byte == b',') {
            let option = trim(option);
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }
}

fn once<'b>(place: &mut Option<&'b [u8]>, value: &'b [u8]) -> Result<(), Refusal> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Refusal::RepeatedField),
    }
}

fn check_host(kept: &Kept<'_>, target: &Target<'_>, http_1_0: bool) -> Result<(), Refusal> {
    let Some(host) = kept.host else {
        return if http_1_0 { Ok(()) } else { Err(Refusal::MissingHost) };
    };
    let host = Authority::parse(host).ok_or(Refusal::MalformedHost)?;
    match &target.authority {
        Some((authority, port)) if !authority.agrees(&host, *port) => Err(Refusal::HostDisagrees),
        _ => Ok(()),
    }
}

fn framing(kept: &Kept<'_>, http_1_0: bool) -> Result<Framing, Refusal> {
    match (kept.transfer_encoding, kept.content_length) {
        (None, None) => Ok(Framing::Sized(0)),
        (None, Some(digits)) => content_length(digits).map(Framing::Sized),
        (Some(_), Some(_)) => Err(Refusal::ConflictingLengths),
        (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") && !http_1_0 => {
            Ok(Framing::Chunked)
        }
        (Some(_), None) => Err(Refusal::TransferEncoding),
    }
}

fn content_length(digits: &[u8]) -> Result<u64, Refusal> {
    let leading_zero = digits.len() > 1 && digits[0] == b'0';
    if digits.is_empty() || leading_zero || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Refusal::ContentLength);
    }
    let mut length: u64 = 0;
    for digit in digits {
        // The bound holds before each step, so the step does not overflow.
        length = length * 10 + u64::from(digit - b'0');
        if length > CONTENT_LENGTH_MAX {
            return Err(Refusal::ContentLength);
        }
    }
    Ok(length)
}

/// Whether `100 Continue` is awaited. HTTP/1.0 knows no interim answers, so there it is ignored.
fn expects_continue(kept: &Kept<'_>, http_1_0: bool) -> Result<bool, Refusal> {
    match kept.expect {
        Some(value) if !http_1_0 && value.eq_ignore_ascii_case(b"100-continue") => Ok(true),
        Some(_) if !http_1_0 => Err(Refusal::ExpectationFailed),
        _ => Ok(false),
    }
}

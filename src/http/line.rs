//! Request lines: method, target and version, judged as soon as a line has ended, and its method
//! before that.

use memchr::memchr;

use super::authority::Authority;
use super::method::Method;
use super::refusal::HttpRefusal;
use super::scan::{is_target, token_length};
use nudged_base::limits::METHOD_BYTES_MAX;

/// Judges what there is of a request line that has not ended: a method of at most
/// `METHOD_BYTES_MAX` bytes, then a space.
///
/// # Errors
/// [`HttpRefusal::MalformedRequestLine`] at the first byte that can't belong to such a line.
pub(super) fn check_begin(bytes: &[u8]) -> Result<(), HttpRefusal> {
    let bytes = &bytes[..bytes.len().min(METHOD_BYTES_MAX + 1)];
    let is_good = match token_length(bytes) {
        0 => bytes.is_empty(),
        length if length > METHOD_BYTES_MAX => false,
        length => bytes.get(length).is_none_or(|byte| *byte == b' '),
    };
    if is_good { Ok(()) } else { Err(HttpRefusal::MalformedRequestLine) }
}

/// A request line, read.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestLine<'b> {
    /// The method.
    pub(super) method: Method,
    /// What is asked for.
    pub(super) target: RequestTarget<'b>,
    /// Sent as HTTP/1.0.
    pub(super) http_1_0: bool,
}

impl<'b> RequestLine<'b> {
    /// Reads a line without its end, in which neither CR nor LF stands.
    ///
    /// # Errors
    /// The first rule that the line breaks, in the order: form, version, method, target.
    pub(super) fn parse(line: &'b [u8]) -> Result<RequestLine<'b>, HttpRefusal> {
        const VERSION_BYTES: usize = "HTTP/1.1".len();
        let method_end = token_length(line);
        if method_end == 0 || method_end > METHOD_BYTES_MAX {
            return Err(HttpRefusal::MalformedRequestLine);
        }
        // At the least: a space, one byte of target, a space, a version.
        if line.len() < method_end + 3 + VERSION_BYTES || line[method_end] != b' ' {
            return Err(HttpRefusal::MalformedRequestLine);
        }
        let (before, version) = line.split_at(line.len() - VERSION_BYTES);
        let [target @ .., b' '] = &before[method_end + 1..] else {
            return Err(HttpRefusal::MalformedRequestLine);
        };
        if !is_target(target) {
            return Err(HttpRefusal::MalformedTarget);
        }
        let http_1_0 = match version {
            b"HTTP/1.1" => false,
            b"HTTP/1.0" => true,
            // A higher minor version is served as the highest we know.
            [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9'] => false,
            [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
                return Err(HttpRefusal::UnsupportedVersion);
            }
            _ => return Err(HttpRefusal::MalformedVersion),
        };
        let method = method(&line[..method_end])?;
        let text = std::str::from_utf8(target).expect("visible ASCII");
        Ok(RequestLine { method, target: self::target(method, text)?, http_1_0 })
    }
}

fn method(token: &[u8]) -> Result<Method, HttpRefusal> {
    Ok(match token {
        b"GET" => Method::Get,
        b"POST" => Method::Post,
        b"HEAD" => Method::Head,
        b"OPTIONS" => Method::Options,
        b"PUT" => Method::Put,
        b"DELETE" => Method::Delete,
        b"PATCH" => Method::Patch,
        b"CONNECT" | b"TRACE" => return Err(HttpRefusal::MethodNotAllowed),
        _ => return Err(HttpRefusal::UnknownMethod),
    })
}

/// What a request line asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestTarget<'b> {
    /// Starts with `/`; `*` for the server as a whole.
    pub(super) path: &'b str,
    /// Without its `?`.
    pub(super) query: &'b str,
    /// Authority and default port of a target in absolute form.
    pub(super) authority: Option<(Authority<'b>, u16)>,
}

fn target(method: Method, target: &str) -> Result<RequestTarget<'_>, HttpRefusal> {
    if target.starts_with('/') {
        let (path, query) = cut_query(target);
        return Ok(RequestTarget { path, query, authority: None });
    }
    if target == "*" && method == Method::Options {
        return Ok(RequestTarget { path: "*", query: "", authority: None });
    }
    absolute_target(method, target).ok_or(HttpRefusal::MalformedTarget)
}

fn absolute_target(method: Method, target: &str) -> Option<RequestTarget<'_>> {
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
    Some(RequestTarget { path, query, authority: Some((authority, default_port)) })
}

fn cut_query(text: &str) -> (&str, &str) {
    match memchr(b'?', text.as_bytes()) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, ""),
    }
}

//! Answers to requests that are never handed out: those that break a rule of HTTP, and those whose
//! client waits with its body while their head alone decides. Whoever drives a connection says what
//! it adds to them.

use memchr::memmem;

use super::fields::Fields;
use super::head::Request;
use super::line::RequestLine;
use super::refusal::HttpRefusal;
use super::reply::ResponseFlags;
use super::scan::{is_target, token_length};

/// What the owner of a connection has to say about requests that it is not handed.
pub trait EarlyAnswers {
    /// Appends the whole answer of a request that was refused. The default is the refusal's own.
    fn write_refused(
        &self,
        refusal: HttpRefusal,
        begun: &HeadArrival<'_>,
        frame: &ResponseFlags<'_>,
        out: &mut Vec<u8>,
    ) {
        let _ = begun;
        refusal.write(out, frame, |_| {});
    }

    /// Appends the whole answer where a request's head alone decides it, and says whether it did.
    /// Asked only where the client waits for `100 Continue` (RFC 9110, 10.1.1); the request has no
    /// body yet.
    fn answer_head(
        &self,
        request: &Request<'_>,
        frame: &ResponseFlags<'_>,
        out: &mut Vec<u8>,
    ) -> bool;
}

/// What can be told of a head that is wrong or has not ended: read leniently, so nothing of it may
/// be relied upon or echoed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadArrival<'b> {
    /// The path, where there is one as far as the bytes go.
    pub path: Option<&'b str>,
    /// `Origin`, where its line has arrived and stands once.
    pub origin: Option<&'b [u8]>,
}

impl<'b> HeadArrival<'b> {
    /// Looks for path and origin in `bytes`, which start with the request's first byte and go as
    /// far as they have arrived. Does not allocate.
    pub fn of(bytes: &'b [u8]) -> HeadArrival<'b> {
        let end = memmem::find(bytes, b"\r\n");
        let line = &bytes[..end.unwrap_or(bytes.len())];
        let whole = end.and_then(|_| RequestLine::parse(line).ok());
        let path = whole.map_or_else(|| begun_path(line), |line| Some(line.target.path));
        HeadArrival { path, origin: end.and_then(|end| find_origin(&bytes[end + 2..])) }
    }
}

/// The path of a request line that is wrong or has not ended.
fn begun_path(line: &[u8]) -> Option<&str> {
    let target = line[token_length(line)..].strip_prefix(b" ")?;
    let path = target.split(|byte| matches!(byte, b' ' | b'?')).next()?;
    let is_path = path.starts_with(b"/") && is_target(path);
    is_path.then(|| std::str::from_utf8(path).expect("visible ASCII"))
}

fn find_origin(section: &[u8]) -> Option<&[u8]> {
    // A line whose end has not arrived may go on.
    let whole = memmem::rfind(section, b"\r\n").map_or(0, |end| end + 2);
    let mut fields = Fields::new(&section[..whole]);
    let mut found = None;
    while let Ok(Some(field)) = fields.next() {
        if field.name.eq_ignore_ascii_case(b"origin") && found.replace(field.value).is_some() {
            return None;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_and_origin_are_found_as_far_as_the_bytes_go() {
        let line = "POST /v1/decide?user=u HTTP/1.1\r\n";
        let cases: &[(&[&str], Option<&str>, Option<&str>)] = &[
            (&[], None, None),
            (&["POST"], None, None),
            (&["POST /v1/dec"], Some("/v1/dec"), None),
            (&["POST /v1/decide?user=uuu"], Some("/v1/decide"), None),
            (&["POST /v1/decide HTTP/9.9\r\norigin: a\r\n"], Some("/v1/decide"), Some("a")),
            (&["BREW /v1/decide HTTP/1.1\r\nOrigin: a\r\n\r\n"], Some("/v1/decide"), Some("a")),
            (&["GET http://a/v1/decide HTTP/1.1\r\nOrigin: a\r\n"], Some("/v1/decide"), Some("a")),
            (&["GET  / HTTP/1.1\r\n"], None, None),
            (&["GET /\0 HTTP/1.1\r\n"], None, None),
            (&["\u{16}\u{3}\u{1}"], None, None),
            (&[line, "Content-Length: 9\r\nORIGIN:  a \r\n"], Some("/v1/decide"), Some("a")),
            (&[line, "Origin: https://a.exam"], Some("/v1/decide"), None),
            (&[line, "X: y\r\n\r\nOrigin: a\r\n"], Some("/v1/decide"), None),
            (&[line, "Origin: a\r\nOrigin: a\r\n"], Some("/v1/decide"), None),
            (&[line, "Origin: a\r\nX: \0\r\n"], Some("/v1/decide"), Some("a")),
            (&[line, "X: \0\r\nOrigin: a\r\n"], Some("/v1/decide"), None),
            (&[line, "X: a\rbY: c\r\nOrigin: a\r\n"], Some("/v1/decide"), None),
        ];
        for (bytes, path, origin) in cases {
            let bytes = bytes.concat();
            let want = HeadArrival { path: *path, origin: origin.map(str::as_bytes) };
            assert_eq!(HeadArrival::of(bytes.as_bytes()), want, "{bytes:?}");
        }
    }
}

//! Request heads: tokens by httparse, rules by us.

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
    /// The whole body, decoded from its framing; empty where there is none.
    pub body: &'b [u8],
    /// Sent as HTTP/1.0.
    pub http_1_0: bool,
    /// The connection closes after this request's answer.
    pub close: bool,
}

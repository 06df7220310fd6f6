//! Methods: which are known, and which have no body.

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
    /// PATCH
    Patch,
}

impl Method {
    /// Whether a body of this method is framed, dropped, and followed by the connection's end:
    /// parsers disagree on whether such a request has one.
    pub(super) fn drops_body(self) -> bool {
        matches!(self, Method::Get | Method::Head | Method::Delete | Method::Options)
    }
}

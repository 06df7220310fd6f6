//! Answers as bytes, appended to a buffer that the caller owns. Allocates only where that buffer
//! has to grow.

/// What an answer's head takes from its connection and its turn.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// The date in IMF form, 29 bytes.
    pub date: &'a str,
    /// The connection closes after this answer.
    pub close: bool,
    /// The request was HEAD: the head alone is sent, with the length the body would have.
    pub head_only: bool,
    /// The request was HTTP/1.0: a connection that stays open says so.
    pub http_1_0: bool,
}

/// Appends the status line, `Date`, and `Connection` where one is due.
pub fn start(_out: &mut Vec<u8>, _status: u16, _frame: &Frame<'_>) {
    unimplemented!()
}

/// Appends one field. The value must be free of control bytes.
pub fn field(_out: &mut Vec<u8>, _name: &str, _value: &[u8]) {
    unimplemented!()
}

/// Ends an answer that has no body and no `Content-Length` (204).
pub fn end_without_body(_out: &mut Vec<u8>) {
    unimplemented!()
}

/// Ends an answer with a body: `Content-Type`, `Content-Length` and, unless the request was HEAD,
/// the body itself. An empty body gives `Content-Length: 0` and no type.
pub fn end_with_body(_out: &mut Vec<u8>, _content_type: &str, _body: &[u8], _frame: &Frame<'_>) {
    unimplemented!()
}

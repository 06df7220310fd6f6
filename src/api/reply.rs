//! What the replies of all routes share: the head's fields, and JSON written by hand into scratch.
//! Knows no route.

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use super::cors::{Cors, Grant};
use nudged_base::{hex, word};
use nudged_http::reply::{self, ResponseFlags};

const JSON: &str = "application/json";

/// What the head of a reply is made from.
#[derive(Clone, Copy, Debug)]
pub struct ResponseContext<'a> {
    /// What the connection and the turn say.
    pub frame: ResponseFlags<'a>,
    /// The origins that may read replies.
    pub cors: &'a Cors,
    /// What the request's origin was granted: [`Cors::grant`] of it.
    pub grant: Grant,
}

impl ResponseContext<'_> {
    /// Appends the status line and the fields of every reply. None is stored by a cache: each
    /// decision is one user's, once, and no other answer is worth a cache's risk.
    #[inline]
    pub(super) fn start(&self, out: &mut Vec<u8>, status: u16) {
        reply::start(out, status, &self.frame);
        out.extend_from_slice(b"Cache-Control: no-store\r\n");
        self.cors.write_grant(self.grant, out);
    }

    /// Ends a reply with a JSON body.
    pub(super) fn end_json(&self, out: &mut Vec<u8>, body: &[u8]) {
        reply::end_with_body(out, JSON, body, &self.frame);
    }
}

/// JSON under construction. Lies in scratch.
pub(super) struct JsonText<'a> {
    bytes: BumpVec<'a, u8>,
}

impl<'a> JsonText<'a> {
    /// Starts with room for `bytes_expected`.
    pub(super) fn new(bump: &'a Bump, bytes_expected: usize) -> JsonText<'a> {
        JsonText { bytes: BumpVec::with_capacity_in(bytes_expected, bump) }
    }

    /// Appends JSON as it stands.
    pub(super) fn raw(&mut self, json: &str) -> &mut Self {
        self.bytes.extend_from_slice_copy(json.as_bytes());
        self
    }

    /// Appends a number.
    pub(super) fn number(&mut self, number: u32) -> &mut Self {
        self.raw(itoa::Buffer::new().format(number))
    }

    /// Appends a text with its quotes, escaped where JSON asks for it.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.bytes.push(b'"');
        let mut rest = text.as_bytes();
        loop {
            let plain = word::plain_json_length(rest);
            self.bytes.extend_from_slice_copy(&rest[..plain]);
            let Some(&byte) = rest.get(plain) else { break };
            if byte < 0x20 {
                self.bytes.extend_from_slice_copy(b"\\u00");
                self.bytes.extend_from_slice_copy(&hex::digits(byte));
            } else {
                self.bytes.extend_from_slice_copy(&[b'\\', byte]);
            }
            rest = &rest[plain + 1..];
        }
        self.bytes.push(b'"');
        self
    }

    /// Appends a text, or null where there is none.
    pub(super) fn text_or_null(&mut self, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.text(text),
            None => self.raw("null"),
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn texts_read_back(text in any::<String>()) {
            let bump = Bump::new();
            let mut json = JsonText::new(&bump, 0);
            json.text(&text);
            let back: String = serde_json::from_slice(json.as_bytes()).unwrap();
            prop_assert_eq!(back, text);
        }
    }
}

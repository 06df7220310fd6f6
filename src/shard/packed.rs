//! A request as bytes, for its way to another shard or for the time it waits for its user's state.
//! Layout: method, flags, listener, then each text as a 32-bit length and its bytes. Both ends are
//! this process, so there is no version and nothing to distrust.

use crate::http::head::{Method, Request};

const METHODS: [Method; 7] = [
    Method::Get,
    Method::Head,
    Method::Post,
    Method::Put,
    Method::Delete,
    Method::Options,
    Method::Patch,
];
const HTTP_1_0: u8 = 1;
const CLOSE: u8 = 2;
/// Length of a field that is absent.
const ABSENT: u32 = u32::MAX;

/// A request with what its coordinator knows of it.
#[derive(Clone, Copy, Debug)]
pub struct Packed<'b> {
    /// The request itself.
    pub request: Request<'b>,
    /// The listener it came in by.
    pub listener: u16,
    /// The id that was minted for a user who gave none; empty otherwise. Of an events request that
    /// waits for Redis: the user whose events are meant.
    pub anonymous: &'b str,
}

/// Appends a request to `out`.
pub fn pack(packed: &Packed<'_>, out: &mut Vec<u8>) {
    let request = &packed.request;
    let method = METHODS.iter().position(|method| *method == request.method);
    out.push(u8::try_from(method.expect("every method is listed")).expect("seven methods"));
    let close = if request.close { CLOSE } else { 0 };
    out.push(close | if request.http_1_0 { HTTP_1_0 } else { 0 });
    out.extend_from_slice(&packed.listener.to_le_bytes());
    put(Some(packed.anonymous.as_bytes()), out);
    put(Some(request.path.as_bytes()), out);
    put(Some(request.query.as_bytes()), out);
    put(request.authorization, out);
    put(request.content_type, out);
    put(request.origin, out);
    put(request.access_control_request_method, out);
    put(Some(request.body), out);
}

/// Reads what [`pack`] wrote.
///
/// # Panics
/// Where the bytes are not of `pack`: memory is broken then.
pub fn unpack(bytes: &[u8]) -> Packed<'_> {
    let method = METHODS[usize::from(bytes[0])];
    let flags = bytes[1];
    let listener = u16::from_le_bytes([bytes[2], bytes[3]]);
    let mut rest = &bytes[4..];
    let anonymous = text(take(&mut rest));
    let path = text(take(&mut rest));
    let query = text(take(&mut rest));
    let request = Request {
        method,
        path,
        query,
        authorization: take(&mut rest),
        content_type: take(&mut rest),
        origin: take(&mut rest),
        access_control_request_method: take(&mut rest),
        // Of preflights, which are answered at once.
        access_control_request_headers: None,
        if_match: None,
        if_none_match: None,
        nudge_who: None,
        body: take(&mut rest).expect("a body is always packed"),
        http_1_0: flags & HTTP_1_0 != 0,
        close: flags & CLOSE != 0,
    };
    assert!(rest.is_empty(), "a packed request ends with its body");
    Packed { request, listener, anonymous }
}

fn put(field: Option<&[u8]>, out: &mut Vec<u8>) {
    let length = field.map_or(ABSENT, |bytes| {
        u32::try_from(bytes.len()).expect("requests are bounded far below 4 GiB")
    });
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(field.unwrap_or_default());
}

fn take<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let (length, tail) = rest.split_first_chunk::<4>().expect("a length is always packed");
    let length = u32::from_le_bytes(*length);
    if length == ABSENT {
        *rest = tail;
        return None;
    }
    let (field, tail) = tail.split_at(length as usize);
    *rest = tail;
    Some(field)
}

fn text(field: Option<&[u8]>) -> &str {
    std::str::from_utf8(field.expect("texts are always packed")).expect("packed from a text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_comes_back_as_it_was() {
        let request = Request {
            method: Method::Post,
            path: "/v1/decide",
            query: "key=k",
            authorization: None,
            content_type: Some(b"application/json"),
            origin: Some(b""),
            access_control_request_method: None,
            access_control_request_headers: None,
            if_match: None,
            if_none_match: None,
            nudge_who: None,
            body: b"{\"user\":\"u\"}",
            http_1_0: false,
            close: true,
        };
        let mut bytes = Vec::new();
        pack(&Packed { request, listener: 3, anonymous: "anon-1" }, &mut bytes);
        let back = unpack(&bytes);
        assert_eq!(format!("{:?}", back.request), format!("{request:?}"));
        assert_eq!((back.listener, back.anonymous), (3, "anon-1"));
    }
}

//! HTTP as a client speaks it: requests as bytes, replies out of bytes. Strict: what is not
//! well-formed is a violation.

use serde_json::Value;

/// A reply.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    /// Its fields, names in lower case.
    fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(known, _)| known == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} twice in {self:?}");
        value
    }

    /// Fields that say what was decided.
    pub fn fields(&self) -> Vec<&(String, String)> {
        self.fields.iter().filter(|(name, _)| name.starts_with("nudge-")).collect()
    }

    pub fn closes(&self) -> bool {
        self.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

/// Takes one whole reply off the front of `bytes`, where there is one. `is_head`: the request was
/// a HEAD, so that no body follows.
pub fn take_reply(bytes: &mut Vec<u8>, is_head: bool) -> Option<Reply> {
    let head_bytes = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..head_bytes]).expect("heads are text");
    let mut lines = head.split("\r\n");
    let status_line = lines.next().expect("a split gives one at least");
    let status = status_line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    let status: u16 = status.and_then(|digits| digits.parse().ok()).expect("a status line");
    let fields: Vec<(String, String)> = lines
        .map(|line| line.split_once(": ").unwrap_or_else(|| panic!("a field of {head:?}")))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = fields.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.map_or(0, |(_, value)| value.parse().expect("a length"));
    assert!(status != 204 || length == 0, "a 204 has no body: {head:?}");
    let body_bytes = if is_head { 0 } else { length };
    let end = head_bytes + 4 + body_bytes;
    if bytes.len() < end {
        return None;
    }
    let body = bytes[head_bytes + 4..end].to_vec();
    bytes.drain(..end);
    let reply = Reply { status, fields, body };
    assert!(reply.field("date").is_some(), "no date in {reply:?}");
    Some(reply)
}

/// A request without a body.
pub fn bare(method: &str, target: &str) -> Vec<u8> {
    format!("{method} {target} HTTP/1.1\r\nHost: sim\r\n\r\n").into_bytes()
}

/// A POST of JSON, in chunks of `chunk_bytes` where that is not 0.
pub fn post(target: &str, body: &str, chunk_bytes: usize) -> Vec<u8> {
    let head = format!("POST {target} HTTP/1.1\r\nHost: sim\r\nContent-Type: application/json\r\n");
    let mut bytes = head.into_bytes();
    if chunk_bytes == 0 {
        bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
        return bytes;
    }
    bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
    for chunk in body.as_bytes().chunks(chunk_bytes) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

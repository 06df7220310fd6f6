//! What the tests of this floor share: requests, a frame, and replies taken apart.

use super::cors::{Cors, Grant};
use super::reply::ResponseContext;
use super::token::{Keys, Secret, Token};
use nudged_base::time::WallMs;
use nudged_http::head::{HeadFields, Method, Request};
use nudged_http::reply::{ImfDate, ResponseFlags};

/// The node's time in tests.
pub const NOW: WallMs = WallMs(1_800_000_000_000);

/// A frame of an open HTTP/1.1 connection.
pub(crate) const FRAME: ResponseFlags<'static> =
    ResponseFlags { date: &ImfDate::EPOCH, close: false, head_only: false, http_1_0: false };

/// A GET without any field.
pub fn get<'b>(path: &'b str, query: &'b str) -> Request<'b> {
    Request {
        host: None,
        method: Method::Get,
        path,
        query,
        authorization: None,
        content_type: None,
        origin: None,
        access_control_request_method: None,
        access_control_request_headers: None,
        accept: None,
        nudge_who: None,
        accept_encoding: None,
        fields: HeadFields::default(),
        body: b"",
        http_1_0: false,
        close: false,
    }
}

/// A POST of JSON.
pub fn post<'b>(path: &'b str, body: &'b str) -> Request<'b> {
    Request {
        method: Method::Post,
        content_type: Some(b"application/json"),
        body: body.as_bytes(),
        ..get(path, "")
    }
}

/// One signing key.
pub fn keys() -> Keys {
    Keys::new(&[Secret { id: 1, created_at: WallMs(0), bytes: [9; 32], moved_at: None }])
}

/// A token of `user`, as text.
pub fn token_text(user: &str) -> String {
    let token =
        Token { user, popup: "p", version: 1, variant: "", number: 1, at: NOW, local: None };
    let mut text = String::new();
    keys().mint(&token, &mut text);
    text
}

/// A response without CORS.
pub fn response(cors: &Cors) -> ResponseContext<'_> {
    ResponseContext { frame: FRAME, cors, grant: Grant::Silent }
}

/// A reply taken apart.
#[derive(Debug)]
pub struct FixtureReply {
    /// Its status.
    pub status: u16,
    /// Its fields, names in lower case.
    pub fields: Vec<(String, String)>,
    /// Its body.
    pub body: String,
}

impl FixtureReply {
    /// Reads the one reply in `out`.
    pub fn read(out: &[u8]) -> FixtureReply {
        let text = str::from_utf8(out).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let fields = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let reply = FixtureReply { status, fields, body: body.to_owned() };
        let length = reply.field("content-length").map(|length| length.parse().unwrap());
        assert!(body.is_empty() || length == Some(body.len()), "{reply:?}");
        reply
    }

    /// The value of a field; it must not be there twice.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(known, _)| known == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} twice: {self:?}");
        value
    }

    /// The code and the field of a refusal.
    pub fn error(&self) -> (String, Option<String>) {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        let part = |name: &str| body["error"].get(name).map(|part| part.as_str().unwrap().into());
        (part("code").unwrap(), part("field"))
    }
}

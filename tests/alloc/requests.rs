//! What is asked of a node here, and what its popups are: for the counts of allocations and for
//! those of instructions.

use hmac::{Hmac, Mac as _};
use nudged_base::ids::{ShardId, UserKey};
use sha2::Sha256;

/// Shown once, then not for a day.
pub const ONCE: &str = r#"
    [[popup]]
    id = "welcome"
    content = { title = "Welcome" }
    locales.de = { title = "Willkommen" }
    target = { all = [
        { attr = "platform", op = "in", value = ["ios", "android"] },
        { attr = "app_version", op = "semver_gte", value = "5.2.0" },
    ] }
    [[popup]]
    id = "web-only"
    target = { attr = "platform", op = "eq", value = "web" }
    caps = [{ n = 1, per = "24h" }]
    windows = [{ from = "09:00", to = "18:00" }]
    tz = "Europe/Berlin"
"#;

/// Shown each time.
pub const ALWAYS: &str = r#"
    [[popup]]
    id = "banner"
    after_shown = "0s"
    after_ignored = "0s"
    after_clicked = "0s"
    variants = [{ key = "a", content = { title = "A" } }, { key = "b", content = { title = "B" } }]
"#;

/// So many users who are at home on one of the shards.
pub fn users(shards: u16, home: u16, count: usize) -> Vec<String> {
    let all = (0..).map(|number| format!("user-{number}"));
    let of_home = |user: &String| UserKey::of(user.as_bytes()).home(shards) == ShardId(home);
    all.filter(of_home).take(count).collect()
}

/// A decision by its query.
pub fn get(user: &str) -> Vec<u8> {
    format!(
        "GET /v1/decide?user={user}&placement=home&attr.platform=ios&attr.app_version=5.3.1 \
         HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: app/5\r\nAccept: */*\r\n\r\n"
    )
    .into_bytes()
}

/// A public key.
pub const KEY: &str = "pk_of_a_page";

/// The same with a key in its query.
pub fn keyed_get(user: &str) -> Vec<u8> {
    let request = String::from_utf8(get(user)).unwrap();
    request.replacen(" HTTP/1.1", &format!("&key={KEY} HTTP/1.1"), 1).into_bytes()
}

/// What users are signed with.
pub const SECRET: &str = "identity-secret-1";

/// The same with the user's signature.
pub fn signed_get(user: &str) -> Vec<u8> {
    let request = String::from_utf8(keyed_get(user)).unwrap();
    let mac: Hmac<Sha256> = Hmac::new_from_slice(SECRET.as_bytes()).unwrap();
    let signature = nudged_base::hex::encode(&mac.chain_update(user).finalize().into_bytes());
    request.replacen(" HTTP/1.1", &format!("&sig={signature} HTTP/1.1"), 1).into_bytes()
}

/// A body of JSON.
pub fn post(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: shop.example\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// The same decision by a body.
pub fn post_decide(user: &str) -> Vec<u8> {
    let body = format!(
        "{{\"user\":\"{user}\",\"placement\":\"home\",\"locale\":\"de-AT\",\
         \"attrs\":{{\"platform\":\"ios\",\"app_version\":\"5.3.1\",\"age\":18.50}}}}"
    );
    post("/v1/decide", &body)
}

/// A click on the show of a token, with more members.
pub fn click(token: &str, more: &str) -> Vec<u8> {
    post("/v1/events", &format!("{{\"decision\":\"{token}\",\"action\":\"clicked\"{more}}}"))
}

//! A token's entry as a JSON object, in Redis and in the node's file. Times are milliseconds since
//! 1970, the hash is in hex. The token itself is in none.

use serde::{Deserialize, Serialize};

use super::{OperatorRole, OperatorToken, OperatorTokenId};
use crate::ended::Ended;
use nudged_base::hex;
use nudged_base::limits::{WHO_BYTES_MAX, WHO_STORED_BYTES_MAX};
use nudged_base::time::WallMs;

#[derive(Serialize, Deserialize)]
struct TokenText {
    id: String,
    name: String,
    role: String,
    hash: String,
    at: i64,
    who: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended_by: Option<String>,
}

/// An entry as text, which has `"ended_at":` in it only where the token is revoked.
pub fn encode(token: &OperatorToken) -> String {
    let text = TokenText {
        id: token.id.to_string(),
        name: token.name.to_string(),
        role: token.role.word().to_owned(),
        hash: hex::encode(&token.hash),
        at: token.at.0,
        who: token.who.to_string(),
        expires_at: token.expires.map(|expires| expires.0),
        ended_at: token.end.as_ref().map(|end| end.at.0),
        ended_by: token.end.as_ref().map(|end| end.who.to_string()),
    };
    serde_json::to_string(&text).expect("our own values serialize")
}

/// An entry of its text; `None` for any other text.
pub fn decode(text: &str) -> Option<OperatorToken> {
    let text: TokenText = serde_json::from_str(text).ok()?;
    let is_short = |who: &str| who.len() <= WHO_STORED_BYTES_MAX;
    let is_fit = (1..=WHO_BYTES_MAX).contains(&text.name.len())
        && is_short(&text.who)
        && text.ended_by.as_deref().is_none_or(is_short);
    let end = match (text.ended_at, text.ended_by) {
        (None, None) => None,
        (Some(at), Some(who)) => Some(Ended { at: WallMs(at), who: who.into() }),
        _ => return None,
    };
    let (id, role) = (OperatorTokenId::parse(&text.id)?, OperatorRole::of_word(&text.role)?);
    let (hash, at) = (hex::decode_array(&text.hash)?, WallMs(text.at));
    let (name, who) = (text.name.into(), text.who.into());
    let expires = text.expires_at.map(WallMs);
    is_fit.then_some(OperatorToken { id, name, role, hash, at, who, expires, end })
}

//! Operators' tokens: made, listed and revoked. The token itself is in the answer that makes it and
//! nowhere else.

use std::ops::RangeInclusive;

use bumpalo::Bump;
use serde_json::{Value, json};

use super::answer::AdminAnswer;
use super::changes::author;
use super::input::{self, BadInput, moment_json};
use super::members;
use super::service::Service;
use nudged_base::limits::{
    OPERATOR_TOKEN_EXPIRES_IN_MAX_MS, OPERATOR_TOKEN_EXPIRES_IN_MIN_MS, WHO_BYTES_MAX,
};
use nudged_base::time::{DurationMs, parse_duration};
use nudged_domain::catalog::overrides::OverridePlace;
use nudged_domain::operators::{OperatorRole, OperatorToken, OperatorTokenId, TokenNotMade};
use nudged_http::head::Request;
use nudged_publish::publisher::operators::RevokedTokens;
use nudged_runtime::clocks;

/// `GET /v1/tokens`: those in force, and those that expired not long ago.
pub(super) fn list(service: &Service) -> AdminAnswer {
    let tokens: Vec<Value> = service.publisher.with_tokens(|tokens| {
        let mut told: Vec<(&OperatorToken, OverridePlace)> =
            tokens.standing().map(|token| (token, tokens.stored(token.id))).collect();
        told.sort_by_key(|(token, _)| (token.at, token.id));
        told.into_iter().map(|(token, stored)| token_json(token, stored)).collect()
    });
    AdminAnswer::json(200, &json!({ "tokens": tokens }))
}

/// `POST /v1/tokens` of `{"name","role","expires_in"}`. `peer` is who is there.
///
/// # Errors
/// The answer that refuses it.
pub(super) fn make(
    service: &Service,
    request: &Request<'_>,
    peer: &str,
) -> Result<AdminAnswer, AdminAnswer> {
    let who = author(request.nudge_who, peer)?;
    let (name, role, expires_in) = asked(request.body)?;
    let made = service.publisher.make_token((&name, role), expires_in, &who).map_err(not_made)?;
    let mut body = token_json(&made.token, made.stored);
    body["token"] = json!(made.secret);
    body["warnings"] = json!(made.warnings);
    Ok(AdminAnswer::json(201, &body))
}

/// `DELETE /v1/tokens/{id}`, and `DELETE /v1/tokens` with `id` or `name` in its query. Two nodes
/// may have made one name at once: all that have it are revoked, and the oldest of them is told.
///
/// # Errors
/// The answer that refuses it.
pub(super) fn revoke(
    service: &Service,
    in_path: Option<&str>,
    request: &Request<'_>,
    peer: &str,
) -> Result<AdminAnswer, AdminAnswer> {
    let who = author(request.nudge_who, peer)?;
    let bump = Bump::new();
    let [id, name] = match in_path {
        Some(id) => [Some(id), None],
        None => input::fields(request.query, ["id", "name"], &bump)?,
    };
    let publisher = &service.publisher;
    let revoked = match (id, name) {
        (Some(id), None) => {
            let id = OperatorTokenId::parse(id).ok_or_else(AdminAnswer::not_found)?;
            publisher.revoke_tokens(|token| token.id == id, &who)
        }
        (None, Some(name)) => publisher.revoke_tokens(|token| *token.name == *name, &who),
        (Some(_), Some(_)) => return Err(BadInput::new("bad_value", "name").into()),
        (None, None) => return Err(BadInput::new("empty", "id").into()),
    };
    let RevokedTokens { tokens, mut warnings } = revoked;
    let oldest = tokens.iter().min_by_key(|(token, _)| (token.at, token.id));
    let Some((token, _)) = oldest else { return Err(AdminAnswer::not_found()) };
    let stored = tokens.iter().map(|(_, stored)| *stored).min();
    let mut body = token_json(token, stored.unwrap_or(OverridePlace::Memory));
    if tokens.len() > 1 {
        let (count, name) = (tokens.len(), &token.name);
        warnings.push(format!("{count} tokens had the name \"{name}\": all of them are revoked"));
    }
    body["revoked"] = json!(tokens.len());
    body["warnings"] = json!(warnings);
    Ok(AdminAnswer::json(200, &body))
}

fn token_json(token: &OperatorToken, stored: OverridePlace) -> Value {
    let mut body = json!({
        "id": token.id.to_string(),
        "name": token.name,
        "role": token.role.word(),
        "created_at": moment_json(token.at),
        "created_by": token.who,
        "expires_at": token.expires.map(moment_json),
        "expired": token.is_expired(clocks::wall()),
        "stored": stored.word(),
    });
    if let Some(end) = &token.end {
        body["revoked_at"] = moment_json(end.at);
        body["revoked_by"] = json!(end.who);
    }
    body
}

/// Name, role and time of a body.
fn asked(body: &[u8]) -> Result<(String, OperatorRole, Option<DurationMs>), AdminAnswer> {
    let [name, role, expires_in] = members::read(body, ["name", "role", "expires_in"])?;
    let text = |value: Option<Value>, name| match value {
        None => Err(BadInput::new("empty", name)),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(BadInput::new("wrong_type", name)),
    };
    let name = text(name, "name")?;
    let role = text(role, "role")?;
    check_name(name.trim())?;
    let role = OperatorRole::of_word(&role).ok_or(BadInput::new("bad_value", "role"))?;
    let expires_in = expires_in.map(|value| text(Some(value), "expires_in")).transpose()?;
    let expires_in = expires_in.map(|text| read_expiry(&text)).transpose()?;
    Ok((name.trim().to_owned(), role, expires_in))
}

/// For how long a token is to last.
fn read_expiry(text: &str) -> Result<DurationMs, AdminAnswer> {
    const RANGE_MS: RangeInclusive<u64> =
        OPERATOR_TOKEN_EXPIRES_IN_MIN_MS..=OPERATOR_TOKEN_EXPIRES_IN_MAX_MS;
    let time = parse_duration(text).ok().filter(|time| RANGE_MS.contains(&time.0));
    time.ok_or_else(|| {
        let words = "expires_in must be a duration from 1s to 3653d, such as \"90d\"";
        AdminAnswer::errors(400, "bad_value", Some("expires_in"), &[words.to_owned()])
    })
}

/// Looks whether a token may be called so.
fn check_name(name: &str) -> Result<(), BadInput> {
    if name.is_empty() {
        return Err(BadInput::new("empty", "name"));
    }
    if name.len() > WHO_BYTES_MAX {
        return Err(BadInput::new("too_long", "name"));
    }
    if name.chars().any(char::is_control) {
        return Err(BadInput::new("control_character", "name"));
    }
    Ok(())
}

fn not_made(why: TokenNotMade) -> AdminAnswer {
    let (status, code, field) = match why {
        TokenNotMade::NameTaken => (409, "name_taken", Some("name")),
        TokenNotMade::TooMany => (409, "too_many_tokens", None),
        TokenNotMade::NoRandomness => (503, "no_randomness", None),
    };
    AdminAnswer::errors(status, code, field, &[why.to_string()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read_strictly() {
        let long = format!(r#"{{"name":"{}","role":"admin"}}"#, "n".repeat(65));
        type Asked<'c> = (&'c str, OperatorRole, Option<u64>);
        type Case<'c> = (&'c str, Result<Asked<'c>, (&'c str, &'c str)>);
        let cases: &[Case<'_>] = &[
            (r#"{"name":" ann ","role":"viewer"}"#, Ok(("ann", OperatorRole::Viewer, None))),
            (
                r#"{"name":"ci","role":"operator","expires_in":"1h30m"}"#,
                Ok(("ci", OperatorRole::Operator, Some(5_400_000))),
            ),
            (r#"{"name":"a","role":"admin","expires_in":90}"#, Err(("wrong_type", "expires_in"))),
            (r#"{"name":"a","role":"admin","expires_in":"90"}"#, Err(("bad_value", "expires_in"))),
            (r#"{"name":"a","role":"admin","expires_in":"0s"}"#, Err(("bad_value", "expires_in"))),
            (r#"{"name":"a","role":"admin","expires_in":"11y"}"#, Err(("bad_value", "expires_in"))),
            (
                r#"{"name":"a","role":"admin","expires_in":"3654d"}"#,
                Err(("bad_value", "expires_in")),
            ),
            (
                r#"{"name":"a","role":"admin","expires_in":"never"}"#,
                Err(("bad_value", "expires_in")),
            ),
            ("", Err(("bad_json", "body"))),
            ("[]", Err(("bad_value", "body"))),
            (r#"{"role":"viewer"}"#, Err(("empty", "name"))),
            (r#"{"name":"","role":"viewer"}"#, Err(("empty", "name"))),
            (r#"{"name":7,"role":"viewer"}"#, Err(("wrong_type", "name"))),
            (r#"{"name":"a\nb","role":"viewer"}"#, Err(("control_character", "name"))),
            (&long, Err(("too_long", "name"))),
            (r#"{"name":"ann"}"#, Err(("empty", "role"))),
            (r#"{"name":"ann","role":"owner"}"#, Err(("bad_value", "role"))),
            (r#"{"name":"ann","role":"viewer","x":1}"#, Err(("unknown_field", "x"))),
            (r#"{"name":"a","name":"b","role":"admin"}"#, Err(("duplicate_key", "name"))),
            (r#"{"name":"a","role":"viewer","role":"admin"}"#, Err(("duplicate_key", "role"))),
        ];
        for (body, want) in cases {
            let got = asked(body.as_bytes());
            let got = got
                .as_ref()
                .map(|(name, role, time)| (name.as_str(), *role, time.map(|time| time.0)));
            let refused =
                |bad: &AdminAnswer| -> Value { serde_json::from_slice(&bad.body).unwrap() };
            let got = got.map_err(|bad| refused(bad)["error"].clone());
            let want = want.map_err(|(code, field)| json!({ "code": code, "field": field }));
            assert_eq!(got, want, "{body}");
        }
    }
}

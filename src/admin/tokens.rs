//! Operators' tokens: made, listed and revoked. The token itself is in the answer that makes it and
//! nowhere else.

use bumpalo::Bump;
use serde_json::{Value, json};

use super::answer::AdminAnswer;
use super::changes::author;
use super::input::{self, BadInput, moment_json};
use super::members;
use super::service::Service;
use nudged_base::limits::WHO_BYTES_MAX;
use nudged_domain::catalog::overrides::OverridePlace;
use nudged_domain::operators::{OperatorRole, OperatorToken, OperatorTokenId, TokenNotMade};
use nudged_http::head::Request;
use nudged_publish::publisher::operators::RevokedTokens;

/// `GET /v1/tokens`: those in force.
pub(super) fn list(service: &Service) -> AdminAnswer {
    let tokens: Vec<Value> = service.publisher.with_tokens(|tokens| {
        let mut told: Vec<(&OperatorToken, OverridePlace)> =
            tokens.in_force().map(|token| (token, tokens.stored(token.id))).collect();
        told.sort_by_key(|(token, _)| (token.at, token.id));
        told.into_iter().map(|(token, stored)| token_json(token, stored)).collect()
    });
    AdminAnswer::json(200, &json!({ "tokens": tokens }))
}

/// `POST /v1/tokens` of `{"name","role"}`. `peer` is who is there.
///
/// # Errors
/// The answer that refuses it.
pub(super) fn make(
    service: &Service,
    request: &Request<'_>,
    peer: &str,
) -> Result<AdminAnswer, AdminAnswer> {
    let who = author(request.nudge_who, peer)?;
    let (name, role) = asked(request.body)?;
    let made = service.publisher.make_token(&name, role, &who).map_err(not_made)?;
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
        "stored": stored.word(),
    });
    if let Some(end) = &token.end {
        body["revoked_at"] = moment_json(end.at);
        body["revoked_by"] = json!(end.who);
    }
    body
}

/// Name and role of a body.
fn asked(body: &[u8]) -> Result<(String, OperatorRole), AdminAnswer> {
    let [name, role] = members::read(body, ["name", "role"])?;
    let text = |value: Option<Value>, name| match value {
        None => Err(BadInput::new("empty", name)),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(BadInput::new("wrong_type", name)),
    };
    let name = text(name, "name")?;
    let role = text(role, "role")?;
    check_name(name.trim())?;
    let role = OperatorRole::of_word(&role).ok_or(BadInput::new("bad_value", "role"))?;
    Ok((name.trim().to_owned(), role))
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
        type Case<'c> = (&'c str, Result<(&'c str, OperatorRole), (&'c str, &'c str)>);
        let cases: &[Case<'_>] = &[
            (r#"{"name":" ann ","role":"viewer"}"#, Ok(("ann", OperatorRole::Viewer))),
            (r#"{"name":"ci","role":"operator"}"#, Ok(("ci", OperatorRole::Operator))),
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
            let got = got.as_ref().map(|(name, role)| (name.as_str(), *role));
            let refused =
                |bad: &AdminAnswer| -> Value { serde_json::from_slice(&bad.body).unwrap() };
            let got = got.map_err(|bad| refused(bad)["error"].clone());
            let want = want.map_err(|(code, field)| json!({ "code": code, "field": field }));
            assert_eq!(got, want, "{body}");
        }
    }
}

//! `POST /v1/check`: what is to be said of a popup before it is stored. Changes nothing.
//!
//! Limit: one at a time; another waits [`CHECK_TURN_MS`] for its turn, and is told to come again.

use std::time::Duration;

use bumpalo::Bump;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::answer::AdminAnswer;
use super::changes::{body_of, format_of};
use super::input;
use super::service::Service;
use nudged_base::limits::CHECK_TURN_MS;
use nudged_domain::catalog::lint::Warning;
use nudged_domain::catalog::source::SourceError;
use nudged_http::head::Request;
use nudged_publish::publisher::CheckedPopup;

/// Answers `id`, with the popup as the body.
///
/// # Errors
/// The answer that refuses a body that is no text.
pub(super) fn answer(service: &Service, request: &Request<'_>) -> Result<AdminAnswer, AdminAnswer> {
    let bump = Bump::new();
    let [id] = input::fields(request.query, ["id"], &bump)?;
    let text = body_of(request)?;
    let format = format_of(request.content_type, text);
    let turn = service.checks.take_within(Duration::from_millis(CHECK_TURN_MS));
    let _turn = turn.ok_or_else(|| AdminAnswer::unavailable("busy"))?;
    let checked = service.publisher.check_popup((text, format), id, service.now());
    let CheckedPopup { errors, warnings, definition, is_change } = checked;
    let canonical = definition.as_ref().map(|definition| definition.canonical_json());
    let canonical = canonical.and_then(|text| RawValue::from_string(text).ok());
    let body = json!({
        "id": definition.as_ref().map(|definition| definition.id()).or(id),
        "errors": errors.iter().map(error_json).collect::<Vec<_>>(),
        "warnings": warnings.iter().map(warning_json).collect::<Vec<_>>(),
        "definition": canonical,
        "changed": definition.as_ref().map(|_| is_change),
    });
    Ok(AdminAnswer::json(200, &body))
}

fn error_json(error: &SourceError) -> Value {
    json!({ "field": error.field, "message": error.message, "line": error.line })
}

fn warning_json(Warning { problem, .. }: &Warning) -> Value {
    json!({ "field": problem.field(), "code": problem.code(), "message": problem.message() })
}

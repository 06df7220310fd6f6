//! Changes of popups that operators ask for: a request to an edit, its outcome to an answer. Each
//! is answered when every shard of this node decides by it.

use std::sync::Arc;

use bumpalo::Bump;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::answer::AdminAnswer;
use super::input::{self, BadInput};
use super::popups::popup_json;
use super::progress::{self, FollowedOverride, override_answer};
use super::service::Service;
use super::{drafts, events, members};
use nudged_base::limits::WHO_BYTES_MAX;
use nudged_domain::catalog::overrides::OverrideKind;
use nudged_domain::catalog::source::{Definition, Format, parse_popup};
use nudged_http::head::Request;
use nudged_publish::publisher::{
    Changed, DraftPut, EditContext, ExpectedVersion, OverrideRequest, PopupEdit, PublishError,
};

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChangeRequest {
    /// `PUT /v1/popups/{id}`
    Put,
    /// `PATCH /v1/popups/{id}`
    Patch,
    /// `PUT /v1/popups/{id}/draft`
    PutDraft,
    /// `DELETE /v1/popups/{id}/draft`
    DeleteDraft,
    /// `POST /v1/popups/{id}/publish`
    Publish,
    /// `DELETE /v1/popups/{id}`
    Delete,
    /// `POST /v1/popups/{id}/pause`, `resume` and `archive`
    Override(OverrideRequest),
    /// `POST /v1/popups/{id}/rollback`
    RollBack,
}

/// Answers. `peer` is who is there.
///
/// # Errors
/// The answer that refuses it.
pub(super) fn answer(
    service: &Arc<Service>,
    (change, id): (ChangeRequest, &str),
    request: &Request<'_>,
    peer: &str,
) -> Result<AdminAnswer, AdminAnswer> {
    let author = author(request.nudge_who, peer)?;
    let expected = expected_of(request).map_err(|bad| {
        let line = "If-Match takes the version of a popup or the revision of a draft, such as \
                    \"3\", or *; If-None-Match takes * alone, and they do not go together";
        AdminAnswer::errors(400, bad.code, bad.field, &[line.to_owned()])
    })?;
    let context = EditContext { id, who: &author, expected };
    let edit = match change {
        ChangeRequest::Put => PopupEdit::Put(definition(request, id)?),
        ChangeRequest::PutDraft => {
            let bump = Bump::new();
            let [base_version] = input::fields(request.query, ["base_version"], &bump)?;
            let base_version = base_version.and_then(number);
            let put = DraftPut { definition: definition(request, id)?, base_version };
            let drafted = service.publisher.put_draft(context, &put)?;
            return Ok(drafts::put_answer(service, &drafted));
        }
        ChangeRequest::DeleteDraft => return drafts::delete(service, context),
        ChangeRequest::Publish => {
            members::none(request.body, "POST /v1/popups/{id}/publish")?;
            let bump = Bump::new();
            let [revision] = input::fields(request.query, ["revision"], &bump)?;
            PopupEdit::Publish(revision.and_then(input::number))
        }
        ChangeRequest::Patch => PopupEdit::Patch(body_of(request)?.into()),
        ChangeRequest::Delete => PopupEdit::Delete,
        ChangeRequest::RollBack => PopupEdit::RollBack(version(request)?),
        ChangeRequest::Override(asked) => {
            members::none(request.body, name_of(asked))?;
            if events::are_accepted(request.accept) {
                service.publisher.check_override(context)?;
                let (id, expected) = (id.to_owned(), context.expected);
                let followed = FollowedOverride { id, who: author, expected, asked };
                return Ok(progress::answer(service, followed));
            }
            let overridden = service.publisher.override_popup(context, asked)?;
            return Ok(override_answer(service, &overridden));
        }
    };
    Ok(change_answer(service, change, &service.publisher.change(context, &edit)?))
}

/// `POST /v1/reload`
///
/// # Errors
/// The answer that says what was wrong.
pub(super) fn reload(
    service: &Service,
    request: &Request<'_>,
    peer: &str,
) -> Result<AdminAnswer, AdminAnswer> {
    members::none(request.body, "POST /v1/reload")?;
    let reloaded = service.publisher.reload(&author(request.nudge_who, peer)?)?;
    let body = json!({
        "version": reloaded.version,
        "applied": reloaded.applied,
        "waiting_for_restart": reloaded.waiting,
        "changed": reloaded.is_changed,
        "warnings": reloaded.warnings,
    });
    Ok(AdminAnswer::json(200, &body))
}

/// The operation of a request for an override.
fn name_of(asked: OverrideRequest) -> &'static str {
    match asked {
        OverrideRequest::Set(OverrideKind::Pause) => "POST /v1/popups/{id}/pause",
        OverrideRequest::Set(OverrideKind::Archive) => "POST /v1/popups/{id}/archive",
        OverrideRequest::Resume => "POST /v1/popups/{id}/resume",
    }
}

fn change_answer(service: &Service, change: ChangeRequest, changed: &Changed) -> AdminAnswer {
    let Changed { known, is_new, published } = changed;
    let stored = service.publisher.with_overrides(|all| all.stored(&known.stored.id));
    let mut body = popup_json(published, known, stored);
    if change != ChangeRequest::Delete {
        let mut warnings = published.warnings_of(&known.stored.id);
        if let Some(status) = known.override_status {
            let (id, word) = (&known.stored.id, status.word());
            warnings.push(format!("popup \"{id}\" stays {word} until POST /v1/popups/{id}/resume"));
        }
        body.warnings = Some(warnings);
    }
    let status = if *is_new { 201 } else { 200 };
    AdminAnswer::json(status, &body).with_tag(known.stored.version)
}

/// Whom a change is put down to: the name that the request gives, else `admin`, and from where it
/// comes.
///
/// # Errors
/// Names that are empty, too long or no text.
pub(super) fn author(field: Option<&[u8]>, peer: &str) -> Result<String, BadInput> {
    const FIELD: &str = "Nudge-Who";
    let Some(bytes) = field else { return Ok(format!("admin ({peer})")) };
    let name = str::from_utf8(bytes).map_err(|_| BadInput::new("invalid_utf8", FIELD))?;
    match name.trim() {
        "" => Err(BadInput::new("empty", FIELD)),
        name if name.len() > WHO_BYTES_MAX => Err(BadInput::new("too_long", FIELD)),
        name if name.chars().any(char::is_control) => {
            Err(BadInput::new("control_character", FIELD))
        }
        name => Ok(format!("{name} ({peer})")),
    }
}

/// What the request asks of the popup as it is: `If-Match`, or `If-None-Match` with `*` alone.
pub(super) fn expected_of(request: &Request<'_>) -> Result<Option<ExpectedVersion>, BadInput> {
    let fields = request.fields;
    match (fields.lines("if-match"), fields.lines("if-none-match")) {
        (None, None) => Ok(None),
        (Some(field), None) => {
            let mut values = field.values().map(expected);
            let first = values.next().expect("a field has a value")?;
            // One version is meant: a list of others would guard nothing.
            match values.all(|other| other.as_ref() == Ok(&first)) {
                true => Ok(Some(first)),
                false => Err(BadInput::new("bad_value", "If-Match")),
            }
        }
        (None, Some(field)) if field.values().all(|value| value.trim_ascii() == b"*") => {
            Ok(Some(ExpectedVersion::Absent))
        }
        // A client that meant something by it must not take its change for one that was guarded.
        (_, Some(_)) => Err(BadInput::new("bad_value", "If-None-Match")),
    }
}

/// `If-Match`: a version or a draft's revision, as a number or an entity tag, or `*`.
fn expected(field: &[u8]) -> Result<ExpectedVersion, BadInput> {
    let text = field.trim_ascii();
    if text == b"*" {
        return Ok(ExpectedVersion::Any);
    }
    let text = text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(text);
    let version = str::from_utf8(text).ok().and_then(input::number);
    version.map(ExpectedVersion::Version).ok_or(BadInput::new("bad_value", "If-Match"))
}

/// A version.
fn number(text: &str) -> Option<u32> {
    input::number(text).and_then(|number| u32::try_from(number).ok())
}

/// The body as the popup's definition.
fn definition(request: &Request<'_>, id: &str) -> Result<Arc<Definition>, AdminAnswer> {
    let text = body_of(request)?;
    let parsed = parse_popup(text, format_of(request.content_type, text), id);
    Ok(Arc::new(parsed.map_err(PublishError::Definition)?))
}

/// The body as text.
pub(super) fn body_of<'b>(request: &Request<'b>) -> Result<&'b str, BadInput> {
    let text = str::from_utf8(request.body).map_err(|_| BadInput::new("invalid_utf8", "body"))?;
    if text.trim().is_empty() { Err(BadInput::new("empty", "body")) } else { Ok(text) }
}

/// What `Content-Type` says; where it says nothing, what is JSON is that, be it a popup or not, and
/// what only begins with a brace was meant to be: no TOML does.
pub(super) fn format_of(content_type: Option<&[u8]>, text: &str) -> Format {
    let content_type = content_type.unwrap_or_default().to_ascii_lowercase();
    let says = |word: &str| content_type.windows(word.len()).any(|part| part == word.as_bytes());
    match (says("toml"), says("json")) {
        (true, _) => Format::Toml,
        (_, true) => Format::Json,
        _ if text.trim_start().starts_with('{') => Format::Json,
        _ if serde_json::from_str::<IgnoredAny>(text).is_ok() => Format::Json,
        _ => Format::Toml,
    }
}

/// The version to go back to: in the query, or `{"version": N}` as the body; in both it is one.
fn version(request: &Request<'_>) -> Result<Option<u32>, AdminAnswer> {
    const FIELD: &str = "version";
    let bad = || AdminAnswer::from(BadInput::new("bad_value", FIELD));
    let bump = Bump::new();
    let [in_query] = input::fields(request.query, [FIELD], &bump)?;
    let in_query = in_query.map(|text| number(text).ok_or_else(bad)).transpose()?;
    if request.body.trim_ascii().is_empty() {
        return Ok(in_query);
    }
    let [in_body] = members::read(request.body, [FIELD])?;
    let of_json = |value: Value| value.as_u64().and_then(|version| u32::try_from(version).ok());
    let in_body = in_body.map(|value| of_json(value).ok_or_else(bad)).transpose()?;
    match (in_query, in_body) {
        (Some(one), Some(other)) if one != other => {
            let line = format!("version is {one} in the query and {other} in the body");
            Err(AdminAnswer::errors(400, "bad_value", Some(FIELD), &[line]))
        }
        (in_query, in_body) => Ok(in_query.or(in_body)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_texts() {
        let long = "x".repeat(WHO_BYTES_MAX + 1);
        type Case<'a> = (Option<&'a [u8]>, Result<&'a str, &'a str>);
        let cases: [Case<'_>; 6] = [
            (None, Ok("admin (::1)")),
            (Some(b" alice "), Ok("alice (::1)")),
            (Some(b""), Err("empty")),
            (Some(b"a\tb"), Err("control_character")),
            (Some(b"\xff"), Err("invalid_utf8")),
            (Some(long.as_bytes()), Err("too_long")),
        ];
        for (field, want) in cases {
            let got = author(field, "::1").map_err(|bad| bad.code);
            assert_eq!(got.as_deref().map_err(|code| *code), want, "{field:?}");
        }
    }

    #[test]
    fn versions_are_matched_as_numbers_tags_or_any() {
        let cases: [(&[u8], Option<ExpectedVersion>); 9] = [
            (b"3", Some(ExpectedVersion::Version(3))),
            (b"\"3\"", Some(ExpectedVersion::Version(3))),
            (b"*", Some(ExpectedVersion::Any)),
            (b"", None),
            (b"+3", None),
            (b"\"3", None),
            (b"4294967296", Some(ExpectedVersion::Version(1 << 32))),
            (b"18446744073709551616", None),
            (b"W/\"3\"", None),
        ];
        for (field, want) in cases {
            assert_eq!(expected(field).ok(), want, "{}", String::from_utf8_lossy(field));
        }
    }

    #[test]
    fn the_format_is_what_is_said_or_what_it_looks_like() {
        let cases = [
            (Some("application/json; charset=utf-8"), "id = 1", Format::Json),
            (Some("application/toml"), "{}", Format::Toml),
            (Some("application/x-www-form-urlencoded"), " {\"a\":1}", Format::Json),
            (None, "[[popup]]\nid = \"a\"", Format::Toml),
            (None, "priority = 1", Format::Toml),
        ];
        for (content_type, text, want) in cases {
            assert_eq!(format_of(content_type.map(str::as_bytes), text), want, "{text}");
        }
    }
}

//! Drafts for people: what a popup is to become, beside what it is, with what differs. Kept in SQL
//! alone: what no node decides by needs no other place.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::answer::AdminAnswer;
use super::draft_head::DraftHead;
use super::service::Service;
use nudged_publish::publisher::{Drafted, EditContext, PublishError};
use nudged_store::{StoredDraft, difference};

/// A draft, as it is told.
#[derive(Serialize)]
struct DraftJson<'a> {
    id: &'a str,
    #[serde(flatten)]
    head: DraftHead<'a>,
    /// The version that the popup has now; null where there is none.
    live_version: Option<u32>,
    /// Whether that is another one than the draft was made from.
    outdated: bool,
    /// `{"member": [live, draft]}` of what differs.
    diff: Value,
    /// Null where somebody else wrote what is no JSON.
    definition: Option<Box<RawValue>>,
    /// What is allowed and still can't be meant; told of a change.
    #[serde(skip_serializing_if = "Option::is_none")]
    warnings: Option<&'a [String]>,
}

/// `GET /v1/popups/{id}/draft`
///
/// # Errors
/// 404 where the popup has none.
pub(super) fn one(service: &Service, id: &str) -> Result<AdminAnswer, AdminAnswer> {
    let draft = service.reader()?.draft(id).map_err(|error| service.sql_failed(&error))?;
    let draft = draft.ok_or(PublishError::NoDraft)?;
    let body = draft_json(service, &draft, None);
    Ok(AdminAnswer::json(200, &body).with_tag(draft.revision()))
}

/// The answer to a draft that was put.
pub(super) fn put_answer(service: &Service, drafted: &Drafted) -> AdminAnswer {
    let status = if drafted.is_new { 201 } else { 200 };
    let body = draft_json(service, &drafted.draft, Some(&drafted.warnings));
    AdminAnswer::json(status, &body).with_tag(drafted.draft.revision())
}

/// `DELETE /v1/popups/{id}/draft`
///
/// # Errors
/// The answer that refuses it.
pub(super) fn delete(
    service: &Service,
    context: EditContext<'_>,
) -> Result<AdminAnswer, AdminAnswer> {
    service.publisher.delete_draft(context)?;
    Ok(AdminAnswer::json(200, &json!({ "id": context.id, "deleted": true })))
}

fn draft_json<'a>(
    service: &Service,
    draft: &'a StoredDraft,
    warnings: Option<&'a [String]>,
) -> DraftJson<'a> {
    let published = service.publisher.current();
    let live = published.find(&draft.id);
    let text = live.map(|known| known.stored.text.as_str());
    let live_version = live.map(|known| known.stored.version);
    let is_base = |base_version| base_version == live_version.unwrap_or(0);
    DraftJson {
        id: &draft.id,
        head: DraftHead::of(draft),
        live_version,
        outdated: !draft.base_version.is_none_or(is_base),
        diff: difference(&draft.id, text, &draft.text).unwrap_or_default(),
        definition: RawValue::from_string(draft.text.clone()).ok(),
        warnings,
    }
}

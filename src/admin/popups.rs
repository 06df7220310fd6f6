//! Popups for people, one by one: as they are stored, and as decisions see them; or as a draft has
//! them that no popup was made of yet.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::answer::AdminAnswer;
use super::draft_head::DraftHead;
use super::input::moment_json;
use super::popup_lookup::{self, PopupStats};
use super::service::Service;
use nudged_base::ids::PopupKey;
use nudged_domain::catalog::compile::{CatalogEntry, compile};
use nudged_domain::catalog::overrides::OverridePlace;
use nudged_domain::catalog::snapshot::{Popup, Settings, Snapshot, Status};
use nudged_domain::catalog::source::parse_json_popup;
use nudged_publish::publisher::{KnownPopup, Published};
use nudged_store::{PopupOrigin, StoredDraft};

/// One popup, as it is told.
#[derive(Serialize)]
pub(super) struct PopupJson<'a> {
    id: &'a str,
    version: u32,
    /// What its definition says, or the popups file where SQL could not be told yet.
    status: &'static str,
    /// What wins over that, if anything.
    #[serde(rename = "override")]
    status_override: Option<&'static str>,
    /// What decisions go by.
    effective_status: &'static str,
    /// How far pauses, archives and their ends have come.
    stored: &'static str,
    origin: &'static str,
    /// It is gone from the file, or was deleted: nobody archived it by hand.
    gone: bool,
    placement: Vec<&'a str>,
    priority: i64,
    schedule: Schedule<'a>,
    definition: &'a RawValue,
    /// What SQL knows beside it, where it was asked.
    #[serde(flatten)]
    pub(super) beside: Option<BesidePopup<'a>>,
    /// What is allowed and still can't be meant; told of a change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) warnings: Option<Vec<String>>,
    /// The shards that were told of a pause, an archive or a resume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) shards: Option<Vec<Value>>,
    /// The other nodes, and whether they know of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) nodes: Option<Vec<Value>>,
}

/// What is told beside a popup.
#[derive(Serialize)]
pub(super) struct BesidePopup<'a> {
    /// When it changed last; null where that is not known.
    pub(super) updated_at: Option<Value>,
    pub(super) draft: Option<DraftHead<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stats: Option<PopupStats>,
}

/// A draft that no popup was made of yet, read.
pub(super) struct UnpublishedPopup<'a> {
    pub(super) draft: &'a StoredDraft,
    snapshot: Snapshot,
}

impl<'a> UnpublishedPopup<'a> {
    /// Of a draft; `None` where there is a popup of it, and where somebody else wrote what is none.
    pub(super) fn of(draft: &'a StoredDraft, settings: &Settings) -> Option<UnpublishedPopup<'a>> {
        let definition = parse_json_popup(&draft.text).ok()?;
        let entry =
            CatalogEntry { definition: &definition, version: 0, status: definition.status() };
        let snapshot = compile(&[entry], settings.clone(), 0).ok()?;
        Some(UnpublishedPopup { draft, snapshot })
    }

    /// As it would be compiled.
    pub(super) fn popup(&self) -> &Popup {
        &self.snapshot.popups[0]
    }
}

#[derive(Serialize)]
struct Schedule<'a> {
    starts_at: Option<Value>,
    ends_at: Option<Value>,
    windows: Option<&'a RawValue>,
    tz: Option<&'a RawValue>,
}

/// The members of a definition that are told as they are written.
#[derive(Deserialize)]
struct WrittenFields<'a> {
    #[serde(borrow)]
    windows: Option<&'a RawValue>,
    #[serde(borrow)]
    tz: Option<&'a RawValue>,
}

/// A popup as decisions see it.
pub(super) fn compiled<'a>(published: &'a Published, known: &KnownPopup) -> &'a Popup {
    let popup = published.snapshot.popup(PopupKey::of(&known.stored.id));
    popup.expect("a snapshot has every popup that is known")
}

/// `GET /v1/popups/{id}`
///
/// # Errors
/// 404.
pub(super) fn one(service: &Service, id: &str) -> Result<AdminAnswer, AdminAnswer> {
    let published = service.publisher.current();
    let known = published.find(id).ok_or_else(AdminAnswer::not_found)?;
    let stored = service.publisher.with_overrides(|all| all.stored(id));
    let mut body = popup_json(&published, known, stored);
    // What is in force is told whether SQL answers or not.
    let beside = popup_lookup::of_one(service, id);
    body.warnings = beside.is_err().then(|| vec![SQL_AWAY.to_owned()]);
    let (draft, changed) = beside.unwrap_or_default();
    body.beside = Some(BesidePopup {
        updated_at: changed.map(moment_json),
        draft: draft.as_ref().map(DraftHead::of),
        stats: None,
    });
    Ok(AdminAnswer::json(200, &body).with_tag(known.stored.version))
}

/// What an answer lacks while SQL can't be asked.
pub(super) const SQL_AWAY: &str =
    "SQL does not answer: drafts, the time of the latest change and statistics are not known";

/// A popup as it is told.
pub(super) fn popup_json<'a>(
    published: &'a Published,
    known: &'a KnownPopup,
    place: OverridePlace,
) -> PopupJson<'a> {
    let stored = &known.stored;
    let status = if stored.is_gone { known.definition.status() } else { known.own };
    let status_override = match stored.is_gone {
        true => Some(Status::Archived.word()),
        false => known.override_status.map(Status::word),
    };
    PopupJson {
        version: stored.version,
        status_override,
        effective_status: known.status.word(),
        stored: place.word(),
        origin: stored.origin.word(),
        gone: stored.is_gone,
        ..definition_json(compiled(published, known), &stored.text, status)
    }
}

/// A draft that no popup was made of yet, as it is told.
pub(super) fn unpublished_json<'a>(unpublished: &'a UnpublishedPopup<'a>) -> PopupJson<'a> {
    let text = &unpublished.draft.text;
    definition_json(unpublished.popup(), text, Status::Draft)
}

/// What of a popup its definition says; the rest as of one that was never published.
fn definition_json<'a>(popup: &'a Popup, text: &'a str, status: Status) -> PopupJson<'a> {
    let written: WrittenFields<'_> = serde_json::from_str(text).expect("the text was read");
    PopupJson {
        id: &popup.id,
        version: 0,
        status: status.word(),
        status_override: None,
        effective_status: Status::Draft.word(),
        stored: OverridePlace::Sql.word(),
        origin: PopupOrigin::Api.word(),
        gone: false,
        placement: popup.placements.iter().map(AsRef::as_ref).collect(),
        priority: popup.priority,
        schedule: Schedule {
            starts_at: popup.starts_at.map(moment_json),
            ends_at: popup.ends_at.map(moment_json),
            windows: written.windows,
            tz: written.tz,
        },
        definition: serde_json::from_str(text).expect("the text was read"),
        beside: None,
        warnings: None,
        shards: None,
        nodes: None,
    }
}

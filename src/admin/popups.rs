//! Popups for people: as they are stored, and as decisions see them.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::answer::AdminAnswer;
use super::input::moment_json;
use super::service::Service;
use nudged_base::ids::PopupKey;
use nudged_domain::catalog::overrides::OverridePlace;
use nudged_domain::catalog::snapshot::Status;
use nudged_publish::publisher::{KnownPopup, Published};

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
    placement: Vec<&'a str>,
    priority: i64,
    schedule: Schedule<'a>,
    definition: &'a RawValue,
    /// What is allowed and still can't be meant; told of a change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) warnings: Option<Vec<String>>,
}

/// Every popup.
#[derive(Serialize)]
struct List<'a> {
    catalog_version: u64,
    popups: &'a [PopupJson<'a>],
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

/// `GET /v1/popups`
pub(super) fn list(service: &Service) -> AdminAnswer {
    let published = service.publisher.current();
    let places = service.publisher.stored_places();
    let place =
        |known: &KnownPopup| places.get(&known.stored.id).copied().unwrap_or(OverridePlace::Sql);
    let popups = published.popups.iter();
    let popups_json: Vec<PopupJson<'_>> =
        popups.map(|known| popup_json(&published, known, place(known))).collect();
    AdminAnswer::json(
        200,
        &List { catalog_version: published.snapshot.version, popups: &popups_json },
    )
}

/// `GET /v1/popups/{id}`
pub(super) fn one(service: &Service, id: &str) -> AdminAnswer {
    let published = service.publisher.current();
    match published.find(id) {
        Some(known) => {
            let stored = service.publisher.with_overrides(|all| all.stored(id));
            AdminAnswer::json(200, &popup_json(&published, known, stored))
                .with_version(known.stored.version)
        }
        None => AdminAnswer::not_found(),
    }
}

/// A popup as it is told.
pub(super) fn popup_json<'a>(
    published: &'a Published,
    known: &'a KnownPopup,
    place: OverridePlace,
) -> PopupJson<'a> {
    let stored = &known.stored;
    let popup = published.snapshot.popup(PopupKey::of(&stored.id));
    let popup = popup.expect("a snapshot has every popup that is known");
    let written: WrittenFields<'_> = serde_json::from_str(&stored.text).expect("the text was read");
    PopupJson {
        id: &stored.id,
        version: stored.version,
        status: if stored.is_gone { known.definition.status() } else { known.own }.word(),
        status_override: match stored.is_gone {
            true => Some(Status::Archived.word()),
            false => known.override_status.map(Status::word),
        },
        effective_status: known.status.word(),
        stored: place.word(),
        origin: stored.origin.word(),
        placement: popup.placements.iter().map(AsRef::as_ref).collect(),
        priority: popup.priority,
        schedule: Schedule {
            starts_at: popup.starts_at.map(moment_json),
            ends_at: popup.ends_at.map(moment_json),
            windows: written.windows,
            tz: written.tz,
        },
        definition: serde_json::from_str(&stored.text).expect("the text was read"),
        warnings: None,
    }
}

//! Popups for people: as they are stored, and as decisions see them; one, or those that are looked
//! for, in pages that stay as they are while popups come and go: sorted by id, each begins behind
//! the last one of the page before.
//!
//! Limits: [`PAGE_ENTRIES_MAX`] popups and about [`POPUPS_LISTED_BYTES`] a page, one popup at
//! least.

use bumpalo::Bump;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::answer::AdminAnswer;
use super::input::{self, BadInput, moment_json};
use super::service::Service;
use nudged_base::ids::PopupKey;
use nudged_base::limits::{PAGE_ENTRIES_MAX, POPUPS_LISTED_BYTES};
use nudged_domain::catalog::overrides::OverridePlace;
use nudged_domain::catalog::snapshot::{Popup, Status};
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
    /// The shards that were told of a pause, an archive or a resume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) shards: Option<Vec<Value>>,
    /// The other nodes, and whether they know of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) nodes: Option<Vec<Value>>,
}

/// A page of popups.
#[derive(Serialize)]
struct List<'a> {
    catalog_version: u64,
    /// Popups that were looked for, on all pages.
    total: usize,
    popups: &'a [PopupJson<'a>],
    /// `after` of the next page; null where there is none.
    next_after: Option<&'a str>,
}

/// What is looked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct ListQuery<'a> {
    status: Option<Status>,
    placement: Option<&'a str>,
    /// In lower case.
    text: Option<String>,
    limit: usize,
    after: Option<&'a str>,
}

impl ListQuery<'_> {
    /// Whether a popup is looked for, on whichever page.
    fn finds(&self, known: &KnownPopup, popup: &Popup) -> bool {
        let has_placement =
            |wanted: &str| popup.placements.iter().any(|placement| **placement == *wanted);
        self.status.is_none_or(|status| status == known.status)
            && self.placement.is_none_or(has_placement)
            && self.text.as_deref().is_none_or(|text| has_text(popup, text))
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

/// `GET /v1/popups`: answers `status placement q limit after`.
///
/// # Errors
/// The answer that refuses it.
pub(super) fn list(service: &Service, query: &str) -> Result<AdminAnswer, AdminAnswer> {
    let bump = Bump::new();
    let query = read(query, &bump)?;
    let published = service.publisher.current();
    let places = service.publisher.stored_places();
    let place =
        |known: &KnownPopup| places.get(&known.stored.id).copied().unwrap_or(OverridePlace::Sql);
    let (mut page, mut total, mut bytes, mut has_more) = (Vec::new(), 0, 0, false);
    for known in published.popups.iter() {
        if !query.finds(known, compiled(&published, known)) {
            continue;
        }
        total += 1;
        let is_before = query.after.is_some_and(|after| known.stored.id.as_str() <= after);
        if is_before || has_more {
            continue;
        }
        bytes += known.stored.text.len();
        has_more = page.len() == query.limit || (bytes > POPUPS_LISTED_BYTES && !page.is_empty());
        if !has_more {
            page.push(popup_json(&published, known, place(known)));
        }
    }
    let next_after = page.last().filter(|_| has_more).map(|popup: &PopupJson<'_>| popup.id);
    let catalog_version = published.snapshot.version;
    Ok(AdminAnswer::json(200, &List { catalog_version, total, popups: &page, next_after }))
}

fn read<'a>(query: &'a str, bump: &'a Bump) -> Result<ListQuery<'a>, BadInput> {
    let names = ["status", "placement", "q", "limit", "after"];
    let [status, placement, text, limit, after] = input::fields(query, names, bump)?;
    let most = usize::try_from(PAGE_ENTRIES_MAX).expect("a thousand");
    let limit = limit.and_then(input::number).and_then(|limit| usize::try_from(limit).ok());
    Ok(ListQuery {
        status: status.and_then(Status::of_word),
        placement,
        text: text.map(str::to_lowercase),
        limit: limit.unwrap_or(most).min(most),
        after,
    })
}

/// Whether a text, in lower case, is in a popup's id or in a text of what it may show.
fn has_text(popup: &Popup, text: &str) -> bool {
    let contents = popup.variants.iter().flat_map(|variant| {
        std::iter::once(&variant.content).chain(variant.locales.iter().map(|(_, content)| content))
    });
    popup.id.contains(text) || contents.into_iter().any(|content| is_in_json(&content.0, text))
}

/// Whether a text is in a text of a JSON value; names of members do not count.
fn is_in_json(json: &str, text: &str) -> bool {
    // What JSON escapes stands otherwise in it; all else can be looked for as it stands.
    let is_escaped = |letter: char| letter.is_control() || matches!(letter, '"' | '\\');
    if !text.contains(is_escaped) && !json.to_lowercase().contains(text) {
        return false;
    }
    serde_json::from_str::<Value>(json).is_ok_and(|value| is_in_value(&value, text))
}

fn is_in_value(value: &Value, text: &str) -> bool {
    match value {
        Value::String(found) => found.to_lowercase().contains(text),
        Value::Array(values) => values.iter().any(|value| is_in_value(value, text)),
        Value::Object(members) => members.values().any(|value| is_in_value(value, text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn compiled<'a>(published: &'a Published, known: &KnownPopup) -> &'a Popup {
    let popup = published.snapshot.popup(PopupKey::of(&known.stored.id));
    popup.expect("a snapshot has every popup that is known")
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
    let popup = compiled(published, known);
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
        shards: None,
        nodes: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_in_texts_alone_and_whatever_its_case() {
        let json = r#"{"title":"Spring SALE","parts":[{"text":"50 % \"off\""}],"n":17,"é":"À la"}"#;
        for text in ["spring", "g sal", "50 %", "\"off\"", "à la"] {
            assert!(is_in_json(json, text), "{text}");
        }
        for text in ["title", "parts", "17", "é", "autumn", "\\"] {
            assert!(!is_in_json(json, text), "{text}");
        }
    }

    #[test]
    fn what_is_looked_for_is_all_unless_it_is_said() {
        let bump = Bump::new();
        let all = ListQuery { limit: 1_000, ..ListQuery::default() };
        assert_eq!(read("", &bump), Ok(all));
        let some = ListQuery {
            status: Some(Status::Paused),
            placement: Some("cart"),
            text: Some("sale".to_owned()),
            limit: 7,
            after: Some("a"),
        };
        let query = "status=paused&placement=cart&q=SALE&limit=7&after=a";
        assert_eq!(read(query, &bump), Ok(some));
    }
}

//! `GET /v1/popups`: popups that are looked for, in pages that stay as they are while popups come
//! and go: sorted, each begins behind the last one of the page before. Drafts that no popup was
//! made of yet are among them.
//!
//! Limits: [`PAGE_ENTRIES_MAX`] popups and about [`POPUPS_LISTED_BYTES`] a page, one popup at
//! least.

use std::cmp::{Ordering, Reverse};
use std::sync::Arc;

use bumpalo::Bump;
use serde::Serialize;
use serde_json::Value;

use super::answer::AdminAnswer;
use super::draft_head::DraftHead;
use super::input::{self, BadInput, moment_json};
use super::popup_facts::ShowsAndClicks;
use super::popup_lookup::{self, BesidePopups};
use super::popups::{
    BesidePopup, PopupJson, SQL_AWAY, UnpublishedPopup, compiled, popup_json, unpublished_json,
};
use super::service::Service;
use nudged_base::limits::{PAGE_ENTRIES_MAX, POPUPS_LISTED_BYTES};
use nudged_base::time::WallMs;
use nudged_domain::catalog::overrides::OverridePlace;
use nudged_domain::catalog::snapshot::{Popup, Status};
use nudged_publish::publisher::{KnownPopup, Published};

/// A page of popups.
#[derive(Serialize)]
struct PopupPage<'a> {
    catalog_version: u64,
    /// Popups that were looked for, on all pages.
    total: usize,
    popups: &'a [PopupJson<'a>],
    /// `after` of the next page; null where there is none.
    next_after: Option<String>,
    warnings: &'a [&'a str],
}

/// What a list is sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ListSort {
    #[default]
    Id,
    Priority,
    Updated,
    Shows,
    Clicks,
}

/// What is looked for, and in which order.
#[derive(Debug, Default, PartialEq, Eq)]
struct ListQuery<'a> {
    status: Option<Status>,
    placement: Option<&'a str>,
    /// In lower case.
    text: Option<String>,
    sort: ListSort,
    is_descending: bool,
    has_stats: bool,
    limit: usize,
    /// The number and the id of the last one of the page before.
    after: Option<(i64, &'a str)>,
}

/// A popup of the list.
#[derive(Clone, Copy)]
enum ListedPopup<'a> {
    Known(&'a KnownPopup),
    Unpublished(&'a UnpublishedPopup<'a>),
}

/// What lists are made of.
struct ListSources<'a> {
    published: &'a Published,
    unpublished: &'a [UnpublishedPopup<'a>],
    beside: &'a BesidePopups,
    totals: Arc<ShowsAndClicks>,
}

impl ListSort {
    fn of_word(word: &str) -> ListSort {
        match word {
            "priority" => ListSort::Priority,
            "updated" => ListSort::Updated,
            "shows" => ListSort::Shows,
            "clicks" => ListSort::Clicks,
            _ => ListSort::Id,
        }
    }

    /// Whether SQL alone knows the order.
    fn is_by_sql(self) -> bool {
        matches!(self, ListSort::Updated | ListSort::Shows | ListSort::Clicks)
    }
}

impl ListQuery<'_> {
    /// Whether a popup is looked for, on whichever page.
    fn finds(&self, popup: &Popup, status: Status) -> bool {
        let has_placement =
            |wanted: &str| popup.placements.iter().any(|placement| **placement == *wanted);
        self.status.is_none_or(|wanted| wanted == status)
            && self.placement.is_none_or(has_placement)
            && self.text.as_deref().is_none_or(|text| has_text(popup, text))
    }

    /// Which of two popups comes first; by id where all else is the same.
    fn order(&self, (key, id): (i64, &str), (other_key, other_id): (i64, &str)) -> Ordering {
        match (self.sort, self.is_descending) {
            (ListSort::Id, false) => id.cmp(other_id),
            (ListSort::Id, true) => other_id.cmp(id),
            (_, false) => (key, id).cmp(&(other_key, other_id)),
            (_, true) => (Reverse(key), id).cmp(&(Reverse(other_key), other_id)),
        }
    }

    /// Whether a place is behind the page before.
    fn is_behind(&self, place: (i64, &str)) -> bool {
        self.after.is_none_or(|after| self.order(after, place) == Ordering::Less)
    }

    /// What the next page begins behind.
    fn place(&self, (key, id): (i64, &str)) -> String {
        match self.sort {
            ListSort::Id => id.to_owned(),
            _ => format!("{key}.{id}"),
        }
    }
}

impl<'a> ListSources<'a> {
    /// Every popup that is looked for, with what it is sorted by, in no order.
    fn found(&self, query: &ListQuery<'_>) -> Vec<(i64, &'a str, ListedPopup<'a>)> {
        let known = self.published.popups.iter().filter_map(|known| {
            let popup = compiled(self.published, known);
            let listed = || {
                let id = known.stored.id.as_str();
                (self.key(query.sort, popup), id, ListedPopup::Known(known))
            };
            query.finds(popup, known.status).then(listed)
        });
        let unpublished = self.unpublished.iter().filter_map(|one| {
            let popup = one.popup();
            let listed = || {
                let id = one.draft.id.as_str();
                (self.key(query.sort, popup), id, ListedPopup::Unpublished(one))
            };
            query.finds(popup, Status::Draft).then(listed)
        });
        known.chain(unpublished).collect()
    }

    /// What a popup is sorted by, beside its id.
    fn key(&self, sort: ListSort, popup: &Popup) -> i64 {
        let counted = |index: usize| {
            let counts = self.totals.get(&*popup.id);
            counts.map_or(0, |counts| i64::try_from(counts[index]).unwrap_or(i64::MAX))
        };
        match sort {
            ListSort::Id => 0,
            ListSort::Priority => popup.priority,
            ListSort::Updated => self.changed(&popup.id).map_or(0, |at| at.0),
            ListSort::Shows => counted(0),
            ListSort::Clicks => counted(1),
        }
    }

    /// When a popup changed last; one that was never published with its draft.
    fn changed(&self, id: &str) -> Option<WallMs> {
        let of_draft = || self.beside.draft(id).map(|draft| draft.at);
        match self.published.find(id) {
            Some(_) => self.beside.changed.get(id).copied(),
            None => of_draft(),
        }
    }

    fn beside(&self, id: &str) -> BesidePopup<'a> {
        BesidePopup {
            updated_at: self.changed(id).map(moment_json),
            draft: self.beside.draft(id).map(DraftHead::of),
            stats: None,
        }
    }
}

impl ListedPopup<'_> {
    /// Bytes of its definition.
    fn bytes(&self) -> usize {
        match self {
            ListedPopup::Known(known) => known.stored.text.len(),
            ListedPopup::Unpublished(one) => one.draft.text.len(),
        }
    }
}

/// Answers `status placement q sort order stats limit after`.
///
/// # Errors
/// The answer that refuses it; 503 where SQL alone knows the order and does not answer.
pub(super) fn answer(service: &Service, query: &str) -> Result<AdminAnswer, AdminAnswer> {
    let bump = Bump::new();
    let query = read(query, &bump)?;
    let published = service.publisher.current();
    let beside = match popup_lookup::of_all(service, query.sort.is_by_sql()) {
        Err(refused) if query.sort.is_by_sql() => return Err(refused),
        beside => beside,
    };
    let mut is_away = beside.is_err();
    let beside = beside.unwrap_or_default();
    let settings = &published.snapshot.settings;
    let unpublished = beside.drafts.iter().filter(|draft| published.find(&draft.id).is_none());
    let unpublished: Vec<UnpublishedPopup<'_>> =
        unpublished.filter_map(|draft| UnpublishedPopup::of(draft, settings)).collect();
    let totals = match query.sort {
        ListSort::Shows | ListSort::Clicks => popup_lookup::totals(service)?,
        _ => Arc::default(),
    };
    let sources =
        ListSources { published: &published, unpublished: &unpublished, beside: &beside, totals };
    let mut found = sources.found(&query);
    let total = found.len();
    found.retain(|(key, id, _)| query.is_behind((*key, id)));
    found.sort_unstable_by(|one, other| query.order((one.0, one.1), (other.0, other.1)));
    let count = count_of_page(&query, &found);
    let next_after = (count < found.len())
        .then(|| found[..count].last().map(|(key, id, _)| query.place((*key, id))))
        .flatten();
    found.truncate(count);
    let mut page = page(service, &sources, &found);
    if query.has_stats {
        let ids: Vec<&str> = found.iter().map(|(_, id, _)| *id).collect();
        match popup_lookup::stats(service, &ids) {
            Ok(mut stats) => {
                for ((_, id, _), popup) in found.iter().zip(&mut page) {
                    let of_it = stats.remove(*id);
                    popup.beside.iter_mut().for_each(|beside| beside.stats = of_it.clone());
                }
            }
            Err(_) => is_away = true,
        }
    }
    let warnings: &[&str] = if is_away { &[SQL_AWAY] } else { &[] };
    let catalog_version = published.snapshot.version;
    let body = PopupPage { catalog_version, total, popups: &page, next_after, warnings };
    Ok(AdminAnswer::json(200, &body))
}

/// How many popups are on the page.
fn count_of_page(query: &ListQuery<'_>, found: &[(i64, &str, ListedPopup<'_>)]) -> usize {
    let mut bytes = 0;
    let fits = |(index, (_, _, popup)): (usize, &(i64, &str, ListedPopup<'_>))| {
        bytes += popup.bytes();
        index == 0 || bytes <= POPUPS_LISTED_BYTES
    };
    found.iter().enumerate().take(query.limit).map(fits).take_while(|fits| *fits).count()
}

fn page<'a>(
    service: &Service,
    sources: &ListSources<'a>,
    found: &[(i64, &'a str, ListedPopup<'a>)],
) -> Vec<PopupJson<'a>> {
    let places = service.publisher.stored_places();
    let told = found.iter().map(|(_, id, listed)| {
        let mut told = match listed {
            ListedPopup::Known(known) => {
                let place = places.get(*id).copied().unwrap_or(OverridePlace::Sql);
                popup_json(sources.published, known, place)
            }
            ListedPopup::Unpublished(one) => unpublished_json(one),
        };
        told.beside = Some(sources.beside(id));
        told
    });
    told.collect()
}

fn read<'a>(query: &'a str, bump: &'a Bump) -> Result<ListQuery<'a>, BadInput> {
    let names = ["status", "placement", "q", "sort", "order", "stats", "limit", "after"];
    let [status, placement, text, sort, order, stats, limit, after] =
        input::fields(query, names, bump)?;
    let most = usize::try_from(PAGE_ENTRIES_MAX).expect("a thousand");
    let limit = limit.and_then(input::number).and_then(|limit| usize::try_from(limit).ok());
    let sort = sort.map_or(ListSort::Id, ListSort::of_word);
    let bad_place = BadInput::new("bad_value", "after");
    let after = match after.map(input::popup_place) {
        None => None,
        Some(None) => return Err(bad_place),
        // A page goes on in the order in which it began.
        Some(Some((key, id))) => match (sort, key) {
            (ListSort::Id, None) => Some((0, id)),
            (ListSort::Id, Some(_)) | (_, None) => return Err(bad_place),
            (_, Some(key)) => Some((key, id)),
        },
    };
    Ok(ListQuery {
        status: status.and_then(Status::of_word),
        placement,
        text: text.map(str::to_lowercase),
        sort,
        is_descending: order.map_or(sort != ListSort::Id, |order| order == "desc"),
        has_stats: stats.is_some(),
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
            sort: ListSort::Shows,
            is_descending: true,
            has_stats: true,
            limit: 7,
            after: Some((-3, "a")),
        };
        let query = "status=paused&placement=cart&q=SALE&sort=shows&stats=24h&limit=7&after=-3.a";
        assert_eq!(read(query, &bump), Ok(some));
        for (query, is_descending) in
            [("sort=id&order=desc", true), ("sort=updated", true), ("sort=clicks&order=asc", false)]
        {
            assert_eq!(read(query, &bump).unwrap().is_descending, is_descending, "{query}");
        }
        for query in ["after=1.a", "sort=priority&after=a", "after=A"] {
            assert_eq!(read(query, &bump), Err(BadInput::new("bad_value", "after")), "{query}");
        }
    }

    #[test]
    fn a_page_begins_behind_the_one_before_in_each_order() {
        let all = [(5, "b"), (5, "a"), (-1, "c"), (0, "d"), (5, "e")];
        for (query, want) in [
            ("", "abcde"),
            ("order=desc", "edcba"),
            ("sort=priority", "abedc"),
            ("sort=priority&order=asc", "cdabe"),
        ] {
            for limit in 1..=6 {
                let (mut seen, mut after) = (String::new(), String::new());
                loop {
                    let bump = Bump::new();
                    let text = format!("{query}{after}");
                    let query = read(text.trim_start_matches('&'), &bump).unwrap();
                    let mut page: Vec<_> =
                        all.into_iter().filter(|of| query.is_behind(*of)).collect();
                    page.sort_by(|one, other| query.order(*one, *other));
                    page.truncate(limit);
                    seen.extend(page.iter().map(|(_, id)| *id));
                    match page.last() {
                        Some(last) => after = format!("&after={}", query.place(*last)),
                        None => break,
                    }
                }
                assert_eq!(seen, want, "{query} {limit}");
            }
        }
    }
}

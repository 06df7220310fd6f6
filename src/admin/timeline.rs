//! `GET /v1/users/{user}/timeline`: what happened to a user and why, newest first, in pages: what
//! they were shown, what they did with it, and how those popups changed since their first decision.
//!
//! A page begins at a moment, behind so many entries of it: entries that come later move no page.
//!
//! Limits: [`PAGE_ENTRIES_MAX`] entries a page; the popups of a state and of a page.

use std::collections::BTreeSet;

use bumpalo::Bump;
use serde_json::{Value, json};

use super::access::AdminAsker;
use super::answer::AdminAnswer;
use super::input::{self, BadInput, moment_json};
use super::service::Service;
use super::users;
use nudged_base::ids::PopupKey;
use nudged_base::limits::{PAGE_ENTRIES_MAX, USER_RECORDS_TOLD};
use nudged_base::time::{Gap, WallMs};
use nudged_domain::catalog::snapshot::{ShowOutcome, Snapshot};
use nudged_store::{HistoryEntry, StoreError, StoreReader, StoredEvent};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TimelineQuery {
    /// Entries, at most.
    limit: usize,
    /// The moment at which it begins; none for the latest.
    until: WallMs,
    /// Entries of that moment that were told.
    told: usize,
}

/// An entry.
#[derive(Debug)]
enum TimelineEntry {
    /// A show, or what the user did with one.
    Event(StoredEvent),
    /// A change of a popup that the user saw.
    Change(String, HistoryEntry),
}

impl TimelineEntry {
    fn at(&self) -> WallMs {
        match self {
            TimelineEntry::Event(event) => event.at,
            TimelineEntry::Change(_, change) => change.at,
        }
    }
}

/// Answers `limit before`; `segment` is not decoded yet. `asker` is told tokens of decisions where
/// it may see them.
///
/// # Errors
/// The answer that refuses it.
pub(super) fn answer(
    service: &Service,
    segment: &str,
    query: &str,
    asker: &AdminAsker,
) -> Result<AdminAnswer, AdminAnswer> {
    let user = input::user(segment)?;
    let query = read(query)?;
    let snapshot = service.publisher.snapshot();
    let state = users::read(service, &user)?;
    let seen = state.popups.iter().filter_map(|entry| snapshot.popup(entry.popup));
    let seen: BTreeSet<String> = seen.map(|popup| popup.id.to_string()).collect();
    let reader = service.reader()?;
    let page = page(&reader, &user, seen, query);
    let (entries, next) = page.map_err(|error| service.sql_failed(&error))?;
    let mut timeline = Vec::with_capacity(entries.len());
    for entry in &entries {
        let told = match entry {
            TimelineEntry::Event(event) => Ok(event_json(&snapshot, event, asker)),
            TimelineEntry::Change(popup, change) => change_json(&reader, popup, change),
        };
        timeline.push(told.map_err(|error| service.sql_failed(&error))?);
    }
    let next = next.map(|next| format!("{}.{}", next.until.0, next.told));
    let body = json!({ "user": user, "timeline": timeline, "next_before": next });
    Ok(AdminAnswer::json(200, &body))
}

fn read(query: &str) -> Result<TimelineQuery, BadInput> {
    let bump = Bump::new();
    let [limit, before] = input::fields(query, ["limit", "before"], &bump)?;
    let limit = limit.and_then(input::number).and_then(|limit| u32::try_from(limit).ok());
    let limit = limit.unwrap_or(USER_RECORDS_TOLD).min(PAGE_ENTRIES_MAX);
    let limit = usize::try_from(limit).expect("some hundred");
    let Some(before) = before else {
        return Ok(TimelineQuery { limit, until: WallMs(i64::MAX), told: 0 });
    };
    let place = || {
        let (until, told) = before.split_once('.')?;
        let told = u32::try_from(input::number(told)?).ok()?;
        let told = (told <= PAGE_ENTRIES_MAX).then_some(told)?;
        Some((WallMs(i64::try_from(input::number(until)?).ok()?), usize::try_from(told).ok()?))
    };
    let (until, told) = place().ok_or(BadInput::new("bad_value", "before"))?;
    Ok(TimelineQuery { limit, until, told })
}

/// A page, and where the next one begins.
fn page(
    reader: &StoreReader,
    user: &str,
    mut popups: BTreeSet<String>,
    query: TimelineQuery,
) -> Result<(Vec<TimelineEntry>, Option<TimelineQuery>), StoreError> {
    let TimelineQuery { limit, until, told } = query;
    let count = told + limit + 1;
    let events = reader.user_events_until(user, until, count)?;
    popups.extend(events.iter().map(|event| event.popup.clone()));
    let ids: Vec<&str> = popups.iter().map(String::as_str).collect();
    let mut changes = reader.changes_until(&ids, until, count)?;
    // What came before the user's first decision is not theirs. Where there are older events than
    // were read, the page is full of later ones.
    let first = events.last().map(|event| event.at);
    changes.retain(|(_, change)| first.is_some_and(|first| change.at >= first));
    Ok(cut(events, changes, query))
}

/// The entries of a page, of those that are up to its moment.
fn cut(
    events: Vec<StoredEvent>,
    changes: Vec<(String, HistoryEntry)>,
    query: TimelineQuery,
) -> (Vec<TimelineEntry>, Option<TimelineQuery>) {
    let mut changes = changes;
    changes.sort_by_key(|(_, change)| std::cmp::Reverse((change.at, change.number)));
    let changes = changes.into_iter().map(|(popup, change)| TimelineEntry::Change(popup, change));
    let mut entries: Vec<TimelineEntry> =
        events.into_iter().map(TimelineEntry::Event).chain(changes).collect();
    // Stable: entries of one moment keep their order.
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.at()));
    let of_moment = entries.iter().take_while(|entry| entry.at() == query.until).count();
    entries.drain(..query.told.min(of_moment));
    if entries.len() <= query.limit {
        return (entries, None);
    }
    entries.truncate(query.limit);
    let until = entries.last().map_or(query.until, TimelineEntry::at);
    let told = entries.iter().rev().take_while(|entry| entry.at() == until).count();
    let before = if until == query.until { query.told } else { 0 };
    (entries, Some(TimelineQuery { limit: query.limit, until, told: told + before }))
}

fn change_json(
    reader: &StoreReader,
    popup: &str,
    change: &HistoryEntry,
) -> Result<Value, StoreError> {
    let diff = reader.difference_of(change.number)?.unwrap_or_default();
    let diff: Value = serde_json::from_str(&diff).unwrap_or_default();
    let members: Vec<&String> =
        diff.as_object().into_iter().flatten().map(|(name, _)| name).collect();
    let what = match (change.change.as_str(), diff["status"][1].as_str()) {
        ("override", Some(status)) => format!("set to {status}"),
        ("override", None) => "resumed".to_owned(),
        (word, _) if members.is_empty() => word.replace('_', " "),
        (word, _) => {
            let names: Vec<&str> = members.iter().map(|name| name.as_str()).collect();
            format!("{}: {}", word.replace('_', " "), names.join(", "))
        }
    };
    Ok(json!({
        "kind": "change",
        "at": moment_json(change.at),
        "popup": popup,
        "version": change.version,
        "change": change.change,
        "who": change.who,
        "members": members,
        "why": format!("{} by {}", what, change.who),
    }))
}

fn event_json(snapshot: &Snapshot, event: &StoredEvent, asker: &AdminAsker) -> Value {
    let is_decision = event.action == "decided";
    let mut told = json!({
        "kind": if is_decision { "decision" } else { "event" },
        "at": moment_json(event.at),
        "acted_at": moment_json(event.acted_at),
        "action": event.action,
        "popup": event.popup,
        "version": event.version,
        "variant": (!event.variant.is_empty()).then_some(&event.variant),
        "why": why(snapshot, event),
    });
    if asker.sees_decisions() {
        told["decision"] = json!(event.decision);
    }
    told
}

/// What an event means for its popup, as the popup is now.
fn why(snapshot: &Snapshot, event: &StoredEvent) -> String {
    let popup = snapshot.popup(PopupKey::of(&event.popup));
    let rests = |gap: Gap, field: &str| match gap {
        Gap::Never => format!("it does not return ({field} = \"never\")"),
        Gap::After(duration) => format!("it rests for {duration} ({field})"),
    };
    let version = event.version;
    match (event.action.as_str(), ShowOutcome::of_word(&event.action), popup) {
        ("decided", _, None) => format!("version {version} passed every gate"),
        ("decided", _, Some(popup)) => format!(
            "version {version} passed every gate and had the highest priority of those that did; {}",
            rests(popup.after_shown, "after_shown")
        ),
        ("shown", _, _) => "the client says that it was on screen: this moves no gate".to_owned(),
        (word, Some(outcome), Some(popup)) => rests(popup.after(outcome), &format!("after_{word}")),
        (word, _, _) => format!("it was {word}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nudged_base::ids::Sequence;

    fn event(at: i64, sequence: u64) -> StoredEvent {
        StoredEvent {
            stream: 1,
            sequence: Sequence(sequence),
            decision: sequence.to_string(),
            action: "decided".to_owned(),
            at: WallMs(at),
            acted_at: WallMs(at),
            user: Some("u".to_owned()),
            popup: "p".to_owned(),
            version: 1,
            variant: String::new(),
            revision: (0, 1),
        }
    }

    fn change(at: i64, number: u64) -> (String, HistoryEntry) {
        let (change, who) = ("changed".to_owned(), "ann".to_owned());
        let (diff, text) = (String::new(), None);
        let at = WallMs(at);
        ("p".to_owned(), HistoryEntry { number, version: 1, change, at, who, diff, text })
    }

    fn name(entry: &TimelineEntry) -> String {
        match entry {
            TimelineEntry::Event(event) => format!("e{}", event.decision),
            TimelineEntry::Change(_, change) => format!("c{}", change.number),
        }
    }

    #[test]
    fn pages_have_every_entry_once_also_where_many_are_of_one_moment() {
        let events = [(9, 9), (5, 8), (5, 7), (5, 6), (1, 5)];
        let changes = [(5, 2), (5, 3), (7, 4), (0, 1)];
        let all = ["e9", "c4", "e8", "e7", "e6", "c3", "c2", "e5", "c1"];
        for limit in 1..=10 {
            let mut query = TimelineQuery { limit, until: WallMs(i64::MAX), told: 0 };
            let mut names = Vec::new();
            loop {
                let count = query.told + limit + 1;
                let until = query.until.0;
                let of = |(at, _): &&(i64, u64)| *at <= until;
                let mut newest: Vec<_> = changes.iter().filter(of).collect();
                newest.sort_by_key(|(at, number)| std::cmp::Reverse((*at, *number)));
                let events = events.iter().filter(of).take(count);
                let changes = newest.into_iter().take(count);
                let (page, next) = cut(
                    events.map(|(at, number)| event(*at, *number)).collect(),
                    changes.map(|(at, number)| change(*at, *number)).collect(),
                    query,
                );
                assert!(page.len() <= limit);
                names.extend(page.iter().map(name));
                match next {
                    Some(next) => query = next,
                    None => break,
                }
            }
            assert_eq!(names, all, "{limit}");
        }
    }

    #[test]
    fn a_page_begins_where_the_one_before_ended() {
        let query = |limit, until, told| Ok(TimelineQuery { limit, until: WallMs(until), told });
        for (text, want) in [
            ("", query(50, i64::MAX, 0)),
            ("limit=500&before=17.3", query(500, 17, 3)),
            ("before=17", Err(BadInput::new("bad_value", "before"))),
            ("before=17.1001", Err(BadInput::new("bad_value", "before"))),
        ] {
            assert_eq!(read(text), want, "{text}");
        }
    }
}

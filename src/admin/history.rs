//! `GET /v1/popups/{id}/history`: how a popup came to be so, newest first, a page at a time. Each
//! line has its definition; where it made none, that of the version it stands on is looked up.
//!
//! Limits: [`PAGE_ENTRIES_MAX`] lines and about [`HISTORY_BYTES`] an answer, one line at least;
//! [`HISTORY_READ_LINES`] are in memory beside it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bumpalo::Bump;
use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::answer::AdminAnswer;
use super::input::{self, BadInput, moment_json};
use super::service::Service;
use nudged_base::ids::PopupKey;
use nudged_base::limits::{
    HISTORY_BYTES, HISTORY_LINES, HISTORY_READ_LINES, OVERRIDES_RETRY_MS, PAGE_ENTRIES_MAX,
};
use nudged_store::{HistoryEntry, StoreError, StoreReader};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct HistoryQuery {
    /// Lines, at most.
    limit: u32,
    /// The number that they are below: `next_before` of the page before.
    before: Option<u64>,
}

/// A page, as it is told.
#[derive(Serialize)]
struct HistoryPage<'a> {
    id: &'a str,
    history: Vec<HistoryPageLine>,
    /// `before` of the next page; null where there is none.
    next_before: Option<u64>,
}

/// A line, as it is told. What somebody else wrote that is no JSON is null.
#[derive(Serialize)]
struct HistoryPageLine {
    version: u32,
    change: String,
    at: Value,
    who: String,
    diff: Option<Box<RawValue>>,
    #[serde(serialize_with = "shared")]
    definition: Option<Arc<RawValue>>,
}

impl HistoryPageLine {
    /// Bytes of its two texts, which are all that may be large of it.
    fn bytes(&self) -> usize {
        let diff = self.diff.as_ref().map_or(0, |diff| diff.get().len());
        diff + self.definition.as_ref().map_or(0, |text| text.get().len())
    }
}

/// Answers `limit before`.
///
/// # Errors
/// The answer that refuses it.
pub(super) fn answer(service: &Service, id: &str, query: &str) -> Result<AdminAnswer, AdminAnswer> {
    if service.publisher.current().snapshot.popup(PopupKey::of(id)).is_none() {
        return Err(AdminAnswer::not_found());
    }
    let query = read(query)?;
    // What was set a moment ago is on its way to SQL.
    service.publisher.await_stored(id, Instant::now() + Duration::from_millis(OVERRIDES_RETRY_MS));
    let page = page(&*service.reader()?, id, query);
    Ok(AdminAnswer::json(200, &page.map_err(|error| service.sql_failed(&error))?))
}

fn read(query: &str) -> Result<HistoryQuery, BadInput> {
    let bump = Bump::new();
    let [limit, before] = input::fields(query, ["limit", "before"], &bump)?;
    let limit = match limit {
        None => HISTORY_LINES,
        Some(text) => input::number(text)
            .and_then(|limit| u32::try_from(limit).ok())
            .filter(|limit| (1..=PAGE_ENTRIES_MAX).contains(limit))
            .ok_or(BadInput::new("bad_value", "limit"))?,
    };
    let before = before.map(|text| {
        let number = input::number(text).filter(|number| *number > 0);
        number.ok_or(BadInput::new("bad_value", "before"))
    });
    Ok(HistoryQuery { limit, before: before.transpose()? })
}

fn page<'a>(
    reader: &StoreReader,
    id: &'a str,
    query: HistoryQuery,
) -> Result<HistoryPage<'a>, StoreError> {
    let mut texts = BTreeMap::new();
    let mut history = Vec::new();
    let (mut before, mut bytes) = (query.before, 0);
    let limit = usize::try_from(query.limit).expect("at most a thousand");
    loop {
        let entries = reader.history(id, before, HISTORY_READ_LINES)?;
        if entries.is_empty() {
            return Ok(HistoryPage { id, history, next_before: None });
        }
        for entry in entries {
            if history.len() == limit {
                return Ok(HistoryPage { id, history, next_before: before });
            }
            let number = entry.number;
            let line = line(reader, id, entry, &mut texts)?;
            bytes += line.bytes();
            if bytes > HISTORY_BYTES && !history.is_empty() {
                return Ok(HistoryPage { id, history, next_before: before });
            }
            history.push(line);
            before = Some(number);
        }
    }
}

/// A line with its definition; `texts` are those of versions that lines before it stand on.
fn line(
    reader: &StoreReader,
    id: &str,
    entry: HistoryEntry,
    texts: &mut BTreeMap<u32, Option<Arc<RawValue>>>,
) -> Result<HistoryPageLine, StoreError> {
    let HistoryEntry { number: _, version, change, at, who, diff, text } = entry;
    let definition = match (text, texts.get(&version)) {
        (Some(text), _) => raw(text).map(Arc::from),
        (None, Some(known)) => known.clone(),
        (None, None) => {
            let found = reader.text_of(id, version)?.and_then(raw).map(Arc::from);
            texts.insert(version, found.clone());
            found
        }
    };
    Ok(HistoryPageLine { version, change, at: moment_json(at), who, diff: raw(diff), definition })
}

/// As if nobody shared it.
fn shared<S: Serializer>(
    definition: &Option<Arc<RawValue>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    definition.as_deref().serialize(serializer)
}

fn raw(text: String) -> Option<Box<RawValue>> {
    RawValue::from_string(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nudged_base::time::WallMs;
    use nudged_domain::catalog::overrides::{Override, OverrideId, OverrideKind};
    use nudged_store::{CatalogChange, Store};

    /// A popup of 30 kB with so many pauses.
    fn paused(count: u32) -> (tempfile::TempDir, StoreReader) {
        let directory = tempfile::tempdir().unwrap();
        let mut store = Store::open(directory.path()).unwrap();
        let text = format!(r#"{{"id":"a","content":{{"text":"{}"}}}}"#, "x".repeat(30_000));
        let change = CatalogChange::File(&[("a", &text)]);
        store.change_catalog(None, change, "file", WallMs(1)).unwrap();
        let pause = |at: u32| Override {
            id: OverrideId(u128::from(at) + 1),
            popup: "a".into(),
            kind: OverrideKind::Pause,
            at: WallMs(i64::from(at) + 2),
            who: "ann".into(),
            end: None,
        };
        store.put_overrides(&(0..count).map(pause).collect::<Vec<_>>()).unwrap();
        let reader = StoreReader::open(directory.path()).unwrap();
        (directory, reader)
    }

    #[test]
    fn an_answer_is_bounded_and_the_pages_have_every_line_once() {
        let (directory, reader) = paused(300);
        let bytes = std::fs::metadata(directory.path().join("nudged.db-wal")).unwrap().len();
        assert!(bytes < 1_000_000, "{bytes}: the definition is stored once");
        let mut query = HistoryQuery { limit: HISTORY_LINES, before: None };
        let mut lines = Vec::new();
        loop {
            let page = page(&reader, "a", query).unwrap();
            assert!(serde_json::to_vec(&page).unwrap().len() <= HISTORY_BYTES + 32 * 1_024);
            assert!(page.history.iter().all(|line| line.definition.is_some()));
            lines.extend(page.history.into_iter().map(|line| line.at));
            query.before = page.next_before;
            if query.before.is_none() {
                break;
            }
        }
        let want: Vec<Value> = (1..=301).rev().map(|at| moment_json(WallMs(at))).collect();
        assert_eq!(lines, want);
        let one = page(&reader, "a", HistoryQuery { limit: 7, before: None }).unwrap();
        assert_eq!(one.history.len(), 7);
        let whole = page(&reader, "a", HistoryQuery { limit: 7, before: Some(8) }).unwrap();
        assert_eq!((whole.history.len(), whole.next_before), (7, None), "the last page is full");
    }

    #[test]
    fn what_is_asked_for_is_two_numbers() {
        let query = |limit, before| Ok(HistoryQuery { limit, before });
        let bad = |field| Err(BadInput::new("bad_value", field));
        for (query, want) in [
            ("", query(HISTORY_LINES, None)),
            ("limit=1&before=9", query(1, Some(9))),
            ("limit=1000", query(PAGE_ENTRIES_MAX, None)),
            ("limit=0", bad("limit")),
            ("limit=1001", bad("limit")),
            ("limit=", bad("limit")),
            ("limit=%2B1", bad("limit")),
            ("limit=all", bad("limit")),
            ("before=0", bad("before")),
            ("before=-1", bad("before")),
            ("before=x", bad("before")),
            ("before=", bad("before")),
            ("limit=1&limit=2", Err(BadInput::new("duplicate_field", "limit"))),
        ] {
            assert_eq!(read(query), want, "{query}");
        }
    }
}

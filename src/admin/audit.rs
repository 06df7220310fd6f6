//! `GET /v1/audit`: what operators changed, all popups and tokens together, newest first, a page at
//! a time. The lines are those of SQL; what was set a moment ago is on its way there.
//!
//! Lines of popups come in the order in which they were stored, tokens in that of their times; a
//! page merges the two by time, and its cursor has the place in each.
//!
//! Limits: [`PAGE_ENTRIES_MAX`] entries a page; [`HISTORY_READ_LINES`] changes of popups are in
//! memory beside it.

use std::collections::VecDeque;

use bumpalo::Bump;
use serde_json::{Map, Value, json};

use super::answer::AdminAnswer;
use super::input::{self, moment_json};
use super::service::Service;
use nudged_base::limits::{AUDIT_TOLD, HISTORY_READ_LINES, OPERATOR_TOKENS_MAX, PAGE_ENTRIES_MAX};
use nudged_base::time::WallMs;
use nudged_domain::operators::OperatorToken;
use nudged_store::{HistoryEntry, StoreError, StoreReader};

/// What a page begins behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct AuditCursor {
    /// Changes of popups before the one of this number.
    popups_before: Option<u64>,
    /// Tokens that were changed at this moment or before, but for the first few.
    tokens_until: WallMs,
    tokens_skipped: usize,
}

impl AuditCursor {
    const NEWEST: AuditCursor =
        AuditCursor { popups_before: None, tokens_until: WallMs(i64::MAX), tokens_skipped: 0 };

    fn read(text: &str) -> Option<AuditCursor> {
        let mut parts = text.split('.').map(input::number);
        let (popups, until, skipped) = (parts.next()??, parts.next()??, parts.next()??);
        parts.next().is_none().then_some(AuditCursor {
            popups_before: (popups > 0).then_some(popups),
            tokens_until: WallMs(i64::try_from(until).unwrap_or(i64::MAX)),
            tokens_skipped: usize::try_from(skipped).ok()?,
        })
    }

    fn text(self) -> String {
        let AuditCursor { popups_before, tokens_until, tokens_skipped } = self;
        format!("{}.{}.{tokens_skipped}", popups_before.unwrap_or(0), tokens_until.0.max(0))
    }
}

/// A token that was made or revoked.
struct TokenChange {
    at: WallMs,
    is_revoked: bool,
    token: OperatorToken,
}

/// Answers `limit before`.
///
/// # Errors
/// The answer that refuses it.
pub(super) fn answer(service: &Service, query: &str) -> Result<AdminAnswer, AdminAnswer> {
    let bump = Bump::new();
    let [limit, before] = input::fields(query, ["limit", "before"], &bump)?;
    let limit = limit.and_then(input::number).and_then(|limit| u32::try_from(limit).ok());
    let limit = limit.unwrap_or(AUDIT_TOLD).min(PAGE_ENTRIES_MAX);
    let cursor = match before {
        None => AuditCursor::NEWEST,
        Some(text) => AuditCursor::read(text)
            .ok_or_else(|| AdminAnswer::error(400, "bad_value", Some("before")))?,
    };
    let page = page(&*service.reader()?, cursor, limit);
    let (entries, next) = page.map_err(|error| service.sql_failed(&error))?;
    let next = next.map(AuditCursor::text);
    Ok(AdminAnswer::json(200, &json!({ "entries": entries, "next_before": next })))
}

/// The entries of a page, and what the next one begins behind where there is one.
fn page(
    reader: &StoreReader,
    mut cursor: AuditCursor,
    limit: u32,
) -> Result<(Vec<Value>, Option<AuditCursor>), StoreError> {
    let limit_usize = usize::try_from(limit).expect("at most a thousand");
    let mut tokens = token_changes(reader, cursor, limit)?;
    let mut popups: VecDeque<(String, HistoryEntry)> = VecDeque::new();
    let mut entries = Vec::new();
    let mut has_popups = true;
    loop {
        if popups.is_empty() && has_popups {
            popups = reader.changes(cursor.popups_before, HISTORY_READ_LINES)?.into();
            has_popups = !popups.is_empty();
        }
        let is_popup = match (popups.front(), tokens.front()) {
            (None, None) => return Ok((entries, None)),
            (Some((_, popup)), Some(token)) => popup.at >= token.at,
            (popup, _) => popup.is_some(),
        };
        if entries.len() == limit_usize {
            return Ok((entries, Some(cursor)));
        }
        if is_popup {
            let (id, entry) = popups.pop_front().expect("it was looked at");
            cursor.popups_before = Some(entry.number);
            entries.push(popup_json(&id, &entry));
        } else {
            let change = tokens.pop_front().expect("it was looked at");
            let is_same_moment = change.at == cursor.tokens_until;
            cursor.tokens_skipped = if is_same_moment { cursor.tokens_skipped + 1 } else { 1 };
            cursor.tokens_until = change.at;
            entries.push(token_json(&change));
        }
    }
}

/// Enough of them for a page, the latest first.
fn token_changes(
    reader: &StoreReader,
    cursor: AuditCursor,
    limit: u32,
) -> Result<VecDeque<TokenChange>, StoreError> {
    let AuditCursor { tokens_until, tokens_skipped, .. } = cursor;
    let skipped = u32::try_from(tokens_skipped).unwrap_or(PAGE_ENTRIES_MAX);
    // Those of one moment may be in another order in SQL: as many as are revoked at once.
    let at_once = u32::try_from(OPERATOR_TOKENS_MAX).unwrap_or(PAGE_ENTRIES_MAX);
    let count = limit.saturating_add(skipped.min(PAGE_ENTRIES_MAX)) + at_once + 1;
    let mut changes = Vec::new();
    for is_revoked in [false, true] {
        for token in reader.operator_tokens_until(tokens_until, is_revoked, count)? {
            let end = token.end.as_ref().map(|end| end.at).filter(|_| is_revoked);
            changes.push(TokenChange { at: end.unwrap_or(token.at), is_revoked, token });
        }
    }
    changes
        .sort_by_key(|change| std::cmp::Reverse((change.at, change.is_revoked, change.token.id)));
    let is_skipped = |(place, change): &(usize, TokenChange)| {
        change.at == tokens_until && *place < tokens_skipped
    };
    let left = changes.into_iter().enumerate().filter(|change| !is_skipped(change));
    Ok(left.map(|(_, change)| change).collect())
}

fn popup_json(id: &str, entry: &HistoryEntry) -> Value {
    let diff: Map<String, Value> = serde_json::from_str(&entry.diff).unwrap_or_default();
    let members: Vec<&String> = diff.keys().collect();
    json!({
        "at": moment_json(entry.at),
        "who": entry.who,
        "kind": "popup",
        "popup": id,
        "change": change_word(&entry.change, diff.get("status")),
        "version": entry.version,
        "members": members,
    })
}

/// What a line is to people: of an override what it did.
fn change_word<'c>(change: &'c str, status: Option<&Value>) -> &'c str {
    if change != "override" {
        return change;
    }
    match status.and_then(|pair| pair.get(1)) {
        Some(Value::Null) => "resumed",
        Some(Value::String(word)) if word == "paused" => "paused",
        Some(Value::String(word)) if word == "archived" => "archived",
        _ => change,
    }
}

fn token_word(is_revoked: bool) -> &'static str {
    if is_revoked { "revoked" } else { "made" }
}

fn token_json(TokenChange { at, is_revoked, token }: &TokenChange) -> Value {
    let end = token.end.as_ref().filter(|_| *is_revoked);
    let expires = token.expires.filter(|_| !*is_revoked);
    let mut entry = json!({
        "at": moment_json(*at),
        "who": end.map_or(&token.who, |end| &end.who),
        "kind": "token",
        "token": token.id.to_string(),
        "name": token.name,
        "role": token.role.word(),
        "change": token_word(*is_revoked),
    });
    if let Some(expires) = expires {
        entry["expires_at"] = moment_json(expires);
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;
    use nudged_domain::catalog::overrides::{Override, OverrideId, OverrideKind};
    use nudged_domain::ended::Ended;
    use nudged_domain::operators::{OperatorRole, OperatorTokenId};
    use nudged_store::{CatalogChange, HISTORY_CHANGES, Store};

    fn pause(at: i64, ends_at: Option<i64>) -> Override {
        let end = ends_at.map(|at| Ended { at: WallMs(at), who: "bob".into() });
        let id = OverrideId(u128::try_from(at).unwrap());
        let (popup, who) = ("a".into(), "ann".into());
        Override { id, popup, kind: OverrideKind::Pause, at: WallMs(at), who, end }
    }

    fn token(id: u128, at: i64, ended_at: Option<i64>) -> OperatorToken {
        OperatorToken {
            id: OperatorTokenId(id),
            name: format!("t{id}").into(),
            role: OperatorRole::Viewer,
            hash: [0; 32],
            at: WallMs(at),
            who: "ann".into(),
            expires: None,
            end: ended_at.map(|at| Ended { at: WallMs(at), who: "bob".into() }),
        }
    }

    #[test]
    fn pages_have_every_change_once_whoever_made_it_and_of_what() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = Store::open(directory.path()).unwrap();
        let change = CatalogChange::File(&[("a", r#"{"id":"a"}"#)]);
        store.change_catalog(None, change, "file", WallMs(1)).unwrap();
        store.put_overrides(&[pause(20, None)]).unwrap();
        store.put_overrides(&[pause(20, Some(30))]).unwrap();
        // Five tokens of one moment, all of which are revoked at another.
        let tokens: Vec<_> = (1..=5).map(|id| token(id, 25, Some(40))).collect();
        store.put_operator_tokens(&tokens).unwrap();
        let reader = StoreReader::open(directory.path()).unwrap();
        let (all, next) = page(&reader, AuditCursor::NEWEST, 100).unwrap();
        assert_eq!(next, None);
        let words: Vec<&str> = all.iter().map(|entry| entry["change"].as_str().unwrap()).collect();
        let want = [&["revoked"; 5][..], &["resumed"], &["made"; 5], &["paused", "created"]];
        assert_eq!(words, want.concat());
        assert_eq!((&all[5]["who"], &all[11]["who"]), (&json!("bob"), &json!("ann")));
        assert_eq!((&all[0]["who"], &all[6]["who"]), (&json!("bob"), &json!("ann")));
        assert_eq!(all[11]["members"], json!(["status"]));
        for limit in [1, 2, 3, 4, 12] {
            let (mut entries, mut cursor) = (Vec::new(), Some(AuditCursor::NEWEST));
            while let Some(before) = cursor {
                let before = AuditCursor::read(&before.text()).unwrap();
                let (more, next) = page(&reader, before, limit).unwrap();
                assert!(more.len() <= usize::try_from(limit).unwrap());
                entries.extend(more);
                cursor = next;
            }
            assert_eq!(entries, all, "{limit} a page");
        }
    }

    #[test]
    fn each_word_of_history_is_described() {
        let document = crate::openapi::document();
        let entry = &document["components"]["schemas"]["AuditEntry"]["properties"];
        let mut told: Vec<&str> =
            HISTORY_CHANGES.into_iter().filter(|word| *word != "override").collect();
        for status in [json!(null), json!("paused"), json!("archived")] {
            let word = change_word("override", Some(&json!(["live", status])));
            if !told.contains(&word) {
                told.push(word);
            }
        }
        told.extend([false, true].map(token_word));
        let described = entry["change"]["enum"].as_array().unwrap();
        let mut described: Vec<&str> =
            described.iter().map(|word| word.as_str().unwrap()).collect();
        told.sort_unstable();
        described.sort_unstable();
        assert_eq!(told, described);
    }

    #[test]
    fn a_cursor_is_three_numbers() {
        for text in ["", "1", "1.2", "1.2.3.4", "a.2.3"] {
            assert_eq!(AuditCursor::read(text), None, "{text}");
        }
        assert_eq!(AuditCursor::read(&AuditCursor::NEWEST.text()), Some(AuditCursor::NEWEST));
    }
}

//! What pauses, archives and their ends do to rows, the same for every database. Pure: what SQL has
//! and what a node knows in, rows and lines of history out. An entry is written once and ended
//! once, by its id, in whatever order and however often nodes bring it.

use serde_json::json;

use super::stored::{Dropped, PopupOrigin};
use nudged_base::time::WallMs;
use nudged_domain::catalog::overrides::{Override, OverridePlace, Overrides};
use nudged_domain::catalog::snapshot::Status;

/// An entry's row as it is to be, with what its popup's history tells of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct OverrideEdit {
    /// The entry.
    pub(super) entry: Override,
    /// Lines of history, in order.
    pub(super) lines: Vec<OverrideHistoryLine>,
}

/// One line of history: an entry was made, or ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct OverrideHistoryLine {
    /// When.
    pub(super) at: WallMs,
    /// By whom.
    pub(super) who: Box<str>,
    /// `{"status": [before, after]}` of what wins over the popup's own status.
    pub(super) diff: String,
}

/// What entries do to the rows that SQL has: of their ids, and all that stand of their popups.
pub(super) fn plan_overrides(stored: &[Override], entries: &[Override]) -> Vec<OverrideEdit> {
    let mut known = Overrides::default();
    for entry in stored {
        known.take(entry, OverridePlace::Sql);
    }
    let mut sorted: Vec<&Override> = entries.iter().collect();
    sorted.sort_by_key(|entry| (entry.at, entry.id));
    sorted.dedup_by_key(|entry| entry.id);
    let mut edits = Vec::new();
    for entry in sorted {
        let mut lines = Vec::new();
        let open = Override { end: None, ..entry.clone() };
        lines.extend(line(&mut known, &open, (entry.at, &entry.who)));
        if let Some(end) = &entry.end {
            lines.extend(line(&mut known, entry, (end.at, &end.who)));
        }
        if !lines.is_empty() {
            edits.push(OverrideEdit { entry: entry.clone(), lines });
        }
    }
    edits
}

/// Takes an entry in; its line, where that is news.
fn line(
    known: &mut Overrides,
    entry: &Override,
    (at, who): (WallMs, &str),
) -> Option<OverrideHistoryLine> {
    let word = |known: &Overrides| known.status(&entry.popup).map(Status::word);
    let before = word(known);
    known.take(entry, OverridePlace::Redis).then(|| OverrideHistoryLine {
        at,
        who: who.into(),
        diff: json!({ "status": [before, word(known)] }).to_string(),
    })
}

/// What tells of popups whose status "live" the upgrade has dropped: id, definition, origin.
pub(super) const DROPPED: &str = "SELECT DISTINCT popups.popup_id, popups.definition, \
    popups.origin FROM popups JOIN popup_history ON popup_history.popup_id = popups.popup_id \
    WHERE who = 'schema upgrade' AND archived_at IS NULL ORDER BY popups.popup_id";

/// The popup of a row of [`DROPPED`], where it is not shown any more.
pub(super) fn dropped_of((id, definition, origin): (String, String, String)) -> Option<Dropped> {
    #[derive(serde::Deserialize)]
    struct Own {
        #[serde(default)]
        status: Option<String>,
    }
    let own: Own = serde_json::from_str(&definition).ok()?;
    let status = own.status.filter(|status| status != "live")?;
    Some(Dropped { id, status, is_in_file: PopupOrigin::of_word(&origin) == PopupOrigin::File })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nudged_domain::catalog::overrides::{OverrideId, OverrideKind};
    use nudged_domain::ended::Ended;

    fn entry(id: u128, kind: OverrideKind, end: Option<i64>) -> Override {
        let at = WallMs(i64::try_from(id).unwrap());
        let end = end.map(|at| Ended { at: WallMs(at), who: "bob".into() });
        Override { id: OverrideId(id), popup: "p".into(), kind, at, who: "ann".into(), end }
    }

    #[test]
    fn what_the_upgrade_stops_is_named_with_its_own_status() {
        let row = |text: &str| ("p".to_owned(), text.to_owned(), "file".to_owned());
        assert_eq!(dropped_of(row(r#"{"id":"p"}"#)), None, "its own status is live");
        let dropped = dropped_of(row(r#"{"id":"p","status":"draft"}"#)).unwrap();
        let said = dropped.to_string();
        assert!(said.starts_with("popup \"p\" is now draft"), "{said}");
        assert!(said.contains("popups file"), "{said}");
    }

    #[test]
    fn each_entry_is_made_once_and_ended_once() {
        let paused = entry(1, OverrideKind::Pause, None);
        let archived = entry(2, OverrideKind::Archive, Some(7));
        let edits = plan_overrides(&[], &[archived.clone(), paused.clone(), paused.clone()]);
        let lines: Vec<_> = edits
            .iter()
            .flat_map(|edit| &edit.lines)
            .map(|line| (line.at.0, &*line.who, line.diff.as_str()))
            .collect();
        let want = [
            (1, "ann", r#"{"status":[null,"paused"]}"#),
            (2, "ann", r#"{"status":["paused","archived"]}"#),
            (7, "bob", r#"{"status":["archived","paused"]}"#),
        ];
        assert_eq!(lines, want);
        let stored = [paused.clone(), archived.clone()];
        assert_eq!(plan_overrides(&stored, &stored), []);
        let open = Override { end: None, ..archived };
        assert_eq!(plan_overrides(&stored, &[open]), [], "what has ended has ended");
        let ended = entry(1, OverrideKind::Pause, Some(9));
        let edits = plan_overrides(&stored, std::slice::from_ref(&ended));
        assert_eq!(edits[0].entry, ended);
        assert_eq!(edits[0].lines[0].diff, r#"{"status":["paused",null]}"#);
    }
}

//! An entry as a JSON object, in Redis, in the node's file and in copies of the catalog. Times are
//! milliseconds since 1970.

use serde::{Deserialize, Serialize};

use super::{Override, OverrideId, OverrideKind};
use crate::ended::Ended;
use nudged_base::limits::{POPUP_ID_BYTES_MAX, WHO_STORED_BYTES_MAX};
use nudged_base::time::WallMs;

#[derive(Serialize, Deserialize)]
struct OverrideText<'a> {
    id: String,
    popup: &'a str,
    kind: &'a str,
    at: i64,
    who: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended_by: Option<String>,
}

impl<'a> OverrideText<'a> {
    fn of(entry: &'a Override) -> OverrideText<'a> {
        OverrideText {
            id: entry.id.to_string(),
            popup: &entry.popup,
            kind: entry.kind.word(),
            at: entry.at.0,
            who: entry.who.to_string(),
            ended_at: entry.end.as_ref().map(|end| end.at.0),
            ended_by: entry.end.as_ref().map(|end| end.who.to_string()),
        }
    }

    fn entry(self) -> Option<Override> {
        let is_short = |who: &str| who.len() <= WHO_STORED_BYTES_MAX;
        let is_fit = (1..=POPUP_ID_BYTES_MAX).contains(&self.popup.len())
            && is_short(&self.who)
            && self.ended_by.as_deref().is_none_or(is_short);
        let end = match (self.ended_at, self.ended_by) {
            (None, None) => None,
            (Some(at), Some(who)) => Some(Ended { at: WallMs(at), who: who.into() }),
            _ => return None,
        };
        let (id, kind) = (OverrideId::parse(&self.id)?, OverrideKind::of_word(self.kind)?);
        let (popup, who) = (self.popup.into(), self.who.into());
        is_fit.then_some(Override { id, popup, kind, at: WallMs(self.at), who, end })
    }
}

/// An entry as text.
pub fn encode(entry: &Override) -> String {
    serde_json::to_string(&OverrideText::of(entry)).expect("our own values serialize")
}

/// An entry of its text; `None` for any other text.
pub fn decode(text: &str) -> Option<Override> {
    serde_json::from_str::<OverrideText<'_>>(text).ok()?.entry()
}

/// Entries as one text, a list.
pub fn encode_all<'a>(entries: impl Iterator<Item = &'a Override>) -> String {
    let texts: Vec<OverrideText<'_>> = entries.map(OverrideText::of).collect();
    serde_json::to_string(&texts).expect("our own values serialize")
}

/// Entries of their text; `None` for any other text.
pub fn decode_all(text: &str) -> Option<Vec<Override>> {
    let texts: Vec<OverrideText<'_>> = serde_json::from_str(text).ok()?;
    texts.into_iter().map(OverrideText::entry).collect()
}

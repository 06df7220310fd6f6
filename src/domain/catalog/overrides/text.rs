//! An entry as a JSON object, in Redis, in the node's file and in copies of the catalog. Times are
//! milliseconds since 1970.

use serde::{Deserialize, Serialize};

use super::{End, Entry, EntryId, Kind};
use nudged_base::limits::{POPUP_ID_BYTES_MAX, WHO_STORED_BYTES_MAX};
use nudged_base::time::WallMs;

#[derive(Serialize, Deserialize)]
struct Text<'a> {
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

impl<'a> Text<'a> {
    fn of(entry: &'a Entry) -> Text<'a> {
        Text {
            id: entry.id.to_string(),
            popup: &entry.popup,
            kind: entry.kind.word(),
            at: entry.at.0,
            who: entry.who.to_string(),
            ended_at: entry.end.as_ref().map(|end| end.at.0),
            ended_by: entry.end.as_ref().map(|end| end.who.to_string()),
        }
    }

    fn entry(self) -> Option<Entry> {
        let is_short = |who: &str| who.len() <= WHO_STORED_BYTES_MAX;
        let is_fit = (1..=POPUP_ID_BYTES_MAX).contains(&self.popup.len())
            && is_short(&self.who)
            && self.ended_by.as_deref().is_none_or(is_short);
        let end = match (self.ended_at, self.ended_by) {
            (None, None) => None,
            (Some(at), Some(who)) => Some(End { at: WallMs(at), who: who.into() }),
            _ => return None,
        };
        let (id, kind) = (EntryId::parse(&self.id)?, Kind::of_word(self.kind)?);
        let (popup, who) = (self.popup.into(), self.who.into());
        is_fit.then_some(Entry { id, popup, kind, at: WallMs(self.at), who, end })
    }
}

/// An entry as text.
pub fn encode(entry: &Entry) -> String {
    serde_json::to_string(&Text::of(entry)).expect("our own values serialize")
}

/// An entry of its text; `None` for any other text.
pub fn decode(text: &str) -> Option<Entry> {
    serde_json::from_str::<Text<'_>>(text).ok()?.entry()
}

/// Entries as one text, a list.
pub fn encode_all<'a>(entries: impl Iterator<Item = &'a Entry>) -> String {
    let texts: Vec<Text<'_>> = entries.map(Text::of).collect();
    serde_json::to_string(&texts).expect("our own values serialize")
}

/// Entries of their text; `None` for any other text.
pub fn decode_all(text: &str) -> Option<Vec<Entry>> {
    let texts: Vec<Text<'_>> = serde_json::from_str(text).ok()?;
    texts.into_iter().map(Text::entry).collect()
}

//! What operators have set above popups' own statuses: the pauses and archives of the kill switch.
//! Each is an entry with an id of its own; a resume ends the entries that its node knows, by their
//! ids. What two nodes know is joined by union, and an end wins, so that the order in which they
//! learn, and how often, makes no difference: no clock decides. An entry that the resuming node
//! could not know stands on; one that has ended never returns.
//!
//! ```text
//! pause ─► entry ──┬─► the node's file ─┐
//!                  ├─► Redis ───────────┼─► join ─► other nodes, the next start
//! resume ─► its end ─► SQL, for good ───┘
//! ```
//!
//! Pure: entries in, statuses out. Limits: [`OVERRIDES_MAX`], [`OVERRIDES_ENDED_MAX`],
//! [`OVERRIDES_OF_POPUP_MAX`].

use std::collections::BTreeMap;

use super::snapshot::Status;
use crate::ended::Ended;
use nudged_base::hex;
use nudged_base::limits::{OVERRIDES_ENDED_MAX, OVERRIDES_MAX, OVERRIDES_OF_POPUP_MAX};
use nudged_base::time::WallMs;

mod text;

pub use text::{decode, decode_all, encode, encode_all};

/// The id of an entry; random, so that no two nodes ever draw the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OverrideId(pub u128);

impl std::fmt::Display for OverrideId {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:032x}", self.0)
    }
}

impl OverrideId {
    /// The id of its 32 lower-case hex digits.
    pub fn parse(text: &str) -> Option<OverrideId> {
        hex::id(text).map(OverrideId)
    }
}

/// What an entry does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OverrideKind {
    /// The popup is not shown for now.
    Pause,
    /// The popup is not shown again.
    Archive,
}

impl OverrideKind {
    /// Its word in tables and texts.
    pub fn word(self) -> &'static str {
        match self {
            OverrideKind::Pause => "pause",
            OverrideKind::Archive => "archive",
        }
    }

    /// The kind of a word.
    pub fn of_word(word: &str) -> Option<OverrideKind> {
        [OverrideKind::Pause, OverrideKind::Archive].into_iter().find(|kind| kind.word() == word)
    }

    /// The status that it gives.
    pub fn status(self) -> Status {
        match self {
            OverrideKind::Pause => Status::Paused,
            OverrideKind::Archive => Status::Archived,
        }
    }
}

/// One pause or archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// Its id.
    pub id: OverrideId,
    /// The popup's id.
    pub popup: Box<str>,
    /// What it does.
    pub kind: OverrideKind,
    /// When it was made.
    pub at: WallMs,
    /// By whom.
    pub who: Box<str>,
    /// Its end, if it has one.
    pub end: Option<Ended>,
}

impl Override {
    /// What two nodes know of one entry, together: its earlier end, if any.
    fn join(&mut self, other: &Override) {
        fn rest(entry: &Override) -> (&str, OverrideKind, WallMs, &str) {
            (&entry.popup, entry.kind, entry.at, &entry.who)
        }
        // Only a text that was tampered with differs in these; then all nodes take the same.
        if rest(other) < rest(self) {
            *self = Override { end: self.end.take(), ..other.clone() };
        }
        self.end = Ended::join(self.end.take(), other.end.clone());
    }
}

/// Where an entry may have come to, in the order in which more depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OverridePlace {
    /// This process alone.
    Memory,
    /// The node's file.
    Node,
    /// Redis, and with it the other nodes.
    Redis,
    /// SQL, for good.
    Sql,
}

impl OverridePlace {
    /// Its word in answers.
    pub fn word(self) -> &'static str {
        match self {
            OverridePlace::Memory => "memory",
            OverridePlace::Node => "node",
            OverridePlace::Redis => "redis",
            OverridePlace::Sql => "sql",
        }
    }
}

/// An entry with the places that have it as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldOverride {
    /// The entry.
    pub entry: Override,
    is_in: [bool; 4],
}

impl HeldOverride {
    /// Whether a place has the entry as it is.
    pub fn is_in(&self, place: OverridePlace) -> bool {
        self.is_in[place as usize]
    }

    /// The furthest place that has it.
    fn furthest(&self) -> OverridePlace {
        let places = [OverridePlace::Sql, OverridePlace::Redis, OverridePlace::Node];
        places.into_iter().find(|place| self.is_in(*place)).unwrap_or(OverridePlace::Memory)
    }
}

/// Why an entry was not made: the node knows as many as it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there are {OVERRIDES_MAX} pauses and archives already: resume those that are no longer needed"
)]
pub struct TooManyOverrides;

/// All entries that a node knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    held: BTreeMap<OverrideId, HeldOverride>,
    /// Entries that stand, by popup.
    standing: BTreeMap<Box<str>, Vec<(OverrideKind, OverrideId)>>,
    /// How many have ended.
    ended: usize,
}

impl Overrides {
    /// Every entry, in the order of their ids.
    pub fn all(&self) -> impl Iterator<Item = &HeldOverride> {
        self.held.values()
    }

    /// The entries that a place does not have as they are.
    pub fn not_in(&self, place: OverridePlace) -> impl Iterator<Item = &HeldOverride> {
        self.held.values().filter(move |held| !held.is_in(place))
    }

    /// What an operator set above a popup's own status, if anything: an archive wins.
    pub fn status(&self, popup: &str) -> Option<Status> {
        let kinds = self.standing.get(popup)?.iter().map(|(kind, _)| *kind);
        kinds.max().map(OverrideKind::status)
    }

    /// Whether an entry is known and has not ended.
    pub fn stands(&self, id: OverrideId) -> bool {
        self.held.get(&id).is_some_and(|held| held.entry.end.is_none())
    }

    /// The popups that are overridden, with what is set.
    pub fn statuses(&self) -> impl Iterator<Item = (&str, Status)> {
        self.standing.keys().filter_map(|popup| Some((&**popup, self.status(popup)?)))
    }

    /// How far what was set of a popup has come: the least of all its entries, the ended ones too.
    pub fn stored(&self, popup: &str) -> OverridePlace {
        let of_it = self.held.values().filter(|held| &*held.entry.popup == popup);
        of_it.map(HeldOverride::furthest).min().unwrap_or(OverridePlace::Sql)
    }

    /// How far each popup of the entries has come; see [`Overrides::stored`].
    pub fn all_stored(&self) -> BTreeMap<&str, OverridePlace> {
        let mut stored = BTreeMap::new();
        for held in self.held.values() {
            let least = stored.entry(&*held.entry.popup).or_insert(OverridePlace::Sql);
            *least = (*least).min(held.furthest());
        }
        stored
    }

    /// Makes an entry that nobody else knows yet; gives whether it did. Where as many of its kind
    /// stand for the popup as may, none is made: each of them would have to be ended, so the popup
    /// stays stopped.
    ///
    /// # Errors
    /// [`TooManyOverrides`]: nothing was made.
    pub fn add(&mut self, entry: Override) -> Result<bool, TooManyOverrides> {
        let of_popup = self.standing.get(&entry.popup).into_iter().flatten();
        if of_popup.filter(|(kind, _)| *kind == entry.kind).count() >= OVERRIDES_OF_POPUP_MAX {
            return Ok(false);
        }
        if self.held.len() >= OVERRIDES_MAX + OVERRIDES_ENDED_MAX {
            return Err(TooManyOverrides);
        }
        self.set(entry, OverridePlace::Memory);
        Ok(true)
    }

    /// Ends every entry of a popup that stands; gives their number.
    pub fn end(&mut self, popup: &str, end: &Ended) -> usize {
        let Some(standing) = self.standing.remove(popup) else { return 0 };
        for (_, id) in &standing {
            let held = self.held.get_mut(id).expect("what stands is held");
            held.entry.end = Some(end.clone());
            held.is_in = [false; 4];
        }
        self.ended += standing.len();
        self.forget();
        standing.len()
    }

    /// Takes in what a place knows of an entry. Whether anything is new.
    pub fn take(&mut self, other: &Override, from: OverridePlace) -> bool {
        let Some(held) = self.held.get_mut(&other.id) else {
            if self.held.len() >= 2 * OVERRIDES_MAX {
                return false;
            }
            self.set(other.clone(), from);
            self.forget();
            return true;
        };
        let before = held.entry.clone();
        held.entry.join(other);
        let (is_same, is_known) = (held.entry == *other, held.entry == before);
        if !is_known {
            held.is_in = [false; 4];
        }
        held.is_in[from as usize] = is_same;
        if !is_known {
            let entry = held.entry.clone();
            self.unlist(&before);
            self.list(&entry);
            self.ended += usize::from(before.end.is_none() && entry.end.is_some());
            self.forget();
        }
        !is_known
    }

    /// A place has an entry, where it is still as it was given.
    pub fn mark(&mut self, entry: &Override, place: OverridePlace) {
        if let Some(held) = self.held.get_mut(&entry.id)
            && held.entry == *entry
        {
            held.is_in[place as usize] = true;
        }
    }

    /// A place does not have an entry any more.
    pub fn unmark(&mut self, id: OverrideId, place: OverridePlace) {
        if let Some(held) = self.held.get_mut(&id) {
            held.is_in[place as usize] = false;
        }
    }

    fn set(&mut self, entry: Override, place: OverridePlace) {
        let mut is_in = [false; 4];
        is_in[place as usize] = true;
        self.list(&entry);
        self.ended += usize::from(entry.end.is_some());
        self.held.insert(entry.id, HeldOverride { entry, is_in });
    }

    fn list(&mut self, entry: &Override) {
        if entry.end.is_none() {
            let standing = self.standing.entry(entry.popup.clone()).or_default();
            standing.push((entry.kind, entry.id));
            standing.sort_unstable();
        }
    }

    fn unlist(&mut self, entry: &Override) {
        let Some(standing) = self.standing.get_mut(&entry.popup) else { return };
        standing.retain(|(_, id)| *id != entry.id);
        if standing.is_empty() {
            self.standing.remove(&entry.popup);
        }
    }

    /// Drops those that ended first where an eighth more ended ones are known than may be, as far
    /// as SQL has them: it remembers all.
    fn forget(&mut self) {
        if self.ended <= OVERRIDES_ENDED_MAX + OVERRIDES_ENDED_MAX / 8 {
            return;
        }
        let is_known =
            |held: &&HeldOverride| held.is_in(OverridePlace::Sql) && held.entry.end.is_some();
        let known = self.held.values().filter(is_known);
        let mut oldest: Vec<(Option<Ended>, OverrideId)> =
            known.map(|held| (held.entry.end.clone(), held.entry.id)).collect();
        oldest.sort();
        oldest.truncate(self.ended - OVERRIDES_ENDED_MAX);
        for (_, id) in &oldest {
            self.held.remove(id);
        }
        self.ended -= oldest.len();
    }
}

#[cfg(test)]
mod tests;

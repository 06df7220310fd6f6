//! What was accepted for users whose state could not be had: events, and shows that this node's own
//! memory decided. Each is in the journal as an unmerged record; here it waits, in order, to become
//! part of its user's state. Knows no Redis and no journal.
//!
//! Bounded by `UNMERGED_MAX` entries. SQL's position must not pass an entry's record before the
//! merge is acknowledged: [`Unmerged::floor`] says from where on.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::home::{action_of, happening_of};
use crate::base::ids::{PopupKey, Sequence};
use crate::base::limits::UNMERGED_MAX;
use crate::base::time::WallMs;
use crate::catalog::snapshot::Snapshot;
use crate::journal::record::{self, Happening};
use crate::state::apply::{self, Action, EventVerdict, LateShow, ShowId};
use crate::state::user::UserState;

/// One thing that a user's state lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it was accepted.
    pub at: WallMs,
    /// The show itself, or an event of it.
    pub asked: Asked,
    /// Which show.
    pub shown: ShowId,
    /// The decision's token.
    pub token: Box<str>,
    /// The popup's id.
    pub popup: Box<str>,
    /// The popup's version at the decision.
    pub version: u32,
    /// The variant's key; empty for none.
    pub variant: Box<str>,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A show.
    Show {
        /// Pinned hash of its session; 0 for none.
        session: u64,
    },
    /// An event of a show.
    Event {
        /// What happened.
        action: Action,
        /// The event's own time, clamped when it was accepted.
        acted_at: WallMs,
    },
}

/// What came of merging an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merged {
    /// The state changed; it has to be recorded.
    Changed(Happening),
    /// The state had it already; recording it once more is harmless, and makes sure of it.
    Known(Happening),
    /// It is of a show that is no longer remembered, or too old: dropped.
    Dropped,
}

impl Entry {
    /// The entry of a record. Allocates its texts.
    pub fn of(record: &record::Unmerged<'_>) -> Entry {
        let asked = match action_of(record.happening) {
            None => Asked::Show { session: record.session },
            Some(action) => Asked::Event { action, acted_at: record.acted_at },
        };
        let popup = PopupKey::of(record.popup);
        Entry {
            at: record.at,
            asked,
            shown: ShowId { popup, number: record.number, at: record.shown_at },
            token: record.token.into(),
            popup: record.popup.into(),
            version: record.version,
            variant: record.variant.into(),
        }
    }

    /// The record of an entry.
    pub fn record<'a>(&'a self, user: &'a str) -> record::Unmerged<'a> {
        let (happening, acted_at, session) = match self.asked {
            Asked::Show { session } => (Happening::Decided, self.at, session),
            Asked::Event { action, acted_at } => (happening_of(action), acted_at, 0),
        };
        record::Unmerged {
            user,
            at: self.at,
            happening,
            acted_at,
            token: &self.token,
            popup: &self.popup,
            version: self.version,
            variant: &self.variant,
            number: self.shown.number,
            shown_at: self.shown.at,
            session,
        }
    }

    /// Makes it part of a state. Allocates as `state::apply` does.
    pub fn merge(&self, state: &mut UserState, snapshot: &Snapshot) -> Merged {
        match self.asked {
            Asked::Show { session } => {
                let popup = snapshot.popup(self.shown.popup);
                let quiet_exempt = popup.is_some_and(|popup| popup.quiet_exempt);
                let late = LateShow { shown: self.shown, session, quiet_exempt };
                if apply::merge_show(state, snapshot, late) {
                    Merged::Changed(Happening::Decided)
                } else {
                    Merged::Known(Happening::Decided)
                }
            }
            Asked::Event { action, acted_at } => {
                // As of the time at which it was accepted, so that waiting makes nothing too late.
                match apply::event(state, self.shown, action, Some(acted_at), self.at) {
                    EventVerdict::Accepted { .. } => Merged::Changed(happening_of(action)),
                    EventVerdict::Duplicate => Merged::Known(happening_of(action)),
                    EventVerdict::TooLate => Merged::Dropped,
                }
            }
        }
    }
}

/// The entries of one shard, by user.
#[derive(Debug, Default)]
pub struct Unmerged {
    users: BTreeMap<Box<str>, Vec<Entry>>,
    entries: usize,
    floor: Option<Sequence>,
}

impl Unmerged {
    /// Whether `count` more entries may wait.
    pub fn has_room(&self, count: usize) -> bool {
        self.entries + count <= UNMERGED_MAX
    }

    /// Adds an entry behind those of its user. `acked` is the last record of the journal that was
    /// acknowledged to this shard before: the entry's own comes later.
    pub fn push(&mut self, user: &str, entry: Entry, acked: Sequence) {
        debug_assert!(self.has_room(1));
        self.floor.get_or_insert(Sequence(acked.0 + 1));
        self.entries += 1;
        match self.users.get_mut(user) {
            Some(entries) => entries.push(entry),
            None => drop(self.users.insert(user.into(), vec![entry])),
        }
    }

    /// A user's entries, oldest first.
    pub fn of(&self, user: &str) -> &[Entry] {
        self.users.get(user).map_or(&[], Vec::as_slice)
    }

    /// The first `count` entries of a user are merged, and their records acknowledged.
    pub fn finish(&mut self, user: &str, count: usize) {
        let Some(entries) = self.users.get_mut(user) else { return };
        let count = count.min(entries.len());
        entries.drain(..count);
        self.entries -= count;
        if entries.is_empty() {
            self.users.remove(user);
        }
        if self.entries == 0 {
            self.floor = None;
        }
    }

    /// The next user who has entries, behind `after` in an order of their own; the first one behind
    /// the last.
    pub fn next_user(&self, after: &str) -> Option<&str> {
        let behind = (Bound::Excluded(after), Bound::Unbounded);
        let next = self.users.range::<str, _>(behind).next();
        next.or_else(|| self.users.first_key_value()).map(|(user, _)| &**user)
    }

    /// Every entry, to be journaled again: then SQL may pass the records that it had before.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.users
            .iter()
            .flat_map(|(user, entries)| entries.iter().map(move |entry| (&**user, entry)))
    }

    /// Every entry has been journaled again, behind `acked`.
    pub fn journaled_again(&mut self, acked: Sequence) {
        if self.floor.is_some() {
            self.floor = Some(Sequence(acked.0 + 1));
        }
    }

    /// No record before this one is of an entry that waits; `None` where none waits.
    pub fn floor(&self) -> Option<Sequence> {
        self.floor
    }

    /// Entries that wait.
    pub fn len(&self) -> usize {
        self.entries
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::samples::snapshot;
    use crate::journal::record::{Record, append, frames};
    use serde_json::json;

    const NOON: WallMs = WallMs(1_767_614_400_000);

    fn entry(asked: Asked) -> Entry {
        let popup = PopupKey::of("p");
        Entry {
            at: WallMs(NOON.0 + 9),
            asked,
            shown: ShowId { popup, number: 1, at: NOON },
            token: "t".into(),
            popup: "p".into(),
            version: 3,
            variant: "v".into(),
        }
    }

    fn click() -> Entry {
        entry(Asked::Event { action: Action::Clicked, acted_at: WallMs(NOON.0 + 5) })
    }

    fn show() -> Entry {
        Entry { at: NOON, ..entry(Asked::Show { session: 7 }) }
    }

    #[test]
    fn an_entry_comes_back_from_its_record() {
        for entry in [click(), show()] {
            let mut bytes = Vec::new();
            append(&Record::Unmerged(entry.record("u")), &mut bytes);
            let frame = frames(&bytes).next().unwrap().unwrap();
            let Record::Unmerged(record) = frame.record().unwrap() else { panic!() };
            assert_eq!((record.user, Entry::of(&record)), ("u", entry));
        }
    }

    #[test]
    fn merging_twice_changes_once_and_what_is_unknown_is_dropped() {
        let snapshot = snapshot(&json!([{"id": "p"}]));
        let mut state = UserState::default();
        assert_eq!(click().merge(&mut state, &snapshot), Merged::Dropped);
        assert_eq!(show().merge(&mut state, &snapshot), Merged::Changed(Happening::Decided));
        assert_eq!(click().merge(&mut state, &snapshot), Merged::Changed(Happening::Clicked));
        let revision = state.revision;
        assert_eq!(show().merge(&mut state, &snapshot), Merged::Known(Happening::Decided));
        assert_eq!(click().merge(&mut state, &snapshot), Merged::Known(Happening::Clicked));
        assert_eq!(state.revision, revision);
        assert_eq!(state.popups[0].outcome_at, WallMs(NOON.0 + 5));
    }

    #[test]
    fn the_floor_stays_until_all_are_merged_or_journaled_again() {
        let mut unmerged = Unmerged::default();
        assert!(unmerged.floor().is_none() && unmerged.is_empty());
        unmerged.push("a", show(), Sequence(4));
        unmerged.push("a", click(), Sequence(6));
        unmerged.push("b", click(), Sequence(9));
        assert_eq!((unmerged.floor(), unmerged.len()), (Some(Sequence(5)), 3));
        assert_eq!(unmerged.iter().map(|(user, _)| user).collect::<Vec<_>>(), ["a", "a", "b"]);
        unmerged.finish("a", 1);
        assert_eq!((unmerged.of("a"), unmerged.floor()), (&[click()][..], Some(Sequence(5))));
        unmerged.journaled_again(Sequence(20));
        assert_eq!(unmerged.floor(), Some(Sequence(21)));
        unmerged.finish("a", 9);
        assert_eq!((unmerged.next_user(""), unmerged.next_user("b")), (Some("b"), Some("b")));
        unmerged.finish("b", 1);
        assert_eq!((unmerged.floor(), unmerged.next_user("")), (None, None));
        unmerged.journaled_again(Sequence(30));
        assert_eq!(unmerged.floor(), None);
    }

    #[test]
    fn there_is_room_for_so_many_and_no_more() {
        let mut unmerged = Unmerged::default();
        for _ in 0..UNMERGED_MAX {
            assert!(unmerged.has_room(1));
            unmerged.push("u", click(), Sequence(0));
        }
        assert!(!unmerged.has_room(1));
        unmerged.finish("u", 1);
        assert!(unmerged.has_room(1) && !unmerged.has_room(2));
    }
}

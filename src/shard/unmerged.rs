//! What was accepted for users whose state could not be had: events, and shows that this node's own
//! memory decided. Each is in the journal as an unmerged record; here it waits, in order, to become
//! part of its user's state. Knows no Redis and no journal.
//!
//! Bounded by `UNMERGED_MAX` entries, `UNMERGED_USER_MAX` of one user. SQL's position must not pass
//! an entry's record before the merge is acknowledged: [`Unmerged::floor`] says from where on.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use super::home::{action_of, happening_of};
use crate::base::ids::{LaneSequence, PopupKey, Sequence};
use crate::base::limits::{UNMERGED_MAX, UNMERGED_USER_MAX};
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

/// A user's entries, oldest first, and for each the first record that may be its own.
#[derive(Debug)]
struct Waiting {
    entries: Vec<Entry>,
    floors: Vec<Sequence>,
}

/// The entries of one shard, by user.
#[derive(Debug, Default)]
pub struct Unmerged {
    users: BTreeMap<Box<str>, Waiting>,
    entries: usize,
    /// For each place in the journal how many entries have their records from there on.
    floors: BTreeMap<Sequence, usize>,
    /// Places of merged entries, until the merges' own records are acknowledged.
    recorded: VecDeque<(LaneSequence, Sequence)>,
}

impl Unmerged {
    /// Whether one more entry of a user may wait.
    pub fn has_room(&self, user: &str) -> bool {
        self.entries < UNMERGED_MAX && self.of(user).len() < UNMERGED_USER_MAX
    }

    /// Adds an entry behind those of its user. `acked` is the last record of the journal that was
    /// acknowledged to this shard before: the entry's own comes later. What an earlier process
    /// left is taken whatever there is room for.
    pub fn push(&mut self, user: &str, entry: Entry, acked: Sequence) {
        let floor = Sequence(acked.0 + 1);
        *self.floors.entry(floor).or_default() += 1;
        self.entries += 1;
        let waiting = match self.users.get_mut(user) {
            Some(waiting) => waiting,
            None => {
                let none = Waiting { entries: Vec::new(), floors: Vec::new() };
                self.users.entry(user.into()).or_insert(none)
            }
        };
        waiting.entries.push(entry);
        waiting.floors.push(floor);
    }

    /// A user's entries, oldest first.
    pub fn of(&self, user: &str) -> &[Entry] {
        self.users.get(user).map_or(&[], |waiting| &waiting.entries)
    }

    /// The first `count` entries of a user are merged; what the merge recorded ends at `upto`, and
    /// until that is acknowledged the floor stays.
    pub fn finish(&mut self, user: &str, count: usize, upto: LaneSequence) {
        let Some(waiting) = self.users.get_mut(user) else { return };
        let count = count.min(waiting.entries.len());
        waiting.entries.drain(..count);
        self.entries -= count;
        for floor in waiting.floors.drain(..count) {
            self.recorded.push_back((upto, floor));
        }
        if waiting.entries.is_empty() {
            self.users.remove(user);
        }
    }

    /// Records up to `acked` are acknowledged.
    pub fn acknowledge(&mut self, acked: LaneSequence) {
        while let Some((upto, floor)) = self.recorded.front().copied()
            && upto <= acked
        {
            self.recorded.pop_front();
            self.let_go(floor);
        }
    }

    fn let_go(&mut self, floor: Sequence) {
        let count = self.floors.get_mut(&floor).expect("each entry has its place");
        *count -= 1;
        if *count == 0 {
            self.floors.remove(&floor);
        }
    }

    /// The next user who has entries, behind `after` in an order of their own; the first one behind
    /// the last.
    pub fn next_user(&self, after: &str) -> Option<&str> {
        let first = || self.users.first_key_value().map(|(user, _)| &**user);
        self.user_behind(after).or_else(first)
    }

    /// The next user who has entries, behind `after`; `None` behind the last.
    pub fn user_behind(&self, after: &str) -> Option<&str> {
        let behind = (Bound::Excluded(after), Bound::Unbounded);
        self.users.range::<str, _>(behind).next().map(|(user, _)| &**user)
    }

    /// Every entry that was there when `acked` was the last acknowledged record has been journaled
    /// again since, and these records are acknowledged: SQL may pass those that it had before.
    pub fn journaled_again(&mut self, acked: Sequence) {
        let floor = Sequence(acked.0 + 1);
        for own in self.users.values_mut().flat_map(|waiting| &mut waiting.floors) {
            *own = floor.max(*own);
        }
        let waiting = self.users.values().flat_map(|waiting| &waiting.floors);
        let recorded = self.recorded.iter().map(|(_, floor)| floor);
        self.floors.clear();
        for floor in waiting.chain(recorded) {
            *self.floors.entry(*floor).or_default() += 1;
        }
    }

    /// No record before this one is of an entry that waits; `None` where none waits.
    pub fn floor(&self) -> Option<Sequence> {
        self.floors.first_key_value().map(|(floor, _)| *floor)
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
    fn the_floor_stays_until_the_merge_is_recorded_or_all_are_journaled_again() {
        let mut unmerged = Unmerged::default();
        assert!(unmerged.floor().is_none() && unmerged.is_empty());
        unmerged.push("a", show(), Sequence(4));
        unmerged.push("a", click(), Sequence(6));
        unmerged.push("b", click(), Sequence(9));
        assert_eq!((unmerged.floor(), unmerged.len()), (Some(Sequence(5)), 3));
        unmerged.finish("a", 1, LaneSequence(3));
        assert_eq!((unmerged.of("a"), unmerged.floor()), (&[click()][..], Some(Sequence(5))));
        unmerged.acknowledge(LaneSequence(2));
        assert_eq!(unmerged.floor(), Some(Sequence(5)));
        unmerged.acknowledge(LaneSequence(3));
        assert_eq!(unmerged.floor(), Some(Sequence(7)));
        unmerged.journaled_again(Sequence(20));
        assert_eq!(unmerged.floor(), Some(Sequence(21)));
        unmerged.finish("a", 9, LaneSequence(4));
        assert_eq!((unmerged.next_user(""), unmerged.next_user("b")), (Some("b"), Some("b")));
        assert_eq!(unmerged.user_behind("b"), None);
        unmerged.journaled_again(Sequence(30));
        assert_eq!(unmerged.floor(), Some(Sequence(21)), "its merge is not recorded yet");
        unmerged.finish("b", 1, LaneSequence(5));
        unmerged.acknowledge(LaneSequence(4));
        assert_eq!((unmerged.floor(), unmerged.next_user("")), (Some(Sequence(31)), None));
        unmerged.acknowledge(LaneSequence(5));
        assert_eq!(unmerged.floor(), None);
        unmerged.journaled_again(Sequence(30));
        assert_eq!(unmerged.floor(), None);
    }

    #[test]
    fn there_is_room_for_so_many_and_no_more() {
        let mut unmerged = Unmerged::default();
        for _ in 0..UNMERGED_USER_MAX {
            assert!(unmerged.has_room("u"));
            unmerged.push("u", click(), Sequence(0));
        }
        assert!(!unmerged.has_room("u") && unmerged.has_room("v"));
        for user in UNMERGED_USER_MAX..UNMERGED_MAX {
            assert!(unmerged.has_room("w"));
            unmerged.push(&user.to_string(), click(), Sequence(0));
        }
        assert!(!unmerged.has_room("w"));
        unmerged.finish("u", 1, LaneSequence(0));
        assert!(unmerged.has_room("w"));
    }
}

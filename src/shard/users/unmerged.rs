//! What was accepted for users whose state could not be had: events, and shows that this node's own
//! memory decided. Each is in the journal as an unmerged record; here it waits, in order, to become
//! part of its user's state. Knows no Redis and no journal. `entry` one of them, and what an
//! earlier process left.
//!
//! Bounded by `UNMERGED_MAX` entries, `UNMERGED_USER_MAX` of one user. SQL's position must not pass
//! an entry's record before the merge is acknowledged: [`UnmergedTable::floor`] says from where on.
//! The journal keeps room for what they still need: [`UnmergedTable::promised_bytes`].

mod entry;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

pub(crate) use entry::{Merged, late_show, learn, merge};
pub use entry::{RecoveredUnmerged, UnmergedEntry, UnmergedScan};

use nudged_base::ids::{LaneSequence, Sequence};
use nudged_base::limits::{UNMERGED_MAX, UNMERGED_USER_MAX};

/// A user's entries, oldest first, and for each the first record that may be its own.
#[derive(Debug, Default)]
struct UnmergedOfUser {
    entries: Vec<UnmergedEntry>,
    floors: Vec<Sequence>,
}

/// The entries of one shard, by user.
#[derive(Debug, Default)]
pub(crate) struct UnmergedTable {
    users: BTreeMap<Box<str>, UnmergedOfUser>,
    entries: usize,
    promised_bytes: u64,
    /// For each place in the journal how many entries have their records from there on.
    floors: BTreeMap<Sequence, usize>,
    /// Places of merged entries, until the merges' own records are acknowledged.
    recorded: VecDeque<(LaneSequence, Sequence)>,
}

impl UnmergedTable {
    /// What earlier processes accepted and did not merge, each with its record.
    pub(crate) fn left_by(left: RecoveredUnmerged) -> UnmergedTable {
        let mut unmerged = UnmergedTable::default();
        for (sequence, entry) in left {
            unmerged.push(entry, Sequence(sequence.0 - 1));
        }
        unmerged
    }

    /// Whether one more entry of a user may wait.
    pub fn has_room(&self, user: &str) -> bool {
        self.entries < UNMERGED_MAX && self.of(user).len() < UNMERGED_USER_MAX
    }

    /// Adds an entry behind those of its user. `acked` is the last record of the journal that was
    /// acknowledged to this shard before: the entry's own comes later. What an earlier process
    /// left is taken whatever there is room for.
    pub fn push(&mut self, entry: UnmergedEntry, acked: Sequence) {
        let user = entry.record().user;
        let floor = Sequence(acked.0 + 1);
        *self.floors.entry(floor).or_default() += 1;
        self.entries += 1;
        self.promised_bytes += entry.promised_bytes();
        let waiting = match self.users.get_mut(user) {
            Some(waiting) => waiting,
            None => self.users.entry(user.into()).or_default(),
        };
        waiting.entries.push(entry);
        waiting.floors.push(floor);
    }

    /// A user's entries, oldest first.
    pub fn of(&self, user: &str) -> &[UnmergedEntry] {
        self.users.get(user).map_or(&[], |waiting| &waiting.entries)
    }

    /// The first `count` entries of a user are merged; what the merge recorded ends at `upto`, and
    /// until that is acknowledged the floor stays.
    pub fn finish(&mut self, user: &str, count: usize, upto: LaneSequence) {
        let Some(waiting) = self.users.get_mut(user) else { return };
        let count = count.min(waiting.entries.len());
        for entry in waiting.entries.drain(..count) {
            self.promised_bytes -= entry.promised_bytes();
        }
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
    pub(crate) fn next_user(&self, after: &str) -> Option<&str> {
        let first = || self.users.first_key_value().map(|(user, _)| &**user);
        self.user_behind(after).or_else(first)
    }

    /// The next user who has entries, behind `after`; `None` behind the last.
    pub(crate) fn user_behind(&self, after: &str) -> Option<&str> {
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

    /// Bytes that the journal has to keep free for what waits.
    pub fn promised_bytes(&self) -> u64 {
        self.promised_bytes
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
mod tests;

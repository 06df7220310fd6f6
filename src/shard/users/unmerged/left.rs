//! What the unapplied part of a journal tells to be unmerged, after its process has ended. An
//! impression says that an entry is merged, an erase that it is to be forgotten.

use std::collections::BTreeMap;

use super::Entry;
use nudged_base::ids::Sequence;
use nudged_journal::record::Record;

/// Entries in the order in which they were accepted, each with its user and its latest record.
pub type Left = Vec<(Sequence, Box<str>, Entry)>;

/// A place among all that was found, and what lies there.
type Placed = (usize, (Sequence, Box<str>, Entry));

/// What was found so far, record by record.
#[derive(Debug, Default)]
pub struct Found {
    /// By decision and event kind: its place among all, its latest record, its user and itself.
    left: BTreeMap<(Box<str>, u8), Placed>,
    count: usize,
}

impl Found {
    /// Takes the next record of the journal. Allocates what an entry takes.
    pub fn take(&mut self, sequence: Sequence, record: &Record<'_>) {
        match record {
            Record::Unmerged(record) => {
                // Journaled again, it keeps its place among those of its user.
                let key = (record.token.into(), record.kind.number());
                let place = self.left.get(&key).map_or(self.count, |(place, _)| *place);
                self.count += 1;
                self.left.insert(key, (place, (sequence, record.user.into(), Entry::of(record))));
            }
            Record::Impression(record) if !self.left.is_empty() => {
                self.left.remove(&(record.token.into(), record.kind.number()));
            }
            Record::Impression(_) | Record::Withdrawn(_) => {}
            Record::Erase { user, .. } => self.left.retain(|_, (_, (_, own, _))| **own != **user),
        }
    }

    /// What is left at the journal's end.
    pub fn into_left(self) -> Left {
        let mut left: Vec<_> = self.left.into_values().collect();
        left.sort_unstable_by_key(|(place, _)| *place);
        left.into_iter().map(|(_, entry)| entry).collect()
    }
}

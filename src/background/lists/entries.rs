//! What the lists of Redis hold: entries as the commit script wrote them, and the runs of records
//! that they make. Knows bytes and streams; must not know who reads them and who applies them.
//!
//! ```text
//! entry = epoch u32 BE | number u64 BE | record, framed
//! ```
//!
//! A stream is of one partition and one epoch: in it numbers rise, with gaps. Entries of an earlier
//! epoch stand before those of a later one.

use std::collections::BTreeMap;

use nudged_base::ids::{Partition, Sequence, StreamId};
use nudged_journal::record::{Record, frames};

/// Bytes of an entry before its record.
pub(crate) const HEAD_BYTES: usize = 12;

/// A list's entries of one epoch.
pub type ListStream = (u32, Partition);

/// The records of lists, by stream.
pub type ListRuns<'a> = BTreeMap<ListStream, Vec<(Sequence, Record<'a>)>>;

/// The records of lists, by what their streams are called in SQL.
pub type NumberedRuns<'a> = Vec<(StreamId, Vec<(Sequence, Record<'a>)>)>;

/// Why an entry can't be read. It stays at the head of its list, and people are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the list of partition {partition} has an entry that is not a record", partition = .0.0)]
pub struct BadEntry(pub Partition);

/// The entries of many lists as they were read.
#[derive(Debug, Default)]
pub(crate) struct ListHeads {
    lists: BTreeMap<Partition, Vec<Vec<u8>>>,
}

impl ListHeads {
    /// Takes the head of a list, in its order.
    pub fn push(&mut self, partition: Partition, entries: Vec<Vec<u8>>) {
        if !entries.is_empty() {
            self.lists.insert(partition, entries);
        }
    }

    /// Leaves a list out.
    pub fn remove(&mut self, partition: Partition) {
        self.lists.remove(&partition);
    }

    /// How many entries were read.
    pub fn count(&self) -> usize {
        self.lists.values().map(Vec::len).sum()
    }

    /// The records by stream, up to `count` of them; a list is cut before a bad entry, which is
    /// told. Allocates.
    pub fn runs(&self, count: usize) -> (ListRuns<'_>, Vec<BadEntry>) {
        let mut runs = ListRuns::new();
        let mut bad = Vec::new();
        let mut left = count;
        for (partition, entries) in &self.lists {
            for entry in entries.iter().take(left) {
                let Some((epoch, sequence, record)) = decode(entry) else {
                    bad.push(BadEntry(*partition));
                    break;
                };
                let run = runs.entry((epoch, *partition)).or_default();
                // A number that does not rise is a repetition: it would be skipped anyway.
                if run.last().is_none_or(|(last, _)| *last < sequence) {
                    run.push((sequence, record));
                    left -= 1;
                }
            }
        }
        (runs, bad)
    }
}

/// What the trimming script is told: all up to this entry is in SQL.
pub fn head(epoch: u32, sequence: Sequence) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..4].copy_from_slice(&epoch.to_be_bytes());
    head[4..].copy_from_slice(&sequence.0.to_be_bytes());
    head
}

fn decode(entry: &[u8]) -> Option<(u32, Sequence, Record<'_>)> {
    let (head, framed) = entry.split_at_checked(HEAD_BYTES)?;
    let epoch = u32::from_be_bytes(head[..4].try_into().ok()?);
    let sequence = u64::from_be_bytes(head[4..].try_into().ok()?);
    let mut records = frames(framed);
    let record = records.next()?.ok()?.record().ok()?;
    records.next().is_none().then_some((epoch, Sequence(sequence), record))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nudged_base::ids::Revision;
    use nudged_base::time::WallMs;
    use nudged_journal::record;

    fn entry(epoch: u32, sequence: u64, user: &str) -> Vec<u8> {
        let mut bytes = head(epoch, Sequence(sequence)).to_vec();
        let revision = Revision { epoch, counter: sequence };
        record::append(&Record::Erase { user, revision, at: WallMs(1) }, &mut bytes);
        bytes
    }

    fn sequences(run: &[(Sequence, Record<'_>)]) -> Vec<u64> {
        run.iter().map(|(sequence, _)| sequence.0).collect()
    }

    #[test]
    fn entries_make_a_run_for_each_partition_and_epoch() {
        let mut reading = ListHeads::default();
        reading.push(Partition(7), vec![entry(1, 8, "a"), entry(1, 9, "b"), entry(2, 1, "a")]);
        reading.push(Partition(9), vec![entry(2, 4, "c")]);
        reading.push(Partition(10), Vec::new());
        let (runs, bad) = reading.runs(100);
        assert!(bad.is_empty() && reading.count() == 4);
        let found: Vec<_> = runs.iter().map(|(stream, run)| (*stream, sequences(run))).collect();
        let seven = Partition(7);
        let expected =
            [((1, seven), vec![8, 9]), ((2, seven), vec![1]), ((2, Partition(9)), vec![4])];
        assert_eq!(found, expected);
    }

    #[test]
    fn no_more_is_taken_than_a_transaction_takes() {
        let mut reading = ListHeads::default();
        reading.push(Partition(1), (1..=5).map(|number| entry(1, number, "a")).collect());
        reading.push(Partition(2), (1..=5).map(|number| entry(1, number, "b")).collect());
        let (runs, _) = reading.runs(7);
        assert_eq!(runs.values().map(Vec::len).collect::<Vec<_>>(), [5, 2]);
    }

    #[test]
    fn a_bad_entry_stops_its_own_list_and_repetitions_are_passed_over() {
        let mut cut = entry(1, 3, "a");
        cut.pop();
        let mut doubled = entry(1, 3, "a");
        doubled.extend_from_slice(&entry(1, 4, "a")[HEAD_BYTES..]);
        for bad in [cut, doubled, vec![1, 2, 3]] {
            let mut reading = ListHeads::default();
            let entries = vec![entry(1, 2, "a"), entry(1, 2, "a"), bad, entry(1, 5, "a")];
            reading.push(Partition(1), entries);
            reading.push(Partition(2), vec![entry(1, 1, "b")]);
            let (runs, told) = reading.runs(100);
            assert_eq!(told, [BadEntry(Partition(1))]);
            assert_eq!(sequences(&runs[&(1, Partition(1))]), [2]);
            assert_eq!(sequences(&runs[&(1, Partition(2))]), [1]);
        }
    }
}

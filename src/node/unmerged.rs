//! What earlier processes of this node accepted without its users' states and did not merge: read
//! from the part of the journal that SQL has not applied, and handed to the shards. Only a node
//! with Redis asks; without it an unmerged record has nothing to wait for.

use std::collections::HashMap;

use crate::base::ids::{Sequence, ShardId, UserKey};
use crate::journal::disk::DiskRead;
use crate::journal::reader::{Tail, TailError};
use crate::journal::record::Record;
use crate::runtime::board::Board;
use crate::shard::unmerged::Entry;

/// Entries in the order in which they were accepted, each with its user and its latest record.
pub type Left = Vec<(Sequence, Box<str>, Entry)>;

/// Its place among all, its latest record, its user and itself.
type Found = (usize, Sequence, Box<str>, Entry);

/// Entries that no record from `tail` to `end` tells to be merged. Allocates what they take.
///
/// # Errors
/// Where the journal can't be read.
pub fn collect(disk: &impl DiskRead, mut tail: Tail, end: Sequence) -> Result<Left, TailError> {
    let mut left: HashMap<(Box<str>, u8), Found> = HashMap::new();
    let mut found = 0;
    while let Some(batch) = tail.next(disk, end)? {
        for (sequence, record) in batch {
            match record {
                Ok(Record::Unmerged(record)) => {
                    // Journaled again, it keeps its place among those of its user.
                    let key = (record.token.into(), record.happening.number());
                    let order = left.get(&key).map_or(found, |(order, ..)| *order);
                    found += 1;
                    left.insert(key, (order, sequence, record.user.into(), Entry::of(&record)));
                }
                Ok(Record::Impression(record)) if !left.is_empty() => {
                    left.remove(&(record.token.into(), record.happening.number()));
                }
                Ok(Record::Erase { user, .. }) => left.retain(|_, (_, _, own, _)| **own != *user),
                // What can't be read is told by the writer, who passes it over.
                Ok(Record::Impression(_)) | Err(_) => {}
            }
        }
    }
    let mut left: Vec<_> = left.into_values().collect();
    left.sort_unstable_by_key(|(order, ..)| *order);
    Ok(left.into_iter().map(|(_, sequence, user, entry)| (sequence, user, entry)).collect())
}

/// Those of one shard's users.
pub fn of_shard(left: &Left, shard: ShardId, shards: u16) -> Left {
    let is_own = |user: &str| UserKey::of(user.as_bytes()).home(shards) == shard;
    left.iter().filter(|(_, user, _)| is_own(user)).cloned().collect()
}

/// Says on the board, before the writer begins and before the shards do, what it must not pass.
pub fn announce(board: &Board, left: &Left, end: Sequence, shards: u16) {
    for shard in (0..shards).map(ShardId) {
        let first = of_shard(left, shard, shards).iter().map(|(sequence, ..)| *sequence).min();
        board.report_journal(shard, end, first);
    }
}

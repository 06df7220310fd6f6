//! Identities. Raw integers do not cross a module: each kind of identity is its own type.

use std::fmt;

use super::limits::PARTITIONS;
use super::{hash, hex};

/// Index of a shard in this process, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

impl ShardId {
    /// The shard's position in a table of shards.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A journal's small number in a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u32);

/// A node: the id of its journal, made with its data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u128);

impl NodeId {
    /// The id of a text that [`NodeId`]'s `Display` wrote; `None` for any other.
    pub fn parse(text: &str) -> Option<NodeId> {
        hex::id(text).map(NodeId)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

/// The pinned 64-bit hash of a user id. Two users may share one, so every table that is keyed by
/// it also compares the id's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserKey(pub u64);

impl UserKey {
    /// Hashes a user id. Does not allocate.
    pub fn of(user: &[u8]) -> UserKey {
        UserKey(hash::user(user))
    }

    /// The partition of this user, `hash % 1024` (docs/decisions.md#4-home-shards).
    pub fn partition(self) -> Partition {
        // The remainder is below 1,024, so it fits in 16 bits.
        Partition(u16::try_from(self.0 % u64::from(PARTITIONS)).expect("remainder of 1,024"))
    }

    /// The shard that owns this user when the node has `shards` of them.
    pub fn home(self, shards: u16) -> ShardId {
        self.partition().home(shards)
    }
}

/// One of the 1,024 fixed classes of users; the unit in which users are spread over shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(pub u16);

impl Partition {
    /// The shard that owns this partition: `partition % shards`.
    pub fn home(self, shards: u16) -> ShardId {
        ShardId(self.0 % shards.max(1))
    }
}

/// The pinned 64-bit hash of a popup id. State holds it in place of the text; compiling a catalog
/// refuses two ids that share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PopupKey(pub u64);

impl PopupKey {
    /// Hashes a popup id. Does not allocate.
    pub fn of(id: &str) -> PopupKey {
        PopupKey(hash::popup(id.as_bytes()))
    }
}

/// How often a user's state has changed: compared whole, a higher one replaces a lower one.
/// `epoch` rises when an arbiter starts anew, `counter` by one with each change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision {
    /// The arbiter's epoch; 0 in embedded mode.
    pub epoch: u32,
    /// Changes of this user within the epoch, from 1; 0 means never changed.
    pub counter: u64,
}

impl Revision {
    /// The revision after one more change.
    #[must_use]
    pub fn next(self) -> Revision {
        Revision { epoch: self.epoch, counter: self.counter + 1 }
    }
}

/// Position of a record in a node's journal, from 1 and without gaps; 0 means before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

impl fmt::Display for Sequence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Position of a record in the lane from one shard to the journal, from 1; 0 means before the
/// first. Starts anew with each process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneSequence(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_back_and_nothing_else_is() {
        let node = NodeId(0xfeed);
        assert_eq!(NodeId::parse(&node.to_string()), Some(node));
        for text in ["", "cleared", "feed", &"F".repeat(32), &"+".repeat(32), &"0".repeat(33)] {
            assert_eq!(NodeId::parse(text), None, "{text}");
        }
    }
}

//! The metas of all partitions as this node last read them, and which of them have lost writes.
//! Knows epochs, counters and phases; must not know who is asked and what is done about it.
//!
//! ```text
//! no epoch, or fenced, or lower than seen, or reported by a shard -> Lost
//! users may have vanished from it, and vanish no more           -> Suspect
//! phase b -> Waiting   phase f -> Filling   no phase -> Open
//! ```

use nudged_base::ids::Partition;
use nudged_redis::command::PartitionPhase;

/// What Redis says of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionMeta {
    /// Its epoch; `None` where it has none.
    pub epoch: Option<u32>,
    /// Records committed in this epoch.
    pub counter: u64,
    /// What may be done with it.
    pub phase: PartitionPhase,
    /// A node has seen that it lost writes, and nobody has begun a new epoch yet.
    pub is_fenced: bool,
    /// Why users may have vanished from it since this epoch began, as it is marked there.
    pub vanishing: Option<Vanishing>,
    /// A run, and how many keys it had evicted when this epoch began.
    pub evicted: Option<(u64, u64)>,
}

/// Why users may vanish from Redis by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Vanishing {
    /// Their values expire: `[redis] ttl` is set on a node, or was.
    Expiry,
    /// Redis evicts keys, or did.
    Eviction,
}

impl Vanishing {
    /// How it stands in a meta.
    pub fn mark(self) -> &'static str {
        match self {
            Vanishing::Expiry => "t",
            Vanishing::Eviction => "1",
        }
    }

    /// What stands in a meta; anything that is not known counts as eviction.
    pub(crate) fn of_mark(mark: &[u8]) -> Vanishing {
        if mark == b"t" { Vanishing::Expiry } else { Vanishing::Eviction }
    }
}

/// What Redis, and this node's settings, say of users that vanish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EvictionState {
    /// The run of Redis.
    pub run: u64,
    /// It may evict keys now.
    pub is_evicting: bool,
    /// Keys that it has evicted in its life.
    pub evicted: u64,
    /// Users' values expire.
    pub is_expiring: bool,
}

impl EvictionState {
    /// Why users vanish now; `None` where they do not.
    pub(crate) fn vanishing(&self) -> Option<Vanishing> {
        match (self.is_evicting, self.is_expiring) {
            (true, _) => Some(Vanishing::Eviction),
            (false, true) => Some(Vanishing::Expiry),
            (false, false) => None,
        }
    }

    /// Why users may have vanished from a partition of this meta; `None` where they have not.
    fn of(&self, meta: &PartitionMeta) -> Option<Vanishing> {
        let before = meta.evicted.filter(|(run, _)| *run == self.run).map_or(0, |(_, count)| count);
        match self.evicted > before {
            true => Some(Vanishing::Eviction),
            false => self.vanishing(),
        }
    }
}

/// What may be made of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionStatus {
    /// A user that is missing is new.
    Open,
    /// Writes are lost, or never began. `fenced` where everybody can see it.
    Lost {
        /// The epoch that Redis has, if any.
        epoch: Option<u32>,
        /// Whether no node decides by it any more.
        fenced: bool,
    },
    /// Users may have vanished from it, and do so no more: it has to be filled before one who is
    /// missing is a new one.
    Suspect {
        /// Its epoch.
        epoch: u32,
    },
    /// A new epoch has begun; the journals of the one before are waited for.
    Waiting {
        /// The new epoch.
        epoch: u32,
    },
    /// Being filled from SQL.
    Filling {
        /// The new epoch.
        epoch: u32,
    },
}

/// All partitions.
#[derive(Debug)]
pub struct PartitionTable {
    statuses: Vec<PartitionStatus>,
    /// Highest epoch and counter that this node has read, by partition.
    seen: Vec<(u32, u64)>,
    /// Partitions that are to be marked, with their epochs.
    unmarked: Vec<(Partition, u32, Vanishing)>,
}

impl PartitionTable {
    /// Nothing was read yet. Allocates its tables.
    pub fn new(partitions: u16) -> PartitionTable {
        let count = usize::from(partitions);
        PartitionTable {
            statuses: vec![PartitionStatus::Lost { epoch: None, fenced: true }; count],
            seen: vec![(0, 0); count],
            unmarked: Vec::new(),
        }
    }

    /// Takes the metas of all partitions in order; `reported` are those that shards say have lost
    /// writes. With `doubts` every partition in which this node may have worked must be taken to
    /// have lost some: nobody can tell any more.
    ///
    /// # Panics
    /// Where there are not as many metas as partitions.
    pub fn read(
        &mut self,
        metas: &[PartitionMeta],
        losses: &EvictionState,
        (reported, doubts): (&[Partition], bool),
    ) {
        assert_eq!(metas.len(), self.statuses.len(), "one meta for each partition");
        self.unmarked.clear();
        for (index, meta) in metas.iter().enumerate() {
            let is_reported = reported.iter().any(|partition| usize::from(partition.0) == index);
            let seen = self.seen[index];
            self.statuses[index] = status(meta, seen, is_reported, doubts);
            let is_lost = matches!(self.statuses[index], PartitionStatus::Lost { .. });
            // What is doubted must not look as if this node had worked in it.
            if let (Some(epoch), false, false) = (meta.epoch, is_lost, doubts) {
                self.seen[index] = seen.max((epoch, meta.counter));
            }
            self.look_for_vanished(index, meta, losses);
        }
    }

    /// What may have vanished is marked where every node and every later process sees it. While it
    /// goes on nothing mends it; filling a partition takes its mark away.
    fn look_for_vanished(&mut self, index: usize, meta: &PartitionMeta, losses: &EvictionState) {
        let Some(epoch) = meta.epoch else { return };
        let found = losses.of(meta);
        let is_known = meta.vanishing.is_some_and(|known| Some(known) >= found);
        if let Some(why) = found.filter(|_| !is_known) {
            let partition = Partition(u16::try_from(index).expect("partitions have 16 bits"));
            self.unmarked.push((partition, epoch, why));
        }
        let has_evicted = meta.vanishing.max(found) == Some(Vanishing::Eviction);
        let is_lost = matches!(self.statuses[index], PartitionStatus::Lost { .. });
        if has_evicted && !losses.is_evicting && !is_lost {
            self.statuses[index] = PartitionStatus::Suspect { epoch };
        }
    }

    /// Partitions from which users may have vanished, which nobody has marked yet, with their
    /// epochs.
    pub(crate) fn unmarked(&self) -> &[(Partition, u32, Vanishing)] {
        &self.unmarked
    }

    /// Each partition with its status, in order.
    pub(crate) fn statuses(&self) -> impl Iterator<Item = (Partition, PartitionStatus)> + '_ {
        (0..).map(Partition).zip(self.statuses.iter().copied())
    }

    /// The status of one partition.
    pub fn status(&self, partition: Partition) -> PartitionStatus {
        self.statuses[usize::from(partition.0)]
    }

    /// Whether every partition is open.
    pub fn is_open(&self) -> bool {
        self.statuses.iter().all(|status| *status == PartitionStatus::Open)
    }

    /// The highest epoch that was ever read.
    pub(crate) fn highest_epoch(&self) -> u32 {
        self.seen.iter().map(|(epoch, _)| *epoch).max().unwrap_or(0)
    }
}

fn status(
    meta: &PartitionMeta,
    seen: (u32, u64),
    is_reported: bool,
    doubts: bool,
) -> PartitionStatus {
    let Some(epoch) = meta.epoch else {
        return PartitionStatus::Lost { epoch: None, fenced: true };
    };
    if meta.is_fenced {
        return PartitionStatus::Lost { epoch: Some(epoch), fenced: true };
    }
    // A report of an epoch before the one that is there now has been answered by it.
    let is_known = epoch <= seen.0;
    let is_lost = (epoch, meta.counter) < seen
        || is_known && doubts
        || is_known && is_reported && meta.phase != PartitionPhase::Barrier;
    match meta.phase {
        _ if is_lost => PartitionStatus::Lost { epoch: Some(epoch), fenced: false },
        PartitionPhase::Open => PartitionStatus::Open,
        PartitionPhase::Barrier => PartitionStatus::Waiting { epoch },
        PartitionPhase::Filling => PartitionStatus::Filling { epoch },
    }
}

/// What is read of a partition that Redis has nothing of.
#[cfg(test)]
pub(super) const NO_META: PartitionMeta = PartitionMeta {
    epoch: None,
    counter: 0,
    phase: PartitionPhase::Open,
    is_fenced: false,
    vanishing: None,
    evicted: None,
};

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(epoch: u32, counter: u64, phase: PartitionPhase) -> PartitionMeta {
        PartitionMeta { epoch: Some(epoch), counter, phase, ..NO_META }
    }

    const COUNT: u16 = 4;
    const QUIET: EvictionState =
        EvictionState { run: 7, is_evicting: false, evicted: 0, is_expiring: false };

    /// How partition 0 stands after the first was read, and then the second.
    fn read(first: PartitionMeta, second: PartitionMeta, reported: bool) -> PartitionStatus {
        let mut table = PartitionTable::new(COUNT);
        let reports: &[Partition] = if reported { &[Partition(0)] } else { &[] };
        table.read(&[first; COUNT as usize], &QUIET, (&[], false));
        table.read(&[second; COUNT as usize], &QUIET, (reports, false));
        table.statuses().next().unwrap().1
    }

    #[test]
    fn each_case_stands_as_the_table_says() {
        use PartitionPhase::{Barrier, Filling, Open};
        let lost = |epoch, fenced| PartitionStatus::Lost { epoch, fenced };
        let fenced = PartitionMeta { is_fenced: true, ..meta(3, 9, Barrier) };
        let table = [
            (NO_META, NO_META, false, lost(None, true)),
            (meta(3, 9, Open), NO_META, false, lost(None, true)),
            (NO_META, meta(3, 9, Open), false, PartitionStatus::Open),
            (meta(3, 9, Open), meta(3, 9, Open), false, PartitionStatus::Open),
            (meta(3, 9, Open), meta(3, 8, Open), false, lost(Some(3), false)),
            (meta(3, 9, Open), meta(2, 99, Open), false, lost(Some(2), false)),
            (meta(3, 9, Open), meta(3, 8, Filling), false, lost(Some(3), false)),
            (meta(3, 9, Open), fenced, false, lost(Some(3), true)),
            (meta(3, 9, Open), meta(4, 0, Barrier), false, PartitionStatus::Waiting { epoch: 4 }),
            (meta(3, 9, Open), meta(4, 0, Filling), false, PartitionStatus::Filling { epoch: 4 }),
            // A shard has seen more than this node's keeper.
            (meta(3, 9, Open), meta(3, 9, Open), true, lost(Some(3), false)),
            // What it reports has been answered since.
            (meta(3, 9, Open), meta(4, 0, Open), true, PartitionStatus::Open),
            (meta(3, 9, Open), meta(4, 0, Barrier), true, PartitionStatus::Waiting { epoch: 4 }),
        ];
        for (index, (first, second, reported, expected)) in table.into_iter().enumerate() {
            assert_eq!(read(first, second, reported), expected, "row {index}");
        }
    }

    #[test]
    fn what_may_have_vanished_is_marked_and_suspect_once_it_vanishes_no_more() {
        use PartitionPhase::{Barrier, Filling, Open};
        use Vanishing::{Eviction, Expiry};
        let evicting = EvictionState { is_evicting: true, ..QUIET };
        let evicted = |evicted| EvictionState { evicted, ..QUIET };
        let expiring = EvictionState { is_expiring: true, ..QUIET };
        let begun = |run, count| PartitionMeta { evicted: Some((run, count)), ..meta(3, 9, Open) };
        let marked = |why, phase| PartitionMeta { vanishing: Some(why), ..meta(3, 9, phase) };
        let suspect = PartitionStatus::Suspect { epoch: 3 };
        let filling = PartitionStatus::Filling { epoch: 3 };
        let table = [
            (meta(3, 9, Open), QUIET, PartitionStatus::Open, None),
            (meta(3, 9, Open), evicting, PartitionStatus::Open, Some(Eviction)),
            (meta(3, 9, Filling), evicting, filling, Some(Eviction)),
            (marked(Eviction, Open), evicting, PartitionStatus::Open, None),
            (marked(Expiry, Open), evicting, PartitionStatus::Open, Some(Eviction)),
            // The policy is set back.
            (marked(Eviction, Open), QUIET, suspect, None),
            (marked(Eviction, Filling), QUIET, suspect, None),
            (marked(Eviction, Barrier), QUIET, suspect, None),
            // It was another one between two looks, or before anybody looked.
            (meta(3, 9, Open), evicted(5), suspect, Some(Eviction)),
            (begun(7, 5), evicted(5), PartitionStatus::Open, None),
            (begun(7, 5), evicted(6), suspect, Some(Eviction)),
            (begun(6, 5), evicted(5), suspect, Some(Eviction)),
            // Values that expire go on doing so, whatever the settings are now.
            (meta(3, 9, Open), expiring, PartitionStatus::Open, Some(Expiry)),
            (marked(Expiry, Open), expiring, PartitionStatus::Open, None),
            (marked(Expiry, Open), QUIET, PartitionStatus::Open, None),
            (NO_META, evicting, PartitionStatus::Lost { epoch: None, fenced: true }, None),
        ];
        for (index, (found, losses, expected, mark)) in table.into_iter().enumerate() {
            let mut table = PartitionTable::new(COUNT);
            table.read(&[found; COUNT as usize], &losses, (&[], false));
            assert_eq!(table.status(Partition(0)), expected, "row {index}");
            let first = table.unmarked().first().map(|(_, epoch, why)| (*epoch, *why));
            assert_eq!(first, mark.map(|why| (3, why)), "row {index}");
        }
    }

    #[test]
    fn doubts_are_of_every_partition_in_which_this_node_has_worked() {
        let mut table = PartitionTable::new(COUNT);
        table.read(&[meta(3, 9, PartitionPhase::Open); COUNT as usize], &QUIET, (&[], false));
        assert!(table.is_open());
        let mut metas = [meta(3, 9, PartitionPhase::Open); COUNT as usize];
        // Begun while this node was away: it can have lost nothing of ours.
        metas[3] = meta(4, 0, PartitionPhase::Open);
        table.read(&metas, &QUIET, (&[], true));
        table.read(&metas, &QUIET, (&[], true));
        let lost = PartitionStatus::Lost { epoch: Some(3), fenced: false };
        let statuses: Vec<PartitionStatus> = table.statuses().map(|(_, status)| status).collect();
        assert_eq!(statuses, [lost, lost, lost, PartitionStatus::Open]);
        assert_eq!(table.highest_epoch(), 3);
    }
}

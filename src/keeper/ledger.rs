//! The metas of all partitions as this node last read them, and which of them have lost writes.
//! Knows epochs, counters and phases; must not know who is asked and what is done about it.
//!
//! ```text
//! no epoch, or held, or lower than seen, or reported by a shard -> Lost
//! phase b -> Waiting   phase f -> Filling   no phase -> Open
//! ```

use crate::base::ids::Partition;
use crate::redis::command::Phase;

/// What Redis says of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionMeta {
    /// Its epoch; `None` where it has none.
    pub epoch: Option<u32>,
    /// Records committed in this epoch.
    pub counter: u64,
    /// What may be done with it.
    pub phase: Phase,
    /// A node has seen that it lost writes, and nobody has begun a new epoch yet.
    pub is_held: bool,
}

/// How a partition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A user that is missing is new.
    Open,
    /// Writes are lost, or never began. `held` where everybody can see it.
    Lost {
        /// The epoch that Redis has, if any.
        epoch: Option<u32>,
        /// Whether no node decides by it any more.
        held: bool,
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
pub struct Ledger {
    standings: Vec<Standing>,
    /// Highest epoch and counter that this node has read, by partition.
    seen: Vec<(u32, u64)>,
}

impl Ledger {
    /// Nothing was read yet. Allocates its tables.
    pub fn new(partitions: u16) -> Ledger {
        let count = usize::from(partitions);
        Ledger {
            standings: vec![Standing::Lost { epoch: None, held: true }; count],
            seen: vec![(0, 0); count],
        }
    }

    /// Takes the metas of all partitions in order; `reported` are those that shards say have lost
    /// writes. With `doubts` every partition in which this node may have worked must be taken to
    /// have lost some: nobody can tell any more.
    ///
    /// # Panics
    /// Where there are not as many metas as partitions.
    pub fn read(&mut self, metas: &[PartitionMeta], reported: &[Partition], doubts: bool) {
        assert_eq!(metas.len(), self.standings.len(), "one meta for each partition");
        for (index, meta) in metas.iter().enumerate() {
            let is_reported = reported.iter().any(|partition| usize::from(partition.0) == index);
            let seen = self.seen[index];
            self.standings[index] = standing(meta, seen, is_reported, doubts);
            let is_lost = matches!(self.standings[index], Standing::Lost { .. });
            // What is doubted must not look as if this node had worked in it.
            if let (Some(epoch), false, false) = (meta.epoch, is_lost, doubts) {
                self.seen[index] = seen.max((epoch, meta.counter));
            }
        }
    }

    /// Each partition with its standing, in order.
    pub fn standings(&self) -> impl Iterator<Item = (Partition, Standing)> + '_ {
        (0..).map(Partition).zip(self.standings.iter().copied())
    }

    /// How one partition stands.
    pub fn standing(&self, partition: Partition) -> Standing {
        self.standings[usize::from(partition.0)]
    }

    /// Whether every partition is open.
    pub fn is_open(&self) -> bool {
        self.standings.iter().all(|standing| *standing == Standing::Open)
    }

    /// The highest epoch that was ever read.
    pub fn highest_epoch(&self) -> u32 {
        self.seen.iter().map(|(epoch, _)| *epoch).max().unwrap_or(0)
    }
}

fn standing(meta: &PartitionMeta, seen: (u32, u64), is_reported: bool, doubts: bool) -> Standing {
    let Some(epoch) = meta.epoch else { return Standing::Lost { epoch: None, held: true } };
    if meta.is_held {
        return Standing::Lost { epoch: Some(epoch), held: true };
    }
    // A report of an epoch before the one that is there now has been answered by it.
    let is_known = epoch <= seen.0;
    let is_lost = (epoch, meta.counter) < seen
        || is_known && doubts
        || is_known && is_reported && meta.phase != Phase::Barrier;
    match meta.phase {
        _ if is_lost => Standing::Lost { epoch: Some(epoch), held: false },
        Phase::Open => Standing::Open,
        Phase::Barrier => Standing::Waiting { epoch },
        Phase::Filling => Standing::Filling { epoch },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(epoch: u32, counter: u64, phase: Phase) -> PartitionMeta {
        PartitionMeta { epoch: Some(epoch), counter, phase, is_held: false }
    }

    const COUNT: u16 = 4;
    const NONE: PartitionMeta =
        PartitionMeta { epoch: None, counter: 0, phase: Phase::Open, is_held: false };

    /// How partition 0 stands after the first was read, and then the second.
    fn read(first: PartitionMeta, second: PartitionMeta, reported: bool) -> Standing {
        let mut ledger = Ledger::new(COUNT);
        let reports: &[Partition] = if reported { &[Partition(0)] } else { &[] };
        ledger.read(&[first; COUNT as usize], &[], false);
        ledger.read(&[second; COUNT as usize], reports, false);
        ledger.standings().next().unwrap().1
    }

    #[test]
    fn each_case_stands_as_the_table_says() {
        use Phase::{Barrier, Filling, Open};
        let lost = |epoch, held| Standing::Lost { epoch, held };
        let held = PartitionMeta { is_held: true, ..meta(3, 9, Barrier) };
        let table = [
            (NONE, NONE, false, lost(None, true)),
            (meta(3, 9, Open), NONE, false, lost(None, true)),
            (NONE, meta(3, 9, Open), false, Standing::Open),
            (meta(3, 9, Open), meta(3, 9, Open), false, Standing::Open),
            (meta(3, 9, Open), meta(3, 8, Open), false, lost(Some(3), false)),
            (meta(3, 9, Open), meta(2, 99, Open), false, lost(Some(2), false)),
            (meta(3, 9, Open), meta(3, 8, Filling), false, lost(Some(3), false)),
            (meta(3, 9, Open), held, false, lost(Some(3), true)),
            (meta(3, 9, Open), meta(4, 0, Barrier), false, Standing::Waiting { epoch: 4 }),
            (meta(3, 9, Open), meta(4, 0, Filling), false, Standing::Filling { epoch: 4 }),
            // A shard has seen more than this node's keeper.
            (meta(3, 9, Open), meta(3, 9, Open), true, lost(Some(3), false)),
            // What it reports has been answered since.
            (meta(3, 9, Open), meta(4, 0, Open), true, Standing::Open),
            (meta(3, 9, Open), meta(4, 0, Barrier), true, Standing::Waiting { epoch: 4 }),
        ];
        for (index, (first, second, reported, expected)) in table.into_iter().enumerate() {
            assert_eq!(read(first, second, reported), expected, "row {index}");
        }
    }

    #[test]
    fn doubts_are_of_every_partition_in_which_this_node_has_worked() {
        let mut ledger = Ledger::new(COUNT);
        ledger.read(&[meta(3, 9, Phase::Open); COUNT as usize], &[], false);
        assert!(ledger.is_open());
        let mut metas = [meta(3, 9, Phase::Open); COUNT as usize];
        // Begun while this node was away: it can have lost nothing of ours.
        metas[3] = meta(4, 0, Phase::Open);
        ledger.read(&metas, &[], true);
        ledger.read(&metas, &[], true);
        let lost = Standing::Lost { epoch: Some(3), held: false };
        let standings: Vec<Standing> = ledger.standings().map(|(_, standing)| standing).collect();
        assert_eq!(standings, [lost, lost, lost, Standing::Open]);
        assert_eq!(ledger.highest_epoch(), 3);
    }
}

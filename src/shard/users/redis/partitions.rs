//! What a shard knows of each partition: the highest epoch and counter that Redis has told, whether
//! it may be decided upon, and what is still to be compared with another run of Redis. A partition
//! without an epoch, or with less than was seen, has lost writes, and stays lost until it is told
//! in order again (docs/decisions.md#7-absence-proves-nothing-by-itself).

use crate::seam::{Effect, ShardReport};
use nudged_base::ids::{Partition, ShardId};
use nudged_base::limits::PARTITIONS;
use nudged_redis::command::{Meta, PartitionPhase};

/// Where a partition stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum PartitionStanding {
    /// Nothing was told yet.
    #[default]
    Unknown,
    /// It may be decided upon.
    Vouched,
    /// Writes are lost.
    Lost,
    /// A rebuild waits for the journals.
    Barrier,
}

#[derive(Clone, Copy, Debug, Default)]
struct PartitionState {
    epoch: u32,
    counter: u64,
    standing: PartitionStanding,
    /// Copies from before this are of another epoch, in milliseconds.
    since_ms: u64,
}

/// The partitions of one shard.
#[derive(Default)]
pub(super) struct Partitions {
    known: Vec<PartitionState>,
    shard: ShardId,
    shards: u16,
    /// Found lost, to be reported.
    lost: Vec<Partition>,
    /// The run that was compared last, what is to be asked of the present one, and what it has not
    /// answered.
    compared_run: u64,
    to_compare: Vec<Partition>,
    uncompared: Vec<Partition>,
    is_compared_news: bool,
}

/// The ticket of a partition's comparison: nothing that is in flight has such an index.
const COMPARE_TICKET: u64 = 0xffff_0000;

pub(super) fn compare_ticket(partition: Partition) -> u64 {
    COMPARE_TICKET | u64::from(partition.0)
}

pub(super) fn partition_of_ticket(ticket: u64) -> Option<Partition> {
    let low = ticket & !0xffff;
    let index = u16::try_from(ticket & 0xffff).expect("masked to 16 bits");
    (low == COMPARE_TICKET).then_some(Partition(index))
}

impl Partitions {
    /// Nothing is known.
    pub(super) fn new(shard: ShardId, shards: u16) -> Partitions {
        let known = vec![PartitionState::default(); usize::from(PARTITIONS)];
        Partitions { known, shard, shards, ..Partitions::default() }
    }

    /// The partitions of the shard.
    pub(super) fn own(&self) -> impl Iterator<Item = Partition> + use<> {
        let (shard, shards) = (self.shard, self.shards);
        (0..PARTITIONS).map(Partition).filter(move |partition| partition.home(shards) == shard)
    }

    /// Takes what a reply tells; whether the partition may be decided upon.
    pub(super) fn observe(&mut self, now_ms: u64, partition: Partition, meta: &Meta) -> bool {
        let known = &mut self.known[usize::from(partition.0)];
        let before = known.standing;
        let seen = meta.epoch.map(|epoch| (epoch, meta.counter));
        known.standing = match (seen, meta.phase) {
            (Some(seen), _) if seen < (known.epoch, known.counter) => PartitionStanding::Lost,
            (None, _) => PartitionStanding::Lost,
            (Some(_), PartitionPhase::Barrier) => PartitionStanding::Barrier,
            (Some(_), PartitionPhase::Open | PartitionPhase::Filling) => PartitionStanding::Vouched,
        };
        if known.standing == PartitionStanding::Lost {
            if before != PartitionStanding::Lost {
                self.lost.push(partition);
            }
            return false;
        }
        let (epoch, counter) = seen.expect("a partition without an epoch is lost");
        if epoch != known.epoch || before != PartitionStanding::Vouched {
            known.since_ms = now_ms;
        }
        (known.epoch, known.counter) = (epoch, counter);
        known.standing == PartitionStanding::Vouched
    }

    /// The present epoch.
    pub(super) fn epoch(&self, partition: Partition) -> u32 {
        self.known[usize::from(partition.0)].epoch
    }

    /// From when on copies are of the present epoch; `None` where nobody may decide.
    pub(super) fn vouches_since(&self, partition: Partition) -> Option<u64> {
        let known = &self.known[usize::from(partition.0)];
        (known.standing == PartitionStanding::Vouched).then_some(known.since_ms)
    }

    /// A connection to this run stands: where it is another one than before, all partitions are to
    /// be compared with it.
    pub(super) fn begin_comparing(&mut self, run: u64) {
        self.to_compare.clear();
        if run != self.compared_run {
            self.to_compare.extend(self.own());
            self.uncompared.clone_from(&self.to_compare);
        }
    }

    /// The connection is lost.
    pub(super) fn stop_comparing(&mut self) {
        self.to_compare.clear();
    }

    /// The partition that is to be asked for next; [`Partitions::sent`] once it is.
    pub(super) fn next_to_compare(&self) -> Option<Partition> {
        self.to_compare.last().copied()
    }

    /// The next partition was asked for.
    pub(super) fn sent(&mut self) {
        self.to_compare.pop();
    }

    /// A partition was compared with what is known of it, or has to be once more.
    pub(super) fn compared(&mut self, now_ms: u64, run: u64, told: (Partition, Option<&Meta>)) {
        let (partition, Some(meta)) = told else {
            self.to_compare.push(told.0);
            return;
        };
        self.observe(now_ms, partition, meta);
        // A comparison of an earlier connection may have been sent again.
        let before = self.uncompared.len();
        self.uncompared.retain(|waiting| *waiting != partition);
        if before > 0 && self.uncompared.is_empty() {
            self.compared_run = run;
            self.is_compared_news = true;
        }
    }

    /// What the keeper has to know: losses first, so that who sees the run sees those too.
    pub(super) fn report(&mut self, effects: &mut Vec<Effect>) {
        while let Some(partition) = self.lost.pop() {
            effects.push(Effect::Report(ShardReport::Lost(partition)));
        }
        if std::mem::take(&mut self.is_compared_news) {
            let run = self.compared_run;
            effects.push(Effect::Report(ShardReport::Compared { run }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nudged_base::time::WallMs;

    fn meta(epoch: Option<u32>, counter: u64, phase: PartitionPhase) -> Meta {
        Meta { at: WallMs(0), epoch, counter, phase, is_doubted: false }
    }

    #[test]
    fn what_is_lost_stays_lost_until_it_is_in_order_and_is_said_once() {
        let mut all = Partitions::new(ShardId(1), 4);
        let partition = Partition(5);
        assert_eq!(all.vouches_since(partition), None);
        // Each row: what is told, whether it may be decided upon, whether a loss is news.
        let rows = [
            (Some(2), 10, PartitionPhase::Open, true, false),
            (Some(2), 10, PartitionPhase::Open, true, false),
            (Some(2), 9, PartitionPhase::Open, false, true),
            (None, 0, PartitionPhase::Open, false, false),
            (Some(1), 99, PartitionPhase::Open, false, false),
            (Some(3), 0, PartitionPhase::Barrier, false, false),
            (Some(3), 0, PartitionPhase::Filling, true, false),
            (Some(3), 4, PartitionPhase::Open, true, false),
            (None, 0, PartitionPhase::Open, false, true),
        ];
        for (index, (epoch, counter, phase, vouched, news)) in rows.into_iter().enumerate() {
            let usable = all.observe(index as u64 + 1, partition, &meta(epoch, counter, phase));
            assert_eq!((usable, all.lost.pop().is_some()), (vouched, news), "row {index}");
            assert_eq!(all.vouches_since(partition).is_some(), vouched, "row {index}");
        }
        assert_eq!(all.epoch(partition), 3);
    }

    #[test]
    fn copies_of_an_earlier_epoch_are_not_vouched_for() {
        let mut all = Partitions::new(ShardId(0), 1);
        let partition = Partition(0);
        all.observe(5, partition, &meta(Some(1), 0, PartitionPhase::Open));
        all.observe(9, partition, &meta(Some(1), 7, PartitionPhase::Open));
        assert_eq!(all.vouches_since(partition), Some(5));
        all.observe(11, partition, &meta(Some(2), 0, PartitionPhase::Filling));
        assert_eq!(all.vouches_since(partition), Some(11));
    }

    #[test]
    fn a_shard_compares_its_own() {
        let own: Vec<_> = Partitions::new(ShardId(3), 8).own().collect();
        assert_eq!(own.len(), 128);
        assert!(own.iter().all(|partition| partition.0 % 8 == 3));
    }
}

//! What shards and the keeper of Redis tell each other: which run of Redis the shards may
//! trust, what each of them has compared with it, and which partitions have lost writes. Atomics,
//! since every shard writes and nobody waits.
//!
//! ```text
//!  shards ── lost partitions, compared runs, journal marks ──► keeper (woken) and SQL writer
//!  shards ◄── the cleared run (all are woken) ─────────────── keeper
//! ```
//!
//! Must not know why a run is cleared or how a partition is rebuilt. A shard reports the partitions
//! that it found lost before the run that it found them on, so whoever sees the run sees those too.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam::utils::CachePadded;

use crate::wake::Waker;
use nudged_base::ids::{Partition, Sequence, ShardId, UserKey};
use nudged_base::limits::PARTITIONS;
use nudged_redis::learned::Learned;
pub use nudged_redis::learned::NO_RUN;
use nudged_redis::link::Incompatible;
use nudged_shard::seam::RedisStatusView;

/// Partitions of one word of the bitmap.
const WORD_BITS: u16 = 64;
/// Words of the bitmap.
const WORDS: usize = (PARTITIONS / WORD_BITS) as usize;

/// What a shard has found behind its link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerFound {
    /// No server yet.
    #[default]
    Nothing,
    /// A server, at the latest connection.
    Server {
        /// Its run.
        run: u64,
        /// Whether its `maxmemory-policy` can evict keys.
        evicts: bool,
        /// Whether it syncs each write before it answers; `None` where it does not say.
        syncs_always: Option<bool>,
    },
    /// A server that can't be used as it is set up.
    Incompatible(Incompatible),
}

/// What one shard reports.
#[derive(Debug, Default)]
struct ShardMarks {
    compared_run: AtomicU64,
    acked: AtomicU64,
    /// 0 for none: the first record has the number 1.
    unmerged: AtomicU64,
}

/// What is known of Redis on a node.
#[derive(Debug)]
pub struct RedisStatus {
    cleared_run: AtomicU64,
    is_started: AtomicBool,
    /// What the keeper has learned of Redis: the run, and the rest as bits.
    learned_run: AtomicU64,
    learned: AtomicU8,
    has_refused: AtomicBool,
    /// Commands that shards were refused for want of a right.
    denials: AtomicU64,
    /// Why Redis can't be used as it is set up, for people.
    unfit: Mutex<Option<Arc<str>>>,
    /// By shard; changes with each connection only.
    found: Mutex<Vec<ServerFound>>,
    lost: [AtomicU64; WORDS],
    cells: Vec<CachePadded<ShardMarks>>,
    shards: Vec<Arc<Waker>>,
    keeper: Waker,
}

impl RedisStatus {
    /// For the shards that these wake: nothing is cleared, nothing is lost.
    ///
    /// # Errors
    /// Where no descriptor can be had.
    pub fn new(shards: Vec<Arc<Waker>>) -> rustix::io::Result<RedisStatus> {
        Ok(RedisStatus {
            cleared_run: AtomicU64::new(NO_RUN),
            is_started: AtomicBool::new(false),
            learned_run: AtomicU64::new(NO_RUN),
            learned: AtomicU8::new(0),
            has_refused: AtomicBool::new(false),
            denials: AtomicU64::new(0),
            unfit: Mutex::new(None),
            found: Mutex::new(vec![ServerFound::Nothing; shards.len()]),
            lost: std::array::from_fn(|_| AtomicU64::new(0)),
            cells: shards.iter().map(|_| CachePadded::default()).collect(),
            shards,
            keeper: Waker::new()?,
        })
    }

    /// What every shard is told. Allocates nothing, takes no lock.
    pub fn view(&self) -> RedisStatusView {
        RedisStatusView {
            cleared_run: self.cleared_run(),
            takes_traffic: self.takes_traffic(),
            learned: self.learned(),
        }
    }

    /// Whether the node has started. What nodes share turns none red that was ready once.
    pub fn takes_traffic(&self) -> bool {
        self.is_started.load(Ordering::Acquire)
    }

    /// The node has started: it knows whether Redis vouches for its users.
    pub fn start(&self) {
        if !self.is_started.swap(true, Ordering::AcqRel) {
            self.wake_shards();
        }
    }

    /// The run of Redis that shards may trust; [`NO_RUN`] for none. Allocates nothing.
    pub fn cleared_run(&self) -> u64 {
        self.cleared_run.load(Ordering::Acquire)
    }

    /// Lets all shards trust a run, or none, and wakes them where that is news.
    pub fn clear_run(&self, run: u64) {
        if self.cleared_run.swap(run, Ordering::AcqRel) != run {
            self.wake_shards();
        }
    }

    /// A shard has found a server behind its link, or that it can't be used.
    pub fn report_found(&self, shard: ShardId, found: ServerFound) {
        self.lock_found()[shard.index()] = found;
        self.keeper.wake();
    }

    /// A shard was refused a command for want of a right.
    pub fn report_denied(&self) {
        self.denials.fetch_add(1, Ordering::AcqRel);
        self.keeper.wake();
    }

    /// How often shards were refused so.
    pub fn denials(&self) -> u64 {
        self.denials.load(Ordering::Acquire)
    }

    /// What the keeper has learned of Redis. All shards are woken where it is news.
    pub fn learn(&self, learned: Learned) {
        let bits = bits_of(learned);
        // The run last: what is said of a run is of that run or of a later look at it.
        let was = self.learned.swap(bits, Ordering::AcqRel);
        let was_run = self.learned_run.swap(learned.run, Ordering::AcqRel);
        if (was, was_run) != (bits, learned.run) {
            self.wake_shards();
        }
    }

    /// What the keeper has learned last.
    pub fn learned(&self) -> Learned {
        let run = self.learned_run.load(Ordering::Acquire);
        learned_of(run, self.learned.load(Ordering::Acquire))
    }

    /// Why Redis can't be used as it should be, for people; `None` for nothing.
    pub(crate) fn set_unfit(&self, why: Option<Arc<str>>) {
        *self.unfit.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// Why Redis can't be used as it should be: what the keeper says, else what a shard has found.
    pub fn why_unfit(&self) -> Option<Arc<str>> {
        let said = self.unfit.lock().unwrap_or_else(PoisonError::into_inner).clone();
        said.or_else(|| self.unfit().map(|unfit| unfit.to_string().into()))
    }

    /// Whether Redis answers and refuses what the node needs: a node that was never ready waits
    /// until somebody has mended it.
    pub fn is_refused(&self) -> bool {
        self.has_refused.load(Ordering::Acquire) || self.unfit().is_some()
    }

    /// Whether the keeper has found that Redis refuses something, of whatever weight.
    pub(crate) fn set_refused(&self, has_refused: bool) {
        self.has_refused.store(has_refused, Ordering::Release);
    }

    /// What a shard has found behind its link.
    pub fn found(&self, shard: ShardId) -> ServerFound {
        self.lock_found()[shard.index()]
    }

    /// Why Redis can't be used as it is set up, where any shard has found so.
    pub fn unfit(&self) -> Option<Incompatible> {
        self.lock_found().iter().find_map(|found| match found {
            ServerFound::Incompatible(unfit) => Some(*unfit),
            _ => None,
        })
    }

    fn lock_found(&self) -> MutexGuard<'_, Vec<ServerFound>> {
        // A poisoned lock holds whole values: each is replaced in one step.
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A shard has found that a partition has lost writes. Whether that is news.
    pub fn report_lost(&self, partition: Partition) -> bool {
        let (word, bit) = place(partition);
        let is_news = self.lost[word].fetch_or(bit, Ordering::AcqRel) & bit == 0;
        if is_news {
            self.keeper.wake();
        }
        is_news
    }

    /// The keeper has the partition in order again. It says so before the shards can read it, so
    /// that what they report later is not wiped out.
    pub fn settle(&self, partition: Partition) {
        let (word, bit) = place(partition);
        self.lost[word].fetch_and(!bit, Ordering::AcqRel);
    }

    /// Partitions reported lost and not settled, ascending.
    pub fn lost(&self) -> impl Iterator<Item = Partition> + '_ {
        (0..PARTITIONS).map(Partition).filter(|partition| {
            let (word, bit) = place(*partition);
            self.lost[word].load(Ordering::Acquire) & bit != 0
        })
    }

    /// How many partitions are reported lost and not settled.
    pub fn lost_count(&self) -> u32 {
        self.lost.iter().map(|word| word.load(Ordering::Acquire).count_ones()).sum()
    }

    /// A shard has compared what it knows with a run of Redis, and has reported what is lost.
    pub fn report_compared(&self, shard: ShardId, run: u64) {
        self.cells[shard.index()].compared_run.store(run, Ordering::Release);
        self.keeper.wake();
    }

    /// The run that a shard has compared last.
    pub fn compared_run(&self, shard: ShardId) -> u64 {
        self.cells[shard.index()].compared_run.load(Ordering::Acquire)
    }

    /// The run that every shard has compared; `None` where they have not seen the same one.
    pub fn run_compared_by_all(&self) -> Option<u64> {
        let mut runs = self.cells.iter().map(|cell| cell.compared_run.load(Ordering::Acquire));
        let first = runs.next().filter(|run| *run != NO_RUN)?;
        runs.all(|run| run == first).then_some(first)
    }

    /// Whether every shard may decide by Redis on every partition.
    pub fn is_open(&self) -> bool {
        let cleared = self.cleared_run();
        self.run_compared_by_all() == Some(cleared) && self.lost_count() == 0
    }

    /// A shard has had acknowledgements up to `acked`; `unmerged` is its first record that is not
    /// merged into Redis yet.
    pub fn report_journal(&self, shard: ShardId, acked: Sequence, unmerged: Option<Sequence>) {
        let cell = &self.cells[shard.index()];
        // In this order: who sees `acked` sees the unmerged record below it.
        cell.unmerged.store(unmerged.map_or(0, |sequence| sequence.0), Ordering::Release);
        cell.acked.store(acked.0, Ordering::Release);
    }

    /// What a shard has reported of its journal: acknowledged, and first unmerged.
    pub fn journal_of(&self, shard: ShardId) -> (Sequence, Option<Sequence>) {
        let cell = &self.cells[shard.index()];
        let acked = Sequence(cell.acked.load(Ordering::Acquire));
        let unmerged = cell.unmerged.load(Ordering::Acquire);
        (acked, (unmerged != 0).then_some(Sequence(unmerged)))
    }

    /// Whether SQL may pass an unmerged record of a user: the user's shard has seen it acknowledged
    /// and has it merged, or journaled again later.
    pub fn may_pass(&self, sequence: Sequence, user: UserKey) -> bool {
        let shards = u16::try_from(self.cells.len()).expect("shards are counted by 16 bits");
        let (acked, unmerged) = self.journal_of(user.home(shards));
        acked >= sequence && unmerged.is_none_or(|first| first > sequence)
    }

    /// The first record of any shard that is not merged into Redis yet.
    pub fn first_unmerged(&self) -> Option<Sequence> {
        let cells = self.cells.iter().map(|cell| cell.unmerged.load(Ordering::Acquire));
        cells.filter(|unmerged| *unmerged != 0).min().map(Sequence)
    }

    /// Wakes the keeper where it sleeps.
    pub fn keeper(&self) -> &Waker {
        &self.keeper
    }

    /// Wakes the shards that sleep: each then ends a turn.
    pub fn wake_shards(&self) {
        for waker in &self.shards {
            waker.wake();
        }
    }
}

const EVICTING: u8 = 1;
const REPLICA: u8 = 2;
const DENIED: u8 = 4;
const UNHEARD: u8 = 8;
const SYNC_KNOWN: u8 = 16;
const SYNCS_ALWAYS: u8 = 32;

fn bits_of(learned: Learned) -> u8 {
    let bit = |bit, is_set| if is_set { bit } else { 0 };
    bit(EVICTING, learned.is_evicting)
        | bit(REPLICA, learned.is_replica)
        | bit(DENIED, learned.is_denied)
        | bit(UNHEARD, learned.is_unheard)
        | bit(SYNC_KNOWN, learned.syncs_always.is_some())
        | bit(SYNCS_ALWAYS, learned.syncs_always == Some(true))
}

fn learned_of(run: u64, bits: u8) -> Learned {
    let has = |bit| bits & bit != 0;
    Learned {
        run,
        is_evicting: has(EVICTING),
        is_replica: has(REPLICA),
        is_denied: has(DENIED),
        is_unheard: has(UNHEARD),
        syncs_always: has(SYNC_KNOWN).then(|| has(SYNCS_ALWAYS)),
    }
}

fn place(partition: Partition) -> (usize, u64) {
    assert!(partition.0 < PARTITIONS, "partitions are remainders");
    (usize::from(partition.0 / WORD_BITS), 1 << (partition.0 % WORD_BITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redis_status(shards: u16) -> RedisStatus {
        RedisStatus::new((0..shards).map(|_| Arc::new(Waker::new().unwrap())).collect()).unwrap()
    }

    #[test]
    fn each_partition_is_lost_and_settled_alone() {
        let redis_status = redis_status(1);
        for partition in (0..PARTITIONS).map(Partition) {
            assert!(redis_status.report_lost(partition) && !redis_status.report_lost(partition));
            assert_eq!(redis_status.lost().collect::<Vec<_>>(), [partition]);
            assert_eq!(redis_status.lost_count(), 1);
            redis_status.settle(partition);
        }
        redis_status.report_lost(Partition(PARTITIONS - 1));
        redis_status.report_lost(Partition(0));
        redis_status.settle(Partition(1));
        assert_eq!(redis_status.lost().count(), 2);
    }

    #[test]
    fn a_run_is_open_once_all_have_compared_it_and_it_is_cleared() {
        let redis_status = redis_status(2);
        assert!(!redis_status.is_open(), "no run is none to trust");
        redis_status.report_compared(ShardId(0), 7);
        assert_eq!(redis_status.run_compared_by_all(), None);
        redis_status.report_compared(ShardId(1), 8);
        assert_eq!(redis_status.run_compared_by_all(), None);
        redis_status.report_compared(ShardId(0), 8);
        assert_eq!(redis_status.run_compared_by_all(), Some(8));
        assert!(!redis_status.is_open());
        redis_status.clear_run(8);
        assert!(redis_status.is_open());
        redis_status.report_lost(Partition(3));
        assert!(!redis_status.is_open());
        redis_status.settle(Partition(3));
        redis_status.report_compared(ShardId(0), 9);
        assert!(!redis_status.is_open());
    }

    #[test]
    fn news_wake_who_sleeps_and_what_is_known_does_not() {
        let redis_status = redis_status(1);
        let shard = Arc::clone(&redis_status.shards[0]);
        let wakes = |waker: &Waker, act: &dyn Fn()| {
            waker.announce_sleep();
            act();
            // A waker that was woken is not woken again.
            let was_woken = !waker.wake();
            waker.announce_awake();
            was_woken
        };
        assert!(wakes(&shard, &|| redis_status.clear_run(5)));
        assert!(!wakes(&shard, &|| redis_status.clear_run(5)));
        assert!(wakes(&redis_status.keeper, &|| assert!(redis_status.report_lost(Partition(9)))));
        assert!(!wakes(&redis_status.keeper, &|| assert!(!redis_status.report_lost(Partition(9)))));
        assert!(wakes(&redis_status.keeper, &|| redis_status.report_compared(ShardId(0), 5)));
        assert!(wakes(&redis_status.keeper, &|| redis_status.report_denied()));
        let all = Learned {
            run: 5,
            is_evicting: true,
            is_replica: true,
            is_denied: true,
            is_unheard: true,
            syncs_always: Some(true),
        };
        let none = Learned::default();
        for learned in [
            all,
            Learned { is_evicting: true, ..none },
            Learned { is_replica: true, ..none },
            Learned { is_denied: true, ..none },
            Learned { is_unheard: true, ..none },
            Learned { syncs_always: Some(false), ..none },
            Learned { run: 9, ..none },
        ] {
            assert!(wakes(&shard, &|| redis_status.learn(learned)));
            assert!(!wakes(&shard, &|| redis_status.learn(learned)));
            assert_eq!(redis_status.view().learned, learned);
        }
    }

    #[test]
    fn what_one_shard_finds_unfit_the_node_is_and_it_stays_ready() {
        let redis_status = redis_status(2);
        let server = ServerFound::Server { run: 4, evicts: true, syncs_always: None };
        redis_status.report_found(ShardId(0), server);
        assert_eq!((redis_status.found(ShardId(0)), redis_status.unfit()), (server, None));
        redis_status.report_found(ShardId(1), ServerFound::Incompatible(Incompatible::TooOld));
        assert_eq!(
            (redis_status.unfit(), redis_status.takes_traffic()),
            (Some(Incompatible::TooOld), false)
        );
        assert!(
            redis_status.is_refused()
                && redis_status.why_unfit().is_some_and(|why| why.contains("7.0"))
        );
        redis_status.report_found(ShardId(1), server);
        assert_eq!(
            (redis_status.why_unfit(), redis_status.is_refused(), redis_status.takes_traffic()),
            (None, false, false)
        );
        redis_status.start();
        redis_status.report_found(ShardId(1), ServerFound::Incompatible(Incompatible::NotLetIn));
        redis_status.set_refused(true);
        assert!(redis_status.is_refused());
        redis_status.set_unfit(Some("rights".into()));
        assert!(redis_status.view().takes_traffic, "others are no better off");
        assert_eq!(redis_status.why_unfit().as_deref(), Some("rights"));
    }

    #[test]
    fn the_first_unmerged_record_of_all_shards_is_known() {
        let redis_status = redis_status(3);
        assert_eq!(redis_status.first_unmerged(), None);
        redis_status.report_journal(ShardId(1), Sequence(40), Some(Sequence(12)));
        redis_status.report_journal(ShardId(2), Sequence(41), Some(Sequence(11)));
        assert_eq!(redis_status.first_unmerged(), Some(Sequence(11)));
        assert_eq!(redis_status.journal_of(ShardId(2)), (Sequence(41), Some(Sequence(11))));
        let user = |shard| {
            let users = (0_u32..).map(|user| UserKey::of(&user.to_le_bytes()));
            users.into_iter().find(|user| user.home(3) == ShardId(shard)).unwrap()
        };
        assert!(
            redis_status.may_pass(Sequence(10), user(2))
                && !redis_status.may_pass(Sequence(11), user(2))
        );
        assert!(!redis_status.may_pass(Sequence(1), user(0)), "nothing is acknowledged there");
        redis_status.report_journal(ShardId(2), Sequence(50), None);
        assert!(
            redis_status.may_pass(Sequence(50), user(2))
                && !redis_status.may_pass(Sequence(51), user(2))
        );
        assert_eq!(redis_status.first_unmerged(), Some(Sequence(12)));
    }
}

//! Redis as the arbiter of users' states: what stands between a shard's home and its link. Owns the
//! commands that are under way, what is known of the partitions and of the run behind the link, and
//! the clock. Must not know HTTP, sockets or scripts.
//!
//! ```text
//!  request ─ trusted copy, nothing to change ─► answer
//!     │
//!     ├─ no copy to be trusted ─► Read ─(missing, nobody vouches)─► SQL ─► Fill ─┐
//!     │◄──────────────── the copy is fresh; the request runs again ◄─────────────┘
//!     └─ change ─► Commit ─ done ─► records to the lane, answer
//!                     ├─ moved ─► the request runs again, 3 times at most
//!                     └─ late, lost, full, failed, too slow ─► degraded
//! ```
//!
//! One command is under way for a user; later requests of that user wait behind it, in their order.
//! Each request has one deadline, after which it is answered degraded; its command stays. A show
//! that is committed all the same is withdrawn, also where that is known long after.
//!
//! Limits: `IN_FLIGHT_MAX` users, `PARKED_MAX` requests, `PARKED_BYTES_MAX` bytes of them.
//!
//! `degraded` commands without a state · `merging` what was accepted without Redis · `learning`
//! shows that events tell of first · `partitions` what is known of each · `carrier` the link ·
//! `requests` how requests run · `replies` what replies do · `withdrawal` shows that nobody saw ·
//! `pursuit` changes whose outcome has to be known · `wiring` the connection.

pub mod carrier;
mod degraded;
mod learning;
pub mod merging;
pub mod partitions;
mod pursuit;
pub mod replies;
pub mod requests;
pub mod wiring;
mod withdrawal;

use std::sync::Arc;

use crate::users::in_flight::InFlightTable;
use carrier::Carrier;
use merging::Merging;
use partitions::Partitions;
use pursuit::Pursuit;

use super::Users;
use super::unmerged::{RecoveredUnmerged, UnmergedTable};
use crate::fanout::Fanouts;
use crate::seam::{Learned, RedisStatusView};
use nudged_base::clock::Now;
use nudged_base::ids::{LaneSequence, Partition, Revision, Sequence, ShardId};
use nudged_base::mix::STEP;
use nudged_base::time::{MonoNs, WallMs};
use nudged_domain::state::slice::Slice;
use nudged_redis::command::{Meta, RedisCommand, RequestId};
use nudged_redis::link::{Link, LinkSettings, RedisServer};

/// Where the records of commits go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordQueue {
    /// To the node's journal, after the commit; the answer waits for the journal.
    Journal,
    /// Into the list of the partition, with the commit.
    List {
        /// A list takes no more where as many records wait in it.
        list_max: u32,
    },
}

/// What an arbiter is made of.
#[derive(Clone, Debug)]
pub struct ArbiterSetup {
    /// How the link speaks to its server; its subscriptions are the shard's partitions.
    pub link: Arc<LinkSettings>,
    /// The link's connection number.
    pub connection: u32,
    /// A request waits this long for Redis, in milliseconds.
    pub deadline_ms: u64,
    /// A copy is trusted this long, in milliseconds.
    pub slice_ttl_ms: u64,
    /// A copy that knows no show is trusted this long, in milliseconds.
    pub negative_ttl_ms: u64,
    /// Values expire after this long without a change, in milliseconds; 0 for never.
    pub ttl_ms: u64,
    /// Where records go.
    pub queue: RecordQueue,
    /// A reply of Redis has to survive loss of power: with `ack = "synced"` and a list.
    pub needs_sync: bool,
    /// Makes the ids of commits unique: random for each process and shard.
    pub request_seed: u64,
    /// The last record of the journal before this process.
    pub journal_end: Sequence,
    /// What earlier processes accepted and did not merge, each with its record.
    pub unmerged: RecoveredUnmerged,
}

/// The users of a shard whose arbiter is Redis, lent for one step.
pub(crate) struct RedisUsers<'u> {
    pub(crate) users: &'u mut Users,
    pub(crate) arbiter: &'u mut Arbiter,
}

/// Redis as one shard sees it.
pub struct Arbiter {
    setup: ArbiterSetup,
    carrier: Carrier,
    in_flight: InFlightTable,
    partitions: Partitions,
    /// Events of several users, who are executed one by one.
    fanouts: Fanouts,
    server: Option<RedisServer>,
    /// Copies older than this are not trusted, since nobody told of changes; `None` while nobody
    /// does.
    subscribed_at_ms: Option<u64>,
    redis_status: RedisStatusView,
    /// From when on a connection is given up that is not as it should be: one on which nobody
    /// tells of changes, or to another run than the keeper's.
    renew_at: MonoNs,
    /// The run that was compared last, what is to be asked of the present one, and what it has not
    /// answered.
    compared_run: u64,
    to_compare: Vec<Partition>,
    uncompared: Vec<Partition>,
    is_compared_news: bool,
    requests_made: u64,
    /// What was accepted without its user's state, and waits to become part of it.
    pub(crate) unmerged: UnmergedTable,
    merging: Merging,
    pursuit: Pursuit,
    output: Vec<u8>,
    is_sending: bool,
    is_connected: bool,
    must_close: bool,
}

impl Arbiter {
    /// An arbiter that wishes for its connection.
    pub fn new(setup: ArbiterSetup, shard: ShardId, shards: u16, seed: u64) -> Arbiter {
        let link = Link::new(Arc::clone(&setup.link), seed ^ setup.request_seed);
        Arbiter::of_carrier(setup, Carrier::Link(Box::new(link)), (shard, shards), seed)
    }

    pub(crate) fn of_carrier(
        mut setup: ArbiterSetup,
        carrier: Carrier,
        (shard, shards): (ShardId, u16),
        seed: u64,
    ) -> Arbiter {
        let unmerged = UnmergedTable::left_by(setup.unmerged.drain(..));
        Arbiter {
            setup,
            carrier,
            in_flight: InFlightTable::new(seed),
            partitions: Partitions::new(shard, shards),
            fanouts: Fanouts::default(),
            server: None,
            subscribed_at_ms: None,
            redis_status: RedisStatusView::default(),
            renew_at: MonoNs(0),
            compared_run: 0,
            to_compare: Vec::new(),
            uncompared: Vec::new(),
            is_compared_news: false,
            requests_made: 0,
            unmerged,
            merging: Merging::default(),
            pursuit: Pursuit::default(),
            output: Vec::new(),
            is_sending: false,
            is_connected: false,
            must_close: false,
        }
    }

    /// The number of its connection.
    pub fn connection(&self) -> u32 {
        self.setup.connection
    }

    /// When a request that comes now is answered at the latest.
    pub fn deadline(&self, now: MonoNs) -> MonoNs {
        now.plus_ms(self.setup.deadline_ms)
    }

    /// The time of decisions: that of Redis, by its replies; the node's before the first.
    pub fn wall(&self, now: Now) -> WallMs {
        self.carrier.wall(now.mono).unwrap_or(now.wall)
    }

    /// Whether Redis may be asked: it answers, lets nudged do what a decision needs, and its run is
    /// one that every node has compared.
    pub(crate) fn is_usable(&self, now: MonoNs) -> bool {
        let is_fit = self.server.is_some_and(|server| {
            server.run == self.redis_status.cleared_run && self.keeps_promise(server)
        });
        let Learned { is_denied, is_replica, .. } = self.redis_status.learned;
        let is_let = self.redis_status.cleared_run != 0 && !is_denied && !is_replica;
        is_fit && is_let && self.carrier.is_open(now)
    }

    /// Whether what a server answers survives as much as `ack` says. One that does not say how it
    /// syncs is not believed.
    fn keeps_promise(&self, server: RedisServer) -> bool {
        // The keeper looks again and again, and a connection was told once.
        let Learned { run, syncs_always, .. } = self.redis_status.learned;
        let syncs_always = if run == server.run { syncs_always } else { server.syncs_always };
        !self.setup.needs_sync || syncs_always == Some(true)
    }

    /// From now on a reply has to survive loss of power.
    #[cfg(test)]
    pub(crate) fn need_sync(&mut self) {
        self.setup.needs_sync = true;
    }

    /// Requests that wait, and commands that are under way.
    pub fn waiting(&self) -> usize {
        self.in_flight.waiting()
    }

    /// Changes that are sent until Redis says what became of them.
    pub(crate) fn pursued(&self) -> usize {
        self.pursuit.len()
    }

    /// Whether no change is under way.
    #[cfg(test)]
    pub fn is_quiet(&self) -> bool {
        self.in_flight.is_empty() && self.fanouts.is_empty()
    }

    /// When something has to be given up, or the link has something to do.
    pub fn next_deadline(&self) -> Option<MonoNs> {
        let link = self.carrier.next_deadline();
        let requests = [self.in_flight.next_deadline(), self.pursuit.next_deadline()];
        let deadlines = requests.into_iter().chain([link, self.merging_deadline()]);
        deadlines.flatten().min()
    }

    /// Whether a copy of that age may be decided upon.
    fn is_trusted(&self, now: MonoNs, copy: (Partition, CopiedAt), is_empty: bool) -> bool {
        let (partition, CopiedAt(read_at_ms)) = copy;
        let ttl_ms = if is_empty { self.setup.negative_ttl_ms } else { self.setup.slice_ttl_ms };
        let ttl_ms = ttl_ms.min(self.setup.slice_ttl_ms);
        self.subscribed_at_ms.is_some_and(|since| since <= read_at_ms)
            && millis(now).saturating_sub(read_at_ms) < ttl_ms
            && self.partitions.vouches_since(partition).is_some_and(|since| since <= read_at_ms)
    }

    /// Takes what every reply tells. Whether the partition may be decided upon.
    fn observe(&mut self, now: MonoNs, partition: Partition, meta: &Meta) -> bool {
        #[cfg(test)]
        self.carrier.told_time(now, meta.at);
        self.partitions.observe(millis(now), partition, meta)
    }

    fn request_id(&mut self) -> RequestId {
        self.requests_made += 1;
        // An odd factor and a random start: no two of a process are alike.
        let id = self.requests_made.wrapping_mul(STEP);
        RequestId(id ^ self.setup.request_seed)
    }

    /// Whether a miss proves nothing: values may vanish by themselves.
    fn may_vanish(&self) -> bool {
        let evicts = self.server.is_some_and(|server| server.evicts)
            || self.redis_status.learned.is_evicting;
        self.setup.ttl_ms > 0 || evicts
    }
}

/// When a copy was taken from Redis, in milliseconds of the monotonic clock. The slice keeps it
/// where it keeps the place of the last change of a user that SQL has yet to apply: with Redis no
/// entry waits for SQL, so each may be evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CopiedAt(u64);

impl CopiedAt {
    /// Before every subscription: nothing rests on such a copy but what this node decides alone.
    const NEVER: CopiedAt = CopiedAt(0);

    fn of(now: MonoNs) -> CopiedAt {
        CopiedAt(millis(now).max(1))
    }

    /// Puts a copy into the slice. Whether there was room.
    fn put(self, slice: &mut Slice, user: &str, state: &[u8]) -> bool {
        slice.put(user, state, LaneSequence(self.0), LaneSequence(self.0)).is_ok()
    }

    /// Of an entry that was put so.
    fn of_entry(LaneSequence(at_ms): LaneSequence) -> CopiedAt {
        CopiedAt(at_ms)
    }
}

/// The revision that Redis must still hold for a change of a state of this revision.
fn base_of(revision: Revision) -> Option<Revision> {
    (revision != Revision::default()).then_some(revision)
}

/// Milliseconds of the monotonic clock.
fn millis(now: MonoNs) -> u64 {
    now.0 / 1_000_000
}

/// The ticket of a partition's comparison: no flight has such an index.
const COMPARE_TICKET: u64 = 0xffff_0000;

fn compare_ticket(partition: Partition) -> u64 {
    COMPARE_TICKET | u64::from(partition.0)
}

fn partition_of_ticket(ticket: u64) -> Option<Partition> {
    let low = ticket & !0xffff;
    let index = u16::try_from(ticket & 0xffff).expect("masked to 16 bits");
    (low == COMPARE_TICKET).then_some(Partition(index))
}

impl Arbiter {
    /// Sends what nobody waits for while there is room: comparisons, and what is pursued.
    pub(crate) fn pump(&mut self, now: MonoNs) {
        while let Some(partition) = self.to_compare.last().copied() {
            let command = RedisCommand::Meta { partition };
            if self.carrier.send(now, compare_ticket(partition), &command).is_err() {
                return;
            }
            self.to_compare.pop();
        }
        self.send_pursued(now);
    }

    /// Whether a command of this user is under way.
    fn is_busy(&self, user: &str) -> bool {
        self.in_flight.find(user).is_some()
    }
}

#[cfg(test)]
pub(crate) mod model;

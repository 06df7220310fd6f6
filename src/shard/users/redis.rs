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
//! `requests` how requests run, `events` those of events · `replies` what replies do · `merging`
//! what was accepted without Redis, and shows that events tell of first · `pursuit` shows that
//! nobody saw, and changes whose outcome has to be known · `backlog` when these two are due ·
//! `degraded` commands without a state · `partitions` what is known of each · `connection` the
//! link.

mod backlog;
mod connection;
mod degraded;
mod events;
pub(crate) mod merging;
mod partitions;
mod pursuit;
mod replies;
mod requests;

use std::sync::Arc;

use backlog::{MergeBacklog, PursuitBacklog, Rejournaling};
use connection::LinkConnection;
use partitions::{Partitions, compare_ticket};

use super::in_flight::InFlightTable;
use super::memory::{Scratch, Users};
use super::unmerged::{RecoveredUnmerged, UnmergedTable};
use crate::seam::{Learned, RedisStatusView};
use nudged_base::clock::Now;
use nudged_base::ids::{LaneSequence, Partition, Revision, Sequence, ShardId};
use nudged_base::limits::LINK_UNFIT_RETRY_MS;
use nudged_base::mix::STEP;
use nudged_base::telemetry::counters::ShardCounters;
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
    pub(crate) scratch: &'u mut Scratch,
}

/// Redis as one shard sees it.
pub(crate) struct Arbiter {
    setup: ArbiterSetup,
    /// Its connection.
    pub(crate) connection: LinkConnection,
    partitions: Partitions,
    server: Option<RedisServer>,
    /// Copies older than this are not trusted, since nobody told of changes; `None` while nobody
    /// does.
    subscribed_at_ms: Option<u64>,
    /// What the keeper lets the shards do.
    pub(crate) redis_status: RedisStatusView,
    /// From when on a connection is given up that is not as it should be: one on which nobody
    /// tells of changes, or to another run than the keeper's.
    renew_at: MonoNs,
    requests_made: u64,
    /// What was accepted without its user's state, and waits to become part of it.
    pub(crate) unmerged: UnmergedTable,
    merges: MergeBacklog,
    rejournaling: Rejournaling,
    pub(crate) pursuits: PursuitBacklog,
}

impl Arbiter {
    /// An arbiter that wishes for its connection.
    pub(crate) fn new(
        mut setup: ArbiterSetup,
        counters: Arc<ShardCounters>,
        (shard, shards): (ShardId, u16),
        seed: u64,
    ) -> Arbiter {
        let link = Link::new(Arc::clone(&setup.link), counters, seed ^ setup.request_seed);
        Arbiter {
            connection: LinkConnection::new(link, setup.connection),
            partitions: Partitions::new(shard, shards),
            server: None,
            subscribed_at_ms: None,
            redis_status: RedisStatusView::default(),
            renew_at: MonoNs(0),
            requests_made: 0,
            unmerged: UnmergedTable::left_by(std::mem::take(&mut setup.unmerged)),
            merges: MergeBacklog::default(),
            rejournaling: Rejournaling::default(),
            pursuits: PursuitBacklog::default(),
            setup,
        }
    }

    /// When a request that comes now is answered at the latest.
    pub(crate) fn deadline(&self, now: MonoNs) -> MonoNs {
        now.plus_ms(self.setup.deadline_ms)
    }

    /// The time of decisions: that of Redis, by its replies; the node's before the first.
    pub(crate) fn wall(&self, now: Now) -> WallMs {
        self.connection.link.wall(now.mono).unwrap_or(now.wall)
    }

    /// Whether Redis may be asked: it answers, lets nudged do what a decision needs, and its run is
    /// one that every node has compared.
    pub(crate) fn is_usable(&self, now: MonoNs) -> bool {
        let is_fit = self.server.is_some_and(|server| {
            server.run == self.redis_status.cleared_run && self.keeps_promise(server)
        });
        let Learned { is_denied, is_replica, .. } = self.redis_status.learned;
        let is_let = self.redis_status.cleared_run != 0 && !is_denied && !is_replica;
        is_fit && is_let && self.connection.link.is_open(now)
    }

    /// Whether what a server answers survives as much as `ack` says. One that does not say how it
    /// syncs is not believed.
    fn keeps_promise(&self, server: RedisServer) -> bool {
        // The keeper looks again and again, and a connection was told once.
        let Learned { run, syncs_always, .. } = self.redis_status.learned;
        let syncs_always = if run == server.run { syncs_always } else { server.syncs_always };
        !self.setup.needs_sync || syncs_always == Some(true)
    }

    /// Whether nothing is under way that could come to an end now: what Redis can't be asked about
    /// ends with the process.
    pub(crate) fn may_end(&self, in_flight: &InFlightTable, now: MonoNs) -> bool {
        in_flight.is_empty() || in_flight.len() == self.pursuits.queue.len() && !self.is_usable(now)
    }

    /// When something has to be given up, or the link has something to do.
    pub(crate) fn next_deadline(&self) -> Option<MonoNs> {
        let rest_ends_at = if self.unmerged.is_empty() { None } else { self.merges.rest_ends_at() };
        let deadlines = [
            self.pursuits.next_deadline(),
            self.connection.link.next_deadline(),
            rest_ends_at,
            self.rejournaling.next_deadline(self.server.is_some()),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Time has passed: for the connection too.
    pub(crate) fn tick(&mut self, now: MonoNs) {
        if self.is_astray() && now >= self.renew_at {
            self.renew_at = now.plus_ms(LINK_UNFIT_RETRY_MS);
            self.connection.link.renew(now);
        }
        self.connection.link.tick(now);
    }

    /// Whether a new connection may be better: to where the keeper's leads, or one that is told of
    /// changes. Where the right to that is still missing it would be no better.
    fn is_astray(&self) -> bool {
        let Learned { run, is_unheard, .. } = self.redis_status.learned;
        self.server.is_some_and(|server| {
            let is_elsewhere = run != 0 && run != server.run;
            is_elsewhere || server.resp3 && !server.subscribed && !is_unheard
        })
    }

    /// Sends a command; whether the link took it.
    fn send(&mut self, now: MonoNs, ticket: u64, command: &RedisCommand<'_>) -> bool {
        self.connection.link.send(now, ticket, command).is_ok()
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

impl RedisUsers<'_> {
    /// Sends what nobody waits for while there is room, comparisons and what is pursued, and
    /// reports what became known.
    pub(crate) fn pump(&mut self, now: MonoNs) {
        while let Some(partition) = self.arbiter.partitions.next_to_compare()
            && self.arbiter.send(now, compare_ticket(partition), &RedisCommand::Meta { partition })
        {
            self.arbiter.partitions.sent();
        }
        // Comparisons come first: what is pursued waits for them to have left.
        if self.arbiter.partitions.next_to_compare().is_none() {
            self.send_pursued(now);
        }
        self.arbiter.partitions.report(&mut self.users.effects);
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

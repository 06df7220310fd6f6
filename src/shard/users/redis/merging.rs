//! How what was accepted without its user's state becomes part of it: read, merged, committed with
//! its records, before that user is decided on; and, for users nobody asks for, a few at a time.
//! Merging twice is harmless: what is known already is only recorded, or confirmed, once more.
//!
//! ```text
//!  accepted ─ record ─► waits ─► Read ─► merged ─► Commit ─ done ─► records ─ acked ─► over
//!                         ▲                          │
//!                         └── moved, late, failed ◄──┘
//! ```
//!
//! SQL stops before the record of an entry that waits (its floor, which the shard reports). Where
//! SQL stands there, as when a rebuild of Redis waits for SQL and so the merge for itself, the
//! shard journals its entries again and SQL may pass the records that it had before.
//!
//! A journal that is full of what SQL may not pass takes nothing more, and only merges make room.
//! So they do not ask whether it takes anything: it stops taking other records while there is still
//! room for the promise of every entry that waits, at most one more record of its own and what its
//! merge records. They are journaled again only once SQL stands at the first of the records that
//! they have, and so has passed those that they had before: a promise is not used twice before its
//! bytes have come back. What is under way in the lane is part of the promise; what a shard takes
//! in the turn before it learns that the journal is full fits into the two segments that are kept
//! behind every budget.

use super::{Arbiter, RedisUsers, base_of, millis};
use crate::seam::{Effect, ShardReport};
use crate::users::in_flight::ProposedChange;
use crate::users::unmerged::{Merged, UnmergedEntry, UnmergedKind};
use crate::users::{Happened, Users};
use nudged_base::clock::Now;
use nudged_base::event_kind::EventKind;
use nudged_base::ids::{LaneSequence, Sequence};
use nudged_base::limits::{
    JOURNAL_AGAIN_MS, JOURNAL_AGAIN_RECORDS, MERGE_REST_MS, MERGE_VALID_MS, MERGES_MAX,
    UNMERGED_HELD_MS,
};
use nudged_base::time::{DurationMs, MonoNs};
use nudged_domain::catalog::snapshot::Snapshot;
use nudged_domain::state::{apply, user};
use nudged_journal::record::Record;

/// What merging remembers between turns.
#[derive(Debug, Default)]
pub struct Merging {
    /// Users who are merged unasked.
    under_way: Vec<Box<str>>,
    /// The last user who was.
    last: Box<str>,
    /// Nobody is before this; 0 for no rest.
    rest_until: MonoNs,
    has_failed: bool,
    /// The floor, and since when it stands.
    floor: Option<(Sequence, MonoNs)>,
    /// Whether SQL has applied all before the floor.
    is_sql_there: bool,
    again: Option<Again>,
    again_due: MonoNs,
    /// When more of it is journaled again.
    again_next: MonoNs,
    reported: Option<(Sequence, Option<Sequence>)>,
    reported_bytes: u64,
}

/// Journaling all entries again.
#[derive(Debug)]
struct Again {
    /// What was acknowledged when it began.
    acked: Sequence,
    /// The last user whose entries are journaled again; `None` once all are.
    last: Option<Box<str>>,
    /// The last record of it.
    upto: LaneSequence,
}

impl Merging {
    /// A merge has failed: it is not tried again at once.
    pub(super) fn failed(&mut self) {
        self.has_failed = true;
    }
}

/// What becomes of a user before whom entries wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeProgress {
    /// Nothing waits any more.
    Nothing,
    /// A commit is under way.
    UnderWay,
    /// It can't be done now.
    Failed,
}

impl RedisUsers<'_> {
    /// Merges what waits for a user into the fresh copy in the slice.
    pub fn merge(&mut self, snapshot: &Snapshot, now: Now, user: &str) -> MergeProgress {
        if self.arbiter.unmerged.of(user).is_empty() {
            return MergeProgress::Nothing;
        }
        let merge = self.begin_merge(snapshot, now, user);
        if merge == MergeProgress::Failed {
            self.arbiter.merging.failed();
        }
        merge
    }

    fn begin_merge(&mut self, snapshot: &Snapshot, now: Now, user: &str) -> MergeProgress {
        if self.users.load(user).is_none() {
            return MergeProgress::Failed;
        }
        let base = self.begin_change(user);
        // Taken out, so that they can be recorded while they are read.
        let entries = self.arbiter.unmerged.of(user).to_vec();
        for entry in &entries {
            self.merge_one(snapshot, user, entry);
        }
        // With a list too: it is by these records that a restart knows what is merged.
        let reserved = self.users.uncommitted_records.len();
        if !self.users.lane.reserve_promised(reserved) {
            self.users.counters.journal_refusals.add(1);
            return MergeProgress::Failed;
        }
        let revision = self.users.scratch.state.revision;
        if revision.counter == base.counter {
            self.users.lane.release(reserved);
            self.append_repeats();
            self.finish_merge(user, entries.len());
            return MergeProgress::Nothing;
        }
        let (mut records, mut state) = (self.users.buffer(), self.users.buffer());
        user::encode(&self.users.scratch.state, &mut state);
        let arbiter = &mut *self.arbiter;
        records.extend_from_slice(&self.users.uncommitted_records);
        let wall = arbiter.wall(now);
        let pending = ProposedChange {
            waiter: None,
            outcome: None,
            event_bytes: records.len(),
            records,
            count: u32::try_from(revision.counter - base.counter).expect("entries are bounded"),
            base: base_of(base),
            revision,
            request: arbiter.request_id(),
            now: wall,
            valid_until: wall.plus(DurationMs(MERGE_VALID_MS)),
            state,
            former: None,
            withdraws: false,
            pursued_until: None,
            publish: true,
            ttl_ms: arbiter.setup.ttl_ms,
            reserved,
            merged: entries.len(),
        };
        if arbiter.commit(now.mono, user, pending) {
            self.users.counters.redis_commits.add(1);
            return MergeProgress::UnderWay;
        }
        self.users.lane.release(reserved);
        MergeProgress::Failed
    }

    /// Merges an entry into the scratch state, and records what came of it.
    fn merge_one(&mut self, snapshot: &Snapshot, user: &str, entry: &UnmergedEntry) {
        self.learn_show_of_entry(snapshot, user, entry);
        let (kind, forgotten) = match entry.merge(&mut self.users.scratch.state, snapshot) {
            Merged::Changed(kind, forgotten) => (kind, forgotten),
            // It may be another node's, of the same millisecond, which that one is about to
            // withdraw since nobody saw it.
            Merged::Known(EventKind::Decided) => {
                apply::confirm(&mut self.users.scratch.state);
                (EventKind::Decided, None)
            }
            // Its first record may be in the journal of a node that is no more.
            Merged::Known(kind) => (kind, None),
            Merged::Dropped => return self.users.counters.merges_dropped.add(1),
        };
        let (at, acted_at) = match entry.kind {
            UnmergedKind::Show { .. } => (entry.shown.at, entry.shown.at),
            UnmergedKind::Event { acted_at, .. } => (entry.at, acted_at),
        };
        let happened = Happened { kind, at, acted_at, forgotten };
        self.users.record(snapshot, &entry.subject(user), happened);
    }

    /// Hands records that change nothing to the journal.
    fn append_repeats(&mut self) {
        self.users.lane.append_framed(&self.users.uncommitted_records);
    }

    /// The first entries of a user are merged, and their records are the last in the lane.
    pub(super) fn finish_merge(&mut self, user: &str, count: usize) {
        if count > 0 {
            self.users.counters.merged.add(count as u64);
            self.arbiter.unmerged.finish(user, count, self.users.lane.last());
        }
    }

    /// Goes on with what waits, once a turn: asks for users nobody asks for, journals again what
    /// holds SQL up, and tells how far SQL may go.
    pub(crate) fn merge_unasked(&mut self, now: Now) {
        self.arbiter.unmerged.acknowledge(self.users.lane.acked());
        self.ask_for_unmerged(now.mono);
        self.journal_again(now.mono);
        let known = (self.users.lane.acked_sequence(), self.arbiter.unmerged.floor());
        let bytes = self.bytes_to_come();
        let arbiter = &mut *self.arbiter;
        let merging = &mut arbiter.merging;
        if merging.reported_bytes != bytes {
            merging.reported_bytes = bytes;
            self.users.effects.push(Effect::Report(ShardReport::Promised { bytes }));
        }
        if merging.reported != Some(known) {
            merging.reported = Some(known);
            let (acked, unmerged) = known;
            self.users.effects.push(Effect::Report(ShardReport::Journal { acked, unmerged }));
        }
    }

    /// Bytes that the journal keeps room for while anything waits: what the entries may take, and
    /// what is on its way already, so that the journal need not have seen it.
    fn bytes_to_come(&self) -> u64 {
        if self.arbiter.unmerged.is_empty() {
            return 0;
        }
        let under_way =
            u64::try_from(self.users.lane.bytes_under_way()).expect("a lane is bounded");
        self.arbiter.unmerged.promised_bytes() + under_way
    }

    fn ask_for_unmerged(&mut self, now: MonoNs) {
        let RedisUsers { users: Users { counters, .. }, arbiter } = self;
        if std::mem::take(&mut arbiter.merging.has_failed) {
            arbiter.merging.rest_until = now.plus_ms(MERGE_REST_MS);
        }
        if now >= arbiter.merging.rest_until {
            arbiter.merging.rest_until = MonoNs(0);
        }
        let may_ask = arbiter.is_usable(now) && arbiter.merging.rest_until == MonoNs(0);
        if arbiter.unmerged.is_empty() || !may_ask {
            return;
        }
        let in_flight = &arbiter.in_flight;
        arbiter.merging.under_way.retain(|user| in_flight.find(user).is_some());
        for _ in arbiter.merging.under_way.len()..MERGES_MAX {
            let Some(user) = arbiter.unmerged.next_user(&arbiter.merging.last) else { return };
            let user: Box<str> = user.into();
            arbiter.merging.last.clone_from(&user);
            if arbiter.is_busy(&user) {
                continue;
            }
            if arbiter.read(now, &user).is_none() {
                return;
            }
            counters.redis_reads.add(1);
            arbiter.merging.under_way.push(user);
        }
    }

    fn journal_again(&mut self, now: MonoNs) {
        let RedisUsers { users: Users { lane, counters, .. }, arbiter } = self;
        let floor = arbiter.unmerged.floor();
        arbiter.merging.note_floor(now, floor, lane.applied_sequence());
        if arbiter.is_due_again(now) {
            let acked = lane.acked_sequence();
            arbiter.merging.again_due = now.plus_ms(JOURNAL_AGAIN_MS);
            arbiter.merging.again = Some(Again { acked, last: Some("".into()), upto: lane.last() });
        }
        let Arbiter { unmerged, merging, .. } = &mut **arbiter;
        let Some(again) = &mut merging.again else { return };
        let mut count = 0;
        while let Some(last) = &again.last
            && count < JOURNAL_AGAIN_RECORDS
        {
            let Some(user) = unmerged.user_behind(last) else {
                again.last = None;
                break;
            };
            let entries = unmerged.of(user);
            if !lane.has_room_promised(entries.len()) {
                break;
            }
            for entry in entries {
                again.upto = lane.append(&Record::Unmerged(entry.record(user)));
            }
            count += entries.len();
            again.last = Some(user.into());
        }
        counters.journaled_again.add(count as u64);
        merging.again_next = now.plus_ms(1);
        if again.last.is_none() && lane.is_acked(again.upto) {
            unmerged.journaled_again(again.acked);
            merging.again = None;
        }
    }
}

impl Merging {
    fn note_floor(&mut self, now: MonoNs, floor: Option<Sequence>, applied: Sequence) {
        let is_same = self.floor.map(|(floor, _)| floor) == floor;
        if !is_same {
            self.floor = floor.map(|floor| (floor, now));
        }
        // What others have put there in between, SQL may have applied.
        self.is_sql_there = floor.is_some_and(|floor| applied.0 + 1 >= floor.0);
    }

    /// Since when the floor stands at which SQL is; `None` where it has others to apply before.
    fn held_since(&self) -> Option<MonoNs> {
        self.floor.filter(|_| self.is_sql_there).map(|(_, since)| since)
    }
}

impl Arbiter {
    /// When merging has something to do.
    pub(super) fn merging_deadline(&self) -> Option<MonoNs> {
        let merging = &self.merging;
        if merging.again.as_ref().is_some_and(|again| again.last.is_some()) {
            return Some(merging.again_next);
        }
        let is_resting = !self.unmerged.is_empty() && merging.rest_until.0 > 0;
        let rest = is_resting.then_some(merging.rest_until);
        let may_write = self.server.is_some() && merging.again.is_none();
        let held = merging.held_since().filter(|_| may_write);
        let again = held.map(|since| since.plus_ms(UNMERGED_HELD_MS).max(merging.again_due));
        [rest, again].into_iter().flatten().min()
    }

    /// Whether all entries are to be journaled again. While Redis is away nothing but such records
    /// is written, and SQL may as well wait.
    fn is_due_again(&self, now: MonoNs) -> bool {
        let merging = &self.merging;
        let held_ms = |since: MonoNs| millis(now).saturating_sub(millis(since));
        let is_held = merging.held_since().is_some_and(|at| held_ms(at) >= UNMERGED_HELD_MS);
        is_held && self.server.is_some() && merging.again.is_none() && now >= merging.again_due
    }
}

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
//!
//! An event may tell of a show before its own node does: a node that was cut off from Redis has
//! shown a popup by its own memory, and waits to merge that; the user's click comes to another
//! node. The decision's token is signed, and holds all that the merge needs: so the show is merged
//! first, and its own node will find it known.

use super::{Arbiter, RedisUsers};
use crate::seam::{Effect, ShardReport};
use crate::users::change::ProposedChange;
use crate::users::evaluate::{Happened, Subject, shown_of};
use crate::users::in_flight::KeyedUser;
use crate::users::memory::{Scratch, Users};
use crate::users::unmerged::{self, Merged};
use nudged_api::events::Event;
use nudged_base::clock::Now;
use nudged_base::event_kind::EventKind;
use nudged_base::ids::PopupKey;
use nudged_base::limits::{EVENT_AGE_MAX_MS, MERGE_VALID_MS, MERGES_MAX};
use nudged_base::time::{DurationMs, MonoNs, WallMs};
use nudged_domain::catalog::snapshot::Snapshot;
use nudged_domain::state::apply::{self, Action, LateShow};
use nudged_journal::record::Unmerged;

/// What becomes of a user before whom entries wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MergeProgress {
    /// Nothing waits any more.
    Nothing,
    /// A commit is under way.
    UnderWay,
    /// It can't be done now.
    Failed,
}

impl RedisUsers<'_> {
    /// Merges what waits for a user into the fresh copy in the slice.
    pub(crate) fn merge(&mut self, snapshot: &Snapshot, now: Now, user: &str) -> MergeProgress {
        if self.arbiter.unmerged.of(user).is_empty() {
            return MergeProgress::Nothing;
        }
        let merge = self.begin_merge(snapshot, now, user);
        if merge == MergeProgress::Failed {
            self.arbiter.merges.failed();
        }
        merge
    }

    fn begin_merge(&mut self, snapshot: &Snapshot, now: Now, user: &str) -> MergeProgress {
        if self.users.load(self.scratch, user).is_none() {
            return MergeProgress::Failed;
        }
        let keyed = KeyedUser::of(user);
        let base = self.begin_change(keyed.partition);
        let entries = self.arbiter.unmerged.of(user);
        for entry in entries {
            self.users.merge_one(self.scratch, snapshot, &entry.record());
        }
        let merged = entries.len();
        // With a list too: it is by these records that a restart knows what is merged.
        let reserved = self.scratch.uncommitted_records.len();
        if !self.users.lane.reserve_promised(reserved) {
            self.users.counters.journal_refusals.add(1);
            return MergeProgress::Failed;
        }
        let revision = self.scratch.state.revision;
        if revision.counter == base.counter {
            self.users.lane.release(reserved);
            self.users.lane.append_framed(&self.scratch.uncommitted_records);
            self.finish_merge(user, merged);
            return MergeProgress::Nothing;
        }
        let change = self.propose(now, base, DurationMs(MERGE_VALID_MS));
        let change = ProposedChange { reserved, merged, ..change };
        match self.commit(now.mono, keyed, change) {
            true => MergeProgress::UnderWay,
            false => MergeProgress::Failed,
        }
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
        let (users, arbiter) = (&mut *self.users, &mut *self.arbiter);
        let is_connected = arbiter.server.is_some();
        let Arbiter { rejournaling, unmerged, merges, .. } = arbiter;
        let count = rejournaling.step(now.mono, &mut users.lane, unmerged, is_connected);
        users.counters.journaled_again.add(count as u64);
        // What is on its way already counts too: the journal need not have seen it.
        let under_way = u64::try_from(users.lane.bytes_under_way()).expect("a lane is bounded");
        let is_any = !unmerged.is_empty();
        let bytes = if is_any { unmerged.promised_bytes() + under_way } else { 0 };
        if std::mem::replace(&mut merges.reported_bytes, bytes) != bytes {
            users.effects.push(Effect::Report(ShardReport::Promised { bytes }));
        }
        let (acked, unmerged) = (users.lane.acked_sequence(), unmerged.floor());
        if merges.reported.replace((acked, unmerged)) != Some((acked, unmerged)) {
            users.effects.push(Effect::Report(ShardReport::Journal { acked, unmerged }));
        }
    }

    fn ask_for_unmerged(&mut self, now: MonoNs) {
        let arbiter = &mut *self.arbiter;
        let is_rested = arbiter.merges.is_rested(now);
        if arbiter.unmerged.is_empty() || !is_rested || !arbiter.is_usable(now) {
            return;
        }
        let in_flight = &self.users.in_flight;
        arbiter.merges.under_way.retain(|user| in_flight.find(user).is_some());
        for _ in arbiter.merges.under_way.len()..MERGES_MAX {
            let Arbiter { merges, unmerged, .. } = &mut *self.arbiter;
            let Some(user) = unmerged.next_user(&merges.last) else { return };
            let user: Box<str> = user.into();
            merges.last.clone_from(&user);
            if self.users.in_flight.find(&user).is_some() {
                continue;
            }
            if self.read(now, KeyedUser::of(&user)).is_none() {
                return;
            }
            self.arbiter.merges.under_way.push(user);
        }
    }

    /// Makes the show of an event part of the scratch state and records it, where a node decided it
    /// by its own memory and the state is sure never to have had it.
    pub(super) fn learn_show(&mut self, snapshot: &Snapshot, now: WallMs, event: &Event<'_>) {
        let Some(session) = event.token.local else { return };
        if now.since(event.token.at).0 > EVENT_AGE_MAX_MS {
            return;
        }
        let late = LateShow { shown: shown_of(&event.token), session };
        let learnt = apply::learn_show(&mut self.scratch.state, snapshot, late);
        self.users.record_learnt(
            self.scratch,
            snapshot,
            (&Subject::of(event), late.shown.at),
            learnt,
        );
    }
}

impl Users {
    /// Merges an entry into the scratch state, and records what came of it.
    fn merge_one(&mut self, scratch: &mut Scratch, snapshot: &Snapshot, record: &Unmerged<'_>) {
        let (subject, shown_at) = (Subject::of_unmerged(record), record.shown_at);
        let learnt = unmerged::learn(record, &mut scratch.state, snapshot);
        self.record_learnt(scratch, snapshot, (&subject, shown_at), learnt);
        let (kind, forgotten) = match unmerged::merge(record, &mut scratch.state, snapshot) {
            Merged::Changed(kind, forgotten) => (kind, forgotten),
            // It may be another node's, of the same millisecond, which that one is about to
            // withdraw since nobody saw it.
            Merged::Known(EventKind::Decided) => {
                apply::confirm(&mut scratch.state);
                (EventKind::Decided, None)
            }
            // Its first record may be in the journal of a node that is no more.
            Merged::Known(kind) => (kind, None),
            Merged::Dropped => return self.counters.merges_dropped.add(1),
        };
        let (at, acted_at) = match Action::of_kind(record.kind) {
            None => (shown_at, shown_at),
            // One that is new to the state has just left its own time there.
            Some(action) => {
                let shown = unmerged::late_show(record).shown;
                (record.at, apply::repeated_at(&scratch.state, shown, action, record.acted_at))
            }
        };
        let happened = Happened { kind, at, acted_at, forgotten };
        self.record(scratch, snapshot, &subject, happened);
    }

    /// Records a show that was learnt, with the popup that it pushed out.
    fn record_learnt(
        &mut self,
        scratch: &mut Scratch,
        snapshot: &Snapshot,
        (subject, at): (&Subject<'_>, WallMs),
        learnt: Option<Option<PopupKey>>,
    ) {
        let Some(forgotten) = learnt else { return };
        let happened = Happened { kind: EventKind::Decided, at, acted_at: at, forgotten };
        self.record(scratch, snapshot, subject, happened);
        self.counters.shows_learnt.add(1);
    }
}

//! How what was accepted without its user's state becomes part of it: read, merged, committed with
//! its records, before that user is decided on; and, for users nobody asks for, a few at a time.
//! Merging twice is harmless: what is known already is only recorded once more.
//!
//! ```text
//!  accepted ─ record ─► waits ─► Read ─► merged ─► Commit ─ done ─► records ─ acked ─► over
//!                         ▲                          │
//!                         └── moved, late, failed ◄──┘
//! ```
//!
//! SQL stops before the record of an entry that waits (its floor, which the shard reports). Where
//! a rebuild of Redis waits for SQL, and so the merge for itself, the shard journals its entries
//! again and SQL may pass the records that it had before.

use super::flights::Pending;
use super::{Arbiter, Queue, base_of, millis};
use crate::base::clock::Now;
use crate::base::ids::{LaneSequence, PopupKey, Sequence};
use crate::base::limits::{
    JOURNAL_AGAIN_MS, JOURNAL_AGAIN_RECORDS, MERGE_REST_MS, MERGES_MAX, UNMERGED_HELD_MS,
    USER_POPUPS_MAX, WITHDRAWAL_VALID_MS,
};
use crate::base::time::{DurationMs, MonoNs};
use crate::catalog::snapshot::Snapshot;
use crate::journal::record::Record;
use crate::shard::home::{Home, Subject};
use crate::shard::seam::{Effect, Outbox, Report};
use crate::shard::unmerged::{Asked, Entry, Merged};
use crate::state::user::{self, UserState};

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
    held: Option<(Sequence, MonoNs)>,
    again: Option<Again>,
    again_due: MonoNs,
    /// When more of it is journaled again.
    again_next: MonoNs,
    reported: Option<(Sequence, Option<Sequence>)>,
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
pub enum Merge {
    /// Nothing waits any more.
    Nothing,
    /// A commit is under way.
    UnderWay,
    /// It can't be done now.
    Failed,
}

impl Home {
    /// Merges what waits for a user into the fresh copy in the slice.
    pub fn merge(&mut self, snapshot: &Snapshot, now: Now, user: &str) -> Merge {
        if self.unmerged.of(user).is_empty() {
            return Merge::Nothing;
        }
        let merge = self.begin_merge(snapshot, now, user);
        if merge == Merge::Failed {
            self.arbiter_mut().merging.failed();
        }
        merge
    }

    fn begin_merge(&mut self, snapshot: &Snapshot, now: Now, user: &str) -> Merge {
        if self.load(user).is_none() {
            return Merge::Failed;
        }
        let base = self.begin_aside(user);
        let is_journal = self.arbiter_mut().setup.queue == Queue::Journal;
        // Taken out, so that they can be recorded while they are read.
        let entries = self.unmerged.of(user).to_vec();
        for entry in &entries {
            self.merge_one(snapshot, user, entry, is_journal);
        }
        let records_bytes = self.aside().len();
        let reserved = if is_journal { records_bytes } else { 0 };
        if !self.lane.reserve(reserved) {
            self.counters.journal_refusals.add(1);
            return Merge::Failed;
        }
        let revision = self.scratch.state.revision;
        if revision.counter == base.counter {
            self.lane.release(reserved);
            self.append_repeats();
            self.finish_merge(user, entries.len());
            return Merge::Nothing;
        }
        let (outcome, fallback) = (self.buffer(), self.buffer());
        let (mut records, mut state) = (self.buffer(), self.buffer());
        user::encode(&self.scratch.state, &mut state);
        let arbiter = self.arbiter_mut();
        records.extend_from_slice(&arbiter.aside);
        let pending = Pending {
            waiter: None,
            outcome,
            fallback,
            event_bytes: records.len(),
            records,
            count: u32::try_from(revision.counter - base.counter).expect("entries are bounded"),
            base: base_of(base),
            revision,
            request: arbiter.request_id(),
            now: arbiter.wall(now),
            state,
            former: None,
            withdraws: false,
            publish: true,
            ttl_ms: arbiter.setup.ttl_ms,
            reserved,
            merged: entries.len(),
        };
        if arbiter.commit(now.mono, user, pending, DurationMs(WITHDRAWAL_VALID_MS)) {
            self.counters.redis_commits.add(1);
            return Merge::UnderWay;
        }
        self.lane.release(reserved);
        Merge::Failed
    }

    /// Merges an entry into the scratch state, and records what came of it.
    fn merge_one(&mut self, snapshot: &Snapshot, user: &str, entry: &Entry, is_journal: bool) {
        let state = &mut self.scratch.state;
        let before = keys_of_full(state);
        let merged = entry.merge(state, snapshot);
        let forgotten = before.into_iter().find(|key| state.popup(*key).is_none());
        let happening = match merged {
            Merged::Changed(happening) => happening,
            // Its first record may be in the journal of a node that is no more. A list has it.
            Merged::Known(happening) if is_journal => happening,
            Merged::Known(_) => return,
            Merged::Dropped => return self.counters.merges_dropped.add(1),
        };
        let subject = Subject {
            user,
            token: &entry.token,
            popup: &entry.popup,
            version: entry.version,
            variant: &entry.variant,
        };
        let times = match entry.asked {
            Asked::Show { .. } => (entry.shown.at, entry.shown.at),
            Asked::Event { acted_at, .. } => (entry.at, acted_at),
        };
        self.record(snapshot, &subject, happening, times, forgotten);
    }

    /// Hands records that change nothing to the journal.
    fn append_repeats(&mut self) {
        let arbiter = self.arbiter.as_deref().expect("asked of a home with an arbiter");
        self.lane.append_framed(&arbiter.aside);
    }

    /// The first entries of a user are merged, and their records are the last in the lane.
    pub(super) fn finish_merge(&mut self, user: &str, count: usize) {
        if count > 0 {
            self.counters.merged.add(count as u64);
            self.unmerged.finish(user, count, self.lane.last());
        }
    }

    /// Goes on with what waits, once a turn: asks for users nobody asks for, journals again what
    /// holds SQL up, and tells how far SQL may go.
    pub fn merge_unasked(&mut self, now: Now, outbox: &mut Outbox) {
        self.unmerged.acknowledge(self.lane.acked());
        self.ask_for_unmerged(now.mono);
        self.journal_again(now.mono);
        let known = (self.lane.acked_sequence(), self.unmerged.floor());
        let merging = &mut self.arbiter_mut().merging;
        if merging.reported != Some(known) {
            merging.reported = Some(known);
            let (acked, unmerged) = known;
            outbox.push(Effect::Report(Report::Journal { acked, unmerged }));
        }
    }

    fn ask_for_unmerged(&mut self, now: MonoNs) {
        let Home { arbiter, unmerged, counters, .. } = self;
        let Some(arbiter) = arbiter.as_deref_mut() else { return };
        if std::mem::take(&mut arbiter.merging.has_failed) {
            arbiter.merging.rest_until = now.plus_ms(MERGE_REST_MS);
        }
        if now >= arbiter.merging.rest_until {
            arbiter.merging.rest_until = MonoNs(0);
        }
        let may_ask = arbiter.is_usable(now) && arbiter.merging.rest_until == MonoNs(0);
        if unmerged.is_empty() || !may_ask {
            return;
        }
        let flights = &arbiter.flights;
        arbiter.merging.under_way.retain(|user| flights.find(user).is_some());
        for _ in arbiter.merging.under_way.len()..MERGES_MAX {
            let Some(user) = unmerged.next_user(&arbiter.merging.last) else { return };
            arbiter.merging.last = user.into();
            if arbiter.is_busy(user) {
                continue;
            }
            if arbiter.read(now, user).is_none() {
                return;
            }
            counters.redis_reads.add(1);
            arbiter.merging.under_way.push(user.into());
        }
    }

    fn journal_again(&mut self, now: MonoNs) {
        let Home { arbiter, unmerged, lane, counters, .. } = self;
        let Some(arbiter) = arbiter.as_deref_mut() else { return };
        arbiter.merging.note_floor(now, unmerged.floor());
        if arbiter.is_due_again(now) {
            let acked = lane.acked_sequence();
            arbiter.merging.again_due = now.plus_ms(JOURNAL_AGAIN_MS);
            arbiter.merging.again = Some(Again { acked, last: Some("".into()), upto: lane.last() });
        }
        let Some(again) = &mut arbiter.merging.again else { return };
        let mut count = 0;
        while let Some(last) = &again.last
            && count < JOURNAL_AGAIN_RECORDS
        {
            let Some(user) = unmerged.user_behind(last) else {
                again.last = None;
                break;
            };
            let entries = unmerged.of(user);
            if !lane.has_room(entries.len()) {
                break;
            }
            for entry in entries {
                again.upto = lane.append(&Record::Unmerged(entry.record(user)));
            }
            count += entries.len();
            again.last = Some(user.into());
        }
        counters.journaled_again.add(count as u64);
        arbiter.merging.again_next = now.plus_ms(1);
        if again.last.is_none() && lane.is_acked(again.upto) {
            unmerged.journaled_again(again.acked);
            arbiter.merging.again = None;
        }
    }

    /// When merging has something to do.
    pub fn merging_deadline(&self) -> Option<MonoNs> {
        let arbiter = self.arbiter.as_deref()?;
        let merging = &arbiter.merging;
        if merging.again.as_ref().is_some_and(|again| again.last.is_some()) {
            return Some(merging.again_next);
        }
        let is_resting = !self.unmerged.is_empty() && merging.rest_until.0 > 0;
        let rest = is_resting.then_some(merging.rest_until);
        let held = merging.held.filter(|_| arbiter.server.is_some() && merging.again.is_none());
        let again = held.map(|(_, since)| since.plus_ms(UNMERGED_HELD_MS).max(merging.again_due));
        [rest, again].into_iter().flatten().min()
    }
}

impl Merging {
    fn note_floor(&mut self, now: MonoNs, floor: Option<Sequence>) {
        let is_same = self.held.map(|(held, _)| held) == floor;
        if !is_same {
            self.held = floor.map(|floor| (floor, now));
        }
    }
}

impl Arbiter {
    /// Whether all entries are to be journaled again. While Redis is away nothing but such records
    /// is written, and SQL may as well wait.
    fn is_due_again(&self, now: MonoNs) -> bool {
        let merging = &self.merging;
        let held_ms = |since: MonoNs| millis(now).saturating_sub(millis(since));
        let is_held = merging.held.is_some_and(|(_, since)| held_ms(since) >= UNMERGED_HELD_MS);
        is_held && self.server.is_some() && merging.again.is_none() && now >= merging.again_due
    }
}

/// The popups of a state that has to forget one for another.
fn keys_of_full(state: &UserState) -> Vec<PopupKey> {
    let is_full = state.popups.len() >= USER_POPUPS_MAX;
    let popups = if is_full { &state.popups[..] } else { &[] };
    popups.iter().map(|entry| entry.popup).collect()
}

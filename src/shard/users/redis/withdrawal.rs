//! What becomes of a show that was committed too late for its request, which was answered without
//! it: nobody saw it, so the state as it was before replaces the one with the show, if that is
//! still the one that stands. Events of the same request have happened, and stay.
//!
//! ```text
//!  queue     the late commit left     the withdrawal leaves
//!  journal   nothing                  nothing; the lane gets the events' records alone
//!  list      its records              a withdrawn record, in the same call
//! ```
//!
//! Where another change came first, or the list is full, the show stays.

use std::collections::VecDeque;

use super::replies::{FRESH, Resumed};
use super::{RecordQueue, RedisUsers, base_of};
use crate::users::in_flight::{ProposedChange, Stage, Waiter};
use nudged_base::clock::Now;
use nudged_base::ids::{PopupKey, UserKey};
use nudged_base::limits::PURSUED_MS;
use nudged_base::time::{DurationMs, WallMs};
use nudged_domain::catalog::snapshot::Snapshot;
use nudged_domain::decide::gates;
use nudged_domain::state::user::{self, UserState};
use nudged_journal::record::{self, FormerEntry, Impression, Record, Withdrawn, frames};

impl RedisUsers<'_> {
    /// A change was made too late for its request, or nobody asked for it: its events have
    /// happened. In a list their records are already; those of a merge are journaled too.
    pub(super) fn append_events(&mut self, pending: &ProposedChange) {
        let is_journal = self.arbiter.setup.queue == RecordQueue::Journal;
        if (is_journal || pending.merged > 0) && pending.event_bytes > 0 {
            self.users.lane.append_framed(&pending.records[..pending.event_bytes]);
        }
    }

    /// The change that takes back the show of another one, if there is one that nobody saw.
    pub(super) fn withdrawal(
        &mut self,
        now: Now,
        snapshot: &Snapshot,
        user: &str,
        pending: &ProposedChange,
    ) -> Option<ProposedChange> {
        let former = pending.former.as_ref()?;
        user::decode(former, &mut self.users.scratch.state).expect("we encoded it");
        let revision = pending.revision.next();
        self.users.scratch.state.revision = revision;
        let (mut state, mut records) = (self.users.buffer(), self.users.buffer());
        let at = self.arbiter.wall(now);
        if self.arbiter.setup.queue != RecordQueue::Journal {
            let show = show_of(&pending.records[pending.event_bytes..]);
            debug_assert_eq!(show.user, user);
            // The show's record has told that it is forgotten, and the next show would again.
            let forgotten = PopupKey::of(show.forgotten);
            self.users.scratch.state.popups.retain(|entry| entry.popup != forgotten);
            append_withdrawn(snapshot, &self.users.scratch.state, (&show, at), &mut records);
        }
        user::encode(&self.users.scratch.state, &mut state);
        Some(ProposedChange {
            waiter: None,
            outcome: None,
            records,
            event_bytes: 0,
            count: 1,
            base: base_of(pending.revision),
            revision,
            request: self.arbiter.request_id(),
            now: at,
            valid_until: at.plus(DurationMs(PURSUED_MS)),
            state,
            former: None,
            withdraws: true,
            pursued_until: None,
            // Who has read the state with the show would hold the popup back for as long as a copy
            // is trusted.
            publish: true,
            ttl_ms: pending.ttl_ms,
            reserved: 0,
            merged: 0,
        })
    }

    /// Begins a withdrawal; those who wait for the user wait behind it.
    pub(super) fn withdraw(
        &mut self,
        now: Now,
        user: String,
        (mut waiters, withdrawal): (VecDeque<Waiter>, ProposedChange),
    ) -> Option<Resumed> {
        let arbiter = &mut *self.arbiter;
        let partition = UserKey::of(user.as_bytes()).partition();
        let stage = Stage::Commit(withdrawal);
        let handle = arbiter.may_pursue().then(|| arbiter.in_flight.begin(&user, partition, stage));
        let Some(handle) = handle.flatten() else {
            // The show stays, and with it the copy.
            return Some(Resumed { user, waiters, has_state: true, attempt: FRESH });
        };
        arbiter.pursue(now.mono, handle);
        waiters.drain(..).for_each(|waiter| arbiter.in_flight.wait(handle, waiter));
        arbiter.in_flight.rest(user, waiters);
        None
    }

    /// Tells what was learnt of a change that nobody waited for.
    pub(super) fn count_outcome(&self, pending: &ProposedChange, outcome: &'static str) {
        if pending.withdraws {
            self.users.counters.redis_withdrawn.add(u64::from(outcome == "committed"));
        } else if pending.pursued_until.is_some() {
            self.users.counters.redis_pursuits.of(outcome).add(1);
        }
    }
}

/// The show among the records of its change: the last one, behind those of events.
fn show_of(framed: &[u8]) -> Impression<'_> {
    let mut records = frames(framed).map(|frame| frame.and_then(|frame| frame.record()));
    let (first, second) = (records.next(), records.next());
    let (Some(Ok(Record::Impression(show))), None) = (first, second) else {
        unreachable!("a change with a former state ends with its show's record")
    };
    show
}

/// Appends the record that `show` is taken back and `state` stands again.
fn append_withdrawn(
    snapshot: &Snapshot,
    state: &UserState,
    (show, at): (&Impression<'_>, WallMs),
    records: &mut Vec<u8>,
) {
    // Rare enough for memory of its own.
    let (mut clocks, mut row) = (Vec::new(), Vec::new());
    user::encode_clocks(&state.clocks, &mut clocks);
    let former = state.popup(PopupKey::of(show.popup)).map(|entry| {
        user::encode_popup(entry, &mut row);
        let popup = snapshot.popup(entry.popup);
        let next_show_at = popup.and_then(|popup| gates::next_show_at(popup, entry, at).time());
        FormerEntry { row: &row, next_show_at }
    });
    let withdrawn = Withdrawn {
        user: show.user,
        revision: state.revision,
        at,
        shown_at: show.at,
        token: show.token,
        popup: show.popup,
        version: show.version,
        variant: show.variant,
        clocks: &clocks,
        former,
    };
    record::append(&Record::Withdrawn(withdrawn), records);
}

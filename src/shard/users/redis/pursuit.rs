//! Changes that are sent until Redis says what became of them, although nobody waits for them any
//! more: shows whose reply was lost with its connection, and withdrawals. Otherwise a show that
//! nobody saw could hold its popup back for ever.
//!
//! ```text
//!  show ─ no reply ─► queue ─ Redis may be asked ─► sent ─ done ──► withdrawal ─► queue
//!                       ▲                             ├─── late ──► it never was
//!                       ├── no reply, or refused ◄────┤
//!                       └── its time is up ──► it stays ◄── lost, or others came first
//! ```
//!
//! A change that is sent again keeps its request id and the time until which it is valid: if it was
//! executed, Redis knows its id, on whichever connection and in whichever run; if it was not, it
//! never will be. Where its partition has begun another epoch meanwhile, nothing is made of it: SQL
//! decides what stands then. Bounds: `PURSUED_MAX` changes, `PURSUED_SENT_MAX` of them sent,
//! `PURSUED_MS`.
//!
//! A show that was committed too late for its request, which was answered without it, is
//! withdrawn: nobody saw it, so the state as it was before replaces the one with the show, if that
//! is still the one that stands. Events of the same request have happened, and stay.
//!
//! ```text
//!  queue     the late commit left     the withdrawal leaves
//!  journal   nothing                  nothing; the lane gets the events' records alone
//!  list      its records              a withdrawn record, in the same call
//! ```
//!
//! Where another change came first, or the list is full, the show stays.

use super::{RecordQueue, RedisUsers};
use crate::users::change::ProposedChange;
use crate::users::in_flight::{KeyedUser, Stage};
use crate::users::memory::Scratch;
use crate::users::waiting::{Resumed, StateAccess};
use nudged_api::outcome::EncodedOutcome;
use nudged_base::clock::Now;
use nudged_base::ids::{Partition, PopupKey};
use nudged_base::limits::{PURSUED_MS, PURSUED_REST_MS, PURSUED_SENT_MAX};
use nudged_base::slab::Handle;
use nudged_base::time::{DurationMs, MonoNs, WallMs};
use nudged_domain::catalog::snapshot::Snapshot;
use nudged_domain::decide::gates;
use nudged_domain::state::user::{self, UserState};
use nudged_journal::record::{self, FormerEntry, Impression, Record, Withdrawn, frames};
use nudged_redis::command::{CommandFailure, Meta};

impl ProposedChange {
    /// Whether it is worth to learn what became of it after such a failure. What else came with a
    /// show comes again by itself: events are unmerged then.
    fn is_worth_pursuing(&self, failure: CommandFailure) -> bool {
        match failure {
            CommandFailure::Unknown => self.former.is_some() || self.pursued_until.is_some(),
            // That this sending changed nothing says nothing about an earlier one.
            CommandFailure::Refused(_) => self.pursued_until.is_some(),
            CommandFailure::Quarantined => false,
        }
    }
}

impl RedisUsers<'_> {
    /// A change that is begun will be sent once Redis may be asked; there must be room for it.
    fn pursue(&mut self, now: MonoNs, handle: Handle) {
        let change = self.users.in_flight.change(handle).expect("only changes are pursued");
        let until = *change.pursued_until.get_or_insert(now.plus_ms(PURSUED_MS));
        self.arbiter.pursuits.queue.push_back((until, handle));
    }

    /// Sends what is pursued while there is room, and Redis may be asked.
    pub(super) fn send_pursued(&mut self, now: MonoNs) {
        if !self.arbiter.pursuits.is_rested(now) || !self.arbiter.is_usable(now) {
            return;
        }
        while self.arbiter.pursuits.sent < PURSUED_SENT_MAX
            && let Some((_, handle)) = self.arbiter.pursuits.queue.front().copied()
            && self.send_commit(now, handle)
        {
            self.arbiter.pursuits.queue.pop_front();
            self.arbiter.pursuits.sent += 1;
        }
    }

    /// A reply has come to a command, or will not come any more.
    pub(super) fn note_answered(&mut self, handle: Handle) {
        let change = self.users.in_flight.change(handle);
        if change.is_some_and(|change| change.pursued_until.is_some()) {
            self.arbiter.pursuits.sent -= 1;
        }
    }

    /// Whether a change that is done belongs to the epoch of its partition. One of an earlier
    /// epoch was done before writes were lost, or may have been.
    pub(super) fn is_of_epoch(&mut self, handle: Handle, meta: &Meta) -> bool {
        let change = self.users.in_flight.change(handle);
        change.is_none_or(|change| meta.epoch == Some(change.revision.epoch))
    }

    /// A command has no reply that helps. All who wait are answered degraded; a change that must
    /// come to an end goes on.
    pub(super) fn fail_or_pursue(
        &mut self,
        now: MonoNs,
        handle: Handle,
        failure: CommandFailure,
    ) -> Option<Resumed> {
        let arbiter = &mut *self.arbiter;
        let may_pursue = arbiter.pursuits.has_room();
        let worth = |change: &&mut ProposedChange| may_pursue && change.is_worth_pursuing(failure);
        let Some(change) = self.users.in_flight.change(handle).filter(worth) else {
            return self.fail(handle);
        };
        let waiter = change.waiter.take();
        let reserved = std::mem::take(&mut change.reserved);
        let outcome = change.outcome.take().map(EncodedOutcome::into_buffer);
        if arbiter.setup.queue == RecordQueue::Journal {
            change.records.clear();
            change.event_bytes = 0;
        }
        if change.pursued_until.is_some() {
            arbiter.pursuits.rest_until = now.plus_ms(PURSUED_REST_MS);
        }
        self.pursue(now, handle);
        let mut waiters = self.users.in_flight.take_waiters(handle);
        if let Some(waiter) = waiter {
            waiters.push_front(waiter);
        }
        self.users.lane.release(reserved);
        if let Some(buffer) = outcome {
            self.users.keep(buffer);
        }
        let user = self.users.in_flight.get_mut(handle)?.user.clone();
        self.note_failure(&user);
        // It may have been executed, so the copy may be an old one.
        self.distrust(&user);
        Some(Resumed { user, waiters, access: StateAccess::Missing })
    }

    /// Gives up what was pursued for too long.
    pub(crate) fn give_up_pursued(&mut self, now: MonoNs) -> Option<Resumed> {
        let pursuits = &mut self.arbiter.pursuits;
        pursuits.queue.front().filter(|(until, _)| *until <= now)?;
        let (_, handle) = pursuits.queue.pop_front()?;
        self.fail(handle)
    }

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
        change: &ProposedChange,
    ) -> Option<ProposedChange> {
        let former = change.former.as_ref()?;
        let Scratch { state, uncommitted_records, .. } = &mut *self.scratch;
        uncommitted_records.clear();
        user::decode(former, state).expect("we encoded it");
        state.revision = change.revision.next();
        if self.arbiter.setup.queue != RecordQueue::Journal {
            let show = show_of(&change.records[change.event_bytes..]);
            debug_assert_eq!(show.user, user);
            // The show's record has told that it is forgotten, and the next show would again.
            let forgotten = PopupKey::of(show.forgotten);
            state.popups.retain(|entry| entry.popup != forgotten);
            let at = self.arbiter.wall(now);
            append_withdrawn(snapshot, state, (&show, at), uncommitted_records);
        }
        // It is told to other nodes: who has read the state with the show would hold the popup back
        // for as long as a copy is trusted.
        let withdrawal = self.propose(now, change.revision, DurationMs(PURSUED_MS));
        Some(ProposedChange {
            event_bytes: 0,
            withdraws: true,
            ttl_ms: change.ttl_ms,
            ..withdrawal
        })
    }

    /// Begins a withdrawal; those who wait for the user wait behind it.
    pub(super) fn withdraw(
        &mut self,
        now: Now,
        resumed: Resumed,
        (partition, withdrawal): (Partition, ProposedChange),
    ) -> Option<Resumed> {
        let user = KeyedUser { id: &resumed.user, partition };
        let stage = Stage::Commit(withdrawal);
        let has_room = self.arbiter.pursuits.has_room();
        let begun = has_room.then(|| self.users.in_flight.begin(user, stage)).flatten();
        let Some(handle) = begun else {
            // The show stays, and with it the copy.
            return Some(Resumed { access: StateAccess::Fresh, ..resumed });
        };
        self.pursue(now.mono, handle);
        let Resumed { user, mut waiters, .. } = resumed;
        waiters.drain(..).for_each(|waiter| self.users.in_flight.wait(handle, waiter));
        self.users.in_flight.rest(user, waiters);
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

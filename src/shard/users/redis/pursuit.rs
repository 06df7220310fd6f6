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

use std::collections::VecDeque;

use super::replies::Resumed;
use super::{Arbiter, RecordQueue, RedisUsers};
use crate::users::evaluate::Attempt;
use crate::users::in_flight::{ProposedChange, Stage};
use nudged_api::outcome::EncodedOutcome;
use nudged_base::limits::{PURSUED_MAX, PURSUED_MS, PURSUED_REST_MS, PURSUED_SENT_MAX};
use nudged_base::slab::Handle;
use nudged_base::time::MonoNs;
use nudged_redis::command::{CommandFailure, Meta};

/// The changes of one shard that are pursued.
#[derive(Debug, Default)]
pub(super) struct Pursuit {
    /// Those that are not sent, and when each is given up.
    queue: VecDeque<(MonoNs, Handle)>,
    sent: usize,
    /// None is sent before this; 0 for no rest.
    rest_until: MonoNs,
}

impl Pursuit {
    /// How many are pursued, sent or not.
    pub(super) fn len(&self) -> usize {
        self.queue.len() + self.sent
    }

    /// How many wait to be sent.
    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// When one is given up, or the rest is over.
    pub(super) fn next_deadline(&self) -> Option<MonoNs> {
        let (until, _) = self.queue.front()?;
        let rest = Some(self.rest_until).filter(|until| until.0 > 0);
        rest.into_iter().chain([*until]).min()
    }
}

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

impl Arbiter {
    /// Whether one more change may be pursued.
    pub(super) fn may_pursue(&self) -> bool {
        self.pursuit.len() < PURSUED_MAX
    }

    /// A change that is begun will be sent once Redis may be asked; `may_pursue` was asked.
    pub(super) fn pursue(&mut self, now: MonoNs, handle: Handle) {
        let flight = self.in_flight.get_mut(handle).expect("it is begun");
        let Stage::Commit(pending) = &mut flight.stage else { unreachable!("only changes are") };
        let until = *pending.pursued_until.get_or_insert(now.plus_ms(PURSUED_MS));
        self.pursuit.queue.push_back((until, handle));
    }

    /// Sends what is pursued while there is room, and Redis may be asked.
    pub(super) fn send_pursued(&mut self, now: MonoNs) {
        if now >= self.pursuit.rest_until {
            self.pursuit.rest_until = MonoNs(0);
        }
        if self.pursuit.rest_until.0 > 0 || !self.is_usable(now) {
            return;
        }
        while self.pursuit.sent < PURSUED_SENT_MAX
            && let Some((_, handle)) = self.pursuit.queue.front().copied()
            && self.send_commit(now, handle)
        {
            self.pursuit.queue.pop_front();
            self.pursuit.sent += 1;
        }
    }

    /// A reply has come to a command, or will not come any more.
    pub(super) fn note_answered(&mut self, handle: Handle) {
        let flight = self.in_flight.get_mut(handle);
        if let Some(Stage::Commit(pending)) = flight.map(|flight| &flight.stage)
            && pending.pursued_until.is_some()
        {
            self.pursuit.sent -= 1;
        }
    }

    /// Whether a change that is done belongs to the epoch of its partition. One of an earlier
    /// epoch was done before writes were lost, or may have been.
    pub(super) fn is_of_epoch(&mut self, handle: Handle, meta: &Meta) -> bool {
        let flight = self.in_flight.get_mut(handle).expect("the caller has seen it");
        let Stage::Commit(pending) = &flight.stage else { return true };
        meta.epoch == Some(pending.revision.epoch)
    }

    /// Whether nothing is under way that could come to an end now: what Redis can't be asked about
    /// ends with the process.
    pub(crate) fn may_end(&self, now: MonoNs) -> bool {
        let is_stuck = self.in_flight.len() == self.pursuit.waiting() && !self.is_usable(now);
        self.fanouts.is_empty() && (self.in_flight.is_empty() || is_stuck)
    }
}

impl RedisUsers<'_> {
    /// A command has no reply that helps. All who wait are answered degraded; a change that must
    /// come to an end goes on.
    pub(super) fn fail_or_pursue(
        &mut self,
        now: MonoNs,
        handle: Handle,
        failure: CommandFailure,
    ) -> Option<Resumed> {
        let arbiter = &mut *self.arbiter;
        let may_pursue = arbiter.may_pursue();
        let is_journal = arbiter.setup.queue == RecordQueue::Journal;
        let flight = arbiter.in_flight.get_mut(handle)?;
        let Stage::Commit(pending) = &mut flight.stage else { return self.fail(handle) };
        if !may_pursue || !pending.is_worth_pursuing(failure) {
            return self.fail(handle);
        }
        let user = flight.user.clone();
        let waiter = pending.waiter.take();
        let reserved = std::mem::take(&mut pending.reserved);
        let outcome = pending.outcome.take().map(EncodedOutcome::into_buffer);
        if is_journal {
            pending.records.clear();
            pending.event_bytes = 0;
        }
        if pending.pursued_until.is_some() {
            arbiter.pursuit.rest_until = now.plus_ms(PURSUED_REST_MS);
        }
        arbiter.pursue(now, handle);
        let mut waiters = arbiter.in_flight.take_waiters(handle);
        if let Some(waiter) = waiter {
            waiters.push_front(waiter);
        }
        self.users.lane.release(reserved);
        if let Some(buffer) = outcome {
            self.users.keep(buffer);
        }
        self.note_failure(&user);
        // It may have been executed, so the copy may be an old one.
        self.distrust(&user);
        Some(Resumed { user, waiters, has_state: false, attempt: Attempt::default() })
    }

    /// Gives up what was pursued for too long.
    pub(crate) fn give_up_pursued(&mut self, now: MonoNs) -> Option<Resumed> {
        let pursuit = &mut self.arbiter.pursuit;
        pursuit.queue.front().filter(|(until, _)| *until <= now)?;
        let (_, handle) = pursuit.queue.pop_front()?;
        self.fail(handle)
    }
}

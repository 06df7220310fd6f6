//! How requests run where Redis is the arbiter: upon a copy that is trusted, or fresh from a
//! reply; else they wait for one. A change is proposed and committed; nothing of it is in the slice
//! or the lane before Redis has it.

use bumpalo::collections::Vec as BumpVec;

use super::{Arbiter, CopiedAt, RecordQueue, RedisUsers, base_of};
use crate::users::evaluate::{self, RequestContext, decided};
use crate::users::in_flight::{ProposedChange, Stage, Waiter};
use crate::users::lane::WaitingOutcome;
use nudged_api::command::Command;
use nudged_api::decide::DecideRequest;
use nudged_api::outcome::{Decided, EncodedOutcome, Outcome};
use nudged_api::verdict::Verdict;
use nudged_base::clock::Now;
use nudged_base::ids::{Revision, UserKey};
use nudged_base::limits::TOMBSTONE_AGE_MAX_MS;
use nudged_base::slab::Handle;
use nudged_base::time::{DurationMs, MonoNs, WallMs};
use nudged_domain::decide::choose::Decision;
use nudged_domain::state::{apply, user};
use nudged_journal::record::{self, Record};
use nudged_redis::command::{Commit, Records, RedisCommand};

/// Upon what a request may run now.
pub(super) enum StateSource {
    /// The scratch state, at this time.
    Copy(WallMs),
    /// The copy as it lies, at this time: it has been decided upon, and is not in the scratch where
    /// nothing is shown.
    Decided(WallMs, Decision),
    /// It has to wait for a reply.
    Wait,
    /// Redis is not to be asked.
    Degraded,
}

/// A change as it was evaluated: the scratch state with the uncommitted records.
pub(super) struct EvaluatedChange<'c, 'a> {
    /// The command that asks for it, to be run again where another node is first.
    pub(super) command: Command<'c>,
    pub(super) user: &'c str,
    /// What the state's revision was before.
    pub(super) base: Revision,
    /// How many bytes of the records are of events; where there are any, other nodes are told.
    pub(super) event_bytes: usize,
    /// The state without the show, where there is one.
    pub(super) former: Option<Vec<u8>>,
    pub(super) outcome: Outcome<'a>,
}

impl RedisUsers<'_> {
    /// Decides; degraded where the user's state is not to be had.
    pub(in crate::users) fn decide<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        request: &DecideRequest<'a>,
    ) -> Option<Outcome<'a>> {
        let (user, command) = (request.context.user, Command::Decide(*request));
        let (wall, decision) = match self.state_source(context, user, Some(request)) {
            StateSource::Copy(wall) => (wall, None),
            StateSource::Decided(_, nothing @ Decision::Nothing { .. }) => {
                let decided = decided(request, nothing);
                self.users.note_decision(context, user, &decided);
                return Some(Outcome::Decided(decided));
            }
            StateSource::Decided(wall, show) => (wall, Some(show)),
            StateSource::Wait if self.wait_for_turn(context, &command, user) => return None,
            StateSource::Wait | StateSource::Degraded => {
                return self.decide_degraded(context, request);
            }
        };
        let context = &RequestContext { now: Now { wall, ..context.now }, ..*context };
        let base = self.begin_change(user);
        let mut verdicts = BumpVec::with_capacity_in(request.events.len(), context.bump);
        for element in request.events {
            let verdict = match element {
                Err(code) => Verdict::Rejected(*code),
                Ok(event) if event.token.user != user => Verdict::OTHER_USER,
                Ok(event) => self.event_by_redis(context, event),
            };
            if verdict == Verdict::TOO_LATE && !context.attempt.is_fresh() {
                if self.wait_for_turn(context, &command, user) {
                    return None;
                }
                return self.decide_degraded(context, request);
            }
            verdicts.push(verdict);
        }
        // A show that was learnt may be of a node whose clock is ahead.
        let wall = self.scratch.state.newest().map_or(wall, |newest| newest.max(wall));
        let context = &RequestContext { now: Now { wall, ..context.now }, ..*context };
        let event_bytes = self.scratch.uncommitted_records.len();
        let candidates = self.scratch.candidates(context, request);
        let decision = decision.unwrap_or_else(|| self.scratch.decide(context, request));
        let (chosen, former) = self.carry_out_uncommitted(context, request, decision);
        let decided = Decided { verdicts: verdicts.into_bump_slice(), candidates, ..chosen };
        self.users.log_decision(context, user, &decided);
        let outcome = Outcome::Decided(decided);
        if self.scratch.uncommitted_records.is_empty() {
            self.users.count(&decided);
            return Some(outcome);
        }
        let change = EvaluatedChange { command, user, base, event_bytes, former, outcome };
        if self.settle_change(context, change) {
            self.users.count(&decided);
            return None;
        }
        self.decide_degraded(context, request)
    }

    /// A show becomes part of the scratch state and is recorded. Gives the state without it too.
    fn carry_out_uncommitted<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        request: &DecideRequest<'a>,
        decision: Decision,
    ) -> (Decided<'a>, Option<Vec<u8>>) {
        match decision {
            nothing @ Decision::Nothing { .. } => (decided(request, nothing), None),
            Decision::Show { popup, variant } => {
                let mut former = self.users.buffer();
                user::encode(&self.scratch.state, &mut former);
                (self.users.show(self.scratch, context, request, (popup, variant)), Some(former))
            }
        }
    }

    /// Whether a request of this user can run, and upon what. The state is in the scratch then,
    /// unless `request` is there and comes to nothing upon the copy as it lies.
    pub(super) fn state_source(
        &mut self,
        context: &RequestContext<'_, '_>,
        user: &str,
        request: Option<&DecideRequest<'_>>,
    ) -> StateSource {
        let now = context.now;
        let arbiter = &mut *self.arbiter;
        if context.attempt.is_without_state() {
            return StateSource::Degraded;
        }
        if !context.attempt.is_fresh() {
            if !arbiter.is_usable(now.mono) {
                self.users.counters.redis_failures.of("away").add(1);
                return StateSource::Degraded;
            }
            if arbiter.in_flight.find(user).is_some() {
                return StateSource::Wait;
            }
        }
        // What was accepted before comes first: the reply is merged with it.
        if !self.arbiter.unmerged.of(user).is_empty() {
            return StateSource::Wait;
        }
        let Some((state, copied_at)) = self.users.look_up(user) else {
            return StateSource::Wait;
        };
        let copied_at = CopiedAt::of_entry(copied_at);
        let (newest, is_empty) = (state.newest(), state.is_empty());
        let partition = UserKey::of(user.as_bytes()).partition();
        let arbiter = &*self.arbiter;
        if !context.attempt.is_fresh()
            && !arbiter.is_trusted(now.mono, (partition, copied_at), is_empty)
        {
            return StateSource::Wait;
        }
        let wall = arbiter.wall(now);
        let wall = newest.map_or(wall, |newest| wall.max(newest));
        let decision =
            request.and_then(|request| evaluate::decide_as_it_lies(context, request, &state, wall));
        match decision {
            Some(nothing @ Decision::Nothing { .. }) => StateSource::Decided(wall, nothing),
            decision => {
                state.decode(&mut self.scratch.state);
                decision.map_or(StateSource::Copy(wall), |show| StateSource::Decided(wall, show))
            }
        }
    }

    /// Prepares for records of a user; gives the revision that Redis must still hold. The first
    /// change in an epoch carries it.
    pub(super) fn begin_change(&mut self, user: &str) -> Revision {
        let partition = UserKey::of(user.as_bytes()).partition();
        let base = self.scratch.state.revision;
        let arbiter = &mut *self.arbiter;
        self.scratch.uncommitted_records.clear();
        let epoch = arbiter.partitions.epoch(partition).max(base.epoch);
        self.scratch.state.revision.epoch = epoch;
        base
    }

    /// Commits the scratch state, or, where it only repeats, hands the repeats to the journal.
    /// Whether the outcome will come: else nothing was changed.
    pub(super) fn settle_change(
        &mut self,
        context: &RequestContext<'_, '_>,
        evaluated: EvaluatedChange<'_, '_>,
    ) -> bool {
        let EvaluatedChange { command, user, base, event_bytes, former, outcome } = evaluated;
        let reserved = match self.arbiter.setup.queue {
            RecordQueue::Journal => self.scratch.uncommitted_records.len(),
            RecordQueue::List { .. } => 0,
        };
        if !self.users.lane.reserve(reserved) {
            self.users.counters.journal_refusals.add(1);
            return false;
        }
        let snapshot = &context.view.snapshot;
        let outcome = EncodedOutcome::new(&outcome, snapshot, self.users.buffer());
        if self.scratch.state.revision.counter == base.counter {
            self.users.lane.release(reserved);
            let upto = self.users.lane.append_framed(&self.scratch.uncommitted_records);
            let (since, origin) = (context.now.mono, context.origin);
            self.users.lane.wait(WaitingOutcome { upto, since, origin, outcome });
            return true;
        }
        let waiter = self.users.waiter(context, &command);
        let valid_ms = context.until.0.saturating_sub(context.now.mono.0) / 1_000_000;
        let mut change = self.propose(context.now, base, DurationMs(valid_ms));
        if matches!(command, Command::EraseUser { .. }) {
            change.ttl_ms = TOMBSTONE_AGE_MAX_MS;
        }
        self.commit(
            context.now.mono,
            user,
            ProposedChange {
                waiter: Some(waiter),
                outcome: Some(outcome),
                event_bytes,
                former,
                publish: event_bytes > 0,
                reserved,
                ..change
            },
        )
    }

    /// The scratch state with its uncommitted records as a change of a state of this revision,
    /// which nobody waits for and other nodes are told of. Later than `valid` from now it changes
    /// nothing.
    pub(super) fn propose(
        &mut self,
        now: Now,
        base: Revision,
        valid: DurationMs,
    ) -> ProposedChange {
        let (mut records, mut state) = (self.users.buffer(), self.users.buffer());
        records.extend_from_slice(&self.scratch.uncommitted_records);
        user::encode(&self.scratch.state, &mut state);
        let revision = self.scratch.state.revision;
        let wall = self.arbiter.wall(now);
        ProposedChange {
            waiter: None,
            outcome: None,
            event_bytes: records.len(),
            records,
            count: u32::try_from(revision.counter - base.counter).expect("events are bounded"),
            base: base_of(base),
            revision,
            request: self.arbiter.request_id(),
            now: wall,
            valid_until: wall.plus(valid),
            state,
            former: None,
            withdraws: false,
            pursued_until: None,
            publish: true,
            ttl_ms: self.arbiter.setup.ttl_ms,
            reserved: 0,
            merged: 0,
        }
    }

    /// Begins a change and sends it. Whether it is under way; else its room in the lane is free.
    pub(super) fn commit(&mut self, now: MonoNs, user: &str, change: ProposedChange) -> bool {
        let (partition, reserved) = (UserKey::of(user.as_bytes()).partition(), change.reserved);
        let arbiter = &mut *self.arbiter;
        let begun = arbiter.in_flight.begin(user, partition, Stage::Commit(change));
        if let Some(handle) = begun {
            if arbiter.send_commit(now, handle) {
                self.users.counters.redis_commits.add(1);
                return true;
            }
            arbiter.in_flight.end(handle);
        }
        self.users.lane.release(reserved);
        false
    }

    /// Erases a user, whose fresh state is in the scratch; `None` where the outcome will come.
    pub(in crate::users) fn erase<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        user: &'a str,
    ) -> Option<Outcome<'a>> {
        let base = self.begin_change(user);
        let at = apply::erase(&mut self.scratch.state, self.arbiter.wall(context.now));
        let revision = self.scratch.state.revision;
        let records = &mut self.scratch.uncommitted_records;
        record::append(&Record::Erase { user, revision, at }, records);
        let (event_bytes, former) = (records.len(), None);
        let (command, outcome) = (Command::EraseUser { user }, Outcome::Erased { at });
        let change = EvaluatedChange { command, user, base, event_bytes, former, outcome };
        let will_come = self.settle_change(context, change);
        (!will_come).then_some(Outcome::Unavailable)
    }

    /// Has a command wait until its user's state comes from Redis, where there is time for that.
    pub(super) fn wait_for_turn(
        &mut self,
        context: &RequestContext<'_, '_>,
        command: &Command<'_>,
        user: &str,
    ) -> bool {
        if context.now.mono >= context.until {
            return false;
        }
        let waiter = self.users.waiter(context, command);
        self.wait_for_redis(context.now, user, waiter).is_ok()
    }

    /// Lets work wait for a user's turn, and asks Redis where nobody has.
    ///
    /// # Errors
    /// The work itself, where Redis is not to be asked or a bound is reached.
    pub(crate) fn wait_for_redis(
        &mut self,
        now: Now,
        user: &str,
        waiter: Waiter,
    ) -> Result<(), Waiter> {
        let arbiter = &mut *self.arbiter;
        if !arbiter.is_usable(now.mono) {
            return Err(waiter);
        }
        if !arbiter.in_flight.has_room() {
            self.users.counters.parked_full.add(1);
            return Err(waiter);
        }
        let handle = match arbiter.in_flight.find(user) {
            Some(handle) => {
                self.users.counters.redis_joined.add(1);
                handle
            }
            None => match arbiter.read(now.mono, user) {
                Some(handle) => {
                    self.users.counters.redis_reads.add(1);
                    handle
                }
                None => return Err(waiter),
            },
        };
        arbiter.in_flight.wait(handle, waiter);
        Ok(())
    }
}

impl Arbiter {
    /// Asks Redis for a user's value.
    pub(super) fn read(&mut self, now: MonoNs, user: &str) -> Option<Handle> {
        let partition = UserKey::of(user.as_bytes()).partition();
        let handle = self.in_flight.begin(user, partition, Stage::Read)?;
        let command = RedisCommand::Read { partition, user };
        if !self.send(now, handle.to_bits(), &command) {
            self.in_flight.end(handle);
            return None;
        }
        Some(handle)
    }

    /// Sends a change that is begun, for the first time or again. Whether the link took it.
    pub(super) fn send_commit(&mut self, now: MonoNs, handle: Handle) -> bool {
        let flight = self.in_flight.get_mut(handle).expect("it is begun");
        let Stage::Commit(pending) = &flight.stage else { unreachable!("begun as one") };
        let records = match self.setup.queue {
            RecordQueue::Journal => Records::Journal { count: pending.count },
            RecordQueue::List { list_max } => Records::List { framed: &pending.records, list_max },
        };
        let command = RedisCommand::Commit(Commit {
            partition: flight.partition,
            user: &flight.user,
            base: pending.base,
            request: pending.request,
            now: pending.now,
            valid_until: pending.valid_until,
            revision: pending.revision,
            state: &pending.state,
            ttl_ms: pending.ttl_ms,
            publish: pending.publish,
            records,
        });
        self.connection.link.send(now, handle.to_bits(), &command).is_ok()
    }
}

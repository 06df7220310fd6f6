//! How requests run where Redis is the arbiter: upon a copy that is trusted, or fresh from a
//! reply; else they wait for one. A change is proposed and committed; nothing of it is in the slice
//! or the lane before Redis has it.

use bumpalo::collections::Vec as BumpVec;

use super::{CopiedAt, RecordQueue, RedisUsers, base_of};
use crate::users::change::ProposedChange;
use crate::users::evaluate::{self, RequestContext, decided, verdict_of};
use crate::users::in_flight::{KeyedUser, Stage};
use crate::users::lane::WaitingOutcome;
use crate::users::waiting::{StateAccess, Waiter};
use nudged_api::command::Command;
use nudged_api::decide::DecideRequest;
use nudged_api::outcome::{Decided, EncodedOutcome, Outcome};
use nudged_api::verdict::Verdict;
use nudged_base::clock::Now;
use nudged_base::ids::{Partition, Revision};
use nudged_base::limits::TOMBSTONE_AGE_MAX_MS;
use nudged_base::slab::Handle;
use nudged_base::time::{DurationMs, MonoNs, WallMs};
use nudged_domain::decide::choose::Decision;
use nudged_domain::state::{apply, user};
use nudged_journal::record::{self, Record};
use nudged_redis::command::{Commit, Records, RedisCommand};

/// The user's state is not to be had, and so neither is what rests on it.
#[derive(Debug)]
pub(super) struct WithoutState;

/// A change as it was evaluated: the scratch state with the uncommitted records.
pub(super) struct EvaluatedChange<'c, 'a> {
    /// The command that asks for it, to be run again where another node is first.
    pub(super) command: Command<'c>,
    pub(super) user: KeyedUser<'c>,
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
        let decided = self.decide_on_state(context, request);
        decided.unwrap_or_else(|WithoutState| self.decide_degraded(context, request))
    }

    fn decide_on_state<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        request: &DecideRequest<'a>,
    ) -> Result<Option<Outcome<'a>>, WithoutState> {
        let (user, command) = (KeyedUser::of(request.context.user), Command::Decide(*request));
        let trusted = self.state_to_hand(context, &command, user)?;
        let is_answered = matches!(trusted, Some((_, Some(Decision::Nothing { .. }))));
        if !is_answered && let Err(over) = self.users.count_user(user.id, context.now.mono) {
            self.scratch.forget_shown();
            return Ok(Some(Outcome::RateLimited(over)));
        }
        let Some((wall, decision)) = trusted else {
            return self.wait_for_turn(context, &command, user).map(|()| None);
        };
        if let Some(nothing @ Decision::Nothing { .. }) = decision {
            let decided = decided(request, nothing);
            self.users.note_decision(&context.at(wall), user.id, &decided);
            return Ok(Some(Outcome::Decided(decided)));
        }
        let context = &context.at(wall);
        if let (Some(Decision::Show { popup, variant }), true) =
            (decision, self.scratch.shown.is_some())
        {
            return self.show_as_it_lies(context, request, (popup, variant)).map(|()| None);
        }
        let base = self.begin_change(user.partition);
        let mut verdicts = BumpVec::with_capacity_in(request.events.len(), context.bump);
        for element in request.events {
            let verdict = verdict_of(element, user.id, |event| self.event_by_redis(context, event));
            if verdict == Verdict::TOO_LATE && context.access != StateAccess::Fresh {
                return self.wait_for_turn(context, &command, user).map(|()| None);
            }
            verdicts.push(verdict);
        }
        // A show that was learnt may be of a node whose clock is ahead.
        let context = &context.at(self.scratch.state.newest().map_or(wall, |at| at.max(wall)));
        let event_bytes = self.scratch.uncommitted_records.len();
        let candidates = self.scratch.candidates(context, request);
        let decision = decision.unwrap_or_else(|| self.scratch.decide(context, request));
        let (chosen, former) = self.carry_out_uncommitted(context, request, decision);
        let decided = Decided { verdicts: verdicts.into_bump_slice(), candidates, ..chosen };
        self.users.log_decision((&context.view.snapshot, context.now), user.id, &decided);
        let outcome = Outcome::Decided(decided);
        let is_at_once = self.scratch.uncommitted_records.is_empty();
        if !is_at_once {
            let change = EvaluatedChange { command, user, base, event_bytes, former, outcome };
            self.settle_change(context, change)?;
        }
        self.users.count(&context.view.snapshot, &decided);
        Ok(is_at_once.then_some(outcome))
    }

    /// A show is recorded and committed whose state was looked at where it lies.
    fn show_as_it_lies<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        request: &DecideRequest<'a>,
        place: (u32, usize),
    ) -> Result<(), WithoutState> {
        let (user, command) = (KeyedUser::of(request.context.user), Command::Decide(*request));
        let base = self.scratch.base;
        self.scratch.uncommitted_records.clear();
        let decided = self.users.show(self.scratch, context, request, place);
        self.users.log_decision((&context.view.snapshot, context.now), user.id, &decided);
        let mut former = self.users.buffer();
        former.extend_from_slice(&self.scratch.former);
        let (former, outcome) = (Some(former), Outcome::Decided(decided));
        let change = EvaluatedChange { command, user, base, event_bytes: 0, former, outcome };
        let settled = self.settle_change(context, change);
        self.scratch.forget_shown();
        settled?;
        self.users.count(&context.view.snapshot, &decided);
        Ok(())
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

    /// As [`Self::state_to_hand`]; `None` where the request waits for a reply.
    ///
    /// # Errors
    /// Where Redis is not to be asked, or nothing more may wait for it.
    pub(super) fn state_or_wait(
        &mut self,
        context: &RequestContext<'_, '_>,
        command: &Command<'_>,
        user: KeyedUser<'_>,
    ) -> Result<Option<(WallMs, Option<Decision>)>, WithoutState> {
        match self.state_to_hand(context, command, user)? {
            Some(trusted) => Ok(Some(trusted)),
            None => self.wait_for_turn(context, command, user).map(|()| None),
        }
    }

    /// The time at which a request can run upon its user's state, which is in the scratch then;
    /// `None` where it has to wait for a reply. With it comes the decision, where the state as it
    /// lies was enough for one; where that is to show nothing, the state is not in the scratch, and
    /// for a show perhaps in the parts that it changes.
    ///
    /// # Errors
    /// Where Redis is not to be asked.
    fn state_to_hand(
        &mut self,
        context: &RequestContext<'_, '_>,
        command: &Command<'_>,
        user: KeyedUser<'_>,
    ) -> Result<Option<(WallMs, Option<Decision>)>, WithoutState> {
        match context.access {
            StateAccess::Missing => return Err(WithoutState),
            StateAccess::Cached if !self.arbiter.is_usable(context.now.mono) => {
                self.users.counters.redis_failures.of("away").add(1);
                return Err(WithoutState);
            }
            StateAccess::Cached | StateAccess::Fresh => {}
        }
        Ok(self.load_trusted(context, command, user))
    }

    /// Decides on a copy that may be decided upon, or loads it into the scratch; the time of the
    /// decision. See [`Self::state_to_hand`].
    fn load_trusted(
        &mut self,
        context: &RequestContext<'_, '_>,
        command: &Command<'_>,
        user: KeyedUser<'_>,
    ) -> Option<(WallMs, Option<Decision>)> {
        let is_fresh = context.access == StateAccess::Fresh;
        let is_under_way = !is_fresh && self.users.in_flight.find(user.id).is_some();
        // What was accepted before comes first: the reply is merged with it.
        if is_under_way || !self.arbiter.unmerged.of(user.id).is_empty() {
            return None;
        }
        let (state, copied_at) = self.users.look_up(user.id)?;
        let (arbiter, copy) = (&*self.arbiter, (user.partition, CopiedAt::of_entry(copied_at)));
        if !is_fresh && !arbiter.is_trusted(context.now.mono, copy, state.is_empty()) {
            return None;
        }
        let wall = state.newest().max(Some(arbiter.wall(context.now)))?;
        let decision = match command {
            Command::Decide(request) => evaluate::decide_as_it_lies(context, request, &state, wall),
            _ => None,
        };
        let is_enough = match (decision, command) {
            (Some(Decision::Nothing { .. }), _) => true,
            (Some(Decision::Show { popup, .. }), Command::Decide(request)) => {
                let revision = state.revision();
                let epoch = arbiter.partitions.epoch(user.partition).max(revision.epoch);
                let is_ready = self.scratch.show_as_it_lies(
                    &context.at(wall),
                    request,
                    &state,
                    (popup, epoch),
                );
                if is_ready {
                    self.scratch.base = revision;
                    state.with_revision(Revision { epoch, ..revision }, &mut self.scratch.former);
                }
                is_ready
            }
            _ => false,
        };
        if !is_enough {
            state.decode(&mut self.scratch.state);
        }
        Some((wall, decision))
    }

    /// Prepares for records of a user of this partition; gives the revision that Redis must still
    /// hold. The first change in an epoch carries it.
    pub(super) fn begin_change(&mut self, partition: Partition) -> Revision {
        let base = self.scratch.state.revision;
        self.scratch.uncommitted_records.clear();
        let epoch = self.arbiter.partitions.epoch(partition).max(base.epoch);
        self.scratch.state.revision.epoch = epoch;
        base
    }

    /// Commits the scratch state, or, where it only repeats, hands the repeats to the journal: the
    /// outcome will come.
    ///
    /// # Errors
    /// Where that can't be done: nothing was changed.
    pub(super) fn settle_change(
        &mut self,
        context: &RequestContext<'_, '_>,
        evaluated: EvaluatedChange<'_, '_>,
    ) -> Result<(), WithoutState> {
        let EvaluatedChange { command, user, base, event_bytes, former, outcome } = evaluated;
        let reserved = match self.arbiter.setup.queue {
            RecordQueue::Journal => self.scratch.uncommitted_records.len(),
            RecordQueue::List { .. } => 0,
        };
        if !self.users.lane.reserve(reserved) {
            self.users.counters.journal_refusals.add(1);
            return Err(WithoutState);
        }
        let snapshot = &context.view.snapshot;
        let outcome = EncodedOutcome::new(&outcome, snapshot, self.users.buffer());
        if self.scratch.revision().counter == base.counter {
            self.users.lane.release(reserved);
            let upto = self.users.lane.append_framed(&self.scratch.uncommitted_records);
            let (since, origin) = (context.now.mono, context.origin);
            self.users.lane.wait(WaitingOutcome { upto, since, origin, outcome });
            return Ok(());
        }
        let waiter = self.users.waiter(context, &command);
        let valid_ms = context.until.0.saturating_sub(context.now.mono.0) / 1_000_000;
        let mut change = self.propose(context.now, base, DurationMs(valid_ms));
        if matches!(command, Command::EraseUser { .. } | Command::ForgetUser { .. }) {
            change.ttl_ms = TOMBSTONE_AGE_MAX_MS;
        }
        let change = ProposedChange {
            waiter: Some(waiter),
            outcome: Some(outcome),
            event_bytes,
            former,
            publish: event_bytes > 0,
            reserved,
            ..change
        };
        match self.commit(context.now.mono, user, change) {
            true => Ok(()),
            false => Err(WithoutState),
        }
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
        self.scratch.encode(&mut state);
        let revision = self.scratch.revision();
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
    pub(super) fn commit(
        &mut self,
        now: MonoNs,
        user: KeyedUser<'_>,
        change: ProposedChange,
    ) -> bool {
        let reserved = change.reserved;
        if let Some(handle) = self.users.in_flight.begin(user, Stage::Commit(change)) {
            if self.send_commit(now, handle) {
                self.users.counters.redis_commits.add(1);
                return true;
            }
            self.users.in_flight.end(handle);
        }
        self.users.lane.release(reserved);
        false
    }

    /// Erases a user, whose fresh state is in the scratch, as a command says, which is run again
    /// where another node is first; `None` where the outcome will come.
    pub(in crate::users) fn erase<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        (command, user): (&Command<'a>, &'a str),
    ) -> Option<Outcome<'a>> {
        let user = KeyedUser::of(user);
        let base = self.begin_change(user.partition);
        let at = apply::erase(&mut self.scratch.state, self.arbiter.wall(context.now));
        let revision = self.scratch.state.revision;
        let records = &mut self.scratch.uncommitted_records;
        record::append(&Record::Erase { user: user.id, revision, at }, records);
        let (event_bytes, former) = (records.len(), None);
        let (command, outcome) = (*command, Outcome::Erased { at });
        let change = EvaluatedChange { command, user, base, event_bytes, former, outcome };
        self.settle_change(context, change).err().map(|WithoutState| Outcome::Unavailable)
    }

    /// Has a command wait until its user's state comes from Redis.
    ///
    /// # Errors
    /// Where there is no time for that, Redis is not to be asked or a bound is reached.
    pub(super) fn wait_for_turn(
        &mut self,
        context: &RequestContext<'_, '_>,
        command: &Command<'_>,
        user: KeyedUser<'_>,
    ) -> Result<(), WithoutState> {
        if context.now.mono >= context.until {
            return Err(WithoutState);
        }
        let waiter = self.users.waiter(context, command);
        match self.wait_for_redis(context.now, user, waiter) {
            true => Ok(()),
            false => Err(WithoutState),
        }
    }

    /// Lets work wait for a user's turn, and asks Redis where nobody has; false where Redis is not
    /// to be asked or a bound is reached.
    pub(crate) fn wait_for_redis(&mut self, now: Now, user: KeyedUser<'_>, waiter: Waiter) -> bool {
        if !self.arbiter.is_usable(now.mono) {
            return false;
        }
        if !self.users.in_flight.has_room() {
            self.users.counters.parked_full.add(1);
            return false;
        }
        let found = self.users.in_flight.find(user.id);
        self.users.counters.redis_joined.add(u64::from(found.is_some()));
        let Some(handle) = found.or_else(|| self.read(now.mono, user)) else { return false };
        self.users.in_flight.wait(handle, waiter);
        true
    }

    /// Asks Redis for a user's value.
    pub(super) fn read(&mut self, now: MonoNs, user: KeyedUser<'_>) -> Option<Handle> {
        let handle = self.users.in_flight.begin(user, Stage::Read)?;
        let command = RedisCommand::Read { partition: user.partition, user: user.id };
        if !self.arbiter.send(now, handle.to_bits(), &command) {
            self.users.in_flight.end(handle);
            return None;
        }
        self.users.counters.redis_reads.add(1);
        Some(handle)
    }

    /// Sends a change that is begun, for the first time or again. Whether the link took it.
    pub(super) fn send_commit(&mut self, now: MonoNs, handle: Handle) -> bool {
        let flight = self.users.in_flight.get_mut(handle).expect("it is begun");
        let Stage::Commit(change) = &flight.stage else { unreachable!("begun as one") };
        let records = match self.arbiter.setup.queue {
            RecordQueue::Journal => Records::Journal { count: change.count },
            RecordQueue::List { list_max } => Records::List { framed: &change.records, list_max },
        };
        let command = RedisCommand::Commit(Commit {
            partition: flight.partition,
            user: &flight.user,
            base: change.base,
            request: change.request,
            now: change.now,
            valid_until: change.valid_until,
            revision: change.revision,
            state: &change.state,
            ttl_ms: change.ttl_ms,
            publish: change.publish,
            records,
        });
        self.arbiter.send(now, handle.to_bits(), &command)
    }
}

//! How requests run where Redis is the arbiter: upon a copy that is trusted, or fresh from a
//! reply; else they wait for one. A change is encoded aside and committed; nothing of it is in the
//! slice or the lane before Redis has it.

use bumpalo::collections::Vec as BumpVec;

use super::{Arbiter, CopiedAt, RecordQueue, RedisUsers, base_of};
use crate::fanout::verdicts_of;
use crate::origin::Origin;
use crate::users::evaluate::{RequestContext, decided};
use crate::users::in_flight::Waiter;
use crate::users::in_flight::{ProposedChange, Stage};
use crate::users::lane::WaitingOutcome;
use crate::users::{Happened, Subject, Users};
use nudged_api::command::{Command, EventsRequest, PlacedEvent};
use nudged_api::decide::DecideRequest;
use nudged_api::events::Event;
use nudged_api::outcome::{Decided, EncodedOutcome, Outcome, Verdicts};
use nudged_api::verdict::{PlacedVerdict, Verdict};
use nudged_base::clock::Now;
use nudged_base::ids::{Revision, UserKey};
use nudged_base::limits::TOMBSTONE_AGE_MAX_MS;
use nudged_base::slab::Handle;
use nudged_base::time::{DurationMs, MonoNs, WallMs};
use nudged_domain::decide::choose::{self, Decision};
use nudged_domain::state::{apply, user};
use nudged_journal::record::{self, Record};
use nudged_redis::command::{self, Commit, Records};

/// Upon what a request may run now.
enum StateSource {
    /// The scratch state, at this time.
    Copy(WallMs),
    /// It has to wait for a reply.
    Wait,
    /// Redis is not to be asked.
    Degraded,
}

/// A change that is about to be committed: the scratch state with the records aside.
struct Change<'c, 'a> {
    /// The command that asks for it, to be run again where another node is first.
    command: Command<'c>,
    user: &'c str,
    base: Revision,
    /// How many bytes of the records are of events.
    event_bytes: usize,
    /// The state without the show, where there is one.
    former: Option<Vec<u8>>,
    /// Other nodes are told.
    publish: bool,
    /// The value expires after this long, in milliseconds; 0 for never.
    ttl_ms: u64,
    outcome: Outcome<'a>,
}

impl RedisUsers<'_> {
    /// Decides; degraded where the user's state is not to be had.
    pub(in crate::users) fn decide<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        request: &DecideRequest<'a>,
        has_state: bool,
    ) -> Option<Outcome<'a>> {
        if !has_state {
            return self.decide_degraded(context, request);
        }
        let (user, command) = (request.context.user, Command::Decide(*request));
        let wall = match self.state_source(context, user) {
            StateSource::Copy(wall) => wall,
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
            if verdict == Verdict::TOO_LATE && !context.attempt.is_fresh {
                if self.wait_for_turn(context, &command, user) {
                    return None;
                }
                return self.decide_degraded(context, request);
            }
            verdicts.push(verdict);
        }
        // A show that was learnt may be of a node whose clock is ahead.
        let wall = self.users.scratch.state.newest().map_or(wall, |newest| newest.max(wall));
        let context = &RequestContext { now: Now { wall, ..context.now }, ..*context };
        let event_bytes = self.users.uncommitted_records.len();
        let candidates = self.users.candidates(context, request);
        let (chosen, former) = self.choose_uncommitted(context, request);
        let decided = Decided { verdicts: verdicts.into_bump_slice(), candidates, ..chosen };
        self.users.log_decision(context.now, &context.view.snapshot, user, &decided);
        let outcome = Outcome::Decided(decided);
        if self.users.uncommitted_records.is_empty() {
            self.users.count(&decided);
            return Some(outcome);
        }
        let (publish, ttl_ms) = (event_bytes > 0, self.arbiter.setup.ttl_ms);
        let change = Change { command, user, base, event_bytes, former, publish, ttl_ms, outcome };
        if self.settle_change(context, change) {
            self.users.count(&decided);
            return None;
        }
        self.decide_degraded(context, request)
    }

    /// Decides on the scratch state; a show becomes part of it and is recorded aside. Gives the
    /// state without it too.
    fn choose_uncommitted<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        request: &DecideRequest<'a>,
    ) -> (Decided<'a>, Option<Vec<u8>>) {
        let (snapshot, state) = (&*context.view.snapshot, &self.users.scratch.state);
        match choose::decide(snapshot, state, &request.context, context.now.wall) {
            nothing @ Decision::Nothing { .. } => (decided(request, nothing), None),
            Decision::Show { popup, variant } => {
                let mut former = self.users.buffer();
                user::encode(&self.users.scratch.state, &mut former);
                (self.users.show(context, request, (popup, variant)), Some(former))
            }
        }
    }

    /// Executes events, those of each user by themselves.
    pub(in crate::users) fn take_events<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        request: &EventsRequest<'a>,
        has_state: bool,
    ) -> Option<Outcome<'a>> {
        let mut users = BumpVec::new_in(context.bump);
        for placed in request.events {
            let user = placed.event.token.user;
            if !users.contains(&user) {
                users.push(user);
            }
        }
        match users[..] {
            [] | [_] => self.events_of_one(context, request.events, has_state),
            _ => self.events_of_each(context, request.events, &users, has_state),
        }
    }

    /// Executes the events of several users, each by itself.
    fn events_of_each<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        events: &'a [PlacedEvent<'a>],
        users: &[&'a str],
        has_state: bool,
    ) -> Option<Outcome<'a>> {
        let unavailable = events.iter().map(|placed| (placed.place, Verdict::UNAVAILABLE));
        let verdicts = context.bump.alloc_slice_fill_iter(unavailable);
        let outcome = Outcome::Verdicts(Verdicts { verdicts, ignored: &[] });
        let outcome = EncodedOutcome::of_no_popup(&outcome, self.users.buffer());
        let handle = match self.arbiter.fanouts.begin(context.origin, outcome) {
            Ok(handle) => handle,
            Err(outcome) => {
                self.users.keep(outcome.into_buffer());
                return self.events_degraded(context, events);
            }
        };
        let context = &RequestContext { origin: Origin::UserFanout(handle), ..*context };
        for user in users {
            let mut own = BumpVec::with_capacity_in(events.len(), context.bump);
            own.extend(events.iter().filter(|placed| placed.event.token.user == *user));
            let outcome = self.events_of_one(context, own.into_bump_slice(), has_state);
            let fanouts = &mut self.arbiter.fanouts;
            match outcome {
                Some(outcome) => fanouts.merge(handle, verdicts_of(&outcome)),
                None => fanouts.await_part(handle),
            }
        }
        if let Some(fanout) = self.arbiter.fanouts.take_whole(handle) {
            self.users.finish(fanout.origin, fanout.outcome);
        }
        None
    }

    fn events_of_one<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        events: &'a [PlacedEvent<'a>],
        has_state: bool,
    ) -> Option<Outcome<'a>> {
        let user = events.first().map_or("", |placed| placed.event.token.user);
        let command = Command::Events(EventsRequest { events, ..EventsRequest::default() });
        let source =
            if has_state { self.state_source(context, user) } else { StateSource::Degraded };
        let wall = match source {
            StateSource::Copy(wall) => wall,
            StateSource::Wait if self.wait_for_turn(context, &command, user) => return None,
            StateSource::Wait | StateSource::Degraded => {
                return self.events_degraded(context, events);
            }
        };
        let context = &RequestContext { now: Now { wall, ..context.now }, ..*context };
        let base = self.begin_change(user);
        let mut verdicts = BumpVec::with_capacity_in(events.len(), context.bump);
        for placed in events {
            let verdict = self.event_by_redis(context, &placed.event);
            let is_doubted = verdict == Verdict::TOO_LATE && !context.attempt.is_fresh;
            if is_doubted && self.wait_for_turn(context, &command, user) {
                return None;
            }
            verdicts.push((placed.place, verdict));
        }
        let verdicts: &[PlacedVerdict] = verdicts.into_bump_slice();
        let known = || verdicts.iter().map(|(_, verdict)| *verdict);
        let outcome = Outcome::Verdicts(Verdicts { verdicts, ignored: &[] });
        if self.users.uncommitted_records.is_empty() {
            self.users.count_verdicts(known());
            return Some(outcome);
        }
        let (event_bytes, ttl_ms) =
            (self.users.uncommitted_records.len(), self.arbiter.setup.ttl_ms);
        let (former, publish) = (None, true);
        let change = Change { command, user, base, event_bytes, former, publish, ttl_ms, outcome };
        if !self.settle_change(context, change) {
            return self.events_degraded(context, events);
        }
        self.users.count_verdicts(known());
        None
    }

    /// Whether a request of this user can run, and upon what. The state is in the scratch then.
    fn state_source(&mut self, context: &RequestContext<'_, '_>, user: &str) -> StateSource {
        let now = context.now;
        let arbiter = &mut *self.arbiter;
        if !context.attempt.is_fresh {
            if !arbiter.is_usable(now.mono) {
                self.users.counters.redis_failures.of("away").add(1);
                return StateSource::Degraded;
            }
            if arbiter.is_busy(user) {
                return StateSource::Wait;
            }
        }
        // What was accepted before comes first: the reply is merged with it.
        if !self.arbiter.unmerged.of(user).is_empty() {
            return StateSource::Wait;
        }
        let Some(copied_at) = self.users.load(user).map(CopiedAt::of_entry) else {
            return StateSource::Wait;
        };
        let state = &self.users.scratch.state;
        let newest = state.newest();
        let is_empty = state.popups.is_empty();
        let partition = UserKey::of(user.as_bytes()).partition();
        let arbiter = &*self.arbiter;
        if !context.attempt.is_fresh
            && !arbiter.is_trusted(now.mono, (partition, copied_at), is_empty)
        {
            return StateSource::Wait;
        }
        let wall = arbiter.wall(now);
        StateSource::Copy(newest.map_or(wall, |newest| wall.max(newest)))
    }

    /// Prepares for records of a user; gives the revision that Redis must still hold. The first
    /// change in an epoch carries it.
    pub(super) fn begin_change(&mut self, user: &str) -> Revision {
        let partition = UserKey::of(user.as_bytes()).partition();
        let base = self.users.scratch.state.revision;
        let arbiter = &mut *self.arbiter;
        self.users.uncommitted_records.clear();
        let epoch = arbiter.partitions.epoch(partition).max(base.epoch);
        self.users.scratch.state.revision.epoch = epoch;
        base
    }

    /// Applies an event to the scratch state. A repeated one is recorded again: its first record
    /// may be in the journal of a node that is no more.
    fn event_by_redis(&mut self, context: &RequestContext<'_, '_>, event: &Event<'_>) -> Verdict {
        let (snapshot, wall) = (&context.view.snapshot, context.now.wall);
        self.learn_show(snapshot, wall, event);
        let verdict = self.users.apply_event(context.view, context.now, event);
        if verdict == Verdict::Duplicate && self.arbiter.setup.queue == RecordQueue::Journal {
            let subject = Subject::of(event);
            let acted_at = apply::acted_at(event.ts, event.token.at, wall);
            let kind = event.action.kind();
            let happened = Happened { kind, at: wall, acted_at, forgotten: None };
            self.users.record(snapshot, &subject, happened);
        }
        verdict
    }

    /// Commits the scratch state, or, where it only repeats, hands the repeats to the journal.
    /// Whether the outcome will come: else nothing was changed.
    fn settle_change(&mut self, context: &RequestContext<'_, '_>, change: Change<'_, '_>) -> bool {
        let queue = self.arbiter.setup.queue;
        let record_bytes = self.users.uncommitted_records.len();
        if queue == RecordQueue::Journal && !self.users.lane.reserve(record_bytes) {
            self.users.counters.journal_refusals.add(1);
            return false;
        }
        let reserved = if queue == RecordQueue::Journal { record_bytes } else { 0 };
        let Change { user, base, .. } = change;
        let revision = self.users.scratch.state.revision;
        let snapshot = &context.view.snapshot;
        let outcome = EncodedOutcome::new(&change.outcome, snapshot, self.users.buffer());
        if revision.counter == base.counter {
            self.users.lane.release(reserved);
            let upto = self.users.lane.append_framed(&self.users.uncommitted_records);
            let (since, origin) = (context.now.mono, context.origin);
            self.users.lane.wait(WaitingOutcome { upto, since, origin, outcome });
            return true;
        }
        let waiter = self.users.waiter(context, &change.command);
        let mut records = self.users.buffer();
        let mut state = self.users.buffer();
        let arbiter = &mut *self.arbiter;
        records.extend_from_slice(&self.users.uncommitted_records);
        user::encode(&self.users.scratch.state, &mut state);
        let count = u32::try_from(revision.counter - base.counter).expect("at most 201 a request");
        let wall = arbiter.wall(context.now);
        let valid_ms = context.until.0.saturating_sub(context.now.mono.0) / 1_000_000;
        let pending = ProposedChange {
            waiter: Some(waiter),
            outcome: Some(outcome),
            records,
            event_bytes: change.event_bytes,
            count,
            base: base_of(base),
            revision,
            request: arbiter.request_id(),
            now: wall,
            valid_until: wall.plus(DurationMs(valid_ms)),
            state,
            former: change.former,
            withdraws: false,
            pursued_until: None,
            publish: change.publish,
            ttl_ms: change.ttl_ms,
            reserved,
            merged: 0,
        };
        let is_under_way = arbiter.commit(context.now.mono, user, pending);
        if is_under_way {
            self.users.counters.redis_commits.add(1);
        } else {
            self.users.lane.release(reserved);
        }
        is_under_way
    }

    /// Erases a user, whose fresh state is in the scratch; `None` where the outcome will come.
    pub(in crate::users) fn erase<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        user: &'a str,
    ) -> Option<Outcome<'a>> {
        let base = self.begin_change(user);
        let arbiter = &mut *self.arbiter;
        let wall = arbiter.wall(context.now);
        let at = apply::erase(&mut self.users.scratch.state, wall);
        let revision = self.users.scratch.state.revision;
        record::append(&Record::Erase { user, revision, at }, &mut self.users.uncommitted_records);
        let change = Change {
            command: Command::EraseUser { user },
            user,
            base,
            event_bytes: self.users.uncommitted_records.len(),
            former: None,
            publish: true,
            ttl_ms: TOMBSTONE_AGE_MAX_MS,
            outcome: Outcome::Erased { at },
        };
        let will_come = self.settle_change(context, change);
        (!will_come).then_some(Outcome::Unavailable)
    }

    /// Has a command wait until its user's state comes from Redis, where there is time for that.
    fn wait_for_turn(
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
    /// The events of one user of several are done.
    pub(crate) fn user_part_done(
        &mut self,
        users: &mut Users,
        handle: Handle,
        verdicts: &[PlacedVerdict],
    ) {
        if let Some(fanout) = self.fanouts.part_done(handle, verdicts) {
            users.finish(fanout.origin, fanout.outcome);
        }
    }

    /// Asks Redis for a user's value.
    pub(super) fn read(&mut self, now: MonoNs, user: &str) -> Option<Handle> {
        let partition = UserKey::of(user.as_bytes()).partition();
        let handle = self.in_flight.begin(user, partition, Stage::Read)?;
        let command = command::RedisCommand::Read { partition, user };
        if self.carrier.send(now, handle.to_bits(), &command).is_err() {
            self.in_flight.end(handle);
            return None;
        }
        Some(handle)
    }

    /// Begins a change and sends it. Whether it is under way.
    pub(super) fn commit(&mut self, now: MonoNs, user: &str, pending: ProposedChange) -> bool {
        let partition = UserKey::of(user.as_bytes()).partition();
        let stage = Stage::Commit(pending);
        let Some(handle) = self.in_flight.begin(user, partition, stage) else { return false };
        let is_sent = self.send_commit(now, handle);
        if !is_sent {
            self.in_flight.end(handle);
        }
        is_sent
    }

    /// Sends a change that is begun, for the first time or again. Whether the link took it.
    pub(super) fn send_commit(&mut self, now: MonoNs, handle: Handle) -> bool {
        let flight = self.in_flight.get_mut(handle).expect("it is begun");
        let Stage::Commit(pending) = &flight.stage else { unreachable!("begun as one") };
        let records = match self.setup.queue {
            RecordQueue::Journal => Records::Journal { count: pending.count },
            RecordQueue::List { list_max } => Records::List { framed: &pending.records, list_max },
        };
        let command = command::RedisCommand::Commit(Commit {
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
        self.carrier.send(now, handle.to_bits(), &command).is_ok()
    }
}

//! How requests run where Redis is the arbiter: upon a copy that is trusted, or fresh from a
//! reply; else they wait for one. A change is encoded aside and committed; nothing of it is in the
//! slice or the lane before Redis has it.

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use super::flights::{Pending, Stage};
use super::{Arbiter, Queue, Share, base_of};
use crate::api::decide::DecideRequest;
use crate::api::events::{Element, Event};
use crate::base::clock::Now;
use crate::base::ids::{Revision, UserKey};
use crate::base::limits::TOMBSTONE_AGE_MAX_MS;
use crate::base::slab::Handle;
use crate::base::time::{DurationMs, MonoNs, WallMs};
use crate::decide::choose::{self, Decision};
use crate::journal::record::{self, Record};
use crate::redis::command::{Command, Commit, Records};
use crate::shard::control::{Command as ControlCommand, Outcome};
use crate::shard::decision::{Ask, Progress, Round, Verdicted, write_answer};
use crate::shard::home::{Done, Home, Subject, happening_of};
use crate::shard::lane::Waiting;
use crate::shard::origin::Origin;
use crate::shard::packed::{self, Packed};
use crate::shard::reads::{Waiter, Work};
use crate::shard::verdicts::{self, Verdict};
use crate::shard::view::View;
use crate::state::{apply, user};

/// Upon what a request may run now.
enum Footing {
    /// The scratch state, at this time.
    Copy(WallMs),
    /// It has to wait for a reply.
    Wait,
    /// Redis is not to be asked.
    Degraded,
}

/// A change that is about to be committed, and what it is answered with.
struct Change<'c> {
    user: &'c str,
    base: Revision,
    event_bytes: usize,
    former: Option<Vec<u8>>,
    publish: bool,
    answer: (Vec<u8>, Vec<u8>),
}

impl Home {
    /// Executes a decide request of a user of this shard.
    pub fn decide_by_redis<'a>(
        &mut self,
        ask: &Ask<'a, '_>,
        asked: &DecideRequest<'a>,
        out: &mut Vec<u8>,
    ) -> Progress {
        let user = asked.context.user;
        let anonymous = if asked.anonymous { user } else { "" };
        let packed = &*ask.bump.alloc(Packed { anonymous, ..*ask.packed });
        let ask = &Ask { packed, ..*ask };
        let wall = match self.footing(ask, user) {
            Footing::Copy(wall) => wall,
            Footing::Wait => return self.decide_after_reply(ask, asked, out),
            Footing::Degraded => return self.decide_degraded(ask, asked, out),
        };
        let now = Now { wall, ..ask.now };
        let ask = &Ask { now, ..*ask };
        let base = self.begin_aside(user);
        let mut verdicts = BumpVec::with_capacity_in(asked.events.len(), ask.bump);
        for element in asked.events {
            let verdict = match element {
                Err(code) => Verdict::of_code(*code),
                Ok(event) if event.token.user != user => Verdict::OtherUser,
                Ok(event) => self.event_by_redis(ask, event),
            };
            if verdict == Verdict::TooLate && !ask.round.is_fresh {
                return self.decide_after_reply(ask, asked, out);
            }
            verdicts.push(verdict);
        }
        // A show that was learnt may be of a node whose clock is ahead.
        let wall = self.scratch.state.newest().map_or(wall, |newest| newest.max(wall));
        let ask = &Ask { now: Now { wall, ..ask.now }, ..*ask };
        let event_bytes = self.aside().len();
        let candidates = if asked.explain { self.candidates(ask, asked) } else { &[] };
        let snapshot = &*ask.view.snapshot;
        let state = &self.scratch.state;
        let (verdicted, former) =
            match choose::decide(snapshot, state, &asked.context, ask.now.wall) {
                Decision::Nothing { reason, next_in_s } => {
                    (Verdicted::Nothing { reason: reason.as_str(), next_in_s }, None)
                }
                Decision::Show { popup, variant } => {
                    let mut former = self.buffer();
                    user::encode(&self.scratch.state, &mut former);
                    let popup = &snapshot.popups[popup as usize];
                    (self.show(ask, asked, popup, variant), Some(former))
                }
            };
        self.tell_decision(ask.now, user, &verdicted);
        let said = (&verdicted, candidates);
        if self.aside().is_empty() {
            write_answer(out, ask, asked, said, &verdicts);
            self.count(&verdicted, &verdicts);
            return Progress::Answered;
        }
        let mut outcome = self.buffer();
        write_answer(&mut outcome, ask, asked, said, &verdicts);
        let fallback = self.fallback(ask, asked, &verdicts);
        let publish = event_bytes > 0;
        let answer = (outcome, fallback);
        let change = Change { user, base, event_bytes, former, publish, answer };
        if self.settle_change(ask, change) {
            self.count(&verdicted, &verdicts);
            return Progress::Later;
        }
        self.decide_degraded(ask, asked, out)
    }

    /// Executes this shard's elements of an events request, those of `packed.anonymous` alone where
    /// it names a user. Gives the verdicts, unless they have to wait.
    pub fn part_by_redis<'a>(
        &mut self,
        ask: &Ask<'a, '_>,
        elements: &'a [Element<'a>],
        has_state: bool,
    ) -> Option<Vec<u8>> {
        let only = ask.packed.anonymous;
        if !only.is_empty() {
            return self.events_of(ask, elements, only, has_state);
        }
        let users = users_of(ask.view, elements, ask.bump);
        match users[..] {
            [] => Some(self.buffer()),
            [user] => self.events_of(ask, elements, user, has_state),
            _ => self.share(ask, elements, &users, has_state),
        }
    }

    /// Executes the events of several users, each by itself.
    fn share<'a>(
        &mut self,
        ask: &Ask<'a, '_>,
        elements: &'a [Element<'a>],
        users: &[&'a str],
        has_state: bool,
    ) -> Option<Vec<u8>> {
        let share = Share { origin: ask.origin, verdicts: self.buffer(), left: 0 };
        let Ok(handle) = self.arbiter_mut().shares.insert(share) else {
            let events = elements.iter().enumerate();
            let events = events.filter_map(|(index, event)| Some((index, event.as_ref().ok()?)));
            return self.events_degraded(
                ask,
                events.filter(|(_, event)| users.contains(&event.token.user)),
            );
        };
        for user in users {
            let packed = Packed { anonymous: user, ..*ask.packed };
            let one = Ask { origin: Origin::Share(handle), packed: &packed, ..*ask };
            // Borrowed for this user only; what waits is packed into a buffer of its own.
            let verdicts = self.events_of(&one, elements, user, has_state);
            let arbiter = self.arbiter_mut();
            let share = arbiter.shares.get_mut(handle).expect("it is removed with its last");
            match verdicts {
                Some(verdicts) => {
                    share.verdicts.extend_from_slice(&verdicts);
                    self.keep(verdicts);
                }
                None => share.left += 1,
            }
        }
        let shares = &mut self.arbiter_mut().shares;
        let is_done = shares.get(handle).is_some_and(|share| share.left == 0);
        is_done.then(|| shares.remove(handle).expect("just seen").verdicts)
    }

    /// The events of one user of a part are done.
    pub fn share_done(&mut self, handle: Handle, verdicts: &[u8]) {
        let shares = &mut self.arbiter_mut().shares;
        let Some(share) = shares.get_mut(handle) else { return };
        share.verdicts.extend_from_slice(verdicts);
        share.left -= 1;
        if share.left == 0 {
            let share = shares.remove(handle).expect("just seen");
            self.done.push(Done { origin: share.origin, outcome: share.verdicts });
        }
    }

    fn events_of<'a>(
        &mut self,
        ask: &Ask<'_, '_>,
        elements: &'a [Element<'a>],
        user: &str,
        has_state: bool,
    ) -> Option<Vec<u8>> {
        let events = || {
            let known = elements.iter().enumerate();
            let known = known.filter_map(|(index, event)| Some((index, event.as_ref().ok()?)));
            known.filter(|(_, event)| event.token.user == user)
        };
        let footing = if has_state { self.footing(ask, user) } else { Footing::Degraded };
        let wall = match footing {
            Footing::Copy(wall) => wall,
            Footing::Wait if self.park_request(ask, user) => return None,
            Footing::Wait | Footing::Degraded => return self.events_degraded(ask, events()),
        };
        let ask = &Ask { now: Now { wall, ..ask.now }, ..*ask };
        let base = self.begin_aside(user);
        let mut verdicts = self.buffer();
        for (index, event) in events() {
            let verdict = self.event_by_redis(ask, event);
            let is_doubted = verdict == Verdict::TooLate && !ask.round.is_fresh;
            if is_doubted && self.park_request(ask, user) {
                self.keep(verdicts);
                return None;
            }
            verdicts::put(index, verdict, &mut verdicts);
        }
        let mut fallback = self.buffer();
        verdicts::put_unkept(&verdicts, &mut fallback);
        let mut known = BumpVec::with_capacity_in(verdicts.len() / 2, ask.bump);
        known.extend(verdicts::pairs(&verdicts).map(|(_, verdict)| verdict));
        if self.aside().is_empty() {
            self.keep(fallback);
            self.count_verdicts(&known);
            return Some(verdicts);
        }
        let event_bytes = self.aside().len();
        let answer = (verdicts, fallback);
        let change = Change { user, base, event_bytes, former: None, publish: true, answer };
        if !self.settle_change(ask, change) {
            return self.events_degraded(ask, events());
        }
        self.count_verdicts(&known);
        None
    }

    /// Whether a request of this user can run, and upon what. The state is in the scratch then.
    fn footing(&mut self, ask: &Ask<'_, '_>, user: &str) -> Footing {
        let now = ask.now;
        let arbiter = self.arbiter_mut();
        if !ask.round.is_fresh {
            if !arbiter.is_usable(now.mono) {
                self.counters.redis_failures.of("away").add(1);
                return Footing::Degraded;
            }
            if arbiter.is_busy(user) {
                return Footing::Wait;
            }
        }
        // What was accepted before comes first: the reply is merged with it.
        if !self.unmerged.of(user).is_empty() {
            return Footing::Wait;
        }
        let Some(stamp) = self.load(user) else { return Footing::Wait };
        let state = &self.scratch.state;
        let newest = state.newest();
        let is_empty = state.popups.is_empty();
        let partition = UserKey::of(user.as_bytes()).partition();
        let arbiter = self.arbiter.as_deref().expect("asked of a home with an arbiter");
        if !ask.round.is_fresh && !arbiter.is_trusted(now.mono, (partition, stamp), is_empty) {
            return Footing::Wait;
        }
        let wall = arbiter.wall(now);
        Footing::Copy(newest.map_or(wall, |newest| wall.max(newest)))
    }

    /// Prepares for records of a user; gives the revision that Redis must still hold. The first
    /// change in an epoch carries it.
    pub(super) fn begin_aside(&mut self, user: &str) -> Revision {
        let partition = UserKey::of(user.as_bytes()).partition();
        let base = self.scratch.state.revision;
        let arbiter = self.arbiter.as_deref_mut().expect("asked of a home with an arbiter");
        arbiter.aside.clear();
        let epoch = arbiter.partitions.epoch(partition).max(base.epoch);
        self.scratch.state.revision.epoch = epoch;
        base
    }

    /// Applies an event to the scratch state. A repeated one is recorded again: its first record
    /// may be in the journal of a node that is no more.
    fn event_by_redis(&mut self, ask: &Ask<'_, '_>, event: &Event<'_>) -> Verdict {
        self.learn_show(&ask.view.snapshot, ask.now.wall, event);
        let verdict = self.apply_event(ask.view, ask.now, event);
        if verdict == Verdict::Duplicate && self.arbiter_mut().setup.queue == Queue::Journal {
            let subject = Subject::of(event);
            let wall = ask.now.wall;
            let acted_at = apply::acted_at(event.ts, event.token.at, wall);
            let happening = happening_of(event.action);
            self.record(&ask.view.snapshot, &subject, happening, (wall, acted_at), None);
        }
        verdict
    }

    /// Commits the scratch state, or, where it only repeats, hands the repeats to the journal.
    /// Whether the answer will come: else nothing was changed.
    fn settle_change(&mut self, ask: &Ask<'_, '_>, change: Change<'_>) -> bool {
        let queue = self.arbiter_mut().setup.queue;
        let aside_bytes = self.aside().len();
        if queue == Queue::Journal && !self.lane.reserve(aside_bytes) {
            self.counters.journal_refusals.add(1);
            return false;
        }
        let reserved = if queue == Queue::Journal { aside_bytes } else { 0 };
        let Change { user, base, event_bytes, former, publish, answer } = change;
        let revision = self.scratch.state.revision;
        let (outcome, fallback) = answer;
        if revision.counter == base.counter {
            self.lane.release(reserved);
            let arbiter = self.arbiter.as_deref().expect("asked of a home with an arbiter");
            let upto = self.lane.append_framed(&arbiter.aside);
            let since = ask.now.mono;
            self.lane.wait(Waiting { upto, since, origin: ask.origin, outcome, fallback });
            return true;
        }
        let waiter = self.waiter_of(ask, user);
        let mut records = self.buffer();
        let mut state = self.buffer();
        let arbiter = self.arbiter.as_deref_mut().expect("asked of a home with an arbiter");
        records.extend_from_slice(&arbiter.aside);
        user::encode(&self.scratch.state, &mut state);
        let count = u32::try_from(revision.counter - base.counter).expect("at most 201 a request");
        let wall = arbiter.wall(ask.now);
        let valid_ms = ask.until.0.saturating_sub(ask.now.mono.0) / 1_000_000;
        let pending = Pending {
            waiter: Some(waiter),
            outcome,
            fallback,
            records,
            event_bytes,
            count,
            base: base_of(base),
            revision,
            request: arbiter.request_id(),
            now: wall,
            valid_until: wall.plus(DurationMs(valid_ms)),
            state,
            former,
            withdraws: false,
            pursued_until: None,
            publish,
            ttl_ms: arbiter.setup.ttl_ms,
            reserved,
            merged: 0,
        };
        let is_under_way = arbiter.commit(ask.now.mono, user, pending);
        if is_under_way {
            self.counters.redis_commits.add(1);
        } else {
            self.lane.release(reserved);
        }
        is_under_way
    }

    /// Erases a user, whose fresh state is in the scratch; `None` where the outcome will come.
    pub fn erase_by_redis(
        &mut self,
        now: Now,
        ticket: u64,
        command: ControlCommand,
        user: &str,
    ) -> Option<Outcome> {
        let base = self.begin_aside(user);
        let wall = self.arbiter_mut().wall(now);
        let at = apply::erase(&mut self.scratch.state, wall);
        let revision = self.scratch.state.revision;
        let mut records = self.buffer();
        let arbiter = self.arbiter.as_deref_mut().expect("asked of a home with an arbiter");
        record::append(&Record::Erase { user, revision, at }, &mut records);
        let is_journal = arbiter.setup.queue == Queue::Journal;
        let until = arbiter.deadline(now.mono);
        let reserved = if is_journal { records.len() } else { 0 };
        if !self.lane.reserve(reserved) {
            return Some(Outcome::Unavailable);
        }
        let mut outcome = self.buffer();
        outcome.extend_from_slice(&at.0.to_le_bytes());
        let (mut state, fallback) = (self.buffer(), self.buffer());
        user::encode(&self.scratch.state, &mut state);
        let origin = Origin::Control { ticket };
        let arbiter = self.arbiter.as_deref_mut().expect("asked of a home with an arbiter");
        let pending = Pending {
            waiter: Some(Waiter { origin, work: Work::Control { command, until } }),
            outcome,
            fallback,
            event_bytes: records.len(),
            records,
            count: 1,
            base: base_of(base),
            revision,
            request: arbiter.request_id(),
            now: wall,
            valid_until: wall.plus(DurationMs(arbiter.setup.deadline_ms)),
            state,
            former: None,
            withdraws: false,
            pursued_until: None,
            publish: true,
            ttl_ms: TOMBSTONE_AGE_MAX_MS,
            reserved,
            merged: 0,
        };
        let is_under_way = arbiter.commit(now.mono, user, pending);
        if !is_under_way {
            self.lane.release(reserved);
        }
        (!is_under_way).then_some(Outcome::Unavailable)
    }

    fn decide_after_reply<'a>(
        &mut self,
        ask: &Ask<'a, '_>,
        asked: &DecideRequest<'a>,
        out: &mut Vec<u8>,
    ) -> Progress {
        if self.park_request(ask, asked.context.user) {
            return Progress::Later;
        }
        self.decide_degraded(ask, asked, out)
    }

    fn park_request(&mut self, ask: &Ask<'_, '_>, user: &str) -> bool {
        if ask.now.mono >= ask.until {
            return false;
        }
        let waiter = self.waiter_of(ask, user);
        self.wait_for_redis(ask.now, user, waiter).is_ok()
    }

    /// The request as something that waits; of an events request the part of this user.
    fn waiter_of(&mut self, ask: &Ask<'_, '_>, user: &str) -> Waiter {
        let mut buffer = self.buffer();
        let is_events = ask.packed.request.path == "/v1/events";
        let anonymous = if is_events { user } else { ask.packed.anonymous };
        packed::pack(&Packed { anonymous, ..*ask.packed }, &mut buffer);
        let Round { tries, .. } = ask.round;
        Waiter { origin: ask.origin, work: Work::Request { buffer, until: ask.until, tries } }
    }

    /// Lets work wait for a user's turn, and asks Redis where nobody has.
    ///
    /// # Errors
    /// The work itself, where Redis is not to be asked or a bound is reached.
    pub fn wait_for_redis(&mut self, now: Now, user: &str, waiter: Waiter) -> Result<(), Waiter> {
        let arbiter = self.arbiter.as_deref_mut().expect("asked of a home with an arbiter");
        if !arbiter.is_usable(now.mono) {
            return Err(waiter);
        }
        if !arbiter.flights.has_room() {
            self.counters.parked_full.add(1);
            return Err(waiter);
        }
        let handle = match arbiter.flights.find(user) {
            Some(handle) => {
                self.counters.redis_joined.add(1);
                handle
            }
            None => match arbiter.read(now.mono, user) {
                Some(handle) => {
                    self.counters.redis_reads.add(1);
                    handle
                }
                None => return Err(waiter),
            },
        };
        arbiter.flights.wait(handle, waiter);
        Ok(())
    }

    /// Records of the request that is being executed.
    pub(super) fn aside(&self) -> &[u8] {
        self.arbiter.as_deref().map_or(&[], |arbiter| &arbiter.aside)
    }

    /// The arbiter.
    ///
    /// # Panics
    /// Where the shard itself is the arbiter.
    pub(in crate::shard) fn arbiter_mut(&mut self) -> &mut Arbiter {
        self.arbiter.as_deref_mut().expect("asked of a home with an arbiter")
    }
}

impl Arbiter {
    /// Asks Redis for a user's value.
    pub(super) fn read(&mut self, now: MonoNs, user: &str) -> Option<Handle> {
        let partition = UserKey::of(user.as_bytes()).partition();
        let handle = self.flights.begin(user, partition, Stage::Read)?;
        let command = Command::Read { partition, user };
        if self.carrier.send(now, handle.to_bits(), &command).is_err() {
            self.flights.end(handle);
            return None;
        }
        Some(handle)
    }

    /// Begins a change and sends it. Whether it is under way.
    pub(super) fn commit(&mut self, now: MonoNs, user: &str, pending: Pending) -> bool {
        let partition = UserKey::of(user.as_bytes()).partition();
        let stage = Stage::Commit(pending);
        let Some(handle) = self.flights.begin(user, partition, stage) else { return false };
        let is_sent = self.send_commit(now, handle);
        if !is_sent {
            self.flights.end(handle);
        }
        is_sent
    }

    /// Sends a change that is begun, for the first time or again. Whether the link took it.
    pub(super) fn send_commit(&mut self, now: MonoNs, handle: Handle) -> bool {
        let flight = self.flights.get_mut(handle).expect("it is begun");
        let Stage::Commit(pending) = &flight.stage else { unreachable!("begun as one") };
        let records = match self.setup.queue {
            Queue::Journal => Records::Journal { count: pending.count },
            Queue::List { list_max } => Records::List { framed: &pending.records, list_max },
        };
        let command = Command::Commit(Commit {
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

/// The users of this shard among those of the elements, in the order of their first event.
fn users_of<'a>(view: &View, elements: &'a [Element<'a>], bump: &'a Bump) -> BumpVec<'a, &'a str> {
    let mut users = BumpVec::new_in(bump);
    for event in elements.iter().flatten() {
        let user = event.token.user;
        let is_mine = view.home(UserKey::of(user.as_bytes())) == view.shard;
        if is_mine && !users.contains(&user) {
            users.push(user);
        }
    }
    users
}

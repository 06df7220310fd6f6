//! What becomes of replies: copies, records, answers, and requests that may run again.

use super::partitions::partition_of_ticket;
use super::{CopiedAt, RecordQueue, RedisUsers, millis};
use crate::seam::{Effect, ReadFailed, ShardReport, UserRead};
use crate::users::change::ProposedChange;
use crate::users::in_flight::{InFlight, Stage};
use crate::users::lane::WaitingOutcome;
use crate::users::waiting::{Resumed, StateAccess, Waiter};
use crate::view::View;
use nudged_api::outcome::EncodedOutcome;
use nudged_base::clock::Now;
use nudged_base::ids::{Partition, Revision, ShardId};
use nudged_base::limits::{COMMIT_TRIES_MAX, LINK_UNFIT_RETRY_MS};
use nudged_base::slab::Handle;
use nudged_base::telemetry::log::{LogValue, Message};
use nudged_base::time::MonoNs;
use nudged_domain::state::user::{self, EncodedState, UserState};
use nudged_redis::command::{
    CommandFailure, CommitVerdict, Meta, PartitionPhase, RedisCommand, Reply, UserValue,
};
use nudged_redis::link::{LinkEvent, RedisServer};

/// Why a server is not decided by that can be used otherwise.
const NOT_SYNCED: &str = "ack = \"synced\" with queue = \"redis\" needs appendonly yes and \
                          appendfsync always in Redis; decisions degrade until they are set";

impl RedisUsers<'_> {
    /// Acts upon what became known of Redis.
    pub(crate) fn on_link_event(
        &mut self,
        now: Now,
        view: &View,
        event: LinkEvent,
    ) -> Option<Resumed> {
        match event {
            LinkEvent::Up(server) => self.on_up(now, server),
            LinkEvent::Down => {
                let arbiter = &mut *self.arbiter;
                arbiter.server = None;
                arbiter.subscribed_at_ms = None;
                arbiter.partitions.stop_comparing();
                self.users.log(now, Message::RedisLost, &[]);
            }
            // The keeper tells people, once for all shards.
            LinkEvent::Incompatible(unfit) => self.report(ShardReport::Incompatible(unfit)),
            LinkEvent::Denied => self.report(ShardReport::Denied),
            // Each request has a deadline of its own, and the reply may still come.
            LinkEvent::Expired { .. } => {}
            LinkEvent::Reply { ticket, result, .. } => {
                return self.on_reply(now, view, ticket, result);
            }
            LinkEvent::Changed { user, revision, .. } => self.on_changed(&user, revision),
        }
        None
    }

    fn report(&mut self, report: ShardReport) {
        self.users.effects.push(Effect::Report(report));
    }

    fn on_up(&mut self, now: Now, server: RedisServer) {
        let arbiter = &mut *self.arbiter;
        arbiter.server = Some(server);
        arbiter.subscribed_at_ms = server.subscribed.then_some(millis(now.mono));
        arbiter.renew_at = now.mono.plus_ms(LINK_UNFIT_RETRY_MS);
        arbiter.partitions.begin_comparing(server.run);
        let RedisServer { run, evicts, syncs_always, .. } = server;
        self.report(ShardReport::Run { run, evicts, syncs_always });
        self.users.log(now, Message::RedisConnected, &[]);
        if !self.arbiter.keeps_promise(server) {
            self.users.log(now, Message::RedisUnfit, &[("error", LogValue::Text(NOT_SYNCED))]);
        }
    }

    /// Another node has changed a user: an older copy is not to be trusted.
    fn on_changed(&mut self, user: &str, revision: Revision) {
        self.users.counters.redis_told.add(1);
        let in_flight = &mut self.users.in_flight;
        if let Some(flight) = in_flight.find(user).and_then(|handle| in_flight.get_mut(handle)) {
            flight.announced = flight.announced.max(revision);
        }
        let Some(entry) = self.users.slice.get(user) else { return };
        if EncodedState::new(entry.state).revision() < revision {
            self.distrust(user);
        }
    }

    fn on_reply(
        &mut self,
        now: Now,
        view: &View,
        ticket: u64,
        result: Result<Reply, CommandFailure>,
    ) -> Option<Resumed> {
        if let Some(partition) = partition_of_ticket(ticket) {
            self.on_compared(now.mono, partition, &result);
            return None;
        }
        let handle = Handle::from_bits(ticket);
        let partition = self.users.in_flight.get_mut(handle)?.partition;
        self.note_answered(handle);
        match result {
            Err(failure) => {
                self.users.counters.redis_failures.of(name_of(failure)).add(1);
                self.fail_or_pursue(now.mono, handle, failure)
            }
            Ok(Reply::Value { meta, value }) => {
                if !self.arbiter.observe(now.mono, partition, &meta) {
                    self.users.counters.redis_failures.of("lost").add(1);
                    return self.fail(handle);
                }
                self.on_value(now, view.shard, handle, (meta, value))
            }
            Ok(Reply::Commit { meta, verdict, value }) => {
                let is_vouched = self.arbiter.observe(now.mono, partition, &meta);
                let is_own = is_vouched && self.is_of_epoch(handle, &meta);
                match verdict {
                    CommitVerdict::Done if is_own => {
                        self.on_done(now, view, handle, value.is_some())
                    }
                    CommitVerdict::Moved if is_vouched => {
                        self.users.counters.redis_moved.add(1);
                        self.take_back(handle);
                        self.on_value(now, view.shard, handle, (meta, value))
                    }
                    CommitVerdict::Late => self.refuse(now.mono, handle, "late"),
                    CommitVerdict::Full => self.refuse(now.mono, handle, "full"),
                    // Done where writes are lost since proves nothing.
                    CommitVerdict::Done | CommitVerdict::Moved | CommitVerdict::Lost => {
                        self.users.counters.redis_failures.of("lost").add(1);
                        self.fail(handle)
                    }
                }
            }
            Ok(Reply::Meta(_) | Reply::Pong) => unreachable!("no flight asks for these"),
        }
    }

    /// A value has come. Where nobody vouches for it, SQL is asked too.
    fn on_value(
        &mut self,
        now: Now,
        shard: ShardId,
        handle: Handle,
        (meta, value): (Meta, Option<UserValue>),
    ) -> Option<Resumed> {
        let read_deadline = now.mono.plus_ms(self.users.read_deadline_ms);
        let may_vanish = self.arbiter.may_vanish();
        let flight = self.users.in_flight.get_mut(handle).expect("the caller has seen it");
        let is_of_epoch =
            value.as_ref().is_some_and(|value| Some(value.revision.epoch) == meta.epoch);
        let is_doubted = match meta.phase {
            PartitionPhase::Filling => !is_of_epoch,
            PartitionPhase::Open | PartitionPhase::Barrier => {
                value.is_none() && (may_vanish || meta.is_doubted)
            }
        };
        if !is_doubted || matches!(flight.stage, Stage::Fill) {
            return self.settle(now, handle, value);
        }
        flight.stage = Stage::Sql(value);
        let user = flight.user.as_str().into();
        self.users.in_flight.prolong(handle, read_deadline);
        self.users.ask_sql(shard, handle, user);
        None
    }

    /// SQL has answered: what it has more than Redis is put there.
    pub(crate) fn on_read_of_sql(&mut self, now: Now, read: UserRead) -> Option<Resumed> {
        let handle = Handle::from_bits(read.ticket);
        let flight = self.users.in_flight.get_mut(handle)?;
        let Stage::Sql(value) = &mut flight.stage else { return None };
        let value = value.take();
        let state = read.state.and_then(|state| {
            let decoded = user::decode(&state, &mut self.scratch.state);
            decoded.map(|()| state).map_err(|_| ReadFailed)
        });
        let Ok(state) = state else {
            self.users.counters.reads_failed.add(1);
            return self.fail(handle);
        };
        let revision = self.scratch.state.revision;
        let stands = value.as_ref().map_or(Revision::default(), |value| value.revision);
        if revision <= stands {
            return self.settle(now, handle, value);
        }
        let (partition, user) = (flight.partition, flight.user.clone());
        flight.stage = Stage::Fill;
        let ttl_ms = self.arbiter.setup.ttl_ms;
        let command =
            RedisCommand::Fill { partition, user: &user, revision, state: &state, ttl_ms };
        if !self.arbiter.send(now.mono, handle.to_bits(), &command) {
            return self.fail(handle);
        }
        self.users.counters.redis_fills.add(1);
        None
    }

    /// A user's value is known: the copy is fresh, and who waits runs again.
    fn settle(&mut self, now: Now, handle: Handle, value: Option<UserValue>) -> Option<Resumed> {
        let mut empty = self.users.buffer();
        let (revision, state) = match &value {
            Some(value) => (value.revision, &value.state),
            None => {
                self.users.counters.redis_absent.add(1);
                user::encode(&UserState::default(), &mut empty);
                (Revision::default(), &empty)
            }
        };
        let is_ours = user::decode(state, &mut self.scratch.state).is_ok()
            && self.scratch.state.revision == revision;
        if !is_ours {
            self.users.keep(empty);
            self.users.counters.redis_failures.of("quarantined").add(1);
            return self.fail(handle);
        }
        let (flight, waiters) = self.users.in_flight.end(handle)?;
        // Announced while SQL was asked: what was read before is not the latest.
        let is_outdated = flight.announced > revision;
        let access = self.copy(now, &flight.user, (state, is_outdated));
        self.users.keep(empty);
        Some(Resumed { user: flight.user, waiters, access })
    }

    /// Puts what Redis has, or had, into the slice, if there is room.
    fn copy(&mut self, now: Now, user: &str, (state, is_outdated): (&[u8], bool)) -> StateAccess {
        let copied_at = if is_outdated { CopiedAt::NEVER } else { CopiedAt::of(now.mono) };
        match (copied_at.put(&mut self.users.slice, user, state), is_outdated) {
            (true, true) => StateAccess::Cached,
            (true, false) => StateAccess::Fresh,
            (false, _) => {
                self.users.counters.slice_full.add(1);
                StateAccess::Missing
            }
        }
    }

    /// A change was not made since the state is another one: the request waits to run again.
    fn take_back(&mut self, handle: Handle) {
        let flight = self.users.in_flight.get_mut(handle).expect("the caller has seen it");
        let mut change = std::mem::replace(&mut flight.stage, Stage::Read).into_change();
        if let Some(mut waiter) = change.waiter.take() {
            waiter.tries += 1;
            self.users.in_flight.wait_first(handle, waiter);
        }
        self.count_outcome(&change, "not_committed");
        self.drop_change(change);
    }

    /// A change is made. `is_outdated`: by an earlier sending, and others have followed since.
    fn on_done(
        &mut self,
        now: Now,
        view: &View,
        handle: Handle,
        is_outdated: bool,
    ) -> Option<Resumed> {
        let (InFlight { user, partition, stage, .. }, waiters) =
            self.users.in_flight.end(handle)?;
        let mut change = stage.into_change();
        let access = self.copy(now, &user, (&change.state, is_outdated));
        let Some(waiter) = change.waiter.take() else {
            self.append_events(&change);
            self.finish_merge(&user, change.merged);
            self.count_outcome(&change, "committed");
            let withdrawal = self.withdrawal(now, &view.snapshot, &user, &change);
            self.drop_change(change);
            let resumed = Resumed { user, waiters, access };
            return match withdrawal {
                Some(withdrawal) => self.withdraw(now, resumed, (partition, withdrawal)),
                None => Some(resumed),
            };
        };
        let outcome = change.outcome.take().expect("whoever waits has an outcome to come");
        let origin = waiter.origin;
        if let Some(command) = waiter.command {
            self.users.keep(command.into_buffer());
        }
        if self.arbiter.setup.queue == RecordQueue::Journal {
            self.users.lane.release(std::mem::take(&mut change.reserved));
            let upto = self.users.lane.append_framed(&change.records);
            self.users.lane.wait(WaitingOutcome { upto, since: now.mono, origin, outcome });
        } else {
            self.users.finish(origin, outcome);
        }
        self.drop_change(change);
        Some(Resumed { user, waiters, access })
    }

    /// A command was refused, and nothing has changed: its own request is answered degraded, the
    /// others run again. One that came too late by a clock that was set back since, and not by
    /// its deadline, runs again too: its reply has told the time.
    fn refuse(&mut self, now: MonoNs, handle: Handle, cause: &'static str) -> Option<Resumed> {
        self.users.counters.redis_failures.of(cause).add(1);
        self.end_unmade(handle, StateAccess::Cached, |waiter| {
            let may_run = cause == "late" && now < waiter.until;
            waiter.tries = if may_run { waiter.tries + 1 } else { COMMIT_TRIES_MAX + 1 };
        })
    }

    /// A command has no reply that helps: all who wait are answered degraded.
    pub(super) fn fail(&mut self, handle: Handle) -> Option<Resumed> {
        self.end_unmade(handle, StateAccess::Missing, |_| {})
    }

    /// A command has ended, and its change, if it was one, is not made, or nobody knows whether it
    /// is. All who wait run again upon `access`, the one who asked for the change first.
    fn end_unmade(
        &mut self,
        handle: Handle,
        access: StateAccess,
        prepare: impl FnOnce(&mut Waiter),
    ) -> Option<Resumed> {
        let (flight, mut waiters) = self.users.in_flight.end(handle)?;
        self.note_failure(&flight.user);
        if let Stage::Commit(mut change) = flight.stage {
            let is_unknown = access == StateAccess::Missing;
            if is_unknown {
                // It may have been executed, so the copy may be an old one.
                self.distrust(&flight.user);
            }
            self.count_outcome(&change, if is_unknown { "other" } else { "not_committed" });
            if let Some(mut waiter) = change.waiter.take() {
                prepare(&mut waiter);
                waiters.push_front(waiter);
            }
            self.drop_change(change);
        }
        Some(Resumed { user: flight.user, waiters, access })
    }

    /// A user for whom something waits can't be merged now.
    pub(super) fn note_failure(&mut self, user: &str) {
        if !self.arbiter.unmerged.of(user).is_empty() {
            self.arbiter.merges.failed();
        }
    }

    /// A copy may be an old one: nothing rests on it any more but what this node decides alone,
    /// while Redis is away.
    pub(super) fn distrust(&mut self, user: &str) {
        let mut copy = self.users.buffer();
        if let Some(entry) = self.users.slice.get(user) {
            copy.extend_from_slice(entry.state);
            let _has_room = CopiedAt::NEVER.put(&mut self.users.slice, user, &copy);
        }
        self.users.keep(copy);
    }

    /// Gives back what a change held.
    pub(super) fn drop_change(&mut self, change: ProposedChange) {
        let ProposedChange { outcome, records, state, former, reserved, .. } = change;
        self.users.lane.release(reserved);
        let outcome = outcome.map(EncodedOutcome::into_buffer);
        let buffers = [records, state].into_iter().chain(former).chain(outcome);
        buffers.for_each(|buffer| self.users.keep(buffer));
    }

    /// A partition was compared with what is known of it, or has to be once more.
    fn on_compared(
        &mut self,
        now: MonoNs,
        partition: Partition,
        reply: &Result<Reply, CommandFailure>,
    ) {
        let Some(server) = self.arbiter.server else { return };
        let meta = if let Ok(Reply::Meta(meta)) = reply { Some(meta) } else { None };
        self.arbiter.partitions.compared(millis(now), server.run, (partition, meta));
    }
}

fn name_of(failure: CommandFailure) -> &'static str {
    match failure {
        CommandFailure::Unknown => "unknown",
        CommandFailure::Refused(kind) => kind.name(),
        CommandFailure::Quarantined => "quarantined",
    }
}

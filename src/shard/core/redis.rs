//! The shard's link: inputs of its connection, what it wants of the driver, and the requests that
//! run again when a reply has come.

use std::collections::VecDeque;

use super::Core;
use crate::seam::{Input, Outbox, RedisStatusView};
use crate::users::Arbitration;
use crate::users::redis::RedisUsers;
use crate::users::redis::merging::MergeProgress;
use crate::users::waiting::{Resumed, StateAccess, Waiter};
use nudged_base::clock::Now;

impl Core {
    /// Whether an input is of the link's connection; acts upon it then.
    pub(super) fn on_link(&mut self, now: Now, input: &mut Input<'_>) -> bool {
        match &mut self.arbitration {
            Arbitration::Own => false,
            Arbitration::Redis(arbiter) => arbiter.connection.on_input(now.mono, input),
        }
    }

    /// Acts upon all that became known of Redis.
    pub(super) fn follow_redis(&mut self, now: Now) {
        while let Core { view, users, arbitration: Arbitration::Redis(arbiter), scratch, .. } = self
        {
            let Some(event) = arbiter.connection.link.next_event() else { break };
            let mut redis = RedisUsers { users, arbiter, scratch };
            if let Some(resumed) = redis.on_link_event(now, view, event) {
                self.run_again(now, resumed);
            }
        }
        if let Some(mut redis) = self.by_redis() {
            redis.pump(now.mono);
        }
    }

    /// The users, where Redis is their arbiter.
    pub(super) fn by_redis(&mut self) -> Option<RedisUsers<'_>> {
        let Core { users, arbitration, scratch, .. } = self;
        match arbitration {
            Arbitration::Own => None,
            Arbitration::Redis(arbiter) => Some(RedisUsers { users, arbiter, scratch }),
        }
    }

    /// Ends a turn where Redis is the arbiter.
    pub(super) fn finish_turn_of_redis(&mut self, now: Now, outbox: &mut Outbox) {
        if matches!(self.arbitration, Arbitration::Own) {
            return;
        }
        self.follow_redis(now);
        self.deliver(now, outbox);
        if let Some(mut redis) = self.by_redis() {
            // Before the turn's records: SQL must not see one before what it may pass.
            redis.merge_unasked(now);
            outbox.effects.append(&mut redis.users.effects);
            redis.arbiter.connection.flush(outbox);
        }
    }

    /// Runs the requests of a user in their order. Where one of them begins a command, the others
    /// wait behind it.
    pub(super) fn run_again(&mut self, now: Now, resumed: Resumed) {
        let Resumed { user, mut waiters, access } = resumed;
        let access = self.merge_first(now, (&user, access), &mut waiters);
        while let Some(waiter) = waiters.pop_front() {
            self.resume(now, waiter, access);
            if access != StateAccess::Missing {
                self.users.in_flight.wait_behind(&user, &mut waiters);
            }
        }
        self.users.in_flight.rest(user, waiters);
    }

    /// What was accepted without Redis becomes part of a fresh state first; who waits for the user
    /// waits for that too. Upon what the others run.
    fn merge_first(
        &mut self,
        now: Now,
        (user, access): (&str, StateAccess),
        waiters: &mut VecDeque<Waiter>,
    ) -> StateAccess {
        let Core { view, users, arbitration: Arbitration::Redis(arbiter), scratch, .. } = self
        else {
            return access;
        };
        if access != StateAccess::Fresh {
            return access;
        }
        match (RedisUsers { users, arbiter, scratch }).merge(&view.snapshot, now, user) {
            MergeProgress::Nothing => access,
            MergeProgress::UnderWay => {
                self.users.in_flight.wait_behind(user, waiters);
                access
            }
            MergeProgress::Failed => StateAccess::Missing,
        }
    }

    /// Gives up what was pursued for too long.
    pub(super) fn give_up_pursued(&mut self, now: Now) {
        while let Some(resumed) =
            self.by_redis().and_then(|mut redis| redis.give_up_pursued(now.mono))
        {
            self.run_again(now, resumed);
        }
    }

    /// Tells how the link fares.
    pub(super) fn count_link(&self) {
        let Arbitration::Redis(arbiter) = &self.arbitration else { return };
        arbiter.connection.link.count();
        self.users.counters.redis_pursued.set(arbiter.pursuits.len() as u64);
    }

    /// What the keeper lets the shards do.
    pub(super) fn on_redis_status(&mut self, redis_status: RedisStatusView) {
        self.view.ready = redis_status.takes_traffic;
        if let Some(redis) = self.by_redis() {
            redis.arbiter.redis_status = redis_status;
        }
    }
}

#[cfg(test)]
mod tests;

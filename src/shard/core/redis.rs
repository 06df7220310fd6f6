//! The shard's link: inputs of its connection, what it wants of the driver, and the requests that
//! run again when a reply has come.

use std::collections::VecDeque;

use super::{Arbitration, Attempt, Core, RedisUsers, Users, Waiter};
use crate::seam::{Effect, Input, Outbox, RedisStatusView};
use crate::users::redis::Arbiter;
use crate::users::redis::merging::MergeProgress;
use crate::users::redis::replies::Resumed;
use nudged_base::clock::Now;
use nudged_redis::link::{BreakerState, LinkRequest};
use nudged_redis::refusal::RedisRefusal;

impl Core {
    /// Whether an input is of the link's connection; acts upon it then.
    pub(super) fn on_link(&mut self, now: Now, input: &mut Input<'_>) -> bool {
        let Arbitration::Redis(arbiter) = &mut self.arbitration else { return false };
        let own = arbiter.connection();
        match input {
            Input::Connected { connection } if *connection == own => arbiter.on_connected(now.mono),
            Input::Bytes { connection, bytes } if *connection == own => {
                arbiter.on_bytes(now.mono, bytes);
            }
            Input::PeerClosed { connection } | Input::Broken { connection }
                if *connection == own =>
            {
                arbiter.on_broken(now.mono);
            }
            Input::Sent { connection, buffer, sent } if *connection == own => {
                arbiter.on_sent(now.mono, std::mem::take(buffer), *sent);
            }
            _ => return false,
        }
        true
    }

    /// Acts upon all that became known of Redis.
    pub(super) fn follow_redis(&mut self, now: Now) {
        while let Core { view, users, arbitration: Arbitration::Redis(arbiter), .. } = self {
            let Some(event) = arbiter.next_event() else { break };
            if let Some(resumed) = (RedisUsers { users, arbiter }).on_link_event(now, view, event) {
                self.run_again(now, resumed);
            }
        }
        if let Some((users, arbiter)) = self.by_redis() {
            arbiter.pump(now.mono);
            arbiter.reports(&mut users.effects);
        }
    }

    /// The users and the arbiter, where that is Redis.
    fn by_redis(&mut self) -> Option<(&mut Users, &mut Arbiter)> {
        match &mut self.arbitration {
            Arbitration::Own(_) => None,
            Arbitration::Redis(arbiter) => Some((&mut self.users, arbiter)),
        }
    }

    /// Ends a turn where Redis is the arbiter.
    pub(super) fn finish_turn_of_redis(&mut self, now: Now, outbox: &mut Outbox) {
        if matches!(self.arbitration, Arbitration::Own(_)) {
            return;
        }
        self.follow_redis(now);
        self.deliver(now, outbox);
        if let Some((users, arbiter)) = self.by_redis() {
            // Before the turn's records: SQL must not see one before what it may pass.
            RedisUsers { users, arbiter }.merge_unasked(now);
            outbox.effects.append(&mut users.effects);
            arbiter.flush(outbox);
        }
    }

    /// Runs the requests of a user in their order. Where one of them begins a command, the others
    /// wait behind it.
    pub(super) fn run_again(&mut self, now: Now, resumed: Resumed) {
        let Resumed { user, mut waiters, has_state, attempt } = resumed;
        let has_state = has_state && self.merge_first(now, &user, &mut waiters, attempt);
        while let Some(waiter) = waiters.pop_front() {
            self.resume_in(now, waiter, (has_state, attempt));
            if let Some((_, arbiter)) = self.by_redis()
                && has_state
            {
                arbiter.wait_behind(&user, &mut waiters);
            }
        }
        if let Some((_, arbiter)) = self.by_redis() {
            arbiter.rest(user, waiters);
        }
    }

    /// What was accepted without Redis becomes part of a fresh state first; who waits for the user
    /// waits for that too. Whether there is a state to run upon.
    fn merge_first(
        &mut self,
        now: Now,
        user: &str,
        waiters: &mut VecDeque<Waiter>,
        attempt: Attempt,
    ) -> bool {
        let Core { view, users, arbitration: Arbitration::Redis(arbiter), .. } = self else {
            return true;
        };
        if !attempt.is_fresh {
            return true;
        }
        let merge = RedisUsers { users, arbiter }.merge(&view.snapshot, now, user);
        if merge == MergeProgress::UnderWay {
            arbiter.wait_behind(user, waiters);
        }
        merge != MergeProgress::Failed
    }

    /// Requests whose time is up are answered degraded.
    pub(super) fn expire_redis(&mut self, now: Now) {
        let Some((_, arbiter)) = self.by_redis() else { return };
        let mut late: Vec<Waiter> = Vec::new();
        arbiter.expire(now.mono, &mut late);
        for waiter in late {
            self.users.counters.redis_failures.of("deadline").add(1);
            self.resume(now, waiter, false);
        }
        while let Some((users, arbiter)) = self.by_redis()
            && let Some(resumed) = (RedisUsers { users, arbiter }).give_up_pursued(now.mono)
        {
            self.run_again(now, resumed);
        }
    }

    /// Tells how the link fares.
    pub(super) fn count_link(&self) {
        let Arbitration::Redis(arbiter) = &self.arbitration else { return };
        let (figures, counters) = (arbiter.figures(), &self.users.counters);
        counters.redis_link_commands.set(figures.commands);
        counters.redis_link_replies.set(figures.replies);
        counters.redis_link_expired.set(figures.expired);
        counters.redis_link_late.set(figures.late);
        counters.redis_link_unknown.set(figures.unknown);
        counters.redis_link_refused.set(figures.refused.iter().sum());
        for (kind, name) in RedisRefusal::ALL {
            counters.redis_refused.of(name).set(figures.refused[kind.index()]);
        }
        counters.redis_link_noscript.set(figures.noscript);
        counters.redis_link_reconnects.set(figures.reconnects);
        counters.redis_link_retries.set(figures.retries);
        counters.redis_link_malformed.set(figures.malformed);
        counters.redis_link_round_trip_ns.set(figures.round_trip_ns);
        counters.redis_breaker_opens.set(figures.opens);
        counters.redis_breaker.set(match figures.breaker {
            BreakerState::Closed => 0,
            BreakerState::Open => 1,
            BreakerState::Probing => 2,
        });
        counters.redis_in_flight.set(figures.in_flight);
        counters.redis_pursued.set(arbiter.pursued() as u64);
    }

    /// What the keeper lets the shards do.
    pub(super) fn on_redis_status(&mut self, redis_status: RedisStatusView) {
        self.view.ready = redis_status.takes_traffic && !self.view.closing;
        if let Some((_, arbiter)) = self.by_redis() {
            arbiter.on_redis_status(redis_status);
        }
    }
}

impl Arbiter {
    /// Carries the link's wishes and bytes to the driver; one send is under way at a time.
    fn flush(&mut self, outbox: &mut Outbox) {
        let connection = self.connection();
        while let Some(wish) = self.next_wish() {
            outbox.push(match wish {
                LinkRequest::Connect => Effect::Connect { connection },
                LinkRequest::Close => Effect::Close { connection, reset: true },
            });
        }
        if let Some(buffer) = self.next_output() {
            outbox.push(Effect::Send { connection, buffer });
        }
    }
}

#[cfg(test)]
mod tests;

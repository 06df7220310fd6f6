//! The shard's link: inputs of its connection, what it wants of the driver, and the requests that
//! run again when a reply has come.

use std::collections::VecDeque;

use super::{Attempt, Core, Waiter};
use crate::arbiter::Arbiter;
use crate::arbiter::merging::Merge;
use crate::arbiter::replies::Resumed;
use crate::seam::{BoardView, Effect, Input, Outbox};
use nudged_base::clock::Now;
use nudged_redis::link::{BreakerState, LinkWish};
use nudged_redis::refusal::Refusal;

impl Core {
    /// Whether an input is of the link's connection; acts upon it then.
    pub(super) fn on_link(&mut self, now: Now, input: &mut Input<'_>) -> bool {
        let Some(arbiter) = self.home.arbiter.as_deref_mut() else { return false };
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
        while let Some(arbiter) = self.home.arbiter.as_deref_mut() {
            let Some(event) = arbiter.next_event() else { break };
            if let Some(resumed) = self.home.on_link_event(now, &self.view, event) {
                self.run_again(now, resumed);
            }
        }
        if let Some(arbiter) = self.home.arbiter.as_deref_mut() {
            arbiter.pump(now.mono);
            arbiter.reports(&mut self.home.effects);
        }
    }

    /// Runs the requests of a user in their order. Where one of them begins a command, the others
    /// wait behind it.
    pub(super) fn run_again(&mut self, now: Now, resumed: Resumed) {
        let Resumed { user, mut waiters, has_state, attempt } = resumed;
        let has_state = has_state && self.merge_first(now, &user, &mut waiters, attempt);
        while let Some(waiter) = waiters.pop_front() {
            self.resume_in(now, waiter, (has_state, attempt));
            if has_state {
                self.home.arbiter_mut().wait_behind(&user, &mut waiters);
            }
        }
        self.home.arbiter_mut().rest(user, waiters);
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
        if !attempt.is_fresh {
            return true;
        }
        match self.home.merge(&self.view.snapshot, now, user) {
            Merge::Nothing => true,
            Merge::Failed => false,
            Merge::UnderWay => {
                self.home.arbiter_mut().wait_behind(user, waiters);
                true
            }
        }
    }

    /// Requests whose time is up are answered degraded.
    pub(super) fn expire_redis(&mut self, now: Now) {
        let Some(arbiter) = self.home.arbiter.as_deref_mut() else { return };
        let mut late: Vec<Waiter> = Vec::new();
        arbiter.expire(now.mono, &mut late);
        for waiter in late {
            self.home.counters.redis_failures.of("deadline").add(1);
            self.resume(now, waiter, false);
        }
        while let Some(resumed) = self.home.give_up_pursued(now.mono) {
            self.run_again(now, resumed);
        }
    }

    /// Tells how the link fares.
    pub(super) fn count_link(&self) {
        let Some(arbiter) = self.home.arbiter.as_deref() else { return };
        let (figures, counters) = (arbiter.figures(), &self.home.counters);
        counters.redis_link_commands.set(figures.commands);
        counters.redis_link_replies.set(figures.replies);
        counters.redis_link_expired.set(figures.expired);
        counters.redis_link_late.set(figures.late);
        counters.redis_link_unknown.set(figures.unknown);
        counters.redis_link_refused.set(figures.refused.iter().sum());
        for (kind, name) in Refusal::ALL {
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
    pub(super) fn on_board(&mut self, board: BoardView) {
        self.view.ready = board.takes_traffic && !self.view.closing;
        if let Some(arbiter) = self.home.arbiter.as_deref_mut() {
            arbiter.on_board(board);
        }
    }

    /// Ends a turn: what the link wants of the driver.
    pub(super) fn flush_link(&mut self, outbox: &mut Outbox) {
        if let Some(arbiter) = self.home.arbiter.as_deref_mut() {
            arbiter.flush(outbox);
        }
    }
}

impl Arbiter {
    /// Carries the link's wishes and bytes to the driver; one send is under way at a time.
    fn flush(&mut self, outbox: &mut Outbox) {
        let connection = self.connection();
        while let Some(wish) = self.next_wish() {
            outbox.push(match wish {
                LinkWish::Connect => Effect::Connect { connection },
                LinkWish::Close => Effect::Close { connection, reset: true },
            });
        }
        if let Some(buffer) = self.next_output() {
            outbox.push(Effect::Send { connection, buffer });
        }
    }
}

#[cfg(test)]
mod tests;

//! The link's connection as the arbiter sees it: bytes both ways, requests,
//! deadlines, the Redis status.

use std::collections::VecDeque;

use super::Arbiter;
use crate::seam::{Learned, RedisStatusView};
use crate::users::in_flight::Waiter;
use nudged_api::outcome::EncodedOutcome;
use nudged_base::limits::LINK_UNFIT_RETRY_MS;
use nudged_base::time::MonoNs;
use nudged_redis::link::{LinkEvent, LinkMetrics, LinkRequest};

impl Arbiter {
    /// The connection stands.
    pub(crate) fn on_connected(&mut self, now: MonoNs) {
        self.is_connected = true;
        self.is_sending = false;
        self.output.clear();
        self.carrier.connected(now);
    }

    /// Bytes came.
    pub(crate) fn on_bytes(&mut self, now: MonoNs, bytes: &[u8]) {
        if self.is_connected {
            self.carrier.received(now, bytes);
        }
    }

    /// The connection is lost, or could not be had.
    pub(crate) fn on_broken(&mut self, now: MonoNs) {
        self.must_close |= self.is_connected;
        self.is_connected = false;
        self.carrier.broken(now);
    }

    /// A send has ended. What was not taken goes first the next time.
    pub(crate) fn on_sent(&mut self, now: MonoNs, mut buffer: Vec<u8>, sent: Option<usize>) {
        if !self.is_connected || !self.is_sending {
            return;
        }
        self.is_sending = false;
        match sent {
            Some(sent) => {
                buffer.drain(..sent.min(buffer.len()));
                debug_assert!(self.output.is_empty());
                self.output = buffer;
            }
            None => self.on_broken(now),
        }
    }

    /// What became known next.
    pub fn next_event(&mut self) -> Option<LinkEvent> {
        self.carrier.next_event()
    }

    /// What the link wants of the driver next. A lost connection is closed before another is made.
    pub(crate) fn next_wish(&mut self) -> Option<LinkRequest> {
        if std::mem::take(&mut self.must_close) {
            return Some(LinkRequest::Close);
        }
        let wish = self.carrier.wish();
        if wish == Some(LinkRequest::Close) {
            self.is_connected = false;
        }
        wish
    }

    /// What is to be sent now, if anything.
    pub(crate) fn next_output(&mut self) -> Option<Vec<u8>> {
        if !self.is_connected || self.is_sending {
            return None;
        }
        self.carrier.take_output(&mut self.output);
        if self.output.is_empty() {
            return None;
        }
        self.is_sending = true;
        Some(std::mem::take(&mut self.output))
    }

    /// Time has passed: hands out the requests whose time is up.
    pub fn expire(&mut self, now: MonoNs, late: &mut Vec<Waiter>) {
        if self.is_astray() && now >= self.renew_at {
            self.renew_at = now.plus_ms(LINK_UNFIT_RETRY_MS);
            self.carrier.renew(now);
        }
        self.carrier.tick(now);
        self.in_flight.expire(now, late);
    }

    /// Whether a new connection may be better: to where the keeper's leads, or one that is told of
    /// changes. Where the right to that is still missing it would be no better.
    fn is_astray(&self) -> bool {
        let Learned { run, is_unheard, .. } = self.redis_status.learned;
        self.server.is_some_and(|server| {
            let is_elsewhere = run != 0 && run != server.run;
            is_elsewhere || server.resp3 && !server.subscribed && !is_unheard
        })
    }

    /// What the keeper lets the shards do.
    pub(crate) fn on_redis_status(&mut self, redis_status: RedisStatusView) {
        self.redis_status = redis_status;
    }

    /// Lets requests wait behind the command of their user, if there is one.
    pub(crate) fn wait_behind(&mut self, user: &str, waiters: &mut VecDeque<Waiter>) -> bool {
        let Some(handle) = self.in_flight.find(user) else { return false };
        waiters.drain(..).for_each(|waiter| self.in_flight.wait(handle, waiter));
        true
    }

    /// Puts others in the place of outcomes that wait, where `replace` gives one.
    pub(crate) fn replace_outcomes(
        &mut self,
        replace: impl FnMut(&EncodedOutcome) -> Option<EncodedOutcome>,
    ) {
        self.in_flight.replace_outcomes(replace);
    }

    /// Takes back the memory of a user's command whose requests have gone on.
    pub fn rest(&mut self, user: String, waiters: VecDeque<Waiter>) {
        self.in_flight.rest(user, waiters);
    }

    /// Counts of the link.
    pub fn figures(&self) -> LinkMetrics {
        self.carrier.figures()
    }
}

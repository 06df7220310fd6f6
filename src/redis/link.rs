//! One pipelined connection to one primary, as a state machine: bytes and time in, bytes and
//! events out. Replies are matched to commands by their order alone, in a bounded window; a
//! command whose deadline has passed keeps its place, so that its late reply is never taken for
//! the next one's. Must not know sockets.
//!
//! ```text
//! waiting ──> connecting ──> greeting ──> open
//!    ^            │              │          │   lost, malformed, frozen, refused
//!    └────────────┴──────────────┴──────────┘
//! ```
//!
//! All commands may be repeated harmlessly: reads change nothing, a commit has its request id, a
//! fill never lowers. So a lost connection's commands are sent once more, within their deadlines
//! and the retry budget. Limits: `LinkSettings::window` commands, `LINK_BYTES_MAX` bytes of them,
//! `REDIS_REPLY_BYTES_MAX` a reply.

mod handshake;
mod settings;
mod slots;

use std::collections::VecDeque;
use std::sync::Arc;

use super::breaker::Breaker;
use super::clock::ServerClock;
use super::command::{CommandFailure, RedisCommand, Reply};
use super::decode::Decoder;
use super::encode::CHANNEL_PREFIX;
use super::frame::RespFrame;
use super::frame::Words;
use super::refusal::RedisRefusal;
use super::reply::{self, NoReply};
use super::scan::FrameLimits;
use super::scripts::Script;
use handshake::{Handshake, HandshakeProgress};
use nudged_base::backoff::{Backoff, Jitter};
use nudged_base::ids::Partition;
use nudged_base::limits::{
    LINK_BYTES_MAX, LINK_HANDSHAKE_MS, LINK_IDLE_MS, LINK_STEADY_MS, LINK_UNFIT_RETRY_MS,
    PARTITIONS, REDIS_REPLY_BYTES_MAX, REDIS_REPLY_ELEMENTS_MAX,
};
use nudged_base::telemetry::counters::ShardCounters;
use nudged_base::time::{MonoNs, WallMs};
use slots::{CommandSlot, CommandSlots, Times};

pub use settings::{
    BreakerSettings, BreakerState, Incompatible, LinkEvent, LinkRequest, LinkSettings, NotSent,
    RedisServer,
};

/// A command that is sent again costs as much; each command earns `retry_budget_percent`.
const RETRY_COST: u64 = 100;

#[derive(Debug)]
enum LinkStage {
    /// For the time of the next connection.
    Waiting { until: MonoNs },
    /// `until` is not known before the first tick.
    Connecting { until: Option<MonoNs> },
    /// The connection stands and introduces itself.
    Greeting { until: MonoNs, handshake: Handshake },
    /// Commands pass.
    Open { since: MonoNs },
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LinkEnd {
    /// The other side closed it, or it was never made.
    Broken,
    /// We close it.
    GivenUp,
    /// We close it, because asking again at once would change nothing.
    Incompatible(Incompatible),
}

/// One pipelined connection to one primary.
#[derive(Debug)]
pub struct Link {
    settings: Arc<LinkSettings>,
    stage: LinkStage,
    decoder: Decoder,
    slots: CommandSlots,
    /// What the handshake sends.
    greeting: Vec<u8>,
    breaker: Breaker,
    jitter: Jitter,
    /// Connections in a row that were not steady.
    backoff: Backoff,
    /// What retries have been earned, in hundredths; at most the share of a window.
    retries_earned: u64,
    /// No slot expires before this.
    next_expiry: MonoNs,
    /// When the connection was last heard.
    heard_at: MonoNs,
    wishes_close: bool,
    wishes_connect: bool,
    /// That something is denied was told, and nothing was done since.
    is_denied_told: bool,
    events: VecDeque<LinkEvent>,
    counters: Arc<ShardCounters>,
    clock: ServerClock,
    /// The run of the latest connection.
    last_run: Option<u64>,
}

impl Link {
    /// A link that wishes for its first connection. `seed` is for the jitter of its delays.
    pub fn new(settings: Arc<LinkSettings>, counters: Arc<ShardCounters>, seed: u64) -> Link {
        let limits =
            FrameLimits { bytes: REDIS_REPLY_BYTES_MAX, elements: REDIS_REPLY_ELEMENTS_MAX };
        Link {
            stage: LinkStage::Connecting { until: None },
            decoder: Decoder::new(limits),
            slots: CommandSlots::default(),
            greeting: Vec::new(),
            breaker: Breaker::new(settings.breaker, seed),
            jitter: Jitter::new(seed ^ 0x6a69_7474_6572),
            backoff: Backoff::new(settings.breaker.open_ms, settings.breaker.open_max_ms),
            retries_earned: 0,
            next_expiry: MonoNs(u64::MAX),
            heard_at: MonoNs(0),
            wishes_close: false,
            wishes_connect: true,
            is_denied_told: false,
            events: VecDeque::new(),
            counters,
            clock: ServerClock::default(),
            last_run: None,
            settings,
        }
    }

    /// Whether a command can be sent now, if there is room: the connection stands and the breaker
    /// lets it pass.
    pub fn is_open(&self, _now: MonoNs) -> bool {
        matches!(self.stage, LinkStage::Open { .. }) && self.breaker.passes()
    }

    /// Commands that the window has room for.
    pub fn room(&self) -> usize {
        self.settings.window.saturating_sub(self.slots.len())
    }

    /// Takes a command; its outcome comes with its ticket as an event. Of two commands in flight
    /// either may be executed first: one whose script is missing goes to the pipeline's end. So
    /// the caller has one in flight for each user. Allocates only where the buffer of commands in
    /// flight has to grow.
    ///
    /// # Errors
    /// [`NotSent`]: nothing was taken.
    pub fn send(
        &mut self,
        now: MonoNs,
        ticket: u64,
        command: &RedisCommand<'_>,
    ) -> Result<(), NotSent> {
        if !self.is_open(now) {
            return Err(NotSent::Closed);
        }
        if self.room() == 0 || self.slots.bytes() >= LINK_BYTES_MAX {
            return Err(NotSent::Full);
        }
        let is_trial = self.breaker.sent();
        self.push(now, Some(ticket), command).is_trial = is_trial;
        self.counters.redis_link_commands.increment();
        let percent = u64::from(self.settings.retry_budget_percent);
        let most = self.settings.window as u64 * percent;
        self.retries_earned = (self.retries_earned + percent).min(most);
        Ok(())
    }

    /// The connection that was wished for stands.
    pub fn connected(&mut self, now: MonoNs) {
        if !matches!(self.stage, LinkStage::Connecting { .. }) {
            return;
        }
        self.wishes_connect = false;
        self.decoder.reset();
        self.greeting.clear();
        self.is_denied_told = false;
        let handshake = Handshake::begin(&self.settings, &mut self.greeting);
        self.stage = LinkStage::Greeting { until: now.plus_ms(LINK_HANDSHAKE_MS), handshake };
    }

    /// Bytes have arrived on the connection. Allocates the states of the values in it.
    pub fn received(&mut self, now: MonoNs, bytes: &[u8]) {
        if !matches!(self.stage, LinkStage::Greeting { .. } | LinkStage::Open { .. }) {
            return;
        }
        self.heard_at = now;
        let limits = FrameLimits { bytes: 0, elements: 0 };
        let mut decoder = std::mem::replace(&mut self.decoder, Decoder::new(limits));
        decoder.push(bytes);
        while matches!(self.stage, LinkStage::Greeting { .. } | LinkStage::Open { .. }) {
            match decoder.next_frame() {
                Ok(Some(frame)) => self.take(now, &frame),
                Ok(None) => break,
                Err(_) => self.out_of_step(now),
            }
            if let LinkStage::Greeting { handshake, .. } = &self.stage {
                decoder.set_protocol(handshake.protocol());
            }
        }
        self.decoder = decoder;
        self.slots.forget_answered();
    }

    /// The connection is lost, or could not be made.
    pub fn broken(&mut self, now: MonoNs) {
        if !matches!(self.stage, LinkStage::Waiting { .. }) {
            self.end(now, LinkEnd::Broken);
        }
    }

    /// The connection is given up for a new one, which asks for everything anew.
    pub fn renew(&mut self, now: MonoNs) {
        if matches!(self.stage, LinkStage::Open { .. }) {
            self.end(now, LinkEnd::GivenUp);
        }
    }

    /// Time has passed: commands expire, connections are given up, probes are sent.
    pub fn tick(&mut self, now: MonoNs) {
        match &mut self.stage {
            LinkStage::Waiting { until } if now >= *until => {
                self.stage = LinkStage::Connecting { until: Some(now.plus_ms(LINK_HANDSHAKE_MS)) };
                self.wishes_connect = true;
                self.counters.redis_link_reconnects.increment();
            }
            LinkStage::Connecting { until: until @ None } => {
                *until = Some(now.plus_ms(LINK_HANDSHAKE_MS));
            }
            LinkStage::Connecting { until: Some(until) } | LinkStage::Greeting { until, .. }
                if now >= *until =>
            {
                self.end(now, LinkEnd::GivenUp);
            }
            _ => {}
        }
        if now >= self.next_expiry {
            self.expire(now);
        }
        self.probe_if_due(now);
    }

    /// When `tick` has something to do at the latest.
    pub fn next_deadline(&self) -> Option<MonoNs> {
        let of_stage = match &self.stage {
            LinkStage::Waiting { until } | LinkStage::Greeting { until, .. } => Some(*until),
            LinkStage::Connecting { until } => Some(until.unwrap_or(MonoNs(0))),
            LinkStage::Open { .. } => self.breaker.probe_at().or(self.idle_until()),
        };
        let of_slots = Some(self.next_expiry).filter(|_| self.slots.len() > 0);
        of_stage.into_iter().chain(of_slots).min()
    }

    /// What the link wants of its driver next; `None` for nothing.
    pub fn wish(&mut self) -> Option<LinkRequest> {
        if std::mem::take(&mut self.wishes_close) {
            return Some(LinkRequest::Close);
        }
        std::mem::take(&mut self.wishes_connect).then_some(LinkRequest::Connect)
    }

    /// Appends the bytes to be sent on the connection; whether there were any.
    pub fn take_output(&mut self, output: &mut Vec<u8>) -> bool {
        match self.stage {
            LinkStage::Greeting { .. } => {
                let is_any = !self.greeting.is_empty();
                output.append(&mut self.greeting);
                is_any
            }
            LinkStage::Open { .. } => self.slots.take_output(output),
            LinkStage::Waiting { .. } | LinkStage::Connecting { .. } => false,
        }
    }

    /// TIME of Redis at a monotonic instant, as its replies tell; `None` before the first.
    pub fn wall(&self, now: MonoNs) -> Option<WallMs> {
        self.clock.at(now)
    }

    /// What became known, in order.
    pub fn next_event(&mut self) -> Option<LinkEvent> {
        self.events.pop_front()
    }

    /// Counts how the link fares now; what has happened is counted as it happens.
    pub fn count(&self) {
        let counters = &self.counters;
        counters.redis_breaker.set(self.breaker.state() as u64);
        counters.redis_breaker_opens.set(self.breaker.opens());
        counters.redis_in_flight.set(self.slots.len() as u64);
    }

    fn push(
        &mut self,
        now: MonoNs,
        ticket: Option<u64>,
        command: &RedisCommand<'_>,
    ) -> &mut CommandSlot {
        let deadline = now.plus_ms(self.settings.deadline_ms);
        self.next_expiry = self.next_expiry.min(deadline);
        self.slots.push(ticket, command, Times { now, deadline })
    }

    fn take(&mut self, now: MonoNs, frame: &RespFrame<'_>) {
        if let RespFrame::Push(words) = frame {
            self.take_change(words);
        }
        if let LinkStage::Greeting { handshake, .. } = &mut self.stage {
            match handshake.take(&self.settings, frame, &mut self.greeting) {
                HandshakeProgress::Going => {}
                HandshakeProgress::Done(server) => self.open(now, server),
                HandshakeProgress::Failed => self.end(now, LinkEnd::GivenUp),
                HandshakeProgress::Incompatible(unfit) => {
                    self.end(now, LinkEnd::Incompatible(unfit))
                }
            }
        } else if !matches!(frame, RespFrame::Push(_)) {
            self.take_reply(now, frame);
        }
    }

    fn take_change(&mut self, words: &Words<'_>) {
        let Some([RespFrame::Text(b"message"), RespFrame::Text(channel), RespFrame::Text(payload)]) =
            words.array()
        else {
            return;
        };
        let partition = channel
            .strip_prefix(CHANNEL_PREFIX.as_bytes())
            .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok())
            .filter(|partition| *partition < PARTITIONS)
            .map(Partition);
        // What others publish on our channels says nothing to us.
        let (Some(partition), Some((revision, user))) = (partition, reply::split_change(payload))
        else {
            return;
        };
        self.events.push_back(LinkEvent::Changed { partition, user: user.into(), revision });
    }

    fn take_reply(&mut self, now: MonoNs, frame: &RespFrame<'_>) {
        // A reply that nobody asked for.
        let Some(slot) = self.slots.pop() else { return self.out_of_step(now) };
        let result = reply::read(slot.expected, frame);
        if let Err(NoReply::Refused(kind)) = result {
            self.counters.redis_link_refused.increment();
            self.counters.redis_refused.of(kind.name()).increment();
        }
        let Some(ticket) = slot.ticket else {
            let is_trial = slot.is_trial && !slot.is_expired;
            return match result {
                Ok(_) if is_trial => self.breaker.good(now, true),
                Ok(_) => self.breaker.probe_answered(),
                Err(NoReply::Shape) => self.out_of_step(now),
                Err(_) if is_trial => self.breaker.bad(now, true),
                Err(_) => self.breaker.probe_failed(now),
            };
        };
        let result = match (result, slot.script) {
            (Err(NoReply::Refused(RedisRefusal::NoScript)), Some(script))
                if !slot.has_body && !slot.is_expired =>
            {
                self.counters.redis_link_noscript.increment();
                return self.slots.push_with_body(slot, script, now);
            }
            (Ok(reply), _) => {
                if let Some(meta) = reply.meta() {
                    self.clock.observe(slot.sent_at, now, meta.at);
                }
                Ok(reply)
            }
            (Err(NoReply::Refused(kind)), _) => Err(self.failure_of(kind)),
            (Err(NoReply::Foreign), _) => Err(CommandFailure::Quarantined),
            (Err(NoReply::Shape), _) => {
                self.answer(ticket, slot.is_expired, Err(CommandFailure::Unknown));
                return self.out_of_step(now);
            }
        };
        // The next refusal of a right is news again.
        self.is_denied_told &= result.is_err();
        if slot.is_expired {
            self.counters.redis_link_late.increment();
        } else {
            self.counters.redis_link_replies.increment();
            let deadline_ns = self.settings.deadline_ms.saturating_mul(1_000_000);
            let begun = slot.deadline.0.saturating_sub(deadline_ns);
            let took_ns = now.0.saturating_sub(begun);
            self.counters.redis_link_round_trip_ns.add(took_ns);
            count_round_trip(&self.counters, slot.script, took_ns);
            match result {
                Err(CommandFailure::Refused(_) | CommandFailure::Unknown) => {
                    self.breaker.bad(now, slot.is_trial)
                }
                Ok(_) | Err(CommandFailure::Quarantined) => self.breaker.good(now, slot.is_trial),
            }
        }
        self.answer(ticket, slot.is_expired, result);
    }

    fn failure_of(&mut self, kind: RedisRefusal) -> CommandFailure {
        match kind {
            RedisRefusal::WrongType => CommandFailure::Quarantined,
            // Of an error that we do not know nobody can say how far the command has come.
            RedisRefusal::Other => CommandFailure::Unknown,
            RedisRefusal::Denied => {
                if !std::mem::replace(&mut self.is_denied_told, true) {
                    self.events.push_back(LinkEvent::Denied);
                }
                CommandFailure::Refused(kind)
            }
            _ => CommandFailure::Refused(kind),
        }
    }

    fn answer(&mut self, ticket: u64, late: bool, result: Result<Reply, CommandFailure>) {
        if result == Err(CommandFailure::Unknown) {
            self.counters.redis_link_unknown.increment();
        }
        self.events.push_back(LinkEvent::Reply { ticket, late, result });
    }

    fn open(&mut self, now: MonoNs, server: RedisServer) {
        if server.resp3 && !server.subscribed {
            self.events.push_back(LinkEvent::Denied);
        }
        self.stage = LinkStage::Open { since: now };
        self.breaker.connected(now);
        self.events.push_back(LinkEvent::Up(server));
        // With an open breaker nothing but the probe is sent.
        // What was meant for one run is not asked of another: it may have lost what the command
        // rests on, and nobody has compared it yet.
        let is_same_run = self.last_run == Some(server.run);
        self.last_run = Some(server.run);
        let may_resend = self.breaker.is_closed() && is_same_run;
        let mut lost = Vec::new();
        let mut resent = 0;
        self.slots.retain(|slot| {
            let is_kept = may_resend && now < slot.deadline;
            if is_kept {
                slot.sent_at = now;
                slot.is_waiting = false;
                resent += 1;
            } else {
                lost.extend(slot.ticket.map(|ticket| (ticket, slot.is_expired)));
            }
            is_kept
        });
        self.counters.redis_link_retries.add(resent);
        for (ticket, is_expired) in lost {
            self.answer(ticket, is_expired, Err(CommandFailure::Unknown));
        }
        self.probe_if_due(now);
    }

    /// Bytes that are no reply, or not the reply to what was asked: nothing more is believed.
    fn out_of_step(&mut self, now: MonoNs) {
        self.counters.redis_link_malformed.increment();
        self.end(now, LinkEnd::GivenUp);
    }

    fn end(&mut self, now: MonoNs, end: LinkEnd) {
        // A connection that the driver was not yet asked for needs no closing.
        let was_asked_for = !std::mem::take(&mut self.wishes_connect);
        self.wishes_close |= end != LinkEnd::Broken && was_asked_for;
        let mut is_steady = false;
        if let LinkStage::Open { since } = self.stage {
            self.events.push_back(LinkEvent::Down);
            is_steady = now >= since.plus_ms(LINK_STEADY_MS);
        }
        self.lose_slots(now, end);
        self.breaker.lost(now);
        let mut delay_ms = 0;
        match is_steady {
            true => self.backoff.succeeded(),
            false => delay_ms = self.jitter.shortened(self.backoff.failed()),
        }
        if let LinkEnd::Incompatible(unfit) = end {
            self.events.push_back(LinkEvent::Incompatible(unfit));
            delay_ms = delay_ms.max(LINK_UNFIT_RETRY_MS);
        }
        self.stage = LinkStage::Waiting { until: now.plus_ms(delay_ms) };
        self.decoder.reset();
    }

    /// What was on its way is sent again on the next connection, or its outcome is unknown.
    fn lose_slots(&mut self, now: MonoNs, end: LinkEnd) {
        let mut lost = Vec::new();
        let earned = &mut self.retries_earned;
        self.slots.retain(|slot| {
            let Some(ticket) = slot.ticket else { return false };
            // It has not been sent again yet: this was not its second connection.
            if slot.is_waiting && now < slot.deadline {
                return true;
            }
            let may_resend = end == LinkEnd::Broken && !slot.is_resent && !slot.is_trial;
            if may_resend && now < slot.deadline && *earned >= RETRY_COST {
                *earned -= RETRY_COST;
                slot.is_resent = true;
                slot.is_waiting = true;
                return true;
            }
            lost.push((ticket, slot.is_expired));
            false
        });
        for (ticket, is_expired) in lost {
            self.answer(ticket, is_expired, Err(CommandFailure::Unknown));
        }
    }

    fn expire(&mut self, now: MonoNs) {
        let is_open = matches!(self.stage, LinkStage::Open { .. });
        let frozen_ms = self.settings.deadline_ms.saturating_mul(2);
        let mut next = MonoNs(u64::MAX);
        let mut is_frozen = false;
        for slot in self.slots.iter_mut() {
            if !slot.is_expired && now >= slot.deadline {
                slot.is_expired = true;
                match slot.ticket {
                    None if slot.is_trial => self.breaker.bad(now, true),
                    None => self.breaker.probe_failed(now),
                    Some(ticket) => {
                        self.breaker.bad(now, slot.is_trial);
                        self.counters.redis_link_expired.increment();
                        self.events.push_back(LinkEvent::Expired { ticket });
                    }
                }
            }
            let frozen_at = slot.sent_at.plus_ms(frozen_ms);
            is_frozen |= is_open && now >= frozen_at;
            next = next.min(if slot.is_expired { frozen_at } else { slot.deadline });
        }
        self.next_expiry = next;
        if is_frozen {
            self.end(now, LinkEnd::GivenUp);
        } else if !is_open {
            self.drop_expired();
        }
    }

    /// Without a connection no late reply can come.
    fn drop_expired(&mut self) {
        let mut lost = Vec::new();
        self.slots.retain(|slot| {
            if slot.is_expired {
                lost.extend(slot.ticket);
            }
            !slot.is_expired
        });
        for ticket in lost {
            self.answer(ticket, true, Err(CommandFailure::Unknown));
        }
    }

    fn probe_if_due(&mut self, now: MonoNs) {
        let is_due = self.breaker.probe_at().is_some_and(|at| now >= at);
        // One that is still on its way is probe enough.
        let is_open = matches!(self.stage, LinkStage::Open { .. });
        if is_due && is_open {
            self.breaker.probe_sent();
            self.push(now, None, &RedisCommand::Ping);
        } else if self.idle_until().is_some_and(|until| now >= until) {
            let is_trial = self.breaker.sent();
            self.push(now, None, &RedisCommand::Ping).is_trial = is_trial;
        }
    }

    /// Until when a connection on which nothing is under way may be silent. Who only listens would
    /// not notice that nobody speaks any more; nor would a breaker close that waits for a command,
    /// so a ping stands in for the one that does not come.
    fn idle_until(&self) -> Option<MonoNs> {
        let is_open = matches!(self.stage, LinkStage::Open { .. });
        let is_idle = is_open && self.breaker.passes() && self.slots.len() == 0;
        is_idle.then(|| self.heard_at.plus_ms(LINK_IDLE_MS))
    }
}

/// Counts the round trip of a command, by what it is for.
fn count_round_trip(counters: &ShardCounters, script: Option<Script>, took_ns: u64) {
    match script {
        Some(Script::Read) => counters.redis_read_time.record(took_ns),
        Some(Script::Commit) => counters.redis_commit_time.record(took_ns),
        Some(Script::Fill) => counters.redis_fill_time.record(took_ns),
        Some(Script::Meta) | None => counters.redis_other_time.record(took_ns),
    }
}

#[cfg(test)]
mod tests;

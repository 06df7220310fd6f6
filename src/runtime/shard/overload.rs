//! Whether a shard has more to do than it can, and the requests that wait for it meanwhile. Knows
//! no ring and no clock.
//!
//! ```text
//!   ordinary ── each wait above the target, for 100 ms ──► overloaded
//!      ▲                                                       │
//!      └──────────── nothing left waiting, for 100 ms ─────────┘
//!
//!   held ──► fresh ──► served: the oldest, or, where they are too many, the newest
//!              │ └───► refused early, one for some that were served
//!              └ 45 ms ──► late ──► refused, as there is time
//! ```
//!
//! What waits is a client's first bytes since it was answered: whoever has sent a request sends
//! none before its answer comes, so that holding it costs nothing more, however long. Limits:
//! `SHED_HELD_BYTES_MAX` a connection.

use std::collections::{HashMap, VecDeque};

use nudged_base::limits::{
    OVERLOAD_INTERVAL_MS, QUEUE_PROBE_PERIOD_MS, QUEUE_PROBE_TURN_PART, SHED_BACKLOG_MS,
    SHED_HELD_BYTES_MAX, SHED_LATE_MS, SHED_REFUSALS_AT_ONCE, SHED_SERVED_A_REFUSAL,
    SHED_SLICE_REQUESTS_MIN, SHED_SLICE_US, SHED_WAITING_MIN,
};
use nudged_base::time::MonoNs;

/// Nanoseconds of a millisecond.
const MS: u64 = 1_000_000;
/// What a request is taken to cost while none was seen, in nanoseconds.
const COST_FIRST_NS: u64 = MS / 4;
/// What one may be taken to cost, in nanoseconds.
const COST_MAX_NS: u64 = 10 * MS;
/// Those that have waited too long are refused in parts of so many where there is time, so that
/// what comes meanwhile does not wait for them.
const LATE_AT_ONCE: usize = 2;

/// A turn refuses at most one for so many that it has served, and one more.
const REFUSED_PART: usize = 4;

/// What became of bytes that were to wait.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// They are not held: the shard takes them at once.
    Passed,
    /// They wait.
    Kept,
    /// They were too many: these and those before them are the shard's now.
    Full(Vec<u8>),
}

/// Why a request is refused, as metrics name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ShedCause {
    /// There are too many.
    Early,
    /// It has waited too long.
    Late,
    /// Its client has ended its direction meanwhile.
    Gone,
}

impl ShedCause {
    /// Its name in metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            ShedCause::Early => "early",
            ShedCause::Late => "late",
            ShedCause::Gone => "gone",
        }
    }
}

/// A connection whose bytes wait.
#[derive(Clone, Copy, Debug)]
struct HeldPlace {
    slot: u32,
    ticket: u64,
    since: MonoNs,
}

#[derive(Debug)]
struct HeldBytes {
    ticket: u64,
    bytes: Vec<u8>,
}

/// The state of one shard.
#[derive(Debug)]
pub(super) struct Overload {
    /// `None` where it is never overloaded.
    target_ns: Option<u64>,
    probe_sent: Option<MonoNs>,
    probe_due: MonoNs,
    /// Since when each wait that was measured was too long.
    above_since: Option<MonoNs>,
    is_shedding: bool,
    calm_since: Option<MonoNs>,
    /// By their connections.
    held: HashMap<u32, HeldBytes>,
    /// The oldest first. Those that are held no more are passed over.
    fresh: VecDeque<HeldPlace>,
    late: VecDeque<HeldPlace>,
    ticket: u64,
    is_newest_first: bool,
    turn_begun: MonoNs,
    /// What this turn may still serve.
    slice: usize,
    served: usize,
    refused: usize,
    /// What one request costs, in nanoseconds, as the turns of this overload have shown.
    cost_ns: Option<u64>,
    /// Served since the last refusal.
    credit: u32,
}

impl Overload {
    /// Of a shard whose requests may wait for `target_ns`; `None` for any time.
    pub(super) fn new(target_ns: Option<u64>) -> Overload {
        Overload {
            target_ns,
            probe_sent: None,
            probe_due: MonoNs(0),
            above_since: None,
            is_shedding: false,
            calm_since: None,
            held: HashMap::new(),
            fresh: VecDeque::new(),
            late: VecDeque::new(),
            ticket: 0,
            is_newest_first: false,
            turn_begun: MonoNs(0),
            slice: 0,
            served: 0,
            refused: 0,
            cost_ns: None,
            credit: 0,
        }
    }

    /// Turns that are longer are looked at, in nanoseconds.
    pub(super) fn long_turn_ns(&self) -> u64 {
        self.target_ns.map_or(u64::MAX, |target| target / QUEUE_PROBE_TURN_PART)
    }

    /// Whether it is to be measured how long requests wait, after a busy turn that began `now`: a
    /// sample is then under way until [`Overload::probed`]. It counts from the turn's begin, as the
    /// wait of a request does that the turn has just missed.
    pub(super) fn begins_probe(&mut self, now: MonoNs) -> bool {
        let is_wanted = self.target_ns.is_some() && !self.is_shedding;
        if !is_wanted || self.probe_sent.is_some() || now < self.probe_due {
            return false;
        }
        // It was not busy in between.
        if now > self.probe_due.plus_ms(OVERLOAD_INTERVAL_MS) {
            self.above_since = None;
        }
        self.probe_sent = Some(now);
        true
    }

    /// The sample has come through; gives how long it took, in nanoseconds. From then on the shard
    /// may be overloaded.
    pub(super) fn probed(&mut self, now: MonoNs) -> Option<u64> {
        let sent = self.probe_sent.take()?;
        let delay_ns = now.0.saturating_sub(sent.0);
        self.probe_due = now.plus_ms(QUEUE_PROBE_PERIOD_MS);
        if delay_ns <= self.target_ns.unwrap_or(u64::MAX) {
            self.above_since = None;
            return Some(delay_ns);
        }
        let since = *self.above_since.get_or_insert(sent);
        if !self.is_shedding && now >= since.plus_ms(OVERLOAD_INTERVAL_MS) {
            self.is_shedding = true;
            self.above_since = None;
            (self.cost_ns, self.served, self.refused) = (None, 0, 0);
        }
        Some(delay_ns)
    }

    /// Whether bytes are held.
    pub(super) fn is_shedding(&self) -> bool {
        self.is_shedding
    }

    /// Requests that wait.
    pub(super) fn waiting(&self) -> usize {
        self.held.len()
    }

    /// Requests that were held so far.
    pub(super) fn held_so_far(&self) -> u64 {
        self.ticket
    }

    /// Has bytes of a connection wait, where the shard is overloaded. Those that ask how the node
    /// is do not.
    pub(super) fn hold(&mut self, slot: u32, bytes: &[u8], now: MonoNs) -> Hold {
        if !self.is_shedding {
            return Hold::Passed;
        }
        if let Some(held) = self.held.get_mut(&slot) {
            held.bytes.extend_from_slice(bytes);
            if held.bytes.len() <= SHED_HELD_BYTES_MAX {
                return Hold::Kept;
            }
            return self.remove(slot).map_or(Hold::Kept, Hold::Full);
        }
        if asks_for_health(bytes) {
            return Hold::Passed;
        }
        self.ticket += 1;
        let ticket = self.ticket;
        self.held.insert(slot, HeldBytes { ticket, bytes: bytes.to_vec() });
        self.fresh.push_back(HeldPlace { slot, ticket, since: now });
        Hold::Kept
    }

    /// Takes out what waits of a connection.
    pub(super) fn remove(&mut self, slot: u32) -> Option<Vec<u8>> {
        // Nothing waits but in an overload.
        if self.held.is_empty() {
            return None;
        }
        self.held.remove(&slot).map(|held| held.bytes)
    }

    /// Begins the part of a turn in which requests that wait are served.
    pub(super) fn begin_serving(&mut self, now: MonoNs) {
        let done = (self.served + self.refused) as u64;
        if done >= SHED_SLICE_REQUESTS_MIN as u64 {
            let sample_ns = (now.0.saturating_sub(self.turn_begun.0) / done).min(COST_MAX_NS);
            let cost_ns = self.cost_ns.unwrap_or(sample_ns);
            self.cost_ns = Some(cost_ns - cost_ns / 8 + sample_ns / 8);
        }
        (self.turn_begun, self.served, self.refused) = (now, 0, 0);
        while let Some(place) = self.fresh.front()
            && (place.since.plus_ms(SHED_LATE_MS) <= now || !self.is_held(place))
        {
            let place = self.fresh.pop_front().expect("it was there");
            if self.is_held(&place) {
                self.late.push_back(place);
            }
        }
        let cost_ns = self.cost_ns.unwrap_or(COST_FIRST_NS).max(1);
        let backlog_ns = (self.fresh.len() as u64).saturating_mul(cost_ns);
        let is_behind = backlog_ns > SHED_BACKLOG_MS * MS || !self.late.is_empty();
        self.is_newest_first = is_behind && self.fresh.len() > SHED_WAITING_MIN;
        let slice = usize::try_from(SHED_SLICE_US * 1_000 / cost_ns).unwrap_or(0);
        self.slice = slice.max(SHED_SLICE_REQUESTS_MIN);
    }

    fn is_held(&self, place: &HeldPlace) -> bool {
        self.held.get(&place.slot).is_some_and(|held| held.ticket == place.ticket)
    }

    /// The next connection of the turn whose bytes are served, and how long they have waited, in
    /// nanoseconds.
    pub(super) fn next_served(&mut self) -> Option<(u32, Vec<u8>, u64)> {
        if self.slice == 0 {
            return None;
        }
        let (place, bytes) = self.pop_fresh(MonoNs(0))?;
        self.slice -= 1;
        self.served += 1;
        self.credit = (self.credit + 1).min(SHED_SERVED_A_REFUSAL * SHED_REFUSALS_AT_ONCE);
        Some((place.slot, bytes, self.turn_begun.0.saturating_sub(place.since.0)))
    }

    /// The next connection of the turn whose bytes are refused, once all are served that can be.
    pub(super) fn next_refused(&mut self) -> Option<(u32, Vec<u8>, ShedCause)> {
        let is_idle = self.served == 0 && self.refused < LATE_AT_ONCE;
        // Nor may many of them at once make a turn long.
        let is_due =
            self.credit >= SHED_SERVED_A_REFUSAL && self.refused <= self.served / REFUSED_PART;
        if !is_due && !is_idle {
            return None;
        }
        // Who has waited for longer than that is not told at once any more.
        let at_once = MonoNs(self.turn_begun.0.saturating_sub(self.target_ns.unwrap_or(0)));
        let early = if self.is_newest_first { self.pop_fresh(at_once) } else { None };
        let found = match early {
            Some((place, bytes)) => (place.slot, bytes, ShedCause::Early),
            None => {
                let (slot, bytes) = self.pop_late()?;
                (slot, bytes, ShedCause::Late)
            }
        };
        self.credit = self.credit.saturating_sub(SHED_SERVED_A_REFUSAL);
        self.refused += 1;
        Some(found)
    }

    /// The one whose turn it is, if it came since then.
    fn pop_fresh(&mut self, since: MonoNs) -> Option<(HeldPlace, Vec<u8>)> {
        loop {
            let next = if self.is_newest_first { self.fresh.back() } else { self.fresh.front() };
            let place = *next.filter(|place| place.since >= since)?;
            match self.is_newest_first {
                true => self.fresh.pop_back(),
                false => self.fresh.pop_front(),
            };
            if self.is_held(&place) {
                return Some((place, self.remove(place.slot)?));
            }
        }
    }

    fn pop_late(&mut self) -> Option<(u32, Vec<u8>)> {
        loop {
            let place = self.late.pop_front()?;
            if self.is_held(&place) {
                return Some((place.slot, self.remove(place.slot)?));
            }
        }
    }

    /// Takes out any connection that waits.
    pub(super) fn remove_any(&mut self) -> Option<(u32, Vec<u8>)> {
        let slot = *self.held.keys().next()?;
        Some((slot, self.remove(slot)?))
    }

    /// Ends the part of a turn in which requests that wait are served: the overload may be over.
    pub(super) fn end_serving(&mut self, now: MonoNs) {
        if !self.held.is_empty() {
            self.calm_since = None;
            return;
        }
        self.fresh.clear();
        self.late.clear();
        let since = *self.calm_since.get_or_insert(now);
        if now >= since.plus_ms(OVERLOAD_INTERVAL_MS) {
            self.is_shedding = false;
            self.calm_since = None;
            // What the burst has made them need goes back.
            (self.held, self.fresh, self.late) = Default::default();
        }
    }
}

/// Whether bytes begin with a request that is answered whatever happens. One in a pipeline behind
/// others waits with them.
fn asks_for_health(bytes: &[u8]) -> bool {
    let starts = [&b"GET /health"[..], b"HEAD /health", b"GET /readyz", b"HEAD /readyz"];
    starts.iter().any(|start| bytes.starts_with(start))
}

#[cfg(test)]
mod tests;

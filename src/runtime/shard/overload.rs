//! Whether a shard has more to do than it can, and the requests that wait for it meanwhile. Knows
//! no ring and no clock.
//!
//! ```text
//!   ordinary ── each wait above the target, for 100 ms ──► holding: all served, the oldest first
//!      ▲                                                     │   ▲
//!      │◄──────── nothing left waiting, for 100 ms ──────────┤   │ nothing late, nothing old,
//!      │                        the oldest above 45 ms, for 100 ms │ for 100 ms
//!      │                                                     ▼   │
//!      └──────────── nothing left waiting, for 100 ms ──── shedding
//!
//!   shedding:  arrives ──► refused at once, one for some that were served
//!                 └──► fresh ──► served: the newest
//!                        └ 45 ms ──► late ──► refused, where there is nothing to serve
//! ```
//!
//! A queue that is long and served in time is no harm: while it only holds, nothing is refused.
//! What waits is a client's first bytes since it was answered: whoever has sent a request sends
//! none before its answer comes, so that holding it costs nothing more, however long. Limits:
//! `SHED_HELD_BYTES_MAX` a connection.

mod standing;
mod waiting;

use self::standing::StandingDelay;
use self::waiting::Waiting;
use nudged_base::limits::{
    OVERLOAD_INTERVAL_MS, QUEUE_PROBE_PERIOD_MS, QUEUE_PROBE_TURN_PART, SHED_BACKLOG_MS,
    SHED_LATE_MS, SHED_REFUSALS_AT_ONCE, SHED_SERVED_A_REFUSAL, SHED_SLICE_REQUESTS_MIN,
    SHED_SLICE_US, SHED_WAITING_MIN,
};
use nudged_base::time::MonoNs;

/// Nanoseconds of a millisecond.
const MS: u64 = 1_000_000;
/// Those that have waited too long are refused in parts of so many where there is time, so that
/// what comes meanwhile does not wait for them.
const LATE_AT_ONCE: usize = 2;

/// What became of bytes that were to wait.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// They are not held: the shard takes them at once.
    Passed,
    /// They wait.
    Kept,
    /// They were too many: these and those before them are the shard's now.
    Full(Vec<u8>),
    /// They are refused at once.
    Refused,
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
    /// It has waited too long for this shard, which was to execute it for another.
    Hop,
}

impl ShedCause {
    /// Its name in metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            ShedCause::Early => "early",
            ShedCause::Late => "late",
            ShedCause::Gone => "gone",
            ShedCause::Hop => "hop",
        }
    }
}

/// How much a shard has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Ordinary,
    Holding,
    Shedding,
}

/// The state of one shard.
#[derive(Debug)]
pub(super) struct Overload {
    /// `None` where it is never overloaded.
    target_ns: Option<u64>,
    probe_sent: Option<MonoNs>,
    probe_due: MonoNs,
    stage: Stage,
    /// How long samples waited before the shard saw them.
    unseen: StandingDelay,
    /// How long the oldest that is held waits.
    held: StandingDelay,
    /// How long other shards' commands waited for this one.
    hops: StandingDelay,
    are_hops_late: bool,
    /// Since when the stage is more than is needed.
    calm_since: Option<MonoNs>,
    waiting: Waiting,
    seen: u64,
    /// Of what waits not all can be served in time.
    is_behind: bool,
    is_newest_first: bool,
    slice_ends: MonoNs,
    served: usize,
    refused_late: usize,
    /// Some were refused as they came since the last turn was served.
    has_refused: bool,
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
            stage: Stage::Ordinary,
            unseen: StandingDelay::default(),
            held: StandingDelay::default(),
            hops: StandingDelay::default(),
            are_hops_late: false,
            calm_since: None,
            waiting: Waiting::default(),
            seen: 0,
            is_behind: false,
            is_newest_first: false,
            slice_ends: MonoNs(0),
            served: 0,
            refused_late: 0,
            has_refused: false,
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
        let is_wanted = self.target_ns.is_some() && !self.is_holding();
        if !is_wanted || self.probe_sent.is_some() || now < self.probe_due {
            return false;
        }
        self.probe_sent = Some(now);
        true
    }

    /// The sample has come through; gives how long it took, in nanoseconds. From then on the shard
    /// may hold requests.
    pub(super) fn probed(&mut self, now: MonoNs) -> Option<u64> {
        let sent = self.probe_sent.take()?;
        let delay_ns = now.0.saturating_sub(sent.0);
        self.probe_due = now.plus_ms(QUEUE_PROBE_PERIOD_MS);
        let target_ns = self.target_ns.unwrap_or(u64::MAX);
        if self.unseen.take(now, delay_ns, target_ns) && !self.is_holding() {
            self.enter(Stage::Holding);
        }
        Some(delay_ns)
    }

    fn enter(&mut self, stage: Stage) {
        self.stage = stage;
        self.calm_since = None;
        self.credit = 0;
        (self.is_behind, self.is_newest_first) = (false, false);
    }

    /// Whether bytes are held.
    pub(super) fn is_holding(&self) -> bool {
        self.stage >= Stage::Holding
    }

    /// Whether requests are refused.
    pub(super) fn is_shedding(&self) -> bool {
        self.stage == Stage::Shedding || self.are_hops_late
    }

    /// Requests that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.count()
    }

    /// Requests that were held or refused as they came, so far.
    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// Has bytes of a connection wait, where there is more to do than can be done at once. Those
    /// that ask how the node is do not. Some are refused before anything is done for them: what is
    /// refused later, or costs more to refuse, is worth less to whoever asks.
    pub(super) fn hold(&mut self, slot: u32, bytes: &[u8], now: MonoNs) -> Hold {
        if !self.is_holding() {
            return Hold::Passed;
        }
        if self.waiting.holds(slot) {
            return self.waiting.add(slot, bytes).map_or(Hold::Kept, Hold::Full);
        }
        if asks_for_health(bytes) {
            return Hold::Passed;
        }
        if self.is_behind && self.credit >= SHED_SERVED_A_REFUSAL {
            self.credit -= SHED_SERVED_A_REFUSAL;
            self.has_refused = true;
            self.seen += 1;
            return Hold::Refused;
        }
        self.waiting.push(slot, bytes, now);
        self.seen += 1;
        Hold::Kept
    }

    /// Takes out what waits of a connection.
    pub(super) fn remove(&mut self, slot: u32) -> Option<Vec<u8>> {
        self.waiting.remove(slot)
    }

    /// Bytes that were held are not needed any more.
    pub(super) fn give_back(&mut self, bytes: Vec<u8>) {
        self.waiting.give_back(bytes);
    }

    /// Whether requests were refused as they came since this was last asked.
    pub(super) fn has_refused(&mut self) -> bool {
        std::mem::take(&mut self.has_refused)
    }

    /// Begins the part of a turn in which requests that wait are served.
    pub(super) fn begin_serving(&mut self, now: MonoNs) {
        (self.served, self.refused_late) = (0, 0);
        self.slice_ends = MonoNs(now.0 + SHED_SLICE_US * 1_000);
        let oldest_ns = self.oldest_ns(now);
        // So few are no backlog: it is the host that is slow, and nobody waits less for a refusal.
        let is_backlog = self.waiting.count() > SHED_WAITING_MIN;
        let backlog_ns = if is_backlog { oldest_ns } else { 0 };
        if self.held.take(now, backlog_ns, SHED_LATE_MS * MS) && self.stage == Stage::Holding {
            self.enter(Stage::Shedding);
        }
        if self.stage == Stage::Shedding {
            self.waiting.expire(MonoNs(now.0.saturating_sub(SHED_LATE_MS * MS)));
            self.is_behind = self.waiting.has_late() || oldest_ns > SHED_BACKLOG_MS * MS;
            self.is_newest_first = self.is_behind && self.waiting.fresh_count() > SHED_WAITING_MIN;
        }
    }

    fn oldest_ns(&mut self, now: MonoNs) -> u64 {
        self.waiting.oldest().map_or(0, |place| now.0.saturating_sub(place.since.0))
    }

    /// The next connection of the turn whose bytes are served, and how long they have waited, in
    /// nanoseconds.
    pub(super) fn next_served(&mut self, now: MonoNs) -> Option<(u32, Vec<u8>, u64)> {
        if now >= self.slice_ends && self.served >= SHED_SLICE_REQUESTS_MIN {
            return None;
        }
        let (place, bytes) = self.waiting.pop_fresh(self.is_newest_first)?;
        self.served += 1;
        self.credit = (self.credit + 1).min(SHED_SERVED_A_REFUSAL * SHED_REFUSALS_AT_ONCE);
        Some((place.slot, bytes, now.0.saturating_sub(place.since.0)))
    }

    /// The next connection of the turn whose bytes are refused since they are too late, where there
    /// was nothing to serve.
    pub(super) fn next_late(&mut self) -> Option<(u32, Vec<u8>)> {
        if self.served > 0 || self.refused_late >= LATE_AT_ONCE {
            return None;
        }
        let (place, bytes) = self.waiting.pop_late()?;
        self.refused_late += 1;
        Some((place.slot, bytes))
    }

    /// Takes out any connection that waits.
    pub(super) fn remove_any(&mut self) -> Option<(u32, Vec<u8>)> {
        let fresh = self.waiting.pop_fresh(false);
        let (place, bytes) = fresh.or_else(|| self.waiting.pop_late())?;
        Some((place.slot, bytes))
    }

    /// Ends the part of a turn in which requests that wait are served: the overload may be over.
    pub(super) fn end_serving(&mut self, now: MonoNs) {
        let is_over = self.waiting.count() == 0;
        let is_calm = match self.stage {
            Stage::Shedding => {
                !self.waiting.has_late() && self.oldest_ns(now) < SHED_BACKLOG_MS * MS
            }
            _ => is_over,
        };
        if !is_calm {
            self.calm_since = None;
            return;
        }
        let since = *self.calm_since.get_or_insert(now);
        if now < since.plus_ms(OVERLOAD_INTERVAL_MS) {
            return;
        }
        if is_over {
            self.enter(Stage::Ordinary);
            // What the burst has made it need goes back.
            self.waiting.shrink();
        } else {
            self.enter(Stage::Holding);
        }
    }

    /// Takes the oldest command of another shard of this turn, which it has sent at `since`. Only
    /// where each of them has waited above the target for an interval are there too many.
    pub(super) fn look_at_hops(&mut self, now: MonoNs, since: MonoNs) {
        let delay_ns = now.0.saturating_sub(since.0);
        let Some(target_ns) = self.target_ns else { return };
        let stands = self.hops.take(now, delay_ns, target_ns);
        self.are_hops_late = stands || self.are_hops_late && delay_ns > target_ns;
    }

    /// Another shard has asked for nothing in this turn.
    pub(super) fn no_hops(&mut self) {
        self.are_hops_late = false;
    }

    /// Whether such a command is refused, before which `taken` came in this turn: of too many the
    /// oldest, since they wait in one queue.
    pub(super) fn refuses_hop(&self, now: MonoNs, since: MonoNs, taken: usize) -> bool {
        let is_old = now.0.saturating_sub(since.0) > SHED_BACKLOG_MS * MS;
        self.are_hops_late && is_old && taken >= SHED_WAITING_MIN
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

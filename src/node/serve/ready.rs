//! When a node says that it is ready, and what it waits for until then: its own journal, SQL that
//! refuses nothing, Redis that decides on every user. A signal ends each of the waits.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::node::failure::Failure;
use crate::node::preflight::redis::RedisPreflight;
use crate::node::redis_threads::RedisThreads;
use crate::node::signals::SignalRequests;
use nudged_base::limits::HAND_OVER_REDIS_MS;
use nudged_base::telemetry::log::{Log, LogValue, Message};
use nudged_base::time::MonoNs;
use nudged_config::AckMode;
use nudged_runtime::clocks;
use nudged_runtime::journal::lanes::JournalLanes;
use nudged_runtime::redis_status::RedisStatus;
use nudged_runtime::threads::sql_fitness::SqlFitness;

/// Redis is waited for this long: its run has to be compared and cleared, and a new one filled.
/// After that the node serves, and popups follow their `on_failure` until it is there.
const REDIS_WAIT: Duration = Duration::from_secs(5);
/// SQL tells within this whether it refuses a right; one that is slower holds nothing up.
const RIGHTS_WAIT: Duration = Duration::from_secs(2);

/// Waits until the journal accepts, or would but for SQL, which holds no start up. A signal ends
/// the wait as it does every other one of the start.
///
/// # Errors
/// Where the node's own disk takes nothing: exit code 4.
pub(super) fn await_journal(
    journal: &JournalLanes,
    ack: AckMode,
    data: &Path,
) -> Result<(), Failure> {
    // With `synced`, what an earlier process only wrote may be answered on once it is synced, too.
    let is_synced = || ack == AckMode::Written || journal.metrics().synced >= journal.written();
    loop {
        if let Some(lack) = journal.lack() {
            return Err(Failure::directory(data)(lack));
        }
        if (journal.is_accepting() || journal.metrics().is_at_budget) && is_synced() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until SQL refuses no right that the node needs, where it answers; false where the node is
/// to stop before that.
pub(super) fn await_sql(is_there: bool, fitness: &SqlFitness, signals: &SignalRequests) -> bool {
    let begun = Instant::now();
    let is_in_time = || is_there && begun.elapsed() < RIGHTS_WAIT;
    wait_while(signals, || fitness.is_denied() || !fitness.is_tried() && is_in_time())
}

/// Looks each millisecond until nothing is waited for any more; false where the node is to stop
/// before that.
fn wait_while(signals: &SignalRequests, mut is_awaited: impl FnMut() -> bool) -> bool {
    while is_awaited() {
        if signals.is_stop_asked() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

/// How Redis stood when a process that takes over began to accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RedisAtAccept {
    /// The node has none.
    None,
    /// It decides for every user.
    Ready,
    /// It was not there in time, or refuses what the node needs.
    Late,
}

impl RedisAtAccept {
    /// For the log; `None` where there is nothing to say.
    pub(super) fn word(self) -> Option<&'static str> {
        match self {
            RedisAtAccept::None => None,
            RedisAtAccept::Ready => Some("ready"),
            RedisAtAccept::Late => Some("late"),
        }
    }
}

/// Has the newcomers of a hand-over wait in their queues until the shards can decide by Redis, so
/// that none of them is answered degraded: until their links stand, and the keeper has cleared the
/// run that they have compared. One that is away, or refuses, is not waited for.
pub(super) fn await_shards(
    redis_status: &RedisStatus,
    redis_found: RedisPreflight,
    last_accept: Option<MonoNs>,
    signals: &SignalRequests,
) -> RedisAtAccept {
    let until = last_accept.unwrap_or_else(clocks::mono).plus_ms(HAND_OVER_REDIS_MS);
    let is_in_time = || {
        let is_there = redis_found != RedisPreflight::Unreachable && !redis_status.is_refused();
        is_there && clocks::mono() < until
    };
    wait_while(signals, || !redis_status.is_open() && is_in_time());
    match redis_status.is_open() && !redis_status.is_refused() {
        true => RedisAtAccept::Ready,
        false => RedisAtAccept::Late,
    }
}

/// Waits until every user can be decided on by Redis, where the node has one that answers. One that
/// refuses what the node needs is waited for until somebody has mended it; false where the node is
/// to stop before that.
pub(super) fn await_redis(
    redis_threads: Option<&RedisThreads>,
    redis_status: &RedisStatus,
    redis_found: RedisPreflight,
    (log, signals): (&Log, &SignalRequests),
) -> bool {
    let Some(redis_threads) = redis_threads else { return true };
    let keeper = &redis_threads.figures.keeper;
    let (begun, mut open_since, mut is_ready) = (Instant::now(), None, false);
    let is_in_time = || redis_found != RedisPreflight::Unreachable && begun.elapsed() < REDIS_WAIT;
    let goes_on = wait_while(signals, || {
        let rounds = keeper.rounds.load(Ordering::Relaxed);
        let is_open = redis_status.is_open() && !redis_status.is_refused();
        let is_open = is_open && keeper.rebuild(clocks::mono()).is_none();
        // What the keeper takes from the Redis status it tells at the end of its round.
        open_since = open_since.filter(|_| is_open).or(is_open.then_some(rounds));
        is_ready = open_since.is_some_and(|first| rounds > first);
        !is_ready && (is_in_time() || redis_status.is_refused())
    });
    if is_ready || !goes_on {
        return goes_on;
    }
    let why = "Redis can't decide for every user yet; see /v1/status for the progress";
    log.write(clocks::now(), Message::RedisNotReady, &[("error", LogValue::Text(why))]);
    true
}

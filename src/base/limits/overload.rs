//! When a shard is overloaded, and what it does then.

use super::{READ_DEADLINE_MS, RECEIVE_BUFFER_BYTES};

/// Requests of a shard may wait this long before it sees them, in milliseconds; the default of
/// `limits.queue_delay`.
pub const QUEUE_DELAY_MS: u64 = 5;
/// The longest such wait that may be set, in milliseconds.
pub const QUEUE_DELAY_MAX_MS: u64 = 1_000;
/// A shard whose requests have waited longer for all of this time is overloaded, and one that none
/// has waited in for as long no more, in milliseconds.
pub const OVERLOAD_INTERVAL_MS: u64 = 100;
/// The wait is measured at most this often, in milliseconds.
pub const QUEUE_PROBE_PERIOD_MS: u64 = 2;
/// It is measured where a turn has found as many completions, or has taken a part in
/// [`QUEUE_PROBE_TURN_PART`] of the wait that is allowed.
pub const QUEUE_PROBE_COMPLETIONS: usize = 16;
/// As [`QUEUE_PROBE_COMPLETIONS`] has it.
pub const QUEUE_PROBE_TURN_PART: u64 = 4;
/// While a shard is overloaded, requests that have waited longer are not executed any more, in
/// milliseconds: what they ask could not be answered within [`READ_DEADLINE_MS`]. It is overloaded
/// once the oldest has waited for as long in each turn of [`OVERLOAD_INTERVAL_MS`].
pub const SHED_LATE_MS: u64 = 45;
/// It is so no more once none has waited for longer than this, in milliseconds, nor is too late. Of
/// other shards' commands, which wait in one queue, those that have waited longer are refused.
pub const SHED_BACKLOG_MS: u64 = 25;
/// So few are no backlog, however slow the host is: all are served, the oldest first.
pub const SHED_WAITING_MIN: usize = 16;
/// A shard that holds requests serves for so long before it looks for newer ones, in microseconds.
/// The kernel then takes twice as long to send the answers: so who is refused waits for some 2 ms.
pub const SHED_SLICE_US: u64 = 700;
/// It serves at least as many before it looks, however slow it is.
pub const SHED_SLICE_REQUESTS_MIN: usize = 2;
/// It looks for newer requests so many times at once: the kernel gives some 20 at each.
pub const SHED_LOOKS_A_TURN: usize = 32;
/// One request is refused for so many that were served, so that refusals, which cost two thirds as
/// much, take a twentieth of the time. Where nothing is to be served they take what is left.
pub const SHED_SERVED_A_REFUSAL: u32 = 12;
/// Refusals that may come at once.
pub const SHED_REFUSALS_AT_ONCE: u32 = 32;
/// Buffers that are kept for requests that will wait.
pub const SHED_BUFFERS_KEPT_MAX: usize = 1_024;
/// Bytes of one connection that wait while a shard is overloaded; one that sends more is served.
pub const SHED_HELD_BYTES_MAX: usize = 4 * RECEIVE_BUFFER_BYTES;

const _: () = {
    // What is begun in time is answered in time, a turn later.
    assert!(SHED_BACKLOG_MS < SHED_LATE_MS && SHED_LATE_MS < READ_DEADLINE_MS);
    assert!(SHED_SLICE_US < QUEUE_DELAY_MS * 1_000 && QUEUE_PROBE_PERIOD_MS < QUEUE_DELAY_MS);
};

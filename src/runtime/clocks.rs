//! The two clocks of the machine. The only place that reads them for shards and journal.

use rustix::time::{ClockId, clock_gettime};

use nudged_base::clock::Now;
use nudged_base::time::{MonoNs, WallMs};

/// Both clocks of the machine: the wall clock as it is, which may go back. What decides and records
/// goes by a [`NodeClock`](nudged_base::clock::NodeClock)'s time instead.
pub fn now() -> Now {
    Now { mono: mono(), wall: wall() }
}

/// The monotonic clock that counts through suspension.
pub fn mono() -> MonoNs {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
    MonoNs(seconds * 1_000_000_000 + nanoseconds)
}

/// The clock that a service manager compares with, in microseconds: it stands still in suspension.
pub(crate) fn monotonic_us() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000
}

/// A number that differs between nodes, for the jitter of their waits: what the clock counts below
/// a millisecond.
pub fn noise() -> u64 {
    mono().0 / 1_000
}

/// The wall clock, which an operator may set.
pub fn wall() -> WallMs {
    let time = clock_gettime(ClockId::Realtime);
    WallMs(time.tv_sec.saturating_mul(1_000) + time.tv_nsec / 1_000_000)
}

//! Limits of hand-overs: from a process that serves to the one that takes over.

/// A process that is to take over has prepared itself within this, in milliseconds; else it is
/// ended, and the old one goes on.
pub const HAND_OVER_PREPARE_MS: u64 = 30_000;
/// Requests that are open when a process has stopped accepting, in favour of another, may take this
/// long, in milliseconds: nobody accepts meanwhile, and newcomers wait a second at most.
pub const HAND_OVER_FINISH_MS: u64 = 500;
/// Threads that ask SQL and Redis end within this, in milliseconds, before another process takes
/// over; where they don't, the process ends at once.
pub const HAND_OVER_THREADS_MS: u64 = 400;
/// A process that takes over does not wait longer for Redis than until this long after the last
/// accept of the old one, in milliseconds; where that died, after the moment at which it could
/// accept itself.
pub const HAND_OVER_REDIS_MS: u64 = 950;
/// A process that was handed everything serves within this, in milliseconds.
pub const HAND_OVER_SERVE_MS: u64 = 60_000;
/// A process that ends has given the data directory's lock back within this, in milliseconds.
pub const HAND_OVER_LOCK_MS: u64 = 10_000;

// Newcomers wait a second at most, the new process's own start included.
const _: () = assert!(HAND_OVER_FINISH_MS + HAND_OVER_THREADS_MS < 1_000);
const _: () = assert!(HAND_OVER_FINISH_MS + HAND_OVER_THREADS_MS < HAND_OVER_REDIS_MS);
const _: () = assert!(HAND_OVER_REDIS_MS < 1_000);

//! How many connections of this process stand, for operators. A number of the process and not of a
//! store: a server's `max_connections` does not ask which part of a node holds one. Must not know
//! what a connection is for.

use std::sync::atomic::{AtomicU64, Ordering};

static OPEN: AtomicU64 = AtomicU64::new(0);
static MADE: AtomicU64 = AtomicU64::new(0);

/// Stands for a connection as long as it lives.
#[derive(Debug)]
pub(super) struct Counted(());

impl Counted {
    /// Counts a connection that was made just now.
    pub(super) fn new() -> Counted {
        OPEN.fetch_add(1, Ordering::Relaxed);
        MADE.fetch_add(1, Ordering::Relaxed);
        Counted(())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Connections to servers that stand, of the whole process, as far as it knows: one that the server
/// has ended counts until it is used.
pub fn connections_open() -> u64 {
    OPEN.load(Ordering::Relaxed)
}

/// Connections to servers that were made since the start, of the whole process.
pub fn connections_made() -> u64 {
    MADE.load(Ordering::Relaxed)
}

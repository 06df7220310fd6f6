//! Whether this process may ask its server already. A node that started while the server was away
//! does not know yet whether the database that comes back has the users of its directory; until one
//! connection has looked, the others ask nothing, so that nothing is written into a wrong one. Of
//! the process and not of a store: every thread of a node has a connection. Must not know what is
//! looked at.

use std::sync::atomic::{AtomicBool, Ordering};

static IS_HELD: AtomicBool = AtomicBool::new(false);

/// Whether only the connection that looks may ask.
pub(super) fn is_held() -> bool {
    IS_HELD.load(Ordering::Acquire)
}

/// Holds all connections but the one that looks.
pub(crate) fn hold() {
    IS_HELD.store(true, Ordering::Release);
}

/// Lets all ask from now on.
pub(crate) fn release() {
    IS_HELD.store(false, Ordering::Release);
}

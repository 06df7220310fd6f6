//! Upgrade without a lost request: a process serves on until another one, with the sockets of the
//! first, has prepared itself, and ends once that one can go on where it stopped.
//!
//! ```text
//!  old  serves ─SIGUSR2─► serves ────────► HandOver ───► Finish ─► journal, lock ─► waits ─► ends
//!                          │ sockets       (lame_duck)                   │ go         ▲
//!                          ▼               ▲ prepared                    ▼            │ serving
//!  new                    settings, popups,│stores: checks · waits ──► lock, journal, accepts
//! ```
//!
//! Until `go` the old one may change its mind: where the new one is gone, or not prepared within
//! `HAND_OVER_PREPARE_MS`, it serves as before. If the old one dies, the new one goes on at once.
//! Nothing of the data directory is read before its lock is held, so that what was changed on the
//! old one meanwhile holds on the new one.
//!
//! `program` what is started · `given` sockets of others · `old` and `new` the two sides. The words
//! between them are lines; who does not know one passes it over.

pub(super) mod given;
pub(super) mod new;
pub(super) mod old;
pub(super) mod program;

/// The first word of the old one, with its process's number.
const FROM: &str = "from";
/// Goes with descriptors of listening sockets: for whom, whose, where.
const SOCKET: &str = "socket";
/// The last of them.
const ALL: &str = "all";
/// The lock is free, or will be: with the time of the last accept, in nanoseconds.
const GO: &str = "go";
/// Nothing comes of it: the new one ends.
const STOP: &str = "stop";
/// The new one has prepared what needs no lock.
const PREPARED: &str = "prepared";
/// The new one can't take over, and why.
const REFUSED: &str = "refused";
/// The new one accepts.
const SERVING: &str = "serving";

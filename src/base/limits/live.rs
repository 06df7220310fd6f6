//! What consoles look at while it happens: streams of figures, the last lines of the log, and how
//! far a pause has come.

use super::{ADMIN_CONNECTIONS_MAX, PEER_SILENT_MS};

/// Streams of live figures that are open at once; one more is told to come again.
pub const LIVE_STREAMS_MAX: usize = 16;
/// Live figures are told this often, in milliseconds.
pub const LIVE_PERIOD_MS: u64 = 1_000;
/// Where nobody looked before, the first figures are those of so many milliseconds.
pub const LIVE_FIRST_MS: u64 = 250;
/// A stream ends after this long, in milliseconds: who looks on comes again.
pub const LIVE_STREAM_MS: u64 = 3_600_000;
/// A client of a stream that has ended comes again after this long, in milliseconds.
pub const LIVE_RETRY_MS: u64 = 1_000;
/// A stream whose client does not take an event within this long, in milliseconds, is cut.
pub const LIVE_STALL_MS: u64 = 5_000;
/// Bytes of a stream that the kernel may keep for a client that does not read.
pub const LIVE_UNREAD_BYTES: usize = 64 * 1_024;
/// Popups whose figures are told at once.
pub const LIVE_POPUPS_MAX: usize = 200;
/// Changed popups that are named at once; of more it is said that there are many.
pub const LIVE_CHANGED_MAX: usize = 100;
/// Lines of the log that a node keeps for those who ask for them.
pub const LOG_TAIL_LINES: usize = 1_000;
/// Bytes that those lines have, all together.
pub const LOG_TAIL_BYTES: usize = 256 * 1_024;
/// Changes by operators that are told where nobody says how many.
pub const AUDIT_TOLD: u32 = 100;
/// Lines of the log that are told where nobody says how many.
pub const LOG_TAIL_TOLD: u32 = 200;
/// A popup that is to be checked waits this long for the ones before it, in milliseconds.
pub const CHECK_TURN_MS: u64 = 2_000;
/// A pause, archive or resume whose progress is told is followed for this long, in milliseconds.
pub const OVERRIDES_FOLLOWED_MS: u64 = 5_000;
/// A node says what it decides by, and looks what others say, at least this often, in milliseconds.
pub const NODE_SAID_MS: u64 = 1_000;
/// A node that has said nothing for longer than this, in milliseconds, is not told of.
pub const NODE_TOLD_MS: u64 = 10_000;
/// What a node said is kept for this long, in milliseconds: a day.
pub const NODE_FORGOTTEN_MS: u64 = 86_400_000;

const _: () = {
    assert!(2 * LIVE_STREAMS_MAX <= ADMIN_CONNECTIONS_MAX);
    assert!(LIVE_FIRST_MS < LIVE_PERIOD_MS && LIVE_PERIOD_MS < LIVE_STALL_MS);
    assert!(NODE_SAID_MS < PEER_SILENT_MS && PEER_SILENT_MS < NODE_TOLD_MS);
    assert!(LOG_TAIL_TOLD as usize <= LOG_TAIL_LINES);
};

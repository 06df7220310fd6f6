//! The admin listener's names, and operators' tokens.

/// Further names by which the admin listener may be asked for.
pub const ADMIN_HOSTS_MAX: usize = 32;
/// Connections of the admin listener; one more takes the place of the one that has waited longest.
/// A browser has up to 6, and keeps them for as long as they may be idle.
pub const ADMIN_CONNECTIONS_MAX: usize = 64;
/// Connections of the admin listener that may wait for their refusal at once.
pub const ADMIN_REFUSALS_MAX: usize = 8;
/// A request without a valid token waits this long for its refusal, in milliseconds.
pub const ADMIN_REFUSAL_DELAY_MS: u64 = 200;
/// Tokens of operators that are in force at once.
pub const OPERATOR_TOKENS_MAX: usize = 64;
/// Those that were revoked which a node remembers; SQL remembers all.
pub const OPERATOR_TOKENS_REVOKED_MAX: usize = 256;
/// The shortest time for which a token may be made, in milliseconds: long enough to be used once.
pub const OPERATOR_TOKEN_EXPIRES_IN_MIN_MS: u64 = 1_000;
/// The longest, in milliseconds: ten years. One that is to last longer has no end.
pub const OPERATOR_TOKEN_EXPIRES_IN_MAX_MS: u64 = 3_653 * 86_400_000;
/// A token is listed for this long after its time was up, in milliseconds, so that it is seen why
/// it lets nobody in; and a clock that is wrong by less ends none for other nodes.
pub const OPERATOR_TOKENS_EXPIRED_KEPT_MS: u64 = 7 * 86_400_000;
/// Bytes of each of the two copies in the node's file of tokens.
pub const OPERATOR_TOKENS_FILE_BYTES: usize = 256 * 1_024;
/// An answer about a token waits this long, in milliseconds, to tell how far it is stored; it holds
/// already.
pub const TOKENS_TOLD_MS: u64 = 250;
/// A node looks this often for tokens that it does not know in SQL, in milliseconds: what Redis
/// tells comes sooner.
pub const TOKENS_SQL_POLL_MS: u64 = 5_000;
/// What a browser loads before the console shows its first page, compressed, in bytes.
pub const CONSOLE_FIRST_PAGE_BYTES_MAX: usize = 150_000;
/// Sessions of the console that one token may have at once; one more ends the one that was longest
/// not used.
pub const CONSOLE_SESSIONS_PER_TOKEN: usize = 16;
/// Sessions of all tokens and of the file's: each as many as it may have.
pub const CONSOLE_SESSIONS_MAX: usize = (OPERATOR_TOKENS_MAX + 1) * CONSOLE_SESSIONS_PER_TOKEN;
/// A session that is not used for this long ends, in milliseconds: 12 hours.
pub const CONSOLE_SESSION_IDLE_MS: u64 = 12 * 3_600_000;
/// A session ends after this in any case, in milliseconds: 7 days.
pub const CONSOLE_SESSION_AGE_MS: u64 = 7 * 86_400_000;
/// The node's file of sessions has a use of one that is later than the one it has by this, in
/// milliseconds: 10 minutes. After a restart an idle session may end so much earlier.
pub const CONSOLE_SESSION_KEPT_MS: u64 = 10 * 60_000;
/// Bytes of a session's line in that file, at most: two hashes and two moments.
pub const CONSOLE_SESSION_LINE_BYTES: usize = 64 + 1 + 64 + 1 + 20 + 1 + 20 + 1;
/// Bytes of each of the two copies in that file: all sessions fit.
pub const CONSOLE_SESSIONS_FILE_BYTES: usize = 256 * 1_024;
/// Cookies of the session's name that are looked at in one request: a page of another port can put
/// one of its own before the good one.
pub const CONSOLE_COOKIES_MAX: usize = 8;
/// Bytes of a session's secret, which are random.
pub const CONSOLE_SESSION_BYTES: usize = 32;
/// Sign-ins that may come at once, of all clients of a listener together.
pub const SIGN_IN_BURST: u32 = 30;
/// Further ones in a second.
pub const SIGN_INS_PER_S: u32 = 1;

const _: () = assert!(CONSOLE_SESSION_IDLE_MS < CONSOLE_SESSION_AGE_MS);
const _: () = assert!(CONSOLE_SESSION_KEPT_MS < CONSOLE_SESSION_IDLE_MS / 2);
const _: () =
    assert!(CONSOLE_SESSIONS_MAX * CONSOLE_SESSION_LINE_BYTES + 64 <= CONSOLE_SESSIONS_FILE_BYTES);

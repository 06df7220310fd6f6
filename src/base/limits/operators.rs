//! The admin listener's names, and operators' tokens.

/// Further names by which the admin listener may be asked for.
pub const ADMIN_HOSTS_MAX: usize = 32;
/// Tokens of operators that are in force at once.
pub const OPERATOR_TOKENS_MAX: usize = 64;
/// Those that were revoked which a node remembers; SQL remembers all.
pub const OPERATOR_TOKENS_REVOKED_MAX: usize = 256;
/// Bytes of each of the two copies in the node's file of tokens.
pub const OPERATOR_TOKENS_FILE_BYTES: usize = 256 * 1_024;
/// An answer about a token waits this long, in milliseconds, to tell how far it is stored; it holds
/// already.
pub const TOKENS_TOLD_MS: u64 = 250;
/// A node looks this often for tokens that it does not know in SQL, in milliseconds: what Redis
/// tells comes sooner.
pub const TOKENS_SQL_POLL_MS: u64 = 5_000;

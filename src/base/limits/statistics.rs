//! How long statistics are by hour, how much of them is told, and what a writer knows of them.

/// Rows of `popup_stats` whose sketches of users a writer knows unread: 16 MiB at most.
pub const STAT_SKETCHES_KNOWN_MAX: usize = 4_096;
/// Hours of `popup_stats` are added up to days at this age, in milliseconds.
pub const STATS_FOLD_AGE_MS: u64 = 90 * 86_400_000;
/// Statistics of all popups are told for at most this long, in milliseconds: 31 days.
pub const STATS_RANGE_MAX_MS: u64 = 31 * 86_400_000;
/// Statistics of one popup are told for at most this long, in milliseconds: 366 days.
pub const STATS_RANGE_OF_ONE_MAX_MS: u64 = 366 * 86_400_000;

//! Answers of the admin API that come in pages.

use super::ADMIN_BODY_BYTES_MAX;

/// A page of the admin API's list has no further popup beyond this, in bytes; one it always has.
pub const POPUPS_LISTED_BYTES: usize = 16 * ADMIN_BODY_BYTES_MAX;
/// Lines of one answer of a popup's history, unless its request says how many.
pub const HISTORY_LINES: u32 = 100;
/// Entries of one page of an answer of the admin API, whatever its request says.
pub const PAGE_ENTRIES_MAX: u32 = 1_000;
/// An answer of a popup's history has no further line beyond this, in bytes; one it always has.
pub const HISTORY_BYTES: usize = ADMIN_BODY_BYTES_MAX;
/// Lines of a popup's history that are read at once, each with up to three of its definitions.
pub const HISTORY_READ_LINES: u32 = 10;
/// Latest records of a user that the admin API tells, and entries of a page of their timeline.
pub const USER_RECORDS_TOLD: u32 = 50;
/// Hours of statistics beside each popup of the admin API's list, with the one that has begun.
pub const POPUP_HOURS_TOLD: usize = 24;
/// What the admin API's list is sorted by is counted anew after this long, in milliseconds.
pub const POPUP_TOTALS_KEPT_MS: u64 = 10_000;
/// A popup, or a list of them, waits this long for what SQL knows beside it, in milliseconds: what
/// is in force is told while SQL is frozen too.
pub const POPUP_FACTS_WAIT_MS: u64 = 250;
/// After SQL has failed the list does without it for this long, in milliseconds.
pub const POPUP_FACTS_RETRY_MS: u64 = 5_000;

const _: () = {
    assert!(HISTORY_READ_LINES <= HISTORY_LINES && HISTORY_LINES <= PAGE_ENTRIES_MAX);
};

//! What a run of records means as rows, and what it means on top of a state that was read from
//! rows. Knows records and the domain's encodings; must not know which database there is, its
//! statements, threads or time.
//!
//! `batcher` records → the rows of one transaction · `stats` counts per popup, variant and hour ·
//! `overlay` records that SQL has not applied, on top of what it has · `validate` what a row can
//! hold · `union` a user of two stores.
//!
//! ```text
//! records (seq, record)  ->  batcher::build  ->  events        one per record, in order of seq
//!                                                users         latest per user, sorted
//!                                                user_popups   latest per (user, popup), sorted
//!                                                erases        latest per user, sorted
//!                                                rejected      index and reason
//! ```

pub mod batcher;
pub mod overlay;
pub mod stats;
pub mod union;
pub mod validate;

#[cfg(test)]
mod tests;

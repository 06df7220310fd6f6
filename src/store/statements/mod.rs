//! Each statement, once, over a session of either kind; what the two spell differently is
//! `store::statement`'s. A row that is read or written has one list of its columns.
//!
//! `apply` records → transactions · `events`, `users`, `statistics`, `erased` their rows ·
//! `sketches` the distinct users of statistics ·
//! `streams` claims and positions · `reading` users for shards, events for people · `popups`,
//! `drafts`, `overrides` the catalog · `keys` signing keys · `operators` their tokens · `nodes` who
//! is alive · `retention` what is old goes · `whole` users on their way into another store.

mod apply;
mod drafts;
mod erased;
mod events;
mod keys;
mod nodes;
mod operators;
pub(super) mod overrides;
mod popups;
mod reading;
mod retention;
mod sketches;
mod statistics;
pub(super) mod streams;
mod users;
mod whole;

pub(super) use sketches::KnownSketches;
pub use statistics::StatPlaceAt;

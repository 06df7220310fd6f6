//! What goes on behind the answers, as step functions: no I/O, no clock, no thread.
//!
//! `follower` brings the journal to SQL · `read_back` reads users for the shards · `lists` brings
//! lists of Redis to SQL · `keeper` recovery of what Redis has lost · `retention` what SQL has kept
//! for long enough: the machines. `projection` records as rows · `sql_failure` why SQL did not do
//! something.

pub mod follower;
pub mod keeper;
pub mod lists;
pub mod projection;
pub mod read_back;
pub mod retention;
pub mod sql_failure;

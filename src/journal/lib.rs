//! The journal: the one durable path of every change
//! (docs/decisions.md#8-one-durable-path; FORMAT.md beside this file). Formats and state machines
//! without I/O; `runtime` gives them a disk, the simulator another.
//!
//! `record` one change, with results, absolute · `lane` what shards and journal pass each other ·
//! `batch` records with sequence and chained CRC · `segment` files and their headers · `disk` what
//! is asked of files · `appender` the write path as a state machine · `usage` what of it is
//! applied, and its budget · `reader` batches out of files · `recovery` what a start does with what
//! it finds.

pub mod appender;
pub mod batch;
pub mod disk;
pub mod lane;
pub mod reader;
pub mod record;
pub mod recovery;
pub mod segment;
pub mod usage;

mod bytes;
#[cfg(test)]
mod tests;

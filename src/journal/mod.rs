//! The journal: the one durable path of every change (architecture, decision 8; FORMAT.md beside
//! this file). Formats and state machines without I/O; `runtime` gives them a disk, the simulator
//! another.
//!
//! `record` one change, with results, absolute · `batch` records with sequence and chained CRC ·
//! `segment` files and their headers · `appender` the write path as a state machine · `reader`
//! batches out of bytes · `recovery` what a start does with what it finds.

pub mod record;

//! What goes on behind the answers, as step functions: no I/O, no clock, no thread.
//!
//! `writer` records to rows of SQL · `keeper` recovery of what Redis has lost.

pub mod keeper;
pub mod writer;

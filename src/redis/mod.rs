//! The protocol of Redis and what nudged says with it: commands, scripts, replies, and one
//! pipelined connection as a state machine. Sans-I/O: bytes and time in, bytes and events out.
//! Must not know sockets, shards or what a user's state means.
//!
//! `command` what is asked and answered.

pub mod command;

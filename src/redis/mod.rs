//! The protocol of Redis and what nudged says with it: commands, scripts, replies, and one
//! pipelined connection as a state machine. Sans-I/O: bytes and time in, bytes and events out.
//! Must not know sockets, shards or what a user's state means.
//!
//! `command` what is asked and answered · `address` where the server is · `link` the connection ·
//! `refusal` the errors of Redis by kind.

pub mod address;
pub mod command;
pub mod link;
pub mod refusal;

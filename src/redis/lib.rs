//! The protocol of Redis and what nudged says with it: commands, scripts, replies, and one
//! pipelined connection as a state machine. Sans-I/O: bytes and time in, bytes and events out.
//! Must not know sockets, shards or what a user's state means.
//!
//! `command` what is asked and answered · `encode` commands to bytes · `scan`, `decode` bytes to
//! a `frame` · `reply` frames to replies · `refusal` the errors of Redis by kind · `scripts` what
//! Redis runs for us · `breaker` when nothing is asked · `address` where the server is ·
//! `greeting` how a connection begins · `link` the connection · `request` what those ask who
//! wait for the answer · `learned` what is known of the server.

pub mod address;
mod breaker;
pub mod clock;
pub mod command;
pub mod decode;
pub mod encode;
pub mod frame;
pub mod greeting;
pub mod learned;
pub mod link;
pub mod refusal;
pub mod reply;
pub mod request;
pub mod scan;
pub mod scripts;

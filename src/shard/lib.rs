//! A shard: the synchronous step functions that own a slice of the users and some connections.
//! Inputs are values, effects are values; no clock, no socket, no thread. The runtime's ring driver
//! and the simulator run exactly this code.
//!
//! `seam` what goes in and out · `core` the state machine · `connections` the HTTP side · `serve`
//! requests to commands, and outcomes to their replies · `home` the users it owns · `decision`,
//! `events` and `operate` commands about them · `fanout` events in parts · `lane` the way to the
//! journal · `reads` users being read · `arbiter` Redis, where it decides whose change is first ·
//! `view` what a step only reads.

pub mod arbiter;
pub mod connections;
pub mod control;
pub mod core;
pub mod decision;
pub mod degraded;
pub mod events;
pub mod fanout;
pub mod home;
pub mod lane;
pub mod operate;
pub mod origin;
pub mod reads;
pub mod seam;
pub mod serve;
pub mod unmerged;
pub mod view;

//! A shard: the synchronous step functions that own a slice of the users and some connections.
//! Inputs are values, effects are values; no clock, no socket, no thread. The runtime's ring driver
//! and the simulator run exactly this code.
//!
//! `seam` what goes in and out · `core` the state machine · `edge` connections, hops and HTTP ·
//! `users` the users it owns, and who decides on them: itself or Redis · `fanout` events in parts ·
//! `origin` where outcomes go · `control` operators · `view` what a step only reads · `audiences`
//! what requests match that say the same. LIFECYCLE.md beside this file has the way of a request.

mod audiences;
pub mod control;
pub mod core;
pub mod edge;
mod fanout;
pub mod origin;
pub mod seam;
pub mod users;
pub mod view;

//! A shard: the synchronous step functions that own a slice of the users and some connections.
//! Inputs are values, effects are values; no clock, no socket, no thread. The runtime's ring driver
//! and the simulator run exactly this code.
//!
//! `seam` what goes in and out · `core` the state machine · `connections` the HTTP side · `home`
//! the users it owns · `decision` and `gather` requests on them · `lane` the way to the journal ·
//! `reads` users being read · `arbiter` Redis, where it decides whose change is first · `operate`
//! operators' commands · `view` what a step only reads.

pub mod arbiter;
pub mod connections;
pub mod control;
pub mod core;
pub mod decision;
pub mod degraded;
pub mod gather;
pub mod home;
pub mod lane;
pub mod operate;
pub mod origin;
pub mod packed;
pub mod reads;
pub mod seam;
pub mod serve;
pub mod unmerged;
pub mod verdicts;
pub mod view;

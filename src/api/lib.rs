//! Requests to commands, outcomes to replies; no I/O, no clock, no randomness. `routes` paths,
//! methods and the order of refusals · `command` what is asked, as a value, and `outcome` what
//! came of it, both with an encoding for their way through the shards (`binary`) · `render`
//! outcomes to replies, `nothing` what most of them begin with · `access` keys · `identity`
//! signed users, `visitors` whom a decision is for · `cors` origins · `query` and `json` bounded
//! strict input into scratch · `decide` and `events` their requests, `repeated` those that say the
//! same of many users, `look` `/v1/preview` · `verdict` what became of each event · `ignored`
//! fields that nobody knows · `token` the signed identity of an impression · `early` answers
//! before there is a whole request · `refusal` codes (`named`) · `reply` what all replies share
//! · `health` · `snippet` the files that pages load.
//!
//! Scratch is the caller's: one `Bump` per turn, reset by it.

#[macro_use]
mod named;

pub mod access;
mod binary;
pub mod command;
pub mod cors;
pub mod decide;
pub mod early;
pub mod events;
mod health;
pub mod identity;
pub mod ignored;
pub mod json;
pub mod look;
mod nothing;
pub mod outcome;
pub mod query;
pub mod refusal;
pub mod render;
pub mod repeated;
pub mod reply;
pub mod routes;
pub mod snippet;
pub mod token;
pub mod verdict;
pub mod visitors;

#[cfg(test)]
mod fixture;

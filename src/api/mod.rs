//! Requests to commands, outcomes to replies; no I/O, no clock, no randomness. `routes` paths,
//! methods and the order of refusals · `access` keys · `cors` origins · `query` and `json` bounded
//! strict input into scratch · `decide` and `answer` requests and replies of decide · `events`
//! events and their reply · `ignored` fields that nobody knows · `token` the signed identity of an
//! impression · `early` answers before there is a whole request · `refusal` codes · `reply` what
//! all replies share · `health`.
//!
//! Scratch is the caller's: one `Bump` per turn, reset by it.

pub mod access;
pub mod answer;
pub mod cors;
pub mod decide;
pub mod early;
pub mod events;
mod health;
pub mod ignored;
pub mod json;
pub mod query;
pub mod refusal;
pub mod reply;
pub mod routes;
pub mod token;

#[cfg(test)]
mod fixture;

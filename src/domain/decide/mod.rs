//! The decision: `decide(catalog, user, context, now)`, pure. `target` evaluates rules · `gates`
//! one popup against one user · `bucket` rollout and variants · `timetable` which popups are
//! open, worked out once for each change · `candidates` those that a request has to ask ·
//! `audience` those whose targets match · `choose` the winner, the reason, next_in, and every
//! popup with its gate · `facts` what stands behind a gate, for explanations · `binding` whether
//! a user may be forgotten.
//! Knows no clock, no I/O, no protocol.

pub mod audience;
pub mod binding;
pub mod bucket;
mod candidates;
pub mod choose;
pub mod context;
pub mod facts;
pub mod gates;
#[cfg(test)]
pub mod samples;
pub mod target;
pub mod timetable;

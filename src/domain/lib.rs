//! The domain: what popups are, what a user has seen, and what is decided of both. Pure: no
//! protocol, no storage, no clock.

pub mod catalog;
pub mod decide;
pub mod ended;
pub mod operators;
pub mod state;

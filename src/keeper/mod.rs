//! Stub.
pub mod barrier;
pub mod core;
pub mod ledger;
pub mod peers;
pub mod share;

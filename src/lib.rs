//! nudged: a popup decision server. The modules in reading order, floor by floor.
//!
//! Imports go down only (`tests/it/floors.rs` holds it). ARCHITECTURE.md tells the life of one
//! request and what each part must not know.

// F0: values, limits, counters, configuration.
pub mod base;
pub mod config;
pub mod telemetry;
// F1: protocols and formats, without I/O.
pub mod http;
pub mod journal;
pub mod redis;
// F2: the domain, pure.
pub mod catalog;
pub mod decide;
pub mod state;
// F3: requests to commands, outcomes to replies.
pub mod api;
// F4: step functions that compose the floors below; no I/O.
pub mod keeper;
pub mod shard;
pub mod writer;
// F5: the only places that know io-uring, glommio, rustix, threads and SQL.
pub mod admin;
pub mod runtime;
pub mod store;
// F6: start, stop, signals, command line.
pub mod node;

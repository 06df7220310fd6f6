//! The edge of a shard: the only part that knows connections, hops and HTTP. `connections` each an
//! HTTP state machine · `serve` requests to commands, outcomes that are there at once to answers ·
//! `hops` commands that other shards execute.

pub mod connections;
pub mod hops;
pub mod serve;

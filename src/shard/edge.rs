//! The edge of a shard: the only part that knows connections, hops and HTTP. `connections` each an
//! HTTP state machine · `serve` requests to commands, commands to the shards that execute them, and
//! outcomes that are there at once to answers.

pub mod connections;
pub mod serve;

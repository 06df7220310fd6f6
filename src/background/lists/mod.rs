//! Lists of records in Redis, with `queue = "redis"`, and how they come to SQL. Must not know
//! connections, databases or threads.
//!
//! `drain` the machine that moves them · `entries` what is in them · `rendezvous` which node drains
//! which · `assignment` which lane of a node does, and how far it is · `metrics` what was done.

pub mod assignment;
pub mod drain;
pub mod entries;
pub mod metrics;
pub mod rendezvous;

use nudged_base::ids::Partition;

/// Drops from a list what SQL has. What it takes and gives stands at its head.
pub const TRIM: &str = include_str!("trim.lua");

/// The list of a partition.
pub fn list_key(partition: Partition) -> String {
    format!("nudged:{{p{}}}:q", partition.0)
}

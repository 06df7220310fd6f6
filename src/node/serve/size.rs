//! How large a node is by its configuration and on this host: cores, shards, memory and connections
//! of each. Refuses what does not fit, and starts nothing.

use crate::node::failure::Failure;
use nudged_base::limits::SLICE_SHARD_BYTES_MIN;
use nudged_config::{Config, Count};
use nudged_runtime::probe;
use nudged_runtime::topology::{Topology, TopologyRequest, allowed_cpus};

pub(in crate::node) fn plan(config: &Config) -> Result<Topology, Failure> {
    Ok(Topology::plan(&request(config), &allowed_cpus())?)
}

/// What the configuration asks for of the cores.
pub(in crate::node) fn request(config: &Config) -> TopologyRequest {
    TopologyRequest {
        cpus: config.cpus.as_ref().map(|cpus| cpus.iter().copied().map(usize::from).collect()),
        writer_cpu: config.writer_cpu.map(usize::from),
        shards: match config.shards {
            Count::Auto => None,
            Count::Exactly(count) => Some(u16::try_from(count).unwrap_or(u16::MAX)),
        },
        pin: config.pin,
    }
}

pub(in crate::node) fn check_slice(config: &Config, shards: u16) -> Result<(), Failure> {
    let each = config.slice_bytes_per_shard(shards);
    if each >= SLICE_SHARD_BYTES_MIN {
        return Ok(());
    }
    Err(Failure::Configuration(format!(
        "slice_bytes gives each of {shards} shards {each} bytes, but at least \
         {SLICE_SHARD_BYTES_MIN} are needed"
    )))
}

pub(in crate::node) fn connections_per_shard(config: &Config, shards: u16) -> Result<u32, Failure> {
    let asked = match config.connections_max {
        Count::Auto => None,
        Count::Exactly(count) => Some(u64::from(count)),
    };
    Ok(probe::connections_per_shard(asked, shards)?)
}

/// Connections of the whole node: as configured, but one a shard at least, or all that fit.
pub(super) fn connections_of_node(config: &Config, shards: u16, each: u32) -> u32 {
    match config.connections_max {
        Count::Auto => each.saturating_mul(u32::from(shards)),
        Count::Exactly(count) => count.max(u32::from(shards)),
    }
}

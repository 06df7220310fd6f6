//! `nudged migrate`: makes or upgrades the schema of `[mysql] url`. A file of a node's own upgrades
//! itself when it is opened, and has no need of it.

use std::path::Path;

use super::arguments::{MigrateArguments, SharedArguments};
use super::failure::Failure;
use super::serve::say;
use super::{migration, settings};
use nudged_config::Config;
use nudged_runtime::clocks;
use nudged_store::mysql;

/// Says what was done. Run twice, or twice at once, it does no more than once. With `--from` it
/// also moves an embedded node's data directory.
///
/// # Errors
/// Where either side can't be used.
pub fn run(shared: &SharedArguments, arguments: &MigrateArguments) -> Result<(), Failure> {
    let config = settings::load(shared, &[])?.config;
    match &arguments.from {
        None => say(&migrate(&config)?),
        Some(from) => move_here(&config, from, arguments.nodes_lost)?,
    }
    Ok(())
}

fn move_here(config: &Config, from: &Path, are_nodes_lost: bool) -> Result<(), Failure> {
    migration::run(config, from, (clocks::wall(), are_nodes_lost), &mut |said| {
        said.into_iter().for_each(say);
        Ok(())
    })
}

fn migrate(config: &Config) -> Result<String, Failure> {
    if config.mysql.url.is_none() {
        return Ok(
            "schema: nothing to do; nudged.db upgrades itself, and mysql.url is not set".to_owned()
        );
    }
    let (before, after) = mysql::migrate(config, clocks::wall())?;
    let mut said = match before {
        _ if before == after => format!("schema {after}: nothing to do"),
        0 => format!("schema {after}: created"),
        _ => format!("schema {after}: upgraded from {before}"),
    };
    for dropped in mysql::dropped_since(config, before)? {
        said.push_str(&format!("\n{dropped}"));
    }
    Ok(said)
}

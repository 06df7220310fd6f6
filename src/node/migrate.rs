//! `nudged migrate`: makes or upgrades the schema of `[mysql] url`. A file of a node's own upgrades
//! itself when it is opened, and has no need of it.

use super::arguments::MigrateArguments;
use super::failure::Failure;
use super::settings;
use crate::runtime::clocks;
use crate::store::mysql;

/// Runs it with the configuration of this directory, environment and flags; says what was done, and
/// gives the exit code. Run twice, or twice at once, it does no more than once.
pub fn run(arguments: &MigrateArguments) -> u8 {
    match migrate(arguments) {
        Ok(text) => {
            println!("{text}");
            0
        }
        Err(failure) => {
            eprintln!("nudged: {failure}");
            failure.exit_code()
        }
    }
}

fn migrate(arguments: &MigrateArguments) -> Result<String, Failure> {
    let config = settings::load(arguments.config.as_deref(), &arguments.flags())?.config;
    if config.mysql.url.is_none() {
        return Ok(
            "schema: nothing to do; nudged.db upgrades itself, and mysql.url is not set".to_owned()
        );
    }
    let (before, after) = mysql::migrate(&config, clocks::wall())?;
    let mut said = match before {
        _ if before == after => format!("schema {after}: nothing to do"),
        0 => format!("schema {after}: made"),
        _ => format!("schema {after}: upgraded from {before}"),
    };
    for dropped in mysql::dropped_since(&config, before)? {
        said.push_str(&format!("\n{dropped}"));
    }
    Ok(said)
}

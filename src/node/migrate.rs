//! `nudged migrate`: makes or upgrades the schema of `[mysql] url`. A file of a node's own upgrades
//! itself when it is opened, and has no need of it.

use std::io::Write as _;
use std::path::Path;

use super::arguments::MigrateArguments;
use super::failure::Failure;
use super::migration::{self, MigrationStart};
use super::settings;
use nudged_runtime::clocks;
use nudged_store::mysql;

/// Runs it with the configuration of this directory, environment and flags; says what was done, and
/// gives the exit code. Run twice, or twice at once, it does no more than once. With `--from` it
/// also moves an embedded node's data directory.
pub fn run(arguments: &MigrateArguments) -> u8 {
    let done = match &arguments.from {
        None => migrate(arguments).map(|text| say(&text)),
        Some(from) => move_here(arguments, from),
    };
    match done {
        Ok(()) => 0,
        Err(failure) => {
            eprintln!("nudged: {failure}");
            failure.exit_code()
        }
    }
}

/// A line for people, at once: a move takes a while. Who does not read it needs no word.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

fn move_here(arguments: &MigrateArguments, from: &Path) -> Result<(), Failure> {
    let config = settings::load(arguments.config.as_deref(), &arguments.flags())?.config;
    let mut migration =
        match migration::begin(&config, from, (clocks::wall(), arguments.nodes_lost))? {
            MigrationStart::AlreadyMoved(text) => {
                say(&text);
                return Ok(());
            }
            MigrationStart::Started(migration) => migration,
        };
    say(&format!("journal: {} records applied to nudged.db", migration.applied()));
    while !migration.is_done() {
        if let Some(said) = migration.advance()? {
            say(&said);
        }
    }
    Ok(())
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
        0 => format!("schema {after}: created"),
        _ => format!("schema {after}: upgraded from {before}"),
    };
    for dropped in mysql::dropped_since(&config, before)? {
        said.push_str(&format!("\n{dropped}"));
    }
    Ok(said)
}

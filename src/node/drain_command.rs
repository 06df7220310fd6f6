//! `nudged drain`: brings to SQL what the journal of a stopped node still holds, for a node that is
//! never started again. The records go as the node itself would have applied them, each in one
//! transaction with the position, so again is harmless, and cut off anywhere it goes on.
//!
//! ```text
//! lock -> whose directory -> pauses and tokens -> records up to what is damaged or unmerged
//!      -> all of it: SQL is told that the node has stopped
//! ```
//!
//! Exit codes: 0 SQL has everything, 4 it has not: the directory is in use, another store's or no
//! data directory, SQL can't be used, records are damaged, or wait to be merged.

use std::path::{Path, PathBuf};

use super::arguments::{DrainArguments, SharedArguments};
use super::failure::Failure;
use super::ownership::database::CheckTime;
use super::ownership::{self, StoreMark};
use super::serve::say;
use super::stopped_journal::{self, JournalRest};
use super::{settings, unmerged};
use nudged_base::ids::Sequence;
use nudged_config::Config;
use nudged_journal::reader::Tail;
use nudged_journal::recovery;
use nudged_publish::overrides::{in_directory, tokens_in_directory};
use nudged_runtime::journal::directory::{DirectoryReader, JournalDirectory};
use nudged_store::sqlite::FILE_NAME;
use nudged_store::{Applied, Store};

/// The directory that a data directory keeps its journal in.
const JOURNAL: &str = "journal";

/// Applies what is left, and says what it did.
///
/// # Errors
/// Where SQL does not have everything in the end.
pub fn run(shared: &SharedArguments, arguments: &DrainArguments) -> Result<(), Failure> {
    let mut config = settings::load(shared, &[])?.config;
    config.data = data_directory(&arguments.directory)?;
    let data = config.data.clone();
    let refused = Failure::directory(&data);
    let lock = JournalDirectory::open(&data.join(JOURNAL));
    let lock = lock.map_err(|error| refused(error.to_string()))?;
    let disk = lock.reader();
    let mut store = open(&config, &disk, arguments)?;
    bring_changes(&mut store, &data)?;
    let rest = stopped_journal::rest(&mut store, &disk).map_err(Failure::directory(&data))?;
    let Some(rest) = rest else {
        say(&format!("{}: its journal was never used, nothing to do", data.display()));
        return Ok(());
    };
    let left = what_is_left(&disk, &rest, arguments).map_err(Failure::directory(&data))?;
    let through = left.as_ref().map_or(rest.end, |left| Sequence(left.first.0.saturating_sub(1)));
    let applied = stopped_journal::apply_rest(&mut store, &disk, &rest, through);
    let applied = applied.map_err(Failure::directory(&data))?;
    say(&said(&data, &store, &rest, (applied, through)));
    if let Some(left) = left {
        return Err(refused(left.problem));
    }
    if let Some(sql) = store.shared() {
        sql.say_stopped(rest.stream)?;
    }
    // Of a node of its own the file alone is a backup then.
    store.fold()?;
    Ok(())
}

/// Where the data directory is: it, or its journal, may be named.
fn data_directory(named: &Path) -> Result<PathBuf, Failure> {
    let refused = Failure::directory(named);
    if named.join(JOURNAL).is_dir() {
        return Ok(named.to_owned());
    }
    let whole = named.canonicalize().map_err(|error| refused(error.to_string()))?;
    match whole.parent() {
        Some(data) if whole.is_dir() && whole.file_name().is_some_and(|name| name == JOURNAL) => {
            Ok(data.to_owned())
        }
        _ => Err(refused("it is no data directory: there is no journal in it".to_owned())),
    }
}

/// The store that the directory's records belong to.
fn open(
    config: &Config,
    disk: &DirectoryReader,
    arguments: &DrainArguments,
) -> Result<Store, Failure> {
    let refused = Failure::directory(&config.data);
    if config.mysql.url.is_none() {
        if let StoreMark::Mysql(_) | StoreMark::Moved(_) = ownership::mark(&config.data)? {
            return Err(refused(
                "it belongs to a node with [mysql]: name that database, with `--config FILE` of \
                 its node"
                    .to_owned(),
            ));
        }
        let is_begun = recovery::set_of(disk).map_err(Failure::directory(&config.data))?.is_some();
        if !is_begun && !config.data.join(FILE_NAME).exists() {
            return Err(refused(format!("there is no {FILE_NAME}, and its journal is empty")));
        }
    }
    ownership::check(config, None, disk, arguments.salvage)?;
    let mut store = Store::of(config)?;
    store.check()?;
    if let Some(sql) = store.shared() {
        ownership::database::check(config, disk, (sql, CheckTime::Late))?;
    }
    Ok(store)
}

/// What was paused, or which tokens were made, while SQL or the disk took nothing.
fn bring_changes(store: &mut Store, data: &Path) -> Result<(), Failure> {
    let refused = Failure::directory(data);
    let overrides = in_directory(data).map_err(|error| refused(error.to_string()))?;
    store.put_overrides(&overrides)?;
    let tokens = tokens_in_directory(data).map_err(|error| refused(error.to_string()))?;
    store.put_operator_tokens(&tokens)?;
    Ok(())
}

/// Why records are not applied, and the first of them.
struct LeftRecords {
    first: Sequence,
    problem: String,
}

/// The first record that stands in the way, unless a person said to go on without it.
fn what_is_left(
    disk: &DirectoryReader,
    rest: &JournalRest,
    arguments: &DrainArguments,
) -> Result<Option<LeftRecords>, String> {
    let damaged = rest.lost.iter().map(|damage| damage.first).min().map(|first| {
        let lost: Vec<String> = rest.lost.iter().map(ToString::to_string).collect();
        let lost = lost.join("; ");
        let problem = format!(
            "the journal is damaged: {lost}; what comes behind that is not applied: --salvage goes \
             on without exactly these records"
        );
        LeftRecords { first, problem }
    });
    let damaged = damaged.filter(|_| !arguments.salvage);
    let next = Sequence(rest.applied.0 + 1);
    let tail = Tail::seek(disk, rest.set, next, rest.skipped());
    let tail = tail.map_err(|error| error.to_string())?;
    let end = damaged.as_ref().map_or(rest.end, |left| Sequence(left.first.0.saturating_sub(1)));
    let waiting = unmerged::collect(disk, tail, end).map_err(|error| error.to_string())?;
    let first = waiting.iter().map(|(sequence, _)| *sequence).min();
    let unmerged = first.filter(|_| !arguments.unmerged_lost).map(|first| {
        let count = waiting.len();
        let problem = format!(
            "{count} shows and events were accepted while Redis was away and are not merged, which \
             a node alone does: start it once with this directory and stop it when \
             `first_unmerged` in /v1/status is null, or give them up with --unmerged-lost"
        );
        LeftRecords { first, problem }
    });
    Ok(unmerged.or(damaged))
}

fn said(
    data: &Path,
    store: &Store,
    rest: &JournalRest,
    (applied, through): (Applied, Sequence),
) -> String {
    let (data, server) = (data.display(), store.server_name());
    let place = if server.is_empty() { FILE_NAME.to_owned() } else { server };
    let count = applied.records + applied.duplicates;
    let mut said = match count {
        0 if applied.rejected == 0 => {
            let last = rest.applied.max(through).0;
            format!("{data}: nothing to do, {place} has every record up to {last}")
        }
        _ => {
            let (first, last) = (rest.applied.0 + 1, through.0);
            format!("{data}: {count} records, {first} to {last}, applied to {place}")
        }
    };
    if applied.duplicates > 0 {
        said.push_str(&format!(", {} of which it had from elsewhere", applied.duplicates));
    }
    if applied.rejected > 0 {
        said.push_str(&format!(
            "; {} that it refuses are in dead-letter.ndjson there",
            applied.rejected
        ));
    }
    if rest.bytes_cut > 0 {
        said.push_str(&format!(
            "; {} bytes at its end are torn: they were never durable",
            rest.bytes_cut
        ));
    }
    said
}

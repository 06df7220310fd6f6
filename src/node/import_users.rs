//! `nudged import` of users, erases and statistics. Users that are there get the shows of both, so
//! that a second import changes nothing. No node may run on the store meanwhile: it would go on
//! with what it knows. Where nodes share Redis, it is filled anew afterwards.

use super::export_lines::{self, ExportItem};
use super::failure::Failure;
use super::import::ImportLines;
use super::migration::target::MigrationTarget;
use super::{ownership, stopped_journal};
use nudged_background::projection::union::{Tombstone, WholeUser};
use nudged_base::limits::MOVED_ROWS;
use nudged_config::Config;
use nudged_runtime::journal::directory::JournalDirectory;
use nudged_store::Store;
use nudged_store::whole::{TakenUsers, WholeStat};

use jiff::tz::TimeZone;
use std::path::Path;

/// Where the lines go.
enum Into {
    /// A node's own database, its directory locked.
    Own(Box<Store>, JournalDirectory),
    /// A server, on which nobody runs.
    Shared(Box<MigrationTarget>),
}

/// What was read and not written yet, and what was written.
#[derive(Default)]
struct ImportBatch {
    users: Vec<WholeUser>,
    erased: Vec<Tombstone>,
    stats: Vec<WholeStat>,
    taken: TakenUsers,
    counts: [usize; 2],
}

/// Takes lines, `first` among them; gives what is said of it.
///
/// # Errors
/// Where a line is wrong, exit code 2; what came before it is taken. Where a node runs, or the
/// database fails, exit code 4.
pub(super) fn import(
    config: &Config,
    (first, are_nodes_lost): (String, bool),
    lines: &mut ImportLines,
) -> Result<String, Failure> {
    let mut into = open(config, are_nodes_lost)?;
    let zone = TimeZone::get(&config.tz).unwrap_or(TimeZone::UTC);
    let (mut batch, mut next) = (ImportBatch::default(), Some(first));
    while let Some(line) = next {
        match export_lines::read(&line).map_err(|problem| lines.wrong(&problem))? {
            ExportItem::User(user) => batch.users.push(user),
            ExportItem::Erased(erased) => batch.erased.push(erased),
            ExportItem::Stats(row) => batch.stats.push(row),
        }
        batch.write(&mut into, &zone, MOVED_ROWS)?;
        next = lines.next()?;
    }
    batch.write(&mut into, &zone, 1)?;
    if let Into::Shared(target) = &mut into
        && (batch.taken != TakenUsers::default() || batch.counts[0] > 0)
    {
        target.take_epochs_away()?;
    }
    let TakenUsers { new, united, known } = batch.taken;
    let [erased, stats] = batch.counts;
    Ok(format!(
        "users: {new} new, {united} united with the shows of both, {known} unchanged; {erased} \
         erased users; {stats} rows of statistics"
    ))
}

fn open(config: &Config, are_nodes_lost: bool) -> Result<Into, Failure> {
    if config.mysql.url.is_some() {
        let mut target = MigrationTarget::open(config, Path::new(""))?;
        target.refuse_nodes(are_nodes_lost)?;
        return Ok(Into::Shared(Box::new(target)));
    }
    let lock = JournalDirectory::open(&config.data.join("journal"));
    let lock = lock.map_err(Failure::directory(&config.data))?;
    ownership::check(config, None, &lock.reader(), false)?;
    let mut store = Store::open(&config.data)?;
    // What the journal tells of these users must not come behind what is brought.
    stopped_journal::apply(&mut store, &lock).map_err(Failure::directory(&config.data))?;
    Ok(Into::Own(Box::new(store), lock))
}

impl Into {
    fn store(&mut self) -> &mut Store {
        match self {
            Into::Own(store, _lock) => store,
            Into::Shared(target) => target.store(),
        }
    }
}

impl ImportBatch {
    /// Writes what there are at least so many of.
    fn write(&mut self, into: &mut Into, zone: &TimeZone, least: usize) -> Result<(), Failure> {
        if self.users.len() >= least {
            // One statement can't write a user twice.
            self.users.sort_by(|one, other| one.user.cmp(&other.user));
            for part in self.users.chunk_by(|one, other| one.user != other.user) {
                if let Into::Shared(target) = into {
                    target.take_redis_in(part, zone)?;
                }
                self.taken.add(into.store().take_users(part, zone)?);
            }
            self.users.clear();
        }
        if self.erased.len() >= least {
            into.store().take_tombstones(&self.erased)?;
            self.counts[0] += self.erased.len();
            self.erased.clear();
        }
        if self.stats.len() >= least {
            into.store().take_stats(&self.stats)?;
            self.counts[1] += self.stats.len();
            self.stats.clear();
        }
        Ok(())
    }
}

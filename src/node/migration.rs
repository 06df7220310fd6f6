//! `nudged migrate --from`: takes everything that a stopped embedded node remembers into MySQL, in
//! steps that may each be repeated. A move that is cut off anywhere is begun anew and ends the
//! same: until its last step the directory is an embedded node's and nothing else.
//!
//! ```text
//! lock, journal applied -> nobody runs there -> keys -> popups -> overrides -> users -> erases
//!   -> events -> statistics -> positions -> nobody came there -> every epoch of Redis taken away
//!   -> nobody came there -> directory marked
//! ```
//!
//! Redis is filled by the rebuild that the first node begins where partitions have no epoch: there
//! is no second way in. `target` who runs there, and Redis.

pub(super) mod target;

use std::collections::BTreeMap;
use std::path::Path;

use jiff::tz::TimeZone;

use self::target::MigrationTarget;
use super::failure::Failure;
use super::ownership::{self, Moved, StoreMark};
use super::{shared_keys, signing_keys, stopped_journal};
use nudged_api::token::Secret;
use nudged_base::ids::UserKey;
use nudged_base::limits::{MOVED_ROWS, POPUPS_MAX};
use nudged_base::time::WallMs;
use nudged_config::Config;
use nudged_journal::recovery;
use nudged_journal::segment::SetId;
use nudged_publish::catalog_copy;
use nudged_publish::overrides::{in_directory, tokens_in_directory};
use nudged_publish::shared_catalog::SharedCatalog;
use nudged_runtime::journal::directory::JournalDirectory;
use nudged_store::sqlite::{FILE_NAME, Peek};
use nudged_store::whole::{TakenPopup, TakenUsers, WholeStat, WholeStream};
use nudged_store::{Store, StoredKey, StreamId};

/// What is called after each piece, at most `MOVED_ROWS` users, events or counts in one transaction
/// of the target: with a line for people where a step has ended with it. Where it gives an error
/// the move ends there, and begun anew it goes on.
pub type Report<'r> = dyn FnMut(Option<&str>) -> Result<(), Failure> + 'r;

/// A move under way.
struct Migration<'m> {
    config: &'m Config,
    from: &'m Path,
    now: WallMs,
    zone: TimeZone,
    source: Store,
    target: MigrationTarget,
    streams: Vec<WholeStream>,
    /// The claims of the target's own streams before anything was moved.
    claims: (u64, u64),
    are_nodes_lost: bool,
    /// Held to the end: nobody serves the directory meanwhile.
    _lock: JournalDirectory,
}

/// Moves a directory, once its journal is applied to its own database and nobody runs on either
/// side. With `are_nodes_lost` nodes of the target that did not stop cleanly are gone on without.
///
/// # Errors
/// Where the configuration names no MySQL, exit code 2; where the directory is no embedded node's,
/// or in use, or a node of the target runs or did not stop cleanly, or either side fails: exit code
/// 4.
pub fn run(
    config: &Config,
    from: &Path,
    (now, are_nodes_lost): (WallMs, bool),
    report: &mut Report<'_>,
) -> Result<(), Failure> {
    if config.mysql.url.is_none() {
        let problem = "migrate --from moves a directory into mysql.url, but mysql.url is not set";
        return Err(Failure::Configuration(problem.to_owned()));
    }
    if !from.join(FILE_NAME).exists() {
        return Err(Failure::directory(from)(format!(
            "it has no data of an embedded node: there is no {FILE_NAME}"
        )));
    }
    let lock = JournalDirectory::open(&from.join("journal"));
    let lock = lock.map_err(Failure::directory(from))?;
    let mut target = MigrationTarget::open(config, from)?;
    if let StoreMark::Moved(moved) = ownership::mark(from)? {
        return report(Some(&already(from, &lock, &mut target, moved)?));
    }
    let mut own = config.clone();
    (own.data, own.mysql.url) = (from.to_owned(), None);
    ownership::check(&own, None, &lock.reader(), false)?;
    let mut source = Store::open(from)?;
    let applied = stopped_journal::apply(&mut source, &lock).map_err(Failure::directory(from))?;
    // What was paused while the disk took nothing.
    let overrides = in_directory(from).map_err(Failure::directory(from))?;
    source.put_overrides(&overrides)?;
    let tokens = tokens_in_directory(from).map_err(Failure::directory(from))?;
    source.put_operator_tokens(&tokens)?;
    let streams = source.whole_streams()?;
    // Before the look: a node that comes in between is in one of the two.
    let claims = target.sql().claims_but(&sets_of(&streams))?;
    target.refuse_nodes(are_nodes_lost)?;
    let zone = TimeZone::get(&config.tz).unwrap_or(TimeZone::UTC);
    let numbers = target.sql().stream_numbers(&sets_of(&streams))?;
    let pairs = streams.iter().map(|stream| (stream.stream, numbers[&stream.set]));
    let numbers: BTreeMap<u32, StreamId> = pairs.collect();
    report(Some(&format!("journal: {applied} records applied to nudged.db")))?;
    let mut migration = Migration {
        config,
        from,
        now,
        zone,
        streams,
        source,
        target,
        claims,
        are_nodes_lost,
        _lock: lock,
    };
    migration.move_all(&numbers, report)
}

/// A directory that says that it was moved: into this database, or there is something wrong.
fn already(
    from: &Path,
    lock: &JournalDirectory,
    target: &mut MigrationTarget,
    Moved { server, id }: Moved,
) -> Result<String, Failure> {
    let set = recovery::set_of(&lock.reader()).map_err(Failure::directory(from))?;
    let known = match id.or(set.map(target::set_name)) {
        Some(set) => target.sql().knows_set(&set)?,
        None => true,
    };
    match known {
        true => Ok(format!("{}: already moved to {server}, nothing to do", from.display())),
        false => Err(Failure::directory(from)(format!(
            "its users were moved to {server}, which is not the database of mysql.url: move them \
             from there with `nudged export` and `nudged import`"
        ))),
    }
}

fn sets_of(streams: &[WholeStream]) -> Vec<String> {
    streams.iter().map(|stream| stream.set.clone()).collect()
}

impl Migration<'_> {
    fn move_all(
        &mut self,
        numbers: &BTreeMap<u32, StreamId>,
        report: &mut Report<'_>,
    ) -> Result<(), Failure> {
        report(Some(&self.move_keys()?))?;
        report(Some(&self.move_popups()?))?;
        report(Some(&self.move_overrides()?))?;
        let users = self.move_users(report)?;
        report(Some(&users))?;
        let erases = self.move_erases(report)?;
        report(Some(&erases))?;
        let events = self.move_events(numbers, report)?;
        report(Some(&events))?;
        let statistics = self.move_statistics(report)?;
        report(Some(&statistics))?;
        report(Some(&self.move_positions()?))?;
        report(Some(self.take_epochs_away()?))?;
        report(Some(&self.mark()?))
    }

    /// Refuses where a node has started since the move began, whether it still runs or not: it took
    /// those who had not been moved yet for new ones.
    fn refuse_newcomers(&mut self) -> Result<(), Failure> {
        self.target.refuse_nodes(self.are_nodes_lost)?;
        match self.target.sql().claims_but(&sets_of(&self.streams))? == self.claims {
            true => Ok(()),
            false => Err(Failure::NodeCame { target: self.target.name() }),
        }
    }

    /// Keys of the directory verify what they signed, and never sign; the target gets one that
    /// does.
    fn move_keys(&mut self) -> Result<String, Failure> {
        let stored = self.source.own_signing_keys()?;
        let own = signing_keys::read(self.from)?;
        let own = own.unwrap_or_else(|| stored.into_iter().map(shared_keys::secret_of).collect());
        let moved = |key: &Secret| {
            let key = shared_keys::stored_of(key);
            StoredKey { moved_at: key.moved_at.or(Some(self.now)), ..key }
        };
        let moved: Vec<StoredKey> = own.iter().map(moved).collect();
        self.target.sql().add_signing_keys(&moved)?;
        let system = Failure::system("get random bytes for a signing key");
        let fresh = signing_keys::fresh(self.now).map_err(system)?;
        self.target.sql().signing_keys(&shared_keys::stored_of(&fresh))?;
        Ok(format!("signing keys: {} moved, their tokens stay valid", moved.len()))
    }

    fn move_popups(&mut self) -> Result<String, Failure> {
        let popups = self.source.whole_popups()?;
        let (mut new, mut known, mut differing) = (0_u64, 0_u64, Vec::new());
        let mut of_file = Vec::new();
        for popup in &popups {
            match self.target.sql().take_popup(popup)? {
                TakenPopup::New => {
                    new += 1;
                    if popup.is_in_file() {
                        of_file.push(popup.id());
                    }
                }
                TakenPopup::Known => known += 1,
                TakenPopup::Differs => differing.push(popup.id()),
            }
        }
        let drafts = self.move_drafts()?;
        let mut said =
            format!("popups: {new} moved with their history, {known} already there and the same");
        if drafts > 0 {
            said.push_str(&format!(", {drafts} drafts moved"));
        }
        if !differing.is_empty() {
            said.push_str(&format!(
                ", {} already there with another definition, which they keep: {}",
                differing.len(),
                differing.join(", ")
            ));
        }
        if !of_file.is_empty() {
            said.push_str(&format!(
                "\npopups {}: add them to the nodes' popups file, or the next start with that file \
                 archives them",
                of_file.join(", ")
            ));
        }
        Ok(said)
    }

    /// Drafts of popups that have none there; gives their number.
    fn move_drafts(&mut self) -> Result<usize, Failure> {
        let mut moved = 0;
        for draft in self.source.drafts()? {
            let target = self.target.sql();
            if target.draft(&draft.id)?.is_none() {
                target.take_draft(&draft, POPUPS_MAX)?;
                moved += 1;
            }
        }
        Ok(moved)
    }

    fn move_overrides(&mut self) -> Result<String, Failure> {
        let entries = self.source.whole_overrides()?;
        self.target.sql().take_overrides(&entries)?;
        let standing = entries.iter().filter(|entry| entry.end.is_none()).count();
        let said = format!("overrides: {standing} in force, {} in total", entries.len());
        let tokens = self.source.whole_operator_tokens()?;
        if tokens.is_empty() {
            return Ok(said);
        }
        self.target.sql().put_operator_tokens(&tokens)?;
        Ok(format!("{said}; operators' tokens: {} in total", tokens.len()))
    }

    fn move_users(&mut self, report: &mut Report<'_>) -> Result<String, Failure> {
        let (mut after, mut taken) = (String::new(), TakenUsers::default());
        loop {
            let users = self.source.whole_users_after(&after, MOVED_ROWS)?;
            let Some(last) = users.last() else { break };
            after.clone_from(&last.user);
            self.target.take_redis_in(&users, &self.zone)?;
            taken.add(self.target.store().take_users(&users, &self.zone)?);
            report(None)?;
        }
        let TakenUsers { new, united, known } = taken;
        Ok(format!(
            "users: {} ({new} moved, {united} already there and now with the shows of both, \
             {known} already there and unchanged)",
            new + united + known
        ))
    }

    fn move_erases(&mut self, report: &mut Report<'_>) -> Result<String, Failure> {
        let (mut after, mut count, mut there) = (i64::MIN, 0, 0_u64);
        loop {
            let erases = self.source.tombstones_after(after, MOVED_ROWS)?;
            let Some(last) = erases.last() else { break };
            after = last.key.0.cast_signed();
            count += erases.len();
            self.target.store().take_tombstones(&erases)?;
            // Whoever came back to the directory after the erase was moved with the users.
            let keys: Vec<UserKey> = erases.iter().map(|erase| erase.key).collect();
            let own = Peek::open(self.from)?;
            for user in self.target.sql().users_of(&keys)? {
                let is_moved = own.as_ref().map_or(Ok(false), |own| own.has_user(&user))?;
                there += u64::from(!is_moved);
            }
            report(None)?;
        }
        let mut said = format!("erased users: {count}, they stay erased");
        if there > 0 {
            let have = if there == 1 { "has" } else { "have" };
            said.push_str(&format!(
                "; {there} erased here {have} records at the target, which are kept: erase them \
                 there as well"
            ));
        }
        Ok(said)
    }

    /// `numbers` are what the source's streams are called in the target.
    fn move_events(
        &mut self,
        numbers: &BTreeMap<u32, StreamId>,
        report: &mut Report<'_>,
    ) -> Result<String, Failure> {
        let (mut after, mut count) = ((0, 0), 0);
        loop {
            let events = self.source.whole_events_after(after, MOVED_ROWS)?;
            let Some(last) = events.last() else { return Ok(format!("events: {count}")) };
            after = (last.stream, i64::try_from(last.sequence.0).unwrap_or(i64::MAX));
            count += events.len();
            self.target.sql().take_events(&events, numbers)?;
            report(None)?;
        }
    }

    fn move_statistics(&mut self, report: &mut Report<'_>) -> Result<String, Failure> {
        let (mut after, mut count) = (None::<WholeStat>, 0);
        loop {
            let stats = self.source.whole_stats_after(after.as_ref(), MOVED_ROWS)?;
            let Some(last) = stats.last() else { return Ok(format!("statistics: {count} rows")) };
            after = Some(last.clone());
            count += stats.len();
            self.target.store().take_stats(&stats)?;
            report(None)?;
        }
    }

    fn move_positions(&mut self) -> Result<String, Failure> {
        self.target.sql().take_positions(&self.streams)?;
        let last = self.streams.iter().map(|stream| stream.applied.0).max().unwrap_or(0);
        Ok(format!("journals: {}, applied up to record {last}", self.streams.len()))
    }

    fn take_epochs_away(&mut self) -> Result<&'static str, Failure> {
        self.refuse_newcomers()?;
        let is_there = self.target.take_epochs_away()?;
        if let Some(mut shared) = SharedCatalog::of(self.config) {
            let catalog = self.target.store().load_catalog()?;
            let (version, overrides) = (catalog.version, &catalog.overrides);
            let text = catalog_copy::encode(version, catalog.popups.iter(), overrides);
            // Nodes look into SQL all the same, only later.
            let _ = shared.put(catalog.version, &text, None);
        }
        Ok(match is_there {
            true => "redis: the first node that starts fills it from MySQL",
            false => "redis: not configured",
        })
    }

    fn mark(&mut self) -> Result<String, Failure> {
        self.refuse_newcomers()?;
        // Whatever it has of journals, and however that database is called: it knows this id.
        let mut fresh = [0; 16];
        getrandom::fill(&mut fresh).map_err(|error| {
            Failure::system("get random bytes for a directory's id")(std::io::Error::other(error))
        })?;
        let id = target::set_name(SetId(u128::from_le_bytes(fresh)));
        self.target.sql().stream_numbers(std::slice::from_ref(&id))?;
        ownership::mark_moved(self.from, &self.target.name(), &id)?;
        let from = self.from.display();
        Ok(format!(
            "{from}: can be served with this configuration from now on, and no longer without it"
        ))
    }
}

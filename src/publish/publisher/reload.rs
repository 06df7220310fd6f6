//! Reloads: configuration and popups file anew. SQL has the popups first and shows them then; where
//! it takes its time, or is away, what the file pauses and archives holds on this node at once, as
//! the file's own status, and the whole file is imported when SQL answers.
//!
//! Limit: [`FILE_STATUSES_MS`] that SQL has before the file's own pauses hold without it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crossbeam::channel::{RecvTimeoutError, bounded};

use super::identity::{self, CERTIFICATE};
use super::import::{check_not_emptied, import_file};
use super::prepare::{add_definitions, compile_file, definitions_of, publish, read_file};
use super::published::{KnownPopup, Published};
use super::settings::{is_json, rules_of};
use super::{Changing, PublishError, Publisher};
use crate::overrides::{self, KnownAtStart};
use crate::popups_file::PopupsFile;
use nudged_base::limits::FILE_STATUSES_MS;
use nudged_base::telemetry::log::{LogValue, Message};
use nudged_config::{Config, Difference, reloadable_difference};
use nudged_domain::catalog::overrides::OverridePlace;
use nudged_domain::catalog::snapshot::Status;
use nudged_runtime::clocks;
use nudged_runtime::turns::HeldTurn;
use nudged_shard::control::ControlRequest;
use nudged_store::StoreError;

/// What a reload did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// The catalog's version now.
    pub version: u64,
    /// Changed settings that hold from now on.
    pub applied: Vec<&'static str>,
    /// Changed settings that wait for a restart.
    pub waiting: Vec<&'static str>,
    /// What is allowed in the popups and still can't be meant, and what waits for SQL.
    pub warnings: Vec<String>,
    /// Whether anything is other than before.
    pub is_changed: bool,
}

/// What is said, behind SQL's own reason, where a file was read that SQL does not know yet.
const WAITS: &str = "the file's own pauses and archives already apply on this node; the whole file \
                     is imported when SQL answers";

impl Publisher {
    /// Takes the configuration and the popups file anew. Answers when every shard has them. `who`
    /// stands in the popups' history. Where nothing is other than before, nothing is changed and
    /// nothing said.
    ///
    /// # Errors
    /// [`PublishError`]; nothing has changed, but for `Unconfirmed`, and but for what the file
    /// pauses and archives where it is `Late`: that holds, and the file is imported by itself.
    pub fn reload(&self, who: &str) -> Result<Reloaded, PublishError> {
        self.reload_in_turn(who).inspect_err(|error| {
            self.count_late(error);
            let message = match error {
                PublishError::Config(_) => Message::ConfigRefused,
                PublishError::Unconfirmed(_) => Message::CatalogUnconfirmed,
                _ => Message::CatalogRefused,
            };
            for line in error.lines() {
                self.log.write(clocks::now(), message, &[("error", LogValue::Text(&line))]);
            }
        })
    }

    fn reload_in_turn(&self, who: &str) -> Result<Reloaded, PublishError> {
        let limit = self.reload_turn_max;
        let mut last_read = self.reloading.take_within(limit).ok_or(PublishError::Late(limit))?;
        let new = (self.read_config)()?;
        let reloaded = self.try_reload(&new, who)?;
        self.announce(&self.current());
        // What waits is logged once, and again where it is changed again.
        let changed = reloadable_difference(&last_read, &new).waiting;
        let mut news = reloaded.waiting.clone();
        news.retain(|key| changed.contains(key));
        self.log_reload(&reloaded, &news);
        *last_read = new;
        Ok(reloaded)
    }

    fn try_reload(&self, new: &Config, who: &str) -> Result<Reloaded, PublishError> {
        let difference = reloadable_difference(&self.config(), new);
        let identity = identity::read(&difference.config)?;
        let mut reloaded = self.reload_popups(difference, who)?;
        if identity::replace(&self.mesh.identity, identity, &self.log)
            && !reloaded.applied.contains(&CERTIFICATE)
        {
            reloaded.applied.push(CERTIFICATE);
        }
        Ok(reloaded)
    }

    fn reload_popups(&self, difference: Difference, who: &str) -> Result<Reloaded, PublishError> {
        let file = match difference.config.popups.clone() {
            Some(path) => Some((read_file(&path)?, path)),
            None => None,
        };
        let before = self.live.lock().file_statuses.clone();
        let is_over = AtomicBool::new(false);
        let mut turn: Option<HeldTurn<'_, Changing>> = None;
        let outcome = std::thread::scope(|scope| {
            let (done, is_done) = bounded::<()>(0);
            let late = Duration::from_millis(FILE_STATUSES_MS);
            let (file, is_over) = (file.as_ref(), &is_over);
            scope.spawn(move || {
                if is_done.recv_timeout(late) == Err(RecvTimeoutError::Timeout) {
                    self.hold_file(file, is_over);
                }
            });
            let changing = self.turn(self.reload_turn_max);
            let outcome = changing.and_then(|changing| {
                self.reload_with(turn.insert(changing), &difference, who, is_over)
            });
            drop(done);
            outcome
        });
        match outcome {
            Err(PublishError::Store(error)) if error.is_unavailable() => {
                is_over.store(false, Ordering::Release);
                let turn = turn.expect("SQL was asked in a turn");
                let file = (file.as_ref(), &error);
                let mut reloaded = self.reload_without_sql(turn, difference, file)?;
                reloaded.is_changed |= self.live.lock().file_statuses != before;
                Ok(reloaded)
            }
            // What is paused in an emergency does not come back for a slow database. A file that
            // was another one until now is left to who asks again.
            Err(late @ PublishError::Late(_))
                if file.is_some() && difference.config.popups == self.config().popups =>
            {
                self.is_file_pending.store(true, Ordering::Release);
                Err(late)
            }
            Err(error) => {
                drop(turn);
                self.set_file_statuses(before)?;
                Err(error)
            }
            Ok((shown, is_changed)) => {
                drop(turn);
                self.finish(difference, &shown, is_changed)
            }
        }
    }

    /// Brings the file to SQL, and shows what comes of it.
    fn reload_with(
        &self,
        changing: &mut Changing,
        difference: &Difference,
        who: &str,
        is_over: &AtomicBool,
    ) -> Result<(Published, bool), PublishError> {
        let config = &difference.config;
        let mut definitions = definitions_of(&self.current().popups);
        let imported = import_file(&mut changing.store, config, &mut definitions, who);
        is_over.store(true, Ordering::Release);
        let imported = imported?;
        self.log_owners(&imported.replaced, &imported.released);
        let published = publish(imported.stored, &definitions, (config, 0), &self.log)?;
        changing.config = config.clone();
        self.is_file_pending.store(false, Ordering::Release);
        self.show(published, true)
    }

    /// Takes what can be taken: settings, and what the file does not show.
    fn reload_without_sql(
        &self,
        mut changing: HeldTurn<'_, Changing>,
        difference: Difference,
        (file, why): (Option<&(PopupsFile, PathBuf)>, &StoreError),
    ) -> Result<Reloaded, PublishError> {
        let current = self.current();
        if let Some(read @ (file, path)) = file {
            check_file(path, file, &current, &difference.config)?;
            self.hold_file(Some(read), &AtomicBool::new(false));
        }
        changing.config = difference.config.clone();
        self.is_file_pending.fetch_or(file.is_some(), Ordering::AcqRel);
        // With the settings as they are now.
        let catalog = current.stored();
        let published =
            publish(catalog, &definitions_of(&current.popups), (&changing.config, 0), &self.log)?;
        drop(changing);
        let (shown, is_changed) = self.show(published, false)?;
        let mut reloaded = self.finish(difference, &shown, is_changed)?;
        if file.is_some() {
            let why = why.to_string();
            self.log.write(clocks::now(), Message::FileWaits, &[("error", LogValue::Text(&why))]);
            reloaded.warnings.push(format!("{why}: {WAITS}"));
        }
        Ok(reloaded)
    }

    /// Runs by the new settings, and gives what was done.
    fn finish(
        &self,
        difference: Difference,
        shown: &Published,
        is_changed: bool,
    ) -> Result<Reloaded, PublishError> {
        let warnings = match is_changed {
            true => shown.log_warnings(&self.log),
            false => shown.warnings(),
        };
        *self.config.write().unwrap_or_else(PoisonError::into_inner) =
            Arc::new(difference.config.clone());
        self.apply_log(&difference);
        self.apply_retention(&difference);
        self.swap_rules(&difference)?;
        let Difference { applied, waiting, .. } = difference;
        let version = shown.snapshot.version;
        Ok(Reloaded { version, applied, waiting, warnings, is_changed })
    }

    /// Has what a file pauses and archives hold, unless SQL has the file.
    fn hold_file(&self, file: Option<&(PopupsFile, PathBuf)>, is_over: &AtomicBool) {
        let Some((file, path)) = file else { return };
        let current = self.current();
        if check_file(path, file, &current, &self.config()).is_err() {
            return;
        }
        let mut live = self.live.lock();
        if is_over.load(Ordering::Acquire) {
            return;
        }
        live.file_statuses = file_statuses(file, &current);
        // That a shard is slow to say so is told by the reload that waits for SQL.
        let _ = self.show_again(&live, &mut |_| {});
        self.live.ring();
    }

    fn set_file_statuses(&self, statuses: BTreeMap<String, Status>) -> Result<(), PublishError> {
        let mut live = self.live.lock();
        if live.file_statuses == statuses {
            return Ok(());
        }
        live.file_statuses = statuses;
        self.show_again(&live, &mut |_| {}).map(drop)
    }

    /// What holds from the start on: above the catalog that was read, what the file says that SQL
    /// could not be told, and the pauses and archives that this node, Redis and SQL know of.
    ///
    /// # Errors
    /// Where the file can't be read, or can't stand together with the rest.
    pub(super) fn begin(&self, published: Published) -> Result<(), PublishError> {
        let (config, is_file_pending) = (self.config(), self.is_file_pending());
        if let Some(path) = config.popups.as_deref().filter(|_| is_file_pending) {
            let file = read_file(path)?;
            check_file(path, &file, &published, &config)?;
            self.live.lock().file_statuses = file_statuses(&file, &published);
        }
        let KnownAtStart { entries, tokens, problems } = overrides::known_at_start(&config);
        self.with_tokens(|all| {
            tokens.iter().for_each(|(token, place)| _ = all.take(token, *place));
        });
        for problem in problems {
            self.log.write(
                clocks::now(),
                Message::OverridesUnread,
                &[("error", LogValue::Text(&problem))],
            );
        }
        // What comes from a copy may be older than what SQL has: it is brought there once more.
        let place = if is_file_pending { OverridePlace::Memory } else { OverridePlace::Sql };
        let stored = published.overrides.iter().map(|entry| (entry.clone(), place));
        self.begin_with(&published, entries.into_iter().chain(stored));
        Ok(())
    }

    fn swap_rules(&self, difference: &Difference) -> Result<(), PublishError> {
        let of_rules = ["cors.", "keys.", "preview."];
        let is_rule = |key: &&str| of_rules.iter().any(|section| key.starts_with(section));
        if !difference.applied.iter().any(is_rule) {
            return Ok(());
        }
        let rules = Arc::new(rules_of(&difference.config));
        self.command_shards(|| ControlRequest::SwapRules(Arc::clone(&rules)))
    }

    fn apply_retention(&self, difference: &Difference) {
        let retention = &difference.config.retention;
        self.mesh.retention.set(retention.events, retention.users);
    }

    fn apply_log(&self, difference: &Difference) {
        if difference.applied.iter().any(|key| key.starts_with("log.")) {
            let log = &difference.config.log;
            self.log.reload(log.level, is_json(log.format), &log.users);
        }
    }

    fn log_reload(&self, reloaded: &Reloaded, waiting_anew: &[&str]) {
        if reloaded.is_changed {
            let version = LogValue::Number(reloaded.version);
            self.log.write(clocks::now(), Message::CatalogChanged, &[("version", version)]);
        }
        for (message, keys) in
            [(Message::ConfigReloaded, &reloaded.applied[..]), (Message::ConfigWaits, waiting_anew)]
        {
            if !keys.is_empty() {
                self.log.write(
                    clocks::now(),
                    message,
                    &[("keys", LogValue::Text(&keys.join(" ")))],
                );
            }
        }
    }
}

/// Whether a file could be imported, as far as can be told without SQL.
fn check_file(
    path: &Path,
    file: &PopupsFile,
    current: &Published,
    config: &Config,
) -> Result<(), PublishError> {
    check_not_emptied(path, file, &current.stored())?;
    let mut definitions = definitions_of(&current.popups);
    add_definitions(&mut definitions, &file.definitions);
    compile_file(&definitions, config, path)
}

/// What a file says of the popups that it does not show: its own that are not live, and those of
/// the last file that it does not have any more.
fn file_statuses(file: &PopupsFile, current: &Published) -> BTreeMap<String, Status> {
    let is_gone = |known: &&KnownPopup| {
        known.stored.is_in_file()
            && !file.definitions.iter().any(|popup| popup.id() == known.stored.id)
    };
    let gone = current.popups.iter().filter(is_gone);
    let gone = gone.map(|known| (known.stored.id.clone(), Status::Archived));
    let stopped = file.definitions.iter().filter(|popup| popup.status() != Status::Live);
    gone.chain(stopped.map(|popup| (popup.id().to_owned(), popup.status()))).collect()
}

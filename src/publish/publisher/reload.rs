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

use super::import::{check_not_emptied, import_file};
use super::prepare::{definitions_of, publish, read_file, try_compile};
use super::{PublishError, Published, Publisher, Reloaded, log_line, log_warnings};
use crate::overrides;
use crate::popups_file::PopupsFile;
use nudged_base::limits::FILE_STATUSES_MS;
use nudged_base::telemetry::log::{LogValue, Message};
use nudged_config::{Config, Difference, reloadable_difference};
use nudged_domain::catalog::overrides::OverridePlace;
use nudged_domain::catalog::snapshot::Status;
use nudged_store::{StoreError, StoredCatalog, StoredPopup};

/// What is said, behind SQL's own reason, where a file was read that SQL does not know yet.
const WAITS: &str = "the file's own pauses and archives already apply on this node; the whole file \
                     is imported when SQL answers";

impl Publisher {
    /// Takes the configuration and the popups file anew. Answers when every shard has them. `who`
    /// stands in the popups' history. Where nothing is other than before, nothing is changed and
    /// nothing said.
    ///
    /// # Errors
    /// [`PublishError`]; nothing has changed, but for `Unconfirmed`.
    pub fn reload(&self, who: &str) -> Result<Reloaded, PublishError> {
        let mut last_read = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let new = (self.read_config)();
        let reloaded = new.map_err(Into::into).and_then(|new| {
            let reloaded = self.try_reload(&new, who)?;
            Ok((reloaded, std::mem::replace(&mut *last_read, new)))
        });
        match &reloaded {
            Ok((reloaded, former)) => {
                self.announce(&self.current());
                // What waits is told once, and again where it is changed again.
                let changed = reloadable_difference(former, &last_read).waiting;
                let mut news = reloaded.waiting.clone();
                news.retain(|key| changed.contains(key));
                self.log_reload(reloaded, &news);
            }
            Err(error) => {
                let message = match error {
                    PublishError::Config(_) => Message::ConfigRefused,
                    PublishError::Unconfirmed(_) => Message::CatalogUnconfirmed,
                    _ => Message::CatalogRefused,
                };
                for line in error.lines() {
                    log_line(&self.log, message, &[("error", LogValue::Text(&line))]);
                }
            }
        }
        reloaded.map(|(reloaded, _)| reloaded)
    }

    fn try_reload(&self, new: &Config, who: &str) -> Result<Reloaded, PublishError> {
        let difference = reloadable_difference(&self.config(), new);
        let file = match difference.config.popups.clone() {
            Some(path) => Some((read_file(&path)?, path)),
            None => None,
        };
        let before = self.live.lock().file_statuses.clone();
        let is_over = AtomicBool::new(false);
        let outcome = std::thread::scope(|scope| {
            let (done, is_done) = bounded::<()>(0);
            let late = Duration::from_millis(FILE_STATUSES_MS);
            let (file, is_over) = (file.as_ref(), &is_over);
            scope.spawn(move || {
                if is_done.recv_timeout(late) == Err(RecvTimeoutError::Timeout) {
                    self.hold_file(file, is_over);
                }
            });
            let outcome = self.reload_with(&difference, who, is_over);
            drop(done);
            outcome
        });
        match outcome {
            Err(PublishError::Store(error)) if error.is_unavailable() => {
                is_over.store(false, Ordering::Release);
                let mut reloaded = self.reload_without_sql(difference, (file.as_ref(), &error))?;
                reloaded.is_changed |= self.live.lock().file_statuses != before;
                Ok(reloaded)
            }
            Err(error) => {
                self.set_file_statuses(before)?;
                Err(error)
            }
            Ok((shown, is_changed)) => self.finish(difference, &shown, is_changed),
        }
    }

    /// Brings the file to SQL, and shows what comes of it.
    fn reload_with(
        &self,
        difference: &Difference,
        who: &str,
        is_over: &AtomicBool,
    ) -> Result<(Published, bool), PublishError> {
        let mut changing = self.lock();
        let config = &difference.config;
        let mut definitions = definitions_of(&self.current().popups);
        let imported = import_file(&mut changing.store, config, &mut definitions, who);
        is_over.store(true, Ordering::Release);
        let imported = imported?;
        self.log_owners(&imported.replaced, &imported.released);
        let published = publish(imported.stored, &definitions, (config, 0), &self.log)?;
        changing.config = config.clone();
        changing.is_file_pending = false;
        self.show_file(published)
    }

    /// Takes what can be taken: settings, and what the file does not show.
    fn reload_without_sql(
        &self,
        difference: Difference,
        (file, why): (Option<&(PopupsFile, PathBuf)>, &StoreError),
    ) -> Result<Reloaded, PublishError> {
        let mut changing = self.lock();
        let current = self.current();
        if let Some(read @ (file, path)) = file {
            check_file(path, file, &current, &difference.config)?;
            self.hold_file(Some(read), &AtomicBool::new(false));
        }
        changing.config = difference.config.clone();
        changing.is_file_pending |= file.is_some();
        // With the settings as they are now.
        let catalog = current.stored();
        let published =
            publish(catalog, &definitions_of(&current.popups), (&changing.config, 0), &self.log)?;
        drop(changing);
        let (shown, is_changed) = self.show(published)?;
        let mut reloaded = self.finish(difference, &shown, is_changed)?;
        if file.is_some() {
            let why = why.to_string();
            log_line(&self.log, Message::FileWaits, &[("error", LogValue::Text(&why))]);
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
            true => log_warnings(&shown.snapshot, &self.log),
            false => super::warnings_of(&shown.snapshot),
        };
        *self.config.write().unwrap_or_else(PoisonError::into_inner) =
            Arc::new(difference.config.clone());
        self.apply_log(&difference);
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
        let _ = self.show_again(&live);
        self.live.ring();
    }

    fn set_file_statuses(&self, statuses: BTreeMap<String, Status>) -> Result<(), PublishError> {
        let mut live = self.live.lock();
        if live.file_statuses == statuses {
            return Ok(());
        }
        live.file_statuses = statuses;
        self.show_again(&live).map(drop)
    }

    /// What holds from the start on: above the catalog that was read, what the file says that SQL
    /// could not be told, and the pauses and archives that this node, Redis and SQL know of.
    ///
    /// # Errors
    /// Where the file can't be read, or can't stand together with the rest.
    pub(super) fn begin(
        &self,
        published: Published,
        is_file_pending: bool,
    ) -> Result<(), PublishError> {
        let config = self.config();
        if let Some(path) = config.popups.as_deref().filter(|_| is_file_pending) {
            let file = read_file(path)?;
            check_file(path, &file, &published, &config)?;
            self.live.lock().file_statuses = file_statuses(&file, &published);
        }
        let (entries, problem) = overrides::known_at_start(&config);
        if let Some(problem) = problem {
            log_line(&self.log, Message::OverridesUnread, &[("error", LogValue::Text(&problem))]);
        }
        // What comes from a copy may be older than what SQL has: it is brought there once more.
        let place = if is_file_pending { OverridePlace::Memory } else { OverridePlace::Sql };
        let stored = published.overrides.iter().map(|entry| (entry.clone(), place));
        self.begin_with(&published, entries.into_iter().chain(stored));
        Ok(())
    }

    fn log_reload(&self, reloaded: &Reloaded, waiting_anew: &[&str]) {
        if reloaded.is_changed {
            let version = LogValue::Number(reloaded.version);
            log_line(&self.log, Message::CatalogChanged, &[("version", version)]);
        }
        for (message, keys) in
            [(Message::ConfigReloaded, &reloaded.applied[..]), (Message::ConfigWaits, waiting_anew)]
        {
            if !keys.is_empty() {
                log_line(&self.log, message, &[("keys", LogValue::Text(&keys.join(" ")))]);
            }
        }
    }
}

impl Published {
    /// As the store had it.
    fn stored(&self) -> StoredCatalog {
        let popup = |known: &super::KnownPopup| StoredPopup::clone(&known.stored);
        StoredCatalog {
            version: self.stored_version,
            popups: self.popups.iter().map(popup).collect(),
            overrides: self.overrides.to_vec(),
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
    let of_file = file.definitions.iter();
    definitions
        .extend(of_file.map(|definition| (definition.id().to_owned(), Arc::clone(definition))));
    try_compile(&definitions, config)
        .map_err(|errors| PublishError::Popups { path: path.to_owned(), errors })
}

/// What a file says of the popups that it does not show: its own that are not live, and those of
/// the last file that it does not have any more.
fn file_statuses(file: &PopupsFile, current: &Published) -> BTreeMap<String, Status> {
    let is_gone = |known: &&super::KnownPopup| {
        known.stored.is_in_file()
            && !file.definitions.iter().any(|popup| popup.id() == known.stored.id)
    };
    let gone = current.popups.iter().filter(is_gone);
    let gone = gone.map(|known| (known.stored.id.clone(), Status::Archived));
    let stopped = file.definitions.iter().filter(|popup| popup.status() != Status::Live);
    gone.chain(stopped.map(|popup| (popup.id().to_owned(), popup.status()))).collect()
}

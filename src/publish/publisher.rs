//! The one way by which popups and reloadable settings change: at start, at reload, by an operator.
//! Owns the connection for catalog writes, the running configuration and the current catalog.
//!
//! ```text
//! file, settings -> parsed -> compiled aside -> stored -> swapped on every shard -> current
//! ```
//!
//! Whole or nothing: whatever fails before `stored` changes nothing. From `stored` on a change
//! holds, also where a shard is too slow to say so. Changes are serialised. Must not know requests.

mod change;
mod file_memory;
mod import;
mod live;
mod overriding;
mod prepare;
mod refusal;
mod reload;
mod start;
#[cfg(test)]
mod tests;

use std::io::IsTerminal as _;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use super::shards;
use super::shared_catalog::SharedCatalog;
use import::Imported;
use live::LiveLock;
use nudged_api::access::Access;
use nudged_api::cors::Cors;
use nudged_base::limits::ADMIN_SQL_SILENCE_MS;
use nudged_base::telemetry::log::{Log, LogField, LogValue, Message};
use nudged_base::time::WallMs;
use nudged_config::{Config, Difference, LogFormat};
use nudged_domain::catalog::lint::lint;
use nudged_domain::catalog::overrides::Override;
use nudged_domain::catalog::snapshot::{Settings, Snapshot, Status};
use nudged_domain::catalog::source::Definition;
use nudged_runtime::clocks;
use nudged_runtime::shard::mesh::Mesh;
use nudged_shard::control::ControlRequest;
use nudged_shard::view::Rules;
use nudged_store::{Store, StoredPopup};
use prepare::{definitions_of, publish};

pub use change::{Changed, EditContext, ExpectedVersion, PopupEdit};
pub use import::{ImportedLine, import_popups};
pub use overriding::{Overridden, OverrideRequest};
pub use refusal::{ConfigRefused, PublishError};

/// Reads the configuration anew, from all its layers.
pub type ReadConfig = Box<dyn Fn() -> Result<Config, ConfigRefused> + Send + Sync>;

/// A popup as it is stored, with its definition read.
#[derive(Clone, Debug)]
pub struct KnownPopup {
    /// What the store has.
    pub stored: Arc<StoredPopup>,
    /// Its text, read.
    pub definition: Arc<Definition>,
    /// Its own status: its definition's, or archived where it is gone.
    pub own: Status,
    /// What operators set above that, if anything.
    pub override_status: Option<Status>,
    /// The status that decisions go by.
    pub status: Status,
}

/// The catalog that is current: as decisions see it, and as it is stored. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Published {
    /// What every shard decides by.
    pub snapshot: Arc<Snapshot>,
    /// Every popup that was ever stored, sorted by id.
    pub popups: Arc<[KnownPopup]>,
    /// The store's own version of it, the same on every node.
    pub stored_version: u64,
    /// When it became current.
    pub at: WallMs,
    /// The pauses and archives that the store has.
    pub overrides: Arc<[Override]>,
}

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

/// What a publisher is made of.
pub struct PublisherSetup {
    /// A connection of its own.
    pub store: Store,
    /// Whether the store is known to answer: else a copy is taken at once where there is one.
    pub is_store_there: bool,
    /// The configuration that the node starts with.
    pub config: Config,
    /// Reads it anew at reload.
    pub read_config: ReadConfig,
    /// The shards that changes go to.
    pub mesh: Arc<Mesh>,
    /// Where changes are told.
    pub log: Log,
}

/// Looks whether the popups file of a configuration can be read, and its popups stand together;
/// what a store has is not asked.
///
/// # Errors
/// As a start would find the file by itself.
pub fn check_file(config: &Config) -> Result<(), PublishError> {
    let Some(path) = &config.popups else { return Ok(()) };
    let file = prepare::read_file(path)?;
    let by_id = file.definitions.into_iter().map(|popup| (popup.id().to_owned(), popup));
    prepare::try_compile(&by_id.collect(), config)
        .map_err(|errors| PublishError::Popups { path: path.clone(), errors })
}

/// What only a change may touch.
struct Changing {
    store: Store,
    config: Config,
    /// The popups file waits until the store can be reached: the node started with a copy.
    is_file_pending: bool,
}

/// The way to tell other nodes of a change, and the latest version that they were told.
struct Announcing {
    shared: Option<SharedCatalog>,
    version: u64,
}

/// Publishes catalogs and settings to the shards of this node.
pub struct Publisher {
    changing: Mutex<Changing>,
    current: RwLock<Published>,
    config: RwLock<Arc<Config>>,
    announcing: Mutex<Announcing>,
    /// What wins over the stored catalog; never held while SQL is waited for.
    live: LiveLock,
    /// One reload at a time; the configuration as the last good one read it.
    reloading: Mutex<Config>,
    /// How often this node's popups file has undone what another one's had set.
    replaced: AtomicU64,
    /// Catalogs that were current and by which answers on their way may have been decided.
    former: Mutex<Vec<Arc<Snapshot>>>,
    mesh: Arc<Mesh>,
    read_config: ReadConfig,
    log: Log,
}

impl Publisher {
    /// Reads the popups for the first time: imports the file, or takes what is stored where none
    /// is configured. No shard is told: they start with [`Publisher::snapshot`] and
    /// [`Publisher::rules`].
    ///
    /// # Errors
    /// Where the file or the store fails; then nothing is changed.
    pub fn load(setup: PublisherSetup) -> Result<Publisher, PublishError> {
        let PublisherSetup { mut store, is_store_there, config, read_config, mesh, log } = setup;
        store.answer_within(Duration::from_millis(ADMIN_SQL_SILENCE_MS));
        let mut definitions = definitions_of(&[]);
        let copy = if is_store_there { None } else { start::newest_copy(&config, &log) };
        let (imported, is_file_pending) = match copy {
            Some(stored) => (Imported::unchanged(stored), true),
            None => start::first(&mut store, &config, &mut definitions, &log)?,
        };
        let Imported { stored, replaced, released } = imported;
        let published = publish(stored, &definitions, (&config, 0), &log)?;
        log_warnings(&published.snapshot, &log);
        let shared = SharedCatalog::of(&config);
        let publisher = Publisher {
            changing: Mutex::new(Changing { store, config: config.clone(), is_file_pending }),
            current: RwLock::new(published.clone()),
            reloading: Mutex::new(config.clone()),
            config: RwLock::new(Arc::new(config)),
            announcing: Mutex::new(Announcing { shared, version: 0 }),
            live: LiveLock::default(),
            replaced: AtomicU64::new(0),
            former: Mutex::default(),
            mesh,
            read_config,
            log,
        };
        publisher.log_owners(&replaced, &released);
        publisher.begin(published, is_file_pending)?;
        Ok(publisher)
    }

    /// The catalog that is current.
    pub fn current(&self) -> Published {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What every shard decides by.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current().snapshot
    }

    /// Catalogs in memory: the current one, and those by which answers on their way were decided.
    /// A shard holds `CATALOGS_HELD_MAX` at most. What nobody holds any more is freed here, so that
    /// no shard has to.
    pub fn catalogs(&self) -> usize {
        let mut former = self.former.lock().unwrap_or_else(PoisonError::into_inner);
        former.retain(|snapshot| Arc::strong_count(snapshot) > 1);
        1 + former.len()
    }

    /// A catalog is no longer current.
    fn retire(&self, snapshot: Arc<Snapshot>) {
        self.former.lock().unwrap_or_else(PoisonError::into_inner).push(snapshot);
        self.catalogs();
    }

    /// The configuration that is running.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keys and origins of the running configuration, for the shards' start.
    pub fn rules(&self) -> Arc<Rules> {
        Arc::new(rules_of(&self.config()))
    }

    /// A panic ends the process, so a poisoned lock guards what it always did.
    fn lock(&self) -> MutexGuard<'_, Changing> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn swap_rules(&self, difference: &Difference) -> Result<(), PublishError> {
        let is_rule = |key: &&str| key.starts_with("cors.") || key.starts_with("keys.");
        if !difference.applied.iter().any(is_rule) {
            return Ok(());
        }
        let rules = Arc::new(rules_of(&difference.config));
        self.command_shards(|| ControlRequest::SwapRules(Arc::clone(&rules)))
    }

    fn command_shards(&self, command: impl Fn() -> ControlRequest) -> Result<(), PublishError> {
        shards::ask_all(&self.mesh, command).map_err(PublishError::Unconfirmed)
    }

    fn apply_log(&self, difference: &Difference) {
        if difference.applied.iter().any(|key| key.starts_with("log.")) {
            let log = &difference.config.log;
            self.log.reload(log.level, is_json(log.format), &log.users);
        }
    }
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Publisher").field("version", &self.current().snapshot.version).finish()
    }
}

/// Whether log lines are JSON: by default they are, but for a terminal.
pub fn is_json(format: LogFormat) -> bool {
    match format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    }
}

/// The settings of decisions.
pub fn settings_of(config: &Config) -> Settings {
    let tz = Settings::parse("0s", 0, 0, &config.tz).expect("the configuration has read the zone");
    Settings {
        quiet_time: config.quiet_time,
        max_per_day: config.max_per_day,
        max_per_session: config.max_per_session,
        tz: tz.tz,
    }
}

/// Keys and origins, by listener. Keys are asked for on loopback too: behind a proxy on this host
/// everybody comes from there.
fn rules_of(config: &Config) -> Rules {
    let server = config.keys.server.iter().map(|key| key.expose());
    let public = config.keys.public.iter().map(|key| key.expose());
    let access = Access::new(server, public);
    let cors = Cors::new(config.cors.origins.clone(), config.cors.max_age);
    Rules { access: vec![access; config.listen.len()], cors }
}

/// What is allowed and still can't be meant, as lines.
fn warnings_of(snapshot: &Snapshot) -> Vec<String> {
    lint(snapshot).iter().map(ToString::to_string).collect()
}

/// As [`warnings_of`], and told.
fn log_warnings(snapshot: &Snapshot, log: &Log) -> Vec<String> {
    let warnings = warnings_of(snapshot);
    for warning in &warnings {
        log_line(log, Message::CatalogLint, &[("warning", LogValue::Text(warning))]);
    }
    warnings
}

fn log_line(log: &Log, message: Message, fields: &[LogField<'_>]) {
    log.write(clocks::now(), message, fields);
}

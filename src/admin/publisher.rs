//! The one way by which popups and reloadable settings change: at start, at reload, by an operator.
//! Owns the connection for catalog writes, the running configuration and the current catalog.
//!
//! ```text
//! file, settings -> parsed -> compiled aside -> stored -> swapped on every shard -> current
//! ```
//!
//! Whole or nothing: whatever fails before `stored` changes nothing. From `stored` on a change
//! holds, also where a shard is too slow to say so. Changes are serialised. Must not know requests.

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::popups_file::{self, PopupsFileError};
use super::shards::{self, NoAnswer};
use crate::api::access::Access;
use crate::api::cors::Cors;
use crate::base::time::WallMs;
use crate::catalog::compile::{Entry, compile};
use crate::catalog::lint::lint;
use crate::catalog::snapshot::{Settings, Snapshot, Status};
use crate::catalog::source::{Definition, SourceError, parse_json_popup};
use crate::config::{Config, Difference, LogFormat, reloadable_difference};
use crate::runtime::clocks;
use crate::runtime::log_thread::stamp_now;
use crate::runtime::mesh::Mesh;
use crate::shard::control::Command;
use crate::shard::view::Rules;
use crate::store::{Store, StoreError, StoredPopup};
use crate::telemetry::log::{Field, Log, Message, Value};

/// Reads the configuration anew, from all its layers.
pub type ReadConfig = Box<dyn Fn() -> Result<Config, ConfigRefused> + Send + Sync>;

/// A configuration that can't be taken: a line for each error, where it came from first.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigRefused(pub Vec<String>);

/// Why a change was not made, or not confirmed.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The configuration has errors; nothing changed.
    #[error(transparent)]
    Config(#[from] ConfigRefused),
    /// The popups file can't be read; nothing changed.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The popups have errors; nothing changed.
    #[error("{}", in_file(path, errors).join("\n"))]
    Popups {
        /// The file.
        path: PathBuf,
        /// Every error.
        errors: Vec<SourceError>,
    },
    /// No popup has this id; nothing changed.
    #[error("no such popup")]
    NoSuchPopup,
    /// The popup is archived, since its id is gone from the file; nothing changed.
    #[error("the popup is archived: its id is gone from the popups file")]
    Archived,
    /// The store failed; nothing changed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The change is stored and made; these shards have not said so in time.
    #[error("{} shards did not answer in time; the change is stored", .0.len())]
    Unconfirmed(Vec<NoAnswer>),
}

impl PublishError {
    /// A line for each error, for people.
    pub fn lines(&self) -> Vec<String> {
        match self {
            PublishError::Config(ConfigRefused(lines)) => lines.clone(),
            PublishError::Popups { path, errors } => in_file(path, errors),
            other => vec![other.to_string()],
        }
    }
}

fn in_file(path: &Path, errors: &[SourceError]) -> Vec<String> {
    let file = path.display().to_string();
    errors.iter().map(|error| error.in_file(&file)).collect()
}

/// A popup as it is stored, with its definition read.
#[derive(Clone, Debug)]
pub struct Known {
    /// What the store has.
    pub stored: StoredPopup,
    /// Its text, read.
    pub definition: Arc<Definition>,
}

impl Known {
    /// The status that decisions go by: an operator's, else the definition's.
    pub fn status(&self) -> Status {
        self.stored.status_override.unwrap_or(self.definition.status())
    }
}

/// The catalog that is current: as decisions see it, and as it is stored. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Published {
    /// What every shard decides by.
    pub snapshot: Arc<Snapshot>,
    /// Every popup that was ever stored, sorted by id.
    pub popups: Arc<[Known]>,
    /// When it became current.
    pub at: WallMs,
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
    /// What is allowed in the popups and still can't be meant.
    pub warnings: Vec<String>,
}

/// What a publisher is made of.
pub struct PublisherSetup {
    /// A connection of its own.
    pub store: Store,
    /// The configuration that the node starts with.
    pub config: Config,
    /// Reads it anew at reload.
    pub read_config: ReadConfig,
    /// The shards that changes go to.
    pub mesh: Arc<Mesh>,
    /// Where changes are told.
    pub log: Log,
}

/// What only a change may touch.
struct Changing {
    store: Store,
    config: Config,
}

/// Publishes catalogs and settings to the shards of this node.
pub struct Publisher {
    changing: Mutex<Changing>,
    current: RwLock<Published>,
    config: RwLock<Arc<Config>>,
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
        let PublisherSetup { mut store, config, read_config, mesh, log } = setup;
        let prepared = prepare(&store, &config, &[], &log)?;
        let published = prepared.store(&mut store, &config, ("start", 1), &log)?;
        tell_warnings(&published.snapshot, &log);
        Ok(Publisher {
            changing: Mutex::new(Changing { store, config: config.clone() }),
            current: RwLock::new(published),
            config: RwLock::new(Arc::new(config)),
            mesh,
            read_config,
            log,
        })
    }

    /// The catalog that is current.
    pub fn current(&self) -> Published {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What every shard decides by.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current().snapshot
    }

    /// The configuration that is running.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keys and origins of the running configuration, for the shards' start.
    pub fn rules(&self) -> Arc<Rules> {
        Arc::new(rules_of(&self.config()))
    }

    /// Takes the configuration and the popups file anew. Answers when every shard has them. `who`
    /// stands in the popups' history.
    ///
    /// # Errors
    /// [`PublishError`]; nothing has changed, but for `Unconfirmed`.
    pub fn reload(&self, who: &str) -> Result<Reloaded, PublishError> {
        let reloaded = self.try_reload(who);
        match &reloaded {
            Ok(reloaded) => self.tell_reload(reloaded),
            Err(error) => {
                let message = match error {
                    PublishError::Config(_) => Message::ConfigRefused,
                    _ => Message::CatalogRefused,
                };
                for line in error.lines() {
                    tell(&self.log, message, &[("error", Value::Text(&line))]);
                }
            }
        }
        reloaded
    }

    fn try_reload(&self, who: &str) -> Result<Reloaded, PublishError> {
        let mut changing = self.lock();
        let new = (self.read_config)()?;
        let difference = reloadable_difference(&changing.config, &new);
        let config = &difference.config;
        let before = self.current();
        let prepared = prepare(&changing.store, config, &before.popups, &self.log)?;
        let version = before.snapshot.version + 1;
        let published = prepared.store(&mut changing.store, config, (who, version), &self.log)?;
        let warnings = tell_warnings(&published.snapshot, &self.log);
        changing.config = config.clone();
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config.clone());
        self.apply_log(&difference);
        let swapped = self.swap(published);
        let ruled = self.swap_rules(&difference);
        swapped.and(ruled)?;
        let Difference { applied, waiting, .. } = difference;
        Ok(Reloaded { version, applied, waiting, warnings })
    }

    /// Sets the status of a popup that wins over its definition's. Answers when every shard decides
    /// by it; where it holds already, at once.
    ///
    /// # Errors
    /// [`PublishError`]; nothing has changed, but for `Unconfirmed`.
    pub fn set_status(&self, id: &str, status: Status, who: &str) -> Result<Known, PublishError> {
        let mut changing = self.lock();
        let before = self.current();
        let found = before.popups.binary_search_by(|known| known.stored.id.as_str().cmp(id));
        let index = found.map_err(|_| PublishError::NoSuchPopup)?;
        match before.popups[index].stored.status_override {
            Some(Status::Archived) => return Err(PublishError::Archived),
            Some(already) if already == status => return Ok(before.popups[index].clone()),
            _ => {}
        }
        let mut popups = before.popups.to_vec();
        popups[index].stored.status_override = Some(status);
        let known = popups[index].clone();
        let version = before.snapshot.version + 1;
        let snapshot = compile_all(&popups, settings_of(&changing.config), version)
            .expect("only a status differs from a catalog that compiled");
        changing.store.set_override(id, status, who, clocks::wall())?;
        tell(&self.log, Message::PopupChanged, &[("popup", Value::Text(id))]);
        self.swap(Published {
            snapshot: Arc::new(snapshot),
            popups: popups.into(),
            at: clocks::wall(),
        })?;
        Ok(known)
    }

    /// A panic ends the process, so a poisoned lock guards what it always did.
    fn lock(&self) -> MutexGuard<'_, Changing> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a catalog current here and on every shard.
    fn swap(&self, published: Published) -> Result<(), PublishError> {
        let snapshot = Arc::clone(&published.snapshot);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = published;
        self.tell_shards(|| Command::SwapCatalog(Arc::clone(&snapshot)))
    }

    fn swap_rules(&self, difference: &Difference) -> Result<(), PublishError> {
        if !difference.applied.iter().any(|key| key.starts_with("cors.")) {
            return Ok(());
        }
        let rules = Arc::new(rules_of(&difference.config));
        self.tell_shards(|| Command::SwapRules(Arc::clone(&rules)))
    }

    fn tell_shards(&self, command: impl Fn() -> Command) -> Result<(), PublishError> {
        shards::ask_all(&self.mesh, command).map_err(PublishError::Unconfirmed)
    }

    fn apply_log(&self, difference: &Difference) {
        if difference.applied.iter().any(|key| key.starts_with("log.")) {
            let log = &difference.config.log;
            self.log.reload(log.level, is_json(log.format), &log.users);
        }
    }

    fn tell_reload(&self, reloaded: &Reloaded) {
        tell(&self.log, Message::CatalogChanged, &[("version", Value::Number(reloaded.version))]);
        for (message, keys) in [
            (Message::ConfigReloaded, &reloaded.applied),
            (Message::ConfigWaits, &reloaded.waiting),
        ] {
            if !keys.is_empty() {
                tell(&self.log, message, &[("keys", Value::Text(&keys.join(" ")))]);
            }
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

/// Keys and origins, by listener: keys are asked for where others than this host can reach it.
fn rules_of(config: &Config) -> Rules {
    let access = config.listen.iter().map(|address| {
        let server = config.keys.server.iter().map(|key| key.expose());
        let public = config.keys.public.iter().map(|key| key.expose());
        Access::new(server, public, !address.ip().is_loopback())
    });
    let cors = Cors::new(config.cors.origins.clone(), config.cors.max_age);
    Rules { access: access.collect(), cors }
}

/// A catalog that compiles and is not stored yet.
struct Prepared {
    /// What the file says; `None` where none is configured.
    file: Option<Vec<Arc<Definition>>>,
    /// Definitions that have been read, by id; the file's before those that are stored.
    read: HashMap<String, Arc<Definition>>,
}

impl Prepared {
    /// Stores the file's popups, by `who`, and compiles what is stored then.
    fn store(
        self,
        store: &mut Store,
        config: &Config,
        who_version: (&str, u64),
        log: &Log,
    ) -> Result<Published, PublishError> {
        let (who, version) = who_version;
        let at = clocks::wall();
        let stored = match &self.file {
            None => store.load_popups()?,
            Some(definitions) => {
                let texts: Vec<(&str, String)> = definitions
                    .iter()
                    .map(|definition| (definition.id(), definition.canonical_json()))
                    .collect();
                let texts: Vec<(&str, &str)> =
                    texts.iter().map(|(id, text)| (*id, text.as_str())).collect();
                store.import_popups(&texts, who, at)?
            }
        };
        let popups = read_stored(stored, &self.read, log);
        let snapshot = compile_all(&popups, settings_of(config), version)
            .expect("the same ids compiled before they were stored");
        Ok(Published { snapshot: Arc::new(snapshot), popups: popups.into(), at })
    }
}

/// Reads the file and compiles aside what would be stored. `known` are popups read before.
fn prepare(
    store: &Store,
    config: &Config,
    known: &[Known],
    log: &Log,
) -> Result<Prepared, PublishError> {
    let file = config.popups.as_deref().map(read_file).transpose()?;
    let by_id = |known: &Known| (known.stored.id.clone(), Arc::clone(&known.definition));
    let mut read: HashMap<String, Arc<Definition>> = known.iter().map(by_id).collect();
    let stored = read_stored(store.load_popups()?, &read, log);
    read.extend(stored.iter().map(by_id));
    let of_file = file.iter().flatten();
    read.extend(of_file.map(|definition| (definition.id().to_owned(), Arc::clone(definition))));
    let entries: Vec<Entry<'_>> = read
        .values()
        .map(|definition| Entry { definition, version: 1, status: definition.status() })
        .collect();
    compile(&entries, settings_of(config), 1).map_err(|errors| PublishError::Popups {
        path: config.popups.clone().unwrap_or_else(|| config.data.clone()),
        errors,
    })?;
    Ok(Prepared { file, read })
}

fn read_file(path: &Path) -> Result<Vec<Arc<Definition>>, PublishError> {
    match popups_file::read(path) {
        Ok(definitions) => Ok(definitions.into_iter().map(Arc::new).collect()),
        Err(PopupsFileError::Unreadable(source)) => {
            Err(PublishError::File { path: path.to_owned(), source })
        }
        Err(PopupsFileError::Refused(errors)) => {
            Err(PublishError::Popups { path: path.to_owned(), errors })
        }
    }
}

/// Reads what is stored, each text once: `read` are definitions that were read before. A popup
/// whose text this binary can't read is told and left out: it is not shown, and takes no other
/// down.
fn read_stored(
    stored: Vec<StoredPopup>,
    read: &HashMap<String, Arc<Definition>>,
    log: &Log,
) -> Vec<Known> {
    let mut popups = Vec::with_capacity(stored.len());
    for stored in stored {
        let before = read.get(&stored.id);
        let same = before.filter(|definition| definition.canonical_json() == stored.text);
        let definition = match same {
            Some(definition) => Ok(Arc::clone(definition)),
            None => parse_json_popup(&stored.text).map(Arc::new),
        };
        match definition {
            Ok(definition) => popups.push(Known { stored, definition }),
            Err(errors) => {
                let error = errors.first().map(ToString::to_string).unwrap_or_default();
                let fields = [("popup", Value::Text(&stored.id)), ("error", Value::Text(&error))];
                tell(log, Message::CatalogRefused, &fields);
            }
        }
    }
    popups
}

fn compile_all(
    popups: &[Known],
    settings: Settings,
    version: u64,
) -> Result<Snapshot, Vec<SourceError>> {
    let entries: Vec<Entry<'_>> = popups
        .iter()
        .map(|known| Entry {
            definition: &known.definition,
            version: known.stored.version,
            status: known.status(),
        })
        .collect();
    compile(&entries, settings, version)
}

/// Tells what is allowed and still can't be meant, and gives it as lines.
fn tell_warnings(snapshot: &Snapshot, log: &Log) -> Vec<String> {
    let warnings: Vec<String> = lint(snapshot).iter().map(ToString::to_string).collect();
    for warning in &warnings {
        tell(log, Message::CatalogLint, &[("warning", Value::Text(warning))]);
    }
    warnings
}

fn tell(log: &Log, message: Message, fields: &[Field<'_>]) {
    log.write(stamp_now(), message, fields);
}

//! The catalog that a node starts with: the popups file over what is stored, or the last good copy
//! where the store is a server that can't be reached. The file then waits until it can be.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Mutex, RwLock};
use std::time::Duration;

use super::import::{Imported, import_file};
use super::live::LiveLock;
use super::nodes::NodeBook;
use super::operators::TokenBook;
use super::prepare::{Definitions, publish};
use super::{Announcing, Changing, PublishError, Publisher, ReadConfig};
use crate::catalog_copy;
use crate::shared_catalog::SharedCatalog;
use nudged_base::limits::{ADMIN_SQL_SILENCE_MS, CATALOG_TURN_MS, RELOAD_TURN_MS};
use nudged_base::telemetry::log::{Log, LogValue, Message};
use nudged_config::Config;
use nudged_runtime::clocks;
use nudged_runtime::shard::mesh::Mesh;
use nudged_runtime::turns::Turns;
use nudged_store::{Store, StoredCatalog};

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
    /// Where changes are logged.
    pub log: Log,
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
        let mut definitions = Definitions::new();
        let copy = if is_store_there { None } else { newest_copy(&config, &log) };
        let (imported, is_file_pending) = match copy {
            Some(stored) => (Imported::unchanged(stored), true),
            None => first(&mut store, &config, &mut definitions, &log)?,
        };
        let Imported { stored, replaced, released } = imported;
        let published = publish(stored, &definitions, (&config, 0), &log)?;
        published.log_warnings(&log);
        let shared = SharedCatalog::of(&config);
        let publisher = Publisher {
            changing: Turns::new(Changing { store, config: config.clone() }),
            turn_max: Duration::from_millis(CATALOG_TURN_MS),
            reload_turn_max: Duration::from_millis(RELOAD_TURN_MS),
            is_file_pending: AtomicBool::new(is_file_pending),
            current: RwLock::new(published.clone()),
            reloading: Turns::new(config.clone()),
            config: RwLock::new(Arc::new(config)),
            announcing: Mutex::new(Announcing { shared, version: 0 }),
            live: LiveLock::default(),
            tokens: TokenBook::default(),
            nodes: NodeBook::default(),
            replaced: AtomicU64::new(0),
            late: AtomicU64::new(0),
            former: Mutex::default(),
            mesh,
            read_config,
            log,
        };
        publisher.log_owners(&replaced, &released);
        publisher.begin(published)?;
        Ok(publisher)
    }
}

/// The first catalog, and whether the popups file waits. `definitions` gets those that were read.
///
/// # Errors
/// Where the file or the store fails, and no copy can stand in for it.
fn first(
    store: &mut Store,
    config: &Config,
    definitions: &mut Definitions,
    log: &Log,
) -> Result<(Imported, bool), PublishError> {
    let error = match import_file(store, config, definitions, "start") {
        Ok(imported) => return Ok((imported, false)),
        Err(error) => error,
    };
    let is_away = matches!(&error, PublishError::Store(store) if store.is_unavailable());
    // A file of this node's own on a full disk can be read.
    let copy = || store.load_catalog().ok().or_else(|| newest_copy(config, log));
    match is_away.then(copy).flatten() {
        Some(stored) => Ok((Imported::unchanged(stored), true)),
        None => Err(error),
    }
}

/// The newest of the copies in Redis and in the data directory, where there is one; it is logged.
fn newest_copy(config: &Config, log: &Log) -> Option<StoredCatalog> {
    let in_redis = SharedCatalog::of(config).and_then(|mut shared| shared.load().ok().flatten());
    let in_directory = catalog_copy::read(&config.data);
    let copy = in_redis.into_iter().chain(in_directory).max_by_key(|copy| copy.version)?;
    let fields = [
        ("error", LogValue::Text("SQL does not answer; the node starts with a copy")),
        ("version", LogValue::Number(copy.version)),
    ];
    log.write(clocks::now(), Message::CatalogStale, &fields);
    Some(copy)
}

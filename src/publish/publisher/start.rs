//! The catalog that a node starts with: the popups file over what is stored, or the last good copy
//! where the store is a server that can't be reached. The file then waits until it can be.

use super::import::{Imported, import_file};
use super::prepare::Definitions;
use super::{PublishError, log_line};
use crate::catalog_copy;
use crate::shared_catalog::SharedCatalog;
use nudged_base::telemetry::log::{Log, LogValue, Message};
use nudged_config::Config;
use nudged_store::{Store, StoredCatalog};

/// The first catalog, and whether the popups file waits. `definitions` gets those that were read.
///
/// # Errors
/// Where the file or the store fails, and no copy can stand in for it.
pub(super) fn first(
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

/// The newest of the copies in Redis and in the data directory, where there is one; it is told.
pub(super) fn newest_copy(config: &Config, log: &Log) -> Option<StoredCatalog> {
    let in_redis = SharedCatalog::of(config).and_then(|mut shared| shared.load().ok().flatten());
    let in_directory = catalog_copy::read(&config.data);
    let copy = in_redis.into_iter().chain(in_directory).max_by_key(|copy| copy.version)?;
    let fields = [
        ("error", LogValue::Text("SQL does not answer; the node starts with a copy")),
        ("version", LogValue::Number(copy.version)),
    ];
    log_line(log, Message::CatalogStale, &fields);
    Some(copy)
}

//! A catalog on its way: read and compiled aside before it is stored, compiled again as it is
//! stored. What fails before it is stored has changed nothing.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::published::{KnownPopup, Published};
use super::refusal::PublishError;
use super::settings::settings_of;
use crate::popups_file::{self, PopupsFile, PopupsFileError};
use nudged_base::telemetry::log::{Log, LogValue, Message};
use nudged_config::Config;
use nudged_domain::catalog::compile::{CatalogEntry, compile, compile_unstored};
use nudged_domain::catalog::snapshot::{Settings, Snapshot, Status};
use nudged_domain::catalog::source::{Definition, SourceError, parse_json_popup};
use nudged_runtime::clocks;
use nudged_store::{StoredCatalog, StoredPopup};

/// Definitions that have been read, by id: each text is read once.
pub(super) type Definitions = HashMap<String, Arc<Definition>>;

/// The definitions of popups that are known.
pub(super) fn definitions_of(popups: &[KnownPopup]) -> Definitions {
    let by_id = |known: &KnownPopup| (known.stored.id.clone(), Arc::clone(&known.definition));
    popups.iter().map(by_id).collect()
}

/// Compiles definitions aside: whatever their versions and statuses are, they may stand together.
///
/// # Errors
/// Every reason for which they may not.
pub(super) fn try_compile(
    definitions: &Definitions,
    config: &Config,
) -> Result<(), Vec<SourceError>> {
    compile_aside(definitions, config).map(drop)
}

/// As [`try_compile`], and gives what comes of it.
///
/// # Errors
/// As there.
pub(super) fn compile_aside(
    definitions: &Definitions,
    config: &Config,
) -> Result<Snapshot, Vec<SourceError>> {
    compile_unstored(definitions.values().map(Arc::as_ref), settings_of(config))
}

/// Reads and compiles what is stored, as it is by itself. `definitions` are those that were read
/// before.
///
/// # Errors
/// Where another program stored popups that can't stand together.
pub(super) fn publish(
    stored: StoredCatalog,
    definitions: &Definitions,
    (config, version): (&Config, u64),
    log: &Log,
) -> Result<Published, PublishError> {
    let popups = read_stored(stored.popups, definitions, log);
    let snapshot = compile_all(&popups, settings_of(config), version)
        .map_err(|errors| PublishError::Popups { path: config.data.clone(), errors })?;
    Ok(Published {
        snapshot: Arc::new(snapshot),
        popups: popups.into(),
        stored_version: stored.version,
        at: clocks::wall(),
        overrides: stored.overrides.into(),
    })
}

/// Looks whether the popups file of a configuration can be read, and its popups stand together;
/// what a store has is not asked.
///
/// # Errors
/// As a start would find the file by itself.
pub fn check_file(config: &Config) -> Result<(), PublishError> {
    let Some(path) = &config.popups else { return Ok(()) };
    let mut definitions = Definitions::new();
    add_definitions(&mut definitions, &read_file(path)?.definitions);
    compile_file(&definitions, config, path)
}

/// Adds definitions to those that were read, in the place of those that have their ids.
pub(super) fn add_definitions(definitions: &mut Definitions, added: &[Arc<Definition>]) {
    let added = added.iter();
    definitions.extend(added.map(|popup| (popup.id().to_owned(), Arc::clone(popup))));
}

/// As [`try_compile`], where the errors are those of a popups file.
///
/// # Errors
/// `Popups`.
pub(super) fn compile_file(
    definitions: &Definitions,
    config: &Config,
    path: &Path,
) -> Result<(), PublishError> {
    try_compile(definitions, config)
        .map_err(|errors| PublishError::Popups { path: path.to_owned(), errors })
}

/// Reads the popups file.
///
/// # Errors
/// Where it can't be read, and every error of its text.
pub(super) fn read_file(path: &Path) -> Result<PopupsFile, PublishError> {
    match popups_file::read_whole(path) {
        Ok(file) => Ok(file),
        Err(PopupsFileError::Unreadable(source)) => {
            Err(PublishError::File { path: path.to_owned(), source })
        }
        Err(PopupsFileError::Refused(errors)) => {
            Err(PublishError::Popups { path: path.to_owned(), errors })
        }
    }
}

/// A popup whose text this binary can't read is told and left out: it is not shown, and takes no
/// other down.
fn read_stored(stored: Vec<StoredPopup>, definitions: &Definitions, log: &Log) -> Vec<KnownPopup> {
    let mut popups = Vec::with_capacity(stored.len());
    for stored in stored {
        let before = definitions.get(&stored.id);
        let same = before.filter(|definition| definition.canonical_json() == stored.text);
        let definition = match same {
            Some(definition) => Ok(Arc::clone(definition)),
            None => parse_json_popup(&stored.text).map(Arc::new),
        };
        match definition {
            Ok(definition) => {
                let own = if stored.is_gone { Status::Archived } else { definition.status() };
                let stored = Arc::new(stored);
                popups.push(KnownPopup {
                    stored,
                    definition,
                    own,
                    override_status: None,
                    status: own,
                });
            }
            Err(errors) => {
                let error = errors.first().map(ToString::to_string).unwrap_or_default();
                let fields =
                    [("popup", LogValue::Text(&stored.id)), ("error", LogValue::Text(&error))];
                log.write(clocks::now(), Message::CatalogRefused, &fields);
            }
        }
    }
    popups
}

/// Compiles popups as they are stored, with the statuses that hold.
pub(super) fn compile_all(
    popups: &[KnownPopup],
    settings: Settings,
    version: u64,
) -> Result<Snapshot, Vec<SourceError>> {
    let entries: Vec<CatalogEntry<'_>> = popups
        .iter()
        .map(|known| CatalogEntry {
            definition: &known.definition,
            version: known.stored.version,
            status: known.status,
        })
        .collect();
    compile(&entries, settings, version)
}

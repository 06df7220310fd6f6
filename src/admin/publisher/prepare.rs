//! A catalog on its way: read and compiled aside, then stored, then compiled as it is stored. What
//! fails before it is stored has changed nothing.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::{Known, PublishError, Published, settings_of, tell};
use crate::admin::popups_file::{self, PopupsFileError};
use crate::catalog::compile::{Entry, compile};
use crate::catalog::snapshot::{Settings, Snapshot};
use crate::catalog::source::{Definition, SourceError, parse_json_popup};
use crate::config::Config;
use crate::runtime::clocks;
use crate::store::{Store, StoredPopup};
use crate::telemetry::log::{Log, Message, Value};

/// A catalog that compiles and is not stored yet.
pub(super) struct Prepared {
    /// What the file says; `None` where none is configured.
    file: Option<Vec<Arc<Definition>>>,
    /// Definitions that have been read, by id; the file's before those that are stored.
    read: HashMap<String, Arc<Definition>>,
}

impl Prepared {
    /// Stores the file's popups, by `who`, and compiles what is stored then.
    pub(super) fn store(
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
pub(super) fn prepare(
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

/// Compiles popups as they are stored.
pub(super) fn compile_all(
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

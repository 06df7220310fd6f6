//! Changes of many popups at once: the popups file at start and reload, an import. Each is checked
//! whole against all the rest, and stored only where nobody else has changed the catalog since.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::file_memory;
use super::prepare::{Definitions, add_definitions, compile_file, read_file, try_compile};
use super::refusal::PublishError;
use crate::popups_file::PopupsFile;
use nudged_base::limits::CATALOG_CHANGE_MS;
use nudged_config::Config;
use nudged_domain::catalog::overrides::Override;
use nudged_domain::catalog::snapshot::Status;
use nudged_domain::catalog::source::{Definition, SourceError, parse_json_popup};
use nudged_runtime::{clocks, topology};
use nudged_store::{CatalogChange, ImportedPopup, Store, StoreError, StoredCatalog, StoredPopup};

/// Tries a change until nobody else's comes between; `None` says that one did. Each try that is
/// lost is somebody else's change that was made, so there is nothing to wait for between two.
///
/// # Errors
/// `Busy` after [`CATALOG_CHANGE_MS`], and what a try fails with.
pub(super) fn until_unmoved<T>(
    mut attempt: impl FnMut() -> Result<Option<T>, PublishError>,
) -> Result<T, PublishError> {
    let begun = Instant::now();
    loop {
        if let Some(done) = attempt()? {
            return Ok(done);
        }
        if begun.elapsed() >= Duration::from_millis(CATALOG_CHANGE_MS) {
            return Err(PublishError::Busy);
        }
    }
}

/// Stores a change on a version of the catalog; `None` where the catalog has moved since.
///
/// # Errors
/// What else the store says.
pub(super) fn store_change(
    store: &mut Store,
    on: u64,
    change: CatalogChange<'_>,
    who: &str,
) -> Result<Option<StoredCatalog>, PublishError> {
    match store.change_catalog(Some(on), change, who, clocks::wall()) {
        Err(StoreError::CatalogMoved { .. }) => Ok(None),
        other => Ok(Some(other?)),
    }
}

/// Reads the stored definitions that are not among those that were read; passes over a text that
/// this binary can't read.
fn read_stored(stored: &StoredCatalog, definitions: &mut Definitions) {
    for popup in &stored.popups {
        let known = definitions.get(&popup.id);
        let is_read = known.is_some_and(|known| known.canonical_json() == popup.text);
        if !is_read && let Ok(definition) = parse_json_popup(&popup.text) {
            definitions.insert(popup.id.clone(), Arc::new(definition));
        }
    }
}

/// A popup as another store had it.
#[derive(Clone, Debug)]
pub struct ImportedLine {
    /// What it is.
    pub definition: Definition,
    /// Its version there.
    pub version: u32,
    /// Whether it was gone from the file, or deleted.
    pub is_gone: bool,
}

/// Takes popups, and pauses and archives, over that another store had; all of them or none, and
/// none of the popups file's. Gives the catalog before and after.
///
/// # Errors
/// Where they can't stand together with the rest, and where the store fails.
pub fn import_popups(
    store: &mut Store,
    config: &Config,
    (imported, overrides): (&[ImportedLine], &[Override]),
) -> Result<(StoredCatalog, StoredCatalog), PublishError> {
    let texts: Vec<String> = imported.iter().map(|line| line.definition.canonical_json()).collect();
    let popups: Vec<ImportedPopup<'_>> = imported
        .iter()
        .zip(&texts)
        .map(|(line, text)| ImportedPopup {
            id: line.definition.id(),
            version: line.version,
            text,
            is_gone: line.is_gone,
        })
        .collect();
    until_unmoved(|| {
        let before = store.load_catalog()?;
        let mut definitions = Definitions::new();
        read_stored(&before, &mut definitions);
        let of_import = imported.iter().map(|line| &line.definition);
        definitions.extend(
            of_import.map(|definition| (definition.id().to_owned(), Arc::new(definition.clone()))),
        );
        try_compile(&definitions, config).map_err(PublishError::Definition)?;
        let change = CatalogChange::Import { popups: &popups, overrides };
        let after = store_change(store, before.version, change, "import")?;
        Ok(after.map(|after| (before, after)))
    })
}

/// The catalog after an import of the popups file.
pub(super) struct Imported {
    /// What is stored.
    pub(super) stored: StoredCatalog,
    /// The ids that another node's file had set, and that this one's has changed or archived.
    pub(super) replaced: Vec<String>,
    /// The ids of a popups file that there is no more, which are the admin API's now.
    pub(super) released: Vec<String>,
}

impl Imported {
    /// A catalog that nothing was done to.
    pub(super) fn unchanged(stored: StoredCatalog) -> Imported {
        Imported { stored, replaced: Vec::new(), released: Vec::new() }
    }
}

/// Takes the popups file over, where one is configured; else gives what is stored, and what a
/// former file of this node had to the admin API. `definitions` are those that were read before.
/// Nothing is changed where the file or the store fails.
pub(super) fn import_file(
    store: &mut Store,
    config: &Config,
    definitions: &mut Definitions,
    who: &str,
) -> Result<Imported, PublishError> {
    let Some(path) = &config.popups else {
        return release(store, config, who);
    };
    // Of several nodes with a file each, the history says whose it was.
    let who = format!("{who} on {}", topology::host_name());
    let file = read_file(path)?;
    let texts: Vec<(&str, String)> =
        file.definitions.iter().map(|popup| (popup.id(), popup.canonical_json())).collect();
    let texts: Vec<(&str, &str)> = texts.iter().map(|(id, text)| (*id, text.as_str())).collect();
    until_unmoved(|| {
        let before = store.load_catalog()?;
        check_not_emptied(path, &file, &before)?;
        read_stored(&before, definitions);
        add_definitions(definitions, &file.definitions);
        compile_file(definitions, config, path)?;
        let change = CatalogChange::File(&texts);
        let Some(stored) = store_change(store, before.version, change, &who)? else {
            return Ok(None);
        };
        let replaced = match config.mysql.url {
            Some(_) => file_memory::replaced(&config.data, &before, &stored),
            // A file of this node's own is set by nobody else.
            None => Vec::new(),
        };
        Ok(Some(Imported { stored, replaced, released: Vec::new() }))
    })
}

/// A node without a popups file gives what its former one had to the admin API. What is stored for
/// several nodes may be in another one's file, which is in use: such popups stay that file's,
/// unless it was this node's own that set them last.
fn release(store: &mut Store, config: &Config, who: &str) -> Result<Imported, PublishError> {
    let who = format!("{who} on {}", topology::host_name());
    until_unmoved(|| {
        let before = store.load_catalog()?;
        let in_file = before.popups.iter().filter(|popup| popup.is_in_file());
        let released: Vec<String> = in_file.map(|popup| popup.id.clone()).collect();
        let is_own = config.mysql.url.is_none() || file_memory::is_own(&config.data, &before);
        if released.is_empty() || !is_own {
            file_memory::forget(&config.data);
            return Ok(Some(Imported::unchanged(before)));
        }
        let change = CatalogChange::Release;
        let Some(stored) = store_change(store, before.version, change, &who)? else {
            return Ok(None);
        };
        file_memory::forget(&config.data);
        Ok(Some(Imported { stored, replaced: Vec::new(), released }))
    })
}

/// A file that lost its popups is not taken for one that means to have none.
///
/// # Errors
/// Where live popups would go, and `popup = []` does not say that it is meant.
pub(super) fn check_not_emptied(
    path: &Path,
    file: &PopupsFile,
    before: &StoredCatalog,
) -> Result<(), PublishError> {
    if !file.definitions.is_empty() || file.is_meant_empty {
        return Ok(());
    }
    let is_live = |popup: &&StoredPopup| {
        popup.is_in_file()
            && parse_json_popup(&popup.text).is_ok_and(|read| read.status() == Status::Live)
    };
    let live = before.popups.iter().filter(is_live).count();
    if live == 0 {
        return Ok(());
    }
    let message = format!(
        "it has no popups, but {live} live ones came from it: write `popup = []` (in JSON: []) if \
         none is meant"
    );
    let error = SourceError { line: None, popup: None, field: String::new(), message };
    Err(PublishError::Popups { path: path.to_owned(), errors: vec![error] })
}

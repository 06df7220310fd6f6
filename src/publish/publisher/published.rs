//! The catalog as a node has it: what is stored, read and compiled, and what wins over it. Values
//! alone; must not know how they change.

use std::sync::Arc;

use crate::catalog_copy;
use nudged_base::telemetry::log::{Log, LogValue, Message};
use nudged_base::time::WallMs;
use nudged_domain::catalog::lint::lint;
use nudged_domain::catalog::overrides::Override;
use nudged_domain::catalog::snapshot::{Snapshot, Status};
use nudged_domain::catalog::source::Definition;
use nudged_runtime::clocks;
use nudged_store::{StoredCatalog, StoredPopup};

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

impl Published {
    /// The catalog as it is stored, as text.
    pub(crate) fn copy(&self) -> String {
        let stored = self.popups.iter().map(|known| &*known.stored);
        catalog_copy::encode(self.stored_version, stored, &self.overrides)
    }

    /// As the store had it.
    pub(super) fn stored(&self) -> StoredCatalog {
        let popup = |known: &KnownPopup| StoredPopup::clone(&known.stored);
        StoredCatalog {
            version: self.stored_version,
            popups: self.popups.iter().map(popup).collect(),
            overrides: self.overrides.to_vec(),
        }
    }

    /// A popup that is known.
    pub fn find(&self, id: &str) -> Option<&KnownPopup> {
        let found = self.popups.binary_search_by(|known| known.stored.id.as_str().cmp(id));
        found.ok().map(|index| &self.popups[index])
    }

    /// What is allowed in this popup, or in the catalog as a whole, and still can't be meant.
    pub fn warnings_of(&self, id: &str) -> Vec<String> {
        warnings_in(&self.snapshot, id)
    }

    /// What is allowed anywhere in it, and still can't be meant.
    pub(super) fn warnings(&self) -> Vec<String> {
        lint(&self.snapshot).iter().map(ToString::to_string).collect()
    }

    /// As [`Published::warnings`], and logs them.
    pub(super) fn log_warnings(&self, log: &Log) -> Vec<String> {
        let warnings = self.warnings();
        for warning in &warnings {
            log.write(clocks::now(), Message::CatalogLint, &[("warning", LogValue::Text(warning))]);
        }
        warnings
    }
}

/// What is allowed in a popup of a snapshot, or in it as a whole, and still can't be meant.
pub(super) fn warnings_in(snapshot: &Snapshot, id: &str) -> Vec<String> {
    let warnings = lint(snapshot).into_iter();
    let of_it = warnings.filter(|warning| warning.popup.as_deref().is_none_or(|of| of == id));
    of_it.map(|warning| warning.to_string()).collect()
}

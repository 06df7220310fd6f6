//! What SQL said of popups beside the catalog and is still good: when they changed last, and how
//! often they were shown. Values alone; `popup_lookup` asks for them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nudged_base::time::{MonoNs, WallMs};

/// What was asked of SQL before and is still good.
#[derive(Debug, Default)]
pub(super) struct PopupFacts(Mutex<KeptFacts>);

/// What lists were told.
#[derive(Debug, Default)]
pub(super) struct KeptFacts {
    /// The newest change that `changed` knows of.
    pub(super) newest: u64,
    /// When popups changed last.
    pub(super) changed: Arc<HashMap<String, WallMs>>,
    /// Shows and clicks, and when they were counted.
    pub(super) totals: Option<(MonoNs, Arc<ShowsAndClicks>)>,
    /// When SQL could not be asked, if it was so at last.
    pub(super) failed_at: Option<MonoNs>,
}

/// Shows and clicks of the last hours, by popup.
pub(super) type ShowsAndClicks = HashMap<String, [u64; 2]>;

impl PopupFacts {
    /// A panic ends the process, so a poisoned lock guards what it always did.
    pub(super) fn lock(&self) -> MutexGuard<'_, KeptFacts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

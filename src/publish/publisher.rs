//! The one way by which popups and reloadable settings change: at start, at reload, by an operator.
//! Owns the connection for catalog writes, the running configuration and the current catalog.
//!
//! ```text
//! file, settings -> parsed -> compiled aside -> stored -> swapped on every shard -> current
//! ```
//!
//! Whole or nothing: whatever fails before `stored` changes nothing. From `stored` on a change
//! holds, also where a shard is too slow to say so. Changes are serialised. Must not know requests.
//!
//! Limits: a change waits [`CATALOG_TURN_MS`] for those before it, a reload [`RELOAD_TURN_MS`].

mod change;
mod checking;
mod drafts;
mod file_memory;
mod identity;
mod import;
mod live;
mod node_views;
mod nodes;
pub mod operators;
mod overriding;
mod pending;
mod prepare;
mod published;
mod refusal;
mod reload;
mod settings;
mod showing;
mod start;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use super::shared_catalog::SharedCatalog;
use live::LiveLock;
use nodes::NodeBook;
#[cfg(doc)]
use nudged_base::limits::{CATALOG_TURN_MS, RELOAD_TURN_MS};
use nudged_base::telemetry::log::Log;
use nudged_config::Config;
use nudged_domain::catalog::snapshot::Snapshot;
use nudged_runtime::shard::mesh::Mesh;
use nudged_runtime::turns::{HeldTurn, Turns};
use nudged_shard::view::Rules;
use nudged_store::Store;
use operators::TokenBook;

pub use change::{Changed, EditContext, ExpectedVersion, PopupEdit};
pub use checking::CheckedPopup;
pub use drafts::{DraftPut, Drafted};
pub use import::{ImportedLine, import_popups};
pub use nodes::{FollowedNodes, NodeSight, NodeView};
pub use overriding::{HeldOverrides, Overridden, OverrideRequest};
pub use prepare::check_file;
pub use published::{KnownPopup, Published};
pub use refusal::{ConfigRefused, PublishError};
pub use reload::Reloaded;
pub use settings::{is_json, settings_of};
pub use start::PublisherSetup;

/// Reads the configuration anew, from all its layers.
pub type ReadConfig = Box<dyn Fn() -> Result<Config, ConfigRefused> + Send + Sync>;

/// What only a change may touch.
struct Changing {
    store: Store,
    config: Config,
}

/// The way to tell other nodes of a change, and the latest version that they were told.
struct Announcing {
    shared: Option<SharedCatalog>,
    version: u64,
}

/// Publishes catalogs and settings to the shards of this node.
pub struct Publisher {
    changing: Turns<Changing>,
    /// How long a change waits for those before it, and a reload.
    turn_max: Duration,
    reload_turn_max: Duration,
    /// The popups file waits until the store can be reached: the node started with a copy, or its
    /// last reload found the store away, or held up by changes before it.
    is_file_pending: AtomicBool,
    current: RwLock<Published>,
    config: RwLock<Arc<Config>>,
    announcing: Mutex<Announcing>,
    /// What wins over the stored catalog; never held while SQL is waited for.
    live: LiveLock,
    /// Who may operate the node.
    tokens: TokenBook,
    /// What other nodes decide by, as far as they say.
    nodes: NodeBook,
    /// One reload at a time; the configuration as the last good one read it.
    reloading: Turns<Config>,
    /// How often this node's popups file has undone what another one's had set.
    replaced: AtomicU64,
    /// How many changes and reloads were given up since those before them took too long.
    late: AtomicU64,
    /// Catalogs that were current and by which answers on their way may have been decided.
    former: Mutex<Vec<Arc<Snapshot>>>,
    mesh: Arc<Mesh>,
    read_config: ReadConfig,
    log: Log,
}

impl Publisher {
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

    /// The configuration that is running.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keys and origins of the running configuration, for the shards' start.
    pub fn rules(&self) -> Arc<Rules> {
        Arc::new(settings::rules_of(&self.config()))
    }

    /// How often this node's popups file has undone what another one's had set.
    pub fn replaced(&self) -> u64 {
        self.replaced.load(Ordering::Relaxed)
    }

    /// How many changes and reloads were given up because those before them took too long.
    pub fn late(&self) -> u64 {
        self.late.load(Ordering::Relaxed)
    }

    /// Waits for the turn of a change.
    ///
    /// # Errors
    /// `Late`, where it does not come in time.
    fn turn(&self, limit: Duration) -> Result<HeldTurn<'_, Changing>, PublishError> {
        self.changing.take_within(limit).ok_or(PublishError::Late(limit))
    }

    /// Counts what somebody asked for and was given up.
    fn count_late(&self, error: &PublishError) {
        if matches!(error, PublishError::Late(_)) {
            self.late.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether the popups file waits until the store can be reached.
    pub(crate) fn is_file_pending(&self) -> bool {
        self.is_file_pending.load(Ordering::Acquire)
    }
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Publisher").field("version", &self.current().snapshot.version).finish()
    }
}

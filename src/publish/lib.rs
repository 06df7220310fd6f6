//! Floor 5: how popups, pauses and reloadable settings change. Start, reload, import, `check` and
//! operators come here; must not know HTTP or the command line.
//!
//! ```text
//! popups.toml ─┐                              ┌─> SQL, then copies: catalog.json, Redis
//! operators  ──┼─> publisher (check, compile) ┼─> every shard, by a message
//! other nodes ─┘         ^                    └─> overrides: the node's file, Redis, SQL
//!      watch ────────────┘
//! ```
//!
//! `publisher` the one way by which they change · `popups_file` the file they come from · `watch`
//! what other processes change · `overrides` brings pauses and archives on · `catalog_copy`,
//! `shared_catalog` copies for a start without SQL · `shards` commands to shards. Limits: those of
//! the catalog and of overrides in `base::limits`.

pub mod catalog_copy;
pub mod overrides;
pub mod popups_file;
pub mod publisher;
pub mod shards;
pub mod shared_catalog;
pub mod watch;

use std::sync::Arc;

use nudged_base::telemetry::log::Log;
use nudged_runtime::threads::sql_writer::WriterFigures;
use nudged_store::StoreReader;

use overrides::{Couriers, NotStarted};
use publisher::Publisher;
use watch::Watch;

/// The threads that run beside a publisher as long as its node does.
#[derive(Debug)]
pub struct Publishing {
    watch: Watch,
    couriers: Couriers,
}

impl Publishing {
    /// Starts them.
    ///
    /// # Errors
    /// [`NotStarted`]; nothing is left running.
    pub fn start(
        publisher: &Arc<Publisher>,
        figures: &Arc<WriterFigures>,
        log: &Log,
    ) -> Result<Publishing, NotStarted> {
        let reader = StoreReader::of(&publisher.config())?;
        let watch = Watch::start(Arc::clone(publisher), reader, log.clone())?;
        let couriers = Couriers::start(publisher, figures, log)?;
        Ok(Publishing { watch, couriers })
    }

    /// Both by themselves, each to be ended by being dropped: what takes over others' changes, and
    /// what brings this node's on.
    #[must_use]
    pub fn into_parts(self) -> (Watch, Couriers) {
        (self.watch, self.couriers)
    }

    /// Takes over no more of what others change. What operators change until the couriers are
    /// dropped is still brought on.
    #[must_use]
    pub fn stop_watching(self) -> Couriers {
        drop(self.watch);
        self.couriers
    }
}

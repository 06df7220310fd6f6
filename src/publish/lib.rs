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
#[cfg(any(test, feature = "fixture"))]
pub mod fixture;
pub mod overrides;
pub mod popups_file;
pub mod publisher;
pub mod shards;
pub mod shared_catalog;
pub mod watch;

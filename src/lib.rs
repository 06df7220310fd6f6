//! nudged: a popup decision server. The crates in reading order, floor by floor: `base`, `config`;
//! `http`, `journal`, `redis`; `domain`; `api`; `shard`, `background`; `store`, `runtime`, `admin`;
//! and here `node`, which knows them all.
//!
//! ARCHITECTURE.md tells the life of one request and what each part must not know.

// F6: start, stop, signals, command line.
pub mod node;

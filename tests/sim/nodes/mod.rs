//! The second world: several nodes of the real code with one Redis and one SQL, in one thread, from
//! one seed.
//!
//! Real: `shard::core` with its arbiter, `redis::link`, the machines of
//! `background`, the journal, the board. Modelled: Redis with its scripts
//! (`support::redis_model`), the ways to it (`pipes`), SQL (`sql`), disks that only lose what a
//! kill interrupts, every clock, clients. Held: never twice (by the rows of SQL in the order of
//! commits; a node's own memory for `on_failure = "local"`), exactly once, no 5xx, one answer a
//! request by its deadline, everything drained and healthy within 10 s after the last fault, Redis
//! and SQL agree, the same seed twice is the same run.
//!
//! `world` the loop · `config` what a seed draws · `faults` what befalls whom · `scene` time and
//! choices · `node`, `shard`, `journal`, `writer`, `keeper`, `lists` a node's parts · `hands` what
//! the machines among them ask of Redis · `lines`, `clients`, `history` who asks · `fresh`,
//! `seen`, `oracle` what must be true.

mod catalog;
mod clients;
pub mod config;
mod faults;
mod fresh;
mod hands;
mod history;
mod journal;
mod keeper;
mod lines;
mod lists;
mod node;
mod oracle;
mod pipes;
mod scene;
mod seen;
mod shard;
mod sql;
pub mod world;
mod writer;

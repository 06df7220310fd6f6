//! Floor 6: start, stop, signals, command line; the only place that knows every concrete type.
//!
//! Every command: `arguments` the command line · `settings` the layers of the configuration ·
//! `failure` exit codes · `ownership` whose directory it is · `signing_keys` of this node ·
//! `shared_keys` of all · `redis` the way to it · `preflight` what would refuse a start before
//! anything is made, with whether Redis and SQL can be used.
//!
//! `serve`: `serve` start, `upgrade` from process to process · `storage` what a node remembers ·
//! `unmerged` what of it Redis lacks · `redis_threads` what runs beside Redis, `stoppable` what
//! ends a thread · `signals` · `drain` reloads and stop · `announce` the log's lines of both.
//!
//! Tools: `check` the configuration and popups · `doctor` this host and its servers · `explain`
//! asks a running node, as `admin_client` does · `top` watches one · `backup` copies a running
//! node's database · `vectors` decision vectors · `export` and `import` NDJSON, `import_users` and
//! `export_lines` that of users, `stopped_journal` whose records they read · `journal_command` a
//! journal's records for people, `record_lines` how they are written · `drain_command` those of a
//! retired node into SQL · `migrate` the schema, `migration` a directory into MySQL · `schema` that
//! of popups files.

mod admin_client;
mod announce;
pub mod arguments;
pub mod backup;
pub mod check;
pub mod doctor;
mod drain;
pub mod drain_command;
pub mod explain;
pub mod export;
mod export_lines;
pub mod failure;
pub mod import;
mod import_users;
pub mod journal_command;
pub mod migrate;
pub mod migration;
mod ownership;
pub mod preflight;
mod record_lines;
mod redis;
mod redis_threads;
pub mod schema;
pub mod serve;
pub mod settings;
pub mod shared_keys;
mod signals;
mod signing_keys;
mod stoppable;
mod stopped_journal;
mod storage;
pub mod top;
pub mod unmerged;
mod upgrade;
pub mod vectors;
mod version;

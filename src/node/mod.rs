//! Floor 6: start, stop, signals, command line; the only place that knows every concrete type.
//! `arguments` the command line · `settings` the layers of the configuration · `preflight` what
//! would refuse a start before anything is made · `serve` start ·
//! `storage` what a node remembers · `belonging` whose directory it is · `unmerged` what of it
//! Redis lacks · `redis` the way to it · `redis_look` whether it is fit · `sql_look` whether SQL is
//! there · `keepers` Redis' threads · `drain` reloads and stop · `signals` · `signing_keys` of this
//! node · `shared_keys` of all · `export` and `import` NDJSON, `import_whole` and `whole_lines`
//! that of users · `failure` exit codes · `migrate` the schema · `moving` a directory into MySQL ·
//! `check` what `nudged check` says · `explain` asks a running node · `vectors` decision vectors.

pub mod announce;
pub mod arguments;
pub mod belonging;
pub mod check;
pub mod drain;
pub mod explain;
pub mod export;
pub mod failure;
pub mod import;
mod import_whole;
pub mod keepers;
pub mod migrate;
pub mod moving;
pub mod preflight;
pub mod redis;
pub mod redis_look;
pub mod serve;
pub mod settings;
pub mod shared_keys;
pub mod signals;
pub mod signing_keys;
pub mod sql_look;
pub mod storage;
pub mod unmerged;
pub mod vectors;
pub mod whole_lines;

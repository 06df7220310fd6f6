//! Floor 5: the only place that knows io-uring, glommio and rustix. `wake` sleepers and their
//! eventfds · `topology` cores and pinning · `ring` and `driver` a shard's loop · `line` what the
//! kernel has under way for a connection · `link_target` and `resolver` where links lead · `board`
//! what shards and keeper tell each other of Redis · `mesh` and `ports` lanes between cores ·
//! `listener` sockets · `probe` is this kernel fit, `process_limits` and `thread_room` this process
//! · `sql_writer` and `sql_reader` threads of the dedicated core, `sql_fitness` what SQL refuses ·
//! `journal_lanes`, `journal_core` and `files` the journal on it · `log_thread` writes the log ·
//! `redis_client` asks Redis and waits · `list_drain` and `keeper` threads of machines, `threads`
//! what they have in common · `whole_file` files that are replaced whole · `two_copies` one that a
//! full disk does not matter to · `vital` threads that must not end · `signal_mask` keeps signals
//! back · `uninterrupted` calls that signals end · `memory` gives it back · `unsent` what the
//! kernel holds of answers.

pub mod board;
pub mod clocks;
pub mod driver;
pub mod files;
pub mod journal_core;
pub mod journal_lanes;
pub mod keeper;
pub mod line;
pub mod link_target;
pub mod list_drain;
pub mod listener;
pub mod log_thread;
pub mod memory;
pub mod mesh;
pub mod ports;
pub mod probe;
pub mod process_limits;
pub mod redis_client;
pub mod resolver;
pub mod ring;
pub mod shard_thread;
pub mod signal_mask;
pub mod sql_fitness;
pub mod sql_reader;
pub mod sql_writer;
pub mod stream;
pub mod thread_room;
mod threads;
pub mod topology;
pub mod two_copies;
pub mod uninterrupted;
pub mod unsent;
pub mod vital;
pub mod wake;
pub mod whole_file;

//! Floor 5: the only place that knows io-uring, glommio and rustix. Carries out what the step
//! functions ask for; must not know the rules of decisions.
//!
//! - `shard`: a shard's loop on its ring, with its sockets and the lanes to others.
//! - `journal`: the executor of the dedicated core, its files and its lanes.
//! - `threads`: the log, the names of servers, and one thread for each machine of `background`.
//!
//! What these share: `clocks`, `clock_sync` how well they are kept · `wake` wakers and their
//! eventfds · `redis_client` asks Redis and waits, over a `stream` · `redis_status` what shards
//! and keeper tell each other of Redis · `retention_ages` how long SQL keeps what · `topology`
//! cores and pinning · `whole_file` files that are replaced whole, `two_copies` one that a full
//! disk does not matter to · `turns` a value that one thread at a time may have · `uninterrupted`
//! calls that signals end · `load` how busy the shards are.
//!
//! What the process needs: `probe` is this kernel fit, `process_limits` and `thread_room` this
//! process · `signal_mask` keeps signals back · `memory` gives it back.
//!
//! Other processes: `inherited` what this one was given at its start, `messages` between two,
//! `service_manager` what systemd is told.

pub mod clock_sync;
pub mod clocks;
pub mod inherited;
pub mod journal;
pub mod load;
pub mod memory;
pub mod messages;
pub mod probe;
pub mod process_limits;
pub mod redis_client;
pub mod redis_status;
pub mod retention_ages;
pub mod service_manager;
pub mod shard;
pub mod signal_mask;
pub mod stream;
pub mod thread_room;
pub mod threads;
pub mod tls_files;
pub mod topology;
pub mod turns;
pub mod two_copies;
mod uninterrupted;
pub mod wake;
pub mod whole_file;

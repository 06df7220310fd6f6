//! Floor 5: the only place that knows io-uring, glommio and rustix. `wake` sleepers and their
//! eventfds · `topology` cores and pinning · `ring` a shard's driver · `mesh` lanes between cores ·
//! `probe` is this kernel fit · `journal_core` the dedicated core · `log_thread` the
//! log's writer.

pub mod log_thread;
pub mod wake;

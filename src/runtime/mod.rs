//! Floor 5: the only place that knows io-uring, glommio and rustix. `wake` sleepers and their
//! eventfds · `topology` cores and pinning · `ring` a shard's driver · `mesh` lanes between cores ·
//! `probe` is this kernel fit · `files` the journal's directory · `journal_lanes` what shards,
//! journal and SQL pass each other · `journal_core` the dedicated core.

pub mod files;
pub mod journal_core;
pub mod journal_lanes;
pub mod wake;

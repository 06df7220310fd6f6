//! Memory that goes back to the system when it is not needed any more. glibc keeps what was freed,
//! by thread, and the more of it the larger the blocks were; a node that was once asked by clients
//! that did not read would keep what it held for them. Elsewhere than on glibc nothing is done.

#![allow(unsafe_code)]

use std::sync::Arc;

use nudged_base::limits::{TRIM_BYTES, TRIM_PERIOD_MS};
use nudged_base::telemetry::counters::ShardCounters;
use nudged_base::time::MonoNs;

/// Blocks from this size on are mappings of their own, which go back when they are freed, in bytes.
/// It is where glibc begins; unless it is set, each freed block raises it, up to 32 MiB, and what
/// each thread keeps with it.
#[cfg(target_env = "gnu")]
const MAPPED_BYTES_MIN: libc::c_int = 128 * 1_024;

/// To be called once, before threads are started.
pub fn set_up() {
    // SAFETY: no memory is passed; glibc takes its own lock.
    #[cfg(target_env = "gnu")]
    unsafe {
        // A refusal leaves things as they are without it.
        let _ = libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_BYTES_MIN);
    }
}

/// Gives freed memory back after shards have freed much of it: the buffers of answers that were
/// not read. On a thread that nobody waits for; a shard waits only where it allocates meanwhile.
#[derive(Debug)]
pub struct Trimmer {
    counters: Vec<Arc<ShardCounters>>,
    /// Bytes that had been freed when it was last done.
    trimmed: u64,
    due: MonoNs,
}

impl Trimmer {
    /// For the shards that count here.
    pub fn new(counters: Vec<Arc<ShardCounters>>) -> Trimmer {
        Trimmer { counters, trimmed: 0, due: MonoNs(0) }
    }

    /// Looks whether it is worth it, at most every `TRIM_PERIOD_MS`; whether it was done.
    pub fn look(&mut self, now: MonoNs) -> bool {
        let freed = self.counters.iter().map(|shard| shard.buffers_freed.get()).sum();
        if now < self.due || freed < self.trimmed + TRIM_BYTES {
            return false;
        }
        self.trimmed = freed;
        self.due = now.plus_ms(TRIM_PERIOD_MS);
        // SAFETY: no memory is passed; glibc takes its own locks and touches what is free alone.
        #[cfg(target_env = "gnu")]
        unsafe {
            let _ = libc::malloc_trim(0);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_done_after_much_was_freed_and_not_too_often() {
        let counters: Vec<Arc<ShardCounters>> = (0..2).map(|_| Arc::default()).collect();
        let mut trimmer = Trimmer::new(counters.clone());
        let at = |ms| MonoNs(0).plus_ms(ms);
        assert!(!trimmer.look(at(1)));
        counters[0].buffers_freed.set(TRIM_BYTES / 2);
        counters[1].buffers_freed.set(TRIM_BYTES / 2 - 1);
        assert!(!trimmer.look(at(2)));
        counters[1].buffers_freed.set(TRIM_BYTES / 2);
        assert!(trimmer.look(at(3)));
        counters[1].buffers_freed.set(TRIM_BYTES * 3);
        assert!(!trimmer.look(at(2 + TRIM_PERIOD_MS)));
        assert!(trimmer.look(at(3 + TRIM_PERIOD_MS)));
        assert!(!trimmer.look(at(9 + 2 * TRIM_PERIOD_MS)), "nothing was freed since");
    }
}

//! Tells a service manager that this node is alive, as often as it wants to hear it, as long as
//! that is true: each shard turns, and the thread that looks for needed ones looks. A shard that
//! hangs, or a process that does not run, so ends with what the manager does about it.
//!
//! The journal's and SQL's progress is no part of it: a disk or a server that hangs is an outage,
//! which a new process would only meet again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Builder;
use std::time::{Duration, Instant};

use crate::clocks;
use crate::service_manager::ServiceManager;
use crate::threads::vital;
use nudged_base::limits::WATCHDOG_STUCK_MIN_MS;
use nudged_base::telemetry::counters::ShardCounters;
use nudged_base::telemetry::log::{Log, LogValue, Message};

/// The word that is awaited.
const ALIVE: &str = "WATCHDOG=1";

/// The running thread, where there is one.
#[derive(Debug, Default)]
pub struct Watchdog {
    is_looking: Arc<AtomicBool>,
}

/// A count that has to grow.
struct Watched {
    name: String,
    count: Box<dyn Fn() -> u64 + Send>,
    seen: u64,
    grown: Instant,
}

impl Watched {
    fn new(name: String, count: Box<dyn Fn() -> u64 + Send>) -> Watched {
        Watched { name, seen: count(), count, grown: Instant::now() }
    }

    /// Whether it has grown within this time.
    fn is_alive(&mut self, now: Instant, within: Duration) -> bool {
        let count = (self.count)();
        if count != self.seen {
            (self.seen, self.grown) = (count, now);
        }
        now.saturating_duration_since(self.grown) < within
    }
}

impl Watchdog {
    /// Starts telling, where the manager asks for it.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(
        manager: &ServiceManager,
        shards: &[Arc<ShardCounters>],
        log: &Log,
    ) -> std::io::Result<Watchdog> {
        let watchdog = Watchdog { is_looking: Arc::new(AtomicBool::new(true)) };
        let Some(period) = manager.watchdog() else { return Ok(watchdog) };
        let turns = shards.iter().enumerate().map(|(index, counters)| {
            let counters = Arc::clone(counters);
            Watched::new(format!("shard-{index}"), Box::new(move || counters.turns.get()))
        });
        let watch = Watched::new("watch".to_owned(), Box::new(vital::rounds));
        let mut watched: Vec<Watched> = turns.chain([watch]).collect();
        let (manager, log) = (manager.clone(), log.clone());
        let is_looking = Arc::clone(&watchdog.is_looking);
        Builder::new().name("watchdog".to_owned()).spawn(move || {
            let stuck = (period / 2).max(Duration::from_millis(WATCHDOG_STUCK_MIN_MS));
            loop {
                let now = Instant::now();
                let gone = watched.iter_mut().find_map(|one| {
                    let is_alive = one.is_alive(now, stuck);
                    (!is_alive).then(|| one.name.clone())
                });
                match gone.filter(|_| is_looking.load(Ordering::Acquire)) {
                    None => manager.tell(ALIVE),
                    Some(name) => {
                        let thread = ("thread", LogValue::Text(&name));
                        log.write(clocks::now(), Message::ShardStuck, &[thread]);
                    }
                }
                std::thread::sleep(period / 4);
            }
        })?;
        Ok(watchdog)
    }

    /// The shards are about to end: from now on it is enough that the process is there.
    pub fn end_looking(&self) {
        self.is_looking.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_grow_is_not_alive() {
        const WITHIN: Duration = Duration::from_secs(1);
        let count = Arc::new(std::sync::atomic::AtomicU64::new(7));
        let shared = Arc::clone(&count);
        let get = move || shared.load(Ordering::Relaxed);
        let mut watched = Watched::new("shard-0".to_owned(), Box::new(get));
        let begun = watched.grown;
        assert!(watched.is_alive(begun + WITHIN / 2, WITHIN));
        assert!(!watched.is_alive(begun + WITHIN, WITHIN));
        count.store(8, Ordering::Relaxed);
        assert!(watched.is_alive(begun + WITHIN * 5, WITHIN));
        assert!(watched.is_alive(begun + WITHIN * 5 + WITHIN / 2, WITHIN));
        assert!(!watched.is_alive(begun + WITHIN * 6, WITHIN));
    }
}

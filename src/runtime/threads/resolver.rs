//! The thread that asks for the names of links: at start, and again after a connect has failed.
//! The system's resolver blocks for as long as it likes, so no shard calls it.
//!
//! Limits: one look at all names in `RESOLVE_PERIOD_MS`.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::shard::endpoint::LinkTarget;
use crate::threads::log_writer;
use crate::uninterrupted::uninterrupted;
use crate::threads::vital::Needed;
use crate::wake::Sleeper;
use nudged_base::limits::RESOLVE_PERIOD_MS;
use nudged_base::telemetry::log::{Log, Message};

/// The thread, with what ends it. It is not waited for: a question under way may take long.
#[derive(Debug)]
pub struct Resolver {
    stop: Arc<AtomicBool>,
    sleeper: Arc<Sleeper>,
}

impl Resolver {
    /// Starts the thread. `sleeper` is the one that the targets wake.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(
        targets: Vec<Arc<LinkTarget>>,
        sleeper: Arc<Sleeper>,
        log: Log,
    ) -> std::io::Result<Resolver> {
        let stop: Arc<AtomicBool> = Arc::default();
        let (stopped, bed) = (Arc::clone(&stop), Arc::clone(&sleeper));
        std::thread::Builder::new().name("resolver".to_owned()).spawn(move || {
            let needed = Needed::here("resolver");
            while !stopped.load(Ordering::Acquire) {
                let is_any_stale = || targets.iter().any(|target| target.is_stale());
                bed.sleep_unless(|| is_any_stale() || stopped.load(Ordering::Acquire));
                if !is_any_stale() {
                    continue;
                }
                for target in targets.iter().filter(|target| target.is_stale()) {
                    look_up(target, &log);
                }
                std::thread::sleep(Duration::from_millis(RESOLVE_PERIOD_MS));
            }
            needed.leave(true);
        })?;
        Ok(Resolver { stop, sleeper })
    }

    /// Waits until every target has been asked for once, at most for `limit`.
    pub fn await_first(targets: &[Arc<LinkTarget>], limit: Duration) {
        let begun = Instant::now();
        while targets.iter().any(|target| target.is_stale()) && begun.elapsed() < limit {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.sleeper.wake();
    }
}

fn look_up(target: &LinkTarget, log: &Log) {
    let Some(name) = target.name() else { return };
    match uninterrupted(|| name.to_socket_addrs()) {
        Ok(found) => {
            target.take_found(&found.collect::<Vec<SocketAddr>>());
            log_writer::tell(log, Message::NameKnown, "");
        }
        Err(error) => {
            target.take_found(&[]);
            log_writer::tell(log, Message::NameUnknown, &format!("{}: {error}", name.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nudged_base::telemetry::log::Level;

    #[test]
    fn names_are_found_and_asked_for_again_after_a_failure() {
        let sleeper = Arc::new(Sleeper::new().unwrap());
        let timeout = Duration::from_millis(40);
        let target = LinkTarget::tcp("localhost", 6379, timeout, Arc::clone(&sleeper));
        let targets = vec![Arc::new(target)];
        let log = Log::new(Level::Info, true, &[]);
        let resolver = Resolver::start(targets.clone(), sleeper, log).unwrap();
        Resolver::await_first(&targets, Duration::from_secs(10));
        assert!(!targets[0].places().is_empty(), "every host knows itself");
        targets[0].tell_failed();
        Resolver::await_first(&targets, Duration::from_secs(10));
        assert!(!targets[0].is_stale());
        drop(resolver);
    }
}

//! The thread that asks for the names of links: at start, and again after a connect has failed.
//! The system's resolver blocks for as long as it likes, so no shard calls it.
//!
//! Limits: one look at all names in `RESOLVE_PERIOD_MS`.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::shard::endpoint::Endpoint;
use crate::threads::log_writer;
use crate::threads::vital::Needed;
use crate::uninterrupted::uninterrupted;
use crate::wake::Waker;
use nudged_base::limits::RESOLVE_PERIOD_MS;
use nudged_base::telemetry::log::{Log, Message};

/// The thread, with what ends it. It is not waited for: a question under way may take long.
#[derive(Debug)]
pub struct Resolver {
    stop: Arc<AtomicBool>,
    waker: Arc<Waker>,
}

impl Resolver {
    /// Starts the thread. `waker` is the one that the endpoints wake.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(
        endpoints: Vec<Arc<Endpoint>>,
        waker: Arc<Waker>,
        log: Log,
    ) -> std::io::Result<Resolver> {
        let stop: Arc<AtomicBool> = Arc::default();
        let (stopped, bed) = (Arc::clone(&stop), Arc::clone(&waker));
        std::thread::Builder::new().name("resolver".to_owned()).spawn(move || {
            let needed = Needed::here("resolver");
            while !stopped.load(Ordering::Acquire) {
                let is_any_stale = || endpoints.iter().any(|endpoint| endpoint.is_stale());
                bed.sleep_unless(|| is_any_stale() || stopped.load(Ordering::Acquire));
                if !is_any_stale() {
                    continue;
                }
                for endpoint in endpoints.iter().filter(|endpoint| endpoint.is_stale()) {
                    look_up(endpoint, &log);
                }
                std::thread::sleep(Duration::from_millis(RESOLVE_PERIOD_MS));
            }
            needed.leave(true);
        })?;
        Ok(Resolver { stop, waker })
    }

    /// Waits until every endpoint has been asked for once, at most for `limit`.
    pub fn await_first(endpoints: &[Arc<Endpoint>], limit: Duration) {
        let begun = Instant::now();
        while endpoints.iter().any(|endpoint| endpoint.is_stale()) && begun.elapsed() < limit {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.waker.wake();
    }
}

fn look_up(endpoint: &Endpoint, log: &Log) {
    let Some(name) = endpoint.name() else { return };
    match uninterrupted(|| name.to_socket_addrs()) {
        Ok(found) => {
            endpoint.take_found(&found.collect::<Vec<SocketAddr>>());
            log_writer::tell(log, Message::NameKnown, "");
        }
        Err(error) => {
            endpoint.take_found(&[]);
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
        let waker = Arc::new(Waker::new().unwrap());
        let timeout = Duration::from_millis(40);
        let endpoint = Endpoint::tcp("localhost", 6379, timeout, Arc::clone(&waker));
        let endpoints = vec![Arc::new(endpoint)];
        let log = Log::new(Level::Info, true, &[]);
        let resolver = Resolver::start(endpoints.clone(), waker, log).unwrap();
        Resolver::await_first(&endpoints, Duration::from_secs(10));
        assert!(!endpoints[0].addresses().is_empty(), "every host knows itself");
        endpoints[0].tell_failed();
        Resolver::await_first(&endpoints, Duration::from_secs(10));
        assert!(!endpoints[0].is_stale());
        drop(resolver);
    }
}

//! The thread of one shard: pinned, with its ring made on it, and the process's end where it fails.

use std::io;
use std::thread::JoinHandle;

use crossbeam::channel::bounded;

use crate::shard::driver::{Driver, Setup};
use crate::threads::vital::{self, Needed};
use crate::topology;
use nudged_shard::seam::Step;

/// Starts a shard's thread and waits until its ring stands.
///
/// # Errors
/// Where the kernel refuses the thread or the ring.
pub fn start<S, F>(setup: Setup, cpu: Option<usize>, make_step: F) -> io::Result<JoinHandle<()>>
where
    S: Step + 'static,
    F: FnOnce() -> S + Send + 'static,
{
    let (report, reported) = bounded(1);
    let name = format!("shard-{}", setup.shard.0);
    let own_name = name.clone();
    let handle = std::thread::Builder::new().name(name).spawn(move || {
        let needed = Needed::here(&own_name);
        let thread = rustix::thread::gettid().as_raw_nonzero().get();
        setup.counters.thread.set(u64::from(thread.unsigned_abs()));
        // Unpinned is slower and not wrong.
        let _is_pinned = cpu.is_none_or(topology::pin);
        let mut driver = match Driver::new(setup, make_step()) {
            Ok(driver) => driver,
            Err(error) => {
                let _ = report.send(Err(error));
                // Who starts it says so.
                return needed.leave(true);
            }
        };
        let _ = report.send(Ok(()));
        if let Err(error) = driver.run() {
            // A node with a dead shard would answer for some users only.
            vital::end(&own_name, &format!("its ring failed: {error}"));
        }
        // A driver's loop ends where its shard was told to.
        needed.leave(true);
    })?;
    reported.recv().unwrap_or_else(|_| Err(io::Error::other("the shard's thread died")))?;
    Ok(handle)
}

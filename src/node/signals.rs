//! Signals as messages: stops and reloads, each on a channel of its own, so that no number of
//! reloads can hide a stop.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use crossbeam::channel::{Receiver, bounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// What signals ask for.
#[derive(Debug)]
pub struct Asked {
    /// SIGTERM or SIGINT: drain and stop; a second one stops at once.
    pub stops: Receiver<()>,
    /// SIGHUP: read configuration and popups again. One that waits stands for all that come.
    pub reloads: Receiver<()>,
    /// The last signal that asked for a stop; 0 for none.
    stopped_by: Arc<AtomicI32>,
}

impl Asked {
    /// Why the node stops, in a word.
    pub fn reason(&self) -> &'static str {
        match self.stopped_by.load(Ordering::Relaxed) {
            SIGTERM => "SIGTERM",
            SIGINT => "SIGINT",
            _ => "unknown",
        }
    }
}

/// Stops that may wait; two say all that can be said.
const STOPS_MAX: usize = 2;

/// Takes the signals over. A write to a closed pipe or socket is an error instead of a signal from
/// now on.
///
/// # Errors
/// Where the system refuses a handler or a thread.
pub fn listen() -> io::Result<Asked> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let (stop, stops) = bounded(STOPS_MAX);
    let (reload, reloads) = bounded(1);
    let stopped_by: Arc<AtomicI32> = Arc::default();
    let last = Arc::clone(&stopped_by);
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            if signal != SIGHUP {
                last.store(signal, Ordering::Relaxed);
            }
            // A full channel holds the same already.
            let _ = if signal == SIGHUP { reload.try_send(()) } else { stop.try_send(()) };
        }
    })?;
    Ok(Asked { stops, reloads, stopped_by })
}

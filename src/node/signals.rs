//! Signals as messages: stops and reloads, each on a channel of its own, so that no number of
//! reloads can hide a stop. Until the start is over a stop ends the process where it stands: what
//! a start does survives a kill at any instant, and nobody is being served yet.

use std::io;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crossbeam::channel::{Receiver, Sender, bounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR2};
use signal_hook::iterator::Signals;

use nudged_base::telemetry::log::{Log, LogValue, Message};
use nudged_runtime::clocks;
use nudged_runtime::signal_mask;
use nudged_runtime::threads::log_writer::write_out;
use nudged_runtime::threads::vital::Needed;

/// What signals ask for.
#[derive(Debug)]
pub(super) struct SignalRequests {
    /// SIGTERM or SIGINT: drain and stop; a second one stops at once.
    pub(super) stops: Receiver<()>,
    /// SIGHUP: read configuration and popups again. One that waits stands for all that come.
    pub(super) reloads: Receiver<()>,
    start: Arc<Start>,
}

/// What the thread has to know of the start, and what it tells of the stop.
#[derive(Debug, Default)]
struct Start {
    is_over: Mutex<bool>,
    log: OnceLock<Log>,
    /// The last signal that asked for a stop; 0 for none.
    stopped_by: AtomicI32,
}

impl Start {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.is_over.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stops that may wait; two say all that can be said.
const STOPS_MAX: usize = 2;

/// Takes the signals over, those that have come since `signal_mask::hold` too: none of them ends
/// the process by itself any more. SIGUSR1 and SIGXFSZ do nothing. A write to a closed pipe or
/// socket is an error instead of a signal.
///
/// # Errors
/// Where the system refuses a handler or a thread.
pub(super) fn listen() -> io::Result<SignalRequests> {
    let signals = Signals::new(signal_mask::TAKEN)?;
    let (stop, stops) = bounded(STOPS_MAX);
    let (reload, reloads) = bounded(1);
    let start: Arc<Start> = Arc::default();
    let of_thread = Arc::clone(&start);
    // Before the thread is there, which would inherit the mask.
    signal_mask::release();
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let needed = Needed::here("signals");
        take(signals, &of_thread, (&stop, &reload));
        needed.leave(false);
    })?;
    Ok(SignalRequests { stops, reloads, start })
}

fn take(mut signals: Signals, start: &Start, to: (&Sender<()>, &Sender<()>)) {
    let (stop, reload) = to;
    for signal in signals.forever() {
        match signal {
            SIGTERM | SIGINT => {
                start.stopped_by.store(signal, Ordering::Relaxed);
                let is_over = start.lock();
                if !*is_over {
                    leave_start(start);
                }
                // A full channel holds the same already.
                let _ = stop.try_send(());
            }
            SIGHUP => {
                let _ = reload.try_send(());
            }
            SIGUSR2 => {
                if let Some(log) = start.log.get() {
                    log.write(clocks::now(), Message::HandOverUnknown, &[]);
                }
            }
            _ => {}
        }
    }
}

/// The end of a process that has not come to serve.
fn leave_start(start: &Start) -> ! {
    if let Some(log) = start.log.get() {
        let how = LogValue::Text("a signal while it started");
        log.write(clocks::now(), Message::Stopped, &[("how", how)]);
        write_out(log);
    }
    std::process::exit(0);
}

impl SignalRequests {
    /// Where signals are told of that change nothing.
    pub(super) fn log_to(&self, log: &Log) {
        // A process has one log.
        let _ = self.start.log.set(log.clone());
    }

    /// Why the node stops, in a word.
    pub(super) fn reason(&self) -> &'static str {
        match self.start.stopped_by.load(Ordering::Relaxed) {
            SIGTERM => "SIGTERM",
            SIGINT => "SIGINT",
            _ => "unknown",
        }
    }

    /// The node begins to serve: from now on a stop is a message.
    pub(super) fn end_start(&self) {
        *self.start.lock() = true;
    }

    /// Whether a stop waits.
    pub(super) fn is_stop_asked(&self) -> bool {
        !self.stops.is_empty()
    }
}

//! Signals as messages: stops and reloads, each on a channel of its own, so that no number of
//! reloads can hide a stop. Until the start is over a stop ends the process where it stands: what
//! a start does survives a kill at any instant, and nobody is being served yet.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
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
    /// SIGUSR2: a new process is to take over. One at a time.
    pub(super) hand_overs: Receiver<()>,
    reload: Sender<()>,
    start: Arc<Start>,
}

/// What the thread has to know of the start, and what it tells of the stop.
#[derive(Debug, Default)]
struct Start {
    is_over: Mutex<bool>,
    log: OnceLock<Log>,
    /// The last signal that asked for a stop; 0 for none.
    stopped_by: AtomicI32,
    /// A new process is on its way.
    is_handing_over: AtomicBool,
}

impl Start {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.is_over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why a new process can't take over now; `None` where one may, from now on.
    fn why_no_hand_over(&self) -> Option<&'static str> {
        if !*self.lock() {
            return Some("this process is still starting");
        }
        if self.stopped_by.load(Ordering::Relaxed) != 0 {
            return Some("this process is stopping");
        }
        let is_on_its_way = self.is_handing_over.swap(true, Ordering::AcqRel);
        is_on_its_way.then_some("a new process is already taking over")
    }

    fn log_refused(&self, why: &str) {
        if let Some(log) = self.log.get() {
            log.write_error(clocks::now(), Message::HandOverRefused, why);
        }
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
    let (hand_over, hand_overs) = bounded(1);
    let of_requests = reload.clone();
    let start: Arc<Start> = Arc::default();
    let of_thread = Arc::clone(&start);
    // Before the thread is there, which would inherit the mask.
    signal_mask::release();
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let needed = Needed::here("signals");
        take(signals, &of_thread, &Takers { stop, reload, hand_over });
        needed.leave(false);
    })?;
    Ok(SignalRequests { stops, reloads, hand_overs, reload: of_requests, start })
}

/// Where the thread puts what it takes.
struct Takers {
    stop: Sender<()>,
    reload: Sender<()>,
    hand_over: Sender<()>,
}

fn take(mut signals: Signals, start: &Start, to: &Takers) {
    for signal in signals.forever() {
        match signal {
            SIGTERM | SIGINT => {
                start.stopped_by.store(signal, Ordering::Relaxed);
                let is_over = start.lock();
                if !*is_over {
                    leave_start(start);
                }
                // A full channel holds the same already.
                let _ = to.stop.try_send(());
            }
            SIGHUP => {
                let _ = to.reload.try_send(());
            }
            SIGUSR2 => {
                match start.why_no_hand_over() {
                    Some(why) => start.log_refused(why),
                    // The channel is empty while none is on its way.
                    None => drop(to.hand_over.try_send(())),
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

    /// Nothing came of a hand-over; another may be asked for.
    pub(super) fn end_hand_over(&self) {
        self.start.is_handing_over.store(false, Ordering::Release);
    }

    /// Asks for a reload, as a signal would: of what was changed while nobody looked.
    pub(super) fn ask_reload(&self) {
        // A full channel holds the same already.
        let _ = self.reload.try_send(());
    }

    /// Whether a stop waits.
    pub(super) fn is_stop_asked(&self) -> bool {
        !self.stops.is_empty()
    }
}

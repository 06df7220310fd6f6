//! Signals as messages: a stop, a second stop, a reload.

use std::io;

use crossbeam::channel::{Receiver, bounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// SIGTERM or SIGINT: drain and stop; a second one stops at once.
    Stop,
    /// SIGHUP: read configuration and popups again.
    Reload,
}

/// Signals that may wait; more are the same again.
const WAITING_MAX: usize = 8;

/// Takes the signals over. A write to a closed pipe or socket is an error instead of a signal from
/// now on.
///
/// # Errors
/// Where the system refuses a handler or a thread.
pub fn listen() -> io::Result<Receiver<Asked>> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let (sender, receiver) = bounded(WAITING_MAX);
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            let asked = if signal == SIGHUP { Asked::Reload } else { Asked::Stop };
            // A full queue holds the same already.
            let _ = sender.try_send(asked);
        }
    })?;
    Ok(receiver)
}

//! The signals that a node takes over, kept back from a process's first instruction on: one that
//! comes before its handler is there waits in the kernel instead of ending the process.

#![allow(unsafe_code)] // The mask of a thread is set by libc alone.

use std::mem::MaybeUninit;
use std::ptr;

/// What a node takes over, and what would end a process by default that nobody told to end.
pub const TAKEN: [i32; 6] =
    [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2, libc::SIGXFSZ];

/// Keeps the signals back: each that comes waits, once, for [`release`]. To be called before there
/// is a second thread; later ones inherit it.
pub fn hold() {
    change(libc::SIG_BLOCK);
}

/// Lets the signals through, those first that have waited.
pub fn release() {
    change(libc::SIG_UNBLOCK);
}

fn change(how: i32) {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is initialised by the first call, and lives until the last one is over; the
    // numbers are signals, so none of the calls can fail.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in TAKEN {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        libc::pthread_sigmask(how, set.as_ptr(), ptr::null_mut());
    }
}

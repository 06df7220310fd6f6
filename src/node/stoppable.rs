//! A thread that ends when it is told to, and is left behind where it does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A thread, and what ends it.
pub(super) struct StoppableThread {
    pub(super) thread: JoinHandle<()>,
    pub(super) stop: Arc<AtomicBool>,
}

impl StoppableThread {
    /// Tells it to end, which it notices when it wakes.
    pub(super) fn tell(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Waits for it while `goes_on` says so, and wakes it meanwhile. One that has not ended by then
    /// is left behind: the process ends anyway.
    pub(super) fn end(self, mut goes_on: impl FnMut() -> bool, wake: impl Fn() -> bool) {
        self.tell();
        while !self.thread.is_finished() && goes_on() {
            wake();
        }
        if self.thread.is_finished() {
            // A thread that panicked has aborted the process.
            let _ = self.thread.join();
        }
    }
}

/// Until a moment, looking each millisecond.
pub(super) fn until(end: Instant) -> impl FnMut() -> bool {
    move || {
        std::thread::sleep(Duration::from_millis(1));
        Instant::now() < end
    }
}

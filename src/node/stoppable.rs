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

    /// Tells it to end, and waits for it while `goes_on` says so; wakes it meanwhile.
    pub(super) fn end(self, mut goes_on: impl FnMut() -> bool, wake: impl Fn() -> bool) {
        self.tell();
        join(self.thread, || {
            wake();
            goes_on()
        });
    }
}

/// Waits for a thread while `goes_on` says so. One that has not ended by then is left behind: the
/// process ends anyway.
pub(super) fn join(thread: JoinHandle<()>, mut goes_on: impl FnMut() -> bool) {
    while !thread.is_finished() && goes_on() {}
    if thread.is_finished() {
        // A thread that panicked has aborted the process.
        let _ = thread.join();
    }
}

/// Until a moment, looking each millisecond.
pub(super) fn until(end: Instant) -> impl FnMut() -> bool {
    move || {
        std::thread::sleep(Duration::from_millis(1));
        Instant::now() < end
    }
}

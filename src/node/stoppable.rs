//! Threads that end when they are told to, and are left behind where they do not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nudged_runtime::wake::Waker;

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

    /// Tells it to end, and waits for it while `goes_on` says so; wakes it meanwhile. Whether it
    /// has ended.
    pub(super) fn end(self, mut goes_on: impl FnMut() -> bool, wake: impl Fn() -> bool) -> bool {
        self.tell();
        join(self.thread, || {
            wake();
            goes_on()
        })
    }
}

/// The writer's thread, and what ends it.
pub(super) struct WriterHandle {
    pub(super) thread: StoppableThread,
    /// Ends it before its next call to SQL, whatever is left to apply.
    pub(super) halt: Arc<AtomicBool>,
    pub(super) waker: Arc<Waker>,
}

impl WriterHandle {
    /// Tells it to end without applying what is left.
    pub(super) fn halt(&self) {
        self.halt.store(true, Ordering::Release);
        self.thread.tell();
        self.waker.wake();
    }

    /// Waits for it until then; whether it has ended.
    pub(super) fn end_by(self, end: Instant) -> bool {
        join(self.thread.thread, until(end))
    }
}

/// Waits for a thread while `goes_on` says so. One that has not ended by then is left behind: the
/// process ends anyway. Whether it has ended.
pub(super) fn join(thread: JoinHandle<()>, mut goes_on: impl FnMut() -> bool) -> bool {
    while !thread.is_finished() && goes_on() {}
    let is_over = thread.is_finished();
    if is_over {
        // A thread that panicked has aborted the process.
        let _ = thread.join();
    }
    is_over
}

/// Until a moment, looking each millisecond.
pub(super) fn until(end: Instant) -> impl FnMut() -> bool {
    move || {
        std::thread::sleep(Duration::from_millis(1));
        Instant::now() < end
    }
}

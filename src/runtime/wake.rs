//! Waking a thread that sleeps in its ring, and only then: a flag that says so, and an eventfd that
//! the thread reads through its ring.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::time::Duration;

use crossbeam::utils::CachePadded;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

/// One thread's bed: shared by the thread and by all who may wake it.
#[derive(Debug)]
pub struct Waker {
    sleeping: CachePadded<AtomicBool>,
    eventfd: OwnedFd,
}

impl Waker {
    /// Makes a waker that is awake. The eventfd is blocking, since a ring's read of a
    /// non-blocking one completes at once.
    ///
    /// # Errors
    /// Where no descriptor can be had.
    pub fn new() -> rustix::io::Result<Waker> {
        let eventfd = eventfd(0, EventfdFlags::CLOEXEC)?;
        Ok(Waker { sleeping: CachePadded::new(AtomicBool::new(false)), eventfd })
    }

    /// The descriptor to read 8 bytes from while asleep.
    pub fn eventfd(&self) -> BorrowedFd<'_> {
        self.eventfd.as_fd()
    }

    /// Says that this thread is about to sleep. It must look at its lanes once more after this
    /// call and before it waits: what was pushed before is then seen here, what is pushed after
    /// wakes it.
    pub(crate) fn announce_sleep(&self) {
        self.sleeping.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// Says that this thread is awake.
    pub(crate) fn announce_awake(&self) {
        self.sleeping.store(false, Ordering::SeqCst);
    }

    /// Wakes the thread if it sleeps; to be called after the push into its lane. Returns whether a
    /// system call was made.
    pub fn wake(&self) -> bool {
        fence(Ordering::SeqCst);
        if !self.sleeping.load(Ordering::Relaxed) || !self.sleeping.swap(false, Ordering::SeqCst) {
            return false;
        }
        // Adding 1 to an eventfd fails only at 2^64 - 1.
        let _ = rustix::io::write(&self.eventfd, &1u64.to_ne_bytes());
        true
    }

    /// As [`Waker::sleep_unless`], for `limit` at most.
    pub fn sleep_for_unless(&self, limit: Duration, has_work: impl Fn() -> bool) {
        self.announce_sleep();
        if !has_work() {
            let limit = Timespec::try_from(limit).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
            let mut polled = [PollFd::new(&self.eventfd, PollFlags::IN)];
            // An interrupted wait is as good as a wake: the caller looks again.
            if poll(&mut polled, Some(&limit)) == Ok(1) {
                let _ = rustix::io::read(&self.eventfd, &mut [0; 8]);
            }
        }
        self.announce_awake();
    }

    /// Puts a thread without a ring to sleep until somebody wakes it, unless `has_work` says, after
    /// the sleep was announced, that there is something to do.
    pub fn sleep_unless(&self, has_work: impl Fn() -> bool) {
        self.announce_sleep();
        if !has_work() {
            // An interrupted read is as good as a wake: the caller looks again.
            let _ = rustix::io::read(&self.eventfd, &mut [0; 8]);
        }
        self.announce_awake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_bounded_sleep_ends_by_itself_by_work_and_by_a_wake() {
        let waker = Arc::new(Waker::new().unwrap());
        waker.sleep_for_unless(Duration::from_millis(1), || false);
        waker.sleep_for_unless(Duration::from_secs(600), || true);
        let other = Arc::clone(&waker);
        let thread = std::thread::spawn(move || {
            while !other.wake() {
                std::thread::yield_now();
            }
        });
        waker.sleep_for_unless(Duration::from_secs(600), || false);
        thread.join().unwrap();
        // The wake is used up.
        waker.sleep_for_unless(Duration::from_millis(1), || false);
    }
}

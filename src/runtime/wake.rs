//! Waking a thread that sleeps, and only then: a word that says whether and where it does. A
//! thread with a ring sleeps there, and reads an eventfd through it; one without sleeps on the word
//! itself, which is one system call for it and one for who wakes it.
//!
//! ```text
//! AWAKE -- announce_sleep ----> IN_RING -- wake: the eventfd is written --> AWAKE
//!       -- sleep_unless, ... -> PARKED --- wake: the futex is woken ------> AWAKE
//! ```

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::time::Duration;

use crossbeam::utils::CachePadded;
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::thread::futex;

const AWAKE: u32 = 0;
const IN_RING: u32 = 1;
const PARKED: u32 = 2;

/// One thread's bed: shared by the thread and by all who may wake it.
#[derive(Debug)]
pub struct Waker {
    state: CachePadded<AtomicU32>,
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
        Ok(Waker { state: CachePadded::new(AtomicU32::new(AWAKE)), eventfd })
    }

    /// The descriptor to read 8 bytes from through a ring while asleep.
    pub fn eventfd(&self) -> BorrowedFd<'_> {
        self.eventfd.as_fd()
    }

    /// Says that this thread is about to sleep in its ring. It must look at its lanes once more
    /// after this call and before it waits: what was pushed before is then seen here, what is
    /// pushed after wakes it.
    pub(crate) fn announce_sleep(&self) {
        self.announce(IN_RING);
    }

    fn announce(&self, state: u32) {
        self.state.store(state, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// Says that this thread is awake.
    pub(crate) fn announce_awake(&self) {
        self.state.store(AWAKE, Ordering::SeqCst);
    }

    /// Wakes the thread if it sleeps; to be called after the push into its lane. Returns whether a
    /// system call was made.
    pub fn wake(&self) -> bool {
        fence(Ordering::SeqCst);
        if self.state.load(Ordering::Relaxed) == AWAKE {
            return false;
        }
        match self.state.swap(AWAKE, Ordering::SeqCst) {
            AWAKE => return false,
            PARKED => _ = futex::wake(&self.state, futex::Flags::PRIVATE, 1),
            // Adding 1 to an eventfd fails only at 2^64 - 1.
            _ => _ = rustix::io::write(&self.eventfd, &1u64.to_ne_bytes()),
        }
        true
    }

    /// As [`Waker::sleep_unless`], for `limit` at most.
    pub fn sleep_for_unless(&self, limit: Duration, has_work: impl Fn() -> bool) {
        let limit = Timespec::try_from(limit).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
        self.park_unless(Some(&limit), has_work);
    }

    /// Puts a thread without a ring to sleep until somebody wakes it, unless `has_work` says, after
    /// the sleep was announced, that there is something to do.
    pub fn sleep_unless(&self, has_work: impl Fn() -> bool) {
        self.park_unless(None, has_work);
    }

    fn park_unless(&self, limit: Option<&Timespec>, has_work: impl Fn() -> bool) {
        self.announce(PARKED);
        if !has_work() {
            // Who was woken already, is interrupted or has slept enough looks again.
            let _ = futex::wait(&self.state, futex::Flags::PRIVATE, PARKED, limit);
        }
        self.announce_awake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, poll};
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

    #[test]
    fn who_sleeps_in_a_ring_is_woken_by_the_eventfd_and_others_leave_it_alone() {
        let waker = Waker::new().unwrap();
        let count = |waker: &Waker| {
            let mut polled = [PollFd::new(&waker.eventfd, PollFlags::IN)];
            poll(&mut polled, Some(&Timespec::default())).unwrap()
        };
        assert!(!waker.wake(), "it is awake");
        waker.announce(PARKED);
        assert!(waker.wake() && !waker.wake());
        assert_eq!(count(&waker), 0);
        waker.announce_sleep();
        assert!(waker.wake() && !waker.wake());
        assert_eq!(count(&waker), 1);
    }

    /// Each push is followed by a wake, each sleep preceded by a look: none stands still.
    #[test]
    fn no_wake_is_lost_between_the_look_and_the_sleep() {
        const PUSHES: u32 = 20_000;
        let (waker, pushed) = (Waker::new().unwrap(), AtomicU32::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..PUSHES {
                    pushed.fetch_add(1, Ordering::Release);
                    waker.wake();
                }
            });
            let mut seen = 0;
            while seen < PUSHES {
                waker.sleep_unless(|| pushed.load(Ordering::Acquire) > seen);
                seen = pushed.load(Ordering::Acquire);
            }
        });
    }
}

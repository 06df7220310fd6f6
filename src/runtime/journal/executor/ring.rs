//! The one place where the journal's thread waits: for the lanes' eventfd, for the end of a sync,
//! and for a time, in one system call that also begins the next sync. The executor's own way to
//! sleep takes nine or ten calls and a barrier across all cores, each time.
//!
//! ```text
//! wait: io_uring_enter ── eventfd (a poll that stays, so nobody reads it) ─► look at the lanes
//!                      ├─ fdatasync (a worker of the kernel's carries it out) ─► Synced
//!                      └─ the time is up
//! ```
//!
//! Limits: one sync under way.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::rc::Rc;
use std::time::Duration;

use io_uring::types::{Fd, FsyncFlags, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use crate::journal::directory::disk_error;
use crate::shard::ring::ignore_transient;
use nudged_journal::disk::DiskCompletion;
use nudged_journal::segment::SegmentId;

/// Entries of the submission queue: a poll and a sync.
const ENTRIES: u32 = 4;
const LISTENED: u64 = 1;
const SYNCED: u64 = 2;

/// Where the journal's thread sleeps. Used by the thread that made it alone.
pub(super) struct JournalRing {
    uring: IoUring,
    /// Whether the poll of the eventfd is there, or in the queue.
    is_listening: bool,
    /// What the sync under way is of; its file stays open as long.
    sync: Option<(SegmentId, Rc<File>)>,
}

impl JournalRing {
    /// A ring in which nothing is under way.
    ///
    /// # Errors
    /// What the kernel said.
    pub(super) fn new() -> io::Result<JournalRing> {
        let uring = IoUring::builder()
            .setup_single_issuer()
            .setup_coop_taskrun()
            .dontfork()
            .build(ENTRIES)?;
        Ok(JournalRing { uring, is_listening: false, sync: None })
    }

    /// Has a sync begun by the next [`JournalRing::submit`] or [`JournalRing::wait`].
    pub(super) fn sync(&mut self, segment: SegmentId, file: Rc<File>) {
        assert!(self.sync.is_none(), "one sync is under way");
        let entry = opcode::Fsync::new(Fd(file.as_raw_fd())).flags(FsyncFlags::DATASYNC);
        self.sync = Some((segment, file));
        self.push(&entry.build().user_data(SYNCED));
    }

    /// Begins what has not begun yet.
    ///
    /// # Errors
    /// What the kernel said, unless it only asks to come again.
    pub(super) fn submit(&mut self) -> io::Result<()> {
        if self.uring.submission().is_empty() {
            return Ok(());
        }
        ignore_transient(self.uring.submit().map(|_| ()))
    }

    /// Begins what has not begun yet, and sleeps until `eventfd` is written to, the sync has ended,
    /// or `limit` is over. May come back early.
    ///
    /// # Errors
    /// What the kernel said, unless it only asks to come again or the time is up.
    pub(super) fn wait(
        &mut self,
        eventfd: BorrowedFd<'_>,
        limit: Option<Duration>,
    ) -> io::Result<()> {
        if !self.is_listening {
            self.is_listening = true;
            let poll = libc::POLLIN.unsigned_abs().into();
            let entry = opcode::PollAdd::new(Fd(eventfd.as_raw_fd()), poll).multi(true);
            self.push(&entry.build().user_data(LISTENED));
        }
        let entered = match limit {
            None => self.uring.submit_and_wait(1),
            Some(limit) => {
                let timespec = Timespec::from(limit);
                let arguments = SubmitArgs::new().timespec(&timespec);
                self.uring.submitter().submit_with_args(1, &arguments)
            }
        };
        ignore_transient(entered.map(|_| ()))
    }

    /// Takes in what has come, and gives the sync that has ended, if it has.
    pub(super) fn reap(&mut self) -> Option<DiskCompletion> {
        let mut synced = None;
        for entry in self.uring.completion() {
            if entry.user_data() == LISTENED {
                // Without this flag it was the poll's last.
                self.is_listening = cqueue::more(entry.flags());
                continue;
            }
            // The kernel is done with the file.
            let (segment, _file) = self.sync.take().expect("one sync is under way");
            let failed = io::Error::from_raw_os_error(entry.result().saturating_neg());
            let outcome = if entry.result() < 0 { Err(disk_error(&failed)) } else { Ok(()) };
            synced = Some(DiskCompletion::Synced(segment, outcome));
        }
        synced
    }

    fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: an entry names a descriptor and no memory. The sync's file is kept until its
        // completion, the eventfd by the lanes.
        let pushed = unsafe { self.uring.submission().push(entry) };
        pushed.expect("a poll and a sync find their room");
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::event::{EventfdFlags, eventfd};

    use super::*;

    #[test]
    fn it_sleeps_until_the_eventfd_a_sync_or_the_time_and_once_for_each() {
        let eventfd = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
        let mut ring = JournalRing::new().unwrap();
        let wake = || rustix::io::write(&eventfd, &1u64.to_ne_bytes()).unwrap();
        for _ in 0..3 {
            wake();
            ring.wait(eventfd.as_fd(), None).unwrap();
            assert_eq!(ring.reap(), None);
            // What woke it is used up, though nobody has read it.
            ring.wait(eventfd.as_fd(), Some(Duration::from_millis(2))).unwrap();
            assert!(ring.uring.completion().is_empty() && ring.is_listening);
        }
        let file = Rc::new(tempfile::tempfile().unwrap());
        ring.sync(SegmentId(7), Rc::clone(&file));
        ring.submit().unwrap();
        ring.wait(eventfd.as_fd(), None).unwrap();
        assert_eq!(ring.reap(), Some(DiskCompletion::Synced(SegmentId(7), Ok(()))));
        assert_eq!(Rc::strong_count(&file), 1);
    }

    #[test]
    fn a_sync_that_fails_says_how() {
        let eventfd = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
        let mut ring = JournalRing::new().unwrap();
        // A pipe can't be synced.
        let (end, _other) = rustix::pipe::pipe().unwrap();
        ring.sync(SegmentId(7), Rc::new(File::from(end)));
        ring.wait(eventfd.as_fd(), None).unwrap();
        let Some(DiskCompletion::Synced(SegmentId(7), Err(error))) = ring.reap() else {
            panic!("a pipe was synced")
        };
        assert_eq!(error.to_string(), "the journal's disk failed (os error 22)");
    }
}

//! One io_uring with its provided buffers and its table of direct descriptors, as one shard needs
//! it. Owned and entered by the thread that made it (SINGLE_ISSUER, DEFER_TASKRUN).
//!
//! Limits: the submission queue takes `SQ_ENTRIES` before it has to be submitted; the completion
//! queue `CQ_ENTRIES` before the kernel keeps an overflow list.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use io_uring::types::{BufRingEntry, Napi, SubmitArgs, Timespec};
use io_uring::{IoUring, squeue};
use nudged_base::limits::{RECEIVE_BUFFER_BYTES as BUFFER_BYTES, RECEIVE_BUFFERS as BUFFERS};
use rustix::event::{EventfdFlags, eventfd};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// Entries of the submission queue; a fuller turn submits in between.
const SQ_ENTRIES: u32 = 1_024;
/// Entries of the completion queue.
const CQ_ENTRIES: u32 = 8_192;
/// The one group of provided buffers.
pub(crate) const BUFFER_GROUP: u16 = 0;

/// A completion, copied out of the queue.
#[derive(Clone, Copy, Debug)]
pub struct Completion {
    /// As it was submitted.
    pub user_data: u64,
    /// A count, a descriptor, or a negated errno.
    pub result: i32,
    /// `IORING_CQE_F_*`.
    pub flags: u32,
}

/// A ring, its receive buffers and its descriptor table.
pub struct Ring {
    uring: IoUring,
    buffers: Buffers,
    /// Lies in reserved places of the descriptor table while nothing else does.
    placeholder: OwnedFd,
    /// `io_uring_enter` calls made.
    pub enters: u64,
    /// Entries submitted.
    pub submitted: u64,
    /// Completions taken out.
    pub completed: u64,
}

impl Ring {
    /// Makes a ring on the calling thread, the only one that may use it, with a table of
    /// `descriptors` direct descriptors for the kernel to choose from, and `reserved` ones behind
    /// them that it never chooses, since something always lies there.
    ///
    /// # Errors
    /// What the kernel said; `probe` explains it to people.
    pub fn new(descriptors: u32, reserved: u32) -> io::Result<Ring> {
        let uring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_cqsize(CQ_ENTRIES)
            .dontfork()
            .build(SQ_ENTRIES)?;
        uring.submitter().register_files_sparse(descriptors + reserved)?;
        let buffers = Buffers::new(&uring)?;
        let placeholder = eventfd(0, EventfdFlags::CLOEXEC)?;
        let mut ring = Ring { uring, buffers, placeholder, enters: 0, submitted: 0, completed: 0 };
        (descriptors..descriptors + reserved).try_for_each(|slot| ring.vacate(slot))?;
        Ok(ring)
    }

    /// Has the kernel poll the devices that connections come by, for up to `limit` each time that
    /// this ring is waited for.
    ///
    /// # Errors
    /// Where the kernel is older than 6.9, or built without busy polling.
    pub(crate) fn poll_devices(&mut self, limit: Duration) -> io::Result<()> {
        let limit_us = u32::try_from(limit.as_micros()).unwrap_or(u32::MAX);
        let mut napi = Napi::new().set_busy_poll_timeout(limit_us);
        self.uring.submitter().register_napi(&mut napi)
    }

    /// Puts a descriptor into a free place of the table; the table then holds the file itself.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn install(&mut self, slot: u32, descriptor: &impl AsRawFd) -> io::Result<()> {
        let descriptors = [descriptor.as_raw_fd()];
        self.uring.submitter().register_files_update(slot, &descriptors).map(|_| ())
    }

    /// Puts the placeholder into a reserved place, in the same step in which what lay there goes.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub(crate) fn vacate(&mut self, slot: u32) -> io::Result<()> {
        let descriptors = [self.placeholder.as_raw_fd()];
        self.uring.submitter().register_files_update(slot, &descriptors).map(|_| ())
    }

    /// Queues an entry; submits first where the queue is full.
    ///
    /// # Safety
    /// The memory that the entry names must stay valid until its last completion.
    pub unsafe fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        loop {
            // SAFETY: the caller vouches for the entry's memory.
            if unsafe { self.uring.submission().push(entry) }.is_ok() {
                self.submitted += 1;
                return Ok(());
            }
            self.enter_now()?;
        }
    }

    /// Submits what is queued and runs the kernel's deferred work, without waiting.
    ///
    /// # Errors
    /// What the kernel said, unless it only asks to come again.
    pub(crate) fn enter_now(&mut self) -> io::Result<()> {
        /// IORING_ENTER_GETEVENTS: without it a DEFER_TASKRUN ring posts nothing.
        const GETEVENTS: u32 = 1;
        let queued = u32::try_from(self.uring.submission().len()).expect("at most SQ_ENTRIES");
        self.enters += 1;
        // SAFETY: no argument is passed; the queued entries were vouched for when pushed.
        let result =
            unsafe { self.uring.submitter().enter::<libc::sigset_t>(queued, 0, GETEVENTS, None) };
        ignore_transient(result.map(|_| ()))
    }

    /// Submits what is queued and waits for one completion, at most for `timeout`.
    ///
    /// # Errors
    /// What the kernel said, unless it only asks to come again or the time is up.
    pub(crate) fn enter_and_wait(&mut self, timeout: Duration) -> io::Result<()> {
        self.enters += 1;
        let timespec = Timespec::from(timeout);
        let arguments = SubmitArgs::new().timespec(&timespec);
        let result = self.uring.submitter().submit_with_args(1, &arguments);
        ignore_transient(result.map(|_| ()))
    }

    /// Copies all completions out, so that working on them can't meet new ones.
    pub(crate) fn reap(&mut self, into: &mut Vec<Completion>) {
        let before = into.len();
        into.extend(self.uring.completion().map(|entry| Completion {
            user_data: entry.user_data(),
            result: entry.result(),
            flags: entry.flags(),
        }));
        self.completed += (into.len() - before) as u64;
    }

    /// Completions that the kernel had to keep aside because the queue was full.
    pub(crate) fn overflow(&mut self) -> u32 {
        self.uring.completion().overflow()
    }

    /// The received bytes of a completion. To be given back by [`Ring::recycle`] in the same turn.
    pub fn received(&self, buffer: u16, length: usize) -> &[u8] {
        self.buffers.bytes(buffer, length)
    }

    /// Gives a receive buffer back; the kernel sees it after [`Ring::publish_buffers`].
    pub(crate) fn recycle(&mut self, buffer: u16) {
        self.buffers.give(buffer);
    }

    /// Shows the kernel all buffers that were given back.
    pub(crate) fn publish_buffers(&mut self) {
        self.buffers.publish();
    }
}

/// Errors after which the loop just comes again: a signal, a full completion queue (it is reaped
/// next), memory for a moment short, and the end of a wait.
fn ignore_transient(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(libc::EINTR | libc::EBUSY | libc::EAGAIN | libc::ETIME)
            ) =>
        {
            Ok(())
        }
        other => other,
    }
}

/// The receive buffers that the kernel picks from: a ring of their addresses, and their memory.
struct Buffers {
    ring: NonNull<BufRingEntry>,
    memory: NonNull<u8>,
    tail: u16,
}

const RING_BYTES: usize = BUFFERS as usize * size_of::<BufRingEntry>();
const MEMORY_BYTES: usize = BUFFERS as usize * BUFFER_BYTES;

impl Buffers {
    fn new(uring: &IoUring) -> io::Result<Buffers> {
        let ring = map(RING_BYTES)?.cast::<BufRingEntry>();
        let memory = map(MEMORY_BYTES)?;
        // SAFETY: the ring is page-aligned, zeroed and stays mapped until `drop`, which runs after
        // the io_uring is gone (field order in `Ring`).
        unsafe {
            uring.submitter().register_buf_ring_with_flags(
                ring.as_ptr() as u64,
                BUFFERS,
                BUFFER_GROUP,
                0,
            )?;
        }
        let mut buffers = Buffers { ring, memory, tail: 0 };
        for buffer in 0..BUFFERS {
            buffers.give(buffer);
        }
        buffers.publish();
        Ok(buffers)
    }

    fn give(&mut self, buffer: u16) {
        assert!(buffer < BUFFERS, "the kernel returns the ids it was given");
        let slot = usize::from(self.tail % BUFFERS);
        // SAFETY: slot < BUFFERS, and the kernel reads an entry only after `publish`.
        let entry = unsafe { &mut *self.ring.as_ptr().add(slot) };
        // SAFETY: buffer < BUFFERS, so the address lies inside the mapping.
        let address = unsafe { self.memory.as_ptr().add(usize::from(buffer) * BUFFER_BYTES) };
        entry.set_addr(address as u64);
        entry.set_len(u32::try_from(BUFFER_BYTES).expect("2 KiB"));
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
    }

    fn publish(&mut self) {
        // SAFETY: the tail lies in the first entry's unused half (kernel ABI), is 2-aligned, and is
        // read by the kernel with acquire.
        let tail = unsafe { &*BufRingEntry::tail(self.ring.as_ptr()).cast::<AtomicU16>() };
        tail.store(self.tail, Ordering::Release);
    }

    fn bytes(&self, buffer: u16, length: usize) -> &[u8] {
        assert!(buffer < BUFFERS && length <= BUFFER_BYTES);
        // SAFETY: inside the mapping, and the kernel does not write a buffer that it handed out
        // until it is given back, for which `give` needs `&mut self`.
        unsafe {
            let start = self.memory.as_ptr().add(usize::from(buffer) * BUFFER_BYTES);
            std::slice::from_raw_parts(start, length)
        }
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: both were mapped with these lengths, and the ring that used them is gone.
        unsafe {
            let _ = munmap(self.ring.as_ptr().cast(), RING_BYTES);
            let _ = munmap(self.memory.as_ptr().cast(), MEMORY_BYTES);
        }
    }
}

fn map(bytes: usize) -> io::Result<NonNull<u8>> {
    // SAFETY: a fresh anonymous mapping aliases nothing.
    let address = unsafe {
        mmap_anonymous(
            std::ptr::null_mut(),
            bytes,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::PRIVATE,
        )?
    };
    Ok(NonNull::new(address.cast()).expect("mmap gives no null"))
}

#[cfg(test)]
mod tests {
    use super::*;

    // The kernel gives back what was set before when it is told to stop.
    #[test]
    fn devices_are_polled_where_the_kernel_can() {
        let mut ring = Ring::new(8, 0).unwrap();
        let mut napi = Napi::new();
        let can = ring.uring.submitter().unregister_napi(&mut napi).is_ok();
        let set = ring.poll_devices(Duration::from_micros(70));
        assert_eq!(set.is_ok(), can, "{set:?}");
        if can {
            ring.uring.submitter().unregister_napi(&mut napi).unwrap();
            assert_eq!(napi.busy_poll_timeout(), 70);
        }
    }
}

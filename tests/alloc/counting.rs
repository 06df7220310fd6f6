//! An allocator that counts what the calling thread asks for while it is told to count. Counts are
//! per thread: the other tests and the harness do not disturb them.

#![allow(unsafe_code)] // Only an allocator sees every allocation, and its trait is unsafe.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// What was asked for while counting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Allocations, and growths of what was there.
    pub allocations: u64,
    /// Bytes asked for.
    pub bytes: u64,
}

thread_local! {
    // Without a destructor and with a constant start: reading them allocates nothing.
    static IS_COUNTING: Cell<bool> = const { Cell::new(false) };
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counted.
pub struct Counting;

fn note(bytes: usize) {
    if IS_COUNTING.get() {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        BYTES.set(BYTES.get() + bytes as u64);
    }
}

// SAFETY: every call is passed on to the system's allocator as it came; the counting beside it
// touches cells of this thread alone and allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        note(bytes);
        // SAFETY: the caller's promises about `block`, `layout` and `bytes` are passed on.
        unsafe { System.realloc(block, layout, bytes) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises about `block` and `layout` are passed on.
        unsafe { System.dealloc(block, layout) }
    }
}

/// Runs `work` and adds what it allocates to `counted`.
pub fn count<T>(counted: &mut Counted, work: impl FnOnce() -> T) -> T {
    let before = (ALLOCATIONS.get(), BYTES.get());
    IS_COUNTING.set(true);
    let done = work();
    IS_COUNTING.set(false);
    counted.allocations += ALLOCATIONS.get() - before.0;
    counted.bytes += BYTES.get() - before.1;
    done
}

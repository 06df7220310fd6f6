//! Buffers for reuse: connections borrow them while bytes wait, and own none while idle. After
//! warm-up nothing allocates.

use crate::base::limits::{POOLED_BUFFER_BYTES, POOLED_BUFFER_BYTES_MAX};

/// A stack of empty buffers, the most recently used on top. Holds at most as many as it was made
/// for, none with a capacity over `POOLED_BUFFER_BYTES_MAX`.
#[derive(Debug)]
pub struct BufferPool {
    buffers: Vec<Vec<u8>>,
    count_max: usize,
}

impl BufferPool {
    /// A pool that keeps at most `count_max` buffers. Starts without any; allocates the stack.
    pub fn new(count_max: usize) -> BufferPool {
        BufferPool { buffers: Vec::with_capacity(count_max), count_max }
    }

    /// An empty buffer. Allocates only where none is kept.
    pub fn take(&mut self) -> Vec<u8> {
        self.buffers.pop().unwrap_or_else(|| Vec::with_capacity(POOLED_BUFFER_BYTES))
    }

    /// Takes a buffer back and empties it. Drops it where it has grown too large, never held
    /// anything, or the pool is full.
    pub fn give(&mut self, mut buffer: Vec<u8>) {
        let size = buffer.capacity();
        if size > 0 && size <= POOLED_BUFFER_BYTES_MAX && self.buffers.len() < self.count_max {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }

    /// Buffers that are kept.
    pub fn len(&self) -> usize {
        self.buffers.len()
    }

    /// Whether no buffer is kept.
    pub fn is_empty(&self) -> bool {
        self.buffers.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_empty_and_the_bounds_hold() {
        let mut pool = BufferPool::new(2);
        let mut first = pool.take();
        assert_eq!(first.capacity(), POOLED_BUFFER_BYTES);
        first.extend_from_slice(b"secret");
        let place = first.as_ptr();
        pool.give(first);
        let again = pool.take();
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
        pool.give(Vec::with_capacity(POOLED_BUFFER_BYTES_MAX + 1));
        pool.give(Vec::new());
        assert!(pool.is_empty());
        for _ in 0..3 {
            pool.give(Vec::with_capacity(10));
        }
        assert_eq!(pool.len(), 2);
    }
}

//! Buffers for reuse: connections borrow them while bytes wait, and own none while idle. After
//! warm-up nothing allocates.

use nudged_base::limits::{
    POOLED_BUFFER_BYTES, POOLED_BUFFER_BYTES_MAX, POOLED_BUFFERS_MIN, POOLED_BYTES_MAX,
};

/// A stack of empty buffers, the most recently used on top. Holds at most as many as it was made
/// for and `POOLED_BYTES_MAX` of them, none with a capacity over `POOLED_BUFFER_BYTES_MAX`: what a
/// burst has made it need goes back to the allocator.
#[derive(Debug)]
pub struct BufferPool {
    buffers: Vec<Vec<u8>>,
    count_max: usize,
    /// Capacity of all buffers that are kept.
    bytes: usize,
    freed_bytes: u64,
    /// The fewest that were kept at any moment since the last [`BufferPool::shrink`].
    idle: usize,
}

impl BufferPool {
    /// A pool that keeps at most `count_max` buffers. Starts without any; allocates the stack.
    pub fn new(count_max: usize) -> BufferPool {
        let buffers = Vec::with_capacity(count_max);
        BufferPool { buffers, count_max, bytes: 0, freed_bytes: 0, idle: 0 }
    }

    /// An empty buffer. Allocates only where none is kept.
    pub fn take(&mut self) -> Vec<u8> {
        self.take_kept().unwrap_or_else(|| Vec::with_capacity(POOLED_BUFFER_BYTES))
    }

    /// An empty buffer, where one is kept.
    pub fn take_kept(&mut self) -> Option<Vec<u8>> {
        let buffer = self.buffers.pop()?;
        self.bytes -= buffer.capacity();
        self.idle = self.idle.min(self.buffers.len());
        Some(buffer)
    }

    /// Takes a buffer back and empties it. Drops it where it has grown too large, never held
    /// anything (kept, such a one would have to grow anew each time), or the pool is full.
    pub fn give(&mut self, mut buffer: Vec<u8>) {
        let size = buffer.capacity();
        let is_fit = size > 0 && size <= POOLED_BUFFER_BYTES_MAX;
        let has_room = self.buffers.len() < self.count_max && self.bytes + size <= POOLED_BYTES_MAX;
        if is_fit && has_room {
            buffer.clear();
            self.bytes += size;
            self.buffers.push(buffer);
        } else {
            self.freed_bytes += size as u64;
        }
    }

    /// Frees a quarter of the buffers that nobody has needed since the last call, but for the last
    /// few: to be called now and then, so that what a busy time needed goes back bit by bit. Those
    /// in use all the time stay.
    pub fn shrink(&mut self) {
        let spare = self.idle.saturating_sub(POOLED_BUFFERS_MIN);
        for buffer in self.buffers.drain(..spare.div_ceil(4)) {
            self.bytes -= buffer.capacity();
            self.freed_bytes += buffer.capacity() as u64;
        }
        self.idle = self.buffers.len();
    }

    /// Frees every buffer: where memory is short.
    pub fn free(&mut self) {
        self.freed_bytes += self.bytes as u64;
        self.bytes = 0;
        self.buffers.clear();
        self.idle = 0;
    }

    /// Buffers that are kept.
    pub fn len(&self) -> usize {
        self.buffers.len()
    }

    /// Whether no buffer is kept.
    pub fn is_empty(&self) -> bool {
        self.buffers.is_empty()
    }

    /// Capacity of all buffers that were given back and not kept, so far, in bytes.
    pub fn freed_bytes(&self) -> u64 {
        self.freed_bytes
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
        assert_eq!(pool.freed_bytes(), (POOLED_BUFFER_BYTES_MAX + 1 + 10) as u64);
    }

    #[test]
    fn what_nobody_needs_any_more_goes_and_what_is_in_use_stays() {
        let mut pool = BufferPool::new(100);
        (0..100).for_each(|_| pool.give(Vec::with_capacity(10)));
        pool.shrink();
        assert_eq!(pool.len(), 100, "they were not there all the time");
        for _ in 0..100 {
            let used: Vec<_> = (0..40).map(|_| pool.take()).collect();
            used.into_iter().for_each(|buffer| pool.give(buffer));
            pool.shrink();
        }
        assert_eq!(pool.len(), 40 + POOLED_BUFFERS_MIN);
        (0..100).for_each(|_| pool.shrink());
        assert_eq!(pool.len(), POOLED_BUFFERS_MIN);
        assert_eq!(pool.freed_bytes(), 10 * (100 - POOLED_BUFFERS_MIN) as u64);
    }

    #[test]
    fn what_a_burst_needed_is_not_kept() {
        let mut pool = BufferPool::new(1_024);
        for _ in 0..1_000 {
            pool.give(Vec::with_capacity(POOLED_BUFFER_BYTES_MAX));
        }
        assert_eq!(pool.len(), POOLED_BYTES_MAX / POOLED_BUFFER_BYTES_MAX);
        let kept = pool.len() * POOLED_BUFFER_BYTES_MAX;
        assert_eq!(pool.freed_bytes(), (1_000 * POOLED_BUFFER_BYTES_MAX - kept) as u64);
        pool.free();
        assert!(pool.is_empty());
        assert_eq!(pool.freed_bytes(), (1_000 * POOLED_BUFFER_BYTES_MAX) as u64);
        pool.give(Vec::with_capacity(POOLED_BUFFER_BYTES_MAX));
        assert_eq!(pool.len(), 1);
    }
}

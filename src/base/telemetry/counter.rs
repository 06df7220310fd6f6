//! One number.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that one thread writes and others read, a little late at worst.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it. Only the owning thread may: two writers would lose counts.
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    /// Adds one. Only the owning thread may.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Sets a gauge. Only the owning thread may.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Its value. Any thread may.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

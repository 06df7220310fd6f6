//! Seeded choices: splitmix64, a stream for each who chooses.

use nudged_base::mix::{RandomStream, STEP};

/// A stream of choices.
pub struct Random(RandomStream);

impl Random {
    /// The stream of one chooser of a run.
    pub fn new(seed: u64, chooser: u64) -> Random {
        Random(RandomStream(seed.wrapping_mul(STEP) ^ chooser.wrapping_mul(0xd6e8_feb8_6659)))
    }

    /// 0 to `end` - 1.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap();
        usize::try_from(self.0.next_number() % end).unwrap()
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }
}

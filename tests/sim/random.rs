//! Seeded choices. Each concern of a run draws from a stream of its own, so that a change in one
//! (one more request, say) leaves the choices of the others as they are.

use nudged_base::mix;

/// A stream of choices: splitmix64.
pub struct Stream(mix::RandomStream);

impl Stream {
    /// The stream of a concern within a seed.
    pub fn new(seed: u64, concern: &str) -> Stream {
        let salt = concern.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |salt, byte| {
            (salt ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mut stream = Stream(mix::RandomStream(seed.wrapping_mul(mix::STEP) ^ salt));
        stream.0.next_number();
        stream
    }

    /// A number below `bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.next_number() % bound.max(1)
    }

    /// A number in `[first, last]`.
    pub fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last - first + 1)
    }

    /// A place in something of this length.
    pub fn index(&mut self, length: usize) -> usize {
        let length = u64::try_from(length).expect("lengths fit");
        usize::try_from(self.below(length)).expect("below a length")
    }

    /// True once in `count` times; never for 0.
    pub fn one_in(&mut self, count: u64) -> bool {
        count != 0 && self.below(count) == 0
    }

    /// The frequency of a fault that a third of the seeds have; 0 for never.
    pub fn sometimes(&mut self, one_in: u64) -> u64 {
        if self.one_in(3) { one_in } else { 0 }
    }

    /// A number in `[1, last]`, small ones far more often: each halving is as likely.
    pub fn skewed(&mut self, last: u64) -> u64 {
        let halvings = self.below(u64::from(64 - last.leading_zeros()));
        self.between(1, (last >> halvings).max(1))
    }

    pub fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.index(values.len())]
    }
}

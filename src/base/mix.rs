//! SplitMix64: spreads the bits of numbers. Pinned, since nodes of two versions share work out by
//! it. No protection against those who choose the numbers.

/// What a stream's state grows by.
pub const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A number with the bits of `word` spread over all of it; no two words have the same.
pub fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// The numbers of a seed.
#[derive(Clone, Debug)]
pub struct RandomStream(pub u64);

impl RandomStream {
    /// The next of them.
    pub fn next_number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_published_function() {
        let mut stream = RandomStream(0);
        let numbers = [(); 3].map(|()| stream.next_number());
        let published = [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f];
        assert_eq!(numbers, published);
    }
}

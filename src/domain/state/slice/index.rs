//! From hashes to slots: linear probing in a table that never grows, three of four buckets in use
//! at most. Knows neither users nor pages.
//!
//! Removing shifts later buckets back instead of leaving a mark behind: a table with marks has to
//! be rebuilt, or to grow, under the steady coming and going of a full cache, which a bound on
//! bytes and on the time of one step both forbid. (That is what ruled out hashbrown here.)
//!
//! Layout of a bucket: the upper half of the hash above, the slot's number plus one below; 0 is
//! empty.

use super::pages::PageSlot;

pub(super) struct Index {
    /// Zeroed memory that the kernel gives page by page as it is touched.
    buckets: Vec<u64>,
    used: usize,
    used_max: usize,
}

impl Index {
    /// What an index takes for each user that it has room for, in bytes, rounded up.
    pub(super) const BYTES_PER_USER: u64 = 11;

    /// An index of at most `users_max` slots. Allocates all it ever needs.
    pub(super) fn new(users_max: usize) -> Index {
        let buckets = users_max + users_max / 3 + 1;
        assert!(u32::try_from(buckets).is_ok(), "half a hash chooses among 2^32 buckets");
        Index { buckets: vec![0; buckets], used: 0, used_max: users_max }
    }

    pub(super) fn len(&self) -> usize {
        self.used
    }

    pub(super) fn is_full(&self) -> bool {
        self.used == self.used_max
    }

    pub(super) fn bytes(&self) -> u64 {
        self.buckets.len() as u64 * 8
    }

    /// The slot of a hash for which `is_it` holds.
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(PageSlot) -> bool) -> Option<PageSlot> {
        let hash = upper(hash);
        let mut position = self.home(hash);
        loop {
            let (bucket_hash, slot) = parts(self.buckets[position])?;
            if bucket_hash == hash && is_it(slot) {
                return Some(slot);
            }
            position = self.after(position);
        }
    }

    /// Puts a slot in; it must not be in, and the index must not be full.
    pub(super) fn insert(&mut self, hash: u64, slot: PageSlot) {
        assert!(!self.is_full(), "room was made before");
        let hash = upper(hash);
        let mut position = self.home(hash);
        while self.buckets[position] != 0 {
            position = self.after(position);
        }
        self.buckets[position] = bucket(hash, slot);
        self.used += 1;
    }

    /// Puts a slot in another's place.
    pub(super) fn replace(&mut self, hash: u64, old: PageSlot, new: PageSlot) {
        let position = self.position(hash, old);
        self.buckets[position] = bucket(upper(hash), new);
    }

    /// Takes a slot out.
    pub(super) fn remove(&mut self, hash: u64, slot: PageSlot) {
        let mut hole = self.position(hash, slot);
        let mut position = hole;
        loop {
            position = self.after(position);
            let Some((bucket_hash, _)) = parts(self.buckets[position]) else { break };
            // A bucket may move back to the hole unless that is before its home.
            let from_home = self.steps(self.home(bucket_hash), position);
            if from_home >= self.steps(hole, position) {
                self.buckets[hole] = self.buckets[position];
                hole = position;
            }
        }
        self.buckets[hole] = 0;
        self.used -= 1;
    }

    fn position(&self, hash: u64, slot: PageSlot) -> usize {
        let wanted = bucket(upper(hash), slot);
        let mut position = self.home(upper(hash));
        while self.buckets[position] != wanted {
            assert!(self.buckets[position] != 0, "a taken slot is in the index");
            position = self.after(position);
        }
        position
    }

    /// Where a hash would best be: the buckets divide the range of hashes evenly.
    fn home(&self, hash: u32) -> usize {
        let home = (u64::from(hash) * self.buckets.len() as u64) >> 32;
        usize::try_from(home).expect("below the number of buckets")
    }

    fn after(&self, position: usize) -> usize {
        if position + 1 == self.buckets.len() { 0 } else { position + 1 }
    }

    /// Steps from one bucket forward to another.
    fn steps(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.buckets.len() - from }
    }
}

fn upper(hash: u64) -> u32 {
    u32::try_from(hash >> 32).expect("32 bits are left")
}

fn bucket(hash: u32, slot: PageSlot) -> u64 {
    (u64::from(hash) << 32) | (u64::from(slot.0) + 1)
}

fn parts(bucket: u64) -> Option<(u32, PageSlot)> {
    let slot = u32::try_from(bucket & 0xffff_ffff).expect("masked to 32 bits");
    Some((upper(bucket), PageSlot(slot.checked_sub(1)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        // Few different homes, so that runs of buckets wrap around the end and overlap.
        #[test]
        fn finds_what_was_put_in_and_nothing_else(
            steps in prop::collection::vec((any::<bool>(), 0..24u32), 1..200)
        ) {
            let mut index = Index::new(24);
            let hash = |slot: u32| (u64::from(slot % 5) << 62) | (u64::from(slot % 7) << 40) | 0xff;
            let mut model = std::collections::BTreeSet::new();
            for (put, slot) in steps {
                if put && !model.contains(&slot) {
                    index.insert(hash(slot), PageSlot(slot));
                    model.insert(slot);
                } else if !put && model.remove(&slot) {
                    index.remove(hash(slot), PageSlot(slot));
                }
                prop_assert_eq!(index.len(), model.len());
                for slot in 0..24 {
                    let found = index.find(hash(slot), |found| found == PageSlot(slot));
                    prop_assert_eq!(found.is_some(), model.contains(&slot));
                }
            }
        }
    }

    #[test]
    fn it_holds_as_many_as_it_says_in_the_bytes_that_it_says() {
        let mut index = Index::new(3_000);
        for slot in 0..3_000 {
            assert!(!index.is_full());
            index.insert(u64::from(slot) << 50, PageSlot(slot));
        }
        assert!(index.is_full());
        assert!(index.bytes() <= 3_000 * Index::BYTES_PER_USER);
    }
}

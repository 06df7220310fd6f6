//! How many distinct users, in at most [`SKETCH_BYTES_MAX`] bytes: a HyperLogLog of pinned form.
//! Pure; must not know what the users did.
//!
//! 2,048 registers of 6 bits. The upper 11 bits of a user's hash ([`hash::sketch`]) choose one; it
//! holds the highest rank seen, which is 1 and the zeros that the other 53 bits begin with. So a
//! user counts once however often, two sketches unite register by register, and none of that
//! depends on the order. It holds no id, and no hash from which one could be told.
//!
//! The estimate is that of O. Ertl, "New cardinality estimation algorithms for HyperLogLog
//! sketches" (2017), the improved raw one: no tables, no corrections by range.
//!
//! ```text
//! stored  01 · index * 64 + rank, three bytes each, big-endian, ascending     up to 511 registers
//!         02 · 1,536 bytes: rank of register 0 in the upper 6 bits, and so on       more than that
//! ```
//!
//! The same registers have one stored form. It is written into databases: it never changes, another
//! one gets another first byte.

use crate::hash;

/// Standard error of an estimate of many users, as a part of it: 1.04 / sqrt(2,048).
pub const SKETCH_ERROR: f64 = 0.023;
/// Longest stored form, in bytes.
const SKETCH_BYTES_MAX: usize = 1 + REGISTERS * 6 / 8;

const INDEX_BITS: u32 = 11;
const REGISTERS: usize = 1 << INDEX_BITS;
/// Bits of a hash behind those that choose.
const RANK_BITS: u32 = u64::BITS - INDEX_BITS;
/// From 0, of a register that holds nothing, to one more than those bits.
const RANKS: usize = 55;
/// With one more the other form is shorter.
const SPARSE_MAX: usize = 511;
const SPARSE: u8 = 1;
const DENSE: u8 = 2;

/// Registers that are not 0, with their ranks: in ascending order where they are few.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Registers {
    Sparse(Vec<(u16, u8)>),
    Dense(Box<[u8; REGISTERS]>),
}

/// A set of users of which only their number can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserSketch {
    registers: Registers,
}

impl Default for UserSketch {
    /// Nobody. Does not allocate.
    fn default() -> UserSketch {
        UserSketch { registers: Registers::Sparse(Vec::new()) }
    }
}

impl UserSketch {
    /// Adds a user, by [`hash::sketch`] of the id; whether that changed anything. May allocate.
    pub fn insert(&mut self, hash: u64) -> bool {
        let index = u16::try_from(hash >> RANK_BITS).expect("11 bits");
        let rank = (hash << INDEX_BITS).leading_zeros().min(RANK_BITS) + 1;
        self.raise(index, u8::try_from(rank).expect("up to 54"))
    }

    /// Adds the users of another one. May allocate.
    pub fn unite(&mut self, other: &UserSketch) {
        for (index, rank) in other.entries() {
            self.raise(index, rank);
        }
    }

    /// About how many users there are: [`SKETCH_ERROR`].
    pub fn estimate(&self) -> u64 {
        let mut counts = [0_u32; RANKS];
        let mut used = 0;
        for (_, rank) in self.entries() {
            counts[usize::from(rank)] += 1;
            used += 1;
        }
        counts[0] = u32::try_from(REGISTERS).expect("2,048") - used;
        let registers = f64::from(counts[0] + used);
        let last = counts.len() - 1;
        let mut sum = registers * tau(1.0 - f64::from(counts[last]) / registers);
        for count in counts[1..last].iter().rev() {
            sum = 0.5 * (sum + f64::from(*count));
        }
        sum += registers * sigma(f64::from(counts[0]) / registers);
        let estimate = registers * registers / (2.0 * std::f64::consts::LN_2 * sum);
        whole(estimate)
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.entries().next().is_none()
    }

    /// The stored form. Allocates.
    pub fn encode(&self) -> Vec<u8> {
        match &self.registers {
            Registers::Sparse(entries) => {
                let mut bytes = Vec::with_capacity(1 + 3 * entries.len());
                bytes.push(SPARSE);
                for (index, rank) in entries {
                    let entry = u32::from(*index) << 6 | u32::from(*rank);
                    bytes.extend_from_slice(&entry.to_be_bytes()[1..]);
                }
                bytes
            }
            Registers::Dense(ranks) => {
                let mut bytes = Vec::with_capacity(SKETCH_BYTES_MAX);
                bytes.push(DENSE);
                let (fours, _) = ranks.as_chunks::<4>();
                for four in fours {
                    let packed = four.iter().fold(0, |packed, rank| packed << 6 | u32::from(*rank));
                    bytes.extend_from_slice(&packed.to_be_bytes()[1..]);
                }
                bytes
            }
        }
    }

    /// Reads a stored form; `None` where it is none, or not the one that its registers have.
    /// Allocates.
    pub fn decode(bytes: &[u8]) -> Option<UserSketch> {
        let (form, rest) = bytes.split_first()?;
        let (threes, []) = rest.as_chunks::<3>() else { return None };
        let packed = threes.iter().map(|[high, middle, low]| {
            u32::from(*high) << 16 | u32::from(*middle) << 8 | u32::from(*low)
        });
        let mut sketch = UserSketch::default();
        match *form {
            SPARSE => {
                for entry in packed {
                    let index = u16::try_from(entry >> 6).ok()?;
                    sketch.raise_valid(index, entry & 63)?;
                }
            }
            DENSE => {
                for (four, packed) in (0_u16..).zip(packed) {
                    for place in 0..4 {
                        let rank = packed >> (18 - 6 * place) & 63;
                        if rank > 0 {
                            sketch.raise_valid(4 * four + place, rank)?;
                        }
                    }
                }
            }
            _ => return None,
        }
        (sketch.encode() == bytes).then_some(sketch)
    }

    fn raise_valid(&mut self, index: u16, rank: u32) -> Option<()> {
        let is_valid = usize::from(index) < REGISTERS && (1..=RANK_BITS + 1).contains(&rank);
        is_valid.then(|| self.raise(index, u8::try_from(rank).expect("up to 54"))).map(drop)
    }

    /// Makes a register hold a rank at least; whether it held less.
    fn raise(&mut self, index: u16, rank: u8) -> bool {
        match &mut self.registers {
            Registers::Dense(ranks) => {
                let held = &mut ranks[usize::from(index)];
                let is_higher = rank > *held;
                *held = rank.max(*held);
                is_higher
            }
            Registers::Sparse(entries) => {
                match entries.binary_search_by_key(&index, |(index, _)| *index) {
                    Ok(place) => {
                        let held = &mut entries[place].1;
                        let is_higher = rank > *held;
                        *held = rank.max(*held);
                        is_higher
                    }
                    Err(place) => {
                        entries.insert(place, (index, rank));
                        if entries.len() > SPARSE_MAX {
                            self.spread();
                        }
                        true
                    }
                }
            }
        }
    }

    fn spread(&mut self) {
        let mut ranks = Box::new([0; REGISTERS]);
        self.entries().for_each(|(index, rank)| ranks[usize::from(index)] = rank);
        self.registers = Registers::Dense(ranks);
    }

    /// The registers that are not 0, in order.
    fn entries(&self) -> impl Iterator<Item = (u16, u8)> {
        let (sparse, dense) = match &self.registers {
            Registers::Sparse(entries) => (&entries[..], &[][..]),
            Registers::Dense(ranks) => (&[][..], &ranks[..]),
        };
        let dense = (0_u16..).zip(dense).map(|(index, rank)| (index, *rank));
        sparse.iter().copied().chain(dense.filter(|(_, rank)| *rank > 0))
    }
}

/// The nearest whole number of users.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates at both")]
fn whole(estimate: f64) -> u64 {
    estimate.round() as u64
}

/// What registers that hold nothing add: x + x² + 2 x⁴ + 4 x⁸ + ...; infinity where all do.
fn sigma(part: f64) -> f64 {
    if part >= 1.0 {
        return f64::INFINITY;
    }
    let (mut power, mut factor, mut sum) = (part, 1.0, part);
    loop {
        power *= power;
        let next = sum + power * factor;
        factor += factor;
        if next <= sum {
            return sum;
        }
        sum = next;
    }
}

/// What registers that can't hold more take away.
fn tau(part: f64) -> f64 {
    if part <= 0.0 || part >= 1.0 {
        return 0.0;
    }
    let (mut root, mut factor, mut sum) = (part, 1.0, 1.0 - part);
    loop {
        root = root.sqrt();
        factor *= 0.5;
        let next = sum - (1.0 - root) * (1.0 - root) * factor;
        if next >= sum {
            return sum / 3.0;
        }
        sum = next;
    }
}

impl<'u> FromIterator<&'u str> for UserSketch {
    /// A sketch of some users. Allocates.
    fn from_iter<I: IntoIterator<Item = &'u str>>(users: I) -> UserSketch {
        let mut sketch = UserSketch::default();
        for user in users {
            sketch.insert(hash::sketch(user.as_bytes()));
        }
        sketch
    }
}

#[cfg(test)]
mod tests;

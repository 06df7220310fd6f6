//! Pinned hashes. Their outputs are stored and published (golden vectors in the tests below):
//! changing one is a change of format. Each use has a salt of its own, so that no two of them
//! are correlated. The function is rapidhash v3, whose output is defined across platforms.

use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};

const USER: RapidSecrets = RapidSecrets::seed_cpp(0x6e75_6467_6564_0001);
const POPUP: RapidSecrets = RapidSecrets::seed_cpp(0x6e75_6467_6564_0002);
const ROLLOUT: RapidSecrets = RapidSecrets::seed_cpp(0x6e75_6467_6564_0003);
const VARIANT: RapidSecrets = RapidSecrets::seed_cpp(0x6e75_6467_6564_0004);
const SESSION: RapidSecrets = RapidSecrets::seed_cpp(0x6e75_6467_6564_0005);
const ERASED: [RapidSecrets; 2] =
    [RapidSecrets::seed_cpp(0x6e75_6467_6564_0006), RapidSecrets::seed_cpp(0x6e75_6467_6564_0007)];
const SKETCH: RapidSecrets = RapidSecrets::seed_cpp(0x6e75_6467_6564_0008);

/// Hash of a user id: slice entry, partition.
pub fn user(id: &[u8]) -> u64 {
    rapidhash_v3_seeded(id, &USER)
}

/// Hash of a popup id: the key of a popup in a user's state.
pub fn popup(id: &[u8]) -> u64 {
    rapidhash_v3_seeded(id, &POPUP)
}

/// Hash of a session id; never 0, which stands for "none".
pub fn session(id: &[u8]) -> u64 {
    rapidhash_v3_seeded(id, &SESSION).max(1)
}

/// Where a user stands in a popup's rollout: a uniform 64-bit number of (user, popup).
pub fn rollout(user: &[u8], popup: u64) -> u64 {
    salted(user, popup, &ROLLOUT)
}

/// Where a user stands among a popup's variants: a uniform 64-bit number of (user, popup),
/// independent of [`rollout`].
pub fn variant(user: &[u8], popup: u64) -> u64 {
    salted(user, popup, &VARIANT)
}

/// Hash of a user id that sketches of distinct users are made of: independent of the partition,
/// whose users a stream may have alone.
pub fn sketch(user: &[u8]) -> u64 {
    rapidhash_v3_seeded(user, &SKETCH)
}

/// What stands for the decision token of an erased user: it still tells impressions apart, and
/// says nothing of the user. Nobody can find the token by trying users, because a token carries
/// 16 bytes of a keyed signature.
pub fn erased_decision(token: &[u8]) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&rapidhash_v3_seeded(token, &ERASED[0]).to_le_bytes());
    bytes[8..].copy_from_slice(&rapidhash_v3_seeded(token, &ERASED[1]).to_le_bytes());
    bytes
}

/// Mixes the user's hash with the popup's key by a second round over their 16 bytes.
fn salted(user: &[u8], popup: u64, secrets: &RapidSecrets) -> u64 {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&rapidhash_v3_seeded(user, secrets).to_le_bytes());
    bytes[8..].copy_from_slice(&popup.to_le_bytes());
    rapidhash_v3_seeded(&bytes, secrets)
}

/// A hash with a seed of this process: for tables whose keys strangers choose. The pinned hashes
/// above are public, so ids that collide in them can be made at will; in this one they can't be
/// without the seed. Never stored.
#[derive(Clone, Copy)]
pub struct Keyed(RapidSecrets);

impl Keyed {
    /// A hash of its own for each seed.
    pub fn new(seed: u64) -> Keyed {
        Keyed(RapidSecrets::seed(seed))
    }

    /// Hashes some bytes. Does not allocate.
    pub fn of(&self, bytes: &[u8]) -> u64 {
        rapidhash_v3_seeded(bytes, &self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Published: another implementation that gives these gives the same partitions and buckets.
    #[test]
    fn golden_vectors() {
        let key = popup(b"spring-sale");
        let got = [user(b""), user(b"u1"), user(&[b'x'; 128]), key, session(b"s1")];
        let buckets = [rollout(b"u1", key), variant(b"u1", key)];
        let want = [
            10_278_075_638_729_426_850,
            14_469_929_241_325_350_579,
            14_859_936_080_832_267_287,
            8_187_445_850_420_123_464,
            18_073_893_771_232_075_158,
        ];
        assert_eq!(got, want);
        assert_eq!(buckets, [15_905_260_175_497_018_127, 2_561_585_965_990_236_864]);
        assert_eq!([sketch(b""), sketch(b"u1")], [1_425_285_330_062_340_659, 1_268_724_832_883_877_048]);
    }

    #[test]
    fn a_keyed_hash_depends_on_its_seed_alone() {
        assert_eq!(Keyed::new(1).of(b"u1"), Keyed::new(1).of(b"u1"));
        assert_ne!(Keyed::new(1).of(b"u1"), Keyed::new(2).of(b"u1"));
        assert_ne!(Keyed::new(1).of(b"u1"), user(b"u1"));
    }
}

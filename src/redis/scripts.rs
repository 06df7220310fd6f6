//! The scripts that Redis runs for us, each one step over one partition. What they take and give
//! stands at their heads. Each has a `#!lua` head: Redis then refuses it before it starts where it
//! can't finish, as without memory.

use std::sync::LazyLock;

use sha1::{Digest, Sha1};

/// One of the scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    /// A user's value and the partition's meta.
    Read,
    /// Replaces a user's value if it is the one that the new one was made from.
    Commit,
    /// Puts a value where there is none, or a lower one.
    Fill,
    /// The partition's meta.
    Meta,
}

static HASHES: LazyLock<[[u8; 40]; 4]> =
    LazyLock::new(|| Script::ALL.map(|script| hash_of(script.body())));

impl Script {
    /// Every script, in the order of their declaration.
    pub const ALL: [Script; 4] = [Script::Read, Script::Commit, Script::Fill, Script::Meta];

    /// The text.
    pub fn body(self) -> &'static str {
        match self {
            Script::Read => include_str!("scripts/read.lua"),
            Script::Commit => include_str!("scripts/commit.lua"),
            Script::Fill => include_str!("scripts/fill.lua"),
            Script::Meta => include_str!("scripts/meta.lua"),
        }
    }

    /// The SHA-1 of the text in hex, by which `EVALSHA` names it.
    pub fn hash(self) -> &'static [u8; 40] {
        &HASHES[match self {
            Script::Read => 0,
            Script::Commit => 1,
            Script::Fill => 2,
            Script::Meta => 3,
        }]
    }
}

/// The SHA-1 of a script's text in lower-case hex.
pub fn hash_of(body: &str) -> [u8; 40] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hash = [0; 40];
    for (pair, byte) in hash.chunks_exact_mut(2).zip(Sha1::digest(body)) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_texts() {
        assert_eq!(&hash_of("abc"), b"a9993e364706816aba3e25717850c26c9cd0d89d");
        for script in Script::ALL {
            assert_eq!(script.hash(), &hash_of(script.body()));
            assert!(script.body().starts_with("#!lua"), "{script:?} is refused when it can't run");
        }
    }
}

//! The signing keys that all nodes of one database share, so that every node takes every node's
//! tokens. The table `signing_keys` is their home; Redis has a copy for a start without SQL, and
//! the data directory one for a start without either.
//!
//! A node that finds no shared keys offers its own newest one, so that tokens which it signed while
//! it was alone stay good. Of several that do so at once one wins, and all take its key.

use crate::api::token::Secret;

/// What a node uses of its own keys and the shared ones, oldest first. Shared ones win; an own one
/// stays to verify what it signed, but never signs: it is older than the newest shared one.
pub fn settle(own: &[Secret], shared: &[Secret]) -> Vec<Secret> {
    let newest = shared.iter().map(|secret| secret.created_at).max();
    let is_older = |secret: &&Secret| newest.is_none_or(|newest| secret.created_at < newest);
    let is_known = |secret: &&Secret| shared.iter().any(|known| known.id == secret.id);
    let rest = own.iter().filter(|secret| !is_known(secret)).filter(is_older);
    let mut settled: Vec<Secret> = shared.iter().chain(rest).cloned().collect();
    settled.sort_by_key(|secret| (secret.created_at, secret.id));
    settled
}

/// The key that a node offers as the first shared one.
pub fn newest(own: &[Secret]) -> Option<&Secret> {
    own.iter().max_by_key(|secret| (secret.created_at, secret.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::WallMs;

    fn key(id: u32, at: i64, byte: u8) -> Secret {
        Secret { id, created_at: WallMs(at), bytes: [byte; 32] }
    }

    fn settled(own: &[Secret], shared: &[Secret]) -> Vec<(u32, u8)> {
        settle(own, shared).iter().map(|secret| (secret.id, secret.bytes[0])).collect()
    }

    #[test]
    fn shared_keys_win_and_own_ones_only_verify() {
        let (old, young) = (key(1, 10, b'a'), key(2, 20, b'b'));
        let table: [(&[Secret], &[Secret], &[(u32, u8)]); 6] = [
            (&[], &[key(7, 5, b's')], &[(7, b's')]),
            // The own newest key was taken as the first shared one.
            (&[old.clone(), young.clone()], &[key(2, 20, b'b')], &[(1, b'a'), (2, b'b')]),
            // Another node's key won.
            (&[old.clone()], &[key(7, 15, b's')], &[(1, b'a'), (7, b's')]),
            // Made alone while the others had theirs: it would sign what they can't verify.
            (&[old.clone()], &[key(7, 5, b's')], &[(7, b's')]),
            // Two made in one directory each: the shared one has the id.
            (&[old.clone()], &[key(1, 15, b's')], &[(1, b's')]),
            (&[young, old], &[], &[(1, b'a'), (2, b'b')]),
        ];
        for (own, shared, expected) in table {
            assert_eq!(settled(own, shared), expected);
        }
    }

    #[test]
    fn the_newest_own_key_is_offered() {
        assert!(newest(&[]).is_none());
        let keys = [key(5, 10, b'a'), key(2, 30, b'b'), key(9, 20, b'c')];
        assert_eq!(newest(&keys).map(|secret| secret.id), Some(2));
    }
}

//! Who a visitor is: users that a site's server has signed, and minted ids that sign themselves.
//! Owns what is signed and how; knows no route, no key of access and no state.
//!
//! A signature is the HMAC-SHA256 of a user's id by a secret that no page sees, as 64 lower-case
//! hex digits. A minted id carries 130 bits of another one, over a zero byte and the id. No user's
//! id has such a byte, so neither of the two ever stands for the other. The first secret signs, all
//! verify: at most [`IDENTITY_SECRETS_MAX`](nudged_base::limits::IDENTITY_SECRETS_MAX).

use std::fmt;

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use nudged_base::hex;

/// The digits of a minted id: 5 bits each.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const PREFIX: &str = "anon-";
/// Random digits of a minted id: 105 bits.
const RANDOM_DIGITS: usize = 21;
/// Digits of its own signature: 130 bits.
const SEAL_DIGITS: usize = 26;
const SEPARATOR: u8 = b'.';
const PLAIN_BYTES: usize = PREFIX.len() + RANDOM_DIGITS;
const SEALED_BYTES: usize = PLAIN_BYTES + 1 + SEAL_DIGITS;
/// What stands before an id that signs itself.
const SEAL_DOMAIN: [u8; 1] = [0];
/// Bytes of a signature.
const SIGNATURE_BYTES: usize = 32;

/// The secrets that users are signed with, each ready to sign; without any, nobody is asked for a
/// signature. Its `Debug` shows no secret.
#[derive(Clone, Default)]
pub struct IdentitySecrets {
    secrets: Vec<Hmac<Sha256>>,
}

impl fmt::Debug for IdentitySecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentitySecrets").field("secrets", &self.secrets.len()).finish()
    }
}

/// What a caller who may not name every user says of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserClaim {
    /// The signature is of this user.
    Signed,
    /// The id was minted here and carries its own signature.
    Minted,
    /// The id looks like a minted one, and nothing proves it: it is older than the secrets, or its
    /// secret is gone.
    Unproven,
    /// The signature is missing, or of something else.
    Refused,
}

impl IdentitySecrets {
    /// Takes secrets as they are configured, the one that signs first. Allocates.
    pub fn new<'s>(secrets: impl IntoIterator<Item = &'s str>) -> IdentitySecrets {
        let ready =
            |secret: &str| Hmac::new_from_slice(secret.as_bytes()).expect("any length is a key");
        IdentitySecrets { secrets: secrets.into_iter().map(ready).collect() }
    }

    /// Whether a user has to be proven.
    pub fn is_required(&self) -> bool {
        !self.secrets.is_empty()
    }

    /// What becomes of a user that is named with this signature, or with none. Takes as long for
    /// each wrong one of a length. Does not allocate.
    pub fn claim(&self, user: &str, signature: Option<&str>) -> UserClaim {
        let signature = signature.filter(|signature| !signature.is_empty());
        if signature.is_some_and(|signature| self.has_signed(user, signature)) {
            return UserClaim::Signed;
        }
        match minted_parts(user) {
            Some((id, Some(seal))) if self.has_sealed(id, seal) => UserClaim::Minted,
            Some(_) if signature.is_none() => UserClaim::Unproven,
            _ => UserClaim::Refused,
        }
    }

    /// A minted id as it is given out: with its own signature where there is a secret. Does not
    /// allocate.
    #[must_use]
    pub fn sealed(&self, minted: AnonymousId) -> AnonymousId {
        let Some(secret) = self.secrets.first() else { return minted };
        let mut sealed = minted;
        sealed.text[PLAIN_BYTES] = SEPARATOR;
        let seal = seal(secret, minted.as_str());
        sealed.text[PLAIN_BYTES + 1..].copy_from_slice(&seal);
        sealed.bytes = SEALED_BYTES;
        sealed
    }

    fn has_signed(&self, user: &str, signature: &str) -> bool {
        let is_lower = !signature.bytes().any(|digit| digit.is_ascii_uppercase());
        let Some(sent) = hex::decode_array::<SIGNATURE_BYTES>(signature).filter(|_| is_lower)
        else {
            return false;
        };
        let is_of = |secret: &Hmac<Sha256>| {
            secret.clone().chain_update(user.as_bytes()).verify_slice(&sent).is_ok()
        };
        self.secrets.iter().any(is_of)
    }

    fn has_sealed(&self, id: &str, sent: &[u8; SEAL_DIGITS]) -> bool {
        self.secrets.iter().any(|secret| {
            let right = seal(secret, id);
            let difference = right.iter().zip(sent).fold(0, |bits, (a, b)| bits | (a ^ b));
            std::hint::black_box(difference) == 0
        })
    }
}

fn seal(secret: &Hmac<Sha256>, id: &str) -> [u8; SEAL_DIGITS] {
    let tag = secret.clone().chain_update(SEAL_DOMAIN).chain_update(id.as_bytes()).finalize();
    digits_of(&tag.into_bytes())
}

/// A digit for each of the first bytes.
fn digits_of<const COUNT: usize>(tag: &[u8]) -> [u8; COUNT] {
    let mut digits = [DIGITS[0]; COUNT];
    for (digit, byte) in digits.iter_mut().zip(tag) {
        *digit = DIGITS[usize::from(byte % 32)];
    }
    digits
}

/// The id of what looks like a minted one, whatever minted it, with its signature where it has one
/// of the right length; `None` where it can't be one. An id with something else behind it is an
/// id that does not verify.
fn minted_parts(user: &str) -> Option<(&str, Option<&[u8; SEAL_DIGITS]>)> {
    let (id, rest) = user.split_at_checked(PLAIN_BYTES)?;
    let digits = id.strip_prefix(PREFIX)?.as_bytes();
    if !digits.iter().all(u8::is_ascii_alphanumeric) {
        return None;
    }
    match rest.as_bytes() {
        [] => Some((id, None)),
        [SEPARATOR, seal @ ..] => Some((id, seal.try_into().ok())),
        _ => None,
    }
}

/// A minted user id: `anon-` and 105 random bits in 21 lower-case letters and digits; where users
/// are signed, a dot and 26 more behind them, which prove that it was minted here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AnonymousId {
    text: [u8; SEALED_BYTES],
    bytes: usize,
}

impl AnonymousId {
    /// Of as many random bytes.
    pub(super) fn of_random(random: &[u8; 32]) -> AnonymousId {
        let mut text = [0; SEALED_BYTES];
        text[..PREFIX.len()].copy_from_slice(PREFIX.as_bytes());
        let digits: [u8; RANDOM_DIGITS] = digits_of(random);
        text[PREFIX.len()..PLAIN_BYTES].copy_from_slice(&digits);
        AnonymousId { text, bytes: PLAIN_BYTES }
    }

    /// The id as text: ASCII, 26 or 53 bytes.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.text[..self.bytes]).expect("made of ASCII alone")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::keys;

    const FIRST: &str = "identity-secret-1";
    const SECOND: &str = "identity-secret-2";

    fn signature(secret: &str, user: &str) -> String {
        let mac: Hmac<Sha256> = Hmac::new_from_slice(secret.as_bytes()).unwrap();
        hex::encode(&mac.chain_update(user).finalize().into_bytes())
    }

    #[test]
    fn who_may_be_named_and_how() {
        let identity = IdentitySecrets::new([FIRST, SECOND]);
        let (by_first, by_second) = (signature(FIRST, "u1"), signature(SECOND, "u1"));
        let minted = identity.sealed(keys().anonymous_id(1, 7));
        let other = IdentitySecrets::new([SECOND]).sealed(keys().anonymous_id(2, 7));
        let gone = IdentitySecrets::new(["identity-secret-0"]).sealed(keys().anonymous_id(3, 7));
        let plain = keys().anonymous_id(4, 7);
        let (minted, other) = (minted.as_str(), other.as_str());
        let (gone, plain) = (gone.as_str(), plain.as_str());
        let last = &minted[..minted.len() - 1];
        let (short, upper) = (last.to_owned(), minted.to_uppercase().replace("ANON", "anon"));
        let swapped = format!("{}{}", &other[..PLAIN_BYTES], &minted[PLAIN_BYTES..]);
        let as_signature = signature(FIRST, minted);
        let upper_signature = by_first.to_uppercase();
        let cases: &[(&str, Option<&str>, UserClaim)] = &[
            ("u1", Some(&by_first), UserClaim::Signed),
            ("u1", Some(&by_second), UserClaim::Signed),
            ("u1", Some(&by_first[..63]), UserClaim::Refused),
            ("u1", Some(&upper_signature), UserClaim::Refused),
            ("u1", Some(&by_first[..32]), UserClaim::Refused),
            ("u1", Some("é"), UserClaim::Refused),
            ("u1", Some(""), UserClaim::Refused),
            ("u1", None, UserClaim::Refused),
            ("u2", Some(&by_first), UserClaim::Refused),
            ("U1", Some(&by_first), UserClaim::Refused),
            (minted, None, UserClaim::Minted),
            (minted, Some(""), UserClaim::Minted),
            (minted, Some(&by_first), UserClaim::Minted),
            (minted, Some(&as_signature), UserClaim::Signed),
            (other, None, UserClaim::Minted),
            (gone, None, UserClaim::Unproven),
            (plain, None, UserClaim::Unproven),
            (plain, Some(&by_first), UserClaim::Refused),
            (&swapped, None, UserClaim::Unproven),
            (&short, None, UserClaim::Unproven),
            (&upper, None, UserClaim::Unproven),
            ("anon-0123456789abcdefghjkm.", None, UserClaim::Unproven),
            ("anon-0123456789abcdefghjkm-", None, UserClaim::Refused),
            ("anon-0123456789abcdefghjk", None, UserClaim::Refused),
            ("anon-0123456789abcdefghj é", None, UserClaim::Refused),
            ("anon-", None, UserClaim::Refused),
            ("anon-é123456789abcdefghj", None, UserClaim::Refused),
        ];
        for (user, signature, want) in cases {
            assert_eq!(identity.claim(user, *signature), *want, "{user} {signature:?}");
        }
    }

    // Made by `printf '%s' u1 | openssl dgst -sha256 -hmac identity-secret-1`: what sites sign with
    // must never change.
    #[test]
    fn golden_signature() {
        const GOLDEN: &str = "a9d0fa3751fff551f5a23fc8ec01a79d3d6bc1a5a4503493f1205e98c38e31ad";
        assert_eq!(signature(FIRST, "u1"), GOLDEN);
        assert_eq!(IdentitySecrets::new([FIRST]).claim("u1", Some(GOLDEN)), UserClaim::Signed);
    }

    #[test]
    fn minted_ids_are_as_they_are_told() {
        let plain = keys().anonymous_id(1, 7);
        assert_eq!(IdentitySecrets::default().sealed(plain), plain);
        assert!(!IdentitySecrets::default().is_required());
        let identity = IdentitySecrets::new([FIRST]);
        let sealed = identity.sealed(plain);
        let (id, seal) = sealed.as_str().split_once('.').unwrap();
        assert_eq!((id, seal.len()), (plain.as_str(), 26));
        assert!(seal.bytes().all(|digit| DIGITS.contains(&digit)), "{seal}");
        assert!(identity.is_required());
        // What an id proves of itself is not what a server signs.
        assert!(!signature(FIRST, id).starts_with(seal));
    }

    #[test]
    fn debug_keeps_secrets() {
        let text = format!("{:?}", IdentitySecrets::new([FIRST]));
        assert_eq!(text, "IdentitySecrets { secrets: 1 }");
    }
}

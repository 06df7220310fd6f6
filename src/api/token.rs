//! The signed identity of an impression, and the keys that sign it. Owns the layout of a token;
//! knows nothing of requests, of state and of where keys are kept.
//!
//! ```text
//! version 1 or 2 | key id u32 | at i64 | show number u32 | popup version u32
//! | version 2: session u64 | user u8 + bytes | popup u8 + bytes | variant u8 + bytes | tag 16
//! ```
//!
//! Version 2 is of a show that a node decided by its own memory, and holds all that it takes to
//! make it part of its user's state. The session is a pinned hash, 0 for none.
//!
//! Integers are little-endian, texts have their length before them, so no two impressions share an
//! encoding. The tag is the first half of an HMAC-SHA-256 over all before it. As text: base64url
//! without padding, at most [`TOKEN_BYTES_MAX`] bytes.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bumpalo::Bump;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use super::identity::AnonymousId;
use nudged_base::limits::{
    POPUP_ID_BYTES_MAX, TOKEN_BYTES_MAX, TOMBSTONE_AGE_MAX_MS, USER_BYTES_MAX,
    VARIANT_KEY_BYTES_MAX,
};
use nudged_base::time::{DurationMs, WallMs};

#[cfg(test)]
mod tests;

/// Layout version, the first byte of a token.
const VERSION: u8 = 1;
/// The same of a show that a node decided by its own memory.
const VERSION_LOCAL: u8 = 2;
/// First byte of what an anonymous id is made from: no token starts with it.
const ANONYMOUS: u8 = 0;
/// The number in tokens of previews: no show has it, so that a node that knows of no previews finds
/// no show for their events either.
pub const PREVIEW_NUMBER: u32 = 0;
/// Bytes of the tag: half of SHA-256, 128 bits.
const TAG_BYTES: usize = 16;
/// Version byte, key id, time, show number, popup version, session.
const NUMBERS_BYTES: usize = 1 + 4 + 8 + 4 + 4 + 8;
const RAW_BYTES_MAX: usize =
    NUMBERS_BYTES + 3 + USER_BYTES_MAX + POPUP_ID_BYTES_MAX + VARIANT_KEY_BYTES_MAX + TAG_BYTES;

const _: () = {
    assert!(RAW_BYTES_MAX.div_ceil(3) * 4 <= TOKEN_BYTES_MAX);
    // Each length is one byte.
    assert!(USER_BYTES_MAX < 256 && POPUP_ID_BYTES_MAX < 256 && VARIANT_KEY_BYTES_MAX < 256);
};

/// When a token's decision was made and which show it was, for who has the token from a record: its
/// signature is not looked at. `None` for what is no token.
pub fn show_of(text: &str) -> Option<(WallMs, u32)> {
    // Version, key id, time and number are 17 bytes, which the first 24 letters have.
    let bytes = URL_SAFE_NO_PAD.decode(text.get(..24)?).ok()?;
    let is_known = matches!(bytes.first(), Some(&VERSION | &VERSION_LOCAL));
    let at = bytes.get(5..13)?.try_into().ok()?;
    let number = bytes.get(13..17)?.try_into().ok()?;
    is_known.then(|| (WallMs(i64::from_le_bytes(at)), u32::from_le_bytes(number)))
}

/// What a token says: which popup was shown to whom, which show it was, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// The user's id, 1 to 128 bytes.
    pub user: &'a str,
    /// The popup's id.
    pub popup: &'a str,
    /// The popup's version at the decision.
    pub version: u32,
    /// The key of the variant that was shown; empty for none.
    pub variant: &'a str,
    /// Which show of this popup to this user it was, from 1; 0 of a preview, which is none.
    pub number: u32,
    /// When the decision was made.
    pub at: WallMs,
    /// Of a show that a node decided by its own memory, while the user's state could not be had:
    /// the pinned hash of its session, 0 for none. `None` for one that is part of the state.
    pub local: Option<u64>,
}

impl Token<'_> {
    /// Whether it is of a preview: events of it are taken and dropped.
    pub fn is_preview(&self) -> bool {
        self.number == PREVIEW_NUMBER
    }
}

/// A signing key as it is stored. Its `Debug` keeps the secret to itself.
#[derive(Clone)]
pub struct Secret {
    /// Names the key within the tokens that it signed.
    pub id: u32,
    /// When it was made; the newest signs.
    pub created_at: WallMs,
    /// Its random bytes.
    pub bytes: [u8; 32],
    /// When it came from another store: it never signs here, and verifies for 8 days from then.
    pub moved_at: Option<WallMs>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret")
            .field("id", &self.id)
            .field("created_at", &self.created_at)
            .field("moved_at", &self.moved_at)
            .finish_non_exhaustive()
    }
}

/// One key, ready to sign: the two blocks of HMAC's own padding are already hashed.
#[derive(Clone)]
struct SigningKey {
    id: u32,
    created_at: WallMs,
    /// Made when the next newer key was, or moved here then; `None` for the newest.
    superseded_at: Option<WallMs>,
    state: Hmac<Sha256>,
}

impl SigningKey {
    fn verifies_at(&self, now: WallMs) -> bool {
        let rest = DurationMs(TOMBSTONE_AGE_MAX_MS);
        self.superseded_at.is_none_or(|superseded_at| now < superseded_at.plus(rest))
    }
}

/// The signing keys that a node knows: first those that were moved here, then its own, oldest
/// first. The newest of these signs; each other one verifies until 8 days after it was superseded.
/// Several may have one id, for each data directory's first key has the same. Its `Debug` shows
/// ids alone.
#[derive(Clone)]
pub struct Keys {
    keys: Vec<SigningKey>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| key.id)).finish()
    }
}

impl Keys {
    /// Prepares keys for use, given in any order. Two that were made in the same millisecond are
    /// ordered by id, so that all nodes agree on the newest. Allocates.
    ///
    /// # Panics
    /// Where there is no key that signs: a node makes one before it serves.
    pub fn new(secrets: &[Secret]) -> Keys {
        let mut signing = secrets.iter().filter(|secret| secret.moved_at.is_none());
        assert!(signing.next().is_some(), "a node has at least one signing key");
        let mut keys: Vec<SigningKey> = secrets
            .iter()
            .map(|secret| SigningKey {
                id: secret.id,
                created_at: secret.created_at,
                superseded_at: secret.moved_at,
                state: Hmac::new_from_slice(&secret.bytes).expect("HMAC takes any key length"),
            })
            .collect();
        keys.sort_by_key(|key| (key.superseded_at.is_none(), key.created_at, key.id));
        let moved = keys.iter().filter(|key| key.superseded_at.is_some()).count();
        for index in moved + 1..keys.len() {
            keys[index - 1].superseded_at = Some(keys[index].created_at);
        }
        Keys { keys }
    }

    fn newest(&self) -> &SigningKey {
        self.keys.last().expect("made with at least one key")
    }

    /// Appends the text of a token, signed by the newest key. Allocates only where `out` has to
    /// grow.
    ///
    /// # Panics
    /// Where a text of the token is longer than its limit: nothing that was let in is.
    pub fn mint(&self, token: &Token<'_>, out: &mut String) {
        assert!(token.user.len() <= USER_BYTES_MAX);
        assert!(token.popup.len() <= POPUP_ID_BYTES_MAX);
        assert!(token.variant.len() <= VARIANT_KEY_BYTES_MAX);
        let key = self.newest();
        let mut buffer = [0; RAW_BYTES_MAX];
        let mut used = 0;
        let mut put = |bytes: &[u8]| {
            buffer[used..used + bytes.len()].copy_from_slice(bytes);
            used += bytes.len();
        };
        put(&[if token.local.is_some() { VERSION_LOCAL } else { VERSION }]);
        put(&key.id.to_le_bytes());
        put(&token.at.0.to_le_bytes());
        put(&token.number.to_le_bytes());
        put(&token.version.to_le_bytes());
        if let Some(session) = token.local {
            put(&session.to_le_bytes());
        }
        for text in [token.user, token.popup, token.variant] {
            put(&[u8::try_from(text.len()).expect("limits are below 256")]);
            put(text.as_bytes());
        }
        let tag = key.state.clone().chain_update(&buffer[..used]).finalize().into_bytes();
        buffer[used..used + TAG_BYTES].copy_from_slice(&tag[..TAG_BYTES]);
        URL_SAFE_NO_PAD.encode_string(&buffer[..used + TAG_BYTES], out);
    }

    /// Reads a token that one of these keys signed; its texts lie in `bump`. `None` for anything
    /// else: another signature, a key that no longer verifies, text that is not the one canonical
    /// encoding. The tag is compared in constant time. Allocates in `bump` alone.
    pub fn open<'a>(&self, text: &str, bump: &'a Bump, now: WallMs) -> Option<Token<'a>> {
        if text.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let raw = bump.alloc_slice_fill_copy(base64::decoded_len_estimate(text.len()), 0);
        let raw_bytes = URL_SAFE_NO_PAD.decode_slice(text, raw).ok()?;
        let raw = &raw[..raw_bytes];
        let (signed, tag) = raw.split_at_checked(raw.len().checked_sub(TAG_BYTES)?)?;
        let mut reader = TokenReader { rest: signed };
        let is_local = match reader.number()? {
            [VERSION] => false,
            [VERSION_LOCAL] => true,
            _ => return None,
        };
        let key_id = u32::from_le_bytes(reader.number()?);
        let verified = self.keys.iter().any(|key| {
            key.id == key_id
                && key.verifies_at(now)
                && key.state.clone().chain_update(signed).verify_truncated_left(tag).is_ok()
        });
        if !verified {
            return None;
        }
        let at = WallMs(i64::from_le_bytes(reader.number()?));
        let number = u32::from_le_bytes(reader.number()?);
        let version = u32::from_le_bytes(reader.number()?);
        let local = if is_local { Some(u64::from_le_bytes(reader.number()?)) } else { None };
        let (user, popup, variant) = (reader.text()?, reader.text()?, reader.text()?);
        let token = Token { user, popup, version, variant, number, at, local };
        reader.rest.is_empty().then_some(token)
    }

    /// The id of a user who came without one. `seed` is drawn once per process from the operating
    /// system and `counter` differs with each call, so no two are alike; without the key none can
    /// be guessed from another. Does not allocate.
    pub fn anonymous_id(&self, counter: u64, seed: u64) -> AnonymousId {
        let tag = self
            .newest()
            .state
            .clone()
            .chain_update([ANONYMOUS])
            .chain_update(seed.to_le_bytes())
            .chain_update(counter.to_le_bytes())
            .finalize()
            .into_bytes();
        AnonymousId::of_random(&tag.into())
    }
}

/// Takes a token's parts off the front of its signed bytes.
struct TokenReader<'a> {
    rest: &'a [u8],
}

impl<'a> TokenReader<'a> {
    fn number<const BYTES: usize>(&mut self) -> Option<[u8; BYTES]> {
        let (number, rest) = self.rest.split_first_chunk::<BYTES>()?;
        self.rest = rest;
        Some(*number)
    }

    fn text(&mut self) -> Option<&'a str> {
        let [length] = self.number::<1>()?;
        let (text, rest) = self.rest.split_at_checked(usize::from(length))?;
        self.rest = rest;
        str::from_utf8(text).ok()
    }
}

//! Who may operate a node, beside the owner of its token file: tokens that have a name and a role.
//! Each is an entry with an id of its own, of whose token the hash alone is known; revoking ends it
//! by its id. What two nodes know is joined by union, and an end wins, as of pauses and archives
//! (`catalog::overrides`): a revoked token never returns, in whatever order nodes learn.
//!
//! ```text
//! in force ─ its time is up ─► expired ─ some days later ─► ended
//!    └──────── revoked ───────────┴───────────────────────────►┘
//! ```
//!
//! Each node looks at its own clock whether a token has expired, and ends it for all nodes only
//! some days later: a clock that is wrong keeps people out of one node, and out of no other.
//!
//! Pure: entries in, who it is out. Limits: [`OPERATOR_TOKENS_MAX`] in force,
//! [`OPERATOR_TOKENS_REVOKED_MAX`] revoked ones that are remembered.

use std::collections::BTreeMap;
use std::hint::black_box;

use crate::catalog::overrides::OverridePlace;
use crate::ended::Ended;
use nudged_base::hex;
use nudged_base::limits::{
    OPERATOR_TOKENS_EXPIRED_KEPT_MS, OPERATOR_TOKENS_MAX, OPERATOR_TOKENS_REVOKED_MAX,
};
use nudged_base::time::{DurationMs, WallMs};

mod text;

pub use text::{decode, encode};

/// The id of a token; random, so that no two nodes ever draw the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperatorTokenId(pub u128);

impl std::fmt::Display for OperatorTokenId {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:032x}", self.0)
    }
}

impl OperatorTokenId {
    /// The id of its 32 lower-case hex digits.
    pub fn parse(text: &str) -> Option<OperatorTokenId> {
        hex::id(text).map(OperatorTokenId)
    }
}

/// What the owner of a token is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OperatorRole {
    /// Reads.
    Viewer,
    /// Changes popups.
    Editor,
    /// Keeps the node running.
    Operator,
    /// Everything.
    Admin,
}

impl OperatorRole {
    /// Every role with its word in requests, answers and SQL.
    pub const WORDS: [(&str, OperatorRole); 4] = [
        ("viewer", OperatorRole::Viewer),
        ("editor", OperatorRole::Editor),
        ("operator", OperatorRole::Operator),
        ("admin", OperatorRole::Admin),
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        let (word, _) = OperatorRole::WORDS[self as usize];
        word
    }

    /// The role of a word; `None` for a word that is none.
    pub fn of_word(word: &str) -> Option<OperatorRole> {
        OperatorRole::WORDS.iter().find(|(known, _)| *known == word).map(|(_, role)| *role)
    }
}

/// One token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorToken {
    /// Its id.
    pub id: OperatorTokenId,
    /// Whose it is, for people: what the audit names.
    pub name: Box<str>,
    /// What it is for.
    pub role: OperatorRole,
    /// SHA-256 of its text, which nobody else has.
    pub hash: [u8; 32],
    /// When it was made.
    pub at: WallMs,
    /// By whom.
    pub who: Box<str>,
    /// From when on it lets nobody in, if ever.
    pub expires: Option<WallMs>,
    /// Its end, if it has one.
    pub end: Option<Ended>,
}

/// Who ends tokens whose time is up.
const EXPIRY: &str = "(expired)";

impl OperatorToken {
    /// Whether its time is up.
    pub fn is_expired(&self, now: WallMs) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// Whether it lets its holder in.
    fn is_in_force(&self, now: WallMs) -> bool {
        self.end.is_none() && !self.is_expired(now)
    }

    /// Whether nobody revoked it: nothing but time ends it, or has ended it.
    fn is_unrevoked(&self) -> bool {
        self.end.as_ref().is_none_or(|end| Some(end.at) == self.expires && *end.who == *EXPIRY)
    }

    /// What two nodes know of one token, together: its earlier end, if any.
    fn join(&mut self, other: &OperatorToken) {
        fn rest(one: &OperatorToken) -> (&str, OperatorRole, [u8; 32], WallMs, &str) {
            (&one.name, one.role, one.hash, one.at, &one.who)
        }
        // Only a text that was tampered with differs in these; then all nodes take the same.
        let expires = match (self.expires, other.expires) {
            (Some(one), Some(other)) => Some(one.min(other)),
            // A version that knows of no expiry passes tokens on without it.
            (one, other) => one.or(other),
        };
        if rest(other) < rest(self) {
            *self = OperatorToken { end: self.end.take(), ..other.clone() };
        }
        self.expires = expires;
        self.end = match (self.end.take(), other.end.clone()) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
}

/// Why a token is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenNotMade {
    /// One in force has the name.
    #[error("a token of this name is in force: revoke it first, or choose another name")]
    NameTaken,
    /// The system has no random numbers to give.
    #[error("the system gives no random numbers")]
    NoRandomness,
    /// There are as many as may be.
    #[error("{OPERATOR_TOKENS_MAX} tokens are in force: revoke one first")]
    TooMany,
}

/// A token, and where it is stored.
#[derive(Clone, Debug)]
struct HeldToken {
    token: OperatorToken,
    is_in: [bool; 4],
}

/// All tokens that a node knows.
#[derive(Clone, Debug, Default)]
pub struct OperatorTokens(BTreeMap<OperatorTokenId, HeldToken>);

impl OperatorTokens {
    /// The token whose text has this hash, in force or expired. Takes as long whichever it is.
    pub fn find(&self, hash: &[u8; 32]) -> Option<&OperatorToken> {
        let mut found = None;
        for token in self.all().filter(|token| token.is_unrevoked()) {
            let difference = token.hash.iter().zip(hash).fold(0, |bits, (a, b)| bits | (a ^ b));
            if black_box(difference) == 0 {
                found = Some(token);
            }
        }
        found
    }

    /// Those that have not ended, by their ids: in force, or expired not long ago.
    pub fn standing(&self) -> impl Iterator<Item = &OperatorToken> {
        self.all().filter(|token| token.end.is_none())
    }

    /// How many are in force.
    pub fn count_in_force(&self, now: WallMs) -> usize {
        self.standing().filter(|token| token.is_in_force(now)).count()
    }

    fn all(&self) -> impl Iterator<Item = &OperatorToken> {
        self.0.values().map(|held| &held.token)
    }

    /// Every one, those not in SQL first, of them those in force: what a place with little room
    /// should have.
    pub fn by_need(&self) -> Vec<&OperatorToken> {
        let mut all: Vec<&HeldToken> = self.0.values().collect();
        let is_in_sql = |held: &HeldToken| held.is_in[OverridePlace::Sql as usize];
        all.sort_by_key(|held| (is_in_sql(held), held.token.end.is_some()));
        all.into_iter().map(|held| &held.token).collect()
    }

    /// Those that a place does not have.
    pub fn not_in(&self, place: OverridePlace) -> impl Iterator<Item = &OperatorToken> {
        let missing = self.0.values().filter(move |held| !held.is_in[place as usize]);
        missing.map(|held| &held.token)
    }

    /// How far a token is stored.
    pub fn stored(&self, id: OperatorTokenId) -> OverridePlace {
        let places = [OverridePlace::Sql, OverridePlace::Redis, OverridePlace::Node];
        let held = self.0.get(&id);
        let furthest =
            held.and_then(|held| places.into_iter().find(|place| held.is_in[*place as usize]));
        furthest.unwrap_or(OverridePlace::Memory)
    }

    /// Makes a token that nobody else knows yet, and whose `at` is now.
    ///
    /// # Errors
    /// [`TokenNotMade`]: nothing was made.
    pub fn add(&mut self, token: OperatorToken) -> Result<(), TokenNotMade> {
        let now = token.at;
        if self.standing().any(|one| one.name == token.name && one.is_in_force(now)) {
            return Err(TokenNotMade::NameTaken);
        }
        if self.count_in_force(now) >= OPERATOR_TOKENS_MAX {
            return Err(TokenNotMade::TooMany);
        }
        self.set(token, OverridePlace::Memory);
        Ok(())
    }

    /// Ends a token; gives it, where it was in force.
    pub fn revoke(&mut self, id: OperatorTokenId, end: Ended) -> Option<&OperatorToken> {
        let held = self.0.get_mut(&id).filter(|held| held.token.end.is_none())?;
        held.token.end = Some(end);
        held.is_in = [false; 4];
        self.forget();
        self.0.get(&id).map(|held| &held.token)
    }

    /// Ends those whose time has been up for long; gives them. Every node ends them alike.
    pub fn end_expired(&mut self, now: WallMs) -> Vec<OperatorToken> {
        let is_long_over = |token: &&OperatorToken| {
            let kept_ms = OPERATOR_TOKENS_EXPIRED_KEPT_MS;
            token.expires.is_some_and(|expires| expires.plus(DurationMs(kept_ms)) <= now)
        };
        let due: Vec<(OperatorTokenId, WallMs)> = self
            .standing()
            .filter(is_long_over)
            .filter_map(|token| Some((token.id, token.expires?)))
            .collect();
        let ended = due
            .into_iter()
            .filter_map(|(id, at)| self.revoke(id, Ended { at, who: EXPIRY.into() }).cloned());
        ended.collect()
    }

    /// Takes in what a place knows of a token. Whether anything is new.
    pub fn take(&mut self, other: &OperatorToken, from: OverridePlace) -> bool {
        let Some(held) = self.0.get_mut(&other.id) else {
            if self.0.len() >= 2 * (OPERATOR_TOKENS_MAX + OPERATOR_TOKENS_REVOKED_MAX) {
                return false;
            }
            self.set(other.clone(), from);
            self.forget();
            return true;
        };
        let before = held.token.clone();
        held.token.join(other);
        let (is_same, is_known) = (held.token == *other, held.token == before);
        if !is_known {
            held.is_in = [false; 4];
        }
        held.is_in[from as usize] = is_same;
        if !is_known {
            self.forget();
        }
        !is_known
    }

    /// A place has a token, where it is still as it was given.
    pub fn mark(&mut self, token: &OperatorToken, place: OverridePlace) {
        if let Some(held) = self.0.get_mut(&token.id)
            && held.token == *token
        {
            held.is_in[place as usize] = true;
        }
    }

    /// A place was read whole, and has none but these: it gets the others again.
    pub fn unmark_others(&mut self, place: OverridePlace, there: &[OperatorToken]) {
        let there: Vec<OperatorTokenId> = there.iter().map(|token| token.id).collect();
        for (id, held) in &mut self.0 {
            held.is_in[place as usize] &= there.contains(id);
        }
    }

    fn set(&mut self, token: OperatorToken, place: OverridePlace) {
        let mut is_in = [false; 4];
        is_in[place as usize] = true;
        self.0.insert(token.id, HeldToken { token, is_in });
    }

    /// Drops those that were revoked first where more are known than may be, as far as SQL has
    /// them: it remembers all.
    fn forget(&mut self) {
        let revoked = self.0.values().filter(|held| held.token.end.is_some()).count();
        let Some(over) = revoked.checked_sub(OPERATOR_TOKENS_REVOKED_MAX) else { return };
        let is_in_sql = |held: &&HeldToken| held.is_in[OverridePlace::Sql as usize];
        let known = self.0.values().filter(is_in_sql).filter(|held| held.token.end.is_some());
        let mut oldest: Vec<(Option<Ended>, OperatorTokenId)> =
            known.map(|held| (held.token.end.clone(), held.token.id)).collect();
        oldest.sort();
        for (_, id) in oldest.iter().take(over) {
            self.0.remove(id);
        }
    }
}

#[cfg(test)]
mod tests;

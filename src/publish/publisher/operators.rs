//! Operators' tokens: made and revoked whatever SQL, Redis and the disk do. What is asked holds on
//! this node when it is answered; the threads of `publish::overrides` bring it to the node's file,
//! to Redis and to SQL, and the answer says how far it is by then.
//!
//! Limit: [`TOKENS_TOLD_MS`].

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::Publisher;
use nudged_base::hex;
use nudged_base::limits::TOKENS_TOLD_MS;
use nudged_base::telemetry::log::{LogValue, Message};
use nudged_base::time::DurationMs;
use nudged_domain::catalog::overrides::OverridePlace;
use nudged_domain::ended::Ended;
use nudged_domain::operators::{
    OperatorRole, OperatorToken, OperatorTokenId, OperatorTokens, TokenNotMade,
};
use nudged_runtime::clocks;

/// What every token begins with, so that tools that look for secrets find it.
const PREFIX: &str = "nudged_";
const RANDOM_BYTES: usize = 32;

/// The tokens that a node knows, and the lock around them. Whoever lets an operator in waits for
/// nobody else.
#[derive(Debug, Default)]
pub(super) struct TokenBook(Mutex<OperatorTokens>);

impl TokenBook {
    /// A panic ends the process, so a poisoned lock guards what it always did.
    fn lock(&self) -> MutexGuard<'_, OperatorTokens> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A token that was just made. Its `Debug` shows its secret: it is shown once, to whoever asked.
pub struct MadeToken {
    /// What is known of it.
    pub token: OperatorToken,
    /// Its text, which nobody keeps.
    pub secret: String,
    /// How far it is stored.
    pub stored: OverridePlace,
    /// What the operator should know of it.
    pub warnings: Vec<String>,
}

/// Tokens that were just revoked.
#[derive(Clone, Debug)]
pub struct RevokedTokens {
    /// Those that had not ended, with how far their ends are stored.
    pub tokens: Vec<(OperatorToken, OverridePlace)>,
    /// What the operator should know of it.
    pub warnings: Vec<String>,
}

impl Publisher {
    /// Makes a token, for whoever holds it to have a role.
    ///
    /// # Errors
    /// [`TokenNotMade`]: nothing was made.
    pub fn make_token(
        &self,
        (name, role): (&str, OperatorRole),
        expires_in: Option<DurationMs>,
        who: &str,
    ) -> Result<MadeToken, TokenNotMade> {
        let (mut random, mut id) = ([0; RANDOM_BYTES], [0; 16]);
        // What somebody could guess is no secret.
        let filled = getrandom::fill(&mut random).and_then(|()| getrandom::fill(&mut id));
        filled.map_err(|_| TokenNotMade::NoRandomness)?;
        let secret = format!("{PREFIX}{}", hex::encode(&random));
        let now = clocks::wall();
        let token = OperatorToken {
            id: OperatorTokenId(u128::from_le_bytes(id)),
            name: name.into(),
            role,
            hash: Sha256::digest(secret.as_bytes()).into(),
            at: now,
            who: who.into(),
            expires: expires_in.map(|time| now.plus(time)),
            end: None,
        };
        let live = self.live.lock();
        let added = self.tokens.lock().add(token.clone());
        drop(live);
        self.live.ring();
        added?;
        self.log_token(&token, OverridePlace::Memory);
        let stored = self.await_tokens(&[token.id]);
        let warnings = self.warn_of_reach(stored).into_iter().collect();
        Ok(MadeToken { token, secret, stored, warnings })
    }

    /// Ends tokens whose time has been up for long.
    pub(crate) fn end_expired_tokens(&self) {
        let ended = self.with_tokens(|tokens| tokens.end_expired(clocks::wall()));
        ended.iter().for_each(|token| self.log_token(token, OverridePlace::Memory));
    }

    /// Revokes those tokens that are chosen and have not ended, all at once; nothing where none is.
    pub fn revoke_tokens(
        &self,
        is_chosen: impl Fn(&OperatorToken) -> bool,
        who: &str,
    ) -> RevokedTokens {
        let end = Ended { at: clocks::wall(), who: who.into() };
        let live = self.live.lock();
        let revoked: Vec<OperatorToken> = self.with_tokens(|tokens| {
            let chosen = tokens.standing().filter(|token| is_chosen(token));
            let ids: Vec<OperatorTokenId> = chosen.map(|token| token.id).collect();
            let revoke = |id: OperatorTokenId| tokens.revoke(id, end.clone()).cloned();
            ids.into_iter().filter_map(revoke).collect()
        });
        drop(live);
        if revoked.is_empty() {
            return RevokedTokens { tokens: Vec::new(), warnings: Vec::new() };
        }
        self.live.ring();
        revoked.iter().for_each(|token| self.log_token(token, OverridePlace::Memory));
        let ids: Vec<OperatorTokenId> = revoked.iter().map(|token| token.id).collect();
        let least = self.await_tokens(&ids);
        let stored = |token: OperatorToken| {
            let place = self.with_tokens(|tokens| tokens.stored(token.id));
            (token, place)
        };
        let warnings = self.warn_of_reach(least).into_iter().collect();
        RevokedTokens { tokens: revoked.into_iter().map(stored).collect(), warnings }
    }

    /// Looks at the tokens, or notes where they are stored.
    pub fn with_tokens<T>(&self, look: impl FnOnce(&mut OperatorTokens) -> T) -> T {
        look(&mut self.tokens.lock())
    }

    /// Takes in what a place knows of tokens; what is news is told.
    pub(crate) fn take_tokens(&self, tokens: &[OperatorToken], from: OverridePlace) {
        for token in tokens {
            if self.with_tokens(|all| all.take(token, from)) {
                self.log_token(token, from);
            }
        }
        self.live.ring();
    }

    /// A place has these tokens.
    pub(crate) fn mark_tokens(&self, tokens: &[OperatorToken], place: OverridePlace) {
        self.with_tokens(|all| tokens.iter().for_each(|token| all.mark(token, place)));
        self.live.ring();
    }

    /// How far all of some tokens are stored; waits some time for SQL to have them.
    fn await_tokens(&self, ids: &[OperatorTokenId]) -> OverridePlace {
        let limit = Duration::from_millis(TOKENS_TOLD_MS);
        let least = || {
            let tokens = self.tokens.lock();
            ids.iter().map(|id| tokens.stored(*id)).min().unwrap_or(OverridePlace::Memory)
        };
        drop(self.live.wait(self.live.lock(), limit, |_| least() < OverridePlace::Sql));
        least()
    }

    fn log_token(&self, token: &OperatorToken, from: OverridePlace) {
        let (change, who) = match &token.end {
            Some(end) => ("revoke", &end.who),
            None => ("make", &token.who),
        };
        let id = token.id.to_string();
        let fields = [
            ("token", LogValue::Text(&id)),
            ("name", LogValue::Text(&token.name)),
            ("role", LogValue::Text(token.role.word())),
            ("change", LogValue::Text(change)),
            ("who", LogValue::Text(who)),
            ("from", LogValue::Text(from.word())),
        ];
        self.log.write(clocks::now(), Message::TokenChanged, &fields);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_long_and_begins_as_told() {
        // What `[keys]` and `admin_token_file` take, so that a token can be put there too.
        let bytes = PREFIX.len() + 2 * RANDOM_BYTES;
        let bounds = nudged_base::limits::KEY_BYTES_MIN..=nudged_base::limits::KEY_BYTES_MAX;
        assert!(bounds.contains(&bytes));
    }
}

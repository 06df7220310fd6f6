//! Sessions of the console: a browser that has shown a token once is known by a secret of its own
//! from then on. Kept in memory, by the secret's hash; what a session may do is looked up by its
//! token's hash each time, so that it ends with its token. Must not know requests or roles.
//!
//! ```text
//! open -> used ... used -> ended: by its browser, its token, idleness, age, or a restart
//! ```
//!
//! Limits: [`CONSOLE_SESSIONS_PER_TOKEN`], and so [`CONSOLE_SESSIONS_MAX`] of all;
//! [`CONSOLE_SESSION_IDLE_MS`], [`CONSOLE_SESSION_AGE_MS`].

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::token::hash;
use nudged_base::limits::{
    CONSOLE_SESSION_AGE_MS, CONSOLE_SESSION_BYTES, CONSOLE_SESSION_IDLE_MS, CONSOLE_SESSIONS_MAX,
    CONSOLE_SESSIONS_PER_TOKEN,
};
use nudged_base::time::MonoNs;

/// SHA-256 of a session's secret.
pub(super) type SessionHash = [u8; 32];
/// SHA-256 of a token's text.
type TokenHash = [u8; 32];

/// One that has not ended.
#[derive(Clone, Copy, Debug)]
struct ConsoleSession {
    token: TokenHash,
    opened: MonoNs,
    used: MonoNs,
}

impl ConsoleSession {
    fn is_over(&self, now: MonoNs) -> bool {
        now >= self.opened.plus_ms(CONSOLE_SESSION_AGE_MS)
            || now >= self.used.plus_ms(CONSOLE_SESSION_IDLE_MS)
    }
}

/// All that this node knows.
#[derive(Debug, Default)]
pub(super) struct ConsoleSessions(Mutex<BTreeMap<SessionHash, ConsoleSession>>);

impl ConsoleSessions {
    /// A panic ends the process, so a poisoned lock guards what it always did.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<SessionHash, ConsoleSession>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a session of a token with a secret that nobody else has. Where the token has as many
    /// as it may, the one that was longest not used ends.
    pub(super) fn open(&self, secret: &[u8; CONSOLE_SESSION_BYTES], token: TokenHash, now: MonoNs) {
        let mut all = self.lock();
        all.retain(|_, session| !session.is_over(now));
        let is_own = |session: &ConsoleSession| session.token == token;
        make_room(&mut all, CONSOLE_SESSIONS_PER_TOKEN, is_own);
        // Those of revoked tokens are among them until somebody looks.
        make_room(&mut all, CONSOLE_SESSIONS_MAX, |_| true);
        all.insert(hash(secret), ConsoleSession { token, opened: now, used: now });
        assert!(all.len() <= CONSOLE_SESSIONS_MAX);
    }

    /// Uses a session; gives the hash of its token. `None` where there is none, or none any more.
    pub(super) fn token_of(&self, session: &SessionHash, now: MonoNs) -> Option<TokenHash> {
        let mut all = self.lock();
        let found = all.get_mut(session)?;
        if found.is_over(now) {
            all.remove(session);
            return None;
        }
        found.used = found.used.max(now);
        Some(found.token)
    }

    /// Ends a session. Whether it was there.
    pub(super) fn end(&self, session: &SessionHash) -> bool {
        self.lock().remove(session).is_some()
    }

    /// Ends those that are over, and those whose token `is_good` no more; how many are left.
    pub(super) fn tidy(&self, now: MonoNs, is_good: impl Fn(&TokenHash) -> bool) -> usize {
        let mut all = self.lock();
        all.retain(|_, session| !session.is_over(now) && is_good(&session.token));
        all.len()
    }
}

/// Ends those of a kind that were longest not used, until one more of it is within the limit.
fn make_room(
    all: &mut BTreeMap<SessionHash, ConsoleSession>,
    limit: usize,
    is_of_kind: impl Fn(&ConsoleSession) -> bool,
) {
    let of_kind = all.iter().filter(|(_, session)| is_of_kind(session));
    let mut of_kind: Vec<_> = of_kind.map(|(hash, session)| (session.used, *hash)).collect();
    of_kind.sort_unstable();
    let spare = (of_kind.len() + 1).saturating_sub(limit);
    for (_, hash) in of_kind.iter().take(spare) {
        all.remove(hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nudged_base::limits::OPERATOR_TOKENS_MAX;

    const START: MonoNs = MonoNs(5);

    fn secret(number: usize) -> [u8; CONSOLE_SESSION_BYTES] {
        [u8::try_from(number).unwrap(); CONSOLE_SESSION_BYTES]
    }

    #[test]
    fn sessions_end_when_idle_and_when_old() {
        let sessions = ConsoleSessions::default();
        sessions.open(&secret(1), [7; 32], START);
        assert_eq!(sessions.token_of(&hash(&secret(2)), START), None);
        let one = hash(&secret(1));
        let mut now = START;
        while now.plus_ms(CONSOLE_SESSION_IDLE_MS - 1) < START.plus_ms(CONSOLE_SESSION_AGE_MS) {
            now = now.plus_ms(CONSOLE_SESSION_IDLE_MS - 1);
            assert_eq!(sessions.token_of(&one, now), Some([7; 32]));
        }
        assert_eq!(sessions.token_of(&one, START.plus_ms(CONSOLE_SESSION_AGE_MS)), None);
        assert_eq!(sessions.token_of(&one, START), None, "it does not come back");
        sessions.open(&secret(1), [7; 32], START);
        assert_eq!(sessions.token_of(&one, START.plus_ms(CONSOLE_SESSION_IDLE_MS)), None);
    }

    #[test]
    fn sessions_of_tokens_that_come_and_go_are_bounded() {
        let sessions = ConsoleSessions::default();
        let mut now = START;
        sessions.open(&secret(0), [255; 32], now);
        for token in 0..3 * OPERATOR_TOKENS_MAX {
            let token = hash(&token.to_le_bytes());
            for number in 0..CONSOLE_SESSIONS_PER_TOKEN {
                now = now.plus_ms(1);
                let mut secret = token;
                secret[0] = u8::try_from(number).unwrap();
                sessions.open(&secret, token, now);
                assert!(sessions.token_of(&hash(&secret), now).is_some());
            }
            // Somebody who works is not put out by them.
            assert_eq!(sessions.token_of(&hash(&secret(0)), now), Some([255; 32]));
        }
        assert_eq!(sessions.tidy(now, |_| true), CONSOLE_SESSIONS_MAX);
    }

    #[test]
    fn a_token_has_so_many_and_the_least_used_goes() {
        let sessions = ConsoleSessions::default();
        sessions.open(&secret(200), [8; 32], START);
        for number in 0..CONSOLE_SESSIONS_PER_TOKEN {
            sessions.open(&secret(number), [7; 32], START);
        }
        sessions.token_of(&hash(&secret(0)), START.plus_ms(1));
        sessions.open(&secret(100), [7; 32], START.plus_ms(2));
        let is_there =
            |number| sessions.token_of(&hash(&secret(number)), START.plus_ms(2)).is_some();
        let gone = (0..CONSOLE_SESSIONS_PER_TOKEN).filter(|number| !is_there(*number)).count();
        assert!(is_there(0) && is_there(100) && is_there(200));
        assert_eq!(gone, 1);
        let left = sessions.tidy(START.plus_ms(3), |token| *token == [8; 32]);
        assert_eq!(left, 1, "those of a token that is no more");
        assert!(sessions.end(&hash(&secret(200))) && !sessions.end(&hash(&secret(200))));
    }
}

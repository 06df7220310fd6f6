//! Sessions of the console: a browser that has shown a token once is known by a secret of its own
//! from then on. Kept in memory and in a file, by the secret's hash; what a session may do is
//! looked up by its token's hash each time, so that it ends with its token. Must not know requests
//! or roles.
//!
//! ```text
//! open -> used ... used -> ended: by its browser, its token, idleness, or age
//! ```
//!
//! Limits: [`CONSOLE_SESSIONS_PER_TOKEN`], and so [`CONSOLE_SESSIONS_MAX`] of all;
//! [`CONSOLE_SESSION_IDLE_MS`], [`CONSOLE_SESSION_AGE_MS`].

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::session_file::{SessionFile, SessionTable};
use super::token::hash;
use nudged_base::limits::{
    CONSOLE_SESSION_AGE_MS, CONSOLE_SESSION_BYTES, CONSOLE_SESSION_IDLE_MS,
    CONSOLE_SESSION_KEPT_MS, CONSOLE_SESSIONS_MAX, CONSOLE_SESSIONS_PER_TOKEN,
};
use nudged_base::telemetry::log::Log;
use nudged_base::time::MonoNs;

/// SHA-256 of a session's secret.
pub(super) type SessionHash = [u8; 32];
/// SHA-256 of a token's text.
type TokenHash = [u8; 32];

/// One that has not ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConsoleSession {
    pub(super) token: TokenHash,
    /// Its end, however much it is used.
    pub(super) ends: MonoNs,
    /// Its end if it is not used again.
    pub(super) idle_ends: MonoNs,
    /// The same as the file has it.
    pub(super) kept_ends: MonoNs,
}

impl ConsoleSession {
    pub(super) fn is_over(&self, now: MonoNs) -> bool {
        now >= self.ends.min(self.idle_ends)
    }
}

/// All that this node knows.
#[derive(Debug, Default)]
pub(super) struct ConsoleSessions(Mutex<SessionsKept>);

#[derive(Debug, Default)]
struct SessionsKept {
    all: SessionTable,
    /// None where nothing is to outlive the process.
    file: Option<SessionFile>,
}

impl SessionsKept {
    fn keep(&mut self) {
        let Some(file) = &mut self.file else { return };
        self.all.values_mut().for_each(|session| session.kept_ends = session.idle_ends);
        file.keep(&self.all);
    }
}

impl ConsoleSessions {
    /// Those of the process before, kept in a data directory, where this one keeps its own.
    pub(super) fn kept_in(directory: &Path, log: Log) -> ConsoleSessions {
        let (file, all) = SessionFile::open(directory, log);
        ConsoleSessions(Mutex::new(SessionsKept { all, file: Some(file) }))
    }

    /// A panic ends the process, so a poisoned lock guards what it always did.
    fn lock(&self) -> MutexGuard<'_, SessionsKept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a session of a token with a secret that nobody else has. Where the token has as many
    /// as it may, the one that was longest not used ends.
    pub(super) fn open(&self, secret: &[u8; CONSOLE_SESSION_BYTES], token: TokenHash, now: MonoNs) {
        let mut kept = self.lock();
        let all = &mut kept.all;
        all.retain(|_, session| !session.is_over(now));
        let is_own = |session: &ConsoleSession| session.token == token;
        make_room(all, CONSOLE_SESSIONS_PER_TOKEN, is_own);
        // Those of revoked tokens are among them until somebody looks.
        make_room(all, CONSOLE_SESSIONS_MAX, |_| true);
        let idle_ends = now.plus_ms(CONSOLE_SESSION_IDLE_MS);
        let ends = now.plus_ms(CONSOLE_SESSION_AGE_MS);
        all.insert(hash(secret), ConsoleSession { token, ends, idle_ends, kept_ends: idle_ends });
        assert!(all.len() <= CONSOLE_SESSIONS_MAX);
        kept.keep();
    }

    /// Uses a session; gives the hash of its token. `None` where there is none, or none any more.
    pub(super) fn token_of(&self, session: &SessionHash, now: MonoNs) -> Option<TokenHash> {
        let mut kept = self.lock();
        let found = kept.all.get_mut(session)?;
        if found.is_over(now) {
            // The file says when it ended.
            kept.all.remove(session);
            return None;
        }
        found.idle_ends = found.idle_ends.max(now.plus_ms(CONSOLE_SESSION_IDLE_MS));
        let token = found.token;
        if found.idle_ends >= found.kept_ends.plus_ms(CONSOLE_SESSION_KEPT_MS) {
            kept.keep();
        }
        Some(token)
    }

    /// Whether there is such a session, which may be over.
    pub(super) fn has(&self, session: &SessionHash) -> bool {
        self.lock().all.contains_key(session)
    }

    /// Ends a session. Whether it was there.
    pub(super) fn end(&self, session: &SessionHash) -> bool {
        let mut kept = self.lock();
        let was_there = kept.all.remove(session).is_some();
        if was_there {
            kept.keep();
        }
        was_there
    }

    /// Ends those that are over, and those whose token `is_good` no more; how many are left. In the
    /// file they stay until the next is written: they are no better after a restart.
    pub(super) fn tidy(&self, now: MonoNs, is_good: impl Fn(&TokenHash) -> bool) -> usize {
        let mut kept = self.lock();
        kept.all.retain(|_, session| !session.is_over(now) && is_good(&session.token));
        kept.all.len()
    }
}

/// Ends those of a kind that were longest not used, until one more of it is within the limit.
fn make_room(all: &mut SessionTable, limit: usize, is_of_kind: impl Fn(&ConsoleSession) -> bool) {
    let of_kind = all.iter().filter(|(_, session)| is_of_kind(session));
    let mut of_kind: Vec<_> = of_kind.map(|(hash, session)| (session.idle_ends, *hash)).collect();
    of_kind.sort_unstable();
    let spare = (of_kind.len() + 1).saturating_sub(limit);
    for (_, hash) in of_kind.iter().take(spare) {
        all.remove(hash);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;
    use nudged_base::limits::{CONSOLE_SESSIONS_FILE_BYTES, OPERATOR_TOKENS_MAX};
    use nudged_base::telemetry::log::Level;
    use nudged_runtime::{clocks, two_copies};

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

    #[test]
    fn sessions_outlive_the_process_and_what_has_ended_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let log = || Log::new(Level::Debug, true, &[]);
        let start = || ConsoleSessions::kept_in(directory.path(), log());
        let now = clocks::mono();
        let token_of = |sessions: &ConsoleSessions, number, now| {
            sessions.token_of(&hash(&secret(number)), now)
        };
        let sessions = start();
        assert!(!directory.path().join("sessions").exists(), "nobody has signed in");
        for number in 0..3 {
            sessions.open(&secret(number), [7; 32], now);
        }
        assert!(sessions.end(&hash(&secret(1))));
        // A use is kept as soon as it is worth a write.
        let soon = now.plus_ms(2 * CONSOLE_SESSION_KEPT_MS);
        assert!(token_of(&sessions, 2, soon).is_some());
        let sessions = start();
        let known = [0, 1, 2].map(|number| token_of(&sessions, number, now).is_some());
        assert_eq!(known, [true, false, true]);
        let path = directory.path().join("sessions");
        let body = two_copies::read(&path, CONSOLE_SESSIONS_FILE_BYTES).unwrap().unwrap();
        let text = String::from_utf8(body).unwrap();
        let ends = text.lines().map(|line| line.rsplit(' ').next().unwrap().parse::<u64>());
        let ends: Vec<u64> = ends.map(Result::unwrap).collect();
        let later_ms = ends.iter().max().unwrap() - ends.iter().min().unwrap();
        assert!(later_ms.abs_diff(2 * CONSOLE_SESSION_KEPT_MS) <= 1, "{text}");
        let mode = fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_sign_out_that_cannot_be_written_leaves_no_file_that_has_the_session() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sessions");
        let log = Log::new(Level::Debug, true, &[]);
        let sessions = ConsoleSessions::kept_in(directory.path(), log.clone());
        let now = clocks::mono();
        sessions.open(&secret(1), [7; 32], now);
        let kept = ConsoleSessions::kept_in(directory.path(), log.clone());
        // The file that is opened next is none that can be written.
        fs::rename(&path, directory.path().join("before")).unwrap();
        symlink("/dev/full", &path).unwrap();
        assert!(kept.end(&hash(&secret(1))));
        assert!(path.symlink_metadata().is_err(), "taken away");
        let lines: Vec<String> = std::iter::from_fn(|| log.next_line()).collect();
        assert!(lines.iter().any(|line| line.contains("sessions_unkept")), "{lines:?}");
        kept.open(&secret(2), [7; 32], now);
        let next = ConsoleSessions::kept_in(directory.path(), log);
        assert!(next.has(&hash(&secret(2))) && !next.has(&hash(&secret(1))));
    }
}

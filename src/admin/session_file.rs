//! The file of the console's sessions in the data directory, so that neither a restart nor an
//! upgrade signs anybody out. It has hashes alone: nobody can sign in with what is in it. Must not
//! know requests, or what a session may do.
//!
//! ```text
//! <hash of the secret> <hash of the token> <end by age> <end when idle>      ms since 1970
//! ```
//!
//! Two copies are written in turn, at places that the disk has given already: a full disk does not
//! matter. Where one can't be written the file is taken away, so that no restart brings back who
//! has signed out. It is made by the first sign-in.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use super::sessions::{ConsoleSession, SessionHash};
use nudged_base::hex;
use nudged_base::limits::{
    CONSOLE_SESSION_AGE_MS, CONSOLE_SESSION_IDLE_MS, CONSOLE_SESSION_LINE_BYTES,
    CONSOLE_SESSIONS_FILE_BYTES, CONSOLE_SESSIONS_MAX,
};
use nudged_base::telemetry::log::{Log, LogValue, Message};
use nudged_base::time::{MonoNs, WallMs};
use nudged_runtime::clocks;
use nudged_runtime::two_copies::{self, TwoCopies};

/// The file's name in the data directory.
const FILE_NAME: &str = "sessions";

/// All sessions, by the hashes of their secrets.
pub(super) type SessionTable = BTreeMap<SessionHash, ConsoleSession>;

/// The two clocks at one moment: the file outlives the one that deadlines are told by.
#[derive(Clone, Copy, Debug)]
struct BothClocks {
    mono: MonoNs,
    wall: WallMs,
}

impl BothClocks {
    fn now() -> BothClocks {
        BothClocks { mono: clocks::mono(), wall: clocks::wall() }
    }

    fn wall_ms(self, deadline: MonoNs) -> i64 {
        let left_ms = deadline.0.saturating_sub(self.mono.0) / 1_000_000;
        self.wall.0.saturating_add_unsigned(left_ms)
    }

    /// The deadline of a moment, no more than `most_ms` ahead, whatever the wall clock was then.
    fn deadline(self, wall_ms: i64, most_ms: u64) -> MonoNs {
        let left_ms = u64::try_from(wall_ms.saturating_sub(self.wall.0)).unwrap_or(0);
        self.mono.plus_ms(left_ms.min(most_ms))
    }
}

/// The file.
#[derive(Debug)]
pub(super) struct SessionFile {
    path: PathBuf,
    open: Option<TwoCopies>,
    log: Log,
}

impl SessionFile {
    /// The file of a data directory, and the sessions in it; none where it can't be read, which is
    /// logged.
    pub(super) fn open(directory: &std::path::Path, log: Log) -> (SessionFile, SessionTable) {
        let file = SessionFile { path: directory.join(FILE_NAME), open: None, log };
        let body = two_copies::read(&file.path, CONSOLE_SESSIONS_FILE_BYTES);
        let body = body.unwrap_or_else(|error| {
            file.log_failed(&error);
            None
        });
        let text = body.and_then(|body| String::from_utf8(body).ok()).unwrap_or_default();
        (file, decode(&text, BothClocks::now()))
    }

    /// Writes all of them.
    pub(super) fn keep(&mut self, sessions: &SessionTable) {
        let text = encode(sessions, BothClocks::now());
        if let Err(error) = self.write(text.as_bytes()) {
            self.log_failed(&error);
            self.open = None;
            // Where that fails too, the directory can't be written: whoever has signed out may be
            // back after a restart, for as long as their session would have lasted.
            let _ = fs::remove_file(&self.path);
        }
    }

    fn write(&mut self, body: &[u8]) -> io::Result<()> {
        let open = match &mut self.open {
            Some(open) => open,
            None => self.open.insert(TwoCopies::open(&self.path, CONSOLE_SESSIONS_FILE_BYTES)?.0),
        };
        open.write(body)?;
        open.sync()
    }

    fn log_failed(&self, error: &io::Error) {
        let text = format!("{}: {error}", self.path.display());
        let fields = [("error", LogValue::Text(&text))];
        self.log.write(clocks::now(), Message::SessionsUnkept, &fields);
    }
}

fn encode(sessions: &SessionTable, now: BothClocks) -> String {
    let mut text = String::with_capacity(sessions.len() * CONSOLE_SESSION_LINE_BYTES);
    for (hash, session) in sessions {
        let ends = [session.ends, session.idle_ends].map(|deadline| now.wall_ms(deadline));
        let hashes = [hash, &session.token].map(|hash| hex::encode(hash));
        text += &format!("{} {} {} {}\n", hashes[0], hashes[1], ends[0], ends[1]);
    }
    text
}

/// The sessions that are not over. A line that is none is passed over.
fn decode(text: &str, now: BothClocks) -> SessionTable {
    let all = text.lines().take(CONSOLE_SESSIONS_MAX).filter_map(|line| {
        let mut words = line.split(' ');
        let mut hash = || words.next().and_then(hex::decode_array::<32>);
        let (hash, token) = (hash()?, hash()?);
        let mut end = |most_ms| Some(now.deadline(words.next()?.parse().ok()?, most_ms));
        let ends = end(CONSOLE_SESSION_AGE_MS)?;
        let idle_ends = end(CONSOLE_SESSION_IDLE_MS)?;
        let session = ConsoleSession { token, ends, idle_ends, kept_ends: idle_ends };
        (!session.is_over(now.mono)).then_some((hash, session))
    });
    all.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: u64 = 3_600_000;

    fn at(mono_ms: u64, wall_ms: i64) -> BothClocks {
        BothClocks { mono: MonoNs(0).plus_ms(mono_ms), wall: WallMs(wall_ms) }
    }

    fn one(now: BothClocks) -> SessionTable {
        let idle_ends = now.mono.plus_ms(CONSOLE_SESSION_IDLE_MS);
        let ends = now.mono.plus_ms(CONSOLE_SESSION_AGE_MS);
        let session = ConsoleSession { token: [7; 32], ends, idle_ends, kept_ends: idle_ends };
        BTreeMap::from([([1; 32], session)])
    }

    #[test]
    fn a_session_ends_when_it_would_have_ended_without_a_restart() {
        let text = encode(&one(at(50_000, 1_000_000)), at(50_000, 1_000_000));
        assert!(text.len() <= CONSOLE_SESSION_LINE_BYTES, "{text}");
        // The host was started anew, so that the clock of deadlines begins at 0.
        let hours = |hours: u64| at(7, 1_000_000 + i64::try_from(hours * HOUR_MS).unwrap());
        let later = decode(&text, hours(11));
        let session = later[&[1; 32]];
        assert_eq!((session.token, later.len()), ([7; 32], 1));
        assert!(!session.is_over(MonoNs(0).plus_ms(7 + HOUR_MS - 1)));
        assert!(session.is_over(MonoNs(0).plus_ms(7 + HOUR_MS)));
        assert!(decode(&text, hours(12)).is_empty(), "idle for as long as it may be");
    }

    #[test]
    fn a_wall_clock_that_was_set_back_makes_no_session_longer() {
        let text = encode(&one(at(50_000, i64::MAX / 2)), at(50_000, i64::MAX / 2));
        let session = decode(&text, at(0, 0))[&[1; 32]];
        assert_eq!(session.ends, MonoNs(0).plus_ms(CONSOLE_SESSION_AGE_MS));
        assert_eq!(session.idle_ends, MonoNs(0).plus_ms(CONSOLE_SESSION_IDLE_MS));
    }

    #[test]
    fn lines_that_are_no_sessions_are_passed_over() {
        let good = encode(&one(at(0, 0)), at(0, 0));
        let short = &good[..good.len() - 3];
        for bad in ["", "x", "\u{0}", "00 11 2 3", &good[1..], short.split_at(130).0] {
            assert!(decode(bad, at(0, 0)).is_empty(), "{bad}");
            assert_eq!(decode(&format!("{bad}\n{good}"), at(0, 0)).len(), 1, "{bad}");
        }
    }
}

//! What is asked: requests as bytes, by their number.

use std::io::Write as _;

use memchr::{memchr, memmem};

use crate::arguments::{Arguments, Job};
use nudged_runtime::clocks;

/// Users who were never seen come side by side, so that no connection waits for another's show.
const SIDE_BY_SIDE: u64 = 64;
/// Shares are counted in millionths.
const WHOLE: u64 = 1_000_000;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A decision of a known user.
    Known,
    /// A decision of a user who was never seen.
    New,
    /// An event.
    Event,
}

/// Makes the requests of a job.
#[derive(Debug)]
pub struct Requests {
    job: Job,
    host: String,
    placement: String,
    users: u64,
    round: String,
    shows_each: u64,
    /// Of a million requests, those for users who were never seen.
    shows_share: u64,
    /// What of a share has come together since the last of them.
    shows_due: u64,
    known: u64,
    shows: u64,
}

impl Requests {
    /// The requests of a run.
    pub fn new(arguments: &Arguments) -> Requests {
        let share = (arguments.shows_percent.clamp(0.0, 100.0) * 10_000.0).round();
        // Between 0 and a million.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let share = share as u64;
        Requests {
            job: arguments.job,
            host: arguments.address.to_string(),
            placement: arguments.placement.clone(),
            users: arguments.users,
            round: arguments.round.clone().unwrap_or_else(|| format!("r{:x}", clocks::wall().0)),
            shows_each: arguments.shows_each,
            shows_share: if arguments.job == Job::Shows { WHOLE } else { share },
            shows_due: 0,
            known: 0,
            shows: 0,
        }
    }

    /// Writes the request that prepares the next known user.
    pub fn write_known(&mut self, into: &mut Vec<u8>) -> Kind {
        let user = self.known % self.users;
        self.known += 1;
        self.write_decide(format_args!("user-{user}"), into);
        Kind::Known
    }

    /// Writes the next request of the job.
    pub fn write_next(&mut self, into: &mut Vec<u8>) -> Kind {
        self.shows_due += self.shows_share;
        if self.shows_due < WHOLE {
            return self.write_known(into);
        }
        self.shows_due -= WHOLE;
        let (show, each) = (self.shows, self.shows_each);
        self.shows += 1;
        let group = show / (SIDE_BY_SIDE * each);
        let user = group * SIDE_BY_SIDE + show % SIDE_BY_SIDE;
        let round = std::mem::take(&mut self.round);
        self.write_decide(format_args!("{round}-{user}"), into);
        self.round = round;
        Kind::New
    }

    /// The token to tell an event of, where an answer's show is to be followed by one.
    pub fn token_of<'a>(&self, kind: Kind, body: &'a [u8]) -> Option<&'a [u8]> {
        if self.job != Job::ShowAndEvent || kind != Kind::New {
            return None;
        }
        const NAME: &[u8] = b"\"decision\":\"";
        let token = &body[memmem::find(body, NAME)? + NAME.len()..];
        Some(&token[..memchr(b'"', token)?])
    }

    /// Writes the event of a show.
    pub fn write_event(&self, token: &[u8], into: &mut Vec<u8>) {
        let before: &[u8] = b"{\"decision\":\"";
        let after: &[u8] = b"\",\"action\":\"clicked\"}";
        let length = before.len() + token.len() + after.len();
        let head = format_args!(
            "POST /v1/events HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n",
            self.host
        );
        write_into(into, head);
        [before, token, after].iter().for_each(|part| into.extend_from_slice(part));
    }

    fn write_decide(&self, user: std::fmt::Arguments<'_>, into: &mut Vec<u8>) {
        let Requests { placement, host, .. } = self;
        write_into(
            into,
            format_args!(
                "GET /v1/decide?user={user}&placement={placement} HTTP/1.1\r\nHost: {host}\r\n\r\n"
            ),
        );
    }
}

fn write_into(into: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    into.write_fmt(text).expect("memory takes all that is written");
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use clap::Parser;

    use super::*;

    fn requests(arguments: &[&str]) -> Requests {
        let first = ["open-loop", "127.0.0.1:80", "--round", "r"];
        Requests::new(&Arguments::parse_from(first.iter().chain(arguments)))
    }

    fn next(requests: &mut Requests) -> (Kind, String) {
        let mut bytes = Vec::new();
        let kind = requests.write_next(&mut bytes);
        (kind, String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn known_users_come_in_turn() {
        let mut requests = requests(&["--users", "2", "--placement", "cart"]);
        let text = |user| {
            format!(
                "GET /v1/decide?user=user-{user}&placement=cart HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n"
            )
        };
        for user in [0, 1, 0] {
            assert_eq!(next(&mut requests), (Kind::Known, text(user)));
        }
    }

    #[test]
    fn new_users_have_their_share_and_come_as_often_as_was_said() {
        let mut requests = requests(&["--shows-percent", "3", "--shows-each", "8"]);
        let (mut seen, mut count): (HashMap<String, usize>, usize) = Default::default();
        while seen.values().sum::<usize>() < 64 * 8 {
            let (kind, text) = next(&mut requests);
            count += 1;
            if kind == Kind::New {
                assert!(text.contains("user=r-"), "{text}");
                *seen.entry(text).or_default() += 1;
            }
        }
        assert_eq!(count, (64 * 8 * 100_usize).div_ceil(3));
        assert_eq!(seen.len(), 64);
        assert!(seen.values().all(|times| *times == 8), "{seen:?}");
    }

    #[test]
    fn a_show_of_a_new_user_is_followed_by_its_event() {
        let body = br#"{"decision":"abc.d","popup":{}}"#;
        let mut with = requests(&["--job", "show-and-event"]);
        assert_eq!(with.token_of(Kind::New, body), Some(&b"abc.d"[..]));
        assert_eq!(with.token_of(Kind::Known, body), None);
        assert_eq!(with.token_of(Kind::New, br#"{"decision":null}"#), None);
        assert_eq!(requests(&["--job", "shows"]).token_of(Kind::New, body), None);
        let mut bytes = Vec::new();
        with.write_event(b"abc.d", &mut bytes);
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, r#"{"decision":"abc.d","action":"clicked"}"#);
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
        assert_eq!(with.write_known(&mut Vec::new()), Kind::Known);
    }
}

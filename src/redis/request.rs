//! What whoever waits for its answers asks of Redis, and what it is given: questions, replies,
//! messages and errors, owned. Must not know sockets.
//!
//! Limit: `REDIS_PUSHES_MAX` messages that wait.

use std::collections::VecDeque;
use std::io;

use crate::frame::{RespFrame, Words};
use crate::refusal::RedisRefusal;
use crate::scripts::hash_of;
use nudged_base::limits::REDIS_PUSHES_MAX;

/// The words of a command.
pub type CommandWords = Vec<Vec<u8>>;

/// One question: everything of it goes over one connection, one command behind the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisRequest {
    /// Commands, `REDIS_PIPELINE_MAX` at most. Errors stand in the places of their answers, and the
    /// server is left alone for a while after those that are not of one command.
    Pipeline(Vec<CommandWords>),
    /// As a pipeline, of commands whose refusal is an answer: the server is not left alone for it.
    Each(Vec<CommandWords>),
    /// A script on one key, by its hash, or by its text where the server does not have it. An error
    /// is no answer.
    Script {
        /// The script's text.
        body: &'static str,
        /// Its key.
        key: String,
        /// Its arguments.
        arguments: CommandWords,
    },
}

/// A command of these words. Allocates.
pub fn command(words: &[&[u8]]) -> CommandWords {
    words.iter().map(|word| word.to_vec()).collect()
}

/// Has the server know a script. Allocates.
pub fn load(body: &str) -> CommandWords {
    command(&[b"SCRIPT", b"LOAD", body.as_bytes()])
}

/// Runs a script that the server knows, on one key. Allocates.
pub fn call(body: &str, key: &str, arguments: &[&[u8]]) -> CommandWords {
    let mut words = command(&[b"EVALSHA", &hash_of(body), b"1", key.as_bytes()]);
    words.extend(arguments.iter().map(|word| word.to_vec()));
    words
}

/// A reply, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnedReply {
    /// No value.
    Nil,
    /// A number.
    Int(i64),
    /// A text.
    Text(Vec<u8>),
    /// An array, a set, or a map: its keys, each followed by its value.
    List(Vec<OwnedReply>),
    /// An error, without its sign. Only within lists and pipelines: alone it is an `Err`.
    Error(String),
}

/// What a subscription tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Push {
    /// The subscription stands; what was published before is not told.
    Subscribed,
    /// More came than was taken, and some of it was dropped.
    Missed,
    /// A message on a channel.
    Message {
        /// The channel.
        channel: Vec<u8>,
        /// What was published.
        payload: Vec<u8>,
    },
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// No connection, or it was lost on the way; a command may have been executed.
    #[error("Redis can't be reached: {0}")]
    Connection(io::Error),
    /// No answer in time; the connection was given up.
    #[error("Redis does not answer")]
    Timeout,
    /// What came is no reply; the connection was given up.
    #[error("the server at redis.url does not speak the Redis protocol: check its host and port")]
    Malformed,
    /// It was not asked: it is left alone for a while after what failed last.
    #[error("Redis is not tried again yet, after: {why}")]
    Resting {
        /// What failed last.
        why: String,
    },
    /// Redis refused the command.
    #[error("Redis refused a command: {text}")]
    Refused {
        /// Of which kind.
        kind: RedisRefusal,
        /// Its words.
        text: String,
    },
}

impl OwnedReply {
    /// The text, where it is one and readable.
    pub fn text(&self) -> Option<&str> {
        let OwnedReply::Text(bytes) = self else { return None };
        std::str::from_utf8(bytes).ok()
    }

    /// Whether the server syncs each write before it answers, of an answer to `CONFIG GET
    /// appendfsync appendonly`; `None` where it does not say.
    pub fn syncs_always(&self) -> Option<bool> {
        let OwnedReply::List(words) = self else { return None };
        let value = |name: &str| {
            let mut pairs = words.chunks_exact(2);
            pairs.find_map(|pair| (pair[0].text() == Some(name)).then(|| pair[1].text())?)
        };
        Some(value("appendfsync")? == "always" && value("appendonly")? == "yes")
    }

    /// The number that its text writes.
    pub fn number<T: std::str::FromStr>(&self) -> Option<T> {
        self.text()?.parse().ok()
    }
}

impl RedisError {
    /// A refusal in these words.
    pub fn refused(text: String) -> RedisError {
        RedisError::Refused { kind: RedisRefusal::of(text.as_bytes()), text }
    }
}

/// The one answer of a question of one command; its error is the question's.
///
/// # Errors
/// [`RedisError::Refused`] where the answer is an error.
pub fn only(answers: Vec<OwnedReply>) -> Result<OwnedReply, RedisError> {
    match answers.into_iter().next_back() {
        Some(OwnedReply::Error(text)) => Err(RedisError::refused(text)),
        answer => Ok(answer.unwrap_or(OwnedReply::Nil)),
    }
}

/// A message; `None` for confirmations of subscriptions.
pub fn push_of(words: &Words<'_>) -> Option<Push> {
    match words.array() {
        Some([RespFrame::Text(b"message"), RespFrame::Text(channel), RespFrame::Text(payload)]) => {
            Some(Push::Message { channel: channel.to_vec(), payload: payload.to_vec() })
        }
        _ => None,
    }
}

/// Keeps a message for `poll_push`; where too many wait, all of them go, which is told.
pub fn keep(pushes: &mut VecDeque<Push>, push: Push) {
    if pushes.len() >= REDIS_PUSHES_MAX {
        pushes.clear();
        pushes.push_back(Push::Missed);
    }
    pushes.push_back(push);
}

/// A frame as an answer of its own. Allocates.
pub fn owned(frame: RespFrame<'_>) -> OwnedReply {
    match frame {
        RespFrame::Nil => OwnedReply::Nil,
        RespFrame::Int(number) => OwnedReply::Int(number),
        RespFrame::Text(text) => OwnedReply::Text(text.to_vec()),
        RespFrame::Error(text) => OwnedReply::Error(String::from_utf8_lossy(text).into_owned()),
        RespFrame::List(frames) | RespFrame::Push(frames) => {
            OwnedReply::List(frames.iter().map(owned).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_write_is_synced_only_with_both_settings() {
        let reply = |fsync: &str, only: &str| {
            let words = ["appendonly", only, "appendfsync", fsync];
            OwnedReply::List(words.map(|word| OwnedReply::Text(word.into())).into())
        };
        assert_eq!(reply("always", "yes").syncs_always(), Some(true));
        assert_eq!(reply("always", "no").syncs_always(), Some(false));
        assert_eq!(reply("everysec", "yes").syncs_always(), Some(false));
        assert_eq!(OwnedReply::Error("NOPERM".to_owned()).syncs_always(), None);
        assert_eq!(OwnedReply::List(vec![]).syncs_always(), None);
    }

    #[test]
    fn messages_that_nobody_takes_are_dropped_and_the_drop_is_told() {
        let message = |number: usize| Push::Message {
            channel: b"c".to_vec(),
            payload: number.to_string().into_bytes(),
        };
        let mut pushes = VecDeque::new();
        for number in 0..REDIS_PUSHES_MAX {
            keep(&mut pushes, message(number));
        }
        assert_eq!(pushes.len(), REDIS_PUSHES_MAX);
        keep(&mut pushes, message(7));
        assert_eq!(pushes, [Push::Missed, message(7)]);
    }
}

//! What a blocking client of Redis gives: replies, messages and errors, owned. Must not know
//! sockets.
//!
//! Limit: `REDIS_PUSHES_MAX` messages that wait.

use std::collections::VecDeque;
use std::io;

use nudged_base::limits::REDIS_PUSHES_MAX;
use nudged_redis::decode::Frame;
use nudged_redis::refusal::Refusal;
use nudged_redis::words::Words;

/// A reply, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// No value.
    Nil,
    /// A number.
    Int(i64),
    /// A text.
    Text(Vec<u8>),
    /// An array, a set, or a map: its keys, each followed by its value.
    List(Vec<Answer>),
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
pub enum AskError {
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
        kind: Refusal,
        /// Its words.
        text: String,
    },
}

/// A message; `None` for confirmations of subscriptions.
pub(super) fn push_of(words: &Words<'_>) -> Option<Push> {
    match words.array() {
        Some([Frame::Text(b"message"), Frame::Text(channel), Frame::Text(payload)]) => {
            Some(Push::Message { channel: channel.to_vec(), payload: payload.to_vec() })
        }
        _ => None,
    }
}

/// Keeps a message for `poll_push`; where too many wait, all of them go, which is told.
pub(super) fn keep(pushes: &mut VecDeque<Push>, push: Push) {
    if pushes.len() >= REDIS_PUSHES_MAX {
        pushes.clear();
        pushes.push_back(Push::Missed);
    }
    pushes.push_back(push);
}

pub(super) fn owned(frame: Frame<'_>) -> Answer {
    match frame {
        Frame::Nil => Answer::Nil,
        Frame::Int(number) => Answer::Int(number),
        Frame::Text(text) => Answer::Text(text.to_vec()),
        Frame::Error(text) => Answer::Error(String::from_utf8_lossy(text).into_owned()),
        Frame::List(frames) | Frame::Push(frames) => {
            Answer::List(frames.iter().map(owned).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

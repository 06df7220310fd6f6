//! A blocking connection to Redis, for the dedicated core: the same commands, replies and greeting
//! as a shard's link, over sockets with timeouts. Connects when it is first asked, and again after
//! each failure; repeats nothing by itself. Must not know what is asked.
//!
//! Limits: `REDIS_BULK_BYTES_MAX` a reply, `REDIS_PIPELINE_MAX` commands at once,
//! `REDIS_PUSHES_MAX` messages that wait.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::base::limits::{
    REDIS_BULK_BYTES_MAX, REDIS_BULK_ELEMENTS_MAX, REDIS_PIPELINE_MAX, REDIS_PUSHES_MAX,
};
use crate::redis::address::LinkAddress;
use crate::redis::decode::{Decoder, Frame};
use crate::redis::encode;
use crate::redis::greeting;
use crate::redis::link::LinkSettings;
use crate::redis::refusal::Refusal;
use crate::redis::scan::{FrameLimits, Protocol};
use crate::redis::scripts::hash_of;
use crate::redis::words::Words;

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
    #[error("redis can't be reached")]
    Connection(#[source] io::Error),
    /// No answer in time; the connection was given up.
    #[error("redis does not answer")]
    Timeout,
    /// What came is no reply; the connection was given up.
    #[error("redis answers with what is not a reply")]
    Malformed,
    /// Redis refused the command.
    #[error("redis refuses: {text}")]
    Refused {
        /// Of which kind.
        kind: Refusal,
        /// Its words.
        text: String,
    },
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

struct Connection {
    stream: Stream,
    is_old: bool,
    is_subscribed: bool,
}

/// A blocking connection to Redis.
pub struct BlockingRedis {
    address: LinkAddress,
    settings: LinkSettings,
    timeout: Duration,
    connection: Option<Connection>,
    decoder: Decoder,
    output: Vec<u8>,
    channels: Vec<String>,
    pushes: VecDeque<Push>,
    connects: u64,
}

impl BlockingRedis {
    /// A client that has not connected yet. A connection and each answer may take `timeout`.
    pub fn new(address: LinkAddress, settings: LinkSettings, timeout: Duration) -> BlockingRedis {
        let limits = FrameLimits { bytes: REDIS_BULK_BYTES_MAX, elements: REDIS_BULK_ELEMENTS_MAX };
        BlockingRedis {
            address,
            settings,
            timeout,
            connection: None,
            decoder: Decoder::new(limits),
            output: Vec::new(),
            channels: Vec::new(),
            pushes: VecDeque::new(),
            connects: 0,
        }
    }

    /// How often it has connected: where this has changed, the server may be another run.
    pub fn connects(&self) -> u64 {
        self.connects
    }

    /// Gives the connection up; the next call makes a new one.
    pub fn disconnect(&mut self) {
        self.connection = None;
    }

    /// One command and its answer.
    ///
    /// # Errors
    /// [`AskError`]; after all but `Refused` the connection is given up.
    pub fn ask(&mut self, words: &[&[u8]]) -> Result<Answer, AskError> {
        let mut answers = self.pipeline(&[words])?;
        match answers.pop().expect("a pipeline gives an answer for each command") {
            Answer::Error(text) => {
                Err(AskError::Refused { kind: Refusal::of(text.as_bytes()), text })
            }
            answer => Ok(answer),
        }
    }

    /// Many commands, `REDIS_PIPELINE_MAX` at most, and their answers in order; errors stand in
    /// their places.
    ///
    /// # Errors
    /// [`AskError`] other than `Refused`: the connection is given up, and each command may have
    /// been executed or not.
    pub fn pipeline(&mut self, commands: &[&[&[u8]]]) -> Result<Vec<Answer>, AskError> {
        assert!(commands.len() <= REDIS_PIPELINE_MAX, "the caller splits what is larger");
        self.connect()?;
        self.output.clear();
        for words in commands {
            encode::words(&mut self.output, words);
        }
        let answers = self.exchange(commands.len());
        self.give_up_after(answers)
    }

    /// Runs a script by its hash, and with its text where Redis does not have it.
    ///
    /// # Errors
    /// As [`BlockingRedis::ask`].
    pub fn script(
        &mut self,
        body: &str,
        keys: &[&[u8]],
        arguments: &[&[u8]],
    ) -> Result<Answer, AskError> {
        let (hash, count) = (hash_of(body), keys.len().to_string());
        let mut words: Vec<&[u8]> = vec![b"EVALSHA", &hash, count.as_bytes()];
        words.extend_from_slice(keys);
        words.extend_from_slice(arguments);
        match self.ask(&words) {
            Err(AskError::Refused { kind: Refusal::NoScript, .. }) => {
                (words[0], words[1]) = (b"EVAL", body.as_bytes());
                self.ask(&words)
            }
            result => result,
        }
    }

    /// Subscribes to these channels instead of those before, now and after each new connection.
    /// A server of the old protocol takes no other command on this connection afterwards.
    ///
    /// # Errors
    /// As [`BlockingRedis::ask`].
    pub fn subscribe(&mut self, channels: &[&str]) -> Result<(), AskError> {
        self.channels = channels.iter().map(|channel| (*channel).to_owned()).collect();
        self.connection = None;
        self.pushes.clear();
        self.connect_subscribed()
    }

    /// The next message, or `None` where none comes within `timeout`. After a failure the next
    /// call connects and subscribes again, and gives `Push::Subscribed` first: what was published
    /// in between is lost.
    ///
    /// # Errors
    /// [`AskError`]: the connection is given up.
    pub fn poll_push(&mut self, timeout: Duration) -> Result<Option<Push>, AskError> {
        self.connect_subscribed()?;
        if let Some(push) = self.pushes.pop_front() {
            return Ok(Some(push));
        }
        let until = Instant::now() + timeout;
        let pushed = loop {
            match self.next_frame(until) {
                // Nothing is outstanding, so a reply that is no push is nobody's.
                Ok(Some(_)) => break Err(AskError::Malformed),
                Ok(None) => {}
                Err(AskError::Timeout) => return Ok(None),
                Err(error) => break Err(error),
            }
            if let Some(push) = self.pushes.pop_front() {
                break Ok(Some(push));
            }
        };
        self.give_up_after(pushed)
    }

    fn connect_subscribed(&mut self) -> Result<(), AskError> {
        self.connect()?;
        let is_subscribed = self.connection.as_ref().is_some_and(|held| held.is_subscribed);
        if is_subscribed || self.channels.is_empty() {
            return Ok(());
        }
        let subscribed = self.send_subscribe();
        self.give_up_after(subscribed)
    }

    fn send_subscribe(&mut self) -> Result<(), AskError> {
        let mut words: Vec<&[u8]> = vec![b"SUBSCRIBE"];
        words.extend(self.channels.iter().map(|channel| channel.as_bytes()));
        self.output.clear();
        encode::words(&mut self.output, &words);
        let count = self.channels.len();
        self.connection.as_mut().expect("it has just connected").is_subscribed = true;
        self.write()?;
        let until = Instant::now() + self.timeout;
        for _ in 0..count {
            // Confirmations are pushes, or in the old protocol lists that look like them.
            match self.next_frame(until)? {
                None => {}
                Some(Answer::Error(text)) => {
                    return Err(AskError::Refused { kind: Refusal::of(text.as_bytes()), text });
                }
                Some(_) => return Err(AskError::Malformed),
            }
        }
        self.pushes.push_front(Push::Subscribed);
        Ok(())
    }

    fn connect(&mut self) -> Result<(), AskError> {
        if self.connection.is_some() {
            return Ok(());
        }
        let stream = open(&self.address, self.timeout).map_err(AskError::Connection)?;
        self.connection = Some(Connection { stream, is_old: false, is_subscribed: false });
        self.connects += 1;
        self.decoder.reset();
        let greeted = self.greet();
        self.give_up_after(greeted)
    }

    fn greet(&mut self) -> Result<(), AskError> {
        self.output.clear();
        greeting::hello(&mut self.output, &self.settings);
        let mut answers = self.exchange(1)?;
        self.output.clear();
        let mut count = 0;
        if let Some(Answer::Error(text)) = answers.first()
            && greeting::is_old_protocol(text.as_bytes())
        {
            self.decoder.set_protocol(Protocol::Resp2);
            self.connection.as_mut().expect("it has just answered").is_old = true;
            count += greeting::old_hello(&mut self.output, &self.settings);
            answers.clear();
        }
        if self.settings.database > 0 {
            let database = self.settings.database.to_string();
            encode::words(&mut self.output, &[b"SELECT", database.as_bytes()]);
            count += 1;
        }
        if count > 0 {
            answers.extend(self.exchange(count)?);
        }
        for answer in answers {
            if let Answer::Error(text) = answer {
                return Err(AskError::Refused { kind: Refusal::of(text.as_bytes()), text });
            }
        }
        Ok(())
    }

    /// Sends what is in `output` and takes so many answers.
    fn exchange(&mut self, count: usize) -> Result<Vec<Answer>, AskError> {
        self.write()?;
        let mut answers = Vec::with_capacity(count);
        while answers.len() < count {
            let until = Instant::now() + self.timeout;
            if let Some(answer) = self.next_frame(until)? {
                answers.push(answer);
            }
        }
        Ok(answers)
    }

    fn write(&mut self) -> Result<(), AskError> {
        let connection = self.connection.as_mut().expect("the caller has connected");
        connection.stream.write_all(&self.output).map_err(|error| of_io(error, "write"))
    }

    /// The next reply; `None` where a push came instead, which is kept.
    fn next_frame(&mut self, until: Instant) -> Result<Option<Answer>, AskError> {
        let connection = self.connection.as_mut().expect("the caller has connected");
        let mut piece = [0; 16 * 1_024];
        loop {
            if let Some(frame) = self.decoder.next_frame().map_err(|_| AskError::Malformed)? {
                let push = match &frame {
                    Frame::Push(words) => Some(push_of(words)),
                    Frame::List(words) if connection.is_old && connection.is_subscribed => {
                        Some(push_of(words))
                    }
                    _ => None,
                };
                let Some(push) = push else { return Ok(Some(owned(frame))) };
                if let Some(push) = push {
                    keep(&mut self.pushes, push);
                }
                return Ok(None);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(AskError::Timeout);
            }
            let read = connection.stream.read(&mut piece, left);
            let length = read.map_err(|error| of_io(error, "read"))?;
            if length == 0 {
                let closed = io::Error::new(ErrorKind::UnexpectedEof, "closed by redis");
                return Err(AskError::Connection(closed));
            }
            self.decoder.push(&piece[..length]);
        }
    }

    fn give_up_after<T>(&mut self, result: Result<T, AskError>) -> Result<T, AskError> {
        if result.is_err() {
            self.connection = None;
        }
        result
    }
}

impl Stream {
    fn read(&mut self, into: &mut [u8], timeout: Duration) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => {
                stream.set_read_timeout(Some(timeout))?;
                stream.read(into)
            }
            Stream::Unix(stream) => {
                stream.set_read_timeout(Some(timeout))?;
                stream.read(into)
            }
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.write_all(bytes),
            Stream::Unix(stream) => stream.write_all(bytes),
        }
    }
}

fn open(address: &LinkAddress, timeout: Duration) -> io::Result<Stream> {
    match address {
        LinkAddress::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_write_timeout(Some(timeout))?;
            Ok(Stream::Unix(stream))
        }
        LinkAddress::Tcp { host, port } => {
            let mut last = io::Error::new(ErrorKind::NotFound, "the host has no address");
            for address in (host.as_str(), *port).to_socket_addrs()? {
                match TcpStream::connect_timeout(&address, timeout) {
                    Ok(stream) => {
                        stream.set_nodelay(true)?;
                        stream.set_write_timeout(Some(timeout))?;
                        return Ok(Stream::Tcp(stream));
                    }
                    Err(error) => last = error,
                }
            }
            Err(last)
        }
    }
}

fn of_io(error: io::Error, doing: &'static str) -> AskError {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => AskError::Timeout,
        kind => AskError::Connection(io::Error::new(kind, format!("{doing}: {error}"))),
    }
}

/// A message; `None` for confirmations of subscriptions.
fn push_of(words: &Words<'_>) -> Option<Push> {
    match words.array() {
        Some([Frame::Text(b"message"), Frame::Text(channel), Frame::Text(payload)]) => {
            Some(Push::Message { channel: channel.to_vec(), payload: payload.to_vec() })
        }
        _ => None,
    }
}

/// Keeps a message for `poll_push`; where too many wait, all of them go, which is told.
fn keep(pushes: &mut VecDeque<Push>, push: Push) {
    if pushes.len() >= REDIS_PUSHES_MAX {
        pushes.clear();
        pushes.push_back(Push::Missed);
    }
    pushes.push_back(push);
}

fn owned(frame: Frame<'_>) -> Answer {
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

//! A blocking connection to Redis, for the dedicated core: the same commands, replies and greeting
//! as a shard's link, over sockets with timeouts. Connects when it is first asked, and again after
//! each failure; repeats nothing by itself. Must not know what is asked.
//!
//! After a failure, and where the server does not let it in, it leaves the server alone for a
//! while: what is asked of it meanwhile fails at once with [`RedisError::Resting`]. `rest` says for
//! how long, `redis::ask` what it gives.
//!
//! Limits: `REDIS_BULK_BYTES_MAX` a reply, `REDIS_PIPELINE_MAX` commands at once,
//! `REDIS_PUSHES_MAX` messages that wait.

mod rest;

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::time::{Duration, Instant};

use crate::clocks;
use crate::stream::BlockingStream;
use nudged_base::limits::{REDIS_BULK_BYTES_MAX, REDIS_BULK_ELEMENTS_MAX, REDIS_PIPELINE_MAX};
use nudged_redis::address::LinkAddress;
use nudged_redis::decode::Decoder;
use nudged_redis::encode;
use nudged_redis::frame::RespFrame;
use nudged_redis::greeting;
use nudged_redis::link::LinkSettings;
use nudged_redis::refusal::RedisRefusal;
use nudged_redis::request::{
    OwnedReply, Push, RedisError, RedisRequest, keep, only, owned, push_of,
};
use nudged_redis::scan::{FrameLimits, Protocol};
use nudged_redis::scripts::hash_of;

use rest::Rest;

struct RedisConnection {
    stream: BlockingStream,
    is_old: bool,
    is_subscribed: bool,
}

/// A blocking connection to Redis.
pub struct BlockingRedis {
    address: LinkAddress,
    settings: LinkSettings,
    timeout: Duration,
    connection: Option<RedisConnection>,
    decoder: Decoder,
    output: Vec<u8>,
    channels: Vec<String>,
    pushes: VecDeque<Push>,
    connects: u64,
    refused: [u64; RedisRefusal::COUNT],
    rest: Rest,
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
            refused: [0; RedisRefusal::COUNT],
            rest: Rest::default(),
        }
    }

    /// How often it has connected: where this has changed, the server may be another run.
    pub fn connects(&self) -> u64 {
        self.connects
    }

    /// Refusals by kind, one a call at most.
    pub fn refused(&self, kind: RedisRefusal) -> u64 {
        self.refused[kind.index()]
    }

    /// Another client of the same server, not connected yet.
    pub fn fresh(&self) -> BlockingRedis {
        BlockingRedis::new(self.address.clone(), self.settings.clone(), self.timeout)
    }

    /// How long the server is left alone from now on; `None` where it may be asked.
    pub fn rest_left(&self) -> Option<Duration> {
        self.rest.left(clocks::mono())
    }

    /// Gives the connection up where its caller can't go on from an answer, and rests as after any
    /// failure; `why` is for those who ask meanwhile.
    pub fn give_up(&mut self, why: String) {
        self.connection = None;
        let now = clocks::mono();
        // What the client knows itself it has counted.
        if self.rest.left(now).is_none() {
            self.rest.after_failure(now, clocks::noise(), why);
        }
    }

    /// One command and its answer.
    ///
    /// # Errors
    /// [`RedisError`]; after all but `Refused` the connection is given up.
    pub fn ask(&mut self, words: &[&[u8]]) -> Result<OwnedReply, RedisError> {
        only(self.pipeline(&[words])?)
    }

    /// A question as a value.
    ///
    /// # Errors
    /// As [`BlockingRedis::pipeline`], [`BlockingRedis::try_each`] and [`BlockingRedis::script`].
    pub fn carry_out(&mut self, ask: &RedisRequest) -> Result<Vec<OwnedReply>, RedisError> {
        let (RedisRequest::Pipeline(commands) | RedisRequest::Each(commands)) = ask else {
            let RedisRequest::Script { body, key, arguments } = ask else {
                unreachable!("what is left")
            };
            let arguments: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
            return self.script(body, &[key.as_bytes()], &arguments).map(|answer| vec![answer]);
        };
        let words: Vec<Vec<&[u8]>> =
            commands.iter().map(|words| words.iter().map(Vec::as_slice).collect()).collect();
        let words: Vec<&[&[u8]]> = words.iter().map(Vec::as_slice).collect();
        match ask {
            RedisRequest::Each(_) => self.try_each(&words),
            _ => self.pipeline(&words),
        }
    }

    /// Many commands, `REDIS_PIPELINE_MAX` at most, and their answers in order; errors stand in
    /// their places.
    ///
    /// # Errors
    /// [`RedisError`] other than `Refused`: the connection is given up, and each command may have
    /// been executed or not.
    pub fn pipeline(&mut self, commands: &[&[&[u8]]]) -> Result<Vec<OwnedReply>, RedisError> {
        self.connect()?;
        let answers = self.send_all(commands);
        let refusal = answers.iter().flatten().find_map(|answer| match answer {
            OwnedReply::Error(text) => Some((RedisRefusal::of(text.as_bytes()), text)),
            _ => None,
        });
        if let Some((kind, text)) = refusal {
            let why = text.clone();
            self.rest_after_refusal(kind, why);
        }
        self.give_up_after(answers)
    }

    /// As [`BlockingRedis::pipeline`], of commands whose refusal is an answer: the server is not
    /// left alone for it.
    ///
    /// # Errors
    /// As [`BlockingRedis::pipeline`], and where the connection was refused.
    pub(crate) fn try_each(
        &mut self,
        commands: &[&[&[u8]]],
    ) -> Result<Vec<OwnedReply>, RedisError> {
        self.connect()?;
        let answers = self.send_all(commands);
        self.give_up_after(answers)
    }

    fn send_all(&mut self, commands: &[&[&[u8]]]) -> Result<Vec<OwnedReply>, RedisError> {
        assert!(commands.len() <= REDIS_PIPELINE_MAX, "the caller splits what is larger");
        self.output.clear();
        for words in commands {
            encode::words(&mut self.output, words);
        }
        self.exchange(commands.len())
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
    ) -> Result<OwnedReply, RedisError> {
        let (hash, count) = (hash_of(body), keys.len().to_string());
        let mut words: Vec<&[u8]> = vec![b"EVALSHA", &hash, count.as_bytes()];
        words.extend_from_slice(keys);
        words.extend_from_slice(arguments);
        match self.ask(&words) {
            Err(RedisError::Refused { kind: RedisRefusal::NoScript, .. }) => {
                (words[0], words[1]) = (b"EVAL", body.as_bytes());
                self.ask(&words)
            }
            result => result,
        }
    }

    /// Subscribes to these channels instead of those before, now and after each new connection;
    /// where it has done so already, nothing is sent. A server of the old protocol takes no other
    /// command on this connection afterwards.
    ///
    /// # Errors
    /// As [`BlockingRedis::ask`].
    pub fn subscribe(&mut self, channels: &[&str]) -> Result<(), RedisError> {
        if self.channels != channels {
            self.channels = channels.iter().map(|channel| (*channel).to_owned()).collect();
            self.connection = None;
            self.pushes.clear();
        }
        self.connect_subscribed()
    }

    /// The next message, or `None` where none comes within `timeout`. After a failure the next
    /// call connects and subscribes again, and gives `Push::Subscribed` first: what was published
    /// in between is lost.
    ///
    /// # Errors
    /// [`RedisError`]: the connection is given up.
    pub fn poll_push(&mut self, timeout: Duration) -> Result<Option<Push>, RedisError> {
        self.connect_subscribed()?;
        if let Some(push) = self.pushes.pop_front() {
            return Ok(Some(push));
        }
        let until = Instant::now() + timeout;
        let pushed = loop {
            match self.next_frame(until) {
                // Nothing is outstanding, so a reply that is no push is nobody's.
                Ok(Some(_)) => break Err(RedisError::Malformed),
                Ok(None) => {}
                Err(RedisError::Timeout) => return Ok(None),
                Err(error) => break Err(error),
            }
            if let Some(push) = self.pushes.pop_front() {
                break Ok(Some(push));
            }
        };
        self.give_up_after(pushed)
    }

    fn connect_subscribed(&mut self) -> Result<(), RedisError> {
        self.connect()?;
        let is_subscribed = self.connection.as_ref().is_some_and(|held| held.is_subscribed);
        if is_subscribed || self.channels.is_empty() {
            return Ok(());
        }
        let subscribed = self.send_subscribe();
        self.give_up_after(subscribed)
    }

    fn send_subscribe(&mut self) -> Result<(), RedisError> {
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
                Some(OwnedReply::Error(text)) => {
                    return Err(RedisError::refused(text));
                }
                Some(_) => return Err(RedisError::Malformed),
            }
        }
        self.pushes.push_front(Push::Subscribed);
        Ok(())
    }

    fn connect(&mut self) -> Result<(), RedisError> {
        if self.rest_left().is_some() {
            return Err(RedisError::Resting { why: self.rest.why().to_owned() });
        }
        if self.connection.is_some() {
            return Ok(());
        }
        let stream = match &self.address {
            LinkAddress::Unix(path) => BlockingStream::connect_unix(path, self.timeout),
            LinkAddress::Tcp { host, port } => {
                BlockingStream::connect_host(host, *port, self.timeout)
            }
        };
        let stream = self.give_up_after(stream.map_err(RedisError::Connection))?;
        self.connection = Some(RedisConnection { stream, is_old: false, is_subscribed: false });
        self.connects += 1;
        self.decoder.reset();
        let greeted = self.greet();
        self.give_up_after(greeted)
    }

    fn greet(&mut self) -> Result<(), RedisError> {
        self.output.clear();
        greeting::hello(&mut self.output, &self.settings);
        let mut answers = self.exchange(1)?;
        self.output.clear();
        let mut count = 0;
        if let Some(OwnedReply::Error(text)) = answers.first()
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
            if let OwnedReply::Error(text) = answer {
                return Err(RedisError::refused(text));
            }
        }
        Ok(())
    }

    /// Sends what is in `output` and takes so many answers.
    fn exchange(&mut self, count: usize) -> Result<Vec<OwnedReply>, RedisError> {
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

    fn write(&mut self) -> Result<(), RedisError> {
        let connection = self.connection.as_mut().expect("the caller has connected");
        connection.stream.write_all(&self.output).map_err(|error| failed(error, "write"))
    }

    /// The next reply; `None` where a push came instead, which is kept.
    fn next_frame(&mut self, until: Instant) -> Result<Option<OwnedReply>, RedisError> {
        let connection = self.connection.as_mut().expect("the caller has connected");
        let mut piece = [0; 16 * 1_024];
        loop {
            if let Some(frame) = self.decoder.next_frame().map_err(|_| RedisError::Malformed)? {
                let push = match &frame {
                    RespFrame::Push(words) => Some(push_of(words)),
                    RespFrame::List(words) if connection.is_old && connection.is_subscribed => {
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
                return Err(RedisError::Timeout);
            }
            let stream = &mut connection.stream;
            let length = match stream.set_read_timeout(left).and_then(|()| stream.read(&mut piece))
            {
                Ok(length) => length,
                // A signal, and no answer of anybody: what is left of the time is waited on.
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(error, "read")),
            };
            if length == 0 {
                let closed = io::Error::new(ErrorKind::UnexpectedEof, "closed by redis");
                return Err(RedisError::Connection(closed));
            }
            self.decoder.push(&piece[..length]);
        }
    }

    /// Gives the connection up after an error, and leaves the server alone for a while.
    fn give_up_after<T>(&mut self, result: Result<T, RedisError>) -> Result<T, RedisError> {
        match &result {
            Ok(_) | Err(RedisError::Resting { .. }) => return result,
            Err(RedisError::Refused { kind, text }) => {
                self.connection = None;
                self.rest_after_refusal(*kind, text.clone());
            }
            Err(error) => {
                self.connection = None;
                let now = clocks::mono();
                self.rest.after_failure(now, clocks::noise(), error.to_string());
            }
        }
        result
    }

    /// Rests where the server says that it answers nothing now, or nothing to this client. Any
    /// other refusal is of one command, and the caller's to act upon.
    fn rest_after_refusal(&mut self, kind: RedisRefusal, why: String) {
        self.refused[kind.index()] += 1;
        let now = clocks::mono();
        match kind {
            RedisRefusal::Denied => self.rest.after_denial(now, clocks::noise(), why),
            RedisRefusal::Loading | RedisRefusal::PrimaryDown | RedisRefusal::Busy => {
                self.rest.after_failure(now, clocks::noise(), why);
            }
            _ => {}
        }
    }
}

/// What failed, while `doing` this.
fn failed(error: io::Error, doing: &'static str) -> RedisError {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => RedisError::Timeout,
        kind => RedisError::Connection(io::Error::new(kind, format!("{doing}: {error}"))),
    }
}

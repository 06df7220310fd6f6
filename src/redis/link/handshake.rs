//! The beginning of a link's connection: who we are, who the server is, what we listen to. One
//! command to learn the protocol, then the rest at once.
//!
//! ```text
//! HELLO ──> (old: AUTH, SETNAME) ──> SELECT ──> SUBSCRIBE ──> INFO server ──> INFO memory
//!                                                                     ──> CONFIG
//! ```

use crate::encode::{self, CHANNEL_PREFIX};
use crate::frame::RespFrame;
use crate::frame::Words;
use crate::greeting;
use crate::link::{Incompatible, LinkSettings, RedisServer};
use crate::refusal::RedisRefusal;
use crate::request::owned;
use crate::scan::Protocol;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HandshakeStep {
    Hello,
    /// So many replies to what stands for HELLO in the old protocol.
    Old(usize),
    Select,
    /// So many channels are confirmed.
    Subscribe(usize),
    Server,
    Memory,
    Config,
}

/// How far a connection has introduced itself.
#[derive(Debug)]
pub(super) struct Handshake {
    step: HandshakeStep,
    protocol: Protocol,
    server: RedisServer,
}

/// What a reply of the handshake leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandshakeProgress {
    /// More has to come.
    Going,
    /// It is over.
    Done(RedisServer),
    /// The connection has to be closed: the server is not ready, or out of step.
    Failed,
    /// The connection has to be closed, and somebody has to change a setting.
    Incompatible(Incompatible),
}

impl Handshake {
    /// Begins one: appends its first command.
    pub fn begin(settings: &LinkSettings, output: &mut Vec<u8>) -> Handshake {
        greeting::hello(output, settings);
        let server = RedisServer {
            run: 0,
            resp3: true,
            subscribed: false,
            evicts: true,
            syncs_always: None,
        };
        Handshake { step: HandshakeStep::Hello, protocol: Protocol::Resp3, server }
    }

    /// What the connection speaks, as far as it is known.
    pub(crate) fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Takes a reply; may append commands.
    pub fn take(
        &mut self,
        settings: &LinkSettings,
        frame: &RespFrame<'_>,
        output: &mut Vec<u8>,
    ) -> HandshakeProgress {
        if let RespFrame::Push(words) = frame {
            return self.take_push(settings, words);
        }
        let error = match frame {
            RespFrame::Error(text) => Some(RedisRefusal::of(text)),
            _ => None,
        };
        match (self.step, error) {
            (HandshakeStep::Hello, None) => self.ask_the_rest(settings, output),
            (HandshakeStep::Hello, Some(_)) => {
                let RespFrame::Error(text) = frame else { return HandshakeProgress::Failed };
                if !greeting::is_old_protocol(text) {
                    return refused(frame, "hello");
                }
                self.protocol = Protocol::Resp2;
                self.server.resp3 = false;
                self.step = HandshakeStep::Old(greeting::old_hello(output, settings));
            }
            (HandshakeStep::Old(_), Some(_)) => return refused_old(frame),
            (HandshakeStep::Old(1), None) => self.ask_the_rest(settings, output),
            (HandshakeStep::Old(left), None) => self.step = HandshakeStep::Old(left - 1),
            (HandshakeStep::Select, Some(RedisRefusal::Other)) => {
                return HandshakeProgress::Incompatible(Incompatible::NoDatabase);
            }
            (HandshakeStep::Select, Some(_)) => return refused(frame, "select"),
            (HandshakeStep::Select, None) => self.step = after_select(settings, self.server.resp3),
            // In order, so before the first confirmation it is the refusal of all of them.
            (HandshakeStep::Subscribe(0), Some(_)) => self.step = HandshakeStep::Server,
            (HandshakeStep::Subscribe(_), _) => return HandshakeProgress::Failed,
            (HandshakeStep::Server, None) => {
                let RespFrame::Text(info) = frame else { return HandshakeProgress::Failed };
                match greeting::run_of_info(info) {
                    Ok(run) => self.server.run = run,
                    Err(unfit) => return HandshakeProgress::Incompatible(unfit),
                }
                self.step = HandshakeStep::Memory;
            }
            (HandshakeStep::Server, Some(_)) => return refused(frame, "info"),
            (HandshakeStep::Memory, _) => {
                if let RespFrame::Text(info) = frame {
                    self.server.evicts = greeting::evicts(info);
                }
                self.step = HandshakeStep::Config;
            }
            (HandshakeStep::Config, _) => {
                self.server.syncs_always = owned(frame.clone()).syncs_always();
                return HandshakeProgress::Done(self.server);
            }
        }
        HandshakeProgress::Going
    }

    fn take_push(&mut self, settings: &LinkSettings, words: &Words<'_>) -> HandshakeProgress {
        let is_confirmed = words.iter().next() == Some(RespFrame::Text(b"subscribe"));
        if let (HandshakeStep::Subscribe(confirmed), true) = (self.step, is_confirmed) {
            self.step = HandshakeStep::Subscribe(confirmed + 1);
            if confirmed + 1 == settings.subscriptions.len() {
                self.server.subscribed = true;
                self.step = HandshakeStep::Server;
            }
        }
        HandshakeProgress::Going
    }

    /// The protocol is known: everything else is asked at once.
    fn ask_the_rest(&mut self, settings: &LinkSettings, output: &mut Vec<u8>) {
        if settings.database > 0 {
            let mut digits = itoa::Buffer::new();
            let database = digits.format(settings.database).as_bytes();
            encode::words(output, &[b"SELECT", database]);
            self.step = HandshakeStep::Select;
        } else {
            self.step = after_select(settings, self.server.resp3);
        }
        if self.server.resp3 && settings.subscriptions.is_empty() {
            self.server.subscribed = true;
        } else if self.server.resp3 {
            let channels: Vec<String> = settings
                .subscriptions
                .iter()
                .map(|partition| format!("{CHANNEL_PREFIX}{}", partition.0))
                .collect();
            let mut words: Vec<&[u8]> = vec![b"SUBSCRIBE"];
            words.extend(channels.iter().map(|channel| channel.as_bytes()));
            encode::words(output, &words);
        }
        encode::words(output, &[b"INFO", b"server"]);
        encode::words(output, &[b"INFO", b"memory"]);
        // Two names at once are for Redis 7, which is the oldest that is taken.
        encode::words(output, &[b"CONFIG", b"GET", b"appendfsync", b"appendonly"]);
    }
}

fn after_select(settings: &LinkSettings, is_resp3: bool) -> HandshakeStep {
    if is_resp3 && !settings.subscriptions.is_empty() {
        HandshakeStep::Subscribe(0)
    } else {
        HandshakeStep::Server
    }
}

/// What the refusal of a command leads to.
fn refused(frame: &RespFrame<'_>, command: &'static str) -> HandshakeProgress {
    match frame {
        RespFrame::Error(text) if text.starts_with(b"NOPERM") => {
            HandshakeProgress::Incompatible(Incompatible::Denied(command))
        }
        RespFrame::Error(text) if RedisRefusal::of(text) == RedisRefusal::Denied => {
            HandshakeProgress::Incompatible(Incompatible::NotLetIn)
        }
        _ => HandshakeProgress::Failed,
    }
}

/// The old protocol says of a wrong password that it is an error, and no more.
fn refused_old(frame: &RespFrame<'_>) -> HandshakeProgress {
    match refused(frame, "auth and +client|setname") {
        HandshakeProgress::Failed => HandshakeProgress::Incompatible(Incompatible::NotLetIn),
        unfit => unfit,
    }
}

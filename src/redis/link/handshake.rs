//! The beginning of a link's connection: who we are, who the server is, what we listen to. One
//! command to learn the protocol, then the rest at once.
//!
//! ```text
//! HELLO ──> (old: AUTH, SETNAME) ──> SELECT ──> SUBSCRIBE ──> INFO server ──> INFO memory
//!                                                                     ──> CONFIG
//! ```

use crate::decode::Frame;
use crate::encode::{self, CHANNEL_PREFIX};
use crate::greeting;
use crate::link::{LinkSettings, Server, Unfit};
use crate::refusal::Refusal;
use crate::scan::Protocol;
use crate::words::Words;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
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
    step: Step,
    protocol: Protocol,
    server: Server,
}

/// What a reply of the handshake leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// More has to come.
    Going,
    /// It is over.
    Done(Server),
    /// The connection has to be closed: the server is not ready, or out of step.
    Failed,
    /// The connection has to be closed, and somebody has to change a setting.
    Unfit(Unfit),
}

impl Handshake {
    /// Begins one: appends its first command.
    pub fn begin(settings: &LinkSettings, output: &mut Vec<u8>) -> Handshake {
        greeting::hello(output, settings);
        let server =
            Server { run: 0, resp3: true, subscribed: false, evicts: true, syncs_always: None };
        Handshake { step: Step::Hello, protocol: Protocol::Resp3, server }
    }

    /// What the connection speaks, as far as it is known.
    pub(crate) fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Takes a reply; may append commands.
    pub fn take(
        &mut self,
        settings: &LinkSettings,
        frame: &Frame<'_>,
        output: &mut Vec<u8>,
    ) -> Progress {
        if let Frame::Push(words) = frame {
            return self.take_push(settings, words);
        }
        let error = match frame {
            Frame::Error(text) => Some(Refusal::of(text)),
            _ => None,
        };
        match (self.step, error) {
            (Step::Hello, None) => self.ask_the_rest(settings, output),
            (Step::Hello, Some(_)) => {
                let Frame::Error(text) = frame else { return Progress::Failed };
                if !greeting::is_old_protocol(text) {
                    return refused(frame, "hello");
                }
                self.protocol = Protocol::Resp2;
                self.server.resp3 = false;
                self.step = Step::Old(greeting::old_hello(output, settings));
            }
            (Step::Old(_), Some(_)) => return refused_old(frame),
            (Step::Old(1), None) => self.ask_the_rest(settings, output),
            (Step::Old(left), None) => self.step = Step::Old(left - 1),
            (Step::Select, Some(Refusal::Other)) => return Progress::Unfit(Unfit::NoDatabase),
            (Step::Select, Some(_)) => return refused(frame, "select"),
            (Step::Select, None) => self.step = after_select(settings, self.server.resp3),
            // In order, so before the first confirmation it is the refusal of all of them.
            (Step::Subscribe(0), Some(_)) => self.step = Step::Server,
            (Step::Subscribe(_), _) => return Progress::Failed,
            (Step::Server, None) => {
                let Frame::Text(info) = frame else { return Progress::Failed };
                match greeting::run_of_info(info) {
                    Ok(run) => self.server.run = run,
                    Err(unfit) => return Progress::Unfit(unfit),
                }
                self.step = Step::Memory;
            }
            (Step::Server, Some(_)) => return refused(frame, "info"),
            (Step::Memory, _) => {
                if let Frame::Text(info) = frame {
                    self.server.evicts = greeting::evicts(info);
                }
                self.step = Step::Config;
            }
            (Step::Config, _) => {
                self.server.syncs_always = greeting::syncs_always(frame);
                return Progress::Done(self.server);
            }
        }
        Progress::Going
    }

    fn take_push(&mut self, settings: &LinkSettings, words: &Words<'_>) -> Progress {
        let is_confirmed = words.iter().next() == Some(Frame::Text(b"subscribe"));
        if let (Step::Subscribe(confirmed), true) = (self.step, is_confirmed) {
            self.step = Step::Subscribe(confirmed + 1);
            if confirmed + 1 == settings.subscriptions.len() {
                self.server.subscribed = true;
                self.step = Step::Server;
            }
        }
        Progress::Going
    }

    /// The protocol is known: everything else is asked at once.
    fn ask_the_rest(&mut self, settings: &LinkSettings, output: &mut Vec<u8>) {
        if settings.database > 0 {
            let mut digits = itoa::Buffer::new();
            let database = digits.format(settings.database).as_bytes();
            encode::words(output, &[b"SELECT", database]);
            self.step = Step::Select;
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

fn after_select(settings: &LinkSettings, is_resp3: bool) -> Step {
    if is_resp3 && !settings.subscriptions.is_empty() { Step::Subscribe(0) } else { Step::Server }
}

/// What the refusal of a command leads to.
fn refused(frame: &Frame<'_>, command: &'static str) -> Progress {
    match frame {
        Frame::Error(text) if text.starts_with(b"NOPERM") => {
            Progress::Unfit(Unfit::Denied(command))
        }
        Frame::Error(text) if Refusal::of(text) == Refusal::Denied => {
            Progress::Unfit(Unfit::NotLetIn)
        }
        _ => Progress::Failed,
    }
}

/// The old protocol says of a wrong password that it is an error, and no more.
fn refused_old(frame: &Frame<'_>) -> Progress {
    match refused(frame, "auth and +client|setname") {
        Progress::Failed => Progress::Unfit(Unfit::NotLetIn),
        unfit => unfit,
    }
}

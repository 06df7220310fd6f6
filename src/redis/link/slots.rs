//! Commands on their way, in the order of the pipeline, with their bytes: a command may have to be
//! sent again, with its script's body or on another connection.
//!
//! ```text
//! log:    [ answered | waiting for replies ......... | not yet taken for sending ]
//!                    ^ front slot's bytes             ^ sent
//! ```

use std::collections::VecDeque;

use crate::command::RedisCommand;
use crate::encode;
use crate::reply::ReplyShape;
use crate::scripts::Script;
use nudged_base::time::MonoNs;

/// A command on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct CommandSlot {
    /// `None` for the link's own probe.
    pub ticket: Option<u64>,
    pub expected: ReplyShape,
    pub script: Option<Script>,
    /// When it expires.
    pub deadline: MonoNs,
    /// When its bytes were last given to the connection.
    pub sent_at: MonoNs,
    pub is_expired: bool,
    /// It was sent on an earlier connection too.
    pub is_resent: bool,
    /// It waits for a connection to be sent on again.
    pub is_waiting: bool,
    /// It was sent with its script's body.
    pub has_body: bool,
    /// The breaker waits for its outcome.
    pub is_trial: bool,
    /// Where its bytes begin, counted from the log's first byte ever.
    begin: u64,
    length: usize,
}

/// The pipeline.
#[derive(Debug, Default)]
pub(super) struct CommandSlots {
    slots: VecDeque<CommandSlot>,
    log: Vec<u8>,
    /// The place of `log[0]`.
    base: u64,
    /// Up to here bytes were taken for sending.
    sent: u64,
}

impl CommandSlots {
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Bytes that are held.
    pub fn bytes(&self) -> usize {
        self.log.len()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut CommandSlot> {
        self.slots.iter_mut()
    }

    /// Appends a command; the caller has asked for room.
    pub fn push(
        &mut self,
        ticket: Option<u64>,
        command: &RedisCommand<'_>,
        times: Times,
    ) -> &mut CommandSlot {
        let begin = self.end();
        let script = encode::command(&mut self.log, command);
        let slot = CommandSlot {
            ticket,
            expected: match command {
                RedisCommand::Read { .. } | RedisCommand::Fill { .. } => ReplyShape::Value,
                RedisCommand::Commit(_) => ReplyShape::Commit,
                RedisCommand::Meta { .. } => ReplyShape::Meta,
                RedisCommand::Ping => ReplyShape::Pong,
            },
            script,
            deadline: times.deadline,
            sent_at: times.now,
            is_expired: false,
            is_resent: false,
            is_waiting: false,
            has_body: false,
            is_trial: false,
            begin,
            length: self.length_from(begin),
        };
        self.slots.push_back(slot);
        self.slots.back_mut().expect("it was just pushed")
    }

    /// Takes the command that the next reply answers; `None` where none was sent. Its bytes stay
    /// until `forget_answered`.
    pub fn pop(&mut self) -> Option<CommandSlot> {
        let is_sent = self.slots.front().is_some_and(|slot| slot.begin < self.sent);
        if is_sent { self.slots.pop_front() } else { None }
    }

    /// Appends a command again that was just popped, with its script's body.
    pub(crate) fn push_with_body(&mut self, mut slot: CommandSlot, script: Script, now: MonoNs) {
        let from = usize::try_from(slot.begin - self.base).expect("within the log");
        let mut sent = Vec::with_capacity(slot.length);
        sent.extend_from_slice(&self.log[from..from + slot.length]);
        slot.begin = self.end();
        encode::with_body(&mut self.log, &sent, script);
        slot.length = self.length_from(slot.begin);
        slot.has_body = true;
        slot.sent_at = now;
        self.slots.push_back(slot);
    }

    /// Lets the bytes of answered commands go, now and then.
    pub(crate) fn forget_answered(&mut self) {
        let kept_from = self.slots.front().map_or(self.end(), |slot| slot.begin);
        let gone = usize::try_from(kept_from - self.base).expect("within the log");
        // Each byte is moved at most once for each byte that goes.
        if gone >= self.log.len() - gone {
            debug_assert!(self.sent >= kept_from, "what is answered was sent");
            self.log.drain(..gone);
            self.base = kept_from;
        }
    }

    /// Appends what was not yet sent to `output`; whether there was anything.
    pub fn take_output(&mut self, output: &mut Vec<u8>) -> bool {
        let from = usize::try_from(self.sent - self.base).expect("within the log");
        output.extend_from_slice(&self.log[from..]);
        let is_any = from < self.log.len();
        self.sent = self.end();
        is_any
    }

    /// Keeps the slots that `keep` wants, for another connection: all will be sent again.
    pub fn retain(&mut self, mut keep: impl FnMut(&mut CommandSlot) -> bool) {
        let mut log = Vec::new();
        self.slots.retain_mut(|slot| {
            if !keep(slot) {
                return false;
            }
            let from = usize::try_from(slot.begin - self.base).expect("within the log");
            slot.begin = log.len() as u64;
            log.extend_from_slice(&self.log[from..from + slot.length]);
            true
        });
        self.log = log;
        self.base = 0;
        self.sent = 0;
    }

    fn end(&self) -> u64 {
        self.base + self.log.len() as u64
    }

    fn length_from(&self, begin: u64) -> usize {
        usize::try_from(self.end() - begin).expect("within the log")
    }
}

/// When a command is sent and when it expires.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub now: MonoNs,
    pub deadline: MonoNs,
}

//! The link of an arbiter, or what stands for it in tests: those that execute commands by a model
//! of Redis need no bytes.

use nudged_base::time::{MonoNs, WallMs};
use nudged_redis::command::RedisCommand;
use nudged_redis::link::{Link, LinkEvent, LinkMetrics, LinkRequest, NotSent};

/// What carries commands.
pub enum Carrier {
    /// A connection.
    Link(Box<Link>),
    /// A model of Redis takes the commands as they are.
    #[cfg(test)]
    Wire(super::model::Wire),
}

macro_rules! carried {
    ($carrier:expr, $link:ident => $call:expr) => {
        match $carrier {
            Carrier::Link($link) => $call,
            #[cfg(test)]
            Carrier::Wire($link) => $call,
        }
    };
}

impl Carrier {
    /// As [`Link::is_open`].
    pub fn is_open(&self, now: MonoNs) -> bool {
        carried!(self, link => link.is_open(now))
    }

    /// As [`Link::send`].
    ///
    /// # Errors
    /// [`NotSent`]: nothing was taken.
    pub fn send(
        &mut self,
        now: MonoNs,
        ticket: u64,
        command: &RedisCommand<'_>,
    ) -> Result<(), NotSent> {
        carried!(self, link => link.send(now, ticket, command))
    }

    /// As [`Link::connected`].
    pub fn connected(&mut self, now: MonoNs) {
        carried!(self, link => link.connected(now));
    }

    /// As [`Link::received`].
    pub fn received(&mut self, now: MonoNs, bytes: &[u8]) {
        carried!(self, link => link.received(now, bytes));
    }

    /// As [`Link::broken`].
    pub fn broken(&mut self, now: MonoNs) {
        carried!(self, link => link.broken(now));
    }

    /// As [`Link::renew`].
    pub fn renew(&mut self, now: MonoNs) {
        carried!(self, link => link.renew(now));
    }

    /// As [`Link::tick`].
    pub fn tick(&mut self, now: MonoNs) {
        carried!(self, link => link.tick(now));
    }

    /// As [`Link::next_deadline`].
    pub fn next_deadline(&self) -> Option<MonoNs> {
        carried!(self, link => link.next_deadline())
    }

    /// As [`Link::wish`].
    pub fn wish(&mut self) -> Option<LinkRequest> {
        carried!(self, link => link.wish())
    }

    /// As [`Link::take_output`].
    pub fn take_output(&mut self, output: &mut Vec<u8>) -> bool {
        carried!(self, link => link.take_output(output))
    }

    /// As [`Link::wall`].
    pub fn wall(&self, now: MonoNs) -> Option<WallMs> {
        carried!(self, link => link.wall(now))
    }

    /// A model's reply told the time; a link has seen it by itself.
    #[cfg(test)]
    pub(crate) fn told_time(&mut self, now: MonoNs, time: WallMs) {
        if let Carrier::Wire(wire) = self {
            wire.told_time(now, time);
        }
    }

    /// As [`Link::next_event`].
    pub fn next_event(&mut self) -> Option<LinkEvent> {
        carried!(self, link => link.next_event())
    }

    /// As [`Link::figures`].
    pub fn figures(&self) -> LinkMetrics {
        carried!(self, link => link.figures())
    }
}

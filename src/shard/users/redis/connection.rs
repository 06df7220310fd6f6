//! The shard's connection to Redis: a link, and what the driver does for it. One send is under way
//! at a time, and a lost connection is closed before another is made. Knows no command.

use crate::seam::{Effect, Input, Outbox};
use nudged_base::time::MonoNs;
use nudged_redis::link::{Link, LinkRequest};

/// A link with its connection.
pub(crate) struct LinkConnection {
    /// Commands in, replies out.
    pub(crate) link: Box<Link>,
    number: u32,
    output: Vec<u8>,
    is_sending: bool,
    is_connected: bool,
    must_close: bool,
}

impl LinkConnection {
    /// A link that wishes for its connection, which has this number.
    pub(crate) fn new(link: Link, number: u32) -> LinkConnection {
        LinkConnection {
            link: Box::new(link),
            number,
            output: Vec::new(),
            is_sending: false,
            is_connected: false,
            must_close: false,
        }
    }

    /// Whether an input is of this connection; acts upon it then.
    pub(crate) fn on_input(&mut self, now: MonoNs, input: &mut Input<'_>) -> bool {
        match input {
            Input::Connected { connection } if *connection == self.number => {
                self.is_connected = true;
                self.is_sending = false;
                self.output.clear();
                self.link.connected(now);
            }
            Input::Bytes { connection, bytes } if *connection == self.number => {
                if self.is_connected {
                    self.link.received(now, bytes);
                }
            }
            Input::PeerClosed { connection } | Input::Broken { connection }
                if *connection == self.number =>
            {
                self.on_broken(now);
            }
            Input::Sent { connection, buffer, sent } if *connection == self.number => {
                self.on_sent(now, std::mem::take(buffer), *sent);
            }
            _ => return false,
        }
        true
    }

    /// The connection is lost, or could not be had.
    fn on_broken(&mut self, now: MonoNs) {
        self.must_close |= self.is_connected;
        self.is_connected = false;
        self.link.broken(now);
    }

    /// A send has ended. What was not taken goes first the next time.
    fn on_sent(&mut self, now: MonoNs, mut buffer: Vec<u8>, sent: Option<usize>) {
        if !self.is_connected || !self.is_sending {
            return;
        }
        self.is_sending = false;
        match sent {
            Some(sent) => {
                buffer.drain(..sent.min(buffer.len()));
                debug_assert!(self.output.is_empty());
                self.output = buffer;
            }
            None => self.on_broken(now),
        }
    }

    /// Hands the driver what the link wants of it, and what is to be sent.
    pub(crate) fn flush(&mut self, outbox: &mut Outbox) {
        let connection = self.number;
        if std::mem::take(&mut self.must_close) {
            outbox.push(Effect::Close { connection, reset: true });
        }
        while let Some(wish) = self.link.wish() {
            outbox.push(match wish {
                LinkRequest::Connect => Effect::Connect { connection },
                LinkRequest::Close => {
                    self.is_connected = false;
                    Effect::Close { connection, reset: true }
                }
            });
        }
        if !self.is_connected || self.is_sending {
            return;
        }
        self.link.take_output(&mut self.output);
        if !self.output.is_empty() {
            self.is_sending = true;
            outbox.push(Effect::Send { connection, buffer: std::mem::take(&mut self.output) });
        }
    }
}

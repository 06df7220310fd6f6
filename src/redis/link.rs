//! One pipelined connection to one primary, as a state machine: bytes and time in, bytes and
//! events out. Must not know sockets.

mod settings;

use std::sync::Arc;

use super::command::Command;
use crate::base::time::MonoNs;

pub use settings::{
    BreakerSettings, BreakerState, LinkEvent, LinkFigures, LinkSettings, LinkWish, NotSent, Server,
    Unfit,
};

/// One pipelined connection to one primary.
pub struct Link {
    settings: Arc<LinkSettings>,
    figures: LinkFigures,
}

impl Link {
    /// A link that wishes for its first connection. `seed` is for the jitter of its delays.
    pub fn new(settings: Arc<LinkSettings>, seed: u64) -> Link {
        let _ = seed;
        Link { settings, figures: LinkFigures::default() }
    }

    /// Whether a command can be sent now, if there is room.
    pub fn is_open(&self, _now: MonoNs) -> bool {
        false
    }

    /// Commands that the window has room for.
    pub fn room(&self) -> usize {
        self.settings.window
    }

    /// Takes a command; its outcome comes with its ticket as an event.
    ///
    /// # Errors
    /// [`NotSent`]: nothing was taken.
    pub fn send(&mut self, _now: MonoNs, _: u64, _: &Command<'_>) -> Result<(), NotSent> {
        Err(NotSent::Closed)
    }

    /// The connection that was wished for stands.
    pub fn connected(&mut self, _now: MonoNs) {}

    /// Bytes have arrived on the connection.
    pub fn received(&mut self, _now: MonoNs, _bytes: &[u8]) {}

    /// The connection is lost, or could not be made.
    pub fn broken(&mut self, _now: MonoNs) {}

    /// Time has passed.
    pub fn tick(&mut self, _now: MonoNs) {}

    /// When `tick` has something to do at the latest.
    pub fn next_deadline(&self) -> Option<MonoNs> {
        None
    }

    /// What the link wants of its driver next; `None` for nothing.
    pub fn wish(&mut self) -> Option<LinkWish> {
        None
    }

    /// Appends the bytes to be sent; whether there were any.
    pub fn take_output(&mut self, _output: &mut Vec<u8>) -> bool {
        false
    }

    /// What became known, in order.
    pub fn next_event(&mut self) -> Option<LinkEvent> {
        None
    }

    /// Counts since the link was made.
    pub fn figures(&self) -> LinkFigures {
        self.figures
    }
}

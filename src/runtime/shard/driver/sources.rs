//! Connections that are one too many of their source: counted, told and reset, where
//! `limits.connections_per_source` is set. The source of a balancer's connection is that of its
//! header.

use std::io;
use std::net::IpAddr;

use super::Driver;
use crate::clocks;
use crate::shard::slot::Passage;
use nudged_base::telemetry::log::{LogValue, Message};
use nudged_shard::seam::{Effect, Input, Step};

impl<S: Step> Driver<S> {
    /// Counts a connection as one of its source's, where these are bounded; whether it may stay.
    pub(super) fn enter_source(&mut self, slot: u32, address: IpAddr) -> bool {
        let Some(counts) = &self.entrance.sources else { return true };
        if let Some(source) = counts.enter(address) {
            self.sources.insert(slot, source);
            return true;
        }
        self.counters.sources_refused.add(1);
        if let Some(log) = &self.log {
            let source = address.to_string();
            let fields = [("source", LogValue::Text(&source))];
            log.write(clocks::now(), Message::SourceFull, &fields);
        }
        false
    }

    /// Tells the shard whose a connection is.
    pub(super) fn tell_source(&mut self, slot: u32, source: IpAddr) {
        let input = Input::Source { connection: slot, source: source.to_canonical() };
        self.step.step(self.now, input, &mut self.outbox);
    }

    /// A connection is closed.
    pub(super) fn leave_source(&mut self, slot: u32) {
        let Some(counts) = &self.entrance.sources else { return };
        if let Some(source) = self.sources.remove(&slot) {
            counts.leave(source);
        }
    }

    /// Resets a connection that the shard does not know yet.
    pub(super) fn close_source(&mut self, slot: u32) {
        self.slots[slot as usize].passage = Passage::Refused;
        self.outbox.push(Effect::Close { connection: slot, reset: true });
    }

    /// Resets a connection that the shard knows.
    pub(super) fn refuse_source(&mut self, slot: u32) -> io::Result<()> {
        let connection = &mut self.slots[slot as usize];
        connection.passage = Passage::Refused;
        connection.reset = true;
        self.step.step(self.now, Input::Broken { connection: slot }, &mut self.outbox);
        Ok(())
    }
}

//! Connections of a balancer: they come from its networks alone, and begin with a header of the
//! PROXY protocol, which the shard does not see.
//!
//! ```text
//!   accepted ──► a peer of the networks? ──► header whole within its time ──► the shard's bytes
//!                       │ no                        │ no
//!                       ▼                           ▼
//!                     closed                  broken, for the shard
//! ```

use std::io;
use std::net::IpAddr;

use super::Driver;
use super::shedding::give;
use crate::clocks;
use crate::shard::slot::Passage;
use nudged_base::limits::PROXY_HEADER_TIMEOUT_MS;
use nudged_base::telemetry::log::{LogValue, Message};
use nudged_http::proxy::ProxyHeader;
use nudged_shard::seam::{Effect, Input, Step};

impl<S: Step> Driver<S> {
    /// Has a new connection begin with a header, where its peer may send one; else it is closed,
    /// and the shard never hears of it.
    pub(super) fn await_header(&mut self, slot: u32, listener: u32, peer: Option<IpAddr>) -> bool {
        let connection = &mut self.slots[slot as usize];
        let is_welcome = self.entrance.may_proxy(peer);
        if is_welcome {
            let is_tls = self.entrance.is_tls(listener as usize);
            connection.passage = Passage::Header { reader: Default::default(), is_tls, peer };
            let due = self.now.mono.plus_ms(PROXY_HEADER_TIMEOUT_MS);
            self.headers_due.push((due, slot, connection.generation));
        } else {
            connection.passage = Passage::Refused;
            self.tell_refused("network", peer);
            self.outbox.push(Effect::Close { connection: slot, reset: false });
        }
        is_welcome
    }

    /// Takes received bytes of a connection whose header is not whole yet; what stands behind it is
    /// the shard's.
    pub(super) fn receive_header(
        &mut self,
        slot: u32,
        (buffer, length): (u16, usize),
    ) -> io::Result<()> {
        let Driver { ring, slots, counters, .. } = self;
        let passage = &mut slots[slot as usize].passage;
        let Passage::Header { reader, is_tls, .. } = passage else { return Ok(()) };
        let bytes = ring.received(buffer, length);
        match reader.take(bytes) {
            Ok(None) => {}
            Ok(Some(ProxyHeader { bytes: used, source })) => {
                counters.proxy_protocol_accepted.add(1);
                let is_tls = *is_tls;
                *passage = Passage::Open;
                // Without one it is the balancer's own, which looks how the node is.
                if let Some(source) = source {
                    if !self.enter_source(slot, source.ip()) {
                        return self.refuse_source(slot);
                    }
                    self.tell_source(slot, source.ip());
                }
                if is_tls {
                    self.await_tls(slot);
                    return self.receive_tls(slot, (buffer, length, used));
                }
                let Driver { ring, step, outbox, overload, counters, now, .. } = self;
                let bytes = &ring.received(buffer, length)[used..];
                if !bytes.is_empty() {
                    give((step, outbox, counters), overload, *now, (slot, bytes));
                }
            }
            Err(refusal) => self.refuse(slot, refusal.code()),
        }
        Ok(())
    }

    /// The peer has ended its direction; one that has begun a header counts. Who has sent nothing
    /// only looked whether somebody listens.
    pub(super) fn count_cut_header(&mut self, slot: u32) {
        let passage = &self.slots[slot as usize].passage;
        if matches!(passage, Passage::Header { reader, .. } if reader.has_begun()) {
            self.tell_refused("cut", self.peer_of(slot));
        }
    }

    /// Ends connections whose header has not come in time. Looked at once a tick.
    pub(super) fn expire_headers(&mut self) {
        if self.headers_due.is_empty() {
            return;
        }
        let mut due = std::mem::take(&mut self.headers_due);
        due.retain(|(at, slot, generation)| {
            let connection = &self.slots[*slot as usize];
            let is_awaited = connection.generation == *generation
                && connection.open
                && !connection.closing
                && matches!(connection.passage, Passage::Header { .. });
            let is_late = is_awaited && *at <= self.now.mono;
            if is_late {
                self.refuse(*slot, "timeout");
            }
            is_awaited && !is_late
        });
        self.headers_due = due;
    }

    /// Who sends the header, or was to.
    fn peer_of(&self, slot: u32) -> Option<IpAddr> {
        match &self.slots[slot as usize].passage {
            Passage::Header { peer, .. } => *peer,
            _ => None,
        }
    }

    fn refuse(&mut self, slot: u32, reason: &'static str) {
        let peer = self.peer_of(slot);
        self.slots[slot as usize].passage = Passage::Refused;
        self.tell_refused(reason, peer);
        self.step.step(self.now, Input::Broken { connection: slot }, &mut self.outbox);
    }

    fn tell_refused(&self, reason: &'static str, peer: Option<IpAddr>) {
        self.counters.proxy_protocol_refused.of(reason).add(1);
        let Some(log) = &self.log else { return };
        let peer = peer.map(|peer| peer.to_string());
        let mut fields = vec![("cause", LogValue::Text(reason))];
        fields.extend(peer.as_deref().map(|peer| ("peer", LogValue::Text(peer))));
        log.write(clocks::now(), Message::ProxyRefused, &fields);
    }
}

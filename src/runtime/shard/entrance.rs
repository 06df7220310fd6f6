//! What listeners ask of a connection before its bytes are the shard's: from which networks it may
//! come, and what it begins with.

use std::net::IpAddr;
use std::sync::Arc;

use super::sources::SourceCounts;
use nudged_config::{Config, DataListener, Network};

/// The listeners' rules, in the order of their sockets. Clones count the same sources.
#[derive(Clone, Debug, Default)]
pub struct Entrance {
    listeners: Vec<DataListener>,
    networks: Vec<Network>,
    /// Connections by source, where they are bounded.
    pub(super) sources: Option<Arc<SourceCounts>>,
}

impl Entrance {
    /// Those of a configuration.
    pub fn of(config: &Config) -> Entrance {
        let networks = config.proxy_protocol.networks.clone();
        let most = config.limits.connections_per_source;
        let sources = most.map(|most| Arc::new(SourceCounts::new(most)));
        Entrance { listeners: config.listen.clone(), networks, sources }
    }

    /// Whether it matters on a listener who connects.
    pub(super) fn asks_for_peers(&self, listener: usize) -> bool {
        self.is_proxied(listener) || self.sources.is_some()
    }

    /// Whether connections of a listener begin with a header of the PROXY protocol. One that the
    /// rules don't name is plain.
    pub fn is_proxied(&self, listener: usize) -> bool {
        self.listeners.get(listener).is_some_and(|listener| listener.is_proxied)
    }

    /// Whether TLS is spoken on a listener.
    pub fn is_tls(&self, listener: usize) -> bool {
        self.listeners.get(listener).is_some_and(|listener| listener.is_tls)
    }

    /// Whether a peer may send such a header. One whose address is not known may not.
    pub(super) fn may_proxy(&self, peer: Option<IpAddr>) -> bool {
        peer.is_some_and(|peer| self.networks.iter().any(|network| network.contains(peer)))
    }
}

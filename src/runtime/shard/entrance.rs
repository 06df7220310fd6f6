//! What listeners ask of a connection before its bytes are the shard's: from which networks it may
//! come, and what it begins with.

use std::net::IpAddr;

use nudged_config::{Config, DataListener, Network};

/// The listeners' rules, in the order of their sockets.
#[derive(Clone, Debug, Default)]
pub struct Entrance {
    listeners: Vec<DataListener>,
    networks: Vec<Network>,
}

impl Entrance {
    /// Those of a configuration.
    pub fn of(config: &Config) -> Entrance {
        let networks = config.proxy_protocol.networks.clone();
        Entrance { listeners: config.listen.clone(), networks }
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

//! Where a link leads: a host's addresses, or a unix socket's path, and how its socket is made.
//! Shared by all shards and by the resolver, which alone asks for names: a name server that does
//! not answer holds no shard up.
//!
//! Must not know what is spoken over the link. Limits: `LINK_ADDRESSES_MAX` addresses of a name.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustix::net::{
    AddressFamily, SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType, socket_with, sockopt,
};

use crate::wake::Waker;
use nudged_base::limits::LINK_ADDRESSES_MAX;

/// An idle peer is probed after this long, and again after as long.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// Unanswered probes after which the peer is gone.
const KEEPALIVE_PROBES: u32 = 3;

/// One address to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An address and port.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

/// What a link leads to, with the addresses that are known for it.
#[derive(Debug)]
pub struct Endpoint {
    /// To be asked for by name; `None` where the addresses can't change.
    name: Option<(String, u16)>,
    addresses: RwLock<Arc<[Address]>>,
    is_stale: AtomicBool,
    resolver: Arc<Waker>,
    user_timeout: Duration,
}

impl Endpoint {
    /// A host and port. An address is known at once; a name has no addresses until the resolver has
    /// asked for it. Unacknowledged bytes break the connection after `user_timeout`; `resolver` is
    /// woken where the addresses have to be looked up.
    pub fn tcp(host: &str, port: u16, user_timeout: Duration, resolver: Arc<Waker>) -> Endpoint {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let known: Vec<Address> = bare
            .parse::<IpAddr>()
            .map(|address| Address::Tcp(SocketAddr::new(address, port)))
            .into_iter()
            .collect();
        let name = known.is_empty().then(|| (host.to_owned(), port));
        Endpoint {
            is_stale: AtomicBool::new(name.is_some()),
            name,
            addresses: RwLock::new(known.into()),
            resolver,
            user_timeout,
        }
    }

    /// A unix socket.
    pub fn unix(path: &Path, user_timeout: Duration, resolver: Arc<Waker>) -> Endpoint {
        Endpoint {
            name: None,
            addresses: RwLock::new(Arc::new([Address::Unix(path.to_owned())])),
            is_stale: AtomicBool::new(false),
            resolver,
            user_timeout,
        }
    }

    /// The addresses as they are known now; none where the name was not found yet. Allocates
    /// nothing.
    pub fn addresses(&self) -> Arc<[Address]> {
        // A poisoned lock holds whole addresses: they are replaced in one step.
        Arc::clone(&self.addresses.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// No address could be connected to: the name is asked for again.
    pub(crate) fn tell_failed(&self) {
        if self.name.is_some() && !self.is_stale.swap(true, Ordering::AcqRel) {
            self.resolver.wake();
        }
    }

    /// Whether the name is to be asked for.
    pub fn is_stale(&self) -> bool {
        self.is_stale.load(Ordering::Acquire)
    }

    /// Takes what was found for the name in place of what was known; nothing found changes
    /// nothing, so that a name server that is away does not take a good address with it.
    pub(crate) fn take_found(&self, found: &[SocketAddr]) {
        self.is_stale.store(false, Ordering::Release);
        if found.is_empty() {
            return;
        }
        let addresses: Vec<Address> =
            found.iter().take(LINK_ADDRESSES_MAX).copied().map(Address::Tcp).collect();
        *self.addresses.write().unwrap_or_else(PoisonError::into_inner) = addresses.into();
    }

    /// The name to ask for, with its port.
    pub fn name(&self) -> Option<(&str, u16)> {
        self.name.as_ref().map(|(host, port)| (host.as_str(), *port))
    }

    /// Makes a socket for a address, with every option set, and the address as the kernel takes it.
    ///
    /// # Errors
    /// Where no descriptor can be had, or a path is too long for an address.
    pub fn open(&self, address: &Address) -> io::Result<(OwnedFd, SocketAddrAny)> {
        let make = |family| socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None);
        match address {
            Address::Unix(path) => {
                let address = SocketAddrUnix::new(path.as_path())?;
                Ok((make(AddressFamily::UNIX)?, address.into()))
            }
            Address::Tcp(address) => {
                let is_v4 = address.is_ipv4();
                let socket = make(if is_v4 { AddressFamily::INET } else { AddressFamily::INET6 })?;
                let timeout_ms = u32::try_from(self.user_timeout.as_millis()).unwrap_or(u32::MAX);
                sockopt::set_tcp_nodelay(&socket, true)?;
                sockopt::set_tcp_user_timeout(&socket, timeout_ms)?;
                sockopt::set_socket_keepalive(&socket, true)?;
                sockopt::set_tcp_keepidle(&socket, KEEPALIVE)?;
                sockopt::set_tcp_keepintvl(&socket, KEEPALIVE)?;
                sockopt::set_tcp_keepcnt(&socket, KEEPALIVE_PROBES)?;
                Ok((socket, (*address).into()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waker() -> Arc<Waker> {
        Arc::new(Waker::new().unwrap())
    }

    fn endpoint(host: &str) -> Endpoint {
        Endpoint::tcp(host, 6379, Duration::from_millis(40), waker())
    }

    #[test]
    fn addresses_are_known_and_names_are_asked_for() {
        for host in ["127.0.0.1", "::1", "[::1]"] {
            let endpoint = endpoint(host);
            assert_eq!((endpoint.addresses().len(), endpoint.is_stale()), (1, false), "{host}");
            endpoint.tell_failed();
            assert!(!endpoint.is_stale(), "nobody can look {host} up");
        }
        let endpoint = endpoint("redis.example");
        assert_eq!((endpoint.addresses().len(), endpoint.is_stale()), (0, true));
        assert_eq!(endpoint.name(), Some(("redis.example", 6379)));
    }

    #[test]
    fn what_was_found_stays_until_something_else_is() {
        let endpoint = endpoint("redis.example");
        let found: Vec<SocketAddr> =
            (1..20).map(|host| SocketAddr::from(([10, 0, 0, host], 6379))).collect();
        endpoint.take_found(&found);
        assert_eq!(endpoint.addresses().len(), LINK_ADDRESSES_MAX);
        assert_eq!(endpoint.addresses()[0], Address::Tcp(found[0]));
        endpoint.tell_failed();
        assert!(endpoint.is_stale());
        endpoint.take_found(&[]);
        assert_eq!((endpoint.addresses().len(), endpoint.is_stale()), (LINK_ADDRESSES_MAX, false));
    }

    #[test]
    fn sockets_have_their_options() {
        let endpoint = endpoint("127.0.0.1");
        let (socket, address) = endpoint.open(&endpoint.addresses()[0]).unwrap();
        assert_eq!(sockopt::tcp_user_timeout(&socket).unwrap(), 40);
        assert!(sockopt::tcp_nodelay(&socket).unwrap());
        assert!(sockopt::socket_keepalive(&socket).unwrap());
        assert_eq!(SocketAddr::try_from(address).unwrap(), "127.0.0.1:6379".parse().unwrap());
        let long = PathBuf::from(format!("/{}", "x".repeat(200)));
        let endpoint = Endpoint::unix(&long, Duration::ZERO, waker());
        assert!(endpoint.open(&endpoint.addresses()[0]).is_err());
    }
}

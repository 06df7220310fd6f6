//! Listening sockets: one a shard and address, sharing the port, with every option set before the
//! first connection so that connections inherit it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, getsockname, listen, socket_with, sockopt,
};

use crate::shard::unsent;

/// Connections that may wait to be accepted, a shard.
pub(crate) const BACKLOG: i32 = 4_096;

/// Why an address can't be listened on.
#[derive(Debug, thiserror::Error)]
#[error("can't listen on {address}: {source}{hint}")]
pub struct ListenError {
    /// The address asked for.
    pub address: SocketAddr,
    /// What helps, with its separator; may be empty.
    pub hint: &'static str,
    /// What the kernel said.
    pub source: io::Error,
}

/// Binds `shards` sockets to one address. Port 0 picks a free one, the same for all. Returns the
/// sockets in shard order and the address they got.
///
/// # Errors
/// Where somebody else listens there: a plain socket is tried first, since one that shares its
/// port would silently split the traffic with a stranger.
pub fn bind_all(
    address: SocketAddr,
    shards: u16,
) -> Result<(Vec<OwnedFd>, SocketAddr), ListenError> {
    let fail = failure_of(address);
    if address.port() != 0 {
        drop(open(address, false).map_err(fail)?);
    }
    let first = open(address, true).map_err(fail)?;
    let bound = address_of(&first).map_err(|source| ListenError { address, hint: "", source })?;
    let mut sockets = vec![first];
    for _ in 1..shards {
        sockets.push(open(bound, true).map_err(fail)?);
    }
    for socket in &sockets {
        begin(socket).map_err(fail)?;
    }
    Ok((sockets, bound))
}

/// Binds `count` more sockets to an address that this user's sockets share already.
///
/// # Errors
/// Where the others don't share it.
pub fn bind_more(address: SocketAddr, count: usize) -> Result<Vec<OwnedFd>, ListenError> {
    let fail = failure_of(address);
    let more = (0..count).map(|_| {
        let socket = open(address, true)?;
        begin(&socket)?;
        Ok(socket)
    });
    more.collect::<rustix::io::Result<_>>().map_err(fail)
}

/// Makes a socket that listens already, and comes from another process, as those that are made
/// here. Whoever had it may have left it so that calls do not wait, which ends a ring's accepts.
///
/// # Errors
/// Where it is none.
pub fn adopt(socket: &OwnedFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(socket)?;
    rustix::fs::fcntl_setfl(socket, flags - rustix::fs::OFlags::NONBLOCK)?;
    sockopt::set_tcp_nodelay(socket, true)?;
    Ok(begin(socket)?)
}

/// Where a socket listens.
///
/// # Errors
/// Where it is no socket of an internet address.
pub fn address_of(socket: &OwnedFd) -> io::Result<SocketAddr> {
    Ok(SocketAddr::try_from(getsockname(socket)?)?)
}

fn begin(socket: &OwnedFd) -> rustix::io::Result<()> {
    // Where it can't be had the kernel's own bounds hold.
    let _ = unsent::bound(socket);
    listen(socket, BACKLOG)
}

/// Has a listener that shares its port prefer connections whose packets come in on `cpu`.
///
/// # Errors
/// Where there is no such CPU, or the kernel does not know the option.
pub fn prefer_cpu(socket: &impl AsFd, cpu: usize) -> io::Result<()> {
    let cpu = u32::try_from(cpu).map_err(io::Error::other)?;
    Ok(sockopt::set_socket_incoming_cpu(socket, cpu)?)
}

/// Looks whether an address could be bound, and lets it go: no connection comes to a socket that
/// does not listen.
///
/// # Errors
/// As [`bind_all`].
pub fn probe(address: SocketAddr) -> Result<(), ListenError> {
    open(address, false).map(drop).map_err(failure_of(address))
}

fn failure_of(address: SocketAddr) -> impl Fn(rustix::io::Errno) -> ListenError + Copy {
    move |source| ListenError { address, hint: hint(source), source: source.into() }
}

fn open(address: SocketAddr, share_port: bool) -> rustix::io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if share_port {
        sockopt::set_socket_reuseport(&socket, true)?;
    }
    sockopt::set_tcp_nodelay(&socket, true)?;
    bind(&socket, &address)?;
    Ok(socket)
}

fn hint(error: rustix::io::Errno) -> &'static str {
    match error {
        rustix::io::Errno::ADDRINUSE => {
            "; another process is listening there (`ss -ltnp` names it): stop it, or choose \
             another --listen"
        }
        rustix::io::Errno::ACCESS => "; ports below 1024 need CAP_NET_BIND_SERVICE",
        rustix::io::Errno::ADDRNOTAVAIL => "; no interface of this host has that address",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_share_a_free_port_and_strangers_are_refused() {
        let any = "127.0.0.1:0".parse().unwrap();
        let (sockets, bound) = bind_all(any, 3).unwrap();
        assert_eq!(sockets.len(), 3);
        let error = bind_all(bound, 1).unwrap_err();
        assert!(error.to_string().contains("another process is listening there"), "{error}");
    }

    #[test]
    fn a_socket_of_another_process_is_made_fit_and_gets_siblings() {
        let (sockets, bound) = bind_all("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        rustix::fs::fcntl_setfl(&sockets[0], rustix::fs::OFlags::NONBLOCK).unwrap();
        adopt(&sockets[0]).unwrap();
        let flags = rustix::fs::fcntl_getfl(&sockets[0]).unwrap();
        assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
        assert_eq!(bind_more(bound, 2).unwrap().len(), 2);
        assert_eq!(address_of(&sockets[0]).unwrap(), bound);
    }

    #[test]
    fn a_listener_prefers_its_cpu() {
        let (sockets, _) = bind_all("127.0.0.1:0".parse().unwrap(), 2).unwrap();
        for (cpu, socket) in sockets.iter().enumerate() {
            prefer_cpu(socket, cpu).unwrap();
            assert_eq!(sockopt::socket_incoming_cpu(socket).unwrap() as usize, cpu);
        }
    }
}

//! Connecting to Redis over either kind of socket. Must not know what is said over it.

use std::io::{self, ErrorKind};
use std::net::ToSocketAddrs as _;
use std::time::Duration;

use crate::stream::BlockingStream;
use crate::uninterrupted::uninterrupted;
use nudged_redis::address::LinkAddress;
use nudged_redis::request::RedisError;

/// Connects; each address of a name, and each write later, may take `timeout`.
pub(super) fn open(address: &LinkAddress, timeout: Duration) -> io::Result<BlockingStream> {
    match address {
        LinkAddress::Unix(path) => BlockingStream::connect_unix(path, timeout),
        LinkAddress::Tcp { host, port } => {
            let mut last = io::Error::new(ErrorKind::NotFound, "the host has no address");
            let found = uninterrupted(|| (host.as_str(), *port).to_socket_addrs())?;
            for address in found {
                match BlockingStream::connect_tcp(&address, timeout) {
                    Ok(stream) => return Ok(stream),
                    Err(error) => last = error,
                }
            }
            Err(last)
        }
    }
}

/// What failed, while `doing` this.
pub(super) fn failed(error: io::Error, doing: &'static str) -> RedisError {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => RedisError::Timeout,
        kind => RedisError::Connection(io::Error::new(kind, format!("{doing}: {error}"))),
    }
}

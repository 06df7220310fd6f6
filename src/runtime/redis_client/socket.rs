//! A socket to Redis with timeouts, of either kind. Must not know what is said over it.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::super::uninterrupted::uninterrupted;
use crate::redis::address::LinkAddress;
use crate::redis::ask::AskError;

/// A socket that blocks for a bounded time.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    pub(super) fn read(&mut self, into: &mut [u8], timeout: Duration) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => {
                stream.set_read_timeout(Some(timeout))?;
                stream.read(into)
            }
            Stream::Unix(stream) => {
                stream.set_read_timeout(Some(timeout))?;
                stream.read(into)
            }
        }
    }

    pub(super) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.write_all(bytes),
            Stream::Unix(stream) => stream.write_all(bytes),
        }
    }
}

/// Connects; each address of a name, and each write later, may take `timeout`.
pub(super) fn open(address: &LinkAddress, timeout: Duration) -> io::Result<Stream> {
    match address {
        LinkAddress::Unix(path) => {
            let stream = uninterrupted(|| UnixStream::connect(path))?;
            stream.set_write_timeout(Some(timeout))?;
            Ok(Stream::Unix(stream))
        }
        LinkAddress::Tcp { host, port } => {
            let mut last = io::Error::new(ErrorKind::NotFound, "the host has no address");
            let found = uninterrupted(|| (host.as_str(), *port).to_socket_addrs())?;
            for address in found {
                match TcpStream::connect_timeout(&address, timeout) {
                    Ok(stream) => {
                        stream.set_nodelay(true)?;
                        stream.set_write_timeout(Some(timeout))?;
                        return Ok(Stream::Tcp(stream));
                    }
                    Err(error) => last = error,
                }
            }
            Err(last)
        }
    }
}

/// What failed, while `doing` this.
pub(super) fn failed(error: io::Error, doing: &'static str) -> AskError {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => AskError::Timeout,
        kind => AskError::Connection(io::Error::new(kind, format!("{doing}: {error}"))),
    }
}

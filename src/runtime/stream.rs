//! A connection over TCP or a unix socket whose reads and writes wait for a bounded time. Must not
//! know what is said over it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::net::sockopt;

use crate::uninterrupted::uninterrupted;

/// One connection.
#[derive(Debug)]
pub enum BlockingStream {
    /// TCP.
    Tcp(TcpStream),
    /// A unix socket.
    Unix(UnixStream),
}

/// The same call on the socket of either kind.
macro_rules! either {
    ($stream:expr, $socket:ident => $call:expr) => {
        match $stream {
            BlockingStream::Tcp($socket) => $call,
            BlockingStream::Unix($socket) => $call,
        }
    };
}

impl BlockingStream {
    /// Connects; that, each read and each write may take `timeout`, which is not zero.
    ///
    /// # Errors
    /// Those of the system.
    pub fn connect_tcp(address: &SocketAddr, timeout: Duration) -> io::Result<BlockingStream> {
        let stream = TcpStream::connect_timeout(address, timeout)?;
        stream.set_nodelay(true)?;
        BlockingStream::Tcp(stream).with_timeout(timeout)
    }

    /// As [`BlockingStream::connect_tcp`], to the first address of a name that answers, for each of
    /// which connecting may take `timeout`. Looking the name up may block for longer.
    ///
    /// # Errors
    /// Those of the system, the last address's; `NotFound` where there is none.
    pub fn connect_host(host: &str, port: u16, timeout: Duration) -> io::Result<BlockingStream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "this name has no address");
        for address in uninterrupted(|| (host, port).to_socket_addrs())? {
            match BlockingStream::connect_tcp(&address, timeout) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// As [`BlockingStream::connect_tcp`]; connecting waits for nobody.
    ///
    /// # Errors
    /// Those of the system.
    pub fn connect_unix(path: &Path, timeout: Duration) -> io::Result<BlockingStream> {
        uninterrupted(|| UnixStream::connect(path)).map(BlockingStream::Unix)?.with_timeout(timeout)
    }

    fn with_timeout(self, timeout: Duration) -> io::Result<BlockingStream> {
        self.set_read_timeout(timeout)?;
        self.set_write_timeout(timeout)?;
        Ok(self)
    }

    /// A second handle of the same connection.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn try_clone(&self) -> io::Result<BlockingStream> {
        match self {
            BlockingStream::Tcp(stream) => stream.try_clone().map(BlockingStream::Tcp),
            BlockingStream::Unix(stream) => stream.try_clone().map(BlockingStream::Unix),
        }
    }

    /// How long the next reads may wait; not zero.
    ///
    /// # Errors
    /// Those of the system.
    pub fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        either!(self, stream => stream.set_read_timeout(Some(timeout)))
    }

    /// How long the next writes may wait; not zero.
    ///
    /// # Errors
    /// Those of the system.
    pub fn set_write_timeout(&self, timeout: Duration) -> io::Result<()> {
        either!(self, stream => stream.set_write_timeout(Some(timeout)))
    }

    /// How much of what was written the kernel keeps for a peer that does not read, in bytes; it
    /// may take twice as much.
    ///
    /// # Errors
    /// Those of the system.
    pub fn set_send_buffer(&self, bytes: usize) -> io::Result<()> {
        either!(self, stream => Ok(sockopt::set_socket_send_buffer_size(stream, bytes)?))
    }

    /// Ends one direction or both, for every handle.
    ///
    /// # Errors
    /// It has ended.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        either!(self, stream => stream.shutdown(how))
    }
}

impl Read for BlockingStream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        either!(self, stream => stream.read(bytes))
    }
}

impl Write for BlockingStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        either!(self, stream => stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

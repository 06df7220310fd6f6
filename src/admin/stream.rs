//! An operator's connection, plain or with TLS.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use nudged_runtime::stream::BlockingStream;
use nudged_tls::{TlsIdentity, TlsStream};

/// One connection.
#[derive(Debug)]
pub(super) enum AdminStream {
    /// As it comes.
    Plain(BlockingStream),
    /// With TLS.
    Tls(Box<TlsStream<BlockingStream>>),
}

impl AdminStream {
    /// A connection that has been accepted; with TLS where there is an identity.
    pub(super) fn new(
        stream: BlockingStream,
        identity: Option<&TlsIdentity>,
    ) -> io::Result<AdminStream> {
        match identity {
            None => Ok(AdminStream::Plain(stream)),
            Some(identity) => {
                TlsStream::accept(stream, identity).map(Box::new).map(AdminStream::Tls)
            }
        }
    }

    fn socket(&self) -> &BlockingStream {
        match self {
            AdminStream::Plain(socket) => socket,
            AdminStream::Tls(stream) => stream.socket(),
        }
    }

    /// How long the next reads of the socket may wait; not zero.
    pub(super) fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.socket().set_read_timeout(timeout)
    }

    /// How long the next writes of the socket may wait; not zero.
    pub(super) fn set_write_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.socket().set_write_timeout(timeout)
    }

    /// How much the kernel keeps for a peer that does not read, in bytes.
    pub(super) fn set_send_buffer(&self, bytes: usize) -> io::Result<()> {
        self.socket().set_send_buffer(bytes)
    }

    /// Says that nothing more will be sent.
    pub(super) fn end_sending(&mut self) -> io::Result<()> {
        if let AdminStream::Tls(stream) = self {
            stream.end()?;
        }
        self.socket().shutdown(Shutdown::Write)
    }

    /// Says that this is the end, as far as the peer listens.
    pub(super) fn end(&mut self) {
        if let AdminStream::Tls(stream) = self {
            // The end of the connection says it, too.
            let _ = stream.end();
        }
    }
}

impl Read for AdminStream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            AdminStream::Plain(socket) => socket.read(bytes),
            AdminStream::Tls(stream) => stream.read(bytes),
        }
    }
}

impl Write for AdminStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            AdminStream::Plain(socket) => socket.write(bytes),
            AdminStream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

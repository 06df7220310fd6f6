//! A connection whose reads and writes may block, for those who have a thread for each: the same
//! machine over a socket.

use std::io::{self, ErrorKind, Read, Write};

use nudged_base::limits::TLS_SEND_BYTES_MAX;

use crate::connection::{TlsConnection, TlsFailure};
use crate::identity::TlsIdentity;

/// Bytes of one read of the socket.
const READ_BYTES: usize = 16 * 1_024;

/// A connection of TLS over a socket.
#[derive(Debug)]
pub struct TlsStream<S> {
    socket: S,
    tls: TlsConnection,
    /// Plaintext that was not read yet, from `at` on.
    plain: Vec<u8>,
    at: usize,
    scratch: Vec<u8>,
    out: Vec<u8>,
    received: Box<[u8]>,
}

impl<S: Read + Write> TlsStream<S> {
    /// A client has connected.
    ///
    /// # Errors
    /// As [`TlsConnection::new`].
    pub fn accept(socket: S, identity: &TlsIdentity) -> io::Result<TlsStream<S>> {
        let tls = TlsConnection::new(identity).map_err(failed)?;
        Ok(TlsStream {
            socket,
            tls,
            plain: Vec::new(),
            at: 0,
            scratch: Vec::new(),
            out: Vec::new(),
            received: vec![0; READ_BYTES].into_boxed_slice(),
        })
    }

    /// The socket.
    pub fn socket(&self) -> &S {
        &self.socket
    }

    /// Says that nothing more will be said.
    ///
    /// # Errors
    /// The peer takes nothing.
    pub fn end(&mut self) -> io::Result<()> {
        if self.tls.is_established() {
            self.tls.end(&mut self.out).map_err(failed)?;
        }
        self.send()
    }

    fn send(&mut self) -> io::Result<()> {
        let sent = self.socket.write_all(&self.out);
        self.out.clear();
        sent
    }
}

impl<S: Read + Write> Read for TlsStream<S> {
    /// `Interrupted` where the socket had something and none of it is for the caller: who has a
    /// deadline looks at it.
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.at == self.plain.len() {
            (self.at, _) = (0, self.plain.clear());
            if self.tls.has_peer_ended() {
                return Ok(0);
            }
            let count = self.socket.read(&mut self.received)?;
            if count == 0 {
                return Ok(0);
            }
            let TlsStream { tls, plain, scratch, out, received, .. } = self;
            let took = tls.receive(&received[..count], scratch, out, &mut |bytes| {
                plain.extend_from_slice(bytes);
            });
            // What says why goes out first.
            self.send()?;
            took.map_err(failed)?;
            if self.plain.is_empty() {
                return match self.tls.has_peer_ended() {
                    true => Ok(0),
                    false => Err(ErrorKind::Interrupted.into()),
                };
            }
        }
        let rest = &self.plain[self.at..];
        let count = rest.len().min(bytes.len());
        bytes[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        Ok(count)
    }
}

impl<S: Read + Write> Write for TlsStream<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(TLS_SEND_BYTES_MAX);
        self.tls.send(&bytes[..count], &mut self.out).map_err(failed)?;
        self.send()?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

fn failed(failure: TlsFailure) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, failure.code())
}

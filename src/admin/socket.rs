//! Sockets of the admin listener: TCP, or a unix socket that only its owner can open. Knows
//! addresses and streams; must not know HTTP.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::sockopt;

use crate::config::AdminAddress;
use crate::runtime::unsent;

/// Why an address can't be listened on.
#[derive(Debug, thiserror::Error)]
#[error("can't listen on {address}: {source}{hint}")]
pub struct BindError {
    /// The address asked for.
    pub address: String,
    /// What helps, with its separator; may be empty.
    pub hint: &'static str,
    /// The system's reason.
    pub source: io::Error,
}

/// An address as people write it.
pub(super) fn text_of(address: &AdminAddress) -> String {
    match address {
        AdminAddress::Tcp(address) => address.to_string(),
        AdminAddress::Unix(path) => format!("unix:{}", path.display()),
    }
}

/// A listening socket that never blocks.
#[derive(Debug)]
pub(super) struct Listener {
    kind: ListenerKind,
    address: String,
}

#[derive(Debug)]
enum ListenerKind {
    Tcp(TcpListener),
    /// With its path, which goes when the listener does.
    Unix(UnixListener, PathBuf),
}

impl Listener {
    /// Listens. A unix socket has mode 0600 from its first moment; one that a dead process left
    /// behind is replaced.
    pub(super) fn bind(address: &AdminAddress) -> Result<Listener, BindError> {
        let bound = match address {
            AdminAddress::Tcp(address) => TcpListener::bind(address).and_then(|listener| {
                listener.set_nonblocking(true)?;
                unsent::bound(&listener)?;
                let address = listener.local_addr()?.to_string();
                Ok(Listener { kind: ListenerKind::Tcp(listener), address })
            }),
            AdminAddress::Unix(path) => bind_unix(path).map(|listener| Listener {
                kind: ListenerKind::Unix(listener, path.clone()),
                address: text_of(address),
            }),
        };
        bound.map_err(|source| BindError {
            address: text_of(address),
            hint: hint(source.kind()),
            source,
        })
    }

    /// Where it listens; a free port is known by now.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// The next connection that waits, and who it is, for the audit.
    pub(super) fn accept(&self) -> io::Result<(Stream, String)> {
        match &self.kind {
            ListenerKind::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                stream.set_nodelay(true)?;
                Ok((Stream::Tcp(stream), peer.ip().to_string()))
            }
            ListenerKind::Unix(listener, _) => {
                let (stream, _) = listener.accept()?;
                let peer = sockopt::socket_peercred(&stream)?;
                Ok((Stream::Unix(stream), format!("uid {}", peer.uid.as_raw())))
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.kind {
            ListenerKind::Tcp(listener) => listener.as_fd(),
            ListenerKind::Unix(listener, _) => listener.as_fd(),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let ListenerKind::Unix(_, path) = &self.kind {
            // Whoever removed it before has done the same.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Binds beside the path and renames: nobody can connect before the mode is set.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    if let Ok(metadata) = std::fs::symlink_metadata(path) {
        let is_dead = metadata.file_type().is_socket()
            && UnixStream::connect(path)
                .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
        if !is_dead {
            return Err(io::ErrorKind::AddrInUse.into());
        }
    }
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    if std::fs::symlink_metadata(&fresh).is_ok_and(|found| found.file_type().is_socket()) {
        std::fs::remove_file(&fresh)?;
    }
    let listener = UnixListener::bind(&fresh)?;
    listener.set_nonblocking(true)?;
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&fresh, path)?;
    Ok(listener)
}

fn hint(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::AddrInUse => {
            "; another process is listening there: stop it, or choose another --admin"
        }
        io::ErrorKind::PermissionDenied => "; this user may not listen there",
        io::ErrorKind::AddrNotAvailable => "; no interface of this host has that address",
        io::ErrorKind::NotFound => "; its directory does not exist",
        _ => "",
    }
}

/// One connection; reads and writes wait for as long as they are told.
#[derive(Debug)]
pub(super) enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// A unix socket.
    Unix(UnixStream),
}

impl Stream {
    /// A second handle of the same connection.
    pub(super) fn try_clone(&self) -> io::Result<Stream> {
        match self {
            Stream::Tcp(stream) => stream.try_clone().map(Stream::Tcp),
            Stream::Unix(stream) => stream.try_clone().map(Stream::Unix),
        }
    }

    /// How long the next reads may wait; not zero.
    pub(super) fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.set_read_timeout(Some(timeout)),
            Stream::Unix(stream) => stream.set_read_timeout(Some(timeout)),
        }
    }

    /// How long the next writes may wait; not zero.
    pub(super) fn set_write_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.set_write_timeout(Some(timeout)),
            Stream::Unix(stream) => stream.set_write_timeout(Some(timeout)),
        }
    }

    /// Ends one direction or both, for every handle.
    pub(super) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.shutdown(how),
            Stream::Unix(stream) => stream.shutdown(how),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(bytes),
            Stream::Unix(stream) => stream.read(bytes),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

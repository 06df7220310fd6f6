//! Sockets of the admin listener: TCP, or a unix socket that only its owner can open. Knows
//! addresses and streams; must not know HTTP.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::net::sockopt;

use nudged_config::AdminAddress;
use nudged_runtime::shard::{listener, unsent};
use nudged_runtime::stream::BlockingStream;

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

/// A listening socket that was not bound here.
#[derive(Debug)]
pub struct GivenListener {
    /// It listens.
    pub socket: OwnedFd,
    /// Another process keeps it, and its path, when this one ends.
    pub is_kept: bool,
}

/// An address as people write it.
pub fn text_of(address: &AdminAddress) -> String {
    match address {
        AdminAddress::Tcp(address) | AdminAddress::Tls(address) => address.to_string(),
        AdminAddress::Unix(path) => format!("unix:{}", path.display()),
    }
}

/// A listening socket that never blocks.
#[derive(Debug)]
pub(super) struct AdminListener {
    kind: ListenerKind,
    address: String,
    is_tls: bool,
}

#[derive(Debug)]
enum ListenerKind {
    Tcp(TcpListener),
    /// With its path, which goes when the listener does; `None` where others keep it.
    Unix(UnixListener, Option<PathBuf>),
}

impl AdminListener {
    /// Listens. A unix socket has mode 0600 from its first moment; one that a dead process left
    /// behind is replaced.
    pub(super) fn bind(address: &AdminAddress) -> Result<AdminListener, BindError> {
        let is_tls = matches!(address, AdminAddress::Tls(_));
        let bound = match address {
            AdminAddress::Tcp(address) | AdminAddress::Tls(address) => {
                TcpListener::bind(address).and_then(|bound| AdminListener::of_tcp(bound, is_tls))
            }
            AdminAddress::Unix(path) => bind_unix(path).map(|listener| AdminListener {
                kind: ListenerKind::Unix(listener, Some(path.clone())),
                address: text_of(address),
                is_tls,
            }),
        };
        bound.map_err(|source| refused(address, source))
    }

    /// A socket that another process bound to this address. Where that still has its path, it is
    /// not this listener's to remove.
    pub(super) fn adopt(
        address: &AdminAddress,
        given: GivenListener,
    ) -> Result<AdminListener, BindError> {
        let GivenListener { socket, is_kept } = given;
        let adopted = match address {
            AdminAddress::Tcp(_) | AdminAddress::Tls(_) => {
                let is_tls = matches!(address, AdminAddress::Tls(_));
                AdminListener::of_tcp(TcpListener::from(socket), is_tls)
            }
            AdminAddress::Unix(path) => {
                let listener = UnixListener::from(socket);
                let path = (!is_kept).then(|| path.clone());
                listener.set_nonblocking(true).map(|()| AdminListener {
                    kind: ListenerKind::Unix(listener, path),
                    address: text_of(address),
                    is_tls: false,
                })
            }
        };
        adopted.map_err(|source| refused(address, source))
    }

    fn of_tcp(listener: TcpListener, is_tls: bool) -> io::Result<AdminListener> {
        listener.set_nonblocking(true)?;
        unsent::bound(&listener)?;
        let word = if is_tls { " tls" } else { "" };
        let address = format!("{}{word}", listener.local_addr()?);
        Ok(AdminListener { kind: ListenerKind::Tcp(listener), address, is_tls })
    }

    /// The socket once more.
    pub(super) fn try_clone(&self) -> io::Result<OwnedFd> {
        self.as_fd().try_clone_to_owned()
    }

    /// From now on the path is somebody else's.
    pub(super) fn leave_path(&mut self) {
        if let ListenerKind::Unix(_, path) = &mut self.kind {
            *path = None;
        }
    }

    /// Looks whether an address could be listened on, and leaves everything as it is.
    pub(super) fn probe(address: &AdminAddress) -> Result<(), BindError> {
        let probed = match address {
            AdminAddress::Tcp(address) | AdminAddress::Tls(address) => {
                listener::probe(*address).map_err(|error| error.source)
            }
            AdminAddress::Unix(path) => check_free(path).and_then(|()| {
                // Its directory: whatever the path ends in is made there.
                let parent = path.parent().unwrap_or(Path::new("/"));
                Ok(access(parent, Access::WRITE_OK | Access::EXEC_OK)?)
            }),
        };
        probed.map_err(|source| refused(address, source))
    }

    /// Where it listens; a free port is known by now.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Whether TLS is spoken there.
    pub(super) fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// The next connection that waits, and who it is, for the audit.
    pub(super) fn accept(&self) -> io::Result<(BlockingStream, String)> {
        match &self.kind {
            ListenerKind::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                stream.set_nodelay(true)?;
                Ok((BlockingStream::Tcp(stream), peer.ip().to_string()))
            }
            ListenerKind::Unix(listener, _) => {
                let (stream, _) = listener.accept()?;
                let peer = sockopt::socket_peercred(&stream)?;
                Ok((BlockingStream::Unix(stream), format!("uid {}", peer.uid.as_raw())))
            }
        }
    }
}

impl AsFd for AdminListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.kind {
            ListenerKind::Tcp(listener) => listener.as_fd(),
            ListenerKind::Unix(listener, _) => listener.as_fd(),
        }
    }
}

impl Drop for AdminListener {
    fn drop(&mut self) {
        if let ListenerKind::Unix(_, Some(path)) = &self.kind {
            // Whoever removed it before has done the same.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn refused(address: &AdminAddress, source: io::Error) -> BindError {
    BindError { address: text_of(address), hint: hint(source.kind()), source }
}

/// Nothing is at the path but what a dead process left behind, and a socket can have it.
fn check_free(path: &Path) -> io::Result<()> {
    SocketAddr::from_pathname(fresh_name(path))?;
    let Ok(found) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

/// Binds beside the path and renames: nobody can connect before the mode is set.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    check_free(path)?;
    let fresh = fresh_name(path);
    if std::fs::symlink_metadata(&fresh).is_ok_and(|found| found.file_type().is_socket()) {
        std::fs::remove_file(&fresh)?;
    }
    let listener = UnixListener::bind(&fresh)?;
    listener.set_nonblocking(true)?;
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&fresh, path)?;
    Ok(listener)
}

/// The name under which a socket is bound before it gets its own.
fn fresh_name(path: &Path) -> PathBuf {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    PathBuf::from(fresh)
}

fn hint(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::AddrInUse => {
            "; another process is listening there: stop it, or choose another --admin"
        }
        io::ErrorKind::AlreadyExists => {
            "; it exists and is not a socket: remove it, or choose another --admin"
        }
        io::ErrorKind::PermissionDenied => "; this user may not listen there",
        io::ErrorKind::AddrNotAvailable => "; no interface of this host has that address",
        io::ErrorKind::NotFound => "; its directory does not exist",
        io::ErrorKind::InvalidInput => "; choose a shorter path",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_at_the_path_of_a_socket_is_named_for_what_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("plain"), "").unwrap();
        let live = UnixListener::bind(path("live")).unwrap();
        drop(UnixListener::bind(path("dead")).unwrap());
        let table = [
            ("plain", Some("it exists and is not a socket: remove it")),
            ("live", Some("another process is listening there")),
            ("none/at", Some("its directory does not exist")),
            ("dead", None),
            ("free", None),
        ];
        for (name, wanted) in table {
            let address = AdminAddress::Unix(path(name));
            let probed = AdminListener::probe(&address).map_err(|error| error.to_string());
            let bound = AdminListener::bind(&address).map_err(|error| error.to_string());
            for said in [probed, bound.map(drop)] {
                match (wanted, said) {
                    (Some(wanted), Err(said)) => assert!(said.contains(wanted), "{name}: {said}"),
                    (None, Ok(())) => {}
                    (_, said) => panic!("{name}: {said:?}"),
                }
            }
        }
        drop(live);
    }

    #[test]
    fn a_probe_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let address = AdminAddress::Unix(directory.path().join("admin"));
        AdminListener::probe(&address).unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        let listening = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = AdminAddress::Tcp(listening.local_addr().unwrap());
        let said = AdminListener::probe(&address).unwrap_err().to_string();
        assert!(said.contains("another process is listening there"), "{said}");
    }
}

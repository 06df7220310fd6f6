//! What a service manager is told of this process, and what it asks for: sd_notify(3) and
//! sd_watchdog_enabled(3), a datagram each to the socket of `NOTIFY_SOCKET`.
//!
//! It is our own, since it is one call of the standard library, abstract addresses included; a
//! crate for it would also want to change the environment.

use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use crate::clocks;

/// A manager that does not read holds nobody up longer.
const SEND_TIMEOUT: Duration = Duration::from_millis(100);

/// The way to a service manager; where there is none, every word is lost.
#[derive(Clone, Debug, Default)]
pub struct ServiceManager {
    to: Option<Arc<(UnixDatagram, SocketAddr)>>,
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// The one that the environment names. It stays there: a process that takes over needs it.
    pub fn of_environment() -> ServiceManager {
        let watchdog = std::env::var("WATCHDOG_USEC").ok().and_then(|text| text.parse().ok());
        let watchdog = watchdog.filter(|period_us| *period_us > 0).map(Duration::from_micros);
        std::env::var_os("NOTIFY_SOCKET").map_or_else(ServiceManager::default, |path| {
            ServiceManager { to: connect(&path).ok().map(Arc::new), watchdog }
        })
    }

    /// Tells it something: assignments, a line each.
    pub fn tell(&self, state: &str) {
        if let Some((socket, address)) = self.to.as_deref() {
            // One that has gone, or does not read, is no reason to serve worse.
            let _ = socket.send_to_addr(state.as_bytes(), address);
        }
    }

    /// Tells it that a reload begins; `READY=1` ends it.
    pub fn tell_reloading(&self) {
        let now_us = clocks::monotonic_us();
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={now_us}\nSTATUS=reloading"));
    }

    /// It wants to hear `WATCHDOG=1` within each of these; `None` where it does not.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog.filter(|_| self.to.is_some())
    }
}

fn connect(path: &OsString) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match path.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(path)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(SEND_TIMEOUT))?;
    Ok((socket, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager(path: &str) -> ServiceManager {
        let to = connect(&OsString::from(path)).ok().map(Arc::new);
        ServiceManager { to, watchdog: None }
    }

    #[test]
    fn a_path_and_an_abstract_name_are_told_and_nobody_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("nudged-test-{}", std::process::id());
        let abstract_address = SocketAddr::from_abstract_name(&name).unwrap();
        let sockets = [
            (UnixDatagram::bind(&path).unwrap(), path.to_str().unwrap().to_owned()),
            (UnixDatagram::bind_addr(&abstract_address).unwrap(), format!("@{name}")),
        ];
        for (socket, address) in sockets {
            manager(&address).tell("READY=1\nSTATUS=x");
            let mut bytes = [0; 64];
            let count = socket.recv(&mut bytes).unwrap();
            assert_eq!(&bytes[..count], b"READY=1\nSTATUS=x");
        }
        manager("/nowhere/notify").tell("READY=1");
        ServiceManager::default().tell("READY=1");
    }
}

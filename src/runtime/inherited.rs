//! What whoever started this process gives it beside arguments: listening sockets of a service
//! manager (`LISTEN_FDS`, as sd_listen_fds(3) reads it), and the way to the process before it. Both
//! are taken out of the environment, so that no child finds them.

#![allow(unsafe_code)] // The environment is changed, and numbers become descriptors.

use std::ffi::OsString;
use std::os::fd::{BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use rustix::net::AddressFamily;
use rustix::net::SocketType;
use rustix::net::sockopt::{socket_acceptconn, socket_domain, socket_type};

use crate::messages::MessageSocket;

/// Names the descriptor by which the process before talks to this one.
pub const HAND_OVER_VARIABLE: &str = "NUDGED_HAND_OVER";
/// The first descriptor that a service manager passes.
const FIRST: RawFd = 3;
/// More sockets than this are a mistake.
const SOCKETS_MAX: usize = 1_024;
/// What is taken out of the environment.
const VARIABLES: [&str; 5] =
    ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID", HAND_OVER_VARIABLE];

/// Why what this process was given can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InheritedError(String);

/// A socket of a service manager, with the name that its unit gives it.
#[derive(Debug)]
pub struct NamedSocket {
    /// `FileDescriptorName=`.
    pub name: String,
    /// Its number at start, for messages.
    pub number: RawFd,
    /// It listens, by TCP or a unix socket's stream.
    pub socket: OwnedFd,
}

/// What this process was given.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Sockets of a service manager, in its order.
    pub sockets: Vec<NamedSocket>,
    /// The process that this one is to take over from.
    pub predecessor: Option<MessageSocket>,
}

/// What the environment says.
#[derive(Debug, Default, PartialEq)]
struct Announced {
    names: Vec<String>,
    hand_over: Option<RawFd>,
}

/// Takes what was given, once, before there is a second thread.
///
/// # Errors
/// Where it is not what its variables say, or no socket that listens.
pub fn take() -> Result<Inherited, InheritedError> {
    let values = VARIABLES.map(std::env::var_os);
    for name in VARIABLES {
        // SAFETY: nobody else reads or changes the environment: there is one thread.
        unsafe { std::env::remove_var(name) };
    }
    let announced = read(&values, std::process::id())?;
    let predecessor = announced.hand_over.map(|number| {
        let refused = |error| InheritedError(format!("{HAND_OVER_VARIABLE}={number}: {error}"));
        MessageSocket::inherited(number).map_err(refused)
    });
    let sockets = (FIRST..).zip(announced.names).map(|(number, name)| own(number, name));
    let sockets = sockets.collect::<Result<_, _>>()?;
    Ok(Inherited { sockets, predecessor: predecessor.transpose()? })
}

/// Reads the variables, in the order of [`VARIABLES`].
fn read(values: &[Option<OsString>; 5], process: u32) -> Result<Announced, InheritedError> {
    let [pid, count, names, _, hand_over] =
        values.each_ref().map(|value| value.as_ref().map(|value| value.to_string_lossy()));
    let mut announced = Announced::default();
    if let Some(hand_over) = hand_over {
        let number = hand_over.parse();
        let refused = |_| InheritedError(format!("{HAND_OVER_VARIABLE}: expected a number"));
        announced.hand_over = Some(number.map_err(refused)?);
    }
    // Meant for another process that passed its environment on.
    if pid.is_none_or(|pid| pid != process.to_string()) {
        return Ok(announced);
    }
    let Some(count) = count else { return Ok(announced) };
    let bounded = count.parse::<usize>().ok().filter(|count| *count <= SOCKETS_MAX);
    let Some(count) = bounded else {
        let expected = format!("expected a number of sockets up to {SOCKETS_MAX}");
        return Err(InheritedError(format!("LISTEN_FDS={count}: {expected}")));
    };
    announced.names = match names {
        // systemd names them always; other managers give what is to be served.
        None => vec!["data".to_owned(); count],
        Some(_) if count == 0 => Vec::new(),
        Some(names) => names.split(':').map(str::to_owned).collect(),
    };
    if announced.names.len() != count {
        return Err(InheritedError(format!(
            "LISTEN_FDS={count}, but LISTEN_FDNAMES has {} names",
            announced.names.len()
        )));
    }
    Ok(announced)
}

/// Takes a descriptor, if it is a socket that listens.
fn own(number: RawFd, name: String) -> Result<NamedSocket, InheritedError> {
    let refused = |why: &str| InheritedError(format!("LISTEN_FDS: descriptor {number} {why}"));
    // SAFETY: only looked at; the first call refuses a number that is not open.
    let looked = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl_getfd(looked).map_err(|_| refused("is not open"))?;
    let family = socket_domain(looked).map_err(|_| refused("is no socket"))?;
    let families = [AddressFamily::INET, AddressFamily::INET6, AddressFamily::UNIX];
    if !families.contains(&family) || socket_type(looked) != Ok(SocketType::STREAM) {
        let why =
            "is no stream socket: the unit needs ListenStream=, not ListenDatagram= or others";
        return Err(refused(why));
    }
    if socket_acceptconn(looked) != Ok(true) {
        return Err(refused("does not listen: the unit needs Accept=no"));
    }
    fcntl_setfd(looked, FdFlags::CLOEXEC).map_err(|error| refused(&error.to_string()))?;
    // SAFETY: it is open, and given to this process alone, which takes it once.
    Ok(NamedSocket { name, number, socket: unsafe { OwnedFd::from_raw_fd(number) } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_variables_say() {
        const OWN: &str = "7";
        type Case<'a> = ([Option<&'a str>; 4], Result<(&'a [&'a str], Option<RawFd>), &'a str>);
        let table: [Case<'_>; 11] = [
            ([None, None, None, None], Ok((&[], None))),
            ([Some(OWN), Some("2"), Some("data:admin"), None], Ok((&["data", "admin"], None))),
            ([Some(OWN), Some("2"), None, None], Ok((&["data", "data"], None))),
            // Meant for a process that passed it on.
            ([Some("8"), Some("2"), Some("data:admin"), None], Ok((&[], None))),
            ([None, Some("x"), None, None], Ok((&[], None))),
            ([Some(OWN), Some("0"), Some(""), None], Ok((&[], None))),
            ([Some(OWN), Some("x"), None, None], Err("LISTEN_FDS=x: expected a number")),
            ([Some(OWN), Some("-1"), None, None], Err("LISTEN_FDS=-1")),
            ([Some(OWN), Some("2"), Some("data"), None], Err("LISTEN_FDNAMES has 1 names")),
            ([None, None, None, Some("9")], Ok((&[], Some(9)))),
            ([None, None, None, Some("nine")], Err("NUDGED_HAND_OVER: expected a number")),
        ];
        for ([pid, count, names, hand_over], wanted) in table {
            let values = [pid, count, names, None, hand_over];
            let read = read(&values.map(|value| value.map(OsString::from)), 7);
            match (wanted, read) {
                (Ok((names, hand_over)), Ok(read)) => {
                    assert_eq!((read.names, read.hand_over), (to_texts(names), hand_over));
                }
                (Err(wanted), Err(InheritedError(said))) => {
                    assert!(said.contains(wanted), "{said}");
                }
                (wanted, read) => panic!("{wanted:?}: {read:?}"),
            }
        }
    }

    fn to_texts(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }
}

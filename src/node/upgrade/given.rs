//! Listening sockets that this process was given instead of binding its own: by a service manager,
//! or by the process before it. Where a service manager gives any for visitors, they stand for
//! `listen`; one for operators stands for `admin`.

use std::net::SocketAddr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::net::{SocketAddrAny, SocketAddrUnix, getsockname};

use super::SOCKET;
use crate::node::failure::Failure;
use nudged_config::{AdminAddress, Config, DataListener};
use nudged_runtime::inherited::NamedSocket;
use nudged_runtime::messages::{DESCRIPTORS_MAX, MessageSocket};
use nudged_runtime::shard::listener;

/// The name of sockets for visitors.
const DATA: &str = "data";
/// The name of the socket for operators.
const ADMIN: &str = "admin";
/// Whose a socket is, between processes.
const MANAGERS: &str = "manager";
const OWN: &str = "own";

/// Who asks on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::node) enum Askers {
    /// Visitors.
    Data,
    /// Operators.
    Admin,
}

/// A socket that listens.
#[derive(Debug)]
pub(in crate::node) struct ListeningSocket {
    pub(in crate::node) askers: Askers,
    /// A service manager keeps it open whatever becomes of this process.
    pub(in crate::node) is_managers: bool,
    /// Where it was asked to listen, as the configuration has it: perhaps port 0.
    pub(in crate::node) asked: String,
    pub(in crate::node) socket: OwnedFd,
}

/// Where a service manager listens for this node.
#[derive(Clone, Debug, Default)]
pub(in crate::node) struct ManagersAddresses {
    listen: Vec<SocketAddr>,
    admin: Option<AdminAddress>,
}

impl ManagersAddresses {
    /// Puts them where the configuration has others.
    pub(in crate::node) fn stand_for(&self, config: &mut Config) {
        if !self.listen.is_empty() {
            let listeners = self.listen.iter().map(|address| words_of(&config.listen, *address));
            config.listen = listeners.collect();
        }
        if let Some(admin) = &self.admin {
            config.admin = match (admin, &config.admin) {
                (AdminAddress::Tcp(address), AdminAddress::Tls(_)) => AdminAddress::Tls(*address),
                _ => admin.clone(),
            };
        }
    }
}

/// A service manager's listener with the words that the configuration has for its address, or else
/// for its port.
fn words_of(listeners: &[DataListener], address: SocketAddr) -> DataListener {
    let same = listeners.iter().find(|listener| listener.address == address);
    let same_port = || listeners.iter().find(|listener| listener.address.port() == address.port());
    match same.or_else(same_port) {
        Some(listener) => DataListener { address, ..*listener },
        None => DataListener::plain(address),
    }
}

/// All that were given.
#[derive(Debug, Default)]
pub(in crate::node) struct GivenSockets {
    sockets: Vec<ListeningSocket>,
    /// The process that they come from, where it was one like this.
    pub(in crate::node) from: Option<u32>,
}

impl GivenSockets {
    /// Those of a service manager.
    ///
    /// # Errors
    /// A name that is not ours, or a socket that does not fit it: exit code 2.
    pub(in crate::node) fn of_manager(sockets: Vec<NamedSocket>) -> Result<GivenSockets, Failure> {
        let sockets: Vec<ListeningSocket> =
            sockets.into_iter().map(of_manager).collect::<Result<_, _>>()?;
        let is_admin = |socket: &&ListeningSocket| socket.askers == Askers::Admin;
        let count = sockets.iter().filter(is_admin).count();
        if count > 1 {
            return Err(refused(format!(
                "{count} sockets are named `{ADMIN}`, but operators have one listener"
            )));
        }
        Ok(GivenSockets { sockets, from: None })
    }

    /// Those of one message of the process before this one; others are passed over.
    pub(super) fn take_message(&mut self, text: &str, descriptors: Vec<OwnedFd>) {
        let mut words = text.splitn(4, ' ');
        if words.next() != Some(SOCKET) {
            return;
        }
        let askers = match words.next() {
            Some(DATA) => Askers::Data,
            Some(ADMIN) => Askers::Admin,
            _ => return,
        };
        let is_managers = words.next() == Some(MANAGERS);
        let asked = words.next().unwrap_or_default().to_owned();
        let of_one = |socket| ListeningSocket { askers, is_managers, asked: asked.clone(), socket };
        self.sockets.extend(descriptors.into_iter().map(of_one));
    }

    /// The addresses of a service manager's sockets, which the configuration has otherwise.
    pub(in crate::node) fn addresses(&self) -> ManagersAddresses {
        let managers = |askers| {
            let fits =
                move |socket: &&ListeningSocket| socket.is_managers && socket.askers == askers;
            self.sockets.iter().filter(fits).map(|socket| socket.asked.as_str())
        };
        let mut listen: Vec<SocketAddr> = Vec::new();
        for address in managers(Askers::Data).filter_map(|asked| asked.parse().ok()) {
            if !listen.contains(&address) {
                listen.push(address);
            }
        }
        let admin =
            managers(Askers::Admin).next().and_then(|asked| match asked.strip_prefix("unix:") {
                Some(path) => Some(AdminAddress::Unix(PathBuf::from(path))),
                None => asked.parse().ok().map(AdminAddress::Tcp),
            });
        ManagersAddresses { listen, admin }
    }

    /// Whether one was given for an address.
    pub(in crate::node) fn has(&self, askers: Askers, asked: &str) -> bool {
        self.sockets.iter().any(|socket| socket.askers == askers && socket.asked == asked)
    }

    /// Takes out those of an address.
    pub(in crate::node) fn take(&mut self, askers: Askers, asked: &str) -> Vec<ListeningSocket> {
        let fits = |socket: &mut ListeningSocket| socket.askers == askers && socket.asked == asked;
        self.sockets.extract_if(.., fits).collect()
    }
}

fn refused(problem: String) -> Failure {
    Failure::Configuration(format!("LISTEN_FDS: {problem}"))
}

fn of_manager(given: NamedSocket) -> Result<ListeningSocket, Failure> {
    let NamedSocket { name, number, socket } = given;
    let wrong = |why: &str| refused(format!("descriptor {number}, named `{name}`: {why}"));
    let address = getsockname(&socket).map_err(|error| wrong(&error.to_string()))?;
    let askers = match name.as_str() {
        DATA => Askers::Data,
        ADMIN => Askers::Admin,
        _ => return Err(wrong("its unit needs FileDescriptorName=data, or =admin")),
    };
    let asked = match (unix_path(&address), SocketAddr::try_from(address)) {
        (_, Ok(address)) => address.to_string(),
        (Some(path), Err(_)) if askers == Askers::Admin => format!("unix:{path}"),
        (_, Err(_)) if askers == Askers::Admin => return Err(wrong("it has no path")),
        _ => return Err(wrong("visitors come by TCP: ListenStream=ADDR:PORT")),
    };
    Ok(ListeningSocket { askers, is_managers: true, asked, socket })
}

fn unix_path(address: &SocketAddrAny) -> Option<String> {
    let address = SocketAddrUnix::try_from(address.clone()).ok()?;
    Some(address.path()?.to_str().ok()?.to_owned())
}

/// The sockets of this process, to be given to the next one.
#[derive(Debug, Default)]
pub(in crate::node) struct HeldSockets(pub(in crate::node) Vec<ListeningSocket>);

impl HeldSockets {
    /// Adds the listener for operators.
    pub(in crate::node) fn push_admin(
        &mut self,
        config: &Config,
        is_managers: bool,
        socket: OwnedFd,
    ) {
        let asked = nudged_admin::text_of(&config.admin);
        self.0.push(ListeningSocket { askers: Askers::Admin, is_managers, asked, socket });
    }

    /// Sends all of them.
    ///
    /// # Errors
    /// Where the other one does not take them.
    pub(super) fn send(&self, to: &MessageSocket) -> std::io::Result<()> {
        for socket in self.0.chunk_by(|one, next| words(one) == words(next)) {
            for part in socket.chunks(DESCRIPTORS_MAX) {
                let descriptors: Vec<BorrowedFd<'_>> =
                    part.iter().map(|socket| socket.socket.as_fd()).collect();
                to.send(&words(&part[0]), &descriptors)?;
            }
        }
        Ok(())
    }
}

fn words(socket: &ListeningSocket) -> String {
    let askers = if socket.askers == Askers::Data { DATA } else { ADMIN };
    let whose = if socket.is_managers { MANAGERS } else { OWN };
    format!("{SOCKET} {askers} {whose} {}", socket.asked)
}

/// Gives the sockets of one address to the shards: each socket is accepted from by one shard at
/// least, and each shard has one at least. Sockets that share a port are all served, since the
/// kernel deals newcomers out to all of them; one that several shards accept from deals by itself.
///
/// # Errors
/// Where the system gives no descriptor, or a socket is no longer one.
pub(in crate::node) fn deal_out(
    mut sockets: Vec<OwnedFd>,
    shards: usize,
) -> std::io::Result<Vec<Vec<OwnedFd>>> {
    for socket in &sockets {
        listener::adopt(socket)?;
    }
    for index in 0..shards.saturating_sub(sockets.len()) {
        let again = sockets[index].try_clone()?;
        sockets.push(again);
    }
    let mut dealt: Vec<Vec<OwnedFd>> = (0..shards).map(|_| Vec::new()).collect();
    for (index, socket) in sockets.into_iter().enumerate() {
        dealt[index % shards].push(socket);
    }
    Ok(dealt)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn data(asked: &str, is_managers: bool) -> ListeningSocket {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap().into();
        ListeningSocket { askers: Askers::Data, is_managers, asked: asked.to_owned(), socket }
    }

    #[test]
    fn every_socket_has_a_shard_and_every_shard_a_socket() {
        let table: [(usize, usize, &[usize]); 5] = [
            (1, 1, &[1]),
            (1, 3, &[1, 1, 1]),
            (2, 3, &[1, 1, 1]),
            (3, 3, &[1, 1, 1]),
            (5, 2, &[3, 2]),
        ];
        for (sockets, shards, wanted) in table {
            let sockets = (0..sockets).map(|_| data("", false).socket).collect();
            let dealt = deal_out(sockets, shards).unwrap();
            assert_eq!(dealt.iter().map(Vec::len).collect::<Vec<_>>(), wanted);
        }
    }

    #[test]
    fn what_is_sent_arrives_by_address() {
        let (one, other) = MessageSocket::pair().unwrap();
        let admin = ListeningSocket { askers: Askers::Admin, ..data("unix:/run/a b", false) };
        let count = DESCRIPTORS_MAX + 3;
        let mut held: Vec<_> = (0..count).map(|_| data("127.0.0.1:0", false)).collect();
        held.extend([admin, data("10.0.0.1:80", true), data("10.0.0.1:80", true)]);
        HeldSockets(held).send(&one).unwrap();
        drop(one);
        let mut given = GivenSockets::default();
        let limit = std::time::Duration::from_secs(5);
        while let nudged_runtime::messages::ReceivedMessage::Message(text, sockets) =
            other.receive(limit).unwrap()
        {
            given.take_message(&text, sockets);
        }
        let mut config = Config::default();
        given.addresses().stand_for(&mut config);
        assert_eq!(config.listen, [DataListener::plain("10.0.0.1:80".parse().unwrap())]);
        assert_eq!(config.admin, Config::default().admin);
        assert!(given.has(Askers::Admin, "unix:/run/a b"));
        assert_eq!(given.take(Askers::Data, "127.0.0.1:0").len(), count);
        assert!(!given.has(Askers::Data, "127.0.0.1:0"));
        assert_eq!(given.take(Askers::Data, "10.0.0.1:80").len(), 2);
    }
}

//! Where a node listens for visitors, and since when: sockets of its own, of a service manager, or
//! of the process before it.

use std::fmt;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use crate::node::failure::Failure;
use crate::node::upgrade::given::{Askers, GivenSockets, HeldSockets, ListeningSocket, deal_out};
use nudged_admin::GivenListener;
use nudged_config::{Config, DataListener};
use nudged_runtime::shard::listener;

/// The sockets of each shard, with the number of each one's address.
pub(super) type Sockets = Vec<Vec<(u16, OwnedFd)>>;

/// A place where the node listens.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) listener: DataListener,
    origin: SocketOrigin,
}

#[derive(Clone, Copy, Debug)]
enum SocketOrigin {
    Bound,
    Manager,
    /// The process that it came from.
    Process(u32),
}

impl fmt::Display for SocketOrigin {
    /// What follows an address in a line of its own.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SocketOrigin::Bound => Ok(()),
            SocketOrigin::Manager => formatter.write_str(" (from the service manager)"),
            SocketOrigin::Process(process) => write!(formatter, " (from process {process})"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", self.listener, self.origin)
    }
}

/// All places, and all sockets.
pub(super) struct Listening {
    pub(super) places: Vec<Place>,
    pub(super) sockets: Sockets,
    /// All of them once more, for a process that takes over.
    pub(super) held: HeldSockets,
    /// A service manager keeps them open.
    pub(super) is_managers: bool,
}

impl Listening {
    /// Takes what was given for the configuration's addresses, and binds the others.
    ///
    /// # Errors
    /// Where an address can't be listened on.
    pub(super) fn open(
        config: &Config,
        shards: u16,
        given: &mut GivenSockets,
    ) -> Result<Listening, Failure> {
        let mut listening = Listening {
            places: Vec::new(),
            sockets: (0..shards).map(|_| Vec::new()).collect(),
            held: HeldSockets::default(),
            is_managers: false,
        };
        for (number, listener) in (0..).zip(&config.listen) {
            let asked = listener.address.to_string();
            let found = given.take(Askers::Data, &asked);
            let (sockets, address, origin) = match found.first() {
                Some(first) => {
                    let origin = origin_of(first, given.from);
                    listening.is_managers |= first.is_managers;
                    let (sockets, address) = adopted(found, usize::from(shards))?;
                    (sockets, address, origin)
                }
                None => {
                    let (sockets, address) = listener::bind_all(listener.address, shards)?;
                    (sockets, address, SocketOrigin::Bound)
                }
            };
            let is_managers = listening.is_managers;
            let no_descriptor = Failure::system("get a descriptor for each listener");
            for socket in &sockets {
                let socket = socket.try_clone().map_err(&no_descriptor)?;
                let (askers, asked) = (Askers::Data, asked.clone());
                listening.held.0.push(ListeningSocket { askers, is_managers, asked, socket });
            }
            let dealt = deal_out(sockets, usize::from(shards)).map_err(&no_descriptor)?;
            for (shard, sockets) in listening.sockets.iter_mut().zip(dealt) {
                shard.extend(sockets.into_iter().map(|socket| (number, socket)));
            }
            let listener = DataListener { address, ..*listener };
            listening.places.push(Place { listener, origin });
        }
        Ok(listening)
    }
}

fn origin_of(socket: &ListeningSocket, from: Option<u32>) -> SocketOrigin {
    match from {
        Some(process) => SocketOrigin::Process(process),
        None if socket.is_managers => SocketOrigin::Manager,
        None => SocketOrigin::Bound,
    }
}

/// Sockets of one address that were given, with more of them where the former process had fewer
/// shards. A service manager's can have no siblings of this process's.
fn adopted(
    found: Vec<ListeningSocket>,
    shards: usize,
) -> Result<(Vec<OwnedFd>, SocketAddr), Failure> {
    let unfit = |error: std::io::Error| {
        Failure::Configuration(format!("a listening socket that was handed over: {error}"))
    };
    let is_managers = found.iter().any(|socket| socket.is_managers);
    let mut sockets: Vec<OwnedFd> = found.into_iter().map(|socket| socket.socket).collect();
    let address = listener::address_of(&sockets[0]).map_err(unfit)?;
    if !is_managers && sockets.len() < shards {
        sockets.extend(listener::bind_more(address, shards - sockets.len())?);
    }
    Ok((sockets, address))
}

/// The listener for operators that was given, where one was, and where it came from.
pub(super) fn admin_of(
    config: &Config,
    given: &mut GivenSockets,
) -> (Option<GivenListener>, String) {
    let asked = nudged_admin::text_of(&config.admin);
    let found = given.take(Askers::Admin, &asked).into_iter().next();
    let origin = found.as_ref().map_or(SocketOrigin::Bound, |found| origin_of(found, given.from));
    let listener =
        found.map(|found| GivenListener { socket: found.socket, is_kept: found.is_managers });
    (listener, origin.to_string())
}

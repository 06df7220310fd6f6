//! What the driver keeps of connections, listeners and links: which operations the kernel has under
//! way for each. A slot of the descriptor table is reused only after the last of these operations
//! has completed.

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::net::SocketAddrAny;

use super::endpoint::Endpoint;
use super::peers::PeerAddresses;
use super::secured::Secured;
use nudged_base::time::MonoNs;
use nudged_http::proxy::ProxyReader;

/// A connection as the driver sees it.
#[derive(Debug, Default)]
pub struct ConnectionSlot {
    /// Tells completions of this connection from those of an earlier one in the same slot.
    pub generation: u32,
    /// Accepted, and not yet closed.
    pub open: bool,
    /// A multishot receive is armed.
    pub receiving: bool,
    /// No receive is wanted for now.
    pub paused: bool,
    /// The peer has finished, or the line broke: no receive is wanted ever again.
    pub ended: bool,
    /// The shard wants it closed.
    pub closing: bool,
    /// The shard wants it closed without sending the rest.
    pub reset: bool,
    /// A shutdown is under way. The kernel's worker looks its slot up when it runs, so until it is
    /// complete the slot must not be given to another connection.
    pub shutting: bool,
    /// A connect is under way; only links have any.
    pub connecting: bool,
    /// The bytes of the send that is under way.
    pub sending: Option<Vec<u8>>,
    /// What its bytes go through on their way to the shard.
    pub passage: Passage,
}

/// What the bytes of a connection are before they are the shard's.
#[derive(Debug, Default)]
pub enum Passage {
    /// The shard's as they come.
    #[default]
    Open,
    /// A header of the PROXY protocol comes first, and then perhaps TLS.
    Header {
        /// Reads it.
        reader: ProxyReader,
        /// TLS is spoken behind it.
        is_tls: bool,
        /// The balancer that connected.
        peer: Option<IpAddr>,
    },
    /// Records of TLS.
    Tls(Box<Secured>),
    /// Nobody's: the connection was refused and is about to be closed.
    Refused,
}

impl ConnectionSlot {
    /// Whether the kernel has anything under way for it.
    pub fn is_busy(&self) -> bool {
        self.receiving || self.shutting || self.connecting || self.sending.is_some()
    }
}

/// Single accepts of one listener at once.
pub(super) const SINGLES_MAX: u32 = 64;

/// What the driver keeps of a listener.
#[derive(Debug)]
pub struct ListenerSlot {
    /// The number of its address, which several may share.
    pub number: u16,
    /// None once it is closed.
    pub socket: Option<OwnedFd>,
    /// Accepts under way: one of many shots, or several of one.
    pub armed: u32,
    /// What is under way is a multishot accept.
    pub is_multishot: bool,
    /// A multishot accept has been told to end, for want of places.
    pub is_ending: bool,
    /// After a failure nothing is accepted before this.
    pub rest_until: Option<MonoNs>,
    /// No more connections are wanted.
    pub stopping: bool,
    /// Where the kernel puts the addresses of those who connect, on a listener where they matter.
    pub peers: Option<PeerAddresses>,
}

impl ListenerSlot {
    /// Nothing is under way yet.
    pub fn new(number: u16, socket: OwnedFd, peers: Option<PeerAddresses>) -> ListenerSlot {
        ListenerSlot {
            number,
            socket: Some(socket),
            armed: 0,
            is_multishot: false,
            is_ending: false,
            rest_until: None,
            stopping: false,
            peers,
        }
    }
}

/// What the driver keeps of one link beside its slot.
#[derive(Debug)]
pub struct LinkSocket {
    /// Where it leads.
    pub endpoint: Arc<Endpoint>,
    /// The address to begin with: the one that worked last.
    pub turn: usize,
    /// Addresses that this connect has found dead.
    pub tried: usize,
    /// The shard asked for a connection while the former one was leaving.
    pub is_wanted: bool,
    /// The socket in the slot; none while the placeholder lies there.
    pub socket: Option<OwnedFd>,
    /// Read by the kernel until the connect has completed.
    pub address: Option<Box<SocketAddrAny>>,
}

impl LinkSocket {
    /// Not connected yet.
    pub fn new(endpoint: Arc<Endpoint>) -> LinkSocket {
        LinkSocket { endpoint, turn: 0, tried: 0, is_wanted: false, socket: None, address: None }
    }
}

/// Kinds of operations, in the top byte of a completion's user data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Operation {
    /// Multishot accept; the slot is the listener's index.
    Accept = 1,
    /// Multishot receive.
    Receive = 2,
    /// Send.
    Send = 3,
    /// Cancellation, socket option, close: operations whose own completion tells nothing.
    Quiet = 4,
    /// Read of the eventfd.
    Wake = 5,
    /// Shutdown of our direction.
    Shutdown = 6,
    /// Connect of a link.
    Connect = 7,
    /// Question for the bytes that the peer has not acknowledged.
    Untaken = 8,
    /// Read of the eventfd by which waits are measured.
    Probe = 9,
}

/// Packs operation, generation (24 bits) and slot into the user data of an entry.
pub(crate) fn pack(operation: Operation, generation: u32, slot: u32) -> u64 {
    (operation as u64) << 56 | u64::from(generation & 0xff_ffff) << 32 | u64::from(slot)
}

/// Unpacks what [`pack`] packed; `None` for a kind that was never submitted.
pub(crate) fn unpack(user_data: u64) -> Option<(Operation, u32, u32)> {
    let operation = match user_data >> 56 {
        1 => Operation::Accept,
        2 => Operation::Receive,
        3 => Operation::Send,
        4 => Operation::Quiet,
        5 => Operation::Wake,
        6 => Operation::Shutdown,
        7 => Operation::Connect,
        8 => Operation::Untaken,
        9 => Operation::Probe,
        _ => return None,
    };
    let generation = u32::try_from(user_data >> 32 & 0xff_ffff).expect("24 bits");
    let slot = u32::try_from(user_data & 0xffff_ffff).expect("32 bits");
    Some((operation, generation, slot))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_and_unpacks() {
        for operation in [Operation::Accept, Operation::Connect, Operation::Untaken] {
            let packed = pack(operation, 0x12_3456, 0xfedc_ba98);
            assert_eq!(unpack(packed), Some((operation, 0x12_3456, 0xfedc_ba98)));
        }
        assert_eq!(unpack(0), None);
    }
}

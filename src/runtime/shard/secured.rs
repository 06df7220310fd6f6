//! What a connection of TLS has between the kernel and the shard, and what a shard has for all of
//! them.

use std::collections::VecDeque;
use std::sync::Arc;

use nudged_base::limits::{BUFFERS_POOLED_MAX, TLS_HANDSHAKES_A_TURN};
use nudged_base::time::MonoNs;
use nudged_http::pool::BufferPool;
use nudged_tls::{SharedIdentity, TlsConnection, TlsIdentity};

/// One connection of TLS.
#[derive(Debug, Default)]
pub struct Secured {
    /// From its first byte on.
    pub tls: Option<TlsConnection>,
    /// Records that wait for a send.
    pub out: Vec<u8>,
    /// The shard's send under way.
    pub plain: Option<Vec<u8>>,
    /// How many of its bytes the records on their way hold; 0 where none do yet.
    pub covered: usize,
    /// It waits for its turn of a handshake.
    pub is_waiting: bool,
    /// Its handshake is one of those under way.
    pub is_counted: bool,
    /// Our direction is shut down once all is sent.
    pub is_ending: bool,
    /// The shard knows that the peer has ended its direction.
    pub is_end_told: bool,
    /// It can't go on.
    pub is_failed: bool,
}

impl Secured {
    /// Whether its handshake is still to come, or under way.
    pub fn is_awaited(&self) -> bool {
        let is_established = self.tls.as_ref().is_some_and(TlsConnection::is_established);
        !is_established && !self.is_failed
    }
}

/// What a shard has for its connections of TLS.
#[derive(Debug)]
pub struct Secure {
    shared: Arc<SharedIdentity>,
    version: u64,
    identity: Option<Arc<TlsIdentity>>,
    /// Steps of handshakes that this turn still has time for.
    pub budget: usize,
    /// Connections whose handshake has to wait for a later turn, with their generations.
    pub waiting: VecDeque<(u32, u32)>,
    /// Handshakes under way.
    pub under_way: usize,
    /// Connections whose handshake is awaited, in the order of their deadlines.
    pub due: VecDeque<(MonoNs, u32, u32)>,
    /// Where records are decrypted.
    pub scratch: Vec<u8>,
    /// Buffers of records.
    pub pool: BufferPool,
}

impl Secure {
    /// Nothing yet; allocates nothing but the pool's stack.
    pub fn new(shared: Arc<SharedIdentity>) -> Secure {
        Secure {
            shared,
            version: 0,
            identity: None,
            budget: TLS_HANDSHAKES_A_TURN,
            waiting: VecDeque::new(),
            under_way: 0,
            due: VecDeque::new(),
            scratch: Vec::new(),
            pool: BufferPool::new(BUFFERS_POOLED_MAX),
        }
    }

    /// The certificate that the node has now.
    pub fn identity(&mut self) -> Option<Arc<TlsIdentity>> {
        let version = self.shared.version();
        if version != self.version {
            (self.version, self.identity) = (version, self.shared.current());
        }
        self.identity.clone()
    }
}

//! A network that can be spoiled: a TCP proxy in front of a server, told by its test what to do to
//! the bytes. Like a real network it never loses a byte of a connection that goes on: what is held
//! back arrives later, or the connection breaks.
//!
//! Each connection has two directions of two threads each, one that reads and one that writes when
//! the bytes are due, so that a delay is latency and not a lower rate. Bounds: `CONNECTIONS_MAX`
//! connections, `CHUNKS_MAX` chunks of `CHUNK_BYTES` on the way in each direction.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Connections at once; more are closed.
const CONNECTIONS_MAX: usize = 256;
/// What is read at once.
const CHUNK_BYTES: usize = 16 * 1_024;
/// Chunks on the way in one direction; then the sender is held up.
const CHUNKS_MAX: usize = 64;
/// A server that takes no connection within this is away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the node to the server.
    ToServer,
    /// From the server to the node.
    ToClient,
}

/// What is done to one direction.
#[derive(Clone, Copy, Default)]
struct Faults {
    delay: Duration,
    is_held: bool,
    /// Bytes until every connection is cut.
    cut_after: Option<usize>,
    /// Bytes that have passed.
    passed: u64,
}

#[derive(Default)]
struct State {
    to_server: Faults,
    to_client: Faults,
    refuses: bool,
    is_over: bool,
    /// Connections that stand, by number, with both of their sockets.
    open: Vec<(u64, TcpStream, TcpStream)>,
    accepted: u64,
}

impl State {
    fn faults(&mut self, way: Way) -> &mut Faults {
        match way {
            Way::ToServer => &mut self.to_server,
            Way::ToClient => &mut self.to_client,
        }
    }

    fn cut(&mut self) -> usize {
        let count = self.open.len();
        for (_, client, server) in self.open.drain(..) {
            // Whoever has gone already needs no telling.
            let _ = client.shutdown(Shutdown::Both);
            let _ = server.shutdown(Shutdown::Both);
        }
        count
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }
}

/// A proxy in front of one server, ended with its owner.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    /// A proxy that does nothing yet.
    pub fn to(server: SocketAddr) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let proxy = Proxy { address: listener.local_addr().unwrap(), shared: Arc::default() };
        let shared = Arc::clone(&proxy.shared);
        std::thread::spawn(move || accept(&listener, server, &shared));
        proxy
    }

    /// Where it listens, in the server's stead.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes of one direction arrive this much later.
    pub fn delay(&self, way: Way, delay: Duration) {
        self.shared.change(|state| state.faults(way).delay = delay);
    }

    /// Bytes of one direction don't arrive any more, as in a partition without a reset; after
    /// [`Proxy::heal`] they do.
    pub fn hold(&self, way: Way) {
        self.shared.change(|state| state.faults(way).is_held = true);
    }

    /// As [`Proxy::hold`], in both directions.
    pub fn black_hole(&self) {
        self.hold(Way::ToServer);
        self.hold(Way::ToClient);
    }

    /// Closes every connection, and says how many there were.
    pub fn cut(&self) -> usize {
        self.shared.state().cut()
    }

    /// Closes every connection once so many more bytes have passed in one direction: in the midst
    /// of a command or of a reply.
    pub fn cut_after(&self, way: Way, bytes: usize) {
        self.shared.change(|state| state.faults(way).cut_after = Some(bytes));
    }

    /// Ends one direction of every connection; the other goes on.
    pub fn end(&self, way: Way) {
        for (_, client, server) in &self.shared.state().open {
            let receiver = match way {
                Way::ToServer => server,
                Way::ToClient => client,
            };
            let _ = receiver.shutdown(Shutdown::Write);
        }
    }

    /// New connections are closed at once; those that stand go on.
    pub fn refuse(&self) {
        self.shared.change(|state| state.refuses = true);
    }

    /// Nothing is spoiled any more; what was held back arrives.
    pub fn heal(&self) {
        self.shared.change(|state| {
            for way in [Way::ToServer, Way::ToClient] {
                let passed = state.faults(way).passed;
                *state.faults(way) = Faults { passed, ..Faults::default() };
            }
            state.refuses = false;
        });
    }

    /// Connections so far.
    pub fn accepted(&self) -> u64 {
        self.shared.state().accepted
    }

    /// Connections that stand.
    pub fn open(&self) -> usize {
        self.shared.state().open.len()
    }

    /// Bytes that have passed in one direction.
    pub fn passed(&self, way: Way) -> u64 {
        self.shared.state().faults(way).passed
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.change(|state| {
            state.is_over = true;
            state.cut();
        });
        // It waits in accept, and sees then that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

fn accept(listener: &TcpListener, server: SocketAddr, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        let Ok(client) = client else { continue };
        let mut state = shared.state();
        if state.is_over {
            return;
        }
        state.accepted += 1;
        let number = state.accepted;
        let is_refused = state.refuses || state.open.len() >= CONNECTIONS_MAX;
        drop(state);
        if is_refused {
            continue;
        }
        // A server that is away: the client's connection closes.
        let Ok(server) = TcpStream::connect_timeout(&server, CONNECT_TIMEOUT) else { continue };
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        let pair = (number, client.try_clone().unwrap(), server.try_clone().unwrap());
        shared.change(|state| state.open.push(pair));
        let ends = (client.try_clone().unwrap(), server.try_clone().unwrap());
        pump(Way::ToServer, number, ends, shared);
        pump(Way::ToClient, number, (server, client), shared);
    }
}

/// Carries the bytes of one direction on threads of its own, until either side has ended.
fn pump(way: Way, number: u64, (from, to): (TcpStream, TcpStream), shared: &Arc<Shared>) {
    let (sender, chunks) = sync_channel(CHUNKS_MAX);
    let reader_shared = Arc::clone(shared);
    std::thread::spawn(move || read(way, from, &sender, &reader_shared));
    let shared = Arc::clone(shared);
    std::thread::spawn(move || {
        write(way, &to, &chunks, &shared);
        let _ = to.shutdown(Shutdown::Write);
        if way == Way::ToClient {
            // The server has said its last.
            shared.change(|state| state.open.retain(|(open, ..)| *open != number));
        }
    });
}

fn read(way: Way, mut from: TcpStream, sender: &SyncSender<(Instant, Vec<u8>)>, shared: &Shared) {
    let mut bytes = vec![0; CHUNK_BYTES];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        let due = Instant::now() + shared.state().faults(way).delay;
        if sender.send((due, bytes[..count].to_vec())).is_err() {
            return;
        }
    }
}

fn write(way: Way, mut to: &TcpStream, chunks: &Receiver<(Instant, Vec<u8>)>, shared: &Shared) {
    for (due, chunk) in chunks {
        while let Some(left) = due.checked_duration_since(Instant::now()).filter(|d| !d.is_zero()) {
            std::thread::park_timeout(left);
        }
        let allowed = {
            let mut state = shared.state();
            while state.faults(way).is_held && !state.is_over {
                state = shared.changed.wait(state).unwrap();
            }
            let faults = state.faults(way);
            let allowed = faults.cut_after.unwrap_or(chunk.len()).min(chunk.len());
            faults.cut_after = faults.cut_after.map(|left| left - allowed);
            faults.passed += u64::try_from(allowed).unwrap();
            allowed
        };
        if to.write_all(&chunk[..allowed]).is_err() {
            return;
        }
        let mut state = shared.state();
        if state.faults(way).cut_after == Some(0) {
            state.faults(way).cut_after = None;
            state.cut();
            return;
        }
    }
}

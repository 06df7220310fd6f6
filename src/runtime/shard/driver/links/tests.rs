//! Property: a link's inputs are those of the connection that the shard asked for last, whatever
//! its peer does; and no connection, however many there were, leaves anything behind.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::super::{Driver, Setup};
use crate::clocks;
use crate::shard::endpoint::Endpoint;
use crate::shard::entrance::Entrance;
use crate::shard::listener;
use crate::shard::mesh::Mesh;
use crate::wake::Waker;
use nudged_base::clock::{NodeClock, Now};
use nudged_base::ids::ShardId;
use nudged_base::time::MonoNs;
use nudged_shard::seam::{Effect, Input, Outbox, Step};

/// Accepted connections that fit the table of these tests.
const DESCRIPTORS: u32 = 4;
/// The first link's number.
const LINK: u32 = DESCRIPTORS;

/// What a script sees.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Begun,
    Connected(u32),
    Bytes(u32, Vec<u8>),
    PeerClosed(u32),
    Broken(u32),
    Sent(u32, Option<usize>),
    Accepted(u32),
    /// Acted on, and not kept.
    Ticked,
    Late,
}

/// Acts on what happens by a closure, and keeps it.
struct Script<F> {
    seen: Vec<Seen>,
    act: F,
    begun: bool,
    limit: MonoNs,
}

impl<F: FnMut(&Seen, &mut Outbox)> Script<F> {
    fn see(&mut self, seen: Seen, outbox: &mut Outbox) {
        (self.act)(&seen, outbox);
        self.seen.push(seen);
    }
}

impl<F: FnMut(&Seen, &mut Outbox)> Step for Script<F> {
    fn step(&mut self, now: Now, input: Input<'_>, outbox: &mut Outbox) {
        if now.mono > self.limit {
            self.seen.push(Seen::Late);
            outbox.push(Effect::Finished);
            return;
        }
        let seen = match input {
            Input::Connected { connection } => Seen::Connected(connection),
            Input::Bytes { connection, bytes } => Seen::Bytes(connection, bytes.to_vec()),
            Input::PeerClosed { connection } => Seen::PeerClosed(connection),
            Input::Broken { connection } => Seen::Broken(connection),
            Input::Sent { connection, sent, .. } => Seen::Sent(connection, sent),
            Input::Accepted { connection, .. } => Seen::Accepted(connection),
            Input::Tick => return (self.act)(&Seen::Ticked, outbox),
            _ => return,
        };
        self.see(seen, outbox);
    }

    fn finish_turn(&mut self, _now: Now, outbox: &mut Outbox) {
        if !std::mem::replace(&mut self.begun, true) {
            self.see(Seen::Begun, outbox);
        }
    }

    fn next_deadline(&self) -> Option<MonoNs> {
        None
    }
}

fn waker() -> Arc<Waker> {
    Arc::new(Waker::new().unwrap())
}

fn to(address: SocketAddr) -> Arc<Endpoint> {
    let host = address.ip().to_string();
    let timeout = Duration::from_millis(500);
    Arc::new(Endpoint::tcp(&host, address.port(), timeout, waker()))
}

fn to_unix(path: &Path) -> Arc<Endpoint> {
    Arc::new(Endpoint::unix(path, Duration::ZERO, waker()))
}

/// An address where nobody listens.
fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Runs a shard with these links until the script has it finish; gives what it saw, and how many
/// links hold anything then.
fn play_with(
    links: Vec<Arc<Endpoint>>,
    listeners: Vec<std::os::fd::OwnedFd>,
    act: impl FnMut(&Seen, &mut Outbox),
) -> (Vec<Seen>, usize) {
    let mono = clocks::mono();
    let setup = Setup {
        shard: ShardId(0),
        listeners: (0..).zip(listeners).collect(),
        descriptors: DESCRIPTORS,
        links,
        busy_poll: Duration::ZERO,
        napi_busy_poll: Duration::ZERO,
        clock: NodeClock::start(mono, clocks::wall(), clocks::wall()),
        mesh: Arc::new(Mesh::new(1).unwrap()),
        counters: Arc::default(),
        log: None,
        entrance: Entrance::default(),
        queue_delay: None,
    };
    let limit = mono.plus_ms(20_000);
    let script = Script { seen: Vec::new(), act, begun: false, limit };
    let mut driver = Driver::new(setup, script).unwrap();
    driver.run().unwrap();
    let places = driver.slots[LINK as usize..].iter().zip(&driver.links);
    let held = places.filter(|(connection, link)| connection.open || link.socket.is_some()).count();
    (driver.step.seen, held)
}

fn play(links: Vec<Arc<Endpoint>>, act: impl FnMut(&Seen, &mut Outbox)) -> Vec<Seen> {
    play_with(links, Vec::new(), act).0
}

fn connect(outbox: &mut Outbox) {
    outbox.push(Effect::Connect { connection: LINK });
}

fn close(outbox: &mut Outbox) {
    outbox.push(Effect::Close { connection: LINK, reset: false });
}

fn send(outbox: &mut Outbox, bytes: &[u8]) {
    outbox.push(Effect::Send { connection: LINK, buffer: bytes.to_vec() });
}

/// Answers one connection after another with what it says, in upper case, until it says nothing.
fn echo(listener: TcpListener, connections: usize) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        for _ in 0..connections {
            let (mut peer, _) = listener.accept().unwrap();
            answer(&mut peer);
        }
    })
}

fn answer(peer: &mut (impl Read + Write)) {
    let mut bytes = [0; 64];
    while let Ok(count) = peer.read(&mut bytes) {
        if count == 0 || peer.write_all(&bytes[..count].to_ascii_uppercase()).is_err() {
            return;
        }
    }
}

/// The dialogue of the tests below: connect, say something, hear it, close.
fn converse(links: Vec<Arc<Endpoint>>) -> Vec<Seen> {
    play(links, |seen, outbox| match seen {
        Seen::Begun => connect(outbox),
        Seen::Connected(_) => send(outbox, b"ping"),
        Seen::Bytes(..) => {
            close(outbox);
            outbox.push(Effect::Finished);
        }
        _ => {}
    })
}

#[test]
fn bytes_go_both_ways_over_tcp_and_unix_sockets() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let peer = echo(listener, 1);
    let heard = [
        Seen::Begun,
        Seen::Connected(LINK),
        Seen::Sent(LINK, Some(4)),
        Seen::Bytes(LINK, b"PING".to_vec()),
    ];
    assert_eq!(converse(vec![to(address)]), heard);
    peer.join().unwrap();

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sock");
    let listener = UnixListener::bind(&path).unwrap();
    let peer = std::thread::spawn(move || answer(&mut listener.accept().unwrap().0));
    assert_eq!(converse(vec![to_unix(&path)]), heard);
    peer.join().unwrap();
}

#[test]
fn a_link_that_can_not_be_had_is_broken_and_may_try_again() {
    let folder = tempfile::tempdir().unwrap();
    let unknown = Endpoint::tcp("redis.invalid", 1, Duration::ZERO, waker());
    let endpoints = [to(nowhere()), to_unix(&folder.path().join("none")), Arc::new(unknown)];
    for endpoint in endpoints {
        let mut broken = 0;
        let seen = play(vec![endpoint], |seen, outbox| match seen {
            Seen::Begun => connect(outbox),
            Seen::Broken(_) if broken == 2 => outbox.push(Effect::Finished),
            Seen::Broken(_) => {
                broken += 1;
                // With a close or without.
                if broken == 2 {
                    close(outbox);
                }
                connect(outbox);
            }
            _ => {}
        });
        let broken = Seen::Broken(LINK);
        assert_eq!(seen, [Seen::Begun, broken.clone(), broken.clone(), broken]);
    }
}

#[test]
fn every_place_of_a_name_is_tried() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let peer = echo(listener, 1);
    let endpoint = Endpoint::tcp("redis.example", 1, Duration::ZERO, waker());
    endpoint.take_found(&[nowhere(), nowhere(), address]);
    let seen = converse(vec![Arc::new(endpoint)]);
    assert_eq!(seen[1], Seen::Connected(LINK));
    assert!(seen.contains(&Seen::Bytes(LINK, b"PING".to_vec())));
    peer.join().unwrap();
}

#[test]
fn the_peers_end_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let peer = std::thread::spawn(move || {
        listener.accept().unwrap().0.shutdown(Shutdown::Write).unwrap();
    });
    let seen = play(vec![to(address)], |seen, outbox| match seen {
        Seen::Begun => connect(outbox),
        Seen::PeerClosed(_) | Seen::Broken(_) => outbox.push(Effect::Finished),
        _ => {}
    });
    assert_eq!(seen[1], Seen::Connected(LINK));
    assert_ne!(seen.last(), Some(&Seen::Late));
    peer.join().unwrap();
}

/// A listener whose queue is full answers no connect: the peer looks frozen.
fn frozen() -> (UnixListener, tempfile::TempDir, Vec<std::os::unix::net::UnixStream>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sock");
    let listener = UnixListener::bind(&path).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let queued = std::os::unix::net::UnixStream::connect(&path).unwrap();
    (listener, folder, vec![queued])
}

#[test]
fn a_connect_that_hangs_is_given_up_and_begun_again() {
    let (listener, folder, queued) = frozen();
    let (thaw, thawed) = std::sync::mpsc::channel();
    let peer = std::thread::spawn(move || {
        thawed.recv().unwrap();
        let accepted: Vec<_> = listener.incoming().take(2).collect();
        (listener, accepted, queued)
    });
    let mut ticks = 0;
    let path = folder.path().join("sock");
    let seen = play(vec![to_unix(&path)], |seen, outbox| match seen {
        Seen::Begun => connect(outbox),
        Seen::Ticked if ticks < 5 => {
            // The connect of the turn before hangs.
            for _ in 0..10 {
                close(outbox);
                connect(outbox);
            }
            ticks += 1;
            if ticks == 5 {
                thaw.send(()).unwrap();
            }
        }
        Seen::Connected(_) => outbox.push(Effect::Finished),
        _ => {}
    });
    assert_eq!(seen, [Seen::Begun, Seen::Connected(LINK)]);
    drop(peer.join().unwrap());
}

#[test]
fn a_close_waits_for_no_frozen_peer() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // More than the buffers of both sides take: the send does not complete by itself.
    let flood = vec![b'x'; 64 << 20];
    let mut has_closed = false;
    let seen = play(vec![to(address)], |seen, outbox| match seen {
        Seen::Begun => connect(outbox),
        Seen::Connected(_) if has_closed => outbox.push(Effect::Finished),
        Seen::Connected(_) => {
            has_closed = true;
            send(outbox, &flood);
            close(outbox);
            connect(outbox);
        }
        _ => {}
    });
    let connected = Seen::Connected(LINK);
    assert!(matches!(&seen[2], Seen::Sent(LINK, _)), "the buffer comes back: {seen:?}");
    assert_eq!([&seen[1], &seen[3]], [&connected, &connected]);
    drop(listener);
}

#[test]
fn a_send_to_a_link_that_does_not_stand_comes_back() {
    let seen = play(vec![to(nowhere())], |seen, outbox| match seen {
        Seen::Begun => send(outbox, b"lost"),
        Seen::Sent(..) => outbox.push(Effect::Finished),
        _ => {}
    });
    assert_eq!(seen, [Seen::Begun, Seen::Sent(LINK, None)]);
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn a_thousand_connections_leave_nothing_behind() {
    const ROUNDS: usize = 1_000;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let peer = echo(listener, ROUNDS);
    let (mut connected, mut foreign, mut early, mut ticks) = (0_usize, 0_usize, 0_usize, 0_usize);
    let before = open_descriptors();
    let (seen, held) = play_with(vec![to(address)], Vec::new(), |seen, outbox| match seen {
        Seen::Begun => connect(outbox),
        Seen::Connected(_) => {
            connected += 1;
            send(outbox, format!("n{connected:03}").as_bytes());
            // Some are left before a word was heard.
            if connected.is_multiple_of(3) && connected < ROUNDS {
                early += 1;
                close(outbox);
                connect(outbox);
            }
        }
        Seen::Bytes(_, bytes) => {
            let expected = format!("N{connected:03}");
            foreign += usize::from(bytes != expected.as_bytes());
            close(outbox);
            if connected < ROUNDS {
                connect(outbox);
            }
        }
        // The last close has been carried out long since.
        Seen::Ticked if connected == ROUNDS && ticks < 2 => ticks += 1,
        Seen::Ticked if ticks == 2 => outbox.push(Effect::Finished),
        Seen::Broken(_) | Seen::PeerClosed(_) => outbox.push(Effect::Finished),
        _ => {}
    });
    assert_eq!((connected, foreign), (ROUNDS, 0), "{:?}", &seen[seen.len() - 3..]);
    assert!(early > 300);
    assert_eq!(held, 0, "the last close is carried out");
    // The ring, its eventfds and some hundreds of other tests that run meanwhile; not a thousand.
    assert!(open_descriptors() < before + 800);
    peer.join().unwrap();
}

#[test]
fn accepted_connections_never_get_a_links_place() {
    let any = "127.0.0.1:0".parse().unwrap();
    let (listeners, bound) = listener::bind_all(any, 1).unwrap();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let links = (0..3).map(|_| to(address)).collect();
    let peers = std::thread::spawn(move || {
        let linked: Vec<_> = server.incoming().take(3).collect();
        // More clients than the table takes, while the links come and go.
        // Those that come after the last place was taken may find no listener any more.
        let clients: Vec<_> = (0..10).filter_map(|_| TcpStream::connect(bound).ok()).collect();
        (linked, clients)
    });
    let mut accepted = Vec::new();
    let (seen, _) = play_with(links, listeners, |seen, outbox| match seen {
        Seen::Begun => {
            (0..3).for_each(|link| outbox.push(Effect::Connect { connection: LINK + link }));
        }
        Seen::Connected(link) => {
            // Leaves its place, which the kernel looks at first.
            outbox.push(Effect::Close { connection: *link, reset: false });
        }
        Seen::Accepted(connection) => {
            accepted.push(*connection);
            if accepted.len() == DESCRIPTORS as usize {
                outbox.push(Effect::Finished);
            }
        }
        _ => {}
    });
    accepted.sort_unstable();
    assert_eq!(accepted, [0, 1, 2, 3], "{seen:?}");
    drop(peers.join().unwrap());
}

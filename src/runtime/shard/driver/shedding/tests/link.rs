//! Property: what a shard's own servers say waits for nobody and is never refused, however much the
//! shard has to do: requests wait for it.

use std::net::TcpListener;

use super::*;
use crate::shard::endpoint::Endpoint;
use crate::wake::Waker;

const LINK: u32 = DESCRIPTORS;
/// What the server says in an overload before it goes away.
const REPLIES: u64 = 5;

/// A shard that takes its time, and asks its server again as soon as that has answered.
struct Linked {
    slow: Slow,
    replies_in_overload: u64,
    is_asked: bool,
    has_server_left: bool,
}

impl Linked {
    fn on_link(&mut self, input: Input<'_>, outbox: &mut Outbox) {
        let ask = |outbox: &mut Outbox| answer(outbox, LINK, b'?');
        match input {
            Input::Connected { .. } => ask(outbox),
            Input::Bytes { .. } => {
                self.replies_in_overload += self.slow.counters.shedding.get();
                ask(outbox);
            }
            Input::PeerClosed { .. } => {
                self.has_server_left = true;
                outbox.push(Effect::Close { connection: LINK, reset: false });
            }
            Input::Sent { .. } | Input::Broken { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

impl Step for Linked {
    fn step(&mut self, now: Now, input: Input<'_>, outbox: &mut Outbox) {
        if !std::mem::replace(&mut self.is_asked, true) {
            outbox.push(Effect::Connect { connection: LINK });
        }
        match input {
            Input::Connected { connection }
            | Input::Bytes { connection, .. }
            | Input::Shed { connection, .. }
            | Input::PeerClosed { connection }
            | Input::Broken { connection }
            | Input::Sent { connection, .. }
                if connection == LINK =>
            {
                self.on_link(input, outbox);
            }
            other => self.slow.step(now, other, outbox),
        }
    }

    fn finish_turn(&mut self, _now: Now, _outbox: &mut Outbox) {}

    fn next_deadline(&self) -> Option<MonoNs> {
        None
    }
}

/// Answers until it has done so some times in an overload, and leaves with its last answer.
fn serve_until_overload(server: &TcpListener, counters: &ShardCounters) {
    let (mut peer, _) = server.accept().unwrap();
    let (mut byte, mut replies) = ([0], 0);
    while replies < REPLIES && peer.read_exact(&mut byte).is_ok() {
        peer.write_all(b"!").unwrap();
        replies += counters.shedding.get();
    }
}

#[test]
fn what_a_server_says_is_heard_at_once_in_an_overload() {
    let (listeners, address) = listener::bind_all("127.0.0.1:0".parse().unwrap(), 1).unwrap();
    let (mono, counters) = (clocks::mono(), Arc::<ShardCounters>::default());
    let is_enough = Arc::new(AtomicBool::new(false));
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let resolver = Arc::new(Waker::new().unwrap());
    let port = server.local_addr().unwrap().port();
    let endpoint = Endpoint::tcp("127.0.0.1", port, Duration::from_secs(5), resolver);
    let mut setup = setup(listeners, Arc::new(Mesh::new(1).unwrap()), Arc::clone(&counters));
    setup.links = vec![Arc::new(endpoint)];
    let (enough, numbers) = (Arc::clone(&is_enough), Arc::clone(&counters));
    let limit = mono.plus_ms(LIMIT_MS);
    let slow = Slow { refused: 0, is_enough: enough, open: 0, counters: numbers, limit };
    let linked = Linked { slow, replies_in_overload: 0, is_asked: false, has_server_left: false };
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| ask(address, ASKED, &is_enough));
        }
        let answering = Arc::clone(&counters);
        scope.spawn(move || serve_until_overload(&server, &answering));
        let mut driver = Driver::new(setup, linked).unwrap();
        driver.run().unwrap();
        assert!(is_enough.load(Ordering::SeqCst), "nothing was refused: {:?}", driver.overload);
        let Linked { replies_in_overload, has_server_left, .. } = driver.step;
        assert!(replies_in_overload >= REPLIES, "{replies_in_overload}");
        assert!(has_server_left);
    });
}

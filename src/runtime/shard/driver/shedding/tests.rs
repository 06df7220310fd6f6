//! Property: a shard that is asked for more than it can answers some in time and refuses some,
//! each request once, and is as it was once nobody asks too much.

mod link;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::super::{Driver, Setup};
use crate::clocks;
use crate::shard::entrance::Entrance;
use crate::shard::listener;
use crate::shard::mesh::Mesh;
use nudged_api::command::{Command, EncodedCommand};
use nudged_base::clock::{NodeClock, Now};
use nudged_base::ids::ShardId;
use nudged_base::limits::SHED_BACKLOG_MS;
use nudged_base::telemetry::counters::ShardCounters;
use nudged_base::time::MonoNs;
use nudged_shard::seam::{Effect, Hop, Input, Outbox, Step};

/// Those who ask again as soon as they are answered. Together they wait 96 ms.
const CLIENTS: usize = 96;
const WORK: Duration = Duration::from_millis(1);
const ASKED: &[u8] = b"GET /v1/decide?user=ann HTTP/1.1\r\n\r\n";
const HEALTH: &[u8] = b"GET /health HTTP/1.1\r\n\r\n";
const REFUSALS: usize = 40;
const DESCRIPTORS: u32 = 1_024;
const LIMIT_MS: u64 = 60_000;

/// A shard that takes its time.
struct Slow {
    refused: usize,
    is_enough: Arc<AtomicBool>,
    open: usize,
    counters: Arc<ShardCounters>,
    limit: MonoNs,
}

fn answer(outbox: &mut Outbox, connection: u32, byte: u8) {
    outbox.push(Effect::Send { connection, buffer: vec![byte] });
}

impl Step for Slow {
    fn step(&mut self, now: Now, input: Input<'_>, outbox: &mut Outbox) {
        match input {
            Input::Accepted { .. } => self.open += 1,
            Input::Bytes { connection, bytes } => {
                assert!(bytes == ASKED || bytes == HEALTH, "a request comes whole");
                let until = Instant::now() + WORK;
                while bytes == ASKED && Instant::now() < until {
                    std::hint::spin_loop();
                }
                answer(outbox, connection, b's');
            }
            Input::Shed { connection, bytes } => {
                assert_eq!(bytes, ASKED, "who asks how the node is is answered");
                self.refused += 1;
                self.is_enough.fetch_or(self.refused >= REFUSALS, Ordering::SeqCst);
                answer(outbox, connection, b'r');
            }
            Input::PeerClosed { connection } | Input::Broken { connection } => {
                self.open -= 1;
                outbox.push(Effect::Close { connection, reset: false });
            }
            Input::Tick => {
                let is_late = now.mono > self.limit;
                let is_calm = self.open == 0 && self.counters.shedding.get() == 0;
                if is_late || self.is_enough.load(Ordering::SeqCst) && is_calm {
                    outbox.push(Effect::Finished);
                }
            }
            _ => {}
        }
    }

    fn finish_turn(&mut self, _now: Now, _outbox: &mut Outbox) {}

    fn next_deadline(&self) -> Option<MonoNs> {
        None
    }
}

/// What a client was answered: how often served, and how often refused.
fn ask(address: SocketAddr, request: &[u8], is_enough: &AtomicBool) -> (usize, usize) {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(LIMIT_MS))).unwrap();
    let (mut served, mut refused) = (0, 0);
    while !is_enough.load(Ordering::SeqCst) {
        socket.write_all(request).unwrap();
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        match byte {
            [b's'] => served += 1,
            _ => refused += 1,
        }
    }
    (served, refused)
}

fn setup(listeners: Vec<OwnedFd>, mesh: Arc<Mesh>, counters: Arc<ShardCounters>) -> Setup {
    Setup {
        shard: ShardId(0),
        listeners: (0..).zip(listeners).collect(),
        descriptors: DESCRIPTORS,
        links: Vec::new(),
        busy_poll: Duration::ZERO,
        napi_busy_poll: Duration::ZERO,
        clock: NodeClock::start(clocks::mono(), clocks::wall(), clocks::wall()),
        mesh,
        counters,
        log: None,
        entrance: Entrance::default(),
        queue_delay: Some(Duration::from_millis(5)),
    }
}

#[test]
fn some_are_served_some_refused_each_once_and_then_it_is_over() {
    let (listeners, address) = listener::bind_all("127.0.0.1:0".parse().unwrap(), 1).unwrap();
    let (mono, counters) = (clocks::mono(), Arc::<ShardCounters>::default());
    let is_enough = Arc::new(AtomicBool::new(false));
    let setup = setup(listeners, Arc::new(Mesh::new(1).unwrap()), Arc::clone(&counters));
    let (enough, numbers) = (Arc::clone(&is_enough), Arc::clone(&counters));
    let limit = mono.plus_ms(LIMIT_MS);
    let slow = Slow { refused: 0, is_enough: enough, open: 0, counters: numbers, limit };
    std::thread::scope(|scope| {
        let clients: Vec<_> =
            (0..CLIENTS).map(|_| scope.spawn(|| ask(address, ASKED, &is_enough))).collect();
        let health = scope.spawn(|| ask(address, HEALTH, &is_enough));
        let mut driver = Driver::new(setup, slow).unwrap();
        driver.run().unwrap();
        assert!(is_enough.load(Ordering::SeqCst), "nothing was refused: {:?}", driver.overload);
        let answered = clients.into_iter().map(|client| client.join().unwrap());
        let (served, refused) = answered.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
        assert!(served > 0);
        assert_eq!(health.join().unwrap().1, 0);
        // One that was refused when its client had left was told to nobody.
        assert!(refused <= driver.step.refused, "{refused}");
        let counted: u64 =
            ["early", "late", "gone"].map(|cause| counters.shed.of(cause).get()).iter().sum();
        assert_eq!(counted, driver.step.refused as u64);
        assert!(driver.overload.waiting() == 0 && !driver.overload.is_shedding());
    });
}

/// A shard that is asked by another one alone.
struct Asked {
    executed: u64,
    refused: u64,
    is_enough: Arc<AtomicBool>,
    limit: MonoNs,
}

impl Step for Asked {
    fn step(&mut self, now: Now, input: Input<'_>, outbox: &mut Outbox) {
        match input {
            Input::Hop(_) => self.executed += 1,
            Input::ShedHop(hop) => {
                assert!(now.mono > hop.since.plus_ms(SHED_BACKLOG_MS));
                self.refused += 1;
                self.is_enough.store(true, Ordering::SeqCst);
            }
            Input::Tick if now.mono > self.limit => outbox.push(Effect::Finished),
            Input::Tick if self.is_enough.load(Ordering::SeqCst) => outbox.push(Effect::Finished),
            _ => {}
        }
    }

    fn finish_turn(&mut self, _now: Now, _outbox: &mut Outbox) {}

    fn next_deadline(&self) -> Option<MonoNs> {
        None
    }
}

#[test]
fn what_has_waited_too_long_for_the_shard_that_executes_it_is_refused_by_it() {
    let mesh = Arc::new(Mesh::new(2).unwrap());
    let counters = Arc::<ShardCounters>::default();
    let is_enough = Arc::new(AtomicBool::new(false));
    let (enough, limit) = (Arc::clone(&is_enough), clocks::mono().plus_ms(LIMIT_MS));
    let asked = Asked { executed: 0, refused: 0, is_enough: enough, limit };
    let setup = setup(Vec::new(), Arc::clone(&mesh), Arc::clone(&counters));
    std::thread::scope(|scope| {
        // The other shard: each of its commands has waited for longer than it may.
        scope.spawn(|| {
            while !is_enough.load(Ordering::SeqCst) && clocks::mono() < limit {
                let command = Command::ReadUser { user: "ann" };
                let since = MonoNs(clocks::mono().0 - 2 * SHED_BACKLOG_MS * 1_000_000);
                let command = EncodedCommand::new(&command, Vec::new());
                let hop = Hop { from: ShardId(1), ticket: 1, since, command };
                // So many at once that the shard finds more than a few in each turn.
                let lanes = mesh.of(ShardId(0));
                if lanes.hops.push(hop).is_err() {
                    lanes.waker.wake();
                    std::thread::yield_now();
                }
            }
        });
        let mut driver = Driver::new(setup, asked).unwrap();
        driver.run().unwrap();
        let Asked { executed, refused, .. } = driver.step;
        assert!(refused > 0, "{:?}", driver.overload);
        assert_eq!(counters.shed.of("hop").get(), refused);
        // None was before each of them had waited so long for a while.
        assert!(executed > 0);
    });
}

//! The floor: our own ring driver and HTTP parser with a constant answer. What a request costs here
//! is the kernel's and the framing's share; what nudged costs above it is the job.
//!
//!     cargo run --release --example floor -- [ADDR:PORT] [--echo] [--cpu N]
//!
//! Answers every request with 200 and 180 bytes of JSON; with `--echo` with the body it got, for
//! protocol suites. Prints `listening data ADDR:PORT`, then `ready`, as nudged does.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use nudged_api::cors::Cors;
use nudged_api::token::{Keys, Secret};
use nudged_api::visitors::VisitorRules;
use nudged_base::clock::{NodeClock, Now};
use nudged_base::ids::ShardId;
use nudged_base::limits::UNSENT_BYTES_DEFAULT;
use nudged_base::telemetry::counters::ShardCounters;
use nudged_base::time::{MonoNs, WallMs};
use nudged_domain::catalog::compile;
use nudged_domain::catalog::snapshot::Settings;
use nudged_http::connection::Answer;
use nudged_http::head::Request;
use nudged_http::reply;
use nudged_runtime::shard::driver::{Driver, Setup};
use nudged_runtime::shard::entrance::Entrance;
use nudged_runtime::shard::listener;
use nudged_runtime::shard::mesh::Mesh;
use nudged_runtime::{clocks, topology};
use nudged_shard::edge::connections::{Connections, ShardTurn};
use nudged_shard::edge::serve::Arrived;
use nudged_shard::seam::{Input, Outbox, Step};
use nudged_shard::view::{Rules, View};

/// Connections that the floor holds.
const CONNECTIONS: u32 = 8_192;
/// The constant answer: 180 bytes, as long as that of a decision that shows a small popup.
const BODY: &[u8; 180] = b"{\"decision\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\",\
\"popup\":{\"id\":\"welcome\",\"version\":1,\"variant\":null,\"content\":{\"title\":\"Welcome, stranger\"}\
},\"expires_in\":30}\n ";

struct Constant {
    view: View,
    connections: Connections,
    is_echo: bool,
}

impl Step for Constant {
    fn step(&mut self, now: Now, input: Input<'_>, outbox: &mut Outbox) {
        self.view.date.refresh(now.wall);
        let Constant { view, connections, is_echo } = self;
        let date = view.date;
        let serve = |request: &Request<'_>, _: Arrived, out: &mut Vec<u8>| {
            let frame = request.frame(&date);
            reply::start(out, 200, &frame);
            let body = if *is_echo { request.body } else { &BODY[..] };
            reply::end_with_body(out, "application/json", body, &frame);
            Answer::Now
        };
        let mut turn = ShardTurn { view, now, outbox };
        match input {
            Input::Accepted { connection, listener } => {
                connections.accept(&mut turn, connection, listener);
            }
            Input::Bytes { connection, bytes } | Input::Shed { connection, bytes } => {
                connections.receive(&mut turn, connection, bytes, serve);
            }
            Input::Sent { connection, buffer, sent } => {
                if connections.sent(&mut turn, connection, buffer, sent) {
                    connections.resume(&mut turn, connection, serve);
                }
            }
            Input::PeerClosed { connection } => connections.peer_closed(&mut turn, connection),
            Input::Broken { connection } => connections.broken(connection, turn.outbox),
            Input::Untaken { connection, bytes } => {
                connections.untaken(now.mono, connection, bytes);
            }
            Input::Tick => connections.expire(&mut turn),
            // A floor of one shard has no state, no journal, no Redis and no operator. All of them
            // are named, so that a new input is thought of here before it arrives.
            Input::Connected { .. }
            | Input::Source { .. }
            | Input::Hop(_)
            | Input::ShedHop(_)
            | Input::HopReply(_)
            | Input::HopRefused(_)
            | Input::Acked(_)
            | Input::UserRead(_)
            | Input::Journal { .. }
            | Input::Disk(_)
            | Input::RedisStatus(_)
            | Input::Control(_)
            | Input::ListenersClosed
            | Input::PlainHttp { .. } => {}
        }
    }

    fn finish_turn(&mut self, now: Now, outbox: &mut Outbox) {
        self.connections.flush(&self.view, now.mono, outbox);
    }

    fn next_deadline(&self) -> Option<MonoNs> {
        None
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut address = "127.0.0.1:0".parse()?;
    let (mut is_echo, mut cpu) = (false, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--echo" => is_echo = true,
            "--cpu" => cpu = Some(arguments.next().ok_or("--cpu wants a number")?.parse()?),
            text => address = text.parse()?,
        }
    }
    let (listeners, bound) = listener::bind_all(address, 1)?;
    if let Some(cpu) = cpu {
        topology::pin(cpu);
    }
    let counters: Arc<ShardCounters> = Arc::default();
    let secret = Secret { id: 1, created_at: WallMs(0), bytes: [0; 32], moved_at: None };
    let snapshot = compile::compile(&[], Settings::default(), 1).map_err(|_| "no catalog")?;
    let rules =
        Rules { access: Vec::new(), cors: Cors::default(), visitors: VisitorRules::default() };
    let keys = Keys::new(&[secret]);
    let view = View::new((ShardId(0), 1), Arc::new(snapshot), Arc::new(rules), Arc::new(keys), 1);
    let connections = Connections::new(CONNECTIONS, UNSENT_BYTES_DEFAULT, Arc::clone(&counters));
    let mono = clocks::mono();
    let setup = Setup {
        shard: ShardId(0),
        listeners: (0..).zip(listeners).collect(),
        descriptors: CONNECTIONS + 64,
        links: Vec::new(),
        busy_poll: Duration::ZERO,
        napi_busy_poll: Duration::ZERO,
        clock: NodeClock::start(mono, clocks::wall(), WallMs(0)),
        mesh: Arc::new(Mesh::new(1)?),
        counters,
        log: None,
        entrance: Entrance::default(),
        queue_delay: None,
    };
    let mut driver = Driver::new(setup, Constant { view, connections, is_echo })?;
    println!("listening data {bound}\nready");
    Ok(driver.run()?)
}

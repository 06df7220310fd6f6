//! Property: newcomers that are held wait in the queue, whatever else the shard does, and are
//! accepted once they are admitted.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use super::super::{Driver, Setup};
use crate::clocks;
use crate::shard::entrance::Entrance;
use crate::shard::listener;
use crate::shard::mesh::Mesh;
use nudged_base::clock::{NodeClock, Now};
use nudged_base::ids::ShardId;
use nudged_base::telemetry::counters::ShardCounters;
use nudged_base::time::MonoNs;
use nudged_shard::seam::{Effect, Input, Outbox, Step};

const TICKS_HELD: u32 = 3;
const LIMIT_MS: u64 = 60_000;

/// A shard that ends with its first visitor, and lets it in after some ticks.
struct Doorman {
    mesh: Arc<Mesh>,
    ticks: u32,
    admitted_after: Option<u32>,
    limit: MonoNs,
}

impl Step for Doorman {
    fn step(&mut self, now: Now, input: Input<'_>, outbox: &mut Outbox) {
        match input {
            Input::Accepted { .. } => {
                self.admitted_after = Some(self.ticks);
                outbox.push(Effect::Finished);
            }
            Input::Tick if now.mono > self.limit => outbox.push(Effect::Finished),
            Input::Tick => {
                self.ticks += 1;
                if self.ticks == TICKS_HELD {
                    self.mesh.admit_newcomers();
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

#[test]
fn who_is_held_is_accepted_when_admitted_and_not_before() {
    let (listeners, address) = listener::bind_all("127.0.0.1:0".parse().unwrap(), 1).unwrap();
    let mesh = Arc::new(Mesh::new(1).unwrap());
    mesh.hold_newcomers();
    let setup = Setup {
        shard: ShardId(0),
        listeners: (0..).zip(listeners).collect(),
        descriptors: 1_024,
        links: Vec::new(),
        busy_poll: Duration::ZERO,
        napi_busy_poll: Duration::ZERO,
        clock: NodeClock::start(clocks::mono(), clocks::wall(), clocks::wall()),
        mesh: Arc::clone(&mesh),
        counters: Arc::<ShardCounters>::default(),
        log: None,
        entrance: Entrance::default(),
        queue_delay: None,
    };
    let limit = clocks::mono().plus_ms(LIMIT_MS);
    let _visitor = TcpStream::connect(address).unwrap();
    let doorman = Doorman { mesh, ticks: 0, admitted_after: None, limit };
    let mut driver = Driver::new(setup, doorman).unwrap();
    driver.run().unwrap();
    let after = driver.step.admitted_after.expect("it was accepted");
    assert!(after >= TICKS_HELD, "{after}");
}

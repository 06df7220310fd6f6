//! A thread that brings lists of Redis to SQL, for `lists::drain`: asks Redis, has SQL claim and
//! apply, rests between passes.
//!
//! Lanes go on beside each other, each with its own connections: lists are streams of their own,
//! no two of them have a user in common, and a commit's wait for the disk is one for all. Measured
//! on 2 busy cores: 2 lanes drained 1.5 to 2.3 times what 1 did, 4 lanes 2.0 to 3.6 times.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clocks;
use crate::redis_client::BlockingRedis;
use crate::threads;
use crate::threads::sql_fitness::Asker;
use crate::threads::sql_writer::WriterFigures;
use crate::wake::Waker;
use nudged_background::lists::assignment::ListAssignment;
use nudged_background::lists::drain::{Drain, Effect, Input, View};
use nudged_background::lists::entries::ListStream;
pub use nudged_background::lists::metrics::DrainMetrics;
use nudged_background::sql_failure::SqlFailure;
use nudged_base::ids::NodeId;
use nudged_base::telemetry::SqlOperation;
use nudged_base::telemetry::log::Log;
use nudged_redis::refusal::RedisRefusal;
use nudged_store::{RecordRun, Store, StoreError, StreamId};

/// What the thread is made of.
pub struct DrainSetup {
    /// A connection of its own.
    pub redis: BlockingRedis,
    /// Where it is said how SQL answers.
    pub writer: Arc<WriterFigures>,
    /// A store of its own, for MySQL.
    pub store: Store,
    /// Which lists, and where it counts.
    pub share: Arc<ListAssignment>,
    /// Which of the share's lanes this is.
    pub lane: usize,
    /// Whose lane it is: what it brings is counted as this lane's, whichever lists it was in.
    pub node: NodeId,
    /// Ends the thread, once woken.
    pub stop: Arc<AtomicBool>,
    /// Wakes the thread.
    pub waker: Arc<Waker>,
    /// The core to run on.
    pub cpu: Option<usize>,
    /// Where failures are told.
    pub log: Log,
}

/// Starts the thread.
///
/// # Errors
/// Where the system gives no thread.
pub fn start(setup: DrainSetup) -> std::io::Result<JoinHandle<()>> {
    let (name, stop) = (format!("list-drain-{}", setup.lane), Arc::clone(&setup.stop));
    threads::start(name, setup.cpu, &stop, move || {
        threads::give_way(&setup.log);
        let mut lane = DrainLane::new(setup);
        while let Some(rest_ms) = lane.until_rest() {
            let is_stopping = || lane.setup.stop.load(Ordering::Acquire);
            lane.setup.waker.sleep_for_unless(Duration::from_millis(rest_ms), is_stopping);
        }
    })
}

/// A lane, by hand in tests.
pub struct DrainLane {
    setup: DrainSetup,
    machine: Drain,
}

impl DrainLane {
    /// Nothing is claimed yet.
    pub fn new(setup: DrainSetup) -> DrainLane {
        let machine = Drain::new(Arc::clone(&setup.share), setup.lane, setup.log.clone());
        DrainLane { setup, machine }
    }

    /// Reads all lists of the lane once, applies what is in them and drops it there; gives how
    /// many entries were read.
    ///
    /// # Errors
    /// What went wrong, for people; the log has it. Calling again is always safe.
    pub fn pass(&mut self) -> Result<usize, String> {
        self.until_rest();
        self.machine.last().clone()
    }

    /// Goes through a pass; gives how long to rest, in milliseconds, `None` where all is over.
    fn until_rest(&mut self) -> Option<u64> {
        let mut input = Input::Go;
        loop {
            let view = self.view();
            input = match self.machine.step(&view, input) {
                Effect::Ask(ask) => Input::Answered(self.setup.redis.carry_out(&ask)),
                Effect::Claim(lists) => Input::Claimed(self.claim(&lists)),
                Effect::Apply => Input::Applied(self.apply()),
                Effect::Rest(rest_ms) => return Some(rest_ms),
                Effect::End => return None,
            };
        }
    }

    fn view(&self) -> View {
        let DrainSetup { redis, store, stop, .. } = &self.setup;
        let rest_ms = |left: Duration| u64::try_from(left.as_millis()).unwrap_or(u64::MAX - 1);
        View {
            now: clocks::now(),
            is_stopping: stop.load(Ordering::Acquire),
            redis_rest_ms: redis.rest_left().map(rest_ms),
            denials: redis.refused(RedisRefusal::Denied),
            records_max: store.records_max(),
        }
    }

    fn claim(&mut self, lists: &[ListStream]) -> Result<Vec<StreamId>, SqlFailure> {
        let DrainSetup { store, node, lane, .. } = &mut self.setup;
        let lane = format!("lists:{:032x}:{lane}", node.0);
        let store = store.shared();
        let numbers = store.map_or(Ok(Vec::new()), |store| store.streams_of_lists(lists, &lane));
        numbers.map_err(|error| self.failed(&error))
    }

    fn apply(&mut self) -> Result<(usize, usize), SqlFailure> {
        let batch = self.machine.batch();
        let runs: Vec<RecordRun<'_>> = batch
            .iter()
            .map(|(stream, records)| RecordRun { stream: *stream, is_dense: false, records })
            .collect();
        let begun = clocks::mono();
        let result = self.setup.store.apply_runs(&runs);
        let took_ns = clocks::mono().0.saturating_sub(begun.0);
        self.setup.writer.durations.record(SqlOperation::Drain, took_ns);
        match result {
            Ok(applied) => {
                let asker = Asker::Lists(self.setup.lane);
                self.setup.writer.fitness.succeeded(clocks::mono(), asker);
                Ok((applied.records, applied.duplicates))
            }
            Err(error) => Err(self.failed(&error)),
        }
    }

    fn failed(&self, error: &StoreError) -> SqlFailure {
        // A list that is another node's is no failure of SQL.
        if !matches!(error, StoreError::Fenced { .. }) {
            let asker = Asker::Lists(self.setup.lane);
            self.setup.writer.fitness.failed(clocks::mono(), asker, error);
        }
        threads::failure_of(error)
    }
}

//! The journal's core: one thread, pinned where it is told to be, on which a glommio executor
//! drives the appender over real files. Takes records from the shards' lanes, gives
//! acknowledgements back, publishes watermarks, and sleeps while there is nothing to do.
//!
//! ```text
//! lanes -> Appender -> command -> write: a plain call · sync: the ring that it sleeps in
//!             ^                |  prepare, remove: the executor's helper, one after the other
//!             +-- completion <-+
//! ```
//!
//! It sleeps in a ring of its own (`ring`), which takes one system call, and not in the executor:
//! that one has its turn between two waits while one of its tasks is under way. The helper leaves
//! what it has done where this thread looks, and wakes it by the lanes' eventfd.
//!
//! Files are buffered: a page-cache write is what `ack = written` asks for, and direct writes gain
//! nothing with fdatasync behind them (src/journal/FORMAT.md has the figures). Direct files would
//! also run into the executor's probe for polled devices, which an empty file misleads for good.
//!
//! No queue is marked as latency sensitive: with that, this version of the executor now and then
//! goes to sleep on work that it has (3 of 100 runs of the tests beside this file stood still, none
//! of 700 without).
//!
//! Limits: 4 commands under way, one of a kind.

mod commands;
mod reporter;
mod ring;

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::bounded;
use glommio::{
    ExecutorJoinHandle, GlommioError, Latency, LocalExecutorBuilder, Placement, Shares,
    TaskQueueHandle, executor, spawn_local_into,
};

use self::commands::{Housekeeping, OpenSegments};
use self::reporter::JournalReporter;
use self::ring::JournalRing;
use crate::clocks;
use crate::journal::directory::JournalDirectory;
use crate::journal::lanes::JournalLanes;
use crate::threads::vital::Needed;
use crate::wake::Waker;
use nudged_base::clock::NodeClock;
use nudged_base::ids::ShardId;
use nudged_base::telemetry::log::Log;
use nudged_base::time::MonoNs;
use nudged_journal::appender::{Appender, AppenderConfig, AppenderStart, Poison};
use nudged_journal::disk::{DiskCommand, DiskCompletion};

/// Registered memory of the executor; its default of 10 MiB a ring is for direct reads.
const IO_MEMORY_BYTES: usize = 64 << 10;
/// Entries of each of the executor's rings: few commands are under way at once.
const RING_DEPTH: usize = 64;
/// Rounds in a row before other tasks have their turn.
const TURNS_IN_ROW_MAX: usize = 16;
/// No queue is sensitive to latency: see the module.
const LATENCY: Latency = Latency::NotImportant;
/// The executor's tasks have a turn at least this often while one is under way.
const HOUSEKEEPING_PERIOD: Duration = Duration::from_millis(10);
/// The executor looks at its rings after this long, also where a task always has more to do, as the
/// driving one has; its default is 100 ms.
const PREEMPT_TIMER: Duration = Duration::from_micros(200);

/// Where and how a journal runs.
#[derive(Clone)]
pub struct JournalConfig {
    /// Its directory, locked.
    pub directory: Arc<JournalDirectory>,
    /// The CPU that its thread is pinned to; `None` for any.
    pub cpu: Option<usize>,
    /// How it writes.
    pub appender: AppenderConfig,
    /// Where failures and a full disk are told.
    pub log: Log,
}

/// Whom the journal wakes.
#[derive(Clone, Debug)]
pub struct JournalWakers {
    /// By the shards' numbers, when acknowledgements have come.
    pub shards: Vec<Arc<Waker>>,
    /// SQL's side, when there is more to read.
    pub reader: Arc<Waker>,
}

/// Why a journal's core could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The executor refused: rings, memory or affinity.
    #[error("the journal's executor can't be started: {0}")]
    Executor(io::Error),
}

/// How a journal's core has failed by its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StopError {
    /// The event path had been closed.
    #[error(transparent)]
    Poison(#[from] Poison),
    /// Its thread was not there any more.
    #[error("the journal's thread has already ended: {0}")]
    Gone(String),
}

/// A running journal. Dropping it does not stop it.
pub struct JournalHandle {
    thread: ExecutorJoinHandle<Result<(), Poison>>,
    lanes: Arc<JournalLanes>,
}

impl JournalHandle {
    /// Has everything that was pushed written and synced, closes the files and joins the thread.
    /// On a full disk this waits for space.
    ///
    /// # Errors
    /// [`StopError`] where the event path had been closed, or the thread was gone: exit code 4.
    pub fn stop(self) -> Result<(), StopError> {
        self.lanes.stop();
        match self.thread.join() {
            Ok(outcome) => Ok(outcome?),
            Err(error) => Err(StopError::Gone(error.to_string())),
        }
    }
}

/// Starts a journal's core where recovery ended, and waits until its executor runs: what that lacks
/// it finds on its own thread.
///
/// # Errors
/// [`StartError`] where the executor can't be started.
pub fn start(
    config: JournalConfig,
    recovered: AppenderStart,
    lanes: Arc<JournalLanes>,
    wakers: JournalWakers,
) -> Result<JournalHandle, StartError> {
    assert_eq!(wakers.shards.len(), lanes.shards(), "each lane's shard can be woken");
    let placement = config.cpu.map_or(Placement::Unbound, Placement::Fixed);
    lanes.set_applied(recovered.usage.applied());
    let shared = Arc::clone(&lanes);
    let (begun, has_begun) = bounded(1);
    let thread = LocalExecutorBuilder::new(placement)
        .name("journal")
        .io_memory(IO_MEMORY_BYTES)
        .ring_depth(RING_DEPTH)
        .preempt_timer(PREEMPT_TIMER)
        .spawn(move || async move {
            let needed = [Needed::here("journal"), helper().await];
            let clock = NodeClock::start(clocks::mono(), clocks::wall(), recovered.newest);
            let appender = Appender::new(config.appender, recovered);
            let directory = config.directory.path().to_path_buf();
            let reporter =
                JournalReporter::new(config.log, directory, config.appender.segment_bytes);
            let ring = match JournalRing::new() {
                Ok(ring) => ring,
                Err(error) => {
                    let _ = begun.send(Err(error));
                    return Ok(());
                }
            };
            // Who starts it waits for this.
            let _ = begun.send(Ok(()));
            let parts = (appender, clock, ring);
            let ends = (Arc::clone(&shared), wakers);
            let core = JournalCore::new(parts, config.directory, ends, reporter);
            let queue = executor().create_task_queue(Shares::Static(900), LATENCY, "journal");
            let running = spawn_local_into(core.run(), queue).expect("the queue was just made");
            let outcome = running.await;
            for thread in needed {
                thread.leave(shared.is_stopping());
            }
            outcome
        })
        .map_err(refused)?;
    match (has_begun.recv(), thread) {
        (Ok(Ok(())), thread) => Ok(JournalHandle { thread, lanes }),
        (Ok(Err(error)), _) => Err(StartError::Executor(error)),
        (Err(_), thread) => match thread.join() {
            Err(error) => Err(refused(error)),
            Ok(_) => Err(StartError::Executor(io::Error::other("its thread ended at once"))),
        },
    }
}

fn refused(error: GlommioError<()>) -> StartError {
    StartError::Executor(io::Error::other(error.to_string()))
}

/// The thread on which the executor does what its rings can't: without it no segment gets its name.
async fn helper() -> Needed {
    executor().spawn_blocking(|| Needed::here("journal-helper")).await
}

struct JournalCore {
    appender: Appender,
    /// Retention goes by the node's time: a wall clock that is set forward must not take segments
    /// whose records SQL has committed but may still lose with the power.
    clock: NodeClock,
    lanes: Arc<JournalLanes>,
    wakers: JournalWakers,
    ring: JournalRing,
    segments: OpenSegments,
    housekeeping: Rc<Housekeeping>,
    housekeeping_queue: TaskQueueHandle,
    reporter: JournalReporter,
}

impl JournalCore {
    fn new(
        (appender, clock, ring): (Appender, NodeClock, JournalRing),
        directory: Arc<JournalDirectory>,
        (lanes, wakers): (Arc<JournalLanes>, JournalWakers),
        reporter: JournalReporter,
    ) -> JournalCore {
        let shares = Shares::Static(100);
        let housekeeping = Housekeeping::new(Arc::clone(&directory), Arc::clone(&lanes));
        JournalCore {
            appender,
            clock,
            lanes,
            wakers,
            ring,
            segments: OpenSegments::new(directory),
            housekeeping: Rc::new(housekeeping),
            housekeeping_queue: executor().create_task_queue(shares, LATENCY, "housekeeping"),
            reporter,
        }
    }

    async fn run(mut self) -> Result<(), Poison> {
        loop {
            for _ in 0..TURNS_IN_ROW_MAX {
                if !self.turn() {
                    break;
                }
            }
            if self.appender.is_finished() && self.is_ending() {
                break;
            }
            if self.housekeeping.under_way.get() > 0 {
                executor().yield_task_queue_now().await;
            }
            self.rest();
        }
        // Everything in the files is synced: closing them can lose nothing.
        self.appender.poison().map_or(Ok(()), Err)
    }

    /// Begins what was asked of the ring, and sleeps in it unless there is work.
    fn rest(&mut self) {
        self.lanes.core().announce_sleep();
        let entered = if self.has_work() {
            self.lanes.core().announce_awake();
            self.ring.submit()
        } else {
            let limit = self.sleep_limit();
            self.ring.wait(self.lanes.core().eventfd(), limit)
        };
        self.lanes.core().announce_awake();
        entered.expect("the kernel takes what the ring has room for");
    }

    /// How long to sleep at most; `None` for ever.
    fn sleep_limit(&self) -> Option<Duration> {
        let until = |at: MonoNs| Duration::from_nanos(at.0.saturating_sub(clocks::mono().0));
        let is_busy = self.housekeeping.under_way.get() > 0;
        let housekeeping = is_busy.then_some(HOUSEKEEPING_PERIOD);
        self.appender.wake_at().map(until).into_iter().chain(housekeeping).min()
    }

    /// Whether to end once finished: stopped, with empty lanes; poisoned, only when told to stop.
    fn is_ending(&self) -> bool {
        self.lanes.is_stopping() && (self.lanes.is_empty() || self.appender.poison().is_some())
    }

    /// Whether something came since the last turn that has no wake of its own.
    fn has_work(&self) -> bool {
        (self.appender.has_room() && !self.lanes.is_empty())
            || self.housekeeping.has_completion()
            || self.lanes.applied() > self.appender.applied_sequence()
            || self.lanes.promised_bytes() != self.appender.promised_bytes()
            || (self.lanes.is_stopping() && self.appender.is_finished())
    }

    /// One round: what has come in, what is to be done, what goes out. Returns whether there may
    /// be more at once.
    fn turn(&mut self) -> bool {
        let mono = clocks::mono();
        self.clock.observe(mono, clocks::wall());
        self.appender.tick(mono, self.clock.at(mono));
        self.appender.applied(self.lanes.applied());
        self.appender.promise(self.lanes.promised_bytes());
        let mut is_busy = false;
        while let Some(completion) = self.take_completion() {
            self.appender.complete(completion);
            is_busy = true;
        }
        is_busy |= self.take_records();
        if self.lanes.is_stopping() && self.lanes.is_empty() {
            self.appender.stop();
        }
        while let Some(command) = self.appender.next_command() {
            self.carry_out(command);
        }
        self.give_acks();
        is_busy
    }

    fn take_completion(&mut self) -> Option<DiskCompletion> {
        self.ring.reap().or_else(|| self.housekeeping.take_completion())
    }

    /// Takes lane batches, one of each shard in turn, while there is room.
    fn take_records(&mut self) -> bool {
        let mut is_any = false;
        loop {
            let mut is_more = false;
            for shard in 0..self.lanes.shards() {
                if !self.appender.has_room() {
                    return is_any;
                }
                if let Some(batch) = self.lanes.pop(shard) {
                    self.appender.offer(batch);
                    is_more = true;
                }
            }
            is_any |= is_more;
            if !is_more {
                return is_any;
            }
        }
    }

    fn give_acks(&mut self) {
        if let Some(poison) = self.appender.poison() {
            self.lanes.set_poison(poison);
        }
        let metrics = self.appender.metrics();
        let failed = (self.appender.poison(), self.appender.prepare_failure());
        self.reporter.tell(clocks::mono(), &metrics, failed, &self.lanes);
        // Watermarks come before the acknowledgements that rest on them.
        if self.lanes.publish(metrics) {
            self.wakers.reader.wake();
        }
        let mut last: Option<ShardId> = None;
        while let Some(ack) = self.appender.next_ack() {
            let shard = ack.shard;
            self.lanes.acknowledge(ack);
            if let Some(before) = last.replace(shard).filter(|before| *before != shard) {
                self.wakers.shards[before.index()].wake();
            }
        }
        if let Some(shard) = last {
            self.wakers.shards[shard.index()].wake();
        }
    }

    fn carry_out(&mut self, command: DiskCommand) {
        match command {
            DiskCommand::Write { segment, offset, bytes } => {
                let outcome = self.segments.write(segment, &bytes, offset);
                self.appender.complete(DiskCompletion::Written(segment, outcome));
            }
            DiskCommand::Sync { segment } => match self.segments.file(segment) {
                Ok(file) => self.ring.sync(segment, file),
                Err(error) => self.appender.complete(DiskCompletion::Synced(segment, Err(error))),
            },
            DiskCommand::Prepare { .. } => self.spawn(command),
            DiskCommand::Remove { segment } => {
                self.segments.close(segment);
                self.spawn(command);
            }
        }
    }

    fn spawn(&self, command: DiskCommand) {
        let housekeeping = Rc::clone(&self.housekeeping);
        housekeeping.under_way.update(|count| count + 1);
        let task = async move { housekeeping.carry_out(command).await };
        let spawned = spawn_local_into(task, self.housekeeping_queue);
        spawned.expect("queues live as long as the executor").detach();
    }
}

#[cfg(test)]
mod tests;

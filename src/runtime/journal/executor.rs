//! The journal's core: one thread, pinned where it is told to be, on which a glommio executor
//! drives the appender over real files. Takes records from the shards' lanes, gives
//! acknowledgements back, publishes watermarks, and sleeps while there is nothing to do.
//!
//! ```text
//! lanes -> Appender -> command -> task (journal queue: write, sync
//!             ^                      |    housekeeping queue: prepare, remove)
//!             +---- completion <-----+    wakes: completion · eventfd of the lanes · timer
//! ```
//!
//! While no command has a task the executor has nothing to wait for, and the thread sleeps by
//! itself on the lanes' waker (`JournalCore::rest`): one system call to sleep and one to wake it,
//! where the executor takes ten and a barrier across all cores.
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
#![allow(unsafe_code)]

mod commands;
mod reporter;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, FromRawFd, IntoRawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use crossbeam::channel::bounded;
use futures_lite::FutureExt;
use glommio::io::BufferedFile;
use glommio::timer::Timer;
use glommio::{
    ExecutorJoinHandle, GlommioError, Latency, LocalExecutorBuilder, Placement, Shares,
    TaskQueueHandle, executor, spawn_local_into,
};

use self::commands::Files;
use self::reporter::JournalReporter;
use crate::clocks;
use crate::journal::directory::JournalDirectory;
use crate::journal::lanes::JournalLanes;
use crate::threads::vital::Needed;
use crate::topology;
use crate::wake::Waker;
use nudged_base::clock::NodeClock;
use nudged_base::ids::ShardId;
use nudged_base::telemetry::log::Log;
use nudged_journal::appender::{AckLevel, Appender, AppenderConfig, AppenderStart, Poison};
use nudged_journal::disk::{DiskCommand, DiskCompletion};

/// Registered memory of the executor; its default of 10 MiB a ring is for direct reads.
const IO_MEMORY_BYTES: usize = 64 << 10;
/// Entries of each of the executor's rings: few commands are under way at once.
const RING_DEPTH: usize = 64;
/// Rounds in a row before other tasks have their turn.
const TURNS_IN_ROW_MAX: usize = 16;

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
    let cpu = config.cpu;
    lanes.set_applied(recovered.usage.applied());
    let shared = Arc::clone(&lanes);
    let (begun, has_begun) = bounded(1);
    // To pin its thread itself the executor reads /sys, which a container or a chroot may lack.
    let thread = LocalExecutorBuilder::new(Placement::Unbound)
        .name("journal")
        .io_memory(IO_MEMORY_BYTES)
        .ring_depth(RING_DEPTH)
        .spawn(move || async move {
            pin(cpu);
            let needed = [Needed::here("journal"), helper(cpu).await];
            // Who starts it waits for this.
            let _ = begun.send(());
            let clock = NodeClock::start(clocks::mono(), clocks::wall(), recovered.newest);
            let appender = Appender::new(config.appender, recovered);
            let directory = config.directory.path().to_path_buf();
            let reporter =
                JournalReporter::new(config.log, directory, config.appender.segment_bytes);
            let parts = (appender, clock);
            let ends = (Arc::clone(&shared), wakers);
            let core = JournalCore::new(parts, config.directory, ends, reporter);
            let outcome = core.run().await;
            for thread in needed {
                thread.leave(shared.is_stopping());
            }
            outcome
        })
        .map_err(refused)?;
    match (has_begun.recv(), thread) {
        (Ok(()), thread) => Ok(JournalHandle { thread, lanes }),
        (Err(_), thread) => match thread.join() {
            Err(error) => Err(refused(error)),
            Ok(_) => Err(StartError::Executor(io::Error::other("its thread ended at once"))),
        },
    }
}

fn refused(error: GlommioError<()>) -> StartError {
    StartError::Executor(io::Error::other(error.to_string()))
}

/// Puts the calling thread on the core that it is to be on, if any.
fn pin(cpu: Option<usize>) {
    // Unpinned is slower and not wrong.
    let _is_pinned = cpu.is_none_or(topology::pin);
}

/// The thread on which the executor does what its rings can't: without it no segment gets its name.
async fn helper(cpu: Option<usize>) -> Needed {
    let begin = move || {
        pin(cpu);
        Needed::here("journal-helper")
    };
    executor().spawn_blocking(begin).await
}

/// What may wake the driving task: set by completions, the eventfd's listener and timers.
#[derive(Default)]
struct Signal {
    is_set: Cell<bool>,
    waker: RefCell<Option<task::Waker>>,
}

impl Signal {
    fn set(&self) {
        self.is_set.set(true);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    async fn wait(&self) {
        poll_fn(|context| {
            if self.is_set.replace(false) {
                return Poll::Ready(());
            }
            *self.waker.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

struct JournalCore {
    appender: Appender,
    /// Retention goes by the node's time: a wall clock that is set forward must not take segments
    /// whose records SQL has committed but may still lose with the power.
    clock: NodeClock,
    lanes: Arc<JournalLanes>,
    wakers: JournalWakers,
    files: Rc<Files>,
    reporter: JournalReporter,
    journal_queue: TaskQueueHandle,
    housekeeping_queue: TaskQueueHandle,
}

impl JournalCore {
    fn new(
        (appender, clock): (Appender, NodeClock),
        directory: Arc<JournalDirectory>,
        ends: (Arc<JournalLanes>, JournalWakers),
        reporter: JournalReporter,
    ) -> JournalCore {
        let (lanes, wakers) = ends;
        let latency = Latency::NotImportant;
        let is_sync_awaited = appender.ack() == AckLevel::Synced;
        JournalCore {
            appender,
            clock,
            wakers,
            reporter,
            files: Rc::new(Files {
                directory,
                open: RefCell::default(),
                completions: RefCell::default(),
                signal: Signal::default(),
                under_way: Cell::new(0),
                is_sync_awaited,
                is_over: Cell::new(false),
            }),
            lanes,
            journal_queue: executor().create_task_queue(Shares::Static(900), latency, "journal"),
            housekeeping_queue: executor().create_task_queue(
                Shares::Static(100),
                latency,
                "housekeeping",
            ),
        }
    }

    async fn run(mut self) -> Result<(), Poison> {
        let listener = spawn_local_into(
            listen(Arc::clone(&self.lanes), Rc::clone(&self.files)),
            self.journal_queue,
        )
        .expect("the queue was just made");
        loop {
            for _ in 0..TURNS_IN_ROW_MAX {
                if !self.turn() {
                    break;
                }
            }
            if self.appender.is_finished() && self.is_ending() {
                break;
            }
            self.rest().await;
        }
        // The listener reads once more and sees that it is over.
        self.files.is_over.set(true);
        let wake = rustix::io::write(self.lanes.core().eventfd(), &1u64.to_ne_bytes());
        wake.expect("an eventfd takes a one");
        listener.await;
        let open = std::mem::take(&mut *self.files.open.borrow_mut());
        for file in open.into_values().filter_map(Rc::into_inner) {
            // Everything in it is synced: closing can lose nothing.
            let _ = file.close().await;
        }
        self.appender.poison().map_or(Ok(()), Err)
    }

    /// Whether to end once finished: stopped, with empty lanes; poisoned, only when told to stop.
    fn is_ending(&self) -> bool {
        self.lanes.is_stopping() && (self.lanes.is_empty() || self.appender.poison().is_some())
    }

    /// Sleeps until there is something to do: in the executor where that may come from a command's
    /// task, else without it.
    async fn rest(&self) {
        let core = self.lanes.core();
        if self.files.under_way.get() == 0 {
            return match self.wake_in() {
                Some(limit) => core.sleep_for_unless(limit, || self.has_work()),
                None => core.sleep_unless(|| self.has_work()),
            };
        }
        core.announce_sleep();
        if self.has_work() {
            core.announce_awake();
            // Syncs and preparations are tasks, and have to come in between.
            executor().yield_task_queue_now().await;
            return;
        }
        self.sleep_in_executor().await;
        core.announce_awake();
    }

    /// Whether something came since the last turn that has no wake of its own.
    fn has_work(&self) -> bool {
        let is_stopping = self.lanes.is_stopping();
        let is_stop_new = is_stopping && !self.appender.is_stopping() && self.lanes.is_empty();
        (self.appender.has_room() && !self.lanes.is_empty())
            || !self.files.completions.borrow().is_empty()
            || self.lanes.applied() > self.appender.applied_sequence()
            || self.lanes.promised_bytes() != self.appender.promised_bytes()
            || is_stop_new
            || (is_stopping && self.appender.is_finished())
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
            match self.files.carry_out_now(command) {
                Ok(completion) => self.appender.complete(completion),
                Err(command) => self.carry_out(command),
            }
        }
        self.give_acks();
        is_busy
    }

    fn take_completion(&self) -> Option<DiskCompletion> {
        self.files.completions.borrow_mut().pop_front()
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

    fn carry_out(&self, command: DiskCommand) {
        let queue = match command {
            DiskCommand::Write { .. } | DiskCommand::Sync { .. } => self.journal_queue,
            DiskCommand::Prepare { .. } | DiskCommand::Remove { .. } => self.housekeeping_queue,
        };
        let files = Rc::clone(&self.files);
        files.under_way.update(|count| count + 1);
        let task = async move {
            let completion = files.carry_out(command).await;
            files.under_way.update(|count| count - 1);
            files.completions.borrow_mut().push_back(completion);
            files.signal.set();
        };
        spawn_local_into(task, queue).expect("queues live as long as the executor").detach();
    }

    /// How long until the appender has something to do by itself.
    fn wake_in(&self) -> Option<Duration> {
        let at = self.appender.wake_at()?;
        Some(Duration::from_nanos(at.0.saturating_sub(clocks::mono().0)))
    }

    async fn sleep_in_executor(&self) {
        let signal = self.files.signal.wait();
        match self.wake_in() {
            None => signal.await,
            Some(limit) => {
                let timer = async {
                    Timer::new(limit).await;
                };
                signal.or(timer).await;
            }
        }
    }
}

/// Reads the eventfd, over and over: where this thread waits for other threads in its executor.
async fn listen(lanes: Arc<JournalLanes>, files: Rc<Files>) {
    let eventfd = lanes.core().eventfd().as_fd().try_clone_to_owned();
    let eventfd = eventfd.expect("a descriptor for the journal's eventfd").into_raw_fd();
    // SAFETY: the descriptor was just made and is given up here, so the file is its only owner.
    let file = unsafe { BufferedFile::from_raw_fd(eventfd) };
    loop {
        let read = file.read_at(0, 8).await;
        files.signal.set();
        if files.is_over.get() {
            break;
        }
        assert!(read.is_ok(), "an eventfd can be read: {read:?}");
    }
    let _ = file.close().await;
}

#[cfg(test)]
mod tests;

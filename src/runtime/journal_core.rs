//! The journal's core: one thread, pinned where it is told to be, on which a glommio executor drives
//! the appender over real files. Takes records from the shards' lanes, gives acknowledgements back,
//! publishes watermarks, and sleeps while there is nothing to do.
//!
//! ```text
//! lanes -> Appender -> command -> task (journal queue: write, sync · housekeeping: prepare, remove)
//!             ^                      |
//!             +---- completion <-----+      wakes: completion · eventfd of the lanes · timer
//! ```
//!
//! Files are buffered: a page-cache write is what `ack = written` asks for, and direct writes gain
//! nothing with fdatasync behind them (FORMAT.md has the figures). Direct files would also run into
//! the executor's probe for polled devices, which an empty file misleads for good.
//!
//! No queue is marked as latency sensitive: with that, this version of the executor now and then
//! goes to sleep on work that it has (3 of 100 runs of the tests beside this file stood still, none
//! of 700 without).
//!
//! Limits: 4 commands under way, one of a kind; segments are zeroed in pieces of [`ZERO_BYTES`].
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, FromRawFd, IntoRawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use futures_lite::FutureExt;
use glommio::io::{BufferedFile, OpenOptions};
use glommio::timer::Timer;
use glommio::{
    ExecutorJoinHandle, GlommioError, Latency, LocalExecutorBuilder, Placement, Shares,
    TaskQueueHandle, executor, spawn_local_into,
};
use rustix::time::{ClockId, clock_gettime};

use super::files::{JournalDirectory, disk_error};
use super::journal_lanes::JournalLanes;
use super::wake::Sleeper;
use crate::base::ids::ShardId;
use crate::base::time::{MonoNs, WallMs};
use crate::journal::appender::{Appender, AppenderConfig, AppenderStart, Poison};
use crate::journal::disk::{Completion, DiskCommand, DiskError};
use crate::journal::segment::{HEADER_BYTES, SECOND_HEADER_OFFSET, SegmentHeader, SegmentId};

/// Bytes of zeros that are written at once when a segment is made.
const ZERO_BYTES: usize = 1024 * 1024;
/// Pieces of zeros between two syncs: a sync of a whole segment would stall the journal's own.
const ZERO_PIECES_PER_SYNC: u64 = 8;
/// Registered memory of the executor; its default of 10 MiB a ring is for direct reads.
const IO_MEMORY_BYTES: usize = 64 << 10;
/// Entries of each of the executor's rings: few commands are under way at once.
const RING_DEPTH: usize = 64;

/// Where and how a journal runs.
#[derive(Clone, Debug)]
pub struct JournalConfig {
    /// Its directory, locked.
    pub directory: Arc<JournalDirectory>,
    /// The CPU that its thread is pinned to; `None` for any.
    pub cpu: Option<usize>,
    /// How it writes.
    pub appender: AppenderConfig,
}

/// Whom the journal wakes.
#[derive(Clone, Debug)]
pub struct JournalSleepers {
    /// By the shards' numbers, when acknowledgements have come.
    pub shards: Vec<Arc<Sleeper>>,
    /// SQL's side, when there is more to read.
    pub reader: Arc<Sleeper>,
}

/// Why a journal's core could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The executor refused: rings, memory or affinity.
    #[error("the journal's executor can't be started: {0}")]
    Executor(io::Error),
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
    /// [`Poison`] where the event path had been closed: exit code 4.
    pub fn stop(self) -> Result<(), Poison> {
        self.lanes.stop();
        match self.thread.join() {
            Ok(outcome) => outcome,
            Err(error) => panic!("the journal's thread ended on its own: {error}"),
        }
    }
}

/// Starts a journal's core where recovery ended.
///
/// # Errors
/// [`StartError`] where the executor can't be started.
pub fn start(
    config: JournalConfig,
    recovered: AppenderStart,
    lanes: Arc<JournalLanes>,
    sleepers: JournalSleepers,
) -> Result<JournalHandle, StartError> {
    assert_eq!(sleepers.shards.len(), lanes.shards(), "each lane's shard can be woken");
    let placement = config.cpu.map_or(Placement::Unbound, Placement::Fixed);
    lanes.set_applied(recovered.ledger.applied());
    let shared = Arc::clone(&lanes);
    let thread = LocalExecutorBuilder::new(placement)
        .name("journal")
        .io_memory(IO_MEMORY_BYTES)
        .ring_depth(RING_DEPTH)
        .spawn(move || async move {
            let appender = Appender::new(config.appender, recovered);
            let core = Core::new(appender, config.directory, shared, sleepers);
            core.run().await
        })
        .map_err(|error| StartError::Executor(io::Error::other(error.to_string())))?;
    Ok(JournalHandle { thread, lanes })
}

/// What may wake the driving task: set by completions, the eventfd's listener and timers.
#[derive(Default)]
struct Signal {
    is_set: Cell<bool>,
    waker: RefCell<Option<Waker>>,
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

/// What the commands' tasks share with the driving task.
struct Files {
    directory: Arc<JournalDirectory>,
    open: RefCell<BTreeMap<SegmentId, Rc<BufferedFile>>>,
    completions: RefCell<VecDeque<Completion>>,
    signal: Signal,
    is_over: Cell<bool>,
}

struct Core {
    appender: Appender,
    lanes: Arc<JournalLanes>,
    sleepers: JournalSleepers,
    files: Rc<Files>,
    journal_queue: TaskQueueHandle,
    housekeeping_queue: TaskQueueHandle,
}

impl Core {
    fn new(
        appender: Appender,
        directory: Arc<JournalDirectory>,
        lanes: Arc<JournalLanes>,
        sleepers: JournalSleepers,
    ) -> Core {
        let latency = Latency::NotImportant;
        Core {
            appender,
            sleepers,
            files: Rc::new(Files {
                directory,
                open: RefCell::default(),
                completions: RefCell::default(),
                signal: Signal::default(),
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
            while self.turn() {}
            if self.appender.is_finished() && self.is_ending() {
                break;
            }
            self.lanes.core().announce_sleep();
            if self.has_work() {
                self.lanes.core().announce_awake();
                continue;
            }
            self.sleep().await;
            self.lanes.core().announce_awake();
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

    /// Whether something came since the last turn that has no wake of its own.
    fn has_work(&self) -> bool {
        (self.appender.has_room() && !self.lanes.is_empty())
            || !self.files.completions.borrow().is_empty()
            || self.lanes.applied() > self.appender.applied_sequence()
            || (self.lanes.is_stopping() && self.appender.is_finished())
    }

    /// One round: what has come in, what is to be done, what goes out. Returns whether there may
    /// be more at once.
    fn turn(&mut self) -> bool {
        self.appender.tick(monotonic_now(), wall_now());
        self.appender.applied(self.lanes.applied());
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

    fn take_completion(&self) -> Option<Completion> {
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
        // Watermarks come before the acknowledgements that rest on them.
        if self.lanes.publish(&self.appender.gauges()) {
            self.sleepers.reader.wake();
        }
        let mut last: Option<ShardId> = None;
        while let Some(ack) = self.appender.next_ack() {
            let shard = ack.shard;
            self.lanes.acknowledge(ack);
            if let Some(before) = last.replace(shard).filter(|before| *before != shard) {
                self.sleepers.shards[before.index()].wake();
            }
        }
        if let Some(shard) = last {
            self.sleepers.shards[shard.index()].wake();
        }
    }

    fn carry_out(&self, command: DiskCommand) {
        let queue = match command {
            DiskCommand::Write { .. } | DiskCommand::Sync { .. } => self.journal_queue,
            DiskCommand::Prepare { .. } | DiskCommand::Remove { .. } => self.housekeeping_queue,
        };
        let files = Rc::clone(&self.files);
        let task = async move {
            let completion = files.carry_out(command).await;
            files.completions.borrow_mut().push_back(completion);
            files.signal.set();
        };
        spawn_local_into(task, queue).expect("queues live as long as the executor").detach();
    }

    async fn sleep(&self) {
        let signal = self.files.signal.wait();
        match self.appender.wake_at() {
            None => signal.await,
            Some(at) => {
                let left = at.0.saturating_sub(monotonic_now().0);
                let timer = async {
                    Timer::new(Duration::from_nanos(left)).await;
                };
                signal.or(timer).await;
            }
        }
    }
}

/// Reads the eventfd, over and over: the one place where this thread waits for other threads.
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

impl Files {
    async fn carry_out(&self, command: DiskCommand) -> Completion {
        match command {
            DiskCommand::Write { segment, offset, bytes } => {
                let outcome = match self.file(segment).await {
                    Ok(file) => file.write_at(bytes, offset).await.map_err(translate),
                    Err(error) => Err(error),
                };
                Completion::Written(segment, outcome)
            }
            DiskCommand::Sync { segment } => {
                let outcome = match self.file(segment).await {
                    Ok(file) => file.fdatasync().await.map_err(translate),
                    Err(error) => Err(error),
                };
                Completion::Synced(segment, outcome)
            }
            DiskCommand::Prepare { segment, header, bytes } => {
                let outcome = self.prepare(segment, header, bytes).await;
                Completion::Prepared(segment, outcome)
            }
            DiskCommand::Remove { segment } => {
                self.open.borrow_mut().remove(&segment);
                let path = self.directory.segment_path(segment);
                let removed = executor().spawn_blocking(move || std::fs::remove_file(path)).await;
                let outcome = match removed.map_err(|error| disk_error(&error)) {
                    Err(DiskError::Missing) => Ok(()),
                    other => other,
                };
                Completion::Removed(segment, outcome)
            }
        }
    }

    /// The file of a segment, opened at its first use. Earlier ones are of no more use by then.
    async fn file(&self, segment: SegmentId) -> Result<Rc<BufferedFile>, DiskError> {
        if let Some(file) = self.open.borrow().get(&segment) {
            return Ok(Rc::clone(file));
        }
        let path = self.directory.segment_path(segment);
        let opened = OpenOptions::new().write(true).buffered_open(path).await;
        let file = Rc::new(opened.map_err(translate)?);
        let mut open = self.open.borrow_mut();
        // A write and a sync may have opened the same file at once: the first one stays.
        let file = Rc::clone(open.entry(segment).or_insert(file));
        while open.len() > 2 {
            open.pop_first();
        }
        Ok(file)
    }

    /// Makes a segment under its staged name, zeroed and synced, and gives it its own.
    async fn prepare(
        &self,
        segment: SegmentId,
        header: SegmentHeader,
        bytes: u64,
    ) -> Result<(), DiskError> {
        let staged = self.directory.staged_path(segment);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .buffered_open(staged)
            .await
            .map_err(translate)?;
        let zeroed = zero(&file, header, bytes).await;
        let closed = file.close().await.map_err(translate);
        zeroed.and(closed)?;
        let directory = Arc::clone(&self.directory);
        let published = executor().spawn_blocking(move || directory.publish(segment)).await;
        published.map_err(|error| disk_error(&error))
    }
}

/// Allocates a segment, writes every byte of it, and syncs it.
async fn zero(file: &BufferedFile, header: SegmentHeader, bytes: u64) -> Result<(), DiskError> {
    match file.pre_allocate(bytes, false).await.map_err(translate) {
        // Not every file system can; the zeros allocate as well.
        Ok(()) | Err(DiskError::Failed(libc::EOPNOTSUPP)) => {}
        Err(error) => return Err(error),
    }
    let piece = u64::try_from(ZERO_BYTES).expect("1 MiB");
    for (index, offset) in (0_u64..).zip((0..bytes).step_by(ZERO_BYTES)) {
        let count = usize::try_from(piece.min(bytes - offset)).expect("1 MiB at most");
        let mut zeros = vec![0; count];
        if offset == 0 {
            let second = usize::try_from(SECOND_HEADER_OFFSET).expect("4,096");
            zeros[..HEADER_BYTES].copy_from_slice(&header.encode());
            zeros[second..second + HEADER_BYTES].copy_from_slice(&header.encode());
        }
        write_all(file, zeros, offset).await?;
        if index % ZERO_PIECES_PER_SYNC == ZERO_PIECES_PER_SYNC - 1 {
            file.fdatasync().await.map_err(translate)?;
        }
    }
    file.fdatasync().await.map_err(translate)
}

async fn write_all(file: &BufferedFile, bytes: Vec<u8>, offset: u64) -> Result<(), DiskError> {
    let mut done = 0;
    while done < bytes.len() {
        let at = offset + u64::try_from(done).expect("1 MiB at most");
        match file.write_at(bytes[done..].to_vec(), at).await.map_err(translate) {
            Ok(0) => return Err(DiskError::NoSpace),
            Ok(count) => done += count,
            Err(DiskError::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn translate(error: GlommioError<()>) -> DiskError {
    match error.raw_os_error() {
        Some(number) => disk_error(&io::Error::from_raw_os_error(number)),
        None => disk_error(&io::Error::from(error)),
    }
}

fn monotonic_now() -> MonoNs {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).expect("monotonic time is not negative");
    let nanoseconds = u64::try_from(now.tv_nsec).expect("a fraction of a second");
    MonoNs(seconds * 1_000_000_000 + nanoseconds)
}

fn wall_now() -> WallMs {
    let now = clock_gettime(ClockId::Realtime);
    WallMs(now.tv_sec.saturating_mul(1_000).saturating_add(now.tv_nsec / 1_000_000))
}

#[cfg(test)]
mod tests;

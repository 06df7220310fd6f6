//! The thread that applies the journal to SQL: follows the files, up to 1,000 records in one
//! transaction with the position, and tells how far it has come. Beside the journal on the
//! dedicated core, on a thread of its own, since a blocking call there would delay
//! acknowledgements.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::journal_lanes::JournalLanes;
use super::wake::Sleeper;
use super::{clocks, log_thread, topology};
use crate::base::ids::Sequence;
use crate::base::limits::APPLY_RECORDS_MAX;
use crate::journal::disk::DiskRead;
use crate::journal::reader::{Tail, TailError};
use crate::journal::record::{self, frames};
use crate::store::{Store, StoreError, StreamId};
use crate::telemetry::log::{Log, Message};

/// First wait after a failure, in milliseconds; doubles up to the longest.
const BACKOFF_FIRST_MS: u64 = 100;
/// Longest wait after a failure, in milliseconds.
const BACKOFF_MAX_MS: u64 = 5_000;
/// Records are gathered this long before a small transaction, in milliseconds: one commit for many.
const GATHER_MS: u64 = 10;
/// Tombstones are looked at this often, in milliseconds.
const PURGE_PERIOD_MS: u64 = 3_600_000;

/// What the writer is made of.
pub struct WriterSetup<D> {
    /// Its connection.
    pub store: Store,
    /// The stream of this journal.
    pub stream: StreamId,
    /// Files of the journal.
    pub disk: D,
    /// The first record that SQL has not applied.
    pub tail: Tail,
    /// How far the journal is written, and how far SQL has come.
    pub lanes: Arc<JournalLanes>,
    /// Woken when there is more to read.
    pub sleeper: Arc<Sleeper>,
    /// Applies what is there and ends, once woken.
    pub stop: Arc<AtomicBool>,
    /// The core to run on.
    pub cpu: Option<usize>,
    /// Where failures are told.
    pub log: Log,
    /// Where it counts.
    pub figures: Arc<WriterFigures>,
}

/// What the writer has done, for metrics.
#[derive(Debug, Default)]
pub struct WriterFigures {
    /// Transactions committed.
    pub transactions: AtomicU64,
    /// Records applied.
    pub records: AtomicU64,
    /// Records that were there already.
    pub duplicates: AtomicU64,
    /// Transactions that failed.
    pub failures: AtomicU64,
    /// Bytes of the journal's unfinished end that were cut at the start.
    pub journal_cut_bytes: AtomicU64,
    /// Stretches of damaged records that the start passed over, as it was told.
    pub journal_lost_stretches: AtomicU64,
    /// Applying has ended for good: going on would mix two journals.
    pub is_halted: AtomicBool,
}

/// Starts the thread.
///
/// # Errors
/// Where the system gives no thread.
pub fn start<D>(setup: WriterSetup<D>) -> std::io::Result<JoinHandle<()>>
where
    D: DiskRead + Send + 'static,
{
    std::thread::Builder::new().name("sql-writer".to_owned()).spawn(move || {
        // Unpinned is slower and not wrong.
        let _is_pinned = setup.cpu.is_none_or(topology::pin);
        let mut thread = WriterThread {
            setup,
            framed: Vec::new(),
            sequences: Vec::new(),
            backoff_ms: BACKOFF_FIRST_MS,
            purge_due_ms: 0,
        };
        thread.run();
    })
}

/// What comes after one try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// There may be more.
    Again,
    /// All that is written is applied.
    Sleep,
    /// Something failed; try again after a while.
    Wait,
    /// Applying is over.
    End,
}

struct WriterThread<D> {
    setup: WriterSetup<D>,
    /// Records that were read and not applied, framed.
    framed: Vec<u8>,
    sequences: Vec<Sequence>,
    backoff_ms: u64,
    purge_due_ms: u64,
}

impl<D: DiskRead> WriterThread<D> {
    fn run(&mut self) {
        loop {
            let is_stopping = self.setup.stop.load(Ordering::Acquire);
            let next = match self.read() {
                Ok(()) if self.sequences.is_empty() => Next::Sleep,
                Err(error) if self.sequences.is_empty() => self.tell(&error.to_string()),
                // What was read before something failed is applied all the same.
                _ => self.apply(),
            };
            match next {
                Next::Again => self.backoff_ms = BACKOFF_FIRST_MS,
                Next::End => return,
                Next::Sleep if is_stopping => return,
                Next::Sleep => self.sleep(),
                Next::Wait => {
                    std::thread::sleep(Duration::from_millis(self.backoff_ms));
                    self.backoff_ms = (self.backoff_ms * 2).min(BACKOFF_MAX_MS);
                }
            }
        }
    }

    fn sleep(&mut self) {
        self.purge();
        let WriterSetup { sleeper, lanes, stop, tail, .. } = &self.setup;
        let next = tail.next_sequence();
        let has_work = || lanes.written() >= next || stop.load(Ordering::Acquire);
        sleeper.sleep_unless(has_work);
        if !stop.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(GATHER_MS));
        }
    }

    /// Reads whole batches until a transaction is full or nothing is left. Without room for a whole
    /// batch more, what was read waits for the next transaction.
    fn read(&mut self) -> Result<(), TailError> {
        let WriterSetup { disk, tail, lanes, log, .. } = &mut self.setup;
        while self.sequences.len() < APPLY_RECORDS_MAX {
            let written = lanes.written();
            let Some(batch) = tail.next(disk, written)? else { break };
            for (sequence, record) in batch {
                let Ok(record) = record else {
                    let error = format!("record {} can't be read", sequence.0);
                    log_thread::tell(log, Message::SqlFailed, &error);
                    continue;
                };
                record::append(&record, &mut self.framed);
                self.sequences.push(sequence);
            }
        }
        Ok(())
    }

    fn apply(&mut self) -> Next {
        if let Err(error) = self.pass_gap() {
            return self.tell(&error.to_string());
        }
        let count = self.count_without_gap();
        let mut records = Vec::with_capacity(count);
        let mut used = 0;
        for (sequence, frame) in self.sequences[..count].iter().zip(frames(&self.framed)) {
            let frame = frame.expect("we framed it");
            used += frame.framed_bytes();
            records.push((*sequence, frame.record().expect("we encoded it")));
        }
        let figures = &self.setup.figures;
        match self.setup.store.apply(self.setup.stream, &records) {
            Ok(applied) => {
                let last = self.sequences[count - 1];
                drop(records);
                self.framed.drain(..used);
                self.sequences.drain(..count);
                figures.transactions.fetch_add(1, Ordering::Relaxed);
                figures.records.fetch_add(count as u64, Ordering::Relaxed);
                figures.duplicates.fetch_add(applied.duplicates as u64, Ordering::Relaxed);
                self.setup.lanes.set_applied(last);
                Next::Again
            }
            Err(error) => {
                figures.failures.fetch_add(1, Ordering::Relaxed);
                let is_final =
                    matches!(error, StoreError::Fenced { .. } | StoreError::Halted { .. });
                let next = self.tell(&error.to_string());
                if is_final {
                    self.setup.figures.is_halted.store(true, Ordering::Release);
                    log_thread::tell(&self.setup.log, Message::SqlHalted, "see the line before");
                    return Next::End;
                }
                next
            }
        }
    }

    /// Where the tail has passed over numbers that were given up, the position has to follow.
    fn pass_gap(&mut self) -> Result<(), StoreError> {
        let WriterSetup { store, stream, lanes, .. } = &mut self.setup;
        let before = Sequence(self.sequences[0].0 - 1);
        if store.position(*stream)? < before {
            store.skip_lost(*stream, before)?;
            lanes.set_applied(before);
        }
        Ok(())
    }

    /// Records for one transaction: up to its bound, and up to the next gap.
    fn count_without_gap(&self) -> usize {
        let first = self.sequences[0].0;
        let in_order = |(index, sequence): &(u64, &Sequence)| sequence.0 == first + index;
        let count = (0_u64..).zip(&self.sequences).take_while(in_order).count();
        count.min(APPLY_RECORDS_MAX)
    }

    fn purge(&mut self) {
        let now_ms = clocks::mono().0 / 1_000_000;
        if now_ms < self.purge_due_ms {
            return;
        }
        self.purge_due_ms = now_ms + PURGE_PERIOD_MS;
        if let Err(error) = self.setup.store.purge_tombstones(clocks::wall()) {
            self.tell(&error.to_string());
        }
    }

    fn tell(&self, what: &str) -> Next {
        log_thread::tell(&self.setup.log, Message::SqlFailed, what);
        Next::Wait
    }
}

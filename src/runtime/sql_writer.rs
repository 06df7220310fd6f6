//! The thread that applies the journal to SQL: follows the files, up to 1,000 records in one
//! transaction with the position, and tells how far it has come. Beside the journal on the
//! dedicated core, on a thread of its own, since a blocking call there would delay
//! acknowledgements.
//!
//! ```text
//! unclaimed -> following -> applied -> following        a failure: wait, longer each time, and
//!                 ^            |                        try again; nothing is lost meanwhile
//!                 +-- replay --+  SQL has gone back: the journal is read again from there
//! ```
//!
//! With Redis it stops before the record of what was accepted and is not merged, until its shard
//! says that it is.

mod chores;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use self::chores::Chores;
use super::board::Board;
use super::journal_lanes::JournalLanes;
use super::sql_fitness::{Asker, SqlFitness};
use super::vital::Needed;
use super::wake::Sleeper;
use super::{clocks, log_thread, topology};
use nudged_base::backoff::{Backoff, lengthened};
use nudged_base::ids::{Sequence, UserKey};
use nudged_base::limits::RIGHTS_AGAIN_MS;
use nudged_base::telemetry::log::{Log, Message, Value};
use nudged_base::telemetry::table::node_metrics;
use nudged_base::time::MonoNs;
use nudged_journal::disk::DiskRead;
use nudged_journal::reader::{Tail, TailError};
use nudged_journal::record::{self, Record, frames};
use nudged_journal::recovery;
use nudged_journal::segment::SetId;
use nudged_store::{Applied, FailureKind, Store, StoreError, StreamId};

/// First wait after a failure, in milliseconds; doubles up to the longest.
const BACKOFF_FIRST_MS: u64 = 100;
/// Longest wait after a failure, in milliseconds.
const BACKOFF_MAX_MS: u64 = 5_000;
/// Shortest wait, in milliseconds, where a server has to get room or a person has to do something.
const BACKOFF_SLOW_MS: u64 = 1_000;
/// Records are gathered this long before a small transaction, in milliseconds: a transaction has
/// eight statements however many records it applies.
const GATHER_MS: u64 = 30;
/// An unmerged record is looked at again after this long, in milliseconds.
const HOLD_MS: u64 = 10;

/// Looks, before anything is written, whether a store that could not be asked at the start is the
/// one that has this directory's users: `None`, or in words why it is not.
pub type CheckStore = Box<dyn FnMut(&mut Store) -> Result<Option<String>, StoreError> + Send>;

/// What the writer is made of.
pub struct WriterSetup<D> {
    /// Its connection.
    pub store: Store,
    /// The stream of this journal; `None` where SQL could not be asked yet.
    pub stream: Option<StreamId>,
    /// Looks at a store that could not be asked yet.
    pub check_store: CheckStore,
    /// The set of the journal's segments.
    pub set: SetId,
    /// The last record that SQL has applied, as far as is known.
    pub applied: Sequence,
    /// Stretches, first and last, that a person told recovery to go on without.
    pub skipped: Vec<(Sequence, Sequence)>,
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
    /// Says which unmerged records the shards have merged, where there is a Redis to merge into.
    /// None waits without.
    pub board: Option<Arc<Board>>,
}

node_metrics! {
    /// What the writer has done.
    pub struct WriterFigures {
        Counter transactions "sql_transactions_total" "Transactions committed.";
        Counter records "sql_records_total" "Records applied.";
        Counter duplicates "sql_duplicates_total" "Records there already.";
        Counter failures "sql_failures_total" "Transactions that failed.";
        Counter rejected "sql_rejected_total" "Records in the dead-letter file.";
        Counter regressions "sql_regressions_total" "How often SQL had gone back.";
        Gauge journal_cut_bytes "journal_cut_bytes"
            "Bytes of the unfinished end that the start cut.";
        Gauge journal_lost_stretches "journal_lost_stretches"
            "Damaged stretches that the start passed over.";
    }
    beside {
        /// Applying has ended for good: going on would mix two journals.
        pub is_halted: AtomicBool,
        /// The stream of this journal, once SQL could be asked for it.
        pub stream: OnceLock<StreamId>,
        /// What is wrong with SQL, as long as it lasts, whoever asks it.
        pub fitness: SqlFitness,
    }
}

/// Starts the thread.
///
/// # Errors
/// Where the system gives no thread.
pub fn start<D>(setup: WriterSetup<D>) -> std::io::Result<JoinHandle<()>>
where
    D: DiskRead + Send + 'static,
{
    // Before the thread runs, so that whoever starts later knows whether SQL was there.
    if let Some(stream) = setup.stream {
        let _ = setup.figures.stream.set(stream);
    }
    setup.figures.fitness.set_trier(&setup.sleeper);
    std::thread::Builder::new().name("sql-writer".to_owned()).spawn(move || {
        // Unpinned is slower and not wrong.
        let _is_pinned = setup.cpu.is_none_or(topology::pin);
        let needed = Needed::here("sql-writer");
        let mut thread = WriterThread {
            setup,
            framed: Vec::new(),
            sequences: Vec::new(),
            is_gathered: false,
            backoff: Backoff::new(BACKOFF_FIRST_MS, BACKOFF_MAX_MS),
            is_failing: false,
            chores: Chores::default(),
            rights_due: Some(MonoNs(0)),
            is_misplaced: false,
        };
        thread.run();
        needed.leave(thread.setup.stop.load(Ordering::Acquire));
    })
}

/// What comes after one try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// There may be more.
    Again,
    /// All that is written is applied.
    Sleep,
    /// The next record waits for a shard to merge what it tells.
    Hold,
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
    /// What was read has waited for more.
    is_gathered: bool,
    backoff: Backoff,
    is_failing: bool,
    chores: Chores,
    /// When the rights are tried; `None` where nothing speaks for it.
    rights_due: Option<MonoNs>,
    /// The store is another one than has this directory's users.
    is_misplaced: bool,
}

impl<D: DiskRead> WriterThread<D> {
    fn run(&mut self) {
        loop {
            let is_stopping = self.setup.stop.load(Ordering::Acquire);
            self.look_at_rights();
            match self.turn() {
                Next::Again => {
                    self.note_success();
                    // One that never rests says all the same that it is alive.
                    let _ = self.beat(clocks::mono().0 / 1_000_000);
                    if self.setup.store.must_fold() {
                        self.do_chores();
                    }
                }
                Next::End => return self.await_stop(),
                Next::Sleep | Next::Hold if is_stopping => {
                    // The file alone is a whole backup then. Where it fails, the log has it.
                    let _ = self.setup.store.fold();
                    self.say_stopped();
                    return;
                }
                Next::Hold => std::thread::sleep(Duration::from_millis(HOLD_MS)),
                Next::Sleep => self.sleep(),
                Next::Wait => self.back_off(),
            }
        }
    }

    /// Applying is over, which the node outlives: it has been told, and is a metric.
    fn await_stop(&self) {
        let WriterSetup { sleeper, stop, .. } = &self.setup;
        while !stop.load(Ordering::Acquire) {
            sleeper.sleep_unless(|| stop.load(Ordering::Acquire));
        }
    }

    fn turn(&mut self) -> Next {
        let Some(stream) = self.setup.stream else { return self.claim() };
        let mut read = self.read();
        if read.is_ok() && self.is_worth_gathering() {
            std::thread::sleep(Duration::from_millis(GATHER_MS));
            self.is_gathered = true;
            read = self.read();
        }
        match read {
            Ok(()) if self.sequences.is_empty() => Next::Sleep,
            Err(error) if self.sequences.is_empty() => self.tell(&error.to_string()),
            // What was read before something failed is applied all the same.
            _ => self.apply(stream),
        }
    }

    /// Whether more records may come while those that were read wait: once for each transaction.
    fn is_worth_gathering(&self) -> bool {
        let is_small = (1..self.setup.store.records_max()).contains(&self.sequences.len());
        is_small && !self.is_gathered && !self.setup.stop.load(Ordering::Acquire)
    }

    /// Asks SQL for the stream of this journal, which could not be asked at the start, and goes on
    /// from where SQL is.
    fn claim(&mut self) -> Next {
        let WriterSetup { store, set, log, check_store, .. } = &mut self.setup;
        let checked = store.check();
        if let Ok(warnings) = &checked {
            tell_weak(log, warnings);
        }
        let checked = match checked.and_then(|_| check_store(store)) {
            Ok(Some(words)) => return self.misplaced(words),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if checked.is_ok() && std::mem::take(&mut self.is_misplaced) {
            // What was said of it is over.
            self.rights_due = Some(MonoNs(0));
        }
        let claimed = checked.and_then(|()| store.stream_id(set.0.to_le_bytes()));
        let found = claimed.and_then(|stream| Ok((stream, store.position(stream)?)));
        match found {
            Ok((stream, position)) => {
                let next = self.go_on_from(stream, position);
                if next == Next::Again {
                    self.take_up(stream);
                }
                next
            }
            Err(error) => self.failed(&error),
        }
    }

    /// Nothing more is asked of a wrong store than whether it is the right one by now.
    fn misplaced(&mut self, words: String) -> Next {
        self.is_misplaced = true;
        self.backoff.next_is(BACKOFF_SLOW_MS);
        let WriterSetup { figures, log, .. } = &self.setup;
        figures.failures.fetch_add(1, Ordering::Relaxed);
        if let Some(line) = figures.fitness.take_denied(clocks::mono(), Some(words)) {
            let fields = [("error", Value::Text(&line))];
            log.write(log_thread::stamp_now(), Message::SqlUnfit, &fields);
        }
        Next::Wait
    }

    fn take_up(&mut self, stream: StreamId) {
        self.setup.stream = Some(stream);
        // A process has one journal, and asks for its stream once.
        let _ = self.setup.figures.stream.set(stream);
    }

    /// Reads the journal again from behind a position. What the journal has not kept is passed
    /// over, and said: a user's later records bring rows up to date, events are gone.
    fn go_on_from(&mut self, stream: StreamId, position: Sequence) -> Next {
        match self.seek(stream, position) {
            Ok(()) => Next::Again,
            Err(error) => self.tell(&error),
        }
    }

    fn seek(&mut self, stream: StreamId, position: Sequence) -> Result<(), String> {
        let WriterSetup { store, disk, set, skipped, log, lanes, tail, applied, .. } =
            &mut self.setup;
        let retired = recovery::retired(disk).map_err(|error| error.to_string())?;
        if retired > position {
            let text = format!("records {} to {} are kept nowhere", position.0 + 1, retired.0);
            log_thread::tell(log, Message::SqlRegressed, &text);
            store.skip_lost(stream, retired).map_err(|error| error.to_string())?;
        }
        let position = position.max(retired);
        let next = Sequence(position.0 + 1);
        let found = Tail::seek(disk, *set, next, skipped.clone());
        *tail = found.map_err(|error| error.to_string())?;
        *applied = position;
        // What shards were told is applied stays so: they may have let go of it.
        lanes.set_applied(position.max(lanes.applied()));
        self.framed.clear();
        self.sequences.clear();
        self.is_gathered = false;
        Ok(())
    }

    /// Tries what the server lets this user do: before the first record, after a refusal, and again
    /// while something is missing.
    fn look_at_rights(&mut self) {
        let now = clocks::mono();
        // Where SQL was away at the start it may be away still, and in a wrong one none is needed.
        let is_doubted = self.setup.stream.is_some() || self.is_failing;
        let is_doubted = is_doubted && !self.is_misplaced;
        let WriterSetup { store, figures, log, .. } = &mut self.setup;
        if figures.fitness.take_doubt() {
            self.rights_due = Some(self.rights_due.unwrap_or(now));
        }
        if !is_doubted || self.rights_due.is_none_or(|due| now < due) {
            return;
        }
        let said = match store.missing_rights() {
            Ok(missing) => figures.fitness.take_rights(now, &missing),
            Err(error) if error.kind() == FailureKind::Denied => {
                figures.fitness.take_denied(now, Some(error.to_string()))
            }
            // Where it can't be asked, it is again with the next record.
            Err(_) => figures.fitness.take_denied(now, None),
        };
        self.rights_due = figures.fitness.is_denied().then(|| now.plus_ms(RIGHTS_AGAIN_MS));
        if let Some(line) = said {
            let fields = [("error", Value::Text(&line))];
            let (message, count) = match line.is_empty() {
                true => (Message::SqlResumed, 0),
                false => (Message::SqlUnfit, 1),
            };
            log.write(log_thread::stamp_now(), message, &fields[..count]);
        }
    }

    fn note_success(&mut self) {
        self.backoff.succeeded();
        log_thread::tell(&self.setup.log, Message::SqlResumed, "");
        self.setup.figures.fitness.succeeded(clocks::mono(), Asker::Writer);
        if std::mem::take(&mut self.is_failing) {
            // It may be another server of the list, or one that was set up anew.
            if let Ok(warnings) = self.setup.store.check() {
                tell_weak(&self.setup.log, &warnings);
            }
        }
    }

    /// Waits, up to half as long again so that nodes do not come at once, and longer the next time.
    fn back_off(&mut self) {
        self.is_failing = true;
        if self.setup.figures.fitness.is_denied() {
            self.backoff.next_is(BACKOFF_SLOW_MS);
        }
        let wait_ms = lengthened(self.backoff.failed(), clocks::noise());
        std::thread::sleep(Duration::from_millis(wait_ms));
    }

    fn sleep(&mut self) {
        let limit = self.do_chores();
        let WriterSetup { sleeper, lanes, stop, tail, .. } = &self.setup;
        let next = tail.next_sequence();
        let fitness = &self.setup.figures.fitness;
        let has_work =
            || lanes.written() >= next || stop.load(Ordering::Acquire) || fitness.is_doubted();
        let rights = self.rights_due.map(|_| Duration::from_millis(RIGHTS_AGAIN_MS));
        match limit.into_iter().chain(rights).min() {
            Some(limit) => sleeper.sleep_for_unless(limit, has_work),
            None => sleeper.sleep_unless(has_work),
        }
    }

    /// Reads whole batches until a transaction is full or nothing is left. Without room for a whole
    /// batch more, what was read waits for the next transaction.
    fn read(&mut self) -> Result<(), TailError> {
        let WriterSetup { disk, tail, lanes, log, store, .. } = &mut self.setup;
        while self.sequences.len() < store.records_max() {
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

    fn apply(&mut self, stream: StreamId) -> Next {
        if let Err(error) = self.pass_gap(stream) {
            return self.failed(&error);
        }
        let count = self.count_without_gap();
        let mut records = Vec::with_capacity(count);
        let mut used = 0;
        for (sequence, frame) in self.sequences[..count].iter().zip(frames(&self.framed)) {
            let frame = frame.expect("we framed it");
            let record = frame.record().expect("we encoded it");
            if self.is_held(*sequence, &record) {
                break;
            }
            used += frame.framed_bytes();
            records.push((*sequence, record));
        }
        let count = records.len();
        if count == 0 {
            return Next::Hold;
        }
        let result = self.setup.store.apply(stream, &records);
        drop(records);
        match result {
            Ok(applied) => {
                let last = self.sequences[count - 1];
                self.framed.drain(..used);
                self.sequences.drain(..count);
                self.is_gathered = false;
                self.count(count, applied);
                self.setup.applied = last;
                self.setup.lanes.set_applied(last.max(self.setup.lanes.applied()));
                Next::Again
            }
            Err(StoreError::Behind { position, .. }) => {
                self.setup.figures.regressions.fetch_add(1, Ordering::Relaxed);
                let text = format!("position is {position}, was {}", self.setup.applied);
                log_thread::tell(&self.setup.log, Message::SqlRegressed, &text);
                self.go_on_from(stream, position)
            }
            Err(error) => self.failed(&error),
        }
    }

    /// Whether SQL must not pass a record yet: what it tells is recorded for SQL by its merge, and
    /// after a crash it is all that is left of it.
    fn is_held(&self, sequence: Sequence, record: &Record<'_>) -> bool {
        let Record::Unmerged(unmerged) = record else { return false };
        let board = self.setup.board.as_deref();
        board.is_some_and(|board| !board.may_pass(sequence, UserKey::of(unmerged.user.as_bytes())))
    }

    fn count(&self, count: usize, applied: Applied) {
        let of = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let WriterSetup { figures, log, .. } = &self.setup;
        figures.transactions.fetch_add(1, Ordering::Relaxed);
        figures.records.fetch_add(of(count), Ordering::Relaxed);
        figures.duplicates.fetch_add(of(applied.duplicates), Ordering::Relaxed);
        figures.rejected.fetch_add(of(applied.rejected), Ordering::Relaxed);
        if applied.rejected > 0 {
            let text = format!("{} records", applied.rejected);
            log_thread::tell(log, Message::DeadLetter, &text);
        }
    }

    /// Counts and tells a failure of SQL; gives what comes next.
    fn failed(&mut self, error: &StoreError) -> Next {
        let figures = &self.setup.figures;
        let kind = error.kind();
        figures.failures.fetch_add(1, Ordering::Relaxed);
        figures.fitness.failed(clocks::mono(), Asker::Writer, error);
        if matches!(error, StoreError::Fenced { .. } | StoreError::Halted { .. }) {
            figures.is_halted.store(true, Ordering::Release);
            log_thread::tell(&self.setup.log, Message::SqlHalted, &error.to_string());
            return Next::End;
        }
        let is_slow = matches!(
            kind,
            FailureKind::DiskFull
                | FailureKind::Crowded
                | FailureKind::Schema
                | FailureKind::Denied
        );
        if is_slow {
            self.backoff.next_is_at_least(BACKOFF_SLOW_MS);
        }
        let text = error.to_string();
        if kind == FailureKind::Denied {
            // Which right it is, is said in the next turn.
            self.rights_due = Some(MonoNs(0));
            if figures.fitness.is_denied() {
                return Next::Wait;
            }
        }
        let fields = [("cause", Value::Text(kind.name())), ("error", Value::Text(&text))];
        self.setup.log.write(log_thread::stamp_now(), Message::SqlFailed, &fields);
        Next::Wait
    }

    /// Where the tail has passed over numbers that were given up, the position has to follow. Where
    /// SQL has gone back instead, it is behind what it had, and `apply` finds it so.
    fn pass_gap(&mut self, stream: StreamId) -> Result<(), StoreError> {
        let WriterSetup { store, lanes, applied, .. } = &mut self.setup;
        let before = Sequence(self.sequences[0].0 - 1);
        if before > *applied && store.position(stream)? >= *applied {
            store.skip_lost(stream, before)?;
            *applied = before;
            lanes.set_applied(before.max(lanes.applied()));
        }
        Ok(())
    }

    /// Records for one transaction: up to its bound, and up to the next gap.
    fn count_without_gap(&self) -> usize {
        let first = self.sequences[0].0;
        let in_order = |(index, sequence): &(u64, &Sequence)| sequence.0 == first + index;
        let count = (0_u64..).zip(&self.sequences).take_while(in_order).count();
        count.min(self.setup.store.records_max())
    }

    fn tell(&self, what: &str) -> Next {
        log_thread::tell(&self.setup.log, Message::SqlFailed, what);
        Next::Wait
    }
}

/// Says what of SQL's settings weakens a promise.
pub fn tell_weak(log: &Log, warnings: &[String]) {
    for warning in warnings {
        log_thread::tell(log, Message::SqlWeak, warning);
    }
}

//! The threads that read users back for the shards: from SQL, with the records laid over that SQL
//! has not applied yet. Beside the writer on the dedicated core, on connections of their own, so
//! that neither holds the other up.
//!
//! One of them listens at a time. When something is asked for it takes all that is there, up to a
//! batch, and another one listens while it asks SQL. So requests are gathered only while every
//! connection is busy, and no more statements are at work than there are connections.
//!
//! ```text
//! waiting for its turn -> listening -> taken a batch -> turn passed on -> SQL -> answers
//!          ^                                                                        |
//!          +------------------------------------------------------------------------+
//! ```

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::mesh::Mesh;
use super::sql_fitness::Asker;
use super::sql_writer::WriterFigures;
use super::vital::Needed;
use super::{clocks, log_thread, topology};
use nudged_background::writer::merge;
use nudged_base::ids::UserKey;
use nudged_base::limits::USER_POPUPS_MAX;
use nudged_base::telemetry::log::{Log, Message};
use nudged_domain::state::user::{self, UserState};
use nudged_journal::disk::DiskRead;
use nudged_journal::record::frames;
use nudged_journal::recovery::UnappliedIndex;
use nudged_shard::seam::{ReadFailed, ReadRequest, UserRead};
use nudged_store::Reader;

/// Users that are read in one transaction.
const BATCH_USERS_MAX: usize = 128;

/// Held by the thread that listens.
pub type Turn = Arc<Mutex<()>>;

/// What a reader is made of.
pub struct ReaderSetup<D> {
    /// Its connection.
    pub reader: Reader,
    /// Whose turn it is to listen, of all readers of a node.
    pub turn: Turn,
    /// Files of the journal.
    pub disk: D,
    /// Records that SQL had not applied at the start.
    pub unapplied: Arc<UnappliedIndex>,
    /// All lanes.
    pub mesh: Arc<Mesh>,
    /// Where it is said how SQL answers.
    pub writer: Arc<WriterFigures>,
    /// Ends the threads, once the one that listens is woken.
    pub stop: Arc<AtomicBool>,
    /// The core to run on.
    pub cpu: Option<usize>,
    /// Where failures are told.
    pub log: Log,
}

/// Starts a thread.
///
/// # Errors
/// Where the system gives no thread.
pub fn start<D>(setup: ReaderSetup<D>) -> std::io::Result<JoinHandle<()>>
where
    D: DiskRead + Send + 'static,
{
    std::thread::Builder::new().name("sql-reader".to_owned()).spawn(move || {
        // Unpinned is slower and not wrong.
        let _is_pinned = setup.cpu.is_none_or(topology::pin);
        let needed = Needed::here("sql-reader");
        let mut thread = ReaderThread { setup, requests: Vec::new(), records: Vec::new() };
        thread.run();
        needed.leave(thread.setup.stop.load(Ordering::Acquire));
    })
}

struct ReaderThread<D> {
    setup: ReaderSetup<D>,
    requests: Vec<ReadRequest>,
    /// Framed records of each user of the batch, one after another.
    records: Vec<Vec<u8>>,
}

impl<D: DiskRead> ReaderThread<D> {
    fn run(&mut self) {
        while self.await_batch() {
            self.forget_applied();
            self.read_batch();
        }
    }

    /// Waits for its turn and then for requests; false once the threads are to end.
    fn await_batch(&mut self) -> bool {
        let ReaderSetup { mesh, stop, turn, .. } = &self.setup;
        // A thread that panicked has aborted the process.
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        while !stop.load(Ordering::Acquire) {
            let waiting = std::iter::from_fn(|| mesh.reads.pop());
            self.requests.extend(waiting.take(BATCH_USERS_MAX));
            if !self.requests.is_empty() {
                return true;
            }
            mesh.reader.sleep_unless(|| !mesh.reads.is_empty() || stop.load(Ordering::Acquire));
        }
        false
    }

    /// Once SQL has everything that was open at the start, nothing has to be laid over. The memory
    /// goes with the last reader that finds it so.
    fn forget_applied(&mut self) {
        let applied = self.setup.mesh.journal.applied();
        if !self.setup.unapplied.is_empty() && applied >= self.setup.unapplied.end() {
            self.setup.unapplied = Arc::default();
        }
    }

    fn read_batch(&mut self) {
        let requests = std::mem::take(&mut self.requests);
        let mut states: Vec<Option<UserState>> = requests.iter().map(|_| None).collect();
        let overlaid = self.collect_records(&requests);
        let users: Vec<&str> = requests.iter().map(|request| &*request.user).collect();
        let result = self.setup.reader.read_users(&users, &mut |index, state| {
            states[index] = Some(state);
        });
        let fitness = &self.setup.writer.fitness;
        match &result {
            Ok(_) => fitness.succeeded(clocks::mono(), Asker::Reader),
            Err(error) => fitness.failed(clocks::mono(), Asker::Reader, error),
        }
        match result {
            Ok(_) if overlaid.contains(&false) => {}
            Ok(_) => log_thread::tell(&self.setup.log, Message::ReadResumed, ""),
            Err(error) => {
                states.fill(None);
                log_thread::tell(&self.setup.log, Message::ReadFailed, &error.to_string());
            }
        }
        for (index, request) in requests.iter().enumerate() {
            let state = states[index].take().filter(|_| overlaid[index]);
            self.answer(request, state.and_then(|state| self.overlay(index, state)));
        }
        self.requests = requests;
        self.requests.clear();
    }

    /// Reads the open records of each user before SQL is asked, so that what SQL applies meanwhile
    /// is seen twice and not missed. Tells for whom that went well.
    fn collect_records(&mut self, requests: &[ReadRequest]) -> Vec<bool> {
        self.records.resize_with(requests.len().max(self.records.len()), Vec::new);
        let mut done = Vec::with_capacity(requests.len());
        for (request, records) in requests.iter().zip(&mut self.records) {
            records.clear();
            let key = UserKey::of(request.user.as_bytes());
            let ReaderSetup { unapplied, disk, log, .. } = &self.setup;
            let result = if unapplied.contains(key) {
                unapplied.read(&request.user, disk, records).map(|_| ())
            } else {
                Ok(())
            };
            if let Err(error) = &result {
                log_thread::tell(log, Message::ReadFailed, &error.to_string());
            }
            done.push(result.is_ok());
        }
        done
    }

    fn overlay(&self, index: usize, mut state: UserState) -> Option<Vec<u8>> {
        for frame in frames(&self.records[index]) {
            let record = frame.ok()?.record().ok()?;
            merge::apply_record(&mut state, &record).ok()?;
        }
        // A popup that no catalog knew was pushed out without a name.
        let surplus = state.popups.len().saturating_sub(USER_POPUPS_MAX);
        state.popups.drain(..surplus);
        let mut encoded = Vec::with_capacity(64);
        user::encode(&state, &mut encoded);
        Some(encoded)
    }

    fn answer(&self, request: &ReadRequest, state: Option<Vec<u8>>) {
        let lanes = self.setup.mesh.of(request.shard);
        let read = UserRead { ticket: request.ticket, state: state.ok_or(ReadFailed) };
        let pushed = lanes.reads.push(read);
        assert!(pushed.is_ok(), "a shard bounds its reads by this lane");
        lanes.sleeper.wake();
    }
}

//! The threads that read users back for the shards, for `read_back`. Beside the writer on the
//! dedicated core, on connections of their own, so that neither holds the other up.
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

use crate::clocks;
use crate::shard::mesh::Mesh;
use crate::threads;
use crate::threads::sql_fitness::Asker;
use crate::threads::sql_writer::WriterFigures;
use nudged_background::read_back::{Effect, Input, ReadBack, View};
use nudged_background::sql_failure::SqlFailure;
use nudged_base::ids::ShardId;
use nudged_base::telemetry::SqlOperation;
use nudged_base::telemetry::log::Log;
use nudged_domain::state::user::UserState;
use nudged_journal::disk::DiskRead;
use nudged_journal::recovery::UnappliedIndex;
use nudged_shard::seam::{ReadFailed, UserRead};
use nudged_store::StoreReader;

/// Users that are read in one transaction.
const BATCH_USERS_MAX: usize = 128;

/// Held by the thread that listens.
pub type ReaderTurn = Arc<Mutex<()>>;

/// What a reader is made of.
pub struct ReaderSetup<D> {
    /// Its connection.
    pub reader: StoreReader,
    /// Whose turn it is to listen, of all readers of a node.
    pub turn: ReaderTurn,
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
    let ReaderSetup { reader, turn, disk, unapplied, mesh, writer, stop, cpu, log } = setup;
    let (machine, ended) = (ReadBack::new(unapplied, log), Arc::clone(&stop));
    let asked = Vec::new();
    let mut thread = ReaderThread { machine, reader, turn, disk, mesh, writer, stop, asked };
    threads::start("sql-reader".to_owned(), cpu, &ended, move || thread.run())
}

struct ReaderThread<D> {
    machine: ReadBack,
    reader: StoreReader,
    turn: ReaderTurn,
    disk: D,
    mesh: Arc<Mesh>,
    writer: Arc<WriterFigures>,
    stop: Arc<AtomicBool>,
    /// Who has asked for the users of the batch, with their tickets.
    asked: Vec<(ShardId, u64)>,
}

impl<D: DiskRead> ReaderThread<D> {
    fn run(&mut self) {
        let mut input = Input::Go;
        loop {
            let applied = self.mesh.journal.applied();
            let view = View { now: clocks::now(), disk: &self.disk, applied };
            input = match self.machine.step(&view, input) {
                Effect::Listen => match self.await_batch() {
                    Some(users) => Input::Asked(users),
                    None => return,
                },
                Effect::Read => Input::Read(self.read()),
                Effect::Answer(states) => {
                    self.answer(states);
                    Input::Go
                }
            };
        }
    }

    /// Waits for its turn and then for requests; `None` once the threads are to end.
    fn await_batch(&mut self) -> Option<Vec<Box<str>>> {
        let ReaderThread { mesh, stop, turn, asked, .. } = self;
        // A thread that panicked has aborted the process.
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        while !stop.load(Ordering::Acquire) {
            let waiting = std::iter::from_fn(|| mesh.reads.pop()).take(BATCH_USERS_MAX);
            let mut users = Vec::new();
            for request in waiting {
                asked.push((request.shard, request.ticket));
                users.push(request.user);
            }
            if !users.is_empty() {
                return Some(users);
            }
            mesh.reader.sleep_unless(|| !mesh.reads.is_empty() || stop.load(Ordering::Acquire));
        }
        None
    }

    fn read(&mut self) -> Result<Vec<Option<UserState>>, SqlFailure> {
        let users = self.machine.users();
        let mut states: Vec<Option<UserState>> = users.iter().map(|_| None).collect();
        let begun = clocks::mono();
        let result = self.reader.read_users(&users, &mut |index, state| {
            states[index] = Some(state);
        });
        let (fitness, now) = (&self.writer.fitness, clocks::mono());
        self.writer.durations.record(SqlOperation::Read, now.0.saturating_sub(begun.0));
        match result {
            Ok(_) => fitness.succeeded(now, Asker::Reader),
            Err(error) => {
                fitness.failed(now, Asker::Reader, &error);
                return Err(threads::failure_of(&error));
            }
        }
        Ok(states)
    }

    fn answer(&mut self, states: Vec<Option<Vec<u8>>>) {
        for ((shard, ticket), state) in self.asked.drain(..).zip(states) {
            let lanes = self.mesh.of(shard);
            let read = UserRead { ticket, state: state.ok_or(ReadFailed) };
            let pushed = lanes.reads.push(read);
            assert!(pushed.is_ok(), "a shard bounds its reads by this lane");
            lanes.waker.wake();
        }
    }
}

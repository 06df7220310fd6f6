//! The thread that applies the journal to SQL, for `follower`. Beside the journal on the dedicated
//! core, on a thread of its own, since a blocking call there would delay acknowledgements.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clocks;
use crate::journal::lanes::JournalLanes;
use crate::redis_status::RedisStatus;
use crate::shard::mesh::Mesh;
use crate::threads::sql_fitness::{Asker, SqlFitness};
use crate::threads::{self, failure_of, forgetting};
use crate::wake::Waker;
pub use nudged_background::follower::FollowerMetrics;
use nudged_background::follower::{
    ClaimOutcome, Effect, Follower, FollowerSetup, Input, SqlView, View,
};
pub use nudged_background::retention::RetentionMetrics;
use nudged_background::retention::{RetentionOutcome, RetentionView};
use nudged_background::sql_failure::SqlFailure;
use nudged_base::clock::NodeClock;
use nudged_base::ids::{Sequence, UserKey};
use nudged_base::telemetry::log::Log;
use nudged_base::telemetry::{SqlDurations, SqlOperation};
use nudged_base::time::WallMs;
use nudged_domain::state::user::UserState;
use nudged_journal::disk::DiskRead;
use nudged_journal::reader::Tail;
use nudged_journal::segment::SetId;
use nudged_store::{FailureKind, Store, StoreError, StreamId};

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
    pub waker: Arc<Waker>,
    /// Applies what is there and ends, once woken.
    pub stop: Arc<AtomicBool>,
    /// Ends before its next call to SQL, whatever is left: another process goes on from there.
    pub halt: Arc<AtomicBool>,
    /// The core to run on.
    pub cpu: Option<usize>,
    /// Where failures are told.
    pub log: Log,
    /// Where it counts.
    pub figures: Arc<WriterFigures>,
    /// The shards that forget users, with how long SQL keeps what.
    pub mesh: Arc<Mesh>,
    /// Says which unmerged records the shards have merged, where there is a Redis to merge into.
    /// None waits without.
    pub redis_status: Option<Arc<RedisStatus>>,
}

/// What is known of SQL, for metrics and for all who ask it.
#[derive(Debug, Default)]
pub struct WriterFigures {
    /// What the writer has done.
    pub counts: Arc<FollowerMetrics>,
    /// The stream of this journal, once SQL could be asked for it.
    pub stream: OnceLock<StreamId>,
    /// What is wrong with SQL, as long as it lasts, whoever asks it.
    pub fitness: SqlFitness,
    /// How long it takes, whoever asks it.
    pub durations: SqlDurations,
}

/// Starts the thread.
///
/// # Errors
/// Where the system gives no thread.
pub fn start<D>(mut setup: WriterSetup<D>) -> std::io::Result<JoinHandle<()>>
where
    D: DiskRead + Send + 'static,
{
    // Before the thread runs, so that whoever starts later knows whether SQL was there.
    if let Some(stream) = setup.stream {
        let _ = setup.figures.stream.set(stream);
    }
    setup.figures.fitness.set_trier(&setup.waker);
    setup.mesh.retention.wake_by(&setup.waker);
    let machine = Follower::new(FollowerSetup {
        stream: setup.stream,
        set: setup.set,
        applied: setup.applied,
        skipped: std::mem::take(&mut setup.skipped),
        tail: setup.tail,
        beats: setup.redis_status.is_none() && setup.store.shared().is_some(),
        log: setup.log.clone(),
        metrics: Arc::clone(&setup.figures.counts),
    });
    let (cpu, ended, log) = (setup.cpu, Arc::clone(&setup.stop), setup.log);
    let mut thread = WriterThread {
        machine,
        store: setup.store,
        check_store: setup.check_store,
        disk: setup.disk,
        lanes: setup.lanes,
        waker: setup.waker,
        stop: setup.stop,
        halt: setup.halt,
        figures: setup.figures,
        mesh: setup.mesh,
        // What was set right since is followed slowly, so that a wall clock that is set forward
        // for an hour makes nothing old.
        clock: NodeClock::start(clocks::mono(), clocks::wall(), WallMs(0)),
        redis_status: setup.redis_status,
    };
    threads::start("sql-writer".to_owned(), cpu, &ended, move || {
        threads::give_way(&log);
        thread.run();
    })
}

/// What an effect is for SQL.
fn operation_of(effect: &Effect) -> SqlOperation {
    match effect {
        Effect::Apply(_) => SqlOperation::Apply,
        Effect::Retain(_) | Effect::Fold | Effect::Purge => SqlOperation::Retain,
        _ => SqlOperation::Other,
    }
}

struct WriterThread<D> {
    machine: Follower,
    store: Store,
    check_store: CheckStore,
    disk: D,
    lanes: Arc<JournalLanes>,
    waker: Arc<Waker>,
    stop: Arc<AtomicBool>,
    halt: Arc<AtomicBool>,
    figures: Arc<WriterFigures>,
    mesh: Arc<Mesh>,
    clock: NodeClock,
    redis_status: Option<Arc<RedisStatus>>,
}

impl<D: DiskRead> WriterThread<D> {
    fn run(&mut self) {
        let mut input = Input::Go;
        loop {
            let effect = self.step(input);
            if self.halt.load(Ordering::Acquire) {
                return;
            }
            input = match effect {
                Effect::Sleep(next, limit_ms) => self.sleep(next, limit_ms),
                Effect::Pause(pause_ms) => {
                    std::thread::sleep(Duration::from_millis(pause_ms));
                    Input::Go
                }
                Effect::AwaitStop => {
                    while !self.is_stopping() {
                        self.waker.sleep_unless(|| self.is_stopping());
                    }
                    Input::Go
                }
                Effect::TryRights => self.try_rights(),
                Effect::Claim(set) => self.claim(set),
                Effect::End => return,
                of_sql => {
                    let (begun, fitness) = (clocks::mono(), &self.figures.fitness);
                    let operation = operation_of(&of_sql);
                    let came =
                        carry_out(&mut self.store, &self.machine, &of_sql, |told| match told {
                            Ok(()) => fitness.succeeded(clocks::mono(), Asker::Writer),
                            Err(error) => fitness.failed(clocks::mono(), Asker::Writer, error),
                        });
                    let took_ns = clocks::mono().0.saturating_sub(begun.0);
                    self.figures.durations.record(operation, took_ns);
                    if operation == SqlOperation::Apply {
                        self.figures.counts.applying_ns.fetch_add(took_ns, Ordering::Relaxed);
                    }
                    came
                }
            };
            if let Input::Retained(Ok(RetentionOutcome::Users { found, .. })) = &input {
                self.forget(found);
            }
        }
    }

    fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn forget(&mut self, found: &[(String, UserState)]) {
        let Some(before) = self.retention().users_before else { return };
        let Some(catalog) = self.mesh.retention.catalog() else { return };
        let now = self.clock.at(clocks::mono());
        let forgotten = forgetting::forget(&self.mesh, &catalog, found, (now, before));
        self.figures.counts.retention.users.fetch_add(forgotten, Ordering::Relaxed);
    }

    /// What is old by the earlier of the node's time and the wall clock: one that is wrong for a
    /// while deletes nothing early.
    fn retention(&mut self) -> RetentionView {
        let (mono, wall) = (clocks::mono(), clocks::wall());
        self.clock.observe(mono, wall);
        let is_shared = self.store.shared().is_some();
        self.mesh.retention.at(self.clock.at(mono).min(wall), is_shared)
    }

    fn step(&mut self, input: Input) -> Effect {
        let retention = self.retention();
        let WriterThread { machine, store, disk, lanes, figures, redis_status, .. } = self;
        let may_pass = |sequence, user: UserKey| {
            redis_status.as_deref().is_none_or(|redis_status| redis_status.may_pass(sequence, user))
        };
        let view = View {
            now: clocks::now(),
            disk,
            written: lanes.written(),
            is_stopping: self.stop.load(Ordering::Acquire),
            may_pass: &may_pass,
            sql: SqlView {
                records_max: store.records_max(),
                is_doubted: figures.fitness.take_doubt(),
                is_denied: figures.fitness.is_denied(),
                is_to_fold: store.is_to_fold(),
                must_fold: store.must_fold(),
                retention,
                is_retention_new: self.mesh.retention.take_new(),
            },
        };
        let effect = machine.step(&view, input);
        if machine.highest_applied() > lanes.applied() {
            lanes.set_applied(machine.highest_applied());
        }
        if let Some(stream) = machine.stream() {
            // A process has one journal, and asks for its stream once.
            let _ = figures.stream.set(stream);
        }
        effect
    }

    fn sleep(&self, next: Sequence, limit_ms: Option<u64>) -> Input {
        let has_work = || {
            let is_doubted = self.figures.fitness.is_doubted();
            let is_retention_new = self.mesh.retention.is_new();
            self.lanes.written() >= next || self.is_stopping() || is_doubted || is_retention_new
        };
        match limit_ms {
            Some(limit_ms) => {
                self.waker.sleep_for_unless(Duration::from_millis(limit_ms), has_work);
            }
            None => self.waker.sleep_unless(has_work),
        }
        Input::Go
    }

    fn claim(&mut self, set: SetId) -> Input {
        let (warnings, checked) = match self.store.check() {
            Ok(warnings) => (warnings, Ok(())),
            Err(error) => (Vec::new(), Err(error)),
        };
        let claimed = match checked.and_then(|()| (self.check_store)(&mut self.store)) {
            Ok(Some(words)) => {
                let now = clocks::mono();
                Ok(ClaimOutcome::Misplaced(self.figures.fitness.take_denied(now, Some(words))))
            }
            Ok(None) => claim(&mut self.store, set),
            Err(error) => Err(error),
        };
        let fitness = &self.figures.fitness;
        match &claimed {
            Ok(ClaimOutcome::Misplaced(_)) => {}
            Ok(_) => fitness.succeeded(clocks::mono(), Asker::Writer),
            Err(error) => fitness.failed(clocks::mono(), Asker::Writer, error),
        }
        Input::Claimed(warnings, claimed.map_err(|error| failure_of(&error)))
    }

    fn try_rights(&mut self) -> Input {
        let now = clocks::mono();
        let fitness = &self.figures.fitness;
        Input::Rights(match self.store.missing_rights() {
            Ok(missing) => fitness.take_rights(now, &missing),
            Err(error) if error.kind() == FailureKind::Denied => {
                fitness.take_denied(now, Some(error.to_string()))
            }
            // Where it can't be asked, it is again with the next record.
            Err(_) => fitness.take_denied(now, None),
        })
    }
}

/// Has a store do what a follower wants of SQL; `told` hears of what says something of SQL.
///
/// # Panics
/// On an effect that is not of SQL.
pub fn carry_out(
    store: &mut Store,
    follower: &Follower,
    effect: &Effect,
    mut told: impl FnMut(Result<(), &StoreError>),
) -> Input {
    let mut tell = |result: Result<(), StoreError>| -> Result<(), SqlFailure> {
        told(result.as_ref().copied());
        result.map_err(|error| failure_of(&error))
    };
    match effect {
        Effect::Apply(stream) => {
            let mut counts = (0, 0);
            let applied = store.apply(*stream, &follower.batch());
            match applied.map(|applied| counts = (applied.duplicates, applied.rejected)) {
                // That SQL has gone back says nothing against it.
                Err(error @ StoreError::Behind { .. }) => Input::Applied(Err(failure_of(&error))),
                result => Input::Applied(tell(result).map(|()| counts)),
            }
        }
        Effect::Skip { stream, from, through } => {
            let skipped = skip(store, *stream, *from, *through);
            if let (Err(error), Some(_)) = (&skipped, from) {
                told(Err(error));
            }
            Input::Skipped(skipped.map_err(|error| failure_of(&error)))
        }
        Effect::Check => Input::Checked(store.check().unwrap_or_default()),
        Effect::Purge => match store.purge_tombstones(clocks::wall()) {
            Ok(_) => Input::Done(Ok(())),
            Err(error) => Input::Done(tell(Err(error))),
        },
        Effect::Retain(step) => {
            let retained = store.retain(step);
            told(retained.as_ref().map(drop));
            Input::Retained(retained.map_err(|error| failure_of(&error)))
        }
        Effect::Fold => Input::Folded(store.fold().map_err(|error| failure_of(&error))),
        Effect::Heartbeat(stream, name) => {
            let shared = store.shared();
            let beaten = shared.map_or(Ok(()), |shared| shared.heartbeat(*stream, name));
            Input::Done(tell(beaten))
        }
        Effect::SayStopped(stream) => {
            let _ = store.shared().map(|shared| shared.say_stopped(*stream));
            Input::Go
        }
        other => unreachable!("{other:?} is not of SQL"),
    }
}

fn claim(store: &mut Store, set: SetId) -> Result<ClaimOutcome, StoreError> {
    let stream = store.stream_id(set.0.to_le_bytes())?;
    Ok(ClaimOutcome::Stream(stream, store.position(stream)?))
}

fn skip(
    store: &mut Store,
    stream: StreamId,
    from: Option<Sequence>,
    through: Sequence,
) -> Result<bool, StoreError> {
    if let Some(from) = from
        && store.position(stream)? < from
    {
        return Ok(false);
    }
    store.skip_lost(stream, through).map(|()| true)
}

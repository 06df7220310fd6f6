//! SQL and a node's sides of it: the real store on a real file, which all nodes of a run share, and
//! the real machines that bring the journal there and that read users back, in steps between which
//! anything may happen. Modelled is what only a server has: epochs of an arbiter, who is alive, and
//! that it may not answer.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nudged_background::writer::failure::{SqlFailure, SqlMeaning};
use nudged_background::writer::follow::{
    Claimed, Effect, FollowCounts, Follower, FollowerSetup, Input, SqlView, View,
};
use nudged_background::writer::read_back::{self, ReadBack};
use nudged_base::ids::{Revision, Sequence, ShardId, StreamId, UserKey};
use nudged_base::limits::PEER_KNOWN_MS;
use nudged_base::telemetry::log::{Level, Log};
use nudged_domain::state::user::UserState;
use nudged_journal::reader::Tail;
use nudged_base::event_kind::EventKind;
use nudged_journal::recovery::UnappliedIndex;
use nudged_journal::segment::SetId;
use nudged_runtime::sql_writer;
use nudged_shard::seam::{self, ReadFailed, ReadRequest, UserRead};
use nudged_store::sqlite::FILE_NAME;
use nudged_store::{Store, StoreReader};
use rusqlite::Connection;

use super::disk::Disk;
use super::node::{Node, set_of};
use super::scene::{MS, Scene, Task, US, number};
use super::shard::READS;

/// A log that nobody reads.
pub fn no_log() -> Log {
    Log::new(Level::Error, true, &[])
}

/// A failure of SQL.
pub fn failure(meaning: SqlMeaning) -> SqlFailure {
    SqlFailure { meaning, cause: "unreachable", text: format!("{meaning:?}") }
}

/// A row of `events`.
#[derive(Debug)]
pub struct Row {
    /// The decision's token.
    pub token: String,
    /// What happened.
    pub action: EventKind,
    /// When it was decided, in milliseconds.
    pub at: i64,
    /// When it happened, in milliseconds.
    pub acted_at: i64,
    /// To whom.
    pub user: String,
    /// With what.
    pub popup: String,
    /// The user's revision after it.
    pub revision: Revision,
}

/// The database.
pub struct Sql {
    directory: PathBuf,
    /// Whether it does not answer.
    pub is_away: bool,
    epoch: u32,
    /// When each node has said that it is alive.
    nodes: BTreeMap<usize, u64>,
}

impl Sql {
    /// An empty database in an empty directory.
    pub fn new(directory: PathBuf) -> Sql {
        drop(Store::open(&directory).expect("SQL opens"));
        Sql { directory, is_away: false, epoch: 0, nodes: BTreeMap::new() }
    }

    /// Fails where it does not answer.
    pub fn answer(&self) -> Result<(), SqlFailure> {
        if self.is_away { Err(failure(SqlMeaning::Passing)) } else { Ok(()) }
    }

    /// A connection that writes.
    pub fn open(&self) -> Store {
        Store::open(&self.directory).expect("SQL opens")
    }

    /// A connection that reads.
    pub fn open_reader(&self) -> StoreReader {
        StoreReader::open(&self.directory).expect("SQL opens")
    }

    /// Claims the stream of a journal; with its position.
    pub fn claim(&self, store: &mut Store, set: SetId) -> Result<(StreamId, Sequence), SqlFailure> {
        self.answer()?;
        let stream = store.stream_id(set.0.to_be_bytes()).expect("SQL claims a stream");
        Ok((stream, store.position(stream).expect("the stream is known")))
    }

    /// A user's state.
    pub fn read(&self, reader: &mut StoreReader, user: &str) -> Result<UserState, SqlFailure> {
        self.answer()?;
        let mut state = None;
        let result = reader.read_users(&[user], &mut |_, found| state = Some(found));
        assert_eq!(result.expect("SQL reads"), 0, "every row can be read");
        Ok(state.expect("a state for each user"))
    }

    /// Users behind `after`, in order.
    pub fn users_after(
        &self,
        reader: &mut StoreReader,
        after: &str,
        count: usize,
    ) -> Result<Vec<String>, SqlFailure> {
        self.answer()?;
        Ok(reader.users_after(after, count).expect("SQL reads"))
    }

    /// The next epoch of the arbiter.
    pub fn next_epoch(&mut self, at_least: u32) -> Result<u32, SqlFailure> {
        self.answer()?;
        self.epoch = (self.epoch + 1).max(at_least);
        Ok(self.epoch)
    }

    /// A node says that it is alive; gives those that were so lately.
    pub fn beat(&mut self, node: usize, now: u64) -> Result<Vec<usize>, SqlFailure> {
        self.answer()?;
        self.nodes.insert(node, now);
        let is_live = |(_, at): &(&usize, &u64)| now - **at < PEER_KNOWN_MS * MS;
        Ok(self.nodes.iter().filter(is_live).map(|(node, _)| *node).collect())
    }

    /// Keeps it as it is now, so that a loss of power may take it back.
    pub fn keep(&self) {
        for end in ["", "-wal"] {
            let from = self.directory.join(format!("{FILE_NAME}{end}"));
            let to = self.directory.join(format!("kept{end}"));
            std::fs::copy(from, to).expect("the directory takes a copy");
        }
    }

    /// Puts back what was kept. Nobody is connected.
    pub fn put_back(&self) {
        for end in ["", "-wal", "-shm"] {
            let to = self.directory.join(format!("{FILE_NAME}{end}"));
            // The last connection that closes takes the log with it.
            let _ = std::fs::remove_file(&to);
            if end != "-shm" {
                let from = self.directory.join(format!("kept{end}"));
                std::fs::copy(from, to).expect("the directory takes a copy");
            }
        }
    }

    /// A connection for questions of the oracles.
    pub fn connection(&self) -> Connection {
        Connection::open(self.directory.join(FILE_NAME)).expect("SQL opens")
    }

    /// All rows of `events`, in the order of their journals.
    pub fn events(&self) -> Vec<Row> {
        let connection = self.connection();
        let query = "SELECT decision, action, at, acted_at, user_id, popup_id, revision_epoch,
                     revision_counter FROM events ORDER BY stream, seq";
        let mut statement = connection.prepare(query).expect("the table is there");
        let rows = statement.query_map([], |row| {
            let action: String = row.get(1)?;
            Ok(Row {
                token: row.get(0)?,
                action: EventKind::of_word(&action).expect("an action of ours"),
                at: row.get(2)?,
                acted_at: row.get(3)?,
                user: row.get(4)?,
                popup: row.get(5)?,
                revision: Revision {
                    epoch: row.get(6)?,
                    counter: row.get::<_, i64>(7)?.cast_unsigned(),
                },
            })
        });
        rows.expect("rows").collect::<Result<_, _>>().expect("rows of the schema's types")
    }
}

/// Applies the journal of a node.
pub struct Writer {
    node: usize,
    store: Store,
    machine: Follower,
    /// What the machine wants done.
    effect: Effect,
    counts: Arc<FollowCounts>,
    turn_at: Option<u64>,
}

impl Writer {
    /// A writer that goes on behind what SQL has.
    pub fn new(
        node: usize,
        store: Store,
        stream: Option<StreamId>,
        tail: Tail,
        applied: Sequence,
    ) -> Writer {
        let counts: Arc<FollowCounts> = Arc::default();
        let machine = Follower::new(FollowerSetup {
            stream,
            set: set_of(node),
            applied,
            skipped: Vec::new(),
            tail,
            beats: false,
            log: no_log(),
            counts: Arc::clone(&counts),
        });
        Writer { node, store, machine, effect: Effect::Pause(0), counts, turn_at: None }
    }

    /// It goes on soon.
    pub fn wake(&mut self, scene: &mut Scene) {
        let longest = if scene.is_calm { 500 } else { scene.config.sql_us };
        let wait = scene.streams.sql.between(1, longest) * US;
        self.turn_at = Some(scene.after(wait, Task::Writer(self.node)));
    }

    /// Wakes it where it sleeps and has not read all that is written.
    pub fn wake_if_behind(&mut self, written: Sequence, scene: &mut Scene) {
        if matches!(self.effect, Effect::Sleep(next, _) if next <= written) {
            self.wake(scene);
        }
    }

    fn plan(&mut self, written: Sequence, scene: &mut Scene) {
        let wait_ms = match self.effect {
            Effect::Pause(pause_ms) => pause_ms.max(1),
            Effect::Sleep(next, Some(limit_ms)) if next > written => limit_ms,
            Effect::Sleep(next, None) if next > written => return self.turn_at = None,
            Effect::AwaitStop => return self.turn_at = None,
            _ => return self.wake(scene),
        };
        self.turn_at = Some(scene.after(wait_ms * MS, Task::Writer(self.node)));
    }

    /// What comes of what the machine wants.
    fn carry_out(&mut self, sql: &Sql, scene: &mut Scene) -> Input {
        let (error, untold) = (scene.config.one_in_sql_error, scene.config.one_in_untold);
        let is_apply = matches!(self.effect, Effect::Apply(_));
        let mut is_failing =
            |one_in| is_apply && scene.is_fault(|streams| &mut streams.sql, one_in);
        // The database is away, or does not tell what it has done.
        let (is_away, is_untold) = (is_failing(error) || sql.is_away, is_failing(untold));
        let failed = || failure(SqlMeaning::Passing);
        match &self.effect {
            Effect::Claim(set) => {
                let claimed = sql.claim(&mut self.store, *set);
                let stream = |(stream, position)| Claimed::Stream(stream, position);
                Input::Claimed(Vec::new(), claimed.map(stream))
            }
            Effect::Apply(_) if is_away => Input::Applied(Err(failed())),
            Effect::Skip { .. } if is_away => Input::Skipped(Err(failed())),
            Effect::Apply(_) | Effect::Skip { .. } => {
                let (store, machine) = (&mut self.store, &self.machine);
                match sql_writer::carry_out(store, machine, &self.effect, |told| {
                    assert!(told.is_ok(), "{told:?}")
                }) {
                    Input::Applied(Ok((_, rejected))) => {
                        assert_eq!(rejected, 0, "every record fits into the tables");
                        let told = if is_untold { Err(failed()) } else { Ok((0, 0)) };
                        Input::Applied(told)
                    }
                    Input::Applied(Err(error)) => panic!("SQL takes every record: {error}"),
                    input => input,
                }
            }
            Effect::TryRights => Input::Rights(None),
            Effect::Check => Input::Checked(Vec::new()),
            Effect::Purge | Effect::Beat(..) => Input::Done(Ok(())),
            Effect::Fold => Input::Folded(Ok(true)),
            Effect::Pause(_) | Effect::Sleep(..) => Input::Go,
            other => unreachable!("{other:?} is not wanted here"),
        }
    }

    /// Whether all that is written is applied.
    pub fn has_all(&self, written: Sequence) -> bool {
        self.machine.is_drained() && self.machine.next_sequence() > written
    }

    /// Another process has claimed the stream.
    pub fn is_halted(&self) -> bool {
        self.counts.is_halted.load(Ordering::Relaxed)
    }
}

/// Reads users back, and knows for whom.
pub struct ReaderSide {
    node: usize,
    /// Its connection.
    pub reader: StoreReader,
    machine: ReadBack,
    /// What was asked for and not looked at yet.
    requests: VecDeque<ReadRequest>,
    asked: Vec<(ShardId, u64)>,
    is_planned: bool,
}

impl ReaderSide {
    /// A reader of what SQL has, and of what it had not at the start.
    pub fn new(node: usize, sql: &Sql, unapplied: UnappliedIndex) -> ReaderSide {
        ReaderSide {
            node,
            reader: sql.open_reader(),
            machine: ReadBack::new(Arc::new(unapplied), no_log()),
            requests: VecDeque::new(),
            asked: Vec::new(),
            is_planned: false,
        }
    }

    /// A user is asked for.
    pub fn ask(&mut self, request: ReadRequest, scene: &mut Scene) {
        self.requests.push_back(request);
        self.wake(scene);
    }

    fn wake(&mut self, scene: &mut Scene) {
        if !self.is_planned && !self.requests.is_empty() {
            self.is_planned = true;
            let wait = wait(scene);
            scene.after(wait, Task::ReadJournal(self.node));
        }
    }
}

/// Half of the time that a read takes.
fn wait(scene: &mut Scene) -> u64 {
    let longest = if scene.is_calm { 500 } else { scene.config.read_us };
    scene.streams.sql.between(1, longest) * US
}

impl Node {
    /// What the writer's machine wants is done, and it steps.
    pub fn writer_turn(&mut self, disk: &Disk, sql: &Sql, scene: &mut Scene) {
        let Node { writer, board, marks, keeper, .. } = self;
        if writer.turn_at.is_none_or(|at| at > scene.now) {
            return; // Woken before this.
        }
        writer.turn_at = None;
        let input = writer.carry_out(sql, scene);
        let may_pass = |sequence, user: UserKey| keeper.is_none() || board.may_pass(sequence, user);
        let view = View {
            now: scene.clocks(self.index),
            disk,
            written: marks.written,
            is_stopping: false,
            may_pass: &may_pass,
            sql: SqlView { records_max: scene.records_max(), ..SqlView::default() },
        };
        writer.effect = writer.machine.step(&view, input);
        let applied = writer.machine.highest_applied();
        if applied > marks.applied {
            scene.note("applied", &[number(self.index), applied.0], &[]);
            marks.applied = applied;
            self.journal.wake(scene);
        }
        writer.plan(marks.written, scene);
    }

    /// The reader looks at the records that SQL had not applied at the start.
    pub fn read_journal(&mut self, disk: &Disk, scene: &mut Scene) {
        let reader = &mut self.reader;
        let mut users = Vec::new();
        for request in reader.requests.drain(..) {
            reader.asked.push((request.shard, request.ticket));
            users.push(request.user);
        }
        let (now, applied) = (scene.clocks(self.index), self.marks.applied);
        let view = read_back::View { now, disk, applied };
        let effect = reader.machine.step(&view, read_back::Input::Asked(users));
        assert_eq!(effect, read_back::Effect::Read);
        let wait = wait(scene);
        scene.after(wait, Task::ReadSql(self.index));
    }

    /// The reader asks SQL for everybody who was looked at, and answers.
    pub fn read_sql(&mut self, disk: &Disk, sql: &Sql, scene: &mut Scene) {
        let ReaderSide { reader, machine, asked, .. } = &mut self.reader;
        let one_in = scene.config.one_in_read_error;
        let mut read = |user: &str| match scene.is_fault(|streams| &mut streams.sql, one_in) {
            true => Err(failure(SqlMeaning::Passing)),
            false => sql.read(reader, user).map(Some),
        };
        let states = machine.users().into_iter().map(&mut read).collect();
        let (now, applied) = (scene.clocks(self.index), self.marks.applied);
        let view = read_back::View { now, disk, applied };
        let effect = machine.step(&view, read_back::Input::Read(states));
        let read_back::Effect::Answer(states) = effect else { panic!("{effect:?}") };
        let asked = std::mem::take(asked);
        for ((shard, ticket), state) in asked.into_iter().zip(states) {
            let read = UserRead { ticket, state: state.ok_or(ReadFailed) };
            self.push(shard.index(), READS, seam::Input::UserRead(read), scene);
        }
        self.reader.is_planned = false;
        self.reader.wake(scene);
    }
}

//! SQL's side in the simulator: the machines that apply the journal and read users back, upon the
//! real store on a real file, in steps between which anything may happen.

use nudged_background::follower::{Effect, Input};
use nudged_background::sql_failure::SqlMeaning;
use nudged_base::ids::{Sequence, StreamId};
use nudged_domain::state::user::UserState;
use nudged_journal::reader::Tail;
use nudged_journal::recovery::UnappliedIndex;
use nudged_runtime::threads::sql_writer;
use nudged_store::{Store, StoreReader};

use super::disk::Disk;
use super::following::{Around, Following, Reading, failure};
use super::node::{Node, SET};
use super::scene::{MS, Scene, US, What};

/// Applies the journal.
pub struct Writer {
    /// The machine.
    pub following: Following,
    store: Store,
    turn_at: Option<u64>,
}

impl Writer {
    /// A writer that goes on behind what SQL has.
    pub fn new(store: Store, stream: StreamId, disk: &Disk, applied: Sequence) -> Writer {
        let next = Sequence(applied.0 + 1);
        let tail = Tail::seek(disk, SET, next, Vec::new()).expect("the journal has what SQL lacks");
        let following = Following::new(Some(stream), SET, tail, applied);
        Writer { following, store, turn_at: None }
    }

    /// It goes on soon.
    pub fn wake(&mut self, scene: &mut Scene) {
        let longest = if scene.is_calm { 20 } else { scene.config.sql_ms };
        let wait = scene.streams.sql.between(1, longest * 1_000) * US;
        self.turn_at = Some(scene.after(wait, What::Writer));
    }

    /// Wakes it where it sleeps and has not read all that is written. What was planned while SQL
    /// was slow does not hold up a calm end.
    pub fn wake_if_behind(&mut self, written: Sequence, scene: &mut Scene) {
        if matches!(self.following.effect, Effect::Sleep(next, _) if next <= written) {
            self.wake(scene);
        }
    }

    fn plan(&mut self, written: Sequence, scene: &mut Scene) {
        match self.following.effect {
            Effect::Pause(pause_ms) => {
                self.turn_at = Some(scene.after(pause_ms.max(1) * MS, What::Writer));
            }
            Effect::Sleep(next, limit_ms) if next > written => {
                self.turn_at = limit_ms.map(|limit_ms| scene.after(limit_ms * MS, What::Writer));
            }
            _ => self.wake(scene),
        }
    }

    /// What comes of what the machine wants.
    fn carry_out(&mut self, scene: &mut Scene) -> Input {
        let Writer { following, store, .. } = self;
        let one_in = scene.config.one_in_sql_error;
        let is_apply = matches!(following.effect, Effect::Apply(_));
        let mut is_failing = || is_apply && scene.is_fault(|streams| &mut streams.sql, one_in);
        // The database is away, or does not tell what it has done.
        let is_away = is_failing();
        let is_untold = is_failing();
        if is_away {
            return Input::Applied(Err(failure(SqlMeaning::Passing)));
        }
        match &following.effect {
            Effect::Apply(_) | Effect::Skip { .. } => {
                let input =
                    sql_writer::carry_out(store, &following.machine, &following.effect, |told| {
                        assert!(told.is_ok(), "{told:?}")
                    });
                match input {
                    Input::Applied(Ok((_, rejected))) => {
                        assert_eq!(rejected, 0, "every record fits into the tables");
                        if is_untold {
                            return Input::Applied(Err(failure(SqlMeaning::Passing)));
                        }
                    }
                    Input::Applied(Err(error)) => panic!("SQL takes every record: {error}"),
                    _ => {}
                }
                input
            }
            other => Following::trivial(other),
        }
    }
}

/// Reads users back.
pub struct ReaderSide {
    reader: StoreReader,
    /// Who was asked for, and what the journal has of them.
    pub reading: Reading,
    is_planned: bool,
}

impl ReaderSide {
    /// A reader of what SQL has, and of what it had not at the start.
    pub fn new(reader: StoreReader, unapplied: UnappliedIndex) -> ReaderSide {
        ReaderSide { reader, reading: Reading::new(unapplied), is_planned: false }
    }

    /// A user is asked for.
    pub fn wake(&mut self, scene: &mut Scene) {
        if !self.is_planned {
            self.is_planned = true;
            let wait = wait(scene);
            scene.after(wait, What::ReaderOverlay);
        }
    }

    /// A user's state as SQL has it.
    pub fn state(&mut self, user: &str) -> UserState {
        state_of(&mut self.reader, user)
    }
}

fn state_of(reader: &mut StoreReader, user: &str) -> UserState {
    let mut state = None;
    let result = reader.read_users(&[user], &mut |_, found| state = Some(found));
    assert_eq!(result.expect("SQL reads"), 0, "every row can be read");
    state.expect("a state for each user")
}

/// Half of the time that a read takes.
fn wait(scene: &mut Scene) -> u64 {
    let longest_ms = if scene.is_calm { 1 } else { scene.config.read_ms };
    scene.streams.sql.between(1, longest_ms * 1_000) * US
}

impl Node {
    /// What the writer's machine wants is done, and it steps.
    pub fn writer_turn(&mut self, disk: &Disk, scene: &mut Scene) {
        if self.writer.turn_at != Some(scene.now) {
            return; // Woken before this.
        }
        self.writer.turn_at = None;
        let most = usize::try_from(scene.config.sql_records).expect("at most 1,000");
        let records_max = if scene.is_calm { 1_000 } else { most };
        let input = self.writer.carry_out(scene);
        let around = Around { now: scene.clocks(), disk, written: self.marks.written, records_max };
        self.writer.following.step(&around, &|_, _| true, input);
        let applied = self.writer.following.machine.highest_applied();
        if applied > self.marks.applied {
            scene.note("applied", &[applied.0], &[]);
            self.marks.applied = applied;
            self.journal.wake(scene);
        }
        self.writer.plan(self.marks.written, scene);
    }

    /// The reader looks at the records that SQL had not applied at the start.
    pub fn reader_overlay(&mut self, disk: &Disk, scene: &mut Scene) {
        self.reader.reading.look(scene.clocks(), self.marks.applied, disk);
        let wait = wait(scene);
        scene.after(wait, What::ReaderSql);
    }

    /// The reader asks SQL and answers.
    pub fn reader_sql(&mut self, disk: &Disk, scene: &mut Scene) {
        let ReaderSide { reader, reading, is_planned } = &mut self.reader;
        let one_in = scene.config.one_in_read_error;
        let around = (scene.clocks(), self.marks.applied, disk);
        let answers = reading.answers(around, |user| {
            match scene.is_fault(|streams| &mut streams.sql, one_in) {
                true => Err(failure(SqlMeaning::Passing)),
                false => Ok(state_of(reader, user)),
            }
        });
        *is_planned = false;
        if !reading.requests.is_empty() {
            self.reader.wake(scene);
        }
        for (shard, read) in answers {
            self.arrive_read(shard.index(), read, scene);
        }
    }
}

//! SQL's side of a node among several: the machines that apply the journal and read users back,
//! upon the one SQL, in steps between which anything may happen.

use nudged_background::follower::{ClaimOutcome, Effect, Input};
use nudged_background::sql_failure::{SqlFailure, SqlMeaning};
use nudged_base::ids::{Sequence, UserKey};
use nudged_journal::reader::Tail;
use nudged_journal::recovery::UnappliedIndex;

use super::node::{Node, set_of};
use super::scene::{MS, Scene, US, What, number};
use super::sql::{Claim, Sql};
use crate::disk::Disk;
use crate::following::{Around, Following, Reading, failure};

/// Applies the journal.
pub struct Writer {
    /// The machine.
    pub following: Following,
    claim: Option<Claim>,
    turn_at: Option<u64>,
}

impl Writer {
    /// A writer that goes on behind what SQL has.
    pub fn new(node: usize, claim: Option<Claim>, tail: Tail, applied: Sequence) -> Writer {
        let stream = claim.map(|claim| claim.stream);
        let following = Following::new(stream, set_of(node), tail, applied);
        Writer { following, claim, turn_at: None }
    }

    /// It goes on soon.
    pub fn wake(&mut self, node: usize, scene: &mut Scene) {
        let longest = if scene.is_calm { 500 } else { scene.config.sql_us };
        let wait = scene.streams.sql.between(1, longest.max(10)) * US;
        self.turn_at = Some(scene.after(wait, What::Writer(node)));
    }

    /// Wakes it where it sleeps and has not read all that is written.
    pub fn wake_if_behind(&mut self, node: usize, written: Sequence, scene: &mut Scene) {
        if matches!(self.following.effect, Effect::Sleep(next, _) if next <= written) {
            self.wake(node, scene);
        }
    }

    fn plan(&mut self, node: usize, written: Sequence, scene: &mut Scene) {
        let wait = match self.following.effect {
            Effect::Pause(pause_ms) => pause_ms * MS,
            Effect::Sleep(next, _) if next <= written => 0,
            Effect::Sleep(_, Some(limit_ms)) => limit_ms * MS,
            Effect::Sleep(_, None) | Effect::AwaitStop => return self.turn_at = None,
            _ => 0,
        };
        match wait {
            0 => self.wake(node, scene),
            wait => self.turn_at = Some(scene.after(wait, What::Writer(node))),
        }
    }
}

impl Node {
    /// What the writer's machine wants is done, and it steps.
    pub fn writer_turn(&mut self, disk: &Disk, sql: &mut Sql, scene: &mut Scene) {
        // One that was woken before has been here; what stood still comes later than it wanted.
        if self.writer.turn_at.is_none_or(|at| at > scene.now) {
            return;
        }
        let (node, records_max) = (self.index, scene.records_max());
        let input = self.of_sql(sql, scene);
        let Node { writer, redis_status, marks, .. } = self;
        let may_pass = |sequence, user: UserKey| redis_status.may_pass(sequence, user);
        let around = Around { now: scene.clocks(node), disk, written: marks.written, records_max };
        writer.following.step(&around, &may_pass, input);
        let applied = writer.following.machine.highest_applied();
        if applied > marks.applied {
            scene.note("applied", &[number(node), applied.0], &[]);
            marks.applied = applied;
            self.journal.wake(node, scene);
        }
        self.writer.plan(node, self.marks.written, scene);
    }

    fn of_sql(&mut self, sql: &mut Sql, scene: &mut Scene) -> Input {
        let Writer { following, claim, .. } = &mut self.writer;
        match &following.effect {
            Effect::Claim(_) => {
                let claimed = sql.claim(&format!("journal {}", self.index));
                let taken = claimed.map(|(own, position)| {
                    *claim = Some(own);
                    ClaimOutcome::Stream(own.stream, position)
                });
                Input::Claimed(Vec::new(), taken)
            }
            Effect::Apply(_) => {
                let own = claim.expect("it has a stream");
                let applied = sql.apply(&[(own, &following.machine.batch())], true);
                let is_untold =
                    !scene.is_calm && scene.streams.sql.one_in(scene.config.one_in_untold);
                let untold = failure(SqlMeaning::Passing);
                Input::Applied(match applied {
                    Err(SqlFailure { meaning: SqlMeaning::Behind(at), .. }) => {
                        panic!("SQL went back to {at}")
                    }
                    Ok(()) if is_untold => Err(untold),
                    applied => applied.map(|()| (0, 0)),
                })
            }
            Effect::Skip { from, through, .. } => {
                Input::Skipped(sql.skip(claim.expect("it has a stream"), *from, *through))
            }
            other => Following::trivial(other),
        }
    }

    /// The reader looks at the records that SQL had not applied at the start.
    pub fn read_journal(&mut self, disk: &Disk, scene: &mut Scene) {
        self.reader.reading.look(scene.clocks(self.index), self.marks.applied, disk);
        let wait = wait(scene);
        scene.after(wait, What::ReadSql(self.index));
    }

    /// The reader asks SQL and answers.
    pub fn read_sql(&mut self, disk: &Disk, sql: &Sql, scene: &mut Scene) {
        let around = (scene.clocks(self.index), self.marks.applied, disk);
        for (shard, read) in self.reader.reading.answers(around, |user| sql.read(user)) {
            self.arrive_read(shard.index(), read, scene);
        }
        self.reader.is_planned = false;
        if !self.reader.reading.requests.is_empty() {
            self.reader.wake(self.index, scene);
        }
    }
}

/// Reads users back.
pub struct ReaderSide {
    /// Who was asked for, and what the journal has of them.
    pub reading: Reading,
    is_planned: bool,
}

impl ReaderSide {
    /// A reader of what SQL has, and of what it had not at the start.
    pub fn new(unapplied: UnappliedIndex) -> ReaderSide {
        ReaderSide { reading: Reading::new(unapplied), is_planned: false }
    }

    /// A user is asked for.
    pub fn wake(&mut self, node: usize, scene: &mut Scene) {
        if !self.is_planned {
            self.is_planned = true;
            let wait = wait(scene);
            scene.after(wait, What::ReadJournal(node));
        }
    }
}

/// Half of the time that a read takes: longer ones are answered degraded anyway.
fn wait(scene: &mut Scene) -> u64 {
    let longest = if scene.is_calm { 500 } else { scene.config.sql_us.min(20_000) };
    scene.streams.sql.between(1, longest.max(10)) * US
}

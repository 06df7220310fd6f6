//! Brings a node's journal to SQL: the real machine upon the real store, in steps between which
//! anything may happen.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use nudged_background::follower::{
    ClaimOutcome, Effect, Follower, FollowerMetrics, FollowerSetup, Input, SqlView, View,
};
use nudged_background::sql_failure::SqlMeaning;
use nudged_base::ids::{Sequence, StreamId, UserKey};
use nudged_journal::reader::Tail;
use nudged_runtime::threads::sql_writer;
use nudged_store::Store;

use super::disk::Disk;
use super::node::{Node, set_of};
use super::scene::{MS, Scene, Task, US, number};
use super::sql::{Sql, failure, no_log};

/// Applies the journal of a node.
pub struct Writer {
    node: usize,
    store: Store,
    machine: Follower,
    /// What the machine wants done.
    effect: Effect,
    counts: Arc<FollowerMetrics>,
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
        let counts: Arc<FollowerMetrics> = Arc::default();
        let machine = Follower::new(FollowerSetup {
            stream,
            set: set_of(node),
            applied,
            skipped: Vec::new(),
            tail,
            beats: false,
            log: no_log(),
            metrics: Arc::clone(&counts),
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
                let stream = |(stream, position)| ClaimOutcome::Stream(stream, position);
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
            Effect::Purge | Effect::Heartbeat(..) => Input::Done(Ok(())),
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

impl Node {
    /// What the writer's machine wants is done, and it steps.
    pub fn writer_turn(&mut self, disk: &Disk, sql: &Sql, scene: &mut Scene) {
        let Node { writer, redis_status, marks, keeper, .. } = self;
        if writer.turn_at.is_none_or(|at| at > scene.now) {
            return; // Woken before this.
        }
        writer.turn_at = None;
        let input = writer.carry_out(sql, scene);
        let may_pass =
            |sequence, user: UserKey| keeper.is_none() || redis_status.may_pass(sequence, user);
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
}

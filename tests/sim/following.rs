//! SQL's side of a node, the same in both worlds: the real machines that bring the journal to SQL
//! and that read users back, each with the effect that it wants. When an effect is carried out,
//! upon what, and what goes wrong then is the worlds' business.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nudged_background::follower::{
    Effect, Follower, FollowerMetrics, FollowerSetup, Input, SqlView, View,
};
use nudged_background::read_back::{self, ReadBack};
use nudged_background::sql_failure::{SqlFailure, SqlMeaning};
use nudged_base::clock::Now;
use nudged_base::ids::{Sequence, ShardId, StreamId, UserKey};
use nudged_base::telemetry::log::{Level, Log};
use nudged_domain::state::user::UserState;
use nudged_journal::reader::Tail;
use nudged_journal::recovery::UnappliedIndex;
use nudged_journal::segment::SetId;
use nudged_shard::seam::{ReadFailed, ReadRequest, UserRead};

use super::disk::Disk;

/// A log that nobody reads.
pub fn no_log() -> Log {
    Log::new(Level::Error, false, &[])
}

/// A failure of SQL.
pub fn failure(meaning: SqlMeaning) -> SqlFailure {
    SqlFailure { meaning, cause: "unreachable", text: format!("{meaning:?}") }
}

/// The machine that applies the journal, and what it wants.
pub struct Following {
    /// The real one.
    pub machine: Follower,
    /// What it wants done.
    pub effect: Effect,
    counts: Arc<FollowerMetrics>,
}

/// How it is around it.
pub struct Around<'a> {
    /// Both clocks.
    pub now: Now,
    /// Files of the journal.
    pub disk: &'a Disk,
    /// Everything up to here is in them.
    pub written: Sequence,
    /// Records of one transaction.
    pub records_max: usize,
}

impl Following {
    /// A machine that goes on behind what SQL has.
    pub fn new(stream: Option<StreamId>, set: SetId, tail: Tail, applied: Sequence) -> Following {
        let counts: Arc<FollowerMetrics> = Arc::default();
        let machine = Follower::new(FollowerSetup {
            stream,
            set,
            applied,
            skipped: Vec::new(),
            tail,
            beats: false,
            log: no_log(),
            metrics: Arc::clone(&counts),
        });
        Following { machine, effect: Effect::Pause(0), counts }
    }

    /// Steps the machine with what came of its effect.
    pub fn step(
        &mut self,
        around: &Around<'_>,
        may_pass: &dyn Fn(Sequence, UserKey) -> bool,
        input: Input,
    ) {
        let Around { now, disk, written, records_max } = *around;
        let sql = SqlView { records_max, ..SqlView::default() };
        let view = View { now, disk, written, is_stopping: false, may_pass, sql };
        self.effect = self.machine.step(&view, input);
    }

    /// What comes of an effect that is of no SQL, or of which no SQL has anything.
    pub fn trivial(effect: &Effect) -> Input {
        match effect {
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

/// The machine that reads users back, and for whom.
pub struct Reading {
    machine: ReadBack,
    /// What was asked for and not looked at yet.
    pub requests: VecDeque<ReadRequest>,
    asked: Vec<(ShardId, u64)>,
}

impl Reading {
    /// Over the records that SQL had not applied at the start.
    pub fn new(unapplied: UnappliedIndex) -> Reading {
        let machine = ReadBack::new(Arc::new(unapplied), no_log());
        Reading { machine, requests: VecDeque::new(), asked: Vec::new() }
    }

    /// Takes everybody who was asked for, and looks up their records; `applied` is what SQL has by
    /// now.
    pub fn look(&mut self, now: Now, applied: Sequence, disk: &Disk) {
        let mut users = Vec::new();
        for request in self.requests.drain(..) {
            self.asked.push((request.shard, request.ticket));
            users.push(request.user);
        }
        let view = read_back::View { now, disk, applied };
        let effect = self.machine.step(&view, read_back::Input::Asked(users));
        assert_eq!(effect, read_back::Effect::Read);
    }

    /// Asks SQL for everybody who was looked at; gives the answers with their shards.
    pub fn answers(
        &mut self,
        (now, applied, disk): (Now, Sequence, &Disk),
        mut read: impl FnMut(&str) -> Result<UserState, SqlFailure>,
    ) -> Vec<(ShardId, UserRead)> {
        let users = self.machine.users();
        let states = users.into_iter().map(|user| read(user).map(Some)).collect();
        let view = read_back::View { now, disk, applied };
        let effect = self.machine.step(&view, read_back::Input::Read(states));
        let read_back::Effect::Answer(states) = effect else { panic!("{effect:?}") };
        let answer = |((shard, ticket), state): ((ShardId, u64), Option<Vec<u8>>)| {
            (shard, UserRead { ticket, state: state.ok_or(ReadFailed) })
        };
        self.asked.drain(..).zip(states).map(answer).collect()
    }
}

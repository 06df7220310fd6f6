//! Reads users of a node back from SQL and from what SQL had not at the start: the real machine
//! upon the real store, in steps between which anything may happen.

use std::collections::VecDeque;
use std::sync::Arc;

use nudged_background::read_back::{Effect, Input, ReadBack, View};
use nudged_background::sql_failure::SqlMeaning;
use nudged_base::ids::ShardId;
use nudged_journal::recovery::UnappliedIndex;
use nudged_shard::seam::{self, ReadFailed, ReadRequest, UserRead};
use nudged_store::StoreReader;

use super::disk::Disk;
use super::node::Node;
use super::scene::{Scene, Task, US};
use super::shard::READS;
use super::sql::{Sql, failure, no_log};

/// Reads users back, and knows for whom.
pub struct ReaderSide {
    node: usize,
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
    /// The reader looks at the records that SQL had not applied at the start.
    pub fn read_journal(&mut self, disk: &Disk, scene: &mut Scene) {
        let reader = &mut self.reader;
        let mut users = Vec::new();
        for request in reader.requests.drain(..) {
            reader.asked.push((request.shard, request.ticket));
            users.push(request.user);
        }
        let (now, applied) = (scene.clocks(self.index), self.marks.applied);
        let view = View { now, disk, applied };
        let effect = reader.machine.step(&view, Input::Asked(users));
        assert_eq!(effect, Effect::Read);
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
        let view = View { now, disk, applied };
        let effect = machine.step(&view, Input::Read(states));
        let Effect::Answer(states) = effect else { panic!("{effect:?}") };
        let asked = std::mem::take(asked);
        for ((shard, ticket), state) in asked.into_iter().zip(states) {
            let read = UserRead { ticket, state: state.ok_or(ReadFailed) };
            self.push(shard.index(), READS, seam::Input::UserRead(read), scene);
        }
        self.reader.is_planned = false;
        self.reader.wake(scene);
    }
}

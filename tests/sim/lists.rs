//! Draining the lists of Redis into SQL: the real `lists::drain`, whose effects are carried out
//! upon the model of Redis and the real store, each some time after it was wanted.

use std::sync::Arc;

use nudged_background::lists::assignment::ListAssignment;
use nudged_background::lists::drain::{Drain, Effect, Input, View};
use nudged_background::lists::entries::ListStream;
use nudged_background::sql_failure::{SqlFailure, SqlMeaning};
use nudged_base::ids::StreamId;
use nudged_store::{RecordRun, Store, StoreError};

use super::asker::{Asker, Carried};
use super::node::Node;
use super::pipes::Pipes;
use super::scene::{MS, Scene, Task, number};
use super::sql::{Sql, failure, no_log};

/// Who drains the lists of a process.
pub struct Lists {
    machine: Drain,
    /// Which lists are this node's, and how far it is with them.
    pub share: Arc<ListAssignment>,
    asker: Asker,
    store: Store,
    /// What the machine wants, and what is under way.
    effect: Effect,
}

impl Lists {
    /// Nothing is claimed yet.
    pub fn new(sql: &Sql) -> Lists {
        let share = Arc::new(ListAssignment::new(1));
        let machine = Drain::new(Arc::clone(&share), 0, no_log());
        let (asker, store, effect) = (Asker::default(), sql.open(), Effect::Rest(0));
        Lists { machine, share, asker, store, effect }
    }

    /// It goes on soon.
    pub fn wake(node: usize, scene: &mut Scene) {
        let wait = scene.way_of_keeper();
        scene.after(wait, Task::Lists(node));
    }

    fn claim(&mut self, lists: &[ListStream], sql: &Sql) -> Result<Vec<StreamId>, SqlFailure> {
        sql.answer()?;
        Ok(self.store.streams_of_lists(lists, "lists").expect("SQL claims streams"))
    }

    fn apply(&mut self, sql: &Sql) -> Result<(usize, usize), SqlFailure> {
        sql.answer()?;
        let batch = self.machine.batch();
        // Redis loses nothing where there are lists, so that their numbers have no gaps.
        let runs: Vec<RecordRun<'_>> = batch
            .iter()
            .map(|(stream, records)| RecordRun { stream: *stream, is_dense: true, records })
            .collect();
        match self.store.apply_runs(&runs) {
            Ok(applied) => Ok((applied.records, applied.duplicates)),
            Err(StoreError::Fenced { stream, .. }) => {
                Err(failure(SqlMeaning::Fenced(StreamId(stream))))
            }
            Err(error) => panic!("SQL takes every record: {error}"),
        }
    }
}

impl Node {
    /// What the machine wants is done, and it steps.
    pub fn drain_step(&mut self, pipes: &mut Pipes, sql: &Sql, scene: &mut Scene) {
        let node = self.index;
        let Some(lists) = &mut self.lists else { return };
        let input = match &lists.effect {
            Effect::Ask(ask) => match lists.asker.go_on(node, ask, pipes, scene) {
                Carried::Over(answers) => Input::Answered(answers),
                Carried::Later(at) => return scene.at(at, Task::Lists(node)),
            },
            Effect::Claim(streams) => Input::Claimed(lists.claim(&streams.clone(), sql)),
            Effect::Apply => {
                let applied = lists.apply(sql);
                scene.note("drained", &[number(node), u64::from(applied.is_ok())], &[]);
                Input::Applied(applied)
            }
            Effect::Rest(_) => Input::Go,
            Effect::End => unreachable!("nobody has told it to end"),
        };
        let view = View {
            now: scene.clocks(node),
            is_stopping: false,
            redis_rest_ms: None,
            denials: 0,
            records_max: scene.records_max(),
        };
        lists.effect = lists.machine.step(&view, input);
        match lists.effect {
            Effect::Rest(rest_ms) if rest_ms > 0 => {
                scene.after(rest_ms * MS, Task::Lists(node));
            }
            _ => Lists::wake(node, scene),
        }
    }
}

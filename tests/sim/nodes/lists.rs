//! Draining the lists of Redis into SQL: the real `lists::drain`, whose effects are carried out
//! upon the models, each some time after it was wanted.

use std::collections::BTreeMap;
use std::sync::Arc;

use nudged_background::lists::assignment::ListAssignment;
use nudged_background::lists::drain::{Drain, Effect, Input, View};
use nudged_background::lists::entries::ListStream;
use nudged_background::sql_failure::SqlFailure;
use nudged_base::ids::StreamId;

use super::hands::{Asker, Carried};
use super::node::Node;
use super::pipes::Pipes;
use super::scene::{Scene, What, number};
use super::sql::{Claim, Sql};
use crate::following::no_log;

/// Who drains the lists of a process.
pub struct Lists {
    machine: Drain,
    /// Which lists are this node's, and how far it is with them.
    pub share: Arc<ListAssignment>,
    asker: Asker,
    claims: BTreeMap<StreamId, Claim>,
    /// What the machine wants, and what is under way.
    effect: Effect,
}

impl Default for Lists {
    fn default() -> Lists {
        let share = Arc::new(ListAssignment::new(1));
        let machine = Drain::new(Arc::clone(&share), 0, no_log());
        let (asker, claims) = (Asker::default(), BTreeMap::new());
        Lists { machine, share, asker, claims, effect: Effect::Rest(0) }
    }
}

impl Lists {
    /// It goes on soon.
    pub fn wake(node: usize, scene: &mut Scene) {
        let wait = scene.way_of_keeper();
        scene.after(wait, What::Lists(node));
    }

    fn claim(&mut self, lists: &[ListStream], sql: &mut Sql) -> Result<Vec<StreamId>, SqlFailure> {
        let claim = |(epoch, partition): &ListStream| {
            let (claim, _) = sql.claim(&format!("list {epoch} {}", partition.0))?;
            self.claims.insert(claim.stream, claim);
            Ok(claim.stream)
        };
        lists.iter().map(claim).collect()
    }

    fn apply(&self, sql: &mut Sql) -> Result<(usize, usize), SqlFailure> {
        let batch = self.machine.batch();
        let runs: Vec<_> =
            batch.iter().map(|(stream, run)| (self.claims[stream], run.as_slice())).collect();
        sql.apply(&runs, false)?;
        Ok((runs.iter().map(|(_, run)| run.len()).sum(), 0))
    }
}

impl Node {
    /// What the machine wants is done, and it steps.
    pub fn drain_step(&mut self, pipes: &mut Pipes, sql: &mut Sql, scene: &mut Scene) {
        let node = self.index;
        let Some(lists) = &mut self.lists else { return };
        let input = match &lists.effect {
            Effect::Ask(ask) => match lists.asker.go_on(node, ask, pipes, scene) {
                Carried::Over(answers) => Input::Answered(answers),
                Carried::Later(at) => return scene.at(at, What::Lists(node)),
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
                scene.after_ms(rest_ms, What::Lists(node));
            }
            _ => Lists::wake(node, scene),
        }
    }
}

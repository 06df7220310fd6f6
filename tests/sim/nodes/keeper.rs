//! The keeper of a node among several: the real `keeper::rounds`, whose effects are carried out
//! upon the models, each some time after it was wanted. Between any two of them anything may
//! happen, and a question that is many commands is executed in pieces.

use std::sync::Arc;

use nudged_background::keeper::metrics::KeeperMetrics;
use nudged_background::keeper::peers::NodeId;
use nudged_background::keeper::rounds::{
    Effect, FillSizes, Input, Notice, Rounds, RoundsSetup, View,
};
use nudged_background::lists::assignment::ListAssignment;
use nudged_base::time::MonoNs;
use nudged_redis::refusal::RedisRefusal;

use super::hands::{Asker, Carried};
use super::node::Node;
use super::pipes::Pipes;
use super::scene::{MS, Scene, What};
use super::sql::Sql;
use crate::following::no_log;

/// What is filled at once: few, so that there are many pieces.
const SIZES: FillSizes = FillSizes { users: 3, keys: 3 };
/// Redis is left alone for at most so long after a failure, in milliseconds.
const REST_MS: u64 = 500;

/// The keeper of a process.
pub struct KeeperSide {
    /// The machine.
    pub machine: Rounds,
    node: NodeId,
    asker: Asker,
    /// What the machine wants, and what is under way.
    effect: Effect,
    due: Option<u64>,
}

impl KeeperSide {
    /// A keeper of a process that begins.
    pub fn new(node: NodeId, life: u32, lists: Option<Arc<ListAssignment>>) -> KeeperSide {
        let machine = Rounds::new(RoundsSetup {
            node,
            token: format!("{node}-{life}"),
            sql_from: MonoNs(0),
            times_ms: (nudged_config::RedisSettings::default().deadline.0, 0),
            needs_sync: false,
            lists,
            sizes: SIZES,
            log: no_log(),
            metrics: Arc::<KeeperMetrics>::default(),
        });
        KeeperSide { machine, node, asker: Asker::default(), effect: Effect::Sleep(0), due: None }
    }

    /// It goes on soon.
    pub fn wake(&mut self, node: usize, scene: &mut Scene) {
        let at = scene.now + scene.way_of_keeper();
        self.goes_on(node, at, scene);
    }

    /// A shard has found something: a round that waits for its time begins.
    pub fn hurry(&mut self, node: usize, scene: &mut Scene) {
        let is_waiting = matches!(self.effect, Effect::Sleep(_));
        if is_waiting && self.due.is_some_and(|due| due > scene.now + MS) {
            self.goes_on(node, scene.now + MS, scene);
        }
    }

    fn goes_on(&mut self, node: usize, at: u64, scene: &mut Scene) {
        self.due = Some(at);
        scene.at(at, What::Keeper(node));
    }

    /// What comes of what the machine wants; the time at which to go on where it is not over.
    fn carry_out(
        &mut self,
        node: usize,
        (pipes, sql): (&mut Pipes, &mut Sql),
        scene: &mut Scene,
    ) -> Result<Input, u64> {
        Ok(match &self.effect {
            Effect::Ask(ask) => match self.asker.go_on(node, ask, pipes, scene) {
                Carried::Over(answers) => Input::Answered(answers),
                Carried::Later(at) => return Err(at),
            },
            Effect::Hear(_) => Input::Heard(Ok(())),
            Effect::Heartbeat(_) => {
                let nodes = sql.beat(self.node.0, scene.now);
                Input::Nodes(nodes.map(|nodes| nodes.into_iter().map(NodeId).collect()))
            }
            Effect::NextEpoch(at_least) => Input::Epoch(sql.next_epoch(*at_least).map(Some)),
            Effect::Users(after, count) => Input::Users(sql.users_after(after, *count)),
            Effect::States(users) => {
                Input::States(users.iter().map(|user| sql.read(user).map(Some)).collect())
            }
            Effect::Pause(_) | Effect::Sleep(_) | Effect::Rest => Input::Go,
            other => unreachable!("nobody has told it to end: {other:?}"),
        })
    }
}

impl Node {
    /// What the keeper wants is done, and it steps.
    pub fn keeper_step(&mut self, pipes: &mut Pipes, sql: &mut Sql, scene: &mut Scene) {
        if self.keeper.due.is_none_or(|due| due > scene.now) {
            return;
        }
        self.keeper.due = None;
        let node = self.index;
        let input = match self.keeper.carry_out(node, (pipes, sql), scene) {
            Ok(input) => input,
            Err(at) => return self.keeper.goes_on(node, at, scene),
        };
        let view = self.view_of_keeper(scene);
        self.keeper.effect = self.keeper.machine.step(&view, input);
        for notice in self.keeper.machine.take_notices() {
            self.tell_board(notice, scene);
        }
        let wait = match self.keeper.effect {
            Effect::Pause(wait_ms) | Effect::Sleep(wait_ms) if wait_ms > 0 => wait_ms * MS,
            Effect::Rest => scene.streams.keeper.between(REST_MS / 10, REST_MS) * MS,
            _ => return self.keeper.wake(node, scene),
        };
        self.keeper.goes_on(node, scene.now + wait, scene);
    }

    fn view_of_keeper(&self, scene: &Scene) -> View {
        View {
            now: scene.clocks(self.index),
            is_stopping: false,
            own_compared: self.redis_status.run_compared_by_all(),
            own_lost: self.redis_status.lost().collect(),
            own_cleared: Some(self.redis_status.cleared_run()).filter(|run| *run != 0),
            progress: self.progress(),
            denials: 0,
            unfit: None,
            refused: [0; RedisRefusal::COUNT],
            connects: self.keeper.asker.connects,
        }
    }

    fn tell_board(&mut self, notice: Notice, scene: &mut Scene) {
        let told = format!("{notice:.60?}");
        match notice {
            Notice::Learn(learned) => {
                let before = self.redis_status.learned();
                self.redis_status.learn(learned);
                if before != learned {
                    self.wake_shards(scene);
                }
                return;
            }
            Notice::ClearLosses(partitions) => {
                partitions.iter().for_each(|partition| self.redis_status.settle(*partition));
            }
            Notice::Clear(run) => {
                self.redis_status.clear_run(run);
                self.wake_shards(scene);
            }
            Notice::WakeShards => return self.wake_shards(scene),
            Notice::GiveUp(_) | Notice::Fitness(..) => return,
        }
        scene.note("notice", &[super::scene::number(self.index)], told.as_bytes());
    }
}

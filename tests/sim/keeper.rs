//! The keeper of a node: the real `keeper::rounds`, whose effects are carried out upon the models,
//! each some time after it was wanted. Between any two of them anything may happen, and a question
//! that is many commands is executed in pieces.

use std::sync::Arc;

use nudged_background::keeper::metrics::KeeperMetrics;
use nudged_background::keeper::rounds::{
    Effect, FillSizes, Input, Notice, Rounds, RoundsSetup, View,
};
use nudged_background::lists::assignment::ListAssignment;
use nudged_base::ids::NodeId;
use nudged_base::time::MonoNs;
use nudged_redis::refusal::RedisRefusal;
use nudged_store::StoreReader;

use super::asker::{Asker, Carried};
use super::node::{Node, set_of};
use super::pipes::Pipes;
use super::scene::{MS, Scene, Task, number};
use super::sql::{Sql, no_log};

/// What is filled at once: few, so that there are many pieces.
const SIZES: FillSizes = FillSizes { users: 3, keys: 3 };
/// Redis is left alone for at most so long after a failure, in milliseconds.
const BACKOFF_MS: u64 = 500;

/// The keeper of a process.
pub struct KeeperSide {
    pub machine: Rounds,
    node: usize,
    asker: Asker,
    /// What the machine wants, and what is under way.
    effect: Effect,
    due: Option<u64>,
}

fn node_id(node: usize) -> NodeId {
    NodeId(set_of(node).0)
}

impl KeeperSide {
    /// A keeper of a process that begins.
    pub fn new(node: usize, life: u32, lists: Option<Arc<ListAssignment>>) -> KeeperSide {
        let machine = Rounds::new(RoundsSetup {
            node: node_id(node),
            token: format!("{}-{life}", node_id(node)),
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
    pub fn wake(&mut self, scene: &mut Scene) {
        let at = scene.now + scene.way_of_keeper();
        self.goes_on(at, scene);
    }

    /// A shard has found something: a round that waits for its time begins.
    pub fn hurry(&mut self, scene: &mut Scene) {
        let is_waiting = matches!(self.effect, Effect::Sleep(_));
        if is_waiting && self.due.is_some_and(|due| due > scene.now + MS) {
            self.goes_on(scene.now + MS, scene);
        }
    }

    fn goes_on(&mut self, at: u64, scene: &mut Scene) {
        self.due = Some(at);
        scene.at(at, Task::Keeper(self.node));
    }

    /// What comes of what the machine wants; the time at which to go on where it is not over.
    fn carry_out(
        &mut self,
        pipes: &mut Pipes,
        (sql, reader): (&mut Sql, &mut StoreReader),
        scene: &mut Scene,
    ) -> Result<Input, u64> {
        Ok(match &self.effect {
            Effect::Ask(ask) => match self.asker.go_on(self.node, ask, pipes, scene) {
                Carried::Over(answers) => Input::Answered(answers),
                Carried::Later(at) => return Err(at),
            },
            Effect::Hear(_) => Input::Heard(Ok(())),
            Effect::Heartbeat(_) => {
                let nodes = sql.beat(self.node, scene.now);
                Input::Nodes(nodes.map(|nodes| nodes.into_iter().map(node_id).collect()))
            }
            Effect::NextEpoch(at_least) => Input::Epoch(sql.next_epoch(*at_least).map(Some)),
            Effect::Users(after, count) => Input::Users(sql.users_after(reader, after, *count)),
            Effect::States(users) => {
                let mut read = |user: &String| sql.read(reader, user).map(Some);
                Input::States(users.iter().map(&mut read).collect())
            }
            Effect::Pause(_) | Effect::Sleep(_) | Effect::Rest => Input::Go,
            other => unreachable!("nobody has told it to end: {other:?}"),
        })
    }
}

impl Node {
    /// What the keeper wants is done, and it steps.
    pub fn keeper_step(&mut self, pipes: &mut Pipes, sql: &mut Sql, scene: &mut Scene) {
        let progress = self.progress();
        let Some(keeper) = &mut self.keeper else { return };
        if keeper.due.is_none_or(|due| due > scene.now) {
            return;
        }
        keeper.due = None;
        let input = match keeper.carry_out(pipes, (sql, &mut self.reader.reader), scene) {
            Ok(input) => input,
            Err(at) => return keeper.goes_on(at, scene),
        };
        let view = View {
            now: scene.clocks(self.index),
            is_stopping: false,
            own_compared: self.redis_status.run_compared_by_all(),
            own_lost: self.redis_status.lost().collect(),
            own_cleared: Some(self.redis_status.cleared_run()).filter(|run| *run != 0),
            progress,
            denials: 0,
            unfit: None,
            refused: [0; RedisRefusal::COUNT],
            connects: keeper.asker.connects,
        };
        keeper.effect = keeper.machine.step(&view, input);
        let notices = keeper.machine.take_notices();
        match keeper.effect {
            Effect::Pause(wait_ms) | Effect::Sleep(wait_ms) if wait_ms > 0 => {
                keeper.goes_on(scene.now + wait_ms * MS, scene);
            }
            Effect::Rest => {
                let wait_ms = scene.streams.keeper.between(BACKOFF_MS / 10, BACKOFF_MS);
                keeper.goes_on(scene.now + wait_ms * MS, scene);
            }
            _ => keeper.wake(scene),
        }
        for notice in notices {
            self.take_notice(notice, scene);
        }
    }

    fn take_notice(&mut self, notice: Notice, scene: &mut Scene) {
        let text = format!("{notice:.60?}");
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
        scene.note("notice", &[number(self.index)], text.as_bytes());
    }
}

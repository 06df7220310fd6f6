//! The keeper of a node among several: the real `keeper::core`, given what was read of the model
//! and carried out upon it, as `runtime::keeper` does it. Between any two of its questions anything
//! may happen, and a question that is many commands is executed in pieces.

use std::collections::{BTreeSet, VecDeque};

use nudged::base::ids::Partition;
use nudged::base::limits::{KEEPER_SQL_BEAT_MS, PARTITIONS};
use nudged::base::time::{MonoNs, WallMs};
use nudged::keeper::core::{Keeper, Lead, Order, Seal, View};
use nudged::keeper::ledger::{Losses, PartitionMeta, Vanishing};
use nudged::keeper::peers::{Beat, NodeId};
use nudged::keeper::{scripts, share};
use nudged::redis::ask::Answer;
use nudged::redis::command::Phase;
use nudged::redis::greeting;
use nudged::redis::scripts::hash_of;
use nudged::shard::seam::Learned;

use super::fill::{Filler, filling_of};
use super::node::Node;
use super::pipes::{Asked, Pipes, Seat};
use super::redis::{Redis, Words};
use super::scene::{MS, Scene, US, What, number};
use super::sql::Sql;

/// SQL rests for so long after a failure, in milliseconds; doubles up to the longest.
const SQL_REST_MS: (u64, u64) = (1_000, 5_000);

/// What the first questions of a round have told.
struct Signs {
    now: MonoNs,
    losses: Losses,
    seal: Option<Seal>,
    lead: Lead,
    metas: Option<Vec<PartitionMeta>>,
    sql_nodes: Vec<NodeId>,
    own_compared: Option<u64>,
    lost: Vec<Partition>,
}

/// Where a round is.
enum Stage {
    /// The next one begins.
    Begins,
    /// The rest is to be read.
    Reads(Box<Signs>),
    /// Orders are carried out.
    Acts,
}

/// The keeper of a process.
pub struct KeeperSide {
    /// The real one.
    pub keeper: Keeper,
    pub(super) node: NodeId,
    pub(super) filler: Option<Filler>,
    pub(super) token: String,
    seat: Seat,
    stage: Stage,
    orders: VecDeque<Order>,
    /// Commands that are still to be executed for the order that is under way.
    pub(super) commands: VecDeque<Words>,
    pub(super) is_news: bool,
    pub(super) is_taking_lead: bool,
    pub(super) sql_rest: (u64, u64),
    sql_beat_due: u64,
    due: Option<u64>,
}

/// Words of a command.
pub(super) fn words(words: &[&[u8]]) -> Words {
    words.iter().map(|word| word.to_vec()).collect()
}

/// A call of a script upon one key.
pub(super) fn call(body: &str, key: &str, arguments: &[&[u8]]) -> Words {
    let hash = hash_of(body);
    let mut all = words(&[b"EVALSHA", &hash, b"1", key.as_bytes()]);
    all.extend(arguments.iter().map(|word| word.to_vec()));
    all
}

pub(super) fn load(body: &str) -> Words {
    words(&[b"SCRIPT", b"LOAD", body.as_bytes()])
}

impl KeeperSide {
    /// A keeper of a process that begins.
    pub fn new(node: NodeId, life: u32) -> KeeperSide {
        let deadline_ms = nudged::config::Redis::default().deadline.0;
        KeeperSide {
            keeper: Keeper::new(node, deadline_ms, PARTITIONS),
            node,
            filler: None,
            token: format!("{node}-{life}"),
            seat: None,
            stage: Stage::Begins,
            orders: VecDeque::new(),
            commands: VecDeque::new(),
            is_news: false,
            is_taking_lead: false,
            sql_rest: (0, SQL_REST_MS.0),
            sql_beat_due: 0,
            due: None,
        }
    }

    /// It goes on soon.
    pub fn wake(&mut self, node: usize, scene: &mut Scene) {
        let longest = if scene.is_calm { 500 } else { scene.config.redis_us };
        let wait = scene.streams.keeper.between(20, 2 * longest) * US;
        self.goes_on(node, scene.now + wait, scene);
    }

    /// A shard has found something: a round that waits for its time begins.
    pub fn hurry(&mut self, node: usize, scene: &mut Scene) {
        let is_waiting = matches!(self.stage, Stage::Begins);
        if is_waiting && self.due.is_some_and(|due| due > scene.now + MS) {
            self.goes_on(node, scene.now + MS, scene);
        }
    }

    fn goes_on(&mut self, node: usize, at: u64, scene: &mut Scene) {
        self.due = Some(at);
        scene.at(at, What::Keeper(node));
    }

    pub(super) fn may_ask_sql(&self, scene: &Scene) -> bool {
        scene.now >= self.sql_rest.0
    }

    pub(super) fn sql_failed(&mut self, scene: &Scene) {
        let (_, rest_ms) = self.sql_rest;
        self.sql_rest = (scene.now + rest_ms * MS, (rest_ms * 2).min(SQL_REST_MS.1));
    }

    fn fail(&mut self) {
        self.keeper.disconnected();
        self.orders.clear();
        self.commands.clear();
        self.stage = Stage::Begins;
    }
}

impl Node {
    /// The keeper's next step.
    pub fn keeper_step(&mut self, pipes: &mut Pipes, sql: &mut Sql, scene: &mut Scene) {
        if self.keeper.due.is_none_or(|due| due > scene.now) {
            return;
        }
        self.keeper.due = None;
        let stage = std::mem::replace(&mut self.keeper.stage, Stage::Begins);
        match stage {
            Stage::Begins => self.begin_round(pipes, sql, scene),
            Stage::Reads(signs) => self.read_on(signs, pipes, scene),
            Stage::Acts => self.act(pipes, sql, scene),
        }
    }

    /// Asks; `None` where the step has to be done again, or the round has failed.
    fn ask(
        &mut self,
        commands: &[Words],
        (pipes, scene): (&mut Pipes, &mut Scene),
    ) -> Result<Vec<Answer>, bool> {
        match pipes.ask(self.index, &mut self.keeper.seat, commands, scene) {
            Asked::Answers(answers) => Ok(answers),
            Asked::Wait(until) => {
                self.keeper.goes_on(self.index, until, scene);
                Err(true)
            }
            Asked::TimesOut(until) => {
                self.keeper.fail();
                self.keeper.goes_on(self.index, until, scene);
                Err(false)
            }
            Asked::Broken => {
                self.keeper.fail();
                let at = scene.now + self.keeper.keeper.pace_ms() * MS;
                self.keeper.goes_on(self.index, at, scene);
                Err(false)
            }
        }
    }

    fn begin_round(&mut self, pipes: &mut Pipes, sql: &mut Sql, scene: &mut Scene) {
        let now = scene.mono(self.index);
        let sql_nodes = self.beat_sql(sql, scene);
        // In this order: who sees the run sees what was found lost before it.
        let own_compared = self.board.run_compared_by_all();
        let lost: Vec<Partition> = self.board.lost().collect();
        let wants_metas = self.keeper.keeper.wants_metas(now) || !lost.is_empty();
        let commands = [
            words(&[b"INFO", b"server", b"memory", b"stats", b"replication"]),
            words(&[b"HMGET", scripts::REBUILD.as_bytes(), b"epoch", b"run"]),
            words(&[b"GET", scripts::LOCK.as_bytes()]),
        ];
        let Ok(answers) = self.ask(&commands, (pipes, scene)) else { return };
        let Answer::Text(info) = &answers[0] else { panic!("INFO is a text") };
        let losses = Losses {
            run: greeting::run_of_info(info).expect("the model says who it is"),
            is_evicting: greeting::evicts(info),
            evicted: greeting::evicted(info),
            is_expiring: false,
        };
        let (run, is_evicting) = (losses.run, losses.is_evicting);
        let before = self.board.learned();
        self.board.learn(Learned { run, is_evicting, ..Learned::default() });
        if self.board.learned() != before {
            self.wake_shards(scene);
        }
        let wants_metas = wants_metas || self.keeper.keeper.is_news(&losses);
        let signs = Signs {
            now,
            losses,
            seal: seal_of(&answers[1]),
            lead: match &answers[2] {
                Answer::Text(token) if *token == self.keeper.token.as_bytes() => Lead::Own,
                Answer::Text(_) => Lead::Other,
                _ => Lead::Free,
            },
            metas: wants_metas.then(|| metas_of(&pipes.redis)),
            sql_nodes,
            own_compared,
            lost,
        };
        self.keeper.stage = Stage::Reads(Box::new(signs));
        self.keeper.wake(self.index, scene);
    }

    fn beat_sql(&mut self, sql: &mut Sql, scene: &mut Scene) -> Vec<NodeId> {
        if scene.now < self.keeper.sql_beat_due || !self.keeper.may_ask_sql(scene) {
            return Vec::new();
        }
        self.keeper.sql_beat_due = scene.now + KEEPER_SQL_BEAT_MS * MS;
        match sql.beat(self.keeper.node.0, scene.now) {
            Ok(nodes) => nodes.into_iter().map(NodeId).collect(),
            Err(_) => {
                self.keeper.sql_failed(scene);
                Vec::new()
            }
        }
    }

    fn read_on(&mut self, signs: Box<Signs>, pipes: &mut Pipes, scene: &mut Scene) {
        let node = self.keeper.node.to_string();
        let mut commands = vec![
            load(scripts::BEAT),
            call(scripts::BEAT, scripts::NODES, &[node.as_bytes()]),
            words(&[b"SMEMBERS", scripts::compared_key(signs.losses.run).as_bytes()]),
        ];
        if let Some(seal) = signs.seal {
            commands.push(words(&[b"SMEMBERS", scripts::answered_key(seal).as_bytes()]));
        }
        let answers = match self.ask(&commands, (pipes, scene)) {
            Ok(answers) => answers,
            Err(is_to_wait) => {
                if is_to_wait {
                    self.keeper.stage = Stage::Reads(signs);
                }
                return;
            }
        };
        let (redis_now, beats) = beats_of(&answers[1]);
        let (compared, is_cleared) = members_of(&answers[2]);
        let answered = answers.get(3).map(members_of).unwrap_or_default().0;
        let progress = self.progress();
        let own_cleared = Some(self.board.cleared_run()).filter(|run| *run != 0);
        let orders = self.keeper.keeper.decide(&View {
            now: signs.now,
            run: signs.losses.run,
            redis_now,
            losses: signs.losses,
            beats: &beats,
            sql_nodes: &signs.sql_nodes,
            metas: signs.metas.as_deref(),
            compared: &compared,
            is_cleared,
            seal: signs.seal,
            answered: &answered,
            lead: signs.lead,
            filling: filling_of(self.keeper.filler.as_ref()),
            own_compared: signs.own_compared,
            own_cleared,
            own_lost: &signs.lost,
            progress: &progress,
        });
        if self.keeper.keeper.is_waiting_for_shards() {
            self.wake_shards(scene);
        }
        if let Some(lists) = &self.lists {
            let nodes: Vec<NodeId> = self.keeper.keeper.peers().awaited().collect();
            lists.share.set_partitions(share::partitions_of(self.keeper.node, &nodes));
        }
        for order in &orders {
            scene.note("order", &[number(self.index)], format!("{order:.60?}").as_bytes());
        }
        self.keeper.orders = orders.into();
        self.keeper.is_news = false;
        self.keeper.stage = Stage::Acts;
        self.keeper.wake(self.index, scene);
    }

    /// Executes a piece of what is under way, else begins the next order, else ends the round.
    fn act(&mut self, pipes: &mut Pipes, sql: &mut Sql, scene: &mut Scene) {
        self.keeper.stage = Stage::Acts;
        if !self.keeper.commands.is_empty() {
            let count = self.keeper.commands.len();
            let draw = &mut scene.streams.keeper;
            let piece = if draw.one_in(4) { draw.index(count) + 1 } else { count };
            let commands: Vec<Words> = self.keeper.commands.iter().take(piece).cloned().collect();
            let Ok(answers) = self.ask(&commands, (pipes, scene)) else { return };
            self.keeper.commands.drain(..piece);
            let is_held = answers.last() == Some(&Answer::Int(1));
            self.keeper.is_news |= self.keeper.is_taking_lead && is_held;
            return self.keeper.wake(self.index, scene);
        }
        if self.keeper.filler.as_ref().is_some_and(Filler::is_working) {
            let commands = self.fill_step(sql, scene);
            if !commands.is_empty() {
                let Ok(answers) = self.ask(&commands, (pipes, scene)) else { return };
                let is_dropping = self.board.learned().is_evicting;
                self.keeper.filler.as_mut().expect("it works").take(&answers, is_dropping);
            }
            return self.keeper.wake(self.index, scene);
        }
        if let Some(order) = self.keeper.orders.pop_front() {
            self.begin_order(order, sql, scene);
            return self.keeper.wake(self.index, scene);
        }
        self.keeper.stage = Stage::Begins;
        if self.keeper.is_news {
            return self.keeper.wake(self.index, scene);
        }
        let at = scene.now + self.keeper.keeper.pace_ms() * MS;
        self.keeper.goes_on(self.index, at, scene);
    }
}

fn text(answer: &Answer) -> Option<&str> {
    let Answer::Text(bytes) = answer else { return None };
    std::str::from_utf8(bytes).ok()
}

fn seal_of(answer: &Answer) -> Option<Seal> {
    let Answer::List(fields) = answer else { return None };
    let (epoch, run) = (text(&fields[0])?.parse().ok()?, text(&fields[1])?.parse().ok()?);
    Some(Seal { epoch, run })
}

/// The metas of all partitions, as `HMGET` gives them one by one.
pub fn metas_of(redis: &Redis) -> Vec<PartitionMeta> {
    let meta = |partition| {
        let key = scripts::meta_key(Partition(partition));
        let field = |name: &[u8]| redis.field(key.as_bytes(), name);
        let number = |name: &[u8]| std::str::from_utf8(field(name)?).ok()?.parse::<u64>().ok();
        PartitionMeta {
            epoch: number(b"e").and_then(|epoch| u32::try_from(epoch).ok()),
            counter: number(b"c").unwrap_or(0),
            phase: match field(b"s") {
                None => Phase::Open,
                Some(b"f") => Phase::Filling,
                Some(_) => Phase::Barrier,
            },
            is_held: field(b"h").is_some(),
            vanishing: field(b"v").map(Vanishing::of_mark),
            evicted: field(b"x").and_then(|text| {
                let (run, count) = std::str::from_utf8(text).ok()?.split_once(':')?;
                Some((run.parse().ok()?, count.parse().ok()?))
            }),
        }
    };
    (0..PARTITIONS).map(meta).collect()
}

fn beats_of(answer: &Answer) -> (WallMs, Vec<Beat>) {
    let Answer::List(parts) = answer else { panic!("{answer:?}") };
    let [Answer::Int(now), Answer::List(nodes)] = parts.as_slice() else { panic!("{answer:?}") };
    let beat = |pair: &[Answer]| {
        let at = text(&pair[1])?.parse().ok().map(WallMs)?;
        Some(Beat { node: NodeId::parse(text(&pair[0])?)?, at })
    };
    (WallMs(*now), nodes.chunks(2).filter_map(beat).collect())
}

fn members_of(answer: &Answer) -> (BTreeSet<NodeId>, bool) {
    let Answer::List(members) = answer else { panic!("{answer:?}") };
    let is_cleared = members.iter().any(|member| text(member) == Some(scripts::CLEARED));
    (members.iter().filter_map(|member| NodeId::parse(text(member)?)).collect(), is_cleared)
}

//! One run of several nodes with one Redis and one SQL, from the first question to the last row, by
//! one seed. Owns the loop and the end of the run; the oracle asks SQL and Redis.

use std::sync::Arc;

use nudged_api::token::{Keys, Secret};
use nudged_base::time::WallMs;

use super::clients::{Client, user};
use super::config::Config;
use super::history::{History, Question};
use super::node::{Node, Parts};
use super::pipes::Pipes;
use super::scene::{MS, SECOND, Scene, What};
use super::sql::Sql;
use super::{catalog, oracle};
use crate::disk::Disk;
use crate::redis_model::Data;
use crate::wire;
use crate::world::Ran;

/// Everything is drained and healthy this long after the last fault
/// (tests/README.md#the-simulator).
const LIVENESS_NS: u64 = 10 * SECOND;
/// Things that may happen in a run; more would be a loop that does nothing.
const STEPS_MAX: u64 = 5_000_000;

/// Nodes and what they share.
pub struct World {
    /// What all share.
    pub scene: Scene,
    /// The processes that run.
    pub nodes: Vec<Option<Node>>,
    /// Their disks.
    pub disks: Vec<Disk>,
    /// Redis and the ways to it.
    pub pipes: Pipes,
    /// What Redis begins with the next time.
    pub next_data: Data,
    /// SQL.
    pub sql: Sql,
    /// Clients.
    pub clients: Vec<Client>,
    /// What they asked and heard.
    pub history: History,
    /// What nodes are started with.
    pub parts: Parts,
    /// Faults that will still befall.
    pub faults_left: u64,
    steps: u64,
}

/// Runs a seed. A violation is a panic.
pub fn run(seed: u64, is_printed: bool) -> Ran {
    let config = Config::draw(seed);
    let nodes = config.nodes;
    let mut world = World {
        nodes: (0..nodes).map(|_| None).collect(),
        disks: (0..nodes).map(|_| Disk::default()).collect(),
        pipes: Pipes::new(),
        next_data: Data::default(),
        sql: Sql::default(),
        clients: (0..config.clients).map(|_| Client::new(config.acts)).collect(),
        history: History::default(),
        parts: Parts {
            snapshot: catalog::snapshot(),
            keys: Arc::new(Keys::new(&[Secret {
                id: 1,
                created_at: WallMs(0),
                bytes: [7; 32],
                moved_at: None,
            }])),
        },
        faults_left: config.fault_count,
        steps: 0,
        scene: Scene::new(config, is_printed),
    };
    world.begin();
    world.live();
    world.settle();
    world.probe();
    oracle::hold(&world);
    let (hash, answers) = (world.scene.trace.hash, world.history.answers);
    Ran { hash, steps: world.steps, answers }
}

impl World {
    /// Nodes start; they are asked once they have found Redis, or at once.
    fn begin(&mut self) {
        for node in 0..self.nodes.len() {
            let wait = self.scene.streams.faults.skewed(300) * MS;
            self.scene.after(wait, What::Boot(node));
        }
        if !self.scene.config.begins_empty {
            self.run_for(8 * SECOND);
        }
        for index in 0..self.clients.len() {
            self.scene.after(MS, What::Act(index));
        }
        if self.faults_left > 0 {
            self.scene.after(500 * MS, What::Fault);
            self.scene.after(MS, What::RedisSaves);
        }
    }

    /// Faults and questions, until every client has asked what it wanted.
    fn live(&mut self) {
        while self.clients.iter().any(|client| client.acts_left > 0 || client.waiting.is_some()) {
            self.step(u64::MAX);
        }
    }

    /// No more faults, no more questions: everything that was begun ends, and SQL gets it all.
    fn settle(&mut self) {
        self.heal();
        self.run_for(LIVENESS_NS);
        for (index, node) in self.nodes.iter().enumerate() {
            let node = node.as_ref().expect("it was started");
            assert!(node.redis_status.is_open(), "node {index} may not decide by Redis");
            let rebuild = node.keeper.machine.keeper().rebuild();
            assert!(rebuild.is_none(), "node {index} sees a rebuild: {rebuild:?}");
            let unmerged = node.redis_status.first_unmerged();
            assert!(unmerged.is_none(), "node {index} has not merged {unmerged:?}");
            let has_all = node.writer.following.has_all(node.marks.written);
            assert!(has_all, "SQL lacks records of node {index}");
            let waits = node.journal.lanes.iter().any(|lane| !lane.is_empty());
            assert!(!waits, "records of node {index} wait for its journal");
        }
        let lists = self.pipes.redis.data.keys.keys().filter(|key| key.ends_with(b"}:q"));
        assert_eq!(lists.count(), 0, "lists of Redis are not drained");
        self.hold_seen();
    }

    /// Every node is asked about every user: none is degraded.
    fn probe(&mut self) {
        let degraded = self.history.degraded;
        self.clients[0].acts_left = 0;
        for number in 0..self.scene.config.users {
            for node in 0..self.nodes.len() {
                for placement in ["home", "solo", "local"] {
                    self.probe_one(node, user(number), placement);
                }
            }
        }
        assert_eq!(self.history.degraded, degraded, "a healthy node answers degraded");
        // A list that another node had drained meanwhile is given up for a while.
        self.run_for(4 * SECOND);
    }

    fn probe_one(&mut self, node: usize, user: String, placement: &'static str) {
        self.connect_to(0, node);
        let bytes = wire::bare("GET", &format!("/v1/decide?user={user}&placement={placement}"));
        self.send(0, Question::Decide { user, placement, events: Vec::new() }, bytes);
        while self.clients[0].waiting.is_some() {
            self.step(u64::MAX);
        }
    }

    fn run_for(&mut self, wait_ns: u64) {
        let until = self.scene.now + wait_ns;
        while self.step(until) {}
    }

    /// The next thing that happens; false where nothing does before `until`.
    fn step(&mut self, until: u64) -> bool {
        let Some(what) = self.scene.next(until) else { return false };
        self.steps += 1;
        assert!(self.steps < STEPS_MAX, "the run does not come to its end");
        match what {
            What::Boot(node) => self.boot(node),
            What::Act(client) => self.act(client),
            What::GiveUp(client, question) => self.give_up(client, question),
            What::Fault => self.befall(),
            What::RedisStarts if self.pipes.is_down => {
                self.pipes.start(std::mem::take(&mut self.next_data));
            }
            What::RedisStarts => {}
            What::SqlAnswers => self.sql.is_away = false,
            What::RedisSaves => self.save_redis(),
            What::RedisEvicts => self.evict(),
            What::EvictionEnds => self.pipes.redis.is_evicting = false,
            What::Connects(pipe) => self.pipes.connects(pipe, &mut self.scene),
            What::ReachRedis(pipe) => self.pipes.reach_redis(pipe, &mut self.scene),
            What::ReachNode(pipe) => self.pipes.reach_node(pipe, &mut self.scene),
            What::Deliver(node, client) => self.deliver(node, client),
            What::SendEnds(node, shard, line) => self.send_ends(node, shard, line),
            what => self.step_node(what),
        }
        for (node, shard, arrival) in std::mem::take(&mut self.pipes.arrivals) {
            if let Some(node) = &mut self.nodes[node] {
                node.push(shard, super::shard::FROM_REDIS, arrival, &mut self.scene);
            }
        }
        true
    }

    fn save_redis(&mut self) {
        if self.scene.is_calm || !self.scene.config.has_losses() {
            return;
        }
        if !self.pipes.is_down {
            self.pipes.saved = self.pipes.redis.data.clone();
        }
        let wait = self.scene.streams.faults.skewed(3_000) * MS;
        self.scene.after(wait, What::RedisSaves);
    }

    fn step_node(&mut self, what: What) {
        let index = what.node().expect("what is left is of a node");
        let Some(node) = &mut self.nodes[index] else { return };
        let World { scene, disks, pipes, sql, .. } = self;
        let disk = &mut disks[index];
        match what {
            What::Turn(_, shard) => {
                let effects = node.turn(shard, scene);
                self.carry_out(index, shard, effects);
            }
            What::Journal(_) => node.journal_turn(disk, scene),
            What::DiskEnds(_, id) => node.disk_ends(id, disk, scene),
            What::Writer(_) => node.writer_turn(disk, sql, scene),
            What::ReadJournal(_) => node.read_journal(disk, scene),
            What::ReadSql(_) => node.read_sql(disk, sql, scene),
            What::Keeper(_) => node.keeper_step(pipes, sql, scene),
            What::Lists(_) => node.drain_step(pipes, sql, scene),
            other => unreachable!("{other:?} is not of a node's inside"),
        }
    }
}

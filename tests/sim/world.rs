//! One run: nodes in their world from the first request to the last row, by one seed. Owns the loop
//! and the end of the run; the oracle asks SQL and Redis.

use std::path::PathBuf;
use std::sync::Arc;

use nudged_api::token::{Keys, Secret};
use nudged_base::ids::UserKey;
use nudged_base::time::WallMs;
use nudged_domain::state::user;
use nudged_shard::control::{Control, ControlOutcome, ControlReply, ControlRequest, DrainStep};

use super::client::{self, Client, decide};
use super::config::{Config, Kind};
use super::disk::Disk;
use super::history::History;
use super::node::{Node, Parts};
use super::pipes::Pipes;
use super::redis_model::Data;
use super::scene::{MS, SECOND, Scene, Task};
use super::shard::FROM_REDIS;
use super::sql::Sql;
use super::{catalog, oracle, wire};

/// Everything is drained and healthy this long after the last fault
/// (tests/README.md#the-simulator).
const LIVENESS_NS: u64 = 10 * SECOND;
/// Things that may happen in a run; more would be a loop that does nothing.
const STEPS_MAX: u64 = 5_000_000;

/// Nodes and what they share.
pub struct World {
    pub scene: Scene,
    pub nodes: Vec<Option<Node>>,
    pub disks: Vec<Disk>,
    /// Redis and the ways to it.
    pub pipes: Pipes,
    /// What Redis begins with the next time.
    pub next_data: Data,
    pub sql: Sql,
    pub clients: Vec<Client>,
    pub history: History,
    pub parts: Parts,
    /// Faults that are still to be injected.
    pub faults_left: u64,
    /// Ends of the process that may still follow the opening of a segment.
    pub openings_left: u32,
    /// Things that have happened.
    pub steps: u64,
}

/// What a run came to.
pub struct Ran {
    /// The hash of all that happened.
    pub hash: u64,
    /// Things that happened.
    pub steps: u64,
    pub answers: u64,
    /// Users that were forgotten.
    pub forgotten: usize,
}

/// Runs a seed in an empty directory. A violation is a panic.
pub fn run(kind: Kind, seed: u64, directory: PathBuf, is_printed: bool) -> Ran {
    let config = Config::draw(kind, seed);
    let nodes = config.nodes;
    let mut world = World {
        nodes: (0..nodes).map(|_| None).collect(),
        disks: (0..nodes).map(|_| Disk::default()).collect(),
        pipes: Pipes::new(),
        next_data: Data::default(),
        sql: Sql::new(directory),
        clients: (0..config.clients).map(|_| Client::new(config.acts)).collect(),
        history: History {
            has_redis: config.has_redis,
            may_refuse: !config.has_redis || config.has_disk_faults(),
            ..History::default()
        },
        parts: Parts {
            snapshots: catalog::snapshots(&config),
            keys: Arc::new(Keys::new(&[Secret {
                id: 1,
                created_at: WallMs(0),
                bytes: [7; 32],
                moved_at: None,
            }])),
        },
        faults_left: config.fault_count,
        openings_left: 4,
        steps: 0,
        scene: Scene::new(config, is_printed),
    };
    world.begin();
    world.live();
    world.settle();
    if kind == Kind::Nodes {
        world.hold_healthy();
        world.hold_unseen();
        world.probe();
    } else {
        world.hold_states();
    }
    (0..nodes).for_each(|node| world.stop(node));
    oracle::hold(&world);
    let (hash, answers) = (world.scene.trace.hash, world.history.answers);
    Ran { hash, steps: world.steps, answers, forgotten: world.history.forgotten.len() }
}

impl World {
    /// Nodes start; they are asked once they have found Redis, or at once.
    fn begin(&mut self) {
        for node in 0..self.nodes.len() {
            let wait = self.scene.streams.faults.below(300) * MS;
            self.scene.after(wait, Task::Boot(node));
        }
        self.scene.after(SECOND, Task::ClockStep);
        if self.scene.config.has_redis && !self.scene.config.begins_empty {
            let until = self.scene.now + LIVENESS_NS;
            let is_open =
                |node: &Option<Node>| node.as_ref().is_some_and(|it| it.redis_status.is_open());
            while !self.nodes.iter().all(is_open) {
                assert!(self.step(until), "nodes do not find Redis");
            }
        }
        for index in 0..self.clients.len() {
            self.scene.after(MS, Task::Act(index));
        }
        if self.scene.config.forgets {
            self.scene.after(SECOND, Task::Forget);
        }
        if self.faults_left > 0 {
            self.scene.after(500 * MS, Task::Fault);
            self.scene.after(MS, Task::RedisSaves);
        }
    }

    /// Faults and questions, until every client has done what it wanted.
    fn live(&mut self) {
        let is_patient = self.scene.config.patience_ms == 0;
        let is_busy =
            |client: &Client| client.acts_left > 0 || !is_patient && !client.waiting.is_empty();
        while self.clients.iter().any(is_busy) {
            self.step(u64::MAX);
        }
    }

    /// No more faults, no more questions: everything that was begun ends, and SQL gets it all.
    fn settle(&mut self) {
        self.heal();
        self.run_for(LIVENESS_NS);
        for (index, client) in self.clients.iter().enumerate() {
            let waiting = client.waiting.len();
            let is_open = client.place.is_some() && !client.ends_after;
            assert!(!is_open || waiting == 0, "client {index} waits for {waiting} answers");
        }
        for (index, node) in self.nodes.iter().enumerate() {
            let node = node.as_ref().expect("a node that was started runs");
            node.hold_drained();
            assert!(!node.marks.is_refusing, "the journal of node {index} takes no records");
        }
    }

    /// Redis is used by every node, and has nothing that waits.
    fn hold_healthy(&self) {
        for (index, node) in self.nodes.iter().enumerate() {
            let node = node.as_ref().expect("a node that was started runs");
            assert!(node.redis_status.is_open(), "node {index} may not decide by Redis");
            let keeper = node.keeper.as_ref().expect("there is a Redis");
            let rebuild = keeper.machine.keeper().rebuild();
            assert!(rebuild.is_none(), "node {index} sees a rebuild: {rebuild:?}");
            let unmerged = node.redis_status.first_unmerged();
            assert!(unmerged.is_none(), "node {index} has not merged {unmerged:?}");
        }
        let lists = self.pipes.redis.data.keys.keys().filter(|key| key.ends_with(b"}:q"));
        assert_eq!(lists.count(), 0, "lists of Redis are not drained");
    }

    /// Every node is asked about every user: none is degraded.
    fn probe(&mut self) {
        let degraded = self.history.degraded;
        for user in client::users(&self.scene.config) {
            for node in 0..self.nodes.len() {
                for placement in ["home", "solo", "local"] {
                    self.connect_to(0, node);
                    let target = format!("/v1/decide?user={user}&placement={placement}");
                    self.send(0, decide(user.clone(), placement), &wire::bare("GET", &target));
                    self.deliver_later(0);
                    while !self.clients[0].waiting.is_empty() {
                        self.step(u64::MAX);
                    }
                }
            }
        }
        assert_eq!(self.history.degraded, degraded, "a healthy node answers degraded");
        // A list that another node had drained meanwhile is given up for a while.
        self.run_for(4 * SECOND);
    }

    /// What the shards of the only node hold of their users is what SQL has.
    fn hold_states(&mut self) {
        let users = client::users(&self.scene.config);
        let World { scene, nodes, .. } = self;
        let node = nodes[0].as_mut().expect("a node that was started runs");
        let shards = u16::try_from(node.shards.len()).expect("few shards");
        for (user, ticket) in users.iter().zip(0..) {
            let home = UserKey::of(user.as_bytes()).home(shards).index();
            let request = ControlRequest::ReadUser { user: user.as_str().into() };
            node.command(home, Control { ticket, request }, scene);
        }
        self.run_for(SECOND);
        let node = self.nodes[0].as_mut().expect("a node that was started runs");
        let replies = std::mem::take(&mut node.replies);
        assert_eq!(replies.len(), users.len(), "a state for each user");
        for reply in replies {
            let user = &users[usize::try_from(reply.ticket).expect("few users")];
            let ControlOutcome::State(state) = reply.outcome else { panic!("no state of {user}") };
            let mut stored = Vec::new();
            let read = self.sql.read(&mut node.reader.reader, user);
            user::encode(&read.expect("SQL answers"), &mut stored);
            assert_eq!(state, stored, "{user} differs between shard and SQL");
        }
    }

    /// An orderly stop of a node: every connection ends, every shard is quiet, the journal is
    /// synced, and SQL has all of it.
    fn stop(&mut self, index: usize) {
        let is_own = |client: &Client| client.place.is_some_and(|place| place.node == index);
        for step in [DrainStep::LameDuck, DrainStep::Finish, DrainStep::Exit] {
            for client in 0..self.clients.len() {
                if is_own(&self.clients[client]) {
                    self.end_client(client);
                }
            }
            let World { scene, nodes, .. } = self;
            let node = nodes[index].as_mut().expect("a node that was started runs");
            let shards = node.shards.len();
            for shard in 0..shards {
                let request = ControlRequest::Drain(step);
                node.command(shard, Control { ticket: 1, request }, scene);
            }
            let until = self.scene.now + LIVENESS_NS;
            while self.replies_of(index).len() < shards && self.step(until) {}
            let replies = std::mem::take(self.replies_of(index));
            assert_eq!(replies.len(), shards, "every shard of node {index} does {step:?}");
        }
        let node = self.nodes[index].as_mut().expect("a node that was started runs");
        assert!(node.shards.iter().all(|shard| shard.is_finished), "a shard goes on");
        node.journal.appender.stop();
        node.journal.wake(&mut self.scene);
        self.run_for(SECOND);
        let node = self.nodes[index].take().expect("a node that was started runs");
        self.scene.nodes[index].life += 1;
        assert!(node.journal.appender.is_finished(), "the journal does not come to its end");
        node.hold_drained();
    }

    fn replies_of(&mut self, index: usize) -> &mut Vec<ControlReply> {
        &mut self.nodes[index].as_mut().expect("a node that was started runs").replies
    }

    fn run_for(&mut self, wait_ns: u64) {
        let until = self.scene.now + wait_ns;
        while self.step(until) {}
    }

    /// The next thing that happens; false where nothing does before `until`.
    fn step(&mut self, until: u64) -> bool {
        let Some(task) = self.scene.next(until) else { return false };
        self.steps += 1;
        assert!(self.steps < STEPS_MAX, "the run does not come to its end");
        match task {
            Task::Boot(node) => self.boot(node),
            Task::ClockStep => self.step_clock(),
            Task::Act(client) => self.act(client),
            Task::GiveUp(client, question) => self.give_up(client, question),
            Task::Fault => self.inject_fault(),
            Task::Forget => self.forget_somebody(),
            Task::RedisStarts if self.pipes.is_down => {
                self.pipes.start(std::mem::take(&mut self.next_data));
            }
            Task::RedisStarts => {}
            Task::SqlAnswers => self.sql.is_away = false,
            Task::RedisSaves => self.save_redis(),
            Task::RedisEvicts => self.evict(),
            Task::EvictionEnds => self.pipes.redis.is_evicting = false,
            Task::Connects(pipe) => self.pipes.connects(pipe, &mut self.scene),
            Task::ReachRedis(pipe) => self.pipes.reach_redis(pipe, &mut self.scene),
            Task::ReachNode(pipe) => self.pipes.reach_node(pipe, &mut self.scene),
            Task::Deliver(node, client) => self.deliver(node, client),
            Task::SendEnds(node, shard, line) => self.send_ends(node, shard, line),
            task => self.step_node(task),
        }
        for (node, shard, arrival) in std::mem::take(&mut self.pipes.arrivals) {
            if let Some(node) = &mut self.nodes[node] {
                node.push(shard, FROM_REDIS, arrival, &mut self.scene);
            }
        }
        self.crash_where_due();
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
        self.scene.after(wait, Task::RedisSaves);
    }

    fn step_node(&mut self, task: Task) {
        let index = task.node().expect("what is left is of a node");
        let World { scene, nodes, disks, pipes, sql, .. } = self;
        let Some(node) = &mut nodes[index] else { return };
        let disk = &mut disks[index];
        match task {
            Task::Turn(_, shard) => {
                let effects = node.turn(shard, scene);
                self.carry_out(index, shard, effects);
            }
            Task::Journal(_) => node.journal_turn(disk, scene),
            Task::DiskEnds(_, id) => node.disk_ends(id, disk, scene),
            Task::Writer(_) => {
                node.writer_turn(disk, sql, scene);
                if scene.config.loses_sql && scene.streams.sql.one_in(8) {
                    sql.keep();
                }
            }
            Task::ReadJournal(_) => node.read_journal(disk, scene),
            Task::ReadSql(_) => node.read_sql(disk, sql, scene),
            Task::Keeper(_) => node.keeper_step(pipes, sql, scene),
            Task::Lists(_) => node.drain_step(pipes, sql, scene),
            other => unreachable!("{other:?} is not of a node's inside"),
        }
    }
}

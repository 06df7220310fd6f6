//! One run: a node in its world from the first request to the last row, by one seed. Owns the loop,
//! the ends of processes, and the end of the run; the oracle asks SQL.

use std::path::PathBuf;
use std::sync::Arc;

use nudged_api::token::{Keys, Secret};
use nudged_base::ids::UserKey;
use nudged_base::time::WallMs;
use nudged_domain::state::user;
use nudged_journal::appender::AckLevel;
use nudged_shard::control::{Control, ControlOutcome, ControlRequest, DrainStep};
use nudged_store::sqlite::FILE_NAME;

use super::client::{self, Client};
use super::config::{Clock, Config};
use super::disk::Disk;
use super::history::History;
use super::node::{Node, Parts};
use super::scene::{MS, SECOND, Scene, What};
use super::{catalog, oracle};

/// Everything is drained this long after the last fault (tests/README.md#the-simulator).
const LIVENESS_NS: u64 = 10 * SECOND;
/// Things that may happen in a run; more would be a loop that does nothing.
const STEPS_MAX: u64 = 2_000_000;

/// A node in its world.
pub struct World {
    /// What all share.
    pub scene: Scene,
    /// The process that runs, if one does.
    pub node: Option<Node>,
    /// Clients.
    pub clients: Vec<Client>,
    /// What they asked and heard.
    pub history: History,
    /// What a node is started with.
    pub parts: Parts,
    /// Shards that have ended their loop.
    pub finished: usize,
    disk: Disk,
    directory: PathBuf,
    steps: u64,
    crashes: Vec<u64>,
    openings_left: u32,
}

/// What a run came to.
pub struct Ran {
    /// The hash of all that happened.
    pub hash: u64,
    /// Things that happened.
    pub steps: u64,
    /// Answers that clients read.
    pub answers: u64,
}

/// Runs a seed in an empty directory. A violation is a panic.
pub fn run(seed: u64, directory: PathBuf, is_printed: bool) -> Ran {
    let config = Config::draw(seed);
    let parts = Parts {
        snapshots: catalog::snapshots(&config),
        keys: Arc::new(Keys::new(&[Secret {
            id: 1,
            created_at: WallMs(0),
            bytes: [7; 32],
            moved_at: None,
        }])),
    };
    let acts_left = config.acts;
    let clients = (0..config.clients).map(|_| Client::new(acts_left)).collect();
    let mut crashes = config.crashes.clone();
    crashes.sort_unstable();
    crashes.reverse();
    let mut world = World {
        scene: Scene::new(config, is_printed),
        node: None,
        clients,
        history: History::default(),
        parts,
        finished: 0,
        disk: Disk::default(),
        directory,
        steps: 0,
        crashes,
        openings_left: 4,
    };
    world.live();
    world.settle();
    world.hold_states();
    world.stop();
    oracle::hold(&world.directory, &world.history, &world.scene.config, &world.parts.keys);
    let (hash, answers) = (world.scene.trace.hash, world.history.answers);
    Ran { hash, steps: world.steps, answers }
}

impl World {
    /// Faults and requests, until every client has done what it wanted.
    fn live(&mut self) {
        self.scene.after(0, What::Boot);
        if self.scene.config.clock != Clock::Steady {
            self.scene.after(SECOND, What::ClockStep);
        }
        for index in 0..self.clients.len() {
            self.scene.after(0, What::Act(index));
        }
        while self.clients.iter().any(|client| client.acts_left > 0) {
            self.step(u64::MAX);
        }
    }

    /// No more faults, no more requests: everything that was begun ends, and SQL gets it all.
    fn settle(&mut self) {
        self.scene.is_calm = true;
        self.crashes.clear();
        let until = self.scene.now + LIVENESS_NS;
        if let Some(node) = &mut self.node {
            node.writer.wake(&mut self.scene);
        }
        while self.step(until) {}
        let node = self.node.as_ref().expect("a node that was started runs");
        for (index, client) in self.clients.iter().enumerate() {
            let waiting = client.waiting();
            let is_open = client.line.is_some() && !client.ends_after;
            assert!(!is_open || waiting == 0, "client {index} waits for {waiting} answers");
        }
        assert!(node.are_lanes_empty(), "something lies in a lane");
        assert!(node.writer.following.has_all(node.marks.written), "SQL lacks records");
        assert!(!node.marks.is_refusing, "the journal takes no records");
    }

    /// What shards hold of their users is what SQL has.
    fn hold_states(&mut self) {
        let users = client::users(&self.scene);
        for (user, ticket) in users.iter().zip(0..) {
            let node = self.node.as_mut().expect("a node that was started runs");
            let shards = u16::try_from(node.shards.len()).expect("few shards");
            let home = UserKey::of(user.as_bytes()).home(shards).index();
            let command = ControlRequest::ReadUser { user: user.as_str().into() };
            node.command(home, Control { ticket, request: command }, &mut self.scene);
        }
        self.run_for(SECOND);
        let node = self.node.as_mut().expect("a node that was started runs");
        let replies = std::mem::take(&mut node.replies);
        assert_eq!(replies.len(), users.len(), "a state for each user");
        for (_, reply) in replies {
            let user = &users[usize::try_from(reply.ticket).expect("few users")];
            let ControlOutcome::State(state) = reply.outcome else { panic!("no state of {user}") };
            let mut stored = Vec::new();
            user::encode(&node.reader.state(user), &mut stored);
            assert_eq!(state, stored, "{user} differs between shard and SQL");
        }
    }

    /// An orderly stop: every connection ends, every shard is quiet, the journal is synced.
    fn stop(&mut self) {
        for (step, ticket) in [(DrainStep::LameDuck, 1), (DrainStep::Finish, 2)] {
            for index in 0..self.clients.len() {
                self.end_client(index);
            }
            let node = self.node.as_mut().expect("a node that was started runs");
            for index in 0..node.shards.len() {
                let command = ControlRequest::Drain(step);
                node.command(index, Control { ticket, request: command }, &mut self.scene);
            }
            self.run_for(LIVENESS_NS);
            let node = self.node.as_mut().expect("a node that was started runs");
            let (replies, shards) = (std::mem::take(&mut node.replies), node.shards.len());
            assert_eq!(replies.len(), shards, "every shard does {step:?}");
        }
        let node = self.node.as_mut().expect("a node that was started runs");
        node.journal.appender.stop();
        node.journal.wake(&mut self.scene);
        self.run_for(SECOND);
        let node = self.node.take().expect("a node that was started runs");
        assert!(node.journal.appender.is_finished(), "the journal does not come to its end");
        assert!(node.are_lanes_empty() && node.writer.following.has_all(node.marks.written));
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
            What::Boot => self.boot(),
            What::ClockStep => self.step_clock(),
            What::Act(index) => self.act(index),
            What::Deliver(index) => self.deliver(index),
            What::SendEnds(shard, number) => self.send_ends(shard, number),
            what => self.step_node(what),
        }
        let Some(node) = &mut self.node else { return true };
        let is_poisoned = node.journal.appender.poison().is_some();
        let has_opened = std::mem::take(&mut node.journal.has_opened);
        if has_opened && self.scene.config.ends_at_openings && !self.scene.is_calm {
            let crash = self.steps + self.scene.streams.crash.skewed(40);
            if self.scene.streams.crash.one_in(2) && self.openings_left > 0 {
                self.openings_left -= 1;
                self.crashes.push(crash);
            }
        }
        // A node whose journal is closed for good is started again by whoever watches it.
        let is_due = self.crashes.last().is_some_and(|crash| self.steps >= *crash);
        if is_due || is_poisoned {
            if is_due {
                self.crashes.pop();
            }
            self.crash();
        }
        true
    }

    fn step_node(&mut self, what: What) {
        let Some(node) = &mut self.node else { return };
        let (scene, disk) = (&mut self.scene, &mut self.disk);
        match what {
            What::Turn(shard) => {
                let effects = node.turn(shard, scene);
                self.carry_out(shard, effects);
            }
            What::Journal => node.journal_turn(disk, scene),
            What::DiskEnds(id) => node.disk_ends(id, disk, scene),
            What::Writer => {
                node.writer_turn(disk, scene);
                if scene.config.loses_sql && scene.streams.sql.one_in(8) {
                    self.keep_sql();
                }
            }
            What::ReaderOverlay => node.reader_overlay(disk, scene),
            What::ReaderSql => node.reader_sql(disk, scene),
            other => unreachable!("{other:?} is not of the node"),
        }
    }

    fn boot(&mut self) {
        let node = Node::boot(&mut self.scene, &self.disk, &self.directory, &self.parts);
        self.node = Some(node);
        if self.scene.config.loses_sql {
            self.keep_sql();
        }
    }

    /// The process ends, or the machine does.
    fn crash(&mut self) {
        let mut node = self.node.take().expect("only a running process ends");
        let is_power = self.scene.config.loses_power && self.scene.streams.crash.one_in(2);
        self.scene.note("crash", &[u64::from(is_power)], &[]);
        self.cut_off(&mut node);
        let Node { journal, writer, reader, .. } = node;
        drop((writer, reader));
        let draw = &mut self.scene.streams.crash;
        self.disk.kill(journal.into_under_way(), draw);
        if is_power {
            self.disk.lose_power(draw);
            if self.scene.config.ack == AckLevel::Written {
                self.history.forgive();
            }
            if self.scene.config.loses_sql && self.scene.streams.crash.one_in(2) {
                self.put_sql_back();
            }
        }
        let wait = self.scene.streams.crash.skewed(2_000) * MS;
        self.scene.after(wait, What::Boot);
    }

    /// SQL as of now, to which a loss of power may take it back.
    fn keep_sql(&self) {
        for end in ["", "-wal"] {
            let from = self.directory.join(format!("{FILE_NAME}{end}"));
            let to = self.directory.join(format!("kept{end}"));
            std::fs::copy(from, to).expect("the directory takes a copy");
        }
    }

    fn put_sql_back(&self) {
        for end in ["", "-wal", "-shm"] {
            let to = self.directory.join(format!("{FILE_NAME}{end}"));
            // The last connection that closes takes the log with it.
            let _ = std::fs::remove_file(&to);
            if end != "-shm" {
                let from = self.directory.join(format!("kept{end}"));
                std::fs::copy(from, to).expect("the directory takes a copy");
            }
        }
    }

    fn step_clock(&mut self) {
        let draw = &mut self.scene.streams.clock;
        let largest = match self.scene.config.clock {
            Clock::Steady => 1,
            Clock::Seconds => 60_000,
            Clock::Years => 10 * 365 * 86_400_000,
        };
        let by = i64::try_from(draw.skewed(largest)).expect("ten years fit");
        let by = if draw.one_in(2) { by } else { -by };
        let wait = draw.between(1, 5_000) * MS;
        if !self.scene.is_calm {
            self.scene.step_wall(by);
            self.scene.note("wall clock", &[by.unsigned_abs()], &[]);
            self.scene.after(wait, What::ClockStep);
        }
    }
}

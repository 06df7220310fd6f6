//! Which faults hit nodes, Redis and SQL, by the seed, and the ends of processes. Where Redis may
//! lose writes, nodes are troubled only so far as the promise reaches: a node that is silent for
//! `PEER_SILENT_MS` while Redis loses what it was granted is not waited for (`keeper`).

use nudged_background::keeper::scripts;
use nudged_base::ids::{Partition, UserKey};
use nudged_base::limits::PARTITIONS;
use nudged_domain::state::user::{self, PopupState, UserState};
use nudged_journal::appender::AckLevel;
use nudged_redis::reply::split_value;

use super::client;
use super::config::Clock;
use super::node::Node;
use super::redis_model::Data;
use super::scene::{MS, Outside, SECOND, Task, number};
use super::world::World;

/// Something that hits a node, Redis or SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A node is killed, and started again on its directory.
    NodeKilled,
    NodeFrozen,
    /// Redis is killed, and started again with all that it had.
    RedisKilled,
    RedisFrozen,
    /// Redis is killed, and started again with what it had a while ago.
    RedisOld,
    /// Redis is killed, and started again with nothing.
    RedisEmpty,
    /// Everything in Redis is deleted.
    RedisFlushed,
    /// Redis may evict keys for a while, and does.
    RedisEvicts,
    /// A node's connections to Redis break, in the middle of anything.
    Cut,
    /// Nothing passes between a node and Redis for a while.
    Silence,
    /// A node can't connect to Redis for a while.
    Refused,
    SqlAway,
    RedisClock,
    NodeClock,
}

impl Fault {
    pub const ALL: [Fault; 14] = [
        Fault::NodeKilled,
        Fault::NodeFrozen,
        Fault::RedisKilled,
        Fault::RedisFrozen,
        Fault::RedisOld,
        Fault::RedisEmpty,
        Fault::RedisFlushed,
        Fault::RedisEvicts,
        Fault::Cut,
        Fault::Silence,
        Fault::Refused,
        Fault::SqlAway,
        Fault::RedisClock,
        Fault::NodeClock,
    ];

    /// Whether Redis loses writes that it has acknowledged.
    pub fn is_loss(self) -> bool {
        matches!(
            self,
            Fault::RedisOld | Fault::RedisEmpty | Fault::RedisFlushed | Fault::RedisEvicts
        )
    }
}

/// Trouble of a node is this short where Redis may lose writes, and so rare.
const SHORT_MS: u64 = 800;
/// See `SHORT_MS`.
const RARE_NS: u64 = 4 * SECOND;

impl World {
    pub fn inject_fault(&mut self) {
        if self.faults_left == 0 || self.scene.is_calm {
            return;
        }
        self.faults_left -= 1;
        let gap = self.scene.config.fault_gap_ms;
        let wait = (gap / 8 + self.scene.streams.faults.skewed(gap)) * MS;
        self.scene.after(wait, Task::Fault);
        let fault = self.scene.streams.faults.pick(&self.scene.config.faults.clone());
        let longest = match self.scene.config.has_losses() {
            true => self.scene.config.fault_ms.min(SHORT_MS),
            false => self.scene.config.fault_ms,
        };
        let lasts = self.scene.streams.faults.between(1, longest) * MS;
        let node = self.scene.streams.faults.index(self.nodes.len());
        self.scene.note(&format!("{fault:?}"), &[number(node), lasts / MS], &[]);
        match fault {
            Fault::RedisKilled | Fault::RedisFrozen => self.hit_redis(fault, lasts),
            Fault::RedisOld | Fault::RedisEmpty | Fault::RedisFlushed => {
                if self.is_redis_settled() {
                    self.hit_redis(fault, lasts);
                }
            }
            Fault::RedisEvicts => {
                self.pipes.redis.is_evicting = true;
                self.scene.after(lasts + 3 * SECOND, Task::EvictionEnds);
                self.scene.after(MS, Task::RedisEvicts);
            }
            Fault::SqlAway => {
                self.sql.is_away = true;
                self.scene.after(lasts, Task::SqlAnswers);
            }
            Fault::RedisClock => {
                let by = self.step_of_clock();
                // Terms of Redis run by its clock: where it is set back while a leader dies, a
                // rebuild waits for so long, and nothing is healthy before.
                let has_terms = self.scene.config.has_losses() || self.scene.config.begins_empty;
                self.scene.step_redis(if has_terms { by.abs() } else { by });
            }
            Fault::NodeClock => {
                let by = self.step_of_clock();
                self.scene.step_wall(node, by);
            }
            _ => self.hit_node(fault, node, lasts),
        }
    }

    /// Some users go, and now and then what is known of their partition. Only once it is marked
    /// that they may, and only users whom SQL has, with all that any node has journaled of them:
    /// who is missing in both is new, and SQL has him within its lag (docs/operations.md#outages).
    pub fn evict(&mut self) {
        if !self.pipes.redis.is_evicting {
            return;
        }
        self.scene.after(40 * MS, Task::RedisEvicts);
        let partitions = (0..PARTITIONS).map(|at| scripts::meta_key(Partition(at)));
        let is_unmarked = |key: &String| {
            let field = |name| self.pipes.redis.field(key.as_bytes(), name);
            field(b"e").is_some() && field(b"v").is_none()
        };
        if self.pipes.is_down || partitions.into_iter().any(|key| is_unmarked(&key)) {
            return;
        }
        let number = self.scene.streams.faults.below(self.scene.config.users);
        let user = client::user(&self.scene.config, number);
        let partition = UserKey::of(user.as_bytes()).partition();
        let key = scripts::user_key(partition, &user);
        let value = self.pipes.redis.get(key.as_bytes()).and_then(split_value);
        let Some((_, encoded)) = value else { return };
        let mut state = UserState::default();
        user::decode(encoded, &mut state).expect("states are ours");
        let stored = self.sql.read(&mut self.sql.open_reader(), &user);
        if stored.is_ok_and(|stored| has_all(&stored, &state)) {
            self.scene.note("evicted", &[], user.as_bytes());
            self.pipes.redis.evict(key.as_bytes());
            if self.scene.streams.faults.one_in(8) {
                self.pipes.redis.evict(scripts::meta_key(partition).as_bytes());
            }
        }
    }

    fn step_of_clock(&mut self) -> i64 {
        let draw = &mut self.scene.streams.faults;
        let by = i64::try_from(draw.skewed(20_000)).expect("short");
        if draw.one_in(2) { by } else { -by }
    }

    /// Whether Redis may lose writes now: every node is well, for a while.
    fn is_redis_settled(&self) -> bool {
        let is_well = |outside: &Outside| {
            outside.troubled_until == 0 || outside.troubled_until + RARE_NS / 2 <= self.scene.now
        };
        !self.pipes.is_down
            && self.pipes.frozen_until <= self.scene.now
            && self.nodes.iter().all(Option::is_some)
            && self.scene.nodes.iter().all(is_well)
    }

    fn hit_redis(&mut self, fault: Fault, lasts: u64) {
        if self.pipes.is_down {
            return;
        }
        match fault {
            // At once, or behind the next change that it makes, before it has said so.
            Fault::RedisFrozen if (lasts / MS).is_multiple_of(2) => {
                return self.pipes.freeze(lasts, &self.scene);
            }
            Fault::RedisFrozen => {
                self.pipes.freezes_behind_change = Some(lasts);
                return;
            }
            Fault::RedisFlushed => {
                self.pipes.redis.data = Data::default();
                return;
            }
            _ => {}
        }
        self.pipes.kill(&mut self.scene);
        self.next_data = match fault {
            Fault::RedisOld => self.pipes.saved.clone(),
            Fault::RedisEmpty => Data::default(),
            _ => std::mem::take(&mut self.pipes.redis.data),
        };
        self.scene.after(lasts, Task::RedisStarts);
    }

    fn hit_node(&mut self, fault: Fault, node: usize, lasts: u64) {
        let now = self.scene.now;
        let outside = &mut self.scene.nodes[node];
        let is_too_soon = outside.troubled_until != 0 && now < outside.troubled_until + RARE_NS;
        if self.nodes[node].is_none() || self.scene.config.has_losses() && is_too_soon {
            return;
        }
        let until = now + lasts;
        outside.troubled_until = until.max(outside.troubled_until);
        match fault {
            Fault::NodeFrozen => outside.frozen_until = until.max(outside.frozen_until),
            Fault::Silence => outside.silent_until = until.max(outside.silent_until),
            Fault::Refused => outside.refused_until = until.max(outside.refused_until),
            Fault::Cut => self.pipes.cut(node, &mut self.scene),
            Fault::NodeKilled => {
                let is_power = self.is_power();
                self.kill(node, is_power);
                self.scene.after(lasts, Task::Boot(node));
            }
            other => unreachable!("{other:?} hits no node"),
        }
    }

    /// A node's process ends, or its machine does.
    pub fn kill(&mut self, index: usize, is_power: bool) {
        let node = self.nodes[index].take().expect("only a running process ends");
        self.scene.note("kill", &[number(index), u64::from(is_power)], &[]);
        self.cut_off(&node);
        self.scene.nodes[index].life += 1;
        self.scene.nodes[index].frozen_until = 0;
        for shard in 0..node.shards.len() {
            self.pipes.close(index, shard, &mut self.scene);
        }
        // Its connections to SQL end with it.
        let Node { journal, .. } = node;
        let draw = &mut self.scene.streams.crash;
        self.disks[index].kill(journal.into_under_way(), draw);
        if is_power {
            self.disks[index].lose_power(draw);
            if self.scene.config.clock != Clock::Steady && draw.one_in(2) {
                // The machine's clock begins again at what its battery has kept.
                let by = i64::try_from(draw.skewed(120_000)).expect("short");
                self.scene.step_wall(index, -by);
            }
            if self.scene.config.ack == AckLevel::Written {
                self.history.forgive();
            }
            if self.scene.config.loses_sql && self.scene.streams.crash.one_in(2) {
                self.sql.put_back();
            }
        }
    }

    /// Whether a process ends with the power of its machine.
    fn is_power(&mut self) -> bool {
        self.scene.config.loses_power && self.scene.streams.crash.one_in(2)
    }

    /// The only node ends where its seed says so, and any one whose journal is closed for good;
    /// then whoever watches it starts it again.
    pub fn crash_where_due(&mut self) {
        for index in 0..self.nodes.len() {
            let Some(node) = &mut self.nodes[index] else { continue };
            let is_poisoned = node.journal.appender.poison().is_some();
            let has_opened = std::mem::take(&mut node.journal.has_opened);
            if has_opened && self.scene.config.ends_at_openings && !self.scene.is_calm {
                let crash = self.steps + self.scene.streams.crash.skewed(40);
                if self.scene.streams.crash.one_in(2) && self.openings_left > 0 {
                    self.openings_left -= 1;
                    self.scene.config.crashes.push(crash);
                }
            }
            let is_due = self.scene.config.crashes.pop_if(|crash| self.steps >= *crash).is_some();
            if is_due || is_poisoned {
                let is_power = self.is_power();
                self.kill(index, is_power);
                let wait = self.scene.streams.crash.skewed(2_000) * MS;
                let troubled_until = &mut self.scene.nodes[index].troubled_until;
                *troubled_until = (self.scene.now + wait).max(*troubled_until);
                self.scene.after(wait, Task::Boot(index));
            }
        }
    }

    pub fn boot(&mut self, index: usize) {
        if self.nodes[index].is_none() {
            let World { scene, disks, sql, parts, .. } = self;
            self.nodes[index] = Some(Node::boot(index, scene, &disks[index], sql, parts));
            if self.scene.config.loses_sql {
                self.sql.keep();
            }
        }
    }

    /// The wall clock of the only node is set.
    pub fn step_clock(&mut self) {
        let draw = &mut self.scene.streams.clock;
        let largest = match self.scene.config.clock {
            Clock::Steady => return,
            Clock::Seconds => 60_000,
            Clock::Years => 10 * 365 * 86_400_000,
        };
        let by = i64::try_from(draw.skewed(largest)).expect("ten years fit");
        let by = if draw.one_in(2) { by } else { -by };
        let wait = draw.between(1, 5_000) * MS;
        if !self.scene.is_calm {
            self.scene.step_wall(0, by);
            self.scene.note("wall clock", &[by.unsigned_abs()], &[]);
            self.scene.after(wait, Task::ClockStep);
        }
    }

    /// Nothing is wrong any more.
    pub fn heal(&mut self) {
        let now = self.scene.now;
        self.scene.note("healed", &[], &[]);
        self.scene.is_calm = true;
        self.scene.config.crashes.clear();
        self.sql.is_away = false;
        self.pipes.redis.is_evicting = false;
        self.pipes.frozen_until = self.pipes.frozen_until.min(now);
        self.pipes.freezes_behind_change = None;
        for outside in &mut self.scene.nodes {
            outside.frozen_until = outside.frozen_until.min(now);
            outside.silent_until = outside.silent_until.min(now);
            outside.refused_until = outside.refused_until.min(now);
        }
        if self.pipes.is_down {
            self.pipes.start(std::mem::take(&mut self.next_data));
        }
        for index in 0..self.nodes.len() {
            self.boot(index);
            // What was planned while SQL was slow does not hold up a calm end.
            let node = self.nodes[index].as_mut().expect("it has just begun");
            node.writer.wake(&mut self.scene);
        }
    }
}

/// Whether one state has everything that the other one has. Of a later revision it may lack what
/// another node's journal still holds.
fn has_all(stored: &UserState, state: &UserState) -> bool {
    let has = |entry: &PopupState| stored.popups.contains(entry);
    stored.revision == state.revision && state.popups.iter().all(has)
}

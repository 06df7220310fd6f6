//! Property: however Redis loses writes, and however the steps of keepers, shards and journals fall
//! between each other, a show that was granted later knows every show of that user that was granted
//! before; and when nothing more is lost, every partition opens again.
//!
//! A small world: three nodes, two partitions, four users; Redis, SQL, shards and journals are
//! models of what the scripts and the rules of the shard say. Keepers are the real ones.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::barrier::NodeProgress;
use super::core::{Filling, Keeper, KeeperAction, Lead, RedisSigns, SealedEpoch, View};
use super::partition_table::{EvictionState, NO_META, PartitionMeta};
use super::peers::Heartbeat;
use nudged_base::ids::{NodeId, Partition, Revision, Sequence};
use nudged_base::limits::REBUILD_LOCK_MS;
use nudged_base::time::{MonoNs, WallMs};
use nudged_redis::command::PartitionPhase;

const NODES: usize = 3;
const PARTITIONS: u16 = 2;
const USERS: usize = 4;
const DEADLINE_MS: u64 = 20;

fn partition_of(user: usize) -> usize {
    user % usize::from(PARTITIONS)
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Value {
    revision: Revision,
    shows: BTreeSet<u32>,
}

#[derive(Clone, Debug)]
struct Redis {
    run: u64,
    is_evicting: bool,
    evicted: u64,
    metas: Vec<PartitionMeta>,
    values: Vec<Option<Value>>,
    heartbeats: BTreeMap<NodeId, i64>,
    compared: BTreeMap<u64, (BTreeSet<NodeId>, bool)>,
    seal: Option<SealedEpoch>,
    acks: BTreeMap<(u32, u64), BTreeSet<NodeId>>,
    lock: Option<(NodeId, u64)>,
}

impl Redis {
    fn empty(run: u64) -> Redis {
        Redis {
            run,
            is_evicting: false,
            evicted: 0,
            metas: vec![NO_META; usize::from(PARTITIONS)],
            values: vec![None; USERS],
            heartbeats: BTreeMap::new(),
            compared: BTreeMap::new(),
            seal: None,
            acks: BTreeMap::new(),
            lock: None,
        }
    }

    /// A partition's meta, where it still has this epoch.
    fn meta_of(&mut self, (partition, epoch): (Partition, u32)) -> Option<&mut PartitionMeta> {
        let meta = &mut self.metas[usize::from(partition.0)];
        (meta.epoch == Some(epoch)).then_some(meta)
    }

    fn begin(
        &mut self,
        seal: SealedEpoch,
        new: PartitionMeta,
        partitions: &[(Partition, Option<u32>)],
    ) {
        for (partition, before) in partitions {
            let meta = &mut self.metas[usize::from(partition.0)];
            if meta.epoch == *before {
                *meta = new;
            }
        }
        self.seal = Some(seal);
    }

    fn advance(&mut self, from: PartitionPhase, of: (Partition, u32)) {
        let is_there = |meta: &&mut PartitionMeta| meta.phase == from && !meta.is_fenced;
        if let Some(meta) = self.meta_of(of).filter(is_there) {
            meta.phase = match from {
                PartitionPhase::Barrier => PartitionPhase::Filling,
                _ => PartitionPhase::Open,
            };
        }
    }

    fn raise(&mut self, user: usize, value: &Value) {
        let standing = &mut self.values[user];
        if standing.as_ref().is_none_or(|standing| standing.revision < value.revision) {
            *standing = Some(value.clone());
        }
    }
}

/// Where a shard is with a request of a user.
#[derive(Clone, Debug)]
enum Request {
    ReadSql { value: Option<Value>, epoch: u32 },
    Fill { value: Value, epoch: u32 },
    Commit { base: Option<Revision>, new: Value, show: u32 },
}

struct Flight {
    user: usize,
    show: u32,
    value: Value,
    sent_ms: u64,
    order: u64,
    /// The counter of the partition behind it, as its reply tells.
    counter: u64,
}

struct Node {
    id: NodeId,
    keeper: Keeper,
    /// Runs that the shards are connected with, have compared, and may trust.
    run: u64,
    cleared: u64,
    lost: BTreeSet<u16>,
    seen: Vec<(u32, u64)>,
    epochs: Vec<Option<u32>>,
    copies: Vec<Option<Option<Value>>>,
    requests: Vec<Option<Request>>,
    flights: VecDeque<Flight>,
    journal: VecDeque<(usize, Value)>,
    applied: u64,
    turns: u64,
    fill: Option<(Vec<Partition>, usize)>,
    paused_until_ms: u64,
}

struct World {
    now_ms: u64,
    redis: Redis,
    saved: Option<Redis>,
    runs: u64,
    sql: Vec<Option<Value>>,
    sql_epoch: u32,
    sql_is_up: bool,
    nodes: Vec<Node>,
    shows: u32,
    executed: u64,
    /// By user: order of execution, show, and what the state knew.
    granted: Vec<(usize, u64, u32, BTreeSet<u32>)>,
}

impl World {
    fn new() -> World {
        let node = |number: usize| {
            let id = NodeId(number as u128 + 1);
            Node {
                id,
                keeper: Keeper::new(id, DEADLINE_MS, PARTITIONS),
                run: 0,
                cleared: 0,
                lost: BTreeSet::new(),
                seen: vec![(0, 0); usize::from(PARTITIONS)],
                epochs: vec![None; usize::from(PARTITIONS)],
                copies: vec![None; USERS],
                requests: vec![None; USERS],
                flights: VecDeque::new(),
                journal: VecDeque::new(),
                applied: 0,
                turns: 0,
                fill: None,
                paused_until_ms: 0,
            }
        };
        World {
            now_ms: 1_000,
            redis: Redis::empty(1),
            saved: None,
            runs: 1,
            sql: vec![None; USERS],
            sql_epoch: 0,
            sql_is_up: true,
            nodes: (0..NODES).map(node).collect(),
            shows: 0,
            executed: 0,
            granted: Vec::new(),
        }
    }

    fn is_paused(&self, node: usize) -> bool {
        self.now_ms < self.nodes[node].paused_until_ms
    }

    /// A round of a keeper; so many actions of what it decides are carried out before its
    /// connection goes.
    fn round(&mut self, index: usize, actions: usize) {
        let now_ms = self.now_ms;
        let World { redis, nodes, .. } = self;
        let node = &mut nodes[index];
        redis.heartbeats.insert(node.id, now_ms.try_into().unwrap());
        redis.lock = redis.lock.filter(|(_, until)| *until > now_ms);
        let heartbeats: Vec<Heartbeat> = redis
            .heartbeats
            .iter()
            .map(|(node, at)| Heartbeat { node: *node, at: WallMs(*at) })
            .collect();
        let (compared, is_cleared) = redis.compared.get(&redis.run).cloned().unwrap_or_default();
        let acks = redis.seal.and_then(|seal| redis.acks.get(&(seal.epoch, seal.run)));
        let acks = acks.cloned().unwrap_or_default();
        let lost: Vec<Partition> = node.lost.iter().map(|lost| Partition(*lost)).collect();
        let pushed = node.applied + node.journal.len() as u64;
        let progress = NodeProgress {
            turns: vec![node.turns],
            pushed: vec![pushed],
            acknowledged: vec![pushed],
            written: Sequence(pushed),
            applied: Sequence(node.applied),
            ..NodeProgress::default()
        };
        let signs = RedisSigns {
            run: redis.run,
            redis_now: WallMs(now_ms.try_into().unwrap()),
            eviction: EvictionState {
                run: redis.run,
                is_evicting: redis.is_evicting,
                evicted: redis.evicted,
                is_expiring: false,
            },
            heartbeats,
            metas: Some(redis.metas.clone()),
            compared,
            is_cleared,
            seal: redis.seal,
            acks,
            lead: match redis.lock {
                None => Lead::Free,
                Some((holder, _)) if holder == node.id => Lead::Own,
                Some(_) => Lead::Other,
            },
        };
        let decided = node.keeper.decide(&View {
            now: MonoNs(now_ms * 1_000_000),
            signs: &signs,
            sql_nodes: &[],
            filling: match &node.fill {
                None => Filling::Idle,
                Some((_, USERS)) => Filling::Done,
                Some(_) => Filling::Running,
            },
            own_compared: (node.run != 0).then_some(node.run),
            own_cleared: (node.cleared != 0).then_some(node.cleared),
            own_lost: &lost,
            progress: &progress,
        });
        let count = decided.len();
        decided.into_iter().take(actions).for_each(|action| self.carry_out(index, action));
        if actions < count {
            self.nodes[index].keeper.disconnected();
        }
    }

    fn carry_out(&mut self, index: usize, action: KeeperAction) {
        let (now_ms, sql_is_up) = (self.now_ms, self.sql_is_up);
        let World { redis, nodes, sql, sql_epoch, .. } = self;
        let node = &mut nodes[index];
        match action {
            KeeperAction::Fence(partitions) => {
                for of in partitions {
                    if let Some(meta) = redis.meta_of(of) {
                        (meta.phase, meta.is_fenced) = (PartitionPhase::Barrier, true);
                    }
                }
            }
            KeeperAction::ClearLosses(partitions) => {
                node.lost.retain(|lost| !partitions.contains(&Partition(*lost)));
            }
            KeeperAction::SayCompared { run, is_cleared } => {
                let compared = redis.compared.entry(run).or_default();
                compared.0.insert(node.id);
                compared.1 |= is_cleared;
            }
            KeeperAction::Clear { run } => node.cleared = run,
            KeeperAction::TakeLead | KeeperAction::KeepLead => {
                if redis.lock.is_none_or(|(holder, _)| holder == node.id) {
                    redis.lock = Some((node.id, now_ms + REBUILD_LOCK_MS));
                }
            }
            KeeperAction::LeaveLead => {
                redis.lock = redis.lock.filter(|(holder, _)| *holder != node.id)
            }
            KeeperAction::Doubt(partitions) => {
                for (partition, epoch, why) in partitions {
                    if let Some(meta) = redis.meta_of((partition, epoch)) {
                        meta.vanishing = Some(why);
                    }
                }
            }
            KeeperAction::Begin { at_least, run, evicted, vanishing, partitions } => {
                if sql_is_up {
                    *sql_epoch = (*sql_epoch + 1).max(at_least);
                    let meta = PartitionMeta {
                        epoch: Some(*sql_epoch),
                        phase: PartitionPhase::Barrier,
                        vanishing,
                        evicted: Some((run, evicted)),
                        ..NO_META
                    };
                    redis.begin(SealedEpoch { epoch: *sql_epoch, run }, meta, &partitions);
                }
            }
            KeeperAction::AckDrained(seal) => {
                redis.acks.entry((seal.epoch, seal.run)).or_default().insert(node.id);
            }
            KeeperAction::Advance { from, partitions } => {
                partitions.iter().for_each(|of| redis.advance(from, *of));
            }
            KeeperAction::Fill(partitions) => node.fill = Some((partitions, 0)),
            KeeperAction::FillOn => {
                if let Some((partitions, user)) = &mut node.fill
                    && *user < USERS
                {
                    let is_wanted =
                        partitions.iter().any(|at| usize::from(at.0) == partition_of(*user));
                    if let (true, Some(value)) = (is_wanted, &sql[*user]) {
                        redis.raise(*user, value);
                    }
                    *user += 1;
                }
            }
            KeeperAction::FillStop => node.fill = None,
        }
    }

    /// A shard learns what every reply tells of a partition; gives its epoch where the shard may
    /// decide by it, and whether a value of an earlier epoch may be believed.
    fn learn(&mut self, index: usize, partition: usize) -> Option<(u32, bool)> {
        let (node, meta) = (&mut self.nodes[index], self.redis.metas[partition]);
        let number = u16::try_from(partition).unwrap();
        let seen = &mut node.seen[partition];
        let Some(epoch) = meta.epoch.filter(|epoch| (*epoch, meta.counter) >= *seen) else {
            node.lost.insert(number);
            return None;
        };
        *seen = (epoch, meta.counter);
        if node.epochs[partition].replace(epoch) != Some(epoch) {
            // What was read before may be from before a loss.
            let of_partition = (0..USERS).filter(|user| partition_of(*user) == partition);
            of_partition.for_each(|user| node.copies[user] = None);
        }
        (meta.phase != PartitionPhase::Barrier)
            .then_some((epoch, meta.phase == PartitionPhase::Open))
    }

    /// One step of a request of a user: begin it, or go on with it.
    fn request(&mut self, index: usize, user: usize) {
        let partition = partition_of(user);
        if self.nodes[index].run != self.redis.run || self.nodes[index].cleared != self.redis.run {
            self.nodes[index].requests[user] = None;
            return;
        }
        let next = match self.nodes[index].requests[user].take() {
            None => self.begin_request(index, user),
            Some(Request::ReadSql { value, epoch }) => {
                let known = self.sql[user].clone();
                match known.into_iter().chain(value).max_by_key(|value| value.revision) {
                    Some(value) => Some(Request::Fill { value, epoch }),
                    None => Some(self.evaluate(None, epoch)),
                }
            }
            Some(Request::Fill { value, epoch }) => {
                self.redis.raise(user, &value);
                let standing = self.redis.values[user].clone();
                self.learn(index, partition).map(|_| self.evaluate(standing, epoch))
            }
            Some(Request::Commit { base, new, show }) => {
                self.commit(index, user, (base, new, show));
                None
            }
        };
        self.nodes[index].requests[user] = next;
    }

    fn begin_request(&mut self, index: usize, user: usize) -> Option<Request> {
        let partition = partition_of(user);
        let node = &self.nodes[index];
        if let (Some(copy), Some(epoch)) = (node.copies[user].clone(), node.epochs[partition]) {
            return Some(self.evaluate(copy, epoch));
        }
        let (epoch, vouches) = self.learn(index, partition)?;
        let value = self.redis.values[user].clone();
        let is_of_epoch = value.as_ref().is_some_and(|value| value.revision.epoch == epoch);
        if vouches || is_of_epoch {
            return Some(self.evaluate(value, epoch));
        }
        Some(Request::ReadSql { value, epoch })
    }

    fn evaluate(&mut self, value: Option<Value>, epoch: u32) -> Request {
        self.shows += 1;
        let base = value.as_ref().map(|value| value.revision);
        let mut new = value.unwrap_or_default();
        new.revision = Revision { epoch, counter: new.revision.counter + 1 };
        new.shows.insert(self.shows);
        Request::Commit { base, new, show: self.shows }
    }

    /// As the script says, without what is about time.
    fn commit(&mut self, index: usize, user: usize, commit: (Option<Revision>, Value, u32)) {
        let (base, new, show) = commit;
        let partition = partition_of(user);
        let meta = &mut self.redis.metas[partition];
        let standing = self.redis.values[user].as_ref().map(|value| value.revision);
        let is_done = meta.epoch == Some(new.revision.epoch)
            && meta.phase != PartitionPhase::Barrier
            && standing == base;
        if is_done {
            meta.counter += 1;
            self.redis.values[user] = Some(new.clone());
            self.executed += 1;
            let (order, sent_ms) = (self.executed, self.now_ms);
            let counter = meta.counter;
            let flight = Flight { user, show, value: new, sent_ms, order, counter };
            self.nodes[index].flights.push_back(flight);
        } else {
            self.nodes[index].copies[user] = None;
            self.learn(index, partition);
        }
    }

    /// A turn: replies are taken, in order; late ones grant nothing.
    fn turn(&mut self, index: usize) {
        let now_ms = self.now_ms;
        let node = &mut self.nodes[index];
        while let Some(flight) = node.flights.pop_front() {
            let Flight { user, show, value, order, sent_ms, counter } = flight;
            // A reply that grants nothing tells of its partition all the same.
            let seen = &mut node.seen[partition_of(user)];
            *seen = (*seen).max((value.revision.epoch, counter));
            if now_ms > sent_ms + DEADLINE_MS {
                continue;
            }
            self.granted.push((user, order, show, value.shows.clone()));
            node.journal.push_back((user, value.clone()));
            if node.epochs[partition_of(user)] == Some(value.revision.epoch) {
                node.copies[user] = Some(Some(value));
            }
        }
        node.turns += 1;
    }

    fn apply(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let Some((user, value)) = node.journal.pop_front() else { return };
        node.applied += 1;
        if self.sql[user].as_ref().is_none_or(|known| known.revision < value.revision) {
            self.sql[user] = Some(value);
        }
    }

    /// The shards find another run: they compare what they had seen with it.
    fn connect(&mut self, index: usize) {
        if self.nodes[index].run == self.redis.run {
            return;
        }
        // Replies of the old connection are taken before, or never.
        self.turn(index);
        let node = &mut self.nodes[index];
        node.run = self.redis.run;
        node.epochs.fill(None);
        node.copies.fill(None);
        node.requests.fill(None);
        for partition in 0..usize::from(PARTITIONS) {
            if self.nodes[index].seen[partition] != (0, 0) {
                self.learn(index, partition);
            }
        }
    }

    fn wipe(&mut self) {
        self.redis = Redis::empty(self.redis.run);
    }

    fn restart(&mut self, with_file: bool) {
        self.runs += 1;
        let file = self.saved.clone().filter(|_| with_file);
        self.redis = file.unwrap_or_else(|| Redis::empty(0));
        self.redis.run = self.runs;
    }

    /// A node is away so long that nobody waits for it. What it was granted is in SQL before.
    fn pause(&mut self, index: usize) {
        self.turn(index);
        while !self.nodes[index].journal.is_empty() {
            self.apply(index);
        }
        self.nodes[index].flights.clear();
        self.nodes[index].paused_until_ms = self.now_ms + 6_000;
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Round(node, actions) if !self.is_paused(node) => self.round(node, actions),
            Step::Request(node, user) if !self.is_paused(node) => self.request(node, user),
            Step::Turn(node) if !self.is_paused(node) => self.turn(node),
            Step::Apply(node) if !self.is_paused(node) => self.apply(node),
            Step::Connect(node) if !self.is_paused(node) => self.connect(node),
            Step::Pass(ms) => self.now_ms += ms,
            Step::Save => self.saved = Some(self.redis.clone()),
            Step::Wipe => self.wipe(),
            Step::Restart(with_file) => self.restart(with_file),
            Step::Sql(is_up) => self.sql_is_up = is_up,
            Step::Pause(node) => self.pause(node),
            _ => {}
        }
    }

    /// Everybody works on, and nothing more is lost.
    fn calm_down(&mut self) {
        self.sql_is_up = true;
        for _ in 0..2_000 {
            self.now_ms += 7;
            for node in (0..NODES).filter(|node| !self.is_paused(*node)).collect::<Vec<_>>() {
                self.connect(node);
                self.turn(node);
                self.apply(node);
                self.round(node, usize::MAX);
            }
        }
    }

    fn assert_nothing_was_shown_blindly(&self) {
        for (user, order, show, _) in &self.granted {
            for (other, later, next, knew) in &self.granted {
                let is_later = user == other && order < later;
                assert!(!is_later || knew.contains(show), "{next} does not know {show}");
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Round(usize, usize),
    Request(usize, usize),
    Turn(usize),
    Apply(usize),
    Connect(usize),
    Pass(u64),
    Save,
    Wipe,
    Restart(bool),
    Sql(bool),
    Pause(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let whole = prop_oneof![9 => Just(usize::MAX), 1 => 0..4_usize];
    prop_oneof![
        40 => (0..NODES, whole).prop_map(|(node, actions)| Step::Round(node, actions)),
        40 => (0..NODES, 0..USERS).prop_map(|(node, user)| Step::Request(node, user)),
        30 => (0..NODES).prop_map(Step::Turn),
        20 => (0..NODES).prop_map(Step::Apply),
        15 => (0..NODES).prop_map(Step::Connect),
        30 => (1..15_u64).prop_map(Step::Pass),
        4 => Just(Step::Save),
        2 => Just(Step::Wipe),
        3 => any::<bool>().prop_map(Step::Restart),
        1 => any::<bool>().prop_map(Step::Sql),
        1 => (0..NODES).prop_map(Step::Pause),
    ]
}

/// Three nodes that work with an open Redis, each known to the others.
fn settled() -> World {
    let mut world = World::new();
    world.calm_down();
    assert!(
        world.redis.metas.iter().all(|meta| meta.phase == PartitionPhase::Open),
        "it opens at first"
    );
    assert!(world.nodes.iter().all(|node| node.cleared == 1));
    world
}

proptest! {
    #[test]
    fn nobody_is_shown_what_another_node_was_granted(
        steps in prop::collection::vec(step(), 50..600)
    ) {
        let mut world = settled();
        steps.iter().for_each(|step| world.step(step));
        world.calm_down();
        world.assert_nothing_was_shown_blindly();
        for meta in &world.redis.metas {
            prop_assert_eq!(meta.phase, PartitionPhase::Open);
            prop_assert!(meta.epoch.is_some() && !meta.is_fenced);
        }
        prop_assert!(world.nodes.iter().all(|node| node.cleared == world.redis.run));
    }
}

/// A user of every node, granted as fast as it goes.
fn grant(world: &mut World, user: usize) {
    for node in 0..NODES {
        for _ in 0..6 {
            world.request(node, user);
            world.turn(node);
        }
    }
}

#[test]
fn the_world_itself_grants_and_its_oracle_catches_a_blind_show() {
    let mut world = settled();
    grant(&mut world, 0);
    assert!(world.granted.len() >= NODES);
    world.assert_nothing_was_shown_blindly();
    // Lost behind everybody's back, in the same epoch: this is what a keeper is for.
    world.redis.values[0] = None;
    world.nodes.iter_mut().for_each(|node| node.copies[0] = None);
    grant(&mut world, 0);
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        world.assert_nothing_was_shown_blindly();
    }));
    assert!(caught.is_err());
}

#[test]
fn a_node_that_missed_the_clearing_fences_what_it_has_worked_in() {
    let mut world = settled();
    world.step(&Step::Save);
    grant(&mut world, 0);
    world.pause(0);
    world.restart(true);
    // The others have seen less of the partition, count it up again, and can't know of a loss.
    world.nodes[1].seen = vec![(0, 0); usize::from(PARTITIONS)];
    world.nodes[2].seen = vec![(0, 0); usize::from(PARTITIONS)];
    for node in [1, 2] {
        world.nodes[node].keeper = Keeper::new(world.nodes[node].id, DEADLINE_MS, PARTITIONS);
        world.nodes[node].cleared = 0;
    }
    for _ in 0..600 {
        world.now_ms += 7;
        for node in [1, 2] {
            world.connect(node);
            world.turn(node);
            world.round(node, usize::MAX);
        }
    }
    assert_eq!(world.nodes[1].cleared, 2, "they go on without it");
    let before = world.redis.metas[0].epoch;
    world.nodes[0].paused_until_ms = 0;
    world.calm_down();
    assert!(world.redis.metas[0].epoch > before, "it has had the partition rebuilt");
    assert_eq!(world.nodes[0].cleared, 2);
}

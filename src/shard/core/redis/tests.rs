//! Properties of shards whose arbiter is Redis: whatever is delayed, lost or raced, no user is
//! shown a popup twice within its gap, every acknowledged change is in a journal, every request is
//! answered by its deadline, and nothing stays under way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use proptest::prelude::*;

use super::super::{Core, CoreSetup};
use crate::control::{Control, ControlOutcome, ControlRequest};
use crate::seam::{
    Effect, Input, Outbox, ReadRequest, RedisStatusView, ShardReport, Step, UserRead,
};
use crate::users::Arbitration;
use crate::users::redis::{Arbiter, ArbiterSetup, RecordQueue};
use crate::users::unmerged::{RecoveredUnmerged, UnmergedScan};
use crate::view::Rules;
use nudged_api::access::Access;
use nudged_api::cors::Cors;
use nudged_api::token::{Keys, Secret};
use nudged_api::visitors::VisitorRules;
use nudged_base::clock::Now;
use nudged_base::event_kind::EventKind;
use nudged_base::ids::{Revision, Sequence, ShardId};
use nudged_base::telemetry::counters::ShardCounters;
use nudged_base::telemetry::log::{Level, Log};
use nudged_base::time::{MonoNs, WallMs};
use nudged_domain::catalog::compile::{CatalogEntry, compile};
use nudged_domain::catalog::snapshot::{Settings, Snapshot};
use nudged_domain::catalog::source;
use nudged_domain::state::user::{self, UserState};
use nudged_journal::lane::{Ack, LaneBatch};
use nudged_journal::record::{Record, append, frames};
use nudged_redis::command::PartitionPhase;
use nudged_redis::link::{BreakerSettings, LinkSettings};

mod catalogs;
mod degraded;
mod forgotten;
mod held;
mod learned;
mod local;
mod moves;
mod pursued;
mod races;
mod rated;
mod wire;
mod withdrawn;

use moves::{Move, moves};
use wire::{Greeting, Redis, SHARDS, Stored, Wire, id, run};

/// Which life of Redis it is at first.
const LIFE: u64 = 7;
/// The number of each node's link.
const LINK: u32 = 1 << 20;
/// Longer than any test, in milliseconds.
const FOREVER_MS: u64 = 1 << 40;
const DEADLINE_MS: u64 = 20;
const GAP_MS: i64 = 3_600_000;
const POPUPS: &str = "[[popup]]\nid = \"p\"\nafter_shown = \"1h\"\nafter_clicked = \"0s\"\n";

fn snapshot() -> Arc<Snapshot> {
    snapshot_of(POPUPS)
}

fn snapshot_of(popups: &str) -> Arc<Snapshot> {
    snapshot_with(popups, 1)
}

fn snapshot_with(popups: &str, version: u32) -> Arc<Snapshot> {
    let definitions = source::parse_toml(popups).unwrap();
    let entries: Vec<_> = definitions
        .iter()
        .map(|definition| CatalogEntry { definition, version, status: definition.status() })
        .collect();
    Arc::new(compile(&entries, Settings::default(), 1).unwrap())
}

impl Core {
    fn arbiter(&self) -> &Arbiter {
        match &self.arbitration {
            Arbitration::Redis(arbiter) => arbiter,
            Arbitration::Own => panic!("these shards have one"),
        }
    }

    fn arbiter_mut(&mut self) -> &mut Arbiter {
        match &mut self.arbitration {
            Arbitration::Redis(arbiter) => arbiter,
            Arbitration::Own => panic!("these shards have one"),
        }
    }

    /// Whether no change is under way.
    fn is_quiet(&self) -> bool {
        self.users.in_flight.is_empty() && self.users.fanouts.is_empty()
    }
}

/// A link that leaves time to the tests: nothing expires, no breaker opens for the tests' failures,
/// and a lost connection may be replaced at once.
fn link() -> LinkSettings {
    let breaker = BreakerSettings { failures: u32::MAX, open_ms: 0, open_max_ms: 0 };
    let (deadline_ms, window) = (FOREVER_MS, 256);
    LinkSettings { deadline_ms, window, breaker, retry_budget_percent: 0, ..Default::default() }
}

fn setup(
    seed: u64,
    queue: RecordQueue,
    (journal_end, unmerged): (Sequence, RecoveredUnmerged),
) -> ArbiterSetup {
    ArbiterSetup {
        link: Arc::new(link()),
        connection: LINK,
        deadline_ms: DEADLINE_MS,
        slice_ttl_ms: 60_000,
        negative_ttl_ms: 60_000,
        ttl_ms: 0,
        queue,
        needs_sync: false,
        request_seed: seed.wrapping_mul(0x9e37_79b9),
        journal_end,
        unmerged,
    }
}

/// A node of one shard, its wire to Redis, and what it has journaled and answered.
struct Node {
    core: Core,
    wire: Wire,
    outbox: Outbox,
    connections: u32,
    /// When each open request has to be answered.
    open: BTreeMap<u32, MonoNs>,
    answers: BTreeMap<u32, String>,
    lane: VecDeque<LaneBatch>,
    acked: Sequence,
    /// (decision, kind) of each record.
    journal: Vec<(String, EventKind)>,
    /// (sequence, decision, kind) of each record that is not merged.
    unmerged: Vec<(Sequence, String, EventKind)>,
    /// Every acknowledged record, framed.
    log: Vec<(Sequence, Vec<u8>)>,
    reads: VecDeque<ReadRequest>,
    reports: Vec<ShardReport>,
    outcomes: Vec<ControlOutcome>,
}

impl Node {
    fn new(seed: u64, queue: RecordQueue) -> Node {
        Node::with(seed, queue, (Sequence(0), Vec::new()))
    }

    /// The same where a reply of Redis has to survive loss of power.
    fn needing_sync(seed: u64, queue: RecordQueue) -> Node {
        let setup = setup(seed, queue, (Sequence(0), Vec::new()));
        Node::of(seed, ArbiterSetup { needs_sync: true, ..setup })
    }

    /// A node whose journal ends with this record, and what earlier processes did not merge.
    fn with(seed: u64, queue: RecordQueue, left: (Sequence, RecoveredUnmerged)) -> Node {
        Node::of(seed, setup(seed, queue, left))
    }

    fn of(seed: u64, arbiter: ArbiterSetup) -> Node {
        let journal_end = arbiter.journal_end;
        let secret = Secret { id: 1, created_at: WallMs(0), bytes: [7; 32], moved_at: None };
        let core = Core::new(CoreSetup {
            shard: ShardId(0),
            shards: SHARDS,
            snapshot: snapshot(),
            rules: Arc::new(Rules {
                access: vec![Access::default()],
                cors: Cors::default(),
                visitors: VisitorRules::default(),
            }),
            keys: Arc::new(Keys::new(&[secret])),
            counters: Arc::new(ShardCounters::default()),
            slice_bytes: 1 << 20,
            connections_max: 4_096,
            connections_max_of_node: 4_096,
            unsent_bytes_max: nudged_base::limits::UNSENT_BYTES_DEFAULT,
            user_rate: None,
            read_deadline_ms: 50,
            arbiter: Some(arbiter),
            seed,
            timeouts: nudged_http::connection::Timeouts::DEFAULT,
            log: Log::new(Level::Error, true, &[]),
        });
        Node {
            core,
            wire: Wire::default(),
            outbox: Outbox::default(),
            connections: 0,
            open: BTreeMap::new(),
            answers: BTreeMap::new(),
            lane: VecDeque::new(),
            acked: journal_end,
            journal: Vec::new(),
            unmerged: Vec::new(),
            log: Vec::new(),
            reads: VecDeque::new(),
            reports: Vec::new(),
            outcomes: Vec::new(),
        }
    }

    fn step(&mut self, now: Now, input: Input<'_>) {
        self.core.step(now, input, &mut self.outbox);
        self.turn(now);
    }

    /// Another catalog becomes current, in which popups have other places and other versions.
    fn swap(&mut self, now: Now, catalogs: &[Arc<Snapshot>; 2]) {
        let version = self.core.view.snapshot.version + 1;
        let next = &catalogs[usize::from(version.is_multiple_of(2))];
        let next = Arc::new(next.with_statuses(version, &Default::default()));
        let control = Control { ticket: 0, request: ControlRequest::SwapCatalog(next) };
        self.core.step(now, Input::Control(control), &mut self.outbox);
    }

    fn turn(&mut self, now: Now) {
        self.core.finish_turn(now, &mut self.outbox);
        while !self.outbox.effects.is_empty() {
            for effect in std::mem::take(&mut self.outbox.effects) {
                self.carry(now, effect);
            }
            self.core.finish_turn(now, &mut self.outbox);
        }
    }

    fn carry(&mut self, now: Now, effect: Effect) {
        match effect {
            Effect::Connect { connection: LINK } => {
                self.wire.is_wanted = true;
                self.accept_link(now);
            }
            Effect::Close { connection: LINK, .. } => self.wire.begin(false),
            Effect::Send { connection: LINK, buffer } => {
                let answers = self.wire.take(&buffer);
                let sent = Some(buffer.len());
                self.core.step(
                    now,
                    Input::Sent { connection: LINK, buffer, sent },
                    &mut self.outbox,
                );
                self.give_link(now, &answers);
            }
            Effect::Send { connection, buffer } => {
                let until = self.open.remove(&connection);
                let text = String::from_utf8(buffer.clone()).unwrap();
                self.answers.entry(connection).or_default().push_str(&text);
                assert!(until.is_none_or(|until| now.mono <= until), "{text}");
                let sent = Some(buffer.len());
                self.core.step(now, Input::Sent { connection, buffer, sent }, &mut self.outbox);
            }
            Effect::Append(batch) => {
                let is_unmerged = |bytes| {
                    frames(bytes).any(|frame| {
                        matches!(frame.unwrap().record().unwrap(), Record::Unmerged(_))
                    })
                };
                assert!(
                    !is_unmerged(&batch.bytes) || self.reported().1.is_some(),
                    "SQL is told before it can see such a record"
                );
                self.lane.push_back(batch);
            }
            Effect::ReadUser(request) => self.reads.push_back(request),
            Effect::Report(report) => self.reports.push(report),
            Effect::ControlReply(reply) => self.outcomes.push(reply.outcome),
            Effect::ShutDown { .. } | Effect::Close { .. } => {}
            other => panic!("nothing here should cause {other:?}"),
        }
    }

    /// The link's connection is made, if it is wanted and there is something behind it.
    fn accept_link(&mut self, now: Now) {
        if self.wire.is_wanted && self.wire.greeting.is_some() {
            self.wire.begin(true);
            self.core.step(now, Input::Connected { connection: LINK }, &mut self.outbox);
        }
    }

    fn give_link(&mut self, now: Now, bytes: &[u8]) {
        if !bytes.is_empty() && self.wire.is_connected {
            self.core.step(now, Input::Bytes { connection: LINK, bytes }, &mut self.outbox);
        }
    }

    /// Redis can be reached; the connection is made, and asked for what begins one.
    fn up(&mut self, now: Now, greeting: Greeting) {
        self.wire.greeting = Some(greeting);
        self.accept_link(now);
        self.step(now, Input::Tick);
    }

    /// The connection is lost: nobody knows what became of what had left.
    fn down(&mut self, now: Now) {
        self.wire.greeting = None;
        if std::mem::take(&mut self.wire.is_connected) {
            self.wire.begin(false);
            self.step(now, Input::Broken { connection: LINK });
        }
    }

    /// The next reply comes back.
    fn deliver(&mut self, now: Now) -> bool {
        let Some(reply) = self.wire.next_reply() else { return false };
        self.give_link(now, &reply);
        self.turn(now);
        true
    }

    /// Sends a request; gives its number.
    fn ask(&mut self, now: Now, request: &str) -> u32 {
        let connection = self.connections;
        self.connections += 1;
        // Answers wait for Redis, and then for the journal, which these tests never hold up long.
        self.open.insert(connection, now.mono.plus_ms(DEADLINE_MS + 2_200));
        self.step(now, Input::Accepted { connection, listener: 0 });
        self.step(now, Input::Bytes { connection, bytes: request.as_bytes() });
        connection
    }

    fn decide(&mut self, now: Now, user: &str) -> u32 {
        let user = id(user);
        self.ask(now, &format!("GET /v1/decide?user={user} HTTP/1.1\r\nHost: x\r\n\r\n"))
    }

    fn event(&mut self, now: Now, tokens: &[&str]) -> u32 {
        let event = |token: &&str| format!("{{\"decision\":\"{token}\",\"action\":\"clicked\"}}");
        let body = format!("[{}]", tokens.iter().map(event).collect::<Vec<_>>().join(","));
        let length = body.len();
        self.ask(
            now,
            &format!(
                "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                 Content-Length: {length}\r\n\r\n{body}"
            ),
        )
    }

    /// The journal acknowledges all that it has.
    fn acknowledge(&mut self, now: Now) -> bool {
        let has_batches = !self.lane.is_empty();
        while let Some(batch) = self.lane.pop_front() {
            for frame in frames(&batch.bytes) {
                self.acked.0 += 1;
                let record = frame.unwrap().record().unwrap();
                let mut framed = Vec::new();
                append(&record, &mut framed);
                self.log.push((self.acked, framed));
                match record {
                    Record::Impression(impression) => {
                        self.journal.push((impression.token.to_owned(), impression.kind));
                    }
                    Record::Unmerged(record) => {
                        let token = record.token.to_owned();
                        self.unmerged.push((self.acked, token, record.kind));
                    }
                    Record::Erase { .. } => {}
                    Record::Withdrawn(_) => panic!("a journal has only what was seen"),
                }
            }
            let (upto, upto_sequence) = (batch.last(), self.acked);
            let LaneBatch { shard, mut bytes, .. } = batch;
            bytes.clear();
            self.step(now, Input::Acked(Ack { shard, upto, upto_sequence, buffer: bytes }));
        }
        has_batches
    }

    /// What the part of the journal behind this record tells to be unmerged.
    fn left_behind(&self, position: Sequence) -> RecoveredUnmerged {
        let mut found = UnmergedScan::default();
        for (sequence, framed) in &self.log {
            let frame = frames(framed).next().unwrap().unwrap();
            if *sequence > position {
                found.take(*sequence, &frame.record().unwrap());
            }
        }
        found.into_left()
    }

    /// The last record that SQL may have applied.
    fn sql_position(&self) -> Sequence {
        let (acked, floor) = self.reported();
        let may_pass = |at: Sequence| acked >= at && floor.is_none_or(|first| first > at);
        let is_held = |(at, framed): &&(Sequence, Vec<u8>)| {
            let frame = frames(framed).next().unwrap().unwrap();
            matches!(frame.record().unwrap(), Record::Unmerged(_)) && !may_pass(*at)
        };
        self.log.iter().find(is_held).map_or(self.acked, |(held, _)| Sequence(held.0 - 1))
    }

    /// How far the journal is acknowledged, and the first record that waits to be merged, as the
    /// shard has reported.
    fn reported(&self) -> (Sequence, Option<Sequence>) {
        let journal = self.reports.iter().rev().find_map(|report| match report {
            ShardReport::Journal { acked, unmerged } => Some((*acked, *unmerged)),
            _ => None,
        });
        journal.unwrap()
    }

    fn answer(&self, number: u32) -> &str {
        self.answers.get(&number).map_or("", String::as_str)
    }

    fn token(&self, number: u32) -> Option<String> {
        let (_, rest) = self.answer(number).split_once("\"decision\":\"")?;
        Some(rest.split('"').next()?.to_owned())
    }
}

/// Nodes on one Redis, and the time.
struct World {
    nodes: Vec<Node>,
    redis: Redis,
    now: Now,
    /// Processes so far: each has a seed of its own.
    born: u64,
}

impl World {
    fn new(nodes: u64, queue: RecordQueue) -> World {
        let now = Now { mono: MonoNs(10_000_000_000), wall: WallMs(1_800_000_000_000) };
        let redis = Redis::new(WallMs(now.wall.0 + 5));
        let all = (1..=nodes).map(|seed| Node::new(seed, queue)).collect();
        let mut world = World { nodes: all, redis, now, born: nodes };
        for index in 0..world.nodes.len() {
            world.connect(index, LIFE);
        }
        world
    }

    /// A connection that is compared and cleared.
    fn connect(&mut self, index: usize, life: u64) {
        self.up_to(index, life);
        self.settle();
        let cleared_run = run(life);
        let redis_status =
            RedisStatusView { takes_traffic: true, cleared_run, ..RedisStatusView::default() };
        self.nodes[index].step(self.now, Input::RedisStatus(redis_status));
    }

    fn pass(&mut self, ms: u64) {
        self.now.mono = self.now.mono.plus_ms(ms);
        let ms = i64::try_from(ms).unwrap();
        self.now.wall.0 += ms;
        self.redis.at.0 += ms;
        for node in &mut self.nodes {
            if node.core.next_deadline().is_some_and(|at| at <= self.now.mono) {
                node.step(self.now, Input::Tick);
            }
        }
    }

    /// A move that means the same in every play.
    fn take(&mut self, one: Move) {
        match one {
            Move::Execute(node) => _ = self.execute(node),
            Move::Deliver(node) => _ = self.deliver(node),
            Move::Acknowledge(node) => _ = self.nodes[node].acknowledge(self.now),
            Move::Break(node) => {
                self.down(node);
                self.up(node);
            }
            Move::Down(node) => self.down(node),
            Move::Pass(ms) => self.pass(ms),
            Move::Decide(..) | Move::Click(..) | Move::Crash(_) | Move::Erase(..) => {
                unreachable!("each play says what they mean: {one:?}")
            }
        }
    }

    fn down(&mut self, index: usize) {
        self.nodes[index].down(self.now);
    }

    fn up(&mut self, index: usize) {
        self.up_to(index, LIFE);
    }

    fn up_to(&mut self, index: usize, life: u64) {
        let greeting = Greeting { life, syncs_always: Some(false) };
        self.nodes[index].up(self.now, greeting);
    }

    /// A node dies with what it had not acknowledged, and starts again: SQL has applied what it
    /// might, and what is not merged comes from the rest of the journal.
    fn crash(&mut self, index: usize, queue: RecordQueue) {
        self.crash_behind(index, queue, self.nodes[index].sql_position());
    }

    /// The same where SQL has applied the journal up to this record.
    fn crash_behind(&mut self, index: usize, queue: RecordQueue, position: Sequence) {
        let old = &mut self.nodes[index];
        let left = old.left_behind(position);
        self.born += 1;
        let snapshot = Arc::clone(&old.core.view.snapshot);
        let new = Node::with(self.born, queue, (old.acked, left));
        let old = std::mem::replace(old, new);
        let new = &mut self.nodes[index];
        (new.connections, new.answers) = (old.connections, old.answers);
        (new.journal, new.unmerged, new.log) = (old.journal, old.unmerged, old.log);
        new.core.view.swap_catalog(snapshot);
        new.turn(self.now);
        new.step(
            self.now,
            Input::RedisStatus(RedisStatusView {
                takes_traffic: true,
                cleared_run: run(LIFE),
                ..RedisStatusView::default()
            }),
        );
        self.up(index);
    }

    /// Every node reaches Redis, and what was left undone is done.
    fn recover(&mut self) {
        self.settle();
        for index in 0..self.nodes.len() {
            self.down(index);
            self.up(index);
        }
        for _ in 0..5 {
            self.settle();
            self.pass(DEADLINE_MS + 100);
        }
        self.settle();
    }

    fn execute(&mut self, index: usize) -> bool {
        let is_done = self.nodes[index].wire.execute(&mut self.redis);
        for news in wire::published(&mut self.redis) {
            for node in &mut self.nodes {
                node.give_link(self.now, &news);
            }
        }
        is_done
    }

    fn deliver(&mut self, index: usize) -> bool {
        self.nodes[index].deliver(self.now)
    }

    /// Lets everything pass until nothing is under way.
    fn settle(&mut self) {
        let mut is_moving = true;
        while is_moving {
            is_moving = false;
            for index in 0..self.nodes.len() {
                is_moving |= self.execute(index);
                is_moving |= self.deliver(index);
                is_moving |= self.nodes[index].acknowledge(self.now);
            }
        }
    }

    fn erase(&mut self, index: usize, user: &str) {
        let command = ControlRequest::EraseUser { user: id(user).into() };
        let control = Control { ticket: 1, request: command };
        self.nodes[index].step(self.now, Input::Control(control));
    }

    fn decide(&mut self, index: usize, user: &str) -> u32 {
        let number = self.nodes[index].decide(self.now, user);
        self.settle();
        number
    }
}

fn shown(answer: &str) -> bool {
    answer.starts_with("HTTP/1.1 200") && answer.contains("\"popup\"")
}

fn reason(answer: &str) -> &str {
    let line = answer.lines().find_map(|line| line.strip_prefix("Nudge-Reason: "));
    line.unwrap_or_default()
}

#[test]
fn a_show_is_everybodys_and_the_copy_answers_after_it() {
    let mut world = World::new(2, RecordQueue::Journal);
    let first = world.decide(0, "u");
    assert!(shown(world.nodes[0].answer(first)), "{}", world.nodes[0].answer(first));
    let second = world.decide(1, "u");
    assert_eq!(reason(world.nodes[1].answer(second)), "gap");
    // From the copy, without asking.
    world.nodes[0].decide(world.now, "u");
    assert_eq!(world.nodes[0].wire.waiting(), 0);
    assert_eq!(reason(world.nodes[0].answer(1)), "gap");
    assert_eq!(world.nodes[0].journal.len(), 1);
    // A copy is trusted for its time only.
    world.pass(60_000);
    world.nodes[0].decide(world.now, "u");
    assert_eq!(world.nodes[0].wire.waiting(), 1);
}

#[test]
fn an_event_changes_the_answers_of_other_nodes_and_repeats_change_nothing() {
    for queue in [RecordQueue::Journal, RecordQueue::List { list_max: 100 }] {
        let mut world = World::new(2, queue);
        let first = world.decide(0, "u");
        let token = world.nodes[0].token(first).unwrap();
        world.decide(1, "u");
        let clicked = world.nodes[0].event(world.now, &[&token]);
        world.settle();
        assert!(world.nodes[0].answer(clicked).contains("\"accepted\":1"));
        // The copy of node 1 was dropped.
        world.nodes[1].decide(world.now, "u");
        assert_eq!(world.nodes[1].wire.waiting(), 1);
        world.settle();
        let again = world.nodes[1].event(world.now, &[&token]);
        world.settle();
        assert!(world.nodes[1].answer(again).contains("\"duplicate\":1"));
        let repeats = if queue == RecordQueue::Journal { 1 } else { 0 };
        assert_eq!(world.nodes[1].journal.len(), repeats, "a duplicate is journaled again");
        let listed = if queue == RecordQueue::Journal { 0 } else { 2 };
        assert_eq!(world.redis.listed().len(), listed);
    }
}

#[test]
fn an_array_of_several_users_is_answered_whole() {
    let mut world = World::new(1, RecordQueue::Journal);
    let users = ["a", "b", "c"];
    let numbers = users.map(|user| world.decide(0, user));
    let tokens = numbers.map(|number| world.nodes[0].token(number).unwrap());
    let all: Vec<&str> = tokens.iter().map(String::as_str).chain([&*tokens[0]]).collect();
    let number = world.nodes[0].event(world.now, &all);
    world.settle();
    let answer = world.nodes[0].answer(number);
    assert!(answer.contains("\"accepted\":3") && answer.contains("\"duplicate\":1"), "{answer}");
}

#[test]
fn a_request_is_answered_by_its_deadline_and_its_late_show_withdrawn() {
    let mut world = World::new(1, RecordQueue::Journal);
    let number = world.nodes[0].decide(world.now, "u");
    world.execute(0);
    world.deliver(0);
    world.execute(0); // The commit is made, and its reply is late.
    world.pass(DEADLINE_MS);
    assert_eq!(reason(world.nodes[0].answer(number)), "degraded");
    assert!(!world.redis.user("u").state.is_empty());
    world.settle();
    assert!(world.nodes[0].journal.is_empty(), "nobody saw it, so nothing is recorded");
    let mut state = UserState::default();
    user::decode(&world.redis.user("u").state, &mut state).unwrap();
    assert!(state.popups.is_empty() && state.revision.counter == 2);
    let next = world.decide(0, "u");
    assert!(shown(world.nodes[0].answer(next)), "the gap has not begun");
}

#[test]
fn a_commit_executed_too_late_changes_nothing() {
    let mut world = World::new(1, RecordQueue::Journal);
    world.nodes[0].decide(world.now, "u");
    world.execute(0);
    world.deliver(0);
    world.pass(DEADLINE_MS + 1);
    world.settle();
    assert!(world.redis.users().is_empty());
}

#[test]
fn a_clock_of_redis_that_was_set_back_is_followed_within_the_request() {
    let mut world = World::new(1, RecordQueue::Journal);
    world.decide(0, "v");
    world.redis.at = WallMs(world.redis.at.0 - 60_000);
    let number = world.decide(0, "u");
    assert!(shown(world.nodes[0].answer(number)), "{}", world.nodes[0].answer(number));
}

#[test]
fn requests_of_a_user_wait_for_one_command_and_keep_their_order() {
    let mut world = World::new(1, RecordQueue::Journal);
    let numbers: Vec<u32> = (0..5).map(|_| world.nodes[0].decide(world.now, "u")).collect();
    assert_eq!(world.nodes[0].wire.waiting(), 1, "one read for all");
    world.settle();
    let answers: Vec<_> = numbers.iter().map(|number| world.nodes[0].answer(*number)).collect();
    assert!(shown(answers[0]));
    assert!(answers[1..].iter().all(|answer| reason(answer) == "gap"));
}

#[test]
fn without_redis_decisions_are_degraded_and_events_taken_at_once() {
    let mut world = World::new(1, RecordQueue::Journal);
    let first = world.decide(0, "u");
    let token = world.nodes[0].token(first).unwrap();
    world.nodes[0].decide(world.now, "v");
    world.down(0);
    assert_eq!(reason(world.nodes[0].answer(1)), "degraded", "its read is lost");
    let copied = world.nodes[0].decide(world.now, "u");
    assert_eq!(reason(world.nodes[0].answer(copied)), "degraded");
    let event = world.nodes[0].event(world.now, &[&token]);
    assert_eq!(world.nodes[0].answer(event), "", "not before it is in the journal");
    world.settle();
    assert!(world.nodes[0].answer(event).starts_with("HTTP/1.1 202"));
    // Back again: the same run needs no clearing.
    world.up(0);
    let number = world.decide(0, "u");
    assert_eq!(reason(world.nodes[0].answer(number)), "gap");
    assert!(world.nodes[0].core.is_quiet());
}

#[test]
fn another_run_is_compared_and_waits_to_be_cleared() {
    let mut world = World::new(1, RecordQueue::Journal);
    world.decide(0, "u");
    let partition = wire::partition("u");
    world.down(0);
    world.redis = Redis::new(world.redis.at);
    world.redis.set_meta(partition, (None, 0, PartitionPhase::Open));
    world.nodes[0].reports.clear();
    world.up_to(0, 8);
    world.settle();
    let reports = &world.nodes[0].reports;
    let lost = reports.iter().position(|report| *report == ShardReport::Lost(partition)).unwrap();
    let compared =
        reports.iter().position(|report| *report == ShardReport::Compared { run: run(8) });
    assert!(compared.is_some_and(|compared| lost < compared));
    let before = world.decide(0, "v");
    assert_eq!(reason(world.nodes[0].answer(before)), "degraded", "not cleared");
    world.nodes[0].step(
        world.now,
        Input::RedisStatus(RedisStatusView {
            takes_traffic: true,
            cleared_run: run(8),
            ..RedisStatusView::default()
        }),
    );
    let other = world.decide(0, "v");
    assert!(shown(world.nodes[0].answer(other)));
    let lost = world.decide(0, "u");
    assert_eq!(reason(world.nodes[0].answer(lost)), "degraded", "its partition has lost writes");
    world.redis.set_meta(partition, (Some(2), 0, PartitionPhase::Open));
    let number = world.decide(0, "u");
    assert!(shown(world.nodes[0].answer(number)));
    assert_eq!(world.redis.user("u").revision, Revision { epoch: 2, counter: 1 });
}

#[test]
fn while_filling_sql_is_asked_and_the_higher_revision_put_into_redis() {
    let mut world = World::new(1, RecordQueue::Journal);
    world.decide(0, "u");
    let Stored { revision, state } = world.redis.remove("u");
    world.redis.set_metas((Some(2), 0, PartitionPhase::Filling));
    world.pass(60_000);
    let number = world.nodes[0].decide(world.now, "u");
    world.settle();
    let request = world.nodes[0].reads.pop_front().unwrap();
    world.pass(DEADLINE_MS + 5);
    assert_eq!(world.nodes[0].answer(number), "", "SQL may take longer than Redis");
    let read = UserRead { ticket: request.ticket, state: Ok(state) };
    world.nodes[0].step(world.now, Input::UserRead(read));
    world.settle();
    assert_eq!(reason(world.nodes[0].answer(number)), "gap");
    assert_eq!(world.redis.user("u").revision, revision);
}

#[test]
fn what_is_told_while_sql_is_asked_is_read_again() {
    let mut world = World::new(1, RecordQueue::Journal);
    world.decide(0, "u");
    let Stored { revision, state } = world.redis.remove("u");
    world.redis.set_metas((Some(2), 0, PartitionPhase::Filling));
    world.pass(60_000);
    let number = world.nodes[0].decide(world.now, "u");
    world.settle();
    let request = world.nodes[0].reads.pop_front().unwrap();
    let news = wire::news("u", Revision { epoch: 2, counter: 9 });
    world.nodes[0].give_link(world.now, &news);
    world.nodes[0].turn(world.now);
    let read = UserRead { ticket: request.ticket, state: Ok(state) };
    world.nodes[0].step(world.now, Input::UserRead(read));
    world.settle();
    assert_eq!(world.redis.user("u").revision, revision);
    assert_eq!(world.nodes[0].answer(number), "", "an older state answers nothing");
    assert!(world.nodes[0].reads.pop_front().is_some(), "it is looked for again");
}

#[test]
fn an_erase_leaves_a_tombstone_and_every_node_forgets() {
    let mut world = World::new(2, RecordQueue::Journal);
    world.decide(0, "u");
    world.decide(1, "u");
    world.erase(1, "u");
    world.settle();
    assert!(matches!(world.nodes[1].outcomes[..], [ControlOutcome::Erased { .. }]));
    assert_eq!(world.redis.user("u").revision.counter, 2);
    let number = world.decide(0, "u");
    assert!(shown(world.nodes[0].answer(number)), "its copy was dropped");
}

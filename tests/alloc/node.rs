//! Shards without sockets, threads or files: a connection on shard 0, a journal that acknowledges
//! at once, a database that knows no user, and, where a test wants it, a Redis. Carries effects
//! back as inputs, in order, as the ring driver does.

use std::collections::VecDeque;
use std::sync::Arc;

use nudged_api::access::Access;
use nudged_api::cors::Cors;
use nudged_api::identity::IdentitySecrets;
use nudged_api::token::{Keys, Secret};
use nudged_api::visitors::{PreviewUsers, VisitorRules};
use nudged_base::clock::Now;
use nudged_base::ids::{Sequence, ShardId};
use nudged_base::rate::{Rate, RateLimit};
use nudged_base::telemetry::counters::ShardCounters;
use nudged_base::time::{MonoNs, WallMs};
use nudged_domain::catalog::compile::{CatalogEntry, compile};
use nudged_domain::catalog::snapshot::Settings;
use nudged_domain::catalog::source;
use nudged_domain::state::user::{self, UserState};
use nudged_journal::lane::{Ack, LaneBatch};
use nudged_redis::link::LinkSettings;
use nudged_shard::core::{Core, CoreSetup};
use nudged_shard::seam::{Effect, Input, Outbox, RedisStatusView, ShardReport, Step, UserRead};
use nudged_shard::users::redis::{ArbiterSetup, RecordQueue};
use nudged_shard::view::Rules;

use crate::counting::{Counted, count};
use crate::redis::Redis;
use crate::requests;

/// The connection that every request comes by.
const CONNECTION: u32 = 0;
/// The number of each shard's link.
const LINK: u32 = 1 << 20;

/// How long each turn takes, as a shard's driver would find it.
const TURN_NS: u64 = 40_000;

/// What a shard is to be told.
enum Told {
    Input(usize, Input<'static>),
    /// Bytes of Redis.
    Reply(usize, Vec<u8>),
    Turn(usize),
}

/// A node, and what its shards have allocated.
pub struct Node {
    /// What the shards have allocated so far.
    pub counted: Counted,
    /// Requests that went to another shard.
    pub hops: usize,
    /// One for each shard; none where the shards themselves are the arbiters.
    pub redis: Vec<Redis>,
    cores: Vec<Core>,
    counters: Vec<Arc<ShardCounters>>,
    outbox: Outbox,
    told: VecDeque<Told>,
    answer: Vec<u8>,
    now: Now,
    sequence: Sequence,
}

impl Node {
    /// Shards with these popups and no users; one connection is open.
    pub fn new(shards: u16, popups: &str) -> Node {
        Node::with(shards, popups, None)
    }

    /// One shard, which asks for one of the keys that `requests::KEY` is among.
    pub fn with_keys(popups: &str) -> Node {
        let access = Access::new(["sk_of_a_server"], [requests::KEY]);
        Node::with_access(1, popups, None, (access, VisitorRules::default()))
    }

    /// The same, which also asks for signatures of users, and lets one of them only look.
    pub fn with_identity(popups: &str, preview_user: &str) -> Node {
        let access = Access::new(["sk_of_a_server"], [requests::KEY]);
        let visitors = VisitorRules {
            identity: IdentitySecrets::new([requests::SECRET, "identity-secret-2"]),
            preview: PreviewUsers::new([preview_user]),
        };
        Node::with_access(1, popups, None, (access, visitors))
    }

    /// The same with a Redis for each shard.
    pub fn with_redis(shards: u16, popups: &str) -> Node {
        let arbiter = ArbiterSetup {
            link: Arc::new(LinkSettings::default()),
            connection: LINK,
            deadline_ms: 20,
            slice_ttl_ms: 60_000,
            negative_ttl_ms: 60_000,
            ttl_ms: 0,
            queue: RecordQueue::Journal,
            needs_sync: false,
            request_seed: 1,
            journal_end: Sequence(0),
            unmerged: Vec::new(),
        };
        let mut node = Node::with(shards, popups, Some(arbiter));
        node.told.extend((0..usize::from(shards)).map(|shard| Told::Input(shard, Input::Tick)));
        node.run();
        node
    }

    fn with(shards: u16, popups: &str, arbiter: Option<ArbiterSetup>) -> Node {
        Node::with_access(shards, popups, arbiter, Default::default())
    }

    fn with_access(
        shards: u16,
        popups: &str,
        arbiter: Option<ArbiterSetup>,
        (access, visitors): (Access, VisitorRules),
    ) -> Node {
        let definitions = source::parse_toml(popups).unwrap();
        let entries: Vec<_> = definitions
            .iter()
            .map(|definition| CatalogEntry { definition, version: 1, status: definition.status() })
            .collect();
        let snapshot = Arc::new(compile(&entries, Settings::default(), 1).unwrap());
        let rules = Arc::new(Rules { access: vec![access], cors: Cors::default(), visitors });
        let secret = Secret { id: 1, created_at: WallMs(0), bytes: [7; 32], moved_at: None };
        let keys = Arc::new(Keys::new(&[secret]));
        let counters: Vec<Arc<ShardCounters>> = (0..shards).map(|_| Arc::default()).collect();
        let setup = |shard: u16| CoreSetup {
            shard: ShardId(shard),
            shards,
            snapshot: Arc::clone(&snapshot),
            rules: Arc::clone(&rules),
            keys: Arc::clone(&keys),
            counters: Arc::clone(&counters[usize::from(shard)]),
            slice_bytes: 16 << 20,
            connections_max: 16,
            connections_max_of_node: 16,
            unsent_bytes_max: nudged_base::limits::UNSENT_BYTES_DEFAULT,
            user_rate: Some(RateLimit::new(Rate { events: 1_000_000, per_s: 1 }, 1_000_000)),
            read_deadline_ms: 50,
            arbiter: arbiter.clone(),
            seed: 1,
            timeouts: nudged_http::connection::Timeouts::DEFAULT,
            log: nudged_base::telemetry::log::Log::new(
                nudged_base::telemetry::log::Level::Error,
                true,
                &[],
            ),
        };
        let mut node = Node {
            counted: Counted::default(),
            hops: 0,
            redis: arbiter.iter().flat_map(|_| (0..shards).map(|_| Redis::new())).collect(),
            cores: (0..shards).map(|shard| Core::new(setup(shard))).collect(),
            counters,
            outbox: Outbox::default(),
            told: VecDeque::new(),
            answer: Vec::new(),
            now: Now { mono: MonoNs(1_000_000_000), wall: WallMs(1_800_000_000_000) },
            sequence: Sequence(0),
        };
        let accepted = Input::Accepted { connection: CONNECTION, listener: 0 };
        node.told.push_back(Told::Input(0, accepted));
        node.run();
        node
    }

    /// Sends a request's bytes and gives the answer's, which have all come. Time goes on by 1 ms.
    pub fn ask(&mut self, request: &[u8]) -> &[u8] {
        self.answer.clear();
        self.now.mono = self.now.mono.plus_ms(1);
        self.now.wall.0 += 1;
        let (now, outbox) = (self.now, &mut self.outbox);
        let bytes = Input::Bytes { connection: CONNECTION, bytes: request };
        count(&mut self.counted, || self.cores[0].step(now, bytes, outbox));
        self.carry(0);
        self.told.push_back(Told::Turn(0));
        self.run();
        assert!(!self.answer.is_empty(), "every request is answered");
        &self.answer
    }

    /// Until nothing is left to tell.
    fn run(&mut self) {
        while let Some(told) = self.told.pop_front() {
            let (now, outbox) = (self.now, &mut self.outbox);
            let cores = &mut self.cores;
            let shard = match told {
                Told::Input(shard, input) => {
                    count(&mut self.counted, || cores[shard].step(now, input, outbox));
                    self.told.push_back(Told::Turn(shard));
                    shard
                }
                Told::Reply(shard, bytes) => {
                    let input = Input::Bytes { connection: LINK, bytes: &bytes };
                    count(&mut self.counted, || cores[shard].step(now, input, outbox));
                    self.told.push_back(Told::Turn(shard));
                    shard
                }
                Told::Turn(shard) => {
                    let durations = &self.counters[shard].request_durations;
                    count(&mut self.counted, || {
                        cores[shard].finish_turn(now, outbox);
                        durations.end_turn(TURN_NS);
                    });
                    shard
                }
            };
            self.carry(shard);
        }
    }

    /// Carries the effects of `shard` out.
    fn carry(&mut self, shard: usize) {
        let mut effects = std::mem::take(&mut self.outbox.effects);
        for effect in effects.drain(..) {
            let (to, input) = match effect {
                Effect::Send { connection: LINK, buffer } => {
                    let mut reply = Vec::new();
                    self.redis[shard].take(self.now.wall.0, &buffer, &mut reply);
                    self.told.push_back(Told::Reply(shard, reply));
                    let sent = Some(buffer.len());
                    (shard, Input::Sent { connection: LINK, buffer, sent })
                }
                Effect::Connect { connection } => (shard, Input::Connected { connection }),
                Effect::Report(ShardReport::Run { run, .. }) => {
                    let redis_status =
                        RedisStatusView { cleared_run: run, ..RedisStatusView::default() };
                    (shard, Input::RedisStatus(redis_status))
                }
                Effect::Report(_) => continue,
                Effect::Send { connection, buffer } => {
                    self.answer.extend_from_slice(&buffer);
                    let sent = Some(buffer.len());
                    (shard, Input::Sent { connection, buffer, sent })
                }
                Effect::Hop { to, hop } => {
                    self.hops += 1;
                    (to.index(), Input::Hop(hop))
                }
                Effect::HopReply { to, reply } => (to.index(), Input::HopReply(reply)),
                Effect::Append(batch) => {
                    let ack = self.journal(batch);
                    self.told.push_back(Told::Input(shard, ack));
                    let applied = self.sequence;
                    (shard, Input::Journal { accepting: true, applied })
                }
                Effect::ReadUser(request) => {
                    let mut state = Vec::new();
                    user::encode(&UserState::default(), &mut state);
                    let read = UserRead { ticket: request.ticket, state: Ok(state) };
                    (shard, Input::UserRead(read))
                }
                // A full pipeline stops the reading for as long as it takes to answer.
                Effect::StopReading { .. } | Effect::ResumeReading { .. } => continue,
                other => panic!("nothing here should cause {other:?}"),
            };
            self.told.push_back(Told::Input(to, input));
        }
        self.outbox.effects = effects;
    }

    fn journal(&mut self, batch: LaneBatch) -> Input<'static> {
        self.sequence.0 += u64::from(batch.count);
        let upto = batch.last();
        let LaneBatch { shard, mut bytes, .. } = batch;
        bytes.clear();
        Input::Acked(Ack { shard, upto, upto_sequence: self.sequence, buffer: bytes })
    }
}

/// The token of an answer that shows a popup.
pub fn token(answer: &[u8]) -> String {
    let text = str::from_utf8(answer).unwrap();
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    body["decision"].as_str().unwrap().to_owned()
}

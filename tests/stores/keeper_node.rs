//! A node as the keeper sees it: its thread, with a shard that only turns, reports the run of Redis
//! and what it has seen in it. Records go to SQL by hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nudged_background::keeper::metrics::KeeperMetrics;
use nudged_background::lists::assignment::ListAssignment;
use nudged_base::event_kind::EventKind;
use nudged_base::ids::{NodeId, Partition, PopupKey, Revision, Sequence, ShardId, UserKey};
use nudged_base::telemetry::counters::ShardCounters;
use nudged_base::telemetry::log::{Level, Log};
use nudged_base::time::{DurationMs, WallMs};
use nudged_config::{Config, SecretText};
use nudged_domain::state::user::{
    PopupState, Show, UserClocks, UserState, encode, encode_clocks, encode_popup,
};
use nudged_journal::record::{self, Impression, Record, Withdrawn};
use nudged_redis::greeting::run_of_info;
use nudged_redis::link::LinkSettings;
use nudged_redis::request::OwnedReply;
use nudged_runtime::journal::lanes::JournalLanes;
use nudged_runtime::redis_client::BlockingRedis;
use nudged_runtime::redis_status::RedisStatus;
use nudged_runtime::threads::keeper::{self, KeeperSetup};
use nudged_runtime::threads::sql_writer::WriterFigures;
use nudged_runtime::wake::Waker;
use nudged_store::{Store, StreamId, mysql};

use crate::support::mariadb;
use crate::support::redis::Redis;

/// Nothing here takes this long.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// The deadline of a command.
const DEADLINE_MS: u64 = 20;

/// A configuration on a fresh database of the shared server, with its schema.
pub fn config() -> (Config, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config { data: folder.path().to_owned(), ..Config::default() };
    let url = mariadb::shared().url_of(&mariadb::shared_database());
    config.mysql.url = Some(SecretText::new(url));
    mysql::migrate(&config, WallMs(1)).unwrap();
    (config, folder)
}

pub fn client(redis: &Redis) -> BlockingRedis {
    let (address, settings) = LinkSettings::of_url(&redis.url()).unwrap();
    BlockingRedis::new(address, settings, Duration::from_secs(1))
}

/// Waits until it holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what} takes too long");
        std::thread::park_timeout(LOOK_EVERY);
    }
    begun.elapsed()
}

pub struct Node {
    pub redis_status: Arc<RedisStatus>,
    pub figures: Arc<KeeperMetrics>,
    pub share: Arc<ListAssignment>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Node {
    /// Starts the keeper of a node with one shard.
    pub fn start(number: u128, redis: &Redis, config: &Config) -> Node {
        let waker = Arc::new(Waker::new().unwrap());
        let redis_status = Arc::new(RedisStatus::new(vec![Arc::clone(&waker)]).unwrap());
        let counters: Arc<ShardCounters> = Arc::default();
        let figures: Arc<KeeperMetrics> = Arc::default();
        let (stop, share) = (Arc::new(AtomicBool::new(false)), Arc::<ListAssignment>::default());
        let mut stores = keeper::keeper_stores(config).unwrap();
        let writer = Arc::<WriterFigures>::default();
        writer.stream.set(stores.0.stream_id(number.to_be_bytes()).unwrap()).unwrap();
        let keeper = keeper::start(KeeperSetup {
            node: NodeId(number),
            redis: client(redis),
            stores,
            redis_status: Arc::clone(&redis_status),
            lanes: Arc::new(JournalLanes::new(1).unwrap()),
            counters: vec![Arc::clone(&counters)],
            writer,
            times_ms: (DEADLINE_MS, 0),
            needs_sync: false,
            lists: Some(Arc::clone(&share)),
            stop: Arc::clone(&stop),
            cpu: None,
            log: Log::new(Level::Error, false, &[]),
            figures: Arc::clone(&figures),
        });
        // Nobody drains its lists here.
        let (drained, ended) = (Arc::clone(&share), Arc::clone(&stop));
        let (shard_board, mut redis) = (Arc::clone(&redis_status), client(redis));
        let shard = std::thread::spawn(move || {
            let mut seen = BTreeMap::new();
            while !ended.load(Ordering::Acquire) {
                waker.sleep_for_unless(Duration::from_millis(5), || false);
                report(&shard_board, &mut redis, &mut seen);
                counters.turns.add(1);
                drained.end(0, &drained.begin(0));
            }
        });
        Node { redis_status, figures, share, stop, threads: vec![keeper.unwrap(), shard] }
    }

    /// Whether its shards may decide by Redis, as it is now.
    pub fn is_open(&self, redis: &Redis) -> bool {
        let run = run_of(&mut client(redis));
        self.redis_status.is_open() && Some(self.redis_status.cleared_run()) == run
    }

    /// Ends it as a stop would.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.redis_status.keeper().wake();
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.end();
    }
}

fn run_of(redis: &mut BlockingRedis) -> Option<u64> {
    match redis.ask(&[b"INFO", b"server"]) {
        Ok(OwnedReply::Text(info)) => run_of_info(&info).ok(),
        _ => None,
    }
}

/// What a shard does: compares what it had seen when the run is another one.
fn report(
    redis_status: &RedisStatus,
    redis: &mut BlockingRedis,
    seen: &mut BTreeMap<u16, (u32, u64)>,
) {
    let Some(run) = run_of(redis) else { return };
    let is_new = redis_status.compared_run(ShardId(0)) != run;
    let Some(metas) = read_metas(redis) else { return };
    for (partition, meta) in (0..).zip(metas) {
        let before = seen.get(&partition).copied().unwrap_or((0, 0));
        match meta {
            Some((epoch, counter, _)) if (epoch, counter) >= before => {
                seen.insert(partition, (epoch, counter));
            }
            Some(_) => drop(redis_status.report_lost(Partition(partition))),
            None if before != (0, 0) => drop(redis_status.report_lost(Partition(partition))),
            None => {}
        }
    }
    if is_new {
        redis_status.report_compared(ShardId(0), run);
    }
}

type Meta = (u32, u64, String);

fn read_metas(redis: &mut BlockingRedis) -> Option<Vec<Option<Meta>>> {
    let keys: Vec<String> = (0..1_024).map(|at| format!("nudged:{{p{at}}}:m")).collect();
    let words: Vec<[&[u8]; 5]> =
        keys.iter().map(|key| [b"HMGET".as_slice(), key.as_bytes(), b"e", b"c", b"s"]).collect();
    let commands: Vec<&[&[u8]]> = words.iter().map(|words| words.as_slice()).collect();
    let text = |answer: &OwnedReply| match answer {
        OwnedReply::Text(text) => String::from_utf8(text.clone()).unwrap(),
        _ => String::new(),
    };
    let meta = |answer: OwnedReply| {
        let OwnedReply::List(fields) = answer else { return None };
        let epoch = text(&fields[0]).parse().ok()?;
        Some((epoch, text(&fields[1]).parse().unwrap(), text(&fields[2])))
    };
    Some(redis.pipeline(&commands).ok()?.into_iter().map(meta).collect())
}

/// The metas of all partitions: epoch, counter and phase.
pub fn metas(redis: &Redis) -> Vec<Option<Meta>> {
    read_metas(&mut client(redis)).unwrap()
}

/// Whether every partition is open.
pub fn all_open(redis: &Redis) -> bool {
    metas(redis).iter().all(|meta| matches!(meta, Some((_, _, phase)) if phase.is_empty()))
}

/// A user with so many changes: the state after them, with one popup.
pub fn user_state(epoch: u32, counter: u64) -> UserState {
    let at = WallMs(1_000 * i64::try_from(counter).unwrap());
    let mut popup = PopupState::empty(PopupKey::of("spring"));
    popup.shows_total = u32::try_from(counter).unwrap();
    popup.shows_used = 1;
    popup.shows[0] = Show { at, number: popup.shows_total, actions: 0 };
    let clocks = UserClocks { last_counted_at: Some(at), day_shows: 1, ..UserClocks::default() };
    UserState { revision: Revision { epoch, counter }, clocks, popups: vec![popup] }
}

/// The record of a user's latest change, framed.
pub fn framed(user: &str, state: &UserState) -> Vec<u8> {
    let (mut clocks, mut row, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
    encode_clocks(&state.clocks, &mut clocks);
    encode_popup(&state.popups[0], &mut row);
    let at = state.popups[0].latest().at;
    let token = format!("{user}-{}-{}", state.revision.epoch, state.revision.counter);
    let impression = Impression {
        user,
        revision: state.revision,
        at,
        kind: EventKind::Decided,
        acted_at: at,
        token: &token,
        popup: "spring",
        version: 1,
        variant: "",
        clocks: &clocks,
        row: &row,
        next_show_at: None,
        forgotten: "",
    };
    record::append(&Record::Impression(impression), &mut bytes);
    bytes
}

/// The record of a user's only show, which is taken back, framed.
pub fn framed_withdrawn(user: &str, state: &UserState) -> Vec<u8> {
    let (mut clocks, mut bytes) = (Vec::new(), Vec::new());
    encode_clocks(&UserClocks::default(), &mut clocks);
    let shown_at = state.popups[0].latest().at;
    let withdrawn = Withdrawn {
        user,
        revision: state.revision.next(),
        at: shown_at.plus(DurationMs(20)),
        shown_at,
        token: &format!("{user}-{}-{}", state.revision.epoch, state.revision.counter),
        popup: "spring",
        version: 1,
        variant: "",
        clocks: &clocks,
        former: None,
    };
    record::append(&Record::Withdrawn(withdrawn), &mut bytes);
    bytes
}

/// Puts users into SQL, as a journal would.
pub fn write_sql(config: &Config, stream: u128, users: &[(String, UserState)]) {
    let mut store = Store::of(config).unwrap();
    let stream: StreamId = store.stream_id(stream.to_be_bytes()).unwrap();
    let after = store.position(stream).unwrap().0;
    let frames: Vec<Vec<u8>> = users.iter().map(|(user, state)| framed(user, state)).collect();
    let records: Vec<(Sequence, Record<'_>)> = (after + 1..)
        .map(Sequence)
        .zip(frames.iter().map(|frame| record::decode(&frame[2..]).unwrap()))
        .collect();
    for records in records.chunks(1_000) {
        store.apply(stream, records).unwrap();
    }
}

/// A user's value in Redis, as a commit would leave it.
pub fn value(state: &UserState) -> Vec<u8> {
    let mut bytes = state.revision.epoch.to_be_bytes().to_vec();
    bytes.extend_from_slice(&state.revision.counter.to_be_bytes());
    bytes.push(0);
    encode(state, &mut bytes);
    bytes
}

pub fn user_key(user: &str) -> String {
    format!("nudged:{{p{}}}:u:{user}", UserKey::of(user.as_bytes()).partition().0)
}

/// Commits a user's state by hand: value and counter.
pub fn commit(redis: &Redis, user: &str, state: &UserState) {
    let mut redis = client(redis);
    redis.ask(&[b"SET", user_key(user).as_bytes(), &value(state)]).unwrap();
    let meta = user_key(user).split(":u:").next().unwrap().to_owned() + ":m";
    redis.ask(&[b"HINCRBY", meta.as_bytes(), b"c", b"1"]).unwrap();
}

/// What Redis has of a user.
pub fn stored(redis: &Redis, user: &str) -> Option<Vec<u8>> {
    match client(redis).ask(&[b"GET", user_key(user).as_bytes()]).unwrap() {
        OwnedReply::Text(bytes) => Some(bytes),
        _ => None,
    }
}

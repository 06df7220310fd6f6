//! The thread of the keeper of Redis: reads what a round needs, in Redis, in SQL and of this node,
//! asks `keeper::core` what follows from it, and carries that out. Beside the journal on the
//! dedicated core. What it does and why is in `keeper`; here is only how.
//!
//! ```text
//! round: INFO, seal, lock, metas -> signs of life, who has compared, who has answered
//!        -> Keeper::decide -> orders; a failure ends the round, and the next one reads again
//! ```
//!
//! Limits: `KEEPER_BUSY_MS` and `KEEPER_IDLE_MS` between rounds; SQL is asked with timeouts of a
//! second, so that a server that hangs does not make this node look dead.

mod backlog;
mod fill;
mod fitness;
mod orders;
mod reading;
mod rights;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::board::{Board, NO_RUN};
use super::journal_lanes::JournalLanes;
use super::list_share::ListShare;
use super::redis_client::{AskError, BlockingRedis};
use super::sql_fitness::Asker;
use super::sql_writer::WriterFigures;
use super::vital::Needed;
use super::{clocks, log_thread, topology};
use nudged_background::keeper::barrier::Progress;
use nudged_background::keeper::core::{Keeper, View};
use nudged_background::keeper::peers::NodeId;
use nudged_background::keeper::share;
use nudged_base::backoff::{Backoff, Rest};
use nudged_base::ids::Partition;
use nudged_base::limits::{KEEPER_SQL_BEAT_MS, PARTITIONS};
use nudged_base::telemetry::counters::ShardCounters;
use nudged_base::telemetry::log::{Log, Message, Value};
use nudged_base::telemetry::table::node_metrics;
use nudged_base::time::{DurationMs, MonoNs};
use nudged_config::Config;
use nudged_redis::link::Unfit;
use nudged_redis::refusal::Refusal;
use nudged_shard::seam::Learned;
use nudged_store::{Reader, Store, StoreError};

use fill::Filler;
use fitness::{Fitness, Line, Seen};
use rights::Rights;

/// A statement of the keeper may take this long: it reads a few hundred rows at most.
const SQL_TIMEOUT_MS: u64 = 1_000;
/// SQL is left alone for this long after a failure, in milliseconds; doubles up to the longest.
const SQL_REST_MS: u64 = 1_000;
const SQL_BACKOFF: Backoff = Backoff::new(SQL_REST_MS, 5_000);

/// What the keeper is made of.
pub struct KeeperSetup {
    /// This node.
    pub node: NodeId,
    /// A connection of its own.
    pub redis: BlockingRedis,
    /// Stores of its own, from [`keeper_stores`].
    pub stores: (Store, Reader),
    /// Where shards report and are told.
    pub board: Arc<Board>,
    /// What the journal and the SQL writer have reached.
    pub lanes: Arc<JournalLanes>,
    /// Of each shard: turns are counted there.
    pub counters: Vec<Arc<ShardCounters>>,
    /// Whether the SQL writer has halted, and the stream of the node's journal: without one SQL is
    /// not told that this node is alive, Redis is.
    pub writer: Arc<WriterFigures>,
    /// The deadline of a command, and how long users' values live (0 for ever), in milliseconds.
    pub times_ms: (u64, u64),
    /// A reply of Redis has to survive loss of power.
    pub needs_sync: bool,
    /// With `queue = "redis"`: what the threads that drain the lists share with this one.
    pub lists: Option<Arc<ListShare>>,
    /// Ends the thread, once woken.
    pub stop: Arc<AtomicBool>,
    /// The core to run on.
    pub cpu: Option<usize>,
    /// Where losses and failures are told.
    pub log: Log,
    /// Where it counts.
    pub figures: Arc<KeeperFigures>,
}

node_metrics! {
    /// What the keeper has done, for metrics and status.
    pub struct KeeperFigures {
        Counter rounds "keeper_rounds_total" "Rounds of the keeper.";
        Counter failures "keeper_failures_total" "Rounds that failed.";
        Counter sql_failures "keeper_sql_failures_total" "Questions that failed.";
        Gauge peers "keeper_other_nodes" "Other nodes that are alive.";
        Counter rebuilds "rebuild_begun_total" "Rebuilds begun by this node.";
        Counter users_filled "rebuild_users_total" "Users filled from SQL.";
        Counter held "rebuild_held_total" "Partitions found to have lost writes.";
        Counter users_unreadable "rebuild_unreadable_total"
            "Users whose rows could not be read: they are new to Redis.";
        Gauge partitions "rebuild_partitions" "Partitions that are not open.";
    }
    beside {
        /// 0 while all are open, 1 lost, 2 barrier, 3 filling.
        pub phase: AtomicU8,
        /// When they were first seen not to be, on the monotonic clock, in nanoseconds.
        pub since_ns: AtomicU64,
    }
}

/// A rebuild as a person is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RebuildProgress {
    /// Partitions that are not open.
    pub partitions: u64,
    /// `lost`, `barrier` or `filling`.
    pub phase: &'static str,
    /// Users that this node has written into Redis since it started.
    pub users: u64,
    /// For how long, in milliseconds.
    pub for_ms: u64,
}

const PHASES: [&str; 4] = ["open", "lost", "barrier", "filling"];

impl KeeperFigures {
    /// The rebuild that is under way, if one is.
    pub fn rebuild(&self, now: MonoNs) -> Option<RebuildProgress> {
        let phase = PHASES[usize::from(self.phase.load(Ordering::Relaxed)).min(3)];
        (phase != "open").then(|| RebuildProgress {
            partitions: self.partitions.load(Ordering::Relaxed),
            phase,
            users: self.users_filled.load(Ordering::Relaxed),
            for_ms: now.0.saturating_sub(self.since_ns.load(Ordering::Relaxed)) / 1_000_000,
        })
    }
}

/// The stores of a keeper: those of the configuration, with timeouts that fit it.
///
/// # Errors
/// As [`Store::of`].
pub fn keeper_stores(config: &Config) -> Result<(Store, Reader), StoreError> {
    let mut config = config.clone();
    let bound = |timeout: DurationMs| DurationMs(timeout.0.min(SQL_TIMEOUT_MS));
    config.mysql.connect_timeout = bound(config.mysql.connect_timeout);
    config.mysql.query_timeout = bound(config.mysql.query_timeout);
    // A rebuild must not rest on a replica that is behind.
    config.mysql.replica = None;
    Ok((Store::of(&config)?, Reader::of(&config)?))
}

/// Starts the thread.
///
/// # Errors
/// Where the system gives no thread.
pub fn start(setup: KeeperSetup) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("keeper".to_owned()).spawn(move || {
        // Unpinned is slower and not wrong.
        let _is_pinned = setup.cpu.is_none_or(topology::pin);
        let needed = Needed::here("keeper");
        let mut thread = Thread::new(setup);
        thread.run();
        needed.leave(thread.setup.stop.load(Ordering::Acquire));
    })
}

/// Why a round ended before its end.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    Redis(#[from] AskError),
    #[error("Redis sent an unexpected reply to {0}")]
    Answer(&'static str),
}

struct Thread {
    setup: KeeperSetup,
    keeper: Keeper,
    filler: Option<Filler>,
    /// Names this process among those that would lead.
    token: String,
    /// Whether SQL is left alone.
    sql_rest: Rest,
    sql_beat_due: MonoNs,
    shared_among: Vec<NodeId>,
    was_rebuilding: bool,
    /// Whether the rebuild that is under way may not be begun again yet.
    begin_rest: Rest,
    /// Whether it was told that this rebuild was begun.
    is_begun_told: bool,
    /// The latest round was carried out to its end.
    has_written: bool,
    /// What is known of Redis, as the shards are told.
    learned: Learned,
    /// Keys that this run of Redis has evicted.
    evicted: u64,
    rights: Rights,
    /// Why the keeper itself is not let in.
    not_let_in: Option<String>,
    fitness: Fitness,
}

impl Thread {
    fn new(setup: KeeperSetup) -> Thread {
        let keeper = Keeper::new(setup.node, setup.times_ms.0, PARTITIONS);
        let now = clocks::mono();
        let token = format!("{}-{}-{}", setup.node, std::process::id(), now.0);
        // A start that has just waited for SQL in vain does not wait for it here as well.
        let is_sql_there = setup.writer.stream.get().is_some();
        let sql_rest_end = if is_sql_there { MonoNs(0) } else { now.plus_ms(SQL_REST_MS) };
        let rights = Rights::new(setup.lists.is_some(), setup.needs_sync);
        Thread {
            setup,
            keeper,
            filler: None,
            token,
            sql_rest: Rest::new(SQL_BACKOFF, sql_rest_end),
            sql_beat_due: MonoNs(0),
            shared_among: Vec::new(),
            was_rebuilding: false,
            begin_rest: Rest::new(orders::BEGIN_BACKOFF, MonoNs(0)),
            is_begun_told: false,
            has_written: false,
            learned: Learned::default(),
            evicted: 0,
            rights,
            not_let_in: None,
            fitness: Fitness::new(),
        }
    }

    fn run(&mut self) {
        while !self.setup.stop.load(Ordering::Acquire) {
            let result = self.round();
            self.has_written = result.is_ok();
            let figures = &self.setup.figures;
            match &result {
                Ok(_) => {
                    log_thread::tell(&self.setup.log, Message::KeeperResumed, "");
                    figures.rounds.fetch_add(1, Ordering::Relaxed)
                }
                Err(_) => figures.failures.fetch_add(1, Ordering::Relaxed),
            };
            if let Err(error) = &result {
                self.round_failed(error);
            }
            self.publish();
            self.tell_fitness();
            match result {
                // What was done changes what is there: look at once.
                Ok(true) => {}
                Ok(false) => self.sleep(Duration::from_millis(self.keeper.pace_ms())),
                Err(_) => self.rest(),
            }
        }
        // Others need not wait for the term to end.
        let _ = self.lead(0);
        self.say_stopped();
    }

    /// Says in SQL that this node has stopped, once all of its journal is there.
    fn say_stopped(&mut self) {
        let is_applied = self.setup.lanes.applied() >= self.setup.lanes.written();
        let stream = self.setup.writer.stream.get().copied();
        if let Some(stream) = stream.filter(|_| is_applied && self.may_ask_sql())
            && let Some(store) = self.setup.stores.0.shared()
        {
            // Else it counts as one that was killed.
            let _ = store.say_stopped(stream);
        }
    }

    fn round_failed(&mut self, error: &RoundError) {
        self.keeper.disconnected();
        // What answers next may be another one.
        self.learned.run = NO_RUN;
        self.setup.board.learn(self.learned);
        let text = error.to_string();
        match error {
            RoundError::Redis(AskError::Refused { kind: Refusal::Denied, text }) => {
                // The next round looks which right is missing.
                self.rights.doubt();
                let is_login = !text.starts_with("NOPERM") && !text.starts_with("ERR");
                self.not_let_in = is_login.then(|| Unfit::NotLetIn.to_string());
            }
            // Told as what is wrong with Redis.
            RoundError::Redis(AskError::Refused { kind, .. }) if kind.mend().is_some() => {}
            _ => log_thread::tell(&self.setup.log, Message::KeeperFailed, &text),
        }
        self.setup.redis.give_up(text);
    }

    /// Tries what Redis lets the node do, where it is time, and tells the shards.
    fn look_at_rights(&mut self) -> Result<(), RoundError> {
        let KeeperSetup { board, lists, redis, .. } = &mut self.setup;
        let of_lists = lists.as_ref().map_or(0, |lists| lists.denials());
        let result = self.rights.look(redis, board.denials() + of_lists);
        let missing = self.rights.missing();
        (self.learned.is_denied, self.learned.is_unheard) =
            (missing.is_deciding, missing.is_hearing);
        board.learn(self.learned);
        Ok(result?)
    }

    /// Says what is wrong with Redis, and that it is over.
    fn tell_fitness(&mut self) {
        let KeeperSetup { board, redis, counters, log, .. } = &self.setup;
        let rights = self.rights.missing().told();
        // A right that a link is denied is among those, once they were tried.
        let unfit = board.unfit();
        let is_named = matches!(unfit, Some(Unfit::Denied(_))) && rights.is_some();
        let unfit = unfit.filter(|_| !is_named).map(|unfit| unfit.to_string());
        let mut seen = Seen {
            rights,
            handshake: unfit.or(self.not_let_in.clone()),
            is_evicting: self.learned.is_evicting,
            is_replica: self.learned.is_replica,
            has_written: self.has_written,
            ..Seen::default()
        };
        for (kind, name) in Refusal::ALL {
            let of_shards = counters.iter().map(|shard| shard.redis_refused.of(name).get());
            seen.refused[kind.index()] = of_shards.sum::<u64>() + redis.refused(kind);
        }
        for line in self.fitness.take(clocks::mono(), &seen) {
            let (message, cause, why) = match &line {
                Line::Unfit { cause, why } => (Message::RedisUnfit, cause, &**why),
                Line::Fit { cause } => (Message::RedisFit, cause, ""),
            };
            let fields = [("cause", Value::Text(cause)), ("error", Value::Text(why))];
            log.write(log_thread::stamp_now(), message, &fields);
        }
        board.set_unfit(self.fitness.why());
        board.set_refused(seen.rights.is_some() || seen.handshake.is_some());
    }

    /// One round; whether something was done that asks for the next one at once.
    fn round(&mut self) -> Result<bool, RoundError> {
        let sql_nodes = self.beat_sql();
        self.look_at_rights()?;
        // In this order: who sees the run sees what was found lost before it.
        let own_compared = self.setup.board.run_compared_by_all();
        let lost: Vec<Partition> = self.setup.board.lost().collect();
        let now = clocks::mono();
        let wants_metas = self.keeper.wants_metas(now) || !lost.is_empty();
        let signs = self.read(wants_metas)?;
        self.not_let_in = None;
        let progress = self.progress();
        let orders = self.keeper.decide(&View {
            // Read before what it is compared with.
            now,
            run: signs.run,
            redis_now: signs.redis_now,
            losses: self.losses(signs.run),
            beats: &signs.beats,
            sql_nodes: &sql_nodes,
            metas: signs.metas.as_deref(),
            compared: &signs.compared,
            is_cleared: signs.is_cleared,
            seal: signs.seal,
            answered: &signs.answered,
            lead: signs.lead,
            filling: fill::progress_of(self.filler.as_ref()),
            own_compared,
            own_cleared: Some(self.setup.board.cleared_run()).filter(|run| *run != NO_RUN),
            own_lost: &lost,
            progress: &progress,
        });
        if self.keeper.is_waiting_for_shards() {
            self.setup.board.wake_shards();
        }
        self.share_lists();
        self.look_at_lists()?;
        self.carry_out(orders)
    }

    fn progress(&self) -> Progress {
        let KeeperSetup { lanes, counters, writer, lists, .. } = &self.setup;
        // Turns first: what a shard pushed in a turn that has ended is then counted below.
        let turns = counters.iter().map(|shard| shard.turns.get()).collect();
        std::sync::atomic::fence(Ordering::SeqCst);
        let (pushed, acknowledged) = lanes.batches();
        Progress {
            turns,
            pushed,
            acknowledged,
            written: lanes.written(),
            applied: lanes.applied(),
            is_halted: writer.is_halted.load(Ordering::Acquire),
            drained: lists.as_ref().map(|lists| lists.rounds()),
        }
    }

    /// Says in SQL that this node is alive, and who else is; nothing where it is not due.
    fn beat_sql(&mut self) -> Vec<NodeId> {
        let now = clocks::mono();
        if now < self.sql_beat_due || !self.may_ask_sql() {
            return Vec::new();
        }
        self.sql_beat_due = now.plus_ms(KEEPER_SQL_BEAT_MS);
        let (stream, name) = (self.setup.writer.stream.get(), self.setup.node.to_string());
        let store = self.setup.stores.0.shared();
        let nodes = store.map(|store| {
            if let Some(stream) = stream {
                store.heartbeat(*stream, &name)?;
            }
            store.live_nodes(nudged_base::limits::PEER_KNOWN_MS)
        });
        let nodes = self.of_sql(nodes.unwrap_or(Ok(Vec::new()))).unwrap_or_default();
        nodes.iter().filter_map(|node| NodeId::parse(&node.name)).collect()
    }

    fn may_ask_sql(&self) -> bool {
        self.sql_rest.left(clocks::mono()).is_none()
    }

    /// What SQL said; tells a failure, and lets SQL rest after it.
    fn of_sql<T>(&mut self, result: Result<T, StoreError>) -> Option<T> {
        match result {
            Ok(value) => {
                self.sql_rest.succeeded();
                self.setup.writer.fitness.succeeded(clocks::mono(), Asker::Keeper);
                log_thread::tell(&self.setup.log, Message::KeeperSqlResumed, "");
                Some(value)
            }
            Err(error) => {
                self.sql_rest.failed(clocks::mono());
                self.setup.figures.sql_failures.fetch_add(1, Ordering::Relaxed);
                self.setup.writer.fitness.failed(clocks::mono(), Asker::Keeper, &error);
                log_thread::tell(&self.setup.log, Message::KeeperSqlFailed, &error.to_string());
                None
            }
        }
    }

    /// Works out which lists are this node's, where the nodes have changed.
    fn share_lists(&mut self) {
        let Some(lists) = &self.setup.lists else { return };
        let nodes: Vec<NodeId> = self.keeper.peers().awaited().collect();
        if nodes != self.shared_among {
            lists.set_partitions(share::partitions_of(self.setup.node, &nodes));
            self.shared_among = nodes;
        }
    }

    fn publish(&mut self) {
        let figures = &self.setup.figures;
        let peers = u64::try_from(self.keeper.peers().count()).unwrap_or(u64::MAX);
        figures.peers.store(peers, Ordering::Relaxed);
        let status = self.keeper.rebuild();
        let rank = status.map_or(0, |status| {
            PHASES.iter().position(|phase| *phase == status.phase).unwrap_or(0)
        });
        let partitions = status.map_or(0, |status| status.partitions as u64);
        figures.partitions.store(partitions, Ordering::Relaxed);
        figures.since_ns.store(status.map_or(0, |status| status.since.0), Ordering::Relaxed);
        figures.phase.store(u8::try_from(rank).unwrap_or(0), Ordering::Relaxed);
        let is_rebuilding = status.is_some();
        if !is_rebuilding {
            self.begin_rest.succeeded();
            self.is_begun_told = false;
        }
        if is_rebuilding != std::mem::replace(&mut self.was_rebuilding, is_rebuilding) {
            let (message, count) = match is_rebuilding {
                true => (Message::RebuildNeeded, partitions),
                false => (Message::RebuildEnded, u64::from(PARTITIONS)),
            };
            let fields = [("partitions", Value::Number(count))];
            self.setup.log.write(log_thread::stamp_now(), message, &fields);
        }
    }

    /// Leaves Redis alone after a failure, whatever news the shards have.
    fn rest(&self) {
        let is_stopping = || self.setup.stop.load(Ordering::Acquire);
        while let Some(left) = self.setup.redis.rest_left().filter(|_| !is_stopping()) {
            self.setup.board.keeper().sleep_for_unless(left, is_stopping);
        }
    }

    /// Sleeps until the next round is due or a shard has news.
    fn sleep(&self, limit: Duration) {
        let board = &self.setup.board;
        let sleeper = board.keeper();
        let has_news = || {
            let stopping = self.setup.stop.load(Ordering::Acquire);
            stopping || board.lost_count() > 0
        };
        sleeper.sleep_for_unless(limit, has_news);
    }
}

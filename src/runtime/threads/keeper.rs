//! The thread of the keeper of Redis, for `keeper::rounds`: asks Redis and SQL, and tells the
//! shards by `redis_status`. Beside the journal on the dedicated core.
//!
//! Limits: SQL is asked with timeouts of a second, so that a server that hangs does not make this
//! node look dead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clocks;
use crate::journal::lanes::JournalLanes;
use crate::redis_client::BlockingRedis;
use crate::redis_status::{NO_RUN, RedisStatus};
use crate::threads;
use crate::threads::sql_fitness::Asker;
use crate::threads::sql_writer::WriterFigures;
use nudged_background::keeper::barrier::NodeProgress;
pub use nudged_background::keeper::metrics::KeeperMetrics;
use nudged_background::keeper::rounds::{
    Effect, FillSizes, Input, Notice, Rounds, RoundsSetup, View, sql_from,
};
use nudged_background::lists::assignment::ListAssignment;
use nudged_background::sql_failure::SqlFailure;
use nudged_base::ids::NodeId;
use nudged_base::limits::PEER_KNOWN_MS;
use nudged_base::telemetry::counters::ShardCounters;
use nudged_base::telemetry::log::Log;
use nudged_base::time::DurationMs;
use nudged_config::Config;
use nudged_domain::state::user::UserState;
use nudged_redis::refusal::RedisRefusal;
use nudged_store::{Store, StoreError, StoreReader};

/// A statement of the keeper may take this long: it reads a few hundred rows at most.
const SQL_TIMEOUT_MS: u64 = 1_000;

/// What the keeper is made of.
pub struct KeeperSetup {
    /// This node.
    pub node: NodeId,
    /// A connection of its own.
    pub redis: BlockingRedis,
    /// Stores of its own, from [`keeper_stores`].
    pub stores: (Store, StoreReader),
    /// Where shards report and are told.
    pub redis_status: Arc<RedisStatus>,
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
    pub lists: Option<Arc<ListAssignment>>,
    /// Ends the thread, once woken.
    pub stop: Arc<AtomicBool>,
    /// The core to run on.
    pub cpu: Option<usize>,
    /// Where losses and failures are told.
    pub log: Log,
    /// Where it counts.
    pub figures: Arc<KeeperMetrics>,
}

/// The stores of a keeper: those of the configuration, with timeouts that fit it.
///
/// # Errors
/// As [`Store::of`].
pub fn keeper_stores(config: &Config) -> Result<(Store, StoreReader), StoreError> {
    let mut config = config.clone();
    let bound = |timeout: DurationMs| DurationMs(timeout.0.min(SQL_TIMEOUT_MS));
    config.mysql.connect_timeout = bound(config.mysql.connect_timeout);
    config.mysql.query_timeout = bound(config.mysql.query_timeout);
    // A rebuild must not rest on a replica that is behind.
    config.mysql.replica = None;
    Ok((Store::of(&config)?, StoreReader::of(&config)?))
}

/// Starts the thread.
///
/// # Errors
/// Where the system gives no thread.
pub fn start(setup: KeeperSetup) -> std::io::Result<JoinHandle<()>> {
    let (cpu, stop) = (setup.cpu, Arc::clone(&setup.stop));
    threads::start("keeper".to_owned(), cpu, &stop, move || {
        let now = clocks::mono();
        let machine = Rounds::new(RoundsSetup {
            node: setup.node,
            token: format!("{}-{}-{}", setup.node, std::process::id(), now.0),
            sql_from: sql_from(now, setup.writer.stream.get().is_some()),
            times_ms: setup.times_ms,
            needs_sync: setup.needs_sync,
            lists: setup.lists.clone(),
            sizes: FillSizes::default(),
            log: setup.log.clone(),
            metrics: Arc::clone(&setup.figures),
        });
        KeeperThread { setup, machine }.run();
    })
}

struct KeeperThread {
    setup: KeeperSetup,
    machine: Rounds,
}

impl KeeperThread {
    fn run(&mut self) {
        let mut input = Input::Go;
        loop {
            let view = self.view();
            let effect = self.machine.step(&view, input);
            for notice in self.machine.take_notices() {
                self.tell(notice);
            }
            input = match effect {
                Effect::Ask(ask) => Input::Answered(self.setup.redis.carry_out(&ask)),
                Effect::Hear(channels) => {
                    Input::Heard(self.setup.redis.fresh().subscribe(channels))
                }
                Effect::Pause(pause_ms) => {
                    std::thread::sleep(Duration::from_millis(pause_ms));
                    Input::Go
                }
                Effect::Sleep(0) => Input::Go,
                Effect::Sleep(limit_ms) => self.sleep(Duration::from_millis(limit_ms)),
                Effect::Rest => self.rest(),
                Effect::End => return,
                of_sql => self.ask_sql(&of_sql),
            };
        }
    }

    fn view(&self) -> View {
        let KeeperSetup { redis_status, lanes, counters, writer, lists, redis, stop, .. } =
            &self.setup;
        // In this order: who sees the run sees what was found lost before it.
        let own_compared = redis_status.run_compared_by_all();
        let own_lost = redis_status.lost().collect();
        // Turns first: what a shard pushed in a turn that has ended is then counted below.
        let turns = counters.iter().map(|shard| shard.turns.get()).collect();
        std::sync::atomic::fence(Ordering::SeqCst);
        let (pushed, acknowledged) = lanes.batches();
        let mut refused = [0; RedisRefusal::COUNT];
        for (kind, name) in RedisRefusal::ALL {
            let of_shards = counters.iter().map(|shard| shard.redis_refused.of(name).get());
            refused[kind.index()] = of_shards.sum::<u64>() + redis.refused(kind);
        }
        View {
            now: clocks::now(),
            is_stopping: stop.load(Ordering::Acquire),
            own_compared,
            own_lost,
            own_cleared: Some(redis_status.cleared_run()).filter(|run| *run != NO_RUN),
            progress: NodeProgress {
                turns,
                pushed,
                acknowledged,
                written: lanes.written(),
                applied: lanes.applied(),
                is_halted: writer.counts.is_halted.load(Ordering::Acquire),
                drained: lists.as_ref().map(|lists| lists.rounds()),
            },
            denials: redis_status.denials(),
            unfit: redis_status.unfit(),
            refused,
            connects: redis.connects(),
        }
    }

    fn tell(&mut self, notice: Notice) {
        let KeeperSetup { redis_status, redis, .. } = &mut self.setup;
        match notice {
            Notice::Learn(learned) => redis_status.learn(learned),
            Notice::ClearLosses(partitions) => {
                partitions.iter().for_each(|partition| redis_status.settle(*partition));
            }
            Notice::Clear(run) => redis_status.clear_run(run),
            Notice::WakeShards => redis_status.wake_shards(),
            Notice::GiveUp(why) => redis.give_up(why),
            Notice::Fitness(why, is_refused) => {
                redis_status.set_unfit(why);
                redis_status.set_refused(is_refused);
            }
        }
    }

    fn ask_sql(&mut self, effect: &Effect) -> Input {
        let KeeperSetup { stores: (store, reader), writer, .. } = &mut self.setup;
        match effect {
            Effect::Heartbeat(name) => Input::Nodes(well(writer, beat(store, writer, name))),
            Effect::NextEpoch(at_least) => {
                let epoch = store.shared().map(|store| store.next_epoch(*at_least));
                Input::Epoch(well(writer, epoch.transpose()))
            }
            Effect::Users(after, count) => {
                Input::Users(well(writer, reader.users_after(after, *count)))
            }
            Effect::States(users) => {
                let names: Vec<&str> = users.iter().map(String::as_str).collect();
                let mut states: Vec<Option<UserState>> = names.iter().map(|_| None).collect();
                let read = reader.read_users(&names, &mut |index, state| {
                    states[index] = Some(state);
                });
                Input::States(well(writer, read.map(|_| states)))
            }
            Effect::SayStopped => {
                if let (Some(stream), Some(store)) = (writer.stream.get(), store.shared()) {
                    // Else it counts as one that was killed.
                    let _ = store.say_stopped(*stream);
                }
                Input::Go
            }
            other => unreachable!("{other:?} is not of SQL"),
        }
    }

    /// Leaves Redis alone after a failure, whatever news the shards have.
    fn rest(&self) -> Input {
        let is_stopping = || self.setup.stop.load(Ordering::Acquire);
        while let Some(left) = self.setup.redis.rest_left().filter(|_| !is_stopping()) {
            self.setup.redis_status.keeper().sleep_for_unless(left, is_stopping);
        }
        Input::Go
    }

    /// Sleeps until the next round is due or a shard has news.
    fn sleep(&self, limit: Duration) -> Input {
        let redis_status = &self.setup.redis_status;
        let has_news = || self.setup.stop.load(Ordering::Acquire) || redis_status.lost_count() > 0;
        redis_status.keeper().sleep_for_unless(limit, has_news);
        Input::Go
    }
}

/// Says that the node is alive, once its journal has a stream, and who else is.
fn beat(store: &mut Store, writer: &WriterFigures, name: &str) -> Result<Vec<NodeId>, StoreError> {
    let Some(store) = store.shared() else { return Ok(Vec::new()) };
    if let Some(stream) = writer.stream.get() {
        store.heartbeat(*stream, name)?;
    }
    let nodes = store.live_nodes(PEER_KNOWN_MS)?;
    Ok(nodes.iter().filter_map(|node| NodeId::parse(&node.name)).collect())
}

/// What SQL said, and that it did or did not.
fn well<T>(writer: &WriterFigures, result: Result<T, StoreError>) -> Result<T, SqlFailure> {
    let now = clocks::mono();
    match &result {
        Ok(_) => writer.fitness.succeeded(now, Asker::Keeper),
        Err(error) => writer.fitness.failed(now, Asker::Keeper, error),
    }
    result.map_err(|error| threads::failure_of(&error))
}

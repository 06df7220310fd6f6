//! The threads that a node with Redis has beside the usual ones, on the dedicated core: the keeper,
//! and with `queue = "redis"` those that drain the lists. Starts them and ends them; what they
//! do is theirs.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::failure::Failure;
use super::redis::RedisWay;
use super::stoppable::{self, StoppableThread};
use nudged_admin::RedisMetrics;
use nudged_background::keeper::peers::NodeId;
use nudged_background::lists::assignment::ListAssignment;
use nudged_base::telemetry::counters::ShardCounters;
use nudged_base::telemetry::log::Log;
use nudged_config::{AckMode, Config, QueueMode};
use nudged_journal::segment::SetId;
use nudged_runtime::redis_status::RedisStatus;
use nudged_runtime::shard::mesh::Mesh;
use nudged_runtime::threads::keeper::{self, KeeperSetup, keeper_stores};
use nudged_runtime::threads::list_drain::{self, DrainSetup};
use nudged_runtime::threads::sql_writer::WriterFigures;
use nudged_runtime::wake::Waker;
use nudged_store::Store;

/// The keeper's round is over within this, once it is told to end.
const KEEPER_STOP: Duration = Duration::from_secs(2);

/// What the threads are made of.
pub(super) struct RedisThreadsSetup<'a> {
    /// The node's settings.
    pub(super) config: &'a Config,
    /// The way to Redis.
    pub(super) redis: &'a RedisWay,
    /// The journal's set: it names the node.
    pub(super) set: SetId,
    /// All lanes.
    pub(super) mesh: &'a Mesh,
    /// Counters, by shard.
    pub(super) counters: &'a [Arc<ShardCounters>],
    /// What the SQL writer has done.
    pub(super) writer: Arc<WriterFigures>,
    /// The dedicated core.
    pub(super) cpu: Option<usize>,
    /// Where they tell what happens.
    pub(super) log: &'a Log,
}

/// The running threads.
pub(super) struct RedisThreads {
    keeper: StoppableThread,
    drains: Vec<(StoppableThread, Arc<Waker>)>,
    redis_status: Arc<RedisStatus>,
    /// What they count.
    pub(super) figures: RedisMetrics,
}

impl RedisThreads {
    /// Starts them.
    ///
    /// # Errors
    /// Where the system refuses a thread, or the stores can't be had.
    pub(super) fn start(setup: RedisThreadsSetup<'_>) -> Result<RedisThreads, Failure> {
        let thread = Failure::system("start the keeper thread");
        let lanes = match setup.config.queue {
            QueueMode::Redis => usize::try_from(setup.config.mysql.parallel()).unwrap_or(1),
            QueueMode::Journal => 0,
        };
        let share = (lanes > 0).then(|| Arc::new(ListAssignment::new(lanes)));
        let lists = share.as_ref().map_or(Vec::new(), |share| share.metrics.clone());
        let figures = RedisMetrics { keeper: Arc::default(), lists };
        let mut drains = Vec::new();
        for (lane, share) in share.iter().flat_map(|share| (0..lanes).map(move |l| (l, share))) {
            drains.push(start_drain(&setup, (share, lane))?);
        }
        let stop: Arc<AtomicBool> = Arc::default();
        let keeper = keeper::start(KeeperSetup {
            node: NodeId(setup.set.0),
            redis: setup.redis.client(),
            stores: keeper_stores(setup.config)?,
            redis_status: Arc::clone(&setup.mesh.redis_status),
            lanes: Arc::clone(&setup.mesh.journal),
            counters: setup.counters.to_vec(),
            writer: setup.writer,
            times_ms: (setup.config.redis.deadline.0, setup.config.redis.ttl.0),
            needs_sync: setup.config.queue == QueueMode::Redis
                && setup.config.ack == AckMode::Synced,
            lists: share,
            stop: Arc::clone(&stop),
            cpu: setup.cpu,
            log: setup.log.clone(),
            figures: Arc::clone(&figures.keeper),
        });
        let keeper = StoppableThread { thread: keeper.map_err(thread)?, stop };
        Ok(RedisThreads {
            keeper,
            drains,
            redis_status: Arc::clone(&setup.mesh.redis_status),
            figures,
        })
    }

    /// Lets the lists be drained until `until`, then ends the threads. What is left in a list is
    /// another node's to drain, or this one's after its next start.
    pub(super) fn stop(self, until: Instant) {
        // All of them at once, and then each is waited for.
        self.drains.iter().for_each(|(drain, _)| drain.tell());
        for (drain, waker) in self.drains {
            drain.end(stoppable::until(until), || waker.wake());
        }
        let until = until.max(Instant::now() + KEEPER_STOP);
        self.keeper.end(stoppable::until(until), || self.redis_status.keeper().wake());
    }
}

fn start_drain(
    setup: &RedisThreadsSetup<'_>,
    (share, lane): (&Arc<ListAssignment>, usize),
) -> Result<(StoppableThread, Arc<Waker>), Failure> {
    let thread = Failure::system("start a thread to drain lists");
    let waker = Arc::new(Waker::new().map_err(|error| thread(error.into()))?);
    let stop: Arc<AtomicBool> = Arc::default();
    let drain = list_drain::start(DrainSetup {
        redis: setup.redis.client(),
        writer: Arc::clone(&setup.writer),
        store: Store::of(setup.config)?,
        share: Arc::clone(share),
        lane,
        stop: Arc::clone(&stop),
        waker: Arc::clone(&waker),
        cpu: setup.cpu,
        log: setup.log.clone(),
    });
    Ok((StoppableThread { thread: drain.map_err(thread)?, stop }, waker))
}

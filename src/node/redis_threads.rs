//! The threads that a node with Redis has beside the usual ones, on the dedicated core: the keeper,
//! and with `queue = "redis"` those that drain the lists. Starts them and ends them; what they
//! do is theirs.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::failure::Failure;
use super::redis::{RedisWay, needs_sync};
use super::serve::threads::Threads;
use super::stoppable::{self, StoppableThread};
use nudged_admin::RedisMetrics;
use nudged_background::lists::assignment::ListAssignment;
use nudged_base::ids::NodeId;
use nudged_base::telemetry::counters::ShardCounters;
use nudged_config::QueueMode;
use nudged_journal::segment::SetId;
use nudged_runtime::redis_status::RedisStatus;
use nudged_runtime::threads::keeper::{self, KeeperSetup, keeper_stores};
use nudged_runtime::threads::list_drain::{self, DrainSetup};
use nudged_runtime::threads::sql_writer::WriterFigures;
use nudged_runtime::wake::Waker;
use nudged_store::Store;

/// The keeper's round is over within this, once it is told to end.
const KEEPER_STOP: Duration = Duration::from_secs(2);

/// The running threads.
pub(super) struct RedisThreads {
    keeper: StoppableThread,
    drains: Vec<(StoppableThread, Arc<Waker>)>,
    redis_status: Arc<RedisStatus>,
    /// What they count.
    pub(super) figures: RedisMetrics,
}

impl Threads<'_> {
    /// Starts what a node with Redis has beside, the journal's set being its name.
    ///
    /// # Errors
    /// Where the system refuses a thread, or the stores can't be had.
    pub(super) fn start_redis_threads(
        &self,
        redis: Option<&RedisWay>,
        set: SetId,
        counters: &[Arc<ShardCounters>],
        writer: &Arc<WriterFigures>,
    ) -> Result<Option<RedisThreads>, Failure> {
        let Some(redis) = redis else { return Ok(None) };
        let (config, mesh) = (self.config, self.mesh);
        let lanes = match config.queue {
            QueueMode::Redis => usize::try_from(config.mysql.parallel()).unwrap_or(1),
            QueueMode::Journal => 0,
        };
        let share = (lanes > 0).then(|| Arc::new(ListAssignment::new(lanes)));
        let lists = share.as_ref().map_or(Vec::new(), |share| share.metrics.clone());
        let figures = RedisMetrics { keeper: Arc::default(), lists };
        let mut drains = Vec::new();
        for (lane, share) in share.iter().flat_map(|share| (0..lanes).map(move |l| (l, share))) {
            drains.push(self.start_drain(redis, writer, share, (NodeId(set.0), lane))?);
        }
        let stop: Arc<AtomicBool> = Arc::default();
        let keeper = keeper::start(KeeperSetup {
            node: NodeId(set.0),
            redis: redis.client(),
            stores: keeper_stores(config)?,
            redis_status: Arc::clone(&mesh.redis_status),
            lanes: Arc::clone(&mesh.journal),
            counters: counters.to_vec(),
            writer: Arc::clone(writer),
            times_ms: (config.redis.deadline.0, config.redis.ttl.0),
            needs_sync: needs_sync(config),
            lists: share,
            stop: Arc::clone(&stop),
            cpu: self.writer_cpu(),
            log: self.log.clone(),
            figures: Arc::clone(&figures.keeper),
        });
        let thread = keeper.map_err(Failure::system("start the keeper thread"))?;
        let keeper = StoppableThread { thread, stop };
        let redis_status = Arc::clone(&mesh.redis_status);
        Ok(Some(RedisThreads { keeper, drains, redis_status, figures }))
    }

    fn start_drain(
        &self,
        redis: &RedisWay,
        writer: &Arc<WriterFigures>,
        share: &Arc<ListAssignment>,
        (node, lane): (NodeId, usize),
    ) -> Result<(StoppableThread, Arc<Waker>), Failure> {
        let thread = Failure::system("start a thread to drain lists");
        let waker = Arc::new(Waker::new().map_err(|error| thread(error.into()))?);
        let stop: Arc<AtomicBool> = Arc::default();
        let drain = list_drain::start(DrainSetup {
            redis: redis.client(),
            writer: Arc::clone(writer),
            store: Store::of(self.config)?,
            share: Arc::clone(share),
            lane,
            node,
            stop: Arc::clone(&stop),
            waker: Arc::clone(&waker),
            cpu: self.writer_cpu(),
            log: self.log.clone(),
        });
        Ok((StoppableThread { thread: drain.map_err(thread)?, stop }, waker))
    }
}

impl RedisThreads {
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

    /// Ends the threads, whatever is left in the lists; whether all have ended by then.
    pub(super) fn halt(self, until: Instant) -> bool {
        self.drains.iter().for_each(|(drain, _)| drain.tell());
        self.keeper.tell();
        let drains = self
            .drains
            .into_iter()
            .map(|(drain, waker)| drain.end(stoppable::until(until), || waker.wake()));
        let are_ended = drains.fold(true, |all, is_over| all & is_over);
        are_ended & self.keeper.end(stoppable::until(until), || self.redis_status.keeper().wake())
    }
}

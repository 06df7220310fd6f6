//! What all handlers share: the node that they report on, its time, and the one connection that
//! reads rows for people. Must not know routes, handlers or connections.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::answer::AdminAnswer;
use super::lag::LagMeter;
use super::popup_facts::PopupFacts;
use super::popup_totals::NamedPopups;
use super::refusals;
use nudged_base::clock::NodeClock;
use nudged_base::limits::ADMIN_SQL_SILENCE_MS;
use nudged_base::telemetry::counters::ShardCounters;
use nudged_base::telemetry::log::{Log, LogField, LogValue, Message};
use nudged_base::time::{MonoNs, WallMs};
use nudged_config::DataListener;
use nudged_publish::publisher::Publisher;
use nudged_runtime::clocks;
use nudged_runtime::load::LoadMeter;
use nudged_runtime::shard::mesh::Mesh;
use nudged_runtime::threads::keeper::KeeperMetrics;
use nudged_runtime::threads::list_drain::DrainMetrics;
use nudged_runtime::threads::log_tail::LogTail;
use nudged_runtime::threads::sql_writer::WriterFigures;
use nudged_runtime::topology::Topology;
use nudged_runtime::turns::{HeldTurn, Turns};
use nudged_store::{StoreError, StoreReader};

/// Looks at the host and the servers of a configuration that runs: an array of what was found, as
/// JSON. `None` where somebody else is having it looked at.
pub type DoctorVisit = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// The node that operators see. The listener's address, its token file and the journal's retention
/// are those of the publisher's configuration.
pub struct AdminContext {
    /// Cores of the node.
    pub topology: Topology,
    /// Where visitors are listened to, in the order of `listen`; with the ports that were free
    /// where the setting has 0.
    pub listening: Vec<DataListener>,
    /// Connections that are served at once, on all shards together.
    pub connections_max: u32,
    /// All lanes.
    pub mesh: Arc<Mesh>,
    /// Counters, by shard.
    pub counters: Vec<Arc<ShardCounters>>,
    /// Changes of popups and settings.
    pub publisher: Arc<Publisher>,
    /// What the writer has done.
    pub figures: Arc<WriterFigures>,
    /// What the threads count that Redis asks for.
    pub redis: Option<RedisMetrics>,
    /// How hand-overs to new processes went.
    pub hand_overs: Arc<HandOverMetrics>,
    /// The commit that the binary was built from; `unknown` where nobody said.
    pub commit: &'static str,
    /// Where changes are logged.
    pub log: Log,
    /// The last lines of the log.
    pub log_tail: Arc<LogTail>,
    /// Looks at the host.
    pub doctor: DoctorVisit,
}

/// How hand-overs to new processes went.
#[derive(Debug, Default)]
pub struct HandOverMetrics {
    failed: AtomicU64,
    gap_ms: AtomicU64,
}

impl HandOverMetrics {
    /// One came to nothing.
    pub fn count_failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// This process took over, with so long between the last accept of the old one and its own
    /// first.
    pub fn set_gap_ms(&self, gap_ms: u64) {
        self.gap_ms.store(gap_ms, Ordering::Relaxed);
    }

    /// How many came to nothing, and the gap by which this process took over.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.failed.load(Ordering::Relaxed), self.gap_ms.load(Ordering::Relaxed))
    }
}

/// What the threads count that Redis asks for.
#[derive(Clone, Debug, Default)]
pub struct RedisMetrics {
    /// The keeper.
    pub keeper: Arc<KeeperMetrics>,
    /// The lists, by lane, where this node drains any.
    pub lists: Vec<Arc<DrainMetrics>>,
}

impl RedisMetrics {
    /// A number of all lanes together.
    pub(super) fn sum(&self, number: impl Fn(&DrainMetrics) -> &AtomicU64) -> u64 {
        self.lists.iter().map(|lane| number(lane).load(Ordering::Relaxed)).sum()
    }

    /// The age of the oldest record of any lane, in milliseconds.
    pub(super) fn lag_ms(&self) -> u64 {
        let lags = self.lists.iter().map(|lane| lane.lag_ms.load(Ordering::Relaxed));
        lags.max().unwrap_or(0)
    }
}

/// The admin side of a node.
pub(super) struct Service {
    node: AdminContext,
    /// When this process took up its service.
    pub(super) started: (MonoNs, WallMs),
    /// The one connection that reads rows for people, while it is free.
    readers: Turns<StoreReader>,
    clock: Mutex<NodeClock>,
    /// How busy the shards are.
    pub(super) load: LoadMeter,
    /// How late SQL is.
    pub(super) lag: LagMeter,
    /// Popups that have series of their own.
    pub(super) named_popups: NamedPopups,
    /// Whose turn it is to have a popup checked: that may take a core for seconds.
    pub(super) checks: Turns<()>,
    /// Whether streams of events are to end.
    are_streams_over: AtomicBool,
    /// What was asked of SQL for lists of popups.
    pub(super) popup_facts: PopupFacts,
    clock_ahead_ms: AtomicI64,
    ready: Arc<AtomicBool>,
}

impl Deref for Service {
    type Target = AdminContext;

    fn deref(&self) -> &AdminContext {
        &self.node
    }
}

impl Service {
    pub(super) fn new(node: AdminContext, clock: NodeClock, mut reader: StoreReader) -> Service {
        reader.answer_within(Duration::from_millis(ADMIN_SQL_SILENCE_MS));
        let load = LoadMeter::new(node.counters.clone());
        Service {
            node,
            load,
            lag: LagMeter::default(),
            named_popups: NamedPopups::default(),
            checks: Turns::new(()),
            are_streams_over: AtomicBool::new(false),
            popup_facts: PopupFacts::default(),
            started: (clocks::mono(), clocks::wall()),
            readers: Turns::new(reader),
            clock: Mutex::new(clock),
            clock_ahead_ms: AtomicI64::new(0),
            ready: Arc::new(AtomicBool::new(true)),
        }
    }

    /// Whether the node takes traffic; false from the moment it stops.
    pub(super) fn ready(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.ready)
    }

    /// Whether the node takes traffic: not where Redis can't be used as it is set up, which asks
    /// for an operator, and not while its own disk takes nothing.
    pub(super) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
            && self.mesh.redis_status.takes_traffic()
            && self.mesh.journal.lack().is_none()
    }

    /// Looks at what is told as it was over some time. To be called several times a second.
    pub(super) fn look(&self) {
        let (now, journal) = (clocks::mono(), &self.mesh.journal);
        self.observe_clock();
        self.load.look(now);
        self.lag.look(now, journal.written(), journal.applied());
    }

    /// Has every stream of events end.
    pub(super) fn end_streams(&self) {
        self.are_streams_over.store(true, Ordering::Release);
        self.log_tail.ring();
    }

    /// Whether they are to end: the node stops.
    pub(super) fn are_streams_over(&self) -> bool {
        self.are_streams_over.load(Ordering::Acquire)
    }

    /// How long the oldest record has waited that is not in SQL yet, in milliseconds.
    pub(super) fn lag_ms(&self) -> u64 {
        self.lag.lag_ms(clocks::mono(), self.mesh.journal.applied())
    }

    /// Looks at the wall clock, as each shard does.
    fn observe_clock(&self) {
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        let ahead_ms = clock.observe(clocks::mono(), clocks::wall());
        self.clock_ahead_ms.store(ahead_ms, Ordering::Relaxed);
    }

    /// The node's time.
    pub(super) fn now(&self) -> WallMs {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner).at(clocks::mono())
    }

    /// How far the node's time is ahead of the wall clock, in milliseconds.
    pub(super) fn clock_ahead_ms(&self) -> i64 {
        -self.clock_ahead_ms.load(Ordering::Relaxed)
    }

    /// The connection that reads rows for people; others may have it for a while.
    ///
    /// # Errors
    /// 503 where they have it for longer than SQL may be silent.
    pub(super) fn reader(&self) -> Result<HeldTurn<'_, StoreReader>, AdminAnswer> {
        self.reader_within(Duration::from_millis(ADMIN_SQL_SILENCE_MS))
    }

    /// As [`Service::reader`], which others may have for so long, and on which SQL may be silent
    /// for so long.
    ///
    /// # Errors
    /// As there.
    pub(super) fn reader_within(
        &self,
        limit: Duration,
    ) -> Result<HeldTurn<'_, StoreReader>, AdminAnswer> {
        let reader = self.readers.take_within(limit);
        let mut reader = reader.ok_or_else(|| AdminAnswer::unavailable("sql_busy"))?;
        reader.answer_within(limit);
        Ok(reader)
    }

    /// Logs a message, now.
    pub(super) fn log(&self, message: Message, fields: &[LogField<'_>]) {
        self.log.write(clocks::now(), message, fields);
    }

    /// Logs that SQL could not be read, and answers so.
    pub(super) fn sql_failed(&self, error: &StoreError) -> AdminAnswer {
        self.log_read_failed(error);
        refusals::of_store(error)
    }

    /// Logs that SQL could not be read.
    pub(super) fn log_read_failed(&self, error: &StoreError) {
        let text = error.to_string();
        self.log(Message::ReadFailed, &[("error", LogValue::Text(&text))]);
    }
}

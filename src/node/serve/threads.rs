//! Starts the threads of a node: the dedicated core with journal, SQL's writer and readers, what
//! Redis asks for, and the shards. Each gets what the configuration says of it, and nothing more.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::listening::Sockets;
use super::size::connections_of_node;
use crate::node::failure::Failure;
use crate::node::redis::{RedisWay, needs_sync};
use crate::node::redis_threads::RedisThreads;
use crate::node::stoppable::{StoppableThread, WriterHandle};
use crate::node::storage::{self, Storage};
use crate::node::{doctor, ownership, unmerged};
use nudged_admin::{AdminContext, AdminHandle, GivenListener, HandOverMetrics};
use nudged_api::token::Keys;
use nudged_base::clock::NodeClock;
use nudged_base::ids::{Sequence, ShardId};
use nudged_base::telemetry::counters::ShardCounters;
use nudged_base::telemetry::log::Log;
use nudged_config::{Config, Count, DataListener, QueueMode};
use nudged_http::connection::Timeouts;
use nudged_journal::recovery::UnappliedIndex;
use nudged_publish::Publishing;
use nudged_publish::publisher::Publisher;
use nudged_runtime::journal::directory::JournalDirectory;
use nudged_runtime::journal::executor::{self, JournalConfig, JournalHandle, JournalWakers};
use nudged_runtime::probe::{self, HostUnfit};
use nudged_runtime::shard::driver::Setup;
use nudged_runtime::shard::entrance::Entrance;
use nudged_runtime::shard::listener;
use nudged_runtime::shard::mesh::Mesh;
use nudged_runtime::shard::thread as shard_thread;
use nudged_runtime::threads::log_tail::LogTail;
use nudged_runtime::threads::log_writer;
use nudged_runtime::threads::sql_reader::{self, ReaderSetup, ReaderTurn};
use nudged_runtime::threads::sql_writer::{self, WriterFigures, WriterSetup};
use nudged_runtime::topology::Topology;
use nudged_runtime::wake::Waker;
use nudged_shard::core::{Core, CoreSetup};
use nudged_shard::users::redis::{ArbiterSetup, RecordQueue};
use nudged_shard::users::unmerged::RecoveredUnmerged;
use nudged_shard::view::Rules;
use nudged_store::StoreReader;

fn timeouts(config: &Config) -> Timeouts {
    let limits = &config.limits;
    Timeouts {
        first_byte_ms: limits.first_byte_timeout.0,
        head_ms: limits.head_timeout.0,
        body_ms: limits.body_timeout.0,
        write_stall_ms: limits.write_stall_timeout.0,
        idle_ms: limits.idle_timeout.0,
    }
}

/// A number from the operating system's random source.
fn random() -> Result<u64, Failure> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| Failure::System {
        action: "get random bytes",
        source: std::io::Error::other(error),
    })?;
    Ok(u64::from_le_bytes(bytes))
}

pub(super) struct ShardParts<'a> {
    pub(super) publisher: &'a Arc<Publisher>,
    pub(super) rules: Arc<Rules>,
    pub(super) keys: Arc<Keys>,
    pub(super) counters: &'a [Arc<ShardCounters>],
    pub(super) connections: u32,
    pub(super) clock: NodeClock,
    pub(super) redis: Option<&'a RedisWay>,
    pub(super) journal_end: Sequence,
    pub(super) left: RecoveredUnmerged,
}

pub(in crate::node) struct Threads<'a> {
    pub(in crate::node) config: &'a Config,
    pub(in crate::node) topology: &'a Topology,
    pub(in crate::node) mesh: &'a Arc<Mesh>,
    pub(in crate::node) log: &'a Log,
}

pub(super) type StorageThreads =
    (JournalHandle, WriterHandle, Vec<StoppableThread>, Arc<WriterFigures>);

/// What operators' listener is made of.
pub(super) struct AdminParts {
    pub(super) connections_max: u32,
    pub(super) listening: Vec<DataListener>,
    pub(super) given: Option<GivenListener>,
    pub(super) hand_overs: Arc<HandOverMetrics>,
    pub(super) log_tail: Arc<LogTail>,
}

impl Threads<'_> {
    /// The dedicated core, where threads are pinned.
    pub(in crate::node) fn writer_cpu(&self) -> Option<usize> {
        self.topology.pin.then_some(self.topology.writer_cpu)
    }

    /// A shard's share of the node's connections; where they don't divide, the first take one more.
    fn connections_of(&self, shard: u16, fits: u32) -> u32 {
        let shards = u32::from(self.topology.shards);
        match self.config.connections_max {
            Count::Auto => fits,
            Count::Exactly(count) => {
                let is_among_first = u32::from(shard) < count % shards;
                (count / shards + u32::from(is_among_first)).max(1)
            }
        }
    }

    /// Starts the dedicated core: journal, writer and reader.
    pub(super) fn start_storage(&self, storage: Storage) -> Result<StorageThreads, Failure> {
        let thread = Failure::system("start a storage thread");
        let waker = Waker::new().map_err(|error| thread(error.into()))?;
        let waker = Arc::new(waker);
        let appender = storage::appender_config(self.config);
        let Storage { directory, store, stream, set, applied, skipped, recovered, tail, .. } =
            storage;
        let shards = self.mesh.shards.iter().map(|lanes| Arc::clone(&lanes.waker)).collect();
        let journal = executor::start(
            JournalConfig {
                directory: Arc::clone(&directory),
                cpu: self.writer_cpu(),
                appender,
                log: self.log.clone(),
            },
            recovered.start,
            Arc::clone(&self.mesh.journal),
            JournalWakers { shards, reader: Arc::clone(&waker) },
        );
        let journal = journal.map_err(|error| HostUnfit::Executor(error.to_string()))?;
        let figures: Arc<WriterFigures> = Arc::default();
        let (cut, lost) = (recovered.report.bytes_cut, recovered.report.lost.len() as u64);
        figures.counts.journal_cut_bytes.store(cut, Ordering::Relaxed);
        figures.counts.journal_lost_stretches.store(lost, Ordering::Relaxed);
        let (writer_stop, halt): (Arc<AtomicBool>, Arc<AtomicBool>) = Default::default();
        let writer = sql_writer::start(WriterSetup {
            store,
            stream,
            check_store: ownership::database::late_check(self.config, directory.reader()),
            set,
            applied,
            skipped,
            disk: directory.reader(),
            tail,
            lanes: Arc::clone(&self.mesh.journal),
            waker: Arc::clone(&waker),
            stop: Arc::clone(&writer_stop),
            halt: Arc::clone(&halt),
            cpu: self.writer_cpu(),
            log: self.log.clone(),
            figures: Arc::clone(&figures),
            mesh: Arc::clone(self.mesh),
            redis_status: self
                .config
                .redis
                .url
                .as_ref()
                .map(|_| Arc::clone(&self.mesh.redis_status)),
        });
        let writer = StoppableThread { thread: writer.map_err(&thread)?, stop: writer_stop };
        let writer = WriterHandle { thread: writer, halt, waker };
        let readers = self.start_readers(&directory, recovered.unapplied, &figures)?;
        Ok((journal, writer, readers, figures))
    }

    /// Starts a thread for each connection that reads users back.
    fn start_readers(
        &self,
        directory: &JournalDirectory,
        unapplied: UnappliedIndex,
        figures: &Arc<WriterFigures>,
    ) -> Result<Vec<StoppableThread>, Failure> {
        let (unapplied, turn) = (Arc::new(unapplied), ReaderTurn::default());
        let stop: Arc<AtomicBool> = Arc::default();
        let mut readers = Vec::new();
        for _ in 0..self.config.mysql.parallel() {
            let reader = sql_reader::start(ReaderSetup {
                reader: StoreReader::of(self.config)?,
                turn: Arc::clone(&turn),
                disk: directory.reader(),
                unapplied: Arc::clone(&unapplied),
                mesh: Arc::clone(self.mesh),
                writer: Arc::clone(figures),
                stop: Arc::clone(&stop),
                cpu: self.writer_cpu(),
                log: self.log.clone(),
            });
            let thread = reader.map_err(Failure::system("start an SQL thread"))?;
            readers.push(StoppableThread { thread, stop: Arc::clone(&stop) });
        }
        Ok(readers)
    }

    /// Starts what operators ask, and what brings on what they change.
    pub(super) fn start_admin(
        &self,
        parts: &ShardParts<'_>,
        admin: AdminParts,
        figures: &Arc<WriterFigures>,
        redis_threads: Option<&RedisThreads>,
    ) -> Result<(AdminHandle, Publishing), Failure> {
        let publishing = Publishing::start(parts.publisher, figures, self.log)
            .map_err(|error| Failure::Configuration(error.to_string()))?;
        let context = AdminContext {
            topology: self.topology.clone(),
            connections_max: admin.connections_max,
            listening: admin.listening,
            mesh: Arc::clone(self.mesh),
            counters: parts.counters.to_vec(),
            publisher: Arc::clone(parts.publisher),
            figures: Arc::clone(figures),
            redis: redis_threads.map(|redis_threads| redis_threads.figures.clone()),
            hand_overs: admin.hand_overs,
            commit: crate::node::version::COMMIT,
            log: self.log.clone(),
            log_tail: admin.log_tail,
            doctor: doctor::on_demand(Arc::clone(parts.publisher)),
        };
        let reader = StoreReader::of(self.config)?;
        let admin = nudged_admin::start(context, parts.clock, reader, admin.given)
            .map_err(|error| Failure::Configuration(error.to_string()))?;
        Ok((admin, publishing))
    }

    /// What a shard is told of Redis, its link's connection having this number.
    fn arbiter_of(
        &self,
        way: &RedisWay,
        parts: &ShardParts<'_>,
        (shard, connection): (ShardId, u32),
    ) -> Result<ArbiterSetup, Failure> {
        let (redis, shards) = (&self.config.redis, self.topology.shards);
        Ok(ArbiterSetup {
            link: Arc::new(way.of_shard(shard, shards)),
            connection,
            deadline_ms: redis.deadline.0,
            slice_ttl_ms: redis.slice_ttl.0,
            negative_ttl_ms: redis.negative_ttl.0.min(redis.slice_ttl.0),
            ttl_ms: redis.ttl.0,
            queue: match self.config.queue {
                QueueMode::Journal => RecordQueue::Journal,
                QueueMode::Redis => RecordQueue::List { list_max: redis.list_max },
            },
            needs_sync: needs_sync(self.config),
            request_seed: random()?,
            journal_end: parts.journal_end,
            unmerged: unmerged::of_shard(&parts.left, shard, shards),
        })
    }

    /// Has the listeners of each shard prefer its CPU; says once where that can't be had.
    fn prefer_cpus(&self, sockets: &Sockets) {
        let prefer = || {
            if !self.topology.pin {
                return Err(io::Error::other("shards are not pinned to CPUs"));
            }
            for (index, listeners) in (0..self.topology.shards).zip(sockets) {
                let cpu = self.topology.cpu_of(ShardId(index));
                listeners.iter().try_for_each(|(_, socket)| listener::prefer_cpu(socket, cpu))?;
            }
            Ok(())
        };
        if let Err(error) = prefer() {
            log_writer::tell_unsupported(self.log, "incoming_cpu", &error.to_string());
        }
    }

    pub(super) fn start_shards(
        &self,
        parts: &ShardParts<'_>,
        sockets: Sockets,
    ) -> Result<Vec<JoinHandle<()>>, Failure> {
        let (mut threads, entrance) = (Vec::new(), Entrance::of(self.config));
        let queue_delay = self.config.limits.queue_delay;
        if self.config.incoming_cpu {
            self.prefer_cpus(&sockets);
        }
        for (index, listeners) in (0..self.topology.shards).zip(sockets) {
            let shard = ShardId(index);
            let counters = &parts.counters[shard.index()];
            let setup = Setup {
                shard,
                listeners,
                descriptors: parts.connections + probe::DESCRIPTORS_SPARE,
                links: parts.redis.map(|redis| Arc::clone(&redis.endpoint)).into_iter().collect(),
                busy_poll: Duration::from_micros(u64::from(self.config.busy_poll_us)),
                napi_busy_poll: Duration::from_micros(self.config.napi_busy_poll_us.into()),
                clock: parts.clock,
                mesh: Arc::clone(self.mesh),
                counters: Arc::clone(counters),
                log: Some(self.log.clone()),
                entrance: entrance.clone(),
                queue_delay: queue_delay.map(|delay| Duration::from_millis(delay.0)),
            };
            let seed = random()?;
            // The link's connection comes behind those that are accepted.
            let connection = setup.descriptors;
            let arbiter = parts.redis.map(|way| self.arbiter_of(way, parts, (shard, connection)));
            let arbiter = arbiter.transpose()?;
            let core = CoreSetup {
                shard,
                shards: self.topology.shards,
                snapshot: parts.publisher.snapshot(),
                rules: Arc::clone(&parts.rules),
                keys: Arc::clone(&parts.keys),
                timeouts: timeouts(self.config),
                counters: Arc::clone(counters),
                log: self.log.clone(),
                slice_bytes: self.config.slice_bytes_per_shard(self.topology.shards),
                connections_max: self.connections_of(index, parts.connections),
                connections_max_of_node: connections_of_node(
                    self.config,
                    self.topology.shards,
                    parts.connections,
                ),
                unsent_bytes_max: self.config.unsent_bytes_per_shard(self.topology.shards),
                user_rate: self.config.limits.of_user(),
                read_deadline_ms: self.config.limits.read_deadline.0,
                arbiter,
                seed,
            };
            let cpu = self.topology.pin.then(|| self.topology.cpu_of(shard));
            let thread = shard_thread::start(setup, cpu, move || Core::new(core));
            threads.push(thread.map_err(probe::explain_refusal)?);
        }
        Ok(threads)
    }
}

//! `nudged serve`: from settings to a running node, and back. Everything is checked and read before
//! anything is started; what was started is stopped in the reverse order.

use std::io::Write as _;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::announce;
use super::arguments::ServeArguments;
use super::failure::Failure;
use super::keepers::{Keepers, KeepersSetup};
use super::redis::{RedisWay, arbiter_of};
use super::redis_look::{self, Looked};
use super::signals::{self, Asked};
use super::storage::{self, Storage};
use super::unmerged;
use super::{belonging, drain, preflight, settings, shared_keys};
use nudged_admin::publisher::{
    self, ConfigRefused, PublishError, Publisher, PublisherSetup, ReadConfig,
};
use nudged_admin::{AdminHandle, AdminSetup};
use nudged_api::token::{Keys, Secret};
use nudged_base::clock::NodeClock;
use nudged_base::ids::{Sequence, ShardId};
use nudged_base::limits::{CLOCK_APART_MS, SLICE_SHARD_BYTES_MIN};
use nudged_base::telemetry::counters::ShardCounters;
use nudged_base::telemetry::log::{Log, Message, Value};
use nudged_config::{Ack, Config, Count, Loaded};
use nudged_http::connection::Timeouts;
use nudged_journal::recovery::UnappliedIndex;
use nudged_journal::segment::SetId;
use nudged_runtime::board::Board;
use nudged_runtime::driver::Setup;
use nudged_runtime::files::JournalDirectory;
use nudged_runtime::journal_core::{self, JournalConfig, JournalHandle, JournalSleepers};
use nudged_runtime::journal_lanes::JournalLanes;
use nudged_runtime::log_thread::{LogThread, stamp_now};
use nudged_runtime::mesh::Mesh;
use nudged_runtime::probe::HostUnfit;
use nudged_runtime::sql_fitness::SqlFitness;
use nudged_runtime::sql_reader::{self, ReaderSetup, Turn};
use nudged_runtime::sql_writer::{self, WriterFigures, WriterSetup};
use nudged_runtime::topology::{Topology, Wish, allowed_cpus};
use nudged_runtime::wake::Sleeper;
use nudged_runtime::{clocks, listener, memory, probe, process_limits, shard_thread, vital};
use nudged_shard::arbiter::ArbiterSetup;
use nudged_shard::core::{Core, CoreSetup};
use nudged_shard::unmerged::left::Left;
use nudged_shard::view::Rules;
use nudged_store::{Reader, Store};

/// Redis is waited for this long: its run has to be compared and cleared, and a new one filled.
/// After that the node serves, and popups follow their `on_failure` until it is there.
const REDIS_WAIT: Duration = Duration::from_secs(5);
/// SQL tells within this whether it refuses a right; one that is slower holds nothing up.
const RIGHTS_WAIT: Duration = Duration::from_secs(2);
/// The wall clock may be this far behind the journal at start, in milliseconds: an hour.
const CLOCK_BEHIND_MAX_MS: i64 = 3_600_000;

/// Fewer connections than this are warned of: one busy site has as many visitors.
const CONNECTIONS_FEW: u32 = 1_000;

/// Runs a node until it is told to stop; gives the exit code.
pub fn run(arguments: &ServeArguments) -> u8 {
    match start(arguments) {
        Ok(code) => code,
        Err(failure) => {
            // Who does not read it has the exit code.
            let _ = writeln!(std::io::stderr(), "nudged: {failure}");
            failure.exit_code()
        }
    }
}

fn start(arguments: &ServeArguments) -> Result<u8, Failure> {
    process_limits::raise();
    // Before a file is read: with too few descriptors that would be said of the file.
    process_limits::check(1, 1)?;
    let signals = signals::listen().map_err(Failure::system("signal handlers"))?;
    serve(arguments, signals)
}

/// A node that runs.
pub struct Node {
    /// Its configuration.
    pub config: Config,
    /// All lanes.
    pub mesh: Arc<Mesh>,
    /// Its log.
    pub log: Log,
    /// Signals as they come.
    pub signals: Asked,
    /// Whether it has said that it is ready.
    pub was_ready: bool,
    /// Changes of the catalog and of settings.
    pub publisher: Arc<Publisher>,
    /// The admin listener.
    pub admin: AdminHandle,
    /// The shards' threads.
    pub shards: Vec<JoinHandle<()>>,
    /// The journal's thread.
    pub journal: JournalHandle,
    /// The writer's thread, with what ends it.
    pub writer: (JoinHandle<()>, Arc<AtomicBool>, Arc<Sleeper>),
    /// The readers' threads, with what ends them.
    pub readers: (Vec<JoinHandle<()>>, Arc<AtomicBool>),
    /// The thread that writes the log.
    pub log_thread: LogThread,
    /// The way to Redis, whose name is looked up as long as this lives.
    pub redis: Option<RedisWay>,
    /// The threads that Redis asks for.
    pub keepers: Option<Keepers>,
}

fn serve(arguments: &ServeArguments, signals: Asked) -> Result<u8, Failure> {
    memory::set_up();
    let begun = Instant::now();
    // The log says it of a node that gets as far as having one.
    let tell_unknown = |_: &Failure| settings::tell_unknown_variables();
    let loaded = settings::load(arguments.config.as_deref(), &arguments.flags());
    let loaded = loaded.inspect_err(tell_unknown)?;
    let config = loaded.config.clone();
    let (topology, connections) = fit(&loaded).inspect_err(tell_unknown)?;
    let connections_max = connections_of_node(&config, topology.shards, connections);
    let (log, log_thread) = start_log(&config)?;
    signals.tell(&log);
    vital::watch(&log).map_err(Failure::system("a thread that watches the others"))?;
    announce::tell_start(&log, &loaded, &topology, connections_max);
    warn_of_settings(&log, &loaded, &topology);
    if connections_max < CONNECTIONS_FEW {
        let most = ("connections_max", Value::Number(u64::from(connections_max)));
        log.write(stamp_now(), Message::ConnectionsFew, &[most]);
    }
    let mut storage = storage::open(&config, arguments.storage_options(), &log)?;
    let clock = start_clock(&storage, arguments.accept_clock, &log)?;
    let (redis, keys, looked) = open_shared(&config, &mut storage, &log)?;
    let mesh = make_mesh(&topology)?;
    let counters: Vec<Arc<ShardCounters>> = (0..topology.shards).map(|_| Arc::default()).collect();
    let files = (&config, arguments);
    let publisher = load_publisher(files, storage.is_sql_there, &mesh, &log)?;
    let (sockets, addresses) = bind(&config, topology.shards)?;
    warn_of_open_doors(&config, &addresses, &log);
    let threads = Threads { config: &config, topology: &topology, mesh: &mesh, log: &log };
    let set = storage.set;
    let is_sql_asked = storage.is_sql_there || storage.is_sql_refusing;
    let left = std::mem::take(&mut storage.unmerged);
    let journal_end = Sequence(storage.recovered.start.next.0 - 1);
    unmerged::announce(&mesh.board, &left, journal_end, topology.shards);
    let (journal, writer, readers, figures) = threads.start_storage(storage)?;
    let keepers = threads.start_keepers(redis.as_ref(), set, &counters, &figures)?;
    await_journal(&mesh.journal, config.ack, &config.data)?;
    let parts = ShardParts {
        publisher: &publisher,
        rules: publisher.rules(),
        keys: Arc::new(Keys::new(&keys)),
        counters: &counters,
        connections,
        clock,
        redis: redis.as_ref(),
        journal_end,
        left,
    };
    let reloads = (Arc::clone(&publisher), signals.reloads.clone());
    drain::take_reloads(reloads).map_err(Failure::system("a thread for reloads"))?;
    // A shard accepts as soon as it is there, and what is accepted is answered before a stop.
    signals.end_start();
    let shards = threads.start_shards(&parts, sockets)?;
    let admin = nudged_admin::start(AdminSetup {
        topology: topology.clone(),
        connections_max,
        clock,
        mesh: Arc::clone(&mesh),
        counters,
        publisher: Arc::clone(&publisher),
        reader: Reader::of(&config)?,
        figures: Arc::clone(&figures),
        redis: keepers.as_ref().map(|keepers| keepers.figures.clone()),
        log: log.clone(),
    });
    let admin = admin.map_err(|error| Failure::Configuration(error.to_string()))?;
    announce(&addresses, admin.address());
    let is_let = await_sql(is_sql_asked, &figures.fitness, &signals)
        && await_redis(keepers.as_ref(), &mesh.board, looked, (&log, &signals));
    // Who is told to stop before it was ready never is.
    let was_ready = is_let && !signals.is_stop_asked();
    if was_ready {
        mesh.board.start();
        say("ready");
        announce::tell_ready(&log, &addresses, admin.address(), begun);
    }
    let node = Node {
        config,
        mesh,
        log,
        signals,
        was_ready,
        publisher,
        admin,
        shards,
        journal,
        writer,
        readers,
        log_thread,
        redis,
        keepers,
    };
    Ok(drain::serve_until_stopped(node))
}

fn make_mesh(topology: &Topology) -> Result<Arc<Mesh>, Failure> {
    let eventfds = Failure::system("eventfds for the shards");
    Mesh::new(topology.shards).map(Arc::new).map_err(|error| eventfds(error.into()))
}

/// Finds Redis, where the node has one, and the signing keys that nodes share.
fn open_shared(
    config: &Config,
    storage: &mut Storage,
    log: &Log,
) -> Result<(Option<RedisWay>, Vec<Secret>, Looked), Failure> {
    let redis = RedisWay::open(config, log)?;
    let mut client = redis.as_ref().map(RedisWay::client);
    let looked = match &mut client {
        Some(asked) => redis_look::look(asked, config, log)?,
        None => Looked::There,
    };
    // One that can't be asked is not waited for once more.
    client = client.filter(|_| looked == Looked::There);
    let sql = (&mut storage.store, storage.is_sql_there);
    let keys = shared_keys::load(&config.data, sql, client.as_mut(), clocks::wall(), log)?;
    Ok((redis, keys, looked))
}

/// Reads the popups, and knows how to read everything again.
fn load_publisher(
    (config, arguments): (&Config, &ServeArguments),
    is_sql_there: bool,
    mesh: &Arc<Mesh>,
    log: &Log,
) -> Result<Arc<Publisher>, Failure> {
    let (file, flags) = (arguments.config.clone(), arguments.flags());
    let read_config: ReadConfig = Box::new(move || match settings::load(file.as_deref(), &flags) {
        Ok(loaded) => Ok(loaded.config),
        Err(failure) => {
            Err(ConfigRefused(failure.to_string().lines().map(str::to_owned).collect()))
        }
    });
    let publisher = Publisher::load(PublisherSetup {
        store: Store::of(config)?,
        is_store_there: is_sql_there,
        config: config.clone(),
        read_config,
        mesh: Arc::clone(mesh),
        log: log.clone(),
    });
    match publisher {
        Ok(publisher) => Ok(Arc::new(publisher)),
        Err(PublishError::Store(error)) => Err(error.into()),
        Err(error) => Err(Failure::Configuration(error.lines().join("\n"))),
    }
}

/// Says where the node listens.
fn announce(addresses: &[SocketAddr], admin: &str) {
    addresses.iter().for_each(|address| say(&format!("listening data {address}")));
    say(&format!("listening admin {admin}"));
}

/// Says something on standard output. Who does not read it needs no word.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

/// Waits until the journal accepts, or would but for SQL, which holds no start up. A signal ends
/// the wait as it does every other one of the start.
///
/// # Errors
/// Where the node's own disk takes nothing: exit code 4.
fn await_journal(journal: &JournalLanes, ack: Ack, data: &Path) -> Result<(), Failure> {
    // With `synced`, what an earlier process only wrote may be answered on once it is synced, too.
    let is_synced = || ack == Ack::Written || journal.gauges().synced >= journal.written();
    loop {
        if let Some(lack) = journal.lack() {
            let path = data.to_path_buf();
            return Err(Failure::Directory { path, what: lack.to_string() });
        }
        if (journal.is_accepting() || journal.gauges().is_at_budget) && is_synced() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until SQL refuses no right that the node needs, where it answers; false where the node is
/// to stop before that.
fn await_sql(is_there: bool, fitness: &SqlFitness, signals: &Asked) -> bool {
    let begun = Instant::now();
    let is_in_time = || is_there && begun.elapsed() < RIGHTS_WAIT;
    while fitness.is_denied() || !fitness.is_tried() && is_in_time() {
        if !signals.stops.is_empty() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

/// Waits until every user can be decided on by Redis, where the node has one that answers. One that
/// refuses what the node needs is waited for until somebody has mended it; false where the node is
/// to stop before that.
fn await_redis(
    keepers: Option<&Keepers>,
    board: &Board,
    looked: Looked,
    (log, signals): (&Log, &Asked),
) -> bool {
    let Some(keepers) = keepers else { return true };
    let keeper = &keepers.figures.keeper;
    let (begun, mut open_since) = (Instant::now(), None);
    let is_in_time = || looked != Looked::Away && begun.elapsed() < REDIS_WAIT;
    while is_in_time() || board.is_refused() {
        if !signals.stops.is_empty() {
            return false;
        }
        let rounds = keeper.rounds.load(Ordering::Relaxed);
        let is_open = board.is_open() && !board.is_refused();
        let is_open = is_open && keeper.rebuild(clocks::mono()).is_none();
        // What the keeper takes from the board it tells at the end of its round.
        match open_since.filter(|_| is_open) {
            Some(first) if rounds > first => return true,
            Some(_) => {}
            None => open_since = is_open.then_some(rounds),
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let why = "not every user is decided on by Redis yet; /v1/status says how far it is";
    log.write(stamp_now(), Message::RedisNotReady, &[("error", Value::Text(why))]);
    true
}

pub(super) fn plan(config: &Config) -> Result<Topology, Failure> {
    let wish = Wish {
        cpus: config.cpus.as_ref().map(|cpus| cpus.iter().copied().map(usize::from).collect()),
        writer_cpu: config.writer_cpu.map(usize::from),
        shards: match config.shards {
            Count::Auto => None,
            Count::Exactly(count) => Some(u16::try_from(count).unwrap_or(u16::MAX)),
        },
        pin: config.pin,
    };
    Ok(Topology::plan(&wish, &allowed_cpus())?)
}

pub(super) fn check_slice(config: &Config, shards: u16) -> Result<(), Failure> {
    let each = config.slice_bytes_per_shard(shards);
    if each >= SLICE_SHARD_BYTES_MIN {
        return Ok(());
    }
    Err(Failure::Configuration(format!(
        "slice_bytes gives each of {shards} shards {each} bytes: at least {SLICE_SHARD_BYTES_MIN} \
         are needed"
    )))
}

pub(super) fn connections_per_shard(config: &Config, shards: u16) -> Result<u32, Failure> {
    let asked = match config.connections_max {
        Count::Auto => None,
        Count::Exactly(count) => Some(u64::from(count)),
    };
    Ok(probe::connections_per_shard(asked, shards)?)
}

/// How the node fits on this host: its shards, and the connections of each.
fn fit(loaded: &Loaded) -> Result<(Topology, u32), Failure> {
    let config = &loaded.config;
    preflight::check_cpus(loaded)?;
    let topology = plan(config)?;
    check_slice(config, topology.shards)?;
    preflight::check_host(config, &topology)?;
    preflight::check(config)?;
    let connections = connections_per_shard(config, topology.shards)?;
    Ok((topology, connections))
}

/// Connections of the whole node: as configured, but one a shard at least, or all that fit.
fn connections_of_node(config: &Config, shards: u16, each: u32) -> u32 {
    match config.connections_max {
        Count::Auto => each.saturating_mul(u32::from(shards)),
        Count::Exactly(count) => count.max(u32::from(shards)),
    }
}

fn start_log(config: &Config) -> Result<(Log, LogThread), Failure> {
    let is_json = publisher::is_json(config.log.format);
    let log = Log::new(config.log.level, is_json, &config.log.users);
    let thread = LogThread::start(&log, std::io::stderr()).map_err(Failure::system("a thread"))?;
    Ok((log, thread))
}

fn warn_of_settings(log: &Log, loaded: &Loaded, topology: &Topology) {
    for unknown in &loaded.unknown_variables {
        let fields =
            [("name", Value::Text(&unknown.name)), ("nearest", Value::Text(&unknown.nearest))];
        log.write(stamp_now(), Message::VariableUnknown, &fields);
    }
    if let Some(sharing) = topology.sharing() {
        log.write(stamp_now(), Message::CoresShared, &[("how", Value::Text(&sharing))]);
    }
}

/// The node's time goes on where the journal's ended.
fn start_clock(storage: &Storage, accept: bool, log: &Log) -> Result<NodeClock, Failure> {
    let (mono, wall) = (clocks::mono(), clocks::wall());
    let newest = storage.recovered.start.newest;
    let ahead_ms = newest.0.saturating_sub(wall.0);
    if ahead_ms > CLOCK_BEHIND_MAX_MS && !accept {
        return Err(Failure::Clock { ahead_s: ahead_ms / 1_000 });
    }
    // A wall clock ahead of the journal is the ordinary case.
    if ahead_ms > 0 && ahead_ms.unsigned_abs() > CLOCK_APART_MS {
        let ahead = Value::Number(ahead_ms.unsigned_abs());
        log.write(stamp_now(), Message::ClockApart, &[("journal_ahead_ms", ahead)]);
    }
    Ok(NodeClock::start(mono, wall, newest))
}

type Sockets = Vec<Vec<OwnedFd>>;

/// Binds every address for every shard; gives the sockets by shard.
fn bind(config: &Config, shards: u16) -> Result<(Sockets, Vec<SocketAddr>), Failure> {
    let mut by_shard: Sockets = (0..shards).map(|_| Vec::new()).collect();
    let mut addresses = Vec::new();
    for address in &config.listen {
        let (sockets, bound) = listener::bind_all(*address, shards)?;
        for (shard, socket) in by_shard.iter_mut().zip(sockets) {
            shard.push(socket);
        }
        addresses.push(bound);
    }
    Ok((by_shard, addresses))
}

fn warn_of_open_doors(config: &Config, addresses: &[SocketAddr], log: &Log) {
    if !config.keys.server.is_empty() || !config.keys.public.is_empty() {
        return;
    }
    for address in addresses.iter().filter(|address| !address.ip().is_loopback()) {
        let text = address.to_string();
        log.write(stamp_now(), Message::KeysMissing, &[("listener", Value::Text(&text))]);
    }
}

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
        what: "random bytes",
        source: std::io::Error::other(error),
    })?;
    Ok(u64::from_le_bytes(bytes))
}

struct ShardParts<'a> {
    publisher: &'a Publisher,
    rules: Arc<Rules>,
    keys: Arc<Keys>,
    counters: &'a [Arc<ShardCounters>],
    connections: u32,
    clock: NodeClock,
    redis: Option<&'a RedisWay>,
    journal_end: Sequence,
    left: Left,
}

struct Threads<'a> {
    config: &'a Config,
    topology: &'a Topology,
    mesh: &'a Arc<Mesh>,
    log: &'a Log,
}

type StorageThreads = (
    JournalHandle,
    (JoinHandle<()>, Arc<AtomicBool>, Arc<Sleeper>),
    (Vec<JoinHandle<()>>, Arc<AtomicBool>),
    Arc<WriterFigures>,
);

impl Threads<'_> {
    fn writer_cpu(&self) -> Option<usize> {
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
    fn start_storage(&self, storage: Storage) -> Result<StorageThreads, Failure> {
        let thread = Failure::system("a thread for storage");
        let sleeper = Sleeper::new().map_err(|error| thread(error.into()))?;
        let sleeper = Arc::new(sleeper);
        let appender = storage::appender_config(self.config);
        let Storage { directory, store, stream, set, applied, skipped, recovered, tail, .. } =
            storage;
        let shards = self.mesh.shards.iter().map(|lanes| Arc::clone(&lanes.sleeper)).collect();
        let journal = journal_core::start(
            JournalConfig {
                directory: Arc::clone(&directory),
                cpu: self.writer_cpu(),
                appender,
                log: self.log.clone(),
            },
            recovered.start,
            Arc::clone(&self.mesh.journal),
            JournalSleepers { shards, reader: Arc::clone(&sleeper) },
        );
        let journal = journal.map_err(|error| HostUnfit::Executor(error.to_string()))?;
        let figures: Arc<WriterFigures> = Arc::default();
        let (cut, lost) = (recovered.report.bytes_cut, recovered.report.lost.len() as u64);
        figures.counts.journal_cut_bytes.store(cut, Ordering::Relaxed);
        figures.counts.journal_lost_stretches.store(lost, Ordering::Relaxed);
        let writer_stop: Arc<AtomicBool> = Arc::default();
        let writer = sql_writer::start(WriterSetup {
            store,
            stream,
            check_store: belonging::database::late_check(self.config, directory.reader()),
            set,
            applied,
            skipped,
            disk: directory.reader(),
            tail,
            lanes: Arc::clone(&self.mesh.journal),
            sleeper: Arc::clone(&sleeper),
            stop: Arc::clone(&writer_stop),
            cpu: self.writer_cpu(),
            log: self.log.clone(),
            figures: Arc::clone(&figures),
            board: self.config.redis.url.as_ref().map(|_| Arc::clone(&self.mesh.board)),
        });
        let writer = (writer.map_err(&thread)?, writer_stop, sleeper);
        let readers = self.start_readers(&directory, recovered.unapplied, &figures)?;
        Ok((journal, writer, readers, figures))
    }

    /// Starts a thread for each connection that reads users back.
    fn start_readers(
        &self,
        directory: &JournalDirectory,
        unapplied: UnappliedIndex,
        figures: &Arc<WriterFigures>,
    ) -> Result<(Vec<JoinHandle<()>>, Arc<AtomicBool>), Failure> {
        let (unapplied, turn) = (Arc::new(unapplied), Turn::default());
        let stop: Arc<AtomicBool> = Arc::default();
        let mut readers = Vec::new();
        for _ in 0..self.config.mysql.parallel() {
            let reader = sql_reader::start(ReaderSetup {
                reader: Reader::of(self.config)?,
                turn: Arc::clone(&turn),
                disk: directory.reader(),
                unapplied: Arc::clone(&unapplied),
                mesh: Arc::clone(self.mesh),
                writer: Arc::clone(figures),
                stop: Arc::clone(&stop),
                cpu: self.writer_cpu(),
                log: self.log.clone(),
            });
            readers.push(reader.map_err(Failure::system("a thread of SQL"))?);
        }
        Ok((readers, stop))
    }

    /// Starts what a node with Redis has beside.
    fn start_keepers(
        &self,
        redis: Option<&RedisWay>,
        set: SetId,
        counters: &[Arc<ShardCounters>],
        writer: &Arc<WriterFigures>,
    ) -> Result<Option<Keepers>, Failure> {
        let Some(redis) = redis else { return Ok(None) };
        let setup = KeepersSetup {
            config: self.config,
            redis,
            set,
            mesh: self.mesh,
            counters,
            writer: Arc::clone(writer),
            cpu: self.writer_cpu(),
            log: self.log,
        };
        Keepers::start(setup).map(Some)
    }

    fn start_shards(
        &self,
        parts: &ShardParts<'_>,
        sockets: Sockets,
    ) -> Result<Vec<JoinHandle<()>>, Failure> {
        let mut threads = Vec::new();
        for (index, listeners) in (0..self.topology.shards).zip(sockets) {
            let shard = ShardId(index);
            let counters = &parts.counters[shard.index()];
            let setup = Setup {
                shard,
                listeners,
                descriptors: parts.connections + probe::DESCRIPTORS_SPARE,
                links: parts.redis.map(|redis| Arc::clone(&redis.target)).into_iter().collect(),
                busy_poll: Duration::from_micros(u64::from(self.config.busy_poll_us)),
                clock: parts.clock,
                mesh: Arc::clone(self.mesh),
                counters: Arc::clone(counters),
                log: Some(self.log.clone()),
            };
            let seed = random()?;
            let arbiter = match parts.redis {
                Some(way) => {
                    let whose = (shard, self.topology.shards);
                    let own = arbiter_of(way, self.config, whose, setup.descriptors, random()?);
                    let unmerged = unmerged::of_shard(&parts.left, shard, self.topology.shards);
                    Some(ArbiterSetup { journal_end: parts.journal_end, unmerged, ..own })
                }
                None => None,
            };
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

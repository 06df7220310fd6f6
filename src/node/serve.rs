//! `nudged serve`: from settings to a running node, and back. Everything is checked and read before
//! anything is started; what was started is stopped in the reverse order (`drain`).
//!
//! `size` how large the node is · `opening` what it opens first · `threads` what it starts ·
//! `ready` what it waits for before it says that it is ready.

mod opening;
mod ready;
pub(super) mod size;
pub(super) mod threads;

use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

use super::announce;
use super::arguments::{ServeArguments, SharedArguments};
use super::drain::RunningNode;
use super::failure::Failure;
use super::preflight::sql::SqlPreflight;
use super::signals::{self, SignalRequests};
use super::{drain, preflight, settings, storage, unmerged};
use nudged_api::token::Keys;
use nudged_base::ids::Sequence;
use nudged_base::telemetry::counters::ShardCounters;
use nudged_base::telemetry::log::{Log, LogValue, Message};
use nudged_config::{Config, DataListener, Loaded};
use nudged_publish::publisher;
use nudged_runtime::clocks;
use nudged_runtime::shard::mesh::Mesh;
use nudged_runtime::threads::log_writer::LogThread;
use nudged_runtime::threads::vital;
use nudged_runtime::topology::Topology;
use nudged_runtime::{memory, process_limits};
use threads::{ShardParts, Threads};

/// Fewer connections than this are warned of: one busy site has as many visitors.
const CONNECTIONS_FEW: u32 = 1_000;

/// Runs a node until it is told to stop; gives the exit code.
///
/// # Errors
/// Where it can't start.
pub fn run(shared: &SharedArguments, arguments: &ServeArguments) -> Result<u8, Failure> {
    process_limits::raise();
    // Before a file is read: with too few descriptors that would be said of the file.
    process_limits::check(1, 1)?;
    let signals = signals::listen().map_err(Failure::system("set up signal handlers"))?;
    serve(shared, arguments, signals)
}

fn serve(
    shared: &SharedArguments,
    arguments: &ServeArguments,
    signals: SignalRequests,
) -> Result<u8, Failure> {
    memory::set_up();
    let begun = Instant::now();
    // The log says it of a node that gets as far as having one.
    let (loaded, topology, connections) =
        load_checked(shared, arguments).inspect_err(|_| settings::print_unknown_variables())?;
    let config = loaded.config.clone();
    let connections_max = size::connections_of_node(&config, topology.shards, connections);
    let (log, log_writer) = start_log(&config, &signals)?;
    vital::watch(&log).map_err(Failure::system("start the watchdog thread"))?;
    announce::log_start(&log, &loaded, &topology, connections_max);
    warn_of_settings(&log, &loaded, &topology, connections_max);
    let mut storage = storage::open(&config, (shared.config.as_deref(), arguments.salvage), &log)?;
    let clock = opening::start_clock(&storage, arguments.accept_clock, &log)?;
    let (redis, keys, redis_found) = opening::open_shared(&config, &mut storage, &log)?;
    let mesh = make_mesh(&topology)?;
    opening::load_identity(&config, &mesh)?;
    let counters: Vec<Arc<ShardCounters>> = (0..topology.shards).map(|_| Arc::default()).collect();
    let read = opening::config_reader(shared, arguments);
    let publisher =
        opening::load_publisher((&config, read), storage.sql == SqlPreflight::Usable, &mesh, &log)?;
    let (sockets, listeners) = opening::bind(&config, topology.shards)?;
    opening::warn_of_open_doors(&config, &listeners, &log);
    let threads = Threads { config: &config, topology: &topology, mesh: &mesh, log: &log };
    let is_sql_asked = storage.sql != SqlPreflight::Unreachable;
    let (set, left) = (storage.set, std::mem::take(&mut storage.unmerged));
    let journal_end = Sequence(storage.recovered.start.next.0 - 1);
    unmerged::announce(&mesh.redis_status, &left, journal_end, topology.shards);
    let (journal, writer, readers, figures) = threads.start_storage(storage)?;
    let redis_threads = threads.start_redis_threads(redis.as_ref(), set, &counters, &figures)?;
    ready::await_journal(&mesh.journal, config.ack, &config.data)?;
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
    drain::take_reloads(&publisher, &signals)?;
    // A shard accepts as soon as it is there, and what is accepted is answered before a stop.
    signals.end_start();
    let shards = threads.start_shards(&parts, sockets)?;
    let (admin, publishing) =
        threads.start_admin(&parts, connections_max, &figures, redis_threads.as_ref())?;
    announce(&listeners, admin.address());
    let status = &mesh.redis_status;
    // Who is told to stop before it was ready never is.
    let was_ready = ready::await_sql(is_sql_asked, &figures.fitness, &signals)
        && ready::await_redis(redis_threads.as_ref(), status, redis_found, (&log, &signals))
        && !signals.is_stop_asked();
    if was_ready {
        status.start();
        announce_ready(&log, &listeners, admin.address(), begun);
    }
    // Shards run by now, and nothing of the start waits for what is deleted.
    let retention = publisher.config().retention.clone();
    mesh.retention.set(retention.events, retention.users);
    Ok(drain::serve_until_stopped(RunningNode {
        config,
        mesh,
        log,
        signals,
        was_ready,
        publishing,
        admin,
        shards,
        journal,
        writer,
        readers,
        log_writer,
        _redis: redis,
        redis_threads,
    }))
}

/// The settings, the cores and a shard's connections of a node that nothing known speaks against.
fn load_checked(
    shared: &SharedArguments,
    arguments: &ServeArguments,
) -> Result<(Loaded, Topology, u32), Failure> {
    let loaded = settings::load(shared, &arguments.flags())?;
    preflight::check_cpus(&loaded)?;
    let topology = size::plan(&loaded.config)?;
    size::check_slice(&loaded.config, topology.shards)?;
    preflight::check_host(&loaded.config, &topology)?;
    preflight::check(&loaded.config)?;
    let connections = size::connections_per_shard(&loaded.config, topology.shards)?;
    Ok((loaded, topology, connections))
}

fn make_mesh(topology: &Topology) -> Result<Arc<Mesh>, Failure> {
    let eventfds = Failure::system("create eventfds for the shards");
    Mesh::new(topology.shards).map(Arc::new).map_err(|error| eventfds(error.into()))
}

/// Says where the node listens.
fn announce(listeners: &[DataListener], admin: &str) {
    listeners.iter().for_each(|listener| say(&format!("listening data {listener}")));
    say(&format!("listening admin {admin}"));
}

/// Says that the node takes traffic.
fn announce_ready(log: &Log, listeners: &[DataListener], admin: &str, begun: Instant) {
    say("ready");
    announce::log_ready(log, listeners, admin, begun);
}

/// Says something on standard output, at once. Who does not read it needs no word.
pub(super) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn start_log(config: &Config, signals: &SignalRequests) -> Result<(Log, LogThread), Failure> {
    let is_json = publisher::is_json(config.log.format);
    let log = Log::new(config.log.level, is_json, &config.log.users);
    let thread = LogThread::start(&log, std::io::stderr())
        .map_err(Failure::system("start the log thread"))?;
    signals.log_to(&log);
    Ok((log, thread))
}

fn warn_of_settings(log: &Log, loaded: &Loaded, topology: &Topology, connections_max: u32) {
    for unknown in &loaded.unknown_variables {
        let fields = [
            ("name", LogValue::Text(&unknown.name)),
            ("nearest", LogValue::Text(&unknown.nearest)),
        ];
        log.write(clocks::now(), Message::VariableUnknown, &fields);
    }
    if let Some(sharing) = topology.sharing() {
        log.write(clocks::now(), Message::CoresShared, &[("how", LogValue::Text(&sharing))]);
    }
    if connections_max < CONNECTIONS_FEW {
        let most = ("connections_max", LogValue::Number(u64::from(connections_max)));
        log.write(clocks::now(), Message::ConnectionsFew, &[most]);
    }
}

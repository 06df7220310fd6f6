//! `nudged serve`: from settings to a running node, and back. Everything is checked and read before
//! anything is started; what was started is stopped in the reverse order (`drain`).
//!
//! `size` how large the node is · `opening` what it opens first, or prepares where another process
//! hands over · `listening` its sockets · `start` the order of its begin · `threads` what it starts
//! · `ready` what it waits for before it says that it is ready.

mod listening;
mod opening;
mod ready;
pub(super) mod size;
mod start;
pub(super) mod threads;

use std::io::Write as _;
use std::time::Instant;

use super::announce;
use super::arguments::{ServeArguments, SharedArguments};
use super::failure::Failure;
use super::signals::{self, SignalRequests};
use super::upgrade::given::GivenSockets;
use super::upgrade::new::{self, GoAhead, Predecessor};
use super::upgrade::program::Program;
use super::{drain, preflight, settings};
use listening::Place;
use nudged_admin::AdminHandle;
use nudged_base::telemetry::log::{Log, LogValue, Message};
use nudged_config::{Config, DataListener, Loaded};
use nudged_publish::publisher;
use nudged_runtime::clocks;
use nudged_runtime::service_manager::ServiceManager;
use nudged_runtime::threads::log_writer::LogThread;
use nudged_runtime::threads::vital;
use nudged_runtime::topology::Topology;
use nudged_runtime::{inherited, memory, process_limits};
use opening::{Opened, Prepared};

/// Fewer connections than this are warned of: one busy site has as many visitors.
const CONNECTIONS_FEW: u32 = 1_000;

/// What a start has before it has read anything.
struct Origins {
    signals: SignalRequests,
    program: Program,
    given: GivenSockets,
    manager: ServiceManager,
}

/// What is known of a node before it opens anything.
struct Known {
    begun: Instant,
    config: Config,
    topology: Topology,
    /// Of a shard.
    connections: u32,
    connections_max: u32,
    log: Log,
    log_writer: LogThread,
}

/// Runs a node until it is told to stop, or another process has taken over; gives the exit code.
///
/// # Errors
/// Where it can't start.
pub fn run(shared: &SharedArguments, arguments: &ServeArguments) -> Result<u8, Failure> {
    process_limits::raise();
    // Before a file is read: with too few descriptors that would be said of the file.
    process_limits::check(1, 1)?;
    let program = Program::of_this_process();
    let inherited = inherited::take().map_err(|error| Failure::Configuration(error.to_string()))?;
    let signals = signals::listen().map_err(Failure::system("set up signal handlers"))?;
    let (predecessor, given) = match inherited.predecessor {
        Some(words) => Predecessor::meet(words).map(|(old, given)| (Some(old), given))?,
        None => (None, GivenSockets::of_manager(inherited.sockets)?),
    };
    let manager = ServiceManager::of_environment();
    let origins = Origins { signals, program, given, manager };
    let outcome = serve((shared, arguments), origins, predecessor.as_ref());
    if let (Err(failure), Some(predecessor)) = (&outcome, &predecessor) {
        predecessor.refuse(&failure.to_string());
    }
    outcome
}

fn serve(
    arguments: (&SharedArguments, &ServeArguments),
    mut origins: Origins,
    predecessor: Option<&Predecessor>,
) -> Result<u8, Failure> {
    memory::set_up();
    // The log says it of a node that gets as far as having one.
    let known = know(arguments, &origins).inspect_err(|_| settings::print_unknown_variables())?;
    vital::watch(&known.log).map_err(Failure::system("start the watchdog thread"))?;
    let managers = origins.given.addresses();
    let mut prepared = Prepared::default();
    if let Some(predecessor) = predecessor {
        prepared = Prepared::for_take_over(&known, &mut origins.given)?;
        known.log.write(clocks::now(), Message::HandOverPrepared, &[]);
        let GoAhead::Go(last_accept) = predecessor.await_go() else {
            announce::log_stopped(&known.log, "the old process goes on", known.begun, 0);
            known.log_writer.stop();
            return Ok(drain::CLEAN);
        };
        new::await_lock(&known.config.data);
        prepared.last_accept = last_accept;
    }
    let opened = Opened::open(arguments, &known, (prepared, &mut origins.given), managers)?;
    let started = start::start(known, opened, origins, predecessor)?;
    Ok(drain::serve_until_stopped(started))
}

/// Settings, size, log: what can be known before anything is opened.
fn know(
    (shared, arguments): (&SharedArguments, &ServeArguments),
    origins: &Origins,
) -> Result<Known, Failure> {
    let begun = Instant::now();
    let (loaded, topology, connections) = load_checked((shared, arguments), &origins.given)?;
    let config = loaded.config.clone();
    let connections_max = size::connections_of_node(&config, topology.shards, connections);
    let (log, log_writer) = start_log(&config, &origins.signals)?;
    announce::log_start(&log, &loaded, &topology, connections_max);
    warn_of_settings(&log, &loaded, &topology, connections_max);
    Ok(Known { begun, config, topology, connections, connections_max, log, log_writer })
}

/// The settings, the cores and a shard's connections of a node that nothing known speaks against.
fn load_checked(
    (shared, arguments): (&SharedArguments, &ServeArguments),
    given: &GivenSockets,
) -> Result<(Loaded, Topology, u32), Failure> {
    let mut loaded = settings::load(shared, &arguments.flags())?;
    given.addresses().stand_for(&mut loaded.config);
    preflight::check_cpus(&loaded)?;
    let topology = size::plan(&loaded.config)?;
    size::check_slice(&loaded.config, topology.shards)?;
    preflight::check_host(&loaded.config, &topology)?;
    preflight::check(&loaded.config, given)?;
    let connections = size::connections_per_shard(&loaded.config, topology.shards)?;
    Ok((loaded, topology, connections))
}

/// Says where the node listens.
fn announce(places: &[Place], admin: &str) {
    places.iter().for_each(|place| say(&format!("listening data {place}")));
    say(&format!("listening admin {admin}"));
}

/// Says that the node takes traffic.
fn announce_ready(
    (log, manager): (&Log, &ServiceManager),
    places: &[Place],
    admin: &AdminHandle,
    begun: Instant,
) {
    say("ready");
    let listeners: Vec<DataListener> = places.iter().map(|place| place.listener).collect();
    announce::log_ready(log, &listeners, admin, begun);
    manager.tell("READY=1\nSTATUS=serving");
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

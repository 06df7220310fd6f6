//! A node's life after its start: reloads, and the stop in steps. Readiness first, so that the
//! balancer looks elsewhere; then what is open is finished; then everything is made durable.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, bounded};
use crossbeam::select;

use super::announce;
use super::failure::Failure;
use super::redis::RedisWay;
use super::redis_threads::RedisThreads;
use super::signals::SignalRequests;
use super::stoppable::{self, StoppableThread, WriterHandle};
use super::upgrade::given::HeldSockets;
use super::upgrade::old;
use super::upgrade::program::Program;
use nudged_admin::{AdminHandle, HandOverMetrics};
use nudged_base::telemetry::log::{Log, LogValue, Message};
use nudged_config::{Config, QueueMode};
use nudged_publish::Publishing;
use nudged_publish::publisher::{PublishError, Publisher};
use nudged_runtime::clocks;
use nudged_runtime::journal::executor::JournalHandle;
use nudged_runtime::service_manager::ServiceManager;
use nudged_runtime::shard::mesh::{ControlEnvelope, Mesh};
use nudged_runtime::threads::log_writer::LogThread;
use nudged_runtime::threads::vital::Needed;
use nudged_runtime::threads::watchdog::Watchdog;
use nudged_shard::control::{ControlReply, ControlRequest, DrainStep};

/// Exit code of a clean stop.
pub(super) const CLEAN: u8 = 0;
/// Exit code where the journal could not be made durable.
pub(super) const STORAGE: u8 = 4;
/// Journal and SQL have at least this long to finish.
pub(super) const STORAGE_TIMEOUT: Duration = Duration::from_secs(2);
/// Shards end their threads within this, once they are told.
const EXIT_TIMEOUT: Duration = Duration::from_secs(2);

/// A node that runs.
pub(super) struct RunningNode {
    /// Its configuration.
    pub(super) config: Config,
    /// All lanes.
    pub(super) mesh: Arc<Mesh>,
    /// Its log.
    pub(super) log: Log,
    /// Signals as they come.
    pub(super) signals: SignalRequests,
    /// Whether it has said that it is ready.
    pub(super) was_ready: bool,
    /// The threads beside it.
    pub(super) publishing: Publishing,
    /// The admin listener.
    pub(super) admin: AdminHandle,
    /// The shards' threads.
    pub(super) shards: Vec<JoinHandle<()>>,
    /// The journal's thread.
    pub(super) journal: JournalHandle,
    /// The writer's thread, with what ends it.
    pub(super) writer: WriterHandle,
    /// The readers' threads, with what ends them.
    pub(super) readers: Vec<StoppableThread>,
    /// The thread that writes the log.
    pub(super) log_writer: LogThread,
    /// The way to Redis, whose name is looked up as long as this lives.
    pub(super) _redis: Option<RedisWay>,
    /// The threads that Redis asks for.
    pub(super) redis_threads: Option<RedisThreads>,
    /// Its listening sockets once more, for a process that takes over.
    pub(super) held: HeldSockets,
    /// What such a process runs.
    pub(super) program: Program,
    /// How hand-overs went.
    pub(super) hand_overs: Arc<HandOverMetrics>,
    /// Who is told of begin and end.
    pub(super) manager: ServiceManager,
    /// Tells that shards turn, where that is asked for.
    pub(super) watchdog: Watchdog,
}

/// Reloads have a thread of their own: one that waits for a slow disk or a locked database holds no
/// stop up. The first takes what was asked for during the start.
///
/// # Errors
/// Where the system gives no thread.
pub(super) fn take_reloads(
    publisher: &Arc<Publisher>,
    signals: &SignalRequests,
    manager: &ServiceManager,
) -> Result<(), Failure> {
    let (publisher, reloads) = (Arc::clone(publisher), signals.reloads.clone());
    let manager = manager.clone();
    let spawned = std::thread::Builder::new().name("reloads".to_owned()).spawn(move || {
        let needed = Needed::here("reloads");
        for () in reloads {
            // The publisher has said in the log what came of it. Nobody is there to ask again where
            // changes before it take too long.
            manager.tell_reloading();
            while let Err(PublishError::Late(_)) = publisher.reload("SIGHUP") {}
            manager.tell("READY=1\nSTATUS=serving");
        }
        // Its sender lives as long as the thread that takes signals.
        needed.leave(false);
    });
    spawned.map(drop).map_err(Failure::system("start the reload thread"))
}

/// Serves until a signal stops the node, or another process has taken over; gives the exit code.
pub(super) fn serve_until_stopped(mut node: RunningNode) -> u8 {
    loop {
        let is_stop = select! {
            // Without its sender the channel ends, which nobody can ask for but a stop.
            recv(node.signals.stops) -> _ => true,
            recv(node.signals.hand_overs) -> asked => asked.is_err(),
        };
        if is_stop {
            return stop(node);
        }
        match old::hand_over(node) {
            ControlFlow::Break(code) => return code,
            ControlFlow::Continue(same) => node = same,
        }
    }
}

fn stop(mut node: RunningNode) -> u8 {
    let begun = Instant::now();
    node.manager.tell("STOPPING=1\nSTATUS=draining");
    // Nobody takes over: once the shards have closed them, nobody is to come any more.
    node.held = HeldSockets::default();
    let limit = Duration::from_millis(node.config.drain_timeout.0);
    let reason = node.signals.reason();
    node.log.write(clocks::now(), Message::Draining, &[("reason", LogValue::Text(reason))]);
    node.admin.announce_stop();
    // Nobody was told to send it requests.
    let lame_duck_ms = if node.was_ready { node.config.lame_duck.0 } else { 0 };
    let lame_duck = Duration::from_millis(lame_duck_ms);
    let told = send_step(&node.mesh, DrainStep::LameDuck);
    await_all(&told, EXIT_TIMEOUT);
    if second_stop_within(&node, lame_duck.min(limit)) {
        return leave_now(&node, begun);
    }
    let told = send_step(&node.mesh, DrainStep::Finish);
    while !is_finished(&told) {
        let left = limit.saturating_sub(begun.elapsed());
        if left.is_zero() {
            break;
        }
        if second_stop_within(&node, left.min(Duration::from_millis(10))) {
            return leave_now(&node, begun);
        }
    }
    node.watchdog.end_looking();
    await_all(&send_step(&node.mesh, DrainStep::Exit), EXIT_TIMEOUT);
    close_storage(node, begun, begun + limit)
}

/// Ends shards, journal, writer and reader, in the order in which data flows.
fn close_storage(node: RunningNode, begun: Instant, until: Instant) -> u8 {
    let (mesh, stops) = (node.mesh, node.signals.stops.clone());
    let couriers = node.publishing.stop_watching();
    node.admin.stop();
    drop(couriers);
    for shard in node.shards {
        stoppable::join(shard, stoppable::until(Instant::now() + EXIT_TIMEOUT));
    }
    // Storage has some time of its own, whatever the connections took.
    let until = until.max(Instant::now() + STORAGE_TIMEOUT);
    let outcome = stop_journal(node.journal, &stops, until);
    let WriterHandle { thread: writer, waker, .. } = node.writer;
    writer.tell();
    waker.wake();
    // What SQL has not applied stays in the journal: a further signal need not wait for it.
    let mut is_hurried = false;
    // Where SQL has everything, a thread that waits for a server that is away is not waited for.
    let lists = node.config.redis.url.is_some() && node.config.queue == QueueMode::Redis;
    let until = match mesh.journal.applied() >= mesh.journal.written() && !lists {
        true => until.min(Instant::now() + STORAGE_TIMEOUT),
        false => until,
    };
    let goes_on = || {
        is_hurried = stops.recv_timeout(Duration::from_millis(1)).is_ok();
        !is_hurried && Instant::now() < until
    };
    writer.end(goes_on, || waker.wake());
    if let Some(redis_threads) = node.redis_threads {
        redis_threads.stop(if is_hurried { Instant::now() } else { until });
    }
    // What a reader that waits for a server that hangs reads is asked for by nobody any more.
    for reader in node.readers {
        reader.end(stoppable::until(until), || mesh.reader.wake());
    }
    let unapplied = mesh.journal.written().0.saturating_sub(mesh.journal.applied().0);
    if let Err(text) = &outcome {
        node.log.write(clocks::now(), Message::JournalFailed, &[("error", LogValue::Text(text))]);
    }
    announce::log_stopped(&node.log, node.signals.reason(), begun, unapplied);
    node.log_writer.stop();
    if outcome.is_ok() { CLEAN } else { STORAGE }
}

/// Has the journal write and sync what it has. On a full disk that would wait for space for ever:
/// it is given up when the time is over, or at a further signal. What is acknowledged is in its
/// file.
pub(super) fn stop_journal(
    journal: JournalHandle,
    stops: &Receiver<()>,
    until: Instant,
) -> Result<(), String> {
    let (done, stopped) = bounded(1);
    let stopping = std::thread::Builder::new().name("journal-stop".to_owned());
    let spawned = stopping.spawn(move || {
        // Who no longer waits is not told.
        let _ = done.send(journal.stop());
    });
    if let Err(error) = spawned {
        return Err(error.to_string());
    }
    while Instant::now() < until {
        match stopped.recv_timeout(Duration::from_millis(10)) {
            Ok(outcome) => return outcome.map_err(|error| error.to_string()),
            Err(_) if stops.try_recv().is_ok() => break,
            Err(_) => {}
        }
    }
    Err("it could not write and sync all records in time".to_owned())
}

/// The second signal: what is acknowledged is in the journal already; nothing else is waited for.
fn leave_now(node: &RunningNode, begun: Instant) -> u8 {
    let unapplied = node.mesh.journal.written().0.saturating_sub(node.mesh.journal.applied().0);
    announce::log_stopped(&node.log, "a second signal", begun, unapplied);
    CLEAN
}

fn second_stop_within(node: &RunningNode, time: Duration) -> bool {
    let until = Instant::now() + time;
    match node.signals.stops.recv_deadline(until) {
        Ok(()) => true,
        Err(RecvTimeoutError::Timeout) => false,
        Err(RecvTimeoutError::Disconnected) => {
            std::thread::sleep(until.saturating_duration_since(Instant::now()));
            false
        }
    }
}

/// Tells every shard a step of the stop; each answers once it has taken it.
pub(super) fn send_step(mesh: &Mesh, step: DrainStep) -> Vec<Receiver<ControlReply>> {
    let told = mesh.shards.iter().map(|lanes| {
        let (reply, replied) = bounded(1);
        // A full lane leaves the receiver without a sender, which counts as answered.
        let _ =
            lanes.controls.push(ControlEnvelope { command: ControlRequest::Drain(step), reply });
        lanes.waker.wake();
        replied
    });
    told.collect()
}

/// Whether all have answered, of answers that nobody has taken.
pub(super) fn is_finished(told: &[Receiver<ControlReply>]) -> bool {
    use crossbeam::channel::TryRecvError;
    told.iter().all(|replied| {
        !replied.is_empty() || { matches!(replied.try_recv(), Err(TryRecvError::Disconnected)) }
    })
}

/// Waits for the answers, no longer than `limit`.
pub(super) fn await_all(told: &[Receiver<ControlReply>], limit: Duration) {
    let until = Instant::now() + limit;
    for replied in told {
        let _ = replied.recv_deadline(until);
    }
}

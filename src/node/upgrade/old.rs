//! The old process's side: starts the new one, gives it the sockets, and ends once that one
//! serves. Until the lock is given back it may go on as before; afterwards, where the new one ends
//! before it serves, it starts its own version again in its place.

use std::io;
use std::ops::ControlFlow;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use crossbeam::channel::never;
use rustix::process::{Pid, Signal, kill_process};

use super::given::HeldSockets;
use super::program::Program;
use super::{ALL, FROM, GO, PREPARED, REFUSED, SERVING, STOP};
use crate::node::drain::{self, RunningNode};
use crate::node::failure::Failure;
use crate::node::ownership;
use crate::node::signals::SignalRequests;
use crate::node::stoppable::{self, StoppableThread};
use nudged_base::limits::{
    HAND_OVER_FINISH_MS, HAND_OVER_PREPARE_MS, HAND_OVER_SERVE_MS, HAND_OVER_THREADS_MS,
};
use nudged_base::telemetry::log::{LogValue, Message};
use nudged_base::time::MonoNs;
use nudged_runtime::inherited::HAND_OVER_VARIABLE;
use nudged_runtime::messages::{MessageSocket, ReceivedMessage};
use nudged_runtime::{clocks, signal_mask};
use nudged_shard::control::DrainStep;

/// How often a stop is looked for while the new process is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// A new process that is told to end has ended within this, or is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Why nothing came of a hand-over.
enum NotHandedOver {
    /// This process was told to stop.
    Stopped,
    /// The new one can't, and why.
    Failed(String),
}

/// What the new process says.
#[derive(Debug)]
enum ReplyWord {
    Prepared,
    Serving,
    Refused(String),
    Gone,
}

/// The new process.
struct Successor {
    child: Child,
    words: MessageSocket,
}

/// Hands everything over to a new process. The exit code where that serves, else the node as it
/// was, which goes on or has a stop that waits.
pub(in crate::node) fn hand_over(node: RunningNode) -> ControlFlow<u8, RunningNode> {
    let mut successor = match Successor::start(&node.program, &node.held) {
        Ok(successor) => successor,
        Err(error) => {
            let program = node.program.path().display();
            log_failed(&node, &format!("can't start {program}: {error}"));
            return ControlFlow::Continue(node);
        }
    };
    let program = node.program.path().display().to_string();
    log_process(&node, Message::HandOverBegun, &successor, &program);
    let prepared = await_prepared(&node, &mut successor);
    match prepared.and_then(|()| leave(&node, &mut successor)) {
        Ok(()) => ControlFlow::Break(end(node, successor)),
        Err(NotHandedOver::Stopped) => {
            successor.stop();
            ControlFlow::Continue(node)
        }
        Err(NotHandedOver::Failed(why)) => {
            let exit = successor.stop();
            drain::send_step(&node.mesh, DrainStep::Resume);
            log_failed(&node, &format!("{why}{exit}"));
            ControlFlow::Continue(node)
        }
    }
}

fn log_failed(node: &RunningNode, error: &str) {
    node.hand_overs.count_failed();
    node.manager.tell("STATUS=serving; the last hand-over failed");
    node.signals.end_hand_over();
    node.log.write(clocks::now(), Message::HandOverFailed, &[("error", LogValue::Text(error))]);
}

fn log_process(node: &RunningNode, message: Message, successor: &Successor, program: &str) {
    let process = ("process", LogValue::Number(u64::from(successor.child.id())));
    node.log.write(clocks::now(), message, &[process, ("program", LogValue::Text(program))]);
}

fn await_prepared(node: &RunningNode, successor: &mut Successor) -> Result<(), NotHandedOver> {
    let until = Instant::now() + Duration::from_millis(HAND_OVER_PREPARE_MS);
    node.manager.tell("STATUS=a new process prepares to take over");
    match await_word(node, successor, until)? {
        Some(ReplyWord::Prepared | ReplyWord::Serving) => Ok(()),
        Some(ReplyWord::Refused(why)) => Err(NotHandedOver::Failed(why)),
        Some(ReplyWord::Gone) => {
            Err(NotHandedOver::Failed("it ended before it was prepared".into()))
        }
        None => {
            let why = format!("it was not prepared within {HAND_OVER_PREPARE_MS} ms");
            Err(NotHandedOver::Failed(why))
        }
    }
}

/// Clients are asked to close while both processes are there.
fn leave(node: &RunningNode, successor: &mut Successor) -> Result<(), NotHandedOver> {
    log_process(node, Message::HandOverLeaving, successor, "");
    // Nobody was told to send it requests.
    let lame_duck_ms = if node.was_ready { node.config.lame_duck.0 } else { 0 };
    drain::send_step(&node.mesh, DrainStep::HandOver);
    match await_word(node, successor, Instant::now() + Duration::from_millis(lame_duck_ms))? {
        None => Ok(()),
        Some(ReplyWord::Refused(why)) => Err(NotHandedOver::Failed(why)),
        Some(_) => Err(NotHandedOver::Failed("it ended before it was handed anything".into())),
    }
}

/// The next word; `None` where none comes in time.
fn await_word(
    node: &RunningNode,
    successor: &mut Successor,
    until: Instant,
) -> Result<Option<ReplyWord>, NotHandedOver> {
    loop {
        if node.signals.is_stop_asked() {
            return Err(NotHandedOver::Stopped);
        }
        let left = until.saturating_duration_since(Instant::now());
        if let Some(word) = successor.hear(left.min(LOOK_EVERY)) {
            return Ok(Some(word));
        }
        if left.is_zero() {
            return Ok(None);
        }
    }
}

/// How the new one has fared.
enum Taken {
    /// It serves.
    Serves,
    /// It was told to stop before it did.
    Stopped,
    /// It ended, or hangs.
    Lost(String),
}

/// Stops accepting, makes all durable, gives the lock back, and waits until the new one serves.
fn end(node: RunningNode, mut successor: Successor) -> u8 {
    let RunningNode { mesh, log, signals, manager, held, program, config, log_writer, .. } = node;
    // Operators first: what they do takes longest, and newcomers among them wait for the new one.
    let (watch, couriers) = node.publishing.into_parts();
    let watch = std::thread::spawn(move || drop(watch));
    node.admin.leave();
    drop(couriers);
    mesh.keep_queues();
    let last_accept = clocks::mono();
    let finished = drain::send_step(&mesh, DrainStep::Finish);
    drain::await_all(&finished, Duration::from_millis(HAND_OVER_FINISH_MS));
    if !drain::is_finished(&finished) {
        log.write(clocks::now(), Message::HandOverCut, &[]);
    }
    drain::await_all(&drain::send_step(&mesh, DrainStep::Exit), LOOK_EVERY);
    node.writer.halt();
    node.readers.iter().for_each(StoppableThread::tell);
    mesh.reader.wake();
    let now = Instant::now();
    let until = now + Duration::from_millis(HAND_OVER_THREADS_MS);
    let stopped = drain::stop_journal(node.journal, &never(), now + drain::STORAGE_TIMEOUT);
    // What holds the stop up may be a segment that is made ahead, which the new one makes again.
    let is_durable = mesh.journal.metrics().synced >= mesh.journal.written();
    let outcome = if is_durable { Ok(()) } else { stopped };
    let mut are_ended = node.redis_threads.is_none_or(|threads| threads.halt(until));
    are_ended &= node.writer.end_by(until) & stoppable::join(watch, stoppable::until(until));
    if let Err(error) = &outcome {
        log.write(clocks::now(), Message::JournalFailed, &[("error", LogValue::Text(error))]);
    }
    let code = if outcome.is_ok() { drain::CLEAN } else { drain::STORAGE };
    // What still runs ends with this process; until then the new one waits for the lock.
    let may_wait = are_ended && ownership::holder(&config.data).is_none();
    successor.say_go(last_accept);
    let taken = if may_wait { successor.await_serving(&signals) } else { Taken::Serves };
    if let Taken::Lost(why) = &taken {
        log.write(clocks::now(), Message::HandOverLost, &[("error", LogValue::Text(why))]);
    } else {
        manager.tell(&format!("MAINPID={}", successor.child.id()));
        let process = LogValue::Number(u64::from(successor.child.id()));
        log.write(clocks::now(), Message::HandedOver, &[("process", process)]);
    }
    log_writer.stop();
    match taken {
        Taken::Lost(_) => start_again(&program, &held, successor),
        Taken::Serves | Taken::Stopped => code,
    }
}

/// This process becomes a new one of its own version, with the sockets that it still has. Does not
/// come back, unless the system refuses.
fn start_again(program: &Program, held: &HeldSockets, mut successor: Successor) -> u8 {
    successor.kill();
    let begun = MessageSocket::pair().and_then(|(own, next)| {
        send_sockets(held, &own)?;
        next.let_inherit()?;
        Ok(next)
    });
    let error = match begun {
        Ok(next) => {
            // A signal that comes before the new image takes it waits.
            signal_mask::hold();
            let number = next.number().to_string();
            program.own_command().env(HAND_OVER_VARIABLE, number).exec()
        }
        Err(error) => error,
    };
    Failure::system("start again")(error).report()
}

fn send_sockets(held: &HeldSockets, to: &MessageSocket) -> io::Result<()> {
    to.send(&format!("{FROM} {}", std::process::id()), &[])?;
    held.send(to)?;
    to.send(ALL, &[])
}

impl Successor {
    fn start(program: &Program, held: &HeldSockets) -> io::Result<Successor> {
        let (words, its) = MessageSocket::pair()?;
        its.let_inherit()?;
        let mut command = program.command();
        command.env(HAND_OVER_VARIABLE, its.number().to_string());
        // From its first instruction on no signal ends it that is not meant to.
        signal_mask::hold();
        let spawned = command.spawn();
        signal_mask::release();
        let mut successor = Successor { child: spawned?, words };
        drop(its);
        // Where it has ended by now, that is what is heard next.
        if let Err(error) = send_sockets(held, &successor.words)
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            successor.kill();
            return Err(error);
        }
        Ok(successor)
    }

    /// The next word within a time. Words that are not known are passed over.
    fn hear(&mut self, within: Duration) -> Option<ReplyWord> {
        let text = match self.words.receive(within) {
            Ok(ReceivedMessage::Message(text, _)) => text,
            Ok(ReceivedMessage::Nothing) => return None,
            Ok(ReceivedMessage::Ended) | Err(_) => return Some(ReplyWord::Gone),
        };
        match text.split_once(' ').unwrap_or((&text, "")) {
            (PREPARED, _) => Some(ReplyWord::Prepared),
            (SERVING, _) => Some(ReplyWord::Serving),
            (REFUSED, why) => Some(ReplyWord::Refused(why.to_owned())),
            _ => None,
        }
    }

    fn say_go(&self, last_accept: MonoNs) {
        // One that has gone is noticed next.
        let _ = self.words.send(&format!("{GO} {}", last_accept.0), &[]);
    }

    /// Waits until it serves. A stop that comes meanwhile is passed on once it does, so that who
    /// waits to be accepted is answered; a second one at once.
    fn await_serving(&mut self, signals: &SignalRequests) -> Taken {
        let until = Instant::now() + Duration::from_millis(HAND_OVER_SERVE_MS);
        while Instant::now() < until {
            match self.hear(LOOK_EVERY) {
                Some(ReplyWord::Serving) => {
                    if signals.is_stop_asked() {
                        self.tell_to_stop();
                    }
                    return Taken::Serves;
                }
                Some(ReplyWord::Gone | ReplyWord::Refused(_)) => {
                    let status = self.child.wait();
                    let is_clean = status.as_ref().is_ok_and(ExitStatus::success);
                    return match status {
                        _ if is_clean || signals.is_stop_asked() => Taken::Stopped,
                        Ok(status) => Taken::Lost(status.to_string()),
                        Err(error) => Taken::Lost(error.to_string()),
                    };
                }
                Some(ReplyWord::Prepared) | None => {}
            }
            if signals.stops.is_full() {
                self.tell_to_stop();
            }
        }
        Taken::Lost(format!("it did not serve within {HAND_OVER_SERVE_MS} ms"))
    }

    fn tell_to_stop(&self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
    }

    /// Has it end, and says how it ended, with a separator before it.
    fn stop(&mut self) -> String {
        let _ = self.words.send(STOP, &[]);
        let until = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < until {
            if let Ok(Some(status)) = self.child.try_wait() {
                return format!(" ({status})");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.kill();
        " (it had to be killed)".to_owned()
    }

    fn kill(&mut self) {
        // Only a child of ours, which nobody has waited for yet.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

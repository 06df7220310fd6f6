//! Asking shards: a command into each one's lane, its answer out of a channel of its own. Knows
//! lanes; must not know what commands do. Limit: [`SHARD_ANSWER_MS`] for all answers of one call.

use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Select, TryRecvError, bounded};

use nudged_base::ids::ShardId;
use nudged_base::limits::{LANE_RETRY_MS, SHARD_ANSWER_MS};
use nudged_runtime::shard::mesh::{ControlEnvelope, Mesh};
use nudged_shard::control::{ControlOutcome, ControlReply, ControlRequest};

/// A shard did not answer in time. The command may still be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("shard {} did not answer within {SHARD_ANSWER_MS} ms", .0.0)]
pub struct NoAnswer(pub ShardId);

/// Asks one shard and waits for its answer.
///
/// # Errors
/// Where its lane stays full, or no answer comes in time.
pub fn ask(
    mesh: &Mesh,
    shard: ShardId,
    command: ControlRequest,
) -> Result<ControlOutcome, NoAnswer> {
    let deadline = Instant::now() + Duration::from_millis(SHARD_ANSWER_MS);
    let answer = push(mesh, shard, command, deadline)?;
    wait(&answer, shard, deadline)
}

/// A shard has done what it was told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardAnswered {
    /// The shard.
    pub shard: ShardId,
    /// How long after it was told this was heard.
    pub after: Duration,
}

/// Gives every shard a command and waits until each has answered; tells of each as it does. All of
/// them get it before any is waited for, so that a slow one holds up no other.
///
/// # Errors
/// The shards that did not answer in time.
pub fn ask_all(
    mesh: &Mesh,
    command: impl Fn() -> ControlRequest,
    heard: &mut dyn FnMut(ShardAnswered),
) -> Result<(), Vec<NoAnswer>> {
    let deadline = Instant::now() + Duration::from_millis(SHARD_ANSWER_MS);
    ask_all_until(mesh, command, deadline, heard)
}

fn ask_all_until(
    mesh: &Mesh,
    command: impl Fn() -> ControlRequest,
    deadline: Instant,
    heard: &mut dyn FnMut(ShardAnswered),
) -> Result<(), Vec<NoAnswer>> {
    let begun = Instant::now();
    let ids = (0..mesh.shards.len())
        .map(|index| ShardId(u16::try_from(index).expect("a node has at most 256 shards")));
    let (mut pending, mut silent) = (Vec::new(), Vec::new());
    for shard in ids {
        match push(mesh, shard, command(), deadline) {
            Ok(answer) => pending.push((shard, answer)),
            Err(no_answer) => silent.push(no_answer),
        }
    }
    while !pending.is_empty() {
        let mut select = Select::new();
        pending.iter().for_each(|(_, answer)| {
            select.recv(answer);
        });
        let Ok(ready) = select.ready_deadline(deadline) else { break };
        let (shard, answer) = &pending[ready];
        match answer.try_recv() {
            Ok(_) => heard(ShardAnswered { shard: *shard, after: begun.elapsed() }),
            Err(TryRecvError::Empty) => continue,
            Err(TryRecvError::Disconnected) => silent.push(NoAnswer(*shard)),
        }
        pending.swap_remove(ready);
    }
    silent.extend(pending.iter().map(|(shard, _)| NoAnswer(*shard)));
    silent.sort_by_key(|no_answer| no_answer.0);
    if silent.is_empty() { Ok(()) } else { Err(silent) }
}

/// Puts a command into a shard's lane; tries again while the lane is full.
fn push(
    mesh: &Mesh,
    shard: ShardId,
    command: ControlRequest,
    deadline: Instant,
) -> Result<Receiver<ControlReply>, NoAnswer> {
    let (reply, answer) = bounded(1);
    let lanes = mesh.of(shard);
    let mut envelope = ControlEnvelope { command, reply };
    while let Err(returned) = lanes.controls.push(envelope) {
        if Instant::now() >= deadline {
            return Err(NoAnswer(shard));
        }
        envelope = returned;
        lanes.waker.wake();
        std::thread::sleep(Duration::from_millis(LANE_RETRY_MS));
    }
    lanes.waker.wake();
    Ok(answer)
}

fn wait(
    answer: &Receiver<ControlReply>,
    shard: ShardId,
    deadline: Instant,
) -> Result<ControlOutcome, NoAnswer> {
    let reply = answer.recv_deadline(deadline).map_err(|_| NoAnswer(shard))?;
    Ok(reply.outcome)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use nudged_shard::control::DrainStep;

    fn command() -> ControlRequest {
        ControlRequest::Drain(DrainStep::LameDuck)
    }

    #[test]
    fn shards_that_are_silent_are_named_and_have_the_command_all_the_same() {
        let mesh = Mesh::new(2).unwrap();
        let silent = ask_all_until(&mesh, command, Instant::now(), &mut |_| {}).unwrap_err();
        assert_eq!(silent, [NoAnswer(ShardId(0)), NoAnswer(ShardId(1))]);
        assert!(mesh.shards.iter().all(|lanes| lanes.controls.len() == 1));
    }

    #[test]
    fn each_shard_is_told_of_as_it_answers_whoever_is_first() {
        let mesh = Arc::new(Mesh::new(2).unwrap());
        let far = Instant::now() + Duration::from_secs(3_600);
        let answering = Arc::clone(&mesh);
        let shards = std::thread::spawn(move || {
            for shard in [ShardId(1), ShardId(0)] {
                let lanes = answering.of(shard);
                let ControlEnvelope { reply, .. } = loop {
                    if let Some(envelope) = lanes.controls.pop() {
                        break envelope;
                    }
                    std::thread::yield_now();
                };
                reply.send(ControlReply { ticket: 0, outcome: ControlOutcome::Done }).unwrap();
            }
        });
        let mut heard = Vec::new();
        ask_all_until(&mesh, command, far, &mut |told| heard.push(told)).unwrap();
        shards.join().unwrap();
        assert!(heard.is_sorted_by_key(|told| told.after), "as they come");
        let mut shards: Vec<u16> = heard.iter().map(|told| told.shard.0).collect();
        shards.sort_unstable();
        assert_eq!(shards, [0, 1]);
    }

    #[test]
    fn a_lane_that_stays_full_is_given_up() {
        let mesh = Mesh::new(1).unwrap();
        let lanes = mesh.of(ShardId(0));
        while !lanes.controls.is_full() {
            let (reply, _) = bounded(1);
            assert!(lanes.controls.push(ControlEnvelope { command: command(), reply }).is_ok());
        }
        let given_up = push(&mesh, ShardId(0), command(), Instant::now());
        assert_eq!(given_up.unwrap_err(), NoAnswer(ShardId(0)));
    }

    #[test]
    fn a_shard_that_drops_the_command_is_not_waited_for() {
        let mesh = Mesh::new(1).unwrap();
        let far = Instant::now() + Duration::from_secs(3_600);
        let answer = push(&mesh, ShardId(0), command(), far).unwrap();
        drop(mesh.of(ShardId(0)).controls.pop());
        assert_eq!(wait(&answer, ShardId(0), far).unwrap_err(), NoAnswer(ShardId(0)));
    }
}

//! Asking shards: a command into each one's lane, its answer out of a channel of its own. Knows
//! lanes; must not know what commands do. Limit: [`SHARD_ANSWER_MS`] for all answers of one call.

use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, bounded};

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

/// Gives every shard a command and waits until each has answered. All of them get it before any is
/// waited for, so that a slow one holds up no other.
///
/// # Errors
/// The shards that did not answer in time.
pub fn ask_all(mesh: &Mesh, command: impl Fn() -> ControlRequest) -> Result<(), Vec<NoAnswer>> {
    ask_all_until(mesh, command, Instant::now() + Duration::from_millis(SHARD_ANSWER_MS))
}

fn ask_all_until(
    mesh: &Mesh,
    command: impl Fn() -> ControlRequest,
    deadline: Instant,
) -> Result<(), Vec<NoAnswer>> {
    let ids = (0..mesh.shards.len())
        .map(|index| ShardId(u16::try_from(index).expect("a node has at most 256 shards")));
    let answers: Vec<_> =
        ids.map(|shard| (shard, push(mesh, shard, command(), deadline))).collect();
    let silent: Vec<NoAnswer> = answers
        .into_iter()
        .filter_map(|(shard, answer)| {
            answer.and_then(|answer| wait(&answer, shard, deadline)).err()
        })
        .collect();
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
    use super::*;
    use nudged_shard::control::DrainStep;

    fn command() -> ControlRequest {
        ControlRequest::Drain(DrainStep::LameDuck)
    }

    #[test]
    fn shards_that_are_silent_are_named_and_have_the_command_all_the_same() {
        let mesh = Mesh::new(2).unwrap();
        let silent = ask_all_until(&mesh, command, Instant::now()).unwrap_err();
        assert_eq!(silent, [NoAnswer(ShardId(0)), NoAnswer(ShardId(1))]);
        assert!(mesh.shards.iter().all(|lanes| lanes.controls.len() == 1));
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

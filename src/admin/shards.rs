//! Asking shards: a command into each one's lane, its answer out of a channel of its own. Knows
//! lanes; must not know what commands do. Limit: [`SHARD_ANSWER_MS`] for all answers of one call.

use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, bounded};

use crate::base::ids::ShardId;
use crate::base::limits::{LANE_RETRY_MS, SHARD_ANSWER_MS};
use crate::runtime::mesh::{ControlEnvelope, Mesh};
use crate::shard::control::{Command, ControlReply, Outcome};

/// A shard did not answer in time. The command may still be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("shard {} did not answer within {SHARD_ANSWER_MS} ms", .0.0)]
pub struct NoAnswer(pub ShardId);

/// Asks one shard and waits for its answer.
///
/// # Errors
/// Where its lane stays full, or no answer comes in time.
pub fn ask(mesh: &Mesh, shard: ShardId, command: Command) -> Result<Outcome, NoAnswer> {
    let deadline = Instant::now() + Duration::from_millis(SHARD_ANSWER_MS);
    let answer = push(mesh, shard, command, deadline)?;
    wait(&answer, shard, deadline)
}

/// Gives every shard a command and waits until each has answered. All of them get it before any is
/// waited for, so that a slow one holds up no other.
///
/// # Errors
/// The shards that did not answer in time.
pub fn ask_all(mesh: &Mesh, command: impl Fn() -> Command) -> Result<(), Vec<NoAnswer>> {
    let deadline = Instant::now() + Duration::from_millis(SHARD_ANSWER_MS);
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
    command: Command,
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
        lanes.sleeper.wake();
        std::thread::sleep(Duration::from_millis(LANE_RETRY_MS));
    }
    lanes.sleeper.wake();
    Ok(answer)
}

fn wait(
    answer: &Receiver<ControlReply>,
    shard: ShardId,
    deadline: Instant,
) -> Result<Outcome, NoAnswer> {
    let reply = answer.recv_deadline(deadline).map_err(|_| NoAnswer(shard))?;
    Ok(reply.outcome)
}

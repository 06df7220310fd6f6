//! What the trace keeps of a shard's inputs and effects: enough that two runs that differ anywhere
//! differ here.

use nudged_shard::seam::Effect;

use super::node::Arrival;
use super::scene::Scene;

fn number(index: usize) -> u64 {
    u64::try_from(index).expect("few")
}

/// An arrival is about to be acted upon.
pub fn note_arrival(index: usize, arrival: &Arrival, scene: &mut Scene) {
    let shard = number(index);
    match arrival {
        Arrival::Accepted(line) => scene.note("accepted", &[shard, (*line).into()], &[]),
        Arrival::Bytes(line, bytes) => scene.note("bytes", &[shard, (*line).into()], bytes),
        Arrival::Ended(line) => scene.note("ended", &[shard, (*line).into()], &[]),
        Arrival::Broken(line) => scene.note("broken", &[shard, (*line).into()], &[]),
        Arrival::Sent(line, _, sent) => {
            let sent = sent.map_or(u64::MAX, number);
            scene.note("sent", &[shard, (*line).into(), sent], &[]);
        }
        Arrival::Hop(hop) => scene.note("hop", &[shard, hop.ticket], hop.command.as_bytes()),
        Arrival::HopReply(reply) => {
            scene.note("reply", &[shard, reply.ticket], reply.outcome.as_bytes())
        }
        Arrival::HopRefused(hop) => {
            scene.note("refused", &[shard, hop.ticket], hop.command.as_bytes())
        }
        Arrival::Acked(ack) => {
            scene.note("acked", &[shard, ack.upto.0, ack.upto_sequence.0], &[]);
        }
        Arrival::UserRead(read) => {
            let state = read.state.as_deref().unwrap_or(b"failed");
            scene.note("read", &[shard, read.ticket], state);
        }
        Arrival::Control(control) => scene.note("control", &[shard, control.ticket], &[]),
        Arrival::ListenersClosed => scene.note("listeners closed", &[shard], &[]),
    }
}

/// A shard wants something done.
pub fn note_effect(index: usize, effect: &Effect, scene: &mut Scene) {
    let shard = number(index);
    match effect {
        Effect::Send { connection, buffer } => {
            scene.note("> send", &[shard, (*connection).into()], buffer);
        }
        Effect::Append(batch) => {
            scene.note("> append", &[shard, batch.first.0, batch.count.into()], &batch.bytes);
        }
        Effect::ReadUser(read) => {
            scene.note("> read", &[shard, read.ticket], read.user.as_bytes());
        }
        Effect::Hop { to, hop } => {
            scene.note("> hop", &[shard, to.0.into(), hop.ticket], hop.command.as_bytes());
        }
        Effect::HopReply { to, reply } => {
            scene.note("> reply", &[shard, to.0.into(), reply.ticket], reply.outcome.as_bytes());
        }
        Effect::Close { connection, reset } => {
            scene.note("> close", &[shard, (*connection).into(), u64::from(*reset)], &[]);
        }
        other => scene.note("> other", &[shard], format!("{other:?}").as_bytes()),
    }
}

//! What the trace keeps of a shard's inputs and effects: enough that two runs that differ anywhere
//! differ here.

use nudged_shard::seam::Effect;

use super::scene::{Scene, number};
use super::shard::Arrival;

/// An arrival is about to be acted upon by a shard of a node.
pub fn note_arrival((node, shard): (usize, usize), arrival: &Arrival, scene: &mut Scene) {
    let (node, shard) = (number(node), number(shard));
    let mut note = |what, of: u64, bytes: &[u8]| scene.note(what, &[node, shard, of], bytes);
    match arrival {
        Arrival::Accepted(line) => note("accepted", (*line).into(), &[]),
        Arrival::Bytes(line, bytes) => note("bytes", (*line).into(), bytes),
        Arrival::Ended(line) => note("ended", (*line).into(), &[]),
        Arrival::Broken(line) => note("broken", (*line).into(), &[]),
        Arrival::Sent(line, _, sent) => {
            note("sent", (*line).into(), &sent.map_or(u64::MAX, number).to_le_bytes());
        }
        Arrival::LinkConnected => note("link connected", 0, &[]),
        Arrival::Hop(hop) => note("hop", hop.ticket, hop.command.as_bytes()),
        Arrival::HopReply(reply) => note("reply", reply.ticket, reply.outcome.as_bytes()),
        Arrival::HopRefused(hop) => note("refused", hop.ticket, hop.command.as_bytes()),
        Arrival::Acked(ack) => note("acked", ack.upto.0, &ack.upto_sequence.0.to_le_bytes()),
        Arrival::UserRead(read) => {
            note("read", read.ticket, read.state.as_deref().unwrap_or(b"failed"));
        }
        Arrival::Control(control) => note("control", control.ticket, &[]),
        Arrival::ListenersClosed => note("listeners closed", 0, &[]),
    }
}

/// A shard of a node wants something done.
pub fn note_effect((node, shard): (usize, usize), effect: &Effect, scene: &mut Scene) {
    let (node, shard) = (number(node), number(shard));
    let mut note = |what, of: u64, bytes: &[u8]| scene.note(what, &[node, shard, of], bytes);
    match effect {
        Effect::Send { connection, buffer } => note("> send", (*connection).into(), buffer),
        Effect::Append(batch) => note("> append", batch.first.0, &batch.bytes),
        Effect::ReadUser(read) => note("> read", read.ticket, read.user.as_bytes()),
        Effect::Hop { hop, .. } => note("> hop", hop.ticket, hop.command.as_bytes()),
        Effect::HopReply { reply, .. } => note("> reply", reply.ticket, reply.outcome.as_bytes()),
        other => note("> other", 0, format!("{other:?}").as_bytes()),
    }
}

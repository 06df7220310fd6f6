//! What the trace keeps of a shard's inputs and effects: enough that two runs that differ anywhere
//! differ here.

use nudged_shard::seam::{Effect, Input};

use super::scene::{Scene, number};
use super::shard::Arrival;

/// An arrival is about to be acted upon by a shard of a node.
pub fn note_arrival((node, shard): (usize, usize), arrival: &Arrival, scene: &mut Scene) {
    let (node, shard) = (number(node), number(shard));
    let mut note = |what, of: u64, bytes: &[u8]| scene.note(what, &[node, shard, of], bytes);
    match arrival {
        Arrival::Bytes(line, bytes) => note("bytes", (*line).into(), bytes),
        Arrival::Input(Input::Sent { connection, sent, .. }) => {
            note("sent", (*connection).into(), format!("{sent:?}").as_bytes());
        }
        Arrival::Input(Input::Hop(hop)) => note("hop", hop.ticket, hop.command.as_bytes()),
        Arrival::Input(Input::HopReply(reply)) => {
            note("reply", reply.ticket, reply.outcome.as_bytes());
        }
        Arrival::Input(Input::UserRead(read)) => {
            note("read", read.ticket, read.state.as_deref().unwrap_or(b"failed"));
        }
        Arrival::Input(other) => note("input", 0, format!("{other:?}").as_bytes()),
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

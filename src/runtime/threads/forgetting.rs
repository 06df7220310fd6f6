//! Has shards forget users who have not come for long: those whom nothing binds by the present
//! catalog are sent to their home shards, which judge again and change them as any other change
//! does. Must not know why users are old.

use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, bounded};

use crate::shard::mesh::{ControlEnvelope, Mesh};
use nudged_base::ids::UserKey;
use nudged_base::limits::RETENTION_ANSWER_MS;
use nudged_base::time::WallMs;
use nudged_domain::catalog::snapshot::Snapshot;
use nudged_domain::decide::binding::binds;
use nudged_domain::state::user::UserState;
use nudged_shard::control::{ControlOutcome, ControlReply, ControlRequest};

/// Forgets those of the users who may be, as far as their shards answer in time; gives their
/// number. Whoever is left is found again.
pub(super) fn forget(
    mesh: &Mesh,
    catalog: &Snapshot,
    users: &[(String, UserState)],
    (now, before): (WallMs, WallMs),
) -> u64 {
    let may_go = users.iter().filter(|(_, state)| !binds(catalog, state, now));
    let asked: Vec<Receiver<ControlReply>> =
        may_go.filter_map(|(user, state)| ask(mesh, user, state, before)).collect();
    let deadline = Instant::now() + Duration::from_millis(RETENTION_ANSWER_MS);
    let answers = asked.iter().filter_map(|asked| asked.recv_deadline(deadline).ok());
    let is_gone = |reply: &ControlReply| matches!(reply.outcome, ControlOutcome::Erased { .. });
    u64::try_from(answers.filter(is_gone).count()).unwrap_or(u64::MAX)
}

/// Asks a user's home shard; not where it has too much to do.
fn ask(
    mesh: &Mesh,
    user: &str,
    state: &UserState,
    before: WallMs,
) -> Option<Receiver<ControlReply>> {
    let shards = u16::try_from(mesh.shards.len()).expect("a node has at most 256 shards");
    let lanes = mesh.of(UserKey::of(user.as_bytes()).home(shards));
    let revision = state.revision;
    let command = ControlRequest::ForgetUser { user: user.into(), revision, before };
    let (reply, replied) = bounded(1);
    lanes.controls.push(ControlEnvelope { command, reply }).ok()?;
    lanes.waker.wake();
    Some(replied)
}

//! Operators' commands about one user of this shard, whose state is in memory.

use super::control::{Command, Outcome};
use super::home::Home;
use super::lane::Waiting;
use super::origin::Origin;
use crate::base::clock::Now;
use crate::base::time::WallMs;
use crate::journal::record::Record;
use crate::state::apply;
use crate::state::user;

/// Carries a command out. `None` where its outcome waits for the journal.
pub fn on_user(
    home: &mut Home,
    now: Now,
    ticket: u64,
    command: Command,
    user: &str,
) -> Option<Outcome> {
    if home.load(user).is_none() {
        return Some(Outcome::Unavailable);
    }
    if !matches!(&command, Command::EraseUser { .. }) {
        let mut state = Vec::new();
        user::encode(&home.scratch.state, &mut state);
        return Some(Outcome::State(state));
    }
    if home.arbiter.is_some() {
        return home.erase_by_redis(now, ticket, command, user);
    }
    if !home.lane.has_room(1) {
        return Some(Outcome::Unavailable);
    }
    let mark = home.lane.mark();
    let at = apply::erase(&mut home.scratch.state, now.wall);
    let revision = home.scratch.state.revision;
    let upto = home.lane.append(&Record::Erase { user, revision, at });
    if !home.store(now, user, upto, mark) {
        return Some(Outcome::Unavailable);
    }
    let mut outcome = home.buffer();
    outcome.extend_from_slice(&at.0.to_le_bytes());
    let origin = Origin::Control { ticket };
    let fallback = home.buffer();
    home.lane.wait(Waiting { upto, since: now.mono, origin, outcome, fallback });
    None
}

/// The outcome of an erase that waited: its time, or nothing where the journal was too slow.
pub fn outcome_of(bytes: &[u8]) -> Outcome {
    match bytes.try_into() {
        Ok(at) => Outcome::Erased { at: WallMs(i64::from_le_bytes(at)) },
        Err(_) => Outcome::Unavailable,
    }
}

//! An answer that says "nothing" rests on a state that is not too old: an event that any node has
//! accepted changes the answers of all within a second, shows only by the arbiter
//! (docs/semantics.md#several-nodes). So for each such answer there must be a state that explains
//! it: one that Redis had when it was given, or after the last change that was told a second before
//! it was asked for.

use std::collections::BTreeMap;

use nudged_background::keeper::scripts;
use nudged_base::ids::UserKey;
use nudged_base::time::WallMs;
use nudged_domain::decide::choose::{self, Decision};
use nudged_domain::decide::context::Context;
use nudged_domain::decide::timetable::Timetable;
use nudged_domain::state::user::{self, UserState};
use nudged_redis::reply::split_value;

use super::faults::Fault;
use super::history::Question;
use super::scene::{MS, SECOND};
use super::wire::Reply;
use super::world::World;

/// A change that was told is heeded after this long.
const HEEDED_NS: u64 = SECOND;
/// A node's notion of the time of Redis is off by this at most, in milliseconds.
const APART_MS: i64 = 40;

/// A state that Redis had.
struct Had {
    from: u64,
    is_told: bool,
    state: UserState,
}

/// What Redis had of each user's key, oldest first.
#[derive(Default)]
pub struct States(BTreeMap<Vec<u8>, Vec<Had>>);

impl States {
    /// A commit was made.
    pub fn push(&mut self, key: Vec<u8>, value: &[u8], is_told: bool, from: u64) {
        let (_, encoded) = split_value(value).expect("values are ours");
        let mut state = UserState::default();
        user::decode(encoded, &mut state).expect("states are ours");
        let had = self
            .0
            .entry(key)
            .or_insert_with(|| vec![Had { from: 0, is_told: true, state: UserState::default() }]);
        had.push(Had { from, is_told, state });
    }

    /// The states of a user with the times since which Redis had them, oldest first.
    pub fn of(&self, user: &str) -> impl Iterator<Item = (u64, &UserState)> {
        let key = scripts::user_key(UserKey::of(user.as_bytes()).partition(), user);
        let all = self.0.get(key.as_bytes()).map_or(&[][..], Vec::as_slice);
        all.iter().map(|had| (had.from, &had.state))
    }

    /// The states that an answer of these times may rest on.
    fn between(&self, key: &[u8], sent_at: u64, answered_at: u64) -> Vec<&UserState> {
        let Some(all) = self.0.get(key) else { return Vec::new() };
        let is_heeded = |had: &Had| had.is_told && had.from + HEEDED_NS <= sent_at;
        let first = all.iter().rposition(is_heeded).unwrap_or(0);
        let later = all[first..].iter().filter(|had| had.from <= answered_at);
        later.map(|had| &had.state).collect()
    }
}

impl World {
    /// Holds an answer against the states that it may rest on.
    pub fn hold_fresh(&self, question: &Question, reply: &Reply, sent_at: u64) {
        let config = &self.scene.config;
        let is_told_apart = !config.has_losses() && !config.faults.contains(&Fault::RedisClock);
        let Question::Decide { user, placement, events, .. } = question else { return };
        let reason = reply.field("nudge-reason").unwrap_or("degraded");
        // A node's own memory may be older.
        let is_of_memory = *placement == "local" || reason == "degraded";
        if !is_told_apart || !events.is_empty() || user.is_empty() || is_of_memory {
            return;
        }
        let next: Option<i64> = reply.field("nudge-next").and_then(|next| next.parse().ok());
        let key = scripts::user_key(UserKey::of(user.as_bytes()).partition(), user);
        let nobody = UserState::default();
        let mut states = self.pipes.states.between(key.as_bytes(), sent_at, self.scene.now);
        if states.is_empty() {
            states.push(&nobody);
        }
        let context =
            Context { user, placement, session: None, locale: None, tz: None, attributes: &[] };
        let last = self.scene.redis_ms() + APART_MS;
        let waited = i64::try_from((self.scene.now - sent_at) / MS).expect("short");
        let first = last - 2 * APART_MS - waited;
        // Each popup is asked for its time, which the shards work out ahead.
        let snapshot = &self.parts.snapshots[0];
        let is_explained = |state: &UserState, at: i64| {
            let at = state.newest().map_or(at, |newest| newest.0.max(at));
            match choose::decide(snapshot, &Timetable::default(), state, &context, WallMs(at)) {
                Decision::Nothing { reason: found, next_in_s } => {
                    let apart = match (next, next_in_s) {
                        (Some(next), Some(found)) => (next - i64::from(found)).abs(),
                        (None, None) => 0,
                        _ => 2,
                    };
                    found.as_str() == reason && apart <= 1
                }
                Decision::Show { .. } => false,
            }
        };
        let times = || (first..=last).step_by(10).chain([last]);
        let is_explained = |state: &&UserState| times().any(|at| is_explained(state, at));
        let is_explained = states.iter().any(is_explained);
        assert!(is_explained, "{reason}, next {next:?}, of {user} at {placement}: {states:#?}");
    }
}

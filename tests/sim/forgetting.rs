//! Users are forgotten while visitors come, as `[retention] users` does it: whoever has nothing
//! that binds them by what SQL knows is sent to a shard, which judges again. Nobody whom a popup,
//! quiet time or the day's limit still holds back is forgotten, and nobody is shown by it what they
//! would not have been shown.

use std::collections::BTreeMap;

use nudged_base::ids::UserKey;
use nudged_domain::decide::binding::binds;
use nudged_shard::control::{Control, ControlRequest};

use super::catalog::{NEVER, rules_of};
use super::history::Show;
use super::oracle;
use super::scene::{MS, Task, number};
use super::world::World;

/// The ticket of commands that forget: nobody waits for what becomes of them.
pub const FORGET_TICKET: u64 = u64::MAX - 1;

/// A user that a shard forgot.
#[derive(Clone, Debug)]
pub struct Forgotten {
    pub user: String,
    /// The time of the change, by its arbiter's clock, in milliseconds.
    pub at: i64,
    /// When its record went to the journal, in true nanoseconds.
    pub recorded_at: u64,
}

impl World {
    /// A node looks whether somebody may be forgotten.
    pub fn forget_somebody(&mut self) {
        if self.scene.is_calm {
            return;
        }
        let wait = self.scene.streams.faults.between(1, 100) * MS;
        self.scene.after(wait, Task::Forget);
        let place = self.scene.streams.faults.index(self.history.tokens.len().max(1));
        let index = self.scene.streams.faults.index(self.nodes.len());
        let Some((_, user)) = self.history.tokens.get(place) else { return };
        let World { scene, nodes, sql, parts, .. } = self;
        let Some(node) = &mut nodes[index] else { return };
        let Ok(state) = sql.read(&mut node.reader.reader, user) else { return };
        let now = scene.wall(index);
        if binds(&parts.snapshots[0], &state, now) {
            return;
        }
        let shards = u16::try_from(node.shards.len()).expect("few shards");
        let home = UserKey::of(user.as_bytes()).home(shards).index();
        scene.note("forget", &[number(index), state.revision.counter], user.as_bytes());
        let (user, revision) = (user.as_str().into(), state.revision);
        let request = ControlRequest::ForgetUser { user, revision, before: now };
        node.command(home, Control { ticket: FORGET_TICKET, request }, scene);
    }

    /// Whether a user was forgotten, if only for a while: what is known of them has gaps.
    pub fn is_forgotten(&self, user: &str) -> bool {
        self.history.forgotten.iter().any(|forgotten| forgotten.user == user)
    }
}

/// Holds what clients were told of those who were forgotten against the rules of the popups. What
/// a node decided from its own memory and had not merged counts as not being there.
pub fn hold(world: &World) {
    let is_told = |show: &&Show| !world.history.locals.contains(&show.token);
    for forgotten in &world.history.forgotten {
        let of_user = |show: &&Show| show.user == forgotten.user;
        let mut shows: Vec<&Show> =
            world.history.shows.iter().filter(is_told).filter(of_user).collect();
        shows.sort_by_key(|show| show.at);
        let mut before: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        for show in &shows {
            let times = before.entry(&show.popup).or_default();
            oracle::hold_show(rules_of(&show.popup), times, show.at, &format!("{show:?}"));
            times.push(show.at);
        }
        let known = shows.iter().filter(|show| show.answered_at < forgotten.recorded_at);
        known.for_each(|show| hold_unbound(world, forgotten, show));
    }
}

/// A show that a client was told of before binds nobody at the time of the forgetting.
fn hold_unbound(world: &World, forgotten: &Forgotten, show: &Show) {
    let (rules, config) = (rules_of(&show.popup), &world.scene.config);
    let what = format!("{forgotten:?} {show:?}");
    assert_eq!(rules.max_shows, 0, "{} counts for ever: {what}", rules.id);
    let caps = rules.caps.iter().map(|(_, per)| *per).max().unwrap_or(0);
    let ends_at = show.at + rules.after_shown.max(caps);
    assert!(forgotten.at >= ends_at, "{} binds until {ends_at}: {what}", rules.id);
    if !rules.is_exempt {
        oracle::hold_user(&[show.at], forgotten.at, &world.scene.config.strictest());
    }
    // Of one node alone nothing that it took waits elsewhere.
    let is_never = |action: &str| {
        let place =
            ["ignored", "dismissed", "clicked", "converted"].iter().position(|it| *it == action);
        place.is_some_and(|place| rules.after_outcome[place] == NEVER)
    };
    let mut taken = world.history.taken.iter().filter(|(token, _)| *token == show.token);
    let bound = taken.find(|(_, action)| is_never(action));
    assert!(config.has_redis || bound.is_none(), "{bound:?} binds for ever: {what}");
}

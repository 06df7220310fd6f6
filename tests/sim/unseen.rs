//! A show that nobody saw does not hold its popup back: unless another change has followed before
//! its node could reach Redis again, it is withdrawn, however long its reply was on the way, or for
//! ever. What a node has shown is in its journal, so SQL has it.

use std::collections::BTreeSet;

use bumpalo::Bump;
use nudged_base::ids::PopupKey;
use nudged_base::time::WallMs;
use nudged_domain::state::user::UserState;

use super::client;
use super::faults::Fault;
use super::scene::SECOND;
use super::world::World;

/// Another node may be so much sooner back at Redis: faults may follow upon each other.
const FOLLOWED_NS: u64 = 6 * SECOND;

/// A show as a state knows it: popup, number, time.
type ShowKey = (u64, u32, i64);

fn shows_of(state: &UserState) -> BTreeSet<ShowKey> {
    let popups = state.popups.iter();
    let shows = popups.flat_map(|popup| {
        let shows = popup.shows[..usize::from(popup.shows_used)].iter();
        shows.map(|show| (popup.popup.0, show.number, show.at.0))
    });
    shows.collect()
}

impl World {
    /// Holds what changes of users added against what was shown. A node that was killed may leave
    /// a show behind, as may a clock that refuses the withdrawal; a list has every record.
    pub fn hold_unseen(&self) {
        let config = &self.scene.config;
        let is_hurt = |fault: &Fault| {
            fault.is_loss() || [Fault::NodeKilled, Fault::RedisClock].contains(fault)
        };
        if config.has_lists || config.faults.iter().any(is_hurt) {
            return;
        }
        let mut seen: BTreeSet<(String, ShowKey)> = BTreeSet::new();
        for row in self.sql.events() {
            let bump = Bump::new();
            let token = self.parts.keys.open(&row.token, &bump, WallMs(0)).expect("we signed it");
            let popup = PopupKey::of(token.popup).0;
            seen.insert((token.user.to_owned(), (popup, token.number, token.at.0)));
        }
        for user in client::users(config).into_iter().filter(|user| !self.is_forgotten(user)) {
            let all: Vec<_> =
                self.pipes.states.of(&user).map(|(from, state)| (from, shows_of(state))).collect();
            let changes =
                all.windows(2).zip(all[2.min(all.len())..].iter().map(Some).chain([None]));
            for (change, next) in changes {
                let [(_, before), (from, after)] = change else { unreachable!("windows of two") };
                for show in after.difference(before) {
                    let is_followed = next
                        .is_some_and(|(at, next)| !next.contains(show) || *at < from + FOLLOWED_NS);
                    let is_seen = seen.contains(&(user.clone(), *show));
                    let what = format!("{show:?} of {user} since {from}");
                    assert!(is_seen || is_followed, "a show that nobody saw stands: {what}");
                }
            }
        }
    }
}

//! What must be true when everything is drained: every acknowledged show and event is in SQL,
//! nothing is that nobody asked for, no show breaks the rules of its popup, and Redis knows all of
//! it.
//!
//! Rows of a user are held in the order of their revisions, which is the order of the commits. A
//! show that a node decided from its own memory is held only against what that node had shown, in
//! the same life or, while it was not merged, in an earlier one.

use std::collections::{BTreeMap, BTreeSet};

use bumpalo::Bump;
use nudged_background::keeper::scripts;
use nudged_base::event_kind::EventKind;
use nudged_base::ids::{PopupKey, Revision, UserKey};
use nudged_base::limits::SHOWS_REMEMBERED_MAX;
use nudged_base::time::WallMs;
use nudged_domain::state::user::{self, UserState};
use nudged_redis::reply::split_value;

use super::catalog::{Rules, rules_of};
use super::clients;
use super::history::Show;
use super::sql::Event;
use super::world::World;

const DECIDED: u8 = 0;

fn number_of(action: &str) -> u8 {
    let kind = match action {
        "shown" => EventKind::Shown,
        "ignored" => EventKind::Ignored,
        "dismissed" => EventKind::Dismissed,
        "clicked" => EventKind::Clicked,
        _ => EventKind::Converted,
    };
    kind.number()
}

/// Holds SQL and Redis against what clients asked and heard.
pub fn hold(world: &World) {
    hold_acknowledged(world);
    hold_asked(world);
    hold_rules(world);
    hold_local(world);
    hold_redis(world);
}

/// Everything that a client has read a 200 or a 202 for is there.
fn hold_acknowledged(world: &World) {
    let (history, rows) = (&world.history, &world.sql.events);
    for show in &history.shows {
        let is_there = rows.contains_key(&(show.token.clone(), DECIDED));
        assert!(is_there, "a show was answered and is not in SQL: {show:?}");
    }
    let confused = confused(world);
    for (token, action) in history.taken.keys() {
        if confused.contains(&show_of(world, token)) {
            continue;
        }
        let is_there = rows.contains_key(&(token.clone(), number_of(action)));
        assert!(is_there, "{action} of {token} was answered and is not in SQL");
    }
}

/// What a state knows a show by: user, popup, number, time.
type ShowKey = (String, String, u32, i64);

fn show_of(world: &World, token: &str) -> ShowKey {
    let bump = Bump::new();
    let token = world.parts.keys.open(token, &bump, WallMs(0)).expect("we signed it");
    (token.user.to_owned(), token.popup.to_owned(), token.number, token.at.0)
}

/// Shows that two nodes decided in the same millisecond, one of them at least from its own memory:
/// a state takes them for one, and so it takes their events.
fn confused(world: &World) -> BTreeSet<ShowKey> {
    let history = &world.history;
    let told = history.shows.iter().map(|show| (show.token.as_str(), Some(show.node)));
    let rows = world.sql.events.keys().map(|(token, _)| (token.as_str(), None));
    let mut decisions: BTreeMap<ShowKey, BTreeSet<(&str, usize)>> = BTreeMap::new();
    for (token, node) in told.chain(rows) {
        let known = decisions.entry(show_of(world, token)).or_default();
        match node {
            Some(node) => known.insert((token, node)),
            None => !known.iter().any(|(own, _)| *own == token) && known.insert((token, 0)),
        };
    }
    decisions.retain(|_, known| known.len() > 1);
    decisions.into_keys().collect()
}

/// Nothing is there that nobody asked for, and every row is what its token says.
fn hold_asked(world: &World) {
    let mut shows: BTreeMap<&str, u64> = BTreeMap::new();
    for ((decision, action), row) in &world.sql.events {
        let bump = Bump::new();
        let token = world.parts.keys.open(decision, &bump, WallMs(0)).expect("we signed it");
        assert_eq!((token.user, token.popup), (row.user.as_str(), row.popup.as_str()));
        if *action == DECIDED {
            assert_eq!(token.at.0, row.at, "the token's time is the decision's");
            *shows.entry(&row.user).or_default() += 1;
        } else {
            let sent = &world.history.events;
            let is_asked =
                sent.iter().any(|(own, name)| own == decision && number_of(name) == *action);
            assert!(is_asked, "nobody sent {action} of {decision}");
        }
    }
    for (user, count) in shows {
        let asked = world.history.decisions.get(user).copied().unwrap_or(0);
        assert!(count <= asked, "{count} shows of {asked} requests of {user}");
    }
}

/// Whether a show at a time is allowed after these.
fn hold_show(rules: &Rules, before: &[i64], at: i64, what: &str) {
    let id = rules.id;
    let count = before.len();
    assert!(rules.max_shows == 0 || count < rules.max_shows, "{id} too often: {what}");
    for (most, per) in rules.caps {
        let recent = before.iter().filter(|time| at - **time < *per).count();
        assert!(recent < *most, "{id}: {recent} shows in {per} ms before {at}: {what}");
    }
    if let Some(last) = before.iter().max() {
        assert!(at >= last + rules.after_shown, "{id} at {last} and at {at}: {what}");
    }
}

/// No show that was committed came before its popup allowed it.
fn hold_rules(world: &World) {
    type Happened<'a> = (Revision, &'a str, &'a Event);
    let mut users: BTreeMap<(&str, &str), Vec<Happened<'_>>> = BTreeMap::new();
    for ((token, action), row) in &world.sql.events {
        if *action == DECIDED {
            let shows = users.entry((&row.user, &row.popup)).or_default();
            shows.push((row.revision, token, row));
        }
    }
    for ((user, popup), mut shows) in users {
        shows.sort_by_key(|(revision, ..)| *revision);
        let rules = rules_of(popup);
        let mut before = Vec::new();
        for (revision, token, row) in shows {
            if !world.history.locals.contains(token) {
                let what = format!("{user} at revision {revision:?}, {token}");
                hold_show(rules, &before, row.at, &what);
            }
            before.push(row.at);
        }
    }
}

/// No node showed from its own memory what that memory forbade.
fn hold_local(world: &World) {
    let history = &world.history;
    let is_local = |show: &Show| history.locals.contains(&show.token);
    for show in history.shows.iter().filter(|show| is_local(show)) {
        let is_remembered = |former: &&Show| {
            let is_same =
                (former.node, &former.user, &former.popup) == (show.node, &show.user, &show.popup);
            let is_same_life = former.life == show.life;
            let merged_at = history.merged.get(&former.token);
            let waits = is_local(former)
                && !world.scene.config.has_lists
                && merged_at.is_none_or(|at| *at > show.answered_at);
            is_same && former.answered_at <= show.sent_at && (is_same_life || waits)
        };
        let before: Vec<i64> =
            history.shows.iter().filter(is_remembered).map(|former| former.at).collect();
        hold_show(rules_of(&show.popup), &before, show.at, &format!("{show:?} by its node"));
    }
}

/// A user's state as Redis has it.
fn state_of(world: &World, user: &str) -> UserState {
    let mut state = UserState::default();
    let key = scripts::user_key(UserKey::of(user.as_bytes()).partition(), user);
    if let Some(value) = world.pipes.redis.get(key.as_bytes()) {
        let (_, encoded) = split_value(value).expect("values are ours");
        user::decode(encoded, &mut state).expect("states are ours");
    }
    state
}

/// Redis knows every show and event that SQL has, as far as they are remembered.
fn hold_redis(world: &World) {
    let users = (0..world.scene.config.users).map(clients::user);
    let states: BTreeMap<String, UserState> =
        users.map(|user| (user.clone(), state_of(world, &user))).collect();
    for ((decision, action), row) in &world.sql.events {
        let bump = Bump::new();
        let token = world.parts.keys.open(decision, &bump, WallMs(0)).expect("we signed it");
        let state = &states[&row.user];
        assert!(row.revision <= state.revision, "Redis is behind SQL for {}", row.user);
        let popup = state.popup(PopupKey::of(&row.popup));
        let popup = popup.unwrap_or_else(|| panic!("Redis lacks {} of {}", row.popup, row.user));
        let shows = &popup.shows[..usize::from(popup.shows_used)];
        if shows.len() == SHOWS_REMEMBERED_MAX {
            continue;
        }
        let show = shows.iter().find(|show| (show.number, show.at) == (token.number, token.at));
        let show = show.unwrap_or_else(|| panic!("Redis lacks {row:?} of {decision}"));
        let is_known = *action == DECIDED || show.actions & (1 << bit_of(*action)) != 0;
        assert!(is_known, "Redis lacks {action} of {decision}: {row:?}");
    }
}

/// The place of an action among those of a show: events are numbered from 1.
fn bit_of(action: u8) -> u8 {
    action - 1
}

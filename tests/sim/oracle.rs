//! What must be true when everything is drained: every acknowledged show and event is in SQL
//! exactly once, nothing is that nobody asked for, no show breaks the rules of its popup, and Redis
//! knows all of it.
//!
//! Rows of a user are held in the order of their revisions, which is the order of the commits. A
//! show that a node decided from its own memory is held only against what that node had shown, in
//! the same life or, while it was not merged, in an earlier one.

use std::collections::{BTreeMap, BTreeSet};

use nudged_background::keeper::scripts;
use nudged_base::event_kind::EventKind;
use nudged_base::ids::{PopupKey, UserKey};
use nudged_base::limits::SHOWS_REMEMBERED_MAX;
use nudged_base::sketch::UserSketch;
use nudged_domain::state::apply::Action;
use nudged_domain::state::user::{self, Show as ShowState, UserState};
use nudged_redis::reply::split_value;
use rusqlite::Connection;

use super::catalog::{NEVER, Rules, rules_of};
use super::config::Config;
use super::forgetting;
use super::history::{Show, ShowKey, show_of};
use super::sql::Row;
use super::world::World;

/// What the oracle knows of a user and a popup.
#[derive(Default)]
struct Shown {
    times: Vec<i64>,
    /// Rank and time: ignored 0, dismissed 1, clicked 2, converted 3.
    outcome: Option<(usize, i64)>,
}

/// Holds SQL and Redis against what clients asked and heard.
pub fn hold(world: &World) {
    let rows = world.sql.events();
    hold_acknowledged(world, &rows);
    hold_asked(world, &rows);
    hold_rules(world, &rows);
    let nameless = world.sql.nameless();
    hold_database(&world.sql.connection(), &rows, &nameless);
    forgetting::hold(world);
    if world.scene.config.has_redis {
        hold_local(world);
        hold_redis(world, &rows);
    }
}

/// Everything that a client has read a 200 or a 202 for is there, once.
fn hold_acknowledged(world: &World, rows: &[Row]) {
    let history = &world.history;
    let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for row in rows {
        *counts.entry((&row.token, row.action.word())).or_default() += 1;
    }
    for show in history.shows.iter().filter(|show| !world.is_forgotten(&show.user)) {
        let count = counts.get(&(show.token.as_str(), "decided"));
        assert_eq!(count, Some(&1), "a show was answered: {show:?}");
    }
    let confused = confused(world, rows);
    for (token, action) in &history.taken {
        let show = show_of(&world.parts.keys, token);
        if confused.contains(&show) || world.is_forgotten(&show.0) {
            continue;
        }
        let count = counts.get(&(token.as_str(), *action));
        assert_eq!(count, Some(&1), "{action} of {token} was answered");
    }
    let events = rows.iter().filter(|row| row.action != EventKind::Decided).count();
    let events = u64::try_from(events).expect("few rows");
    // With Redis, what is accepted without a user's state may turn out to be a duplicate.
    let is_enough =
        history.has_redis || !history.forgotten.is_empty() || history.accepted <= events;
    assert!(is_enough, "{} accepted, {events} rows", history.accepted);
}

/// Shows that two nodes decided in the same millisecond, one of them at least from its own memory:
/// a state takes them for one, and so it takes their events.
fn confused(world: &World, rows: &[Row]) -> BTreeSet<ShowKey> {
    let told = world.history.shows.iter().map(|show| (show.token.as_str(), Some(show.node)));
    let rows = rows.iter().map(|row| (row.token.as_str(), None));
    let mut decisions: BTreeMap<ShowKey, BTreeSet<(&str, usize)>> = BTreeMap::new();
    for (token, node) in told.chain(rows) {
        let known = decisions.entry(show_of(&world.parts.keys, token)).or_default();
        match node {
            Some(node) => known.insert((token, node)),
            None => !known.iter().any(|(own, _)| *own == token) && known.insert((token, 0)),
        };
    }
    decisions.retain(|_, known| known.len() > 1);
    decisions.into_keys().collect()
}

/// Nothing is there that nobody asked for, and every row is what its token says.
fn hold_asked(world: &World, rows: &[Row]) {
    let history = &world.history;
    let sent: BTreeSet<(&str, &str)> =
        history.events.keys().map(|(token, action)| (token.as_str(), *action)).collect();
    let mut shows: BTreeMap<&str, u64> = BTreeMap::new();
    for row in rows {
        let (user, popup, _, at) = show_of(&world.parts.keys, &row.token);
        assert_eq!((&user, &popup), (&row.user, &row.popup));
        if row.action == EventKind::Decided {
            assert_eq!(at, row.at, "the token's time is the decision's");
            let asked = if history.decisions.contains_key(&row.user) { &row.user } else { "" };
            *shows.entry(asked).or_default() += 1;
        } else {
            let is_asked = sent.contains(&(row.token.as_str(), row.action.word()));
            assert!(is_asked, "nobody sent {:?} of {}", row.action, row.token);
        }
    }
    for (user, count) in shows {
        let asked = history.decisions.get(user).copied().unwrap_or(0);
        assert!(count <= asked, "{count} shows of {asked} requests of {user:?}");
    }
}

/// No show that was committed came before its popup allowed it, whatever processes and clocks did.
fn hold_rules(world: &World, rows: &[Row]) {
    let config = &world.scene.config;
    let mut rows: Vec<&Row> = rows.iter().collect();
    rows.sort_by_key(|row| (&row.user, row.revision));
    let mut newest: BTreeMap<&str, i64> = BTreeMap::new();
    let mut counted: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    let mut shown: BTreeMap<(&str, &str), Shown> = BTreeMap::new();
    for row in rows {
        let rules = rules_of(&row.popup);
        let before = newest.insert(&row.user, row.at).unwrap_or(row.at);
        let is_later = before <= row.at || config.has_redis;
        assert!(is_later, "the time of {} goes back from {before} to {}", row.user, row.at);
        let entry = shown.entry((&row.user, &row.popup)).or_default();
        if row.action != EventKind::Decided {
            // A repeat that another node recorded behind a newer show may be of before it.
            let asked = world.history.events.get(&(row.token.clone(), row.action.word()));
            let is_sure = !config.has_redis || asked == Some(&1);
            let of_latest = entry.times.last() == Some(&show_of(&world.parts.keys, &row.token).3);
            if is_sure || of_latest {
                entry.act(row);
            }
            continue;
        }
        if !world.history.locals.contains(&row.token) {
            let what = format!("{row:?}");
            hold_show(rules, &entry.times, row.at, &what);
            entry.hold_outcome(rules, row.at, &what);
        }
        if !rules.is_exempt {
            let times = counted.entry(&row.user).or_default();
            hold_user(times, row.at, config);
            times.push(row.at);
        }
        entry.times.push(row.at);
        entry.outcome = None;
    }
}

/// Whether a show at a time is allowed after these.
pub fn hold_show(rules: &Rules, before: &[i64], at: i64, what: &str) {
    let (id, count) = (rules.id, before.len());
    assert!(rules.max_shows == 0 || count < rules.max_shows, "{id} too often: {what}");
    for (most, per) in rules.caps {
        let recent = before.iter().filter(|time| at - **time < *per).count();
        assert!(recent < *most, "{id}: {recent} shows in {per} ms before {at}: {what}");
    }
    if let Some(last) = before.iter().max() {
        assert!(at >= last + rules.after_shown, "{id} at {last} and at {at}: {what}");
    }
}

/// Quiet time and the day's limit.
pub fn hold_user(times: &[i64], at: i64, config: &Config) {
    let quiet = i64::try_from(config.quiet_ms).expect("short");
    let is_quiet = quiet > 0 && times.last().is_some_and(|last| at < last + quiet);
    assert!(!is_quiet, "a show at {at} within the quiet time");
    const DAY: i64 = 86_400_000;
    let today = times.iter().filter(|time| time.div_euclid(DAY) == at.div_euclid(DAY)).count();
    let most = usize::try_from(config.max_per_day).expect("small");
    assert!(most == 0 || today < most, "a show at {at}, with {today} before on its day");
}

impl Shown {
    fn act(&mut self, row: &Row) {
        let rank = match row.action {
            EventKind::Ignored => 0,
            EventKind::Dismissed => 1,
            EventKind::Clicked => 2,
            EventKind::Converted => 3,
            EventKind::Decided | EventKind::Shown => return,
        };
        self.outcome = match self.outcome {
            Some((known, at)) if known > rank => Some((known, at)),
            Some((known, at)) if known == rank => Some((rank, at.max(row.acted_at))),
            _ => Some((rank, row.acted_at)),
        };
    }

    fn hold_outcome(&self, rules: &Rules, at: i64, what: &str) {
        let Some(last) = self.times.last() else { return };
        let ignored = (at >= last + rules.ignore_after).then_some((0, *last));
        let next = self.outcome.or(ignored).map_or(i64::MIN, |(rank, time)| {
            time.saturating_add(rules.after_outcome[rank]).min(NEVER)
        });
        assert!(at >= next, "{} at {last} and, before {next}, at {at}: {what}", rules.id);
    }
}

/// The counts that people read are those of the rows, and the file is whole.
fn hold_database(connection: &Connection, rows: &[Row], nameless: &[EventKind]) {
    let query = "SELECT coalesce(sum(decided), 0), coalesce(sum(shown + ignored + dismissed
                 + clicked + converted), 0) FROM popup_stats";
    let counts: (i64, i64) = connection
        .query_row(query, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .expect("the table is there");
    let actions = rows.iter().map(|row| row.action).chain(nameless.iter().copied());
    let decided = actions.filter(|action| *action == EventKind::Decided).count();
    let of = |count: usize| i64::try_from(count).expect("few rows");
    let all = rows.len() + nameless.len();
    assert_eq!(counts, (of(decided), of(all - decided)), "popup_stats");
    hold_users(connection);
    let check: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .expect("SQL checks itself");
    assert_eq!(check, "ok");
}

/// The users that statistics count are those of the rows: all who have a name, and who had one.
fn hold_users(connection: &Connection) {
    type Counted = BTreeMap<(String, String, i64), UserSketch>;
    let read = |query: &str, take: &mut dyn FnMut(&rusqlite::Row<'_>)| {
        let mut statement = connection.prepare(query).expect("the table is there");
        let mut rows = statement.query([]).expect("rows");
        while let Some(row) = rows.next().expect("rows") {
            take(row);
        }
    };
    let place = |row: &rusqlite::Row<'_>| {
        let place = (row.get(0), row.get(1), row.get(2));
        (place.0.expect("a popup"), place.1.expect("a variant"), place.2.expect("an hour"))
    };
    for (action, is_all) in [("decided", false), ("clicked", true)] {
        let mut of_rows = Counted::new();
        let events = format!(
            "SELECT popup_id, variant, acted_at - acted_at % 3600000, user_id FROM events
             WHERE action = '{action}' AND user_id IS NOT NULL"
        );
        read(&events, &mut |row| {
            let user: String = row.get(3).expect("a user");
            of_rows.entry(place(row)).or_default().unite(&[user.as_str()].into_iter().collect());
        });
        let mut counted = Counted::new();
        let sketches = format!(
            "SELECT popup_id, variant, hour, users_{action} FROM popup_stats
             WHERE users_{action} IS NOT NULL"
        );
        read(&sketches, &mut |row| {
            let bytes: Vec<u8> = row.get(3).expect("bytes");
            let sketch = UserSketch::decode(&bytes).expect("a sketch");
            counted.entry(place(row)).or_default().unite(&sketch);
        });
        let is_named = "SELECT count(*) FROM events WHERE user_id IS NULL";
        let nameless: i64 =
            connection.query_row(is_named, [], |row| row.get(0)).expect("the table is there");
        for (place, users) in of_rows {
            let known = counted.remove(&place).unwrap_or_default();
            let mut both = known.clone();
            both.unite(&users);
            assert_eq!(both, known, "popup_stats lacks users who {action} {place:?}");
            // A show that was taken back leaves its user.
            assert!(!is_all || nameless > 0 || known == users, "{action} {place:?}");
        }
        assert!(!is_all || nameless > 0 || counted.is_empty(), "{counted:?}");
    }
}

/// No node showed from its own memory what that memory forbade.
fn hold_local(world: &World) {
    let history = &world.history;
    let is_local = |show: &Show| history.locals.contains(&show.token);
    let is_known = |show: &&Show| is_local(show) && !world.is_forgotten(&show.user);
    for show in history.shows.iter().filter(is_known) {
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
fn hold_redis(world: &World, rows: &[Row]) {
    let mut states: BTreeMap<&str, UserState> = BTreeMap::new();
    for row in rows {
        let (.., number, at) = show_of(&world.parts.keys, &row.token);
        let state = states.entry(&row.user).or_insert_with(|| state_of(world, &row.user));
        assert!(row.revision <= state.revision, "Redis is behind SQL for {}", row.user);
        let popup = state.popup(PopupKey::of(&row.popup));
        let popup = popup.unwrap_or_else(|| panic!("Redis lacks {} of {}", row.popup, row.user));
        let shows = &popup.shows[..usize::from(popup.shows_used)];
        if shows.len() == SHOWS_REMEMBERED_MAX {
            continue;
        }
        let show = shows.iter().find(|show| (show.number, show.at.0) == (number, at));
        let show = show.unwrap_or_else(|| panic!("Redis lacks {row:?}"));
        let Some(action) = Action::of_kind(row.action) else { continue };
        let has_it = |show: &&ShowState| show.actions & (1 << action as u8) != 0;
        assert!(has_it(&show), "Redis lacks {row:?}");
        // Where another show had it too, the outcome's time may be that one's.
        let is_outcome = action.outcome().is_some() && action.outcome() == popup.outcome;
        if is_outcome && shows.iter().filter(has_it).count() == 1 {
            assert_eq!(row.acted_at, popup.outcome_at.0, "Redis has another time: {row:?}");
        }
    }
}

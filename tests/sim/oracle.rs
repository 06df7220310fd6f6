//! What must be true of SQL when everything is drained: every acknowledged show and event is there
//! exactly once, nothing is that nobody asked for, and no show breaks the rules of its popup.

use std::collections::BTreeMap;
use std::path::Path;

use bumpalo::Bump;
use nudged_api::token::Keys;
use nudged_base::time::WallMs;
use nudged_store::sqlite::FILE_NAME;
use rusqlite::Connection;

use super::catalog::{NEVER, RULES, Rules};
use super::config::Config;
use super::history::History;

/// A row of `events`.
struct Row {
    token: String,
    action: String,
    at: i64,
    acted_at: i64,
    user: String,
    popup: String,
}

/// What the oracle knows of a user and a popup.
#[derive(Default)]
struct Shown {
    times: Vec<i64>,
    /// Rank and time: ignored 0, dismissed 1, clicked 2, converted 3.
    outcome: Option<(usize, i64)>,
}

/// Holds SQL against what clients asked and heard.
pub fn hold(directory: &Path, history: &History, config: &Config, keys: &Keys) {
    let connection = Connection::open(directory.join(FILE_NAME)).expect("SQL opens");
    let rows = read_rows(&connection);
    hold_acknowledged(&rows, history);
    hold_asked(&rows, history, keys);
    hold_rules(&rows, config);
    hold_statistics(&connection, &rows);
    let check: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .expect("SQL checks itself");
    assert_eq!(check, "ok");
}

fn read_rows(connection: &Connection) -> Vec<Row> {
    let query = "SELECT decision, action, at, acted_at, user_id, popup_id FROM events
                 ORDER BY stream, seq";
    let mut statement = connection.prepare(query).expect("the table is there");
    let rows = statement.query_map([], |row| {
        Ok(Row {
            token: row.get(0)?,
            action: row.get(1)?,
            at: row.get(2)?,
            acted_at: row.get(3)?,
            user: row.get(4)?,
            popup: row.get(5)?,
        })
    });
    rows.expect("rows").collect::<Result<_, _>>().expect("rows of the schema's types")
}

/// Everything that a client has read a 200 or a 202 for is there, once.
fn hold_acknowledged(rows: &[Row], history: &History) {
    let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for row in rows {
        *counts.entry((&row.token, &row.action)).or_default() += 1;
    }
    for token in history.shown.keys() {
        let count = counts.get(&(token.as_str(), "decided"));
        assert_eq!(count, Some(&1), "the show {token} was answered");
    }
    for (token, action) in &history.taken {
        let count = counts.get(&(token.as_str(), *action));
        assert_eq!(count, Some(&1), "{action} of {token} was answered");
    }
    let events = rows.iter().filter(|row| row.action != "decided").count();
    let events = u64::try_from(events).expect("few rows");
    assert!(history.accepted <= events, "{} accepted, {events} rows", history.accepted);
}

/// Nothing is there that nobody asked for, and every row is what its token says.
fn hold_asked(rows: &[Row], history: &History, keys: &Keys) {
    let mut shows: BTreeMap<&str, u64> = BTreeMap::new();
    for row in rows {
        let bump = Bump::new();
        let token = keys.open(&row.token, &bump, WallMs(0)).expect("we signed it");
        assert_eq!((token.user, token.popup), (row.user.as_str(), row.popup.as_str()));
        if row.action == "decided" {
            assert_eq!(token.at.0, row.at, "the token's time is the decision's");
            let asked = if history.decisions.contains_key(&row.user) { &row.user } else { "" };
            *shows.entry(asked).or_default() += 1;
        } else {
            let is_asked = history
                .events
                .keys()
                .any(|(text, action)| *text == row.token && *action == row.action);
            assert!(is_asked, "nobody sent {} of {}", row.action, row.token);
        }
    }
    for (user, count) in shows {
        let asked = history.decisions.get(user).copied().unwrap_or(0);
        assert!(count <= asked, "{count} shows of {asked} requests of {user:?}");
    }
}

/// No show came before its popup allowed it, whatever the process and the clocks did.
fn hold_rules(rows: &[Row], config: &Config) {
    let mut newest: BTreeMap<&str, i64> = BTreeMap::new();
    let mut counted: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    let mut shown: BTreeMap<(&str, &str), Shown> = BTreeMap::new();
    for row in rows {
        let rules = RULES.iter().find(|rules| rules.id == row.popup).expect("a popup of ours");
        let before = newest.insert(&row.user, row.at).unwrap_or(row.at);
        assert!(before <= row.at, "the time of {} goes back from {before} to {}", row.user, row.at);
        let entry = shown.entry((&row.user, &row.popup)).or_default();
        if row.action != "decided" {
            entry.act(row);
            continue;
        }
        entry.hold(rules, row);
        if !rules.is_exempt {
            let times = counted.entry(&row.user).or_default();
            hold_user(times, row.at, config);
            times.push(row.at);
        }
        entry.times.push(row.at);
        entry.outcome = None;
    }
}

/// Quiet time and the day's limit.
fn hold_user(times: &[i64], at: i64, config: &Config) {
    let quiet = i64::try_from(config.quiet_ms).expect("short");
    let is_quiet = times.last().is_some_and(|last| at < last + quiet);
    assert!(!is_quiet, "a show at {at} within the quiet time");
    const DAY: i64 = 86_400_000;
    let today = times.iter().filter(|time| time.div_euclid(DAY) == at.div_euclid(DAY)).count();
    let most = usize::try_from(config.max_per_day).expect("small");
    assert!(most == 0 || today < most, "a show at {at}, with {today} before on its day");
}

impl Shown {
    fn act(&mut self, row: &Row) {
        let rank = match row.action.as_str() {
            "ignored" => 0,
            "dismissed" => 1,
            "clicked" => 2,
            "converted" => 3,
            _ => return,
        };
        self.outcome = match self.outcome {
            Some((known, at)) if known > rank => Some((known, at)),
            Some((known, at)) if known == rank => Some((rank, at.max(row.acted_at))),
            _ => Some((rank, row.acted_at)),
        };
    }

    fn hold(&self, rules: &Rules, row: &Row) {
        let (id, user, at) = (rules.id, &row.user, row.at);
        let count = self.times.len();
        assert!(rules.max_shows == 0 || count < rules.max_shows, "{id} too often to {user}");
        for (most, per) in rules.caps {
            let recent = self.times.iter().filter(|time| at - **time < *per).count();
            assert!(recent < *most, "{id} to {user} at {at}: {recent} shows in {per} ms before");
        }
        let Some(last) = self.times.last() else { return };
        let ignored = (at >= last + rules.ignore_after).then_some((0, *last));
        let by_outcome = self.outcome.or(ignored).map_or(i64::MIN, |(rank, time)| {
            time.saturating_add(rules.after_outcome[rank]).min(NEVER)
        });
        let next = by_outcome.max(last + rules.after_shown);
        assert!(at >= next, "{id} to {user} at {at}, before {next}; the last was at {last}");
    }
}

/// The counts that people read are those of the rows.
fn hold_statistics(connection: &Connection, rows: &[Row]) {
    let query = "SELECT coalesce(sum(decided), 0), coalesce(sum(shown + ignored + dismissed
                 + clicked + converted), 0) FROM popup_stats";
    let counts: (i64, i64) = connection
        .query_row(query, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .expect("the table is there");
    let decided = rows.iter().filter(|row| row.action == "decided").count();
    let of = |count: usize| i64::try_from(count).expect("few rows");
    assert_eq!(counts, (of(decided), of(rows.len() - decided)), "popup_stats");
}

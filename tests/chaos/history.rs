//! What clients were told, what SQL says, and whether the two agree. Pure; checks itself with
//! planted mistakes before each run.
//!
//! An answer that never came is neither a yes nor a no: what it would have said may be in SQL once,
//! or not at all. Only what was acknowledged must be there.

use std::collections::{HashMap, HashSet};

/// A show that a client was told of.
#[derive(Clone, Debug)]
pub struct Show {
    /// Who saw it.
    pub user: String,
    /// What.
    pub popup: String,
    /// Its decision.
    pub token: String,
    /// When its request was sent and its answer came, in milliseconds of the clients' clock.
    pub sent_ms: u64,
    /// See `sent_ms`.
    pub answered_ms: u64,
}

/// What all clients were told.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Shows.
    pub shows: Vec<Show>,
    /// Events that were accepted or duplicates: token and action.
    pub events: Vec<(String, String)>,
    /// Requests that were never answered.
    pub unknown: u64,
    /// Decisions that were answered degraded.
    pub degraded: u64,
    /// Decisions that showed nothing for another reason.
    pub nothing: u64,
    /// Events that were refused for good, by their code.
    pub refused: Vec<String>,
    /// Answers that nobody may give.
    pub wrong: Vec<String>,
}

impl History {
    /// Adds what another client was told.
    pub fn add(&mut self, other: History) {
        self.shows.extend(other.shows);
        self.events.extend(other.events);
        self.unknown += other.unknown;
        self.degraded += other.degraded;
        self.nothing += other.nothing;
        self.refused.extend(other.refused);
        self.wrong.extend(other.wrong);
    }
}

/// A row of `events`.
#[derive(Clone, Debug)]
pub struct Row {
    /// The decision's token.
    pub decision: String,
    /// What happened.
    pub action: String,
    /// When, by the arbiter's clock.
    pub at_ms: i64,
    /// To whom.
    pub user: String,
    /// With what.
    pub popup: String,
}

/// Everything that is wrong.
pub fn check(history: &History, rows: &[Row], gap_ms: &HashMap<String, i64>) -> Vec<String> {
    let mut wrong = history.wrong.clone();
    let mut counts: HashMap<(&str, &str), usize> = HashMap::new();
    for row in rows {
        *counts.entry((&row.decision, &row.action)).or_default() += 1;
    }
    for ((token, action), count) in &counts {
        if *count > 1 {
            wrong.push(format!("{count} times in SQL: {action} of {token}"));
        }
    }
    let shows = history.shows.iter().map(|show| (show.token.as_str(), "decided"));
    let events = history.events.iter().map(|(token, action)| (token.as_str(), action.as_str()));
    for told in shows.chain(events) {
        if !counts.contains_key(&told) {
            wrong.push(format!("acknowledged and not in SQL: {} of {}", told.1, told.0));
        }
    }
    let mut tokens = HashSet::new();
    for show in &history.shows {
        if !tokens.insert(&show.token) {
            wrong.push(format!("one decision answered twice: {}", show.token));
        }
    }
    wrong.extend(too_close_in_sql(rows, gap_ms));
    wrong.extend(too_close_to_clients(&history.shows, gap_ms));
    wrong
}

/// By the arbiter's clock, which is exact.
fn too_close_in_sql(rows: &[Row], gap_ms: &HashMap<String, i64>) -> Vec<String> {
    let mut times: HashMap<(&str, &str), Vec<i64>> = HashMap::new();
    for row in rows.iter().filter(|row| row.action == "decided") {
        times.entry((&row.user, &row.popup)).or_default().push(row.at_ms);
    }
    let mut wrong = Vec::new();
    for ((user, popup), mut times) in times {
        times.sort_unstable();
        let gap = gap_ms[popup];
        for pair in times.windows(2).filter(|pair| pair[1] - pair[0] < gap) {
            let apart = pair[1] - pair[0];
            wrong.push(format!("{popup} twice to {user} within {gap} ms: {apart} ms by SQL"));
        }
    }
    wrong
}

/// By the clients' clock: a show lies between its request and its answer, so two are surely too
/// close where the later's answer comes before the gap has passed since the earlier's request.
fn too_close_to_clients(shows: &[Show], gap_ms: &HashMap<String, i64>) -> Vec<String> {
    let mut by_user: HashMap<(&str, &str), Vec<&Show>> = HashMap::new();
    for show in shows {
        by_user.entry((&show.user, &show.popup)).or_default().push(show);
    }
    let mut wrong = Vec::new();
    for ((user, popup), mut shows) in by_user {
        shows.sort_unstable_by_key(|show| show.answered_ms);
        let gap = u64::try_from(gap_ms[popup]).unwrap();
        for pair in shows.windows(2) {
            let apart = pair[1].answered_ms - pair[0].sent_ms;
            // The arbiter's clock and the clients' are the same machine's, told in milliseconds.
            if apart + 1 < gap {
                wrong.push(format!("{popup} twice to {user} within {gap} ms: {apart} ms seen"));
            }
        }
    }
    wrong
}

/// Plants each mistake that the check is for, and none.
pub fn check_the_check() {
    let gap_ms = HashMap::from([("p".to_owned(), 1_000)]);
    let show = |token: &str, sent_ms| Show {
        user: "u".to_owned(),
        popup: "p".to_owned(),
        token: token.to_owned(),
        sent_ms,
        answered_ms: sent_ms + 5,
    };
    let row = |token: &str, action: &str, at_ms| Row {
        decision: token.to_owned(),
        action: action.to_owned(),
        at_ms,
        user: "u".to_owned(),
        popup: "p".to_owned(),
    };
    let history = |shows: &[Show]| History {
        shows: shows.to_vec(),
        events: vec![("a".to_owned(), "clicked".to_owned())],
        ..History::default()
    };
    let told = history(&[show("a", 0), show("b", 1_000)]);
    let rows = [row("a", "decided", 2), row("a", "clicked", 9), row("b", "decided", 1_002)];
    let found = |history: &History, rows: &[Row]| check(history, rows, &gap_ms).len();
    assert_eq!(found(&told, &rows), 0, "nothing is wrong");
    assert_eq!(found(&told, &rows[..2]), 1, "a show is lost");
    assert_eq!(found(&told, &[rows[0].clone(), rows[2].clone()]), 1, "an event is lost");
    let mut twice = rows.to_vec();
    twice.push(rows[1].clone());
    assert_eq!(found(&told, &twice), 1, "an event is doubled");
    let unseen = row("c", "decided", 1_500);
    let mut close = rows.to_vec();
    close.push(unseen);
    assert_eq!(found(&told, &close), 1, "shown twice, once unseen");
    let near = history(&[show("a", 0), show("b", 500)]);
    assert_eq!(found(&near, &rows), 1, "shown twice, by the clients' clock");
    let same = history(&[show("a", 0), show("a", 1_000)]);
    assert_eq!(found(&same, &rows), 1, "one decision answered twice");
}

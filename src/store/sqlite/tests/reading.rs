//! What is read back is what was written, and with the records that SQL lacks it is what is.

use proptest::prelude::*;

use super::*;
use crate::StatRow;
use nudged_background::writer::merge::apply_record;
use nudged_background::writer::stats::HOUR_MS;
use nudged_base::time::WallMs;
use nudged_domain::state::apply::Action;
use nudged_domain::state::user::UserState;
use nudged_histories::{Journal, USERS, histories};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn reading_and_merging_gives_the_state(
        steps in histories(60),
        cut in 0..=1_000_usize,
        overlap in 0..30_usize,
    ) {
        let journal = Journal::of(&steps);
        let cut = journal.records.len() * cut / 1_000;
        let directory = directory();
        Node::start(directory.path()).apply_all(&journal.records[..cut]);
        let states = read_states(directory.path(), &USERS);
        for (user, mut state) in USERS.into_iter().zip(states) {
            // Records that SQL has already are merged again without effect.
            for record in &journal.records[cut.saturating_sub(overlap)..] {
                if record.user == user {
                    apply_record(&mut state, &record.borrow().1).unwrap();
                }
            }
            prop_assert_eq!(state, journal.state(user), "{:?}", user);
        }
    }
}

#[test]
fn the_newest_time_is_that_of_the_latest_events() {
    let directory = directory();
    let mut node = Node::start(directory.path());
    assert_eq!(node.store.newest(node.stream).unwrap(), None);
    let mut journal = Journal::new();
    let mut newest = WallMs(i64::MIN);
    for show in 0..3 {
        journal.show("a", show, None);
        node.apply_all(&journal.records);
        let (_, record) = journal.records.last().unwrap().borrow();
        assert!(record.at() > newest);
        newest = record.at();
        assert_eq!(node.store.newest(node.stream).unwrap(), Some(newest));
    }
}

#[test]
fn ids_compare_byte_for_byte() {
    let directory = directory();
    let mut journal = Journal::new();
    let users = ["a", "A", "a ", "\u{e9}", "e\u{301}"];
    for (number, user) in users.into_iter().enumerate() {
        for show in 0..=number {
            // p0, P0 and "p0 " are three popups.
            journal.show(user, show % 3, None);
        }
    }
    let mut node = Node::start(directory.path());
    node.apply(&journal.records).unwrap();
    for (state, user) in read_states(directory.path(), &users).into_iter().zip(users) {
        assert_eq!(state, journal.state(user), "{user:?}");
    }
    assert_eq!(count(directory.path(), "SELECT count(*) FROM users"), 5);
    let popups = "SELECT count(DISTINCT popup_id) FROM user_popups";
    assert_eq!(count(directory.path(), popups), 3);
    let variants = "SELECT count(DISTINCT variant) FROM popup_stats";
    assert_eq!(count(directory.path(), variants), 2);
}

#[test]
fn an_unknown_user_has_the_default_state() {
    let directory = directory();
    let _node = Node::start(directory.path());
    let states = read_states(directory.path(), &["nobody", ""]);
    assert_eq!(states, [UserState::default(), UserState::default()]);
}

#[test]
fn a_forgotten_row_stays_for_people_and_is_not_read_back() {
    let directory = directory();
    let mut journal = Journal::new();
    for popup in 0..65 {
        journal.show("u", popup, None);
    }
    let mut node = Node::start(directory.path());
    node.apply(&journal.records[..64]).unwrap();
    node.apply(&journal.records[64..]).unwrap();
    let shows = "SELECT shows FROM user_popups WHERE forgotten AND popup_id = 'p0'";
    assert_eq!(count(directory.path(), shows), 1);
    assert_eq!(count(directory.path(), "SELECT count(*) FROM user_popups"), 65);
    assert_eq!(read_states(directory.path(), &["u"])[0], journal.state("u"));

    // Shown again it is a new entry, last in order.
    journal.show("u", 0, None);
    node.apply(&journal.records[65..]).unwrap();
    let state = &read_states(directory.path(), &["u"])[0];
    assert_eq!(state, &journal.state("u"));
    assert_eq!(state.popups.last().unwrap().shows_total, 1);
}

#[test]
fn a_user_whose_rows_are_damaged_is_counted_and_the_others_are_read() {
    let directory = directory();
    let mut journal = Journal::new();
    journal.show("u", 0, None);
    journal.show("v", 0, None);
    let mut node = Node::start(directory.path());
    node.apply(&journal.records).unwrap();
    let damage = "UPDATE user_popups SET state = x'00' WHERE user_id = 'u'";
    look(directory.path()).execute_batch(damage).unwrap();
    let mut reader = Reader::open(directory.path()).unwrap();
    let mut found = Vec::new();
    let unreadable = reader.read_users(&["u", "v"], &mut |index, _| found.push(index)).unwrap();
    assert_eq!((unreadable, found), (1, vec![1]));
}

#[test]
fn a_reader_sees_what_is_committed_and_writes_nothing() {
    let directory = directory();
    let mut node = Node::start(directory.path());
    let mut reader = Reader::open(directory.path()).unwrap();
    let mut journal = Journal::new();
    for shows in 1..4 {
        journal.show("u", 0, None);
        node.apply(&journal.records).unwrap();
        let mut total = 0;
        let mut found = |_, state: UserState| total = state.popups[0].shows_total;
        reader.read_users(&["u"], &mut found).unwrap();
        assert_eq!(total, shows);
    }
    let Reader::Sqlite(reader) = &reader else { panic!("opened as SQLite") };
    assert!(reader.connection().execute("DELETE FROM users", []).is_err());
}

#[test]
fn people_read_columns_events_and_counts() {
    let directory = directory();
    let mut journal = Journal::new();
    journal.show("u", 0, Some(1));
    journal.event("u", 0, Action::Dismissed);
    journal.event("u", 0, Action::Shown);
    journal.show("v", 0, None);
    let mut node = Node::start(directory.path());
    node.apply(&journal.records).unwrap();
    let row: (i64, i64, String, i64, Option<i64>) = look(directory.path())
        .query_row(
            "SELECT shows, last_shown_at, outcome, outcome_at, next_show_at FROM user_popups
             WHERE user_id = 'u' AND popup_id = 'p0'",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)),
        )
        .unwrap();
    let at = |index: usize| journal.records[index].at.0;
    assert_eq!(row, (1, at(0), "dismissed".into(), at(1), None));

    let reader = Reader::open(directory.path()).unwrap();
    let events = reader.user_events("u", 2).unwrap();
    let actions: Vec<_> = events.iter().map(|event| event.action.as_str()).collect();
    assert_eq!(actions, ["shown", "dismissed"]);
    assert_eq!(events[0].sequence, sequence(3));
    assert_eq!(reader.user_events("u", 5_000).unwrap().len(), 3);

    let all = reader.stats(None, WallMs(0), WallMs(i64::MAX)).unwrap();
    let sum = |rows: &[StatRow]| -> u64 { rows.iter().flat_map(|row| row.counts).sum() };
    assert_eq!(sum(&all), 4);
    assert_eq!(reader.stats(Some("P0"), WallMs(0), WallMs(i64::MAX)).unwrap(), []);
    let hour = all[0].hour;
    let before = reader.stats(None, WallMs(0), hour).unwrap();
    assert_eq!(sum(&before), 0, "half-open");
    let within = reader.stats(None, WallMs(hour.0 + 5), WallMs(hour.0 + HOUR_MS)).unwrap();
    assert!(within.iter().all(|row| row.hour == hour) && !within.is_empty());
}

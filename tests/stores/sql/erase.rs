//! An erased user is in no table, whatever order records come in; others stay.

use std::fs;

use super::*;
use nudged_background::projection::batcher::erased_decision;
use nudged_base::ids::Revision;
use nudged_base::limits::{SQL_ROWS_READ_MAX, TOMBSTONE_AGE_MAX_MS};
use nudged_base::time::{DurationMs, WallMs};
use nudged_domain::state::apply::Action;
use nudged_domain::state::user::{UserClocks, UserState};
use nudged_histories::Journal;
use nudged_store::dead_letter;

fn mentions(database: &Database, user: &str) -> i64 {
    let of = |table| format!("(SELECT count(*) FROM {table} WHERE user_id = '{user}')");
    database.number(&format!("SELECT {}", ["users", "user_popups", "events"].map(of).join(" + ")))
}

/// Shows and events of "gone-user" and of "other", then the erase of the first.
fn a_journal() -> Journal {
    let mut journal = Journal::new();
    for popup in 0..4 {
        journal.show("gone-user", popup, None);
        journal.show("other", popup, None);
        journal.event("gone-user", 0, Action::Clicked);
    }
    journal.erase("gone-user");
    journal
}

#[test]
fn rows_go_and_events_lose_the_user() {
    on_both(|kind| {
        let journal = a_journal();
        for cut in [0, 5, 12] {
            let database = kind.database();
            let mut node = Node::start(&database);
            node.apply(&journal.records[..cut]).unwrap();
            node.apply(&journal.records[cut..]).unwrap();
            assert_eq!(mentions(&database, "gone-user"), 0, "cut at {cut}");
            assert_eq!(database.number("SELECT count(*) FROM user_popups"), 4);
            assert_eq!(database.number("SELECT count(*) FROM users"), 1);
            assert_eq!(database.number("SELECT count(*) FROM events"), 12);
            let anonymous = "SELECT count(*) FROM events WHERE user_id IS NULL";
            assert_eq!(database.number(anonymous), 8);
            let token = &journal.records[0].impression.as_ref().unwrap().token;
            let erased = format!(
                "SELECT count(*) FROM events WHERE seq = 1 AND decision = '{}'",
                erased_decision(token)
            );
            assert_eq!(database.number(&erased), 1);
            assert_eq!(database.number("SELECT sum(decided) FROM popup_stats"), 8);
            // Revisions go on after the erase, else new records would count as erased.
            let states = database.states(&["gone-user", "other"]);
            assert_eq!(states[0], journal.state("gone-user"));
            assert_eq!(states[0].revision.counter, 9);
            assert!(states[0].popups.is_empty());
            assert_eq!(states[1], journal.state("other"));
        }
    });
}

#[test]
fn what_comes_after_the_erase_stays() {
    on_both(|kind| {
        let database = kind.database();
        let mut journal = a_journal();
        journal.show("gone-user", 3, None);
        let mut node = Node::start(&database);
        node.apply(&journal.records).unwrap();
        let states = database.states(&["gone-user"]);
        assert_eq!(states[0], journal.state("gone-user"));
        assert_eq!(states[0].popups.len(), 1);
        let own = "SELECT count(*) FROM events WHERE user_id = 'gone-user'";
        assert_eq!(database.number(own), 1);
    });
}

#[test]
fn older_records_of_another_journal_arrive_without_the_user() {
    on_both(|kind| {
        let database = kind.database();
        let mut journal = a_journal();
        let erase = journal.records.pop().unwrap();
        let mut store = database.open();
        let streams = [[1; 16], [2; 16]].map(|set| store.stream_id(set).unwrap());
        let mut first = erase;
        first.sequence = sequence(1);
        store.apply(streams[0], &borrowed(std::slice::from_ref(&first))).unwrap();
        assert_eq!(store.apply(streams[1], &borrowed(&journal.records)).unwrap().records, 12);
        assert_eq!(mentions(&database, "gone-user"), 0);
        let states = database.states(&["gone-user"]);
        let clocks = UserClocks { erased_at: Some(first.at), ..UserClocks::default() };
        assert_eq!(states[0], UserState { revision: first.revision, clocks, popups: Vec::new() });
    });
}

#[test]
fn a_user_with_many_events_is_erased_in_parts() {
    on_both(|kind| {
        let database = kind.database();
        let mut journal = Journal::new();
        let shows = usize::try_from(SQL_ROWS_READ_MAX).unwrap() + 500;
        for number in 0..shows {
            journal.show("gone-user", number % 3, None);
        }
        journal.erase("gone-user");
        let mut node = Node::start(&database);
        node.apply_all(&journal.records);
        assert_eq!(mentions(&database, "gone-user"), 0);
        let events = database.number("SELECT count(*) FROM events");
        assert_eq!(events, i64::try_from(shows).unwrap());
    });
}

#[test]
fn an_event_that_lost_its_user_twice_is_kept_once() {
    on_both(|kind| {
        let database = kind.database();
        let mut journal = Journal::new();
        journal.show("gone-user", 0, None);
        journal.erase("gone-user");
        // The same decision, reported again by a journal that knew nothing of the erase.
        let mut again = journal.records[0].clone();
        again.sequence = sequence(3);
        again.revision.counter = 3;
        let mut erase = journal.records[1].clone();
        erase.sequence = sequence(4);
        erase.revision.counter = 4;
        journal.records.extend([again, erase]);
        let mut node = Node::start(&database);
        for record in &journal.records {
            node.apply(std::slice::from_ref(record)).unwrap();
        }
        assert_eq!(database.number("SELECT count(*) FROM events"), 1);
        assert_eq!(mentions(&database, "gone-user"), 0);
    });
}

#[test]
fn tombstones_stay_for_eight_days() {
    on_both(|kind| {
        let database = kind.database();
        let journal = a_journal();
        let mut node = Node::start(&database);
        node.apply(&journal.records).unwrap();
        let erased_at = journal.records.last().unwrap().at;
        let end = erased_at.plus(DurationMs(TOMBSTONE_AGE_MAX_MS));
        assert_eq!(node.store.purge_tombstones(WallMs(end.0 - 1)).unwrap(), 0);
        assert_eq!(node.store.purge_tombstones(end).unwrap(), 1);
        let states = database.states(&["gone-user"]);
        assert_eq!(states[0].revision, Revision::default());
    });
}

#[test]
fn dead_letters_lose_the_user_too() {
    on_both(|kind| {
        let database = kind.database();
        let mut journal = Journal::new();
        for user in ["gone-user", "other"] {
            journal.show(user, 0, None);
            journal.records.last_mut().unwrap().impression.as_mut().unwrap().row.clear();
        }
        journal.erase("gone-user");
        let mut node = Node::start(&database);
        node.apply(&journal.records[..2]).unwrap();
        let file = database.path().join(dead_letter::FILE_NAME);
        assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 2);
        node.apply(&journal.records[2..]).unwrap();
        let left = fs::read_to_string(&file).unwrap();
        assert_eq!(left.lines().count(), 1);
        assert!(!left.contains("gone-user"));
    });
}

//! What is read back is what was written, and with the records that SQL lacks it is what is.

use super::*;
use nudged_background::projection::stats::HOUR_MS;
use nudged_base::time::WallMs;
use nudged_domain::state::apply::Action;
use nudged_domain::state::user::UserState;
use nudged_histories::Journal;
use nudged_store::StatRow;

#[test]
fn the_newest_time_is_that_of_the_latest_events() {
    on_both(|kind| {
        let database = kind.database();
        let mut node = Node::start(&database);
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
    });
}

#[test]
fn ids_compare_byte_for_byte() {
    on_both(|kind| {
        let database = kind.database();
        let mut journal = Journal::new();
        let users = ["a", "A", "a ", "\u{e9}", "e\u{301}"];
        for (number, user) in users.into_iter().enumerate() {
            for show in 0..=number {
                // p0, P0 and "p0 " are three popups.
                journal.show(user, show % 3, None);
            }
        }
        let mut node = Node::start(&database);
        node.apply(&journal.records).unwrap();
        for (state, user) in database.states(&users).into_iter().zip(users) {
            assert_eq!(state, journal.state(user), "{user:?}");
        }
        assert_eq!(database.number("SELECT count(*) FROM users"), 5);
        let popups = "SELECT count(DISTINCT popup_id) FROM user_popups";
        assert_eq!(database.number(popups), 3);
        let variants = "SELECT count(DISTINCT variant) FROM popup_stats";
        assert_eq!(database.number(variants), 2);
    });
}

#[test]
fn an_unknown_user_has_the_default_state() {
    on_both(|kind| {
        let database = kind.database();
        let _node = Node::start(&database);
        let states = database.states(&["nobody", ""]);
        assert_eq!(states, [UserState::default(), UserState::default()]);
    });
}

#[test]
fn a_forgotten_row_stays_for_people_and_is_not_read_back() {
    on_both(|kind| {
        let database = kind.database();
        let mut journal = Journal::new();
        for popup in 0..65 {
            journal.show("u", popup, None);
        }
        let mut node = Node::start(&database);
        node.apply(&journal.records[..64]).unwrap();
        node.apply(&journal.records[64..]).unwrap();
        let shows = "SELECT shows FROM user_popups WHERE forgotten AND popup_id = 'p0'";
        assert_eq!(database.number(shows), 1);
        assert_eq!(database.number("SELECT count(*) FROM user_popups"), 65);
        assert_eq!(database.states(&["u"])[0], journal.state("u"));

        // Shown again it is a new entry, last in order.
        journal.show("u", 0, None);
        node.apply(&journal.records[65..]).unwrap();
        let state = &database.states(&["u"])[0];
        assert_eq!(state, &journal.state("u"));
        assert_eq!(state.popups.last().unwrap().shows_total, 1);
    });
}

#[test]
fn a_user_whose_rows_are_damaged_is_counted_and_the_others_are_read() {
    on_both(|kind| {
        let database = kind.database();
        let mut journal = Journal::new();
        journal.show("u", 0, None);
        journal.show("v", 0, None);
        let mut node = Node::start(&database);
        node.apply(&journal.records).unwrap();
        let damage = "UPDATE user_popups SET state = x'00' WHERE user_id = 'u'";
        database.run(damage);
        let mut reader = database.reader();
        let mut found = Vec::new();
        let unreadable = reader.read_users(&["u", "v"], &mut |index, _| found.push(index)).unwrap();
        assert_eq!((unreadable, found), (1, vec![1]));
    });
}

#[test]
fn people_read_columns_events_and_counts() {
    on_both(|kind| {
        let database = kind.database();
        let mut journal = Journal::new();
        journal.show("u", 0, Some(1));
        journal.event("u", 0, Action::Dismissed);
        journal.event("u", 0, Action::Shown);
        journal.show("v", 0, None);
        let mut node = Node::start(&database);
        node.apply(&journal.records).unwrap();
        let at = |index: usize| journal.records[index].at.0;
        let row = format!(
            "SELECT count(*) FROM user_popups WHERE user_id = 'u' AND popup_id = 'p0' AND shows = 1
         AND last_shown_at = {} AND outcome = 'dismissed' AND outcome_at = {}
         AND next_show_at IS NULL",
            at(0),
            at(1)
        );
        assert_eq!(database.number(&row), 1);

        let reader = database.reader();
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
    });
}

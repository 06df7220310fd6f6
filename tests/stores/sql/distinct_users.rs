//! Property: the distinct users of statistics are those of the records, however these are cut into
//! transactions, whichever process applies them, and when hours become days; what a version before
//! has counted without users is told as not known.

use nudged_base::time::WallMs;
use nudged_domain::state::apply::Action;
use nudged_histories::Journal;
use nudged_store::{StatPlaceAt, StatUsers};

use super::retention::pass;
use super::*;

/// Behind every hour of these journals.
const LATER: WallMs = WallMs(i64::MAX);

/// Twelve users, some of whom come again and click.
fn journal() -> Journal {
    let mut journal = Journal::new();
    for user in (0..12).map(|number| format!("user-{number}")) {
        journal.show(&user, 0, None);
    }
    for user in ["user-1", "user-4"] {
        journal.event(user, 0, Action::Clicked);
        journal.show(user, 0, None);
        journal.event(user, 0, Action::Clicked);
    }
    journal
}

/// All users of all rows, and how many rows there are.
fn users(database: &Database) -> (StatUsers, usize) {
    let rows = database.reader().stat_users(None, WallMs(0), LATER).unwrap();
    let mut all = StatUsers::default();
    rows.values().for_each(|users| all.unite(users));
    (all, rows.len())
}

fn estimates(database: &Database) -> [Option<u64>; 2] {
    users(database).0.estimates()
}

#[test]
fn they_are_the_same_however_records_are_cut_and_processes_follow() {
    on_both(|kind| {
        let records = journal().records;
        let whole = kind.database();
        Node::start(&whole).apply(&records).unwrap();
        assert_eq!(estimates(&whole), [Some(12), Some(2)]);
        for cut in [1, 5, 13] {
            let database = kind.database();
            for part in records.chunks(cut) {
                // A process each, which has written none of the rows.
                Node::start(&database).apply(part).unwrap();
            }
            assert_eq!(database.dump(), whole.dump(), "{cut}");
            // One process, which knows what it has written, and a position that went back.
            let database = kind.database();
            let mut node = Node::start(&database);
            records.chunks(cut).for_each(|part| node.apply_all(part));
            database.run("UPDATE writer_position SET off = 0");
            node.apply_all(&records);
            assert_eq!(database.dump(), whole.dump(), "{cut}");
        }
    });
}

#[test]
fn a_transaction_that_dies_leaves_nobody() {
    on_both(|kind| {
        let records = journal().records;
        let database = kind.database();
        let mut node = Node::start(&database);
        node.apply(&records[..3]).unwrap();
        database.dies_before_commit(true);
        assert!(node.apply(&records[3..]).is_err());
        assert_eq!(estimates(&database), [Some(3), Some(0)]);
        database.dies_before_commit(false);
        node.apply(&records[3..6]).unwrap();
        assert_eq!(estimates(&database), [Some(6), Some(0)]);
    });
}

#[test]
fn they_go_with_their_hours_into_days_and_late_ones_come_to_them() {
    on_both(|kind| {
        let records = journal().records;
        let database = kind.database();
        let mut node = Node::start(&database);
        node.apply(&records[..8]).unwrap();
        let far = Some(i64::MAX);
        pass(&mut node.store, node.stream, None, far);
        assert_eq!(estimates(&database), [Some(8), Some(0)]);
        assert_eq!(database.number("SELECT count(*) FROM popup_stats WHERE part = 0"), 0);
        node.apply(&records[8..]).unwrap();
        assert_eq!(estimates(&database), [Some(12), Some(2)]);
        pass(&mut node.store, node.stream, None, far);
        assert_eq!(estimates(&database), [Some(12), Some(2)]);
        let is_day = |(place, _): (&StatPlaceAt, &StatUsers)| place.3;
        let rows = database.reader().stat_users(None, WallMs(0), LATER).unwrap();
        assert!(rows.iter().all(is_day), "{rows:?}");
    });
}

#[test]
fn what_a_version_before_has_counted_is_not_known_nor_is_its_day() {
    on_both(|kind| {
        let records = journal().records;
        let database = kind.database();
        let mut node = Node::start(&database);
        node.apply(&records[..12]).unwrap();
        // As the schema's upgrade finds it.
        database.run("UPDATE popup_stats SET users_decided = NULL, users_clicked = NULL");
        drop(node);
        let mut node = Node::start(&database);
        node.apply(&records[12..]).unwrap();
        assert_eq!(estimates(&database), [None, Some(2)]);
        pass(&mut node.store, node.stream, None, Some(i64::MAX));
        assert_eq!(estimates(&database), [None, Some(2)]);
    });
}

#[test]
fn more_rows_than_are_known_are_read_again() {
    let database = Kind::Sqlite.database();
    let mut node = Node::start(&database);
    let rows_max = i64::try_from(nudged_base::limits::STAT_SKETCHES_KNOWN_MAX).unwrap();
    let mut journal = Journal::new();
    ["a", "b"].iter().for_each(|user| journal.show(user, 0, None));
    (0..rows_max).for_each(|number| journal.show(&format!("other-{number}"), 0, None));
    journal.show("c", 0, None);
    // Three in the first hour, and one in each of the hours between the second and the third.
    let mut hour = 0;
    for record in &mut journal.records {
        let of_first = ["a", "b", "c"].contains(&&*record.user);
        hour += i64::from(!of_first);
        let at = if of_first { 0 } else { hour * 3_600_000 };
        let impression = record.impression.as_mut().unwrap();
        (impression.acted_at, impression.variant) = (WallMs(1_767_225_600_000 + at), "");
    }
    node.apply_all(&journal.records);
    let rows = database.reader().stat_users(None, WallMs(0), LATER).unwrap();
    assert_eq!(rows.len(), 1 + journal.records.len() - 3);
    assert_eq!(rows.values().next().unwrap().estimates(), [Some(3), Some(0)]);
}

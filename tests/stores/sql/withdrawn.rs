//! A show that is taken back is in no table, whatever batches its records come in and however often
//! they do; what stood before it stands again.

use super::*;
use nudged_base::time::WallMs;
use nudged_domain::state::apply::Action;
use nudged_histories::Journal;

const SHOWS: &str = "SELECT count(*) FROM events WHERE action = 'decided'";
const COUNTED: &str = "SELECT coalesce(sum(decided), 0) FROM popup_stats";
const LEAST: &str = "SELECT coalesce(min(decided), 0) FROM popup_stats";

/// A user's only show, taken back.
fn unseen() -> Journal {
    let mut journal = Journal::new();
    journal.show("u", 0, Some(1));
    journal.withdraw("u");
    journal
}

/// Applies each of these runs in a transaction.
fn apply_runs(node: &mut Node, runs: &[&[OwnedRecord]]) {
    for run in runs {
        node.apply(run).unwrap();
    }
}

fn check_unseen(database: &Database) {
    assert_eq!(database.number("SELECT count(*) FROM events"), 0);
    assert_eq!(database.number(COUNTED), 0);
    assert_eq!(database.number(LEAST), 0, "nothing is counted below nothing");
    assert_eq!(database.number("SELECT count(*) FROM user_popups"), 0);
    let user = "SELECT revision_counter * 10 + day_shows FROM users";
    assert_eq!(database.number(user), 20, "the revision goes on, the clocks are back");
    let reader = database.reader();
    let stats = reader.stats(None, WallMs(0), WallMs(i64::MAX)).unwrap();
    assert!(stats.is_empty(), "{stats:?}");
}

#[test]
fn it_leaves_no_row_in_one_batch_or_in_two() {
    on_both(|kind| {
        let journal = unseen();
        let (show, back) = journal.records.split_at(1);
        for runs in [&[&journal.records[..]][..], &[show, back]] {
            let database = kind.database();
            let mut node = Node::start(&database);
            if runs.len() == 2 {
                node.apply(show).unwrap();
                assert_eq!((database.number(SHOWS), database.number(COUNTED)), (1, 1));
            }
            apply_runs(&mut node, runs);
            check_unseen(&database);
            assert_eq!(node.position(), 2);
            assert_eq!(database.states(&["u"])[0], journal.state("u"));
        }
    });
}

#[test]
fn in_one_batch_it_may_come_before_its_show() {
    on_both(|kind| {
        let mut journal = unseen();
        journal.records.swap(0, 1);
        for (number, record) in (1..).zip(&mut journal.records) {
            record.sequence = sequence(number);
        }
        let database = kind.database();
        Node::start(&database).apply(&journal.records).unwrap();
        check_unseen(&database);
    });
}

#[test]
fn replayed_it_changes_nothing_more() {
    on_both(|kind| {
        let mut journal = unseen();
        journal.show("u", 0, None);
        let database = kind.database();
        let mut node = Node::start(&database);
        node.apply_all(&journal.records);
        let expected = database.dump();
        assert_eq!((database.number(SHOWS), database.number(COUNTED)), (1, 1));
        assert_eq!(node.apply(&journal.records).unwrap().skipped, 3);
        // The position alone went back: what is applied again ends where it was.
        for cut in 0..=2 {
            database.run("UPDATE writer_position SET off = 0");
            let (first, second) = journal.records.split_at(cut);
            apply_runs(&mut node, &[first, second]);
            assert_eq!(database.dump(), expected, "cut at {cut}");
        }
    });
}

#[test]
fn another_stream_takes_it_back_where_it_was_counted() {
    on_both(|kind| {
        let journal = unseen();
        for cut in [0, 1] {
            let database = kind.database();
            let mut node = Node::start(&database);
            node.apply(&journal.records[..1]).unwrap();
            // As an import of the same records does, in a stream of its own.
            let other = node.store.stream_id([8; 16]).unwrap();
            for run in [&journal.records[..cut], &journal.records[cut..]] {
                node.store.apply(other, &borrowed(run)).unwrap();
            }
            check_unseen(&database);
        }
    });
}

#[test]
fn a_kill_before_the_commit_leaves_the_show() {
    on_both(|kind| {
        let journal = unseen();
        let database = kind.database();
        let mut node = Node::start(&database);
        node.apply(&journal.records[..1]).unwrap();
        let before = database.dump();
        database.dies_before_commit(true);
        node.apply(&journal.records).unwrap_err();
        database.dies_before_commit(false);
        let mut node = Node::start(&database);
        assert_eq!(database.dump(), before);
        node.apply(&journal.records).unwrap();
        check_unseen(&database);
    });
}

#[test]
fn what_stood_before_it_stands_again() {
    on_both(|kind| {
        let mut journal = Journal::new();
        journal.show("u", 0, None);
        journal.event("u", 0, Action::Dismissed);
        let before = journal.records.len();
        journal.show("u", 0, None);
        journal.withdraw("u");
        let database = kind.database();
        let mut node = Node::start(&database);
        apply_runs(&mut node, &[&journal.records[..before], &journal.records[before..]]);
        let row = "SELECT shows * 10 + first_counter FROM user_popups WHERE outcome = 'dismissed'";
        assert_eq!(database.number(row), 11);
        assert_eq!((database.number(SHOWS), database.number(COUNTED)), (1, 1));
        assert_eq!(database.states(&["u"])[0], journal.state("u"));
    });
}

#[test]
fn a_popup_that_it_had_pushed_out_stays_forgotten() {
    on_both(|kind| {
        let mut journal = Journal::new();
        (0..65).for_each(|popup| journal.show("u", popup, None));
        let marked = "SELECT count(*) FROM user_popups WHERE forgotten";
        let database = kind.database();
        let mut node = Node::start(&database);
        node.apply(&journal.records).unwrap();
        assert_eq!(database.number(marked), 1);
        journal.withdraw("u");
        node.apply(&journal.records).unwrap();
        assert_eq!(database.number(marked), 1);
        assert_eq!(database.number("SELECT count(*) FROM user_popups"), 64);
        let state = &database.states(&["u"])[0];
        assert_eq!((state, state.popups.len()), (&journal.state("u"), 63));
    });
}

#[test]
fn of_an_erased_user_it_goes_too() {
    on_both(|kind| {
        let mut journal = unseen();
        let mut erased = Journal::new();
        (0..3).for_each(|_| erased.show("u", 0, None));
        erased.erase("u");
        let mut erase = erased.records.pop().unwrap();
        assert!(erase.revision > journal.records[1].revision);
        // The erase is of a journal that was applied between the two.
        erase.sequence = sequence(2);
        journal.records[1].sequence = sequence(3);
        let database = kind.database();
        let mut node = Node::start(&database);
        let back = journal.records.pop().unwrap();
        node.apply(&[journal.records[0].clone(), erase]).unwrap();
        let anonymous = "SELECT count(*) FROM events WHERE user_id IS NULL";
        assert_eq!(database.number(anonymous), 1);
        node.apply(&[back]).unwrap();
        assert_eq!((database.number(SHOWS), database.number(COUNTED)), (0, 0));
        assert_eq!(database.number("SELECT count(*) FROM users"), 0);
    });
}

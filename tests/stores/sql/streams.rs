//! Property: one process applies a stream, from where it is, and each record once.

use nudged_domain::state::apply::Action;
use nudged_histories::Journal;

use super::*;

#[test]
fn another_record_under_an_applied_sequence_halts() {
    let journal = Journal::of_clicks();
    type Alter = fn(&mut OwnedRecord);
    let changes: [Alter; 4] = [
        |record| record.user.push('x'),
        |record| record.revision.counter += 1,
        |record| record.at.0 += 1,
        |record| record.impression.as_mut().unwrap().token.push('x'),
    ];
    on_both(|kind| {
        let database = kind.database();
        let mut node = Node::start(&database);
        node.apply(&journal.records).unwrap();
        database.run("UPDATE writer_position SET off = 2");
        let before = database.dump();
        for change in changes {
            let mut records = journal.records.clone();
            change(&mut records[3]);
            let error = node.apply(&records).unwrap_err();
            let StoreError::Halted { sequence: at, .. } = error else { panic!("{error}") };
            assert_eq!(at, sequence(4));
            assert_eq!(database.dump(), before, "nothing of the batch is there");
        }
        // The same records are duplicates.
        let applied = node.apply(&journal.records).unwrap();
        assert_eq!((applied.skipped, applied.duplicates, applied.records), (2, 4, 0));
        database.run("UPDATE writer_position SET off = 2");
        assert_eq!(database.dump(), before);
    });
}

#[test]
fn two_processes_on_one_stream_are_fenced() {
    on_both(|kind| {
        let database = kind.database();
        let journal = Journal::of_clicks();
        let mut first = Node::start(&database);
        first.apply(&journal.records[..2]).unwrap();
        let mut second = Node::start(&database);
        let error = first.apply(&journal.records[2..]).unwrap_err();
        let StoreError::Fenced { ours, found, .. } = error else { panic!("{error}") };
        assert_eq!((ours, found), (1, 2));
        let skipped = first.store.skip_lost(first.stream, sequence(6));
        assert!(matches!(skipped, Err(StoreError::Fenced { .. })));
        assert_eq!(second.apply(&journal.records[2..]).unwrap().records, 4);
    });
}

#[test]
fn streams_are_told_apart_and_kept() {
    on_both(|kind| {
        let database = kind.database();
        let mut store = database.open();
        let first = store.stream_id([1; 16]).unwrap();
        let second = store.stream_id([2; 16]).unwrap();
        assert_ne!(first, second);
        assert_eq!(store.stream_id([1; 16]).unwrap(), first);
        let unknown = store.position(StreamId(u32::MAX));
        assert!(matches!(unknown, Err(StoreError::NoSuchStream { stream: u32::MAX })));
    });
}

#[test]
fn a_repeated_decision_and_action_counts_once() {
    on_both(|kind| {
        let database = kind.database();
        let mut journal = Journal::new();
        journal.show("u", 0, None);
        journal.event("u", 0, Action::Clicked);
        for copied in 0..2 {
            // An arbiter that lost a reply lets the same action in again, at its own sequence.
            let mut record = journal.records[copied].clone();
            record.sequence = sequence(u64::try_from(journal.records.len()).unwrap() + 1);
            journal.records.push(record);
        }
        let mut node = Node::start(&database);
        let applied = node.apply(&journal.records[..3]).unwrap();
        assert_eq!((applied.records, applied.duplicates), (2, 1), "in one transaction");
        let applied = node.apply(&journal.records[3..]).unwrap();
        assert_eq!((applied.records, applied.duplicates), (0, 1), "in a later one");
        assert_eq!(node.position(), 4);
        assert_eq!(database.number("SELECT count(*) FROM events"), 2);
        let counted = "SELECT sum(decided + shown + clicked) FROM popup_stats";
        assert_eq!(database.number(counted), 2);
    });
}

#[test]
fn lost_records_are_stepped_over_only_on_demand() {
    let mut journal = Journal::new();
    (0..30).for_each(|number| journal.show("u", number % 11, None));
    on_both(|kind| {
        let database = kind.database();
        let mut node = Node::start(&database);
        node.apply(&journal.records[..10]).unwrap();
        let gap: Vec<_> = [&journal.records[5..15], &journal.records[20..30]].concat();
        let error = node.apply(&gap).unwrap_err();
        let StoreError::Gap { after, found, .. } = error else { panic!("{error}") };
        assert_eq!((after, found), (sequence(15), sequence(21)));
        let error = node.apply(&journal.records[20..]).unwrap_err();
        let StoreError::Behind { position, next, .. } = error else { panic!("{error}") };
        assert_eq!((position, next), (sequence(10), sequence(21)));
        node.store.skip_lost(node.stream, sequence(20)).unwrap();
        node.store.skip_lost(node.stream, sequence(3)).unwrap();
        assert_eq!(node.position(), 20);
        assert_eq!(node.apply(&journal.records[20..]).unwrap().records, 10);
    });
}

//! Every record is in SQL exactly once, however the journal is cut, from whichever earlier position
//! it is replayed, and whatever dies in between.

use std::fs;

use proptest::prelude::*;

use super::*;
use nudged_domain::state::apply::Action;
use nudged_histories::{Journal, USERS, histories};

/// One call of `apply`: how far before the position it starts, how many records it tries to move
/// on, and whether it dies before its commit.
#[derive(Clone, Debug)]
struct Call {
    back: usize,
    records: usize,
    dies: bool,
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let call = (0..20_usize, 1..30_usize, prop::bool::weighted(0.3))
        .prop_map(|(back, records, dies)| Call { back, records, dies });
    prop::collection::vec(call, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn replays_and_kills_change_nothing(steps in histories(40), calls in calls()) {
        let journal = Journal::of(&steps);
        let records = &journal.records[..];
        let directory = directory();
        let mut node = Node::start(directory.path());
        for call in calls {
            let position = usize::try_from(node.position()).unwrap();
            let end = (position + call.records).min(records.len());
            let records = &records[position.saturating_sub(call.back)..end];
            if call.dies {
                node = kill_before_commit(node, directory.path(), records);
                prop_assert_eq!(node.position(), u64::try_from(position).unwrap());
            } else {
                let applied = node.apply(records).unwrap();
                prop_assert_eq!(applied.skipped, position.min(call.back));
                prop_assert_eq!(applied.records, end - position);
            }
        }
        node.apply_all(records);
        drop(node);
        prop_assert_eq!(dump(directory.path()), dump_of(records));
        check_counts(directory.path(), records);
        let states = read_states(directory.path(), &USERS);
        for (user, state) in USERS.into_iter().zip(states) {
            prop_assert_eq!(state, journal.state(user), "{:?}", user);
        }
    }
}

/// Applies up to the last step of the transaction, drops the connection there, starts again.
pub(super) fn kill_before_commit(
    mut node: Node,
    directory: &Path,
    records: &[OwnedRecord],
) -> Node {
    look(directory)
        .execute_batch(
            "CREATE TRIGGER dies BEFORE UPDATE OF off ON writer_position
             BEGIN SELECT RAISE(FAIL, 'dies'); END",
        )
        .unwrap();
    let position = node.position();
    let result = node.apply(records);
    let has_news = records.last().is_some_and(|record| record.sequence.0 > position);
    assert_eq!(result.is_err(), has_news);
    drop(node);
    look(directory).execute_batch("DROP TRIGGER dies").unwrap();
    Node::start(directory)
}

/// Counts the rows without the store's help.
fn check_counts(directory: &Path, records: &[OwnedRecord]) {
    let impressions = records.iter().filter(|record| record.impression.is_some()).count();
    let unseen = records.iter().filter(|record| record.withdrawn.is_some()).count();
    let impressions = i64::try_from(impressions - unseen).unwrap();
    assert_eq!(count(directory, "SELECT count(*) FROM events"), impressions);
    let stats = "SELECT coalesce(sum(decided + shown + ignored + dismissed + clicked + converted),
                                 0) FROM popup_stats";
    assert_eq!(count(directory, stats), impressions);
    let decided = "SELECT (SELECT count(*) FROM events WHERE action = 'decided')
                   - (SELECT coalesce(sum(decided), 0) FROM popup_stats)";
    assert_eq!(count(directory, decided), 0);
}

#[test]
fn a_kill_leaves_whole_transactions_alone() {
    // The files as a kill leaves them, copied while the connection is open, between two calls.
    let (first, second) = (directory(), directory());
    let journal = a_journal();
    let mut node = Node::start(first.path());
    node.apply(&journal.records[..50]).unwrap();
    for entry in fs::read_dir(first.path()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), second.path().join(entry.file_name())).unwrap();
    }
    assert!(second.path().join("nudged.db-wal").metadata().unwrap().len() > 0);
    let mut node = Node::start(second.path());
    assert_eq!(node.position(), 50);
    node.apply_all(&journal.records);
    drop(node);
    assert_eq!(dump(second.path()), dump_of(&journal.records));
}

#[test]
fn a_regressed_database_is_replayed_from_its_own_position() {
    let directory = directory();
    let journal = a_journal();
    let mut node = Node::start(directory.path());
    node.apply(&journal.records[..40]).unwrap();
    drop(node);
    let copy = directory.path().join("copy");
    fs::copy(directory.path().join(FILE_NAME), &copy).unwrap();
    let mut node = Node::start(directory.path());
    node.apply_all(&journal.records);
    drop(node);

    fs::rename(&copy, directory.path().join(FILE_NAME)).unwrap();
    let mut node = Node::start(directory.path());
    assert_eq!(node.position(), 40);
    let error = node.apply(&journal.records[60..]).unwrap_err();
    let StoreError::Behind { position, next, .. } = error else { panic!("{error}") };
    assert_eq!((position, next), (sequence(40), sequence(61)));
    node.apply_all(&journal.records);
    drop(node);
    assert_eq!(dump(directory.path()), dump_of(&journal.records));
}

#[test]
fn journals_may_be_applied_in_any_order() {
    // Two nodes with one arbiter: a user's records are spread over two journals.
    let journal = a_journal();
    let streams = |parity: u64| {
        let own = journal.records.iter().filter(|record| record.sequence.0 % 2 == parity);
        let mut records: Vec<_> = own.cloned().collect();
        for (number, record) in (1..).zip(&mut records) {
            record.sequence = sequence(number);
        }
        records
    };
    let journals = [streams(0), streams(1)];
    let dumps = [[0, 1], [1, 0]].map(|order| {
        let directory = directory();
        let mut store = Store::open(directory.path()).unwrap();
        let streams = [[1; 16], [2; 16]].map(|set| store.stream_id(set).unwrap());
        for index in order {
            store.apply(streams[index], &borrowed(&journals[index])).unwrap();
        }
        drop(store);
        let connection = look(directory.path());
        // Which record of an entry came first is known only once all are there.
        connection.execute_batch("UPDATE user_popups SET first_counter = 0").unwrap();
        dump(directory.path())
    });
    assert_eq!(dumps[0], dumps[1]);
}

#[test]
#[should_panic(expected = "up to 1,000 records")]
fn a_transaction_is_bounded() {
    let directory = directory();
    let record = a_journal().records[0].clone();
    Node::start(directory.path()).apply(&vec![record; APPLY_RECORDS_MAX + 1]).ok();
}

/// 100 records of three users.
fn a_journal() -> Journal {
    let mut journal = Journal::new();
    for number in 0..50 {
        let user = ["u", "U", "u "][number % 3];
        journal.show(user, number % 11, Some(u8::try_from(number % 4).unwrap()));
        journal.event(user, 0, Action::ALL[number % 5]);
    }
    assert_eq!(journal.records.len(), 100);
    journal
}

//! Property: however a journal is cut into transactions, the tables of MySQL hold what the embedded
//! store makes of it, byte for byte, and users are read back as they were.

use nudged_base::ids::Sequence;
use nudged_base::limits::APPLY_RECORDS_MAX;
use nudged_store::{Applied, RecordRun, StoreError};
use proptest::test_runner::{Config as Cases, TestRunner};

use super::{Node, assert_same, database, dump, dump_of, reader, shared};
use nudged_histories::{Journal, USERS, borrowed, histories};

/// A journal with 1,000 shows of as many users.
pub(super) fn wide_journal(count: usize) -> Journal {
    let mut journal = Journal::new();
    for number in 0..count {
        journal.show(&format!("user-{number}"), number % 3, Some(1));
    }
    journal
}

#[test]
fn any_history_in_any_cut_is_what_sqlite_makes_of_it() {
    let name = database();
    let url = shared().url_of(&name);
    let mut runner = TestRunner::new(Cases { cases: 24, ..Cases::default() });
    runner
        .run(&(histories(40), 1..60_usize), |(steps, cut)| {
            let tables = "events; DELETE FROM users; DELETE FROM user_popups; \
                          DELETE FROM popup_stats; DELETE FROM erased_users; \
                          DELETE FROM writer_position";
            shared().run_sql(&format!("USE {name}; DELETE FROM {tables}"));
            let journal = Journal::of(&steps);
            let mut node = Node::start(&url);
            for records in journal.records.chunks(cut) {
                let applied = node.apply(records).unwrap();
                assert_eq!(applied.skipped + applied.rejected, 0);
            }
            assert_same(&dump(shared(), &name), &dump_of(&journal.records));
            let mut states = vec![None; USERS.len()];
            let unreadable = reader(&url)
                .read_users(&USERS, &mut |index, state| states[index] = Some(state))
                .unwrap();
            assert_eq!(unreadable, 0);
            for (user, state) in USERS.iter().zip(states) {
                assert_eq!(state.unwrap(), journal.state(user), "{user:?}");
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_thousand_records_take_eight_statements() {
    let name = database();
    let mut node = Node::start(&shared().url_of(&name));
    let journal = wide_journal(2 * APPLY_RECORDS_MAX);
    node.apply(&journal.records[..APPLY_RECORDS_MAX]).unwrap();
    let before = node.statements();
    let applied = node.apply(&journal.records[APPLY_RECORDS_MAX..]).unwrap();
    assert_eq!(applied, Applied { records: APPLY_RECORDS_MAX, ..Applied::default() });
    assert_eq!(node.statements() - before, 8);
}

#[test]
fn lists_have_gaps_and_several_go_in_one_transaction() {
    let name = database();
    let mut node = Node::start(&shared().url_of(&name));
    let shared_store = node.store.shared().unwrap();
    let lists = [17, 3, 900].map(|partition| (5, nudged_base::ids::Partition(partition)));
    let streams = shared_store.streams_of_lists(&lists, "lane").unwrap();
    assert_eq!(shared_store.streams_of_lists(&lists, "lane").unwrap(), streams);
    let journal = wide_journal(60);
    let records = borrowed(&journal.records);
    let part = |list: usize| -> Vec<_> {
        records.iter().filter(|(sequence, _)| sequence.0 % 3 == list as u64).copied().collect()
    };
    let parts = [part(0), part(1), part(2)];
    let run =
        |list: usize| RecordRun { stream: streams[list], is_dense: false, records: &parts[list] };
    let before = node.statements();
    let applied = node.store.apply_runs(&[run(0), run(1), run(2)]).unwrap();
    assert_eq!((applied.records, node.statements() - before), (60, 9));
    // Counted together, whichever list they were in.
    let counted_in = "SELECT COUNT(DISTINCT stream) FROM popup_stats";
    assert_eq!(shared().number(&name, counted_in), 1);
    let applied = node.store.apply_runs(&[run(2), run(0)]).unwrap();
    assert_eq!((applied.skipped, applied.records), (40, 0));
    let last = |list: usize| node.store.position(streams[list]).unwrap();
    assert_eq!([last(0), last(1), last(2)], [60, 58, 59].map(Sequence));
}

#[test]
fn a_position_that_went_back_is_told_and_the_replay_counts_nothing_twice() {
    let name = database();
    let mut node = Node::start(&shared().url_of(&name));
    let journal = wide_journal(30);
    node.apply(&journal.records[..20]).unwrap();
    // A failover lost the suffix of some tables; here only the position's, the worst case.
    shared().run_sql(&format!("UPDATE {name}.writer_position SET off = 5"));
    let result = node.apply(&journal.records[20..]);
    assert!(matches!(result, Err(StoreError::Behind { position: Sequence(5), .. })));
    let applied = node.apply(&journal.records[5..]).unwrap();
    assert_eq!((applied.records, applied.duplicates), (10, 15));
    assert_same(&dump(shared(), &name), &dump_of(&journal.records));
}

//! Property: a show that is taken back is in no table of MySQL, whatever batches its records come
//! in and however often they do, and costs statements only where there is one.

use nudged_base::ids::Partition;
use nudged_base::time::WallMs;
use nudged_store::RecordRun;

use super::{Node, assert_same, database, dump, dump_of, reader, shared};
use nudged_domain::state::apply::Action;
use nudged_histories::{Journal, OwnedRecord, borrowed};

const SHOWS: &str = "SELECT COUNT(*) FROM events WHERE action = 'decided'";
const COUNTED: &str = "SELECT COALESCE(SUM(decided), 0) FROM popup_stats";
const LEAST: &str = "SELECT COALESCE(MIN(decided), 0) FROM popup_stats";

/// What may befall shows of several users that are taken back, and of one who is not.
fn journal() -> Journal {
    let mut journal = Journal::new();
    journal.show("new", 0, Some(1));
    journal.withdraw("new");
    journal.show("known", 0, None);
    journal.event("known", 0, Action::Dismissed);
    journal.show("known", 0, None);
    journal.withdraw("known");
    (0..65).for_each(|popup| journal.show("full", popup, None));
    journal.withdraw("full");
    journal.show("new", 0, None);
    journal
}

fn number(database: &str, query: &str) -> i64 {
    shared().number(database, query)
}

/// How many statements a transaction of these records takes.
fn statements(node: &mut Node, records: &[OwnedRecord]) -> u64 {
    let before = node.statements();
    node.apply(records).unwrap();
    node.statements() - before
}

#[test]
fn it_leaves_what_sqlite_leaves_in_any_cut_and_replayed() {
    let name = database();
    let url = shared().url_of(&name);
    let journal = journal();
    let records = &journal.records[..];
    let expected = dump_of(records);
    let mut node = Node::start(&url);
    for cut in [records.len(), 1, 2, 5, 71, 72] {
        // The position alone went back, so rows are there that the records make again.
        shared().run_sql(&format!("UPDATE {name}.writer_position SET off = 0"));
        let (first, second) = records.split_at(cut);
        node.apply(first).unwrap();
        node.apply(second).unwrap();
        assert_same(&dump(shared(), &name), &expected);
    }
    assert_eq!((number(&name, SHOWS), number(&name, COUNTED)), (66, 66));
    assert_eq!(number(&name, LEAST), 0, "nothing is counted below nothing");
    let stats = reader(&url).stats(None, WallMs(0), WallMs(i64::MAX)).unwrap();
    assert!(stats.iter().all(|row| row.counts.iter().sum::<u64>() > 0), "{stats:?}");
    let mut states = vec![None; 3];
    let users = ["new", "known", "full"];
    reader(&url).read_users(&users, &mut |index, state| states[index] = Some(state)).unwrap();
    for (user, state) in users.iter().zip(states) {
        assert_eq!(state.unwrap(), journal.state(user), "{user}");
    }
}

#[test]
fn statements_are_more_only_where_there_is_something_to_delete() {
    let name = database();
    let mut node = Node::start(&shared().url_of(&name));
    let mut journal = Journal::new();
    (0..3).for_each(|number| journal.show(&format!("other-{number}"), 0, None));
    journal.show("u", 0, None);
    journal.withdraw("u");
    journal.show("v", 0, None);
    node.apply(&journal.records[..1]).unwrap();
    assert_eq!(statements(&mut node, &journal.records[1..4]), 8);
    // Looked for, found and deleted; its entry is removed; no event and no entry is written.
    assert_eq!(statements(&mut node, &journal.records[4..5]), 3 + 8 - 2);
    assert_eq!(statements(&mut node, &journal.records[5..]), 8);
}

#[test]
fn what_several_lists_take_back_is_taken_from_their_lanes_statistics() {
    let name = database();
    let mut node = Node::start(&shared().url_of(&name));
    let lists = [(3, Partition(1)), (3, Partition(2))];
    let streams = node.store.shared().unwrap().streams_of_lists(&lists, "lane").unwrap();
    let mut journal = Journal::new();
    for user in ["a", "b"] {
        journal.show(user, 0, None);
        journal.withdraw(user);
        journal.show(user, 3, None);
    }
    let records = borrowed(&journal.records);
    let (first, second) = records.split_at(3);
    // Of the second list the show is applied before, of the first list in the same transaction.
    let run = |list: usize, records| RecordRun { stream: streams[list], is_dense: false, records };
    node.store.apply_runs(&[run(1, &second[..1])]).unwrap();
    let applied = node.store.apply_runs(&[run(0, first), run(1, second)]).unwrap();
    assert_eq!((applied.records, applied.skipped), (5, 1));
    assert_eq!((number(&name, COUNTED), number(&name, LEAST)), (2, 0));
    assert_eq!(number(&name, SHOWS), 2);
}
